//! One of the two nodes: everything a node has, its worker and its control core turning one after the other.

use super::{
    clock::Clock,
    segment::{DEPTH, Segment},
    station::Station,
};
use crate::{
    control::{Event, Reception, SyncGauge},
    manage::{Assembly, PortParts, Shared, assemble},
    packet::Steering,
    plane::{Counter, Tally},
    port::{PortFacts, memory::Pool},
    protocol::election::{Change, Status},
    simulator::{Plan, node_mac},
    types::{DropReason, Duration, InstanceId, Instant, PortId},
};
use std::sync::Arc;

/// The only instance.
const INSTANCE: InstanceId = InstanceId(0);

/// What a process's clock shows when it starts.
const BEGINNING: Instant = Instant::from_nanos(1_000_000);

/// A node that runs.
#[derive(Debug)]
pub(super) struct Node {
    assembly: Assembly<Station>,
    clock: Clock,
    started_at: Instant,
}

impl Node {
    /// Starts node 0 or 1.
    pub(super) fn start(
        number: usize,
        plan: &Plan,
        segment: &Arc<Segment>,
        clock: Clock,
    ) -> Result<Self, String> {
        let pool = Pool::new(4 * DEPTH, 1600);
        let station = Station::new(number, Arc::clone(segment), pool.clone(), clock.clone());
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
            stack_addresses: Vec::new(),
        };
        let mut assembly = assemble(plan.config(number)?, vec![parts]).map_err(|error| error.to_string())?;
        assembly.control.prepare();
        assembly.workers.iter_mut().for_each(crate::worker::Worker::prepare);
        let started_at = clock.shows();
        Ok(Self { assembly, clock, started_at })
    }

    /// Turns once; how long that took if it was too long.
    pub(super) fn turn(&mut self) -> Option<Duration> {
        let own = |now: Instant| BEGINNING + now.since(self.started_at);
        let begun = self.clock.begin();
        for worker in &mut self.assembly.workers {
            worker.turn(own(begun));
        }
        self.assembly.control.turn(own(self.clock.now()));
        self.clock.end()
    }

    /// What its clock shows between turns.
    pub(super) fn now(&self) -> Instant {
        self.clock.shows()
    }

    /// A moment of its process's clock, on everybody's.
    pub(super) fn everybodys(&self, moment: Instant) -> Instant {
        self.started_at + moment.since(BEGINNING)
    }

    fn shared(&self) -> &Shared {
        &self.assembly.shared
    }

    pub(super) fn serves(&self) -> bool {
        self.shared().ownership.serves(INSTANCE)
    }

    /// It holds every session of the peer's, and is ready to take over.
    pub(super) fn is_ready(&self) -> bool {
        self.status().is_some_and(|status| status.ready)
    }

    fn status(&self) -> Option<Status> {
        let report = self.shared().ha.as_ref()?.report();
        report.instances.first().map(|(_, status)| *status)
    }

    /// The peer has acknowledged everything there was to say.
    pub(super) fn has_told_all(&self) -> bool {
        let is = |gauge, value| self.shared().sync.as_ref().is_some_and(|sync| sync.get(gauge) == value);
        is(SyncGauge::Streaming, 1) && is(SyncGauge::LagRecords, 0)
    }

    /// Sessions in its table.
    pub(super) fn sessions(&self) -> u64 {
        self.shared().counters.iter().map(|counters| counters.read().get(Counter::SessionsV4)).sum()
    }

    /// Packets dropped, by reason.
    pub(super) fn drops(&self) -> String {
        let mut sum = Tally::default();
        self.shared().counters.iter().for_each(|counters| sum += &counters.read());
        let dropped = DropReason::ALL.iter().copied().filter(|reason| sum.drops(*reason) > 0);
        dropped
            .map(|reason| format!("{} {}", sum.drops(reason), reason.name()))
            .collect::<Vec<_>>()
            .join(", ")
    }

    /// The next decision of its election since the last call.
    pub(super) fn next_change(&self) -> Option<Change> {
        std::iter::from_fn(|| self.shared().events.pop()).find_map(|event| match event {
            Event::Election(change) => Some(change),
            _ => None,
        })
    }
}
