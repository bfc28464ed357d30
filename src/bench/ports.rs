//! `hitless bench forward --ports`: the same worker on DPDK's ports.

use super::{
    Forward, ForwardReport,
    deck::{Dealer, Deck},
    floor::Floor,
    measure::{SAMPLE, receive_and_swap, undisturbed},
    rig::{PORTION, Rig, Shape, bytes_per_session, facts},
};
use crate::{
    dpdk::{
        Device, Eal, EalOptions, Host, Mbuf, Nic, OpenOptions, Pool, PoolOptions, Queue, cycles,
        reserve_command,
    },
    packet::{Family, V4, V6},
    plane::Counter,
    port::{BURST, Burst, Packet, Port, PortFacts},
    types::{Duration, PortId},
};
use std::path::Path;

/// Rounds of each kind, in turn.
const ROUNDS: usize = 15;
/// Turns of a piece: a millisecond or less under load.
const PIECE: usize = 512;
/// Packets beside those a capture holds.
const SPARE_PACKETS: u32 = 16_384;
/// What a packet buffer takes, with all that belongs to it, where there are huge pages; and where there are none, a page of its
/// own.
const BUFFER_BYTES: u64 = 2432;
const PAGE_BYTES: u64 = 4096;
/// What else takes memory of DPDK's.
const SPARE_MB: u64 = 64;
/// What no device brings in this time does not come.
const PATIENCE_S: f64 = 10.0;

/// A device's queue that deals frames of our own as long as its deck has some, and brings what the device brings
/// from then on. While it deals, nothing leaves.
#[derive(Debug)]
struct Primed {
    queue: Queue,
    deck: Deck,
    dealing: bool,
    burst: usize,
    /// What it still brings before it says that the queue is empty; `None`: as much as there is.
    portion: Option<usize>,
}

impl Port for Primed {
    type Packet = Mbuf;

    #[inline]
    fn receive(&mut self, burst: &mut Burst<Mbuf>) -> usize {
        if self.dealing {
            return self.deal(burst);
        }
        let most = self.burst.saturating_sub(burst.len()).min(BURST);
        match self.portion {
            None => self.queue.receive_at_most(most, burst),
            Some(left) => self.receive_of(left, most, burst),
        }
    }

    #[inline]
    fn transmit(&mut self, burst: &mut Burst<Mbuf>) -> usize {
        if self.deck.records() {
            burst.iter().for_each(|packet| self.deck.keep(packet.data()));
        }
        let sent = burst.len();
        if self.dealing {
            Mbuf::free_all(burst);
            return sent;
        }
        let sent = self.queue.transmit(burst);
        self.deck.taken += sent as u64;
        sent
    }

    fn allocate(&mut self) -> Option<Mbuf> {
        self.queue.allocate()
    }
}

impl Primed {
    #[cold]
    fn receive_of(&mut self, left: usize, most: usize, burst: &mut Burst<Mbuf>) -> usize {
        if left < most {
            self.portion = Some(PORTION as usize);
            return 0;
        }
        let received = self.queue.receive_at_most(most, burst);
        self.portion = Some(left - received);
        received
    }

    #[cold]
    fn deal(&mut self, burst: &mut Burst<Mbuf>) -> usize {
        let before = burst.len();
        while self.deck.remaining > 0 && !burst.is_full() {
            let Some(mut packet) = self.queue.allocate() else { break };
            let length = self.deck.length();
            if !packet.resize(length) {
                break;
            }
            packet.data_mut().copy_from_slice(&self.deck.deal().as_flattened()[..length]);
            burst.push(packet);
        }
        burst.len() - before
    }
}

impl Dealer for Primed {
    fn deck(&mut self) -> &mut Deck {
        &mut self.deck
    }
}

/// Runs it on `devices`: the first is the clients', the last the backends'.
///
/// # Errors
/// In words.
pub fn forward_on_ports(what: &Forward, devices: &[&str], core: u16) -> Result<ForwardReport, String> {
    match what.family {
        4 => measure::<V4>(what, devices, core),
        6 => measure::<V6>(what, devices, core),
        other => Err(format!("there is no IP version {other}: write 4 or 6")),
    }
}

fn measure<F: Family>(what: &Forward, devices: &[&str], core: u16) -> Result<ForwardReport, String> {
    let shape = Shape::new(what);
    let packets = shape.flows as u32 + SPARE_PACKETS;
    let (eal, hugepages) = start(u64::from(packets), core)?;
    let pool = Pool::create(&eal, &PoolOptions { packets, mtu: 1500, numa_node: None })
        .map_err(|e| e.to_string())?;
    let mut opened: Vec<(Nic, Primed, PortFacts)> = Vec::new();
    for (id, device) in (0..).map(PortId).zip(devices) {
        opened.push(open(&eal, &pool, id, device, what.burst)?);
    }
    let registered = eal.register_thread().map_err(|error| error.to_string())?;
    let facts = opened.iter().map(|(_, _, facts)| facts.clone()).collect();
    let (nics, ports): (Vec<Nic>, Vec<Primed>) = opened.into_iter().map(|(nic, port, _)| (nic, port)).unzip();
    let mut bench =
        Bench { rig: Rig::<F, Primed>::new(shape, ports, facts).map_err(|error| error.to_string())? };
    let reserve = (!hugepages).then(|| reserve_command(huge_mb(u64::from(packets))));
    let report = bench.run(what).map(|report| ForwardReport { reserve, ..report });
    // Queues and thread before the devices, and those before the EAL.
    drop(bench);
    drop(registered);
    drop(nics);
    report
}

/// Megabytes of huge pages that so many packets want.
const fn huge_mb(packets: u64) -> u64 {
    ((packets * BUFFER_BYTES) >> 20) + SPARE_MB
}

/// DPDK's environment with memory for so many packets; and whether it is in huge pages, which it is where enough are free.
pub(super) fn start(packets: u64, core: u16) -> Result<(Eal, bool), String> {
    let hugepages = Host::read(Path::new("/")).free_huge_mb() >= huge_mb(packets);
    let memory_mb = if hugepages { huge_mb(packets) } else { ((packets * PAGE_BYTES) >> 20) + SPARE_MB };
    Eal::start(&EalOptions {
        hugepages,
        memory_mb: memory_mb as u32,
        main_core: core,
        ..EalOptions::default()
    })
    .map(|eal| (eal, hugepages))
    .map_err(|error| error.to_string())
}

fn open(
    eal: &Eal,
    pool: &Pool,
    id: PortId,
    device: &str,
    burst: usize,
) -> Result<(Nic, Primed, PortFacts), String> {
    let (nic, queue) = open_device(eal, pool, device)?;
    let report = nic.report();
    let facts = facts(id, report.mac, report.checks_ip);
    Ok((nic, Primed { queue, deck: Deck::default(), dealing: true, burst, portion: None }, facts))
}

/// A device and its one queue.
pub(super) fn open_device(eal: &Eal, pool: &Pool, device: &str) -> Result<(Nic, Queue), String> {
    let device = Device::probe(eal, device, 1).map_err(|error| error.to_string())?;
    let mut opened = device.open(&OpenOptions::default(), pool).map_err(|error| error.to_string())?;
    let queue = opened.queues.pop().ok_or("the device has no queue")?;
    Ok((opened.nic, queue))
}

struct Bench<F: Family> {
    rig: Rig<F, Primed>,
}

/// What some turns came to, in ticks.
#[derive(Clone, Copy, Default)]
struct Lap {
    packets: u64,
    /// In turns that found something.
    busy: u64,
    whole: u64,
}

impl Lap {
    fn cycles(&self) -> f64 {
        self.busy as f64 / self.packets as f64
    }

    fn and(self, other: &Self) -> Self {
        Self {
            packets: self.packets + other.packets,
            busy: self.busy + other.busy,
            whole: self.whole + other.whole,
        }
    }
}

/// Those in which the machine did nothing else, together.
fn together(pieces: &[Lap]) -> Lap {
    undisturbed(pieces, Lap::cycles).fold(Lap::default(), Lap::and)
}

impl<F: Family> Bench<F> {
    fn run(&mut self, what: &Forward) -> Result<ForwardReport, String> {
        let tsc_hz = super::tsc_hz();
        let length = match what.vip {
            None => self.rig.establish().length,
            Some(_) => self.rig.shape.size,
        };
        for port in self.rig.worker.ports_mut() {
            port.dealing = false;
        }
        self.warm_up(tsc_hz, length)?;
        let slice = (what.seconds / ROUNDS as f64 * tsc_hz) as u64;
        let mut floor = Floor::<F>::new(self.rig.shape.flows).map_err(|error| error.to_string())?;
        let [mut ours, mut swaps, mut memory, mut session] = [const { Vec::new() }; 4];
        for _ in 0..ROUNDS {
            self.forward(slice, &mut ours);
            self.swap_macs(slice / 4, &mut swaps, |_| ());
            self.swap_macs(slice / 4, &mut memory, |packets| floor.visit(packets));
            self.swap_macs(slice / 4, &mut session, |packets| floor.visit_sessions(packets));
        }
        if ours.is_empty() {
            return Err("the device brings nothing any more: net_pcap wants infinite_rx=1, and a generator has to go on until the end"
                .into());
        }
        let lap = together(&ours);
        let busy: u64 = ours.iter().map(|lap| lap.busy).sum();
        let seconds = lap.whole as f64 / tsc_hz;
        Ok(ForwardReport {
            packets: lap.packets,
            seconds,
            mpps: lap.packets as f64 / seconds / 1e6,
            cycles_per_packet: lap.cycles(),
            baseline_cycles_per_packet: together(&swaps).cycles(),
            memory_cycles_per_packet: together(&memory).cycles(),
            session_cycles_per_packet: together(&session).cycles(),
            flows: self.rig.shape.flows,
            bytes_per_session: bytes_per_session::<F>(self.rig.shape.flows),
            burst: what.burst,
            workers: 1,
            scaling: None,
            replacing: None,
            disturbed_percent: 100.0 * (1.0 - lap.busy as f64 / busy as f64),
            reserve: None,
            tsc_hz,
            each: [&ours, &swaps, &memory, &session].map(|laps| laps.iter().map(Lap::cycles).collect()),
        })
    }

    fn sent(&mut self) -> u64 {
        self.rig.worker.ports_mut().iter_mut().map(|port| port.deck.taken).sum()
    }

    /// Sessions in the worker's table, after turns for two milliseconds: it publishes once in each.
    fn sessions(&mut self) -> usize {
        let end = self.rig.now() + Duration::from_millis(2);
        while self.rig.now() < end {
            self.rig.turn();
        }
        let tally = self.rig.counters.read();
        (tally.get(Counter::SessionsV4) + tally.get(Counter::SessionsV6)) as usize
    }

    /// Turns until every flow has been seen twice, and looks at a sample of what goes out. Frames come in portions meanwhile: a
    /// worker that is behind opens few sessions.
    fn warm_up(&mut self, tsc_hz: f64, length: usize) -> Result<(), String> {
        for port in self.rig.worker.ports_mut() {
            port.deck.record(SAMPLE, length);
            port.portion = Some(PORTION as usize);
        }
        let wanted = 2 * self.rig.shape.flows as u64;
        let end = cycles() + (PATIENCE_S * tsc_hz) as u64;
        while self.sent() < wanted && cycles() < end {
            for _ in 0..256 {
                self.rig.turn();
            }
        }
        for port in self.rig.worker.ports_mut() {
            port.portion = None;
        }
        let samples: Vec<_> =
            self.rig.worker.ports_mut().iter_mut().map(|port| port.deck.recorded()).collect();
        if samples.iter().all(Vec::is_empty) {
            return Err(format!(
                "nothing was forwarded: frames must be for the device's MAC address and {}, port 80, as `hitless bench \
                 capture` writes them; --vip names another address, and TCP needs a SYN to open a session then",
                self.rig.shape.vip::<F>()
            ));
        }
        let (sessions, flows) = (self.sessions(), self.rig.shape.flows);
        // A generator may have lost a few SYNs.
        if sessions < flows - flows / 100 {
            return Err(format!(
                "{sessions} of {flows} flows have a session: write --flows {sessions} if the device brings no \
                 others; TCP needs a SYN to open one"
            ));
        }
        let right = |sample: &Vec<u8>| sample.is_empty() || self.rig.sample_is_right(sample, length);
        match samples.iter().all(right) {
            true => Ok(()),
            false => Err("a forwarded packet is wrong: please report this with the command".into()),
        }
    }

    /// Turns of the worker for so many ticks.
    fn forward(&mut self, slice: u64, pieces: &mut Vec<Lap>) {
        self.rig.resume();
        let begun = cycles();
        let (mut last, mut found) = (begun, false);
        let (mut start, mut before, mut busy) = (begun, self.sent(), 0);
        while last - begun < slice {
            for _ in 0..PIECE {
                let (now_found, now) = self.rig.turn();
                // The turn before this one is over now.
                busy += if found { now - last } else { 0 };
                (last, found) = (now, now_found);
            }
            let sent = self.sent();
            // What nothing was sent in belongs to what comes next.
            if sent > before {
                pieces.push(Lap { packets: sent - before, busy, whole: last - start });
                (start, before, busy) = (last, sent, 0);
            }
        }
    }

    /// The least a forwarder can do with a packet, by the same ways, and what `beside` does with as many as came together.
    fn swap_macs(&mut self, slice: u64, pieces: &mut Vec<Lap>, mut beside: impl FnMut(usize)) {
        let ports = self.rig.worker.ports_mut();
        let begun = cycles();
        let mut burst = Burst::new();
        let (mut start, mut last) = (begun, begun);
        let (mut packets, mut busy) = (0, 0);
        while last - begun < slice {
            for _ in 0..PIECE {
                let mut sent = 0;
                for port in 0..ports.len() {
                    receive_and_swap(&mut ports[port], &mut burst);
                    beside(burst.len());
                    sent += ports[(port + 1) % ports.len()].transmit(&mut burst) as u64;
                    Mbuf::free_all(&mut burst);
                }
                let now = cycles();
                packets += sent;
                busy += if sent > 0 { now - last } else { 0 };
                last = now;
            }
            if packets > 0 {
                pieces.push(Lap { packets, busy, whole: last - start });
                (start, packets, busy) = (last, 0, 0);
            }
        }
    }
}
