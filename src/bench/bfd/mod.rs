//! `hitless bench bfd`: how fast, and how surely, silence is noticed.
//!
//! Two control cores turn on two cores, in real time, joined by a ring each way. Again and again one of them is silenced:
//! its packets are thrown away from some moment on, and the other's Down is waited for. What a trial measures is that
//! moment to the Down; the silence it was declared for, from the last packet on, is told apart.
//!
//! Both loops note when they did not turn and when they put nothing into the ring. A Down that nobody asked for is the
//! sender's stall if it stood still so long, and false otherwise; see `verdict`. A receiver that stood still must never
//! be the reason.

mod node;
mod trials;
mod verdict;
mod wire;

#[cfg(test)]
mod tests;

use super::{
    host::Cores,
    spread::{Spread, Tail, micros},
    timer::Timer,
};
use crate::{
    control,
    plane::Histogram,
    port::memory,
    protocol::bfd::Timers,
    types::Duration,
    worker::{Idle, Stop},
};
use node::{DEPTH, Node};
use serde::Serialize;
use std::{
    cell::Cell,
    hash::{BuildHasher, RandomState},
    sync::{Arc, atomic::Ordering::Relaxed},
    thread,
};
use trials::{Outcome, Side, Trials};
use wire::{Account, End, Span};

/// What to measure.
#[derive(Clone, Copy, Debug)]
pub struct Bfd {
    /// The interval of both directions, in microseconds.
    pub interval_us: u32,
    /// The detection multiplier.
    pub multiplier: u8,
    /// How often a side is silenced.
    pub trials: u32,
}

/// The contract's keys, and how they came about.
#[derive(Clone, Debug, Serialize)]
pub struct BfdReport {
    /// From the moment one side was silenced to the other's Down.
    pub detection_us: Spread,
    /// Interval times multiplier.
    pub nominal_us: f64,
    /// Downs that nobody asked for and no stall of the sender explains. Must be 0.
    pub false_downs: u64,
    /// Downs because the sender's thread stood still for the detection time: the machine's doing.
    pub sender_stalls: u64,
    /// How much later than due packets were given to the ring.
    pub tx_jitter_us: Tail,
    /// How much longer than the interval the gaps between packets received were.
    pub rx_jitter_us: Tail,
    /// From the last packet received to the Down: what BFD counts.
    pub silence_us: Spread,
    /// From one turn of a loop to the next.
    pub turn_us: Tail,
    /// Trials that count.
    pub trials: u32,
    /// Trials that did not, because the side to be silenced stood still at that moment, or the session was not up.
    pub disturbed: u32,
    /// Packets received.
    pub packets: u64,
    /// What was noted around the first false Downs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub explained: Vec<String>,
    /// The cores that the loops ran on, and what is wrong with them.
    pub cores: String,
    /// TSC ticks a second.
    pub tsc_hz: f64,
    /// Every trial's detection, for a plot.
    #[serde(skip)]
    pub detections: Vec<f64>,
}

/// Runs it.
///
/// # Errors
///
/// In words.
pub fn bfd(what: &Bfd) -> Result<BfdReport, String> {
    let timers = Timers::symmetric(what.interval_us, what.multiplier)
        .ok_or("an interval and a multiplier of 0 detect nothing: write numbers from 1 on")?;
    let tsc_hz = super::tsc_hz();
    let interval = Duration::from_micros(what.interval_us.into());
    let detection = interval.times(what.multiplier.into());
    let timer = Timer::start();
    let stall = Duration::from_nanos((interval.as_nanos() / 4).max(1));
    let accounts = [0, 1].map(|_| Arc::new(Account::new(detection, stall)));
    let pools = [0, 1].map(|_| memory::Pool::new(2 * DEPTH, 128));
    let mut ends = memory::link(pools.each_ref(), DEPTH).into_iter();
    let node = |number: usize, port| {
        let (own, other) = (Arc::clone(&accounts[number]), Arc::clone(&accounts[1 - number]));
        let end = End::new(port, timer.clone(), own, other);
        let seed = RandomState::new().hash_one(number);
        Node::new(number as u8, end, pools[number].clone(), timers, seed)
    };
    let (Some(first), Some(second)) = (ends.next(), ends.next()) else { return Err("no cable".into()) };
    let nodes = [node(0, first), node(1, second)];
    let sides = [0, 1].map(|number: usize| Side {
        bfd: Arc::clone(&nodes[number].bfd),
        events: Arc::clone(&nodes[number].events),
        account: Arc::clone(&accounts[number]),
    });
    let turns = nodes.each_ref().map(|node| node.control.turn_times());
    let cores = Cores::for_loops(2);
    let stop = Stop::new(false);
    let outcome = thread::scope(|scope| {
        for (number, node) in nodes.into_iter().enumerate() {
            let (timer, account, cores, stop) = (&timer, &accounts[number], &cores, &stop);
            scope.spawn(move || turn(node, timer, account, cores.pin(number), stop));
        }
        let outcome = Trials::new(&sides, &timer, interval, detection).run(what.trials);
        stop.store(true, Relaxed);
        outcome
    })?;
    Ok(report(outcome, &sides, &turns, micros(detection), cores.describe(), tsc_hz))
}

/// One loop, on its own thread.
fn turn(mut node: Node, timer: &Timer, account: &Account, alone: bool, stop: &Stop) {
    let before = Cell::new(timer.now());
    let clock = || {
        let now = timer.now();
        account.turned(Span { from: before.replace(now), to: now });
        now
    };
    // Two loops on one core must let each other run.
    let idle = if alone { Idle::Spin } else { Idle::Sleep };
    control::run(&mut node.control, idle, stop, clock);
}

fn report(
    outcome: Outcome,
    sides: &[Side; 2],
    turns: &[Arc<Histogram>; 2],
    nominal_us: f64,
    cores: String,
    tsc_hz: f64,
) -> BfdReport {
    let timing = |pick: fn(&control::Timing) -> &Histogram| {
        let of = |side: &Side| side.first().and_then(|entry| Some(pick(side.bfd.timing(entry.id)?).read()));
        Tail::worse(sides.iter().filter_map(of))
    };
    let packets = sides.iter().filter_map(Side::first).map(|entry| entry.counters.received).sum();
    BfdReport {
        detection_us: Spread::of(&outcome.detections),
        nominal_us,
        false_downs: outcome.false_downs,
        sender_stalls: outcome.sender_stalls,
        tx_jitter_us: timing(|timing| &timing.sent_late),
        rx_jitter_us: timing(|timing| &timing.received_late),
        silence_us: Spread::of(&outcome.silences),
        turn_us: Tail::worse(turns.iter().map(|turns| turns.read())),
        trials: outcome.detections.len() as u32,
        disturbed: outcome.disturbed,
        packets,
        explained: outcome.explained,
        cores,
        tsc_hz,
        detections: outcome.detections.iter().copied().map(micros).collect(),
    }
}
