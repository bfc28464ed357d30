//! Our two intervals: wanted, announced and in force, and the Poll Sequence between them (RFC 5880 sections 6.5 and
//! 6.8.3).

use crate::types::{Duration, Instant};

/// The intervals of one side, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Intervals {
    pub(super) tx_us: u32,
    pub(super) rx_us: u32,
}

/// Where a Poll Sequence stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Poll {
    /// None is needed.
    Idle,
    /// Our packets carry P. `sent`: at least one with the intervals now announced did.
    Active { sent: bool },
    /// F has come, but more may follow: one for every P that was on the way. The next sequence begins with a packet
    /// without F that comes after this moment (section 6.8.3, second and third choice together; the third alone
    /// fails when several polls fit into a round trip).
    Settling { until: Instant },
}

/// The longest time a late F is waited for.
const SETTLE_MAX: Duration = Duration::from_secs(1);

/// What the rest of the session's state allows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Situation {
    /// The session is Up: increases of tx and decreases of rx wait for F.
    pub(super) up: bool,
    /// The peer is known, so there is somebody to answer a poll.
    pub(super) peer_known: bool,
}

/// The state of the negotiation.
#[derive(Clone, Debug)]
pub(super) struct Negotiation {
    wanted: Intervals,
    announced: Intervals,
    in_force: Intervals,
    poll: Poll,
    /// The first and the last packet with P that may still be answered.
    asked: Option<(Instant, Instant)>,
    /// The peer knows Poll and Final.
    polls: bool,
}

impl Negotiation {
    pub(super) fn new(first: Intervals, polls: bool) -> Self {
        Self { wanted: first, announced: first, in_force: first, poll: Poll::Idle, asked: None, polls }
    }

    /// What packets carry.
    pub(super) fn announced(&self) -> Intervals {
        self.announced
    }

    /// What our rate and our detection time are computed from.
    pub(super) fn in_force(&self) -> Intervals {
        self.in_force
    }

    /// Whether packets carry P.
    pub(super) fn polling(&self) -> bool {
        matches!(self.poll, Poll::Active { .. })
    }

    /// Asks for other intervals. While Up they wait for the Poll Sequence under way: several changes in one sequence
    /// could not be told apart. While not Up nothing depends on the answer, so they are announced at once.
    pub(super) fn want(&mut self, intervals: Intervals, situation: Situation) {
        self.wanted = intervals;
        let undecided = matches!(self.poll, Poll::Active { sent: true } | Poll::Settling { .. });
        if self.wanted != self.announced && !(situation.up && undecided) {
            self.announce(situation);
        }
    }

    /// The session came Up or left it: other intervals are called for, and cannot wait (section 6.8.3).
    pub(super) fn turn(&mut self, intervals: Intervals, situation: Situation) {
        self.wanted = intervals;
        if !situation.up {
            self.in_force = self.announced;
        }
        if self.wanted != self.announced {
            self.announce(situation);
        }
    }

    /// There is nobody left to answer a poll.
    pub(super) fn peer_forgotten(&mut self) {
        self.poll = Poll::Idle;
        self.asked = None;
        self.announced = self.wanted;
        self.in_force = self.wanted;
    }

    /// A packet with P went out.
    pub(super) fn poll_sent(&mut self, now: Instant) {
        self.poll = Poll::Active { sent: true };
        self.asked = Some((self.asked.map_or(now, |(first, _)| first), now));
    }

    /// A packet came in. True when it ended our Poll Sequence.
    pub(super) fn received(&mut self, is_final: bool, at: Instant, situation: Situation) -> bool {
        match (self.poll, self.asked) {
            (Poll::Active { sent: true }, Some((first, last))) if is_final => {
                // F came at most this long after its P; the answer to the last P takes about as long.
                let round_trip = at.since(first);
                self.poll = Poll::Settling { until: last + round_trip.times(2).min(SETTLE_MAX) };
                self.in_force = self.announced;
                return true;
            }
            (Poll::Settling { until }, _) if !is_final && until <= at => {
                self.poll = Poll::Idle;
                self.asked = None;
                self.want(self.wanted, situation);
            }
            _ => {}
        }
        false
    }

    fn announce(&mut self, situation: Situation) {
        self.announced = self.wanted;
        if self.polls && situation.up {
            self.in_force.tx_us = self.in_force.tx_us.min(self.announced.tx_us);
            self.in_force.rx_us = self.in_force.rx_us.max(self.announced.rx_us);
        } else {
            self.in_force = self.announced;
        }
        if self.polls && situation.peer_known {
            self.poll = Poll::Active { sent: false };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UP: Situation = Situation { up: true, peer_known: true };

    fn us(tx_us: u32, rx_us: u32) -> Intervals {
        Intervals { tx_us, rx_us }
    }

    fn at(us: u64) -> Instant {
        Instant::ZERO + Duration::from_micros(us)
    }

    fn polled(negotiation: &mut Negotiation, us: u64) {
        negotiation.poll_sent(at(us));
        assert!(negotiation.received(true, at(us + 10), UP));
        assert!(!negotiation.polling());
        negotiation.received(false, at(us + 20), UP);
    }

    #[test]
    fn which_change_waits_for_final() {
        for (wanted, before_final) in [
            (us(200, 100), us(100, 100)),
            (us(50, 100), us(50, 100)),
            (us(100, 200), us(100, 200)),
            (us(100, 50), us(100, 100)),
            (us(200, 50), us(100, 100)),
        ] {
            let mut negotiation = Negotiation::new(us(100, 100), true);
            negotiation.want(wanted, UP);
            assert_eq!((negotiation.announced(), negotiation.in_force()), (wanted, before_final));
            polled(&mut negotiation, 1000);
            assert_eq!(negotiation.in_force(), wanted);
        }
    }

    #[test]
    fn change_before_the_first_poll_packet_joins_it() {
        let mut negotiation = Negotiation::new(us(100, 100), true);
        negotiation.want(us(200, 100), UP);
        negotiation.want(us(200, 50), UP);
        assert_eq!(negotiation.announced(), us(200, 50));
        polled(&mut negotiation, 1000);
        assert_eq!(negotiation.in_force(), us(200, 50));
        assert!(!negotiation.polling());
    }

    #[test]
    fn change_during_a_poll_waits_for_final_and_a_packet_without() {
        let mut negotiation = Negotiation::new(us(100, 100), true);
        negotiation.want(us(200, 100), UP);
        negotiation.poll_sent(at(1000));
        negotiation.want(us(200, 50), UP);
        assert_eq!(negotiation.announced(), us(200, 100));
        assert!(negotiation.received(true, at(1010), UP));
        assert!(!negotiation.received(true, at(1020), UP), "a second F answers nothing");
        assert_eq!((negotiation.announced(), negotiation.polling()), (us(200, 100), false));
        negotiation.received(false, at(1020), UP);
        assert_eq!((negotiation.announced(), negotiation.polling()), (us(200, 50), true));
        assert!(!negotiation.received(true, at(1030), UP), "no packet with P was sent yet");
        assert_eq!(negotiation.in_force(), us(200, 100));
        polled(&mut negotiation, 1040);
        assert_eq!(negotiation.in_force(), us(200, 50));
    }

    /// A round trip of 380 and P every 260: two answers to the first sequence, and the second must not end the next.
    #[test]
    fn late_answer_does_not_end_the_next_poll() {
        let mut negotiation = Negotiation::new(us(260, 1000), true);
        negotiation.want(us(260, 300), UP);
        negotiation.poll_sent(at(0));
        negotiation.want(us(260, 50), UP);
        negotiation.poll_sent(at(260));
        assert!(negotiation.received(true, at(380), UP));
        negotiation.received(false, at(500), UP);
        assert!(!negotiation.polling(), "the answer to the second P is still on its way");
        assert!(!negotiation.received(true, at(640), UP));
        negotiation.received(false, at(1100), UP);
        assert!(negotiation.polling());
        assert_eq!((negotiation.announced(), negotiation.in_force()), (us(260, 50), us(260, 300)));
    }

    #[test]
    fn settling_has_an_end() {
        let mut negotiation = Negotiation::new(us(100, 100), true);
        negotiation.want(us(200, 100), UP);
        negotiation.poll_sent(at(0));
        negotiation.poll_sent(at(3_600_000_000));
        assert!(negotiation.received(true, at(3_600_000_010), UP));
        negotiation.want(us(300, 100), UP);
        negotiation.received(false, at(3_601_000_010), UP);
        assert_eq!(negotiation.announced(), us(300, 100));
    }

    #[test]
    fn coming_up_and_leaving_wait_for_nothing() {
        let mut negotiation = Negotiation::new(us(100, 100), true);
        negotiation.want(us(100, 50), UP);
        negotiation.poll_sent(at(0));
        negotiation.turn(us(1000, 50), Situation { up: false, peer_known: true });
        assert_eq!((negotiation.announced(), negotiation.in_force()), (us(1000, 50), us(1000, 50)));
        assert!(negotiation.polling());
        negotiation.poll_sent(at(10));
        negotiation.turn(us(100, 50), UP);
        assert_eq!((negotiation.announced(), negotiation.in_force()), (us(100, 50), us(100, 50)));
        negotiation.peer_forgotten();
        assert!(!negotiation.polling());
    }

    #[test]
    fn without_polls_everything_is_at_once() {
        let mut negotiation = Negotiation::new(us(100, 100), false);
        negotiation.want(us(200, 50), UP);
        assert_eq!((negotiation.announced(), negotiation.in_force()), (us(200, 50), us(200, 50)));
        assert!(!negotiation.polling());
    }
}
