//! Counters: each worker counts in plain memory of its own and publishes a consistent copy now and then.

use super::Words;
use crate::types::{BackendId, DropReason};
use crossbeam::utils::CachePadded;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

macro_rules! counters {
    ($($(#[doc = $doc:literal])* $variant:ident = $name:literal,)*) => {
        /// What a worker counts, besides drops.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Counter {
            $($(#[doc = $doc])* $variant,)*
        }

        impl Counter {
            /// All, in the order they are stored.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// JSON key and metric name.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

counters! {
    /// Packets whose fate this worker decided: `rx = forwarded + to_control + to_kernel + Σ drops`.
    Rx = "rx",
    /// Packets sent on, answers to pings included.
    Forwarded = "forwarded",
    /// Packets given to the control core.
    ToControl = "to_control",
    /// Packets given to the kernel interface, or as answers to probes to the stack in its place.
    ToKernel = "to_kernel",
    /// Packets its receive queues gave it.
    Received = "received",
    /// Packets handed to the worker that owns their session; that worker counts them as `rx`.
    HandedOut = "handed_out",
    /// Packets other workers handed to this one.
    HandedIn = "handed_in",
    /// Bytes of packets received, Ethernet headers included.
    RxBytes = "rx_bytes",
    /// Bytes of packets forwarded, Ethernet headers included.
    TxBytes = "tx_bytes",
    /// Pieces made of packets larger than the MTU, beside the first ones, which count as `forwarded`.
    FragmentsMade = "fragments_made",
    /// Packets of instances that are being handed over: of known sessions forwarded, all others relayed.
    Strays = "strays",
    /// Strays sent on to the other node as they came; part of `forwarded`.
    Relayed = "relayed",
    /// Frames of the control core, the kernel interface and the stack sent on their behalf.
    Injected = "injected",
    /// Frames of theirs, and pieces, that did not fit the transmit queue.
    InjectedLost = "injected_lost",
    /// Pings answered; part of `forwarded`.
    EchoReplies = "echo_replies",
    /// ICMP errors written by this node, beside the packets they are about.
    IcmpErrors = "icmp_errors",
    /// TCP resets written by this node, beside the segments they answer.
    TcpResets = "tcp_resets",
    /// ICMP errors translated; part of `forwarded`.
    IcmpTranslated = "icmp_translated",
    /// Sessions opened.
    SessionsOpened = "sessions_opened",
    /// Sessions taken from the peer.
    SessionsSynced = "sessions_synced",
    /// Sessions of the peer's that could not be taken: the table is full, or a session of this node has their port.
    SyncRefused = "sync_refused",
    /// Records for the peer that found the ring to the control core full; their ranges are copied again.
    SyncOverruns = "sync_overruns",
    /// Sessions ended: closed, reset, idle or removed.
    SessionsEnded = "sessions_ended",
    /// IPv4 sessions now.
    SessionsV4 = "sessions_v4",
    /// IPv6 sessions now.
    SessionsV6 = "sessions_v6",
    /// Packets now held for a next hop's address; not yet part of `rx`.
    Held = "held",
    /// Turns of the loop.
    Turns = "turns",
    /// Turns that found a packet.
    BusyTurns = "busy_turns",
    /// Nanoseconds spent in turns that found a packet.
    BusyNanos = "busy_nanos",
    /// Longest turn since start, in nanoseconds.
    LongestTurnNanos = "longest_turn_nanos",
}

const PLAIN: usize = Counter::ALL.len();
const WORDS: usize = PLAIN + DropReason::COUNT;

/// One worker's counts at one moment, or the sum of several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally([u64; WORDS]);

impl Default for Tally {
    fn default() -> Self {
        Self([0; WORDS])
    }
}

impl Tally {
    /// The value of a counter.
    #[inline]
    pub const fn get(&self, counter: Counter) -> u64 {
        self.0[counter as usize]
    }

    /// Packets dropped for a reason.
    pub const fn drops(&self, reason: DropReason) -> u64 {
        self.0[PLAIN + reason as usize]
    }

    /// Packets dropped for any reason.
    pub fn dropped(&self) -> u64 {
        self.0[PLAIN..].iter().sum()
    }

    /// Adds `n` to a counter.
    #[inline]
    pub const fn add(&mut self, counter: Counter, n: u64) {
        self.0[counter as usize] += n;
    }

    /// Takes back `n` that were added to a counter too early.
    #[inline]
    pub const fn subtract(&mut self, counter: Counter, n: u64) {
        self.0[counter as usize] -= n;
    }

    /// Sets a counter that is a level, not a count.
    #[inline]
    pub const fn set(&mut self, counter: Counter, value: u64) {
        self.0[counter as usize] = value;
    }

    /// Counts one packet dropped.
    #[inline]
    pub const fn drop(&mut self, reason: DropReason) {
        self.0[PLAIN + reason as usize] += 1;
    }

    /// Whether every packet is accounted for.
    pub fn balances(&self) -> bool {
        use Counter::{Forwarded, Rx, ToControl, ToKernel};
        self.get(Rx) == self.get(Forwarded) + self.get(ToControl) + self.get(ToKernel) + self.dropped()
    }
}

impl std::ops::AddAssign<&Tally> for Tally {
    /// Sums all but the longest turn, of which the longer stays.
    fn add_assign(&mut self, other: &Tally) {
        let longest = self.get(Counter::LongestTurnNanos).max(other.get(Counter::LongestTurnNanos));
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine += theirs;
        }
        self.set(Counter::LongestTurnNanos, longest);
    }
}

/// Where a worker publishes its tally, so that readers get all counters of one moment.
#[derive(Debug)]
pub struct Counters {
    tally: CachePadded<Words<WORDS>>,
    heartbeat: CachePadded<AtomicU64>,
}

impl Default for Counters {
    fn default() -> Self {
        Self { tally: CachePadded::new(Words::default()), heartbeat: CachePadded::new(AtomicU64::new(0)) }
    }
}

impl Counters {
    /// Publishes. One thread only.
    pub fn publish(&self, tally: &Tally) {
        self.tally.write(&tally.0);
    }

    /// The last tally published.
    pub fn read(&self) -> Tally {
        Tally(self.tally.read())
    }

    /// Says the worker turns; the value is its turn count. One thread only.
    #[inline]
    pub fn beat(&self, turns: u64) {
        self.heartbeat.store(turns, Relaxed);
    }

    /// The worker's turn count; a value that stands still means a worker that does.
    pub fn heartbeat(&self) -> u64 {
        self.heartbeat.load(Relaxed)
    }
}

/// One worker's counts per backend; written by that worker, summed by who reads.
#[derive(Debug)]
pub struct BackendCounters {
    slots: Box<[BackendSlot]>,
}

#[derive(Debug, Default)]
struct BackendSlot {
    packets: AtomicU64,
    bytes: AtomicU64,
    opened: AtomicU64,
    active: AtomicU32,
    /// Sessions opened since the last one that was answered.
    unanswered: AtomicU32,
}

/// Not a read-modify-write: there is one writer.
#[inline]
fn bump(word: &AtomicU64, n: u64) {
    word.store(word.load(Relaxed).wrapping_add(n), Relaxed);
}

/// As [`bump`]; `n` may be -1.
#[inline]
fn bump_short(word: &AtomicU32, n: u32) {
    word.store(word.load(Relaxed).wrapping_add(n), Relaxed);
}

impl BackendCounters {
    /// For so many backend slots.
    pub fn new(backends: usize) -> Self {
        Self { slots: (0..backends).map(|_| BackendSlot::default()).collect() }
    }

    /// Counts a forwarded packet, in either direction. Owner only.
    #[inline]
    pub fn packet(&self, backend: BackendId, bytes: u64) {
        if let Some(slot) = self.slots.get(backend.index()) {
            bump(&slot.packets, 1);
            bump(&slot.bytes, bytes);
        }
    }

    /// Counts a session opened. Owner only.
    #[inline]
    pub fn opened(&self, backend: BackendId) {
        if let Some(slot) = self.slots.get(backend.index()) {
            bump(&slot.opened, 1);
            bump_short(&slot.active, 1);
            bump_short(&slot.unanswered, 1);
        }
    }

    /// The backend has answered a session that was opening. Owner only.
    #[inline]
    pub fn answered(&self, backend: BackendId) {
        if let Some(slot) = self.slots.get(backend.index()) {
            slot.unanswered.store(0, Relaxed);
        }
    }

    /// Counts a session taken from the peer. Owner only.
    #[inline]
    pub fn adopted(&self, backend: BackendId) {
        if let Some(slot) = self.slots.get(backend.index()) {
            bump_short(&slot.active, 1);
        }
    }

    /// Counts a session ended. Owner only.
    #[inline]
    pub fn ended(&self, backend: BackendId) {
        if let Some(slot) = self.slots.get(backend.index()) {
            bump_short(&slot.active, 1u32.wrapping_neg());
        }
    }

    /// Sessions now.
    #[inline]
    pub fn active(&self, backend: BackendId) -> u64 {
        self.slots.get(backend.index()).map_or(0, |slot| slot.active.load(Relaxed).into())
    }

    /// The last sessions opened, so many in a row, that have had no answer; those under way included.
    pub fn unanswered(&self, backend: BackendId) -> u64 {
        self.slots.get(backend.index()).map_or(0, |slot| slot.unanswered.load(Relaxed).into())
    }

    /// Packets and bytes forwarded, both directions, and sessions opened, since the slot was first used.
    pub fn totals(&self, backend: BackendId) -> (u64, u64, u64) {
        self.slots.get(backend.index()).map_or((0, 0, 0), |slot| {
            (slot.packets.load(Relaxed), slot.bytes.load(Relaxed), slot.opened.load(Relaxed))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;

    #[test]
    fn a_reader_never_sees_half_a_publication() {
        let counters = Counters::default();
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut tally = Tally::default();
                while !stop.load(Relaxed) {
                    tally.add(Counter::Rx, 3);
                    tally.add(Counter::Forwarded, 2);
                    tally.drop(DropReason::NoService);
                    counters.publish(&tally);
                }
            });
            let mut last = 0;
            for _ in 0..20_000 {
                let tally = counters.read();
                assert!(tally.balances(), "{tally:?}");
                assert!(tally.get(Counter::Rx) >= last);
                last = tally.get(Counter::Rx);
            }
            stop.store(true, Relaxed);
        });
    }

    #[test]
    fn backends_count_both_ways() {
        let counters = BackendCounters::new(4);
        let backend = BackendId(3);
        counters.opened(backend);
        counters.opened(backend);
        counters.packet(backend, 60);
        counters.ended(backend);
        assert_eq!((counters.active(backend), counters.totals(backend)), (1, (1, 60, 2)));
        assert_eq!(counters.unanswered(backend), 2);
        counters.answered(backend);
        assert_eq!(counters.unanswered(backend), 0);
        counters.packet(BackendId(4), 60);
        assert_eq!(counters.totals(BackendId(4)), (0, 0, 0));
    }
}
