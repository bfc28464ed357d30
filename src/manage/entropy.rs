//! Where a node's random choices come from: keys of its tables, its incarnation, BFD's discriminators and jitter.

use crate::{packet::HashKey, protocol::bfd::Random};

/// A source of words.
#[derive(Debug)]
pub struct Entropy(Option<Random>);

impl Entropy {
    /// The operating system: nobody can predict it.
    pub const fn system() -> Self {
        Self(None)
    }

    /// A seed: a simulation can be repeated. Anybody can predict it.
    pub const fn seeded(seed: u64) -> Self {
        Self(Some(Random::seeded(seed)))
    }

    /// The next word.
    pub(super) fn word(&mut self) -> u64 {
        match &mut self.0 {
            Some(random) => random.next_u64(),
            None => HashKey::random().word(),
        }
    }

    /// The next key of a table.
    pub(super) fn key(&mut self) -> HashKey {
        HashKey::new([self.word(), self.word()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_itself_and_the_system_does_not() {
        let words = |mut entropy: Entropy| [entropy.word(), entropy.word(), entropy.key().word()];
        assert_eq!(words(Entropy::seeded(1)), words(Entropy::seeded(1)));
        assert_ne!(words(Entropy::seeded(1)), words(Entropy::seeded(2)));
        assert_ne!(words(Entropy::system()), words(Entropy::system()));
    }
}
