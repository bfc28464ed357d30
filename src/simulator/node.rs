//! A machine that runs a node, stops and starts it, or stands still.

use super::{
    fabric::Place,
    plan::{Plan, node_mac},
};
use crate::{
    config::Config,
    control::{Command, Event, Reception},
    manage::{Assembly, Entropy, PortParts, assemble_from},
    packet::{Ethernet, Family, Hashed, MICROSOFT_KEY, Rss, Steering, V4},
    port::{
        Packet, PortFacts,
        memory::{self, MemoryPort},
    },
    protocol::bfd::Random,
    types::{Duration, InstanceId, Instant, PortId},
};
use std::sync::Arc;

/// What a receive queue holds.
const DESCRIPTORS: usize = 256;
/// A node turns at least so often, and at most twice as often.
const TICK: Duration = Duration::from_millis(2);
/// A process's clock shows this when it starts.
const BEGINNING: Instant = Instant::from_nanos(1_000_000);
/// Rounds of turns, at most, until nobody finds anything to do.
const ROUNDS: usize = 4;

/// The only instance.
const INSTANCE: InstanceId = InstanceId(0);

/// A process that runs.
#[derive(Debug)]
struct Running {
    assembly: Assembly<MemoryPort>,
    wire: memory::Wire,
    pool: memory::Pool,
    started_at: Instant,
}

/// A machine.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) number: usize,
    config: Config,
    facts: PortFacts,
    own_queue: bool,
    running: Option<Running>,
    /// It stands still; its card still receives.
    pub(super) paused: bool,
    next_turn: Instant,
    next_queue: usize,
    /// The terms reserved on its disk.
    reserved: u64,
    random: Random,
}

impl Node {
    /// A machine on which nothing runs yet. `own_queue`: its card brings what the peer sends to the control core.
    pub(super) fn new(plan: &Plan, number: usize, own_queue: bool, random: Random) -> Result<Self, String> {
        let workers = plan.workers;
        let table = Rss::table(128, workers);
        let steering =
            Rss::new(&MICROSOFT_KEY, table, Hashed::ALL).map(|rss| Steering::Hardware(Arc::new(rss)));
        Ok(Self {
            number,
            config: plan.config(number)?,
            facts: PortFacts {
                id: PortId(0),
                name: "lan".into(),
                mac: node_mac(number),
                mtu: 1500,
                vlan: 0,
                steering: steering.unwrap_or(Steering::Software { workers }),
                rx_descriptors: DESCRIPTORS as u16,
                hardware_timestamps: false,
                checks_ip: false,
            },
            own_queue,
            running: None,
            paused: false,
            next_turn: Instant::MAX,
            next_queue: 0,
            reserved: 0,
            random,
        })
    }

    pub(super) const fn place(&self) -> Place {
        Place::Node(self.number)
    }

    /// Starts the process.
    pub(super) fn start(&mut self, now: Instant) -> Result<(), String> {
        let pool = memory::Pool::new(4 * DESCRIPTORS, 1600);
        let workers = self.config.cores.workers.len();
        let (mut queues, wire) = memory::port(&pool, workers + usize::from(self.own_queue), DESCRIPTORS);
        let control = self.own_queue.then(|| queues.pop()).flatten();
        let buffers = pool.clone();
        let parts = PortParts {
            facts: self.facts.clone(),
            queues,
            control,
            reception: if self.own_queue { Reception::Own } else { Reception::Workers },
            allocate: Box::new(move || buffers.allocate()),
            stack_addresses: Vec::new(),
        };
        let entropy = Entropy::seeded(self.random.next_u64());
        let mut assembly =
            assemble_from(self.config.clone(), vec![parts], entropy).map_err(|error| error.to_string())?;
        assembly.control.begin_after(self.reserved);
        assembly.control.prepare();
        assembly.workers.iter_mut().for_each(crate::worker::Worker::prepare);
        self.running = Some(Running { assembly, wire, pool, started_at: now });
        self.paused = false;
        self.next_turn = now;
        Ok(())
    }

    /// Ends it as `kill -9` does.
    pub(super) fn crash(&mut self) {
        self.running = None;
        self.next_turn = Instant::MAX;
    }

    /// It goes on after standing still.
    pub(super) fn resume(&mut self, now: Instant) {
        self.paused = false;
        if self.runs() {
            self.next_turn = now;
        }
    }

    /// Its operator wants the other node to serve. What comes of it is seen in the roles.
    pub(super) fn switch_over(&self) {
        if let Some(running) = &self.running {
            let _ = running.assembly.shared.mailbox.send(Command::SwitchOver(INSTANCE));
        }
    }

    pub(super) const fn runs(&self) -> bool {
        self.running.is_some()
    }

    /// It runs, and does not stand still.
    pub(super) const fn is_awake(&self) -> bool {
        self.running.is_some() && !self.paused
    }

    /// When it turns by itself.
    pub(super) const fn next_turn(&self) -> Instant {
        if self.paused { Instant::MAX } else { self.next_turn }
    }

    /// Its process's clock.
    fn clock(&self, now: Instant) -> Instant {
        let started_at = self.running.as_ref().map_or(Instant::ZERO, |running| running.started_at);
        BEGINNING + now.since(started_at)
    }

    /// Its card receives a frame; without room, or a process, it is lost.
    pub(super) fn receive(&mut self, frame: &[u8]) {
        let queue = self.queue(frame);
        if let Some(running) = &self.running
            && let Some(packet) = running.pool.packet(frame)
        {
            let _ = running.wire.send(queue, packet);
        }
    }

    /// The queue a device would give the frame to.
    fn queue(&mut self, frame: &[u8]) -> usize {
        let workers = self.config.cores.workers.len();
        self.next_queue = (self.next_queue + 1) % workers;
        let Ok((_, at)) = Ethernet::parse(frame) else { return self.next_queue };
        let Ok(flow) = V4::parse(frame.get(at..).unwrap_or_default(), false) else { return self.next_queue };
        let for_peer = matches!(flow.tuple.ports.destination(), 3784..=3786);
        if self.own_queue && for_peer && flow.protocol == crate::types::Protocol::Udp {
            return workers;
        }
        let steering = &self.facts.steering;
        match steering.is_exact::<V4>(flow.protocol) {
            true => steering.owner(&flow.tuple, flow.protocol).index(),
            false => self.next_queue,
        }
    }

    /// Its threads turn until none finds anything to do; in an order that chance decides. What it sends goes to `out`.
    pub(super) fn turn(&mut self, now: Instant, out: &mut Vec<Vec<u8>>) {
        let clock = self.clock(now);
        let control_first = self.random.below(2) == 0;
        self.next_turn = now + TICK - Duration::from_nanos(self.random.below(TICK.as_nanos() / 2));
        let Some(Running { assembly, wire, .. }) = &mut self.running else { return };
        for _ in 0..ROUNDS {
            let mut found = control_first && assembly.control.turn(clock);
            for worker in &mut assembly.workers {
                found |= worker.turn(clock);
            }
            found |= !control_first && assembly.control.turn(clock);
            if !found {
                break;
            }
        }
        while let Some(packet) = wire.receive() {
            out.push(packet.data().to_vec());
        }
        let wanted = assembly.shared.ha.as_ref().map_or(0, |view| view.wanted_reserve());
        if wanted > self.reserved {
            self.reserved = wanted;
            let _ = assembly.shared.mailbox.send(Command::Reserved(wanted));
        }
        // As management does.
        while assembly.shared.mailbox.answer().is_some() {}
    }

    /// It serves: it is awake, it owns the instance, and its lease runs.
    pub(super) fn serves(&self, now: Instant) -> bool {
        let clock = self.clock(now);
        !self.paused
            && self.running.as_ref().is_some_and(|Running { assembly, .. }| {
                assembly.shared.ownership.serves(INSTANCE) && assembly.shared.ownership.lease_holds(clock)
            })
    }

    /// Its role and term, for people.
    pub(super) fn state(&self) -> String {
        match &self.running {
            None => "down".into(),
            Some(Running { assembly, .. }) => {
                let (state, term) = assembly.shared.ownership.get(INSTANCE);
                format!("{} in term {term}", state.name())
            }
        }
    }

    /// It holds every session of the peer's.
    pub(super) fn is_in_sync(&mut self) -> bool {
        let sync = self.running.as_mut().and_then(|running| running.assembly.control.sync_mut());
        sync.is_some_and(|sync| sync.in_sync())
    }

    /// The peer has acknowledged everything there was to say by now.
    pub(super) fn has_told_all(&mut self, now: Instant) -> bool {
        let clock = self.clock(now);
        let sync = self.running.as_mut().and_then(|running| running.assembly.control.sync_mut());
        sync.is_some_and(|sync| sync.is_streaming() && sync.lag(clock).0 == 0)
    }

    /// What its control core has told since the last call.
    pub(super) fn events(&self) -> Vec<Event> {
        let events = self.running.as_ref().map(|running| &running.assembly.shared.events);
        events.map_or_else(Vec::new, |events| std::iter::from_fn(|| events.pop()).collect())
    }
}
