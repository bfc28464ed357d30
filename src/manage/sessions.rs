//! Lists of sessions, asked of the workers one list at a time.

use crate::{
    session::Record,
    worker::{Command, Dumped},
};
use parking_lot::Mutex;
use rtrb::{Consumer, Producer};
use std::{
    thread,
    time::{Duration, Instant},
};

/// The most sessions of one list.
const LIMIT: usize = 1_000_000;
/// A worker that says nothing for so long is not waited for.
const PATIENCE: Duration = Duration::from_secs(2);

struct Line {
    commands: Producer<Command>,
    dumped: Consumer<Dumped>,
}

/// The lines to the workers.
pub struct SessionLists {
    lines: Mutex<Vec<Line>>,
}

impl std::fmt::Debug for SessionLists {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionLists").finish_non_exhaustive()
    }
}

impl SessionLists {
    /// Over each worker's two rings.
    pub fn new(commands: Vec<Producer<Command>>, dumped: Vec<Consumer<Dumped>>) -> Self {
        let lines = commands.into_iter().zip(dumped).map(|(commands, dumped)| Line { commands, dumped });
        Self { lines: Mutex::new(lines.collect()) }
    }

    /// All sessions that `keep` keeps, up to a million. Blocks for as long as the workers take; a worker that
    /// stands still is left out after two seconds.
    pub fn list(&self, keep: impl Fn(&Record) -> bool) -> Vec<Record> {
        let mut lines = self.lines.lock();
        let mut found = Vec::new();
        for line in lines.iter_mut() {
            line.collect(&keep, &mut found);
        }
        found
    }
}

impl Line {
    fn collect(&mut self, keep: &impl Fn(&Record) -> bool, found: &mut Vec<Record>) {
        // What is left of a list that was given up.
        while self.dumped.pop().is_ok() {}
        if self.commands.push(Command::Dump).is_err() {
            return;
        }
        let mut heard = Instant::now();
        while heard.elapsed() < PATIENCE {
            match self.dumped.pop() {
                Ok(Dumped::End) => return,
                Ok(Dumped::Session(record)) => {
                    heard = Instant::now();
                    if found.len() < LIMIT && keep(&record) {
                        found.push(record);
                    }
                }
                Err(_) => thread::sleep(Duration::from_micros(200)),
            }
        }
    }
}
