//! The sending half: records in, frames out, acknowledgements in.
//!
//! ```text
//!   acknowledged │ in flight: up to the receiver's credit │ sealed, waiting │ open │ free
//!                acked                                  next              open    acked + frames
//! ```
//!
//! Frames are kept until they are acknowledged. When all are in use, records are refused; the caller leaves them in
//! the workers' rings, and a ring that overflows marks ranges of sessions that are copied later. So a slow receiver
//! costs a repair, never a worker's time.

use super::{
    frame::{Ack, DATA_HEADER, DataHeader, WINDOW},
    receiver::MAX_FRAME,
    record::{MAX_INSTANCES, MAX_RECORD, Mark},
};
use crate::types::{Duration, InstanceId, Instant};

/// A frame goes out when its oldest record is so old ...
pub const FLUSH_AGE: Duration = Duration::from_micros(50);
/// ... or when no record has come for so long.
pub const FLUSH_IDLE: Duration = Duration::from_micros(5);

/// A receiver that acknowledges nothing for so long has gone.
pub const SILENCE: Duration = Duration::from_secs(1);

/// Longest wait before the oldest frame in flight is sent again, and the shortest.
const MAX_RETRY: Duration = Duration::from_millis(20);
const MIN_RETRY: Duration = Duration::from_millis(1);
/// A frame that was sent again is not sent a third time before an answer can have come; this long at least.
const MIN_ROUND_TRIP: Duration = Duration::from_micros(50);

/// How large a sender is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderSettings {
    /// Longest frame in bytes, headers of the stream included; 256 to [`MAX_FRAME`].
    pub frame_bytes: usize,
    /// Frames kept; more than [`WINDOW`].
    pub frames: usize,
}

impl Default for SenderSettings {
    fn default() -> Self {
        Self { frame_bytes: 1392, frames: 1024 }
    }
}

/// All frames are in use. The record was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// What an acknowledgement did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A stream begins: everything has to be copied.
    Started,
    /// It belongs to the stream under way.
    Acknowledged,
    /// It is old, or tells what cannot be.
    Ignored,
}

/// What a sender has done since it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct SenderCounters {
    /// Streams begun.
    pub streams: u64,
    /// Streams ended because the receiver fell silent.
    pub silences: u64,
    /// Records taken.
    pub records: u64,
    /// Frames sent the first time.
    pub frames: u64,
    /// Bytes of these.
    pub bytes: u64,
    /// Frames sent again.
    pub retransmitted: u64,
    /// Records refused because all frames were in use; each may be refused many times.
    pub refused: u64,
    /// Acknowledgements of the stream.
    pub acknowledgements: u64,
    /// Acknowledgements that were old or told what cannot be.
    pub ignored: u64,
    /// The longest time from a frame's first record to its acknowledgement, in nanoseconds.
    pub longest_lag_nanos: u64,
}

#[derive(Clone, Copy, Debug)]
struct Frame {
    length: usize,
    records: u32,
    /// When its first and its last record came.
    opened: Instant,
    touched: Instant,
    sent: Instant,
    sends: u32,
    received: bool,
    resend: bool,
}

impl Frame {
    const EMPTY: Self = Self {
        length: 0,
        records: 0,
        opened: Instant::ZERO,
        touched: Instant::ZERO,
        sent: Instant::ZERO,
        sends: 0,
        received: false,
        resend: false,
    };
}

#[derive(Clone, Copy, Debug)]
struct Stream {
    name: u64,
    heard: Instant,
}

/// The sending half of a stream. Control thread only; allocates nothing after [`Sender::new`].
#[derive(Debug)]
pub struct Sender {
    settings: SenderSettings,
    bytes: Box<[u8]>,
    frames: Box<[Frame]>,
    stream: Option<Stream>,
    generation: u32,
    acked: u64,
    next: u64,
    open: u64,
    credit: u64,
    /// Frames marked to be sent again.
    resends: u32,
    round_trip: Duration,
    retries: u32,
    /// Records in frames that are not acknowledged.
    waiting: u64,
    /// The term told in the open frame, by instance.
    terms: [Option<u64>; MAX_INSTANCES],
    counters: SenderCounters,
}

impl Sender {
    /// A sender without a stream.
    pub fn new(settings: SenderSettings) -> Self {
        let settings = SenderSettings {
            frame_bytes: settings.frame_bytes.clamp(256, MAX_FRAME),
            frames: settings.frames.max(WINDOW as usize + 1),
        };
        Self {
            bytes: vec![0; settings.frame_bytes * settings.frames].into_boxed_slice(),
            frames: vec![Frame::EMPTY; settings.frames].into_boxed_slice(),
            settings,
            stream: None,
            generation: 0,
            acked: 0,
            next: 1,
            open: 1,
            credit: WINDOW,
            resends: 0,
            round_trip: MIN_ROUND_TRIP,
            retries: 0,
            waiting: 0,
            terms: [None; MAX_INSTANCES],
            counters: SenderCounters::default(),
        }
    }

    /// Whether somebody listens.
    pub const fn is_streaming(&self) -> bool {
        self.stream.is_some()
    }

    /// What it has done.
    pub const fn counters(&self) -> &SenderCounters {
        &self.counters
    }

    /// Records taken that are not acknowledged.
    pub const fn lag_records(&self) -> u64 {
        self.waiting
    }

    /// The age of the oldest record that is not acknowledged.
    pub fn lag(&self, now: Instant) -> Duration {
        match self.waiting {
            0 => Duration::ZERO,
            _ => now.since(self.frames[self.place(self.acked + 1)].opened),
        }
    }

    /// The frame that the last record taken is in; compare with [`Self::is_acknowledged`].
    pub const fn position(&self) -> u64 {
        self.open
    }

    /// Whether all records up to a position of this stream are acknowledged; false without a stream.
    pub fn is_acknowledged(&self, position: u64) -> bool {
        let empty = position == self.open && self.frames[self.place(position)].records == 0;
        self.is_streaming() && (self.acked >= position || (empty && self.acked + 1 == position))
    }

    /// Ends the stream: nobody listens until the next acknowledgement.
    pub fn end(&mut self) {
        self.stream = None;
        self.waiting = 0;
    }

    fn place(&self, sequence: u64) -> usize {
        (sequence % self.frames.len() as u64) as usize
    }

    fn start(&mut self, name: u64, now: Instant) {
        self.generation = self.generation.wrapping_add(1).max(1);
        self.stream = Some(Stream { name, heard: now });
        (self.acked, self.next, self.open) = (0, 1, 1);
        (self.credit, self.resends, self.retries, self.waiting) = (WINDOW, 0, 0, 0);
        self.round_trip = MIN_ROUND_TRIP;
        self.begin_frame();
        self.counters.streams += 1;
    }

    fn begin_frame(&mut self) {
        let place = self.place(self.open);
        self.frames[place] = Frame::EMPTY;
        self.terms = [None; MAX_INSTANCES];
    }

    /// Takes a record, as [`super::Record::encode`] wrote it, and the term of the instance it concerns. Without a
    /// stream it goes nowhere: the copy that begins the next one finds the session.
    ///
    /// # Errors
    ///
    /// All frames are in use.
    #[inline]
    pub fn push(
        &mut self,
        record: &[u8],
        owner: Option<(InstanceId, u64)>,
        now: Instant,
    ) -> Result<(), Full> {
        if self.stream.is_none() {
            return Ok(());
        }
        let told = owner.is_none_or(|(instance, term)| {
            self.terms.get(instance.index()).is_none_or(|told| *told == Some(term))
        });
        let mark = if told { 0 } else { TERM_LENGTH };
        let length = self.frames[self.place(self.open)].length;
        if DATA_HEADER + length + mark + record.len() > self.settings.frame_bytes {
            self.seal().inspect_err(|_| self.counters.refused += 1)?;
            return self.push(record, owner, now);
        }
        if let (false, Some((instance, term))) = (told, owner) {
            let mut out = [0; MAX_RECORD];
            let length = Mark::Term { instance, term }.encode(&mut out);
            self.append(&out[..length]);
            self.terms[instance.index()] = Some(term);
        }
        self.append(record);
        let place = self.place(self.open);
        let frame = &mut self.frames[place];
        if frame.records == 0 {
            frame.opened = now;
        }
        frame.records += 1;
        frame.touched = now;
        self.waiting += 1;
        self.counters.records += 1;
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) {
        let place = self.place(self.open);
        let start = place * self.settings.frame_bytes + self.frames[place].length;
        self.bytes[start..start + bytes.len()].copy_from_slice(bytes);
        self.frames[place].length += bytes.len();
    }

    fn seal(&mut self) -> Result<(), Full> {
        if self.open - self.acked >= self.frames.len() as u64 {
            return Err(Full);
        }
        self.open += 1;
        self.begin_frame();
        Ok(())
    }

    fn is_due(&self, now: Instant) -> bool {
        let frame = &self.frames[self.place(self.open)];
        frame.records > 0 && (now.since(frame.opened) >= FLUSH_AGE || now.since(frame.touched) >= FLUSH_IDLE)
    }

    /// Writes the next frame to send into `out` and returns its length. Call until `None`.
    pub fn transmit(&mut self, now: Instant, out: &mut [u8]) -> Option<usize> {
        let stream = self.stream?;
        if now.since(stream.heard) >= SILENCE {
            self.counters.silences += 1;
            self.end();
            return None;
        }
        self.expire(now);
        if let Some(sequence) = self.marked() {
            self.counters.retransmitted += 1;
            return self.emit(stream.name, sequence, now, out);
        }
        if self.next > self.acked + self.credit {
            return None;
        }
        if self.next == self.open && (!self.is_due(now) || self.seal().is_err()) {
            return None;
        }
        let sequence = self.next;
        self.next += 1;
        let length = self.emit(stream.name, sequence, now, out)?;
        self.counters.frames += 1;
        self.counters.bytes += length as u64;
        Some(length)
    }

    /// When [`Self::transmit`] should be called again, if no acknowledgement comes before.
    pub fn deadline(&self) -> Option<Instant> {
        let stream = self.stream?;
        let mut deadline = stream.heard + SILENCE;
        if self.resends > 0 || (self.next < self.open && self.next <= self.acked + self.credit) {
            return Some(Instant::ZERO);
        }
        let frame = &self.frames[self.place(self.open)];
        if frame.records > 0 && self.next <= self.acked + self.credit {
            deadline = deadline.min(frame.opened + FLUSH_AGE).min(frame.touched + FLUSH_IDLE);
        }
        if let Some(sequence) = self.oldest_missing() {
            deadline = deadline.min(self.frames[self.place(sequence)].sent + self.retry());
        }
        Some(deadline)
    }

    fn retry(&self) -> Duration {
        self.round_trip.times(4).max(MIN_RETRY).times(1 << self.retries).min(MAX_RETRY)
    }

    /// The oldest frame in flight that the receiver has not got.
    fn oldest_missing(&self) -> Option<u64> {
        (self.acked + 1..self.next).find(|&sequence| !self.frames[self.place(sequence)].received)
    }

    /// That frame is sent again when nothing is heard of it.
    fn expire(&mut self, now: Instant) {
        let Some(sequence) = self.oldest_missing() else { return };
        let (place, retry) = (self.place(sequence), self.retry());
        let frame = &mut self.frames[place];
        if !frame.resend && now.since(frame.sent) >= retry {
            frame.resend = true;
            self.resends += 1;
            self.retries = (self.retries + 1).min(7);
        }
    }

    fn marked(&self) -> Option<u64> {
        if self.resends == 0 {
            return None;
        }
        (self.acked + 1..self.next).find(|&sequence| self.frames[self.place(sequence)].resend)
    }

    fn emit(&mut self, stream: u64, sequence: u64, now: Instant, out: &mut [u8]) -> Option<usize> {
        let place = self.place(sequence);
        let frame = &mut self.frames[place];
        if frame.resend {
            frame.resend = false;
            self.resends -= 1;
        }
        frame.sent = now;
        frame.sends += 1;
        let length = DATA_HEADER + frame.length;
        let start = place * self.settings.frame_bytes;
        let records = &self.bytes[start..start + frame.length];
        let (head, body) = out.get_mut(..length)?.split_first_chunk_mut()?;
        *head = DataHeader { stream, sequence, generation: self.generation }.emit();
        body.copy_from_slice(records);
        Some(length)
    }

    /// Hears an acknowledgement.
    pub fn hear(&mut self, ack: &Ack, now: Instant) -> Heard {
        match &mut self.stream {
            Some(stream) if stream.name == ack.stream => stream.heard = now,
            // Names grow: a smaller one is an acknowledgement that was under way for long.
            Some(stream) if ack.stream.wrapping_sub(stream.name) as i64 <= 0 => {
                self.counters.ignored += 1;
                return Heard::Ignored;
            }
            _ => {
                self.start(ack.stream, now);
                return Heard::Started;
            }
        }
        if ack.generation != self.generation || ack.cumulative >= self.next {
            // Before it has heard the first frame of this start, a receiver follows none, or the one before.
            self.counters.ignored += u64::from(ack.generation == self.generation);
            return Heard::Ignored;
        }
        self.counters.acknowledgements += 1;
        self.credit = u64::from(ack.credit).min(WINDOW);
        self.release(ack.cumulative, now);
        self.mark_gaps(ack, now);
        Heard::Acknowledged
    }

    fn release(&mut self, cumulative: u64, now: Instant) {
        while self.acked < cumulative {
            self.acked += 1;
            let place = self.place(self.acked);
            let frame = self.frames[place];
            self.resends -= u32::from(frame.resend);
            self.frames[place].resend = false;
            self.waiting -= u64::from(frame.records);
            let lag = now.since(frame.opened).as_nanos();
            self.counters.longest_lag_nanos = self.counters.longest_lag_nanos.max(lag);
            self.retries = 0;
            if frame.sends == 1 && self.acked == cumulative {
                let sample = now.since(frame.sent).as_nanos();
                let smoothed = (7 * self.round_trip.as_nanos() + sample) / 8;
                self.round_trip = Duration::from_nanos(smoothed).max(MIN_ROUND_TRIP);
            }
        }
    }

    /// Frames below one that was received are missing.
    fn mark_gaps(&mut self, ack: &Ack, now: Instant) {
        // An older acknowledgement that overtook a newer one says nothing new.
        if ack.cumulative < self.acked || ack.beyond == 0 {
            return;
        }
        let highest = ack.cumulative + 64 - u64::from(ack.beyond.leading_zeros());
        for sequence in self.acked + 1..=highest.min(self.next - 1) {
            let place = self.place(sequence);
            let frame = &mut self.frames[place];
            let received = ack.beyond >> (sequence - ack.cumulative - 1) & 1 == 1;
            frame.received |= received;
            let missing = !frame.received && !frame.resend && sequence < highest;
            if missing && (frame.sends == 1 || now.since(frame.sent) >= self.round_trip) {
                frame.resend = true;
                self.resends += 1;
            }
        }
    }
}

/// Bytes of a term.
const TERM_LENGTH: usize = 12;
