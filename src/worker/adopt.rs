//! Adoption: sessions that the peer owns are kept in this worker's table, ready to be gone on with.
//!
//! Records come in the order they happened. A synced session lies in the table like any other: its local port is
//! taken, its backend counts it, and when this node becomes the owner nothing has to be done. While the peer owns it,
//! it ends when the peer says so, or long after its timeout.
//!
//! A session whose service or backend this node does not know yet is kept all the same, unbound: its addresses say
//! where its packets go. Ageing binds it once the service appears.

use super::{
    core::{Context, Core, Sessions, Views},
    family::WorkerFamily,
};
use crate::{
    packet::{Tuple, agreed_hash},
    plane::{Counter, Local, Message, Packed, Slot},
    protocol::sync::{ALL_RANGES, Change, Digest, Mark, Record, SessionRecord, range_of},
    session::{Direction, Reference, Session, State, Table},
    types::{BackendId, InstanceId, Protocol, ServiceId},
};
use rtrb::Consumer;

/// Records taken in one turn.
const PER_TURN: usize = 32;
/// Entries swept in one turn.
const SWEPT: usize = 256;

/// A copy under way.
#[derive(Clone, Copy, Debug)]
struct Begun {
    generation: u8,
    ranges: u128,
    instances: u64,
}

/// Where the sweep is.
#[derive(Clone, Copy, Debug)]
enum Place {
    V4(usize),
    V6(usize),
}

/// The receiving end of the peer's records.
#[derive(Debug)]
pub(super) struct Adopter {
    ring: Consumer<Slot>,
    begun: Option<Begun>,
    sweep: Option<Place>,
    /// The copy that names sessions now.
    generation: u8,
    /// The instances of which a whole copy has come, a bit each: of what the peer owned when it made one.
    copied: u64,
    /// Ranges that differ from the peer's, by instance.
    wrong: Box<[u128]>,
    /// The stream that verdicts are on.
    stream: u8,
    reported: Verdict,
}

type Verdict = (u8, u64, u128);

impl Adopter {
    pub(super) fn new(ring: Consumer<Slot>, instances: u8) -> Self {
        Self {
            ring,
            begun: None,
            sweep: None,
            generation: 0,
            copied: 0,
            wrong: vec![0; usize::from(instances)].into_boxed_slice(),
            stream: 0,
            reported: (0, 0, 0),
        }
    }

    /// A new stream: what was compared before counts no more.
    fn reset(&mut self, stream: u8) {
        (self.begun, self.sweep, self.copied) = (None, None, 0);
        self.stream = stream;
        self.wrong.fill(0);
    }

    fn verdict(&self) -> Verdict {
        (self.stream, self.copied, self.wrong.iter().fold(0, |all, wrong| all | wrong))
    }
}

impl Core {
    /// Whether the peer has told something that is not carried out yet.
    #[inline]
    pub(super) fn has_records(&self) -> bool {
        self.adopter.as_ref().is_some_and(|adopter| adopter.sweep.is_some() || !adopter.ring.is_empty())
    }

    /// Takes some of the peer's records. Bounded work.
    pub(super) fn adopt(&mut self, views: &Views<'_>) {
        let Self { sessions, context, adopter, .. } = self;
        let Some(adopter) = adopter else { return };
        let mut adoption = Adoption { adopter, sessions, context, views };
        adoption.some();
    }
}

struct Adoption<'a> {
    adopter: &'a mut Adopter,
    sessions: &'a mut Sessions,
    context: &'a mut Context,
    views: &'a Views<'a>,
}

impl Adoption<'_> {
    fn some(&mut self) {
        for _ in 0..PER_TURN {
            // What follows the sweep says what must be left after it.
            if let Some(place) = self.adopter.sweep {
                self.sweep(place);
                break;
            }
            let Some(packed) = Packed::take(&mut self.adopter.ring) else { break };
            match packed.message() {
                Some(Message::Record(Record::V4(record))) => self.session(&record),
                Some(Message::Record(Record::V6(record))) => self.session(&record),
                Some(Message::Record(Record::Mark(mark))) => self.mark(mark),
                Some(Message::Local(Local::Walk { ranges })) => {
                    if let Some(journal) = &mut self.context.journal {
                        journal.dirty |= ranges;
                    }
                }
                Some(Message::Local(Local::Reset { stream })) => self.adopter.reset(stream),
                Some(Message::Local(Local::Verdict { .. })) | None => {}
            }
        }
        self.report();
    }

    fn report(&mut self) {
        let verdict = self.adopter.verdict();
        if verdict == self.adopter.reported {
            return;
        }
        let (stream, copied, wrong) = verdict;
        let journal = self.context.journal.as_mut();
        if journal.is_some_and(|journal| journal.report(Local::Verdict { stream, copied, wrong })) {
            self.adopter.reported = verdict;
        }
    }

    fn mark(&mut self, mark: Mark) {
        match mark {
            Mark::Begin { generation, ranges, instances, .. } => {
                self.adopter.begun = Some(Begun { generation, ranges, instances });
                self.adopter.generation = generation;
            }
            Mark::Sweep { generation, .. } => {
                if self.adopter.begun.is_some_and(|begun| begun.generation == generation) {
                    self.adopter.sweep = Some(Place::V4(0));
                }
            }
            Mark::Range { range, instance, digest, .. } => self.compare(range, instance, digest),
            Mark::End { generation, .. } => {
                let ended = self.adopter.begun.take_if(|begun| begun.generation == generation);
                if let Some(begun) = ended.filter(|begun| begun.ranges == ALL_RANGES) {
                    self.adopter.copied |= begun.instances;
                }
            }
            Mark::Term { .. } => {}
        }
    }

    /// A digest means something once there was a copy to compare: at the end of one, and ever after the first.
    fn compare(&mut self, range: u8, instance: InstanceId, digest: Digest) {
        let of_this_copy = self.adopter.begun.is_some_and(|begun| begun.ranges >> range & 1 == 1);
        let of_a_whole_copy = self.adopter.copied >> instance.0.min(63) & 1 == 1;
        let Some(journal) = &self.context.journal else { return };
        if !(of_a_whole_copy || of_this_copy) || journal.serves(instance) {
            return;
        }
        let differs = journal.digests.get(instance, range) != digest;
        if let Some(wrong) = self.adopter.wrong.get_mut(instance.index()) {
            *wrong = *wrong & !(1 << range) | u128::from(differs) << range;
        }
    }

    /// Removes some of what the copy did not name.
    fn sweep(&mut self, place: Place) {
        let Some(begun) = self.adopter.begun else {
            self.adopter.sweep = None;
            return;
        };
        self.adopter.sweep = match place {
            Place::V4(from) => {
                let next = sweep_table(&mut self.sessions.v4, self.context, begun, from);
                Some(next.map_or(Place::V6(0), Place::V4))
            }
            Place::V6(from) => sweep_table(&mut self.sessions.v6, self.context, begun, from).map(Place::V6),
        };
    }

    fn session<F: WorkerFamily>(&mut self, record: &SessionRecord<F>) {
        let table = F::table(self.sessions);
        let found =
            table.find(table.hash(&record.outbound, record.protocol), &record.outbound, record.protocol);
        match record.change {
            Change::Insert { inbound, state, idle_ms } => self.insert(record, found, inbound, state, idle_ms),
            Change::State(state) => self.with_untouched::<F>(record, found, |context, session| {
                set_state(context, session, state);
            }),
            Change::Touch => self.with_untouched::<F>(record, found, |_, _| {}),
            Change::Delete => {
                let mut gone = false;
                self.with_untouched::<F>(record, found, |_, _| gone = true);
                if let (true, Some(reference)) = (gone, found) {
                    remove(F::table_mut(self.sessions), self.context, reference);
                }
            }
        }
    }

    /// Does `what` to the session the peer speaks of, and counts it as seen now; unless this node owns it by now and
    /// has gone on with it.
    fn with_untouched<F: WorkerFamily>(
        &mut self,
        record: &SessionRecord<F>,
        found: Option<Reference>,
        what: impl FnOnce(&mut Context, &mut Session<F>),
    ) {
        let session = found.and_then(|reference| F::table_mut(self.sessions).get_mut(reference));
        let Some(session) = session.filter(|session| session.instance() == record.instance) else { return };
        if !self.context.has_gone_on_with(session) {
            what(self.context, session);
            session.last_seen_ms = self.context.now_ms;
        }
    }

    fn insert<F: WorkerFamily>(
        &mut self,
        record: &SessionRecord<F>,
        found: Option<Reference>,
        inbound: Tuple<F>,
        state: State,
        idle_ms: u32,
    ) {
        let SessionRecord { instance, protocol, outbound, .. } = *record;
        let state = standing(state, protocol);
        let last_seen_ms = self.context.now_ms.wrapping_sub(idle_ms);
        let generation = self.adopter.generation;
        let is_this = |session: &Session<F>| {
            session.arriving(Direction::Inbound) == inbound
                && session.arriving(Direction::Outbound) == outbound
                && session.instance() == instance
        };
        let table = F::table_mut(self.sessions);
        if let Some(session) = found.and_then(|reference| table.get_mut(reference)).filter(|s| is_this(s)) {
            if !self.context.has_gone_on_with(session) {
                set_state(self.context, session, state);
                session.last_seen_ms = last_seen_ms;
            }
            session.mark = generation;
            return;
        }
        let same_client = table.find(table.hash(&inbound, protocol), &inbound, protocol);
        let in_the_way = [found, same_client];
        if in_the_way.iter().flatten().count() > 0 && self.context.ownership.serves(instance) {
            // This node owns the instance by now: what it opened itself stays.
            self.context.tally.add(Counter::SyncRefused, 1);
            return;
        }
        for reference in in_the_way.into_iter().flatten() {
            remove(F::table_mut(self.sessions), self.context, reference);
        }
        let ids = (ServiceId(0), BackendId(0), instance);
        let mut session = Session::new(inbound, outbound, protocol, ids, last_seen_ms);
        session.state = state;
        session.mark = generation;
        session.unbind();
        self.context.bind(&mut session, self.views.services);
        self.context.learn_ways(&mut session, self.views.routes);
        match F::table_mut(self.sessions).insert(session) {
            Ok(_) => {
                self.context.tally.add(Counter::SessionsSynced, 1);
                if let Some(journal) = &mut self.context.journal {
                    journal.opened(&session, protocol, agreed_hash(&inbound, protocol));
                }
            }
            Err(_) => {
                self.context.backends.ended(session.backend());
                self.context.tally.add(Counter::SyncRefused, 1);
            }
        }
    }
}

/// A TCP session that the peer knows from the client only is kept as answered: if the peer is gone before it can tell
/// of the answer, the client's next segment still establishes it.
const fn standing(state: State, protocol: Protocol) -> State {
    match (state, protocol) {
        (State::Opening, Protocol::Tcp) => State::Answered,
        _ => state,
    }
}

fn set_state<F: WorkerFamily>(context: &mut Context, session: &mut Session<F>, state: State) {
    let before = session.state;
    session.state = state;
    if before != state
        && let Some(journal) = &mut context.journal
    {
        journal.moved(session, before);
    }
}

fn remove<F: WorkerFamily>(table: &mut Table<F>, context: &mut Context, reference: Reference) {
    if let Some(session) = table.get(reference) {
        context.ended(session);
        table.remove(reference);
    }
}

/// Removes some of a table's sessions that a copy did not name; gives the number to go on from.
fn sweep_table<F: WorkerFamily>(
    table: &mut Table<F>,
    context: &mut Context,
    begun: Begun,
    from: usize,
) -> Option<usize> {
    let (next, gone) = {
        let (sessions, next) = table.scan(from, SWEPT);
        let forgotten = sessions.filter(|session| {
            let in_range = Protocol::from_number(session.protocol()).is_some_and(|protocol| {
                begun.ranges >> range_of(&session.arriving(Direction::Outbound), protocol) & 1 == 1
            });
            session.mark != begun.generation
                && begun.instances >> session.instance().0 & 1 == 1
                && !context.ownership.serves(session.instance())
                && in_range
        });
        let gone = forgotten.map(|session| (session.arriving(Direction::Outbound), session.protocol()));
        (next, gone.collect::<arrayvec::ArrayVec<_, SWEPT>>())
    };
    for (outbound, protocol) in gone {
        let Some(protocol) = Protocol::from_number(protocol) else { continue };
        if let Some(reference) = table.find(table.hash(&outbound, protocol), &outbound, protocol) {
            remove(table, context, reference);
        }
    }
    next
}
