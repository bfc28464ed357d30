//! `hitless bench load`: how long packets wait at a given load, and what a flood of new sessions takes from the old ones.
//!
//! Packets arrive at random moments in a receive queue as long as a NIC's (`wire`), whether the worker is ready for them
//! or not; what finds the queue full is lost. The load is a share of what the worker carries when its queue is never
//! empty, which is measured first.

use super::{
    measure::median,
    rig::{Extras, OURS, Rig, Shape, facts},
    wire::{Fate, Offered, Wire},
};
use crate::{
    packet::{Family, V4, V6},
    plane::{Counter, Tally},
    port::PortFacts,
    types::{DropReason, Duration, Instant, PortId, Protocol},
};
use serde::Serialize;

/// What to measure.
#[derive(Clone, Debug)]
pub struct Load {
    /// Established sessions.
    pub flows: usize,
    /// Frame size in bytes.
    pub size: usize,
    /// TCP or UDP.
    pub protocol: Protocol,
    /// 4 or 6.
    pub family: u8,
    /// Loads of established sessions, in percent of what the worker carries.
    pub percent: Vec<f64>,
    /// Packets a second from sources never seen before, each of which would open a session, besides.
    pub new_per_second: f64,
    /// How long for each load.
    pub seconds: f64,
}

/// All loads.
#[derive(Clone, Debug, Serialize)]
pub struct LoadReport {
    /// Million packets a second of established sessions that the worker carries when its queue is never empty: the median of
    /// all rounds.
    pub capacity_mpps: f64,
    /// One after the other.
    pub loads: Vec<LoadRun>,
    /// TSC ticks a second.
    pub tsc_hz: f64,
}

/// One load.
#[derive(Clone, Debug, Serialize)]
pub struct LoadRun {
    /// Percent of the capacity that established sessions were offered at.
    pub percent: f64,
    /// Of their packets, the percentage that was forwarded: the median of all rounds.
    pub kept_percent: f64,
    /// From a packet's arrival in the queue to its transmit call, in microseconds; established sessions only.
    pub wait_us: Waits,
    /// Packets a second that would each open a session.
    pub new_per_second: f64,
    /// Sessions opened a second.
    pub opened_per_second: f64,
    /// New sessions the worker refused a second, each with a counter.
    pub refused_per_second: f64,
    /// Of these, because the worker was behind.
    pub overload_per_second: f64,
    /// Packets of new sessions that found the queue full, a second.
    pub new_lost_per_second: f64,
    /// Packets of established sessions whose session was gone.
    pub no_session: u64,
    /// The part of the time in which the machine ran something else on this core; the clock stood still.
    pub stolen_percent: f64,
}

/// Microseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Waits {
    /// Median.
    pub p50: f64,
    /// Of ten, nine wait no longer.
    pub p90: f64,
    /// Of a hundred, ninety-nine.
    pub p99: f64,
    /// Of a thousand, all but one.
    pub p999: f64,
    /// The longest.
    pub max: f64,
}

/// Rounds of each load. A machine that others share is not the same for long: each has its capacity measured right before.
const ROUNDS: usize = 10;
/// New sessions that there is room for.
const ROOM: usize = 500_000;
/// How long a session that was never answered is kept.
const OPENING_MS: u32 = 1_000;
/// Descriptors of the receive queue.
pub(super) const DESCRIPTORS: u16 = 1024;

/// Runs it.
///
/// # Errors
/// In words.
pub fn load(what: &Load) -> Result<LoadReport, String> {
    match what.family {
        4 => measure::<V4>(what),
        6 => measure::<V6>(what),
        other => Err(format!("there is no IP version {other}: write 4 or 6")),
    }
}

fn measure<F: Family>(what: &Load) -> Result<LoadReport, String> {
    let tsc_hz = super::tsc_hz();
    let mut bench = Bench::<F>::prepare(what, tsc_hz)?;
    bench.run(Offered::SATURATED, what.seconds / 4.0);
    let mut capacities = Vec::new();
    let mut loads = Vec::new();
    for &percent in &what.percent {
        let rounds: Vec<Ran> = (0..ROUNDS)
            .map(|_| {
                let seconds = what.seconds / ROUNDS as f64;
                let full = bench.run(Offered::SATURATED, seconds / 2.0);
                let capacity = full.known.forwarded as f64 / full.seconds;
                capacities.push(capacity);
                let known = capacity * percent / 100.0 / tsc_hz;
                let offered = Offered { known, new: what.new_per_second / tsc_hz };
                bench.run(offered, seconds / 4.0);
                bench.run(offered, seconds)
            })
            .collect();
        loads.push(report(&rounds, percent, what.new_per_second, tsc_hz)?);
    }
    Ok(LoadReport { capacity_mpps: median(&capacities) / 1e6, loads, tsc_hz })
}

struct Bench<F: Family> {
    rig: Rig<F, Wire<F>>,
    tsc_hz: f64,
    /// When the port went live.
    since: Instant,
}

/// What one load came to.
struct Ran {
    known: Fate,
    new: Fate,
    waits: hdrhistogram::Histogram<u64>,
    counted: Tally,
    before: Tally,
    seconds: f64,
    stolen: f64,
}

impl<F: Family> Bench<F> {
    fn prepare(what: &Load, tsc_hz: f64) -> Result<Self, String> {
        let shape = Shape {
            flows: what.flows.max(1),
            size: what.size,
            protocol: what.protocol,
            services: 1,
            backends: 16,
            vip: None,
        };
        let extras =
            Extras { capacity: Some(shape.capacity() + ROOM), opening_ms: OPENING_MS, ..Extras::default() };
        let facts = vec![PortFacts { rx_descriptors: DESCRIPTORS, ..facts(PortId(0), OURS, false) }];
        let mut rig = Wire::new(shape)
            .and_then(|wire| Rig::<F, _>::with(shape, vec![wire], facts, extras))
            .map_err(|error| error.to_string())?;
        let steady = rig.establish();
        rig.worker.ports_mut()[0].go_live(steady, tsc_hz)?;
        let since = rig.now();
        Ok(Self { rig, tsc_hz, since })
    }

    fn turn(&mut self) -> u64 {
        let now = self.rig.worker.ports_mut()[0].now();
        self.rig.turn_at(self.since + Duration::from_nanos((now as f64 / self.tsc_hz * 1e9) as u64));
        now
    }

    fn run(&mut self, offered: Offered, seconds: f64) -> Ran {
        let before = self.rig.counters.read();
        let mut end = self.turn() + (seconds * self.tsc_hz) as u64;
        let start = self.rig.worker.ports_mut()[0].begin(offered);
        end = end.max(start + 1);
        let mut now = start;
        while now < end {
            for _ in 0..64 {
                now = self.turn();
            }
        }
        let (known, new, waits, stolen) = self.rig.worker.ports_mut()[0].end();
        let seconds = (now - start) as f64 / self.tsc_hz;
        // Counts are published when a millisecond is over.
        let millisecond = now + (0.002 * self.tsc_hz) as u64;
        while self.turn() < millisecond {}
        Ran {
            known,
            new,
            waits,
            counted: self.rig.counters.read(),
            before,
            seconds,
            stolen: stolen as f64 / self.tsc_hz,
        }
    }
}

/// What the rounds of one load came to.
fn report(rounds: &[Ran], percent: f64, new_per_second: f64, tsc_hz: f64) -> Result<LoadRun, String> {
    let sum = |what: &dyn Fn(&Ran) -> f64| rounds.iter().map(what).sum::<f64>();
    let (seconds, stolen) = (sum(&|ran| ran.seconds), sum(&|ran| ran.stolen));
    let mut waits = hdrhistogram::Histogram::<u64>::new(3).map_err(|error| error.to_string())?;
    for ran in rounds {
        waits.add(&ran.waits).map_err(|error| error.to_string())?;
    }
    let micros = |quantile: f64| waits.value_at_quantile(quantile) as f64 / tsc_hz * 1e6;
    let refused =
        |reason: DropReason| sum(&|ran| (ran.counted.drops(reason) - ran.before.drops(reason)) as f64);
    let reasons = [DropReason::Overload, DropReason::SessionTableFull, DropReason::PortsExhausted];
    let opened = |ran: &Ran| {
        (ran.counted.get(Counter::SessionsOpened) - ran.before.get(Counter::SessionsOpened)) as f64
    };
    let kept = |ran: &Ran| 100.0 * ran.known.forwarded as f64 / ran.known.offered.max(1) as f64;
    Ok(LoadRun {
        percent,
        kept_percent: median(&rounds.iter().map(kept).collect::<Vec<_>>()),
        wait_us: Waits {
            p50: micros(0.5),
            p90: micros(0.9),
            p99: micros(0.99),
            p999: micros(0.999),
            max: micros(1.0),
        },
        new_per_second,
        opened_per_second: sum(&opened) / seconds,
        refused_per_second: reasons.iter().map(|&reason| refused(reason)).sum::<f64>() / seconds,
        overload_per_second: refused(DropReason::Overload) / seconds,
        new_lost_per_second: sum(&|ran| ran.new.lost as f64) / seconds,
        no_session: refused(DropReason::NoSession) as u64,
        stolen_percent: 100.0 * stolen / (seconds + stolen),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_kept_at_half_the_load_and_a_flood_is_refused() {
        for (family, protocol) in [(4, Protocol::Tcp), (6, Protocol::Udp)] {
            let what = Load {
                flows: 500,
                size: 64,
                protocol,
                family,
                percent: vec![20.0],
                // No worker opens so many.
                new_per_second: 50e6,
                seconds: 0.02,
            };
            let report = load(&what).unwrap();
            let run = &report.loads[0];
            assert_eq!(run.no_session, 0, "{report:?}");
            assert!(run.overload_per_second > 0.0 && run.opened_per_second > 0.0, "{report:?}");
            assert!(run.wait_us.p50 > 0.0 && run.wait_us.p50 <= run.wait_us.max, "{report:?}");
        }
    }
}
