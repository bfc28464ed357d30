//! The rounds of one instance.

use super::MAX_ROUNDS;
use crate::{
    packet::ArpOperation,
    protocol::bfd::Random,
    types::{Duration, Instant},
};
use arrayvec::ArrayVec;

/// When rounds are due, counted from the take-over, and how often afterwards.
#[derive(Clone, Debug)]
pub(super) struct Rounds {
    pub(super) repeat: ArrayVec<Duration, MAX_ROUNDS>,
    /// Zero: never.
    pub(super) refresh: Duration,
}

/// One instance's announcements since its take-over.
#[derive(Clone, Debug)]
pub(super) struct Run {
    began: Instant,
    /// Rounds begun.
    count: u32,
    /// The place in `repeat` of the next round; beyond its end: a refresh.
    step: usize,
    /// When the next round is due; `None`: never again.
    due: Option<Instant>,
    /// The next address of the round under way, and whether that is a refresh.
    under_way: Option<(usize, bool)>,
}

impl Run {
    pub(super) fn new(rounds: &Rounds, now: Instant, random: &mut Random) -> Self {
        let mut run = Self { began: now, count: 0, step: 0, due: None, under_way: None };
        run.due = run.next_due(rounds, now, random);
        run
    }

    pub(super) fn due(&self) -> Option<Instant> {
        match self.under_way {
            Some(_) => Some(Instant::ZERO),
            None => self.due,
        }
    }

    /// Begins the round that is due at `now`. Of rounds that are overdue only the last takes place: the one before
    /// took longer than the time between them.
    pub(super) fn begin(&mut self, rounds: &Rounds, now: Instant) {
        if self.under_way.is_some() || self.due.is_none_or(|due| due > now) {
            return;
        }
        let overdue = rounds.repeat.iter().skip(self.step).take_while(|after| self.began + **after <= now);
        let overdue = overdue.count();
        self.under_way = Some((0, overdue == 0));
        self.step += overdue;
        self.count = self.count.wrapping_add(1);
    }

    /// The address to announce next, and whether the round is a refresh.
    pub(super) fn place(&self) -> Option<(usize, bool)> {
        self.under_way
    }

    /// The form of the round under way.
    pub(super) fn form(&self) -> ArpOperation {
        if self.count % 2 == 1 { ArpOperation::Request } else { ArpOperation::Reply }
    }

    /// An address of `addresses` was announced; the round may be over.
    pub(super) fn advance(&mut self, addresses: usize, rounds: &Rounds, now: Instant, random: &mut Random) {
        let Some((next, _)) = &mut self.under_way else { return };
        *next += 1;
        if *next >= addresses {
            self.under_way = None;
            self.due = self.next_due(rounds, now, random);
        }
    }

    /// Refreshes come 10 % sooner or later, so that nodes started together do not announce together for ever.
    fn next_due(&self, rounds: &Rounds, now: Instant, random: &mut Random) -> Option<Instant> {
        if let Some(after) = rounds.repeat.get(self.step) {
            return Some(self.began + *after);
        }
        let nanos = rounds.refresh.as_nanos();
        let early = nanos / 10;
        (nanos > 0).then(|| now + Duration::from_nanos(nanos - early + random.below(2 * early + 1)))
    }
}
