//! `hitless top`: a live view of a daemon.

mod draw;
mod look;
#[cfg(test)]
mod tests;

use super::{Failure, client::Daemon, table};
use draw::{Choice, draw, render};
use look::{Look, Picture};
use ratatui::{
    DefaultTerminal,
    buffer::Buffer,
    crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers},
    layout::Rect,
};
use std::{
    io::{self, IsTerminal},
    sync::mpsc::{self, Receiver, Sender},
    thread,
    time::{Duration, Instant},
};

/// A picture on paper.
const PAPER: (u16, u16) = (120, 40);

/// Shows the daemon until the reader has seen enough; `once`: prints one picture instead.
pub(super) fn run(daemon: &Daemon, interval: Duration, once: bool) -> Result<(), Failure> {
    let first = Look::take(daemon)?;
    if once {
        thread::sleep(interval);
        let picture = Picture::new(&first, &Look::take(daemon)?, None);
        table::say(&on_paper(&picture, PAPER));
        return Ok(());
    }
    if !io::stdout().is_terminal() {
        let text =
            "hitless top draws on a terminal: use `hitless top --once` or `hitless get stats -o json` here";
        return Err(Failure::Bad(text.into()));
    }
    let (looks, taken) = mpsc::channel();
    let asker = daemon.clone();
    // A daemon that answers late must not keep the reader from leaving.
    thread::spawn(move || ask(&asker, interval, &looks));
    let mut terminal = ratatui::try_init().map_err(|error| unusable(&error))?;
    let seen = watch(&mut terminal, first, &taken);
    ratatui::restore();
    seen.map_err(|error| unusable(&error))
}

fn unusable(error: &io::Error) -> Failure {
    Failure::Refused(format!("this terminal cannot be used: {error}: use `hitless top --once`"))
}

/// Looks again and again, until nobody wants to know.
fn ask(daemon: &Daemon, interval: Duration, looks: &Sender<Result<Look, Failure>>) {
    let mut next = Instant::now() + interval;
    loop {
        thread::sleep(next.saturating_duration_since(Instant::now()));
        next = Instant::now() + interval;
        if looks.send(Look::take(daemon)).is_err() {
            return;
        }
    }
}

fn watch(
    terminal: &mut DefaultTerminal,
    first: Look,
    taken: &Receiver<Result<Look, Failure>>,
) -> io::Result<()> {
    let mut last = first;
    let (mut picture, mut choice) = (Picture::new(&last, &last, None), Choice::default());
    loop {
        for look in taken.try_iter() {
            match look {
                Ok(look) if !choice.paused => {
                    picture = Picture::new(&last, &look, Some(&picture));
                    (last, choice.failure) = (look, None);
                }
                Ok(_) => choice.failure = None,
                Err(failure) => choice.failure = Some(failure.to_string()),
            }
        }
        terminal.draw(|frame| draw(frame, &picture, &choice))?;
        if event::poll(Duration::from_millis(50))?
            && let Event::Key(key) = event::read()?
            && key.kind == KeyEventKind::Press
            && !obey(key.code, key.modifiers, picture.rows(), &mut choice)
        {
            return Ok(());
        }
    }
}

/// Does what a key says; false when it says to leave. The services have so many `rows`.
fn obey(key: KeyCode, modifiers: KeyModifiers, rows: usize, choice: &mut Choice) -> bool {
    const PAGE: usize = 10;
    match key {
        KeyCode::Char('q') | KeyCode::Esc => return false,
        KeyCode::Char('c') if modifiers.contains(KeyModifiers::CONTROL) => return false,
        KeyCode::Char(' ' | 'p') => choice.paused = !choice.paused,
        KeyCode::Up | KeyCode::Char('k') => choice.first = choice.first.saturating_sub(1),
        KeyCode::Down | KeyCode::Char('j') => choice.first += 1,
        KeyCode::PageUp => choice.first = choice.first.saturating_sub(PAGE),
        KeyCode::PageDown => choice.first += PAGE,
        KeyCode::Home => choice.first = 0,
        KeyCode::End => choice.first = rows,
        _ => {}
    }
    choice.first = choice.first.min(rows.saturating_sub(1));
    true
}

/// A picture as text, without empty lines at its end.
fn on_paper(picture: &Picture, (width, height): (u16, u16)) -> String {
    let area = Rect::new(0, 0, width, height);
    let mut buffer = Buffer::empty(area);
    render(area, &mut buffer, picture, &Choice::default());
    let lines = buffer.content.chunks(usize::from(width)).map(|row| {
        let line: String = row.iter().map(|cell| cell.symbol()).collect();
        line.trim_end().to_owned()
    });
    let mut lines: Vec<String> = lines.collect();
    // The last line says which keys there are.
    lines.pop();
    while lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    lines.join("\n")
}
