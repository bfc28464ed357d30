//! When silence becomes failure.
//!
//! Three rules keep our own slowness from looking like the peer's silence. Silence is counted from the time a packet
//! was received, not from the time it was processed. It is judged at the moment the receive queue was known to be
//! empty, never at the present: what has arrived is always examined first. And when packets may have been lost on
//! our side since the last one (the queue ran over while we stood still), the silence counts from that loss, once.

use crate::types::{Duration, Instant};

/// What a look at the clock gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Not yet, or nothing is waited for.
    Alive,
    /// It would have expired, but packets may have been lost here.
    Grace,
    /// The detection time passed at this moment.
    Expired(Instant),
}

/// The detection timer of one session.
#[derive(Clone, Debug, Default)]
pub(super) struct Detection {
    time: Duration,
    last_received: Option<Instant>,
    /// From when silence counts: the last packet, or the beginning of a grace; `None` once it has expired.
    silent_since: Option<Instant>,
    /// When packets were last known to be lost here, of those after the last one received.
    lost_at: Option<Instant>,
    graced: bool,
}

impl Detection {
    /// The detection time in force.
    pub(super) fn time(&self) -> Duration {
        self.time
    }

    pub(super) fn set_time(&mut self, time: Duration) {
        self.time = time;
    }

    /// When the newest packet was received.
    pub(super) fn last_received(&self) -> Option<Instant> {
        self.last_received
    }

    /// A packet was accepted that was received `at`. Returns the time since the one before; packets of several queues
    /// may come out of order.
    pub(super) fn refresh(&mut self, at: Instant) -> Option<Duration> {
        let before = self.last_received;
        let newest = before.map_or(at, |before| before.max(at));
        self.last_received = Some(newest);
        self.silent_since = Some(newest);
        self.lost_at = None;
        self.graced = false;
        before.map(|before| at.since(before))
    }

    /// The newest packet bore no time of its own: it may have been received as late as `at`.
    pub(super) fn settle(&mut self, at: Instant) {
        if self.silent_since.is_some() {
            self.last_received = self.last_received.max(Some(at));
            self.silent_since = self.silent_since.max(Some(at));
        }
    }

    /// When it expires if nothing more arrives.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.silent_since.map(|since| since + self.time)
    }

    /// Judges the silence up to `drained_at`, a moment at which the receive queue was empty. A loss that is told while
    /// nothing is overdue is remembered: the packet that was lost may be the one that is missed later.
    pub(super) fn judge(&mut self, drained_at: Instant, evidence_lost: bool) -> Verdict {
        if evidence_lost {
            self.lost_at = Some(drained_at);
        }
        match self.deadline() {
            Some(deadline) if deadline <= drained_at => {
                if let Some(lost_at) = self.lost_at.filter(|_| !self.graced) {
                    self.graced = true;
                    self.silent_since = self.silent_since.max(Some(lost_at));
                    return Verdict::Grace;
                }
                self.silent_since = None;
                Verdict::Expired(deadline)
            }
            _ => Verdict::Alive,
        }
    }

    /// Nothing was received for `times` detection times before `at`.
    pub(super) fn silent_for(&self, times: u64, at: Instant) -> bool {
        self.last_received.is_none_or(|last| at.since(last) >= self.time.times(times))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(us: u64) -> Instant {
        Instant::ZERO + Duration::from_micros(us)
    }

    fn detection(us: u64) -> Detection {
        let mut detection = Detection::default();
        detection.set_time(Duration::from_micros(us));
        detection
    }

    #[test]
    fn nothing_expires_before_the_first_packet() {
        assert_eq!(detection(150).judge(at(1_000_000), false), Verdict::Alive);
    }

    #[test]
    fn expires_once_at_last_packet_plus_detection_time() {
        let mut detection = detection(150);
        assert_eq!(detection.refresh(at(1000)), None);
        assert_eq!(detection.judge(at(1149), false), Verdict::Alive);
        assert_eq!(detection.judge(at(9000), false), Verdict::Expired(at(1150)));
        assert_eq!(detection.judge(at(9999), false), Verdict::Alive);
        assert_eq!(detection.refresh(at(10_000)), Some(Duration::from_micros(9000)));
        assert_eq!(detection.judge(at(10_150), false), Verdict::Expired(at(10_150)));
    }

    #[test]
    fn older_stamp_does_not_shorten() {
        let mut detection = detection(150);
        detection.refresh(at(1000));
        assert_eq!(detection.refresh(at(900)), Some(Duration::ZERO));
        assert_eq!(detection.judge(at(1100), false), Verdict::Alive);
    }

    #[test]
    fn a_packet_without_a_time_counts_from_the_latest_it_may_have_come() {
        let mut detection = detection(150);
        detection.settle(at(10));
        assert_eq!(detection.deadline(), None, "there is no packet yet");
        detection.refresh(at(1000));
        detection.settle(at(9000));
        assert_eq!(detection.last_received(), Some(at(9000)));
        detection.settle(at(8000));
        assert_eq!(detection.judge(at(9149), false), Verdict::Alive);
        assert_eq!(detection.judge(at(9150), false), Verdict::Expired(at(9150)));
        detection.settle(at(9200));
        assert_eq!(detection.deadline(), None, "what is over is over");
    }

    #[test]
    fn lost_evidence_earns_one_grace_until_the_next_packet() {
        let mut detection = detection(150);
        detection.refresh(at(1000));
        assert_eq!(detection.judge(at(5000), true), Verdict::Grace);
        assert_eq!(detection.judge(at(5149), false), Verdict::Alive);
        assert_eq!(detection.judge(at(5150), true), Verdict::Expired(at(5150)));
        detection.refresh(at(6000));
        assert_eq!(detection.judge(at(7000), true), Verdict::Grace);
    }

    #[test]
    fn evidence_lost_before_the_deadline_is_remembered_until_the_next_packet() {
        let mut detection = detection(150);
        detection.refresh(at(1000));
        assert_eq!(detection.judge(at(1149), true), Verdict::Alive);
        assert_eq!(detection.judge(at(1150), false), Verdict::Grace);
        assert_eq!(detection.judge(at(1298), false), Verdict::Alive);
        assert_eq!(detection.judge(at(1299), false), Verdict::Expired(at(1299)));
        detection.refresh(at(2000));
        assert_eq!(detection.judge(at(2010), true), Verdict::Alive);
        detection.refresh(at(2020));
        assert_eq!(detection.judge(at(2170), false), Verdict::Expired(at(2170)));
    }

    #[test]
    fn clock_behind_the_stamp_is_not_silence() {
        let mut detection = detection(150);
        detection.refresh(at(1000));
        assert_eq!(detection.judge(at(10), false), Verdict::Alive);
    }
}
