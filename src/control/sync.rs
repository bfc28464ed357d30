//! Session sync on the control core: from the workers' journals into the stream to the peer, and from the peer's
//! stream to the workers. Bounded work a turn.

use super::{
    Io, PeerLink,
    sync_view::{SyncGauge, SyncView},
};
use crate::{
    packet::{Family, Tuple},
    plane::{HaState, Local, Message, Ownership, Packed, Slot, Subject},
    port::Port,
    protocol::{
        pair::{Kind, Opened},
        sync::{
            ALL_RANGES, Ack, Heard, MAX_ACK, MAX_INSTANCES, Malformed, Mark, Receiver, Record, Repair,
            Sender, SenderSettings, Unwanted,
        },
    },
    types::{Duration, Duty, InstanceId, Instant, Protocol, WorkerId},
};
use rtrb::{Consumer, Producer};
use std::sync::Arc;

/// Records taken from one journal, and given to workers, in one turn.
const RECORDS: usize = 256;
/// Frames sent in one turn.
const FRAMES: usize = 8;
/// How often roles are looked at and numbers published.
const HOUSEKEEPING: Duration = Duration::from_millis(1);
/// A worker's ranges are copied again for the peer at most so often.
const REPAIR: Duration = Duration::from_millis(200);

/// What session sync is made from.
#[derive(Debug)]
pub struct SyncSettings {
    /// From each worker: what happens to its sessions.
    pub journals: Vec<Consumer<Slot>>,
    /// To each worker: what the peer tells of its sessions.
    pub records: Vec<Producer<Slot>>,
    /// Room for the body of a message; see [`super::body_room`].
    pub body_room: usize,
    /// A number that nobody guesses: the name of the first stream.
    pub stream: u64,
}

/// A place in the stream; see [`SyncCore::mark_barrier`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Barrier {
    /// Journals still hold records from before.
    Draining,
    /// All are in frames of this stream up to this one.
    At { streams: u64, position: u64 },
}

#[derive(Debug)]
struct Line {
    journal: Consumer<Slot>,
    records: Producer<Slot>,
    /// Taken from the journal when all frames were in use.
    stuck: Option<Packed>,
    /// Slots of the journal that were there when a barrier was set.
    before_barrier: usize,
    /// Ranges to be copied for the peer; the worker has not been told yet.
    walk: u128,
    walked: Option<Instant>,
    /// The worker must hear that a new stream begins.
    reset: bool,
    /// Something was refused of the copy that comes: it must neither remove sessions nor count.
    torn: bool,
    /// The instances of which a whole copy has come to the worker, a bit each.
    copied: u64,
    wrong: u128,
}

impl Line {
    /// Whether the worker is to have a record of the peer's. Of a copy some of which was refused, the sweep would remove
    /// what was not refused before, and the end would tell that all is here.
    const fn is_wanted(&mut self, record: &Record, admitted: bool) -> bool {
        match record {
            Record::Mark(Mark::Begin { .. }) => self.torn = false,
            Record::Mark(Mark::Sweep { .. } | Mark::End { .. }) => return admitted && !self.torn,
            _ => self.torn |= !admitted,
        }
        admitted
    }
}

/// Session sync. Control thread only; allocates nothing after [`SyncCore::new`].
#[derive(Debug)]
pub struct SyncCore {
    sender: Sender,
    receiver: Receiver,
    lines: Vec<Line>,
    ownership: Arc<Ownership>,
    /// Counts the streams received, for workers.
    stream: u8,
    /// Instances owned at the last look, a bit each, and the terms they had.
    owned: u64,
    terms: [u64; MAX_INSTANCES],
    /// Instances that the peer has handed to this node, a bit each.
    inherits: u64,
    /// The term of each instance when the peer's stream was asked for. The owner may raise its term while it goes on,
    /// and a hello that says so overtakes records under the one before.
    since_terms: [u64; MAX_INSTANCES],
    barrier: Option<Barrier>,
    housekeeping: Instant,
    body_room: usize,
    view: Arc<SyncView>,
    old_term: u64,
    own_instance: u64,
    repairs: u64,
}

impl SyncCore {
    /// Knows nobody yet.
    pub fn new(settings: SyncSettings, ownership: Arc<Ownership>) -> Self {
        let line = |(journal, records)| Line {
            journal,
            records,
            stuck: None,
            before_barrier: 0,
            walk: 0,
            walked: None,
            reset: false,
            torn: false,
            copied: 0,
            wrong: 0,
        };
        let sender = SenderSettings { frame_bytes: settings.body_room, ..SenderSettings::default() };
        Self {
            sender: Sender::new(sender),
            receiver: Receiver::new(settings.stream),
            lines: settings.journals.into_iter().zip(settings.records).map(line).collect(),
            ownership,
            stream: 0,
            owned: 0,
            terms: [0; MAX_INSTANCES],
            inherits: 0,
            since_terms: [0; MAX_INSTANCES],
            barrier: None,
            housekeeping: Instant::ZERO,
            body_room: settings.body_room,
            view: Arc::default(),
            old_term: 0,
            own_instance: 0,
            repairs: 0,
        }
    }

    /// What others see.
    pub fn view(&self) -> Arc<SyncView> {
        Arc::clone(&self.view)
    }

    /// Whether this node holds every session of the instances that it does not serve itself, and is told of them: what
    /// [`Self::holds`] says of each. An instance that nobody has served yet is not held.
    pub fn in_sync(&self) -> bool {
        let mine = self.owned_now();
        self.is_told() && (0..self.instances()).all(|id| mine >> id & 1 == 1 || self.has_copy(InstanceId(id)))
    }

    /// Whether this node holds every session that the peer has of an instance: a whole copy has come that the peer made
    /// while it served the instance, and nothing is known to differ. It stays so when the peer falls silent, because
    /// nothing can have changed since.
    pub fn holds(&self, instance: InstanceId) -> bool {
        self.is_told() && self.has_copy(instance)
    }

    /// Whether the peer's stream is followed, and no new one wanted.
    fn is_told(&self) -> bool {
        self.receiver.is_following()
            && self.owned & !self.owned_now() == 0
            && self.lines.iter().all(|line| !line.reset)
    }

    fn has_copy(&self, instance: InstanceId) -> bool {
        self.lines.iter().all(|line| line.copied >> instance.0.min(63) & 1 == 1 && line.wrong == 0)
    }

    /// Whether the peer takes this node's stream.
    pub const fn is_streaming(&self) -> bool {
        self.sender.is_streaming()
    }

    /// Records the peer has not acknowledged, those in journals included, and the age of the oldest in a frame.
    pub fn lag(&self, now: Instant) -> (u64, Duration) {
        let waiting: usize = self.lines.iter().map(|line| line.journal.slots()).sum();
        (self.sender.lag_records() + waiting as u64, self.sender.lag(now))
    }

    /// Sets a barrier: [`Self::is_past_barrier`] says when the peer has acknowledged everything that workers told
    /// before this moment. For a planned switchover.
    pub fn mark_barrier(&mut self) {
        for line in &mut self.lines {
            line.before_barrier = line.journal.slots();
        }
        self.barrier = Some(Barrier::Draining);
    }

    /// Whether everything before the barrier is acknowledged; false without a barrier, and without a stream.
    pub fn is_past_barrier(&self) -> bool {
        matches!(self.barrier, Some(Barrier::At { streams, position })
            if streams == self.sender.counters().streams && self.sender.is_acknowledged(position))
    }

    /// Whether the peer has handed the instance to this node, rather than lost it: then what it still tells of it is
    /// true.
    pub fn inherit(&mut self, instance: InstanceId, inherits: bool) {
        let bit = 1 << instance.0.min(63);
        self.inherits = self.inherits & !bit | if inherits { bit } else { 0 };
    }

    /// The peer has started: what was said to its last start has nothing to do with this one.
    pub fn greet(&mut self) {
        self.sender.end();
        self.resubscribe();
    }

    /// Takes a message of the stream, in either direction.
    ///
    /// # Errors
    ///
    /// Its body is not what its kind says.
    pub fn hear(&mut self, message: &Opened<'_>, now: Instant) -> Result<(), Malformed> {
        match message.kind {
            Kind::Hello => {}
            Kind::SyncData => match self.receiver.hear(message.body, now) {
                Ok(true) => self.reset_workers(),
                Err(Unwanted::Malformed(error)) => return Err(error),
                Ok(false) | Err(_) => {}
            },
            Kind::SyncAck => self.hear_ack(&Ack::parse(message.body)?, now),
        }
        Ok(())
    }

    fn hear_ack(&mut self, ack: &Ack, now: Instant) {
        if self.sender.hear(ack, now) == Heard::Started {
            return self.copy_all(now);
        }
        for repair in &ack.repairs {
            let Some(line) = self.lines.get_mut(repair.worker.index()) else { continue };
            if line.walked.is_none_or(|walked| now.since(walked) >= REPAIR) {
                line.walk |= repair.ranges;
                line.walked = Some(now);
                self.repairs += 1;
            }
        }
    }

    /// The peer gets a copy of everything.
    fn copy_all(&mut self, now: Instant) {
        for line in &mut self.lines {
            (line.walk, line.walked) = (ALL_RANGES, Some(now));
        }
    }

    /// Wants everything from the beginning: the peer is another, or owns what this node owned.
    fn resubscribe(&mut self) {
        self.receiver.restart();
        for (instance, term) in (0..self.ownership.count()).zip(&mut self.since_terms) {
            *term = self.ownership.get(InstanceId(instance)).1;
        }
        self.reset_workers();
    }

    fn reset_workers(&mut self) {
        self.stream = self.stream.wrapping_add(1);
        for line in &mut self.lines {
            (line.reset, line.copied, line.wrong) = (true, 0, 0);
        }
    }

    /// One turn. Returns whether there was anything to do.
    pub fn turn<P: Port>(&mut self, now: Instant, link: &mut PeerLink, io: &mut Io<'_, P>) -> bool {
        if now.since(self.housekeeping) >= HOUSEKEEPING {
            self.housekeeping = now;
            self.watch_roles(now);
            self.publish(now);
        }
        let mut found = self.drain(now);
        self.instruct();
        found |= self.dispatch(io);
        self.transmit(now, link, io) || found
    }

    /// Whoever gives an instance up takes its sessions from the new owner, all of them. What the peer was copied before
    /// this node served an instance had nothing of that; of what it was copied in an earlier term it may have refused
    /// some.
    fn watch_roles(&mut self, now: Instant) {
        let owned = self.owned_now();
        if self.owned & !owned != 0 {
            self.resubscribe();
        }
        let mut changed = false;
        for (instance, known) in (0..self.ownership.count()).zip(&mut self.terms) {
            let term = self.ownership.get(InstanceId(instance)).1;
            changed |= owned >> instance & 1 == 1 && *known != term;
            *known = term;
        }
        if (changed || owned & !self.owned != 0) && self.is_streaming() {
            self.copy_all(now);
        }
        self.owned = owned;
    }

    fn instances(&self) -> u8 {
        self.ownership.count().min(MAX_INSTANCES as u8)
    }

    /// The instances this node owns, a bit each.
    fn owned_now(&self) -> u64 {
        (0..self.instances()).fold(0, |bits, instance| {
            bits | u64::from(self.ownership.serves(InstanceId(instance))) << instance
        })
    }

    /// From the journals into frames.
    fn drain(&mut self, now: Instant) -> bool {
        let mut found = false;
        for number in 0..self.lines.len() {
            for _ in 0..RECORDS {
                let line = &mut self.lines[number];
                let Some(packed) = line.stuck.take().or_else(|| Packed::take(&mut line.journal)) else {
                    break;
                };
                found = true;
                if !self.forward(number, packed, now) {
                    break;
                }
            }
        }
        if self.barrier == Some(Barrier::Draining)
            && self.lines.iter().all(|line| line.before_barrier == 0 && line.stuck.is_none())
        {
            let (streams, position) = (self.sender.counters().streams, self.sender.position());
            self.barrier = Some(Barrier::At { streams, position });
        }
        found
    }

    /// Returns false when all frames are in use.
    fn forward(&mut self, number: usize, packed: Packed, now: Instant) -> bool {
        let owner = match packed.subject() {
            Subject::Local => {
                self.heed(number, &packed);
                self.count_off(number, &packed);
                return true;
            }
            Subject::Several => None,
            Subject::Instance(instance) => {
                match (self.ownership.duty(instance), self.ownership.get(instance).1) {
                    // While the instance is being handed over, the term is its new owner's.
                    (Duty::Serving | Duty::Draining, term) => Some((instance, term)),
                    // Told while this node owned the instance: the new owner knows better.
                    (Duty::Idle, _) => {
                        self.count_off(number, &packed);
                        return true;
                    }
                }
            }
        };
        if self.sender.push(packed.bytes(), owner, now).is_err() {
            self.lines[number].stuck = Some(packed);
            return false;
        }
        self.count_off(number, &packed);
        true
    }

    fn count_off(&mut self, number: usize, packed: &Packed) {
        let before = &mut self.lines[number].before_barrier;
        *before = before.saturating_sub(packed.slots().len());
    }

    fn heed(&mut self, number: usize, packed: &Packed) {
        if let Some(Message::Local(Local::Verdict { stream, copied, wrong })) = packed.message()
            && stream == self.stream
        {
            let line = &mut self.lines[number];
            (line.copied, line.wrong) = (copied, wrong);
        }
    }

    /// Tells workers what they must do.
    fn instruct(&mut self) {
        let stream = self.stream;
        for line in &mut self.lines {
            if line.reset {
                let word = Packed::local(Local::Reset { stream });
                line.reset = line.records.push_entire_slice(word.slots()).is_err();
            }
            if line.walk != 0 {
                let word = Packed::local(Local::Walk { ranges: line.walk });
                if line.records.push_entire_slice(word.slots()).is_ok() {
                    line.walk = 0;
                }
            }
        }
    }

    /// From the peer's frames to the workers, in order; stops where a worker has no room.
    fn dispatch<P: Port>(&mut self, io: &Io<'_, P>) -> bool {
        if self.lines.iter().any(|line| line.reset) {
            return false;
        }
        let mut found = false;
        for _ in 0..RECORDS {
            let Some((record, term)) = self.receiver.peek() else { break };
            found = true;
            let worker = match &record {
                Record::V4(session) => owner(&session.outbound, session.protocol, io),
                Record::V6(session) => owner(&session.outbound, session.protocol, io),
                Record::Mark(mark) => worker_of(mark),
            };
            let admitted = self.admits(&record, term);
            if let Some(line) = self.lines.get_mut(worker.index())
                && line.is_wanted(&record, admitted)
                && line.records.push_entire_slice(Packed::record(&record).slots()).is_err()
            {
                break;
            }
            self.receiver.advance();
        }
        found
    }

    /// Nobody tells this node of what it owns, nor of a term that was over before; but for sessions that opened at the last
    /// moment on a node that has handed the instance over: under its own term, or already under this one's. Where
    /// they meet a session of this node's, that stays.
    fn admits(&mut self, record: &Record, term: Option<u64>) -> bool {
        let Some(instance) = record.instance() else { return true };
        let (state, known) = self.ownership.get(instance);
        if state == HaState::Master {
            let late = self.inherits >> instance.0.min(63) & 1 == 1
                && record.is_insert()
                && term.is_some_and(|term| term + 1 >= known);
            self.own_instance += u64::from(!late);
            return late;
        }
        let since = self.since_terms.get(instance.index()).copied().unwrap_or(u64::MAX);
        let current = term.is_some_and(|term| term >= since) && instance.0 < self.ownership.count();
        self.old_term += u64::from(!current);
        current
    }

    fn transmit<P: Port>(&mut self, now: Instant, link: &mut PeerLink, io: &mut Io<'_, P>) -> bool {
        let mut sent = false;
        let Self { sender, receiver, lines, body_room, .. } = self;
        for _ in 0..FRAMES {
            if sender.deadline().is_none_or(|deadline| deadline > now) {
                break;
            }
            if !link.send(Kind::SyncData, *body_room, io, now, |out| sender.transmit(now, out)) {
                break;
            }
            sent = true;
        }
        if receiver.deadline() <= now {
            let wishes = (0..).map(WorkerId).zip(lines.iter()).filter(|(_, line)| line.wrong != 0);
            let repairs = wishes.map(|(worker, line)| Repair { worker, ranges: line.wrong });
            sent |= link.send(Kind::SyncAck, MAX_ACK, io, now, |out| receiver.ack(now, repairs)?.emit(out));
        }
        sent
    }

    fn publish(&self, now: Instant) {
        use SyncGauge as G;
        let (sent, received) = (self.sender.counters(), self.receiver.counters());
        let (lag_records, lag) = self.lag(now);
        let wrong: u32 = self.lines.iter().map(|line| line.wrong.count_ones()).sum();
        for (gauge, value) in [
            (G::InSync, u64::from(self.in_sync())),
            (G::Streaming, u64::from(self.sender.is_streaming())),
            (G::LagRecords, lag_records),
            (G::LagMicros, lag.as_micros()),
            (G::LongestLagNanos, sent.longest_lag_nanos),
            (G::WrongRanges, wrong.into()),
            (G::Streams, sent.streams),
            (G::Silences, sent.silences),
            (G::RecordsSent, sent.records),
            (G::FramesSent, sent.frames),
            (G::BytesSent, sent.bytes),
            (G::Retransmitted, sent.retransmitted),
            (G::RecordsReceived, received.records),
            (G::FramesReceived, received.frames),
            (G::Duplicates, received.duplicates),
            (G::MalformedFrames, received.malformed),
            (G::OldTerm, self.old_term),
            (G::OwnInstance, self.own_instance),
            (G::Repairs, self.repairs),
        ] {
            self.view.set(gauge, value);
        }
    }
}

/// The worker that replies of a session reach.
fn owner<F: Family, P: Port>(outbound: &Tuple<F>, protocol: Protocol, io: &Io<'_, P>) -> WorkerId {
    let port = io.routes.way(outbound.source()).map(|way| way.port).unwrap_or_default();
    io.outlet.facts(port).map_or(WorkerId(0), |facts| facts.steering.owner(outbound, protocol))
}

const fn worker_of(mark: &Mark) -> WorkerId {
    match mark {
        Mark::Begin { worker, .. }
        | Mark::Sweep { worker, .. }
        | Mark::Range { worker, .. }
        | Mark::End { worker, .. } => *worker,
        Mark::Term { .. } => WorkerId(0),
    }
}
