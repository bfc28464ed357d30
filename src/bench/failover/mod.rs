//! `hitless bench failover`: a node dies, and the other goes on with its sessions.
//!
//! Two complete nodes live in one process. Their port is the segment: a cable to the other node, and clients and backends
//! that answer within the port. So what is measured is the nodes and not a network: the first packet after the failover
//! follows the announcement as soon as the worker turns.
//!
//! Time is what the nodes' own work takes, measured by the TSC turn by turn: each has a clock that runs while it turns, and
//! the one that is behind turns next. So both live at the same time on one core, as on cores that nobody else uses, and a
//! machine that stands still makes no node silent. A turn that takes longer than BFD's interval counts for one interval,
//! and is told as a stall.
//!
//! First every client opens a connection, and all are synced. Then the node that serves is stopped between two turns,
//! for good: its memory is freed, its rings with it. One client sends a packet every 2 µs meanwhile. When that is
//! forwarded again, every client sends a packet, and each must come to the same backend, from the same address and
//! port, as before. Then the node starts anew, copies everything, and it is the other's turn.

mod clock;
mod judge;
mod node;
mod segment;
mod station;

use super::{
    limits::FAILOVER_SESSIONS,
    spread::{Spread, micros},
};
use crate::simulator::Plan;
use judge::{Judge, Trial};
use serde::Serialize;

/// What to measure.
#[derive(Clone, Copy, Debug)]
pub struct Failover {
    /// Established sessions.
    pub sessions: u32,
    /// BFD's interval in microseconds; three are missed before the peer counts as silent.
    pub interval_us: u32,
    /// How often a node is stopped.
    pub trials: u32,
}

/// The contract's keys, and how they came about.
#[derive(Clone, Debug, Serialize)]
pub struct FailoverReport {
    /// From the last packet the stopped node forwarded to the first the other did.
    pub gap_us: Spread,
    /// From the end of the stopped node's last turn to the other's Down.
    pub detection_us: Spread,
    /// From Down declared to the first gratuitous ARP handed to the port.
    pub takeover_us: Spread,
    /// Sessions in the stopped node's table, the least of all trials.
    pub sessions_before: u64,
    /// Sessions in the other's table afterwards, the least of all trials.
    pub sessions_after: u64,
    /// Of all trials: connections whose packet came to no backend, or to another, or from another address or port.
    pub established_lost: u64,
    /// From the first turn of a node that starts anew until it holds every session.
    pub resync_us: Spread,
    /// Nodes stopped.
    pub trials: u32,
    /// Turns that took longer than BFD's interval, of all: the machine stood still, or did something else.
    pub stalls: u32,
    /// The longest turn.
    pub longest_turn_us: f64,
    /// TSC ticks a second.
    pub tsc_hz: f64,
    /// Every trial's gap, detection and take-over, for a plot.
    #[serde(skip)]
    pub each: [Vec<f64>; 3],
}

/// Sessions of one backend: local ports to spare.
const PER_BACKEND: u32 = 45_000;

/// Runs it.
///
/// # Errors
///
/// In words.
pub fn failover(what: &Failover) -> Result<FailoverReport, String> {
    if !FAILOVER_SESSIONS.contains(&what.sessions) {
        let (least, most) = FAILOVER_SESSIONS.into_inner();
        return Err(format!("{} sessions: write {least} to {most}", what.sessions));
    }
    let plan = Plan {
        workers: 1,
        interval_us: what.interval_us,
        lone_start_ms: 500,
        lease_ms: 0,
        virtual_mac: false,
        witness: false,
        max_sessions: what.sessions + what.sessions / 8 + 1024,
        backends: what.sessions.div_ceil(PER_BACKEND) as u8,
    };
    let tsc_hz = super::tsc_hz();
    let mut judge = Judge::new(plan, what.sessions)?;
    judge.open()?;
    let trials: Vec<Trial> = (0..what.trials).map(|_| judge.trial()).collect::<Result<_, _>>()?;
    let spread = |pick: fn(&Trial) -> crate::types::Duration| trials.iter().map(pick).collect::<Vec<_>>();
    let [gap, detection, takeover] =
        [spread(|trial| trial.gap), spread(|trial| trial.detection), spread(|trial| trial.takeover)];
    let each = [&gap, &detection, &takeover].map(|times| times.iter().copied().map(micros).collect());
    Ok(FailoverReport {
        gap_us: Spread::of(&gap),
        detection_us: Spread::of(&detection),
        takeover_us: Spread::of(&takeover),
        sessions_before: trials.iter().map(|trial| trial.before).min().unwrap_or(0),
        sessions_after: trials.iter().map(|trial| trial.after).min().unwrap_or(0),
        established_lost: trials.iter().map(|trial| trial.lost).sum(),
        resync_us: Spread::of(&judge.resyncs),
        trials: trials.len() as u32,
        stalls: judge.stalls,
        longest_turn_us: micros(judge.longest_turn),
        tsc_hz,
        each,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_session_is_lost() {
        let what = Failover { sessions: 3000, interval_us: 1000, trials: 7 };
        let report = failover(&what).unwrap();
        assert_eq!(report.established_lost, 0);
        assert_eq!((report.sessions_before, report.sessions_after), (3000, 3000));
        // Three intervals, jittered by up to a quarter, and a turn. The machine may stand still in some of the trials.
        let Spread { min, p50, .. } = report.detection_us;
        assert!(min > 1000.0 && p50 < 3000.0 + 1000.0, "{report:?}");
        assert!(report.gap_us.min >= report.detection_us.min, "{report:?}");
        assert!(report.takeover_us.p50 <= 1000.0 && report.takeover_us.min > 0.0, "{report:?}");
    }

    #[test]
    fn too_many_sessions_are_refused() {
        for sessions in [0, FAILOVER_SESSIONS.end() + 1] {
            assert!(failover(&Failover { sessions, interval_us: 1000, trials: 1 }).is_err());
        }
    }
}
