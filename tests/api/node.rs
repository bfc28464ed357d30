//! A whole node in memory, and its API on a port of the loopback interface. Needs neither DPDK nor root.

use hitless::{
    config::{Config, LogLevel, Machine},
    control::{self, Control, Reception},
    manage::{
        Assembly, Changes, EventLog, PortParts, Shared,
        api::{self, Api, LogSwitch},
        assemble,
        ha::{HighAvailability, Standalone},
        server::{self, Claim, Options},
    },
    packet::Steering,
    port::{
        Packet, PortFacts,
        memory::{self, MemoryPort, Pool, Wire},
    },
    types::{Instant, Mac, PortId},
    worker::{self, Idle, Stop},
};
use parking_lot::Mutex;
use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::{Arc, atomic::Ordering::Relaxed},
    thread::{self, JoinHandle},
};
use tokio::{runtime::Runtime, sync::watch};

/// The node's own Ethernet address, and everybody else's.
pub(crate) const OURS: Mac = Mac([2, 0, 0, 0, 0, 1]);
pub(crate) const THEIRS: Mac = Mac([2, 0, 0, 0, 0, 2]);

/// A node like the one of the article: VIPs behind it, endpoints beside it.
pub(crate) const CONFIG: &str = r#"
[node]
name = "lb1"
[cores]
control = 0
workers = [0]
management = [0]
idle = "sleep"
[[port]]
name = "lan"
device = "net_null0"
addresses = ["192.168.80.252/24", "fd80::252/64"]
kernel_interface = "hl-lan"
[[route]]
to = "0.0.0.0/0"
via = "192.168.80.1"
[[route]]
to = "::/0"
via = "fd80::1"
[nat]
local_addresses = ["192.168.80.240", "fd80::240"]
max_sessions = 10000
[api]
state_file = ""
"#;

/// The log of a test: a level and nothing else.
#[derive(Debug)]
pub(crate) struct Level(Mutex<LogLevel>);

impl LogSwitch for Level {
    fn level(&self) -> LogLevel {
        *self.0.lock()
    }

    fn set(&self, level: LogLevel) {
        *self.0.lock() = level;
    }
}

/// How a node is started.
pub(crate) struct Start {
    pub(crate) config: String,
    pub(crate) state_file: Option<PathBuf>,
    pub(crate) options: Options,
    pub(crate) ha: Option<Arc<dyn HighAvailability>>,
    /// The wire answers for neighbours by itself and drops everything else.
    pub(crate) plays_network: bool,
    /// 0: any.
    pub(crate) port: u16,
}

impl Default for Start {
    fn default() -> Self {
        Self {
            config: CONFIG.into(),
            state_file: None,
            options: Options { max_connections: 64, tls: None, token: None },
            ha: None,
            plays_network: true,
            port: 0,
        }
    }
}

pub(crate) struct Node {
    pub(crate) address: SocketAddr,
    pub(crate) api: Arc<Api>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) events: Arc<EventLog>,
    pub(crate) wire: Arc<Wire>,
    pub(crate) pool: Pool,
    stop: Arc<Stop>,
    stop_server: watch::Sender<bool>,
    threads: Vec<JoinHandle<()>>,
    runtime: Option<Runtime>,
}

impl Default for Node {
    fn default() -> Self {
        Self::start(Start::default())
    }
}

impl Node {
    pub(crate) fn start(start: Start) -> Self {
        let config = match Config::parse(&start.config, "node.toml", &Machine::with_cores(2)) {
            Ok(config) => config,
            Err(mistakes) => panic!("{mistakes}"),
        };
        let pool = Pool::new(8192, 2048);
        let (mut queues, wire) = memory::port(&pool, 2, 1024);
        let control_queue = queues.pop();
        let facts = PortFacts {
            id: PortId(0),
            name: "lan".into(),
            mac: OURS,
            mtu: 1500,
            vlan: 0,
            steering: Steering::Software { workers: 1 },
            rx_descriptors: 1024,
            hardware_timestamps: false,
            checks_ip: false,
        };
        let packets = pool.clone();
        let part = PortParts {
            facts,
            queues,
            control: control_queue,
            reception: Reception::Workers,
            allocate: Box::new(move || packets.allocate()),
            stack_addresses: Vec::new(),
        };
        let Assembly { workers, control, shared, .. } = assemble(config, vec![part]).unwrap();
        let wire = Arc::new(wire);
        let stop: Arc<Stop> = Arc::default();
        let mut threads = turn(workers, control, &stop);
        if start.plays_network {
            let (wire, pool, stop) = (Arc::clone(&wire), pool.clone(), Arc::clone(&stop));
            threads.push(thread::spawn(move || {
                while !stop.load(Relaxed) {
                    match wire.receive() {
                        Some(packet) => drop(answer_neighbor(&wire, &pool, packet.data())),
                        None => thread::sleep(std::time::Duration::from_micros(200)),
                    }
                }
            }));
        }
        let events = Arc::new(EventLog::default());
        let registry = Arc::clone(&shared.registry);
        let changes =
            Changes::start(registry, Arc::clone(&events), start.state_file.as_deref(), || ()).unwrap();
        let alone = || -> Arc<dyn HighAvailability> {
            let ownership = Arc::clone(&shared.ownership);
            Arc::new(Standalone::new(&shared.config, ownership, Arc::clone(&shared.bfd)))
        };
        let ha = start.ha.unwrap_or_else(alone);
        let log = Arc::new(Level(Mutex::new(LogLevel::Info)));
        let api = Api::new(Arc::clone(&shared), changes, Arc::clone(&events), ha, log);
        let runtime = Runtime::new().unwrap();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, start.port));
        let listener = runtime.block_on(async { Claim::new(address).unwrap().listen() }).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop_server, stopped) = watch::channel(false);
        runtime.spawn(server::serve(listener, api::router(Arc::clone(&api)), start.options, stopped));
        let runtime = Some(runtime);
        Self { address, api, shared, events, wire, pool, stop, stop_server, threads, runtime }
    }

    /// Everything that was told.
    pub(crate) fn said(&self) -> String {
        self.events.follow(0).0.iter().map(|record| record.text.clone() + "\n").collect()
    }

    /// Runs a future beside the node.
    pub(crate) fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.as_ref().unwrap().block_on(future)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.stop_server.send(true);
        self.stop.store(true, Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(std::time::Duration::from_secs(5));
        }
    }
}

fn turn(
    workers: Vec<worker::Worker<MemoryPort>>,
    mut control: Control<MemoryPort>,
    stop: &Arc<Stop>,
) -> Vec<JoinHandle<()>> {
    let start = std::time::Instant::now();
    let clock = move || Instant::from_nanos(start.elapsed().as_nanos() as u64);
    control.serve_alone();
    let mut threads = Vec::new();
    for mut worker in workers {
        let stop = Arc::clone(stop);
        threads.push(thread::spawn(move || worker::run(&mut worker, Idle::Sleep, &stop, clock)));
    }
    let stop = Arc::clone(stop);
    threads.push(thread::spawn(move || control::run(&mut control, Idle::Sleep, &stop, clock)));
    threads
}

/// Answers an ARP request for anybody; whether it was one.
pub(crate) fn answer_neighbor(wire: &Wire, pool: &Pool, frame: &[u8]) -> bool {
    let is_request = frame.get(12..14) == Some(&[0x08, 0x06]) && frame.get(20..22) == Some(&[0, 1]);
    let (true, Some(frame)) = (is_request, frame.get(..42)) else { return false };
    let (asker, asked) = (&frame[28..32], &frame[38..42]);
    if asker == asked {
        // Gratuitous: nobody is asked.
        return true;
    }
    let mut reply = Vec::with_capacity(42);
    reply.extend_from_slice(&frame[6..12]);
    reply.extend_from_slice(&THEIRS.0);
    reply.extend_from_slice(&[0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, 2]);
    reply.extend_from_slice(&THEIRS.0);
    reply.extend_from_slice(asked);
    reply.extend_from_slice(&frame[22..28]);
    reply.extend_from_slice(asker);
    if let Some(packet) = pool.packet(&reply) {
        let _ = wire.send(0, packet);
    }
    true
}
