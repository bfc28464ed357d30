//! One gateway: asked when, answered when.

use super::PATIENCE;
use crate::types::{Duration, Instant};

/// From one question to the next, at least.
const LEAST: Duration = Duration::from_millis(1);

/// The questions to one gateway.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    /// When the next question is due.
    pub(super) next: Instant,
    /// When the last one was sent.
    last: Option<Instant>,
    answered: Option<Instant>,
    /// The first question since the last answer, and how many there have been.
    waiting: Option<(Instant, u32)>,
}

impl Asked {
    pub(super) fn new(now: Instant) -> Self {
        Self { next: now, last: None, answered: None, waiting: None }
    }

    /// A question is sent; the next one is due `interval` later.
    pub(super) fn asked(&mut self, now: Instant, interval: Duration) {
        let (first, count) = self.waiting.unwrap_or((now, 0));
        self.waiting = Some((first, count.saturating_add(1)));
        self.last = Some(now);
        self.next = now + interval;
    }

    /// An answer was received `at`. Only a question makes it one.
    pub(super) fn answered(&mut self, at: Instant) -> bool {
        let Some((first, _)) = self.waiting.filter(|(first, _)| *first <= at) else { return false };
        self.answered = self.answered.max(Some(at));
        // Questions after the answer was received are still open.
        self.waiting = self.last.filter(|last| *last > at && *last != first).map(|last| (last, 1));
        true
    }

    /// The next question is due at once, unless one has been sent since `since` or a millisecond ago.
    pub(super) fn hurry(&mut self, since: Instant, now: Instant) -> bool {
        let needed = self.last.is_some_and(|last| last < since && last + LEAST <= now);
        if needed {
            self.next = self.next.min(now);
        }
        needed
    }

    /// Since when a question is open, however many there are, judged at `at`: for who has another way to tell that
    /// there have been enough.
    pub(super) fn unanswered_since(&self, window: Duration, at: Instant) -> Option<Instant> {
        let (first, _) = self.waiting?;
        (first + window <= at).then(|| first + window)
    }

    pub(super) fn last_answer(&self) -> Option<Instant> {
        self.answered
    }

    /// How many questions are open.
    pub(super) fn open(&self) -> u32 {
        self.waiting.map_or(0, |(_, count)| count)
    }

    /// Since when it counts as lost, judged at `at`: enough questions and time went by without an answer.
    pub(super) fn lost_since(&self, window: Duration, at: Instant) -> Option<Instant> {
        let (first, count) = self.waiting?;
        (count >= PATIENCE && first + window <= at).then(|| first + window)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_millis(10);
    const WINDOW: Duration = Duration::from_millis(30);

    fn at(ms: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(ms)
    }

    #[test]
    fn lost_after_three_questions_and_three_intervals() {
        let mut gateway = Asked::new(at(0));
        for ms in [0, 10, 20] {
            assert_eq!(gateway.next, at(ms));
            gateway.asked(at(ms), INTERVAL);
            assert_eq!(gateway.lost_since(WINDOW, at(ms + 9)), None);
        }
        assert_eq!(gateway.lost_since(WINDOW, at(30)), Some(at(30)));
        assert!(gateway.answered(at(31)));
        assert_eq!((gateway.lost_since(WINDOW, at(31)), gateway.open()), (None, 0));
    }

    #[test]
    fn a_question_can_be_asked_early_but_not_all_the_time() {
        let mut gateway = Asked::new(at(0));
        assert!(!gateway.hurry(at(0), at(0)), "the first is due anyway");
        gateway.asked(at(0), INTERVAL);
        assert!(!gateway.hurry(at(0), at(2)), "one has been sent since");
        assert!(gateway.hurry(at(1), at(2)));
        assert_eq!(gateway.next, at(2));
        gateway.asked(at(2), INTERVAL);
        assert!(!gateway.hurry(at(2) + Duration::from_micros(10), at(2) + Duration::from_micros(999)));
    }

    #[test]
    fn an_asker_that_stood_still_has_lost_nothing() {
        let mut gateway = Asked::new(at(0));
        gateway.asked(at(0), INTERVAL);
        gateway.asked(at(5000), INTERVAL);
        assert_eq!(gateway.lost_since(WINDOW, at(5009)), None);
        gateway.asked(at(5010), INTERVAL);
        assert_eq!(gateway.lost_since(WINDOW, at(5010)), Some(at(30)));
    }

    #[test]
    fn what_nobody_asked_for_is_no_answer() {
        let mut gateway = Asked::new(at(0));
        assert!(!gateway.answered(at(5)));
        gateway.asked(at(10), INTERVAL);
        assert!(!gateway.answered(at(9)), "received before the question was sent");
        assert!(gateway.answered(at(11)));
        assert!(!gateway.answered(at(12)), "a second answer");
        assert_eq!(gateway.last_answer(), Some(at(11)));
    }

    #[test]
    fn an_answer_looked_at_late_leaves_later_questions_open() {
        let mut gateway = Asked::new(at(0));
        gateway.asked(at(0), INTERVAL);
        gateway.asked(at(10), INTERVAL);
        assert!(gateway.answered(at(1)));
        assert_eq!(gateway.open(), 1);
        assert!(gateway.answered(at(11)));
    }
}
