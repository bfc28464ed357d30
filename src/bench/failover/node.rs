//! One of the two nodes: everything a node has, on a thread of its own, which turns its worker and its control core.

use super::{
    segment::{DEPTH, Segment},
    station::Station,
};
use crate::{
    bench::{host::Cores, timer::Timer},
    control::{Event, Reception},
    manage::{Assembly, PortParts, Shared, assemble},
    packet::Steering,
    plane::Counter,
    port::{PortFacts, memory::Pool},
    protocol::election::Change,
    simulator::{Plan, node_mac},
    types::{InstanceId, Instant, PortId},
    worker::{Idle, Rest, Stop},
};
use std::{
    sync::{
        Arc,
        atomic::{
            AtomicU64,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
    thread::{self, JoinHandle},
};

/// The only instance.
const INSTANCE: InstanceId = InstanceId(0);

/// A node that runs.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) shared: Arc<Shared>,
    /// Its process's clock began then.
    started_at: Instant,
    stop: Arc<Stop>,
    /// When its last turn was over.
    ended_at: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Node {
    /// Starts node 0 or 1.
    pub(super) fn start(
        number: usize,
        plan: &Plan,
        segment: &Arc<Segment>,
        timer: &Timer,
        cores: &Cores,
    ) -> Result<Self, String> {
        let pool = Pool::new(4 * DEPTH, 1600);
        let station = Station::new(number, Arc::clone(segment), pool.clone(), timer.clone());
        let facts = PortFacts {
            id: PortId(0),
            name: "bench".into(),
            mac: node_mac(number),
            mtu: 1500,
            vlan: 0,
            steering: Steering::Software { workers: 1 },
            rx_descriptors: DEPTH as u16,
            hardware_timestamps: false,
            checks_ip: false,
        };
        let parts = PortParts {
            facts,
            queues: vec![station],
            control: None,
            reception: Reception::Workers,
            allocate: Box::new(move || pool.allocate()),
        };
        let assembly = assemble(plan.config(number)?, vec![parts]).map_err(|error| error.to_string())?;
        let (stop, ended_at) = (Arc::new(Stop::new(false)), Arc::new(AtomicU64::new(0)));
        let shared = Arc::clone(&assembly.shared);
        let started_at = timer.now();
        let life = Life {
            timer: timer.clone(),
            started_at,
            stop: Arc::clone(&stop),
            ended_at: Arc::clone(&ended_at),
        };
        let cores = cores.clone();
        let thread = thread::Builder::new()
            .name(format!("node{number}"))
            .spawn(move || life.live(assembly, cores.pin(number)))
            .map_err(|error| format!("cannot start a thread: {error}"))?;
        Ok(Self { shared, started_at, stop, ended_at, thread: Some(thread) })
    }

    /// A moment of its process's clock, on everybody's.
    pub(super) fn everybodys(&self, moment: Instant) -> Instant {
        self.started_at + moment.since(BEGINNING)
    }

    pub(super) fn serves(&self) -> bool {
        self.shared.ownership.serves(INSTANCE)
    }

    /// It holds every session of the peer's, and is ready to take over.
    pub(super) fn is_ready(&self) -> bool {
        self.status().is_some_and(|status| status.ready)
    }

    fn status(&self) -> Option<crate::protocol::election::Status> {
        let report = self.shared.ha.as_ref()?.report();
        report.instances.first().map(|(_, status)| *status)
    }

    /// The peer has acknowledged everything there was to say.
    pub(super) fn has_told_all(&self) -> bool {
        use crate::control::SyncGauge::{LagRecords, Streaming};
        self.shared.sync.as_ref().is_some_and(|sync| sync.get(Streaming) == 1 && sync.get(LagRecords) == 0)
    }

    /// Sessions in its table.
    pub(super) fn sessions(&self) -> u64 {
        self.shared.counters.iter().map(|counters| counters.read().get(Counter::SessionsV4)).sum()
    }

    /// The next decision of its election since the last call.
    pub(super) fn next_change(&self) -> Option<Change> {
        std::iter::from_fn(|| self.shared.events.pop()).find_map(|event| match event {
            Event::Election(change) => Some(change),
            _ => None,
        })
    }

    /// Ends it in the middle of everything; when it last did something.
    pub(super) fn kill(&mut self) -> Instant {
        self.stop.store(true, Relaxed);
        while self.ended_at.load(Acquire) == 0
            && self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
        {
            std::hint::spin_loop();
        }
        Instant::from_nanos(self.ended_at.load(Acquire))
    }

    /// Waits until its memory is free.
    pub(super) fn bury(&mut self) {
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        self.bury();
    }
}

/// What a process's clock shows when it starts.
const BEGINNING: Instant = Instant::from_nanos(1_000_000);

struct Life {
    timer: Timer,
    started_at: Instant,
    stop: Arc<Stop>,
    ended_at: Arc<AtomicU64>,
}

impl Life {
    fn live(self, mut assembly: Assembly<Station>, alone: bool) {
        let mut rest = Rest::new(if alone { Idle::Spin } else { Idle::Sleep });
        let clock = || BEGINNING + self.timer.now().since(self.started_at);
        assembly.control.prepare();
        assembly.workers.iter_mut().for_each(crate::worker::Worker::prepare);
        while !self.stop.load(Relaxed) {
            let mut found = false;
            for worker in &mut assembly.workers {
                found |= worker.turn(clock());
            }
            found |= assembly.control.turn(clock());
            rest.after(found);
        }
        self.ended_at.store(self.timer.now().as_nanos(), Release);
    }
}
