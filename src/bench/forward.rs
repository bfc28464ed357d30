//! `hitless bench forward`: what a packet of an established session costs.

use super::{
    frames::MIN_SIZE,
    rig::{Rig, Shape},
};
use crate::{
    packet::{V4, V6},
    plane::Mapped,
    port::{Burst, Packet, Port},
    types::Protocol,
};
use serde::Serialize;
use std::time::Instant;

/// What to measure.
#[derive(Clone, Copy, Debug)]
pub struct Forward {
    /// Sessions.
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
}

/// The contract's keys.
#[derive(Clone, Debug, Serialize)]
pub struct ForwardReport {
    /// Packets forwarded.
    pub packets: u64,
    /// Time it took.
    pub seconds: f64,
    /// Million packets a second.
    pub mpps: f64,
    /// TSC cycles a packet.
    pub cycles_per_packet: f64,
    /// The same packets through a loop that only swaps MAC addresses.
    pub baseline_cycles_per_packet: f64,
    /// Sessions.
    pub flows: usize,
    /// Memory a session, index included.
    pub bytes_per_session: f64,
    /// TSC ticks a second.
    pub tsc_hz: f64,
}

/// Rounds of each kind, in turn, so that a slow moment of the machine meets both.
const ROUNDS: usize = 5;
/// Frames whose checksums are verified.
const SAMPLE: usize = 10_000;

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

fn measure<F: Mapped>(what: &Forward) -> Result<ForwardReport, String> {
    let shape = Shape {
        flows: what.flows.max(1),
        size: what.size.max(MIN_SIZE.min(64)),
        protocol: what.protocol,
        services: what.services.max(1),
        backends: what.backends.max(1),
    };
    let mut rig =
        Rig::<F>::new(shape, shape.flows + shape.flows / 8 + 64).map_err(|error| error.to_string())?;
    let steady = rig.establish();
    let count = 2 * shape.flows;
    let length = steady.len() / count;
    let tsc_hz = super::tsc_hz();
    rig.port().load(steady, length, count.max(SAMPLE) as u64);
    rig.port().record(SAMPLE);
    rig.drain();
    let recorded = std::mem::take(&mut rig.port().recorded);
    if !rig.sample_is_right(&recorded, length) {
        return Err("a forwarded packet is wrong: please report this with the command".into());
    }
    rig.port().record(0);
    let mut ours = Vec::new();
    let mut baseline = Vec::new();
    let (mut packets, mut seconds) = (0, 0.0);
    let slice = what.seconds / ROUNDS as f64;
    for _ in 0..ROUNDS {
        let (n, elapsed) = timed(slice, |frames| {
            rig.port().remaining = frames;
            let before = rig.port().taken;
            rig.drain();
            rig.port().taken - before
        });
        packets += n;
        seconds += elapsed;
        ours.push(elapsed / n as f64);
        let (n, elapsed) = timed(slice / 4.0, |frames| {
            rig.port().remaining = frames;
            swap_macs(rig.port(), frames)
        });
        baseline.push(elapsed / n as f64);
    }
    let cycles = super::median(&mut ours) * tsc_hz;
    Ok(ForwardReport {
        packets,
        seconds,
        mpps: tsc_hz / cycles / 1e6,
        cycles_per_packet: cycles,
        baseline_cycles_per_packet: super::median(&mut baseline) * tsc_hz,
        flows: shape.flows,
        bytes_per_session: super::rig::bytes_per_session::<F>(shape.flows),
        tsc_hz,
    })
}

/// Calls `work` with frame counts until `seconds` are over; returns frames done and the time.
fn timed(seconds: f64, mut work: impl FnMut(u64) -> u64) -> (u64, f64) {
    let start = Instant::now();
    let mut done = 0;
    loop {
        done += work(200_000);
        let elapsed = start.elapsed().as_secs_f64();
        if elapsed >= seconds {
            return (done, elapsed);
        }
    }
}

/// The least a forwarder can do with a packet.
fn swap_macs<P: Port>(port: &mut P, frames: u64) -> u64 {
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
