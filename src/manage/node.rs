//! A node on DPDK ports: start, threads, stop.

use super::{
    Assembly, AssemblyError, ChangesError, KernelInterfaceError, KernelInterfaces, PortParts, PortStatus,
    Shared, assemble,
    clock::Clock,
    server::{TlsError, TokenError},
};
use crate::{
    config::{self, Config},
    control,
    dpdk::{
        Device, DeviceError, Eal, EalError, EalOptions, Mbuf, Nic, OpenOptions, Pool, PoolError, PoolOptions,
        Queue, log,
    },
    types::PortId,
    worker::{self, Idle, Stop},
};
use std::{
    io,
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram},
    },
    sync::{Arc, atomic::Ordering::Relaxed},
    thread::{self, JoinHandle},
};
use tracing::{debug, error, info, warn};

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
    /// A core.
    #[error("core {core} of cores.{role} cannot be used: run `hitless devices` to see which there are")]
    Core {
        /// The core.
        core: u16,
        /// Which key names it.
        role: &'static str,
    },
    /// A thread.
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
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
    stop: Arc<Stop>,
    threads: Vec<JoinHandle<()>>,
    /// Held for as long as the devices are.
    _claims: Vec<UnixDatagram>,
    eal: Arc<Eal>,
}

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
        let (nics, pools, parts) = open_ports(&eal, &config)?;
        let idle = idle(&config);
        let Assembly { workers, mut control, shared, kernel } = assemble(config, parts)?;
        let mut interfaces =
            KernelInterfaces::open(&shared.config, &shared.ports, kernel, |port| allocator(&pools, port))?;
        if shared.config.ha.is_none() {
            control.serve_alone();
        }
        let mut node = Self {
            shared,
            nics,
            stop: Arc::default(),
            threads: Vec::new(),
            _claims: claims,
            eal: Arc::new(eal),
        };
        let clock = Clock::start();
        let cores = node.shared.config.cores.clone();
        let management = cores.management.first().copied().unwrap_or(cores.control);
        for (number, (mut worker, core)) in workers.into_iter().zip(cores.workers).enumerate() {
            node.spawn(format!("worker{number}"), core, "workers", move |stop| {
                worker::run(&mut worker, idle, stop, || clock.now());
            })?;
        }
        node.spawn("control".into(), cores.control, "control", move |stop| {
            control::run(&mut control, idle, stop, || clock.now());
        })?;
        if !interfaces.is_empty() {
            node.spawn("kernel".into(), management, "management", move |stop| interfaces.run(stop))?;
        }
        Ok(node)
    }

    fn spawn(
        &mut self,
        name: String,
        core: u16,
        role: &'static str,
        work: impl FnOnce(&Stop) + Send + 'static,
    ) -> Result<(), NodeError> {
        let stop = Arc::clone(&self.stop);
        let eal = Arc::clone(&self.eal);
        let (told, tell) = std::sync::mpsc::sync_channel(1);
        let thread = thread::Builder::new()
            .name(name)
            .spawn(move || {
                let pinned = core_affinity::set_for_current(core_affinity::CoreId { id: usize::from(core) });
                let registered = eal.register_thread();
                let _ = told.send(pinned);
                if !pinned {
                    return;
                }
                if let Err(reason) = &registered {
                    warn!("packet buffers without a cache of their own: {reason}");
                }
                work(&stop);
            })
            .map_err(NodeError::Thread)?;
        self.threads.push(thread);
        if tell.recv().unwrap_or(false) { Ok(()) } else { Err(NodeError::Core { core, role }) }
    }

    /// Says what came up.
    pub fn announce(&self) {
        for (nic, facts) in self.nics.iter().zip(&self.shared.ports) {
            let report = nic.report();
            info!(
                "port {} on {}: {} mtu {} {} queue pairs, {}",
                facts.name,
                nic.name(),
                facts.mac,
                facts.mtu,
                self.shared.config.cores.workers.len(),
                if matches!(report.steering, crate::packet::Steering::Hardware(_)) {
                    "replies steered by RSS"
                } else {
                    "replies handed over in software"
                }
            );
        }
    }

    /// Reads how the ports do, and logs links that came or went.
    pub fn look_at_ports(&self) {
        let status: Vec<PortStatus> = self.nics.iter().map(status).collect();
        let mut known = self.shared.port_status.lock();
        for ((new, old), facts) in status.iter().zip(known.iter()).zip(&self.shared.ports) {
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

type Opened = (Vec<Nic>, Vec<Pool>, Vec<PortParts<Queue>>);

fn open_ports(eal: &Eal, config: &Config) -> Result<Opened, NodeError> {
    let workers = config.cores.workers.len() as u8;
    let mut nics = Vec::new();
    let mut pools = Vec::new();
    let mut parts = Vec::new();
    for (number, port) in config.ports.iter().enumerate() {
        let name = || port.name.clone();
        let device = Device::probe(eal, &port.device, workers.into())
            .map_err(|source| NodeError::Device { port: name(), source })?;
        let queues = u32::from(workers) + 1;
        let threads = u32::from(workers) + 2;
        let packets = PoolOptions::packets_for(queues, port.rx_descriptors, port.tx_descriptors, threads);
        let pool = Pool::create(eal, &PoolOptions { packets, mtu: port.mtu, numa_node: device.numa_node() })?;
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
        parts.push(PortParts {
            facts,
            queues: open.queues,
            control: open.control,
            allocate: Box::new(allocator(std::slice::from_ref(&pool), PortId(0))),
        });
        pools.push(pool);
        nics.push(open.nic);
    }
    Ok((nics, pools, parts))
}
