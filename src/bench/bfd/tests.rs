use super::*;
use crate::{
    control::Event,
    protocol::bfd::{Cause, State},
    types::Instant,
};
use std::num::NonZeroU8;

const INTERVAL: Duration = Duration::from_micros(50);
const STEP: Duration = Duration::from_micros(2);
/// Much longer than the three intervals that the frozen side waits.
const FREEZE: Duration = Duration::from_millis(1);

/// Two loops on virtual time. The first sends for its life; the second is patiently waited for.
struct Pair {
    speaker: Node,
    sleeper: Node,
    now: Instant,
}

impl Pair {
    fn up() -> Self {
        let timer = Timer::start();
        let accounts = [0, 1].map(|_| Arc::new(Account::new(INTERVAL, INTERVAL)));
        let pools = [0, 1].map(|_| memory::Pool::new(2 * DEPTH, 128));
        let timers = Timers::symmetric(50, 3).unwrap();
        let patient = Timers { multiplier: NonZeroU8::MAX, ..timers };
        let [one, two] = memory::link(pools.each_ref(), DEPTH);
        let end = |port, own: usize| {
            End::new(port, timer.clone(), Arc::clone(&accounts[own]), Arc::clone(&accounts[1 - own]))
        };
        let speaker = Node::new(0, end(one, 0), pools[0].clone(), timers, 1);
        // Its own multiplier is what the speaker goes by.
        let sleeper = Node::new(1, end(two, 1), pools[1].clone(), patient, 2);
        let mut pair = Self { speaker, sleeper, now: Instant::ZERO };
        for _ in 0..2_000 {
            pair.step();
        }
        assert!(
            [&pair.speaker, &pair.sleeper].iter().all(|node| node.bfd.list()[0].status.state == State::Up)
        );
        assert_eq!(pair.sleeper.bfd.list()[0].status.detection_time, INTERVAL.times(3));
        [&pair.speaker, &pair.sleeper].iter().for_each(|node| while node.events.pop().is_some() {});
        pair
    }

    fn speak(&mut self, span: Duration) {
        let end = self.now + span;
        while self.now < end {
            self.now = self.now + STEP;
            self.speaker.control.turn(self.now);
        }
    }

    fn step(&mut self) {
        self.speak(STEP);
        self.sleeper.control.turn(self.now);
    }

    /// Nothing has changed at the sleeper, and it still notices when the speaker does fall silent.
    fn check(mut self) {
        assert!(self.sleeper.events.pop().is_none(), "it went down");
        for _ in 0..200 {
            self.now = self.now + STEP;
            self.sleeper.control.turn(self.now);
        }
        let down = std::iter::from_fn(|| self.sleeper.events.pop()).find_map(|event| match event {
            Event::Bfd(told) => Some(told.change.cause),
            _ => None,
        });
        assert_eq!(down, Some(Cause::DetectionExpired));
    }
}

#[test]
fn a_loop_frozen_between_its_turns_blames_nobody() {
    let mut pair = Pair::up();
    for _ in 0..200 {
        pair.speak(FREEZE);
        (0..50).for_each(|_| pair.step());
    }
    pair.check();
}

/// The worst moment: the clock has been read and the queue not yet emptied. All that came during the freeze is dated
/// before it, and the next turn, whose clock is right, finds nothing.
#[test]
fn a_loop_frozen_within_a_turn_blames_nobody() {
    let mut pair = Pair::up();
    for _ in 0..200 {
        let read = pair.now + STEP;
        pair.speak(FREEZE);
        pair.sleeper.control.turn(read);
        pair.now = pair.now + Duration::from_nanos(100);
        pair.sleeper.control.turn(pair.now);
        (0..50).for_each(|_| pair.step());
    }
    pair.check();
}

#[test]
fn in_real_time_silence_is_noticed_and_nothing_else() {
    let report = bfd(&Bfd { interval_us: 20_000, multiplier: 3, trials: 2 }).unwrap();
    assert_eq!((report.trials, report.false_downs, report.nominal_us), (2, 0, 60_000.0), "{report:?}");
    // Silenced just after a packet, or just before one was due.
    assert!(report.detection_us.min >= 40_000.0 - 5_000.0 && report.silence_us.min >= 60_000.0, "{report:?}");
    assert!(report.packets > 10 && report.tsc_hz > 1e6);
}

#[test]
fn what_cannot_be_measured_is_refused() {
    assert!(bfd(&Bfd { interval_us: 0, multiplier: 3, trials: 1 }).is_err());
}
