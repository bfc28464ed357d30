//! What others see of high availability: where each instance stands, and how long detection and take-over took.

use crate::{
    plane::{Bulletin, Histogram},
    protocol::{
        election::Status,
        witness::{Counters, MAX_GATEWAYS},
    },
    types::{InstanceId, Instant},
};
use arrayvec::ArrayVec;
use std::{
    net::IpAddr,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

/// A witness, and when it last answered.
pub type WitnessReport = (IpAddr, Option<Instant>);

/// Where everything stands at one moment.
#[derive(Clone, Debug, Default)]
pub struct HaReport {
    /// Each instance, in the order of the configuration.
    pub instances: Vec<(InstanceId, Status)>,
    /// Each witness.
    pub witnesses: ArrayVec<WitnessReport, MAX_GATEWAYS>,
    /// What was asked of them.
    pub asked: Counters,
    /// Hellos refused.
    pub refused_hellos: u64,
    /// When it was so.
    pub at: Instant,
}

/// Written by the control core; any thread reads.
#[derive(Debug)]
pub struct HaView {
    report: Bulletin<HaReport>,
    /// From the peer's last packet to the decision, in nanoseconds, of each take-over because of silence.
    pub detection: Histogram,
    /// From a decision to serve until the first announcement was given to the port, in nanoseconds.
    pub takeover: Histogram,
    wanted_reserve: AtomicU64,
    may_exit: AtomicBool,
}

impl HaView {
    pub(crate) fn new(instances: usize) -> Self {
        let empty = move || HaReport { instances: Vec::with_capacity(instances), ..HaReport::default() };
        Self {
            report: Bulletin::new(empty),
            detection: Histogram::default(),
            takeover: Histogram::default(),
            wanted_reserve: AtomicU64::new(0),
            may_exit: AtomicBool::new(false),
        }
    }

    /// Where everything stands, as of a millisecond ago.
    pub fn report(&self) -> HaReport {
        self.report.read()
    }

    pub(super) fn post(&self, write: impl FnOnce(&mut HaReport)) {
        self.report.post(write);
    }

    /// The highest term that should be reserved on disk; 0: what is reserved is enough.
    pub fn wanted_reserve(&self) -> u64 {
        self.wanted_reserve.load(Relaxed)
    }

    pub(super) fn want_reserve(&self, term: u64) {
        self.wanted_reserve.store(term, Relaxed);
    }

    /// A shutdown that was asked for is complete: nothing is served, and the peer knows.
    pub fn may_exit(&self) -> bool {
        self.may_exit.load(Relaxed)
    }

    pub(super) fn set_may_exit(&self, may: bool) {
        self.may_exit.store(may, Relaxed);
    }
}
