//! The trials: silence one side, wait for the other's Down, let them come up again; and judge every Down that nobody asked
//! for.

use super::{
    verdict::{Verdict, judge},
    wire::{Account, Span},
};
use crate::{
    bench::timer::Timer,
    control::{BfdEntry, BfdView, Event},
    protocol::bfd::{Cause, Random, State},
    types::Duration,
};
use crossbeam::queue::ArrayQueue;
use std::{sync::Arc, thread};

/// How often the judge looks.
const LOOK: std::time::Duration = std::time::Duration::from_micros(100);
/// A pair that is not up after so long does not come up.
const PATIENCE: Duration = Duration::from_secs(30);
/// Disturbed trials a trial asked for may cost.
const ATTEMPTS: u32 = 50;
/// A trial begins so long after the last, or up to twice.
const PAUSE: Duration = Duration::from_millis(2);

/// One of the two, as seen from outside.
#[derive(Debug)]
pub(super) struct Side {
    pub(super) bfd: Arc<BfdView>,
    pub(super) events: Arc<ArrayQueue<Event>>,
    pub(super) account: Arc<Account>,
}

impl Side {
    /// Its only session.
    pub(super) fn first(&self) -> Option<BfdEntry> {
        self.bfd.list().first().copied()
    }

    fn is_ready(&self, detection: Duration) -> bool {
        self.first().is_some_and(|BfdEntry { status, .. }| {
            status.state == State::Up && status.detection_time == detection && !status.polling
        })
    }

    /// Detections since the last call, each from the last packet to the moment it was noticed.
    fn detections(&self, into: &mut Vec<Span>) {
        while let Some(event) = self.events.pop() {
            if let Event::Bfd(told) = event
                && told.change.from == State::Up
                && told.change.cause == Cause::DetectionExpired
                && let Some(from) = told.change.last_received
            {
                into.push(Span { from, to: told.change.noticed });
            }
        }
    }
}

/// What came out.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) detections: Vec<Duration>,
    pub(super) silences: Vec<Duration>,
    pub(super) false_downs: u64,
    pub(super) sender_stalls: u64,
    pub(super) disturbed: u32,
    /// What was noted around the first false Downs.
    pub(super) explained: Vec<String>,
}

/// False Downs that are explained.
const EXPLAINED: usize = 10;

impl Outcome {
    fn explain(&mut self, down: &Span, silences: &[Span], stalls: &[Span]) {
        if self.explained.len() >= EXPLAINED {
            return;
        }
        let micros =
            |at: crate::types::Instant| at.as_nanos() as f64 / 1e3 - down.from.as_nanos() as f64 / 1e3;
        let near = |spans: &[Span]| {
            let near = spans.iter().filter(|span| span.to >= down.from && span.from <= down.to);
            near.map(|span| format!("{:.1} to {:.1}", micros(span.from), micros(span.to))).collect::<Vec<_>>()
        };
        self.explained.push(format!(
            "Down {:.1} us after the last packet; the sender was silent, by that packet's time, {:?}, and stood still {:?}",
            micros(down.to),
            near(silences),
            near(stalls)
        ));
    }
}

/// The judge.
pub(super) struct Trials<'a> {
    pub(super) sides: &'a [Side; 2],
    pub(super) timer: &'a Timer,
    pub(super) interval: Duration,
    pub(super) detection: Duration,
    /// Downs that nobody asked for, by who noticed; judged once their senders have noted what they did.
    unasked: [Vec<Span>; 2],
    /// What each side has noted: silences and stalls.
    notes: [(Vec<Span>, Vec<Span>); 2],
}

impl<'a> Trials<'a> {
    pub(super) fn new(
        sides: &'a [Side; 2],
        timer: &'a Timer,
        interval: Duration,
        detection: Duration,
    ) -> Self {
        Self { sides, timer, interval, detection, unasked: Default::default(), notes: Default::default() }
    }

    /// So many trials that count, the sides in turn.
    pub(super) fn run(mut self, trials: u32) -> Result<Outcome, String> {
        let mut outcome = Outcome::default();
        let mut random = Random::seeded(0xbfd);
        while (outcome.detections.len() as u32) < trials {
            let count = outcome.detections.len();
            if outcome.disturbed > ATTEMPTS * trials {
                return Err(format!(
                    "the loops stood still or were down in {} of {} trials: stop what else runs on this machine, or \
                     measure a longer interval",
                    outcome.disturbed,
                    outcome.disturbed as usize + count
                ));
            }
            self.come_up(&mut outcome)?;
            let pause = PAUSE.as_nanos() + random.below(PAUSE.as_nanos());
            thread::sleep(std::time::Duration::from_nanos(pause));
            match self.trial(count % 2)? {
                Some((detection, silence)) => {
                    outcome.detections.push(detection);
                    outcome.silences.push(silence);
                }
                None => outcome.disturbed += 1,
            }
        }
        while {
            self.come_up(&mut outcome)?;
            self.unasked.iter().any(|downs| !downs.is_empty())
        } {}
        Ok(outcome)
    }

    /// Waits until both are up at their full rate, then judges.
    fn come_up(&mut self, outcome: &mut Outcome) -> Result<(), String> {
        self.wait("come up", |sides| sides.iter().all(|side| side.is_ready(self.detection)))?;
        for number in 0..2 {
            self.sides[number].detections(&mut self.unasked[number]);
            self.judge(number, outcome);
        }
        Ok(())
    }

    /// Judges the Downs that one side noticed, as far as the other has noted what it did.
    fn judge(&mut self, number: usize, outcome: &mut Outcome) {
        let sender = &self.sides[1 - number].account;
        let (silences, stalls) = &mut self.notes[1 - number];
        let (ripe, unripe) = self.unasked[number].drain(..).partition(|down| sender.is_noted(down.to));
        self.unasked[number] = unripe;
        let noted = sender.take();
        silences.extend(noted.0);
        stalls.extend(noted.1);
        let ripe: Vec<Span> = ripe;
        for down in ripe {
            match judge(&down, silences, stalls, self.interval) {
                Verdict::SenderStall => outcome.sender_stalls += 1,
                Verdict::False => {
                    outcome.false_downs += 1;
                    outcome.explain(&down, silences, stalls);
                }
            }
        }
        if self.unasked[number].is_empty() {
            silences.clear();
            stalls.clear();
        }
    }

    /// Silences a side; the other's detection and the silence it was for, or `None` if the trial does not count.
    fn trial(&mut self, silenced: usize) -> Result<Option<(Duration, Duration)>, String> {
        let [speaker, listener] = [&self.sides[silenced], &self.sides[1 - silenced]];
        speaker.account.mute();
        let muted_at = self.timer.now();
        self.wait("notice the silence", |_| !speaker.account.is_muted())?;
        // A Down of the listener's has let the speaker speak again, and was told before it was sent.
        let mut downs = Vec::new();
        listener.detections(&mut downs);
        let asked = downs.iter().position(|down| down.to > muted_at).map(|place| downs.remove(place));
        self.unasked[1 - silenced].extend(downs);
        // Silent already when it was silenced?
        let latest = muted_at - self.interval - Duration::from_nanos(self.interval.as_nanos() / 4);
        Ok(asked.filter(|down| down.from >= latest).map(|down| {
            // A packet may have slipped through after the moment was read.
            (down.to.since(muted_at.max(down.from)), down.length())
        }))
    }

    fn wait(&self, what: &str, done: impl Fn(&[Side; 2]) -> bool) -> Result<(), String> {
        let begun = self.timer.now();
        while !done(self.sides) {
            if self.timer.now().since(begun) > PATIENCE {
                return Err(format!(
                    "the loops did not {what} in {} s: is the machine too busy for this interval?",
                    PATIENCE.as_millis() / 1000
                ));
            }
            thread::sleep(LOOK);
        }
        Ok(())
    }
}
