//! `hitless bench forward --replace`: what it takes from a worker when every service is replaced, over and over, by a thread
//! on another core, while packets of established sessions go on.

use super::{
    measure::{PIECE, median},
    replay::Replay,
    rig::Rig,
    services::Services,
    spread::Spread,
};
use crate::{packet::Family, plane::Reader, port::BATCH, service::ServiceTable, types::Duration};
use serde::Serialize;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
};

/// A turn that takes longer is counted.
const LONG_TURN_US: f64 = 50.0;

/// With services that stay, and with services that are replaced, in the same run.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Replacing {
    /// Tables of all services, each built anew from nothing, that the worker took up in a second.
    pub replaced_per_second: f64,
    /// Cycles a packet meanwhile.
    pub cycles_per_packet: f64,
    /// Packets that the worker forwarded less, in percent: the middle of the rounds, each beside its own time before.
    pub fewer_packets_percent: f64,
    /// Its longest turn in microseconds.
    pub longest_turn_us: f64,
    /// The longest turn while the services stayed: what the machine does by itself.
    pub longest_turn_us_before: f64,
    /// Packets that it did not forward meanwhile.
    pub lost: u64,
    /// Turns of more than 50 µs in a million.
    pub long_turns_ppm: f64,
    /// The same while the services stayed.
    pub long_turns_ppm_before: f64,
    /// Microseconds of the turns that came upon new services: those before which a table had been published since the turn
    /// before them began. So few in all that the machine seldom disturbs one.
    pub taking_up_us: Spread,
    /// How many they were.
    pub taking_up_turns: usize,
    /// Turns of theirs above 50 µs.
    pub taking_up_long_turns: usize,
    /// The middle one of all turns while the services stayed, in microseconds.
    pub turn_us_before: f64,
}

/// Rounds of each kind, in turn: short, so that the machine is the same in both.
const ROUNDS: usize = 15;

#[derive(Debug, Default)]
struct Lap {
    /// Ticks a packet, piece by piece.
    each: Vec<f64>,
    ticks: u64,
    turns: u64,
    long_turns: u64,
    longest: u64,
    lost: u64,
    /// Ticks of the turns that came upon new services.
    taking_up: Vec<u64>,
}

impl Lap {
    fn ppm(&self) -> f64 {
        self.long_turns as f64 / self.turns.max(1) as f64 * 1e6
    }
}

/// Runs it for so many seconds.
pub(super) fn replacing<F: Family>(
    rig: &mut Rig<F, Replay>,
    services: &mut Services<F>,
    seconds: f64,
    tsc_hz: f64,
) -> Replacing {
    let slice = (seconds / (2 * ROUNDS) as f64 * tsc_hz) as u64;
    let long = (LONG_TURN_US * 1e-6 * tsc_hz) as u64;
    let (mut before, mut during, mut replaced) = (Lap::default(), Lap::default(), 0u64);
    let mut kept = Vec::new();
    let mut published = services.reader();
    for _ in 0..ROUNDS {
        let begun = [before.each.len(), during.each.len()];
        lap(rig, slice, long, &mut published, &mut before);
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Relaxed) {
                    services.replace();
                    replaced += 1;
                }
            });
            lap(rig, slice, long, &mut published, &mut during);
            stop.store(true, Relaxed);
        });
        kept.push(median(&before.each[begun[0]..]) / median(&during.each[begun[1]..]));
    }
    let micros = |ticks: u64| ticks as f64 / tsc_hz * 1e6;
    let taking_up: Vec<_> =
        during.taking_up.iter().map(|&ticks| Duration::from_nanos((micros(ticks) * 1e3) as u64)).collect();
    Replacing {
        replaced_per_second: replaced as f64 / (during.ticks as f64 / tsc_hz),
        cycles_per_packet: median(&during.each),
        fewer_packets_percent: (1.0 - median(&kept)) * 100.0,
        longest_turn_us: micros(during.longest),
        longest_turn_us_before: micros(before.longest),
        lost: during.lost,
        long_turns_ppm: during.ppm(),
        long_turns_ppm_before: before.ppm(),
        taking_up_us: Spread::of(&taking_up),
        taking_up_turns: taking_up.len(),
        taking_up_long_turns: during.taking_up.iter().filter(|&&ticks| ticks > long).count(),
        turn_us_before: micros((median(&before.each) * BATCH as f64) as u64),
    }
}

/// Forwards for so many ticks.
fn lap<F: Family>(
    rig: &mut Rig<F, Replay>,
    slice: u64,
    long: u64,
    published: &mut Reader<ServiceTable>,
    lap: &mut Lap,
) {
    let (_, begun) = rig.turn();
    let mut last = begun;
    let (mut table, mut taking_up) = (Arc::as_ptr(published.load()), false);
    while last - begun < slice {
        rig.deck().remaining = PIECE;
        let (start, taken) = (last, rig.deck().taken);
        while rig.deck().remaining > 0 {
            // Before the turn: one that the machine holds up has new services come in meanwhile, and would be
            // taken for the one that took them up.
            let newest = Arc::as_ptr(published.load());
            let (_, now) = rig.turn();
            let turn = now - last;
            lap.turns += 1;
            lap.long_turns += u64::from(turn > long);
            lap.longest = lap.longest.max(turn);
            if taking_up {
                lap.taking_up.push(turn);
            }
            taking_up = newest != table;
            (table, last) = (newest, now);
        }
        lap.lost += PIECE - (rig.deck().taken - taken);
        lap.each.push((last - start) as f64 / PIECE as f64);
    }
    lap.ticks += last - begun;
}

#[cfg(test)]
mod tests {
    use crate::bench::{Forward, forward};

    #[test]
    fn no_packet_is_lost_while_all_services_are_replaced() {
        for family in [4, 6] {
            let what = Forward {
                flows: 500,
                family,
                services: 20,
                replace: true,
                seconds: 0.05,
                ..Forward::default()
            };
            let replacing = forward(&what).unwrap().replacing.unwrap();
            assert!(
                replacing.replaced_per_second > 0.0 && replacing.cycles_per_packet > 0.0,
                "{replacing:?}"
            );
            assert_eq!(replacing.lost, 0, "{replacing:?}");
            assert!(replacing.taking_up_turns > 0 && replacing.taking_up_us.min > 0.0, "{replacing:?}");
        }
    }
}
