//! How the benches measure.

use crate::port::{BURST, Burst, Packet, Port};
use std::time::Instant;

/// Frames whose checksums are verified.
pub(super) const SAMPLE: usize = 10_000;

/// Frames of a piece of work: about a millisecond, so that a moment in which the machine runs something else spoils few
/// pieces.
pub(super) const PIECE: u64 = 16_384;

/// So many times the median a piece may take. With one that took longer, the machine ran something else meanwhile.
const DISTURBED: f64 = 1.25;

/// A piece of work.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    /// Frames, or sessions.
    pub(super) done: u64,
    /// Seconds, or ticks.
    pub(super) time: f64,
}

impl Piece {
    fn each(self) -> f64 {
        self.time / self.done as f64
    }
}

/// Time a frame, or a session, piece by piece.
pub(super) fn each(pieces: &[Piece]) -> Vec<f64> {
    pieces.iter().map(|piece| piece.each()).collect()
}

/// All pieces in which the machine did nothing else, so that what they came to and what it took belong together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Undisturbed {
    pub(super) done: u64,
    pub(super) time: f64,
    /// Time of the other pieces, in percent of all.
    pub(super) disturbed_percent: f64,
}

/// The pieces in which the machine did nothing else, by what `each` says that one of theirs took.
pub(super) fn undisturbed<T>(pieces: &[T], each: impl Fn(&T) -> f64) -> impl Iterator<Item = &T> {
    let most = DISTURBED * median(&pieces.iter().map(&each).collect::<Vec<_>>());
    pieces.iter().filter(move |piece| each(piece) <= most)
}

impl Undisturbed {
    pub(super) fn of(pieces: &[Piece]) -> Self {
        let all: f64 = pieces.iter().map(|piece| piece.time).sum();
        let kept = undisturbed(pieces, |piece| piece.each());
        let (done, time) = kept.fold((0, 0.0), |(done, time), piece| (done + piece.done, time + piece.time));
        Self { done, time, disturbed_percent: 100.0 * (1.0 - time / all) }
    }
}

/// Calls `work` with frame counts until `seconds` are over; the pieces, timed in seconds.
pub(super) fn timed(seconds: f64, mut work: impl FnMut(u64) -> u64) -> Vec<Piece> {
    let start = Instant::now();
    let (mut before, mut pieces) = (0.0, Vec::new());
    loop {
        let done = work(PIECE);
        let elapsed = start.elapsed().as_secs_f64();
        pieces.push(Piece { done, time: elapsed - before });
        before = elapsed;
        if elapsed >= seconds {
            return pieces;
        }
    }
}

/// The least a forwarder can do with a packet, and what `beside` does with as many packets as came together.
pub(super) fn swap_macs<P: Port>(port: &mut P, frames: u64, mut beside: impl FnMut(usize)) -> u64 {
    let mut done = 0;
    while done < frames {
        let mut burst = Burst::new();
        receive_and_swap(port, &mut burst);
        beside(burst.len());
        done += port.transmit(&mut burst) as u64;
    }
    done
}

/// Receives as a worker does, and swaps the MAC addresses of what came.
pub(super) fn receive_and_swap<P: Port>(port: &mut P, burst: &mut Burst<P::Packet>) {
    if port.receive(burst) >= BURST {
        port.receive(burst);
    }
    for packet in burst {
        if let Some(macs) = packet.data_mut().first_chunk_mut::<12>() {
            macs.rotate_left(6);
        }
    }
}

/// The value in the middle; not a number of none.
pub(super) fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_machine_took_is_not_counted() {
        let piece = |time| Piece { done: 100, time };
        let kept = Undisturbed::of(&[piece(1.0), piece(1.0), piece(1.2), piece(1.3), piece(5.5)]);
        assert_eq!(kept.done, 400);
        assert!((kept.time - 4.5).abs() < 1e-9 && (kept.disturbed_percent - 55.0).abs() < 1e-9, "{kept:?}");
    }
}
