//! What a configuration is checked against besides itself.

use super::{Timing, kind::either};
use std::{collections::BTreeSet, fmt, fs, path::Path, thread};

/// The machine: which CPU cores it has, and what it does to their timing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    cores: BTreeSet<u16>,
    timing: Option<Timing>,
}

impl Machine {
    /// A machine with cores 0 to `count` - 1, of whose timing nothing is known.
    pub fn with_cores(count: u16) -> Self {
        Self { cores: (0..count).collect(), timing: None }
    }

    /// This machine: the cores that are online.
    pub fn this() -> Self {
        let listed = fs::read_to_string("/sys/devices/system/cpu/online").ok();
        let machine = listed.and_then(|list| Self::from_list(&list)).unwrap_or_else(|| {
            let count = thread::available_parallelism().map_or(1, |count| count.get());
            Self::with_cores(u16::try_from(count).unwrap_or(u16::MAX))
        });
        machine.timed(Timing::read(Path::new("/")))
    }

    /// The same machine with a timing like that.
    pub fn timed(self, timing: Timing) -> Self {
        Self { timing: Some(timing), ..self }
    }

    /// What it does to the timing of its cores, if that is known.
    pub const fn timing(&self) -> Option<&Timing> {
        self.timing.as_ref()
    }

    /// From a list as the kernel writes it: `0-3,8-11`.
    fn from_list(list: &str) -> Option<Self> {
        let mut cores = BTreeSet::new();
        for part in list.trim().split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            cores.extend(first.parse::<u16>().ok()?..=last.parse().ok()?);
        }
        (!cores.is_empty()).then_some(Self { cores, timing: None })
    }

    /// Whether it has this core.
    pub fn has(&self, core: u16) -> bool {
        self.cores.contains(&core)
    }
}

/// Which cores there are: `0 to 7`, or `0, 2 or 4`.
impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.cores.first(), self.cores.last()) {
            (Some(first), Some(last))
                if usize::from(last - first) + 1 == self.cores.len() && first < last =>
            {
                write!(f, "{first} to {last}")
            }
            _ => f.write_str(&either(&self.cores)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_kernels_list() {
        let machine = Machine::from_list("0-3,8,10-11\n").unwrap();
        assert!(machine.has(3) && machine.has(8) && machine.has(11) && !machine.has(4) && !machine.has(9));
        assert_eq!(Machine::from_list("0-3\n"), Some(Machine::with_cores(4)));
        for bad in ["", "x", "3-0", "0-", "0,,1"] {
            assert_eq!(Machine::from_list(bad), None, "{bad}");
        }
    }

    #[test]
    fn says_which_cores_there_are() {
        assert_eq!(Machine::with_cores(8).to_string(), "0 to 7");
        assert_eq!(Machine::with_cores(1).to_string(), "0");
        assert_eq!(Machine::from_list("0,2,4").unwrap().to_string(), "0, 2 or 4");
    }
}
