//! The hello: what two nodes tell each other of every instance, about every 10 ms and at once on every change.
//!
//! It is the body of a message; the envelope around it says who sent it and proves it. All numbers are big-endian.
//!
//! ```text
//!  0                   1                   2                   3
//! |   Version     |W|             0               |   Instances   |
//! |                            Node id                            |
//! |                                                               |
//! |                          Incarnation                          |
//! |                                                               |
//! |                           Sequence                            |
//! |                                                               |
//! |           Incarnation that this node hears, or 0              |
//! |                                                               |
//! then for each instance:
//! |                         Hash of its name                      |
//! |                                                               |
//! |                             Term                              |
//! |                                                               |
//! |                      Term of the request                      |
//! |                                                               |
//! |     Role      |   Priority    |R|E|    0    |H |    Request   |
//! ```
//!
//! W: the sender has not lost its witnesses. R: ready, it would take over at once. E: eligible, nothing of its own keeps it
//! from serving. H: what it has of the sessions, two bits.

use super::{
    claim::{Claim, Holding, MAX_TERM},
    refusal::Refusal,
    role::Role,
};
use crate::packet::bytes;
use arrayvec::ArrayVec;

/// Bytes before the first instance.
pub const HELLO_HEADER: usize = 36;
/// Bytes an instance takes.
pub const HELLO_ENTRY: usize = 28;
/// The most instances in one hello; a node with more sends several.
pub const MAX_ENTRIES: usize = 32;
/// The longest hello.
pub const MAX_HELLO: usize = HELLO_HEADER + MAX_ENTRIES * HELLO_ENTRY;

const VERSION: u8 = 1;
const WITNESS: u8 = 0x80;
const READY: u8 = 0x80;
const ELIGIBLE: u8 = 0x40;
const HOLDING: u8 = 0x03;

/// What one node asks of the other, or answers it. It is repeated in every hello until it is done or void.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Request {
    /// Nothing.
    #[default]
    None,
    /// From who serves: will you take the instance over under this term?
    Switch(u64),
    /// The answer: ready to, under this term.
    Ready(u64),
    /// From who serves no longer: take it, under this term.
    Go(u64),
    /// From who served until now: nobody does, take it if you can.
    Resign,
    /// From who follows: give it to me, as a planned hand-over.
    Ask,
}

impl Request {
    const fn value(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Switch(_) => 1,
            Self::Ready(_) => 2,
            Self::Go(_) => 3,
            Self::Resign => 4,
            Self::Ask => 5,
        }
    }

    const fn term(self) -> u64 {
        match self {
            Self::Switch(term) | Self::Ready(term) | Self::Go(term) => term,
            Self::None | Self::Resign | Self::Ask => 0,
        }
    }

    const fn read(value: u8, term: u64) -> Result<Self, Refusal> {
        let request = match value {
            0 => Self::None,
            1 => Self::Switch(term),
            2 => Self::Ready(term),
            3 => Self::Go(term),
            4 => Self::Resign,
            5 => Self::Ask,
            _ => return Err(Refusal::Request),
        };
        // Those with a term need one, the others have none.
        if (request.term() == 0) != matches!(value, 0 | 4 | 5) || request.term() != term || term > MAX_TERM {
            return Err(Refusal::Term);
        }
        Ok(request)
    }
}

/// What a node says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sender {
    /// Its id, not 0; different on the two nodes.
    pub node: u64,
    /// Random at every start, not 0.
    pub incarnation: u64,
    /// Rises with every hello.
    pub sequence: u64,
    /// The incarnation of the other node that it hears, 0 for none: "I hear you".
    pub hears: u64,
    /// It has not lost its witnesses.
    pub witness: bool,
}

/// What a node says of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The instance, by [`super::name_hash`].
    pub name: u64,
    /// Where it stands.
    pub role: Role,
    /// Of who serves, the term of its claim; of others, the highest they know.
    pub term: u64,
    /// Its configured priority, not 0.
    pub priority: u8,
    /// What it has of the sessions.
    pub holding: Holding,
    /// It follows with a complete copy, and would take over at once.
    pub ready: bool,
    /// Nothing of its own keeps it from serving: no fault, no operator, no shutdown.
    pub eligible: bool,
    /// What it asks or answers.
    pub request: Request,
}

impl Entry {
    /// The claim of who serves.
    pub(super) const fn claim(&self, node: u64) -> Claim {
        Claim { term: self.term, priority: self.priority, node }
    }
}

/// A whole hello.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Who says it.
    pub sender: Sender,
    /// Of which instances.
    pub entries: ArrayVec<Entry, MAX_ENTRIES>,
}

impl Hello {
    /// Reads a hello, refusing whatever no sender writes.
    pub fn parse(body: &[u8]) -> Result<Self, Refusal> {
        let [version, flags, reserved, count] = bytes::read(body, 0).ok_or(Refusal::Truncated)?;
        if version != VERSION {
            return Err(Refusal::Version);
        }
        let count = usize::from(count);
        let length = HELLO_HEADER + count * HELLO_ENTRY;
        if body.len() < length {
            return Err(Refusal::Truncated);
        }
        if body.len() > length {
            return Err(Refusal::TrailingBytes);
        }
        if count == 0 || count > MAX_ENTRIES {
            return Err(Refusal::Instances);
        }
        if flags & !WITNESS != 0 || reserved != 0 {
            return Err(Refusal::Reserved);
        }
        let sender = Sender {
            node: number(body, 4)?,
            incarnation: number(body, 12)?,
            sequence: number(body, 20)?,
            hears: number(body, 28)?,
            witness: flags & WITNESS != 0,
        };
        if sender.node == 0 {
            return Err(Refusal::NodeZero);
        }
        if sender.incarnation == 0 {
            return Err(Refusal::IncarnationZero);
        }
        let mut entries = ArrayVec::<Entry, MAX_ENTRIES>::new();
        for at in (HELLO_HEADER..length).step_by(HELLO_ENTRY) {
            let entry = Entry::read(body, at)?;
            if entries.iter().any(|other| other.name == entry.name) {
                return Err(Refusal::Duplicate);
            }
            entries.push(entry);
        }
        Ok(Self { sender, entries })
    }

    /// Writes a hello and returns its length. `None` if `buffer` is too short ([`MAX_HELLO`] never is).
    pub fn emit(sender: &Sender, entries: &[Entry], buffer: &mut [u8]) -> Option<usize> {
        let length = HELLO_HEADER + entries.len() * HELLO_ENTRY;
        let body = buffer.get_mut(..length)?;
        let flags = if sender.witness { WITNESS } else { 0 };
        bytes::write(body, 0, [VERSION, flags, 0, u8::try_from(entries.len()).ok()?])?;
        for (at, word) in
            [(4, sender.node), (12, sender.incarnation), (20, sender.sequence), (28, sender.hears)]
        {
            bytes::write(body, at, word.to_be_bytes())?;
        }
        for (entry, at) in entries.iter().zip((HELLO_HEADER..).step_by(HELLO_ENTRY)) {
            entry.write(body, at)?;
        }
        Some(length)
    }
}

impl Entry {
    fn read(body: &[u8], at: usize) -> Result<Self, Refusal> {
        let [role, priority, flags, request] = bytes::read(body, at + 24).ok_or(Refusal::Truncated)?;
        let (term, request_term) = (number(body, at + 8)?, number(body, at + 16)?);
        let role = Role::from_value(role).ok_or(Refusal::Role)?;
        if priority == 0 {
            return Err(Refusal::Priority);
        }
        if flags & !(READY | ELIGIBLE | HOLDING) != 0 {
            return Err(Refusal::Reserved);
        }
        let holding = Holding::from_value(flags & HOLDING).ok_or(Refusal::Holding)?;
        let request = Request::read(request, request_term)?;
        if term > MAX_TERM {
            return Err(Refusal::Term);
        }
        Ok(Self {
            name: number(body, at)?,
            role,
            term,
            priority,
            holding,
            ready: flags & READY != 0,
            eligible: flags & ELIGIBLE != 0,
            request,
        })
    }

    fn write(&self, body: &mut [u8], at: usize) -> Option<()> {
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        let flags = flag(self.ready, READY) | flag(self.eligible, ELIGIBLE) | self.holding as u8;
        for (offset, word) in [(0, self.name), (8, self.term), (16, self.request.term())] {
            bytes::write(body, at + offset, word.to_be_bytes())?;
        }
        bytes::write(body, at + 24, [self.role as u8, self.priority, flags, self.request.value()])
    }
}

fn number(body: &[u8], at: usize) -> Result<u64, Refusal> {
    bytes::read(body, at).map(u64::from_be_bytes).ok_or(Refusal::Truncated)
}

#[cfg(test)]
mod tests;
