//! In which order neighbours are forgotten: lists through the slots, one for each kind, oldest first.

use crate::types::NextHopId;

/// How readily a neighbour is given up, the readiest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Queue {
    /// It asked us; nobody wants it.
    Heard = 0,
    /// It is wanted, but no MAC is known.
    Unresolved = 1,
    /// It is wanted and known.
    Resolved = 2,
}

impl Queue {
    const COUNT: usize = 3;
}

#[derive(Clone, Copy, Debug)]
struct Links {
    queue: Option<Queue>,
    previous: NextHopId,
    next: NextHopId,
}

const NONE: NextHopId = NextHopId::UNKNOWN;
const UNLINKED: Links = Links { queue: None, previous: NONE, next: NONE };

/// The lists of a fixed number of slots; each slot is in one or none.
#[derive(Debug)]
pub(super) struct Queues {
    links: Box<[Links]>,
    oldest: [NextHopId; Queue::COUNT],
    newest: [NextHopId; Queue::COUNT],
}

impl Queues {
    pub(super) fn new(slots: usize) -> Self {
        Self {
            links: vec![UNLINKED; slots].into(),
            oldest: [NONE; Queue::COUNT],
            newest: [NONE; Queue::COUNT],
        }
    }

    /// The slot that has been longest in `queue`.
    pub(super) fn oldest(&self, queue: Queue) -> Option<NextHopId> {
        Some(self.oldest[queue as usize]).filter(|slot| *slot != NONE)
    }

    /// Puts `slot` into `queue`, as its newest unless it is there already; `None`: into no queue.
    pub(super) fn place(&mut self, slot: NextHopId, queue: Option<Queue>) {
        if self.links[slot.index()].queue != queue {
            self.unlink(slot);
            if let Some(queue) = queue {
                self.append(slot, queue);
            }
        }
    }

    /// Makes `slot` the newest of its queue.
    pub(super) fn touch(&mut self, slot: NextHopId) {
        if let Some(queue) = self.links[slot.index()].queue {
            self.unlink(slot);
            self.append(slot, queue);
        }
    }

    fn append(&mut self, slot: NextHopId, queue: Queue) {
        let previous = std::mem::replace(&mut self.newest[queue as usize], slot);
        self.links[slot.index()] = Links { queue: Some(queue), previous, next: NONE };
        match previous {
            NONE => self.oldest[queue as usize] = slot,
            _ => self.links[previous.index()].next = slot,
        }
    }

    fn unlink(&mut self, slot: NextHopId) {
        let Links { queue: Some(queue), previous, next } = self.links[slot.index()] else { return };
        match previous {
            NONE => self.oldest[queue as usize] = next,
            _ => self.links[previous.index()].next = next,
        }
        match next {
            NONE => self.newest[queue as usize] = previous,
            _ => self.links[next.index()].previous = previous,
        }
        self.links[slot.index()] = UNLINKED;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALL: [Option<Queue>; 4] =
        [None, Some(Queue::Heard), Some(Queue::Unresolved), Some(Queue::Resolved)];

    proptest! {
        #[test]
        fn order_is_that_of_plain_lists(steps in prop::collection::vec((0u32..8, 0usize..5), 0..200)) {
            let mut queues = Queues::new(8);
            let mut plain: [Vec<NextHopId>; Queue::COUNT] = Default::default();
            for (slot, step) in steps {
                let slot = NextHopId(slot);
                let now = plain.iter().position(|list| list.contains(&slot));
                let to = match ALL.get(step) {
                    Some(queue) => {
                        queues.place(slot, *queue);
                        queue.map(|queue| queue as usize)
                    }
                    None => {
                        queues.touch(slot);
                        now
                    }
                };
                if step == ALL.len() || now != to {
                    plain.iter_mut().for_each(|list| list.retain(|other| *other != slot));
                    if let Some(to) = to {
                        plain[to].push(slot);
                    }
                }
                for (list, queue) in plain.iter().zip(ALL.into_iter().flatten()) {
                    prop_assert_eq!(queues.oldest(queue), list.first().copied());
                }
            }
            for (list, queue) in plain.iter().zip(ALL.into_iter().flatten()) {
                for slot in list {
                    prop_assert_eq!(queues.oldest(queue), Some(*slot));
                    queues.place(*slot, None);
                }
                prop_assert_eq!(queues.oldest(queue), None);
            }
        }
    }
}
