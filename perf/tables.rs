//! The session table beside hashbrown and the plainest open addressing, at the same loads, look-ups in batches of
//! 32, each ended by a read from the session it found. `perf/rte_hash.c` does the same with DPDK's table, with the
//! same keys in the same order. A look-up's cycles are TSC cycles, medians of five rounds.
//!
//! `make tables`, or `cargo bench --no-default-features --bench tables -- SLOTS...`

use arrayvec::ArrayVec;
use hitless::{
    packet::{HashKey, Tuple, V4},
    plane::prefetch_nearby,
    session::{Bucket, Reference, Session, Storage, Table, WAYS},
    types::{BackendId, InstanceId, Protocol, ServiceId},
};
use prefetch_index::prefetch_index;
use std::{
    collections::HashMap,
    env,
    hash::{BuildHasherDefault, Hash, Hasher},
    hint::black_box,
    io::{Write, stdout},
    time::Instant,
};

const KEY: HashKey = HashKey::new([0x9e37_79b9_7f4a_7c15, 0xd1b5_4a32_d192_ed03]);
const BATCH: usize = 32;
const ROUNDS: usize = 5;
/// Look-ups a round.
const LOOKUPS: usize = 1 << 20;
const LOADS: [f64; 3] = [0.5, 0.8, 0.95];

/// A table of tuples that lead to sessions. Two tuples lead to each session.
trait Contender: Sized {
    const NAME: &'static str;
    /// So many places for tuples; `None` if such a table cannot be had.
    fn new(slots: usize, tuples: usize) -> Option<Self>;
    /// Whether there was room.
    fn insert(&mut self, number: u32) -> bool;
    /// How many were found.
    fn look_up(&mut self, tuples: &[Tuple<V4>; BATCH]) -> usize;
}

/// The `number`th tuple: even ones are clients', odd ones backends'.
fn tuple(number: u32) -> Tuple<V4> {
    let address = |network: u32, n: u32| (network << 24 | n).to_be_bytes().into();
    let (side, port) = ((number / 2) / 60_000, 1024 + ((number / 2) % 60_000) as u16);
    match number % 2 {
        0 => Tuple::new((address(20, side), port), (address(10, 1), 80)),
        _ => Tuple::new((address(12, 1), 8080), (address(11, side), port)),
    }
    .unwrap_or_default()
}

fn session(number: u32) -> Session<V4> {
    let ids = (ServiceId(0), BackendId(0), InstanceId(0));
    Session::new(tuple(number), tuple(number | 1), Protocol::Udp, ids, number)
}

fn sessions(tuples: usize) -> Vec<Session<V4>> {
    (0..tuples.div_ceil(2) as u32).map(|n| session(2 * n)).collect()
}

fn hash(tuple: &Tuple<V4>) -> u64 {
    tuple.hash(17, &KEY)
}

/// Ours.
struct Ours(Table<V4>);

impl Contender for Ours {
    const NAME: &'static str = "ours";

    fn new(slots: usize, tuples: usize) -> Option<Self> {
        let storage = Storage {
            buckets: Vec::leak(vec![Bucket::default(); slots / WAYS]),
            ..Storage::heap(tuples.div_ceil(2))
        };
        Some(Self(Table::new(storage, KEY)))
    }

    fn insert(&mut self, number: u32) -> bool {
        // Both of a session's tuples at once.
        number % 2 == 1 || self.0.insert(session(number)).is_ok()
    }

    fn look_up(&mut self, tuples: &[Tuple<V4>; BATCH]) -> usize {
        let hashes = tuples.map(|tuple| self.0.hash(&tuple, Protocol::Udp));
        hashes.iter().for_each(|&hash| self.0.prefetch(hash));
        let mut candidates = hashes.map(|hash| self.0.candidate(hash));
        let mut spilled = ArrayVec::<usize, BATCH>::new();
        for (at, candidate) in candidates.iter().enumerate() {
            if *candidate == Reference::NONE && self.0.prefetch_second(hashes[at]) {
                spilled.push(at);
            }
        }
        for at in spilled {
            candidates[at] = self.0.second_candidate(hashes[at]);
        }
        candidates.iter().filter_map(|&candidate| self.0.at(candidate)).for_each(prefetch_nearby);
        let mut found = 0;
        for ((tuple, hash), candidate) in tuples.iter().zip(hashes).zip(candidates) {
            let last_seen = match self.0.confirm(candidate, tuple, Protocol::Udp) {
                Some(session) => Some(session.last_seen_ms),
                None if candidate == Reference::NONE => None,
                None => self
                    .0
                    .find(hash, tuple, Protocol::Udp)
                    .and_then(|reference| self.0.get(reference))
                    .map(|session| session.last_seen_ms),
            };
            found += usize::from(black_box(last_seen).is_some());
        }
        found
    }
}

/// hashbrown, as the standard library has it, with our hash and no batches: it has none.
struct Hashbrown {
    map: HashMap<Key, u32, BuildHasherDefault<Passed>>,
    sessions: Vec<Session<V4>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Key(Tuple<V4>);

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(hash(&self.0));
    }
}

#[derive(Default)]
struct Passed(u64);

impl Hasher for Passed {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, _: &[u8]) {}
    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

impl Contender for Hashbrown {
    const NAME: &'static str = "hashbrown";

    fn new(slots: usize, tuples: usize) -> Option<Self> {
        // It grows beyond seven eighths.
        (tuples <= slots / 8 * 7).then(|| Self {
            map: HashMap::with_capacity_and_hasher(slots / 8 * 7, BuildHasherDefault::default()),
            sessions: sessions(tuples),
        })
    }

    fn insert(&mut self, number: u32) -> bool {
        self.map.insert(Key(tuple(number)), number / 2).is_none()
    }

    fn look_up(&mut self, tuples: &[Tuple<V4>; BATCH]) -> usize {
        touch(&self.sessions, tuples.map(|tuple| self.map.get(&Key(tuple)).copied()))
    }
}

/// Linear probing over entries of 16 bytes.
struct Open {
    entries: Vec<(Tuple<V4>, u32)>,
    sessions: Vec<Session<V4>>,
}

impl Open {
    fn home(&self, hash: u64) -> usize {
        ((u128::from(hash) * self.entries.len() as u128) >> 64) as usize
    }

    fn find(&self, hash: u64, tuple: &Tuple<V4>) -> Option<u32> {
        let mut at = self.home(hash);
        loop {
            let (held, number) = &self.entries[at];
            match *number {
                0 => return None,
                number if held == tuple => return Some(number - 1),
                _ => at = if at + 1 == self.entries.len() { 0 } else { at + 1 },
            }
        }
    }
}

impl Contender for Open {
    const NAME: &'static str = "open addressing";

    fn new(slots: usize, tuples: usize) -> Option<Self> {
        Some(Self { entries: vec![(Tuple::default(), 0); slots], sessions: sessions(tuples) })
    }

    fn insert(&mut self, number: u32) -> bool {
        let tuple = tuple(number);
        let mut at = self.home(hash(&tuple));
        while self.entries[at].1 != 0 {
            at = if at + 1 == self.entries.len() { 0 } else { at + 1 };
        }
        self.entries[at] = (tuple, number / 2 + 1);
        true
    }

    fn look_up(&mut self, tuples: &[Tuple<V4>; BATCH]) -> usize {
        let hashes = tuples.map(|tuple| hash(&tuple));
        hashes.iter().for_each(|&hash| prefetch_index(&self.entries[..], self.home(hash)));
        let mut found = [None; BATCH];
        for ((tuple, hash), found) in tuples.iter().zip(hashes).zip(&mut found) {
            *found = self.find(hash, tuple);
        }
        touch(&self.sessions, found)
    }
}

/// Asks for the sessions that were found, then reads from each.
fn touch(sessions: &[Session<V4>], found: [Option<u32>; BATCH]) -> usize {
    found.iter().flatten().for_each(|&number| prefetch_index(sessions, number as usize));
    let mut count = 0;
    for &number in found.iter().flatten() {
        black_box(sessions[number as usize].last_seen_ms);
        count += 1;
    }
    count
}

/// Tuples from number `first` on, in scattered order.
fn queries(first: u32, count: usize) -> Vec<Tuple<V4>> {
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((u64::from(state) * count as u64) >> 32) as u32
    };
    (0..LOOKUPS).map(|_| tuple(first + next())).collect()
}

/// Cycles a look-up, and how many look-ups of a round found something.
fn measure<C: Contender>(table: &mut C, queries: &[Tuple<V4>], hz: f64) -> (f64, usize) {
    let mut rounds = [0.0; ROUNDS];
    let mut found = 0;
    for round in &mut rounds {
        let start = Instant::now();
        found = queries.as_chunks::<BATCH>().0.iter().map(|batch| table.look_up(batch)).sum();
        *round = start.elapsed().as_secs_f64() * hz / queries.len() as f64;
    }
    rounds.sort_by(f64::total_cmp);
    (rounds[ROUNDS / 2], found)
}

fn contest<C: Contender>(slots: usize, load: f64, hz: f64) -> std::io::Result<()> {
    let tuples = (slots as f64 * load) as usize / 2 * 2;
    let mut out = stdout().lock();
    let Some(mut table) = C::new(slots, tuples) else {
        return writeln!(out, "{:<16}{slots:>10}{load:>6.2}   does not hold so many", C::NAME);
    };
    let refused = (0..tuples as u32).filter(|&number| !table.insert(number)).count();
    let (hit, found) = measure(&mut table, &queries(0, tuples), hz);
    let (miss, wrong) = measure(&mut table, &queries(tuples as u32, tuples), hz);
    writeln!(
        out,
        "{:<16}{slots:>10}{load:>6.2}{hit:>8.1}{miss:>8.1}{refused:>9}{:>8.3}{wrong:>6}",
        C::NAME,
        found as f64 / LOOKUPS as f64
    )
}

fn main() -> std::io::Result<()> {
    let given: Vec<usize> = env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let all = if given.is_empty() { vec![1 << 16, 1 << 20, 1 << 23, 1 << 26] } else { given };
    let hz = hitless::bench::tsc_hz();
    writeln!(stdout(), "table                slots  load     hit    miss  refused   found wrong")?;
    for slots in all {
        for load in LOADS {
            contest::<Ours>(slots, load, hz)?;
            contest::<Open>(slots, load, hz)?;
            contest::<Hashbrown>(slots, load, hz)?;
        }
    }
    Ok(())
}
