//! The passive check: what clients' own SYNs say of a backend. It is a hint for people, and changes nothing: a network
//! that loses packets looks the same.

use crate::types::BackendId;
use std::collections::HashMap;

/// SYNs in a row without an answer that are worth a word.
const SEVERAL: u64 = 8;

/// What the workers have counted of a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Openings {
    /// Sessions opened.
    pub(super) opened: u64,
    /// The last of them, so many in a row, have no answer.
    pub(super) unanswered: u64,
}

/// What has become of a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hint {
    /// So many SYNs in a row have no answer.
    Mute(u64),
    /// It answers again.
    Answers,
}

/// Backends as they were at the last look.
#[derive(Debug, Default)]
pub(super) struct Passive {
    last: HashMap<BackendId, (Openings, bool)>,
}

impl Passive {
    /// Looks at all backends, about once a second; gives those of which there is something to say.
    ///
    /// Between two looks not one answer may have come: under load there are always some SYNs under way.
    pub(super) fn look(
        &mut self,
        backends: impl Iterator<Item = (BackendId, Openings)>,
    ) -> Vec<(BackendId, Hint)> {
        let mut hints = Vec::new();
        let mut next = HashMap::with_capacity(self.last.len());
        for (id, now) in backends {
            let (before, was_mute) = self.last.get(&id).copied().unwrap_or((now, false));
            let opened = now.opened.wrapping_sub(before.opened);
            let silent = now.unanswered == before.unanswered.wrapping_add(opened);
            let mute = match was_mute {
                true => silent,
                false => silent && opened > 0 && now.unanswered >= SEVERAL,
            };
            match (was_mute, mute) {
                (false, true) => hints.push((id, Hint::Mute(now.unanswered))),
                (true, false) => hints.push((id, Hint::Answers)),
                _ => {}
            }
            next.insert(id, (now, mute));
        }
        self.last = next;
        hints
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: BackendId = BackendId(7);

    fn look(passive: &mut Passive, opened: u64, unanswered: u64) -> Option<Hint> {
        let hints = passive.look([(ID, Openings { opened, unanswered })].into_iter());
        hints.into_iter().next().map(|(id, hint)| {
            assert_eq!(id, ID);
            hint
        })
    }

    #[test]
    fn several_without_an_answer_are_told_of_once_and_so_is_the_first_answer() {
        let mut passive = Passive::default();
        assert_eq!(look(&mut passive, 100, 0), None);
        assert_eq!(look(&mut passive, 107, 7), None, "too few");
        assert_eq!(look(&mut passive, 109, 9), Some(Hint::Mute(9)));
        assert_eq!(look(&mut passive, 150, 50), None, "told already");
        assert_eq!(look(&mut passive, 150, 50), None, "nobody asks");
        assert_eq!(look(&mut passive, 160, 3), Some(Hint::Answers));
    }

    #[test]
    fn syns_under_way_are_none_without_an_answer() {
        let mut passive = Passive::default();
        // A thousand under way at each look, of a million a second.
        for second in 0..10 {
            assert_eq!(look(&mut passive, second * 1_000_000, 1000 + second % 3), None);
        }
        // No more come: the last ones may be answered a moment later.
        assert_eq!(look(&mut passive, 9_000_000, 1000), None);
        assert_eq!(look(&mut passive, 9_000_000, 1000), None);
    }
}
