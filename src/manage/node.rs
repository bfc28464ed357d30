//! A node on DPDK ports: start, threads, stop.

use super::{
    Assembly, AssemblyError, ChangesError, KernelInterfaceError, KernelInterfaces, PortParts, PortStatus,
    ReservedTerms, Shared, assemble,
    clock::Clock,
    pair::virtual_macs,
    server::{TlsError, TokenError},
};
use crate::{
    config::{self, Config},
    control::{self, Reception},
    dpdk::{
        Device, DeviceClock, DeviceError, Eal, EalError, EalOptions, Filter, FlowRule, Mbuf, Nic,
        OpenOptions, Pool, PoolError, PoolOptions, Queue, log, whole_datagrams,
    },
    protocol::{
        bfd::{MULTI_HOP_PORT, SINGLE_HOP_PORT},
        pair::SYNC_PORT,
    },
    types::{Duration, Instant, PortId, Prefix},
    worker::{self, ECHO_PORT, Idle, Stop},
};
use parking_lot::Mutex;
use std::{
    collections::HashSet,
    io,
    net::IpAddr,
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram},
    },
    sync::{Arc, atomic::Ordering::Relaxed},
    thread::{self, JoinHandle},
};
use tracing::{debug, error, info, warn};

/// Priorities under `SCHED_FIFO`: above most of what a kernel runs there, below its own watchdogs. The control thread's is
/// higher, for machines where they share a core.
const CONTROL_PRIORITY: Option<u8> = Some(60);
const WORKERS_PRIORITY: Option<u8> = Some(50);

/// Puts the calling thread under `SCHED_FIFO`; what the kernel says if it may not be.
fn run_in_real_time(priority: u8) -> Result<(), String> {
    use thread_priority::{
        RealtimeThreadSchedulePolicy::Fifo, ThreadPriority, ThreadSchedulePolicy,
        set_thread_priority_and_policy, thread_native_id,
    };
    let value = priority.try_into()?;
    let (priority, policy) = (ThreadPriority::Crossplatform(value), ThreadSchedulePolicy::Realtime(Fifo));
    set_thread_priority_and_policy(thread_native_id(), priority, policy).map_err(|error| error.to_string())
}

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// DPDK.
    #[error(transparent)]
    Eal(#[from] EalError),
    /// No packet buffers.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// A device.
    #[error("port {port}: {source}")]
    Device {
        /// The port's name.
        port: String,
        /// What it says.
        source: DeviceError,
    },
    /// Somebody has the device already.
    #[error("port {port}: another hitless uses {device} already: stop it, or give this one another device")]
    InUse {
        /// The port's name.
        port: String,
        /// The device.
        device: String,
    },
    /// Tables.
    #[error(transparent)]
    Assembly(#[from] AssemblyError),
    /// A kernel interface.
    #[error(transparent)]
    KernelInterface(#[from] KernelInterfaceError),
    /// The terms reserved on disk.
    #[error("{0}")]
    Terms(io::Error),
    /// A core.
    #[error("core {core} of cores.{role} cannot be used: run `hitless devices` to see which there are")]
    Core {
        /// The core.
        core: u16,
        /// Which key names it.
        role: &'static str,
    },
    /// Real-time priority.
    #[error(
        "cores.realtime: {name} may not run under SCHED_FIFO ({reason}): start with CAP_SYS_NICE, or set it to false"
    )]
    Realtime {
        /// The thread.
        name: String,
        /// What the kernel says.
        reason: String,
    },
    /// A thread.
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
    /// The service manager.
    #[error(
        "NOTIFY_SOCKET names a socket that cannot be reached: {0}: start this as a service with Type=notify, or unset the variable"
    )]
    Supervisor(io::Error),
    /// What the API keeps.
    #[error(transparent)]
    Changes(#[from] ChangesError),
    /// The API's certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The API's token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The API's address.
    #[error(
        "api.listen = \"{address}\": {source}: is another hitless running? Choose another address or stop it"
    )]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// The system's word.
        source: io::Error,
    },
}

/// A running node.
#[derive(Debug)]
pub struct Node {
    /// What management works with.
    pub shared: Arc<Shared>,
    /// The devices, apart from their queues.
    nics: Vec<Nic>,
    /// Bring what the peer sends to the control core.
    _rules: Vec<FlowRule>,
    stop: Arc<Stop>,
    threads: Vec<JoinHandle<()>>,
    /// Held for as long as the devices are.
    _claims: Vec<UnixDatagram>,
    /// Clocks that receive times are told in, and when they were last read.
    clocks: Mutex<(Instant, Vec<DeviceClock>)>,
    clock: Clock,
    eal: Arc<Eal>,
}

/// From one reading of the devices' clocks to the next.
const CLOCK_INTERVAL: Duration = Duration::from_secs(1);

impl Node {
    /// Starts everything but the API.
    ///
    /// # Errors
    ///
    /// In words for the person who started it; what was started is stopped again.
    pub fn start(config: Config) -> Result<Self, NodeError> {
        log::set_sink(Some(|severity, line| match severity {
            log::Severity::Error => error!("{line}"),
            log::Severity::Warning => warn!("{line}"),
            _ => debug!("{line}"),
        }));
        let claims = config.ports.iter().map(claim).collect::<Result<Vec<_>, _>>()?;
        let eal = Eal::start(&eal_options(&config))?;
        let (nics, pools, parts, rules) = open_ports(&eal, &config)?;
        let idle = idle(&config);
        let Assembly { workers, mut control, shared, kernel } = assemble(config, parts)?;
        let mut interfaces =
            KernelInterfaces::open(&shared.config, &shared.ports, kernel, |port| allocator(&pools, port))?;
        if shared.config.ha.is_none() {
            control.serve_alone();
        }
        control.begin_after(reserved_terms(&shared.config)?);
        for mac in virtual_macs(&shared.config) {
            for nic in nics.iter().filter(|nic| nic.add_mac(mac) == Filter::None) {
                warn!("{} cannot be made to receive frames to {mac}: set ha.virtual_mac = false", nic.name());
            }
        }
        let mut node = Self {
            shared,
            clocks: Mutex::new((Instant::ZERO, nics.iter().filter_map(Nic::clock).collect())),
            clock: Clock::start(),
            nics,
            _rules: rules,
            stop: Arc::default(),
            threads: Vec::new(),
            _claims: claims,
            eal: Arc::new(eal),
        };
        let clock = node.clock;
        node.renew_clocks();
        let cores = node.shared.config.cores.clone();
        let management = cores.management.first().copied().unwrap_or(cores.control);
        for (number, (mut worker, core)) in workers.into_iter().zip(cores.workers).enumerate() {
            node.spawn(format!("worker{number}"), core, "workers", WORKERS_PRIORITY, move |stop| {
                worker::run(&mut worker, idle, stop, || clock.now());
            })?;
        }
        node.spawn("control".into(), cores.control, "control", CONTROL_PRIORITY, move |stop| {
            control::run(&mut control, idle, stop, || clock.now());
        })?;
        if !interfaces.is_empty() {
            node.spawn("kernel".into(), management, "management", None, move |stop| interfaces.run(stop))?;
        }
        Ok(node)
    }

    fn spawn(
        &mut self,
        name: String,
        core: u16,
        role: &'static str,
        priority: Option<u8>,
        work: impl FnOnce(&Stop) + Send + 'static,
    ) -> Result<(), NodeError> {
        let stop = Arc::clone(&self.stop);
        let eal = Arc::clone(&self.eal);
        let priority = priority.filter(|_| self.shared.config.cores.realtime);
        let (told, tell) = std::sync::mpsc::sync_channel(1);
        let thread = thread::Builder::new()
            .name(name.clone())
            .spawn(move || {
                let pinned = core_affinity::set_for_current(core_affinity::CoreId { id: usize::from(core) });
                let registered = eal.register_thread();
                let placed = match pinned {
                    true => priority.map_or(Ok(()), run_in_real_time).map_err(Some),
                    false => Err(None),
                };
                let good = placed.is_ok();
                let _ = told.send(placed);
                if !good {
                    return;
                }
                if let Err(reason) = &registered {
                    warn!("packet buffers without a cache of their own: {reason}");
                }
                work(&stop);
            })
            .map_err(NodeError::Thread)?;
        self.threads.push(thread);
        match tell.recv().unwrap_or(Err(None)) {
            Ok(()) => Ok(()),
            Err(Some(reason)) => Err(NodeError::Realtime { name, reason }),
            Err(None) => Err(NodeError::Core { core, role }),
        }
    }

    /// Says what came up.
    pub fn announce(&self) {
        for (nic, facts) in self.nics.iter().zip(&self.shared.ports) {
            let report = nic.report();
            info!(
                "port {} on {}: {} mtu {}, {} queue pairs, {}, checksums by {}",
                facts.name,
                nic.name(),
                facts.mac,
                facts.mtu,
                self.shared.config.cores.workers.len(),
                if matches!(report.steering, crate::packet::Steering::Hardware(_)) {
                    "replies steered by RSS"
                } else {
                    "replies handed over in software"
                },
                if report.checks_ip { "the NIC" } else { "software" }
            );
        }
    }

    /// Reads the devices' clocks, if that is due.
    pub fn renew_clocks(&self) {
        let mut clocks = self.clocks.lock();
        let now = self.clock.now();
        if clocks.0 <= now {
            clocks.0 = now + CLOCK_INTERVAL;
            clocks.1.iter_mut().for_each(|clock| clock.renew(|| self.clock.now()));
        }
    }

    /// Reads how the ports do, and logs links that came or went.
    pub fn look_at_ports(&self) {
        let status: Vec<PortStatus> = self.nics.iter().map(status).collect();
        let mut known = self.shared.port_status.lock();
        for ((new, old), facts) in status.iter().zip(known.iter()).zip(&self.shared.ports) {
            self.shared.links.set(facts.id, new.link.unwrap_or(true));
            match (old.link, new.link) {
                (Some(true), Some(false)) => warn!("port {}: link down", facts.name),
                (Some(false), Some(true)) => info!("port {}: link up", facts.name),
                _ => {}
            }
        }
        *known = status;
    }

    /// Stops all threads and closes the devices.
    pub fn stop(mut self) {
        self.halt();
    }

    fn halt(&mut self) {
        self.stop.store(true, Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.halt();
    }
}

/// The last term reserved before this start.
fn reserved_terms(config: &Config) -> Result<u64, NodeError> {
    match (&config.ha, &config.api.state_file) {
        (Some(_), Some(file)) => ReservedTerms::beside(file).read().map_err(NodeError::Terms),
        _ => Ok(0),
    }
}

/// What polling threads do when there is nothing to do.
const fn idle(config: &Config) -> Idle {
    match config.cores.idle {
        config::Idle::Spin => Idle::Spin,
        config::Idle::Pause => Idle::Pause,
        config::Idle::Sleep => Idle::Sleep,
    }
}

fn status(nic: &Nic) -> PortStatus {
    let counted = nic.counters();
    PortStatus {
        link: nic.link().map(|link| link.up),
        packets: [counted.rx_packets, counted.tx_packets],
        bytes: [counted.rx_bytes, counted.tx_bytes],
        errors: [counted.rx_missed + counted.rx_no_buffer + counted.rx_errors, counted.tx_errors],
    }
}

/// Keeps a second hitless from the same device: the name lives as long as the socket, within one network namespace.
fn claim(port: &config::Port) -> Result<UnixDatagram, NodeError> {
    let device = port.device.split(',').find_map(|part| part.strip_prefix("iface=")).unwrap_or(&port.device);
    SocketAddr::from_abstract_name(format!("hitless/{device}"))
        .and_then(|name| UnixDatagram::bind_addr(&name))
        .map_err(|_| NodeError::InUse { port: port.name.clone(), device: device.to_owned() })
}

fn is_pci(device: &str) -> bool {
    device.split(',').next().is_some_and(|address| address.split(':').count() >= 2 && address.contains('.'))
}

fn eal_options(config: &Config) -> EalOptions {
    let devices = config.ports.iter().map(|port| &port.device);
    EalOptions {
        hugepages: config.dpdk.hugepages,
        memory_mb: config.dpdk.memory_mb,
        main_core: config.cores.management.first().copied().unwrap_or(config.cores.control),
        pci: devices.filter(|device| is_pci(device)).cloned().collect(),
        file_prefix: None,
        args: config.dpdk.args.clone(),
    }
}

/// Packets of a port's pool.
fn allocator(pools: &[Pool], port: PortId) -> impl FnMut() -> Option<Mbuf> + Send + use<> {
    let pool = pools.get(port.index()).cloned();
    move || pool.as_ref()?.allocate()
}

type Opened = (Vec<Nic>, Vec<Pool>, Vec<PortParts<Queue>>, Vec<FlowRule>);

/// UDP ports of what a peer sends: BFD over one hop and several, echo, and the pair's own messages.
const PEER_PORTS: [u16; 4] = [SINGLE_HOP_PORT, MULTI_HOP_PORT, ECHO_PORT, SYNC_PORT];

/// Has the NIC bring what a peer sends to the control core's queue.
fn steer_peer(nic: &Nic, queue: u16, rules: &mut Vec<FlowRule>) -> Reception {
    let wanted = PEER_PORTS.into_iter().flat_map(|port| [(port, false), (port, true)]);
    let (made, refused): (Vec<_>, Vec<_>) =
        wanted.map(|(port, ipv6)| nic.steer_udp(port, ipv6, queue)).partition(Result::is_ok);
    for error in refused.iter().filter_map(|rule| rule.as_ref().err()) {
        debug!("{error}: workers pass such packets on");
    }
    let reception = match (made.is_empty(), refused.is_empty()) {
        (_, true) => Reception::Own,
        (true, false) => Reception::Workers,
        (false, false) => Reception::Both,
    };
    rules.extend(made.into_iter().flatten());
    reception
}

/// Addresses of a port without a kernel interface that no interface of this network namespace has. Those that one has
/// are the kernel's: two stacks with one address would reset each other's connections.
fn stack_addresses(port: &config::Port) -> Vec<IpAddr> {
    if port.kernel_interface.is_some() {
        return Vec::new();
    }
    let kernel: HashSet<IpAddr> = match getifaddrs::getifaddrs() {
        Ok(found) => found.filter_map(|interface| interface.address.ip_addr()).collect(),
        Err(error) => {
            warn!("port {}: the kernel does not say its addresses ({error}): probes leave by it", port.name);
            return Vec::new();
        }
    };
    port.addresses.iter().map(Prefix::address).filter(|own| !kernel.contains(own)).collect()
}

fn open_ports(eal: &Eal, config: &Config) -> Result<Opened, NodeError> {
    let workers = config.cores.workers.len() as u8;
    let mut nics = Vec::new();
    let mut pools = Vec::new();
    let mut parts = Vec::new();
    let mut rules = Vec::new();
    for (number, port) in config.ports.iter().enumerate() {
        let name = || port.name.clone();
        let share_mb = config.dpdk.memory_mb / config.ports.len() as u32;
        let whole = whole_datagrams(&port.device, share_mb);
        let name_of_device = whole.as_ref().map_or(&port.device, |(device, _)| device);
        let device = Device::probe(eal, name_of_device, workers.into())
            .map_err(|source| NodeError::Device { port: name(), source })?;
        let queues = u32::from(workers) + 1;
        let threads = u32::from(workers) + 2;
        let packets = PoolOptions::packets_for(queues, port.rx_descriptors, port.tx_descriptors, threads);
        let usual = PoolOptions { packets, mtu: port.mtu, numa_node: device.numa_node() };
        let pool = Pool::create(eal, &whole.map_or(usual, |(_, pool)| pool))?;
        let options = OpenOptions {
            workers,
            control: true,
            rx_descriptors: port.rx_descriptors,
            tx_descriptors: port.tx_descriptors,
            mtu: port.mtu,
            ..OpenOptions::default()
        };
        let open =
            device.open(&options, &pool).map_err(|source| NodeError::Device { port: name(), source })?;
        let facts = open.nic.facts(PortId(number as u8), &port.name, port.vlan);
        let reception = match open.control {
            Some(_) => steer_peer(&open.nic, workers.into(), &mut rules),
            None => Reception::Workers,
        };
        parts.push(PortParts {
            facts,
            queues: open.queues,
            control: open.control,
            reception,
            allocate: Box::new(allocator(std::slice::from_ref(&pool), PortId(0))),
            stack_addresses: stack_addresses(port),
        });
        pools.push(pool);
        nics.push(open.nic);
    }
    Ok((nics, pools, parts, rules))
}
