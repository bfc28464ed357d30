//! Who is probed when. Time is an argument, so all of it runs in virtual time.

use super::{check::Check, machine::Machine, outcome::Outcome, report::Status};
use crate::types::{Duration, Instant};
use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    hash::{BuildHasher, RandomState},
    sync::Arc,
};

/// First probes are spread over so long at most, and over their interval if that is shorter.
const SPREAD: Duration = Duration::from_secs(2);

/// Who is not judged yet is asked so often at least.
const UNDECIDED: Duration = Duration::from_secs(1);

/// All checks, and the probes under way.
#[derive(Debug)]
pub(super) struct Schedule {
    entries: HashMap<u64, Entry>,
    numbers: HashMap<Arc<Check>, u64>,
    /// When each is due, the earliest first. Those of checks that are gone are skipped.
    due: BinaryHeap<Reverse<(Instant, u64)>>,
    next_number: u64,
    running: usize,
    room: usize,
    spread: RandomState,
}

#[derive(Debug)]
struct Entry {
    check: Arc<Check>,
    machine: Machine,
    status: Arc<Status>,
    started: Instant,
    wanted: bool,
}

/// A probe to be sent.
#[derive(Clone, Debug)]
pub(super) struct Order {
    pub(super) number: u64,
    pub(super) check: Arc<Check>,
}

impl Schedule {
    /// Without a check; at most `room` probes are under way at a time.
    pub(super) fn new(room: usize) -> Self {
        Self {
            entries: HashMap::new(),
            numbers: HashMap::new(),
            due: BinaryHeap::new(),
            next_number: 0,
            running: 0,
            room,
            spread: RandomState::new(),
        }
    }

    /// Makes `checks` all there are. Those that stay do not notice.
    pub(super) fn want<'c>(&mut self, checks: impl Iterator<Item = &'c Check>, now: Instant) {
        self.entries.values_mut().for_each(|entry| entry.wanted = false);
        for check in checks {
            if let Some(entry) = self.numbers.get(check).and_then(|number| self.entries.get_mut(number)) {
                entry.wanted = true;
                continue;
            }
            let (number, check) = (self.next_number, Arc::new(check.clone()));
            self.next_number += 1;
            let span = check.interval.min(SPREAD).as_nanos().max(1);
            let first = now + Duration::from_nanos(self.spread.hash_one(number) % span);
            self.due.push(Reverse((first, number)));
            self.numbers.insert(Arc::clone(&check), number);
            let entry = Entry {
                check,
                machine: Machine::default(),
                status: Arc::default(),
                started: now,
                wanted: true,
            };
            self.entries.insert(number, entry);
        }
        self.entries.retain(|_, entry| entry.wanted);
        let Self { entries, numbers, .. } = self;
        numbers.retain(|_, number| entries.contains_key(number));
        // Those of checks that are gone are skipped when their time comes, unless there are many.
        if self.due.len() > 2 * self.entries.len() + 1024 {
            self.due.retain(|Reverse((_, number))| self.entries.contains_key(number));
        }
    }

    /// A probe whose time has come, if one more may be under way.
    pub(super) fn start(&mut self, now: Instant) -> Option<Order> {
        while self.running < self.room {
            let Reverse((due, number)) = *self.due.peek()?;
            if due > now {
                return None;
            }
            self.due.pop();
            if let Some(entry) = self.entries.get_mut(&number) {
                entry.started = now;
                self.running += 1;
                return Some(Order { number, check: Arc::clone(&entry.check) });
            }
        }
        None
    }

    /// A probe has ended, after `took`. Returns what the check is believed to be, if that is new.
    pub(super) fn end(
        &mut self,
        number: u64,
        outcome: Outcome,
        took: Duration,
        now: Instant,
    ) -> Option<bool> {
        self.running -= 1;
        let entry = self.entries.get_mut(&number)?;
        let alive = match outcome {
            Outcome::Alive => Some(true),
            Outcome::Dead(_) => Some(false),
            Outcome::Unknown(_) => None,
        };
        let Check { rise, fall, .. } = *entry.check;
        let is_new = alive.is_some_and(|alive| entry.machine.hear(alive, rise, fall));
        let believed = entry.machine.alive();
        entry.status.note(outcome, took, believed);
        // From start to start it is an interval at least: what is late is not caught up with.
        let interval = entry.check.interval;
        let interval = if believed.is_none() { interval.min(UNDECIDED) } else { interval };
        self.due.push(Reverse(((entry.started + interval).max(now), number)));
        believed.filter(|_| is_new)
    }

    /// When [`Schedule::start`] has something next; `None` without a check, or when none can be started before one
    /// ends.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let Reverse((due, _)) = self.due.peek()?;
        (self.running < self.room).then_some(*due)
    }

    /// How the probes of a check went.
    pub(super) fn status(&self, check: &Check) -> Option<Arc<Status>> {
        let entry = self.entries.get(self.numbers.get(check)?)?;
        Some(Arc::clone(&entry.status))
    }
}

#[cfg(test)]
mod tests;
