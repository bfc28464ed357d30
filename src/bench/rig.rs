//! A complete worker on a [`Replay`] port, with sessions that were opened by packets.

use super::{
    frames::{append, checks_out, flags},
    replay::{Replay, scattered_step},
};
use crate::{
    packet::{Family, HashKey, Steering, Tuple, V4, V6},
    plane::{
        BackendCounters, Counters, HaState, Mapped, NextHop, NextHops, Ownership, Publisher, Route, Routes,
    },
    port::PortFacts,
    service::{Backend, Role, SchedulerKind, ServiceSpec, ServiceTable},
    session::{Bucket, LocalAddresses, Session, Storage, Timeouts},
    types::{
        BackendId, Duration, InstanceId, Instant, Mac, NextHopId, PortId, Prefix, Protocol, ServiceId,
        WorkerId,
    },
    worker::{PortSettings, RingSizes, Settings, Worker, rings},
};
use std::{
    io,
    marker::PhantomData,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

const OURS: Mac = Mac([2, 0, 0, 0, 0, 1]);
const NEIGHBOR: Mac = Mac([2, 0, 0, 0, 0, 2]);
/// Buffers of the port: more than the first-level cache holds.
const BUFFERS: usize = 4096;

/// What a rig is made for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) flows: usize,
    pub(super) size: usize,
    pub(super) protocol: Protocol,
    pub(super) services: u32,
    pub(super) backends: u32,
}

pub(super) struct Rig<F: Family> {
    pub(super) worker: Worker<Replay>,
    pub(super) shape: Shape,
    _services: Publisher<ServiceTable>,
    _routes: Publisher<Routes>,
    clock: quanta::Clock,
    family: PhantomData<F>,
}

fn host<F: Family>(network: u8, n: u32) -> IpAddr {
    if F::VERSION == 4 {
        Ipv4Addr::from_bits(u32::from(network) << 24 | n).into()
    } else {
        Ipv6Addr::from_bits(0xfd00 << 112 | u128::from(network) << 96 | u128::from(n)).into()
    }
}

const CLIENTS: u8 = 20;
const VIPS: u8 = 10;
const LOCALS: u8 = 11;
const BACKENDS: u8 = 12;
const GATEWAY: u8 = 13;
/// Flows of one client address.
const PORTS_PER_CLIENT: usize = 32_768;

/// The services of a rig: the first takes the traffic, each other has one of the same backends.
pub(super) fn table<F: Family>(shape: &Shape, locals: u32, previous: Option<&ServiceTable>) -> ServiceTable {
    let backend = |n: u32, id: u32| Backend {
        id: BackendId(id),
        address: host::<F>(BACKENDS, n + 1),
        port: Some(8080),
        weight: 1,
        available: true,
    };
    let service = |n: u32| ServiceSpec {
        id: ServiceId(n),
        name: format!("bench{n}"),
        instance: InstanceId(0),
        vip: host::<F>(VIPS, n / 30_000 + 1),
        secondary_vips: Vec::new(),
        ports: (80 + n % 30_000) as u16..=(80 + n % 30_000) as u16,
        protocol: shape.protocol,
        scheduler: SchedulerKind::Maglev,
        idle_timeout: Duration::from_secs(3600),
        allowed_sources: Vec::new(),
        backends: match n {
            0 => (0..shape.backends).map(|b| backend(b, b)).collect(),
            _ => vec![backend(n % shape.backends, shape.backends + n)],
        },
    };
    let addresses = (0..locals).map(|n| (host::<F>(LOCALS, n + 1), Role::Local(InstanceId(0))));
    match ServiceTable::build((0..shape.services).map(service).collect(), addresses, previous) {
        Ok(table) => table,
        Err(error) => unreachable!("the bench's services are refused: {error}"),
    }
}

impl<F: Mapped> Rig<F> {
    /// Room for `capacity` sessions.
    pub(super) fn new(shape: Shape, capacity: usize) -> io::Result<Self> {
        // Enough local addresses that no backend runs out of ports.
        let locals = (capacity / shape.backends as usize / 50_000 + 1) as u32;
        let services = Publisher::new(table::<F>(&shape, locals, None));
        let gateway = host::<F>(GATEWAY, 1);
        let everywhere = Prefix::host(host::<F>(0, 0)).widened(0);
        let route = Route { to: everywhere, port: PortId(0), via: Some(gateway) };
        let routes = Publisher::new(Routes::new(vec![route]));
        let next_hops = Arc::new(NextHops::new(1));
        next_hops.resolve(NextHopId(0), gateway, NextHop { mac: NEIGHBOR, port: PortId(0) });
        let ownership = Arc::new(Ownership::new(1));
        ownership.set(InstanceId(0), HaState::Master, 1);
        let backend_slots = (shape.backends + shape.services) as usize;
        let (v4, v6) = if F::VERSION == 4 { (capacity, 0) } else { (0, capacity) };
        let settings = Settings {
            worker: WorkerId(0),
            ports: vec![PortSettings {
                facts: PortFacts {
                    id: PortId(0),
                    name: "replay".into(),
                    mac: OURS,
                    mtu: 1500,
                    vlan: 0,
                    steering: Steering::Software { workers: 1 },
                    checks_ip: false,
                },
                kernel_interface: false,
            }],
            v4: V4::session_memory(v4)?,
            v6: V6::session_memory(v6)?,
            key: HashKey::random(),
            next_hops,
            ownership,
            backends: vec![Arc::new(BackendCounters::new(backend_slots))],
            backend_slots,
            local_addresses: LocalAddresses::new(
                (0..locals).map(|n| (host::<F>(LOCALS, n + 1), InstanceId(0))),
            ),
            local_ports: 1024..=65535,
            timeouts: Timeouts { opening_ms: 3_600_000, ..Timeouts::default() },
            held_packets: 16,
            fragments: 64,
        };
        let (mut near, _) = rings(1, RingSizes { hand_over: 1, control: 64, kernel: 1 });
        let worker = Worker::new(
            vec![Replay::new(BUFFERS)],
            settings,
            services.reader(),
            routes.reader(),
            near.remove(0),
            Arc::new(Counters::default()),
        );
        Ok(Self {
            worker,
            shape,
            _services: services,
            _routes: routes,
            clock: quanta::Clock::new(),
            family: PhantomData,
        })
    }

    pub(super) fn port(&mut self) -> &mut Replay {
        &mut self.worker.ports_mut()[0]
    }

    /// The tuple of a client's packets.
    pub(super) fn client(&self, flow: usize) -> Tuple<F> {
        let source = host::<F>(CLIENTS, (flow / PORTS_PER_CLIENT) as u32 + 1);
        let port = 1024 + (flow % PORTS_PER_CLIENT) as u16;
        Tuple::new((source, port), (host::<F>(VIPS, 1), 80)).unwrap_or_default()
    }

    /// Turns until the port has dealt all it had.
    pub(super) fn drain(&mut self) {
        let mut idle = 0;
        while self.port().remaining > 0 && idle < 1_000_000 {
            let now = Instant::from_nanos(self.clock.delta_as_nanos(0, self.clock.raw()));
            idle = if self.worker.turn(now) { 0 } else { idle + 1 };
        }
    }

    /// Opens every flow with packets and returns the frames of both directions, in scattered order.
    pub(super) fn establish(&mut self) -> Vec<u8> {
        let Shape { flows, size, protocol, .. } = self.shape;
        let step = scattered_step(flows);
        let order = |n: usize| n.wrapping_mul(step) % flows;
        let mut opening = Vec::with_capacity(flows * size);
        for n in 0..flows {
            append(&mut opening, (NEIGHBOR, OURS), &self.client(order(n)), protocol, flags::SYN, size);
        }
        let length = opening.len() / flows;
        self.port().load(opening, length, flows as u64);
        self.port().record(flows);
        self.drain();
        let sent = std::mem::take(&mut self.port().recorded);
        let replies: Vec<Tuple<F>> =
            sent.chunks(length).filter_map(|frame| sent_tuple::<F>(frame)).map(Tuple::swapped).collect();
        drop(sent);
        if protocol == Protocol::Tcp {
            let mut answers = Vec::with_capacity(flows * length);
            for reply in &replies {
                append(&mut answers, (NEIGHBOR, OURS), reply, protocol, flags::SYN_ACK, size);
            }
            self.port().load(answers, length, replies.len() as u64);
            self.drain();
        }
        let mut steady = Vec::with_capacity(2 * flows * length);
        for n in 0..replies.len() {
            append(&mut steady, (NEIGHBOR, OURS), &self.client(order(n)), protocol, flags::ACK, size);
            // Half a round later, so that a flow's second packet does not find its session in the cache.
            let other = &replies[(n + replies.len() / 2) % replies.len()];
            append(&mut steady, (NEIGHBOR, OURS), other, protocol, flags::ACK, size);
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
