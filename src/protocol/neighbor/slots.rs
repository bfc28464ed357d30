//! The neighbours themselves, in numbered slots, found by port and address.

use super::{
    queues::Queue,
    timing::{HOLD, REACHABLE, SPACING},
};
use crate::types::{Instant, Mac, NextHopId, PortId};
use std::{
    collections::VecDeque,
    fmt,
    hash::{BuildHasher, RandomState},
    net::IpAddr,
};

/// What is known of a neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Being asked for; no MAC yet.
    Incomplete,
    /// It answered within [`REACHABLE`].
    Reachable,
    /// Its MAC is known but unverified, and nobody needs it now.
    Stale,
    /// Its MAC is known and in use, and is being verified.
    Probing,
    /// It does not answer.
    Failed,
}

impl State {
    /// As the command line shows it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Incomplete => "incomplete",
            Self::Reachable => "reachable",
            Self::Stale => "stale",
            Self::Probing => "probing",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What names a neighbour.
pub(super) type Key = (PortId, IpAddr);

/// A neighbour.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) state: State,
    pub(super) since: Instant,
    pub(super) mac: Option<Mac>,
    /// How many times the configuration names it.
    pub(super) pins: u32,
    /// When somebody last wanted it.
    pub(super) wanted: Option<Instant>,
    /// When it was last asked.
    pub(super) asked: Option<Instant>,
    /// Questions since it entered its state.
    pub(super) asks: u8,
    /// Its slot's number has been given away.
    pub(super) exposed: bool,
}

impl Entry {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            state: State::Incomplete,
            since: now,
            mac: None,
            pins: 0,
            wanted: None,
            asked: None,
            asks: 0,
            exposed: false,
        }
    }

    /// The MAC that others are told. Who merely asked us is not told of, or strangers would fill the slots.
    pub(super) fn published(&self) -> Option<Mac> {
        self.mac.filter(|_| self.pins > 0 || self.wanted.is_some())
    }

    /// Whether it is worth questions.
    pub(super) fn is_needed(&self, now: Instant) -> bool {
        self.pins > 0 || self.wanted.is_some_and(|wanted| now.since(wanted) < REACHABLE)
    }

    pub(super) const fn queue(&self) -> Option<Queue> {
        match (self.pins, self.wanted, self.mac) {
            (1.., _, _) => None,
            (0, None, _) => Some(Queue::Heard),
            (0, _, None) => Some(Queue::Unresolved),
            (0, _, Some(_)) => Some(Queue::Resolved),
        }
    }

    /// The earliest moment from `now` on at which it may be asked.
    pub(super) fn askable(&self, now: Instant) -> Instant {
        self.asked.map_or(now, |asked| now.max(asked + SPACING))
    }
}

#[derive(Clone, Copy, Debug)]
struct Cell {
    /// Of the entry, or of the last one that was here.
    key: Key,
    entry: Option<Entry>,
    /// The next slot whose key hashes alike.
    next: NextHopId,
    /// A change of it waits to be told.
    dirty: bool,
}

const NONE: NextHopId = NextHopId::UNKNOWN;

/// A fixed number of slots.
#[derive(Debug)]
pub(super) struct Slots {
    cells: Box<[Cell]>,
    /// First slot of each hash chain; a power of two of them.
    heads: Box<[NextHopId]>,
    hasher: RandomState,
    /// Slots nobody knows the number of.
    free: Vec<NextHopId>,
    /// Slots of forgotten neighbours, and until when they stay empty.
    held: VecDeque<(Instant, NextHopId)>,
    live: usize,
}

impl Slots {
    pub(super) fn new(slots: usize) -> Self {
        let unused = Cell {
            key: (PortId(0), IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED)),
            entry: None,
            next: NONE,
            dirty: false,
        };
        Self {
            cells: vec![unused; slots].into(),
            heads: vec![NONE; slots.next_power_of_two()].into(),
            hasher: RandomState::new(),
            free: (0..slots as u32).rev().map(NextHopId).collect(),
            held: VecDeque::with_capacity(slots),
            live: 0,
        }
    }

    /// Neighbours in all slots.
    pub(super) fn live(&self) -> usize {
        self.live
    }

    pub(super) fn get(&self, slot: NextHopId) -> Option<&Entry> {
        self.cells.get(slot.index())?.entry.as_ref()
    }

    pub(super) fn get_mut(&mut self, slot: NextHopId) -> Option<&mut Entry> {
        self.cells.get_mut(slot.index())?.entry.as_mut()
    }

    /// The key of the neighbour in `slot`, or of the last that was there.
    pub(super) fn key(&self, slot: NextHopId) -> Key {
        self.cells[slot.index()].key
    }

    fn chain(&self, key: &Key) -> usize {
        self.hasher.hash_one(key) as usize & (self.heads.len() - 1)
    }

    pub(super) fn find(&self, key: &Key) -> Option<NextHopId> {
        let mut slot = self.heads[self.chain(key)];
        while slot != NONE && self.cells[slot.index()].key != *key {
            slot = self.cells[slot.index()].next;
        }
        Some(slot).filter(|slot| *slot != NONE)
    }

    /// Puts a new neighbour into a slot; `None` when no slot may be used.
    pub(super) fn insert(&mut self, key: Key, entry: Entry, now: Instant) -> Option<NextHopId> {
        let slot = self.take(now)?;
        let chain = self.chain(&key);
        let next = std::mem::replace(&mut self.heads[chain], slot);
        let cell = &mut self.cells[slot.index()];
        *cell = Cell { key, entry: Some(entry), next, dirty: cell.dirty };
        self.live += 1;
        Some(slot)
    }

    /// Whether a slot may be used.
    pub(super) fn is_available(&self, now: Instant) -> bool {
        !self.free.is_empty() || self.held.front().is_some_and(|(until, _)| *until <= now)
    }

    fn take(&mut self, now: Instant) -> Option<NextHopId> {
        if !self.is_available(now) {
            return None;
        }
        self.free.pop().or_else(|| self.held.pop_front().map(|(_, slot)| slot))
    }

    /// Empties a slot. If its number was ever given away it stays empty for [`HOLD`].
    pub(super) fn remove(&mut self, slot: NextHopId, now: Instant) -> Option<Entry> {
        let entry = self.cells.get_mut(slot.index())?.entry.take()?;
        self.unchain(slot);
        self.live -= 1;
        match entry.exposed {
            true => self.held.push_back((now + HOLD, slot)),
            false => self.free.push(slot),
        }
        Some(entry)
    }

    fn unchain(&mut self, slot: NextHopId) {
        let after = std::mem::replace(&mut self.cells[slot.index()].next, NONE);
        let chain = self.chain(&self.key(slot));
        let mut at = self.heads[chain];
        if at == slot {
            self.heads[chain] = after;
            return;
        }
        while at != NONE {
            let next = self.cells[at.index()].next;
            if next == slot {
                self.cells[at.index()].next = after;
            }
            at = next;
        }
    }

    /// Notes that a change of `slot` waits to be told; false if one waited already.
    pub(super) fn mark(&mut self, slot: NextHopId) -> bool {
        !std::mem::replace(&mut self.cells[slot.index()].dirty, true)
    }

    /// The change is told.
    pub(super) fn unmark(&mut self, slot: NextHopId) {
        self.cells[slot.index()].dirty = false;
    }

    /// All neighbours, by slot.
    pub(super) fn iter(&self) -> impl Iterator<Item = (NextHopId, Key, &Entry)> {
        let numbered = (0u32..).map(NextHopId).zip(&self.cells);
        numbered.filter_map(|(slot, cell)| cell.entry.as_ref().map(|entry| (slot, cell.key, entry)))
    }
}
