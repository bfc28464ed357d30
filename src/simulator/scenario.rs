//! What goes wrong, and when: drawn from a seed.

use super::{
    fabric::{Place, Way},
    plan::Plan,
};
use crate::{protocol::bfd::Random, types::Duration};

/// Something that happens to the pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// A node's process is killed; `Start` starts it again.
    Crash(usize),
    Start(usize),
    /// A node stands still, or goes on.
    Pause(usize),
    Resume(usize),
    /// Frames fare so from one place to another.
    Spoil(Place, Place, Way),
    /// The operator wants the other node to serve.
    SwitchOver(usize),
    /// A client opens a connection that stays.
    Open,
}

/// A pair, and what happens to it.
#[derive(Clone, Debug)]
pub(super) struct Scenario {
    pub(super) plan: Plan,
    /// The NICs bring what the peer sends to the control core.
    pub(super) own_queue: bool,
    /// When each node starts.
    pub(super) starts: [Duration; 2],
    /// How frames fare when nothing else is wrong.
    pub(super) usual: Way,
    /// Connections opened at the start.
    pub(super) connections: usize,
    /// From the moment the pair is steady.
    pub(super) actions: Vec<(Duration, Action)>,
}

const fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

impl Scenario {
    /// The scenario of a seed.
    pub(super) fn draw(random: &mut Random) -> Self {
        let mut scenario = Self {
            plan: Plan {
                workers: 1 + random.below(2) as u8,
                interval_us: 10_000,
                lone_start_ms: 600,
                lease_ms: [0, 60][random.below(2) as usize],
                virtual_mac: random.below(4) == 0,
                witness: random.below(2) == 0,
                max_sessions: 512,
                backends: 2,
            },
            own_queue: random.below(2) == 0,
            starts: [0, 1].map(|_| {
                [millis(0), millis(random.below(50)), millis(random.below(800))][random.below(3) as usize]
            }),
            usual: usual(random),
            connections: 2 + random.below(6) as usize,
            actions: Vec::new(),
        };
        let mut at = Duration::ZERO;
        for _ in 0..1 + random.below(4) {
            at = at + millis(20 + random.below(400));
            scenario.fault(at, random);
        }
        for _ in 0..random.below(4) {
            scenario.actions.push((millis(random.below(at.as_millis() + 1)), Action::Open));
        }
        scenario.actions.sort_by_key(|(at, _)| *at);
        scenario
    }

    /// One fault from `at` on, and its end.
    fn fault(&mut self, at: Duration, random: &mut Random) {
        let node = random.below(2) as usize;
        // Mostly about the detection time, sometimes much longer.
        let lasts = match random.below(3) {
            0 => millis(1 + random.below(60)),
            1 => millis(30 + random.below(200)),
            _ => millis(200 + random.below(1000)),
        };
        let (here, there) = (Place::Node(node), Place::Node(1 - node));
        let cut = Way { cut: true, ..self.usual };
        let bad = Way { lost_percent: 20 + random.below(80) as u8, ..self.usual };
        let ways: &[(Place, Place)] = match random.below(10) {
            0..=2 => return self.for_a_while(at, lasts, Action::Crash(node), Action::Start(node)),
            3 | 4 => return self.for_a_while(at, lasts, Action::Pause(node), Action::Resume(node)),
            5 => return self.actions.push((at, Action::SwitchOver(node))),
            // The nodes do not hear one another, or one does not.
            6 => &[(here, there), (there, here)],
            7 => &[(here, there)],
            // A node has lost its network.
            8 => &[(here, there), (there, here), (here, Place::Others), (Place::Others, here)],
            // It reaches the peer only.
            _ => &[(here, Place::Others), (Place::Others, here)],
        };
        let way = if random.below(4) == 0 { bad } else { cut };
        for &(from, to) in ways {
            self.for_a_while(at, lasts, Action::Spoil(from, to, way), Action::Spoil(from, to, self.usual));
        }
    }

    fn for_a_while(&mut self, at: Duration, lasts: Duration, begin: Action, end: Action) {
        self.actions.extend([(at, begin), (at + lasts, end)]);
    }
}

/// Half of all networks are good.
fn usual(random: &mut Random) -> Way {
    let mut rarely = |limit| if random.below(2) == 0 { 0 } else { random.below(limit) };
    Way {
        cut: false,
        lost_percent: rarely(8) as u8,
        doubled_percent: rarely(10) as u8,
        wander: Duration::from_micros(rarely(2000)),
    }
}
