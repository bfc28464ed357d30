//! What a worker knows and counts: everything but the packets themselves.

use super::{family::WorkerFamily, icmp::Budget, verdict::HopKey};
use crate::{
    packet::{Family, HashKey, V4, V6},
    plane::{BackendCounters, Counter, NextHops, Ownership, Routes, Tally},
    port::{BURST, PortFacts},
    service::ServiceTable,
    session::{Direction, Fragments, LocalAddresses, LocalPorts, Session, Storage, Table, Timeouts},
    types::{BackendId, DropReason, InstanceId, Instant, Mac, NextHopId, PortId, WorkerId},
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
}

/// A port, prepared for comparing and writing.
#[derive(Debug)]
pub(super) struct CorePort {
    pub(super) mac: Mac,
    pub(super) l2_length: usize,
    pub(super) kernel_interface: bool,
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
    pub(super) ports: Vec<CorePort>,
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
    /// Answers to what anybody may send.
    pub(super) icmp_budget: Budget,
    datagram_id: u32,
    /// Next hops that replies will need.
    pub(super) wanted: ArrayVec<HopKey, BURST>,
}

impl Context {
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

    /// The port a packet came by.
    #[inline]
    pub(super) fn port(&self, id: PortId) -> Option<&CorePort> {
        self.ports.get(id.index())
    }

    /// Sessions of a backend on all workers.
    pub(super) fn active(&self, backend: BackendId) -> u32 {
        let all: u64 = self.all_backends.iter().map(|counters| counters.active(backend)).sum();
        u32::try_from(all).unwrap_or(u32::MAX)
    }

    /// An identification for a datagram in fragments. Workers count in steps of their number, so that no two give
    /// the same.
    pub(super) fn next_datagram_id(&mut self) -> u32 {
        let workers = self.all_backends.len().max(1) as u32;
        self.datagram_id = self.datagram_id.wrapping_add(workers);
        self.datagram_id / workers * workers + u32::from(self.worker.0)
    }

    /// Counts the end of a session.
    pub(super) fn ended<F: Family>(&mut self, session: &Session<F>) {
        self.tally.add(Counter::SessionsEnded, 1);
        self.backends.ended(session.backend());
    }
}

#[derive(Debug)]
pub(super) struct Core {
    pub(super) sessions: Sessions,
    pub(super) context: Context,
    /// Entries that ageing still owes a look.
    age_debt: usize,
    aged_ms: u32,
    /// The last turn had work: the time until the next is its cost.
    busy: bool,
}

/// Every session is looked at about once in so many milliseconds, while turns have room for it.
const AGE_ROUND_MS: usize = 1_000;
/// Entries of each table aged in one turn, at most: bounded work, a microsecond or two.
const AGE_PER_TURN: usize = 64;

/// A session that was idle for less keeps its next hops in mind.
const FRESH_MS: u32 = 30_000;

/// How long the later fragments of a datagram are expected: less than a receiver reassembles, more than a path
/// scatters.
const FRAGMENT_LIFETIME_MS: u32 = 5_000;

impl Core {
    pub(super) fn new(settings: Settings) -> Self {
        let ports = settings.ports.into_iter().map(|port| CorePort {
            mac: port.facts.mac,
            l2_length: port.facts.l2_length(),
            kernel_interface: port.kernel_interface,
            facts: port.facts,
        });
        let own = settings.backends.get(settings.worker.index());
        let seed = settings.key.word();
        let context = Context {
            worker: settings.worker,
            ports: ports.collect(),
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
            icmp_budget: Budget::new(),
            datagram_id: seed as u32,
            wanted: ArrayVec::new(),
        };
        let sessions =
            Sessions { v4: Table::new(settings.v4, settings.key), v6: Table::new(settings.v6, settings.key) };
        Self { sessions, context, age_debt: 0, aged_ms: 0, busy: false }
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
    }

    /// A turn ends.
    pub(super) fn end(&mut self, found: bool) {
        self.busy = found;
        self.context.tally.add(Counter::Turns, 1);
        self.context.tally.add(Counter::BusyTurns, u64::from(found));
    }

    /// Looks at some sessions and ends those that were idle too long or whose service or backend is gone.
    pub(super) fn age(&mut self, services: &ServiceTable) {
        let used = self.sessions.v4.used().max(self.sessions.v6.used());
        let elapsed = self.context.now_ms.wrapping_sub(self.aged_ms) as usize;
        self.aged_ms = self.context.now_ms;
        self.age_debt =
            self.age_debt.saturating_add(elapsed.saturating_mul(used.div_ceil(AGE_ROUND_MS))).min(used);
        let budget = self.age_debt.min(AGE_PER_TURN);
        if budget > 0 {
            self.age_debt -= budget;
            age::<V4>(&mut self.sessions, &mut self.context, services, budget);
            age::<V6>(&mut self.sessions, &mut self.context, services, budget);
        }
    }

    pub(super) fn count_sessions(&mut self) {
        self.context.tally.set(Counter::SessionsV4, self.sessions.v4.len() as u64);
        self.context.tally.set(Counter::SessionsV6, self.sessions.v6.len() as u64);
    }
}

fn age<F: WorkerFamily>(
    sessions: &mut Sessions,
    context: &mut Context,
    services: &ServiceTable,
    budget: usize,
) {
    let Context { timeouts, now_ms, next_hops, backends, tally, .. } = context;
    let over = |session: &mut Session<F>| {
        let fresh = session.idle_ms(*now_ms) < FRESH_MS;
        for direction in [Direction::Inbound, Direction::Outbound] {
            let slot = session.next_hop(direction);
            match next_hops.get(slot) {
                // A slot without an address may be another neighbour's soon.
                None => session.set_next_hop(direction, NextHopId::UNKNOWN),
                Some(_) if fresh => next_hops.mark_used(slot),
                Some(_) => {}
            }
        }
        let Some(service) = services.service(session.service()) else { return true };
        if service.backend(session.backend()).is_none() {
            return true;
        }
        let established_ms = u32::try_from(service.spec().idle_timeout.as_millis()).unwrap_or(u32::MAX);
        session.idle_ms(*now_ms) >= timeouts.limit_ms(session.state, established_ms)
    };
    F::table_mut(sessions).age(budget, over, |session| {
        tally.add(Counter::SessionsEnded, 1);
        backends.ended(session.backend());
    });
}
