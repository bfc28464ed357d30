//! L6: the control core, one pinned polling thread. It answers for the node's addresses, keeps the neighbours, says
//! who serves, and watches the workers. It never blocks and does bounded work a turn.

mod addresses;
mod announce;
mod bfd;
mod command;
mod ha;
mod ha_view;
mod hear;
mod neighbors;
mod outlet;
mod pair_view;
mod peer_link;
mod pinned;
mod risen;
mod run;
mod sync;
mod sync_view;
mod view;
mod watchdog;
mod witness;

pub use addresses::NodeAddresses;
pub use bfd::{BfdChange, BfdEntry, BfdView, MAX_BFD_SESSIONS, Timing};
pub use command::{Answer, Command, CommandError, Mailbox};
pub use ha::HaSettings;
pub use ha_view::{HaReport, HaView, WitnessReport};
pub use outlet::{Allocator, Outlet, OutletPort, Reception};
pub use pair_view::PairView;
pub use peer_link::{Io, PeerLink, PeerSettings, body_room};
pub use run::run;
pub use sync::{SyncCore, SyncSettings};
pub use sync_view::{SyncGauge, SyncView};
pub use view::NeighborView;
pub use watchdog::{Stall, Watchdog};

use crate::{
    plane::{
        Counters, Examined, HaState, Histogram, Links, NextHops, Ownership, Pins, Reader, Relay, Routes,
    },
    port::Port,
    protocol::{
        bfd as bfd_protocol,
        election::Change,
        neighbor::Neighbors,
        pair::{Difference, Kind},
    },
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
    /// Next hops of the configuration.
    pub pins: Reader<Pins>,
    /// The way to a peer that is several hops away.
    pub routes: Reader<Routes>,
    /// Where it writes what it learns.
    pub next_hops: Arc<NextHops>,
    /// Where it says who serves.
    pub ownership: Arc<Ownership>,
    /// Which ports have a link.
    pub links: Arc<Links>,
    /// Where it says where the other node is.
    pub relay: Arc<Relay>,
    /// What management asks.
    pub mailbox: Arc<Mailbox>,
    /// The workers' heartbeats.
    pub workers: Vec<Arc<Counters>>,
    /// A worker that does not turn for so long counts as stalled.
    pub stall: Duration,
    /// Most neighbours at a time.
    pub max_neighbors: usize,
    /// What management is told.
    pub events: Arc<ArrayQueue<Event>>,
    /// The other node.
    pub peer: Option<PeerSettings>,
    /// Session sync with it.
    pub sync: Option<SyncSettings>,
    /// Who of the two serves.
    pub ha: Option<HaSettings>,
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
    /// The election of an instance decided something.
    Election(Change),
    /// A BFD session changed.
    Bfd(BfdChange),
    /// What keeps the nodes from sharing sessions has changed.
    Difference(Option<Difference>),
    /// This node holds every session of the peer's, or does not any more.
    InSync(bool),
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
    pins: Reader<Pins>,
    routes: Reader<Routes>,
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
    links: Arc<Links>,
    relay: Arc<Relay>,
    workers: Vec<Arc<Counters>>,
    mailbox: Arc<Mailbox>,
    link: Option<PeerLink>,
    sync: Option<SyncCore>,
    ha: Option<ha::Ha>,
    /// What management was last told of them.
    told: (Option<Difference>, bool),
}

/// How often it looks at what need not be looked at every turn.
const HOUSEKEEPING: Duration = Duration::from_millis(1);

/// Makes one seed two.
const HA_SEED: u64 = 0x9e37_79b9_7f4a_7c15;

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
        let sync = settings.sync.map(|sync| SyncCore::new(sync, Arc::clone(&settings.ownership)));
        Self {
            link: settings.peer.map(PeerLink::new),
            sync,
            ha: settings.ha.map(|ha| ha::Ha::new(ha, settings.seed ^ HA_SEED, Instant::ZERO)),
            told: (None, false),
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
            pins: settings.pins,
            routes: settings.routes,
            next_hops: settings.next_hops,
            ownership: settings.ownership,
            pinned: pinned::Pinned::default(),
            risen: risen::Risen::new(Arc::clone(&settings.links)),
            links: settings.links,
            relay: settings.relay,
            mailbox: settings.mailbox,
            workers: settings.workers.clone(),
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

    /// The BFD sessions, as management may list them.
    pub fn bfd_view(&self) -> Arc<BfdView> {
        self.bfd.view()
    }

    /// How long turns take, in nanoseconds from one to the next.
    pub fn turn_times(&self) -> Arc<Histogram> {
        Arc::clone(&self.turn_times)
    }

    /// Session sync, if sessions are shared.
    pub const fn sync_mut(&mut self) -> Option<&mut SyncCore> {
        self.sync.as_mut()
    }

    /// What others see of it.
    pub fn sync_view(&self) -> Option<Arc<SyncView>> {
        self.sync.as_ref().map(SyncCore::view)
    }

    /// What others see of the conversation with the peer.
    pub fn pair_view(&self) -> Option<Arc<PairView>> {
        self.link.as_ref().map(PeerLink::view)
    }

    /// What others see of high availability.
    pub fn ha_view(&self) -> Option<Arc<HaView>> {
        self.ha.as_ref().map(ha::Ha::view)
    }

    /// Makes this node serve every instance: it has no peer. Called before the first turn.
    pub fn serve_alone(&self) {
        for instance in (0..self.ownership.count()).map(InstanceId) {
            self.ownership.set(instance, HaState::Master, 1);
            self.tell(Event::State(instance, HaState::Master));
        }
    }

    /// Leaves it to somebody else to say who serves, who then writes [`Ownership`]. Called before the first turn.
    pub fn abstain(&mut self) {
        self.ha = None;
    }

    /// No claim of this node will be at or below `term`, which was reserved before it started. Called before the first
    /// turn.
    pub fn begin_after(&mut self, term: u64) {
        if let Some(ha) = &mut self.ha {
            ha.elections.begin_after(term);
        }
    }

    /// Allocates what its thread needs. Called on that thread, before the first turn.
    pub fn prepare(&mut self) {
        self.services.prepare();
        self.pins.prepare();
        self.routes.prepare();
        if let Some(ha) = &mut self.ha {
            ha.addresses.prepare();
        }
    }

    /// One turn at `now`. Returns whether there was anything to do.
    pub fn turn(&mut self, now: Instant) -> bool {
        self.turn_times.record(now.since(self.last_turn).as_nanos());
        self.last_turn = now;
        let mut found = self.hear_peer(now);
        found |= self.hear_neighbors(now);
        found |= self.obey(now);
        self.elect(now);
        found |= self.announce(now);
        self.follow_handover(now);
        found |= self.say_hello(now);
        self.tell_bfd();
        found |= self.bfd.speak(&mut self.outlet, &self.next_hops, self.routes.load(), now);
        found |= self.ask_witnesses(now);
        self.outlet.flush();
        if now.since(self.housekeeping) >= HOUSEKEEPING {
            self.housekeeping = now;
            self.keep_neighbors(now);
            self.bfd.reap(now);
            self.bfd.publish();
            self.find_relay();
            self.keep_house_of_ha(now);
            self.tell_of_peer();
            for stall in self.watchdog.look(now) {
                self.tell(Event::Stall(stall));
            }
        }
        found |= self.ask_neighbors(now);
        found |= self.share_sessions(now);
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

    /// A message of the pair's.
    fn hear_pair(&mut self, frame: &[u8], received_at: Instant, now: Instant) {
        let Some(link) = &mut self.link else { return };
        let Some(message) = link.hear(frame, received_at) else { return };
        if let (Some(ha), Kind::Hello) = (&mut self.ha, message.kind) {
            // What is refused has been counted; on two paths the second copy is old.
            let _ = ha.elections.receive(message.body, received_at);
        }
        if let Some(sync) = &mut self.sync {
            if message.is_new {
                sync.greet();
            }
            if sync.hear(&message, now).is_err() {
                link.refuse_body();
            }
        }
    }

    fn tell_of_peer(&mut self) {
        let Some(link) = &self.link else { return };
        link.publish();
        let Some(sync) = &self.sync else { return };
        let news = (link.pair().difference(), sync.in_sync());
        let told = std::mem::replace(&mut self.told, news);
        if news.0 != told.0 {
            self.tell(Event::Difference(news.0));
        }
        if news.1 != told.1 {
            self.tell(Event::InSync(news.1));
        }
    }

    fn share_sessions(&mut self, now: Instant) -> bool {
        let (Some(sync), Some(link)) = (&mut self.sync, &mut self.link) else { return false };
        let mut io = Io {
            outlet: &mut self.outlet,
            routes: self.routes.load(),
            next_hops: &self.next_hops,
            neighbors: &mut self.neighbors,
            addresses: &self.addresses,
        };
        sync.turn(now, link, &mut io)
    }

    /// Management reads events when it can; if it does not, the oldest go.
    fn tell(&self, event: Event) {
        self.events.force_push(event);
    }
}
