//! What a node decides that serves: the rows of the table for ACTIVE and ALONE.

use super::{
    claim::Holding,
    facts::{Heard, Situation},
    handover::Why,
    hello::Request,
    instance::Election,
    report::{Announce, Change, Reason},
    role::Role,
    settings::{DEAF_HOLD, DEFENSE_PAUSE_MOST, DEFENSE_REST, HELLO_INTERVAL},
};

impl Election {
    pub(super) fn when_serving(&mut self, situation: &Situation, heard: Option<&Heard>) -> Option<Change> {
        self.when_claimed(situation, heard)
            .or_else(|| self.when_contested(situation))
            .or_else(|| self.when_called_away(situation, heard))
            .or_else(|| self.when_peer_comes_or_goes(situation, heard))
    }

    /// Somebody announced an address of ours: let the link hear who has it. Against one who goes on, less and less
    /// often: two who defend an address at once must not flood their link (RFC 5227, section 2.4).
    fn when_contested(&mut self, situation: &Situation) -> Option<Change> {
        if !self.address_contested || self.announce_from > situation.at {
            return None;
        }
        self.address_contested = false;
        let at_rest = situation.at.since(self.announce_from) >= DEFENSE_REST;
        self.defense_pause =
            if at_rest { HELLO_INTERVAL } else { self.defense_pause.times(2).min(DEFENSE_PAUSE_MOST) };
        self.announce_from = situation.at + self.defense_pause;
        let announce = Announce::Start;
        Some(Change { announce, ..self.note(Reason::AddressContested, situation) })
    }

    /// Two claims: the higher one stays.
    fn when_claimed(&mut self, situation: &Situation, heard: Option<&Heard>) -> Option<Change> {
        let heard = heard?;
        if !heard.serves() {
            self.deaf_since = None;
            if self.contested.take().is_some() {
                let announce = Announce::Start;
                return Some(Change { announce, ..self.note(Reason::ConflictOver, situation) });
            }
            // The peer takes no sessions of a term before the latest it knows.
            let raise = heard.entry.role != Role::Handover && heard.entry.term > self.term;
            return raise.then(|| {
                self.term = self.next_term();
                self.known = self.term;
                self.note(Reason::TermRaised, situation)
            });
        }
        if heard.claim > self.claim() {
            return Some(self.yield_to(Reason::HigherClaim, situation));
        }
        if heard.at <= self.claimed_at {
            // It said so before it knew of this claim, and may be dead since.
            return None;
        }
        if heard.hears_us {
            self.deaf_since = None;
        } else {
            let since = *self.deaf_since.get_or_insert(situation.at);
            if since + DEAF_HOLD <= situation.at {
                return Some(self.yield_to(Reason::DeafClaim, situation));
            }
        }
        // Its announcements may have been the last: ours must be.
        let new = self.contested.replace(heard.claim) != Some(heard.claim);
        new.then(|| Change { announce: Announce::Start, ..self.note(Reason::LowerClaim, situation) })
    }

    fn yield_to(&mut self, reason: Reason, situation: &Situation) -> Change {
        self.holding = if self.settings.sync { Holding::Part } else { Holding::Nothing };
        Change { announce: Announce::Stop, ..self.enter(Role::Sync, reason, situation) }
    }

    /// A fault, an operator, a lost network or the peer's wish: the instance is to go to the peer.
    fn when_called_away(&mut self, situation: &Situation, heard: Option<&Heard>) -> Option<Change> {
        if situation.healthy && self.going.is_some() {
            return self.when_going(situation, heard);
        }
        let why = self.reason_to_go(situation, heard)?;
        match (self.can_hand_over, why) {
            // Whatever this node still does is in doubt: no time for questions.
            (Ok(()), Why::SelfCheck) => Some(self.go(why, self.next_term(), situation)),
            (Ok(()), _) => {
                self.ask_to_go(why, situation);
                None
            }
            (Err(_), _) => self.called_off(why, situation),
        }
    }

    fn reason_to_go(&self, situation: &Situation, heard: Option<&Heard>) -> Option<Why> {
        if !situation.healthy {
            return Some(Why::SelfCheck);
        }
        let rested = self.retry_at <= situation.at && self.can_hand_over.is_ok();
        let asked = heard.is_some_and(|heard| heard.entry.request == Request::Ask);
        let better = situation.evidence.given_up(situation.at) && heard.is_some_and(|heard| heard.witness);
        let reasons = [
            (self.stopping, Why::Shutdown),
            (self.held, Why::Held),
            (self.wanted, Why::Operator),
            (asked && rested, Why::PeerAsked),
            (better && rested, Why::Witness),
        ];
        reasons.into_iter().find_map(|(is_so, why)| is_so.then_some(why))
    }

    fn when_peer_comes_or_goes(&mut self, situation: &Situation, heard: Option<&Heard>) -> Option<Change> {
        if situation.isolated(heard) {
            return Some(self.resign(Role::Fenced, Reason::WitnessLost, situation));
        }
        match self.role {
            Role::Active if situation.is_without_peer(heard) && situation.vouched() => {
                let silence = situation.silence();
                Some(Change { silence, ..self.enter(Role::Alone, Reason::PeerSilent, situation) })
            }
            Role::Alone if situation.hears() && heard.is_some_and(|heard| heard.at > self.claimed_at) => {
                let announce = Announce::Start;
                Some(Change { announce, ..self.enter(Role::Active, Reason::PeerBack, situation) })
            }
            _ if situation.deaf() != self.told_deaf => {
                self.told_deaf = situation.deaf();
                self.told_deaf.then(|| self.note(Reason::PeerDeaf, situation))
            }
            _ => None,
        }
    }
}
