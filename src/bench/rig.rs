//! A complete worker on ports that deal frames, with sessions that were opened by packets.

use super::{
    Forward,
    deck::{Dealer, Deck, Templates},
    frames::{Frames, append, checks_out, flags, scattered_step},
    services::Services,
};
use crate::{
    packet::{Family, HashKey, Steering, Tuple, V4, V6},
    plane::{
        BackendCounters, Counters, Examined, HaState, NextHop, NextHops, Ownership, Publisher, Relay, Route,
        Routes, session_memory,
    },
    port::PortFacts,
    session::{Bucket, LocalAddresses, Session, Storage, Timeouts},
    types::{Duration, InstanceId, Instant, Mac, NextHopId, PortId, Prefix, Protocol, WorkerId},
    worker::{FarEnds, PortSettings, RingSizes, Settings, Worker, rings},
};
use std::{
    io,
    marker::PhantomData,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

/// The benches' own address, where no device says another.
pub(super) const OURS: Mac = Mac([2, 0, 0, 0, 0, 1]);
/// Whoever is on the other side.
pub(super) const NEIGHBOR: Mac = Mac([2, 0, 0, 0, 0, 2]);

/// Not random: every run has its sessions in the same buckets.
const KEY: HashKey = HashKey::new([0x9e37_79b9_7f4a_7c15, 0xd1b5_4a32_d192_ed03]);

/// What a rig is made for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) flows: usize,
    pub(super) size: usize,
    pub(super) protocol: Protocol,
    pub(super) services: u32,
    pub(super) backends: u32,
    /// The first service's address; `None` for the benches' own.
    pub(super) vip: Option<IpAddr>,
}

impl Shape {
    pub(super) fn new(what: &Forward) -> Self {
        Self {
            flows: what.flows.max(1),
            size: what.size,
            protocol: what.protocol,
            services: what.services.max(1),
            backends: what.backends.max(1),
            vip: what.vip,
        }
    }

    /// Sessions to make room for.
    pub(super) const fn capacity(&self) -> usize {
        self.flows + self.flows / 8 + 64
    }

    pub(super) fn vip<F: Family>(&self) -> IpAddr {
        self.vip.unwrap_or_else(|| host::<F>(VIPS, 1))
    }

    /// The tuple of a client's packets.
    pub(super) fn client<F: Family>(&self, flow: usize) -> Tuple<F> {
        let source = host::<F>(CLIENTS, (flow / PORTS_PER_CLIENT) as u32 + 1);
        let port = 1024 + (flow % PORTS_PER_CLIENT) as u16;
        Tuple::new((source, port), (self.vip::<F>(), VIP_PORT)).unwrap_or_default()
    }

    /// The tuple of a packet from number `n`, below 2²⁴, of those who are no clients yet.
    pub(super) fn stranger<F: Family>(&self, n: u32, port: u16) -> Tuple<F> {
        Tuple::new((host::<F>(STRANGERS, n), port), (self.vip::<F>(), VIP_PORT)).unwrap_or_default()
    }

    /// The clients' frames to `to`, in scattered order.
    pub(super) fn clients_frames<F: Family>(&self, to: Mac, signal: u8) -> Templates {
        let step = scattered_step(self.flows);
        self.frames(to, signal, |n| self.client::<F>(n.wrapping_mul(step) % self.flows))
    }

    /// First packets to `to`, each of another stranger.
    fn strangers_frames<F: Family>(&self, to: Mac) -> Templates {
        let step = scattered_step(STRANGERS_MOST);
        self.frames(to, flags::SYN, |n| {
            let n = n.wrapping_mul(step) % STRANGERS_MOST;
            self.stranger::<F>(n as u32, 1024 + (n % PORTS_PER_CLIENT) as u16)
        })
    }

    /// What a generator sends to `to`; `signal`: the TCP flags of clients' packets.
    pub(super) fn templates(&self, frames: Frames, family: u8, to: Mac, signal: u8) -> Templates {
        match (frames, family) {
            (Frames::OfClients, 6) => self.clients_frames::<V6>(to, signal),
            (Frames::OfClients, _) => self.clients_frames::<V4>(to, signal),
            (Frames::OfStrangers, 6) => self.strangers_frames::<V6>(to),
            (Frames::OfStrangers, _) => self.strangers_frames::<V4>(to),
        }
    }

    fn frames<F: Family>(&self, to: Mac, signal: u8, tuple: impl Fn(usize) -> Tuple<F>) -> Templates {
        let mut templates = Templates::with_capacity(self.flows, self.size);
        let mut frame = Vec::new();
        for n in 0..self.flows {
            frame.clear();
            append(&mut frame, (NEIGHBOR, to), &tuple(n), self.protocol, signal, self.size);
            templates.push(&frame);
        }
        templates
    }
}

/// What a rig's receive queues hold: more than a bench deals before it deals nothing for a turn.
const DESCRIPTORS: u16 = 4096;

/// Frames dealt before the worker finds its queue empty: less than half of what the shortest queue of a bench holds, so that it
/// knows that it is not behind.
pub(super) const PORTION: u64 = 256;

/// A port of a rig, as a device would say.
pub(super) fn facts(id: PortId, mac: Mac, checks_ip: bool) -> PortFacts {
    PortFacts {
        id,
        name: format!("bench{id}"),
        mac,
        mtu: 1500,
        vlan: 0,
        steering: Steering::Software { workers: 1 },
        rx_descriptors: DESCRIPTORS,
        hardware_timestamps: false,
        checks_ip,
    }
}

/// What not every bench needs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extras {
    /// Sessions to make room for; `None`: somewhat more than there are flows.
    pub(super) capacity: Option<usize>,
    /// Slots of the worker's rings for session sync; 0 for none.
    pub(super) sync: usize,
    /// How long a session that is not established may be idle.
    pub(super) opening_ms: u32,
}

impl Default for Extras {
    fn default() -> Self {
        Self { capacity: None, sync: 0, opening_ms: 3_600_000 }
    }
}

#[derive(Debug)]
pub(super) struct Rig<F: Family, P: Dealer> {
    pub(super) worker: Worker<P>,
    pub(super) far: FarEnds<P::Packet>,
    pub(super) counters: Arc<Counters>,
    pub(super) shape: Shape,
    mac: Mac,
    now: Instant,
    /// `None` once they were taken, to be replaced by another thread.
    pub(super) services: Option<Services<F>>,
    _routes: Publisher<Routes>,
    clock: quanta::Clock,
    /// The time stamp counter before the last turn, and ticks that the worker's clock left out.
    last: u64,
    left_out: u64,
    family: PhantomData<F>,
}

pub(super) fn host<F: Family>(network: u8, n: u32) -> IpAddr {
    if F::VERSION == 4 {
        Ipv4Addr::from_bits(u32::from(network) << 24 | n).into()
    } else {
        Ipv6Addr::from_bits(0xfd00 << 112 | u128::from(network) << 96 | u128::from(n)).into()
    }
}

const CLIENTS: u8 = 20;
const STRANGERS: u8 = 21;
/// How many there are.
const STRANGERS_MOST: usize = 1 << 24;
pub(super) const VIPS: u8 = 10;
pub(super) const LOCALS: u8 = 11;
pub(super) const BACKENDS: u8 = 12;
const GATEWAYS: u8 = 13;
pub(super) const VIP_PORT: u16 = 80;
/// Flows of one client address.
const PORTS_PER_CLIENT: usize = 32_768;

/// A frame of a bench, of `size` bytes or more.
pub fn frame<F: Family>(tuple: &Tuple<F>, protocol: Protocol, size: usize) -> Vec<u8> {
    let mut frame = Vec::new();
    append(&mut frame, (NEIGHBOR, OURS), tuple, protocol, flags::ACK, size);
    frame
}

/// Everything by the first port, but the backends by the last.
fn routes<F: Family>(ports: usize) -> (Routes, NextHops) {
    let ends = [PortId(0), PortId(ports.saturating_sub(1) as u8)];
    let gateways = [host::<F>(GATEWAYS, 1), host::<F>(GATEWAYS, 2)];
    let everywhere = Prefix::host(host::<F>(0, 0)).widened(0);
    let backends = Prefix::host(host::<F>(BACKENDS, 0)).widened(if F::VERSION == 4 { 8 } else { 32 });
    let routes = [everywhere, backends].into_iter().zip(ends).zip(gateways);
    let hops = NextHops::new(2);
    for (slot, (port, gateway)) in (0..).zip(ends.into_iter().zip(gateways)) {
        hops.resolve(NextHopId(slot), gateway, NextHop { mac: NEIGHBOR, port });
    }
    (Routes::new(routes.map(|((to, port), via)| Route { to, port, via: Some(via) }).collect()), hops)
}

impl<F: Family, P: Dealer> Rig<F, P> {
    /// On ports of which `facts` tells; the first is the clients', the last the backends'.
    pub(super) fn new(shape: Shape, ports: Vec<P>, facts: Vec<PortFacts>) -> io::Result<Self> {
        Self::with(shape, ports, facts, Extras::default())
    }

    /// The same, with extras.
    pub(super) fn with(
        shape: Shape,
        ports: Vec<P>,
        facts: Vec<PortFacts>,
        extras: Extras,
    ) -> io::Result<Self> {
        let capacity = extras.capacity.unwrap_or_else(|| shape.capacity());
        // Enough local addresses that no backend runs out of ports.
        let locals = (capacity / shape.backends as usize / 50_000 + 1) as u32;
        let services = Services::<F>::new(shape, locals).map_err(io::Error::other)?;
        let (routes, next_hops) = routes::<F>(ports.len());
        let routes = Publisher::new(routes);
        let mac = facts.first().map_or(OURS, |first| first.mac);
        let ownership = Arc::new(Ownership::new(1));
        ownership.set(InstanceId(0), HaState::Master, 1);
        let backend_slots = (shape.backends + shape.services) as usize;
        let (v4, v6) = if F::VERSION == 4 { (capacity, 0) } else { (0, capacity) };
        let settings = Settings {
            worker: WorkerId(0),
            ports: facts
                .into_iter()
                .map(|facts| PortSettings { facts, kernel_interface: false, virtual_macs: Vec::new() })
                .collect(),
            v4: session_memory(v4)?,
            v6: session_memory(v6)?,
            key: KEY,
            next_hops: Arc::new(next_hops),
            ownership,
            examined: Arc::new(Examined::new(ports.len())),
            links: Arc::default(),
            relay: Arc::new(Relay::new(ports.len())),
            ping_witness: false,
            probes: Arc::default(),
            backends: vec![Arc::new(BackendCounters::new(backend_slots))],
            backend_slots,
            local_addresses: LocalAddresses::new(
                (0..locals).map(|n| (host::<F>(LOCALS, n + 1), InstanceId(0))),
            ),
            local_ports: 1024..=65535,
            timeouts: Timeouts { opening_ms: extras.opening_ms, ..Timeouts::default() },
            held_packets: 16,
            fragments: 64,
        };
        let sizes = RingSizes { hand_over: 1, control: 64, kernel: 1, sync: extras.sync };
        let (mut near, far) = rings(1, sizes);
        let counters = Arc::new(Counters::default());
        let worker = Worker::new(
            ports,
            settings,
            services.reader(),
            routes.reader(),
            near.remove(0),
            Arc::clone(&counters),
        );
        Ok(Self {
            worker,
            far,
            counters,
            shape,
            mac,
            now: Instant::ZERO,
            services: Some(services),
            _routes: routes,
            clock: quanta::Clock::new(),
            last: 0,
            left_out: 0,
            family: PhantomData,
        })
    }

    /// The first port's frames.
    pub(super) fn deck(&mut self) -> &mut Deck {
        self.worker.ports_mut()[0].deck()
    }

    /// One turn of the worker, `step` after the last.
    pub(super) fn turn_after(&mut self, step: Duration) {
        self.now = self.now + step;
        self.worker.turn(self.now);
    }

    /// When the last turn began.
    pub(super) const fn now(&self) -> Instant {
        self.now
    }

    /// One turn of the worker at a moment of another clock.
    #[inline]
    pub(super) fn turn_at(&mut self, now: Instant) {
        self.now = now;
        self.worker.turn(now);
    }

    /// One turn of the worker; whether it found anything, and the time stamp counter before it.
    #[inline]
    pub(super) fn turn(&mut self) -> (bool, u64) {
        self.last = self.clock.raw();
        self.now = Instant::from_nanos(self.clock.delta_as_nanos(self.left_out, self.last));
        (self.worker.turn(self.now), self.last)
    }

    /// For the worker no time has passed since its last turn: else it would owe its sessions all the looks of that time.
    pub(super) fn resume(&mut self) {
        self.left_out += self.clock.raw() - self.last;
    }

    /// Turns until the first port has dealt all it had.
    pub(super) fn drain(&mut self) {
        let mut idle = 0;
        while self.deck().remaining > 0 && idle < 1_000_000 {
            idle = if self.turn().0 { 0 } else { idle + 1 };
        }
    }

    /// Deals `templates` once, and returns what was sent.
    fn exchange(&mut self, templates: Templates, count: usize) -> Vec<u8> {
        let length = templates.length;
        for port in self.worker.ports_mut() {
            port.deck().record(count, length);
        }
        self.deck().load(templates, 0);
        let mut left = count as u64;
        while left > 0 {
            let portion = left.min(PORTION);
            self.deck().remaining = portion;
            self.drain();
            self.turn();
            left -= portion;
        }
        self.worker.ports_mut().iter_mut().flat_map(|port| port.deck().recorded()).collect()
    }

    /// Opens every flow with packets, one after the other, and returns the frames of both directions in scattered order: neither
    /// their places in the index nor their sessions lie in a row.
    pub(super) fn establish(&mut self) -> Templates {
        let Shape { flows, size, protocol, .. } = self.shape;
        let opening = self.shape.frames(self.mac, flags::SYN, |n| self.shape.client::<F>(n));
        let length = opening.length;
        let sent = self.exchange(opening, flows);
        let replies: Vec<Tuple<F>> =
            sent.chunks(length).filter_map(|frame| sent_tuple::<F>(frame)).map(Tuple::swapped).collect();
        drop(sent);
        let mac = self.mac;
        let mut frame = Vec::new();
        let mut reply = |templates: &mut Templates, n: usize, signal| {
            frame.clear();
            append(&mut frame, (NEIGHBOR, mac), &replies[n], protocol, signal, size);
            templates.push(&frame);
        };
        if protocol == Protocol::Tcp {
            let mut answers = Templates::with_capacity(replies.len(), size);
            (0..replies.len()).for_each(|n| reply(&mut answers, n, flags::SYN_ACK));
            self.exchange(answers, replies.len());
        }
        let (step, count) = (scattered_step(replies.len()), replies.len());
        let scattered = |n: usize| n.wrapping_mul(step) % count;
        let mut steady = Templates::with_capacity(2 * flows, size);
        let mut asking = Vec::new();
        for n in 0..count {
            asking.clear();
            let client = self.shape.client::<F>(scattered(n));
            append(&mut asking, (NEIGHBOR, mac), &client, protocol, flags::ACK, size);
            steady.push(&asking);
            // Half a round later, so that a flow's second packet does not find its session in the cache.
            reply(&mut steady, scattered(n + count / 2), flags::ACK);
        }
        steady
    }

    /// Whether a sample of what the worker sent is right to the last checksum.
    pub(super) fn sample_is_right(&self, recorded: &[u8], length: usize) -> bool {
        !recorded.is_empty()
            && recorded.chunks(length).all(|frame| checks_out::<F>(frame, self.shape.protocol))
    }
}

fn sent_tuple<F: Family>(frame: &[u8]) -> Option<Tuple<F>> {
    F::parse(frame.get(14..)?, true).ok().map(|flow| flow.tuple)
}

/// Memory of a table's session: the entry, its two index entries at the table's load, its place in the free list.
pub(super) fn bytes_per_session<F: Family>(sessions: usize) -> f64 {
    let buckets = Storage::<F>::buckets_for(sessions) * size_of::<Bucket>();
    size_of::<Session<F>>() as f64 + 4.0 + buckets as f64 / sessions as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::{Forward, replay::Replay};

    #[test]
    fn sessions_are_not_visited_in_the_order_in_which_they_lie() {
        let shape = Shape::new(&Forward { flows: 1000, ..Forward::default() });
        let ports = (vec![Replay::new(4096, 64).unwrap()], vec![facts(PortId(0), OURS, false)]);
        let mut rig = Rig::<crate::packet::V4, _>::new(shape, ports.0, ports.1).unwrap();
        let steady = rig.establish();
        // Sessions lie in the order of their clients' ports.
        let ports: Vec<u16> = steady
            .frames()
            .step_by(2)
            .map(|frame| u16::from_be_bytes(*frame[34..].first_chunk().unwrap()))
            .collect();
        assert_eq!(ports.len(), 1000);
        assert!(ports.windows(2).all(|two| two[0].abs_diff(two[1]) > 300), "{ports:?}");
        let mut all = ports;
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 1000, "each once");
    }
}
