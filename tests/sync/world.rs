//! One segment in virtual time: two whole nodes, and everybody else.

use super::frames::{Seen, frame, seen};
use hitless::{
    config::{Config, Machine},
    control::Reception,
    control::{PairView, SyncGauge, SyncView},
    manage::{Assembly, PortParts, Shared, assemble},
    packet::{
        Arp, Datagram, ETHER_ARP, Ethernet, Family, Hashed, MICROSOFT_KEY, Ndp, Rss, Steering, Tuple, V4, V6,
    },
    plane::{Counter, HaState, Tally},
    port::{Packet, PortFacts, memory},
    protocol::{
        bfd::Random,
        owner::Owner,
        responder::{answer_arp, answer_solicitation},
    },
    session::Record,
    types::{Duration, InstanceId, Instant, Mac, PortId, Protocol},
};
use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
};

/// Clients, backends and the gateway all answer with this MAC.
pub(crate) const OTHERS: Mac = Mac([2, 0, 0, 0, 0, 0x99]);
const STEP: Duration = Duration::from_micros(20);

/// What a world is made for.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) workers: [usize; 2],
    pub(crate) toeplitz: bool,
    pub(crate) key: [Option<&'static str>; 2],
    pub(crate) max_sessions: u32,
    /// Further services, or other settings, of each node, as TOML.
    pub(crate) more: [&'static str; 2],
    /// Seconds a UDP session may be idle.
    pub(crate) udp_timeout_s: u32,
    /// A second HA instance, "blue", with a service at 10.77.0.103.
    pub(crate) blue: bool,
    /// The configuration does not say where the peer is: the API will.
    pub(crate) peer_by_api: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            workers: [1, 1],
            toeplitz: false,
            key: [None, None],
            max_sessions: 6_000,
            more: ["", ""],
            udp_timeout_s: 300,
            blue: false,
            peer_by_api: false,
        }
    }
}

/// What the link between the nodes does to the pair's messages.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quality {
    pub(crate) lost_percent: u64,
    pub(crate) doubled_percent: u64,
    pub(crate) wander: Duration,
}

impl Quality {
    pub(crate) const GOOD: Self = Self { lost_percent: 0, doubled_percent: 0, wander: Duration::ZERO };
}

pub(crate) struct Node {
    pub(crate) assembly: Assembly<memory::MemoryPort>,
    wire: memory::Wire,
    pool: memory::Pool,
    mac: Mac,
    facts: PortFacts,
    next_queue: usize,
    /// Turned in every step.
    pub(crate) alive: bool,
    pub(crate) control_alive: bool,
}

pub(crate) struct World {
    pub(crate) nodes: [Node; 2],
    pub(crate) now: Instant,
    pub(crate) quality: Quality,
    setup: Setup,
    random: Random,
    on_the_way: BTreeMap<(Instant, u64), (usize, Vec<u8>)>,
    sent: u64,
    /// What reached the others, in order.
    pub(crate) arrived: Vec<Seen>,
    /// Every frame of the pair's, as it was sent.
    pub(crate) recorded: Vec<(usize, Vec<u8>)>,
    pub(crate) recording: bool,
}

pub(crate) fn text(setup: &Setup, node: usize, key_file: Option<&str>) -> String {
    let (own, peer) = ([11, 12][node], [12, 11][node]);
    let workers: Vec<String> = (1..=setup.workers[node]).map(|core| core.to_string()).collect();
    let (workers, sessions, timeout) = (workers.join(", "), setup.max_sessions, setup.udp_timeout_s);
    let service = |name: &str, vip: &str, protocol: &str, backend: &str| {
        let more = if protocol == "udp" { format!("idle_timeout_s = {timeout}\n") } else { String::new() };
        format!(
            "[[service]]\nname = \"{name}\"\nvip = \"{vip}\"\nport = 80\nprotocol = \"{protocol}\"\n{more}\
             backends = [{{ address = \"{backend}21\", port = 8080 }}, {{ address = \"{backend}22\" }}]\n"
        )
    };
    let services: String = ["tcp", "udp", "sctp"]
        .iter()
        .flat_map(|protocol| {
            [
                service(&format!("{protocol}4"), "10.77.0.100", protocol, "10.77.0."),
                service(&format!("{protocol}6"), "fd77::100", protocol, "fd77::"),
            ]
        })
        .collect();
    let (blue_local, blue) = match setup.blue {
        true => (
            ", { address = \"10.77.0.41\", instance = \"blue\" }",
            "[[service]]\nname = \"b\"\ninstance = \"blue\"\nvip = \"10.77.0.103\"\nport = 80\n\
             backends = [{ address = \"10.77.0.21\" }]\n",
        ),
        false => ("", ""),
    };
    let instances = match setup.blue {
        true => "[[ha.instance]]\nname = \"llb-inst0\"\n[[ha.instance]]\nname = \"blue\"\n",
        false => "",
    };
    let path = match setup.peer_by_api {
        true => String::new(),
        false => format!(
            "peer = \"10.77.0.{peer}\"\n[[ha.bfd]]\nlocal = \"10.77.0.{own}\"\nremote = \"10.77.0.{peer}\"\n\
             interval_us = 10000\n"
        ),
    };
    let key = key_file.map_or(String::new(), |path| format!("key_file = \"{path}\"\n"));
    format!(
        "[node]\nname = \"lb{own}\"\n\
         [cores]\ncontrol = 0\nworkers = [{workers}]\nmanagement = [7]\nidle = \"sleep\"\n\
         [[port]]\nname = \"lan\"\ndevice = \"net_null0\"\naddresses = [\"10.77.0.{own}/24\", \"fd77::{own}/64\"]\n\
         [[route]]\nto = \"0.0.0.0/0\"\nvia = \"10.77.0.1\"\n[[route]]\nto = \"::/0\"\nvia = \"fd77::1\"\n\
         [nat]\nlocal_addresses = [\"10.77.0.40\", \"fd77::40\"{blue_local}]\nmax_sessions = {sessions}\n\
         {services}{blue}{}\n\
         [ha]\n{path}[ha.sync]\nenabled = true\n{key}{instances}",
        setup.more[node]
    )
}

impl Node {
    pub(crate) fn new(setup: &Setup, node: usize) -> Self {
        let key = setup.key[node].map(|content| {
            static FILES: AtomicU32 = AtomicU32::new(0);
            let number = FILES.fetch_add(1, Relaxed);
            let name = format!("hitless-sync-test-{}-{number}.key", std::process::id());
            let path = std::env::temp_dir().join(name);
            std::fs::write(&path, content).unwrap();
            path
        });
        let document = text(setup, node, key.as_ref().map(|path| path.to_str().unwrap()));
        let config = Config::parse(&document, "test.toml", &Machine::with_cores(8))
            .unwrap_or_else(|mistakes| panic!("{mistakes}\n{document}"));
        let workers = setup.workers[node];
        let steering = if setup.toeplitz {
            let table = Rss::table(128, workers as u8);
            Steering::Hardware(Arc::new(Rss::new(&MICROSOFT_KEY, table, Hashed::ALL).unwrap()))
        } else {
            Steering::Software { workers: workers as u8 }
        };
        let mac = Mac([2, 0, 0, 0, 0, 0x11 + node as u8]);
        let facts = PortFacts {
            id: PortId(0),
            name: "lan".into(),
            mac,
            mtu: 1500,
            vlan: 0,
            steering,
            rx_descriptors: 1024,
            hardware_timestamps: false,
            checks_ip: false,
        };
        let pool = memory::Pool::new(2048, 1600);
        let (queues, wire) = memory::port(&pool, workers, 512);
        let allocator = pool.clone();
        let parts = PortParts {
            facts: facts.clone(),
            queues,
            control: None,
            reception: Reception::default(),
            allocate: Box::new(move || allocator.allocate()),
            stack_addresses: Vec::new(),
        };
        let mut assembly = assemble(config, vec![parts]).unwrap();
        assembly.control.abstain();
        if let Some(path) = key {
            std::fs::remove_file(path).unwrap();
        }
        Self { assembly, wire, pool, mac, facts, next_queue: 0, alive: true, control_alive: true }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.assembly.shared
    }

    pub(crate) fn sync(&self) -> &SyncView {
        self.shared().sync.as_deref().unwrap()
    }

    pub(crate) fn pair(&self) -> &PairView {
        self.shared().pair.as_deref().unwrap()
    }

    pub(crate) fn gauge(&self, gauge: SyncGauge) -> u64 {
        self.sync().get(gauge)
    }

    pub(crate) fn set(&self, state: HaState, term: u64) {
        self.set_instance(0, state, term);
    }

    pub(crate) fn set_instance(&self, instance: u8, state: HaState, term: u64) {
        self.shared().ownership.set(InstanceId(instance), state, term);
    }

    /// All workers' counts, as last published.
    pub(crate) fn tally(&self) -> Tally {
        self.shared().counters.iter().fold(Tally::default(), |mut sum, counters| {
            sum += &counters.read();
            sum
        })
    }

    pub(crate) fn sessions(&self) -> u64 {
        self.tally().get(Counter::SessionsV4) + self.tally().get(Counter::SessionsV6)
    }

    /// Sessions of all backends, as schedulers count them.
    pub(crate) fn active(&self) -> u64 {
        let shared = self.shared();
        let table = shared.registry.lock().table();
        let backends = table.services().flat_map(|service| service.backends());
        let of = |id| shared.backends.iter().map(|counters| counters.active(id)).sum::<u64>();
        backends.map(|backend| of(backend.id)).sum()
    }

    fn turn(&mut self, now: Instant) {
        if !self.alive {
            return;
        }
        if self.control_alive {
            self.assembly.control.turn(now);
        }
        for worker in &mut self.assembly.workers {
            worker.turn(now);
        }
    }

    /// The queue a device would give the frame to.
    fn queue(&mut self, frame: &[u8]) -> usize {
        self.next_queue = (self.next_queue + 1) % self.assembly.workers.len();
        let ip = frame.get(14..).unwrap_or_default();
        let steering = &self.facts.steering;
        let flow = match frame[12..14] {
            [0x08, 0x00] => V4::parse(ip, false).ok().map(|flow| {
                (steering.is_exact::<V4>(flow.protocol), steering.owner(&flow.tuple, flow.protocol))
            }),
            [0x86, 0xdd] => V6::parse(ip, false).ok().map(|flow| {
                (steering.is_exact::<V6>(flow.protocol), steering.owner(&flow.tuple, flow.protocol))
            }),
            _ => None,
        };
        match flow {
            Some((true, worker)) => worker.index(),
            _ => self.next_queue,
        }
    }

    fn give(&mut self, frame: &[u8]) {
        let queue = self.queue(frame);
        if let Some(packet) = self.pool.packet(frame) {
            let _ = self.wire.send(queue, packet);
        }
    }
}

/// Answers for everybody but the nodes.
struct Everybody;

impl Owner for Everybody {
    fn answers(&self, _port: PortId, address: IpAddr) -> Option<Mac> {
        let last = match address {
            IpAddr::V4(v4) => u16::from(v4.octets()[3]),
            IpAddr::V6(v6) => v6.segments()[7],
        };
        matches!(last, 1 | 21 | 22 | 0x21 | 0x22).then_some(OTHERS)
    }

    fn is_own_mac(&self, _port: PortId, mac: Mac) -> bool {
        mac == OTHERS
    }
}

impl World {
    /// Two nodes that do not know each other yet; the first owns everything, in term 1.
    pub(crate) fn new(setup: Setup) -> Self {
        let nodes = [0, 1].map(|node| Node::new(&setup, node));
        nodes[0].set(HaState::Master, 1);
        nodes[1].set(HaState::Backup, 1);
        Self {
            nodes,
            now: Instant::from_nanos(1_000_000),
            quality: Quality::GOOD,
            setup,
            random: Random::seeded(1),
            on_the_way: BTreeMap::new(),
            sent: 0,
            arrived: Vec::new(),
            recorded: Vec::new(),
            recording: false,
        }
    }

    /// The same, in sync.
    pub(crate) fn in_sync(setup: Setup) -> Self {
        let mut world = Self::new(setup);
        world.until("in sync", |world| world.nodes.iter().all(|node| node.sync().in_sync()));
        world
    }

    pub(crate) fn seed(&mut self, seed: u64) {
        self.random = Random::seeded(seed);
    }

    /// A node's process ends and another begins.
    pub(crate) fn restart(&mut self, node: usize, state: HaState, term: u64) {
        self.nodes[node] = Node::new(&self.setup, node);
        self.nodes[node].set(state, term);
    }

    fn send(&mut self, from: usize, frame: Vec<u8>) {
        let ends = seen(&frame);
        let pair = ends.is_some_and(|ends| ends.destination.port() == 3786);
        if pair && self.recording {
            self.recorded.push((from, frame.clone()));
        }
        let to: [u8; 6] = *frame.first_chunk().unwrap();
        let quality = if pair { self.quality } else { Quality::GOOD };
        if to == self.nodes[1 - from].mac.0 {
            if self.random.below(100) < quality.lost_percent {
                return;
            }
            let copies = 1 + u64::from(self.random.below(100) < quality.doubled_percent);
            for _ in 0..copies {
                let wander = Duration::from_nanos(self.random.below(quality.wander.as_nanos() + 1));
                self.sent += 1;
                self.on_the_way.insert((self.now + STEP + wander, self.sent), (1 - from, frame.clone()));
            }
        } else if to == OTHERS.0 {
            self.arrived.extend(ends);
        } else if to[0] & 1 == 1 {
            self.sent += 1;
            self.on_the_way.insert((self.now + STEP, self.sent), (1 - from, frame.clone()));
            if let Some(answer) = answer(&frame) {
                self.sent += 1;
                self.on_the_way.insert((self.now + STEP, self.sent), (from, answer));
            }
        }
    }

    pub(crate) fn step(&mut self) {
        self.step_by(STEP);
    }

    pub(crate) fn step_by(&mut self, span: Duration) {
        self.now = self.now + span;
        while let Some(entry) = self.on_the_way.first_entry().filter(|entry| entry.key().0 <= self.now) {
            let (to, frame) = entry.remove();
            self.nodes[to].give(&frame);
        }
        for from in 0..2 {
            self.nodes[from].turn(self.now);
            while let Some(packet) = self.nodes[from].wire.receive() {
                let frame = packet.data().to_vec();
                drop(packet);
                self.send(from, frame);
            }
        }
    }

    pub(crate) fn run(&mut self, span: Duration) {
        let end = self.now + span;
        while self.now < end {
            self.step();
        }
    }

    /// Runs until `done`; more than ten seconds are too many.
    pub(crate) fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) -> Duration {
        let begun = self.now;
        while !done(self) {
            self.step();
            let report = |node: &Node| {
                SyncGauge::ALL.iter().map(|g| format!("{} {}", g.name(), node.gauge(*g))).collect::<Vec<_>>()
            };
            assert!(
                self.now.since(begun) < Duration::from_secs(10),
                "never {what}:\n{:?}\n{:?}\n{:?}",
                report(&self.nodes[0]),
                report(&self.nodes[1]),
                self.nodes.each_ref().map(|node| node.sessions()),
            );
        }
        self.now.since(begun)
    }

    /// Somebody's packet for a node.
    pub(crate) fn say(&mut self, node: usize, packet: Seen, flags: u8) {
        let frame = frame((OTHERS, self.nodes[node].mac), packet, flags);
        self.nodes[node].give(&frame);
    }

    /// A frame for a node as it is.
    pub(crate) fn inject(&mut self, node: usize, frame: &[u8]) {
        self.nodes[node].give(frame);
    }

    pub(crate) fn mac(&self, node: usize) -> Mac {
        self.nodes[node].mac
    }

    /// The packet a client sends with one of its ports.
    pub(crate) fn client(protocol: Protocol, family: u8, number: u16) -> Seen {
        let (source, vip): (IpAddr, IpAddr) = match family {
            4 => (IpAddr::from([192, 0, 2, 7]), "10.77.0.100".parse().unwrap()),
            _ => ("2001:db8::7".parse().unwrap(), "fd77::100".parse().unwrap()),
        };
        Seen { protocol, source: (source, 1024 + number).into(), destination: (vip, 80).into() }
    }

    /// What a node makes of a packet: what comes out, if anything does, within a millisecond.
    pub(crate) fn ask(&mut self, node: usize, packet: Seen, flags: u8) -> Option<Seen> {
        self.arrived.clear();
        self.say(node, packet, flags);
        for _ in 0..50 {
            self.step();
            if !self.arrived.is_empty() {
                break;
            }
        }
        self.arrived.pop()
    }

    /// Opens a session and establishes it; the packet that the backend sees.
    pub(crate) fn establish(&mut self, node: usize, client: Seen) -> Seen {
        let there = self.open(node, client);
        let back = self.ask(node, there.reversed(), super::frames::SYN_ACK);
        assert_eq!(back, Some(client.reversed()), "the answer");
        let again = self.ask(node, client, super::frames::ACK);
        assert_eq!(again, Some(there));
        there
    }

    pub(crate) fn open(&mut self, node: usize, client: Seen) -> Seen {
        // The first packets of all wait for a neighbour.
        (0..100).find_map(|_| self.ask(node, client, super::frames::SYN)).expect("a session opens")
    }

    /// All sessions of a node, as a dump shows them; nothing else moves meanwhile.
    pub(crate) fn dump(&mut self, node: usize) -> Vec<Record> {
        let shared = Arc::clone(self.nodes[node].shared());
        let (now, workers) = (self.now, &mut self.nodes[node].assembly.workers);
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let list = scope.spawn(|| {
                let list = shared.sessions.list(|_| true);
                done.store(true, Relaxed);
                list
            });
            while !done.load(Relaxed) {
                for worker in workers.iter_mut() {
                    worker.turn(now);
                }
            }
            list.join().unwrap()
        })
    }

    /// What must be equal on both nodes.
    pub(crate) fn table(&mut self, node: usize) -> Vec<String> {
        let line = |record: Record| {
            format!(
                "{} {:?} {:?} {:?} {:?} {:?} {:?}",
                record.protocol,
                record.client,
                record.vip,
                record.local,
                record.backend,
                record.instance,
                record.state.phase()
            )
        };
        let mut lines: Vec<String> = self.dump(node).into_iter().map(line).collect();
        lines.sort();
        lines
    }

    /// Both tables hold the same sessions.
    pub(crate) fn assert_equal(&mut self) {
        let tables = [0, 1].map(|node| self.table(node));
        let only = |a: &[String], b: &[String]| {
            a.iter().filter(|line| b.binary_search(line).is_err()).take(5).cloned().collect::<Vec<_>>()
        };
        let [a, b] = &tables;
        assert!(
            a == b,
            "{} and {}; only here {:#?}; only there {:#?}",
            a.len(),
            b.len(),
            only(a, b),
            only(b, a)
        );
    }
}

fn answer(frame: &[u8]) -> Option<Vec<u8>> {
    let (ethernet, at) = Ethernet::parse(frame).ok()?;
    let body = &frame[at..];
    let mut out = [0; 200];
    let length = if ethernet.ether_type == ETHER_ARP {
        answer_arp(PortId(0), &ethernet, &Arp::parse(body).ok()?, &Everybody, &mut out)?
    } else {
        let datagram = Datagram::parse(body, false).ok()?;
        match Ndp::parse(body, &datagram).ok()? {
            Ndp::Solicitation(question) => {
                answer_solicitation(PortId(0), &ethernet, &question, &Everybody, &mut out)?
            }
            Ndp::Advertisement(_) => return None,
        }
    };
    Some(out[..length].to_vec())
}

/// Whether the tuple's family is the packet's; for choosing steering in tests.
pub(crate) fn reply_tuple<F: Family>(there: Seen) -> Option<Tuple<F>> {
    Tuple::new((there.destination.ip(), there.destination.port()), (there.source.ip(), there.source.port()))
}
