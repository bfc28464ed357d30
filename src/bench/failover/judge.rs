//! Opens the connections, stops a node, and sees what becomes of them.

use super::{
    clock::Clock,
    node::Node,
    segment::{Segment, Task},
};
use crate::{
    simulator::Plan,
    types::{Duration, Instant},
};
use std::sync::Arc;

/// Turns from one look to the next.
const LOOK: usize = 64;
/// What has not happened after so long does not happen.
const PATIENCE: Duration = Duration::from_secs(120);
/// What counts lags by a millisecond: everything must be well for longer.
const CALM: Duration = Duration::from_millis(20);
/// Clients of whom nothing is heard for so long have no connection.
const STANDSTILL: Duration = Duration::from_millis(500);
/// How long one client probes before the node it speaks with is stopped.
const PROBED: Duration = Duration::from_millis(2);

/// What came of one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trial {
    pub(super) gap: Duration,
    pub(super) detection: Duration,
    pub(super) takeover: Duration,
    pub(super) before: u64,
    pub(super) after: u64,
    pub(super) lost: u64,
}

/// The judge, who lets the nodes take turns.
#[derive(Debug)]
pub(super) struct Judge {
    plan: Plan,
    sessions: u32,
    /// No turn counts for more.
    longest: Duration,
    segment: Arc<Segment>,
    nodes: [Option<Node>; 2],
    /// When the node that is stopped was.
    stopped_at: Instant,
    /// Turns that took too long, and the longest.
    pub(super) stalls: u32,
    pub(super) longest_turn: Duration,
    pub(super) resyncs: Vec<Duration>,
}

impl Judge {
    /// Two nodes that have just started.
    pub(super) fn new(plan: Plan, sessions: u32) -> Result<Self, String> {
        let mut judge = Self {
            plan,
            sessions,
            longest: Duration::from_micros(plan.interval_us.into()),
            segment: Arc::new(Segment::new(sessions)),
            nodes: [None, None],
            stopped_at: Instant::ZERO,
            stalls: 0,
            longest_turn: Duration::ZERO,
            resyncs: Vec::new(),
        };
        for number in 0..2 {
            judge.start(number, Instant::ZERO)?;
        }
        Ok(judge)
    }

    fn start(&mut self, number: usize, at: Instant) -> Result<(), String> {
        let clock = Clock::new(at, self.longest);
        self.nodes[number] = Some(Node::start(number, &self.plan, &self.segment, clock)?);
        Ok(())
    }

    /// How far everybody has come.
    fn now(&self) -> Instant {
        self.nodes.iter().flatten().map(Node::now).min().unwrap_or(self.stopped_at)
    }

    /// The node that is furthest behind turns.
    fn step(&mut self) {
        let Some(node) = self.nodes.iter_mut().flatten().min_by_key(|node| node.now()) else { return };
        if let Some(took) = node.turn() {
            self.stalls += 1;
            self.longest_turn = self.longest_turn.max(took);
        }
    }

    /// Lets time pass until it is `done`.
    fn wait(&mut self, what: &str, mut done: impl FnMut(&Self) -> bool) -> Result<(), String> {
        let begun = self.now();
        while !done(self) {
            if self.now().since(begun) > PATIENCE {
                return Err(format!("the nodes did not {what} in {} s", PATIENCE.as_millis() / 1000));
            }
            (0..LOOK).for_each(|_| self.step());
        }
        Ok(())
    }

    fn node(&self, number: usize, is: impl FnOnce(&Node) -> bool) -> bool {
        self.nodes[number].as_ref().is_some_and(is)
    }

    /// Opens every connection.
    pub(super) fn open(&mut self) -> Result<(), String> {
        self.steady()?;
        self.segment.begin(Task::Open);
        let done = self.progress()?;
        self.segment.begin(Task::Rest);
        match u64::from(self.sessions).saturating_sub(done) {
            0 => Ok(()),
            left => {
                let drops: Vec<String> = self.nodes.iter().flatten().map(Node::drops).collect();
                let drops = drops.join("; ");
                Err(format!(
                    "{left} of {} connections could not be opened; packets dropped: {drops}",
                    self.sessions
                ))
            }
        }
    }

    /// Waits until every connection is done with, or nothing has moved for long; how many are.
    fn progress(&mut self) -> Result<u64, String> {
        let mut done = (0, self.now());
        self.wait("get an answer from every client", |judge| {
            let now = judge.now();
            if judge.segment.done() != done.0 {
                done = (judge.segment.done(), now);
            }
            done.0 >= u64::from(judge.sessions) || now.since(done.1) >= STANDSTILL
        })?;
        Ok(done.0)
    }

    /// The node that serves, once the other is ready and knows everything.
    fn steady(&mut self) -> Result<usize, String> {
        let mut since = None;
        let mut server = 0;
        self.wait("become steady", |judge| {
            let now = judge.now();
            let serving = [0, 1].map(|number| judge.node(number, Node::serves));
            server = usize::from(serving[1]);
            let well = serving[0] != serving[1]
                && judge.node(1 - server, Node::is_ready)
                && judge.node(server, Node::has_told_all)
                && judge.segment.is_owner(server);
            since = well.then(|| since.unwrap_or(now));
            since.is_some_and(|since| now.since(since) >= CALM)
        })?;
        Ok(server)
    }

    /// Stops the node that serves.
    pub(super) fn trial(&mut self) -> Result<Trial, String> {
        let server = self.steady()?;
        let other = 1 - server;
        self.segment.forget(other);
        while self.node(other, |node| node.next_change().is_some()) {}
        self.segment.begin(Task::Probe);
        let probing_since = self.now();
        self.wait("forward probes", |judge| {
            judge.now().since(probing_since) >= PROBED
                && judge.segment.forwarded_at(server).is_some_and(|at| at > probing_since)
        })?;
        let stopped = self.nodes[server].take().ok_or("nobody serves")?;
        let (before, died_at) = (stopped.sessions(), stopped.now());
        self.stopped_at = died_at;
        drop(stopped);
        self.wait("take over", |judge| {
            judge.node(other, Node::serves) && judge.segment.first_forwarded_at(other).is_some()
        })?;
        self.segment.begin(Task::Rest);
        let survivor = self.nodes[other].as_ref().ok_or("nobody is left")?;
        let change = std::iter::from_fn(|| survivor.next_change())
            .find(|change| change.to.serves() && !change.from.serves())
            .ok_or("the other node served before the first was stopped")?;
        let decided_at = survivor.everybodys(change.decided_at);
        let unmeasured = "the other node forwarded without an announcement";
        let announced_at = self.segment.announced_at(other).ok_or(unmeasured)?;
        let first = self.segment.first_forwarded_at(other).ok_or(unmeasured)?;
        let last = self.segment.forwarded_at(server).ok_or("no probe was forwarded before")?;
        let lost = self.verify()?;
        let after = self.nodes[other].as_ref().map_or(0, Node::sessions);
        self.revive(server)?;
        Ok(Trial {
            gap: first.since(last),
            detection: decided_at.since(died_at),
            takeover: announced_at.since(decided_at),
            before,
            after,
            lost,
        })
    }

    /// Has every client send a packet; how many did not come where they should.
    fn verify(&mut self) -> Result<u64, String> {
        self.segment.begin(Task::Verify);
        let done = self.progress()?;
        self.segment.begin(Task::Rest);
        Ok(u64::from(self.sessions).saturating_sub(done))
    }

    /// Starts a stopped node anew, and waits until it holds everything.
    fn revive(&mut self, number: usize) -> Result<(), String> {
        self.segment.clear(number);
        let begun = self.now();
        self.start(number, begun)?;
        self.wait("copy every session", |judge| judge.node(number, Node::is_ready))?;
        self.resyncs.push(self.now().since(begun));
        Ok(())
    }
}
