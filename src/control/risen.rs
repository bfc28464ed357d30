//! Links that come up: whoever is needed behind one is asked again without waiting, some slots a step.

use crate::{
    plane::Links,
    protocol::neighbor::Neighbors,
    types::{Instant, NextHopId},
};
use std::sync::Arc;

/// Slots looked at in one step: a second's patience of theirs is worth more than some microseconds of ours.
const PER_STEP: usize = 256;

/// What is known of the links.
#[derive(Debug)]
pub(super) struct Risen {
    links: Arc<Links>,
    /// Ports that had a link at the last look.
    up: u32,
    /// Ports whose neighbours are being renewed.
    ports: u32,
    /// The slot that is next.
    at: usize,
}

impl Risen {
    pub(super) fn new(links: Arc<Links>) -> Self {
        Self { up: links.up(), links, ports: 0, at: 0 }
    }

    pub(super) fn step(&mut self, neighbors: &mut Neighbors, now: Instant) {
        let up = self.links.up();
        let came = up & !self.up;
        self.up = up;
        if came != 0 {
            (self.ports, self.at) = (self.ports | came, 0);
        }
        if self.ports == 0 {
            return;
        }
        let end = neighbors.slots().min(self.at + PER_STEP);
        for slot in (self.at as u32..end as u32).map(NextHopId) {
            let behind = |port: u8| self.ports.checked_shr(port.into()).is_some_and(|bits| bits & 1 == 1);
            if neighbors.neighbor(slot).is_some_and(|neighbor| behind(neighbor.port.0)) {
                neighbors.renew(slot, now);
            }
        }
        self.at = end;
        if end == neighbors.slots() {
            self.ports = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        protocol::neighbor::{Effect, Settings},
        types::{Duration, PortId},
    };

    /// How many were asked, of those behind each of two ports.
    fn asked(neighbors: &mut Neighbors, now: Instant) -> [usize; 2] {
        let mut count = [0; 2];
        neighbors.poll(now, 10_000);
        while let Some(effect) = neighbors.next_effect() {
            if let Effect::Ask(ask) = effect {
                count[ask.port.index()] += 1;
            }
            neighbors.poll(now, 10_000);
        }
        count
    }

    #[test]
    fn neighbours_behind_the_link_are_asked_again_and_no_others() {
        let mut neighbors = Neighbors::new(Settings { capacity: 1000, ..Settings::default() });
        let links = Arc::new(Links::default());
        let mut risen = Risen::new(Arc::clone(&links));
        let mut now = Instant::ZERO;
        for n in 0..400u16 {
            let [high, low] = n.to_be_bytes();
            neighbors.pin(PortId((n % 2) as u8), [10, 0, high, low].into(), now).unwrap();
        }
        // Nobody answers, for so long that they are asked only every 20 seconds.
        for _ in 0..1200 {
            now = now + Duration::from_millis(100);
            asked(&mut neighbors, now);
        }
        links.set(PortId(1), false);
        risen.step(&mut neighbors, now);
        links.set(PortId(1), true);
        let mut count = [0; 2];
        for _ in 0..20 {
            now = now + Duration::from_micros(10);
            risen.step(&mut neighbors, now);
            let [first, second] = asked(&mut neighbors, now);
            count = [count[0] + first, count[1] + second];
        }
        assert_eq!(count, [0, 200]);
    }
}
