//! The machine: what is wanted, what time brings, and what comes of it.

use super::{
    Ask, Counters, Effect, Neighbor, PinError, Settings, State, Wanted,
    deadlines::Deadlines,
    queues::{Queue, Queues},
    slots::{Entry, Key, Slots},
    timing::{
        ASK_BURST, ATTEMPTS, CONFLICT_GAP, IDLE, NEGATIVE, PROBES, RECENT, UNICAST_PROBES, backoff, believed,
        retry,
    },
};
use crate::{
    packet::is_martian_source,
    types::{Duration, Instant, Mac, NextHopId, PortId},
};
use std::{collections::VecDeque, net::IpAddr};

/// Most questions that wait for the caller; more are put off.
const ASKS_PENDING: usize = 256;

/// An effect that waits for the caller.
#[derive(Clone, Copy, Debug)]
enum Pending {
    Ask(Ask),
    /// What it changed to is looked up when it is told, so that each slot waits at most once.
    Changed(NextHopId),
    Conflict {
        port: PortId,
        address: IpAddr,
        mac: Mac,
    },
}

/// All neighbours of a node. Lives on the control thread; allocates nothing after [`Neighbors::new`].
#[derive(Debug)]
pub struct Neighbors {
    pub(super) slots: Slots,
    queues: Queues,
    deadlines: Deadlines,
    capacity: usize,
    effects: VecDeque<Pending>,
    asks_pending: usize,
    conflict_pending: bool,
    /// From when the next conflict may be reported.
    conflict_from: Instant,
    /// Average time between two questions for what is not pinned, and when the next one is due at that pace.
    ask_gap: Duration,
    ask_due: Instant,
    /// When the last question that was put off is tried again.
    put_off: Instant,
    generation: u64,
    pub(super) counters: Counters,
}

impl Neighbors {
    /// An empty machine, all its memory allocated.
    pub fn new(settings: Settings) -> Self {
        let capacity = settings.capacity.clamp(1, 1 << 20);
        let slots = capacity * 3; // resolved ones turn over at most once in 30 s, and rest for 60 s
        Self {
            slots: Slots::new(slots),
            queues: Queues::new(slots),
            deadlines: Deadlines::new(slots),
            capacity,
            effects: VecDeque::with_capacity(slots + ASKS_PENDING + 1),
            asks_pending: 0,
            conflict_pending: false,
            conflict_from: Instant::ZERO,
            ask_gap: Duration::from_nanos(1_000_000_000 / u64::from(settings.asks_per_second.max(1))),
            ask_due: Instant::ZERO,
            put_off: Instant::ZERO,
            generation: 0,
            counters: Counters::default(),
        }
    }

    /// Slot numbers are below this.
    pub fn slots(&self) -> usize {
        self.capacity * 3
    }

    /// Counts since the start.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Changes with every change of [`Self::published`].
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Every next hop that can be sent to: what workers look up.
    pub fn published(&self) -> impl Iterator<Item = (NextHopId, PortId, IpAddr, Mac)> {
        self.slots.iter().filter_map(|(slot, (port, address), entry)| {
            entry.published().map(|mac| (slot, port, address, mac))
        })
    }

    /// All neighbours, for people to read.
    pub fn neighbors(&self) -> impl Iterator<Item = Neighbor> {
        (0..self.slots() as u32).filter_map(|slot| self.neighbor(NextHopId(slot)))
    }

    /// Who is in a slot, for people to read.
    pub fn neighbor(&self, slot: NextHopId) -> Option<Neighbor> {
        let entry = self.slots.get(slot)?;
        let (port, address) = self.slots.key(slot);
        Some(Neighbor {
            slot,
            port,
            address,
            mac: entry.mac,
            state: entry.state,
            pinned: entry.pins > 0,
            since: entry.since,
        })
    }

    /// Keeps a next hop of the configuration for ever, asking for it from now on. Its slot does not change until
    /// it was unpinned as often as pinned, and then forgotten.
    pub fn pin(&mut self, port: PortId, address: IpAddr, now: Instant) -> Result<NextHopId, PinError> {
        if is_martian_source(address) {
            return Err(PinError::NoHost(address));
        }
        let key = (port, address);
        let found = self.slots.find(&key).or_else(|| self.create(key, Demand::Pin, now));
        let slot = found.ok_or(PinError::Full)?;
        self.change(slot, |entry| {
            entry.pins = entry.pins.saturating_add(1);
            entry.exposed = true;
        });
        match self.slots.get(slot) {
            Some(entry) if entry.state == State::Stale => self.doubt(slot, entry.mac, now),
            Some(entry) if entry.state == State::Failed && entry.pins == 1 => {
                self.deadlines.set(slot, entry.askable(now));
            }
            _ => {}
        }
        Ok(slot)
    }

    /// Takes one [`Self::pin`] back; the last one leaves the next hop to age like others.
    pub fn unpin(&mut self, port: PortId, address: IpAddr, now: Instant) {
        let Some(slot) = self.slots.find(&(port, address)) else { return };
        self.change(slot, |entry| {
            // It was in use until now, so it is forgotten no sooner than if a worker had wanted it.
            if entry.pins == 1 {
                entry.wanted = Some(now);
            }
            entry.pins = entry.pins.saturating_sub(1);
        });
        if self.slots.get(slot).is_some_and(|entry| entry.pins == 0 && entry.state == State::Failed) {
            self.deadlines.set(slot, now + NEGATIVE);
        }
    }

    /// Tells what is known of an on-link next hop and asks for it if need be. Whoever uses it wants it again within
    /// half of [`super::IDLE`], or it is forgotten.
    pub fn want(&mut self, port: PortId, address: IpAddr, now: Instant) -> Wanted {
        if is_martian_source(address) {
            return Wanted::Refused;
        }
        let key = (port, address);
        let found = self.slots.find(&key).or_else(|| self.create(key, Demand::Want, now));
        let Some(slot) = found else { return Wanted::Full };
        self.change(slot, |entry| entry.wanted = Some(now));
        self.queues.touch(slot);
        match self.slots.get(slot).map(|entry| (entry.state, entry.mac)) {
            Some((state, Some(mac))) => {
                if state == State::Stale {
                    self.doubt(slot, Some(mac), now);
                }
                Wanted::Known { slot, mac }
            }
            Some((State::Failed, None)) => Wanted::Unreachable,
            _ => Wanted::Asking,
        }
    }

    /// As [`Self::want`], of one that cannot wait: while its MAC is unknown it is asked for as often as anybody may be,
    /// however long it has not answered.
    pub fn urge(&mut self, port: PortId, address: IpAddr, now: Instant) {
        self.want(port, address, now);
        if let Some(slot) = self.slots.find(&(port, address))
            && let Some(entry) = self.slots.get(slot)
            && matches!(entry.state, State::Incomplete | State::Failed)
        {
            let askable = entry.askable(now);
            self.enter(slot, State::Incomplete, None, now, askable);
        }
    }

    /// The link that the neighbour in a slot is behind came up: if it is needed, it is asked again without waiting.
    pub fn renew(&mut self, slot: NextHopId, now: Instant) {
        let Some(entry) = self.slots.get(slot) else { return };
        match (entry.mac, entry.askable(now)) {
            (Some(mac), _) if entry.state == State::Reachable => self.doubt(slot, Some(mac), now),
            (None, askable) if entry.is_needed(now) => {
                self.enter(slot, State::Incomplete, None, now, askable)
            }
            _ => {}
        }
    }

    /// When [`Self::poll`] has something to do next.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| at)
    }

    /// Does what is due, for at most `budget` neighbours.
    pub fn poll(&mut self, now: Instant, budget: usize) {
        for _ in 0..budget {
            match self.deadlines.first() {
                Some((at, slot)) if at <= now && self.asks_pending < ASKS_PENDING => self.expire(slot, now),
                _ => return,
            }
        }
    }

    /// The next thing to carry out, oldest first.
    pub fn next_effect(&mut self) -> Option<Effect> {
        Some(match self.effects.pop_front()? {
            Pending::Ask(ask) => {
                self.asks_pending -= 1;
                Effect::Ask(ask)
            }
            Pending::Changed(slot) => {
                self.slots.unmark(slot);
                let (port, address) = self.slots.key(slot);
                let mac = self.slots.get(slot).and_then(Entry::published);
                Effect::Changed { slot, port, address, mac }
            }
            Pending::Conflict { port, address, mac } => {
                self.conflict_pending = false;
                Effect::Conflict { port, address, mac }
            }
        })
    }

    /// Somebody else claims `address`, which is ours.
    pub(super) fn conflict(&mut self, port: PortId, address: IpAddr, mac: Mac, now: Instant) {
        self.counters.conflicts += 1;
        if now >= self.conflict_from && !self.conflict_pending {
            self.conflict_from = now + CONFLICT_GAP;
            self.conflict_pending = true;
            self.effects.push_back(Pending::Conflict { port, address, mac });
        }
    }

    /// A deadline of `slot` has passed.
    fn expire(&mut self, slot: NextHopId, now: Instant) {
        let Some(entry) = self.slots.get(slot) else { return self.deadlines.remove(slot) };
        match entry.state {
            State::Incomplete if entry.asks >= ATTEMPTS => self.fail(slot, now),
            State::Incomplete => self.ask(slot, None, retry(entry.asks), now),
            State::Probing if entry.asks >= PROBES => self.fail(slot, now),
            State::Probing => {
                let to = entry.mac.filter(|_| entry.asks < UNICAST_PROBES);
                self.ask(slot, to, retry(entry.asks), now);
            }
            State::Reachable => self.doubt(slot, entry.mac, now),
            State::Failed if entry.pins > 0 => {
                self.ask(slot, None, backoff(entry.asks.saturating_add(1)), now)
            }
            State::Failed | State::Stale => self.forget(slot, now),
        }
    }

    /// Its MAC is `mac`, and that is verified.
    pub(super) fn confirm(&mut self, slot: NextHopId, mac: Mac, now: Instant) {
        self.enter(slot, State::Reachable, Some(mac), now, now + believed(slot));
    }

    /// Its MAC seems to be `mac`: verify it if anybody needs it.
    pub(super) fn doubt(&mut self, slot: NextHopId, mac: Option<Mac>, now: Instant) {
        let Some(entry) = self.slots.get(slot) else { return };
        match entry.is_needed(now) {
            true => self.enter(slot, State::Probing, mac, now, entry.askable(now)),
            false => self.enter(slot, State::Stale, mac, now, now + IDLE),
        }
    }

    fn fail(&mut self, slot: NextHopId, now: Instant) {
        let pinned = self.slots.get(slot).is_some_and(|entry| entry.pins > 0);
        let wait = if pinned { backoff(0) } else { NEGATIVE };
        self.counters.failures += 1;
        self.enter(slot, State::Failed, None, now, now + wait);
        self.tell(slot); // also of those never resolved: packets wait for them
    }

    fn enter(&mut self, slot: NextHopId, state: State, mac: Option<Mac>, now: Instant, deadline: Instant) {
        self.change(slot, |entry| {
            (entry.state, entry.since) = (state, now);
            (entry.mac, entry.asks) = (mac, 0);
        });
        self.deadlines.set(slot, deadline);
    }

    /// Changes an entry and keeps its queue and what is published in step.
    fn change(&mut self, slot: NextHopId, change: impl FnOnce(&mut Entry)) {
        let Some(entry) = self.slots.get_mut(slot) else { return };
        let before = entry.published();
        change(entry);
        let after = entry.published();
        entry.exposed |= after.is_some();
        let queue = entry.queue();
        self.queues.place(slot, queue);
        if before != after {
            self.generation += 1;
            self.tell(slot);
        }
    }

    fn tell(&mut self, slot: NextHopId) {
        if self.slots.mark(slot) {
            self.effects.push_back(Pending::Changed(slot));
        }
    }

    fn ask(&mut self, slot: NextHopId, to: Option<Mac>, wait: Duration, now: Instant) {
        let (port, address) = self.slots.key(slot);
        let Some(entry) = self.slots.get_mut(slot) else { return };
        if entry.pins == 0 {
            let burst = self.ask_gap.times(ASK_BURST);
            if self.ask_due > now + burst {
                return self.put_off(slot, self.ask_due - burst);
            }
            self.ask_due = self.ask_due.max(now) + self.ask_gap;
        }
        entry.asked = Some(now);
        entry.asks = entry.asks.saturating_add(1);
        self.deadlines.set(slot, now + wait);
        self.counters.asks += 1;
        self.asks_pending += 1;
        self.effects.push_back(Pending::Ask(Ask { port, address, to }));
    }

    /// Tries again no sooner than `free`, one neighbour after the other, so that a crowd of them costs little.
    fn put_off(&mut self, slot: NextHopId, free: Instant) {
        let next = self.put_off + self.ask_gap;
        let latest = free + self.ask_gap.times(self.capacity as u64);
        self.put_off = if next < free || next > latest { free } else { next };
        self.deadlines.set(slot, self.put_off);
        self.counters.asks_limited += 1;
    }

    pub(super) fn create(&mut self, key: Key, demand: Demand, now: Instant) -> Option<NextHopId> {
        let created = match self.make_room(demand, now) {
            true => self.slots.insert(key, Entry::new(now), now),
            false => None,
        };
        match created {
            Some(slot) => self.deadlines.set(slot, now),
            None => self.counters.full += 1,
        }
        created
    }

    /// Forgets somebody less important if there is no room.
    fn make_room(&mut self, demand: Demand, now: Instant) -> bool {
        if self.slots.live() < self.capacity {
            return true;
        }
        let rested = |slot: &NextHopId| {
            let wanted = self.slots.get(*slot).and_then(|entry| entry.wanted);
            demand == Demand::Pin || wanted.is_none_or(|wanted| now.since(wanted) >= RECENT)
        };
        let heard = self.queues.oldest(Queue::Heard);
        let victim = match demand {
            Demand::Heard => heard,
            Demand::Want | Demand::Pin => heard
                .or_else(|| self.queues.oldest(Queue::Unresolved))
                .or_else(|| self.queues.oldest(Queue::Resolved).filter(rested)),
        };
        // A slot whose number was given away rests, so forgetting its neighbour alone makes no room.
        let frees_slot = |slot: &NextHopId| self.slots.get(*slot).is_some_and(|entry| !entry.exposed);
        let available = self.slots.is_available(now);
        let Some(victim) = victim.filter(|slot| available || frees_slot(slot)) else { return false };
        self.counters.evictions += 1;
        self.forget(victim, now);
        true
    }

    fn forget(&mut self, slot: NextHopId, now: Instant) {
        let Some(entry) = self.slots.remove(slot, now) else { return };
        self.deadlines.remove(slot);
        self.queues.place(slot, None);
        if entry.published().is_some() {
            self.generation += 1;
            self.tell(slot);
        }
    }
}

/// For whom a neighbour is created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Demand {
    /// It asked us.
    Heard,
    /// A worker wants it.
    Want,
    /// The configuration names it.
    Pin,
}
