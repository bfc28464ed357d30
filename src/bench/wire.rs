//! A receive queue that fills whether anybody empties it or not. Packets arrive at random moments, evenly spread over
//! all time (a Poisson process); what finds the queue full is lost.
//!
//! The port's clock counts the worker's time only: it stands still while the bench writes packets and statistics, which
//! a NIC would do beside the worker, and while the machine has given the core to another program.

use super::{
    deck::{Dealer, Deck, Templates},
    frames::{append, flags},
    load::DESCRIPTORS,
    replay::{Buffer, Replay},
    rig::{NEIGHBOR, OURS, Shape},
};
use crate::{
    packet::{Family, Tuple},
    port::{BURST, Burst, Checksum, Packet, Port},
    types::Instant,
};
use hdrhistogram::Histogram;
use std::{cell::RefCell, collections::VecDeque, io, marker::PhantomData, mem};

/// Longer than a turn takes; then somebody else had the core.
const STOLEN_S: f64 = 50e-6;

/// Packets a tick of each kind.
#[derive(Clone, Copy, Debug)]
pub(super) struct Offered {
    /// Of established sessions.
    pub(super) known: f64,
    /// From sources never seen before.
    pub(super) new: f64,
}

impl Offered {
    /// The queue is never empty.
    pub(super) const SATURATED: Self = Self { known: f64::INFINITY, new: 0.0 };
}

/// What became of one kind.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fate {
    pub(super) offered: u64,
    /// Found the queue full.
    pub(super) lost: u64,
    pub(super) forwarded: u64,
}

/// When the next packet of a kind comes.
#[derive(Clone, Copy, Debug)]
struct Arrivals {
    interval: f64,
    next: f64,
    fate: Fate,
}

impl Arrivals {
    fn new(rate: f64, now: u64, random: &mut Random) -> Self {
        let mut arrivals = Self { interval: 1.0 / rate, next: now as f64, fate: Fate::default() };
        arrivals.step(random);
        arrivals
    }

    fn step(&mut self, random: &mut Random) {
        self.next += self.interval * random.exponential();
    }
}

/// A xorshift generator (Marsaglia 2003): the same packets every time.
#[derive(Clone, Copy, Debug)]
struct Random(u64);

impl Random {
    fn word(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Of mean 1.
    fn exponential(&mut self) -> f64 {
        let unit = ((self.word() >> 11) + 1) as f64 / (1u64 << 53) as f64;
        -unit.ln()
    }
}

thread_local! {
    /// Buffers of packets that were dropped: what a mempool's cache of its core is to a NIC's.
    static DROPPED: RefCell<VecDeque<Buffer>> = const { RefCell::new(VecDeque::new()) };
}

/// A packet of a [`Wire`]. Dropping it costs what dropping a NIC's costs, not a way through the heap.
#[derive(Debug)]
pub(super) struct Lent(Option<Buffer>);

impl Drop for Lent {
    #[inline]
    fn drop(&mut self) {
        if let Some(frame) = self.0.take() {
            DROPPED.with_borrow_mut(|dropped| dropped.push_back(frame));
        }
    }
}

impl Packet for Lent {
    #[inline]
    fn data(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], Packet::data)
    }

    #[inline]
    fn data_mut(&mut self) -> &mut [u8] {
        self.0.as_mut().map_or(&mut [], Packet::data_mut)
    }

    #[inline]
    fn length(&self) -> usize {
        self.0.as_ref().map_or(0, Packet::length)
    }

    fn resize(&mut self, length: usize) -> bool {
        self.0.as_mut().is_some_and(|frame| frame.resize(length))
    }

    fn move_start(&mut self, delta: isize) -> bool {
        self.0.as_mut().is_some_and(|frame| frame.move_start(delta))
    }

    fn received_at(&self) -> Option<Instant> {
        None
    }

    fn ip_checksum(&self) -> Checksum {
        Checksum::Unknown
    }

    fn l4_checksum(&self) -> Checksum {
        Checksum::Unknown
    }

    fn prefetch(&self) {}
}

/// What a live port has.
#[derive(Debug)]
struct Live {
    deck: Deck,
    queue: VecDeque<Lent>,
    saturated: bool,
    known: Arrivals,
    new: Arrivals,
    waits: Histogram<u64>,
    random: Random,
    scratch: Vec<u8>,
    /// Ticks that do not count, and the part of them that others took.
    skipped: u64,
    stolen: u64,
    /// The counter when the clock was last looked at.
    left: u64,
    /// Ticks after which it was not the worker that took so long.
    patience: u64,
}

/// Deals frames to open sessions until it goes live.
#[derive(Debug)]
pub(super) struct Wire<F: Family> {
    replay: Replay,
    live: Option<Live>,
    shape: Shape,
    clock: quanta::Clock,
    family: PhantomData<F>,
}

/// Marks a frame of a new session.
const NEW: u64 = 1 << 63;

impl<F: Family> Wire<F> {
    pub(super) fn new(shape: Shape) -> io::Result<Self> {
        let replay = Replay::new(4 * usize::from(DESCRIPTORS), BURST)?;
        Ok(Self { replay, live: None, shape, clock: quanta::Clock::new(), family: PhantomData })
    }

    /// From now on packets of `steady` arrive, when [`Self::begin`] says how many.
    pub(super) fn go_live(&mut self, steady: Templates, tsc_hz: f64) -> Result<(), String> {
        let now = self.clock.raw();
        let mut deck = Deck::default();
        deck.load(steady, u64::MAX);
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        let silent = Arrivals::new(0.0, 0, &mut random);
        self.live = Some(Live {
            deck,
            queue: VecDeque::with_capacity(DESCRIPTORS.into()),
            saturated: false,
            known: silent,
            new: silent,
            waits: Histogram::new(3).map_err(|error| error.to_string())?,
            random,
            scratch: Vec::new(),
            skipped: now,
            stolen: 0,
            left: now,
            patience: (STOLEN_S * tsc_hz) as u64,
        });
        Ok(())
    }

    /// The port's clock, in ticks since it went live; never less than before.
    pub(super) fn now(&mut self) -> u64 {
        let raw = self.clock.raw();
        self.live.as_mut().map_or(0, |live| live.settle(raw))
    }

    /// Packets arrive from now on, and are counted; returns the moment.
    pub(super) fn begin(&mut self, offered: Offered) -> u64 {
        let now = self.now();
        if let Some(live) = &mut self.live {
            live.saturated = offered.known.is_infinite();
            live.known = Arrivals::new(offered.known, now, &mut live.random);
            live.new = Arrivals::new(offered.new, now, &mut live.random);
            live.waits.reset();
            live.stolen = 0;
        }
        now
    }

    /// No more packets arrive. What became of those of either kind, how long those of established sessions waited, and
    /// the ticks that others took.
    pub(super) fn end(&mut self) -> (Fate, Fate, Histogram<u64>, u64) {
        let Some(live) = &mut self.live else { unreachable!("ended before it began") };
        let fates = (live.known.fate, live.new.fate);
        live.saturated = false;
        live.known = Arrivals::new(0.0, 0, &mut live.random);
        live.new = live.known;
        (fates.0, fates.1, live.waits.clone(), live.stolen)
    }
}

impl Live {
    /// The port's clock at `raw`. What somebody else took since it was last looked at does not count.
    fn settle(&mut self, raw: u64) -> u64 {
        let gap = raw - self.left;
        if gap > self.patience {
            self.stolen += gap;
            self.skipped += gap;
        }
        self.left = raw;
        raw - self.skipped
    }

    /// The port has done its work, and the clock goes on from where it was settled.
    fn resume(&mut self, raw: u64) {
        self.skipped += raw - self.left;
        self.left = raw;
    }

    /// Everything that has arrived until `now` is in the queue, or lost.
    fn arrive<F: Family>(&mut self, now: u64, shape: &Shape, mut empty: impl FnMut() -> Option<Buffer>) {
        let room = usize::from(DESCRIPTORS);
        while self.saturated && self.queue.len() < room {
            self.known.fate.offered += 1;
            let Some(frame) = empty() else { return };
            let length = self.deck.length();
            frame.fill(self.deck.deal(), length);
            frame.stamp = now;
            self.queue.push_back(Lent(Some(frame)));
        }
        let now = now as f64;
        while !self.saturated && self.known.next.min(self.new.next) <= now {
            let is_new = self.new.next < self.known.next;
            let kind = if is_new { &mut self.new } else { &mut self.known };
            let at = kind.next as u64;
            kind.step(&mut self.random);
            kind.fate.offered += 1;
            let frame = if self.queue.len() < room { empty() } else { None };
            let Some(frame) = frame else {
                kind.fate.lost += 1;
                continue;
            };
            if is_new {
                self.scratch.clear();
                let tuple = stranger::<F>(shape, &mut self.random);
                append(&mut self.scratch, (NEIGHBOR, OURS), &tuple, shape.protocol, flags::SYN, shape.size);
                self.scratch.resize(self.scratch.len().next_multiple_of(64), 0);
                frame.fill(self.scratch.as_chunks().0, self.deck.length());
                frame.stamp = at | NEW;
            } else {
                let length = self.deck.length();
                frame.fill(self.deck.deal(), length);
                frame.stamp = at;
            }
            self.queue.push_back(Lent(Some(frame)));
        }
    }
}

/// The first packet of somebody never seen before.
fn stranger<F: Family>(shape: &Shape, random: &mut Random) -> Tuple<F> {
    let word = random.word();
    let port = 1024 + (word >> 48) as u16 % 60_000;
    shape.stranger::<F>(word as u32 & 0x00ff_ffff, port)
}

impl<F: Family> Dealer for Wire<F> {
    fn deck(&mut self) -> &mut Deck {
        self.replay.deck()
    }
}

impl<F: Family> Port for Wire<F> {
    type Packet = Lent;

    fn receive(&mut self, burst: &mut Burst<Lent>) -> usize {
        let begun = self.clock.raw();
        let replay = &mut self.replay;
        DROPPED.with_borrow_mut(|dropped| dropped.drain(..).for_each(|frame| replay.give(frame)));
        let Some(live) = &mut self.live else {
            let mut frames = Burst::new();
            replay.receive(&mut frames);
            let count = frames.len().min(burst.remaining_capacity());
            burst.extend(frames.into_iter().map(|frame| Lent(Some(frame))));
            return count;
        };
        let now = live.settle(begun);
        live.arrive::<F>(now, &self.shape, || replay.allocate());
        let count = live.queue.len().min(burst.remaining_capacity()).min(BURST);
        burst.extend(live.queue.drain(..count));
        live.resume(self.clock.raw());
        count
    }

    fn transmit(&mut self, burst: &mut Burst<Lent>) -> usize {
        let begun = self.clock.raw();
        let mut frames: Burst<Buffer> =
            mem::take(burst).into_iter().filter_map(|mut lent| lent.0.take()).collect();
        let Some(live) = &mut self.live else { return self.replay.transmit(&mut frames) };
        let now = live.settle(begun);
        for frame in &frames {
            if frame.stamp & NEW != 0 {
                live.new.fate.forwarded += 1;
            } else {
                live.known.fate.forwarded += 1;
                // No wait is too long for a histogram that grows.
                let _ = live.waits.record(now.saturating_sub(frame.stamp));
            }
        }
        let sent = self.replay.transmit(&mut frames);
        live.resume(self.clock.raw());
        sent
    }

    fn allocate(&mut self) -> Option<Lent> {
        self.replay.allocate().map(|frame| Lent(Some(frame)))
    }
}
