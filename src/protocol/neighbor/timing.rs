//! How long things last.

use crate::types::{Duration, NextHopId};

/// How long an answer is believed before it is verified (RFC 4861 section 10).
pub const REACHABLE: Duration = Duration::from_secs(30);

/// A neighbour that nobody wanted for so long is forgotten; whoever uses one asks again within half that time.
pub const IDLE: Duration = Duration::from_secs(120);

/// How long a forgotten neighbour's slot stays empty. Whoever holds its number without asking for so long must
/// look the next hop up again.
pub const HOLD: Duration = Duration::from_secs(60);

/// A neighbour wanted within this time is not forgotten to make room for another.
pub(super) const RECENT: Duration = Duration::from_secs(30);

/// How long a neighbour that did not answer is not asked again, unless it is pinned.
pub(super) const NEGATIVE: Duration = Duration::from_secs(3);

/// Unanswered questions before a neighbour without a MAC counts as failed.
pub(super) const ATTEMPTS: u8 = 3;

/// Unanswered unicast questions before a known neighbour is looked for under another MAC.
pub(super) const UNICAST_PROBES: u8 = 3;

/// Unanswered questions of both kinds before a known neighbour counts as failed: about four seconds.
pub(super) const PROBES: u8 = 6;

/// Least time between two questions to one neighbour, whatever is announced in its name.
pub(super) const SPACING: Duration = Duration::from_millis(100);

/// Least time between two reports of a conflict.
pub(super) const CONFLICT_GAP: Duration = Duration::from_secs(1);

/// Questions that may leave at once before the rate limit holds.
pub(super) const ASK_BURST: u64 = 32;

const SECOND: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(20);

/// How long to wait for the answer to the question after `asked` unanswered ones.
pub(super) fn retry(asked: u8) -> Duration {
    match asked {
        0 => SPACING,
        1 => Duration::from_millis(300),
        _ => SECOND,
    }
}

/// How long a failed but pinned neighbour is left alone after `asked` more unanswered questions: 1, 2, 4 .. 20 s.
pub(super) fn backoff(asked: u8) -> Duration {
    SECOND.times(1 << asked.min(5)).min(LONGEST_WAIT)
}

/// How long the neighbour in `slot` is believed: a little less than [`REACHABLE`], not all the same, so that
/// those resolved together are not verified together.
pub(super) fn believed(slot: NextHopId) -> Duration {
    let spread = u64::from(slot.0.wrapping_mul(0x9e37_79b9) >> 24); // 0..256
    REACHABLE - Duration::from_millis(spread * 29) // up to 7.4 s less
}
