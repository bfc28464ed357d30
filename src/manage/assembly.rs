//! A node put together: workers, control core and what management keeps of them, over ports of any kind.

use super::{
    Entropy, Refusals, Registry, ServiceList, SessionLists,
    health::HealthView,
    pair::{self, Identity},
    paths,
    stack::{Stack, Wire},
};
use crate::{
    config::Config,
    control::{
        self, Allocator, BfdView, Control, Event, HaView, Mailbox, NeighborView, NodeAddresses, Outlet,
        OutletPort, PairView, Reception, SyncView,
    },
    packet::{HashKey, V4, V6},
    plane::{
        BackendCounters, Counters, Examined, Histogram, Links, NextHops, Ownership, ProbePorts, Publisher,
        Relay, Route, Routes, session_memory,
    },
    port::{Port, PortFacts},
    service::BuildError,
    session::{LocalAddresses, Timeouts},
    types::{BackendId, Duration, PortId, WorkerId},
    worker::{OnPort, PortSettings, RingSizes, Rings, Settings, Worker, rings},
};
use arc_swap::ArcSwap;
use crossbeam::queue::ArrayQueue;
use parking_lot::Mutex;
use rtrb::{Consumer, Producer, RingBuffer};
use std::{io, net::IpAddr, sync::Arc};

/// An opened port: its queues, and packets for those who make some.
pub struct PortParts<P: Port> {
    /// What the device says.
    pub facts: PortFacts,
    /// One queue pair a worker.
    pub queues: Vec<P>,
    /// The control core's own, if there is one.
    pub control: Option<P>,
    /// Where what the peer sends arrives.
    pub reception: Reception,
    /// Packets for the control core.
    pub allocate: Allocator<P::Packet>,
    /// Its addresses that the kernel has not got and gets by no kernel interface: probes from there leave by the stack.
    pub stack_addresses: Vec<IpAddr>,
}

impl<P: Port> std::fmt::Debug for PortParts<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PortParts").field("facts", &self.facts).finish_non_exhaustive()
    }
}

/// How a port does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct PortStatus {
    /// Its link is up; `None` where the driver does not say.
    pub link: Option<bool>,
    /// Packets received and sent, by the device's count.
    pub packets: [u64; 2],
    /// Bytes received and sent.
    pub bytes: [u64; 2],
    /// Packets lost on receipt (queue full, no buffer, damaged), and on sending.
    pub errors: [u64; 2],
}

/// What management keeps of a running node.
#[derive(Debug)]
pub struct Shared {
    /// The configuration it was started with.
    pub config: Config,
    /// Its ports, as they came up.
    pub ports: Vec<PortFacts>,
    /// How each port does; renewed several times a second where there are devices.
    pub port_status: Mutex<Vec<PortStatus>>,
    /// Services, for who changes them.
    pub registry: Arc<Mutex<Registry>>,
    /// Services, for who reads them.
    pub services: Arc<ArcSwap<ServiceList>>,
    /// Each worker's counters.
    pub counters: Vec<Arc<Counters>>,
    /// Each worker's counts per backend.
    pub backends: Vec<Arc<BackendCounters>>,
    /// Who serves.
    pub ownership: Arc<Ownership>,
    /// Which ports have a link; written by whoever looks at the devices.
    pub links: Arc<Links>,
    /// Neighbours.
    pub neighbors: Arc<NeighborView>,
    /// Health checks.
    pub health: HealthView,
    /// BFD sessions.
    pub bfd: Arc<BfdView>,
    /// How long the control core's turns take.
    pub turn_times: Arc<Histogram>,
    /// Sessions.
    pub sessions: SessionLists,
    /// What the control core tells.
    pub events: Arc<ArrayQueue<Event>>,
    /// Who of the two serves.
    pub ha: Option<Arc<HaView>>,
    /// Where the control core is asked for something.
    pub mailbox: Arc<Mailbox>,
    /// The conversation with the peer.
    pub pair: Option<Arc<PairView>>,
    /// Session sync with it.
    pub sync: Option<Arc<SyncView>>,
    /// The routes.
    pub routes: Mutex<Publisher<Routes>>,
    /// How probes leave where the kernel has no way.
    pub stack: Option<Stack>,
}

/// What a backend carries, all workers together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Load {
    /// Packets forwarded, both directions, since its slot was first used.
    pub packets: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Sessions opened.
    pub opened: u64,
    /// Sessions now.
    pub sessions: u64,
    /// The last of those opened, so many in a row on each worker, that have had no answer yet.
    pub unanswered: u64,
}

impl Shared {
    /// What a backend carries.
    pub fn load_of(&self, id: BackendId) -> Load {
        let mut load = Load::default();
        for counters in &self.backends {
            let (packets, bytes, opened) = counters.totals(id);
            load.packets += packets;
            load.bytes += bytes;
            load.opened += opened;
            load.sessions += counters.active(id);
            load.unanswered += counters.unanswered(id);
        }
        load
    }
}

/// The rings to and from the kernel interfaces.
#[derive(Debug)]
pub struct KernelRings<P> {
    /// From each worker, and from the control core.
    pub from_workers: Vec<Consumer<OnPort<P>>>,
    /// To the first worker.
    pub to_wire: Producer<OnPort<P>>,
    /// The end of the stack in their place.
    pub stack: Option<Wire>,
}

/// A node, ready to turn.
#[derive(Debug)]
pub struct Assembly<P: Port> {
    /// One per worker core.
    pub workers: Vec<Worker<P>>,
    /// The control core.
    pub control: Control<P>,
    /// Everything else.
    pub shared: Arc<Shared>,
    /// For the kernel interfaces.
    pub kernel: KernelRings<P::Packet>,
}

/// Why a node cannot be put together.
#[derive(Debug, thiserror::Error)]
pub enum AssemblyError {
    /// There is not enough memory.
    #[error("no memory for {sessions} sessions: lower `nat.max_sessions` or add memory: {source}")]
    Memory {
        /// Sessions of one worker and family.
        sessions: usize,
        /// The system's word.
        source: io::Error,
    },
    /// There is no descriptor left for the stack.
    #[error("no file descriptor for health checks: {0}: raise the limit of open files (ulimit -n)")]
    Stack(io::Error),
    /// The addresses are refused.
    #[error(transparent)]
    Addresses(#[from] BuildError),
    /// A key of BFD.
    #[error(transparent)]
    BfdKey(#[from] super::KeyFileError),
    /// The key of the pair cannot be read.
    #[error(
        "ha.sync.key_file = \"{path}\": {source}: give this process the right to read it, or name another file"
    )]
    KeyFile {
        /// The file.
        path: String,
        /// The system's word.
        source: io::Error,
    },
    /// The key of the pair is none.
    #[error("ha.sync.key_file = \"{path}\": {source}")]
    Key {
        /// The file.
        path: String,
        /// What is wrong with it.
        source: crate::protocol::pair::KeyError,
    },
    /// The services are refused.
    #[error(transparent)]
    Services(#[from] Refusals),
}

/// Puts a node together.
///
/// # Errors
///
/// In words for the person who started it.
pub fn assemble<P: Port>(config: Config, parts: Vec<PortParts<P>>) -> Result<Assembly<P>, AssemblyError> {
    assemble_from(config, parts, Entropy::system())
}

/// The same, its random choices taken from `entropy`.
///
/// # Errors
///
/// As [`assemble`].
pub fn assemble_from<P: Port>(
    config: Config,
    parts: Vec<PortParts<P>>,
    mut entropy: Entropy,
) -> Result<Assembly<P>, AssemblyError> {
    let workers = config.cores.workers.len();
    let mut registry = Registry::new(&config)?;
    registry.replace(config.services.clone(), std::time::Instant::now())?;
    let routes = Publisher::new(routes(&config));
    // The neighbour machine rests slots before it uses them again: it has three times as many.
    let next_hops = Arc::new(NextHops::new(3 * config.limits.neighbors as usize));
    let ownership = Arc::new(Ownership::new(config.instances().len() as u8));
    let links = Arc::new(Links::default());
    let relay = Arc::new(Relay::new(config.ports.len()));
    let mailbox = Arc::new(Mailbox::default());
    let identity = Identity::new(&config, entropy.word());
    let counters: Vec<_> = (0..workers).map(|_| Arc::new(Counters::default())).collect();
    let backend_slots = Registry::backend_slots(&config) as usize;
    let backends: Vec<_> = (0..workers).map(|_| Arc::new(BackendCounters::new(backend_slots))).collect();
    let examined: Vec<_> = (0..workers).map(|_| Arc::new(Examined::new(config.ports.len()))).collect();
    let sync_slots = if pair::shares_sessions(&config) { pair::RING_SLOTS } else { 0 };
    let (near, mut far) = rings(workers, RingSizes { sync: sync_slots, ..RingSizes::default() });
    let events = Arc::new(ArrayQueue::new(256));
    let facts: Vec<PortFacts> = parts.iter().map(|part| part.facts.clone()).collect();
    let probes = Arc::new(ProbePorts::default());
    let stack = stack(&parts, &probes, &mut entropy).map_err(AssemblyError::Stack)?;
    let wire = stack.clone().map(|stack| {
        let (requests, requested) = RingBuffer::new(STACK_REQUESTS);
        far.requests.push(requested);
        Wire::new(stack, &facts, routes.reader(), Arc::clone(&next_hops), requests)
    });
    let addresses = NodeAddresses::new(
        facts.iter().zip(&config.ports).map(|(facts, port)| (facts.mac, port.addresses.clone())),
    );

    let peer = pair::peer(&config, &facts, identity)?;
    let sync = pair::sync(&facts, far.journals, far.records, entropy.word());
    let ha = pair::ha(&config, identity, registry.neighborhood().announced());
    let (queues, outlet_ports) = split(parts);
    let build = |(number, (queues, rings)): (usize, (Vec<P>, Rings<P::Packet>))| {
        let settings = settings(
            &config,
            WorkerId(number as u8),
            &facts,
            Plane {
                next_hops: &next_hops,
                ownership: &ownership,
                links: &links,
                relay: &relay,
                backends: &backends,
                probes: &probes,
            },
            &examined[number],
            entropy.key(),
        )?;
        let counters = Arc::clone(&counters[number]);
        Ok(Worker::new(queues, settings, registry.reader(), routes.reader(), rings, counters))
    };
    let workers: Vec<_> =
        queues.into_iter().zip(near).enumerate().map(build).collect::<Result<_, AssemblyError>>()?;
    let control = Control::new(control::Settings {
        outlet: Outlet::new(outlet_ports, far.from_control),
        addresses,
        urgent: far.urgent,
        examined: examined.clone(),
        bfd: paths::sessions(&config)?,
        seed: entropy.word(),
        neighbors: far.control,
        requests: far.requests,
        kernel: far.control_to_kernel,
        kernel_interfaces: config.ports.iter().map(|port| port.kernel_interface.is_some()).collect(),
        services: registry.reader(),
        pins: registry.neighborhood().pins(),
        routes: routes.reader(),
        next_hops,
        ownership: Arc::clone(&ownership),
        links: Arc::clone(&links),
        relay: Arc::clone(&relay),
        mailbox: Arc::clone(&mailbox),
        workers: counters.clone(),
        stall: config.cores.stall,
        max_neighbors: config.limits.neighbors as usize,
        events: Arc::clone(&events),
        peer,
        sync,
        ha,
    });
    let shared = Shared {
        port_status: Mutex::new(vec![PortStatus::default(); facts.len()]),
        ports: facts,
        services: registry.published(),
        registry: Arc::new(Mutex::new(registry)),
        counters,
        backends,
        ownership,
        links,
        neighbors: control.neighbor_view(),
        health: HealthView::default(),
        bfd: control.bfd_view(),
        turn_times: control.turn_times(),
        sessions: SessionLists::new(far.commands, far.dumped),
        events,
        ha: control.ha_view(),
        mailbox,
        pair: control.pair_view(),
        sync: control.sync_view(),
        routes: Mutex::new(routes),
        stack,
        config,
    };
    let kernel = KernelRings { from_workers: far.kernel, to_wire: far.from_kernel, stack: wire };
    Ok(Assembly { workers, control, shared: Arc::new(shared), kernel })
}

/// Next hops that the stack may ask for at a time.
const STACK_REQUESTS: usize = 256;

/// The stack, with the addresses that want one; `None` without.
fn stack<P: Port>(
    parts: &[PortParts<P>],
    probes: &Arc<ProbePorts>,
    entropy: &mut Entropy,
) -> io::Result<Option<Stack>> {
    let ports = parts.iter().filter(|part| !part.stack_addresses.is_empty());
    let Some(mtu) = ports.clone().map(|part| part.facts.mtu).min() else { return Ok(None) };
    let addresses = ports.flat_map(|part| part.stack_addresses.iter().copied()).collect();
    Stack::new(addresses, mtu, Arc::clone(probes), entropy.word()).map(Some)
}

/// Each worker's queues over all ports, and the control core's ways out.
fn split<P: Port>(parts: Vec<PortParts<P>>) -> (Vec<Vec<P>>, Vec<OutletPort<P>>) {
    let mut queues: Vec<Vec<P>> = Vec::new();
    let mut outlets = Vec::new();
    for part in parts {
        for (worker, queue) in part.queues.into_iter().enumerate() {
            if queues.len() <= worker {
                queues.push(Vec::new());
            }
            queues[worker].push(queue);
        }
        let PortParts { facts, control, reception, allocate, .. } = part;
        outlets.push(OutletPort { facts, queue: control, reception, allocate });
    }
    (queues, outlets)
}

/// What workers share with other threads.
struct Plane<'a> {
    next_hops: &'a Arc<NextHops>,
    ownership: &'a Arc<Ownership>,
    links: &'a Arc<Links>,
    relay: &'a Arc<Relay>,
    backends: &'a [Arc<BackendCounters>],
    probes: &'a Arc<ProbePorts>,
}

fn settings(
    config: &Config,
    worker: WorkerId,
    facts: &[PortFacts],
    plane: Plane<'_>,
    examined: &Arc<Examined>,
    key: HashKey,
) -> Result<Settings, AssemblyError> {
    let nat = &config.nat;
    let instance = |name: &str| config.instance_id(name).unwrap_or_default();
    let local_addresses = LocalAddresses::new(
        nat.local_addresses.iter().map(|local| (local.address, instance(&local.instance))),
    );
    let sessions = (nat.max_sessions as usize).div_ceil(config.cores.workers.len().max(1));
    let room = |wanted: bool| if wanted { sessions } else { 0 };
    let memory = |source| AssemblyError::Memory { sessions, source };
    let millis = |span: Duration| u32::try_from(span.as_millis()).unwrap_or(u32::MAX);
    let virtual_macs = pair::virtual_macs(config);
    let ports = facts.iter().zip(&config.ports).map(|(facts, port)| PortSettings {
        facts: facts.clone(),
        kernel_interface: port.kernel_interface.is_some(),
        virtual_macs: virtual_macs.clone(),
    });
    Ok(Settings {
        worker,
        ports: ports.collect(),
        v4: session_memory(room(local_addresses.has::<V4>())).map_err(memory)?,
        v6: session_memory(room(local_addresses.has::<V6>())).map_err(memory)?,
        key,
        next_hops: Arc::clone(plane.next_hops),
        ownership: Arc::clone(plane.ownership),
        examined: Arc::clone(examined),
        links: Arc::clone(plane.links),
        relay: Arc::clone(plane.relay),
        ping_witness: pair::pings(config),
        probes: Arc::clone(plane.probes),
        backends: plane.backends.to_vec(),
        backend_slots: Registry::backend_slots(config) as usize,
        local_addresses,
        local_ports: nat.ports.ports(),
        timeouts: Timeouts {
            opening_ms: millis(nat.tcp_syn_timeout),
            half_closed_ms: millis(nat.tcp_fin_timeout),
            closed_ms: millis(nat.tcp_closed_timeout),
        },
        held_packets: config.limits.held_packets as usize,
        fragments: config.limits.fragments as usize,
    })
}

/// The routes of a configuration: its ports' subnets and those it names.
pub fn routes(config: &Config) -> Routes {
    let on_port = |number: usize| PortId(number as u8);
    let connected = config.ports.iter().enumerate().flat_map(|(number, port)| {
        port.addresses.iter().map(move |own| Route { to: own.network(), port: on_port(number), via: None })
    });
    let over = |gateway| {
        config
            .ports
            .iter()
            .position(|port| port.addresses.iter().any(|own| own.contains(gateway)))
            .map(on_port)
    };
    let fixed = config.routes.iter().filter_map(|route| {
        Some(Route { to: route.to.network(), port: over(route.via)?, via: Some(route.via) })
    });
    Routes::new(connected.chain(fixed).collect())
}
