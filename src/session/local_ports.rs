//! Local ports: which source port a new session gets towards its backend.
//!
//! There is no list of free ports. A port is taken exactly when the tuple of its replies is in the session table,
//! so a port cannot leak, and a session that came from the peer holds its port like any other. Candidates are
//! tried in order from where the last search for that backend ended, which finds the port that was free longest.
//! Where sessions that last hold many ports in a row, the search jumps: by the golden section of all there are, so
//! that a few jumps come everywhere.

use super::{
    entry::{Direction, Session},
    table::Table,
};
use crate::{
    packet::{Family, Steering, Tuple},
    types::{BackendId, InstanceId, Protocol, WorkerId},
};
use std::{net::IpAddr, ops::RangeInclusive};

/// Ports of this worker tried in one search, on all local addresses together. One is found at the first try where
/// sessions are short, and after a few jumps until nearly all are taken.
const TRIES: u32 = 128;
/// Ports tried in a row before a jump.
const RUN: u32 = 8;
/// Ports looked at in one search, other workers' among them.
const STEPS: u32 = 8192;
/// The golden section, in 1/2³².
const GOLDEN: u64 = 0x9e37_79b9;

/// A closed session gives its port away after so long: what was under way to it has arrived or died.
const REUSE_MS: u32 = 1_000;

/// No free port was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exhausted;

/// The source addresses towards backends, per HA instance.
#[derive(Clone, Debug, Default)]
pub struct LocalAddresses {
    instances: Vec<[Vec<IpAddr>; 2]>,
}

impl LocalAddresses {
    /// From addresses and the instance each floats with.
    pub fn new(addresses: impl IntoIterator<Item = (IpAddr, InstanceId)>) -> Self {
        let mut all = Self::default();
        for (address, instance) in addresses {
            if all.instances.len() <= instance.index() {
                all.instances.resize(instance.index() + 1, Default::default());
            }
            all.instances[instance.index()][usize::from(address.is_ipv6())].push(address);
        }
        all
    }

    /// The addresses of an instance and family.
    pub fn of<F: Family>(&self, instance: InstanceId) -> &[IpAddr] {
        self.instances.get(instance.index()).map_or(&[], |families| &families[usize::from(F::VERSION == 6)])
    }

    /// Whether any address is of family `F`.
    pub fn has<F: Family>(&self) -> bool {
        self.instances.iter().any(|families| !families[usize::from(F::VERSION == 6)].is_empty())
    }
}

/// What a search is for.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The backend's slot.
    pub backend: BackendId,
    /// The backend's address and port.
    pub towards: (IpAddr, u16),
    /// The protocol.
    pub protocol: Protocol,
    /// The addresses to choose from.
    pub addresses: &'a [IpAddr],
    /// How the port that replies arrive on spreads them.
    pub steering: &'a Steering,
    /// Whom replies must reach.
    pub worker: WorkerId,
}

#[derive(Clone, Copy, Debug)]
struct Cursor {
    /// Where the next search begins, in all addresses' ports one address after the other.
    position: u32,
    /// After a failure: when, in milliseconds, so that a flood does not search again at once.
    failed_ms: Option<u32>,
}

/// One worker's searches, one cursor a backend slot.
#[derive(Debug)]
pub struct LocalPorts {
    first: u16,
    span: u32,
    cursors: Box<[Cursor]>,
}

impl LocalPorts {
    /// Of the ports in `range`, for so many backend slots. `seed` scatters where searches begin.
    pub fn new(range: RangeInclusive<u16>, backends: usize, seed: u64) -> Self {
        let span = u32::from(range.end().saturating_sub(*range.start())) + 1;
        let start = |slot: u64| (slot ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        let cursors =
            (0..backends as u64).map(|slot| Cursor { position: start(slot) as u32 % span, failed_ms: None });
        Self { first: *range.start(), span, cursors: cursors.collect() }
    }

    /// The tuple of the replies of a new session: backend → local address and port, absent in `table`, and its hash
    /// there. A closed session that held it is removed; `evicted` sees it before.
    pub fn take<F: Family>(
        &mut self,
        wanted: &Wanted<'_>,
        table: &mut Table<F>,
        now_ms: u32,
        mut evicted: impl FnMut(&Session<F>),
    ) -> Result<(Tuple<F>, u64), Exhausted> {
        let cursor = self.cursors.get_mut(wanted.backend.index()).ok_or(Exhausted)?;
        if cursor.failed_ms == Some(now_ms) {
            return Err(Exhausted);
        }
        let total = self.span * wanted.addresses.len() as u32;
        let jump = ((u64::from(total) * GOLDEN) >> 32) as u32;
        let (mut tries, mut steps) = (TRIES, STEPS);
        let mut position = cursor.position;
        while tries > 0 && steps > 0 && total > 0 {
            position %= total;
            let address = wanted.addresses[(position / self.span) as usize];
            let end = (position / self.span + 1) * self.span;
            let tuple = Tuple::<F>::new(wanted.towards, (address, 0)).ok_or(Exhausted)?;
            let replies = wanted.steering.replies(tuple, wanted.protocol);
            let mut run = RUN;
            while position < end && run > 0 && steps > 0 {
                let (tuple, worker) = replies.at(self.first + (position % self.span) as u16);
                position += 1;
                steps -= 1;
                if worker != wanted.worker {
                    continue;
                }
                let hash = table.hash(&tuple, wanted.protocol);
                if free(table, hash, &tuple, wanted.protocol, now_ms, &mut evicted) {
                    // The next search for this backend need not wait for memory.
                    let (next, _) = replies.at(self.first + (position % self.span) as u16);
                    table.prefetch(table.hash(&next, wanted.protocol));
                    *cursor = Cursor { position, failed_ms: None };
                    return Ok((tuple, hash));
                }
                run -= 1;
                tries = tries.saturating_sub(1);
            }
            if run == 0 && total > TRIES {
                position += jump;
            }
        }
        *cursor = Cursor { position, failed_ms: Some(now_ms) };
        Err(Exhausted)
    }
}

fn free<F: Family>(
    table: &mut Table<F>,
    hash: u64,
    tuple: &Tuple<F>,
    protocol: Protocol,
    now_ms: u32,
    evicted: &mut impl FnMut(&Session<F>),
) -> bool {
    let Some(reference) = table.find(hash, tuple, protocol) else { return true };
    let Some(session) = table.get(reference) else { return true };
    if reference.direction() != Direction::Outbound
        || !session.state.is_over()
        || session.idle_ms(now_ms) < REUSE_MS
    {
        return false;
    }
    evicted(session);
    table.remove(reference);
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        packet::{HashKey, Hashed, MICROSOFT_KEY, Rss, V4},
        session::{State, Storage},
        types::ServiceId,
    };
    use std::{collections::HashSet, sync::Arc};

    struct Bench {
        ports: LocalPorts,
        table: Table<V4>,
        steering: Steering,
        addresses: Vec<IpAddr>,
        clients: u32,
        evicted: u32,
    }

    impl Bench {
        fn new(range: RangeInclusive<u16>, addresses: u8, capacity: usize, steering: Steering) -> Self {
            let local = |n: u8| IpAddr::from([10, 0, 0, 40 + n]);
            Self {
                ports: LocalPorts::new(range, 2, 7),
                table: Table::new(Storage::heap(capacity), HashKey::new([3, 5])),
                steering,
                addresses: (0..addresses).map(local).collect(),
                clients: 0,
                evicted: 0,
            }
        }

        fn open(&mut self, worker: u8, now_ms: u32) -> Result<Tuple<V4>, Exhausted> {
            let wanted = Wanted {
                backend: BackendId(1),
                towards: (IpAddr::from([10, 0, 0, 21]), 8080),
                protocol: Protocol::Tcp,
                addresses: &self.addresses,
                steering: &self.steering,
                worker: WorkerId(worker),
            };
            let evicted = &mut self.evicted;
            let (outbound, hash) = self.ports.take(&wanted, &mut self.table, now_ms, |_| *evicted += 1)?;
            assert_eq!(hash, self.table.hash(&outbound, Protocol::Tcp));
            self.clients += 1;
            let client = (std::net::Ipv4Addr::from_bits(0x0a01_0000 + self.clients).into(), 1000);
            let inbound = Tuple::new(client, (IpAddr::from([10, 0, 0, 100]), 80)).unwrap();
            let ids = (ServiceId(0), BackendId(1), InstanceId(0));
            self.table.insert(Session::new(inbound, outbound, Protocol::Tcp, ids, now_ms)).unwrap();
            Ok(outbound)
        }

        fn close(&mut self, outbound: &Tuple<V4>, state: State) {
            let reference =
                self.table.find(self.table.hash(outbound, Protocol::Tcp), outbound, Protocol::Tcp).unwrap();
            self.table.get_mut(reference).unwrap().state = state;
        }
    }

    const ALONE: Steering = Steering::Software { workers: 1 };

    #[test]
    fn one_address_serves_every_port_of_its_range_once() {
        let mut bench = Bench::new(1024..=65535, 1, 65_000, ALONE);
        let mut seen = HashSet::new();
        for _ in 0..64_512 {
            assert!(seen.insert(bench.open(0, 0).unwrap().ports.destination()));
        }
        assert_eq!(bench.open(0, 1), Err(Exhausted));
        assert_eq!(bench.open(0, 1), Err(Exhausted), "the same millisecond does not search again");
    }

    #[test]
    fn every_address_gets_its_turn() {
        let mut bench = Bench::new(2000..=2099, 3, 1_000, ALONE);
        let mut seen = HashSet::new();
        for n in 0..300 {
            let tuple = (0..4).find_map(|retry| bench.open(0, n * 4 + retry).ok()).unwrap();
            assert!(seen.insert((tuple.destination(), tuple.ports.destination())));
        }
        assert_eq!(bench.open(0, 9999), Err(Exhausted));
    }

    #[test]
    fn a_closed_session_gives_its_port_away_after_a_while_an_open_one_never() {
        let mut bench = Bench::new(2000..=2003, 1, 100, ALONE);
        let tuples: Vec<_> = (0..4).map(|_| bench.open(0, 0).unwrap()).collect();
        assert_eq!(bench.open(0, 10), Err(Exhausted));
        bench.close(&tuples[2], State::Closed);
        assert_eq!(bench.open(0, 999), Err(Exhausted));
        assert_eq!(bench.open(0, 1000), Ok(tuples[2]));
        assert_eq!((bench.evicted, bench.table.len()), (1, 4));
        assert_eq!(bench.open(0, 5000), Err(Exhausted));
    }

    #[test]
    fn workers_never_share_a_port() {
        let rss = Rss::new(&MICROSOFT_KEY, Rss::table(128, 3), Hashed::ALL).unwrap();
        for steering in [Steering::Hardware(Arc::new(rss)), Steering::Software { workers: 3 }] {
            let mut seen = HashSet::new();
            let mut opened = 0;
            for worker in 0..3 {
                let mut bench = Bench::new(1024..=4095, 1, 4_000, steering.clone());
                while let Ok(tuple) = bench.open(worker, opened) {
                    assert_eq!(steering.owner(&tuple, Protocol::Tcp), WorkerId(worker));
                    assert!(seen.insert(tuple.ports.destination()));
                    opened += 1;
                }
            }
            assert_eq!(opened, 3072, "together they use every port");
        }
    }
}
