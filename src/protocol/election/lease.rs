//! The lease (rule R5): workers serve until it ends, and the control core extends it after each look around. A node
//! that stood still longer serves nothing until it has looked again.
//!
//! One look is not enough after a long rest. The receive queue may have run over, and then what is in it is old and
//! the hello that says "I serve now" was lost. So the lease waits for a word of the peer's received after the rest, or
//! for three hello intervals of silence vouched for by a witness, and at the longest for [`super::HELLO_FRESH`].

use super::settings::{HELLO_FRESH, HELLO_INTERVAL};
use crate::types::{Duration, Instant};

#[derive(Clone, Debug)]
pub(super) struct Lease {
    span: Duration,
    until: Instant,
    looked: Option<Instant>,
    /// When a rest ended that was longer than the lease.
    doubt: Option<Instant>,
}

/// What speaks for serving on after a rest.
#[derive(Clone, Copy, Debug)]
pub(super) struct Assurance {
    /// When the newest hello was received.
    pub(super) hello_at: Option<Instant>,
    /// Nobody is heard, and the witness is fresh.
    pub(super) alone: bool,
}

impl Lease {
    /// `span` zero: no lease.
    pub(super) const fn new(span: Duration) -> Self {
        let until = if span.as_nanos() == 0 { Instant::MAX } else { Instant::ZERO };
        Self { span, until, looked: None, doubt: None }
    }

    /// All that was received before `drained_at` has been looked at, and acted upon.
    pub(super) fn extend(&mut self, drained_at: Instant, now: Instant, assurance: Assurance) {
        if self.span == Duration::ZERO {
            return;
        }
        if self.looked.is_some_and(|looked| now.since(looked) > self.span) {
            self.doubt = Some(now);
        }
        self.looked = Some(now);
        if let Some(since) = self.doubt {
            let told = assurance.hello_at.is_some_and(|hello| hello >= since);
            let alone = assurance.alone && since + HELLO_INTERVAL.times(3) <= drained_at;
            if told || alone || since + HELLO_FRESH <= drained_at {
                self.doubt = None;
            }
        }
        if self.doubt.is_none() {
            self.until = drained_at + self.span;
        }
    }

    pub(super) const fn until(&self) -> Instant {
        self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(ms)
    }

    fn lease() -> Lease {
        let mut lease = Lease::new(Duration::from_millis(20));
        for ms in 0..=100 {
            lease.extend(at(ms), at(ms), Assurance { hello_at: Some(at(ms)), alone: false });
            assert_eq!(lease.until(), at(ms + 20));
        }
        lease
    }

    fn until(lease: &mut Lease, ms: u64, hello_ms: u64, alone: bool) -> Instant {
        lease.extend(at(ms), at(ms), Assurance { hello_at: Some(at(hello_ms)), alone });
        lease.until()
    }

    #[test]
    fn a_rest_shorter_than_the_lease_is_nothing() {
        assert_eq!(until(&mut lease(), 120, 100, false), at(140));
    }

    #[test]
    fn after_a_longer_rest_the_peer_s_word_must_be_younger_than_it() {
        let mut lease = lease();
        for ms in 500..509 {
            assert_eq!(until(&mut lease, ms, 499, false), at(120), "an old hello out of the queue");
        }
        assert_eq!(until(&mut lease, 509, 509, false), at(529));
    }

    #[test]
    fn after_a_longer_rest_silence_counts_when_it_had_time_to_be_broken() {
        let mut lease = lease();
        for ms in 500..530 {
            assert_eq!(until(&mut lease, ms, 100, true), at(120));
        }
        assert_eq!(until(&mut lease, 530, 100, true), at(550));
    }

    #[test]
    fn doubt_ends() {
        let mut lease = lease();
        for ms in 500..600 {
            assert_eq!(until(&mut lease, ms, 100, false), at(120));
        }
        assert_eq!(until(&mut lease, 600, 100, false), at(620));
    }

    #[test]
    fn without_a_lease_there_is_no_end() {
        let mut lease = Lease::new(Duration::ZERO);
        assert_eq!(lease.until(), Instant::MAX);
        assert_eq!(until(&mut lease, 5, 5, false), Instant::MAX);
        assert_eq!(until(&mut lease, 5000, 5, false), Instant::MAX);
    }
}
