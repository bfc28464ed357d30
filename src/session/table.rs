//! The session table: one worker's sessions, each found from both of its directions with one look-up.
//!
//! ```text
//! bucket, one cache line:  a byte of 12 tags | how many entries spilled from here | 12 entries of 32 bits
//! entry:                   4 bits more of the tag | session number | the direction of the tuple that leads there
//! ```
//!
//! A tuple's entry lies in its home bucket, or, if that was full, in its second. Tags are compared all at
//! once; the session itself holds the full key, which is always compared. The table never grows and never
//! rehashes. A local port is taken exactly when the tuple of its replies is in here.

use super::entry::{Direction, Session};
use crate::{
    packet::{Family, HashKey, Tuple},
    types::Protocol,
};
use arrayvec::ArrayVec;
use bytemuck::Zeroable;
use prefetch_index::prefetch_index;
use wide::u8x16;

/// Entries of a bucket.
pub const WAYS: usize = 12;

/// Buckets are made for so many entries in use: few enough that few spill.
const LOAD: usize = 9;

/// Tags, and a count.
const HEAD: usize = WAYS + size_of::<u32>();

/// The lowest bits of a reference are a part of the tag; the next is the direction, and the rest the session's number.
const TAG_BITS: u32 = 4;
const TAG: u32 = (1 << TAG_BITS) - 1;
const NUMBER_SHIFT: u32 = TAG_BITS + 1;

/// Sessions that references can tell apart, beside [`Reference::NONE`].
const MOST: usize = (u32::MAX >> NUMBER_SHIFT) as usize;

/// Entries that ageing looks at before it removes those that are over.
const AGED_TOGETHER: usize = 32;

/// A bucket. All zero is empty.
#[derive(Clone, Copy, Debug, Default, Zeroable)]
#[repr(C, align(64))]
pub struct Bucket {
    /// A byte of each way's tag, 0 if it is free; behind them, so that all is one load, how many entries have their home
    /// here but lie in their second bucket.
    head: [u8; HEAD],
    entries: [Reference; WAYS],
}

const _: () = assert!(size_of::<Bucket>() == 64, "a bucket is one cache line");

impl Bucket {
    /// The ways with this byte, which is given sixteen times.
    #[inline]
    fn ways(&self, byte: u8x16) -> impl Iterator<Item = usize> {
        let mut mask = u8x16::new(self.head).simd_eq(byte).to_bitmask() & ((1 << WAYS) - 1);
        std::iter::from_fn(move || {
            (mask != 0).then(|| {
                let way = mask.trailing_zeros() as usize;
                mask &= mask - 1;
                way
            })
        })
    }

    /// What the entries with this tag refer to.
    #[inline]
    fn candidates(&self, tag: Tag) -> impl Iterator<Item = Reference> {
        self.ways(tag.bytes())
            .filter_map(|way| self.entries.get(way).copied())
            .filter(move |entry| (entry.0 ^ tag.low()) & TAG == 0)
    }

    fn free_way(&self) -> Option<usize> {
        self.ways(u8x16::ZERO).next()
    }

    fn put(&mut self, way: usize, tag: Tag, reference: Reference) {
        self.head[way] = tag.byte();
        self.entries[way] = reference;
    }

    fn take(&mut self, way: usize) {
        self.head[way] = 0;
    }

    fn way_of(&self, tag: Tag, reference: Reference) -> Option<usize> {
        self.ways(tag.bytes()).find(|&way| self.entries.get(way) == Some(&reference))
    }

    #[inline]
    fn spilled(&self) -> u32 {
        self.head.last_chunk().map_or(0, |count| u32::from_ne_bytes(*count))
    }

    fn spill(&mut self, more: i32) {
        let spilled = self.spilled().wrapping_add_signed(more);
        self.head[WAYS..].copy_from_slice(&spilled.to_ne_bytes());
    }
}

/// A session's number, the direction of the tuple that led to it, and four bits of that tuple's hash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Zeroable)]
pub struct Reference(u32);

impl Reference {
    /// Leads nowhere.
    pub const NONE: Self = Self(u32::MAX);

    #[inline]
    const fn new(number: u32, direction: Direction, tag: Tag) -> Self {
        Self(number << NUMBER_SHIFT | (direction as u32) << TAG_BITS | tag.low() & TAG)
    }

    #[inline]
    const fn number(self) -> usize {
        (self.0 >> NUMBER_SHIFT) as usize
    }

    /// The direction of the tuple that was looked up.
    #[inline]
    pub const fn direction(self) -> Direction {
        if self.0 & 1 << TAG_BITS == 0 { Direction::Inbound } else { Direction::Outbound }
    }
}

/// Why a session cannot be inserted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// The memory of a table; made once, never given back.
#[derive(Debug)]
pub struct Storage<F: Family> {
    /// All zero.
    pub buckets: &'static mut [Bucket],
    /// All zero.
    pub sessions: &'static mut [Session<F>],
}

impl<F: Family> Storage<F> {
    /// How many buckets a table for so many sessions needs.
    pub const fn buckets_for(sessions: usize) -> usize {
        (2 * sessions).div_ceil(LOAD) + 2
    }

    /// From the heap; for tests and small tables.
    pub fn heap(sessions: usize) -> Self {
        Self {
            buckets: Vec::leak(vec![Bucket::default(); Self::buckets_for(sessions)]),
            sessions: Vec::leak(vec![Session::free(); sessions]),
        }
    }
}

/// One worker's sessions of one address family.
#[derive(Debug)]
pub struct Table<F: Family> {
    buckets: &'static mut [Bucket],
    sessions: &'static mut [Session<F>],
    /// Numbers that were in use and are free again.
    recycled: Vec<u32>,
    /// Numbers from here on were never used.
    fresh: u32,
    key: HashKey,
    /// Where ageing goes on.
    cursor: usize,
}

/// Spreads a hash evenly over `count` places, without a division.
#[inline]
pub(crate) const fn scale(hash: u32, count: usize) -> usize {
    ((hash as u64 * count as u64) >> 32) as usize
}

/// The places a hash leads to.
#[derive(Clone, Copy)]
struct Places {
    home: usize,
    second: usize,
    tag: Tag,
}

/// Bits of a hash that the choice of the home bucket has next to no part in; nearly 12 of them are kept.
#[derive(Clone, Copy)]
struct Tag(u64);

impl Tag {
    /// Never 0.
    #[inline]
    fn byte(self) -> u8 {
        ((self.0 >> 32) as u8).max(1)
    }

    /// The same sixteen times: picked out of the hash where it stands.
    #[inline]
    fn bytes(self) -> u8x16 {
        let hash: u8x16 = bytemuck::cast([self.0.to_le(), 0]);
        hash.shuffle(u8x16::splat(4)).max(u8x16::ONE)
    }

    /// Its lowest [`TAG_BITS`] are kept.
    #[inline]
    const fn low(self) -> u32 {
        self.0 as u32
    }
}

impl<F: Family> Table<F> {
    /// An empty table in `storage`; at most 2²⁷ - 1 sessions are used.
    pub fn new(storage: Storage<F>, key: HashKey) -> Self {
        let capacity = storage.sessions.len().min(MOST);
        let sessions = &mut storage.sessions[..capacity];
        Self {
            buckets: storage.buckets,
            sessions,
            recycled: Vec::with_capacity(capacity),
            fresh: 0,
            key,
            cursor: 0,
        }
    }

    /// Sessions it can hold.
    pub fn capacity(&self) -> usize {
        self.sessions.len()
    }

    /// Sessions it holds.
    #[inline]
    pub fn len(&self) -> usize {
        self.fresh as usize - self.recycled.len()
    }

    /// Whether it holds as many as it can. It may refuse a session before, when the places of its tuples are taken.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.recycled.is_empty() && self.fresh as usize == self.sessions.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The hash every look-up of `tuple` starts from.
    #[inline]
    pub fn hash(&self, tuple: &Tuple<F>, protocol: Protocol) -> u64 {
        tuple.hash(protocol.number(), &self.key)
    }

    #[inline]
    fn home(&self, hash: u64) -> usize {
        scale(hash as u32, self.buckets.len())
    }

    #[inline]
    fn places(&self, hash: u64) -> Places {
        Places {
            home: self.home(hash),
            second: scale((hash >> 32) as u32, self.buckets.len()),
            tag: Tag(hash),
        }
    }

    /// Step 1 of a batched look-up: asks for the bucket.
    #[inline]
    pub fn prefetch(&self, hash: u64) {
        prefetch_index(&*self.buckets, self.home(hash));
    }

    /// Step 2: the session the home bucket points to, whose lines the caller asks for ([`Self::at`]); or
    /// [`Reference::NONE`].
    #[inline]
    pub fn candidate(&self, hash: u64) -> Reference {
        self.buckets[self.home(hash)].candidates(Tag(hash)).next().unwrap_or(Reference::NONE)
    }

    /// Step 2 without a candidate: whether it may be in the second bucket, which is asked for.
    pub fn prefetch_second(&self, hash: u64) -> bool {
        let spilled = self.buckets[self.home(hash)].spilled() > 0;
        if spilled {
            prefetch_index(&*self.buckets, self.places(hash).second);
        }
        spilled
    }

    /// Step 2 again, of those: what the second bucket points to.
    pub fn second_candidate(&self, hash: u64) -> Reference {
        self.buckets[self.places(hash).second].candidates(Tag(hash)).next().unwrap_or(Reference::NONE)
    }

    /// Where a candidate lies, unread.
    #[inline]
    pub fn at(&self, candidate: Reference) -> Option<&Session<F>> {
        self.sessions.get(candidate.number())
    }

    /// Step 3: the candidate's session, if the full key matches.
    #[inline]
    pub fn confirm(
        &mut self,
        reference: Reference,
        tuple: &Tuple<F>,
        protocol: Protocol,
    ) -> Option<&mut Session<F>> {
        let session = self.sessions.get_mut(reference.number())?;
        (session.arriving(reference.direction()) == *tuple && session.protocol() == protocol.number())
            .then_some(session)
    }

    /// The whole look-up of one tuple.
    pub fn find(&self, hash: u64, tuple: &Tuple<F>, protocol: Protocol) -> Option<Reference> {
        let places = self.places(hash);
        let home = &self.buckets[places.home];
        let in_bucket = |bucket: &Bucket| {
            bucket.candidates(places.tag).find(|reference| {
                let session = &self.sessions[reference.number()];
                session.arriving(reference.direction()) == *tuple && session.protocol() == protocol.number()
            })
        };
        in_bucket(home)
            .or_else(|| (home.spilled() > 0).then(|| in_bucket(&self.buckets[places.second])).flatten())
    }

    /// The session of a reference that [`Self::find`] gave.
    #[inline]
    pub fn get(&self, reference: Reference) -> Option<&Session<F>> {
        self.sessions.get(reference.number()).filter(|session| !session.is_free())
    }

    /// The same, to change.
    #[inline]
    pub fn get_mut(&mut self, reference: Reference) -> Option<&mut Session<F>> {
        self.sessions.get_mut(reference.number()).filter(|session| !session.is_free())
    }

    /// Inserts a session whose tuples are both absent; the caller has looked. Returns its inbound reference.
    pub fn insert(&mut self, session: Session<F>) -> Result<Reference, Full> {
        let hashes = self.hashes_of(&session);
        self.insert_hashed(session, hashes)
    }

    /// The same, when the caller knows what [`Self::hash`] gives for its two tuples, the inbound one first.
    #[inline]
    pub fn insert_hashed(&mut self, session: Session<F>, hashes: [u64; 2]) -> Result<Reference, Full> {
        let number = match self.recycled.pop() {
            Some(number) => number,
            None if (self.fresh as usize) < self.sessions.len() => {
                self.fresh += 1;
                self.fresh - 1
            }
            None => return Err(Full),
        };
        let references = [Direction::Inbound, Direction::Outbound]
            .map(|direction| Reference::new(number, direction, Tag(hashes[direction.index()])));
        self.sessions[number as usize] = session;
        if !self.place(hashes[0], references[0]) {
            return self.give_back(number);
        }
        if !self.place(hashes[1], references[1]) {
            self.displace(hashes[0], references[0]);
            return self.give_back(number);
        }
        Ok(references[0])
    }

    fn give_back(&mut self, number: u32) -> Result<Reference, Full> {
        self.sessions[number as usize] = Session::free();
        self.recycled.push(number);
        Err(Full)
    }

    /// Removes the session; both of its tuples become absent.
    pub fn remove(&mut self, reference: Reference) {
        let number = reference.number();
        if let Some(session) = self.sessions.get(number).filter(|session| !session.is_free()) {
            self.vacate(number as u32, self.hashes_of(session));
        }
    }

    fn vacate(&mut self, number: u32, hashes: [u64; 2]) {
        for (direction, hash) in [Direction::Inbound, Direction::Outbound].into_iter().zip(hashes) {
            self.displace(hash, Reference::new(number, direction, Tag(hash)));
        }
        self.sessions[number as usize] = Session::free();
        self.recycled.push(number);
    }

    #[inline]
    fn hashes_of(&self, session: &Session<F>) -> [u64; 2] {
        [Direction::Inbound, Direction::Outbound]
            .map(|direction| session.arriving(direction).hash(session.protocol(), &self.key))
    }

    fn hash_of(&self, reference: Reference) -> u64 {
        let session = &self.sessions[reference.number()];
        session.arriving(reference.direction()).hash(session.protocol(), &self.key)
    }

    fn place(&mut self, hash: u64, reference: Reference) -> bool {
        let Places { home, second, tag } = self.places(hash);
        if let Some(way) = self.buckets[home].free_way() {
            self.buckets[home].put(way, tag, reference);
            return true;
        }
        if let Some(way) = self.buckets[second].free_way() {
            self.buckets[second].put(way, tag, reference);
            self.buckets[home].spill(1);
            return true;
        }
        if let Some(way) = self.make_room(home) {
            self.buckets[home].put(way, tag, reference);
            return true;
        }
        false
    }

    /// Moves one entry of a full bucket to the other bucket it may lie in; returns the way that became free.
    fn make_room(&mut self, full: usize) -> Option<usize> {
        for way in 0..WAYS {
            let reference = self.buckets[full].entries[way];
            let Places { home, second, tag } = self.places(self.hash_of(reference));
            let (other, spills) = if home == full { (second, 1) } else { (home, -1) };
            if other == full {
                continue;
            }
            if let Some(free) = self.buckets[other].free_way() {
                self.buckets[other].put(free, tag, reference);
                self.buckets[full].take(way);
                self.buckets[home].spill(spills);
                return Some(way);
            }
        }
        None
    }

    fn displace(&mut self, hash: u64, reference: Reference) {
        let Places { home, second, tag } = self.places(hash);
        if let Some(way) = self.buckets[home].way_of(tag, reference) {
            self.buckets[home].take(way);
        } else if let Some(way) = self.buckets[second].way_of(tag, reference) {
            self.buckets[second].take(way);
            self.buckets[home].spill(-1);
        }
    }

    /// Looks at the next `budget` entries and removes the sessions that `over` says are. One call is bounded work; calls
    /// go round the table for ever.
    pub fn age(&mut self, budget: usize, mut over: impl FnMut(&mut Session<F>) -> bool) {
        let used = self.fresh as usize;
        let mut left = budget.min(used);
        while left > 0 {
            if self.cursor >= used {
                self.cursor = 0;
            }
            let count = left.min(AGED_TOGETHER).min(used - self.cursor);
            self.age_some(count, &mut over);
            self.cursor += count;
            left -= count;
        }
    }

    /// Looks at `count` entries, and asks for the buckets of all that are over before it waits for one.
    fn age_some(&mut self, count: usize, over: &mut impl FnMut(&mut Session<F>) -> bool) {
        let mut gone = ArrayVec::<(u32, [u64; 2]), AGED_TOGETHER>::new();
        for number in self.cursor..self.cursor + count {
            prefetch_index(&*self.sessions, number + AGED_TOGETHER);
            let session = &mut self.sessions[number];
            if !session.is_free() && over(session) {
                let hashes = self.hashes_of(&self.sessions[number]);
                hashes.iter().for_each(|&hash| self.prefetch(hash));
                gone.push((number as u32, hashes));
            }
        }
        for (number, hashes) in gone {
            self.vacate(number, hashes);
        }
    }

    /// Sessions from number `from` on, with the number to go on from; for dumps in bounded pieces.
    pub fn scan(&self, from: usize, budget: usize) -> (impl Iterator<Item = &Session<F>>, Option<usize>) {
        let used = self.fresh as usize;
        let end = from.saturating_add(budget).min(used);
        let sessions = self.sessions[from.min(end)..end].iter().filter(|session| !session.is_free());
        (sessions, (end < used).then_some(end))
    }

    /// Numbers that were ever used: how many entries one round of ageing looks at.
    pub fn used(&self) -> usize {
        self.fresh as usize
    }
}

#[cfg(test)]
mod tests;
