//! What the witnesses say at one moment.

use crate::types::{Duration, Instant};

/// The testimony of all gateways, judged at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// There are gateways to ask.
    pub asked: bool,
    /// When the newest answer of any gateway was received.
    pub answered: Option<Instant>,
    /// Since when all gateways count as lost; `None`: one of them does not.
    pub lost_since: Option<Instant>,
    /// Three intervals.
    pub window: Duration,
}

impl Evidence {
    /// That of a node without gateways.
    pub const NOT_ASKED: Self =
        Self { asked: false, answered: None, lost_since: None, window: Duration::ZERO };

    /// Rule R2: whether this node may take over from a peer whose next packet was due at `due`, judged at `at`; `None`:
    /// it was never heard.
    pub fn vouches(&self, due: Option<Instant>, at: Instant) -> bool {
        let good = |answered: Instant| due.map_or(answered + self.window >= at, |due| answered > due);
        !self.asked || self.answered.is_some_and(good)
    }

    /// Whether a gateway answered within the last three intervals before `at`.
    pub fn fresh(&self, at: Instant) -> bool {
        self.vouches(None, at)
    }

    /// All gateways count as lost.
    pub const fn lost(&self) -> bool {
        self.lost_since.is_some()
    }

    /// Rule R3: whether all gateways have counted as lost for three more intervals before `at`.
    pub fn given_up(&self, at: Instant) -> bool {
        self.lost_since.is_some_and(|since| since + self.window <= at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(ms)
    }

    fn answered(ms: u64) -> Evidence {
        Evidence { asked: true, answered: Some(at(ms)), lost_since: None, window: Duration::from_millis(30) }
    }

    #[test]
    fn rule_2_an_answer_after_the_peer_s_next_packet_was_due() {
        for (what, due, now, vouches) in [
            ("after it was due, however long ago", Some(99), 9000, true),
            ("at that moment", Some(100), 9000, false),
            ("before it was due, a moment ago", Some(101), 102, false),
            ("the peer was never heard, and fresh", None, 130, true),
            ("the peer was never heard, and stale", None, 131, false),
        ] {
            assert_eq!(answered(100).vouches(due.map(at), at(now)), vouches, "{what}");
        }
        let never = Evidence { answered: None, ..answered(0) };
        assert!(!never.vouches(None, at(0)) && !never.vouches(Some(at(0)), at(1)));
    }

    #[test]
    fn without_gateways_a_node_is_vouched_for_and_loses_nothing() {
        let evidence = Evidence::NOT_ASKED;
        assert!(evidence.vouches(Some(at(5)), at(9)) && evidence.fresh(at(9)));
        assert!(!evidence.lost() && !evidence.given_up(Instant::MAX));
    }

    #[test]
    fn rule_3_given_up_three_intervals_after_lost() {
        let evidence = Evidence { lost_since: Some(at(130)), ..answered(100) };
        assert!(evidence.lost() && !evidence.given_up(at(159)) && evidence.given_up(at(160)));
    }
}
