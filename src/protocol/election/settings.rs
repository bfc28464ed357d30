//! What an operator decides, and the times nobody needs to decide.

use crate::types::{Duration, InstanceId};

/// From hello to hello, while nothing changes.
pub const HELLO_INTERVAL: Duration = Duration::from_millis(10);
/// How long a hello speaks for the peer: ten may be lost on the way. Also how long a loop may stand still and still
/// count as having listened.
pub const HELLO_FRESH: Duration = Duration::from_millis(100);
/// How long a peer must claim without hearing us before we yield to it: it cannot know of us, so it cannot yield.
pub const DEAF_HOLD: Duration = Duration::from_millis(100);
/// From one announcement against somebody who has an address of ours to the next, at most.
pub(super) const DEFENSE_PAUSE_MOST: Duration = Duration::from_secs(1);
/// After so long without a stranger's announcement the next is answered at once again (RFC 5227, DEFEND_INTERVAL).
pub(super) const DEFENSE_REST: Duration = Duration::from_secs(10);
/// From asking the peer to take over to giving up.
pub const SWITCH_PATIENCE: Duration = Duration::from_secs(2);
/// From giving the instance away to taking it back because the peer did not come for it.
pub const GO_PATIENCE: Duration = Duration::from_millis(200);
/// A hand-over that failed is not tried again for so long, unless by the operator.
pub const SWITCH_PAUSE: Duration = Duration::from_secs(1);
/// A hand-over is over when no stray came for so long,
pub const STRAY_QUIET: Duration = Duration::from_millis(200);
/// or so long after it began.
pub const DRAIN_LIMIT: Duration = Duration::from_secs(5);
/// How long everything must have been well before a node of higher priority asks for its instance back.
pub const PREEMPT_DELAY: Duration = Duration::from_secs(60);
/// How far terms are reserved ahead.
pub const TERM_RESERVE: u64 = 1000;

/// One instance's configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Its place in this node's configuration.
    pub instance: InstanceId,
    /// Its name, by [`super::name_hash`]: what both nodes know it by.
    pub name: u64,
    /// Higher wins at a cold start, and between claims of one term; not 0.
    pub priority: u8,
    /// With the higher priority, ask for the instance when all has been well for [`PREEMPT_DELAY`].
    pub preempt: bool,
    /// Nobody heard for so long: serve alone.
    pub lone_start: Duration,
    /// Sessions are synced; without, a follower counts as having them.
    pub sync: bool,
}

/// The node's configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeSettings {
    /// This node's id, not 0; different from the peer's.
    pub node: u64,
    /// Random, not 0, another one at every start.
    pub incarnation: u64,
    /// The last term reserved before the start, 0 for none: no claim will be at or below it.
    pub first_term: u64,
    /// A node that stood still so long serves nothing until it has looked again; zero: no lease.
    pub lease: Duration,
}
