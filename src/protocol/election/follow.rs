//! What a node decides that does not serve: the rows of the table for INIT, SYNC, STANDBY, FENCED and ADMIN.

use super::{
    claim::{Holding, Rank},
    facts::{Heard, Situation},
    hello::Request,
    instance::Election,
    report::{Change, Reason},
    role::Role,
    settings::PREEMPT_DELAY,
};

impl Election {
    pub(super) fn when_init(&mut self, situation: &Situation) -> Option<Change> {
        if self.stopping {
            return None;
        }
        if self.held {
            return Some(self.enter(Role::Admin, Reason::Held, situation));
        }
        situation.healthy.then(|| self.enter(Role::Sync, Reason::Started, situation))
    }

    pub(super) fn when_held(&mut self, situation: &Situation) -> Option<Change> {
        let (to, reason) = match (self.stopping, self.held) {
            (true, _) => (Role::Init, Reason::Shutdown),
            (false, true) => return None,
            (false, false) => (Role::Init, Reason::Released),
        };
        Some(self.enter(to, reason, situation))
    }

    /// SYNC and STANDBY: everything that both do, then what each does.
    pub(super) fn when_following(&mut self, situation: &Situation, heard: Option<&Heard>) -> Option<Change> {
        if let Some(change) = self.stand_aside(situation) {
            return Some(change);
        }
        let was_armed = self.armed;
        self.armed |= situation.hears() && !situation.leaving();
        if let Some(silence) = situation.silence().filter(|_| was_armed) {
            if situation.evidence.lost() {
                // Isolated: it is this node that hears nobody. When it hears again, the peer may need a second to
                // send BFD again, and is no less alive for it.
                self.armed = false;
            } else if situation.evidence.vouches(Some(silence.due_at), situation.at) {
                return Some(self.take(Role::Alone, self.next_term(), Reason::PeerSilent, situation));
            }
            return None;
        }
        if was_armed && situation.leaving() {
            return Some(self.take(Role::Alone, self.next_term(), Reason::PeerLeft, situation));
        }
        match heard {
            Some(heard) => self.when_told(situation, heard),
            None if self.quiet_long_enough(situation) => {
                Some(self.take(Role::Alone, self.next_term(), Reason::LoneStart, situation))
            }
            None => None,
        }
    }

    /// The operator, a shutdown and a fault go before everything.
    fn stand_aside(&mut self, situation: &Situation) -> Option<Change> {
        let (to, reason) = match (self.stopping, self.held, situation.healthy) {
            (true, ..) => (Role::Init, Reason::Shutdown),
            (_, true, _) => (Role::Admin, Reason::Held),
            (.., false) => (Role::Fenced, Reason::SelfCheck),
            _ => return None,
        };
        Some(self.enter(to, reason, situation))
    }

    fn when_told(&mut self, situation: &Situation, heard: &Heard) -> Option<Change> {
        match (heard.entry.role, heard.entry.request) {
            (Role::Active | Role::Alone, _) => self.follow(situation, heard),
            (Role::Handover, Request::Go(term)) if self.ready() && term >= self.known.max(self.term + 1) => {
                Some(self.take(Role::Active, term, Reason::HandedOver, situation))
            }
            (Role::Handover, _) => None,
            (_, request) => self.when_nobody_serves(situation, heard, request == Request::Resign),
        }
    }

    /// The peer serves.
    fn follow(&mut self, situation: &Situation, heard: &Heard) -> Option<Change> {
        if self.following.is_none() {
            self.following = Some(heard.entry.term);
            if self.role == Role::Sync && self.settings.sync {
                self.holding = Holding::Part;
            }
        }
        match (self.role, self.synced()) {
            (Role::Sync, true) if situation.hears() => {
                self.holding = Holding::All;
                Some(self.enter(Role::Standby, Reason::CopyComplete, situation))
            }
            (Role::Standby, false) => {
                self.holding = Holding::Part;
                Some(self.enter(Role::Sync, Reason::CopyLost, situation))
            }
            _ => None,
        }
    }

    /// Neither node serves: the one that comes first does, and the other waits for it.
    fn when_nobody_serves(&mut self, situation: &Situation, heard: &Heard, resigned: bool) -> Option<Change> {
        if situation.isolated(Some(heard)) {
            // It would have to give up at once what it takes.
            return None;
        }
        let rival = Rank {
            witness: heard.witness,
            holding: heard.entry.holding,
            priority: heard.entry.priority,
            node: heard.claim.node,
        };
        let starting = heard.entry.role == Role::Init && !resigned && self.holding == Holding::Nothing;
        if starting && self.since + self.settings.lone_start > situation.at {
            // Nobody has anything to lose yet, and it may have the higher priority.
            return None;
        }
        let candidate = heard.entry.role.follows() && heard.entry.eligible;
        if candidate && self.rank(!situation.evidence.lost()) < rival {
            return None;
        }
        let (role, reason) = match (resigned, candidate) {
            (true, _) => (Role::Alone, Reason::PeerResigned),
            (false, false) => (Role::Alone, Reason::PeerUnfit),
            (false, true) => (Role::Active, Reason::ColdStart),
        };
        Some(self.take(role, self.next_term(), reason, situation))
    }

    pub(super) fn when_fenced(&mut self, situation: &Situation, heard: Option<&Heard>) -> Option<Change> {
        if self.stopping || self.held {
            return self.stand_aside(situation);
        }
        if !situation.healthy {
            return None;
        }
        // Two nodes that hear each other are not isolated: then it is the gateway that is gone.
        let both = situation.hears() && heard.is_some_and(|heard| !heard.witness);
        let gateway_gone = situation.evidence.lost() && both;
        let back = situation.evidence.fresh(situation.at) || gateway_gone;
        if back && (situation.hears() || heard.is_some()) {
            return Some(self.enter(Role::Sync, Reason::WitnessBack, situation));
        }
        (back && self.quiet_long_enough(situation))
            .then(|| self.take(Role::Alone, self.next_term(), Reason::WitnessBack, situation))
    }

    /// Whether to ask the peer for the instance: the operator wants it, or this node has the higher priority and
    /// everything has been well for long enough.
    pub(super) fn asks(&self, situation: &Situation, heard: &Heard) -> bool {
        let preempts = self.settings.preempt
            && self.settings.priority > heard.entry.priority
            && !self.given_away
            && self.well_since + PREEMPT_DELAY <= situation.at;
        self.ready() && heard.serves() && (preempts || self.asking_until.is_some())
    }
}
