//! L6: the control core, one pinned polling thread. It answers for the node's addresses, keeps the neighbours, says
//! who serves, and watches the workers. It never blocks and does bounded work a turn.

mod addresses;
mod neighbors;
mod outlet;
mod pinned;
mod risen;
mod run;
mod view;
mod watchdog;

pub use addresses::NodeAddresses;
pub use outlet::{Allocator, Outlet, OutletPort};
pub use run::run;
pub use view::NeighborView;
pub use watchdog::{Stall, Watchdog};

use crate::{
    plane::{Counters, HaState, Links, NextHops, Ownership, Pins, Reader},
    port::Port,
    protocol::neighbor::Neighbors,
    service::ServiceTable,
    types::{Duration, InstanceId, Instant, PortId},
    worker::OnPort,
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
    pub urgent: Vec<Consumer<OnPort<P::Packet>>>,
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
    /// Next hops of the configuration.
    pub pins: Reader<Pins>,
    /// Where it writes what it learns.
    pub next_hops: Arc<NextHops>,
    /// Where it says who serves.
    pub ownership: Arc<Ownership>,
    /// Which ports have a link.
    pub links: Arc<Links>,
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
}

/// The control core.
#[derive(Debug)]
pub struct Control<P: Port> {
    outlet: Outlet<P>,
    addresses: NodeAddresses,
    urgent: Vec<Consumer<OnPort<P::Packet>>>,
    neighbor_rings: Vec<Consumer<OnPort<P::Packet>>>,
    requests: Vec<Consumer<(PortId, IpAddr)>>,
    kernel: Producer<OnPort<P::Packet>>,
    kernel_interfaces: Vec<bool>,
    services: Reader<ServiceTable>,
    pins: Reader<Pins>,
    next_hops: Arc<NextHops>,
    ownership: Arc<Ownership>,
    neighbors: Neighbors,
    pinned: pinned::Pinned,
    risen: risen::Risen,
    view: Arc<NeighborView>,
    /// The neighbour that is looked at next.
    reviewed: usize,
    watchdog: Watchdog,
    events: Arc<ArrayQueue<Event>>,
    housekeeping: Instant,
}

/// How often it looks at what need not be looked at every turn.
const HOUSEKEEPING: Duration = Duration::from_millis(1);

impl<P: Port> Control<P> {
    /// A control core that knows nothing yet. Without a peer the node serves at once.
    pub fn new(settings: Settings<P>) -> Self {
        let neighbors = Neighbors::new(crate::protocol::neighbor::Settings {
            capacity: settings.max_neighbors,
            ..Default::default()
        });
        Self {
            outlet: settings.outlet,
            addresses: settings.addresses,
            urgent: settings.urgent,
            neighbor_rings: settings.neighbors,
            requests: settings.requests,
            kernel: settings.kernel,
            kernel_interfaces: settings.kernel_interfaces,
            services: settings.services,
            pins: settings.pins,
            next_hops: settings.next_hops,
            ownership: settings.ownership,
            pinned: pinned::Pinned::default(),
            risen: risen::Risen::new(settings.links),
            view: Arc::new(NeighborView::new(neighbors.slots())),
            reviewed: 0,
            neighbors,
            watchdog: Watchdog::new(settings.workers, settings.stall),
            events: settings.events,
            housekeeping: Instant::ZERO,
        }
    }

    /// The neighbours, as management may list them.
    pub fn neighbor_view(&self) -> Arc<NeighborView> {
        Arc::clone(&self.view)
    }

    /// Makes this node serve every instance: it has no peer. Called before the first turn.
    pub fn serve_alone(&self) {
        for instance in (0..self.ownership.count()).map(InstanceId) {
            self.ownership.set(instance, HaState::Master, 1);
            self.tell(Event::State(instance, HaState::Master));
        }
    }

    /// Allocates what its thread needs. Called on that thread, before the first turn.
    pub fn prepare(&mut self) {
        self.services.prepare();
        self.pins.prepare();
    }

    /// One turn at `now`. Returns whether there was anything to do.
    pub fn turn(&mut self, now: Instant) -> bool {
        let mut found = self.hear_peer();
        found |= self.hear_neighbors(now);
        if now.since(self.housekeeping) >= HOUSEKEEPING {
            self.housekeeping = now;
            self.keep_neighbors(now);
            for stall in self.watchdog.look(now) {
                self.tell(Event::Stall(stall));
            }
        }
        found |= self.ask_neighbors(now);
        self.outlet.flush();
        found
    }

    /// Nothing is spoken with a peer yet: what comes for the control protocols is taken and let go.
    fn hear_peer(&mut self) -> bool {
        let mut found = false;
        for ring in &mut self.urgent {
            for _ in 0..PER_TURN {
                found |= ring.pop().is_ok();
            }
        }
        found
    }

    /// Management reads events when it can; if it does not, the oldest go.
    fn tell(&self, event: Event) {
        self.events.force_push(event);
    }
}
