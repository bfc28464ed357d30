//! How busy the machine is, and the frequency of its cycle counter.

use std::{fs, time::Instant};

/// Shares in use, in percent; `None` where the machine does not say.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub(super) struct Utilization {
    /// CPU time since the last reading.
    pub(super) cpu: Option<f64>,
    /// Memory.
    pub(super) memory: Option<f64>,
    /// The root file system.
    pub(super) disk: Option<f64>,
}

/// CPU time so far, in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) struct CpuTime {
    busy: u64,
    all: u64,
}

impl CpuTime {
    /// Of `/proc/stat`, see proc_stat(5).
    pub(super) fn now() -> Option<Self> {
        Self::parse(&fs::read_to_string("/proc/stat").ok()?)
    }

    fn parse(stat: &str) -> Option<Self> {
        let line = stat.lines().next()?.strip_prefix("cpu ")?;
        // Guests' time is part of the user's.
        let ticks: Vec<u64> = line.split_whitespace().take(8).map_while(|ticks| ticks.parse().ok()).collect();
        let (idle, waiting) = (ticks.get(3)?, ticks.get(4)?);
        let all = ticks.iter().sum();
        Some(Self { busy: all - idle - waiting, all })
    }

    /// The share that was busy since `earlier`; `None` when no time has passed.
    pub(super) fn percent_since(self, earlier: Self) -> Option<f64> {
        let all = self.all.checked_sub(earlier.all).filter(|all| *all > 0)?;
        Some(100.0 * self.busy.saturating_sub(earlier.busy) as f64 / all as f64)
    }
}

/// Share of memory in use, see proc_meminfo(5).
pub(super) fn memory_percent() -> Option<f64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let kilobytes = |key: &str| -> Option<f64> {
        text.lines().find_map(|line| line.strip_prefix(key)?.split_whitespace().next()?.parse().ok())
    };
    let total = kilobytes("MemTotal:").filter(|total| *total > 0.0)?;
    Some(100.0 * (1.0 - kilobytes("MemAvailable:")? / total))
}

/// Share of the root file system in use, of what ordinary users can have.
pub(super) fn disk_percent() -> Option<f64> {
    let found = rustix::fs::statvfs("/").ok()?;
    let used = found.f_blocks.saturating_sub(found.f_bfree);
    let usable = used + found.f_bavail;
    (usable > 0).then(|| 100.0 * used as f64 / usable as f64)
}

/// Measures the cycle counter against the system's clock, better the longer it runs.
#[derive(Debug)]
pub(super) struct CycleRate {
    clock: quanta::Clock,
    cycles: u64,
    start: Instant,
}

impl CycleRate {
    /// Begins now.
    pub(super) fn start() -> Self {
        let clock = quanta::Clock::new();
        Self { start: Instant::now(), cycles: clock.raw(), clock }
    }

    /// Cycles a second.
    pub(super) fn hertz(&self) -> f64 {
        let (cycles, elapsed) = (self.clock.raw().wrapping_sub(self.cycles), self.start.elapsed());
        cycles as f64 / elapsed.as_secs_f64().max(f64::MIN_POSITIVE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_busy_or_idle() {
        let earlier = CpuTime::parse("cpu  10 0 10 70 10 0 0 0 5 5\ncpu0 1 1 1 1\n").unwrap();
        assert_eq!(earlier, CpuTime { busy: 20, all: 100 });
        let now = CpuTime::parse("cpu  40 0 20 120 20 0 0 0 5 5\n").unwrap();
        assert_eq!(now.percent_since(earlier), Some(40.0));
        assert_eq!(now.percent_since(now), None);
        assert_eq!(earlier.percent_since(now), None);
        assert_eq!(CpuTime::parse("intr 5\n"), None);
        assert_eq!(CpuTime::parse("cpu  1 2\n"), None);
    }

    #[test]
    fn this_machine_answers() {
        assert!(CpuTime::now().unwrap().all > 0);
        for percent in [memory_percent(), disk_percent()] {
            assert!((0.0..=100.0).contains(&percent.unwrap()), "{percent:?}");
        }
        let rate = CycleRate::start();
        std::thread::sleep(std::time::Duration::from_millis(20));
        assert!(rate.hertz() > 1e6, "{}", rate.hertz());
    }
}
