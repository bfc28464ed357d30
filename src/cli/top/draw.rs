//! The picture on the screen.

use super::look::{Drop, Instance, Load, Path, Picture};
use ratatui::{
    Frame,
    buffer::Buffer,
    layout::{Constraint, Layout, Rect},
    style::{Color, Modifier, Style},
    text::{Line, Span},
    widgets::{Block, Borders, Cell, Row, Sparkline, Table, Widget},
};

/// Rows of BFD paths and instances that are shown at most.
const MOST_PATHS: usize = 4;
/// Rows of drops that are shown at most.
const MOST_DROPS: usize = 6;

const TITLE: Style = Style::new().add_modifier(Modifier::BOLD);
const GOOD: Style = Style::new().fg(Color::Green);
const BAD: Style = Style::new().fg(Color::Red);
const FAINT: Style = Style::new().add_modifier(Modifier::DIM);

/// What the reader has chosen.
#[derive(Clone, Debug, Default)]
pub(super) struct Choice {
    /// The first row of the services.
    pub(super) first: usize,
    /// The picture stands still.
    pub(super) paused: bool,
    /// Why there is no newer picture.
    pub(super) failure: Option<String>,
}

/// Draws all of it.
pub(super) fn draw(frame: &mut Frame<'_>, picture: &Picture, choice: &Choice) {
    render(frame.area(), frame.buffer_mut(), picture, choice);
}

/// Draws all of it into a buffer.
pub(super) fn render(area: Rect, buffer: &mut Buffer, picture: &Picture, choice: &Choice) {
    let drops = picture.drops.len().clamp(1, MOST_DROPS) as u16;
    let ha = picture.instances.len().min(MOST_PATHS).max(picture.paths.len().min(MOST_PATHS)).max(1) as u16;
    let [head, availability, workers, services, dropped, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(ha + 2),
        Constraint::Length(picture.workers.len().min(16) as u16 + 2),
        Constraint::Min(4),
        Constraint::Length(drops + 1),
        Constraint::Length(1),
    ])
    .areas(area);
    header(picture).render(head, buffer);
    let [instances, paths] =
        Layout::horizontal([Constraint::Percentage(45), Constraint::Fill(1)]).areas(availability);
    instance_table(picture).render(instances, buffer);
    path_rows(picture, paths, buffer);
    worker_table(picture).render(workers, buffer);
    service_table(picture, choice, services).render(services, buffer);
    drop_table(picture).render(dropped, buffer);
    footer(choice).render(foot, buffer);
}

fn header(picture: &Picture) -> Line<'static> {
    Line::from(vec![
        Span::styled(format!("hitless {}", picture.version), TITLE),
        Span::raw(format!(
            "   {} packets/s   {}   {} sessions   {} new/s",
            si(picture.packets),
            bits(picture.bytes),
            si(picture.sessions as f64),
            si(picture.opened)
        )),
    ])
}

fn footer(choice: &Choice) -> Line<'_> {
    match (&choice.failure, choice.paused) {
        (Some(failure), _) => Line::styled(failure.as_str(), BAD),
        (None, true) => Line::styled("paused: space goes on   q quits", FAINT),
        (None, false) => Line::styled("space pauses   up and down scroll the services   q quits", FAINT),
    }
}

fn titled(title: &str) -> Block<'_> {
    Block::new().borders(Borders::TOP).border_style(FAINT).title(Span::styled(title, TITLE))
}

fn head<'a>(columns: &[&'a str]) -> Row<'a> {
    Row::new(columns.iter().copied().map(Cell::from).collect::<Vec<_>>()).style(FAINT)
}

fn right(text: String) -> Cell<'static> {
    Cell::from(Line::from(text).right_aligned())
}

fn state_style(state: &str) -> Style {
    match state {
        "MASTER" | "BFDUp" | "up" => GOOD,
        "FAULT" | "BFDDown" | "down" => BAD,
        _ => Style::new(),
    }
}

fn instance_table(picture: &Picture) -> Table<'_> {
    let row = |instance: &Instance| {
        let more = match (instance.note.as_str(), instance.ready) {
            ("", true) => "ready to take over".to_owned(),
            ("", false) => instance.role.clone(),
            (note, _) => note.to_owned(),
        };
        Row::new(vec![
            Cell::from(instance.name.clone()),
            Cell::from(Span::styled(instance.state.clone(), state_style(&instance.state))),
            right(instance.term.to_string()),
            Cell::from(more),
        ])
    };
    let widths = [Constraint::Length(12), Constraint::Length(11), Constraint::Length(5), Constraint::Fill(1)];
    Table::new(picture.instances.iter().take(MOST_PATHS).map(row), widths)
        .header(head(&["INSTANCE", "STATE", " TERM", ""]))
        .block(titled("HA"))
}

/// Each path with what it is and, beside that, how late its packets have been.
fn path_rows(picture: &Picture, area: Rect, buffer: &mut Buffer) {
    let block = titled("BFD: latest packet of each second");
    let inside = block.inner(area);
    block.render(area, buffer);
    if picture.paths.is_empty() {
        return Line::styled("no session", FAINT).render(inside, buffer);
    }
    let [words, lines] = Layout::horizontal([Constraint::Length(58), Constraint::Fill(1)]).areas(inside);
    let row = |path: &Path| {
        let latest = path.late_us.back().copied().unwrap_or(0);
        Row::new(vec![
            Cell::from(path.remote.clone()),
            Cell::from(Span::styled(path.state.clone(), state_style(&path.state))),
            right(micros(path.interval_us)),
            right(micros(path.detection_us)),
            right(path.flaps.to_string()),
            right(micros(latest)),
        ])
    };
    let widths = [16, 9, 8, 8, 5, 8].map(Constraint::Length);
    let shown = || picture.paths.iter().take(MOST_PATHS);
    Table::new(shown().map(row), widths)
        .column_spacing(1)
        .header(head(&["REMOTE", "STATE", "EVERY", "DETECTS", "FLAPS", "LATE"]))
        .render(words, buffer);
    for (path, row) in shown().zip(lines.rows().skip(1)) {
        let width = usize::from(row.width);
        let skipped = path.late_us.len().saturating_sub(width);
        Sparkline::default().data(path.late_us.iter().skip(skipped)).render(row, buffer);
    }
}

fn worker_table(picture: &Picture) -> Table<'_> {
    let rows = picture.workers.iter().take(16).enumerate().map(|(number, worker)| {
        Row::new(vec![
            right(number.to_string()),
            right(si(worker.packets)),
            right(bits(worker.bytes)),
            right(worker.cycles.map_or("-".into(), |cycles| format!("{cycles:.0}"))),
            right(format!("{:.1} %", worker.busy * 100.0)),
            right(si(worker.sessions as f64)),
            right(si(worker.dropped)),
            right(micros(worker.longest_turn_ns.div_ceil(1000))),
        ])
    });
    let widths = [6, 10, 14, 13, 11, 10, 10, 13].map(Constraint::Length);
    Table::new(rows, widths)
        .header(
            Row::new(
                [
                    "WORKER",
                    "PACKETS/S",
                    "RECEIVED",
                    "CYCLES/PACKET",
                    "BUSY TURNS",
                    "SESSIONS",
                    "DROPS/S",
                    "LONGEST TURN",
                ]
                .map(|name| right(name.to_owned())),
            )
            .style(FAINT),
        )
        .block(titled("WORKERS"))
}

fn load_cells(load: &Load) -> [Cell<'static>; 4] {
    [
        right(si(load.sessions as f64)),
        right(si(load.opened)),
        right(si(load.packets)),
        right(bits(load.bytes)),
    ]
}

fn service_table<'a>(picture: &'a Picture, choice: &Choice, area: Rect) -> Table<'a> {
    let mut rows = Vec::new();
    for service in &picture.services {
        let up = service.backends.iter().filter(|backend| backend.state == "up").count();
        let all = service.backends.len();
        let health = Span::styled(format!("{up} of {all} up"), if up == 0 { BAD } else { Style::new() });
        let mut cells =
            vec![Cell::from(service.name.as_str()), Cell::from(service.at.as_str()), Cell::from(health)];
        cells.extend(load_cells(&service.load));
        rows.push(Row::new(cells));
        for backend in &service.backends {
            let state = Span::styled(backend.state.as_str(), state_style(&backend.state));
            let mut cells = vec![Cell::from(""), Cell::from(format!("  {}", backend.at)), Cell::from(state)];
            cells.extend(load_cells(&backend.load));
            rows.push(Row::new(cells));
        }
    }
    let room = usize::from(area.height.saturating_sub(2)).max(1);
    let first = choice.first.min(rows.len().saturating_sub(room));
    let title = match rows.len() {
        all if all > room => format!("SERVICES: rows {} to {} of {all}", first + 1, (first + room).min(all)),
        _ => "SERVICES".to_owned(),
    };
    let widths = [
        Constraint::Length(20),
        Constraint::Length(30),
        Constraint::Length(12),
        Constraint::Length(10),
        Constraint::Length(8),
        Constraint::Length(10),
        Constraint::Length(14),
    ];
    let mut columns: Vec<Cell<'_>> = ["NAME", "ADDRESS", "BACKENDS"].map(Cell::from).into();
    columns.extend(["SESSIONS", "NEW/S", "PACKETS/S", "FORWARDED"].map(|name| right(name.to_owned())));
    let block = Block::new().borders(Borders::TOP).border_style(FAINT).title(Span::styled(title, TITLE));
    Table::new(rows.into_iter().skip(first).take(room), widths)
        .header(Row::new(columns).style(FAINT))
        .block(block)
}

fn drop_table(picture: &Picture) -> Table<'_> {
    let none = Row::new(vec![Cell::from(Span::styled("none", FAINT))]);
    let row = |drop: &Drop| {
        Row::new(vec![
            Cell::from(drop.reason.clone()),
            right(format!("{}/s", si(drop.rate))),
            right(format!("{} in all", drop.count)),
        ])
    };
    let mut rows: Vec<Row<'_>> = picture.drops.iter().take(MOST_DROPS).map(row).collect();
    if rows.is_empty() {
        rows.push(none);
    }
    Table::new(rows, [Constraint::Length(28), Constraint::Length(12), Constraint::Length(24)])
        .block(titled("DROPS"))
}

/// Three digits and a unit: 0, 7.5, 999, 1.23 k, 45.6 M.
pub(super) fn si(value: f64) -> String {
    let (value, unit) = match value {
        value if value < 999.5 => (value, ""),
        value if value < 999.5e3 => (value / 1e3, " k"),
        value if value < 999.5e6 => (value / 1e6, " M"),
        value => (value / 1e9, " G"),
    };
    let digits = match value {
        value if value >= 99.95 || value.fract() == 0.0 && unit.is_empty() => 0,
        value if value >= 9.995 => 1,
        _ => 2,
    };
    // Rates far below one are of no interest.
    let digits = if unit.is_empty() { digits.min(1) } else { digits };
    format!("{value:.digits$}{unit}")
}

fn bits(bytes: f64) -> String {
    let text = si(bytes * 8.0);
    match text.split_once(' ') {
        Some((value, unit)) => format!("{value} {unit}bit/s"),
        None => format!("{text} bit/s"),
    }
}

fn micros(us: u64) -> String {
    match us {
        0..10_000 => format!("{us} us"),
        10_000..10_000_000 => format!("{} ms", us / 1000),
        _ => format!("{} s", us / 1_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits() {
        for (value, shown) in [
            (0.0, "0"),
            (0.04, "0.0"),
            (7.5, "7.5"),
            (999.0, "999"),
            (999.6, "1.00 k"),
            (1_234.0, "1.23 k"),
            (45_600.0, "45.6 k"),
            (999_600.0, "1.00 M"),
            (14_880_952.0, "14.9 M"),
            (2.5e9, "2.50 G"),
        ] {
            assert_eq!(si(value), shown);
        }
        assert_eq!(bits(125.0), "1.00 kbit/s");
        assert_eq!(bits(1.25e9), "10.0 Gbit/s");
        assert_eq!(
            (micros(9_999), micros(10_000), micros(30_000_000)),
            ("9999 us".into(), "10 ms".into(), "30 s".into())
        );
    }
}
