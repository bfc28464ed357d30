//! Copies: a worker walks over its table and tells what it holds, while its packets go on. Also the audit, which
//! tells one range's digest after another for ever.
//!
//! ```text
//! begin ─► IPv4 sessions ─► IPv6 sessions ─► sweep ─► a digest for each range ─► end
//! ```

use super::{core::Sessions, journal::Journal};
use crate::{
    packet::Family,
    protocol::sync::{Mark, RANGES, range_of},
    session::{Direction, Table},
    types::{InstanceId, Protocol},
};

/// Entries looked at in one turn.
const LOOKED_AT: usize = 64;
/// Digests told in one turn.
const COMPARED: usize = 16;
/// Sessions copied in a millisecond, at most: half a million a second and worker, 130 Mbit/s.
const SESSIONS_PER_MS: u32 = 500;
/// How often the audit tells a range: a round of all takes about a second.
const AUDIT_MS: u32 = 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Begin,
    V4(usize),
    V6(usize),
    Sweep,
    /// The next instance and range.
    Compare(u8, u8),
    End,
}

#[derive(Clone, Copy, Debug)]
struct Walk {
    stage: Stage,
    ranges: u128,
    instances: u64,
    sessions: u64,
}

/// The copy under way, and the audit.
#[derive(Debug, Default)]
pub(super) struct Copier {
    walk: Option<Walk>,
    generation: u8,
    /// Sessions that may be copied now.
    allowance: u32,
    filled_ms: u32,
    audited_ms: u32,
    /// The range that the audit is at.
    audited: u8,
}

impl Journal {
    /// Copies some more, or audits. Bounded work.
    pub(super) fn step(&mut self, sessions: &Sessions, now_ms: u32) {
        if self.copier.walk.is_none()
            && self.dirty == 0
            && now_ms.wrapping_sub(self.copier.audited_ms) < AUDIT_MS
        {
            return;
        }
        self.go_on(sessions, now_ms);
    }

    #[cold]
    fn go_on(&mut self, sessions: &Sessions, now_ms: u32) {
        if !self.has_room() {
            return;
        }
        match self.copier.walk.take() {
            Some(walk) => self.copier.walk = self.walk(walk, sessions, now_ms),
            None if self.dirty != 0 => {
                let ranges = std::mem::replace(&mut self.dirty, 0);
                let instances = self.owned();
                self.copier.generation = self.copier.generation.wrapping_add(1);
                self.copier.walk = Some(Walk { stage: Stage::Begin, ranges, instances, sessions: 0 });
            }
            None => self.audit(now_ms),
        }
    }

    fn audit(&mut self, now_ms: u32) {
        self.copier.audited_ms = now_ms;
        let range = self.copier.audited;
        self.copier.audited = (range + 1) % RANGES as u8;
        for instance in 0..self.digests.instances() {
            self.compare(InstanceId(instance), range);
        }
    }

    /// Tells a range's digest, if its instance is owned here.
    fn compare(&mut self, instance: InstanceId, range: u8) {
        if self.serves(instance) {
            let digest = self.digests.get(instance, range);
            self.mark(Mark::Range { worker: self.worker, range, instance, digest });
        }
    }

    /// Some more of a walk; `None` at its end. The ring is at least half free.
    fn walk(&mut self, mut walk: Walk, sessions: &Sessions, now_ms: u32) -> Option<Walk> {
        let Walk { ranges, instances, .. } = walk;
        let (worker, generation) = (self.worker, self.copier.generation);
        let next = match walk.stage {
            Stage::Begin => {
                self.mark(Mark::Begin { worker, generation, ranges, instances });
                Stage::V4(0)
            }
            Stage::V4(from) => {
                let next = self.table(&sessions.v4, from, &mut walk, now_ms);
                next.map_or(Stage::V6(0), Stage::V4)
            }
            Stage::V6(from) => {
                let next = self.table(&sessions.v6, from, &mut walk, now_ms);
                next.map_or(Stage::Sweep, Stage::V6)
            }
            Stage::Sweep => {
                self.mark(Mark::Sweep { worker, generation });
                Stage::Compare(0, 0)
            }
            Stage::Compare(instance, range) => self.some_digests(instance, range, &walk),
            Stage::End => {
                self.mark(Mark::End { worker, generation, sessions: walk.sessions });
                return None;
            }
        };
        walk.stage = next;
        Some(walk)
    }

    fn some_digests(&mut self, mut instance: u8, first: u8, walk: &Walk) -> Stage {
        let mut range = first;
        for _ in 0..COMPARED {
            if usize::from(range) == RANGES {
                (instance, range) = (instance + 1, 0);
            }
            if instance >= self.digests.instances() {
                return Stage::End;
            }
            if walk.ranges >> range & 1 == 1 && walk.instances >> instance & 1 == 1 {
                self.compare(InstanceId(instance), range);
            }
            range += 1;
        }
        Stage::Compare(instance, range)
    }

    /// Copies some sessions of a table; gives the number to go on from.
    fn table<F: Family>(
        &mut self,
        table: &Table<F>,
        from: usize,
        walk: &mut Walk,
        now_ms: u32,
    ) -> Option<usize> {
        let elapsed = now_ms.wrapping_sub(self.copier.filled_ms);
        self.copier.filled_ms = now_ms;
        let filled = self.copier.allowance.saturating_add(elapsed.saturating_mul(SESSIONS_PER_MS));
        self.copier.allowance = filled.min(SESSIONS_PER_MS);
        let budget = LOOKED_AT.min(self.copier.allowance as usize);
        if budget == 0 {
            return Some(from);
        }
        let (sessions, next) = table.scan(from, budget);
        for session in sessions {
            let outbound = session.arriving(Direction::Outbound);
            let Some(protocol) = Protocol::from_number(session.protocol()) else { continue };
            let wanted = walk.instances >> session.instance().0 & 1 == 1
                && walk.ranges >> range_of(&outbound, protocol) & 1 == 1;
            if wanted && self.serves(session.instance()) {
                self.copied(session, now_ms);
                self.copier.allowance -= 1;
                walk.sessions += 1;
            }
        }
        next
    }
}
