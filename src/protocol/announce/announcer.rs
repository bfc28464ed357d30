//! When to announce what, for all instances of a node.

use super::{
    MAX_ROUNDS,
    addresses::{Addresses, Importance, Target},
    frame::Announcement,
    run::{Rounds, Run},
};
use crate::{
    protocol::bfd::Random,
    types::{Duration, InstanceId, Instant},
};
use arrayvec::ArrayVec;

/// When to announce, and how fast.
#[derive(Clone, Debug)]
pub struct Settings {
    /// When rounds begin, counted from the take-over; ascending.
    pub repeat: ArrayVec<Duration, MAX_ROUNDS>,
    /// How often they are repeated afterwards, more or less 10 %; zero: never.
    pub refresh: Duration,
    /// Most frames a second, on average; at least 1.
    pub per_second: u32,
    /// Frames that may go at once after a pause; at least 1.
    pub burst: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            repeat: [0, 20, 100, 500, 2000].into_iter().map(Duration::from_millis).collect(),
            refresh: Duration::from_secs(60),
            per_second: 50_000,
            burst: 64,
        }
    }
}

/// Announces the addresses of the instances that this node serves. Lives on the control thread; allocates nothing
/// after [`Announcer::new`].
#[derive(Debug)]
pub struct Announcer {
    rounds: Rounds,
    gap: Duration,
    burst: Duration,
    /// When the next frame would be due if all were sent evenly.
    even: Instant,
    runs: Box<[Option<Run>]>,
    /// The instance whose turn is next among equals.
    turn: usize,
    random: Random,
}

impl Announcer {
    /// For so many instances, none of them announced.
    pub fn new(settings: &Settings, instances: u8, random: Random) -> Self {
        let gap = Duration::from_nanos(1_000_000_000 / u64::from(settings.per_second.max(1)));
        Self {
            rounds: Rounds { repeat: settings.repeat.clone(), refresh: settings.refresh },
            gap,
            burst: gap.times(u64::from(settings.burst.max(1)) - 1),
            even: Instant::ZERO,
            runs: (0..instances).map(|_| None).collect(),
            turn: 0,
            random,
        }
    }

    /// The instance was taken over, or must be announced anew: its rounds begin from the first.
    pub fn start(&mut self, instance: InstanceId, now: Instant) {
        if let Some(run) = self.runs.get_mut(instance.index()) {
            *run = Some(Run::new(&self.rounds, now, &mut self.random));
        }
    }

    /// The instance was given up: not one more frame.
    pub fn stop(&mut self, instance: InstanceId) {
        if let Some(run) = self.runs.get_mut(instance.index()) {
            *run = None;
        }
    }

    /// Whether the instance is being announced, now or later.
    pub fn announces(&self, instance: InstanceId) -> bool {
        self.runs.get(instance.index()).is_some_and(Option::is_some)
    }

    /// When there is something to announce; it may lie in the past.
    pub fn deadline(&self) -> Option<Instant> {
        let first = self.runs.iter().flatten().filter_map(Run::due).min()?;
        Some(first.max(self.even - self.burst))
    }

    /// The next announcement that is due at `now`. Call again until there is none, or until enough was done for one
    /// turn.
    pub fn next(&mut self, addresses: &Addresses, now: Instant) -> Option<Announcement> {
        if self.deadline()? > now {
            return None;
        }
        let (instance, target) = self.choose(addresses, now)?;
        let run = self.runs.get_mut(instance.index())?.as_mut()?;
        let form = run.form();
        run.advance(addresses.of(instance).len(), &self.rounds, now, &mut self.random);
        self.turn = instance.index() + 1;
        self.even = self.even.max(now) + self.gap;
        Some(Announcement { instance, port: target.port, address: target.address, form })
    }

    /// Take-overs first, then services; among equals each instance in its turn.
    fn choose(&mut self, addresses: &Addresses, now: Instant) -> Option<(InstanceId, Target)> {
        let count = self.runs.len();
        let mut best: Option<((bool, Importance), InstanceId, Target)> = None;
        for index in (0..count).map(|place| (self.turn + place) % count) {
            let Some(run) = &mut self.runs[index] else { continue };
            run.begin(&self.rounds, now);
            let Some((place, refresh)) = run.place() else { continue };
            let instance = InstanceId(index as u8);
            let Some(target) = addresses.of(instance).get(place) else {
                // None there, or fewer than when the round began: it is over.
                run.advance(0, &self.rounds, now, &mut self.random);
                continue;
            };
            let rank = (refresh, target.importance);
            if best.is_none_or(|(other, ..)| rank < other) {
                best = Some((rank, instance, *target));
            }
        }
        best.map(|(_, instance, target)| (instance, target))
    }
}

#[cfg(test)]
mod tests;
