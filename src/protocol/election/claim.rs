//! What orders claims, and what orders candidates.

/// A claim to an instance. The higher of two wins: the later term, and within a term the higher priority, then the
/// higher node id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Claim {
    /// Counts take-overs; never goes back.
    pub term: u64,
    /// The claimant's priority.
    pub priority: u8,
    /// The claimant.
    pub node: u64,
}

/// The most a term may be: what `Ownership` has room for.
pub const MAX_TERM: u64 = (1 << 59) - 1;

/// What a node has of an instance's sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(u8)]
pub enum Holding {
    /// Nothing: it has just started.
    #[default]
    Nothing = 0,
    /// Some: the copy was not complete.
    Part = 1,
    /// All: a verified copy, or it served last itself.
    All = 2,
}

impl Holding {
    /// From its value in hellos.
    pub const fn from_value(value: u8) -> Option<Self> {
        match value {
            0 => Some(Self::Nothing),
            1 => Some(Self::Part),
            2 => Some(Self::All),
            _ => None,
        }
    }
}

/// What orders two nodes of which neither serves: the higher one serves. Whoever has a network comes before who has
/// none, whoever has the sessions before who has not; with equal sessions, as at a cold start, priority decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    pub(super) witness: bool,
    pub(super) holding: Holding,
    pub(super) priority: u8,
    pub(super) node: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_order_claims_before_priority_and_priority_before_id() {
        let claim = |term, priority, node| Claim { term, priority, node };
        let ascending =
            [claim(1, 255, 9), claim(2, 1, 9), claim(2, 100, 1), claim(2, 100, 2), claim(3, 1, 1)];
        assert!(ascending.is_sorted());
    }

    #[test]
    fn candidates_are_ordered_by_network_then_sessions_then_priority_then_id() {
        use Holding::{All, Nothing, Part};
        let rank = |witness, holding, priority, node| Rank { witness, holding, priority, node };
        let ascending = [
            rank(false, All, 255, 9),
            rank(true, Nothing, 255, 9),
            rank(true, Part, 200, 9),
            rank(true, All, 1, 9),
            rank(true, All, 100, 1),
            rank(true, All, 100, 2),
        ];
        assert!(ascending.is_sorted());
    }
}
