//! The cores that measuring threads run on, and what is wrong with them.

use crate::config::Timing;
use core_affinity::CoreId;
use std::{collections::BTreeSet, path::Path};

/// Cores for a number of polling loops.
#[derive(Clone, Debug)]
pub(super) struct Cores {
    /// One a loop; none if there are not enough.
    loops: Vec<CoreId>,
    isolated: bool,
    available: usize,
}

impl Cores {
    /// So many, the highest there are: interrupts and other programs prefer the lowest.
    pub(super) fn for_loops(count: usize) -> Self {
        let isolated = Timing::read(Path::new("/")).isolated;
        Self::choose(core_affinity::get_core_ids().unwrap_or_default(), &isolated, count)
    }

    fn choose(mut all: Vec<CoreId>, isolated: &BTreeSet<u16>, count: usize) -> Self {
        let available = all.len();
        let is_isolated = |core: &CoreId| u16::try_from(core.id).is_ok_and(|id| isolated.contains(&id));
        all.sort_by_key(|core| (!is_isolated(core), std::cmp::Reverse(core.id)));
        all.truncate(count);
        if all.len() < count {
            all.clear();
        }
        let isolated = !all.is_empty() && all.iter().all(is_isolated);
        Self { loops: all, isolated, available }
    }

    /// Puts the calling thread on a loop's core. False if it has none for itself.
    pub(super) fn pin(&self, number: usize) -> bool {
        self.loops.get(number).is_some_and(|core| core_affinity::set_for_current(*core))
    }

    /// For people.
    pub(super) fn describe(&self) -> String {
        let list: Vec<String> = self.loops.iter().map(|core| core.id.to_string()).collect();
        let list = list.join(" and ");
        match (self.loops.len(), self.isolated) {
            (0, _) => format!("{} for all loops: times say little, give them one each", self.available),
            (_, true) => format!("{list}, isolated"),
            (count, false) if count < self.available => {
                format!(
                    "{list}, not isolated: the kernel runs other threads there too (boot with isolcpus={list})"
                )
            }
            _ => format!(
                "{list}, all there are: every other thread runs there too, so stalls are the machine's"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::core_list;

    fn chosen(count: usize, listed: &str, loops: usize) -> (Vec<usize>, bool) {
        let all = (0..count).map(|id| CoreId { id }).collect();
        let cores = Cores::choose(all, &core_list(listed).collect(), loops);
        (cores.loops.iter().map(|core| core.id).collect(), cores.isolated)
    }

    #[test]
    fn isolated_cores_come_first_then_the_highest() {
        assert_eq!(chosen(8, "2-3,6\n", 2), (vec![6, 3], true));
        assert_eq!(chosen(8, "2", 2), (vec![2, 7], false));
        assert_eq!(chosen(2, "\n", 2), (vec![1, 0], false));
        assert_eq!(chosen(1, "", 2), (vec![], false));
    }
}
