//! Notices workers that stand still.

use crate::{
    plane::Counters,
    types::{Duration, Instant, WorkerId},
};
use std::sync::Arc;

/// A worker stood still, or turns again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stall {
    /// Which.
    pub worker: WorkerId,
    /// For how long it has stood, or stood.
    pub lasted: Duration,
    /// It turns again.
    pub over: bool,
}

#[derive(Debug)]
struct Watched {
    counters: Arc<Counters>,
    turns: u64,
    seen: Instant,
    stalled: bool,
}

/// Compares heartbeats.
#[derive(Debug)]
pub struct Watchdog {
    workers: Vec<Watched>,
    limit: Duration,
    last_look: Instant,
}

impl Watchdog {
    /// Over workers by their counters; `limit` is how long one may stand still.
    pub fn new(workers: Vec<Arc<Counters>>, limit: Duration) -> Self {
        let watched = |counters| Watched { counters, turns: 0, seen: Instant::ZERO, stalled: false };
        Self { workers: workers.into_iter().map(watched).collect(), limit, last_look: Instant::ZERO }
    }

    /// Stalls that began or ended since the last look. If the looker itself stood still, that is not held against
    /// the workers.
    pub fn look(&mut self, now: Instant) -> impl Iterator<Item = Stall> + use<> {
        let own_gap = now.since(self.last_look) >= self.limit;
        self.last_look = now;
        let limit = self.limit;
        let mut found = arrayvec::ArrayVec::<Stall, 64>::new();
        for (number, watched) in self.workers.iter_mut().enumerate() {
            let turns = watched.counters.heartbeat();
            let lasted = now.since(watched.seen);
            let stall = |over| Stall { worker: WorkerId(number as u8), lasted, over };
            if turns != watched.turns || own_gap {
                if watched.stalled && turns != watched.turns {
                    watched.stalled = false;
                    let _ = found.try_push(stall(true));
                }
                watched.turns = turns;
                watched.seen = now;
            } else if lasted >= limit && !watched.stalled {
                watched.stalled = true;
                let _ = found.try_push(stall(false));
            }
        }
        found.into_iter()
    }

    /// Workers that stand still now.
    pub fn stalled(&self) -> usize {
        self.workers.iter().filter(|worker| worker.stalled).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(millis)
    }

    #[test]
    fn a_stall_is_told_once_and_its_end_too() {
        let counters = Arc::new(Counters::default());
        let mut watchdog = Watchdog::new(vec![Arc::clone(&counters)], Duration::from_millis(100));
        for millis in 0..50 {
            counters.beat(millis);
            assert_eq!(watchdog.look(at(millis)).count(), 0);
        }
        let told: Vec<_> = (50..300).flat_map(|millis| watchdog.look(at(millis))).collect();
        assert_eq!(told, [Stall { worker: WorkerId(0), lasted: Duration::from_millis(100), over: false }]);
        assert_eq!(watchdog.stalled(), 1);
        counters.beat(50);
        let told: Vec<_> = watchdog.look(at(300)).collect();
        assert_eq!(told, [Stall { worker: WorkerId(0), lasted: Duration::from_millis(251), over: true }]);
        assert_eq!(watchdog.stalled(), 0);
    }

    #[test]
    fn a_looker_that_stood_still_blames_nobody() {
        let mut watchdog = Watchdog::new(vec![Arc::new(Counters::default())], Duration::from_millis(100));
        assert_eq!(watchdog.look(at(1)).count(), 0);
        assert_eq!(watchdog.look(at(500)).count(), 0);
        assert_eq!(watchdog.look(at(599)).count(), 0);
        assert_eq!(watchdog.look(at(600)).count(), 1);
    }
}
