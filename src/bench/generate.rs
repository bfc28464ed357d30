//! `hitless bench generate`: sends the clients' frames by a device as fast as it takes them, and counts what comes back:
//! the other end of a forwarder that is measured on a core of its own. Or a flood of those who are no clients.

use super::{
    Forward,
    deck::Deck,
    frames::Frames,
    ports::{open_device, start},
    rig::Shape,
};
use crate::{
    dpdk::{Mbuf, Pool, PoolOptions, Queue, cycles},
    port::{BURST, Burst, Packet, Port},
    types::Mac,
};
use serde::Serialize;

/// What came back, and in what time.
#[derive(Clone, Debug, Serialize)]
pub struct GenerateReport {
    /// Frames the device took.
    pub sent: u64,
    /// Frames it brought.
    pub received: u64,
    /// How long, from the first frame that came back, or was sent in a flood.
    pub seconds: f64,
    /// Million frames a second that came back.
    pub mpps: f64,
    /// TSC ticks a second.
    pub tsc_hz: f64,
}

/// Packets of the pool: what two rings of a device hold, and some in hand.
const PACKETS: u32 = 16_383;
/// Nothing that comes back in this time comes at all.
const PATIENCE_S: f64 = 30.0;

/// Runs it on `device`; frames are for `to`.
///
/// # Errors
/// In words.
pub fn generate(
    what: &Forward,
    frames: Frames,
    device: &str,
    to: Mac,
    core: u16,
) -> Result<GenerateReport, String> {
    let shape = Shape::new(what);
    let templates = shape.templates(frames, what.family, to, 0);
    let mut deck = Deck::default();
    deck.load(templates, u64::MAX);
    let (eal, _) = start(u64::from(PACKETS), core)?;
    let pool = Pool::create(&eal, &PoolOptions { packets: PACKETS, mtu: 1500, numa_node: None })
        .map_err(|error| error.to_string())?;
    let (nic, queue) = open_device(&eal, &pool, device)?;
    let registered = eal.register_thread().map_err(|error| error.to_string())?;
    let mut generator = Generator { deck, queue, sent: 0, received: 0 };
    let report = generator.run(what.seconds, frames == Frames::OfClients);
    drop((generator, registered, nic));
    report
}

struct Generator {
    deck: Deck,
    queue: Queue,
    sent: u64,
    received: u64,
}

impl Generator {
    fn run(&mut self, seconds: f64, answered: bool) -> Result<GenerateReport, String> {
        let tsc_hz = super::tsc_hz();
        let patience = cycles() + (PATIENCE_S * tsc_hz) as u64;
        while answered && self.received == 0 {
            self.turn();
            if cycles() > patience {
                return Err(format!(
                    "{} frames were sent and none came back: start what forwards them first, and see that they are for \
                     its MAC address",
                    self.sent
                ));
            }
        }
        let (start, sent, received) = (cycles(), self.sent, self.received);
        let end = start + (seconds * tsc_hz) as u64;
        let mut now = start;
        while now < end {
            self.turn();
            now = cycles();
        }
        let seconds = (now - start) as f64 / tsc_hz;
        let (sent, received) = (self.sent - sent, self.received - received);
        Ok(GenerateReport { sent, received, seconds, mpps: received as f64 / seconds / 1e6, tsc_hz })
    }

    fn turn(&mut self) {
        let mut burst = Burst::new();
        self.received += self.queue.receive(&mut burst) as u64;
        Mbuf::free_all(&mut burst);
        let length = self.deck.length();
        while burst.len() < BURST {
            let Some(mut packet) = self.queue.allocate() else { break };
            if !packet.resize(length) {
                break;
            }
            packet.data_mut().copy_from_slice(&self.deck.deal().as_flattened()[..length]);
            burst.push(packet);
        }
        self.sent += self.queue.transmit(&mut burst) as u64;
        Mbuf::free_all(&mut burst);
    }
}
