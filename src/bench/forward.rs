//! `hitless bench forward`: what a packet of an established session costs.

use super::{
    floor::Floor,
    measure::{Piece, SAMPLE, Undisturbed, each, median, swap_macs, timed},
    replace::{Replacing, replacing},
    replay::Replay,
    rig::{OURS, Rig, Shape, bytes_per_session, facts},
};
use crate::{
    packet::{Family, V4, V6},
    port::BATCH,
    types::{Duration, PortId, Protocol},
};
use serde::Serialize;
use std::{net::IpAddr, sync::Barrier, thread};

/// What to measure.
#[derive(Clone, Copy, Debug)]
pub struct Forward {
    /// Sessions of a worker.
    pub flows: usize,
    /// Frame size in bytes, without the frame check sequence.
    pub size: usize,
    /// TCP or UDP.
    pub protocol: Protocol,
    /// 4 or 6.
    pub family: u8,
    /// How long.
    pub seconds: f64,
    /// Services in the table.
    pub services: u32,
    /// Backends of the service.
    pub backends: u32,
    /// Packets that come together, at most: 1 shows what a lone packet costs, from its receive call to its
    /// transmit call and to the end of the turn.
    pub burst: usize,
    /// Workers, each on a core of its own and with its own frames and sessions.
    pub workers: usize,
    /// Replace all services without end, after the rest has been measured.
    pub replace: bool,
    /// The address that frames of a capture are for; `None` for the benches' own captures.
    pub vip: Option<IpAddr>,
}

impl Default for Forward {
    fn default() -> Self {
        Self {
            flows: 1000,
            size: 64,
            protocol: Protocol::Udp,
            family: 4,
            seconds: 5.0,
            services: 1,
            backends: 3,
            burst: BATCH,
            workers: 1,
            replace: false,
            vip: None,
        }
    }
}

/// The contract's keys. `mpps` is `packets` in `seconds`, and in memory `tsc_hz` over `cycles_per_packet` for each worker.
#[derive(Clone, Debug, Serialize)]
pub struct ForwardReport {
    /// Packets forwarded.
    pub packets: u64,
    /// Time it took, without the moments in which the machine ran something else.
    pub seconds: f64,
    /// Million packets a second, of all workers together.
    pub mpps: f64,
    /// TSC cycles a packet, of one worker. On devices only the turns that found something count.
    pub cycles_per_packet: f64,
    /// The same packets through a loop that only swaps MAC addresses.
    pub baseline_cycles_per_packet: f64,
    /// The same loop, which also reads a line of an index and writes a session of tables as large: the packet's memory, and
    /// nothing decided.
    pub memory_cycles_per_packet: f64,
    /// The same without the index's line: a scattered session for each packet, and nothing found or decided.
    pub session_cycles_per_packet: f64,
    /// Sessions of a worker.
    pub flows: usize,
    /// Memory a session, index included.
    pub bytes_per_session: f64,
    /// Packets that come together, at most.
    pub burst: usize,
    /// Workers.
    pub workers: usize,
    /// Packets all workers together forward, over what one of them does while the others stand still.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scaling: Option<f64>,
    /// The first worker while all services are replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replacing: Option<Replacing>,
    /// The part of the time, in percent, that is in no figure: the machine ran something else.
    pub disturbed_percent: f64,
    /// The command that reserves huge pages for the packets, where too few were free: each lies in a page of its own then, and
    /// takes longer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reserve: Option<String>,
    /// TSC ticks a second.
    pub tsc_hz: f64,
    /// Cycles a packet of each piece of the run, of the baseline's, of the memory's and of the session's, for a plot.
    #[serde(skip)]
    pub each: [Vec<f64>; 4],
}

/// Rounds of each kind, in turn, so that a slow moment of the machine meets all kinds.
const ROUNDS: usize = 5;

/// Buffers of a port: more than the first-level cache holds.
const BUFFERS: usize = 4096;

/// Runs it.
///
/// # Errors
/// In words.
pub fn forward(what: &Forward) -> Result<ForwardReport, String> {
    match what.family {
        4 => measure::<V4>(what),
        6 => measure::<V6>(what),
        other => Err(format!("there is no IP version {other}: write 4 or 6")),
    }
}

fn measure<F: Family>(what: &Forward) -> Result<ForwardReport, String> {
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    let workers = what.workers.max(1);
    if workers > 1 && cores.len() < workers {
        return Err(format!("{workers} workers need as many cores, and {} are ours", cores.len()));
    }
    let barrier = Barrier::new(workers);
    let laps: Vec<Laps> = thread::scope(|scope| {
        let threads: Vec<_> = (0..workers)
            .map(|number| {
                let (barrier, core) = (&barrier, cores.get(number).copied());
                scope.spawn(move || {
                    if let Some(core) = core.filter(|_| workers > 1) {
                        core_affinity::set_for_current(core);
                    }
                    Lane::<F>::prepare(what).map(|lane| lane.run(number, barrier, what))
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().map_err(|_| "a worker's thread ended early".to_owned())?)
            .collect::<Result<_, String>>()
    })?;
    Ok(report::<F>(what, &laps))
}

/// A worker and its frames in memory, its sessions open, ready to go.
#[derive(Debug)]
pub struct Lane<F: Family> {
    rig: Rig<F, Replay>,
    floor: Floor<F>,
}

/// What a worker did, and how long each piece took in seconds.
#[derive(Debug, Default)]
struct Laps {
    together: Vec<Piece>,
    baseline: Vec<Piece>,
    memory: Vec<Piece>,
    session: Vec<Piece>,
    /// Seconds a packet in each round: with all workers, and alone.
    rounds: Vec<f64>,
    alone: Vec<f64>,
    replacing: Option<Replacing>,
}

impl<F: Family> Lane<F> {
    /// Opens the sessions, and looks at a sample of what the worker sends.
    ///
    /// # Errors
    /// In words.
    pub fn prepare(what: &Forward) -> Result<Self, String> {
        let port = Replay::new(BUFFERS, what.burst).map_err(|error| error.to_string())?;
        let mut rig = Rig::<F, _>::new(Shape::new(what), vec![port], vec![facts(PortId(0), OURS, false)])
            .map_err(|error| error.to_string())?;
        let steady = rig.establish();
        let (count, length) = (2 * rig.shape.flows, steady.length);
        let deck = rig.deck();
        deck.load(steady, count.max(SAMPLE) as u64);
        deck.record(SAMPLE, length);
        rig.drain();
        let sample = rig.deck().recorded();
        let floor = Floor::new(rig.shape.flows).map_err(|error| error.to_string())?;
        match rig.sample_is_right(&sample, length) {
            true => Ok(Self { floor, rig }),
            false => Err("a forwarded packet is wrong: please report this with the command".into()),
        }
    }

    /// All workers at once, each alone, and the baseline, in turn.
    fn run(mut self, number: usize, barrier: &Barrier, what: &Forward) -> Laps {
        let mut laps = Laps::default();
        let (workers, slice) = (what.workers.max(1), what.seconds / ROUNDS as f64);
        for _ in 0..ROUNDS {
            barrier.wait();
            self.rig.resume();
            let ours = timed(slice, |frames| self.forward(frames));
            laps.rounds.push(median(&each(&ours)));
            laps.together.extend(ours);
            barrier.wait();
            laps.baseline.extend(timed(slice / 4.0, |frames| self.swap_macs(frames, |_, _| ())));
            laps.memory.extend(timed(slice / 4.0, |frames| self.swap_macs(frames, Floor::visit)));
            laps.session.extend(timed(slice / 4.0, |frames| self.swap_macs(frames, Floor::visit_sessions)));
            for turn in 0..workers {
                barrier.wait();
                if turn == number && workers > 1 {
                    self.rig.resume();
                    laps.alone.push(median(&each(&timed(slice / 2.0, |frames| self.forward(frames)))));
                }
            }
        }
        if let Some(mut services) = self.rig.services.take_if(|_| what.replace && number == 0) {
            laps.replacing = Some(replacing(&mut self.rig, &mut services, what.seconds, super::tsc_hz()));
        }
        laps
    }

    /// Forwards `frames` frames and returns how many were sent. Time is no clock's: each turn takes `step`, so that
    /// the same work is done every time.
    pub fn forward_in_steps(&mut self, frames: u64, step: Duration) -> u64 {
        let deck = self.rig.deck();
        deck.remaining = frames;
        let before = deck.taken;
        while self.rig.deck().remaining > 0 {
            self.rig.turn_after(step);
        }
        self.rig.deck().taken - before
    }

    fn swap_macs(&mut self, frames: u64, beside: fn(&mut Floor<F>, usize)) -> u64 {
        self.rig.deck().remaining = frames;
        let floor = &mut self.floor;
        swap_macs(&mut self.rig.worker.ports_mut()[0], frames, |packets| beside(floor, packets))
    }

    fn forward(&mut self, frames: u64) -> u64 {
        self.rig.deck().remaining = frames;
        let before = self.rig.deck().taken;
        self.rig.drain();
        self.rig.deck().taken - before
    }
}

fn report<F: Family>(what: &Forward, laps: &[Laps]) -> ForwardReport {
    let tsc_hz = super::tsc_hz();
    let workers = laps.len() as f64;
    let rates = |seconds: fn(&Laps) -> &Vec<f64>, round: usize| -> f64 {
        laps.iter().filter_map(|laps| seconds(laps).get(round)).map(|seconds| 1.0 / seconds).sum()
    };
    // Each round by itself: the machine's speed changes between rounds.
    let scaling: Vec<f64> = (0..ROUNDS)
        .map(|round| rates(|laps| &laps.rounds, round) / rates(|laps| &laps.alone, round) * workers)
        .collect();
    let kept: Vec<_> = laps.iter().map(|laps| Undisturbed::of(&laps.together)).collect();
    let packets = kept.iter().map(|kept| kept.done).sum();
    // Of a worker: all work at the same time.
    let seconds = kept.iter().map(|kept| kept.time).sum::<f64>() / workers;
    let mean = |pick: fn(&Laps) -> &Vec<Piece>| -> f64 {
        let kept = laps.iter().map(|laps| Undisturbed::of(pick(laps)));
        kept.map(|kept| kept.time / kept.done as f64).sum::<f64>() / workers * tsc_hz
    };
    let cycles = |pick: fn(&Laps) -> &Vec<Piece>| {
        laps.iter().flat_map(|laps| each(pick(laps))).map(|seconds| seconds * tsc_hz).collect()
    };
    ForwardReport {
        packets,
        seconds,
        mpps: packets as f64 / seconds / 1e6,
        cycles_per_packet: workers * seconds * tsc_hz / packets as f64,
        baseline_cycles_per_packet: mean(|laps| &laps.baseline),
        memory_cycles_per_packet: mean(|laps| &laps.memory),
        session_cycles_per_packet: mean(|laps| &laps.session),
        flows: what.flows.max(1),
        bytes_per_session: bytes_per_session::<F>(what.flows.max(1)),
        burst: what.burst,
        workers: laps.len(),
        scaling: (laps.len() > 1).then(|| median(&scaling)),
        replacing: laps.first().and_then(|laps| laps.replacing),
        disturbed_percent: kept.iter().map(|kept| kept.disturbed_percent).sum::<f64>() / workers,
        reserve: None,
        tsc_hz,
        each: [
            cycles(|laps| &laps.together),
            cycles(|laps| &laps.baseline),
            cycles(|laps| &laps.memory),
            cycles(|laps| &laps.session),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_say_the_same() {
        let report = forward(&Forward { seconds: 0.1, ..Forward::default() }).unwrap();
        let rate = report.packets as f64 / report.seconds / 1e6;
        assert!((report.mpps / rate - 1.0).abs() < 1e-9, "{report:?}");
        assert!((report.mpps * 1e6 * report.cycles_per_packet / report.tsc_hz - 1.0).abs() < 1e-9);
        assert!(report.each.iter().all(|pieces| !pieces.is_empty()));
    }
}
