//! Sender and receiver alone: whatever the link does, every record taken comes out once and in order.

use hitless::{
    protocol::{bfd::Random, sync::*},
    types::{Duration, InstanceId, Instant, WorkerId},
};
use proptest::prelude::*;
use std::collections::{BTreeMap, VecDeque};

const FRAME: usize = 400;

/// How the link treats frames.
#[derive(Clone, Copy, Debug)]
struct Quality {
    lost_percent: u64,
    doubled_percent: u64,
    delay: Duration,
    /// Up to so much more, frame by frame.
    wander: Duration,
}

impl Quality {
    const GOOD: Self = Self {
        lost_percent: 0,
        doubled_percent: 0,
        delay: Duration::from_micros(20),
        wander: Duration::ZERO,
    };
}

enum Frame {
    Data(Vec<u8>),
    Ack(Vec<u8>),
}

struct Link {
    quality: Quality,
    random: Random,
    on_the_way: BTreeMap<(Instant, u64), Frame>,
    sent: u64,
}

impl Link {
    fn send(&mut self, now: Instant, copy: impl Fn() -> Frame) {
        let Quality { lost_percent, doubled_percent, delay, wander } = self.quality;
        if self.random.below(100) < lost_percent {
            return;
        }
        let copies = 1 + u64::from(self.random.below(100) < doubled_percent);
        for _ in 0..copies {
            let arrival = now + delay + Duration::from_nanos(self.random.below(wander.as_nanos() + 1));
            self.sent += 1;
            self.on_the_way.insert((arrival, self.sent), copy());
        }
    }
}

struct Stream {
    sender: Sender,
    receiver: Receiver,
    link: Link,
    now: Instant,
    /// Numbers of the records in the stream under way that have not come out.
    expected: VecDeque<u64>,
    next: u64,
    /// Records the receiver takes in one step.
    appetite: usize,
    refused: u64,
    starts: u64,
}

impl Stream {
    fn new(quality: Quality, seed: u64) -> Self {
        let settings = SenderSettings { frame_bytes: FRAME, frames: 80 };
        let link = Link { quality, random: Random::seeded(seed), on_the_way: BTreeMap::new(), sent: 0 };
        Self {
            sender: Sender::new(settings),
            receiver: Receiver::new(seed),
            link,
            now: Instant::from_nanos(1),
            expected: VecDeque::new(),
            next: 0,
            appetite: usize::MAX,
            refused: 0,
            starts: 0,
        }
    }

    /// A record that carries a number.
    fn push(&mut self) {
        let mark = Mark::End { worker: WorkerId(0), generation: 0, sessions: self.next };
        let mut out = [0; MAX_RECORD];
        let length = mark.encode(&mut out);
        let owner = (InstanceId((self.next % 3) as u8), 7);
        match self.sender.push(&out[..length], Some(owner), self.now) {
            Ok(()) if self.sender.is_streaming() => self.expected.push_back(self.next),
            Ok(()) => {}
            Err(Full) => self.refused += 1,
        }
        self.next += 1;
    }

    fn step(&mut self, span: Duration) {
        self.now = self.now + span;
        while let Some(entry) = self.link.on_the_way.first_entry().filter(|entry| entry.key().0 <= self.now) {
            match entry.remove() {
                Frame::Data(frame) => {
                    let _ = self.receiver.hear(&frame, self.now);
                }
                Frame::Ack(frame) => {
                    let ack = Ack::parse(&frame).unwrap();
                    if self.sender.hear(&ack, self.now) == Heard::Started {
                        self.starts += 1;
                        self.expected.clear();
                    }
                }
            }
        }
        for _ in 0..self.appetite {
            let Some((record, _)) = self.receiver.peek() else { break };
            let Record::Mark(Mark::End { sessions, .. }) = record else { panic!("{record:?}") };
            assert_eq!(Some(sessions), self.expected.pop_front(), "in order, none missing, none twice");
            self.receiver.advance();
        }
        let mut out = [0; FRAME];
        while let Some(length) = self.sender.transmit(self.now, &mut out) {
            self.link.send(self.now, || Frame::Data(out[..length].to_vec()));
        }
        if let Some(ack) = self.receiver.ack(self.now, []) {
            let mut out = [0; MAX_ACK];
            let length = ack.emit(&mut out).unwrap();
            self.link.send(self.now, || Frame::Ack(out[..length].to_vec()));
        }
    }

    /// Heals the link and lets everything arrive.
    fn settle(&mut self) {
        self.link.quality = Quality::GOOD;
        self.appetite = usize::MAX;
        for _ in 0..40_000 {
            self.step(Duration::from_micros(20));
            if self.sender.is_streaming() && self.sender.lag_records() == 0 && self.expected.is_empty() {
                return;
            }
        }
        panic!(
            "{} records never came: {:?} {:?}",
            self.expected.len(),
            self.sender,
            self.receiver.counters()
        );
    }
}

fn quality() -> impl Strategy<Value = Quality> {
    (0..40u64, 0..40u64, 1..500u64, 0..2000u64).prop_map(|(lost_percent, doubled_percent, delay, wander)| {
        Quality {
            lost_percent,
            doubled_percent,
            delay: Duration::from_micros(delay),
            wander: Duration::from_micros(wander),
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn every_record_comes_out_once_and_in_order(
        quality in quality(),
        seed: u64,
        burst in 1..60u64,
        appetite in prop_oneof![Just(usize::MAX), 0..4usize],
    ) {
        let mut stream = Stream::new(quality, seed);
        stream.appetite = appetite;
        for step in 0..1500u64 {
            if step % 7 == 0 {
                (0..burst).for_each(|_| stream.push());
            }
            stream.step(Duration::from_micros(1 + seed % 40));
        }
        stream.settle();
        prop_assert_eq!(stream.starts, 1);
    }

    /// Whoever wants a new stream gets one from its beginning, and nothing of the old one.
    #[test]
    fn a_receiver_that_restarts_hears_nothing_of_before(quality in quality(), seed: u64, at in 1..800u64) {
        let mut stream = Stream::new(quality, seed);
        for step in 0..1500u64 {
            (0..step % 5).for_each(|_| stream.push());
            stream.step(Duration::from_micros(20));
            if step == at {
                stream.receiver.restart();
            }
        }
        stream.settle();
        // A restart before the first acknowledgement came is no second start.
        prop_assert!((1..=2).contains(&stream.starts), "{} starts", stream.starts);
    }

    /// A sender that starts again begins the same stream anew.
    #[test]
    fn a_sender_that_restarts_begins_anew(quality in quality(), seed: u64, at in 1..800u64) {
        let mut stream = Stream::new(quality, seed);
        for step in 0..1500u64 {
            (0..step % 5).for_each(|_| stream.push());
            stream.step(Duration::from_micros(20));
            if step == at {
                stream.sender.end();
                stream.expected.clear();
                // What is on the way is of the old start, and so is what waits at the receiver.
                while stream.receiver.peek().is_some() {
                    stream.receiver.advance();
                }
                stream.link.on_the_way.clear();
            }
        }
        stream.settle();
        prop_assert!((1..=2).contains(&stream.starts));
    }
}

/// Runs until the first stream is there.
fn started(quality: Quality) -> Stream {
    let mut stream = Stream::new(quality, 1);
    for _ in 0..100 {
        stream.step(Duration::from_micros(10));
    }
    assert!(stream.sender.is_streaming());
    stream
}

#[test]
fn a_record_leaves_within_the_flush_age() {
    for gap in [2, 3, 4] {
        let mut stream = started(Quality::GOOD);
        stream.push();
        let opened = stream.now;
        let frames = stream.sender.counters().frames;
        while stream.sender.counters().frames == frames {
            stream.step(Duration::from_micros(gap));
            // More keep coming, too close for the frame to be idle.
            stream.push();
        }
        let age = stream.now.since(opened);
        assert!(age >= FLUSH_AGE && age <= FLUSH_AGE + Duration::from_micros(gap), "after {age:?}");
        stream.settle();
    }
    let mut stream = started(Quality::GOOD);
    stream.push();
    let frames = stream.sender.counters().frames;
    stream.step(FLUSH_IDLE);
    assert_eq!(stream.sender.counters().frames, frames + 1, "a lone record does not wait for company");
}

#[test]
fn full_frames_leave_at_once() {
    let mut stream = started(Quality::GOOD);
    for _ in 0..FRAME {
        stream.push();
    }
    let mut out = [0; FRAME];
    let mut sent = 0;
    while stream.sender.transmit(stream.now, &mut out).is_some() {
        sent += 1;
    }
    assert!(sent >= 10, "{sent} frames");
}

#[test]
fn a_receiver_that_takes_nothing_costs_bounded_memory_and_then_refusals() {
    let mut stream = started(Quality::GOOD);
    stream.appetite = 0;
    for _ in 0..10_000 {
        stream.push();
        stream.step(Duration::from_micros(5));
    }
    assert!(stream.refused > 5_000, "{} refused", stream.refused);
    assert!(stream.sender.counters().frames <= WINDOW, "no more in flight than the receiver can hold");
    let taken = 10_000 - stream.refused;
    assert_eq!(stream.expected.len() as u64, taken);
    stream.settle();
}

#[test]
fn a_gap_is_closed_within_a_round_trip_of_the_next_frame() {
    let mut stream = started(Quality::GOOD);
    for _ in 0..20 {
        stream.push();
        stream.step(Duration::from_micros(60));
    }
    stream.link.quality.lost_percent = 100;
    stream.push();
    stream.step(Duration::from_micros(6));
    stream.link.quality.lost_percent = 0;
    stream.push();
    let lost_at = stream.now;
    while !stream.expected.is_empty() {
        stream.step(Duration::from_micros(5));
    }
    let took = stream.now.since(lost_at);
    assert!(took <= Duration::from_micros(200), "closed after {took:?}");
    assert_eq!(stream.sender.counters().retransmitted, 1);
}

#[test]
fn a_lost_last_frame_is_sent_again_by_itself() {
    let mut stream = started(Quality::GOOD);
    stream.link.quality.lost_percent = 100;
    stream.push();
    stream.step(Duration::from_micros(6));
    stream.link.quality.lost_percent = 0;
    let lost_at = stream.now;
    while !stream.expected.is_empty() {
        stream.step(Duration::from_micros(10));
    }
    let took = stream.now.since(lost_at);
    assert!(took <= Duration::from_micros(1_200), "came after {took:?}");
}

#[test]
fn a_silent_receiver_ends_the_stream_and_begins_another() {
    let mut stream = started(Quality::GOOD);
    stream.push();
    stream.settle();
    stream.link.quality.lost_percent = 100;
    for _ in 0..1_200 {
        stream.push();
        stream.step(Duration::from_millis(1));
    }
    assert!(!stream.sender.is_streaming());
    assert_eq!((stream.sender.counters().silences, stream.sender.lag_records()), (1, 0));
    stream.link.quality = Quality::GOOD;
    for _ in 0..2_000 {
        stream.step(Duration::from_micros(10));
    }
    stream.push();
    stream.settle();
    assert_eq!((stream.starts, stream.receiver.counters().starts), (2, 2));
}

#[test]
fn acknowledgements_of_what_was_never_sent_change_nothing() {
    let mut stream = started(Quality::GOOD);
    stream.push();
    let name = stream.receiver.ack(stream.now + ACK_INTERVAL, []).unwrap().stream;
    let ack = |cumulative, generation| Ack {
        stream: name,
        generation,
        cumulative,
        beyond: u64::MAX,
        credit: 1,
        repairs: Default::default(),
    };
    for (cumulative, generation) in [(5, 1), (u64::MAX, 1), (0, 9)] {
        let ack = ack(cumulative, generation);
        assert_eq!(stream.sender.hear(&ack, stream.now), Heard::Ignored);
    }
    let mut old = ack(0, 1);
    old.stream -= 1;
    assert_eq!(stream.sender.hear(&old, stream.now), Heard::Ignored, "a stream that was given up");
    assert_eq!(stream.sender.lag_records(), 1);
    stream.settle();
}
