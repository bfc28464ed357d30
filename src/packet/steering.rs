//! Which worker receives a packet: predicted from the port's RSS configuration where it has one, agreed in
//! software where it has not.

use super::{
    family::{Family, HashKey, Tuple},
    toeplitz::Toeplitz,
};
use crate::types::{Protocol, WorkerId};
use std::sync::Arc;

/// Which packets a device hashes with their ports; all others it spreads by addresses or not at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Hashed {
    /// TCP, UDP, SCTP over IPv4.
    pub ipv4: [bool; 3],
    /// TCP, UDP, SCTP over IPv6.
    pub ipv6: [bool; 3],
}

impl Hashed {
    /// Everything, as most NICs.
    pub const ALL: Self = Self { ipv4: [true; 3], ipv6: [true; 3] };

    fn with_ports<F: Family>(&self, protocol: Protocol) -> bool {
        let protocols = if F::VERSION == 4 { &self.ipv4 } else { &self.ipv6 };
        protocols[match protocol {
            Protocol::Tcp => 0,
            Protocol::Udp => 1,
            Protocol::Sctp => 2,
        }]
    }
}

/// A port's receive-side scaling, as it was programmed.
#[derive(Clone, Debug)]
pub struct Rss {
    toeplitz: Toeplitz,
    /// Queue, and so worker, of each residue of the hash.
    table: Box<[u8]>,
    hashed: Hashed,
}

impl Rss {
    /// With the key and redirection table a device was given; `None` for an empty table.
    pub fn new(key: &[u8], table: Box<[u8]>, hashed: Hashed) -> Option<Self> {
        (!table.is_empty()).then(|| Self { toeplitz: Toeplitz::new(key), table, hashed })
    }

    /// A redirection table of `size` entries that gives all `workers` their turn.
    pub fn table(size: usize, workers: u8) -> Box<[u8]> {
        (0..size).map(|entry| (entry % usize::from(workers.max(1))) as u8).collect()
    }

    #[inline]
    fn worker(&self, hash: u32) -> WorkerId {
        WorkerId(self.table[hash as usize % self.table.len()])
    }
}

/// How a port's packets find their worker.
#[derive(Clone, Debug)]
pub enum Steering {
    /// The device computes Toeplitz with a known key: sessions are placed where their packets will arrive.
    Hardware(Arc<Rss>),
    /// The device spreads packets in a way we cannot predict: whoever receives one hands it to its owner, which
    /// all agree on from the tuple.
    Software {
        /// How many workers there are.
        workers: u8,
    },
}

/// Agreed between workers, and between the nodes of a pair.
const AGREED: HashKey = HashKey::new([0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7344]);

/// A hash of a client's packet that every worker and every node computes alike; schedulers pick by it.
pub fn agreed_hash<F: Family>(tuple: &Tuple<F>, protocol: Protocol) -> u64 {
    tuple.hash(protocol.number(), &AGREED)
}

fn agreed<F: Family>(tuple: &Tuple<F>, workers: u8) -> WorkerId {
    let spread = (tuple.hash(0, &AGREED) >> 32) * u64::from(workers);
    WorkerId((spread >> 32) as u8)
}

impl Steering {
    /// Whether the device itself brings packets of `protocol` to the worker [`Self::owner`] names.
    pub fn is_exact<F: Family>(&self, protocol: Protocol) -> bool {
        match self {
            Self::Hardware(rss) => rss.hashed.with_ports::<F>(protocol),
            Self::Software { workers } => *workers == 1,
        }
    }

    /// The worker that owns, or would own, the session of a packet received here.
    pub fn owner<F: Family>(&self, tuple: &Tuple<F>, protocol: Protocol) -> WorkerId {
        match self {
            Self::Hardware(rss) if rss.hashed.with_ports::<F>(protocol) => {
                rss.worker(rss.toeplitz.hash(tuple))
            }
            Self::Hardware(rss) => agreed(tuple, rss.workers()),
            Self::Software { workers } => agreed(tuple, *workers),
        }
    }

    /// A number that is equal on two ports, of two nodes perhaps, that bring every packet to the same worker.
    pub fn fingerprint(&self) -> u64 {
        let mix = |hash: u64, word: u64| (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
        match self {
            Self::Hardware(rss) => {
                let families = [rss.hashed.ipv4, rss.hashed.ipv6];
                let hashed = families.iter().flatten().fold(1, |bits, &set| bits << 1 | u64::from(set));
                let table = rss.table.iter().fold(hashed, |hash, &queue| mix(hash, queue.into()));
                rss.toeplitz.units().fold(table, |hash, unit| mix(hash, unit.into()))
            }
            Self::Software { workers } => mix(0, (*workers).into()),
        }
    }

    /// Prepares the search for a destination port that brings replies to a certain worker: `tuple` is a reply's,
    /// its destination port is ignored.
    pub fn replies<F: Family>(&self, tuple: Tuple<F>, protocol: Protocol) -> ReplySteering<'_, F> {
        let kind = match self {
            Self::Hardware(rss) if rss.hashed.with_ports::<F>(protocol) => {
                Kind::Hardware { rss, addresses: rss.toeplitz.addresses(&tuple) }
            }
            Self::Hardware(rss) => Kind::Software(rss.workers()),
            Self::Software { workers } => Kind::Software(*workers),
        };
        ReplySteering { tuple, kind }
    }
}

impl Rss {
    fn workers(&self) -> u8 {
        self.table.iter().max().map_or(1, |last| last + 1)
    }
}

/// Answers for one backend and local address, which worker a reply to a given local port reaches.
#[derive(Debug)]
pub struct ReplySteering<'a, F: Family> {
    tuple: Tuple<F>,
    kind: Kind<'a>,
}

#[derive(Debug)]
enum Kind<'a> {
    Hardware { rss: &'a Rss, addresses: u32 },
    Software(u8),
}

impl<F: Family> ReplySteering<'_, F> {
    /// The tuple of a reply to `local_port`, and the worker it reaches.
    #[inline]
    pub fn at(&self, local_port: u16) -> (Tuple<F>, WorkerId) {
        let mut tuple = self.tuple;
        tuple.ports = super::family::Ports::new(tuple.ports.source(), local_port);
        let worker = match &self.kind {
            Kind::Software(1) => WorkerId(0),
            Kind::Software(workers) => agreed(&tuple, *workers),
            Kind::Hardware { rss, addresses } => rss.worker(addresses ^ rss.toeplitz.ports::<F>(tuple.ports)),
        };
        (tuple, worker)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::{MICROSOFT_KEY, V4, V6};

    fn steerings(workers: u8) -> [Steering; 2] {
        let rss = Rss::new(&MICROSOFT_KEY, Rss::table(128, workers), Hashed::ALL).unwrap();
        [Steering::Hardware(Arc::new(rss)), Steering::Software { workers }]
    }

    fn check<F: Family>(backend: &str, local: &str) {
        for workers in [1, 2, 3, 4, 7] {
            for steering in steerings(workers) {
                let tuple =
                    Tuple::<F>::new((backend.parse().unwrap(), 8080), (local.parse().unwrap(), 0)).unwrap();
                let replies = steering.replies(tuple, Protocol::Tcp);
                let mut ports = vec![0u32; usize::from(workers)];
                for port in 1024..=65535 {
                    let (tuple, worker) = replies.at(port);
                    assert_eq!(tuple.ports.destination(), port);
                    assert_eq!(worker, steering.owner(&tuple, Protocol::Tcp));
                    ports[worker.index()] += 1;
                }
                let fair = 64512 / u32::from(workers);
                assert!(ports.iter().all(|&n| n.abs_diff(fair) < fair / 10), "{workers} workers: {ports:?}");
            }
        }
    }

    #[test]
    fn every_worker_finds_ports_of_its_own() {
        check::<V4>("10.0.0.21", "10.0.0.40");
        check::<V6>("fd00::21", "fd00::40");
    }

    #[test]
    fn a_fingerprint_names_the_way_packets_are_spread() {
        let hardware = |key: &[u8], size, hashed| {
            Steering::Hardware(Arc::new(Rss::new(key, Rss::table(size, 3), hashed).unwrap())).fingerprint()
        };
        let mut key = MICROSOFT_KEY;
        let one = hardware(&key, 128, Hashed::ALL);
        assert_eq!(one, hardware(&key, 128, Hashed::ALL));
        assert_ne!(one, hardware(&key, 64, Hashed::ALL));
        assert_ne!(one, hardware(&key, 128, Hashed { ipv6: [true, true, false], ..Hashed::ALL }));
        key[0] ^= 1;
        assert_ne!(one, hardware(&key, 128, Hashed::ALL));
        let software = |workers| Steering::Software { workers }.fingerprint();
        assert_eq!(software(3), software(3));
        assert!(software(3) != software(2) && software(3) != one);
    }

    #[test]
    fn what_the_device_does_not_hash_is_agreed_in_software() {
        let hashed = Hashed { ipv4: [true, true, false], ipv6: [false; 3] };
        let rss = Rss::new(&MICROSOFT_KEY, Rss::table(128, 3), hashed).unwrap();
        let steering = Steering::Hardware(Arc::new(rss));
        assert!(steering.is_exact::<V4>(Protocol::Tcp));
        assert!(!steering.is_exact::<V4>(Protocol::Sctp) && !steering.is_exact::<V6>(Protocol::Tcp));
        let tuple =
            Tuple::<V6>::new(("fd00::1".parse().unwrap(), 1), ("fd00::2".parse().unwrap(), 2)).unwrap();
        assert_eq!(
            steering.owner(&tuple, Protocol::Tcp),
            Steering::Software { workers: 3 }.owner(&tuple, Protocol::Tcp)
        );
    }
}
