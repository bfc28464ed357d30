//! What an election tells the outside.

use super::{
    claim::{Claim, Holding},
    hello::Request,
    role::Role,
    view::Silence,
};
use crate::types::{InstanceId, Instant, reason::reasons};
use std::fmt;

reasons! {
    /// Why something changed.
    pub enum Reason {
        Started = "started", "ports and workers are up";
        LoneStart = "lone_start", "nobody was heard for lone_start_ms";
        ColdStart = "cold_start", "neither node serves, and this one comes first";
        CopyComplete = "copy_complete", "all of the peer's sessions are here";
        CopyLost = "copy_lost", "the copy of the peer's sessions is not complete any more";
        PeerSilent = "peer_silent", "the peer was silent on every path for its detection time";
        PeerLeft = "peer_left", "the peer says AdminDown: it leaves on purpose";
        PeerResigned = "peer_resigned", "the peer gave the instance up";
        PeerUnfit = "peer_unfit", "nobody serves, and the peer cannot";
        PeerBack = "peer_back", "the peer is there again";
        PeerDeaf = "peer_deaf", "the peer says on every path that it does not hear this node: expect it to take over";
        HandedOver = "handed_over", "the peer gave the instance to this node";
        HigherClaim = "higher_claim", "the peer serves by a later claim";
        DeafClaim = "deaf_claim", "the peer serves and cannot hear that this node does";
        LowerClaim = "lower_claim", "the peer serves by an earlier claim: the addresses are announced again";
        ConflictOver = "conflict_over", "the peer has yielded: the addresses are announced again";
        AddressContested = "address_contested", "somebody else announced an address of the instance: it is announced again";
        TermRaised = "term_raised", "the peer knows of a later term than this claim's";
        WitnessLost = "witness_lost", "no gateway answers";
        WitnessBack = "witness_back", "a gateway answers again, or nothing of this node's is broken any more";
        SelfCheck = "self_check", "a port or worker of this node failed";
        Operator = "operator", "the operator asked for it";
        PeerAsked = "peer_asked", "the peer asked for the instance";
        HandoverDone = "handover_done", "the peer serves, and strays have ceased";
        HandoverAborted = "handover_aborted", "the peer did not take the instance, or died with it";
        SwitchoverFailed = "switchover_failed", "the peer is not ready, or did not answer in time: this node serves on";
        Held = "held", "the operator holds the instance";
        Released = "released", "the operator released the instance";
        Shutdown = "shutdown", "this node is shutting down";
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What to do about the instance's announcements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Announce {
    /// Nothing new.
    Keep,
    /// Begin them anew, now.
    Start,
    /// Stop them.
    Stop,
}

/// Something to carry out, in this order: store `to.state()`, `to.duty()` and `term` in `Ownership`; start or stop the
/// announcements; tell management. Not every change is one of role: `from` and `to` may be equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Whose.
    pub instance: InstanceId,
    /// The role before.
    pub from: Role,
    /// The role after.
    pub to: Role,
    /// The term after: of who serves, its claim's.
    pub term: u64,
    /// Why.
    pub reason: Reason,
    /// What to do about announcements.
    pub announce: Announce,
    /// It serves now without a complete copy of the sessions.
    pub degraded: bool,
    /// The silence that led to it.
    pub silence: Option<Silence>,
    /// The moment that was judged: all that had been received by then had been looked at.
    pub judged_at: Instant,
    /// When it was decided.
    pub decided_at: Instant,
}

/// Why an operator's wish cannot be granted now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No such instance.
    #[error("no such instance: `hitless get hastate` lists them")]
    Unknown,
    /// This node neither serves the instance nor follows it.
    #[error("the instance is {0} on this node: only MASTER and BACKUP can switch over")]
    NotTakingPart(Role),
    /// The peer is not heard.
    #[error("the peer is silent: there is nobody to switch over to")]
    PeerSilent,
    /// The peer would lose sessions, or has a fault, or is held.
    #[error(
        "the peer is not ready: wait until it has a complete copy of the sessions, see `hitless get hastate`"
    )]
    PeerNotReady,
    /// This node would lose sessions.
    #[error("this node is not ready to take over: it has no complete copy of the peer's sessions yet")]
    NotReady,
    /// One is under way.
    #[error("a switchover is under way: wait for it to end")]
    UnderWay,
}

/// Where an instance stands, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// Its role here.
    pub role: Role,
    /// Since when.
    pub since: Instant,
    /// Of who serves, its claim's term; of others, the highest they know.
    pub term: u64,
    /// What is here of the sessions.
    pub holding: Holding,
    /// This node would take over at once.
    pub ready: bool,
    /// The peer's role and claim, while its hellos come.
    pub peer: Option<(Role, Claim)>,
    /// What this node asks of the peer.
    pub request: Request,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn reasons_have_names_of_their_own() {
        let names: HashSet<_> = Reason::ALL.iter().map(|reason| reason.name()).collect();
        assert_eq!(names.len(), Reason::ALL.len());
        assert!(names.iter().all(|name| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')));
    }
}
