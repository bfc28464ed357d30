//! What is the case at one moment, as one instance sees it.

use super::{
    claim::{Claim, Holding},
    hello::{Entry, Request},
    role::Role,
    view::{Presence, Silence},
};
use crate::{protocol::witness::Evidence, types::Instant};

/// The node's situation, the same for all its instances.
#[derive(Clone, Copy, Debug)]
pub(super) struct Situation {
    pub(super) presence: Presence,
    /// A LoxiLB peer has elected: this node or itself.
    pub(super) elected: Option<bool>,
    pub(super) evidence: Evidence,
    /// Ports and workers of this node are well.
    pub(super) healthy: bool,
    /// The peer's hellos come, whatever instances they name.
    pub(super) talking: bool,
    /// This node's loop stood still before this moment: it has not listened.
    pub(super) stood_still: bool,
    /// The moment judged: all that was received before has been looked at.
    pub(super) at: Instant,
    pub(super) now: Instant,
}

/// What the peer says of one instance, while that is fresh.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heard {
    pub(super) entry: Entry,
    pub(super) claim: Claim,
    pub(super) hears_us: bool,
    pub(super) witness: bool,
    /// When that was received.
    pub(super) at: Instant,
}

impl Heard {
    /// What a LoxiLB peer would say, if it said hello: that it serves by a claim above all others, or that it follows
    /// and comes last.
    pub(super) const fn loxilb(this_node_leads: bool, at: Instant) -> Self {
        let (role, term) = if this_node_leads { (Role::Sync, 0) } else { (Role::Active, u64::MAX) };
        let entry = Entry {
            name: 0,
            role,
            term,
            priority: 0,
            holding: Holding::Nothing,
            ready: false,
            eligible: true,
            request: Request::None,
        };
        Self { entry, claim: entry.claim(0), hears_us: true, witness: !this_node_leads, at }
    }

    pub(super) const fn serves(&self) -> bool {
        self.entry.role.serves()
    }
}

impl Situation {
    pub(super) fn hears(&self) -> bool {
        matches!(self.presence, Presence::Heard { .. })
    }

    pub(super) fn silence(&self) -> Option<Silence> {
        match self.presence {
            Presence::Silent(silence) => Some(silence),
            Presence::Heard { .. } | Presence::Unheard => None,
        }
    }

    pub(super) fn leaving(&self) -> bool {
        matches!(self.presence, Presence::Heard { leaving: true, .. })
    }

    pub(super) fn deaf(&self) -> bool {
        matches!(self.presence, Presence::Heard { deaf: true, .. })
    }

    /// Rule R2, of a peer silent as it is.
    pub(super) fn vouched(&self) -> bool {
        self.evidence.vouches(self.silence().map(|silence| silence.due_at), self.at)
    }

    /// Nobody speaks to this node: neither BFD nor, in `heard`, hellos of a peer that BFD never heard; and no gateway
    /// answers.
    pub(super) fn isolated(&self, heard: Option<&Heard>) -> bool {
        self.is_without_peer(heard) && self.evidence.given_up(self.at)
    }

    /// The peer is gone, as far as this node can tell.
    pub(super) fn is_without_peer(&self, heard: Option<&Heard>) -> bool {
        match self.presence {
            Presence::Silent(_) => true,
            Presence::Unheard => heard.is_none(),
            Presence::Heard { .. } => false,
        }
    }
}
