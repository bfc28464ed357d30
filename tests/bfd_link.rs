//! Two nodes on a virtual link that loses, delays, reorders and duplicates.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends where it fails")]

use hitless::{
    protocol::bfd::*,
    types::{Duration, Instant, PortId},
};
use proptest::prelude::*;
use std::{collections::BTreeMap, num::NonZeroU32};

const PORT: PortId = PortId(0);

/// How the link treats packets.
#[derive(Clone, Copy, Debug)]
struct Quality {
    lost_percent: u64,
    doubled_percent: u64,
    delay: Duration,
    /// Up to so much more, packet by packet.
    wander: Duration,
    /// No packet overtakes another.
    in_order: bool,
}

impl Quality {
    const HEALED: Self = Self {
        lost_percent: 0,
        doubled_percent: 0,
        delay: Duration::from_micros(20),
        wander: Duration::ZERO,
        in_order: true,
    };
}

struct Node {
    sessions: Sessions,
    id: SessionId,
    last_accepted: Option<Instant>,
    /// The detection time as the last accepted packet and our own interval give it, computed apart.
    expected_detection: Duration,
    changes: Vec<Change>,
}

struct Pair {
    nodes: [Node; 2],
    now: Instant,
    on_the_way: BTreeMap<(Instant, u64), (usize, Vec<u8>)>,
    last_arrival: [Instant; 2],
    sent: u64,
    quality: Quality,
    random: Random,
    /// Intervals do not change, so detection times can be computed apart.
    fixed_timers: bool,
}

fn settings(me: usize, timers: Timers, key: Option<Key>, compatibility: Compatibility) -> Settings {
    let addresses = ["10.9.0.1", "10.9.0.2"].map(|text| text.parse().unwrap());
    let path = Path { port: PORT, local: addresses[me], remote: addresses[1 - me], hop: Hop::Single };
    Settings { key, compatibility, ..Settings::new(path, timers) }
}

impl Node {
    fn new(settings: Settings, seed: u64, now: Instant) -> Self {
        let mut sessions = Sessions::new(1, Random::seeded(seed));
        let id = sessions.add(settings, now).unwrap();
        let (last_accepted, expected_detection) = (None, Duration::ZERO);
        Self { sessions, id, last_accepted, expected_detection, changes: Vec::new() }
    }

    fn session(&self) -> &Session {
        self.sessions.get(self.id).unwrap()
    }

    fn state(&self) -> State {
        self.session().status().state
    }

    fn receive(&mut self, ip: &[u8], now: Instant) {
        let own_rx = self.session().settings().timers.required_min_rx_us.get();
        if let Ok((_, receipt)) = self.sessions.receive(PORT, ip, now, now) {
            let control = Received::parse(Datagram::parse(ip).unwrap().payload).unwrap().control;
            let interval = u64::from(control.desired_min_tx_us.max(own_rx));
            self.expected_detection = Duration::from_micros(interval * u64::from(control.multiplier));
            self.last_accepted = Some(now);
            self.changes.extend(receipt.change);
        }
    }
}

impl Pair {
    fn new(settings: [Settings; 2], seed: u64) -> Self {
        let [a, b] = settings;
        let now = Instant::from_nanos(1_000_000);
        Self {
            nodes: [Node::new(a, seed, now), Node::new(b, seed ^ 0xffff, now)],
            now,
            on_the_way: BTreeMap::new(),
            last_arrival: [now; 2],
            sent: 0,
            quality: Quality::HEALED,
            random: Random::seeded(seed.wrapping_mul(31)),
            fixed_timers: true,
        }
    }

    fn states(&self) -> [State; 2] {
        [self.nodes[0].state(), self.nodes[1].state()]
    }

    fn both_up(&self) -> bool {
        self.states() == [State::Up; 2]
    }

    fn send(&mut self, to: usize, ip: &[u8]) {
        let Quality { lost_percent, doubled_percent, delay, wander, in_order } = self.quality;
        if self.random.below(100) < lost_percent {
            return;
        }
        let copies = 1 + u64::from(self.random.below(100) < doubled_percent);
        for _ in 0..copies {
            let wandered = Duration::from_nanos(self.random.below(wander.as_nanos() + 1));
            self.sent += 1;
            let mut arrival = self.now + delay + wandered;
            if in_order {
                arrival = arrival.max(self.last_arrival[to]);
            }
            self.last_arrival[to] = arrival;
            self.on_the_way.insert((arrival, self.sent), (to, ip.to_vec()));
        }
    }

    /// One turn of one node's control loop.
    fn turn(&mut self, index: usize) {
        let (now, fixed_timers) = (self.now, self.fixed_timers);
        let node = &mut self.nodes[index];
        let changes = &mut node.changes;
        let (last_accepted, expected_detection) = (node.last_accepted, node.expected_detection);
        node.sessions.expire(PORT, now, false, now, |_, change| {
            assert_eq!(change.last_received, last_accepted);
            if fixed_timers {
                let silence = change.at.since(last_accepted.unwrap());
                assert_eq!(silence, expected_detection, "declared after {silence:?}");
            }
            changes.push(change);
        });
        let mut buffer = [0; MAX_DATAGRAM];
        while let Some(outgoing) = self.nodes[index].sessions.transmit(now, &mut buffer) {
            self.send(1 - index, &buffer[..outgoing.length]);
        }
    }

    /// Runs until `end`, or until `done` says so.
    fn run(&mut self, end: Instant, mut done: impl FnMut(&Self) -> bool) {
        while !done(self) {
            let arrival = self.on_the_way.first_key_value().map(|(key, _)| key.0);
            let deadlines = self.nodes.iter().filter_map(|node| node.sessions.deadline());
            let next = deadlines.chain(arrival).min().unwrap_or(end).max(self.now);
            if next >= end {
                self.now = end;
                return;
            }
            self.now = next;
            while let Some(entry) = self.on_the_way.first_entry().filter(|entry| entry.key().0 <= next) {
                let (to, ip) = entry.remove();
                self.nodes[to].receive(&ip, next);
            }
            self.turn(0);
            self.turn(1);
        }
    }

    fn run_for(&mut self, span: Duration) {
        self.run(self.now + span, |_| false);
    }

    fn changes(&self) -> usize {
        self.nodes.iter().map(|node| node.changes.len()).sum()
    }

    fn forget_changes(&mut self) {
        for node in &mut self.nodes {
            node.changes.clear();
        }
    }

    fn come_up(&mut self, within: Duration) {
        self.run(self.now + within, Self::both_up);
        assert!(self.both_up(), "{:?} after {within:?}", self.states());
    }
}

fn interval_us() -> impl Strategy<Value = u32> {
    prop::sample::select(vec![50, 300, 1_000, 3_300, 10_000, 100_000])
}

prop_compose! {
    fn timers(least_multiplier: u8)(
        tx in interval_us(),
        rx in interval_us(),
        multiplier in least_multiplier..6,
    ) -> Timers {
        let mut timers = Timers::symmetric(tx, multiplier).unwrap();
        timers.required_min_rx_us = NonZeroU32::new(rx).unwrap();
        timers
    }
}

fn key() -> impl Strategy<Value = Option<Key>> {
    let kinds = [AuthKind::KeyedMd5, AuthKind::MeticulousMd5, AuthKind::KeyedSha1, AuthKind::MeticulousSha1];
    let keys = kinds.into_iter().map(|kind| Some(Key::new(kind, 1, b"link").unwrap()));
    prop::sample::select([None, None].into_iter().chain(keys).collect::<Vec<_>>())
}

prop_compose! {
    fn quality()(
        lost_percent in 0u64..=100,
        doubled_percent in 0u64..50,
        delay_us in 0u64..20_000,
        wander_us in 0u64..50_000,
    ) -> Quality {
        let (delay, wander) = (Duration::from_micros(delay_us), Duration::from_micros(wander_us));
        Quality { lost_percent, doubled_percent, delay, wander, in_order: false }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(100) })]

    /// Whatever the link did, both come Up when it heals, agree on intervals, and stay Up. Every Down on the way was
    /// due: the silence was exactly the detection time (checked in `turn`).
    #[test]
    fn a_healed_link_comes_up_and_stays(
        a in timers(1),
        b in timers(1),
        key in key(),
        phases in prop::collection::vec((quality(), 1u64..400), 0..6),
        seed: u64,
    ) {
        let mut pair = Pair::new([a, b].map(|_| settings(0, a, key, Compatibility::Standard)), seed);
        pair.nodes[1] = Node::new(settings(1, b, key, Compatibility::Standard), seed ^ 1, pair.now);
        for (quality, milliseconds) in phases {
            pair.quality = quality;
            pair.run_for(Duration::from_millis(milliseconds));
        }
        pair.quality = Quality::HEALED;
        pair.run_for(Duration::from_millis(70));
        // A session that is Up here may still fall: packets lost earlier have moved the sequence numbers apart.
        let settled = (0..8).any(|_| {
            pair.come_up(Duration::from_secs(30));
            pair.forget_changes();
            pair.run_for(Duration::from_secs(2));
            pair.changes() == 0 && pair.nodes.iter().all(|node| !node.session().status().polling)
        });
        prop_assert!(settled);
        let statuses = [0, 1].map(|index: usize| pair.nodes[index].session().status());
        for (own, other, status) in [(a, b, statuses[0]), (b, a, statuses[1])] {
            let tx = u64::from(own.desired_min_tx_us.max(other.required_min_rx_us).get());
            let rx = u64::from(own.required_min_rx_us.max(other.desired_min_tx_us).get());
            prop_assert_eq!(status.transmit_interval, Duration::from_micros(tx));
            let detection = Duration::from_micros(rx * u64::from(other.multiplier.get()));
            prop_assert_eq!(status.detection_time, detection);
        }
    }

    /// Without loss or reordering, and with delays that wander by less than an interval, no change of intervals takes a session
    /// down, at whatever moment it comes and however many overlap.
    #[test]
    fn timer_changes_never_cost_the_session(
        a in timers(2),
        b in timers(2),
        changes in prop::collection::vec((0usize..2, timers(2), 1u64..60_000), 1..12),
        delay_us in 0u64..30_000,
        doubled_percent in 0u64..30,
        seed: u64,
    ) {
        let mut pair = Pair::new(
            [settings(0, a, None, Compatibility::Standard), settings(1, b, None, Compatibility::Standard)],
            seed,
        );
        pair.fixed_timers = false;
        pair.quality.delay = Duration::from_micros(delay_us);
        pair.quality.doubled_percent = doubled_percent;
        pair.come_up(Duration::from_secs(10));
        pair.quality.wander = Duration::from_micros(20);
        pair.run_for(Duration::from_millis(200));
        pair.forget_changes();
        for (index, timers, microseconds) in changes {
            let Node { sessions, id, .. } = &mut pair.nodes[index];
            sessions.get_mut(*id).unwrap().reconfigure(timers);
            pair.run_for(Duration::from_micros(microseconds));
        }
        pair.run_for(Duration::from_secs(1));
        prop_assert!(pair.both_up());
        prop_assert_eq!(pair.changes(), 0, "{:#?}", pair.nodes[0].changes);
        prop_assert!(pair.nodes.iter().all(|node| !node.session().status().polling));
    }

    #[test]
    fn two_nodes_in_loxilb_mode_come_up_and_stay(
        phases in prop::collection::vec((quality(), 1u64..2000), 0..4),
        seed: u64,
    ) {
        let timers = Timers::symmetric(100_000, 3).unwrap();
        let mut pair = Pair::new([0, 1].map(|me| settings(me, timers, None, Compatibility::LoxiLb)), seed);
        for (quality, milliseconds) in phases {
            pair.quality = quality;
            pair.run_for(Duration::from_millis(milliseconds));
        }
        pair.quality = Quality::HEALED;
        pair.run_for(Duration::from_secs(1));
        pair.come_up(Duration::from_secs(10));
        pair.forget_changes();
        pair.run_for(Duration::from_secs(20));
        prop_assert!(pair.both_up());
        prop_assert_eq!(pair.changes(), 0);
    }
}

fn fast_pair(seed: u64) -> Pair {
    let timers = Timers::symmetric(50, 3).unwrap();
    Pair::new([0, 1].map(|me| settings(me, timers, None, Compatibility::Standard)), seed)
}

/// A minute of virtual time at 50 us on a clean link.
#[test]
fn fifty_microseconds_without_a_flap() {
    let mut pair = fast_pair(5);
    pair.come_up(Duration::from_secs(3));
    pair.run_for(Duration::from_secs(20));
    for node in &pair.nodes {
        let counters = node.session().counters();
        assert_eq!((counters.ups, counters.downs, counters.discards.total()), (1, 0, 0));
        assert!((400_000..534_000).contains(&counters.sent_periodic), "{}", counters.sent_periodic);
    }
}

/// Coming Up is bound by the round trip, not by the slow timer.
#[test]
fn coming_up_takes_round_trips() {
    let mut pair = fast_pair(7);
    pair.run_for(Duration::from_millis(1));
    assert!(pair.both_up());
    assert!(pair.nodes.iter().all(|node| !node.session().status().polling));
}

/// A peer that dies and comes back within the detection time is noticed by its first packet.
#[test]
fn restart_is_noticed_within_a_trip() {
    let timers = Timers::symmetric(1_000_000, 3).unwrap();
    let mut pair = Pair::new([0, 1].map(|me| settings(me, timers, None, Compatibility::Standard)), 11);
    pair.come_up(Duration::from_secs(10));
    pair.run_for(Duration::from_secs(10));
    pair.nodes[0].changes.clear();
    let began = pair.now;
    pair.nodes[1] = Node::new(settings(1, timers, None, Compatibility::Standard), 99, began);
    pair.come_up(Duration::from_secs(10));
    let first = pair.nodes[0].changes[0];
    assert_eq!((first.from, first.to, first.cause), (State::Up, State::Down, Cause::PeerRestarted));
    assert!(first.at.since(began) <= Duration::from_micros(20));
    assert!(pair.now.since(began) <= Duration::from_micros(200), "{:?}", pair.now.since(began));
}

/// One direction is cut: the deaf end says so, and the other, which still hears, goes down by being told.
#[test]
fn one_way_loss_takes_both_down() {
    let mut pair = fast_pair(13);
    pair.come_up(Duration::from_secs(3));
    pair.run_for(Duration::from_millis(10));
    pair.forget_changes();
    for _ in 0..1000 {
        pair.on_the_way.retain(|_, (to, _)| *to != 0);
        pair.run_for(Duration::from_micros(1));
    }
    let causes = [0, 1].map(|index: usize| pair.nodes[index].changes[0].cause);
    assert_eq!(causes, [Cause::DetectionExpired, Cause::PeerDown]);
    assert_eq!(pair.nodes[1].changes[0].peer_diagnostic, Diagnostic::DETECTION_TIME_EXPIRED);
    assert!(pair.nodes[1].session().status().peer_heard && !pair.nodes[0].session().status().peer_heard);
    assert!(!pair.both_up());
}
