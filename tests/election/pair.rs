//! Two nodes with real BFD sessions, real witnesses and real elections, on virtual time, joined by a link that loses,
//! delays and is cut, beside a gateway that each may lose. What must always hold is checked after every millisecond.

use crate::bench::ms;
use hitless::{
    protocol::{
        bfd::{Compatibility, Hop, MAX_DATAGRAM, Path, Random, SessionId, Sessions, Timers},
        election::*,
        witness::{Check, Gateway, Request as Question, Witness},
    },
    types::{Duration, InstanceId, Instant, Mac, PortId},
};
use std::{
    collections::{BTreeMap, VecDeque},
    net::IpAddr,
};

const PORT: PortId = PortId(0);
const RED: InstanceId = InstanceId(0);
const GATEWAY: [u8; 4] = [10, 9, 0, 254];
/// What a receive ring holds.
const RING: usize = 64;
pub(crate) const LONE_START: Duration = ms(1000);
pub(crate) const LEASE: Duration = ms(60);

/// Two nodes may serve at once for no longer than this while packets pass in one direction at least.
pub(crate) const DUAL_BOUND: Duration = ms(500);
/// Nobody serves for no longer than this while one node has all it needs: a start alone, behind a BFD session that
/// takes three slow intervals to notice a peer that had just come.
pub(crate) const OUTAGE_BOUND: Duration = ms(6000);

#[derive(Clone, Debug)]
enum Packet {
    Bfd(Vec<u8>),
    Hello(Vec<u8>),
    /// The gateway's answer.
    Answer,
}

/// How the link treats packets to one node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    pub(crate) cut: bool,
    pub(crate) lost_percent: u64,
    pub(crate) delay: Duration,
    pub(crate) wander: Duration,
}

impl Way {
    pub(crate) const CLEAN: Self =
        Self { cut: false, lost_percent: 0, delay: Duration::from_micros(100), wander: Duration::ZERO };

    fn passes(&self) -> bool {
        !self.cut && self.lost_percent <= 50
    }
}

struct Running {
    elections: Elections,
    sessions: Sessions,
    session: SessionId,
    view: PeerView,
    witness: Witness,
    started: Instant,
    /// Since when the copy of the peer's sessions grows, and of which claim.
    copying: Option<(Instant, u64)>,
    flushing: Option<Instant>,
}

pub(crate) struct Node {
    running: Option<Running>,
    pub(crate) paused: bool,
    pub(crate) healthy: bool,
    pub(crate) gateway: bool,
    held: bool,
    priority: u8,
    disk: u64,
    starts: u64,
    lease: Instant,
    ring: VecDeque<(Instant, Packet)>,
    ran_over: bool,
    /// The latest term it ever served under, restarts included.
    claimed: u64,
    /// Since when it has had all it needs to serve.
    fit_since: Option<Instant>,
    pub(crate) changes: Vec<Change>,
}

pub(crate) struct Pair {
    pub(crate) nodes: [Node; 2],
    pub(crate) now: Instant,
    /// By destination.
    pub(crate) ways: [Way; 2],
    wire: BTreeMap<(Instant, u64), (usize, Packet)>,
    sent: u64,
    random: Random,
    dual_since: Option<Instant>,
    served_at: Instant,
    /// Nobody served and nobody drained, ever, since this was set.
    pub(crate) uncovered: Duration,
}

impl Node {
    fn new(priority: u8) -> Self {
        Self {
            running: None,
            paused: false,
            healthy: true,
            gateway: true,
            held: false,
            priority,
            disk: 0,
            starts: 0,
            lease: Instant::ZERO,
            ring: VecDeque::new(),
            ran_over: false,
            claimed: 0,
            fit_since: None,
            changes: Vec::new(),
        }
    }

    fn status(&self) -> Option<Status> {
        self.running.as_ref()?.elections.status(RED)
    }

    pub(crate) fn role(&self) -> Option<Role> {
        self.status().map(|status| status.role)
    }

    /// Workers forward and ARP is answered.
    pub(crate) fn serves(&self, now: Instant) -> bool {
        self.alive() && self.lease > now && self.role().is_some_and(Role::serves)
    }

    fn drains(&self, now: Instant) -> bool {
        self.alive() && self.lease > now && self.role() == Some(Role::Handover)
    }

    pub(crate) fn alive(&self) -> bool {
        self.running.is_some() && !self.paused
    }

    fn fit(&self) -> bool {
        self.alive() && self.healthy && self.gateway && !self.held
    }

    pub(crate) fn elections(&mut self) -> &mut Elections {
        &mut self.running.as_mut().unwrap().elections
    }

    pub(crate) fn crash(&mut self) {
        self.running = None;
        self.ring.clear();
    }

    pub(crate) fn hold(&mut self, held: bool) {
        self.held = held;
        if let Some(running) = &mut self.running {
            let done = if held { running.elections.hold(RED) } else { running.elections.release(RED) };
            done.unwrap();
        }
    }
}

fn address(index: usize) -> IpAddr {
    IpAddr::from([10, 9, 0, 1 + index as u8])
}

impl Pair {
    pub(crate) fn new(priorities: [u8; 2], seed: u64) -> Self {
        let now = Instant::ZERO + Duration::from_secs(10);
        Self {
            nodes: priorities.map(Node::new),
            now,
            ways: [Way::CLEAN; 2],
            wire: BTreeMap::new(),
            sent: 0,
            random: Random::seeded(seed),
            dual_since: None,
            served_at: now,
            uncovered: Duration::ZERO,
        }
    }

    /// Both nodes up: the first, of higher priority, serves, the second stands by.
    pub(crate) fn settled(seed: u64) -> Self {
        let mut pair = Self::new([200, 100], seed);
        pair.start(0);
        pair.start(1);
        pair.run(6000);
        assert_eq!(pair.roles(), [Some(Role::Active), Some(Role::Standby)]);
        pair.forget();
        pair
    }

    pub(crate) fn start(&mut self, index: usize) {
        let now = self.now;
        let seed = self.random.next_u64();
        let node = &mut self.nodes[index];
        if node.running.is_some() {
            return;
        }
        node.starts += 1;
        node.lease = Instant::ZERO;
        let settings = Settings {
            instance: RED,
            name: name_hash("llb-inst0"),
            priority: node.priority,
            preempt: false,
            lone_start: LONE_START,
            sync: true,
        };
        let incarnation = seed | 1;
        let own = NodeSettings { node: 1 + index as u64, incarnation, first_term: node.disk, lease: LEASE };
        let mut elections = Elections::new(own, &[settings], now);
        if node.held {
            elections.hold(RED).unwrap();
        }
        let mut sessions = Sessions::new(1, Random::seeded(seed ^ 1));
        let path = Path { port: PORT, local: address(index), remote: address(1 - index), hop: Hop::Single };
        let timers = Timers::symmetric(10_000, 3).unwrap();
        let session = sessions.add(hitless::protocol::bfd::Settings::new(path, timers), now).unwrap();
        let gateway = Gateway { port: PORT, local: address(index), address: GATEWAY.into() };
        let witness = Witness::new(Check::Arp, ms(10), [gateway], now, Random::seeded(seed ^ 2));
        let (view, copying, flushing, started) = (PeerView::new(1), None, None, now);
        node.running =
            Some(Running { elections, sessions, session, view, witness, started, copying, flushing });
    }

    pub(crate) fn roles(&self) -> [Option<Role>; 2] {
        [self.nodes[0].role(), self.nodes[1].role()]
    }

    /// Who serves, if exactly one does.
    pub(crate) fn master(&self) -> Option<usize> {
        let serving = [0, 1].map(|index: usize| self.nodes[index].serves(self.now));
        match serving {
            [true, false] => Some(0),
            [false, true] => Some(1),
            _ => None,
        }
    }

    pub(crate) fn forget(&mut self) {
        for node in &mut self.nodes {
            node.changes.clear();
        }
        self.uncovered = Duration::ZERO;
    }

    /// Everything as it should be: both nodes run, nothing is cut.
    pub(crate) fn heal(&mut self) {
        self.ways = [Way::CLEAN; 2];
        for index in 0..2 {
            self.start(index);
            let node = &mut self.nodes[index];
            (node.paused, node.healthy, node.gateway) = (false, true, true);
            if node.held {
                node.hold(false);
            }
        }
    }

    fn send(&mut self, to: usize, packet: Packet) {
        let Way { cut, lost_percent, delay, wander } = self.ways[to];
        if cut || self.random.below(100) < lost_percent {
            return;
        }
        let wandered = Duration::from_nanos(self.random.below(wander.as_nanos() + 1));
        self.post(to, packet, delay + wandered);
    }

    fn post(&mut self, to: usize, packet: Packet, delay: Duration) {
        self.sent += 1;
        self.wire.insert((self.now + delay, self.sent), (to, packet));
    }

    fn deliver(&mut self) {
        while let Some(first) = self.wire.first_entry().filter(|first| first.key().0 <= self.now) {
            let at = first.key().0;
            let (to, packet) = first.remove();
            let node = &mut self.nodes[to];
            if node.running.is_none() {
                continue;
            }
            if node.ring.len() < RING {
                node.ring.push_back((at, packet));
            } else {
                node.ran_over = true;
            }
        }
    }

    /// One turn of a node's control loop.
    fn turn(&mut self, index: usize) {
        let now = self.now;
        let node = &mut self.nodes[index];
        if node.paused {
            return;
        }
        let Some(running) = &mut node.running else { return };
        while let Some((at, packet)) = node.ring.pop_front() {
            match packet {
                Packet::Bfd(ip) => {
                    let _ = running.sessions.receive(PORT, &ip, at, now);
                }
                Packet::Hello(body) => {
                    let _ = running.elections.receive(&body, at);
                }
                Packet::Answer => running.witness.hear_arp(PORT, GATEWAY.into(), Mac([2, 0, 0, 0, 0, 1]), at),
            }
        }
        running.sessions.expire(PORT, now, std::mem::take(&mut node.ran_over), now, |_, _| {});
        let status = running.sessions.get(running.session).unwrap().status();
        running.view.report(0, PathReport::new(&status, Compatibility::Standard));
        if let Some(since) = running.view.late_since(now) {
            running.witness.hurry(since, now);
        }
        let evidence = running.witness.judge(now);
        let (view, healthy) = (&running.view, node.healthy);
        let surroundings = Surroundings { view, evidence, healthy, drained_at: now, now };
        let changes = &mut node.changes;
        running.elections.look(&surroundings, |change| changes.push(change));
        running.sync(now);
        node.lease = running.elections.lease();
        if let Some(term) = running.elections.reserve() {
            node.disk = term;
            running.elections.reserved(term);
        }
        if let Some(status) = running.elections.status(RED).filter(|status| status.role.serves()) {
            assert!(status.term >= node.claimed, "terms went back: {status:?} after {}", node.claimed);
            node.claimed = status.term;
        }
        let (session, now) = (running.sessions.get_mut(running.session).unwrap(), now);
        match running.elections.admin_down() {
            Some(diagnostic) => _ = session.disable(diagnostic, now),
            None => _ = session.enable(now),
        }
        let mut out = Vec::new();
        let mut datagram = [0; MAX_DATAGRAM];
        while let Some(outgoing) = running.sessions.transmit(now, &mut datagram) {
            out.push(Packet::Bfd(datagram[..outgoing.length].to_vec()));
        }
        let mut body = [0; MAX_HELLO];
        while let Some(length) = running.elections.transmit(now, &mut body) {
            out.push(Packet::Hello(body[..length].to_vec()));
        }
        let asked = std::iter::from_fn(|| running.witness.ask(now))
            .filter(|(_, question)| matches!(question, Question::Arp(_)))
            .count();
        if node.gateway {
            (0..asked).for_each(|_| self.post(index, Packet::Answer, Duration::from_micros(300)));
        }
        out.into_iter().for_each(|packet| self.send(1 - index, packet));
    }

    /// What must hold at every moment.
    fn check(&mut self) {
        let now = self.now;
        let serving = [0, 1].map(|index: usize| self.nodes[index].serves(now));
        let both = serving == [true; 2] && self.ways.iter().any(Way::passes);
        let since = *self.dual_since.get_or_insert(now);
        if !both {
            self.dual_since = None;
        } else {
            assert!(now.since(since) <= DUAL_BOUND, "two serve for {:?}: {}", now.since(since), self.story());
        }
        if serving.contains(&true) {
            self.served_at = now;
        } else if !self.nodes.iter().any(|node| node.drains(now)) {
            self.uncovered = self.uncovered + ms(1);
        }
        for node in &mut self.nodes {
            node.fit_since = node.fit().then(|| node.fit_since.unwrap_or(now));
        }
        let fit_since = self.nodes.iter().filter_map(|node| node.fit_since).min();
        if let Some(fit_since) = fit_since {
            let outage = now.since(self.served_at.max(fit_since));
            assert!(outage <= OUTAGE_BOUND, "nobody serves for {outage:?}: {}", self.story());
        }
    }

    /// For a failing case.
    pub(crate) fn story(&self) -> String {
        let tell = |node: &Node| {
            let last = node.changes.iter().rev().take(12).rev();
            last.map(|change| {
                let at = change.judged_at.as_nanos() / 1_000_000;
                format!(
                    "\n  {at} ms: {} to {}, {}, term {}",
                    change.from, change.to, change.reason, change.term
                )
            })
            .collect::<String>()
        };
        let [a, b] = &self.nodes;
        format!(
            "at {} ms, ways {:?}\n first {:?}{}\n second {:?}{}",
            self.now.as_nanos() / 1_000_000,
            self.ways,
            a.status(),
            tell(a),
            b.status(),
            tell(b)
        )
    }

    pub(crate) fn run(&mut self, milliseconds: u64) {
        for _ in 0..milliseconds {
            self.now = self.now + ms(1);
            self.deliver();
            self.turn(0);
            self.turn(1);
            self.check();
        }
    }
}

impl Running {
    /// The session stream: a copy is complete when the peer's claim was heard for 50 ms without a break; a barrier is
    /// acknowledged after 2 ms.
    fn sync(&mut self, now: Instant) {
        let status = self.elections.status(RED).unwrap();
        let serving = status.peer.filter(|(role, _)| role.serves()).map(|(_, claim)| claim.term);
        match (serving, self.copying) {
            (Some(term), Some((since, of))) if term >= of => {
                if now.since(since) >= ms(50) {
                    self.elections.copied(RED, Some(term));
                }
            }
            (Some(term), _) => {
                self.copying = Some((now, term));
                self.elections.copied(RED, None);
            }
            (None, _) if status.role.serves() || now.since(self.started) < ms(1) => {
                self.copying = None;
                self.elections.copied(RED, None);
            }
            (None, _) => {}
        }
        let asked = self.elections.wants_flush(RED).then(|| self.flushing.unwrap_or(now));
        self.flushing = asked;
        if asked.is_some_and(|since| now.since(since) >= ms(2)) {
            self.elections.flushed(RED);
        }
    }
}
