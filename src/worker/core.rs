//! What a worker knows and counts: everything but the packets themselves.

use super::{
    adopt::Adopter,
    family::WorkerFamily,
    icmp::Budget,
    journal::Journal,
    rings::SyncRings,
    verdict::{HopKey, Verdict},
};
use crate::{
    packet::{Family, HashKey, V4, V6},
    plane::{
        BackendCounters, Counter, Examined, Links, NextHops, Ownership, ProbePorts, Relay, Routes, Tally,
    },
    port::{BATCH, PortFacts},
    service::{Backend, Service, ServiceTable},
    session::{Direction, Fragments, LocalAddresses, LocalPorts, Session, Storage, Table, Timeouts},
    types::{
        BackendId, DropReason, Duration, Duty, InstanceId, Instant, Mac, NextHopId, PortId, Protocol,
        WorkerId,
    },
};
use arrayvec::ArrayVec;
use std::{ops::RangeInclusive, sync::Arc};

/// What a worker is made from.
#[derive(Debug)]
pub struct Settings {
    /// Its number.
    pub worker: WorkerId,
    /// Its ports, in the order of the configuration.
    pub ports: Vec<PortSettings>,
    /// Memory for its IPv4 sessions.
    pub v4: Storage<V4>,
    /// Memory for its IPv6 sessions.
    pub v6: Storage<V6>,
    /// Hides the order of the tables from outsiders.
    pub key: HashKey,
    /// Where frames go.
    pub next_hops: Arc<NextHops>,
    /// Who serves.
    pub ownership: Arc<Ownership>,
    /// Where it says until when it has looked through its queues.
    pub examined: Arc<Examined>,
    /// Which ports have a link.
    pub links: Arc<Links>,
    /// Where the other node is.
    pub relay: Arc<Relay>,
    /// Answers to pings of this node's own are the control core's.
    pub ping_witness: bool,
    /// Probes of this node's own stack that are under way.
    pub probes: Arc<ProbePorts>,
    /// Every worker's counts per backend; its own are at its number.
    pub backends: Vec<Arc<BackendCounters>>,
    /// How many backend slots there are.
    pub backend_slots: usize,
    /// Source addresses towards backends.
    pub local_addresses: LocalAddresses,
    /// Source ports towards backends.
    pub local_ports: RangeInclusive<u16>,
    /// How long sessions may be idle.
    pub timeouts: Timeouts,
    /// Packets held for next hops, at most.
    pub held_packets: usize,
    /// Datagrams in fragments followed at a time.
    pub fragments: usize,
}

/// A port as the worker sees it.
#[derive(Clone, Debug)]
pub struct PortSettings {
    /// What the device says.
    pub facts: PortFacts,
    /// What is not ours goes to the kernel.
    pub kernel_interface: bool,
    /// MACs that move with the instances: frames to them are for this port too.
    pub virtual_macs: Vec<Mac>,
}

/// A port, prepared for comparing and writing.
#[derive(Debug)]
pub(super) struct CorePort {
    pub(super) id: PortId,
    pub(super) mac: Mac,
    /// The same as [`Mac::to_bits`] gives it, so that one comparison shows that a frame is for it; a value that no MAC has
    /// where the frames carry a tag.
    pub(super) untagged: u64,
    pub(super) vlan: u16,
    pub(super) mtu: u16,
    pub(super) l2_length: usize,
    pub(super) kernel_interface: bool,
    pub(super) virtual_macs: Box<[Mac]>,
    pub(super) facts: PortFacts,
}

/// The published tables, as of this burst.
#[derive(Clone, Copy, Debug)]
pub(super) struct Views<'a> {
    pub(super) services: &'a ServiceTable,
    pub(super) routes: &'a Routes,
}

/// The sessions of both families.
#[derive(Debug)]
pub(super) struct Sessions {
    pub(super) v4: Table<V4>,
    pub(super) v6: Table<V6>,
}

/// All else that deciding needs.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) worker: WorkerId,
    /// Made once, never given back: packets on their way refer to them.
    pub(super) ports: &'static [CorePort],
    pub(super) next_hops: Arc<NextHops>,
    pub(super) ownership: Arc<Ownership>,
    all_backends: Vec<Arc<BackendCounters>>,
    pub(super) backends: Arc<BackendCounters>,
    pub(super) local_addresses: LocalAddresses,
    pub(super) local_ports: LocalPorts,
    pub(super) fragments: Fragments,
    pub(super) timeouts: Timeouts,
    pub(super) tally: Tally,
    pub(super) now: Instant,
    pub(super) now_ms: u32,
    lease_holds: bool,
    /// Packets come faster than they are taken.
    pub(super) behind: bool,
    /// Bursts taken while they did.
    bursts_behind: u32,
    /// Sessions that this burst may still open.
    pub(super) openings: usize,
    /// Somebody asked for a new session.
    pub(super) newcomers: bool,
    pub(super) ping_witness: bool,
    pub(super) probes: Arc<ProbePorts>,
    /// Answers to what anybody may send.
    pub(super) icmp_budget: Budget,
    /// Resets of connections that are not there.
    pub(super) reset_budget: Budget,
    /// Datagrams in fragments so far.
    datagrams: u32,
    /// Next hops that replies will need.
    pub(super) wanted: ArrayVec<HopKey, BATCH>,
    /// Where sessions are told to the peer; `None` without one.
    pub(super) journal: Option<Box<Journal>>,
    /// Since when this node owns each instance.
    pub(super) owned_since: Box<[Option<Instant>]>,
}

/// While the worker is behind, one session may be opened in so many bursts. One that is opened alone waits for memory
/// several times and takes as long as forwarding twenty packets: those that are there keep most of the worker's time.
const BURSTS_AN_OPENING: u32 = 4;

impl Context {
    /// A burst begins.
    #[inline]
    pub(super) const fn allow_openings(&mut self) {
        if self.behind {
            self.bursts_behind = self.bursts_behind.wrapping_add(1);
            self.openings = self.bursts_behind.is_multiple_of(BURSTS_AN_OPENING) as usize;
        } else {
            self.openings = BATCH;
        }
    }

    /// Whether this node serves the instance now.
    #[inline]
    pub(super) fn serves(&self, instance: InstanceId) -> Result<(), DropReason> {
        if !self.lease_holds {
            Err(DropReason::LeaseExpired)
        } else if !self.ownership.serves(instance) {
            Err(DropReason::NotOwner)
        } else {
            Ok(())
        }
    }

    /// Whether packets of a session of the instance go on: also while it is being handed over.
    #[inline]
    pub(super) fn forwards(&mut self, instance: InstanceId) -> Result<(), DropReason> {
        match self.serves(instance) {
            Err(DropReason::NotOwner) => self.drains(instance),
            known => known,
        }
    }

    #[cold]
    fn drains(&mut self, instance: InstanceId) -> Result<(), DropReason> {
        if self.ownership.duty(instance) != Duty::Draining {
            return Err(DropReason::NotOwner);
        }
        self.tally.add(Counter::Strays, 1);
        Ok(())
    }

    /// What becomes of a packet that only who serves the instance can answer.
    #[cold]
    pub(super) fn turn_away(&self, instance: InstanceId, reason: DropReason) -> Verdict {
        match self.ownership.duty(instance) {
            Duty::Draining if reason == DropReason::NotOwner => Verdict::Relay,
            _ => Verdict::Drop(reason),
        }
    }

    /// A port of this worker's.
    #[inline]
    pub(super) fn port(&self, id: PortId) -> Option<&'static CorePort> {
        self.ports.get(id.index())
    }

    /// Sessions of a backend on all workers.
    pub(super) fn active(&self, backend: BackendId) -> u32 {
        let all: u64 = self.all_backends.iter().map(|counters| counters.active(backend)).sum();
        u32::try_from(all).unwrap_or(u32::MAX)
    }

    /// An identification for a datagram in fragments. Of the values that IPv4 has, each worker has those that leave
    /// its number when divided by the number of workers, and gives all of them before it gives one again.
    pub(super) fn next_datagram_id(&mut self) -> u32 {
        let workers = self.all_backends.len().max(1) as u32;
        let values = (1 << 16) / workers;
        self.datagrams = self.datagrams.wrapping_add(1);
        let (round, value) = (self.datagrams / values, self.datagrams % values);
        round << 16 | (value * workers + u32::from(self.worker.0))
    }

    /// What there is to tell the peer goes to the control core now: before packets that depend on it go out.
    #[inline]
    pub(super) fn flush_journal(&mut self) {
        if let Some(journal) = &mut self.journal {
            journal.flush();
        }
    }

    /// Counts the end of a session, and tells it.
    pub(super) fn ended<F: Family>(&mut self, session: &Session<F>) {
        self.tally.add(Counter::SessionsEnded, 1);
        self.backends.ended(session.backend());
        if let Some(journal) = &mut self.journal {
            journal.ended(session);
        }
    }

    /// Whether this node owns the session's instance, and it had a packet since it does. Before, its times are those the
    /// peer told.
    pub(super) fn has_gone_on_with<F: Family>(&self, session: &Session<F>) -> bool {
        self.ownership.serves(session.instance()) && self.had_packet_here(session)
    }

    /// Whether a session of an instance that this node owns had a packet since it does.
    #[inline]
    fn had_packet_here<F: Family>(&self, session: &Session<F>) -> bool {
        let since = self.owned_since.get(session.instance().index()).copied().flatten();
        let idle = Duration::from_millis(session.idle_ms(self.now_ms).into());
        since.is_some_and(|since| idle <= self.now.since(since))
    }

    /// Notes which instances this node owns now.
    fn watch_ownership(&mut self) {
        for (instance, since) in (0..).map(InstanceId).zip(self.owned_since.iter_mut()) {
            *since = self.ownership.serves(instance).then(|| since.unwrap_or(self.now));
        }
    }

    /// Gives a synced session the slots of its service and backend, if this node knows them.
    pub(super) fn bind<F: Family>(&self, session: &mut Session<F>, services: &ServiceTable) {
        let inbound = session.arriving(Direction::Inbound);
        let outbound = session.arriving(Direction::Outbound);
        let (vip, port) = (inbound.destination(), inbound.ports.destination());
        let found = Protocol::from_number(session.protocol())
            .and_then(|protocol| services.find(vip, protocol, port))
            .filter(|service| service.spec().instance == session.instance());
        let Some(service) = found else { return };
        let (address, its_port) = (outbound.source(), outbound.ports.source());
        let is_it =
            |backend: &&Backend| backend.address == address && backend.port.unwrap_or(port) == its_port;
        if let Some(backend) = service.backends().iter().find(is_it) {
            session.bind(service.id(), backend.id);
            self.backends.adopted(backend.id);
        }
    }

    /// Finds the next hops of a session of the peer's, or has them asked for: its packets may come here any moment.
    pub(super) fn learn_ways<F: WorkerFamily>(&mut self, session: &mut Session<F>, routes: &Routes) {
        for direction in [Direction::Inbound, Direction::Outbound] {
            if self.next_hops.get(session.next_hop(direction)).is_some() {
                continue;
            }
            let Some(way) = routes.way(session.leaving(direction).destination()) else { continue };
            match self.next_hops.find(way.port, way.neighbor) {
                Some(slot) => session.set_next_hop(direction, slot),
                // Of many at once, the rest is asked for when the sessions are looked at.
                None if self.wanted.last() == Some(&(way.port, way.neighbor)) => {}
                None => drop(self.wanted.try_push((way.port, way.neighbor))),
            }
        }
    }

    /// How long the session may be idle; `None` when its service or its backend is gone.
    fn limit_ms<F: Family>(
        &self,
        session: &mut Session<F>,
        owned: bool,
        services: &ServiceTable,
    ) -> Option<u32> {
        if session.service().is_none() {
            self.bind(session, services);
        }
        let has_backend = |service: &&Service| service.backend(session.backend()).is_some();
        let service = session.service().map(|id| services.service(id).filter(has_backend));
        let established_ms = match service {
            Some(Some(service)) => u32::try_from(service.spec().idle_timeout.as_millis()).unwrap_or(u32::MAX),
            Some(None) if self.journal.is_none() || owned => return None,
            // The peer still has it: its packets may come here tomorrow.
            Some(None) => {
                self.backends.ended(session.backend());
                session.unbind();
                UNBOUND_MS
            }
            None => UNBOUND_MS,
        };
        Some(self.timeouts.limit_ms(session.state, established_ms))
    }

    /// Whether a session has been idle for too long: for its limit, when its last packet came here. For twice as long
    /// when the peer told of it, which does not tell of every packet; and a standby, whose word does not count, waits
    /// as long again: were it the first to end a session, its table would differ from the owner's.
    fn is_idle<F: Family>(&self, session: &Session<F>, limit_ms: u32, owned: bool) -> bool {
        let idle_ms = session.idle_ms(self.now_ms);
        if idle_ms < limit_ms {
            return false;
        }
        let limits = match &self.journal {
            None => 1,
            Some(_) if !owned => 4,
            Some(_) if self.had_packet_here(session) => 1,
            Some(_) => 2,
        };
        idle_ms >= limit_ms.saturating_mul(limits)
    }

    /// Looks at a session in its turn; true when it is over.
    fn look_at<F: WorkerFamily>(&mut self, session: &mut Session<F>, views: &Views<'_>) -> bool {
        let owned = self.ownership.serves(session.instance());
        let fresh = session.idle_ms(self.now_ms) < FRESH_MS;
        for direction in [Direction::Inbound, Direction::Outbound] {
            let slot = session.next_hop(direction);
            match self.next_hops.get(slot) {
                // A slot without an address may be another neighbour's soon.
                None => session.set_next_hop(direction, NextHopId::UNKNOWN),
                Some(_) if fresh => self.next_hops.mark_used(slot),
                Some(_) => {}
            }
        }
        if fresh && !owned && self.journal.is_some() {
            self.learn_ways(session, views.routes);
        }
        let limit = self.limit_ms(session, owned, views.services);
        let over = limit.is_none_or(|limit| self.is_idle(session, limit, owned));
        if over {
            self.ended(session);
        } else if owned
            && let (Some(journal), Some(limit)) = (&mut self.journal, limit)
            && session.must_be_told(limit, self.now_ms)
            && journal.touch(session)
        {
            session.touched(limit, self.now_ms);
        }
        over
    }
}

#[derive(Debug)]
pub(super) struct Core {
    pub(super) sessions: Sessions,
    pub(super) context: Context,
    /// Where the peer's sessions come from; `None` without one.
    pub(super) adopter: Option<Box<Adopter>>,
    /// Entries that ageing still owes a look.
    age_debt: usize,
    aged_ms: u32,
    /// The last turn had work: the time until the next is its cost.
    busy: bool,
}

/// Every session is looked at about once in so many milliseconds, while turns have room for it.
const AGE_ROUND_MS: usize = 1_000;
/// Entries of each table aged in one turn, at most: bounded work, a few microseconds. Twice the sessions that a batch can
/// open, so that as many end.
const AGE_PER_TURN: usize = 2 * BATCH;

/// A session that was idle for less keeps its next hops in mind.
const FRESH_MS: u32 = 30_000;

/// A synced session of a service that this node does not know may be idle for so long, if it is established.
const UNBOUND_MS: u32 = 3_600_000;

/// How long the later fragments of a datagram are expected: less than a receiver reassembles, more than a path
/// scatters.
const FRAGMENT_LIFETIME_MS: u32 = 5_000;

impl Core {
    pub(super) fn new(settings: Settings, sync: Option<SyncRings>) -> Self {
        let ports = settings.ports.into_iter().map(|port| CorePort {
            id: port.facts.id,
            mac: port.facts.mac,
            untagged: if port.facts.vlan == 0 { port.facts.mac.to_bits() } else { u64::MAX },
            vlan: port.facts.vlan,
            mtu: port.facts.mtu,
            l2_length: port.facts.l2_length(),
            kernel_interface: port.kernel_interface,
            virtual_macs: port.virtual_macs.into(),
            facts: port.facts,
        });
        let own = settings.backends.get(settings.worker.index());
        let seed = settings.key.word();
        let instances = settings.ownership.count();
        let (journal, adopter) = sync.map_or((None, None), |rings| {
            let journal = Journal::new(rings.journal, Arc::clone(&settings.ownership), settings.worker);
            (Some(Box::new(journal)), Some(Box::new(Adopter::new(rings.records, instances))))
        });
        let context = Context {
            worker: settings.worker,
            ports: Vec::leak(ports.collect()),
            next_hops: settings.next_hops,
            ownership: settings.ownership,
            backends: own.map_or_else(|| Arc::new(BackendCounters::new(0)), Arc::clone),
            all_backends: settings.backends,
            local_addresses: settings.local_addresses,
            local_ports: LocalPorts::new(settings.local_ports, settings.backend_slots, seed),
            fragments: Fragments::new(settings.fragments, FRAGMENT_LIFETIME_MS),
            timeouts: settings.timeouts,
            tally: Tally::default(),
            now: Instant::ZERO,
            now_ms: 0,
            lease_holds: true,
            behind: false,
            bursts_behind: 0,
            openings: BATCH,
            newcomers: false,
            ping_witness: settings.ping_witness,
            probes: settings.probes,
            icmp_budget: Budget::new(),
            reset_budget: Budget::new(),
            datagrams: seed as u32,
            wanted: ArrayVec::new(),
            journal,
            owned_since: vec![None; usize::from(instances)].into_boxed_slice(),
        };
        let sessions =
            Sessions { v4: Table::new(settings.v4, settings.key), v6: Table::new(settings.v6, settings.key) };
        Self { sessions, context, adopter, age_debt: 0, aged_ms: 0, busy: false }
    }

    /// A turn begins: time, lease, and what the last turn cost if it had work.
    pub(super) fn begin(&mut self, now: Instant) {
        let context = &mut self.context;
        if self.busy {
            let nanos = now.since(context.now).as_nanos();
            context.tally.add(Counter::BusyNanos, nanos);
            let longest = context.tally.get(Counter::LongestTurnNanos).max(nanos);
            context.tally.set(Counter::LongestTurnNanos, longest);
        }
        context.now = now;
        context.now_ms = now.as_millis_wrapping();
        context.lease_holds = context.ownership.lease_holds(now);
        context.behind = false;
    }

    /// A turn ends.
    pub(super) fn end(&mut self, found: bool) {
        self.busy = found;
        self.context.tally.add(Counter::Turns, 1);
        self.context.tally.add(Counter::BusyTurns, u64::from(found));
    }

    /// A millisecond has begun: so many more sessions are to be looked at.
    pub(super) fn owe_looks(&mut self) {
        let used = self.sessions.v4.used().max(self.sessions.v6.used());
        let elapsed = self.context.now_ms.wrapping_sub(self.aged_ms) as usize;
        self.aged_ms = self.context.now_ms;
        self.age_debt =
            self.age_debt.saturating_add(elapsed.saturating_mul(used.div_ceil(AGE_ROUND_MS))).min(used);
    }

    /// Whether sessions wait to be looked at.
    #[inline]
    pub(super) const fn owes_looks(&self) -> bool {
        self.age_debt > 0
    }

    /// Looks at some sessions and ends those that were idle too long or whose service or backend is gone.
    pub(super) fn age(&mut self, views: &Views<'_>) {
        let budget = self.age_debt.min(AGE_PER_TURN);
        self.age_debt -= budget;
        self.context.watch_ownership();
        age::<V4>(&mut self.sessions, &mut self.context, views, budget);
        age::<V6>(&mut self.sessions, &mut self.context, views, budget);
    }

    /// Tells the peer what it must still hear: copies, digests.
    pub(super) fn keep_journal(&mut self) {
        if let Some(journal) = &mut self.context.journal {
            journal.step(&self.sessions, self.context.now_ms);
            journal.flush();
        }
    }

    pub(super) fn count_sessions(&mut self) {
        if let Some(journal) = &mut self.context.journal {
            self.context.tally.add(Counter::SyncOverruns, journal.take_overruns());
        }
        self.context.tally.set(Counter::SessionsV4, self.sessions.v4.len() as u64);
        self.context.tally.set(Counter::SessionsV6, self.sessions.v6.len() as u64);
    }
}

fn age<F: WorkerFamily>(sessions: &mut Sessions, context: &mut Context, views: &Views<'_>, budget: usize) {
    F::table_mut(sessions).age(budget, |session| context.look_at(session, views));
}
