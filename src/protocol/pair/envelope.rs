//! The envelope: what is checked before anybody looks at a body.

use super::{
    fingerprint::{Difference, Fingerprint},
    key::{Key, TAG_LENGTH},
    refusal::{Refusal, Refusals},
    window::Window,
};
use crate::packet::bytes;
use arrayvec::ArrayVec;

/// Bytes before the body.
pub const HEADER_LENGTH: usize = 56;
/// Bytes that an envelope adds to a body, at most.
pub const MAX_OVERHEAD: usize = HEADER_LENGTH + TAG_LENGTH;

const MAGIC: [u8; 4] = *b"HTLS";
const VERSION: u8 = 1;
/// Flag: a tag follows the body.
const TAGGED: u8 = 1;

/// Incarnations that a peer has left behind and that are remembered. A restart a minute fills them in half an hour.
const RETIRED: usize = 32;

/// What a message is about. The value is the one on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// The election's: who is what, in which term.
    Hello = 1,
    /// A frame of the session stream.
    SyncData = 2,
    /// Its acknowledgement.
    SyncAck = 3,
}

impl Kind {
    const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Hello),
            2 => Some(Self::SyncData),
            3 => Some(Self::SyncAck),
            _ => None,
        }
    }

    /// Whether both nodes must have the same configuration for it.
    const fn needs_equal_configuration(self) -> bool {
        matches!(self, Self::SyncData | Self::SyncAck)
    }
}

/// Who this node is.
#[derive(Clone, Copy, Debug)]
pub struct PairSettings {
    /// The node's id: the same after a restart, another than the peer's.
    pub node: u64,
    /// Drawn anew at every start; not 0.
    pub incarnation: u64,
    /// What must be equal on both nodes to share sessions.
    pub fingerprint: Fingerprint,
    /// Authenticates every message.
    pub key: Option<Key>,
}

/// A message that passed every check of its envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened<'a> {
    /// What it is about.
    pub kind: Kind,
    /// The sender's node id.
    pub node: u64,
    /// The sender's incarnation.
    pub incarnation: u64,
    /// The peer is new to us, or has restarted: nothing from before holds.
    pub is_new: bool,
    /// Its body.
    pub body: &'a [u8],
}

#[derive(Clone, Copy, Debug)]
struct Peer {
    incarnation: u64,
    window: Window,
    fingerprint: Fingerprint,
}

/// One node's side of the conversation. Control thread only; allocates nothing.
#[derive(Debug)]
pub struct Pair {
    settings: PairSettings,
    sequence: u64,
    peer: Option<Peer>,
    /// Somebody who does not know us yet, or a recording: told once who we are.
    caller: Option<u64>,
    answered_caller: bool,
    retired: ArrayVec<u64, RETIRED>,
    oldest_retired: usize,
    refusals: Refusals,
}

#[derive(Clone, Copy)]
struct Header {
    kind: u8,
    flags: u8,
    node: u64,
    from: u64,
    to: u64,
    sequence: u64,
    fingerprint: Fingerprint,
}

impl Header {
    fn emit(&self) -> [u8; HEADER_LENGTH] {
        let mut out = [0; HEADER_LENGTH];
        out[..4].copy_from_slice(&MAGIC);
        out[4..8].copy_from_slice(&[VERSION, self.kind, self.flags, 0]);
        for (field, word) in
            out[8..40].as_chunks_mut::<8>().0.iter_mut().zip([self.node, self.from, self.to, self.sequence])
        {
            *field = word.to_be_bytes();
        }
        out[40..].copy_from_slice(&self.fingerprint.emit());
        out
    }

    fn parse(message: &[u8]) -> Result<Self, Refusal> {
        let head: &[u8; HEADER_LENGTH] = message.first_chunk().ok_or(Refusal::Malformed)?;
        let [m0, m1, m2, m3, version, kind, flags, reserved, ..] = *head;
        if [m0, m1, m2, m3] != MAGIC {
            return Err(Refusal::Malformed);
        }
        if version != VERSION {
            return Err(Refusal::WrongVersion);
        }
        if reserved != 0 || flags & !TAGGED != 0 {
            return Err(Refusal::Malformed);
        }
        let word = |at| bytes::read(head, at).map(u64::from_be_bytes).ok_or(Refusal::Malformed);
        let fingerprint = bytes::read(head, 40).map(Fingerprint::parse).ok_or(Refusal::Malformed)?;
        Ok(Self {
            kind,
            flags,
            node: word(8)?,
            from: word(16)?,
            to: word(24)?,
            sequence: word(32)?,
            fingerprint,
        })
    }
}

impl Pair {
    /// A node that has heard nobody.
    pub fn new(settings: PairSettings) -> Self {
        Self {
            settings: PairSettings { incarnation: settings.incarnation.max(1), ..settings },
            sequence: 0,
            peer: None,
            caller: None,
            answered_caller: false,
            retired: ArrayVec::new(),
            oldest_retired: 0,
            refusals: Refusals::default(),
        }
    }

    /// Who this node is.
    pub const fn settings(&self) -> &PairSettings {
        &self.settings
    }

    /// The peer's incarnation, once it is known.
    pub fn peer(&self) -> Option<u64> {
        self.peer.map(|peer| peer.incarnation)
    }

    /// What keeps this pair from sharing sessions, as far as the peer is known.
    pub fn difference(&self) -> Option<Difference> {
        self.settings.fingerprint.difference(&self.peer?.fingerprint)
    }

    /// The messages refused.
    pub const fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    /// Counts a message that was refused outside: its source address, its body.
    pub const fn refuse(&mut self, reason: Refusal) {
        self.refusals.add(reason);
    }

    /// Bytes that the envelope adds to a body.
    pub const fn overhead(&self) -> usize {
        HEADER_LENGTH + if self.settings.key.is_some() { TAG_LENGTH } else { 0 }
    }

    /// Writes a message into `out`: `body` writes its body and returns the length, or `None` to send nothing. Returns
    /// the length of the whole; `None` also when `out` is too short.
    pub fn seal(
        &mut self,
        kind: Kind,
        out: &mut [u8],
        body: impl FnOnce(&mut [u8]) -> Option<usize>,
    ) -> Option<usize> {
        let room = out.len().checked_sub(self.overhead())?;
        let length = body(&mut out[HEADER_LENGTH..HEADER_LENGTH + room]).filter(|length| *length <= room)?;
        let end = HEADER_LENGTH + length;
        self.sequence += 1;
        let header = Header {
            kind: kind as u8,
            flags: if self.settings.key.is_some() { TAGGED } else { 0 },
            node: self.settings.node,
            from: self.settings.incarnation,
            to: self.addressee(kind),
            sequence: self.sequence,
            fingerprint: self.settings.fingerprint,
        };
        out[..HEADER_LENGTH].copy_from_slice(&header.emit());
        let Some(key) = &self.settings.key else { return Some(end) };
        let tag = key.tag(&out[..end]);
        out[end..end + TAG_LENGTH].copy_from_slice(&tag);
        Some(end + TAG_LENGTH)
    }

    /// A caller is answered by one message, not by two in a row, so that a recording costs the peer no more than
    /// every second message that is not data.
    fn addressee(&mut self, kind: Kind) -> u64 {
        let peer = self.peer().unwrap_or(0);
        if kind == Kind::SyncData {
            return peer;
        }
        match self.caller.take_if(|_| !self.answered_caller) {
            Some(caller) => {
                self.answered_caller = true;
                caller
            }
            None => {
                self.answered_caller = false;
                peer
            }
        }
    }

    /// Opens a message. The source address is the caller's to check.
    ///
    /// # Errors
    ///
    /// The first check that fails, in the order of [`Refusal`]. It has been counted, and nothing else has changed but
    /// that somebody who does not know us yet will be told who we are.
    pub fn open<'a>(&mut self, message: &'a [u8]) -> Result<Opened<'a>, Refusal> {
        self.check(message).inspect_err(|reason| self.refusals.add(*reason))
    }

    fn check<'a>(&mut self, message: &'a [u8]) -> Result<Opened<'a>, Refusal> {
        let header = Header::parse(message)?;
        let signed = match (&self.settings.key, header.flags & TAGGED != 0) {
            (None, false) => message,
            (Some(key), true) => key.verified(message).ok_or(Refusal::WrongKey)?,
            _ => return Err(Refusal::WrongKey),
        };
        let body = signed.get(HEADER_LENGTH..).ok_or(Refusal::Malformed)?;
        let kind = Kind::from_number(header.kind).ok_or(Refusal::UnknownKind)?;
        if header.node == self.settings.node {
            return Err(Refusal::OwnMessage);
        }
        let known = self.peer.filter(|peer| peer.incarnation == header.from);
        let is_old = known.is_some_and(|peer| !peer.window.admits(header.sequence))
            || self.retired.contains(&header.from)
            || header.from == 0
            || header.sequence == 0;
        if is_old {
            return Err(Refusal::Replayed);
        }
        if header.to != self.settings.incarnation {
            self.caller = Some(header.from);
            return Err(Refusal::Unacquainted);
        }
        let mut peer = known.unwrap_or(Peer {
            incarnation: header.from,
            window: Window::default(),
            fingerprint: header.fingerprint,
        });
        peer.window.note(header.sequence);
        peer.fingerprint = header.fingerprint;
        if let Some(left) = self.peer.replace(peer).filter(|left| left.incarnation != header.from) {
            self.retire(left.incarnation);
        }
        if kind.needs_equal_configuration()
            && self.settings.fingerprint.difference(&header.fingerprint).is_some()
        {
            return Err(Refusal::OtherConfiguration);
        }
        Ok(Opened { kind, node: header.node, incarnation: header.from, is_new: known.is_none(), body })
    }

    fn retire(&mut self, incarnation: u64) {
        if self.retired.try_push(incarnation).is_err() {
            self.retired[self.oldest_retired] = incarnation;
            self.oldest_retired = (self.oldest_retired + 1) % RETIRED;
        }
    }
}

#[cfg(test)]
mod tests;
