//! `hitless bench connect`: what a new session costs, and what it costs to stream it to a peer.
//!
//! Every packet opens a session: table, both directions, a local port, the first packet forwarded. As many old sessions
//! end by age, so the table stays as full as it is. Time is virtual: a session lives a second of it, in which as many
//! sessions open as shall be there.
//!
//! With sync, a second worker of the same kind streams its sessions: a thread on another core takes the journal, builds
//! the frames with their envelopes, opens and decodes them, and acknowledges, as the control cores of two nodes would.
//! Only the worker's own time is measured, two thousand sessions at a time; between these it waits until the other core
//! has taken all. The two workers take turns, so that a slow moment of the machine meets both.

use super::{
    frames::{MIN_SIZE, flags},
    measure::{Piece, Undisturbed, each, median},
    replay::Replay,
    rig::{Extras, OURS, Rig, Shape, facts},
};
use crate::{
    packet::{Family, V4, V6},
    plane::{Counter, Packed, Slot},
    protocol::{
        pair::{Fingerprint, Kind, Pair, PairSettings},
        sync::{Change, Receiver, Record, Sender, SenderSettings},
    },
    types::{InstanceId, Instant, PortId, Protocol},
};
use rtrb::Consumer;
use serde::Serialize;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread,
};

/// What to measure.
#[derive(Clone, Copy, Debug)]
pub struct Connect {
    /// How long.
    pub seconds: f64,
    /// Stream every session to a peer.
    pub sync: bool,
    /// Sessions that are there at a time, about.
    pub sessions: usize,
    /// TCP or UDP.
    pub protocol: Protocol,
    /// 4 or 6.
    pub family: u8,
    /// Backends of the service.
    pub backends: u32,
}

/// The contract's keys, and how they came about.
#[derive(Clone, Debug, Serialize)]
pub struct ConnectReport {
    /// Sessions opened, and ended, a second.
    pub sessions_per_second: f64,
    /// TSC cycles of the worker for one: its first packet, and its end.
    pub cycles_per_session: f64,
    /// Bytes on the wire for one, Ethernet header to tag: opened and ended. 0 without sync.
    pub sync_bytes_per_session: f64,
    /// The same worker without sync, in the same run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cycles_per_session_without_sync: Option<f64>,
    /// What sync adds, in percent: the middle of the rounds, in each of which both workers have their turn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sync_cost_percent: Option<f64>,
    /// Sessions opened while measuring.
    pub sessions: u64,
    /// Sessions there at the end.
    pub steady: u64,
    /// Time it took, without the moments in which the machine ran something else.
    pub seconds: f64,
    /// The part of the time, in percent, that is in no figure: the machine ran something else.
    pub disturbed_percent: f64,
    /// TSC ticks a second.
    pub tsc_hz: f64,
    /// Cycles a session of each piece of the run, and of the worker without sync beside it, for a plot.
    #[serde(skip)]
    pub each: Vec<(&'static str, Vec<f64>)>,
}

/// Rounds of each kind, in turn.
const ROUNDS: usize = 30;
/// Life of a session, in virtual milliseconds; ageing comes round in as long.
const LIFE_MS: u32 = 1_000;
/// Packets of a turn.
const BATCH: u64 = crate::port::BATCH as u64;
/// Sessions opened between two waits: their records, eight slots over IPv6, fit the journal.
const CHUNK: u64 = 32 * BATCH;
const _: () = assert!(8 * CHUNK < JOURNAL as u64);
/// Slots of the journal, as a node has.
const JOURNAL: usize = 32_768;
/// Bytes around a message: Ethernet, IPv4, UDP.
const HEADERS: u64 = 14 + 20 + 8;

/// Runs it.
///
/// # Errors
/// In words.
pub fn connect(what: &Connect) -> Result<ConnectReport, String> {
    match what.family {
        4 => measure::<V4>(what),
        6 => measure::<V6>(what),
        other => Err(format!("there is no IP version {other}: write 4 or 6")),
    }
}

/// A worker that opens sessions.
#[derive(Debug)]
struct Opener<F: Family> {
    rig: Rig<F, Replay>,
    now: Instant,
    /// Virtual nanoseconds of a turn.
    turn_nanos: u64,
    clock: quanta::Clock,
    /// Counts the looks of the other core at an empty journal; `None` without a journal.
    empty_looks: Option<Arc<AtomicU64>>,
}

impl<F: Family> Opener<F> {
    fn new(what: &Connect, sync: usize) -> Result<Self, String> {
        let sessions = what.sessions.max(1_000);
        // A session lives up to two seconds: one until it is over, one until ageing comes round.
        let flows = 3 * sessions;
        let shape = Shape {
            flows,
            size: MIN_SIZE,
            protocol: what.protocol,
            services: 1,
            backends: what.backends.max(1),
            vip: None,
        };
        let extras = Extras { capacity: Some(5 * sessions / 2), sync, opening_ms: LIFE_MS };
        let port = Replay::new(4096, BATCH as usize).map_err(|error| error.to_string())?;
        let ports = (vec![port], vec![facts(PortId(0), OURS, false)]);
        let mut rig =
            Rig::<F, _>::with(shape, ports.0, ports.1, extras).map_err(|error| error.to_string())?;
        rig.deck().load(shape.clients_frames::<F>(OURS, flags::SYN), 0);
        let turn_nanos = u64::from(LIFE_MS) * 1_000_000 * BATCH / sessions as u64;
        Ok(Self { rig, now: Instant::ZERO, turn_nanos, clock: quanta::Clock::new(), empty_looks: None })
    }

    /// Opens [`CHUNK`] sessions; returns the ticks it took.
    fn open(&mut self) -> u64 {
        if let Some(looks) = &self.empty_looks {
            let seen = looks.load(Relaxed);
            // The look under way may have begun before the last record was written.
            while looks.load(Relaxed) < seen + 2 {
                std::hint::spin_loop();
            }
        }
        self.rig.deck().remaining = CHUNK;
        let begun = self.clock.raw();
        for _ in 0..CHUNK / BATCH {
            self.now = self.now + crate::types::Duration::from_nanos(self.turn_nanos);
            self.rig.worker.turn(self.now);
        }
        // With nothing left in its queue the worker knows that it is not behind.
        self.rig.worker.turn(self.now);
        self.clock.raw() - begun
    }

    fn count(&self, counter: Counter) -> u64 {
        self.rig.counters.read().get(counter)
    }
}

/// A worker that opens sessions, and as many end; for counting instructions.
#[derive(Debug)]
pub struct Opening<F: Family> {
    opener: Opener<F>,
    journal: Option<Consumer<Slot>>,
}

impl<F: Family> Opening<F> {
    /// With a full table.
    ///
    /// # Errors
    /// In words.
    pub fn prepare(what: &Connect) -> Result<Self, String> {
        let mut opener = Opener::new(what, if what.sync { JOURNAL } else { 0 })?;
        let journal = opener.rig.far.journals.pop();
        let mut opening = Self { opener, journal };
        opening.open(3 * what.sessions as u64);
        Ok(opening)
    }

    /// Opens `sessions`, or somewhat more. What the journal says is thrown away.
    pub fn open(&mut self, sessions: u64) {
        for _ in 0..sessions.div_ceil(CHUNK) {
            self.opener.open();
            if let Some(journal) = &mut self.journal
                && let Ok(chunk) = journal.read_chunk(journal.slots())
            {
                chunk.commit_all();
            }
        }
    }
}

/// What the other core has done.
#[derive(Debug, Default)]
struct Streamed {
    inserts: u64,
    bytes: u64,
}

/// Both control cores of a pair, without the wire: from the journal to decoded records.
struct Peers {
    journal: Consumer<Slot>,
    sender: Sender,
    receiver: Receiver,
    ours: Pair,
    theirs: Pair,
    clock: quanta::Clock,
    streamed: Streamed,
}

impl Peers {
    fn new(journal: Consumer<Slot>) -> Self {
        let pair = |node| {
            let fingerprint = Fingerprint::default();
            Pair::new(PairSettings { node, incarnation: node, fingerprint, key: None })
        };
        let (mut ours, mut theirs) = (pair(1), pair(2));
        let mut out = [0; 200];
        for _ in 0..2 {
            let length = ours.seal(Kind::Hello, &mut out, |_| Some(0)).unwrap_or(0);
            let _ = theirs.open(&out[..length]);
            let length = theirs.seal(Kind::Hello, &mut out, |_| Some(0)).unwrap_or(0);
            let _ = ours.open(&out[..length]);
        }
        let mut peers = Self {
            journal,
            sender: Sender::new(SenderSettings::default()),
            receiver: Receiver::new(1),
            ours,
            theirs,
            clock: quanta::Clock::new(),
            streamed: Streamed::default(),
        };
        // The stream begins before the worker does.
        peers.turn();
        peers
    }

    fn turn(&mut self) -> bool {
        let Self { journal, sender, receiver, ours, theirs, clock, streamed } = self;
        let now = Instant::from_nanos(clock.delta_as_nanos(0, clock.raw()));
        let mut found = false;
        // Frames are taken from and given to the wire more often than all frames are full.
        for _ in 0..512 {
            let Some(packed) = Packed::take(journal) else { break };
            found = true;
            let _ = sender.push(packed.bytes(), Some((InstanceId(0), 1)), now);
        }
        let mut message = [0; 1500];
        while let Some(length) = ours.seal(Kind::SyncData, &mut message, |out| sender.transmit(now, out)) {
            streamed.bytes += HEADERS + length as u64;
            if let Ok(opened) = theirs.open(&message[..length]) {
                let _ = receiver.hear(opened.body, now);
            }
            while let Some((record, _)) = receiver.peek() {
                streamed.inserts += u64::from(is_insert(&record));
                receiver.advance();
            }
        }
        if let Some(ack) = receiver.ack(now, []) {
            sender.hear(&ack, now);
        }
        found || sender.lag_records() > 0
    }
}

const fn is_insert(record: &Record) -> bool {
    match record {
        Record::V4(record) => matches!(record.change, Change::Insert { .. }),
        Record::V6(record) => matches!(record.change, Change::Insert { .. }),
        Record::Mark(_) => false,
    }
}

fn measure<F: Family>(what: &Connect) -> Result<ConnectReport, String> {
    let tsc_hz = super::tsc_hz();
    let mut plain = Opener::<F>::new(what, 0)?;
    let Some(mut synced) = what.sync.then(|| Opener::<F>::new(what, JOURNAL)).transpose()? else {
        let rounds = rounds(what, &mut [&mut plain], tsc_hz);
        return Ok(report("without sync", &of_all(&rounds, 0), &plain, tsc_hz));
    };
    let journal = synced.rig.far.journals.pop().ok_or("the worker has no journal")?;
    let mut peers = Peers::new(journal);
    let stop = Arc::new(AtomicBool::new(false));
    let empty_looks = Arc::new(AtomicU64::new(0));
    synced.empty_looks = Some(Arc::clone(&empty_looks));
    let stopped = Arc::clone(&stop);
    let other_core = thread::spawn(move || {
        loop {
            let last = stopped.load(Relaxed);
            let found = peers.turn();
            empty_looks.fetch_add(u64::from(!found), Relaxed);
            if last && !found {
                return peers.streamed;
            }
        }
    });
    let rounds = rounds(what, &mut [&mut plain, &mut synced], tsc_hz);
    // Worker counts are published when a millisecond is over.
    synced.now = synced.now + crate::types::Duration::from_millis(2);
    synced.rig.worker.turn(synced.now);
    stop.store(true, Relaxed);
    let streamed = other_core.join().map_err(|_| "the thread that streams has failed".to_owned())?;
    let (opened, arrived) = (synced.count(Counter::SessionsOpened), streamed.inserts);
    if arrived != opened {
        return Err(format!(
            "{opened} sessions were opened, {arrived} arrived: please report this with the command"
        ));
    }
    let alone = report("without sync", &of_all(&rounds, 0), &plain, tsc_hz);
    let report = report("with sync", &of_all(&rounds, 1), &synced, tsc_hz);
    let costs: Vec<f64> =
        rounds.iter().map(|round| median(&each(&round[1])) / median(&each(&round[0])) - 1.0).collect();
    Ok(ConnectReport {
        sync_bytes_per_session: streamed.bytes as f64 / opened as f64,
        cycles_per_session_without_sync: Some(alone.cycles_per_session),
        sync_cost_percent: Some(median(&costs) * 100.0),
        each: [report.each, alone.each].concat(),
        ..report
    })
}

/// Each opener's pieces of each round, timed in ticks.
type Rounds = Vec<Vec<Vec<Piece>>>;

/// Fills the tables, then lets the openers take turns. A piece is [`CHUNK`] sessions: half a millisecond, so that a moment in
/// which the machine runs something else spoils few of them.
fn rounds<F: Family>(what: &Connect, openers: &mut [&mut Opener<F>], tsc_hz: f64) -> Rounds {
    for opener in openers.iter_mut() {
        (0..3 * what.sessions.max(1_000) as u64 / CHUNK + 1).for_each(|_| _ = opener.open());
    }
    let slice = what.seconds * tsc_hz / (ROUNDS * openers.len()) as f64;
    let turn = |opener: &mut &mut Opener<F>| {
        let (mut ticks, mut pieces) = (0.0, Vec::new());
        while ticks < slice {
            let time = opener.open() as f64;
            ticks += time;
            pieces.push(Piece { done: CHUNK, time });
        }
        pieces
    };
    (0..ROUNDS).map(|_| openers.iter_mut().map(turn).collect()).collect()
}

/// One opener's pieces of all rounds.
fn of_all(rounds: &Rounds, opener: usize) -> Vec<Piece> {
    rounds.iter().flat_map(|round| &round[opener]).copied().collect()
}

fn report<F: Family>(name: &'static str, pieces: &[Piece], opener: &Opener<F>, tsc_hz: f64) -> ConnectReport {
    let steady = opener.count(Counter::SessionsV4) + opener.count(Counter::SessionsV6);
    let Undisturbed { done, time, disturbed_percent } = Undisturbed::of(pieces);
    let cycles = time / done as f64;
    ConnectReport {
        sessions_per_second: tsc_hz / cycles,
        cycles_per_session: cycles,
        sync_bytes_per_session: 0.0,
        cycles_per_session_without_sync: None,
        sync_cost_percent: None,
        sessions: done,
        steady,
        seconds: time / tsc_hz,
        disturbed_percent,
        tsc_hz,
        each: vec![(name, each(pieces))],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_packet_opens_a_session_and_every_session_arrives() {
        for (family, protocol) in [(4, Protocol::Tcp), (6, Protocol::Udp)] {
            let what = Connect { seconds: 0.05, sync: true, sessions: 2_000, protocol, family, backends: 4 };
            let report = connect(&what).unwrap();
            assert!((1_500..=5_000).contains(&report.steady), "{report:?}");
            let bytes = report.sync_bytes_per_session;
            let records = if family == 4 { 32.0 + 16.0 } else { 80.0 + 40.0 };
            assert!(bytes > records, "{report:?}");
        }
    }

    /// A reader finds the contract's keys without `--sync` as well.
    #[test]
    fn without_sync_nothing_is_streamed() {
        let (protocol, sessions) = (Protocol::Udp, 2_000);
        let what = Connect { seconds: 0.05, sync: false, sessions, protocol, family: 4, backends: 4 };
        let report = serde_json::to_value(connect(&what).unwrap()).unwrap();
        assert_eq!(report["sync_bytes_per_session"], 0.0);
        let of = |key: &str| report[key].as_f64().unwrap();
        assert!((of("sessions") / of("seconds") / of("sessions_per_second") - 1.0).abs() < 1e-9);
    }

    #[test]
    fn a_family_there_is_not_is_refused() {
        let what = Connect {
            seconds: 0.1,
            sync: false,
            sessions: 1_000,
            protocol: Protocol::Tcp,
            family: 5,
            backends: 1,
        };
        assert!(connect(&what).is_err());
    }
}
