//! Our two intervals: wanted, announced and in force, and the Poll Sequence between them (RFC 5880 sections 6.5 and
//! 6.8.3).

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
    /// Our packets carry P. `sent`: at least one did.
    Active { sent: bool },
    /// F has come. The next sequence waits for a packet without F, so that no late F can answer it (section 6.8.3,
    /// third choice).
    Settling,
}

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
    /// The peer knows Poll and Final.
    polls: bool,
}

impl Negotiation {
    pub(super) fn new(first: Intervals, polls: bool) -> Self {
        Self { wanted: first, announced: first, in_force: first, poll: Poll::Idle, polls }
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

    /// Asks for other intervals. They are announced now, or when the Poll Sequence under way has ended: several
    /// changes in one sequence could not be told apart.
    pub(super) fn want(&mut self, intervals: Intervals, situation: Situation) {
        self.wanted = intervals;
        self.advance(situation);
    }

    /// The session left Up, so the slow rate cannot wait (section 6.8.3). Nothing else waits for F then either.
    pub(super) fn left_up(&mut self, intervals: Intervals, peer_known: bool) {
        self.wanted = intervals;
        self.in_force = self.announced;
        if self.wanted != self.announced {
            self.announce(Situation { up: false, peer_known });
        }
    }

    /// There is nobody left to answer a poll.
    pub(super) fn peer_forgotten(&mut self) {
        self.poll = Poll::Idle;
        self.announced = self.wanted;
        self.in_force = self.wanted;
    }

    /// A packet with P went out.
    pub(super) fn poll_sent(&mut self) {
        if self.polling() {
            self.poll = Poll::Active { sent: true };
        }
    }

    /// A packet came in. True when it ended our Poll Sequence.
    pub(super) fn received(&mut self, is_final: bool, situation: Situation) -> bool {
        match self.poll {
            Poll::Active { sent: true } if is_final => {
                self.in_force = self.announced;
                self.poll = Poll::Settling;
                return true;
            }
            Poll::Settling if !is_final => {
                self.poll = Poll::Idle;
                self.advance(situation);
            }
            _ => {}
        }
        false
    }

    fn advance(&mut self, situation: Situation) {
        let undecided = matches!(self.poll, Poll::Active { sent: true } | Poll::Settling);
        if self.wanted != self.announced && !undecided {
            self.announce(situation);
        }
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

    fn polled(negotiation: &mut Negotiation) {
        negotiation.poll_sent();
        assert!(negotiation.received(true, UP));
        assert!(!negotiation.polling());
        negotiation.received(false, UP);
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
            polled(&mut negotiation);
            assert_eq!(negotiation.in_force(), wanted);
        }
    }

    #[test]
    fn change_before_the_first_poll_packet_joins_it() {
        let mut negotiation = Negotiation::new(us(100, 100), true);
        negotiation.want(us(200, 100), UP);
        negotiation.want(us(200, 50), UP);
        assert_eq!(negotiation.announced(), us(200, 50));
        polled(&mut negotiation);
        assert_eq!(negotiation.in_force(), us(200, 50));
        assert!(!negotiation.polling());
    }

    #[test]
    fn change_during_a_poll_waits_for_final_and_a_packet_without() {
        let mut negotiation = Negotiation::new(us(100, 100), true);
        negotiation.want(us(200, 100), UP);
        negotiation.poll_sent();
        negotiation.want(us(200, 50), UP);
        assert_eq!(negotiation.announced(), us(200, 100));
        assert!(negotiation.received(true, UP));
        assert!(!negotiation.received(true, UP), "a second F answers nothing");
        assert_eq!((negotiation.announced(), negotiation.polling()), (us(200, 100), false));
        negotiation.received(false, UP);
        assert_eq!((negotiation.announced(), negotiation.polling()), (us(200, 50), true));
        assert!(!negotiation.received(true, UP), "no packet with P was sent yet");
        assert_eq!(negotiation.in_force(), us(200, 100));
        polled(&mut negotiation);
        assert_eq!(negotiation.in_force(), us(200, 50));
    }

    #[test]
    fn leaving_up_waits_for_nothing() {
        let mut negotiation = Negotiation::new(us(100, 100), true);
        negotiation.want(us(100, 50), UP);
        negotiation.poll_sent();
        negotiation.left_up(us(1000, 50), true);
        assert_eq!((negotiation.announced(), negotiation.in_force()), (us(1000, 50), us(1000, 50)));
        assert!(negotiation.polling());
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
