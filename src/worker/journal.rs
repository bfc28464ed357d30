//! The journal: what happens to this worker's sessions, told to the control core for the peer.
//!
//! Every session this node owns is told when it opens, when its phase changes and when it ends. The ring is never
//! waited for: what finds it full marks its range, and marked ranges are copied as soon as there is room (`copy`).
//! Beside the ring stand the digests of all sessions here, whoever opened them, to be compared with the peer's.

use super::copy::Copier;
use crate::{
    packet::{Family, Tuple},
    plane::{Local, Ownership, Packed, Slot, Stage},
    protocol::sync::{Change, Digests, Mark, Record, SessionRecord, Share, range_of},
    session::{Direction, Session, State},
    types::{Duty, InstanceId, Protocol, WorkerId},
};
use rtrb::Producer;
use std::sync::Arc;

/// Slots gathered before they are passed on: more than most bursts make.
const STAGED: usize = 256;

/// A worker's journal.
#[derive(Debug)]
pub(super) struct Journal {
    ring: Producer<Slot>,
    stage: Stage,
    /// Ranges of the sessions in `stage`.
    staged: u128,
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

fn share<F: Family>(session: &Session<F>) -> Option<(Share, Protocol)> {
    let protocol = Protocol::from_number(session.protocol())?;
    let ends = [Direction::Inbound, Direction::Outbound].map(|direction| session.arriving(direction));
    Some((Share::new(&ends[0], &ends[1], protocol), protocol))
}

impl Journal {
    pub(super) fn new(ring: Producer<Slot>, ownership: Arc<Ownership>, worker: WorkerId) -> Self {
        Self {
            capacity: ring.buffer().capacity(),
            ring,
            stage: Stage::new(STAGED),
            staged: 0,
            digests: Digests::new(ownership.count()),
            ownership,
            worker,
            dirty: 0,
            copier: Copier::default(),
            overruns: 0,
        }
    }

    /// A session is in the table, opened here or taken from the peer.
    pub(super) fn opened<F: Family>(&mut self, session: &Session<F>) {
        let Some((share, protocol)) = share(session) else { return };
        self.digests.add(session.instance(), share, session.state.phase());
        let change = Change::Insert {
            inbound: session.arriving(Direction::Inbound),
            state: session.state,
            idle_ms: 0,
        };
        self.tell(session, protocol, change, share.range());
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
        self.tell(session, protocol, Change::State(session.state), share.range());
        session.told();
    }

    /// A session leaves the table.
    pub(super) fn ended<F: Family>(&mut self, session: &Session<F>) {
        let Some((share, protocol)) = share(session) else { return };
        self.digests.remove(session.instance(), share, session.state.phase());
        self.tell(session, protocol, Change::Delete, share.range());
    }

    /// Tells that a session lives, if there is room: it is looked at again soon. Returns whether it was told.
    #[cold]
    pub(super) fn touch<F: Family>(&mut self, session: &Session<F>) -> bool {
        if !self.serves(session.instance()) || !self.has_room() {
            return false;
        }
        let Some(protocol) = Protocol::from_number(session.protocol()) else { return false };
        let range = range_of(&session.arriving(Direction::Outbound), protocol);
        self.add(&record(session, protocol, Change::Touch), range);
        true
    }

    #[inline]
    fn tell<F: Family>(&mut self, session: &Session<F>, protocol: Protocol, change: Change<F>, range: u8) {
        // Also while the instance is handed over: a session may have opened at the last moment.
        if self.ownership.duty(session.instance()) != Duty::Idle {
            self.add(&record(session, protocol, change), range);
        }
    }

    #[inline]
    fn add<F: Family>(&mut self, record: &SessionRecord<F>, range: u8) {
        if !self.stage.session(record) {
            self.flush();
            self.stage.session(record);
        }
        self.staged |= 1 << range;
    }

    /// Tells of a session for a copy; there is room.
    pub(super) fn copied<F: Family>(&mut self, session: &Session<F>, outbound: &Tuple<F>, now_ms: u32) {
        let Some(protocol) = Protocol::from_number(session.protocol()) else { return };
        let change = Change::Insert {
            inbound: session.arriving(Direction::Inbound),
            state: session.state,
            idle_ms: session.idle_ms(now_ms),
        };
        self.add(&record(session, protocol, change), range_of(outbound, protocol));
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
        if !self.stage.packed(packed) {
            self.flush();
            self.stage.packed(packed);
        }
    }

    /// Passes on what was gathered. Before packets leave, so that a record is under way before its packet is.
    #[inline]
    pub(super) fn flush(&mut self) {
        if self.stage.used() == 0 {
            return;
        }
        if let Err(records) = self.stage.flush(&mut self.ring) {
            self.dirty |= self.staged;
            self.overruns += records;
        }
        self.staged = 0;
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

fn record<F: Family>(session: &Session<F>, protocol: Protocol, change: Change<F>) -> SessionRecord<F> {
    SessionRecord {
        instance: session.instance(),
        protocol,
        outbound: session.arriving(Direction::Outbound),
        change,
    }
}
