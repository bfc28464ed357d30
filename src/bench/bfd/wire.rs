//! The cable between the two loops: a ring each way, with an account of when packets were put into it, and a switch that
//! silences one side.

use crate::{
    bench::timer::Timer,
    port::{Burst, Packet, Port, memory::MemoryPacket, memory::MemoryPort},
    types::{Duration, Instant},
};
use crossbeam::{queue::ArrayQueue, utils::CachePadded};
use std::sync::{
    Arc,
    atomic::{
        AtomicBool, AtomicU64,
        Ordering::{Acquire, Release},
    },
};

/// Spans of an account that wait to be read; older ones go.
const SPANS: usize = 1 << 16;

/// From one moment to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) from: Instant,
    pub(super) to: Instant,
}

impl Span {
    pub(super) fn length(&self) -> Duration {
        self.to.since(self.from)
    }

    /// How much of it lies within `other`.
    pub(super) fn within(&self, other: &Self) -> Duration {
        self.to.min(other.to).since(self.from.max(other.from))
    }
}

/// What one side did, written by its loop and read by whoever judges.
#[derive(Debug)]
pub(super) struct Account {
    /// Nothing was put into the cable for longer than this, or the loop did not turn: worth a note.
    silence: Duration,
    stall: Duration,
    silences: ArrayQueue<Span>,
    stalls: ArrayQueue<Span>,
    /// When it last spoke, and when a turn last began: what happened before is noted.
    spoke_at: CachePadded<AtomicU64>,
    turned_at: CachePadded<AtomicU64>,
    /// Nothing this side says arrives.
    muted: CachePadded<AtomicBool>,
}

impl Account {
    /// Notes silences of at least `silence`, and turns of at least `stall`.
    pub(super) fn new(silence: Duration, stall: Duration) -> Self {
        Self {
            silence,
            stall,
            silences: ArrayQueue::new(SPANS),
            stalls: ArrayQueue::new(SPANS),
            spoke_at: CachePadded::new(AtomicU64::new(0)),
            turned_at: CachePadded::new(AtomicU64::new(0)),
            muted: CachePadded::new(AtomicBool::new(false)),
        }
    }

    /// A turn of the loop took from one moment to the next.
    #[inline]
    pub(super) fn turned(&self, turn: Span) {
        if turn.length() >= self.stall {
            self.stalls.force_push(turn);
        }
        self.turned_at.store(turn.to.as_nanos(), Release);
    }

    /// Whether all is noted of a silence that lasted until `moment` or longer: it is over, and so is the turn that ended
    /// it.
    pub(super) fn is_noted(&self, moment: Instant) -> bool {
        let spoke_at = self.spoke_at.load(Acquire);
        spoke_at >= moment.as_nanos() && self.turned_at.load(Acquire) >= spoke_at
    }

    pub(super) fn mute(&self) {
        self.muted.store(true, Release);
    }

    pub(super) fn is_muted(&self) -> bool {
        self.muted.load(Acquire)
    }

    pub(super) fn unmute(&self) {
        self.muted.store(false, Release);
    }

    /// Silences and stalls noted since the last call.
    pub(super) fn take(&self) -> (Vec<Span>, Vec<Span>) {
        let all = |queue: &ArrayQueue<Span>| std::iter::from_fn(|| queue.pop()).collect();
        (all(&self.silences), all(&self.stalls))
    }
}

/// One end of the cable.
#[derive(Debug)]
pub(super) struct End {
    port: MemoryPort,
    timer: Timer,
    own: Arc<Account>,
    other: Arc<Account>,
    /// When the packet before had not yet been put in: whatever is heard of it is heard later.
    before_last: Instant,
}

impl End {
    pub(super) const fn new(port: MemoryPort, timer: Timer, own: Arc<Account>, other: Arc<Account>) -> Self {
        Self { port, timer, own, other, before_last: Instant::ZERO }
    }
}

/// Whether a frame is a BFD packet in state Down (RFC 5880 section 4.1), over untagged IPv4 without options.
fn says_down(frame: &[u8]) -> bool {
    const STATE: usize = 14 + 20 + 8 + 1;
    frame.get(STATE).is_some_and(|byte| byte >> 6 == 1)
}

impl Port for End {
    type Packet = MemoryPacket;

    fn receive(&mut self, burst: &mut Burst<MemoryPacket>) -> usize {
        self.port.receive(burst)
    }

    fn transmit(&mut self, burst: &mut Burst<MemoryPacket>) -> usize {
        // The trial is over when the other side's silence has been noticed. So the handshake can begin at once.
        if self.other.is_muted() && burst.iter().any(|packet| says_down(packet.data())) {
            self.other.unmute();
        }
        let before = self.timer.now();
        let sent = if self.own.is_muted() {
            let count = burst.len();
            burst.clear();
            count
        } else {
            self.port.transmit(burst)
        };
        let after = self.timer.now();
        let silence = Span { from: self.before_last, to: after };
        if silence.length() >= self.own.silence {
            self.own.silences.force_push(silence);
        }
        self.own.spoke_at.store(after.as_nanos(), Release);
        self.before_last = before;
        sent
    }

    fn allocate(&mut self) -> Option<MemoryPacket> {
        self.port.allocate()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::memory::{Pool, link};

    fn span(from: u64, to: u64) -> Span {
        Span { from: Instant::from_nanos(from), to: Instant::from_nanos(to) }
    }

    #[test]
    fn what_two_spans_share() {
        let within = |a: Span, b| a.within(&b).as_nanos();
        assert_eq!(within(span(10, 20), span(0, 100)), 10);
        assert_eq!(within(span(10, 20), span(15, 100)), 5);
        assert_eq!(within(span(10, 20), span(20, 30)), 0);
        assert_eq!(within(span(10, 20), span(0, 5)), 0);
    }

    #[test]
    fn only_long_turns_are_noted() {
        let account = Account::new(Duration::from_nanos(100), Duration::from_nanos(50));
        account.turned(span(0, 49));
        account.turned(span(49, 99));
        assert_eq!(account.take(), (vec![], vec![span(49, 99)]));
        assert_eq!(account.take(), (vec![], vec![]));
    }

    #[test]
    fn a_silence_is_noted_once_it_and_its_turn_are_over() {
        let timer = Timer::start();
        let [own, other] = [0, 1].map(|_| Arc::new(Account::new(Duration::from_nanos(1), Duration::MAX)));
        let pools = [0, 1].map(|_| Pool::new(4, 128));
        let [port, _far] = link(pools.each_ref(), 4);
        let mut end = End::new(port, timer.clone(), Arc::clone(&own), other);
        let moment = timer.now();
        assert!(!own.is_noted(moment));
        end.transmit(&mut pools[0].packet(b"word").into_iter().collect());
        assert!(!own.is_noted(moment), "the turn is not over");
        own.turned(Span { from: moment, to: timer.now() });
        assert!(own.is_noted(moment) && !own.is_noted(timer.now()));
        assert_eq!(own.take().0.len(), 1);
    }
}
