//! Why a message of the pair's was refused. One reason a message, one counter a reason.

macro_rules! reasons {
    ($($variant:ident = $name:literal, $text:literal;)*) => {
        /// Why a message was refused. The value is the counter's index, [`Refusal::name`] the metric's label.
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

reasons! {
    Stranger = "stranger", "not from an address of the peer, or not sent on this link (TTL below 255)";
    Malformed = "malformed", "no envelope: too short, another magic, or a reserved field that is not zero";
    WrongVersion = "wrong_version", "another version of the envelope: run the same release on both nodes";
    WrongKey = "wrong_key", "no tag, a tag of another key, or a tag where no key is set: give both nodes the same key_file";
    UnknownKind = "unknown_kind", "a kind of message this release does not know";
    OwnMessage = "own_message", "it carries this node's own id: give the nodes of a pair different names";
    Replayed = "replayed", "received before, or of an incarnation that the peer has left behind";
    Unacquainted = "unacquainted", "made before its sender knew of this node's start";
    OtherConfiguration = "other_configuration", "sessions cannot be shared: workers, steering, instances or addresses differ";
    MalformedBody = "malformed_body", "its body is not what its kind says";
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
    /// How many messages were refused for this reason.
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

    /// Counts one.
    pub const fn add(&mut self, reason: Refusal) {
        self.0[reason as usize] += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_and_counters_match() {
        let mut refusals = Refusals::default();
        for (index, reason) in Refusal::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, index);
            assert!(reason.name().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'));
            refusals.add(*reason);
            assert_eq!(refusals.count(*reason), 1);
        }
        assert_eq!(refusals.total(), Refusal::COUNT as u64);
    }
}
