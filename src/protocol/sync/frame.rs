//! Frames: what goes into one datagram of the stream, and the acknowledgement that comes back.
//!
//! ```text
//! data              stream (8) | sequence (8) | generation (4) | 0 (4) | records ...
//! acknowledgement   stream (8) | received up to (8) | received beyond (8) | generation (4) | credit (2) | repairs | 0
//!                   each repair: worker | 0 0 0 | ranges (16)
//! ```
//!
//! The receiver names the stream it wants; whoever gets the name begins it. `generation` counts the sender's starts
//! of it. Bit `i` of "received beyond" stands for the frame `i` + 1 after the last one received in order.

use super::record::Malformed;
use crate::{packet::bytes, types::WorkerId};
use arrayvec::ArrayVec;

/// Frames in flight, at most: as many as an acknowledgement can tell apart.
pub const WINDOW: u64 = 64;

/// Bytes before the records of a data frame.
pub const DATA_HEADER: usize = 24;
/// Bytes before the repairs of an acknowledgement.
const ACK_HEADER: usize = 32;
const REPAIR: usize = 20;

/// Repairs of one acknowledgement, at most.
pub const MAX_REPAIRS: usize = 32;

/// The longest acknowledgement.
pub const MAX_ACK: usize = ACK_HEADER + MAX_REPAIRS * REPAIR;

/// The header of a data frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataHeader {
    /// The stream, as its receiver named it.
    pub stream: u64,
    /// The frame's place in it, from 1.
    pub sequence: u64,
    /// Which start of the stream.
    pub generation: u32,
}

impl DataHeader {
    pub(super) fn emit(&self) -> [u8; DATA_HEADER] {
        let mut out = [0; DATA_HEADER];
        out[..8].copy_from_slice(&self.stream.to_be_bytes());
        out[8..16].copy_from_slice(&self.sequence.to_be_bytes());
        out[16..20].copy_from_slice(&self.generation.to_be_bytes());
        out
    }

    pub(super) fn parse(frame: &[u8]) -> Result<(Self, &[u8]), Malformed> {
        let (head, records) = frame.split_first_chunk::<DATA_HEADER>().ok_or(Malformed::Short)?;
        let [.., 0, 0, 0, 0] = *head else { return Err(Malformed::Reserved) };
        let word = |at| bytes::read(head, at).map(u64::from_be_bytes).ok_or(Malformed::Short);
        let generation = bytes::read(head, 16).map(u32::from_be_bytes).ok_or(Malformed::Short)?;
        Ok((Self { stream: word(0)?, sequence: word(8)?, generation }, records))
    }
}

/// A wish for another copy of some ranges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repair {
    /// Whose sessions.
    pub worker: WorkerId,
    /// A bit a range; not 0.
    pub ranges: u128,
}

/// What the receiver has, and what it wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack {
    /// The stream it wants.
    pub stream: u64,
    /// The start of it that it follows; 0 before it has heard one.
    pub generation: u32,
    /// Everything up to this frame was received and given to the workers.
    pub cumulative: u64,
    /// Frames beyond it that were received; bit 0, the next one, says that it waits for the workers.
    pub beyond: u64,
    /// Frames it takes beyond `cumulative`.
    pub credit: u16,
    /// Ranges that differ.
    pub repairs: ArrayVec<Repair, MAX_REPAIRS>,
}

impl Ack {
    /// Writes it and returns its length; `None` when `out` is too short ([`MAX_ACK`] never is).
    pub fn emit(&self, out: &mut [u8]) -> Option<usize> {
        let length = ACK_HEADER + self.repairs.len() * REPAIR;
        let (head, repairs) = out.get_mut(..length)?.split_first_chunk_mut::<ACK_HEADER>()?;
        head[..8].copy_from_slice(&self.stream.to_be_bytes());
        head[8..16].copy_from_slice(&self.cumulative.to_be_bytes());
        head[16..24].copy_from_slice(&self.beyond.to_be_bytes());
        head[24..28].copy_from_slice(&self.generation.to_be_bytes());
        head[28..30].copy_from_slice(&self.credit.to_be_bytes());
        head[30..].copy_from_slice(&[self.repairs.len() as u8, 0]);
        for (out, repair) in repairs.as_chunks_mut::<REPAIR>().0.iter_mut().zip(&self.repairs) {
            out[..4].copy_from_slice(&[repair.worker.0, 0, 0, 0]);
            out[4..].copy_from_slice(&repair.ranges.to_be_bytes());
        }
        Some(length)
    }

    /// Reads one.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong with it.
    pub fn parse(frame: &[u8]) -> Result<Self, Malformed> {
        let (head, rest) = frame.split_first_chunk::<ACK_HEADER>().ok_or(Malformed::Short)?;
        let word = |at| bytes::read(head, at).map(u64::from_be_bytes).ok_or(Malformed::Short);
        let [.., c0, c1, count, reserved] = *head;
        if reserved != 0 {
            return Err(Malformed::Reserved);
        }
        let (repairs, rest) = rest.as_chunks::<REPAIR>();
        if repairs.len() != usize::from(count) || !rest.is_empty() || repairs.len() > MAX_REPAIRS {
            return Err(Malformed::Short);
        }
        let repair = |bytes: &[u8; REPAIR]| match *bytes {
            [worker, 0, 0, 0, ref ranges @ ..] => {
                Ok(Repair { worker: WorkerId(worker), ranges: u128::from_be_bytes(*ranges) })
            }
            _ => Err(Malformed::Reserved),
        };
        Ok(Self {
            stream: word(0)?,
            cumulative: word(8)?,
            beyond: word(16)?,
            generation: bytes::read(head, 24).map(u32::from_be_bytes).ok_or(Malformed::Short)?,
            credit: u16::from_be_bytes([c0, c1]),
            repairs: repairs.iter().map(repair).collect::<Result<_, _>>()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ack() -> Ack {
        let repair = |worker, ranges| Repair { worker: WorkerId(worker), ranges };
        Ack {
            stream: 0x0102_0304_0506_0708,
            generation: 0x0a0b_0c0d,
            cumulative: 9,
            beyond: 0x8000_0000_0000_0002,
            credit: 64,
            repairs: [repair(1, 1 << 127), repair(2, 3)].into_iter().collect(),
        }
    }

    fn emitted(ack: &Ack) -> Vec<u8> {
        let mut out = [0xee; MAX_ACK];
        let length = ack.emit(&mut out).unwrap();
        out[..length].to_vec()
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn golden_bytes() {
        let golden = "0102030405060708_0000000000000009_8000000000000002_0a0b0c0d_0040_02_00\
                      01000000_80000000000000000000000000000000_02000000_00000000000000000000000000000003";
        assert_eq!(hex(&emitted(&ack())), golden.replace('_', ""));
        let header = DataHeader { stream: 0x0102_0304_0506_0708, sequence: 9, generation: 0x0a0b_0c0d };
        let golden = "0102030405060708_0000000000000009_0a0b0c0d_00000000";
        assert_eq!(hex(&header.emit()), golden.replace('_', ""));
        assert_eq!(DataHeader::parse(&header.emit()), Ok((header, &[][..])));
    }

    #[test]
    fn malformed_frames_by_name() {
        let bytes = emitted(&ack());
        assert_eq!(Ack::parse(&bytes), Ok(ack()));
        for length in 0..bytes.len() {
            assert_eq!(Ack::parse(&bytes[..length]), Err(Malformed::Short), "{length}");
        }
        for (at, error) in [(30, Malformed::Short), (31, Malformed::Reserved), (33, Malformed::Reserved)] {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert_eq!(Ack::parse(&changed), Err(error), "byte {at}");
        }
        let header = DataHeader { stream: 1, sequence: 2, generation: 3 }.emit();
        for length in 0..header.len() {
            assert_eq!(DataHeader::parse(&header[..length]), Err(Malformed::Short));
        }
        let mut changed = header;
        changed[23] = 1;
        assert_eq!(DataHeader::parse(&changed), Err(Malformed::Reserved));
        assert_eq!(ack().emit(&mut [0; 71]), None);
    }

    proptest! {
        #[test]
        fn any_bytes_parse_to_what_emits_them(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(ack) = Ack::parse(&bytes) {
                prop_assert_eq!(emitted(&ack), bytes);
            }
        }
    }
}
