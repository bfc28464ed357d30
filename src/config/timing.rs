//! What the machine does to threads that poll: which cores it keeps free for them, and what it lets in between.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

/// Reads whatever a machine shows; what it does not show counts as no disturbance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Timing {
    /// Cores the kernel schedules nothing on by itself.
    pub isolated: BTreeSet<u16>,
    /// Microseconds in each second that real-time threads may run; negative: all. `None` where the kernel has no limit.
    pub rt_runtime_us: Option<i64>,
    /// The frequency governor of each core that has one.
    pub governors: BTreeMap<u16, String>,
    /// How many device interrupts each core is given.
    pub interrupts: BTreeMap<u16, usize>,
}

impl Timing {
    /// Reads `/sys` and `/proc` below `root`, which is `/` but in tests.
    pub fn read(root: &Path) -> Self {
        Self {
            isolated: core_list(&text(root, "sys/devices/system/cpu/isolated")).collect(),
            rt_runtime_us: text(root, "proc/sys/kernel/sched_rt_runtime_us").trim().parse().ok(),
            governors: governors(root),
            interrupts: interrupts(root),
        }
    }
}

/// What stands in a file below `root`; nothing if there is none.
pub(crate) fn text(root: &Path, path: &str) -> String {
    fs::read_to_string(root.join(path)).unwrap_or_default()
}

/// Names in a directory below `root`, in order.
pub(crate) fn names(root: &Path, path: &str) -> Vec<String> {
    let entries = fs::read_dir(root.join(path)).into_iter().flatten();
    let mut names: Vec<String> =
        entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    names.sort();
    names
}

/// The cores of a list as the kernel writes it, `0-3,8`; what is no range is left out.
pub fn core_list(list: &str) -> impl Iterator<Item = u16> {
    let ranges = list.trim().split(',').filter_map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some(first.parse::<u16>().ok()?..=last.parse().ok()?)
    });
    ranges.flatten()
}

fn governors(root: &Path) -> BTreeMap<u16, String> {
    let cpus = names(root, "sys/devices/system/cpu");
    let cpus = cpus.iter().filter_map(|name| name.strip_prefix("cpu")?.parse().ok());
    let governor = |core: u16| {
        text(root, &format!("sys/devices/system/cpu/cpu{core}/cpufreq/scaling_governor")).trim().to_owned()
    };
    cpus.map(|core| (core, governor(core))).filter(|(_, governor)| !governor.is_empty()).collect()
}

/// Interrupts that some driver handles, counted where they arrive.
fn interrupts(root: &Path) -> BTreeMap<u16, usize> {
    let mut counts = BTreeMap::new();
    let handled =
        |number: &String| !text(root, &format!("sys/kernel/irq/{number}/actions")).trim().is_empty();
    for number in names(root, "sys/kernel/irq").into_iter().filter(handled) {
        for core in core_list(&text(root, &format!("proc/irq/{number}/effective_affinity_list"))) {
            *counts.entry(core).or_default() += 1;
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::tree::Tree;

    #[test]
    fn reads_what_a_machine_does_to_its_cores() {
        let tree = Tree::new(&[
            ("sys/devices/system/cpu/isolated", "2-3,x,5\n"),
            ("sys/devices/system/cpu/cpu2/cpufreq/scaling_governor", "powersave\n"),
            ("sys/devices/system/cpu/cpufreq/nothing", ""),
            ("proc/sys/kernel/sched_rt_runtime_us", "950000\n"),
            ("sys/kernel/irq/24/actions", "eth0-rx-0\n"),
            ("proc/irq/24/effective_affinity_list", "2\n"),
            ("sys/kernel/irq/25/actions", "eth0-rx-1,eth1\n"),
            ("proc/irq/25/effective_affinity_list", "0-2\n"),
            ("sys/kernel/irq/26/actions", "\n"),
            ("proc/irq/26/effective_affinity_list", "3\n"),
        ]);
        let timing = Timing::read(tree.root());
        assert_eq!(timing.isolated, BTreeSet::from([2, 3, 5]));
        assert_eq!(timing.rt_runtime_us, Some(950_000));
        assert_eq!(timing.governors, BTreeMap::from([(2, "powersave".to_owned())]));
        assert_eq!(timing.interrupts, BTreeMap::from([(0, 1), (1, 1), (2, 2)]));
    }

    #[test]
    fn a_machine_that_shows_nothing_disturbs_nothing() {
        assert_eq!(Timing::read(Tree::new(&[]).root()), Timing::default());
    }
}
