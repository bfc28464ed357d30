//! Planned hand-over, so that not one packet of a session is lost:
//!
//! ```text
//!   who serves                                             who follows
//!   Switch(t): will you?                ───────────────►
//!                                       ◄───────────────  Ready(t): in sync, and with a network
//!   [marks a barrier in the session stream, serves on until the peer has acknowledged all before it]
//!   HANDOVER, Go(t)                     ───────────────►  ACTIVE under t: serves, then announces
//!   [forwards strays; opens nothing, answers no ARP]
//!                                       ◄───────────────  ACTIVE under t
//!   [200 ms without a stray, or 5 s]
//!   STANDBY
//! ```
//!
//! Each request stands in every hello until it is answered, so a lost one costs a hello interval. The term `t` makes
//! each hand-over one of its own: whatever comes late is void.

use super::{
    claim::Holding,
    facts::{Heard, Situation},
    hello::Request,
    instance::Election,
    report::{Announce, Change, Reason, Refused},
    role::Role,
    settings::{DRAIN_LIMIT, GO_PATIENCE, STRAY_QUIET, SWITCH_PATIENCE, SWITCH_PAUSE},
};
use crate::types::Instant;

/// Why the instance is to go to the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    Operator,
    PeerAsked,
    /// This node has lost its network, the peer has not.
    Witness,
    SelfCheck,
    Held,
    Shutdown,
}

impl Why {
    const fn reason(self) -> Reason {
        match self {
            Self::Operator => Reason::Operator,
            Self::PeerAsked => Reason::PeerAsked,
            Self::Witness => Reason::WitnessLost,
            Self::SelfCheck => Reason::SelfCheck,
            Self::Held => Reason::Held,
            Self::Shutdown => Reason::Shutdown,
        }
    }

    /// This node wants to be rid of it, whoever takes it.
    const fn is_final(self) -> bool {
        matches!(self, Self::Held | Self::Shutdown)
    }
}

/// A hand-over that has begun, while this node still serves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Going {
    term: u64,
    since: Instant,
    why: Why,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The peer is asked.
    Asked,
    /// The peer is ready; what it has of the session stream is to be complete.
    Flushing,
    /// It is.
    Flushed,
}

/// What HANDOVER remembers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Draining {
    term: u64,
    why: Why,
    /// When the peer was first heard to serve.
    served_at: Option<Instant>,
    last_stray: Instant,
}

impl Election {
    /// Asks the peer to take the instance.
    pub(super) fn ask_to_go(&mut self, why: Why, situation: &Situation) {
        self.going = Some(Going { term: self.next_term(), since: situation.at, why, stage: Stage::Asked });
    }

    /// Follows a hand-over that has begun.
    pub(super) fn when_going(&mut self, situation: &Situation, heard: Option<&Heard>) -> Option<Change> {
        let going = self.going.as_mut()?;
        // The operator's later wishes overtake whatever it was begun for.
        if self.stopping {
            going.why = Why::Shutdown;
        } else if self.held {
            going.why = Why::Held;
        }
        let Going { term, since, why, .. } = *going;
        if self.can_hand_over.is_err() || since + SWITCH_PATIENCE <= situation.at {
            return self.called_off(why, situation);
        }
        let ready = heard.is_some_and(|heard| heard.entry.request == Request::Ready(term));
        if going.stage == Stage::Asked && ready {
            going.stage = if self.settings.sync { Stage::Flushing } else { Stage::Flushed };
        }
        (going.stage == Stage::Flushed).then(|| self.go(why, term, situation))
    }

    /// Gives the instance to the peer.
    pub(super) fn go(&mut self, why: Why, term: u64, situation: &Situation) -> Change {
        self.known = self.known.max(term);
        self.given_away = why == Why::Operator;
        let change = self.enter(Role::Handover, why.reason(), situation);
        self.draining = Some(Draining { term, why, served_at: None, last_stray: situation.at });
        Change { announce: Announce::Stop, ..change }
    }

    /// The peer cannot take it: a node that must go goes all the same, any other serves on.
    pub(super) fn called_off(&mut self, why: Why, situation: &Situation) -> Option<Change> {
        self.going = None;
        self.wanted = false;
        self.retry_at = situation.at + SWITCH_PAUSE;
        Some(match why {
            Why::Shutdown => self.resign(Role::Init, Reason::Shutdown, situation),
            Why::Held => self.resign(Role::Admin, Reason::Held, situation),
            Why::SelfCheck => self.resign(Role::Fenced, Reason::SelfCheck, situation),
            Why::Operator | Why::PeerAsked | Why::Witness => self.note(Reason::SwitchoverFailed, situation),
        })
    }

    pub(super) fn when_handing_over(
        &mut self,
        situation: &Situation,
        heard: Option<&Heard>,
    ) -> Option<Change> {
        let draining = self.draining.as_mut()?;
        let Draining { term, why, last_stray, .. } = *draining;
        let serves = heard.is_some_and(|heard| heard.serves() && heard.entry.term >= term);
        if serves {
            draining.served_at.get_or_insert(situation.at);
        }
        let served_at = draining.served_at;
        let is_final = why.is_final() || self.stopping || self.held;
        if situation.silence().is_some() && !is_final {
            // With the peer dies what it was given; this node still has the sessions.
            return Some(match (situation.healthy, situation.evidence.given_up(situation.at)) {
                (false, _) => self.resign(Role::Fenced, Reason::SelfCheck, situation),
                (_, true) => self.resign(Role::Fenced, Reason::WitnessLost, situation),
                _ => self.take_back(Role::Alone, situation),
            });
        }
        match served_at {
            Some(served) => {
                let quiet = served.max(last_stray) + STRAY_QUIET <= situation.at;
                let over = self.since + DRAIN_LIMIT <= situation.at;
                let given_up_by_peer = heard.is_some_and(|heard| !heard.serves());
                (quiet || over || given_up_by_peer)
                    .then(|| self.leave(Reason::HandoverDone, situation, heard))
            }
            None if situation.silence().is_some() || self.since + GO_PATIENCE <= situation.at => {
                self.retry_at = situation.at + SWITCH_PAUSE;
                Some(match is_final || !situation.healthy {
                    true => self.leave(Reason::HandoverAborted, situation, heard),
                    false => self.take_back(Role::Active, situation),
                })
            }
            None => None,
        }
    }

    /// The term given away may be in use, so the next one is needed.
    fn take_back(&mut self, to: Role, situation: &Situation) -> Change {
        let change = self.take(to, self.next_term(), Reason::HandoverAborted, situation);
        Change { silence: situation.silence(), ..change }
    }

    fn leave(&mut self, reason: Reason, situation: &Situation, heard: Option<&Heard>) -> Change {
        let kept_from_following =
            [(self.stopping, Role::Init), (self.held, Role::Admin), (!situation.healthy, Role::Fenced)];
        if let Some((_, to)) = kept_from_following.into_iter().find(|(is_so, _)| *is_so) {
            let change = self.enter(to, reason, situation);
            self.resigned = reason == Reason::HandoverAborted;
            return change;
        }
        let following = heard.filter(|heard| heard.serves()).map(|heard| heard.entry.term);
        let synced =
            !self.settings.sync || self.copied.zip(following).is_some_and(|(copied, from)| copied >= from);
        let to = if synced && following.is_some() { Role::Standby } else { Role::Sync };
        if to == Role::Sync && self.settings.sync {
            self.holding = Holding::Part;
        }
        let change = self.enter(to, reason, situation);
        self.following = following;
        self.armed = situation.hears() && !situation.leaving();
        change
    }

    /// What the next hello asks or answers.
    pub(super) fn request(&self, situation: &Situation, heard: Option<&Heard>) -> Request {
        match (self.role, self.going, self.draining) {
            (Role::Active | Role::Alone, Some(Going { term, .. }), _) => Request::Switch(term),
            (Role::Handover, _, Some(Draining { term, served_at: None, .. })) => Request::Go(term),
            (Role::Standby, ..) => self.answer(situation, heard),
            _ if self.resigned => Request::Resign,
            _ => Request::None,
        }
    }

    fn answer(&self, situation: &Situation, heard: Option<&Heard>) -> Request {
        let Some(heard) = heard else { return Request::None };
        match heard.entry.request {
            Request::Switch(term) if heard.serves() && term > self.known && self.ready() => {
                // Whoever has no network takes nothing, unless the other has none either.
                let fit = situation.evidence.fresh(situation.at) || !heard.witness;
                if fit { Request::Ready(term) } else { Request::None }
            }
            _ if self.asks(situation, heard) => Request::Ask,
            _ => Request::None,
        }
    }

    /// The hand-over waits for the session stream.
    pub(super) fn wants_flush(&self) -> bool {
        self.going.is_some_and(|going| going.stage == Stage::Flushing)
    }

    /// A packet of the instance still came here.
    pub(super) fn stray(&mut self, at: Instant) {
        if let Some(draining) = &mut self.draining {
            draining.last_stray = draining.last_stray.max(at);
        }
    }

    /// The session stream up to the barrier has been acknowledged.
    pub(super) fn flushed(&mut self) {
        if let Some(going) = self.going.as_mut().filter(|going| going.stage == Stage::Flushing) {
            going.stage = Stage::Flushed;
        }
    }

    /// The operator wants the other node to serve.
    pub(super) fn switch_over(&mut self, now: Instant) -> Result<(), Refused> {
        match self.role {
            Role::Active | Role::Alone if self.going.is_some() || self.wanted => Err(Refused::UnderWay),
            Role::Active | Role::Alone => {
                self.can_hand_over?;
                self.wanted = true;
                Ok(())
            }
            Role::Handover => Err(Refused::UnderWay),
            Role::Standby if self.asking_until.is_some() => Err(Refused::UnderWay),
            Role::Standby if self.ready() => {
                self.asking_until = Some(now + SWITCH_PATIENCE);
                Ok(())
            }
            Role::Sync | Role::Standby => Err(Refused::NotReady),
            role @ (Role::Init | Role::Fenced | Role::Admin) => Err(Refused::NotTakingPart(role)),
        }
    }
}
