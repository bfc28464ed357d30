//! Dumps of the session table, some entries a turn, so that a long list costs no packet its time.

use super::core::Sessions;
use crate::{
    packet::Family,
    session::{Record, Table},
};
use rtrb::{Consumer, Producer};

/// Entries looked at in one turn, at most.
const PER_TURN: usize = 64;

/// What management asks of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// List all sessions, then [`Dumped::End`]. A list under way begins anew.
    Dump,
}

/// An element of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dumped {
    /// A session.
    Session(Record),
    /// The list is complete.
    End,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    V4(usize),
    V6(usize),
    End,
}

/// The worker's end.
#[derive(Debug)]
pub struct Dump {
    commands: Consumer<Command>,
    out: Producer<Dumped>,
    place: Option<Place>,
}

impl Dump {
    /// From the ends of the command ring and the list's ring; the latter should hold some hundred elements.
    pub const fn new(commands: Consumer<Command>, out: Producer<Dumped>) -> Self {
        Self { commands, out, place: None }
    }

    /// Looks for a question.
    pub(super) fn hear(&mut self) {
        if let Ok(Command::Dump) = self.commands.pop() {
            self.place = Some(Place::V4(0));
        }
    }

    /// Answers some more.
    #[inline]
    pub(super) fn step(&mut self, sessions: &Sessions, now_ms: u32) {
        if let Some(place) = self.place {
            self.place = self.go_on(place, sessions, now_ms);
        }
    }

    #[cold]
    fn go_on(&mut self, place: Place, sessions: &Sessions, now_ms: u32) -> Option<Place> {
        let budget = self.out.slots().min(PER_TURN);
        if budget == 0 {
            return Some(place);
        }
        match place {
            Place::V4(from) => {
                Some(list(&mut self.out, &sessions.v4, from, budget, now_ms).map_or(Place::V6(0), Place::V4))
            }
            Place::V6(from) => {
                Some(list(&mut self.out, &sessions.v6, from, budget, now_ms).map_or(Place::End, Place::V6))
            }
            Place::End => self.out.push(Dumped::End).is_err().then_some(Place::End),
        }
    }
}

fn list<F: Family>(
    out: &mut Producer<Dumped>,
    table: &Table<F>,
    from: usize,
    budget: usize,
    now_ms: u32,
) -> Option<usize> {
    let (sessions, next) = table.scan(from, budget);
    for record in sessions.filter_map(|session| session.record(now_ms)) {
        // There is room for all: no more entries were looked at than slots were free.
        let _ = out.push(Dumped::Session(record));
    }
    next
}
