//! Exactly which counters moved, and by how much.

use hitless::{
    manage::Shared,
    plane::{Counter, Tally},
    types::{BackendId, DropReason},
};
use std::{collections::BTreeMap, fmt};

/// What tells of time and not of packets.
const OF_TIME: [Counter; 4] =
    [Counter::Turns, Counter::BusyTurns, Counter::BusyNanos, Counter::LongestTurnNanos];

/// Backend slots that are looked at.
const BACKENDS: u32 = 64;

/// Counters that moved, or should have; none is 0.
#[derive(Clone, PartialEq, Eq, Default)]
pub(crate) struct Counts(BTreeMap<&'static str, i64>);

impl fmt::Debug for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(&self.0).finish()
    }
}

impl Counts {
    /// Nothing.
    pub(crate) fn none() -> Self {
        Self::default()
    }

    /// And `n` of the counter `name`.
    pub(crate) fn and(mut self, name: &'static str, n: i64) -> Self {
        let value = self.0.entry(name).or_default();
        *value += n;
        if *value == 0 {
            self.0.remove(name);
        }
        self
    }

    /// And a drop counter.
    pub(crate) fn dropped(self, reason: DropReason, n: i64) -> Self {
        self.and(reason.name(), n)
    }

    pub(crate) fn plus(self, other: &Self) -> Self {
        other.0.iter().fold(self, |sum, (name, n)| sum.and(name, *n))
    }

    /// A frame of `length` bytes came in, and its fate was decided.
    pub(crate) fn took(length: usize) -> Self {
        Self::none().and("received", 1).and("rx", 1).and("rx_bytes", length as i64)
    }

    /// A frame came in, and one of `sent` bytes went out.
    pub(crate) fn forwarded(length: usize, sent: usize) -> Self {
        Self::took(length).and("forwarded", 1).and("tx_bytes", sent as i64)
    }

    /// A frame came in and died.
    pub(crate) fn lost(length: usize, reason: DropReason) -> Self {
        Self::took(length).dropped(reason, 1)
    }

    /// And a packet of `bytes` from its IP header on was counted for a backend.
    pub(crate) fn for_backend(self, bytes: usize) -> Self {
        self.and("backend_packets", 1).and("backend_bytes", bytes as i64)
    }

    /// And a session was opened.
    pub(crate) fn opened(self, ipv4: bool) -> Self {
        let level = if ipv4 { "sessions_v4" } else { "sessions_v6" };
        self.and("sessions_opened", 1).and(level, 1).and("backend_opened", 1).and("backend_active", 1)
    }

    /// And a session ended.
    pub(crate) fn ended(self, ipv4: bool) -> Self {
        let level = if ipv4 { "sessions_v4" } else { "sessions_v6" };
        self.and("sessions_ended", 1).and(level, -1).and("backend_active", -1)
    }

    pub(crate) fn get(&self, name: &str) -> i64 {
        self.0.get(name).copied().unwrap_or(0)
    }

    /// All drops.
    pub(crate) fn drops(&self) -> Self {
        let is_reason = |name: &&'static str| DropReason::ALL.iter().any(|reason| reason.name() == *name);
        Self(self.0.iter().filter(|(name, _)| is_reason(name)).map(|(name, n)| (*name, *n)).collect())
    }

    /// What moved from `before` to here.
    pub(crate) fn since(&self, before: &Self) -> Self {
        before.0.iter().fold(self.clone(), |moved, (name, n)| moved.and(name, -n))
    }
}

/// The counters of one worker.
pub(crate) fn of_worker(tally: &Tally) -> Counts {
    let plain = Counter::ALL.iter().filter(|counter| !OF_TIME.contains(counter));
    let plain = plain.map(|counter| (counter.name(), tally.get(*counter)));
    let drops = DropReason::ALL.iter().map(|reason| (reason.name(), tally.drops(*reason)));
    plain.chain(drops).fold(Counts::none(), |counts, (name, n)| counts.and(name, n as i64))
}

/// Sessions, packets and bytes of one backend on all workers: active, opened, packets, bytes.
pub(crate) fn of_backend(shared: &Shared, backend: BackendId) -> [u64; 4] {
    let mut sum = [0u64; 4];
    for counters in &shared.backends {
        let (packets, bytes, opened) = counters.totals(backend);
        for (sum, n) in sum.iter_mut().zip([counters.active(backend), opened, packets, bytes]) {
            *sum = sum.wrapping_add(n);
        }
    }
    sum
}

/// The counters of the whole node.
pub(crate) fn of_node(shared: &Shared) -> Counts {
    let workers = shared.counters.iter().map(|counters| of_worker(&counters.read()));
    let mut counts = workers.fold(Counts::none(), |sum, counts| sum.plus(&counts));
    for backend in (0..BACKENDS).map(BackendId) {
        let names = ["backend_active", "backend_opened", "backend_packets", "backend_bytes"];
        for (name, n) in names.into_iter().zip(of_backend(shared, backend)) {
            counts = counts.and(name, n as i64);
        }
    }
    counts
}
