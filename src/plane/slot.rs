//! Slots: how records cross the rings between a worker and the control core. Each lies in one to five slots of 16 bytes
//! exactly as it goes over the wire, so that an IPv4 session costs half a cache line and nobody encodes twice.

use super::memory::{LINE, prefetch_to_write};
use crate::{
    packet::Family,
    protocol::sync::{MAX_RECORD, Record, SessionRecord, length_of, names_instance},
    types::InstanceId,
};
use bytemuck::{Pod, Zeroable};

/// Bytes of a slot.
const SIZE: usize = 16;
/// Slots of the longest record.
const MOST: usize = MAX_RECORD.div_ceil(SIZE);
/// Slots gathered before they must be passed on: more than most bursts make.
const GATHERED: usize = 256;

/// An element of a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C, align(16))]
pub struct Slot([u8; SIZE]);

const WALK: u8 = 0xf0;
const RESET: u8 = 0xf1;
const VERDICT: u8 = 0xf2;
/// Bytes of each of these.
const LOCAL: usize = 28;

/// What passes between a worker and the control core of one node and never leaves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Local {
    /// To a worker: copy these ranges to the peer.
    Walk {
        /// A bit a range.
        ranges: u128,
    },
    /// To a worker: a new stream begins, nothing of it has been compared.
    Reset {
        /// Tells verdicts on it from those on the one before.
        stream: u8,
    },
    /// From a worker: how its synced sessions compare with the peer's.
    Verdict {
        /// On which stream.
        stream: u8,
        /// The instances of which a whole copy has come and was compared, a bit each.
        copied: u64,
        /// The ranges that differ.
        wrong: u128,
    },
}

/// What a ring carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// For the peer, or from it.
    Record(Record),
    /// Between the two threads alone.
    Local(Local),
}

/// Whom a packed message concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The other thread alone.
    Local,
    /// One instance of the peer's.
    Instance(InstanceId),
    /// Several instances.
    Several,
}

/// A record in its slots.
#[derive(Clone, Copy, Debug)]
pub struct Packed {
    slots: [Slot; MOST],
    length: usize,
}

impl Packed {
    const EMPTY: Self = Self { slots: [Slot([0; SIZE]); MOST], length: 0 };

    fn room(&mut self) -> &mut [u8; MAX_RECORD] {
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut self.slots);
        match bytes.first_chunk_mut() {
            Some(room) => room,
            None => unreachable!("the slots are longer than a record"),
        }
    }

    /// Any record.
    pub fn record(record: &Record) -> Self {
        let mut packed = Self::EMPTY;
        packed.length = record.encode(packed.room());
        packed
    }

    /// A word between the two threads.
    pub fn local(local: Local) -> Self {
        let mut packed = Self::EMPTY;
        let (kind, stream, ranges, instances) = match local {
            Local::Walk { ranges } => (WALK, 0, ranges, 0),
            Local::Reset { stream } => (RESET, stream, 0, 0),
            Local::Verdict { stream, copied, wrong } => (VERDICT, stream, wrong, copied),
        };
        let room = packed.room();
        room[..2].copy_from_slice(&[kind, stream]);
        room[4..20].copy_from_slice(&ranges.to_be_bytes());
        room[20..LOCAL].copy_from_slice(&instances.to_be_bytes());
        packed.length = LOCAL;
        packed
    }

    /// The slots it takes.
    #[inline]
    pub fn slots(&self) -> &[Slot] {
        &self.slots[..self.length.div_ceil(SIZE)]
    }

    /// The record's bytes as they go over the wire.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        &bytemuck::cast_slice::<Slot, u8>(&self.slots)[..self.length]
    }

    /// Takes the next record out of a ring by its `peek` and `pop`; `None` while it is not complete.
    #[inline]
    pub fn take(ring: &mut rtrb::Consumer<Slot>) -> Option<Self> {
        let mut packed = Self::EMPTY;
        packed.length = ring.peek().ok()?.length();
        let count = packed.length.div_ceil(SIZE);
        ring.pop_entire_slice(&mut packed.slots[..count]).ok()?;
        Some(packed)
    }

    /// The instance it concerns, without looking at the rest.
    #[inline]
    pub fn subject(&self) -> Subject {
        let [kind, _, _, instance] = *self.slots[0].0.first_chunk().unwrap_or(&[0; 4]);
        match kind {
            WALK.. => Subject::Local,
            _ if names_instance(kind) => Subject::Instance(InstanceId(instance)),
            _ => Subject::Several,
        }
    }

    /// What it says; `None` of slots that hold neither.
    pub fn message(&self) -> Option<Message> {
        let bytes = self.bytes();
        let &[kind, stream] = bytes.first_chunk()?;
        if kind < WALK {
            return Record::decode(bytes).ok().map(|(record, _)| Message::Record(record));
        }
        let ranges = u128::from_be_bytes(*bytes.get(4..)?.first_chunk()?);
        let instances = u64::from_be_bytes(*bytes.get(20..)?.first_chunk()?);
        Some(Message::Local(match kind {
            WALK => Local::Walk { ranges },
            RESET => Local::Reset { stream },
            VERDICT => Local::Verdict { stream, copied: instances, wrong: ranges },
            _ => return None,
        }))
    }
}

/// Records on their way into a ring: gathered where the worker's own cache has them, and passed on together, so that
/// the two cores pass a cache line on once and not for every record. Whoever adds one asks afterwards whether it is full,
/// and then passes everything on: there is always room for one more, and adding has nothing to ask.
#[derive(Debug)]
pub struct Stage {
    slots: Box<[Slot; GATHERED + MOST]>,
    used: usize,
    /// The address in the ring where the first of them will lie.
    ahead: usize,
}

impl Default for Stage {
    fn default() -> Self {
        Self { slots: Box::new([Slot([0; SIZE]); GATHERED + MOST]), used: 0, ahead: 0 }
    }
}

impl Stage {
    /// Adds a session's record.
    #[inline(always)]
    pub fn session<F: Family>(&mut self, record: &SessionRecord<F>) {
        let room: &mut [u8] = bytemuck::cast_slice_mut(&mut self.slots[self.used..self.used + MOST]);
        if let Some(room) = room.first_chunk_mut() {
            let count = record.encode(room).div_ceil(SIZE);
            // The other core had that part of the ring last, and gives it up while the burst goes on. Behind the ring's end this
            // asks for what happens to lie there.
            for slot in (0..count).step_by(LINE / SIZE) {
                prefetch_to_write(self.ahead + (self.used + slot) * SIZE);
            }
            self.used += count;
        }
    }

    /// Adds what is already packed.
    pub fn packed(&mut self, packed: &Packed) {
        let end = self.used + packed.slots().len();
        self.slots[self.used..end].copy_from_slice(packed.slots());
        self.used = end;
    }

    /// Whether everything must be passed on before more is added.
    #[inline]
    pub const fn is_full(&self) -> bool {
        self.used > GATHERED
    }

    /// Slots gathered.
    pub const fn used(&self) -> usize {
        self.used
    }

    /// Passes everything on, or, when the ring has no room for it, nothing; whether it had. What was gathered is still here
    /// afterwards, until [`Self::clear`].
    #[must_use]
    pub fn flush(&mut self, ring: &mut rtrb::Producer<Slot>) -> bool {
        let passed = ring.push_entire_slice(&self.slots[..self.used]).is_ok();
        if let Ok(mut next) = ring.write_chunk_uninit(1) {
            self.ahead = next.as_mut_slices().0.as_ptr().addr();
        }
        passed
    }

    /// Forgets everything.
    pub const fn clear(&mut self) {
        self.used = 0;
    }

    /// The records that were gathered.
    pub fn records(&self) -> impl Iterator<Item = Record> {
        let mut rest = &self.slots[..self.used];
        std::iter::from_fn(move || {
            loop {
                let length = rest.first()?.length();
                let (slots, behind) = rest.split_at_checked(length.div_ceil(SIZE))?;
                rest = behind;
                let bytes = &bytemuck::cast_slice::<Slot, u8>(slots)[..length];
                if let Ok((record, _)) = Record::decode(bytes) {
                    return Some(record);
                }
            }
        })
    }
}

impl Slot {
    /// Bytes of the record that begins here.
    #[inline]
    fn length(&self) -> usize {
        // The producer writes nothing else; a byte that is no kind would still be taken, as one slot of nothing.
        match self.0[0] {
            WALK.. => LOCAL,
            kind => length_of(kind).unwrap_or(SIZE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        packet::{Tuple, V6},
        protocol::sync::{Change, Mark},
        types::{InstanceId, Protocol, SessionState, WorkerId},
    };

    #[test]
    fn records_and_words_cross_a_ring_in_order() {
        let tuple = Tuple::<V6>::new(("fd00::1".parse().unwrap(), 1), ("fd00::2".parse().unwrap(), 2));
        let inbound = tuple.unwrap();
        let state = SessionState::Opening;
        let change = Change::Insert { inbound, state, idle_ms: 7 };
        let record =
            SessionRecord { instance: InstanceId(1), protocol: Protocol::Udp, outbound: inbound, change };
        let (mut sender, mut receiver) = rtrb::RingBuffer::new(10);
        let mark = Record::Mark(Mark::Sweep { worker: WorkerId(1), generation: 2 });
        let messages = [
            Message::Record(Record::V6(record)),
            Message::Record(mark),
            Message::Local(Local::Walk { ranges: 1 << 127 | 1 }),
            Message::Local(Local::Verdict { stream: 7, copied: 1 << 63 | 1, wrong: 5 }),
        ];
        for round in 0..50 {
            for message in messages {
                let packed = match message {
                    Message::Record(record) => Packed::record(&record),
                    Message::Local(local) => Packed::local(local),
                };
                sender.push_entire_slice(packed.slots()).unwrap();
            }
            assert_eq!(sender.slots(), 0, "round {round}");
            assert!(sender.push_entire_slice(Packed::local(Local::Reset { stream: 1 }).slots()).is_err());
            for message in messages {
                let packed = Packed::take(&mut receiver).unwrap();
                assert_eq!(packed.message(), Some(message));
                let subject = match message {
                    Message::Record(Record::V6(record)) => Subject::Instance(record.instance),
                    Message::Record(_) => Subject::Several,
                    Message::Local(_) => Subject::Local,
                };
                assert_eq!(packed.subject(), subject);
            }
            assert!(Packed::take(&mut receiver).is_none());
        }
    }

    #[test]
    fn a_stage_passes_all_on_or_nothing() {
        let tuple =
            Tuple::<V6>::new(("fd00::1".parse().unwrap(), 1), ("fd00::2".parse().unwrap(), 2)).unwrap();
        let (instance, protocol) = (InstanceId(1), Protocol::Udp);
        let record = SessionRecord { instance, protocol, outbound: tuple, change: Change::<V6>::Delete };
        let sweep = Packed::record(&Record::Mark(Mark::Sweep { worker: WorkerId(1), generation: 2 }));
        let (mut sender, mut receiver) = rtrb::RingBuffer::new(8);
        let mut stage = Stage::default();
        stage.session(&record);
        stage.packed(&sweep);
        assert_eq!((stage.used(), stage.flush(&mut sender)), (4, true));
        stage.clear();
        assert_eq!((stage.used(), stage.flush(&mut sender)), (0, true));
        let word = Packed::local(Local::Reset { stream: 1 });
        stage.session(&record);
        stage.packed(&word);
        stage.packed(&sweep);
        assert!(!stage.flush(&mut sender));
        let left: Vec<Message> = stage.records().map(Message::Record).collect();
        assert_eq!(left, [Message::Record(Record::V6(record)), sweep.message().unwrap()]);
        stage.clear();
        assert_eq!(Packed::take(&mut receiver).unwrap().message(), Some(Message::Record(Record::V6(record))));
        assert_eq!(Packed::take(&mut receiver).unwrap().message(), sweep.message());
        assert!(Packed::take(&mut receiver).is_none());
    }

    #[test]
    fn a_stage_that_is_not_full_has_room_for_the_longest_record() {
        let tuple = Tuple::<V6>::default();
        let change = Change::Insert { inbound: tuple, state: SessionState::Opening, idle_ms: 0 };
        let longest =
            SessionRecord { instance: InstanceId(0), protocol: Protocol::Udp, outbound: tuple, change };
        let shortest = Packed::record(&Record::Mark(Mark::Sweep { worker: WorkerId(0), generation: 0 }));
        for short in 0..MOST {
            let mut stage = Stage::default();
            (0..short).for_each(|_| stage.packed(&shortest));
            while !stage.is_full() {
                stage.session(&longest);
            }
            let records = short + (GATHERED - short) / MOST + 1;
            assert_eq!(stage.records().count(), records);
        }
    }
}
