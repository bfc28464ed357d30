//! The receiving half: frames in, records out in the order of the stream, acknowledgements out.
//!
//! Records are handed out strictly in order, each once, so the place in the stream is their version: whatever is
//! applied later is newer, and nothing has to be remembered of sessions that are gone. Frames that come early wait in
//! the window. A frame is acknowledged when its last record was taken.

use super::{
    frame::{Ack, DATA_HEADER, DataHeader, MAX_REPAIRS, Repair, WINDOW},
    record::{MAX_INSTANCES, Malformed, Mark, Record},
};
use crate::types::{Duration, Instant};
use arrayvec::ArrayVec;

/// The longest frame, in bytes.
pub const MAX_FRAME: usize = 2048;

/// So many frames are acknowledged at once ...
const ACK_FRAMES: u64 = 16;
/// ... or those that came so long ago.
const ACK_DELAY: Duration = Duration::from_micros(100);
/// An acknowledgement at least so often, whatever comes: the sender sees that somebody listens.
pub const ACK_INTERVAL: Duration = Duration::from_millis(10);

/// Why a frame was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unwanted {
    /// No frame.
    Malformed(Malformed),
    /// Of a stream that was given up, or of an earlier start of this one.
    OtherStream,
    /// Received before.
    Duplicate,
    /// Beyond the window.
    Ahead,
}

/// What a receiver has done since it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct ReceiverCounters {
    /// Frames taken.
    pub frames: u64,
    /// Records handed out.
    pub records: u64,
    /// Frames that came before an earlier one.
    pub early: u64,
    /// Frames received again.
    pub duplicates: u64,
    /// Frames beyond the window.
    pub ahead: u64,
    /// Frames of another stream.
    pub other_stream: u64,
    /// Frames with something in them that is no record; what follows it in the frame is lost.
    pub malformed: u64,
    /// Acknowledgements sent.
    pub acknowledgements: u64,
    /// Starts of the stream.
    pub starts: u64,
}

/// The receiving half of a stream. Control thread only; allocates nothing after [`Receiver::new`].
#[derive(Debug)]
pub struct Receiver {
    name: u64,
    /// 0 before the first frame.
    generation: u32,
    /// The frame whose records are handed out, or that is awaited.
    expected: u64,
    /// Bit `i`: the frame `expected` + `i` is here.
    here: u64,
    bytes: Box<[u8]>,
    lengths: [usize; WINDOW as usize],
    /// Where the next record lies in the expected frame, and its length once it was looked at.
    offset: usize,
    length: usize,
    terms: [Option<u64>; MAX_INSTANCES],
    /// What the last acknowledgement said.
    told: u64,
    /// Since when something waits to be acknowledged.
    owing: Option<Instant>,
    urgent: bool,
    acked: Option<Instant>,
    counters: ReceiverCounters,
}

impl Receiver {
    /// Wants a stream of this name; any number nobody guesses will do.
    pub fn new(name: u64) -> Self {
        Self {
            name,
            generation: 0,
            expected: 1,
            here: 0,
            bytes: vec![0; MAX_FRAME * WINDOW as usize].into_boxed_slice(),
            lengths: [0; WINDOW as usize],
            offset: 0,
            length: 0,
            terms: [None; MAX_INSTANCES],
            told: 0,
            owing: None,
            urgent: true,
            acked: None,
            counters: ReceiverCounters::default(),
        }
    }

    /// Wants a new stream, from its beginning. What is left of the old one is forgotten.
    pub fn restart(&mut self) {
        self.name = self.name.wrapping_add(1);
        self.begin(0);
        self.urgent = true;
    }

    fn begin(&mut self, generation: u32) {
        self.generation = generation;
        (self.expected, self.here, self.told) = (1, 0, 0);
        self.next_frame();
        self.owing = None;
    }

    fn next_frame(&mut self) {
        (self.offset, self.length) = (0, 0);
        self.terms = [None; MAX_INSTANCES];
    }

    /// What it has done.
    pub const fn counters(&self) -> &ReceiverCounters {
        &self.counters
    }

    /// Whether the stream has begun.
    pub const fn is_following(&self) -> bool {
        self.generation != 0
    }

    const fn place(sequence: u64) -> usize {
        (sequence % WINDOW) as usize
    }

    /// Takes a frame. True when with it the stream begins anew: nothing of it has been compared yet.
    ///
    /// # Errors
    ///
    /// Nothing has changed.
    pub fn hear(&mut self, frame: &[u8], now: Instant) -> Result<bool, Unwanted> {
        let (header, records) = match DataHeader::parse(frame) {
            Ok(parsed) if frame.len() <= MAX_FRAME + DATA_HEADER => parsed,
            Ok(_) => return self.malformed(Malformed::Kind),
            Err(error) => return self.malformed(error),
        };
        let newer = header.generation.wrapping_sub(self.generation) as i32 > 0 || self.generation == 0;
        if header.stream != self.name
            || header.generation == 0
            || (header.generation != self.generation && !newer)
        {
            self.counters.other_stream += 1;
            return Err(Unwanted::OtherStream);
        }
        let begins = header.generation != self.generation;
        if begins {
            self.begin(header.generation);
            self.counters.starts += 1;
        }
        match self.place_in_window(header.sequence) {
            Ok(ahead) => {
                let place = Self::place(header.sequence);
                let start = place * MAX_FRAME;
                self.bytes[start..start + records.len()].copy_from_slice(records);
                self.lengths[place] = records.len();
                self.here |= 1 << ahead;
                self.counters.frames += 1;
                self.owing = self.owing.or(Some(now));
                let before = (1 << ahead) - 1;
                if self.here & before != before {
                    self.counters.early += 1;
                    self.urgent = true;
                }
                Ok(begins)
            }
            // A start is a start, even if its first frame is not yet here.
            Err(_) if begins => Ok(true),
            Err(unwanted) => Err(unwanted),
        }
    }

    fn malformed(&mut self, error: Malformed) -> Result<bool, Unwanted> {
        self.counters.malformed += 1;
        Err(Unwanted::Malformed(error))
    }

    fn place_in_window(&mut self, sequence: u64) -> Result<u64, Unwanted> {
        // Whoever sends what is here already has not heard so.
        self.urgent = true;
        match sequence.checked_sub(self.expected) {
            Some(ahead) if ahead >= WINDOW => {
                self.counters.ahead += 1;
                Err(Unwanted::Ahead)
            }
            Some(ahead) if self.here >> ahead & 1 == 0 => {
                self.urgent = false;
                Ok(ahead)
            }
            _ => {
                self.counters.duplicates += 1;
                Err(Unwanted::Duplicate)
            }
        }
    }

    /// The next record and the term of its instance, if the frame tells one. It stays the next until
    /// [`Self::advance`].
    pub fn peek(&mut self) -> Option<(Record, Option<u64>)> {
        while self.here & 1 == 1 {
            let place = Self::place(self.expected);
            let start = place * MAX_FRAME;
            let rest = &self.bytes[start + self.offset..start + self.lengths[place]];
            if rest.is_empty() {
                self.here >>= 1;
                self.expected += 1;
                self.next_frame();
                continue;
            }
            match Record::decode(rest) {
                Ok((Record::Mark(Mark::Term { instance, term }), length)) => {
                    self.terms[instance.index()] = Some(term);
                    self.offset += length;
                }
                Ok((record, length)) => {
                    self.length = length;
                    let term = record.instance().and_then(|instance| self.terms[instance.index()]);
                    return Some((record, term));
                }
                Err(_) => {
                    self.counters.malformed += 1;
                    self.lengths[place] = self.offset;
                }
            }
        }
        None
    }

    /// The record that [`Self::peek`] gave has been taken.
    pub fn advance(&mut self) {
        self.counters.records += u64::from(self.length > 0);
        self.offset += self.length;
        self.length = 0;
    }

    /// When an acknowledgement is due.
    pub fn deadline(&self) -> Instant {
        let Some(acked) = self.acked else { return Instant::ZERO };
        if self.urgent || self.expected - 1 - self.told >= ACK_FRAMES {
            return Instant::ZERO;
        }
        let soon = self.owing.map_or(Instant::MAX, |since| since + ACK_DELAY);
        soon.min(acked + ACK_INTERVAL)
    }

    /// The acknowledgement that is due now; `wishes` are asked only then.
    pub fn ack(&mut self, now: Instant, wishes: impl IntoIterator<Item = Repair>) -> Option<Ack> {
        if self.deadline() > now {
            return None;
        }
        let mut repairs = ArrayVec::<_, MAX_REPAIRS>::new();
        repairs.extend(wishes.into_iter().take(MAX_REPAIRS));
        self.told = self.expected - 1;
        self.owing = None;
        self.urgent = false;
        self.acked = Some(now);
        self.counters.acknowledgements += 1;
        Some(Ack {
            stream: self.name,
            generation: self.generation,
            cumulative: self.told,
            beyond: self.here,
            credit: WINDOW as u16,
            repairs,
        })
    }
}
