//! The network between three places: the two nodes, and everybody else. A learning switch whose cables lose, delay,
//! double and reorder frames, or are cut, each direction for itself.

use crate::{
    protocol::bfd::Random,
    types::{Duration, Instant, Mac},
};
use std::collections::{BTreeMap, HashMap};

/// A place that frames come from and go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Place {
    /// A node, 0 or 1.
    Node(usize),
    /// Clients, backends and the gateway.
    Others,
}

impl Place {
    pub(super) const ALL: [Self; 3] = [Self::Node(0), Self::Node(1), Self::Others];

    const fn index(self) -> usize {
        match self {
            Self::Node(number) => number,
            Self::Others => 2,
        }
    }
}

/// How frames fare from one place to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Way {
    pub(super) cut: bool,
    pub(super) lost_percent: u8,
    pub(super) doubled_percent: u8,
    /// Up to so much more than [`LATENCY`], frame by frame: later frames overtake earlier ones.
    pub(super) wander: Duration,
}

impl Way {
    pub(super) const CLEAN: Self =
        Self { cut: false, lost_percent: 0, doubled_percent: 0, wander: Duration::ZERO };

    /// Whether it is no worse than such a network usually is.
    pub(super) const fn is_good(&self) -> bool {
        !self.cut && self.lost_percent <= 10
    }

    /// Whether enough passes for both ends to know of one another.
    pub(super) const fn passes(&self) -> bool {
        !self.cut && self.lost_percent <= 50
    }
}

/// The least time a frame takes.
const LATENCY: Duration = Duration::from_micros(20);

/// A frame that arrives.
#[derive(Debug)]
pub(super) struct Delivery {
    pub(super) from: Place,
    pub(super) to: Place,
    pub(super) sent_at: Instant,
    pub(super) frame: Vec<u8>,
}

/// The switch and its cables.
#[derive(Debug)]
pub(super) struct Fabric {
    ways: [[Way; 3]; 3],
    stations: HashMap<[u8; 6], Place>,
    /// In the order of their arrival; the number keeps those of one moment in the order they were sent.
    under_way: BTreeMap<(Instant, u64), Delivery>,
    sent: u64,
    random: Random,
}

impl Fabric {
    pub(super) fn new(random: Random) -> Self {
        Self {
            ways: [[Way::CLEAN; 3]; 3],
            stations: HashMap::new(),
            under_way: BTreeMap::new(),
            sent: 0,
            random,
        }
    }

    pub(super) const fn way(&self, from: Place, to: Place) -> &Way {
        &self.ways[from.index()][to.index()]
    }

    pub(super) const fn way_mut(&mut self, from: Place, to: Place) -> &mut Way {
        &mut self.ways[from.index()][to.index()]
    }

    /// A place sends a frame at `now`: to where its destination was last heard from, or everywhere.
    pub(super) fn send(&mut self, from: Place, frame: Vec<u8>, now: Instant) {
        let (Some(&destination), Some(&source)) =
            (frame.first_chunk(), frame.get(6..).and_then(<[u8]>::first_chunk))
        else {
            return;
        };
        self.stations.insert(source, from);
        match self.stations.get(&destination) {
            Some(&to) if !Mac(destination).is_multicast() => {
                if to != from {
                    self.carry(from, to, frame, now);
                }
            }
            _ => {
                for to in Place::ALL {
                    if to != from {
                        self.carry(from, to, frame.clone(), now);
                    }
                }
            }
        }
    }

    fn carry(&mut self, from: Place, to: Place, frame: Vec<u8>, now: Instant) {
        let way = *self.way(from, to);
        if way.cut || self.random.below(100) < way.lost_percent.into() {
            return;
        }
        if self.random.below(100) < way.doubled_percent.into() {
            self.arrive(Delivery { from, to, sent_at: now, frame: frame.clone() }, &way, now);
        }
        self.arrive(Delivery { from, to, sent_at: now, frame }, &way, now);
    }

    fn arrive(&mut self, delivery: Delivery, way: &Way, now: Instant) {
        let wander = Duration::from_nanos(self.random.below(way.wander.as_nanos() + 1));
        self.sent += 1;
        self.under_way.insert((now + LATENCY + wander, self.sent), delivery);
    }

    /// When the next frame arrives.
    pub(super) fn next_arrival(&self) -> Option<Instant> {
        self.under_way.first_key_value().map(|((at, _), _)| *at)
    }

    /// The next frame that has arrived by `now`.
    pub(super) fn take(&mut self, now: Instant) -> Option<Delivery> {
        let first = self.under_way.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }

    /// How many frames were carried.
    pub(super) const fn carried(&self) -> u64 {
        self.sent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: [u8; 6] = [2, 0, 0, 0, 0, 1];
    const B: [u8; 6] = [2, 0, 0, 0, 0, 2];

    fn frame(to: [u8; 6], from: [u8; 6], number: u8) -> Vec<u8> {
        [&to[..], &from[..], &[number]].concat()
    }

    fn arrived(fabric: &mut Fabric) -> Vec<(Place, u8)> {
        std::iter::from_fn(|| fabric.take(Instant::MAX)).map(|it| (it.to, it.frame[12])).collect()
    }

    #[test]
    fn a_station_is_found_where_it_last_spoke() {
        let mut fabric = Fabric::new(Random::seeded(1));
        let [one, two, others] = Place::ALL;
        fabric.send(one, frame(B, A, 1), Instant::ZERO);
        assert_eq!(arrived(&mut fabric), [(two, 1), (others, 1)]);
        fabric.send(two, frame(A, B, 2), Instant::ZERO);
        assert_eq!(arrived(&mut fabric), [(one, 2)]);
        fabric.send(others, frame([0xff; 6], A, 3), Instant::ZERO);
        assert_eq!(arrived(&mut fabric), [(one, 3), (two, 3)]);
        fabric.send(two, frame(A, B, 4), Instant::ZERO);
        assert_eq!(arrived(&mut fabric), [(others, 4)], "it has moved");
    }

    #[test]
    fn cables_do_what_they_are_told() {
        let mut fabric = Fabric::new(Random::seeded(1));
        let [one, two, _] = Place::ALL;
        fabric.send(two, frame(A, B, 0), Instant::ZERO);
        arrived(&mut fabric);
        let count = |fabric: &mut Fabric, way| {
            *fabric.way_mut(one, two) = way;
            (0..100).for_each(|number| fabric.send(one, frame(B, A, number), Instant::ZERO));
            arrived(fabric).into_iter().map(|(_, number)| number).collect::<Vec<_>>()
        };
        let clean = count(&mut fabric, Way::CLEAN);
        assert_eq!(clean, (0..100).collect::<Vec<_>>());
        assert!(count(&mut fabric, Way { cut: true, ..Way::CLEAN }).is_empty());
        assert!((20..60).contains(&count(&mut fabric, Way { lost_percent: 60, ..Way::CLEAN }).len()));
        assert!((120..160).contains(&count(&mut fabric, Way { doubled_percent: 40, ..Way::CLEAN }).len()));
        let wandering = count(&mut fabric, Way { wander: Duration::from_millis(1), ..Way::CLEAN });
        assert!(!wandering.is_sorted() && wandering.len() == 100);
    }
}
