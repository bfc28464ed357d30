//! How the probes of a check went, for the API.

use super::outcome::{Failure, Outcome};
use crate::types::Duration;
use parking_lot::Mutex;

/// How the probes of a check went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Whether it counts as alive; `None` before the first answer.
    pub alive: Option<bool>,
    /// Why the last probe that failed did.
    pub failure: Option<Failure>,
    /// Probes that were answered.
    pub answered: u64,
    /// Probes that were not.
    pub failed: u64,
    /// Probes that this node could not send.
    pub unsent: u64,
    /// The shortest time to an answer; zero before the first.
    pub shortest: Duration,
    /// The longest.
    pub longest: Duration,
    /// All of them together.
    total: Duration,
}

impl Report {
    /// The mean time to an answer; zero before the first.
    pub const fn mean(&self) -> Duration {
        match self.total.as_nanos().checked_div(self.answered) {
            Some(nanos) => Duration::from_nanos(nanos),
            None => Duration::ZERO,
        }
    }
}

/// A report that is written by one and read by many.
#[derive(Debug, Default)]
pub struct Status(Mutex<Report>);

impl Status {
    /// As it stands.
    pub fn read(&self) -> Report {
        *self.0.lock()
    }

    /// A probe has ended after `took`, and leaves the check believed `alive`.
    pub(super) fn note(&self, outcome: Outcome, took: Duration, alive: Option<bool>) {
        let mut report = self.0.lock();
        report.alive = alive;
        match outcome {
            Outcome::Alive => {
                let first = report.answered == 0;
                report.answered += 1;
                report.shortest = if first { took } else { report.shortest.min(took) };
                report.longest = report.longest.max(took);
                report.total = Duration::from_nanos(report.total.as_nanos().saturating_add(took.as_nanos()));
            }
            Outcome::Dead(failure) => {
                report.failed += 1;
                report.failure = Some(failure);
            }
            Outcome::Unknown(_) => report.unsent += 1,
        }
    }
}
