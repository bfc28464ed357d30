//! Why a hello was refused. One reason a hello, one counter a reason, in the order of the checks.

macro_rules! refusals {
    ($($variant:ident = $name:literal, $text:literal;)*) => {
        /// Why a hello was refused. The value is the counter's index, [`Refusal::name`] the metric's label.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
        #[repr(u8)]
        pub enum Refusal {
            $(#[doc = $text] #[error($text)] $variant,)*
        }

        impl Refusal {
            /// Every reason, in the order of the checks and of the counters.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];
            /// How many there are.
            pub const COUNT: usize = Self::ALL.len();

            /// The counter's name: metric label, JSON key, table row.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

refusals! {
    Truncated = "truncated", "shorter than its header and its number of instances say";
    Version = "version", "another version of the hello: run the same version on both nodes";
    TrailingBytes = "trailing_bytes", "longer than its number of instances says";
    Instances = "instances", "no instance, or more than fit a hello";
    Reserved = "reserved", "a reserved bit or byte is set";
    NodeZero = "node_zero", "the node id is 0";
    IncarnationZero = "incarnation_zero", "the incarnation is 0";
    Role = "role", "a role that is none";
    Priority = "priority", "priority 0";
    Holding = "holding", "a holding that is none";
    Request = "request", "a request that is none";
    Term = "term", "a term beyond 2^59 - 1, or a request whose term is 0";
    Duplicate = "duplicate", "an instance twice";
    OwnNode = "own_node", "from this node's own id: give the nodes different ids, or look for a loop";
    Retired = "retired", "from an incarnation that a later one has replaced";
    Old = "old", "not newer than the one before";
}

/// A counter for each reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusals([u64; Refusal::COUNT]);

impl Default for Refusals {
    fn default() -> Self {
        Self([0; Refusal::COUNT])
    }
}

impl Refusals {
    /// How many were refused for this reason.
    pub const fn count(&self, reason: Refusal) -> u64 {
        self.0[reason as usize]
    }

    /// How many were refused in all.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Each reason with its count.
    pub fn iter(&self) -> impl Iterator<Item = (Refusal, u64)> {
        Refusal::ALL.iter().copied().zip(self.0)
    }

    pub(super) fn add(&mut self, reason: Refusal) {
        self.0[reason as usize] += 1;
    }
}
