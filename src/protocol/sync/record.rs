//! Records: what the stream says about sessions, and the marks between them.
//!
//! ```text
//! session   kind (bit 7: IPv6) | protocol | state | instance
//!           reply tuple: backend and local address, backend and local port                12 or 36 bytes
//!  insert   milliseconds since its last packet (4), then client's tuple: client, VIP      4 + 12 or 4 + 36
//! term      kind | instance | 0 | 0 | term (8)
//! begin     kind | worker | generation | 0 | ranges (16) | instances (8)
//! sweep     kind | worker | generation | 0
//! range     kind | worker | range | instance | sessions (4) | sum (8)
//! end       kind | worker | generation | 0 | sessions (8)
//! ```
//!
//! A session is named by the tuple of its replies: its local port is its own. Service and backend are the
//! addresses and ports themselves, because slots differ between nodes. Numbers are in network byte order.

use super::digest::{Digest, RANGES};
use crate::{
    packet::{Family, Ports, Tuple, V4, V6},
    types::{InstanceId, Protocol, SessionState, WorkerId},
};

/// The longest record, in bytes: an IPv6 insert.
pub const MAX_RECORD: usize = 80;

/// Instances that a record can name.
pub const MAX_INSTANCES: usize = 64;

const IPV6: u8 = 0x80;
const INSERT: u8 = 1;
const STATE: u8 = 2;
const TOUCH: u8 = 3;
const DELETE: u8 = 4;
const TERM: u8 = 0x20;
const BEGIN: u8 = 0x21;
const SWEEP: u8 = 0x22;
const RANGE: u8 = 0x23;
const END: u8 = 0x24;

/// Bytes before the tuples.
const HEAD: usize = 4;

/// What happened to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change<F: Family> {
    /// It is there: new, or copied again.
    Insert {
        /// The tuple of its client's packets.
        inbound: Tuple<F>,
        /// How far it has come.
        state: SessionState,
        /// Milliseconds since its last packet.
        idle_ms: u32,
    },
    /// A packet has changed its state.
    State(SessionState),
    /// It had a packet, and the peer might think it idle.
    Touch,
    /// It is gone.
    Delete,
}

/// A session and what happened to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionRecord<F: Family> {
    /// The HA instance that owns it.
    pub instance: InstanceId,
    /// Its transport protocol.
    pub protocol: Protocol,
    /// The tuple of its replies: backend to local address and port.
    pub outbound: Tuple<F>,
    /// What happened.
    pub change: Change<F>,
}

/// What stands between records of sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// The sender owns the instance in this term; holds for what follows in the same frame.
    Term {
        /// The instance.
        instance: InstanceId,
        /// The election's term.
        term: u64,
    },
    /// A copy of these ranges begins.
    Begin {
        /// Whose sessions.
        worker: WorkerId,
        /// Tells this copy from the one before.
        generation: u8,
        /// A bit a range.
        ranges: u128,
        /// A bit an instance: those copied.
        instances: u64,
    },
    /// The copy is complete: what it did not name, and was not named since it began, is gone.
    Sweep {
        /// Whose sessions.
        worker: WorkerId,
        /// The copy.
        generation: u8,
    },
    /// What a range holds at this place of the stream.
    Range {
        /// Whose sessions.
        worker: WorkerId,
        /// Which range.
        range: u8,
        /// Of which instance.
        instance: InstanceId,
        /// Count and sum.
        digest: Digest,
    },
    /// The copy is over, its ranges have been compared.
    End {
        /// Whose sessions.
        worker: WorkerId,
        /// The copy.
        generation: u8,
        /// How many sessions it named.
        sessions: u64,
    },
}

/// An element of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    /// Of an IPv4 session.
    V4(SessionRecord<V4>),
    /// Of an IPv6 session.
    V6(SessionRecord<V6>),
    /// Between them.
    Mark(Mark),
}

/// Why bytes are no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Cut short.
    #[error("the frame ends within a record")]
    Short,
    /// Unknown kind.
    #[error("no kind of record")]
    Kind,
    /// Neither TCP, UDP nor SCTP.
    #[error("no protocol that is balanced")]
    Protocol,
    /// No state, or one where none belongs.
    #[error("no state of a session")]
    State,
    /// Beyond the last.
    #[error("an instance beyond the 64th")]
    Instance,
    /// Beyond the last.
    #[error("a range beyond the last")]
    Range,
    /// Not zero.
    #[error("a reserved byte is not zero")]
    Reserved,
}

/// Family bit of a kind.
const fn family_bit<F: Family>() -> u8 {
    if F::VERSION == 6 { IPV6 } else { 0 }
}

const fn pair_length<F: Family>() -> usize {
    size_of::<F::Pair>()
}

/// Bytes of a tuple.
const fn tuple_length<F: Family>() -> usize {
    pair_length::<F>() + 4
}

#[inline]
fn write_tuple<F: Family>(tuple: &Tuple<F>, out: &mut [u8]) {
    let (addresses, ports) = out.split_at_mut(pair_length::<F>());
    addresses.copy_from_slice(bytemuck::bytes_of(&tuple.addresses));
    ports[..4].copy_from_slice(&tuple.ports.bytes());
}

fn read_tuple<F: Family>(bytes: &[u8]) -> Option<Tuple<F>> {
    let (addresses, ports) = bytes.split_at_checked(pair_length::<F>())?;
    Some(Tuple {
        addresses: bytemuck::try_pod_read_unaligned(addresses).ok()?,
        ports: Ports::read(ports.first_chunk()?),
    })
}

impl<F: Family> SessionRecord<F> {
    /// Bytes of its encoding.
    #[inline]
    pub const fn length(&self) -> usize {
        match self.change {
            Change::Insert { .. } => HEAD + 4 + 2 * tuple_length::<F>(),
            _ => HEAD + tuple_length::<F>(),
        }
    }

    /// Writes it to the front of `out` and returns its length.
    #[inline]
    pub fn encode(&self, out: &mut [u8; MAX_RECORD]) -> usize {
        let (kind, state) = match self.change {
            Change::Insert { state, .. } => (INSERT, state as u8),
            Change::State(state) => (STATE, state as u8),
            Change::Touch => (TOUCH, 0),
            Change::Delete => (DELETE, 0),
        };
        let kind = kind | family_bit::<F>();
        out[..HEAD].copy_from_slice(&[kind, self.protocol.number(), state, self.instance.0]);
        let after = HEAD + tuple_length::<F>();
        write_tuple(&self.outbound, &mut out[HEAD..after]);
        let Change::Insert { inbound, idle_ms, .. } = &self.change else { return after };
        out[after..after + 4].copy_from_slice(&idle_ms.to_be_bytes());
        write_tuple(inbound, &mut out[after + 4..after + 4 + tuple_length::<F>()]);
        after + 4 + tuple_length::<F>()
    }

    fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let &[kind, protocol, state, instance] = bytes.first_chunk().ok_or(Malformed::Short)?;
        let protocol = Protocol::from_number(protocol).ok_or(Malformed::Protocol)?;
        let state = SessionState::from_number(state).ok_or(Malformed::State)?;
        let instance = read_instance(instance)?;
        let (tuple, rest) = bytes[HEAD..].split_at_checked(tuple_length::<F>()).ok_or(Malformed::Short)?;
        let outbound = read_tuple(tuple).ok_or(Malformed::Short)?;
        let change = match kind & !IPV6 {
            INSERT => {
                let (idle, tuple) = rest.split_first_chunk().ok_or(Malformed::Short)?;
                let inbound = read_tuple(tuple).ok_or(Malformed::Short)?;
                Change::Insert { inbound, state, idle_ms: u32::from_be_bytes(*idle) }
            }
            STATE => Change::State(state),
            TOUCH | DELETE if state != SessionState::Opening => return Err(Malformed::State),
            TOUCH => Change::Touch,
            DELETE => Change::Delete,
            _ => return Err(Malformed::Kind),
        };
        Ok(Self { instance, protocol, outbound, change })
    }
}

fn read_instance(number: u8) -> Result<InstanceId, Malformed> {
    (usize::from(number) < MAX_INSTANCES).then_some(InstanceId(number)).ok_or(Malformed::Instance)
}

impl Mark {
    /// Writes it to the front of `out` and returns its length.
    pub fn encode(&self, out: &mut [u8; MAX_RECORD]) -> usize {
        let (head, length) = match *self {
            Self::Term { instance, term } => {
                out[4..12].copy_from_slice(&term.to_be_bytes());
                ([TERM, instance.0, 0, 0], 12)
            }
            Self::Begin { worker, generation, ranges, instances } => {
                out[4..20].copy_from_slice(&ranges.to_be_bytes());
                out[20..28].copy_from_slice(&instances.to_be_bytes());
                ([BEGIN, worker.0, generation, 0], 28)
            }
            Self::Sweep { worker, generation } => ([SWEEP, worker.0, generation, 0], 4),
            Self::Range { worker, range, instance, digest } => {
                out[4..8].copy_from_slice(&digest.sessions.to_be_bytes());
                out[8..16].copy_from_slice(&digest.sum.to_be_bytes());
                ([RANGE, worker.0, range, instance.0], 16)
            }
            Self::End { worker, generation, sessions } => {
                out[4..12].copy_from_slice(&sessions.to_be_bytes());
                ([END, worker.0, generation, 0], 12)
            }
        };
        out[..HEAD].copy_from_slice(&head);
        length
    }

    fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let &[kind, first, second, third] = bytes.first_chunk().ok_or(Malformed::Short)?;
        let word = |at: usize| -> Result<u64, Malformed> {
            let field = bytes.get(at..).and_then(|rest| rest.first_chunk()).ok_or(Malformed::Short)?;
            Ok(u64::from_be_bytes(*field))
        };
        let (worker, generation) = (WorkerId(first), second);
        let zero = if kind == TERM { second | third } else { third };
        if kind != RANGE && zero != 0 {
            return Err(Malformed::Reserved);
        }
        Ok(match kind {
            TERM => Self::Term { instance: read_instance(first)?, term: word(4)? },
            BEGIN => {
                let ranges = u128::from(word(4)?) << 64 | u128::from(word(12)?);
                Self::Begin { worker, generation, ranges, instances: word(20)? }
            }
            SWEEP => Self::Sweep { worker, generation },
            RANGE if usize::from(second) >= RANGES => return Err(Malformed::Range),
            RANGE => {
                let sessions = (word(4)? >> 32) as u32;
                let digest = Digest { sessions, sum: word(8)? };
                Self::Range { worker, range: second, instance: read_instance(third)?, digest }
            }
            END => Self::End { worker, generation, sessions: word(4)? },
            _ => return Err(Malformed::Kind),
        })
    }
}

impl Record {
    /// Writes it to the front of `out` and returns its length.
    pub fn encode(&self, out: &mut [u8; MAX_RECORD]) -> usize {
        match self {
            Self::V4(record) => record.encode(out),
            Self::V6(record) => record.encode(out),
            Self::Mark(mark) => mark.encode(out),
        }
    }

    /// Reads the record at the front of `bytes`; also gives its length.
    ///
    /// # Errors
    ///
    /// Nothing behind a malformed record can be read: its length is not known.
    pub fn decode(bytes: &[u8]) -> Result<(Self, usize), Malformed> {
        let kind = *bytes.first().ok_or(Malformed::Short)?;
        let length = length_of(kind).ok_or(Malformed::Kind)?;
        let bytes = bytes.get(..length).ok_or(Malformed::Short)?;
        let record = match kind {
            TERM.. if kind & IPV6 == 0 => Self::Mark(Mark::decode(bytes)?),
            _ if kind & IPV6 != 0 => Self::V6(SessionRecord::decode(bytes)?),
            _ => Self::V4(SessionRecord::decode(bytes)?),
        };
        Ok((record, length))
    }

    /// Whether it tells of a session that may be new.
    pub const fn is_insert(&self) -> bool {
        match self {
            Self::V4(record) => matches!(record.change, Change::Insert { .. }),
            Self::V6(record) => matches!(record.change, Change::Insert { .. }),
            Self::Mark(_) => false,
        }
    }

    /// The instance it concerns; `None` for marks that concern several.
    pub const fn instance(&self) -> Option<InstanceId> {
        match self {
            Self::V4(record) => Some(record.instance),
            Self::V6(record) => Some(record.instance),
            Self::Mark(Mark::Term { instance, .. } | Mark::Range { instance, .. }) => Some(*instance),
            Self::Mark(_) => None,
        }
    }
}

/// Whether the fourth byte of a record of this kind is the instance it concerns.
#[inline]
pub const fn names_instance(kind: u8) -> bool {
    matches!(kind & !IPV6, INSERT..=DELETE) || kind == RANGE
}

/// Bytes of a record that begins with `kind`; `None` for no kind.
pub const fn length_of(kind: u8) -> Option<usize> {
    Some(match kind {
        INSERT => HEAD + 4 + 2 * tuple_length::<V4>(),
        STATE | TOUCH | DELETE => HEAD + tuple_length::<V4>(),
        TERM | END => 12,
        BEGIN => 28,
        SWEEP => 4,
        RANGE => 16,
        _ => match kind ^ IPV6 {
            INSERT => HEAD + 4 + 2 * tuple_length::<V6>(),
            STATE | TOUCH | DELETE => HEAD + tuple_length::<V6>(),
            _ => return None,
        },
    })
}

const _: () = assert!(matches!(length_of(INSERT), Some(32)), "an IPv4 insert fills one slot of a ring");
const _: () = assert!(matches!(length_of(DELETE), Some(16)));
const _: () = assert!(matches!(length_of(INSERT | IPV6), Some(MAX_RECORD)));

#[cfg(test)]
mod tests;
