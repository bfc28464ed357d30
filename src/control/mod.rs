//! L6: the control core, one pinned polling thread. It answers for the node's addresses, keeps the neighbours, says
//! who serves, and watches the workers. It never blocks and does bounded work a turn.

mod addresses;
mod bfd;
mod hear;
mod neighbors;
mod outlet;
mod run;
mod watchdog;

pub use addresses::NodeAddresses;
pub use bfd::{BfdChange, BfdEntry, BfdView, MAX_BFD_SESSIONS, Timing};
pub use neighbors::NeighborView;
pub use outlet::{Allocator, Outlet, OutletPort, Reception};
pub use run::run;
pub use watchdog::{Stall, Watchdog};

use crate::{
    plane::{Counters, Examined, HaState, Histogram, NextHops, Ownership, Reader, Routes},
    port::Port,
    protocol::{bfd as bfd_protocol, neighbor::Neighbors},
    service::ServiceTable,
    types::{Duration, InstanceId, Instant, PortId},
    worker::{OnPort, Urgent},
};
use crossbeam::queue::ArrayQueue;
use rtrb::{Consumer, Producer};
use std::{net::IpAddr, sync::Arc};

/// Packets taken from one ring in one turn.
const PER_TURN: usize = 32;

/// What the control core is made from.
#[derive(Debug)]
pub struct Settings<P: Port> {
    /// Its ports, in the order of the configuration, and the ways out.
    pub outlet: Outlet<P>,
    /// This node's own addresses.
    pub addresses: NodeAddresses,
    /// What the peer sends, from each worker.
    pub urgent: Vec<Consumer<Urgent<P::Packet>>>,
    /// Until when each worker has looked through its queues.
    pub examined: Vec<Arc<Examined>>,
    /// BFD sessions of the configuration.
    pub bfd: Vec<bfd_protocol::Settings>,
    /// Unpredictable.
    pub seed: u64,
    /// ARP and neighbour discovery, from each worker.
    pub neighbors: Vec<Consumer<OnPort<P::Packet>>>,
    /// Next hops that workers ask for.
    pub requests: Vec<Consumer<(PortId, IpAddr)>>,
    /// To the kernel interfaces.
    pub kernel: Producer<OnPort<P::Packet>>,
    /// Ports that have one.
    pub kernel_interfaces: Vec<bool>,
    /// VIPs, local addresses and backends.
    pub services: Reader<ServiceTable>,
    /// Gateways, and which port leads to a backend.
    pub routes: Reader<Routes>,
    /// Where it writes what it learns.
    pub next_hops: Arc<NextHops>,
    /// Where it says who serves.
    pub ownership: Arc<Ownership>,
    /// The workers' heartbeats.
    pub workers: Vec<Arc<Counters>>,
    /// A worker that does not turn for so long counts as stalled.
    pub stall: Duration,
    /// Most neighbours at a time.
    pub max_neighbors: usize,
    /// What management is told.
    pub events: Arc<ArrayQueue<Event>>,
}

/// What management is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Somebody else claims an address of this node.
    AddressConflict {
        /// The port it was heard on.
        port: PortId,
        /// The address.
        address: IpAddr,
        /// Who claims it.
        mac: crate::types::Mac,
    },
    /// A worker stands still, or turns again.
    Stall(Stall),
    /// An instance has a new role.
    State(InstanceId, HaState),
    /// A BFD session changed.
    Bfd(BfdChange),
}

/// The control core.
#[derive(Debug)]
pub struct Control<P: Port> {
    outlet: Outlet<P>,
    addresses: NodeAddresses,
    from_workers: Vec<hear::FromWorker<P::Packet>>,
    listening: Vec<hear::Listening>,
    bfd: bfd::Bfd,
    turn_times: Arc<Histogram>,
    last_turn: Instant,
    neighbor_rings: Vec<Consumer<OnPort<P::Packet>>>,
    requests: Vec<Consumer<(PortId, IpAddr)>>,
    kernel: Producer<OnPort<P::Packet>>,
    kernel_interfaces: Vec<bool>,
    services: Reader<ServiceTable>,
    routes: Reader<Routes>,
    next_hops: Arc<NextHops>,
    ownership: Arc<Ownership>,
    neighbors: Neighbors,
    pinned: neighbors::Pinned,
    view: Arc<NeighborView>,
    watchdog: Watchdog,
    events: Arc<ArrayQueue<Event>>,
    housekeeping: Instant,
}

/// How often it looks at what need not be looked at every turn.
const HOUSEKEEPING: Duration = Duration::from_millis(1);

impl<P: Port> Control<P> {
    /// A control core that knows nothing yet. Without a peer the node serves at once.
    pub fn new(settings: Settings<P>) -> Self {
        let ports = settings.kernel_interfaces.len();
        let mut bfd = bfd::Bfd::new(settings.seed, ports);
        for session in settings.bfd {
            // The configuration was checked: no two are alike, and there is room.
            let _ = bfd.add(session, Instant::ZERO);
        }
        let descriptors =
            |port| settings.outlet.facts(PortId(port as u8)).map_or(0, |facts| facts.rx_descriptors);
        let listening = (0..ports).map(|port| hear::Listening::new(descriptors(port))).collect();
        let from_workers = settings.urgent.into_iter().zip(settings.examined);
        let neighbors = Neighbors::new(crate::protocol::neighbor::Settings {
            capacity: settings.max_neighbors,
            ..Default::default()
        });
        Self {
            outlet: settings.outlet,
            addresses: settings.addresses,
            from_workers: from_workers.map(|(ring, examined)| hear::FromWorker { ring, examined }).collect(),
            listening,
            bfd,
            turn_times: Arc::default(),
            last_turn: Instant::ZERO,
            neighbor_rings: settings.neighbors,
            requests: settings.requests,
            kernel: settings.kernel,
            kernel_interfaces: settings.kernel_interfaces,
            services: settings.services,
            routes: settings.routes,
            next_hops: settings.next_hops,
            ownership: settings.ownership,
            neighbors,
            pinned: neighbors::Pinned::default(),
            view: Arc::new(NeighborView::default()),
            watchdog: Watchdog::new(settings.workers, settings.stall),
            events: settings.events,
            housekeeping: Instant::ZERO,
        }
    }

    /// The neighbours, as management may list them.
    pub fn neighbor_view(&self) -> Arc<NeighborView> {
        Arc::clone(&self.view)
    }

    /// The BFD sessions, as management may list them.
    pub fn bfd_view(&self) -> Arc<BfdView> {
        self.bfd.view()
    }

    /// How long turns take, in nanoseconds from one to the next.
    pub fn turn_times(&self) -> Arc<Histogram> {
        Arc::clone(&self.turn_times)
    }

    /// Makes this node serve every instance: it has no peer. Called before the first turn.
    pub fn serve_alone(&self) {
        for instance in (0..self.ownership.count()).map(InstanceId) {
            self.ownership.set(instance, HaState::Master, 1);
            self.tell(Event::State(instance, HaState::Master));
        }
    }

    /// One turn at `now`. Returns whether there was anything to do.
    pub fn turn(&mut self, now: Instant) -> bool {
        self.turn_times.record(now.since(self.last_turn).as_nanos());
        self.last_turn = now;
        let mut found = self.hear_peer(now);
        self.tell_bfd();
        found |= self.bfd.speak(&mut self.outlet, &self.next_hops, self.routes.load(), now);
        self.outlet.flush();
        found |= self.hear_neighbors(now);
        if now.since(self.housekeeping) >= HOUSEKEEPING {
            self.housekeeping = now;
            self.keep_neighbors(now);
            self.bfd.publish();
            for stall in self.watchdog.look(now) {
                self.tell(Event::Stall(stall));
            }
        }
        found |= self.ask_neighbors(now);
        self.outlet.flush();
        found
    }

    fn tell_bfd(&mut self) {
        for (id, change) in self.bfd.take_changes() {
            let Some(session) = self.bfd.sessions().get(id) else { continue };
            let silence = change.last_received.map(|last| change.noticed.since(last));
            self.tell(Event::Bfd(BfdChange { path: session.settings().path, change, silence }));
        }
    }

    /// Management reads events when it can; if it does not, the oldest go.
    fn tell(&self, event: Event) {
        self.events.force_push(event);
    }
}
