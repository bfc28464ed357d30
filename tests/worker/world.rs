//! A whole node in memory: workers, control core and what management keeps, on virtual time, and the hosts around it.

use super::{
    counts::{self, Counts},
    frame::{Frame, mac_of},
    nic::Dispatch,
};
use etherparse::{ArpEthIpv4Packet, ArpPacket, ArpPacketSlice, EtherType, PacketBuilder};
use hitless::{
    config::{Config, Machine},
    control::{Control, Reception},
    manage::{Assembly, KernelRings, PortParts, Shared, assemble},
    port::{
        PortFacts,
        memory::{self, MemoryPacket, MemoryPort, Pool, Wire},
    },
    session::Record,
    types::{Duration, Instant, Mac, PortId},
    worker::Worker,
};
use std::{
    collections::{HashSet, VecDeque},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
    thread,
};

/// How a world is made.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// The configuration, without `[cores]`.
    pub(crate) config: String,
    pub(crate) workers: u8,
    pub(crate) dispatch: Dispatch,
    /// Of the second port, where it is another.
    pub(crate) second: Option<Dispatch>,
    /// When the world begins.
    pub(crate) start: Instant,
    /// Packets each queue of a port holds.
    pub(crate) depth: usize,
    /// Packets of each port's pool.
    pub(crate) packets: usize,
    /// Longest frame.
    pub(crate) frame: usize,
    /// The control core sends by a queue pair of its own.
    pub(crate) control_queue: bool,
    /// The kernel has no way to the backends.
    pub(crate) own_stack: bool,
    /// Serves from the start, as a node without a peer does.
    pub(crate) serves: bool,
}

impl Plan {
    pub(crate) fn new(config: &str) -> Self {
        Self {
            config: config.to_owned(),
            workers: 1,
            dispatch: Dispatch::Scattered,
            second: None,
            start: Instant::ZERO,
            depth: 512,
            packets: 2048,
            frame: 2048,
            control_queue: true,
            own_stack: false,
            serves: true,
        }
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    pub(crate) fn build(self) -> World {
        World::new(self)
    }
}

/// A port and the wire it is on.
struct Line {
    facts: PortFacts,
    pool: Pool,
    wire: Wire,
    /// What the node sent, but questions and answers about neighbours.
    sent: VecDeque<Vec<u8>>,
    /// Questions and answers about neighbours that it sent.
    talk: VecDeque<Vec<u8>>,
    dispatch: Dispatch,
}

/// A node, its wires and the hosts on them.
pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) workers: Vec<Worker<MemoryPort>>,
    pub(crate) control: Control<MemoryPort>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) kernel: KernelRings<MemoryPacket>,
    lines: Vec<Line>,
    /// Packets of each pool.
    packets: usize,
    /// Hosts that answer no questions.
    silent: HashSet<IpAddr>,
    /// The control core takes no turns.
    pub(crate) control_stands: bool,
    /// No host answers any.
    pub(crate) quiet: bool,
    /// Spreads packets that no hash spreads.
    spread: usize,
    /// Answers of hosts that were received.
    pub(crate) answers: usize,
}

/// What came of some frames.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Frames that left, with their port, in order for each port.
    pub(crate) sent: Vec<(usize, Vec<u8>)>,
    /// What the whole node counted.
    pub(crate) moved: Counts,
}

impl Outcome {
    /// The only frame, which left by `port`.
    #[track_caller]
    pub(crate) fn only(&self, port: usize) -> &[u8] {
        match &self.sent[..] {
            [(by, frame)] if *by == port => frame,
            other => panic!("not one frame by port {port}: {other:02x?}; {:?}", self.moved),
        }
    }

    #[track_caller]
    pub(crate) fn nothing(&self) -> &Self {
        assert!(self.sent.is_empty(), "sent: {:02x?}; {:?}", self.sent, self.moved);
        self
    }
}

const MILLISECOND: Duration = Duration::from_millis(1);

impl World {
    fn new(plan: Plan) -> Self {
        let cores: Vec<String> = (2..2 + plan.workers).map(|core| core.to_string()).collect();
        let text = format!(
            "[cores]\ncontrol = 0\nmanagement = [1]\nworkers = [{}]\n{}",
            cores.join(", "),
            plan.config
        );
        let config = Config::parse(&text, "world.toml", &Machine::with_cores(64))
            .unwrap_or_else(|mistakes| panic!("{mistakes}"));
        let mut lines = Vec::new();
        let mut parts = Vec::new();
        for (number, port) in config.ports.iter().enumerate() {
            let dispatch = plan.second.filter(|_| number == 1).unwrap_or(plan.dispatch);
            let facts = PortFacts {
                id: PortId(number as u8),
                name: port.name.clone(),
                mac: own_mac(number),
                mtu: port.mtu,
                vlan: port.vlan,
                steering: dispatch.steering(plan.workers),
                rx_descriptors: plan.depth as u16,
                hardware_timestamps: false,
                checks_ip: false,
            };
            let pool = Pool::new(plan.packets, plan.frame);
            let queues = usize::from(plan.workers) + usize::from(plan.control_queue);
            let (mut pairs, wire) = memory::port(&pool, queues, plan.depth);
            let control = plan.control_queue.then(|| pairs.pop().unwrap());
            let own_pool = pool.clone();
            let own = port.addresses.iter().map(hitless::types::Prefix::address);
            parts.push(PortParts {
                facts: facts.clone(),
                queues: pairs,
                control,
                reception: Reception::default(),
                allocate: Box::new(move || own_pool.allocate()),
                stack_addresses: if plan.own_stack { own.collect() } else { Vec::new() },
            });
            let (sent, talk) = (VecDeque::new(), VecDeque::new());
            lines.push(Line { facts, pool, wire, sent, talk, dispatch });
        }
        let Assembly { workers, control, shared, kernel } = assemble(config, parts).unwrap();
        if plan.serves {
            control.serve_alone();
        }
        let mut world = Self {
            now: plan.start,
            workers,
            control,
            shared,
            kernel,
            lines,
            packets: plan.packets,
            silent: HashSet::new(),
            control_stands: false,
            quiet: false,
            spread: 0,
            answers: 0,
        };
        // The next hops of the configuration are asked for, and answer.
        world.run(20);
        world.take_sent();
        world
    }

    /// The frame as it arrives on a port: addressed to it, in its VLAN.
    pub(crate) fn on(&self, port: usize, frame: Frame) -> Frame {
        let facts = &self.lines[port].facts;
        let vlan = (facts.vlan != 0).then_some(facts.vlan);
        Frame { to: facts.mac, vlan, ..frame }
    }

    /// A host answers no questions from now on, or answers again.
    pub(crate) fn silence(&mut self, host: IpAddr, silent: bool) {
        if silent {
            self.silent.insert(host);
        } else {
            self.silent.remove(&host);
        }
    }

    pub(crate) fn packet(&self, port: usize, bytes: &[u8]) -> MemoryPacket {
        self.lines[port].pool.packet(bytes).expect("the pool has a packet of that size")
    }

    /// Buffers of a port's pool not in use.
    pub(crate) fn available(&self, port: usize) -> usize {
        self.lines[port].pool.available()
    }

    /// Puts a packet into a receive queue; false when that is full.
    pub(crate) fn put(&self, port: usize, queue: usize, packet: MemoryPacket) -> bool {
        self.lines[port].wire.send(queue, packet).is_ok()
    }

    /// Puts a frame into the receive queue that the port's dispatch names.
    pub(crate) fn arrive(&mut self, port: usize, bytes: &[u8]) {
        let queues = self.workers.len();
        self.spread += 1;
        let queue = self.lines[port].dispatch.queue(bytes, queues, self.spread);
        let packet = self.packet(port, bytes);
        assert!(self.put(port, queue, packet), "receive queue {queue} of port {port} is full");
    }

    /// One turn of everybody, at the time it is.
    pub(crate) fn turn(&mut self) {
        for worker in 0..self.workers.len() {
            self.workers[worker].turn(self.now);
        }
        if !self.control_stands {
            self.control.turn(self.now);
        }
        self.collect();
    }

    /// Turns every millisecond, for so many of them.
    pub(crate) fn run(&mut self, millis: u64) {
        for _ in 0..millis {
            self.now = self.now + MILLISECOND;
            self.turn();
        }
    }

    /// Time passes for the workers alone, in which they do nothing but age: as many turns as that takes.
    pub(crate) fn pass_time(&mut self, millis: u64) {
        self.now = self.now + Duration::from_millis(millis);
        for _ in 0..200 {
            for worker in &mut self.workers {
                worker.turn(self.now);
            }
            self.now = self.now + MILLISECOND;
        }
    }

    /// Time passes, and then the control core verifies the neighbours it holds for old.
    pub(crate) fn let_pass(&mut self, millis: u64) {
        self.pass_time(millis);
        self.run(20);
    }

    pub(crate) fn collect(&mut self) {
        for port in 0..self.lines.len() {
            while let Some(packet) = self.lines[port].wire.receive() {
                let frame = hitless::port::Packet::data(&packet).to_vec();
                drop(packet);
                if !is_neighbor_talk(&frame) {
                    self.lines[port].sent.push_back(frame);
                    continue;
                }
                if let Some((target, answer)) = answer(&frame, own_mac(port))
                    && !self.silent.contains(&target)
                    && !self.quiet
                {
                    // Neighbour talk has no ports: any worker may get it.
                    let packet = self.packet(port, &answer);
                    self.answers += usize::from(self.put(port, 0, packet));
                }
                self.lines[port].talk.push_back(frame);
            }
        }
    }

    /// What was sent since the last look.
    pub(crate) fn take_sent(&mut self) -> Vec<(usize, Vec<u8>)> {
        let lines = self.lines.iter_mut().enumerate();
        lines.flat_map(|(port, line)| line.sent.drain(..).map(move |frame| (port, frame))).collect()
    }

    /// Questions and answers about neighbours that were sent since the last look.
    pub(crate) fn take_talk(&mut self) -> Vec<(usize, Vec<u8>)> {
        let lines = self.lines.iter_mut().enumerate();
        lines.flat_map(|(port, line)| line.talk.drain(..).map(move |frame| (port, frame))).collect()
    }

    pub(crate) fn counts(&self) -> Counts {
        counts::of_node(&self.shared)
    }

    pub(crate) fn worker_counts(&self, worker: usize) -> Counts {
        counts::of_worker(&self.shared.counters[worker].read())
    }

    /// A frame arrives; what comes of it within some milliseconds.
    pub(crate) fn offer(&mut self, port: usize, frame: &[u8]) -> Outcome {
        self.offer_all([(port, frame.to_vec())])
    }

    /// Frames arrive at once.
    pub(crate) fn offer_all(&mut self, frames: impl IntoIterator<Item = (usize, Vec<u8>)>) -> Outcome {
        self.watch(|world| {
            for (port, frame) in frames {
                world.arrive(port, &frame);
            }
            world.run(4);
        })
    }

    /// A packet arrives of which the NIC says something.
    pub(crate) fn offer_packet(&mut self, port: usize, packet: MemoryPacket) -> Outcome {
        self.watch(|world| {
            assert!(world.put(port, 0, packet));
            world.run(4);
        })
    }

    /// What `work` made the node send and count.
    pub(crate) fn watch(&mut self, work: impl FnOnce(&mut Self)) -> Outcome {
        self.take_sent();
        let before = self.counts();
        work(self);
        Outcome { moved: self.counts().since(&before), sent: self.take_sent() }
    }

    /// All sessions.
    pub(crate) fn sessions(&mut self) -> Vec<Record> {
        let shared = Arc::clone(&self.shared);
        thread::scope(|scope| {
            let listing = scope.spawn(move || shared.sessions.list(|_| true));
            while !listing.is_finished() {
                for worker in &mut self.workers {
                    worker.turn(self.now);
                }
                thread::yield_now();
            }
            listing.join().unwrap()
        })
    }

    /// The session of a client.
    #[track_caller]
    pub(crate) fn session(&mut self, client: std::net::SocketAddr) -> Record {
        let of_client = |record: &Record| record.client == (client.ip(), client.port());
        match &self.sessions().into_iter().filter(of_client).collect::<Vec<_>>()[..] {
            [one] => *one,
            other => panic!("not one session of {client}: {other:?}"),
        }
    }

    /// Replaces the services by those of another configuration text; the rest of it is ignored.
    pub(crate) fn reconfigure(&mut self, config: &str) {
        reconfigure(&self.shared, config);
    }

    /// Time passes for management alone: services that went do not come back.
    pub(crate) fn forget_services_that_went(&self) {
        let mut registry = self.shared.registry.lock();
        let later = std::time::Instant::now() + std::time::Duration::from_secs(60);
        registry.tick(later);
        let settlement = registry.settle().unwrap();
        registry.publish(settlement, later);
    }

    /// Every packet taken is accounted for, worker by worker and in all, and no buffer is lost but those that
    /// wait somewhere.
    #[track_caller]
    pub(crate) fn assert_balanced(&self) {
        let (mut out, mut taken) = (0, 0);
        for (number, counters) in self.shared.counters.iter().enumerate() {
            let tally = counters.read();
            assert!(tally.balances(), "worker {number}: {tally:?}");
            let counts = counts::of_worker(&tally);
            let [received, rx, held] = ["received", "rx", "held"].map(|name| counts.get(name));
            let [handed_in, handed_out] = ["handed_in", "handed_out"].map(|name| counts.get(name));
            assert_eq!(received + handed_in, rx + handed_out + held, "worker {number}: {counts:?}");
            out += handed_out;
            taken += handed_in;
        }
        assert_eq!(out, taken, "packets between workers");
    }

    /// Ends the world and says how many buffers did not come back.
    pub(crate) fn leaked(self) -> usize {
        let pools: Vec<Pool> = self.lines.iter().map(|line| line.pool.clone()).collect();
        let made = self.packets * pools.len();
        drop(self);
        made - pools.iter().map(Pool::available).sum::<usize>()
    }
}

/// As management does it, on whatever thread.
pub(crate) fn reconfigure(shared: &Shared, config: &str) {
    let text = format!("[cores]\ncontrol = 0\nmanagement = [1]\nworkers = [2]\n{config}");
    let config = Config::parse(&text, "world.toml", &Machine::with_cores(64)).unwrap();
    shared.registry.lock().replace(config.services, std::time::Instant::now()).unwrap();
}

pub(crate) fn own_mac(port: usize) -> Mac {
    Mac([0x02, 0, 0, 0, 0, 0x10 + port as u8])
}

/// Whether a frame is ARP or neighbour discovery.
fn is_neighbor_talk(frame: &[u8]) -> bool {
    let at = if frame[12..14] == [0x81, 0] { 18 } else { 14 };
    match frame[at - 2..at] {
        [0x08, 0x06] => true,
        [0x86, 0xdd] => frame[at + 6] == 58 && matches!(frame[at + 40], 135 | 136),
        _ => false,
    }
}

/// What the host that a question asks for answers, and its address. Own addresses of the node have no host.
fn answer(frame: &[u8], asker: Mac) -> Option<(IpAddr, Vec<u8>)> {
    let at = if frame[12..14] == [0x81, 0] { 18 } else { 14 };
    if frame[at - 2..at] == [0x08, 0x06] {
        let arp = ArpPacketSlice::from_slice(&frame[at..]).ok()?.to_packet().try_eth_ipv4().ok()?;
        if arp.operation != etherparse::ArpOperation::REQUEST || arp.sender_ipv4 == arp.target_ipv4 {
            return None;
        }
        let target = Ipv4Addr::from(arp.target_ipv4);
        let mac = mac_of(target.into());
        return Some((target.into(), arp_reply(frame, &arp, mac, asker)));
    }
    let message = &frame[at + 40..];
    if message[0] != 135 {
        return None;
    }
    let target = Ipv6Addr::from(<[u8; 16]>::try_from(&message[8..24]).unwrap());
    let source: [u8; 16] = frame[at + 8..at + 24].try_into().unwrap();
    let mac = mac_of(target.into());
    let mut options = target.octets().to_vec();
    options.extend([2, 1]);
    options.extend(mac.0);
    let advertisement =
        super::frame::icmp(target.into(), IpAddr::from(source), 136, 0, 0x6000_0000, &options)
            .with(|frame| (frame.from, frame.to, frame.ttl) = (mac, asker, 255))
            .with(|reply| {
                reply.vlan = (at == 18).then(|| u16::from_be_bytes([frame[14], frame[15]]) & 0xfff)
            });
    Some((target.into(), advertisement.bytes()))
}

fn arp_reply(question: &[u8], arp: &ArpEthIpv4Packet, mac: Mac, asker: Mac) -> Vec<u8> {
    let reply = ArpPacket::new(
        etherparse::ArpHardwareId::ETHERNET,
        EtherType::IPV4,
        etherparse::ArpOperation::REPLY,
        &mac.0,
        &arp.target_ipv4,
        &arp.sender_mac,
        &arp.sender_ipv4,
    )
    .unwrap();
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(mac.0, asker.0).arp(reply).write(&mut frame).unwrap();
    if question[12..14] == [0x81, 0] {
        frame.splice(12..12, question[12..16].iter().copied());
    }
    frame
}
