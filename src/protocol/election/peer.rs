//! Who the peer is, by its hellos.

use super::{hello::Sender, refusal::Refusal, settings::HELLO_FRESH};
use crate::types::Instant;
use arrayvec::ArrayVec;

/// How many replaced incarnations are remembered, so that their late hellos are refused.
const RETIRED: usize = 8;

/// The sender of the newest hello.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    latest: Option<(Sender, Instant)>,
    retired: ArrayVec<(u64, u64), RETIRED>,
}

impl Peer {
    pub(super) const fn new() -> Self {
        Self { latest: None, retired: ArrayVec::new_const() }
    }

    /// Whether a hello that was received `at` may be believed, and whether it is another incarnation's than before.
    pub(super) fn admit(&mut self, sender: &Sender, own: u64, at: Instant) -> Result<bool, Refusal> {
        let identity = (sender.node, sender.incarnation);
        if sender.node == own {
            return Err(Refusal::OwnNode);
        }
        if self.retired.contains(&identity) {
            return Err(Refusal::Retired);
        }
        let before = self.latest.map(|(known, _)| known);
        let same = before.is_some_and(|known| (known.node, known.incarnation) == identity);
        if same && before.is_some_and(|known| sender.sequence <= known.sequence) {
            return Err(Refusal::Old);
        }
        if let Some(known) = before.filter(|_| !same) {
            if self.retired.is_full() {
                self.retired.remove(0);
            }
            self.retired.push((known.node, known.incarnation));
        }
        self.latest = Some((*sender, at));
        Ok(!same)
    }

    /// The sender of the newest hello, if that still speaks for it at `at`.
    pub(super) fn fresh(&self, at: Instant) -> Option<&Sender> {
        self.latest.as_ref().filter(|(_, heard)| *heard + HELLO_FRESH > at).map(|(sender, _)| sender)
    }

    /// The newest hello's sender, and when it was received.
    pub(super) fn latest(&self) -> Option<(&Sender, Instant)> {
        self.latest.as_ref().map(|(sender, at)| (sender, *at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sender(node: u64, incarnation: u64, sequence: u64) -> Sender {
        Sender { node, incarnation, sequence, hears: 0, witness: true }
    }

    #[test]
    fn only_what_is_newer_is_believed() {
        let mut peer = Peer::new();
        let now = Instant::ZERO;
        for (what, hello, expected) in [
            ("our own, come back", sender(1, 5, 1), Err(Refusal::OwnNode)),
            ("the first", sender(2, 5, 7), Ok(true)),
            ("the next", sender(2, 5, 9), Ok(false)),
            ("a repetition", sender(2, 5, 9), Err(Refusal::Old)),
            ("one overtaken on the way", sender(2, 5, 8), Err(Refusal::Old)),
            ("of a new start, counted from 1", sender(2, 6, 1), Ok(true)),
            ("a late one of the time before", sender(2, 5, 99), Err(Refusal::Retired)),
            ("of another machine in its place", sender(3, 5, 1), Ok(true)),
        ] {
            assert_eq!(peer.admit(&hello, 1, now), expected, "{what}");
        }
    }

    #[test]
    fn a_hello_speaks_for_a_tenth_of_a_second() {
        let mut peer = Peer::new();
        peer.admit(&sender(2, 5, 1), 1, Instant::from_nanos(7)).unwrap();
        assert!(
            peer.fresh(Instant::from_nanos(7) + HELLO_FRESH - crate::types::Duration::from_nanos(1))
                .is_some()
        );
        assert!(peer.fresh(Instant::from_nanos(7) + HELLO_FRESH).is_none());
    }
}
