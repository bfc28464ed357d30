//! Opens the connections, stops a node, and sees what becomes of them.

use super::{
    node::Node,
    segment::{Segment, Task},
};
use crate::{
    bench::{host::Cores, timer::Timer},
    simulator::Plan,
    types::{Duration, Instant},
};
use std::{sync::Arc, thread};

/// How often the judge looks.
const LOOK: std::time::Duration = std::time::Duration::from_micros(200);
/// What has not happened after so long does not happen.
const PATIENCE: Duration = Duration::from_secs(120);
/// What counts lags by a millisecond: everything must be well for longer.
const CALM: Duration = Duration::from_millis(20);
/// Clients of whom nothing is heard for so long have no connection.
const STANDSTILL: Duration = Duration::from_millis(500);
/// Disturbed trials a trial asked for may cost.
const ATTEMPTS: u32 = 20;

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

/// The judge.
#[derive(Debug)]
pub(super) struct Judge {
    plan: Plan,
    sessions: u32,
    timer: Timer,
    cores: Cores,
    segment: Arc<Segment>,
    nodes: [Node; 2],
    pub(super) disturbed: u32,
    pub(super) resyncs: Vec<Duration>,
}

impl Judge {
    /// Two nodes that have just started.
    pub(super) fn new(plan: Plan, sessions: u32, timer: Timer, cores: Cores) -> Result<Self, String> {
        let segment = Arc::new(Segment::new(sessions));
        let start = |number| Node::start(number, &plan, &segment, &timer, &cores);
        let nodes = [start(0)?, start(1)?];
        Ok(Self { plan, sessions, timer, cores, segment, nodes, disturbed: 0, resyncs: Vec::new() })
    }

    /// Opens every connection.
    pub(super) fn open(&mut self) -> Result<(), String> {
        let begun = self.timer.now();
        // Handshakes are lost when a node stands still and the other takes over: whoever is left begins again.
        while self.timer.now().since(begun) < PATIENCE {
            self.steady()?;
            self.segment.begin(Task::Open);
            let done = self.progress()?;
            self.segment.begin(Task::Rest);
            if done >= u64::from(self.sessions) {
                return Ok(());
            }
        }
        Err("not all connections could be opened: is the machine too busy for this interval?".into())
    }

    /// Waits until every connection is done with, or nothing has moved for long; how many are.
    fn progress(&self) -> Result<u64, String> {
        let mut done = (0, self.timer.now());
        self.wait("get an answer from every client", |judge| {
            let now = judge.timer.now();
            if judge.segment.done() != done.0 {
                done = (judge.segment.done(), now);
            }
            done.0 >= u64::from(judge.sessions) || now.since(done.1) >= STANDSTILL
        })?;
        Ok(done.0)
    }

    /// The node that serves, once the other is ready and knows everything.
    fn steady(&self) -> Result<usize, String> {
        let mut since = None;
        let mut server = 0;
        self.wait("become steady", |judge| {
            let now = judge.timer.now();
            let serving = judge.nodes.each_ref().map(Node::serves);
            server = usize::from(serving[1]);
            let well = serving[0] != serving[1]
                && judge.nodes[1 - server].is_ready()
                && judge.nodes[server].has_told_all()
                && judge.segment.is_owner(server);
            since = well.then(|| since.unwrap_or(now));
            since.is_some_and(|since| now.since(since) >= CALM)
        })?;
        Ok(server)
    }

    /// Stops the node that serves; `None` if the trial does not count.
    pub(super) fn trial(&mut self) -> Result<Option<Trial>, String> {
        let server = self.steady()?;
        let other = 1 - server;
        let before = self.nodes[server].sessions();
        self.segment.forget(other);
        while self.nodes[other].next_change().is_some() {}
        self.segment.begin(Task::Probe);
        thread::sleep(std::time::Duration::from_millis(2));
        let died_at = self.nodes[server].kill();
        self.wait("take over", |judge| {
            judge.nodes[other].serves() && judge.segment.first_forwarded_at(other) != 0
        })?;
        self.segment.begin(Task::Rest);
        let change = std::iter::from_fn(|| self.nodes[other].next_change())
            .find(|change| change.to.serves() && !change.from.serves());
        let measured = change.and_then(|change| {
            let decided_at = self.nodes[other].everybodys(change.decided_at);
            let at = Instant::from_nanos;
            let announced_at = at(self.segment.announced_at(other));
            let (last, first) = (self.segment.forwarded_at(server), self.segment.first_forwarded_at(other));
            (decided_at >= died_at).then(|| {
                (at(first).since(at(last)), decided_at.since(died_at), announced_at.since(decided_at))
            })
        });
        let lost = self.verify()?;
        let after = self.nodes[other].sessions();
        self.revive(server)?;
        let Some((gap, detection, takeover)) = measured else {
            self.disturbed += 1;
            return Ok(None);
        };
        Ok(Some(Trial { gap, detection, takeover, before, after, lost }))
    }

    /// Has every client send a packet; how many did not come where they should.
    fn verify(&self) -> Result<u64, String> {
        self.segment.begin(Task::Verify);
        let done = self.progress()?;
        self.segment.begin(Task::Rest);
        Ok(u64::from(self.sessions).saturating_sub(done))
    }

    /// Starts a stopped node anew, and waits until it holds everything.
    fn revive(&mut self, number: usize) -> Result<(), String> {
        self.nodes[number].bury();
        while self.segment.cables[number].pop().is_some() {}
        self.nodes[number] = Node::start(number, &self.plan, &self.segment, &self.timer, &self.cores)?;
        let begun = self.timer.now();
        self.wait("copy every session", |judge| judge.nodes.iter().any(Node::is_ready))?;
        self.resyncs.push(self.timer.now().since(begun));
        Ok(())
    }

    /// Whether it is worth while to go on.
    pub(super) fn check_patience(&self, wanted: u32, done: u32) -> Result<(), String> {
        if self.disturbed <= ATTEMPTS * wanted {
            return Ok(());
        }
        Err(format!(
            "the nodes stood still in {} of {} trials: stop what else runs on this machine, or measure a longer interval",
            self.disturbed,
            self.disturbed + done
        ))
    }

    fn wait(&self, what: &str, mut done: impl FnMut(&Self) -> bool) -> Result<(), String> {
        let begun = self.timer.now();
        while !done(self) {
            if self.timer.now().since(begun) > PATIENCE {
                return Err(format!(
                    "the nodes did not {what} in {} s: is the machine too busy for this interval?",
                    PATIENCE.as_millis() / 1000
                ));
            }
            thread::sleep(LOOK);
        }
        Ok(())
    }
}
