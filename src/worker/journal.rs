//! The journal: what happens to this worker's sessions, told to the control core for the peer.
//!
//! Every session this node owns is told when it opens, when its phase changes and when it ends. The ring is never
//! waited for: what finds it full marks its range, and marked ranges are copied as soon as there is room (`copy`).
//! Beside the ring stand the digests of all sessions here, whoever opened them, to be compared with the peer's.

use super::copy::Copier;
use crate::{
    packet::{Family, agreed_hash},
    plane::{Local, Ownership, Packed, Slot, Stage},
    protocol::sync::{Change, Digests, Mark, Record, SessionRecord, Share, range_of},
    session::{Direction, Session, State},
    types::{Duty, InstanceId, Protocol, WorkerId},
};
use rtrb::Producer;
use std::sync::Arc;

/// A worker's journal.
#[derive(Debug)]
pub(super) struct Journal {
    ring: Producer<Slot>,
    stage: Stage,
    capacity: usize,
    ownership: Arc<Ownership>,
    pub(super) worker: WorkerId,
    pub(super) digests: Digests,
    /// Ranges of which the peer does not know everything.
    pub(super) dirty: u128,
    pub(super) copier: Copier,
    /// Records that found the ring full.
    overruns: u64,
}

#[inline(always)]
fn share<F: Family>(session: &Session<F>) -> Option<(Share, Protocol)> {
    let protocol = Protocol::from_number(session.protocol())?;
    let hash = |direction| agreed_hash(&session.arriving(direction), protocol);
    Some((Share::new(hash(Direction::Inbound), hash(Direction::Outbound)), protocol))
}

impl Journal {
    pub(super) fn new(ring: Producer<Slot>, ownership: Arc<Ownership>, worker: WorkerId) -> Self {
        Self {
            capacity: ring.buffer().capacity(),
            ring,
            stage: Stage::default(),
            digests: Digests::new(ownership.count()),
            ownership,
            worker,
            dirty: 0,
            copier: Copier::default(),
            overruns: 0,
        }
    }

    /// A session is in the table, opened here or taken from the peer; `inbound` is the agreed hash of its client's tuple.
    pub(super) fn opened<F: Family>(&mut self, session: &Session<F>, protocol: Protocol, inbound: u64) {
        let outbound = agreed_hash(&session.arriving(Direction::Outbound), protocol);
        self.digests.add(session.instance(), Share::new(inbound, outbound), session.state.phase());
        let change = Change::Insert {
            inbound: session.arriving(Direction::Inbound),
            state: session.state,
            idle_ms: 0,
        };
        self.tell(session, protocol, change);
    }

    /// A session's state was `before`.
    #[cold]
    pub(super) fn moved<F: Family>(&mut self, session: &mut Session<F>, before: State) {
        let (from, to) = (before.phase(), session.state.phase());
        if from == to {
            return;
        }
        let Some((share, protocol)) = share(session) else { return };
        self.digests.change(session.instance(), share, from, to);
        self.tell(session, protocol, Change::State(session.state));
        session.told();
    }

    /// A session leaves the table.
    pub(super) fn ended<F: Family>(&mut self, session: &Session<F>) {
        let Some((share, protocol)) = share(session) else { return };
        self.digests.remove(session.instance(), share, session.state.phase());
        self.tell(session, protocol, Change::Delete);
    }

    /// Tells that a session lives, if there is room: it is looked at again soon. Returns whether it was told.
    #[cold]
    pub(super) fn touch<F: Family>(&mut self, session: &Session<F>) -> bool {
        if !self.serves(session.instance()) || !self.has_room() {
            return false;
        }
        let Some(protocol) = Protocol::from_number(session.protocol()) else { return false };
        self.add(&record(session, protocol, Change::Touch));
        true
    }

    #[inline(always)]
    fn tell<F: Family>(&mut self, session: &Session<F>, protocol: Protocol, change: Change<F>) {
        // Also while the instance is handed over: a session may have opened at the last moment.
        if self.ownership.duty(session.instance()) != Duty::Idle {
            self.add(&record(session, protocol, change));
        }
    }

    #[inline(always)]
    fn add<F: Family>(&mut self, record: &SessionRecord<F>) {
        self.stage.session(record);
        if self.stage.is_full() {
            self.flush();
        }
    }

    /// Tells of a session for a copy; there is room.
    pub(super) fn copied<F: Family>(&mut self, session: &Session<F>, now_ms: u32) {
        let Some(protocol) = Protocol::from_number(session.protocol()) else { return };
        let change = Change::Insert {
            inbound: session.arriving(Direction::Inbound),
            state: session.state,
            idle_ms: session.idle_ms(now_ms),
        };
        self.add(&record(session, protocol, change));
    }

    /// Sets a mark; there is room.
    pub(super) fn mark(&mut self, mark: Mark) {
        self.pack(&Packed::record(&Record::Mark(mark)));
    }

    /// Tells the control core, and nobody else, if there is room.
    pub(super) fn report(&mut self, local: Local) -> bool {
        let room = self.has_room();
        if room {
            self.pack(&Packed::local(local));
        }
        room
    }

    fn pack(&mut self, packed: &Packed) {
        self.stage.packed(packed);
        if self.stage.is_full() {
            self.flush();
        }
    }

    /// Passes on what was gathered. Before packets leave, so that a record is under way before its packet is.
    #[inline]
    pub(super) fn flush(&mut self) {
        if self.stage.used() == 0 {
            return;
        }
        if !self.stage.flush(&mut self.ring) {
            self.overrun();
        }
        self.stage.clear();
    }

    /// What was gathered found no room: its sessions are copied later.
    #[cold]
    fn overrun(&mut self) {
        for record in self.stage.records() {
            self.overruns += 1;
            self.dirty |= match record {
                Record::V4(record) => 1 << range_of(&record.outbound, record.protocol),
                Record::V6(record) => 1 << range_of(&record.outbound, record.protocol),
                Record::Mark(_) => 0,
            };
        }
    }

    /// Whether what can wait may go into the ring: what cannot finds at least half of it free.
    pub(super) fn has_room(&self) -> bool {
        self.ring.slots() >= self.capacity / 2
    }

    #[inline]
    pub(super) fn serves(&self, instance: InstanceId) -> bool {
        self.ownership.serves(instance)
    }

    /// The instances this node owns, a bit each.
    pub(super) fn owned(&self) -> u64 {
        let bit = |instance: u8| u64::from(self.serves(InstanceId(instance))) << instance;
        (0..self.ownership.count().min(64)).fold(0, |bits, instance| bits | bit(instance))
    }

    /// Records that found the ring full since the last call.
    pub(super) const fn take_overruns(&mut self) -> u64 {
        std::mem::replace(&mut self.overruns, 0)
    }
}

#[inline(always)]
fn record<F: Family>(session: &Session<F>, protocol: Protocol, change: Change<F>) -> SessionRecord<F> {
    SessionRecord {
        instance: session.instance(),
        protocol,
        outbound: session.arriving(Direction::Outbound),
        change,
    }
}
