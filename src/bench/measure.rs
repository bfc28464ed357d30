//! How the benches measure.

use crate::port::{Burst, Packet, Port};
use std::time::Instant;

/// Frames whose checksums are verified.
pub(super) const SAMPLE: usize = 10_000;

/// Frames of a piece of work: about a millisecond, so that a moment in which the machine runs something else spoils few
/// pieces.
pub(super) const PIECE: u64 = 16_384;

/// Work that was done for some time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timed {
    pub(super) frames: u64,
    pub(super) seconds: f64,
    /// Seconds a frame: the median of all pieces.
    pub(super) each: f64,
}

/// Calls `work` with frame counts until `seconds` are over.
pub(super) fn timed(seconds: f64, mut work: impl FnMut(u64) -> u64) -> Timed {
    let start = Instant::now();
    let (mut frames, mut before, mut pieces) = (0, 0.0, Vec::new());
    loop {
        let done = work(PIECE);
        let elapsed = start.elapsed().as_secs_f64();
        frames += done;
        pieces.push((elapsed - before) / done as f64);
        before = elapsed;
        if elapsed >= seconds {
            return Timed { frames, seconds: elapsed, each: median(&pieces) };
        }
    }
}

/// The least a forwarder can do with a packet.
pub(super) fn swap_macs<P: Port>(port: &mut P, frames: u64) -> u64 {
    let mut done = 0;
    while done < frames {
        let mut burst = Burst::new();
        port.receive(&mut burst);
        for packet in &mut burst {
            if let Some(macs) = packet.data_mut().first_chunk_mut::<12>() {
                macs.rotate_left(6);
            }
        }
        done += port.transmit(&mut burst) as u64;
    }
    done
}

/// The value in the middle; not a number of none.
pub(super) fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
