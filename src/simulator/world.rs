//! The loop: whatever comes first happens, then the judge looks.

use super::{
    fabric::{Fabric, Place, Way},
    hosts::{Connection, Hosts, Phase},
    judge::Judge,
    node::Node,
    scenario::{Action, Scenario},
};
use crate::{
    control::Event,
    protocol::bfd::Random,
    types::{Duration, Instant},
};

/// A pair that is not steady after so long never is.
const STEADY: Duration = Duration::from_secs(8);
/// How long everything must be well to count as steady.
const CALM: Duration = Duration::from_millis(60);

/// What happened, for people; kept only when asked for.
#[derive(Debug, Default)]
pub(super) struct Story {
    pub(super) lines: Vec<String>,
    told: bool,
}

impl Story {
    pub(super) const fn new(told: bool) -> Self {
        Self { lines: Vec::new(), told }
    }

    fn tell(&mut self, now: Instant, what: impl FnOnce() -> String) {
        if self.told {
            self.lines.push(format!("{:>9.3} ms  {}", now.as_nanos() as f64 / 1e6, what()));
        }
    }
}

/// Everything there is.
#[derive(Debug)]
pub(super) struct World {
    nodes: [Node; 2],
    fabric: Fabric,
    hosts: Hosts,
    judge: Judge,
    now: Instant,
    pub(super) story: Story,
    states: [String; 2],
    /// When something last went wrong by the scenario's will.
    disturbed_at: Instant,
    well_since: Option<Instant>,
    frames: Vec<Vec<u8>>,
}

impl World {
    pub(super) fn new(scenario: &Scenario, random: &mut Random, story: Story) -> Result<Self, String> {
        let mut fork = || Random::seeded(random.next_u64());
        let node = |number, random| Node::new(&scenario.plan, number, scenario.own_queue, random);
        let mut fabric = Fabric::new(fork());
        for from in Place::ALL {
            for to in Place::ALL {
                *fabric.way_mut(from, to) = scenario.usual;
            }
        }
        Ok(Self {
            nodes: [node(0, fork())?, node(1, fork())?],
            fabric,
            hosts: Hosts::new(scenario.connections, Instant::ZERO),
            judge: Judge::new(),
            now: Instant::ZERO,
            story,
            states: Default::default(),
            disturbed_at: Instant::ZERO,
            well_since: None,
            frames: Vec::new(),
        })
    }

    /// Lives through the scenario.
    ///
    /// # Errors
    ///
    /// What went wrong by ours.
    pub(super) fn live(&mut self, scenario: &Scenario) -> Result<(), String> {
        let mut starts: Vec<(Duration, Action)> =
            (0..).zip(scenario.starts).map(|(number, at)| (at, Action::Start(number))).collect();
        starts.sort_by_key(|(at, _)| *at);
        self.play(&starts)?;
        self.become_steady("come up")?;
        self.play(&scenario.actions)?;
        for number in 0..2 {
            if self.nodes[number].paused {
                self.act(Action::Resume(number))?;
            }
        }
        self.become_steady("recover")
    }

    fn play(&mut self, actions: &[(Duration, Action)]) -> Result<(), String> {
        let begun = self.now;
        for &(at, action) in actions {
            self.run(begun + at, |_| false)?;
            self.act(action)?;
        }
        Ok(())
    }

    fn become_steady(&mut self, what: &str) -> Result<(), String> {
        let begun = self.now;
        self.well_since = None;
        self.run(begun + STEADY, |world| world.is_steady())?;
        if self.is_steady() {
            return Ok(());
        }
        let silent: Vec<_> =
            (0..).zip(&self.hosts.connections).filter(|(_, it)| is_unheard(it, begun)).collect();
        Err(format!(
            "the pair did not {what}: {} and {}; in sync {:?}; connections that must live and do not: {silent:?}",
            self.nodes[0].state(),
            self.nodes[1].state(),
            self.nodes.each_mut().map(Node::is_in_sync),
        ))
    }

    /// One serves, the other holds everything, and since then every connection that must live has been answered.
    fn is_steady(&mut self) -> bool {
        let now = self.now;
        let serving: Vec<usize> = (0..2).filter(|number| self.nodes[*number].serves(now)).collect();
        let [server] = *serving else {
            self.well_since = None;
            return false;
        };
        let well = self.nodes[1 - server].is_in_sync();
        self.well_since = well.then(|| self.well_since.unwrap_or(now));
        // New sessions are always under way; once in a while all have been told.
        self.well_since.is_some_and(|since| {
            now.since(since) >= CALM
                && self.hosts.served_at > since
                && !self.hosts.connections.iter().any(|it| is_unheard(it, since))
        }) && self.nodes[server].has_told_all(now)
    }

    fn act(&mut self, action: Action) -> Result<(), String> {
        let now = self.now;
        self.story.tell(now, || format!("{action:?}"));
        match action {
            Action::Crash(number) => {
                let plain = self.is_plain_loss(number);
                self.nodes[number].crash();
                self.bury(number);
                if plain {
                    self.judge.expect_take_over(now);
                } else {
                    self.judge.expect_nothing();
                }
            }
            Action::Start(number) if self.nodes[number].runs() => {}
            Action::Start(number) => self.nodes[number].start(now)?,
            Action::Pause(number) => {
                self.nodes[number].paused = true;
                self.judge.expect_nothing();
            }
            Action::Resume(number) => self.nodes[number].resume(now),
            Action::Spoil(from, to, way) => {
                *self.fabric.way_mut(from, to) = way;
                self.judge.expect_nothing();
            }
            Action::SwitchOver(number) => self.nodes[number].switch_over(),
            Action::Open => {
                self.hosts.open_long(now);
                return Ok(());
            }
        }
        self.disturbed_at = now;
        Ok(())
    }

    /// A node that serves will be gone, while the other is ready, and nothing was wrong for some time.
    fn is_plain_loss(&mut self, number: usize) -> bool {
        let now = self.now;
        let good = |from: Place, to: Place| *self.fabric.way(from, to) == Way::CLEAN;
        let clean = Place::ALL.iter().all(|from| Place::ALL.iter().all(|to| good(*from, *to)));
        clean
            && self.nodes[number].serves(now)
            && self.nodes[1 - number].is_awake()
            && self.nodes[1 - number].is_in_sync()
            && now.since(self.disturbed_at) >= Duration::from_secs(2)
            && now.since(self.hosts.served_at) < CALM
    }

    /// What a node held died with it.
    fn bury(&mut self, number: usize) {
        for connection in &mut self.hosts.connections {
            if connection.holders != 0 {
                connection.holders &= !(1 << number);
                connection.void |= connection.holders == 0;
            }
        }
    }

    /// Until a moment, or until `done`.
    fn run(&mut self, until: Instant, mut done: impl FnMut(&mut Self) -> bool) -> Result<(), String> {
        while !done(self) {
            let turns = self.nodes.iter().map(Node::next_turn);
            let next =
                turns.chain(self.fabric.next_arrival()).chain([self.hosts.due()]).min().unwrap_or(until);
            if next >= until {
                self.now = until;
                return Ok(());
            }
            self.now = next.max(self.now);
            self.step();
            self.judge.look(&mut self.nodes, &self.fabric, &mut self.hosts, self.now)?;
        }
        Ok(())
    }

    fn step(&mut self) {
        let now = self.now;
        let mut turning = [0, 1].map(|number: usize| self.nodes[number].next_turn() <= now);
        while let Some(delivery) = self.fabric.take(now) {
            match (delivery.to, delivery.from) {
                (Place::Node(number), _) => {
                    self.nodes[number].receive(&delivery.frame);
                    turning[number] |= self.nodes[number].is_awake();
                }
                (Place::Others, Place::Node(number)) => {
                    let via = (number, delivery.sent_at);
                    self.hosts.receive(&delivery.frame, via, now, &mut self.frames);
                    self.send(Place::Others);
                }
                (Place::Others, Place::Others) => {}
            }
        }
        if self.hosts.due() <= now {
            self.hosts.act(now, &mut self.frames);
            self.send(Place::Others);
        }
        for number in (0..2).filter(|number| turning[*number]) {
            self.nodes[number].turn(now, &mut self.frames);
            self.send(Place::Node(number));
            self.note(number);
        }
    }

    fn send(&mut self, from: Place) {
        for frame in self.frames.drain(..) {
            self.fabric.send(from, frame, self.now);
        }
    }

    fn note(&mut self, number: usize) {
        for event in self.nodes[number].events() {
            if !matches!(event, Event::Stall(_)) {
                self.story.tell(self.now, || format!("node {number}: {event:?}"));
            }
        }
        if self.story.told {
            let state = self.nodes[number].state();
            if state != self.states[number] {
                self.story.tell(self.now, || format!("node {number}: {state}"));
                self.states[number] = state;
            }
        }
    }

    /// What was carried, and the longest time nobody answered though a node was fit.
    pub(super) const fn sums(&self) -> (u64, Duration, Instant) {
        (self.fabric.carried(), self.judge.longest_outage, self.now)
    }
}

/// A connection that must live, and was not answered since.
fn is_unheard(connection: &Connection, since: Instant) -> bool {
    let opening = connection.long && connection.phase == Phase::Opening;
    opening || (connection.counts() && connection.answered_at <= since)
}
