//! What must always hold, checked after every step.
//!
//! * Of two nodes of which one can tell the other, at most one serves, after [`DUAL`]. A node that has never had both ways
//!   since it started cannot: it does not know where the other is.
//! * While a node is fit to serve, somebody answers the clients, after [`OUTAGE`]; after the loss of the one that served,
//!   with the other ready and nothing else wrong, after [`TAKE_OVER`].
//! * A session that the peer has acknowledged lives, and stays the same, as long as one of the nodes that hold it lives
//!   and serves. `hosts` sees whether it is the same one, and whether a local port is given away twice.
//! * Nobody who does not hold the sessions takes them from a node that does and that it can hear.

use super::{
    fabric::{Fabric, Place},
    hosts::{Connection, Hosts, Phase},
    node::Node,
};
use crate::types::{Duration, Instant};

/// How long two nodes may both serve that can tell one another: hellos, one of them deaf for its hold, and what the
/// network loses of them.
pub(super) const DUAL: Duration = Duration::from_millis(500);
/// How long nobody may answer while a node is fit. The longest way: a peer that had just come, heard at the slow pace of
/// one packet a second, dies before the session has sped up; then a start alone.
pub(super) const OUTAGE: Duration = Duration::from_millis(4_500);
/// How long nobody may answer after a plain loss: three intervals of 10 ms, a client's pace and its packets' way.
pub(super) const TAKE_OVER: Duration = Duration::from_millis(75);
/// How long both ways must have been good for both ends to know of one another: they ask every 100 ms.
const ACQUAINTED: Duration = Duration::from_millis(500);

/// A node as it was at the last look.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    /// Since when it serves.
    serves_since: Option<Instant>,
    /// Since when it has all it needs to serve.
    fit_since: Option<Instant>,
    /// Since when it and the peer, both awake, hear one another.
    hears_since: Option<Instant>,
    /// They did so for long enough since it started.
    met: bool,
}

/// The judge.
#[derive(Debug)]
pub(super) struct Judge {
    known: [Known; 2],
    dual_since: Option<Instant>,
    /// Nobody answered for longest.
    pub(super) longest_outage: Duration,
    /// Until then clients must have been answered: a plain loss.
    must_serve_by: Option<Instant>,
}

/// Whether a node has all it needs to serve.
fn is_fit(node: &Node, fabric: &Fabric) -> bool {
    node.is_awake()
        && fabric.way(node.place(), Place::Others).is_good()
        && fabric.way(Place::Others, node.place()).is_good()
}

impl Judge {
    pub(super) fn new() -> Self {
        Self {
            known: [Known::default(); 2],
            dual_since: None,
            longest_outage: Duration::ZERO,
            must_serve_by: None,
        }
    }

    /// Looks at everything.
    ///
    /// # Errors
    ///
    /// What is wrong.
    pub(super) fn look(
        &mut self,
        nodes: &mut [Node; 2],
        fabric: &Fabric,
        hosts: &mut Hosts,
        now: Instant,
    ) -> Result<(), String> {
        if let Some(wrong) = hosts.wrong.take() {
            return Err(wrong);
        }
        self.watch_masters(nodes, fabric, now)?;
        self.watch_service(nodes, fabric, hosts, now)?;
        self.watch_sessions(nodes, fabric, hosts, now)
    }

    fn watch_masters(&mut self, nodes: &[Node; 2], fabric: &Fabric, now: Instant) -> Result<(), String> {
        let tells = |from: usize| {
            self.known[from].met && fabric.way(nodes[from].place(), nodes[1 - from].place()).passes()
        };
        let connected = tells(0) || tells(1);
        let dual = connected && nodes.iter().all(|node| node.serves(now));
        let since = *self.dual_since.get_or_insert(now);
        if !dual {
            self.dual_since = None;
        } else if now.since(since) > DUAL {
            return Err(format!("both nodes have served for {} ms", now.since(since).as_millis()));
        }
        Ok(())
    }

    fn watch_service(
        &mut self,
        nodes: &[Node; 2],
        fabric: &Fabric,
        hosts: &Hosts,
        now: Instant,
    ) -> Result<(), String> {
        let mut longest = Duration::ZERO;
        for (known, node) in self.known.iter_mut().zip(nodes) {
            known.fit_since = is_fit(node, fabric).then(|| known.fit_since.unwrap_or(now));
            if let Some(since) = known.fit_since {
                longest = longest.max(now.since(since.max(hosts.served_at)));
            }
        }
        self.longest_outage = self.longest_outage.max(longest);
        if longest > OUTAGE {
            return Err(format!("nobody has answered the clients for {} ms", longest.as_millis()));
        }
        if self.must_serve_by.is_some_and(|by| hosts.served_at >= by - TAKE_OVER + Duration::from_millis(1)) {
            self.must_serve_by = None;
        }
        if self.must_serve_by.is_some_and(|by| by < now) {
            return Err(format!(
                "nobody answers the clients {} ms after a plain loss",
                TAKE_OVER.as_millis()
            ));
        }
        Ok(())
    }

    /// The node that served is gone, and nothing else is wrong.
    pub(super) fn expect_take_over(&mut self, now: Instant) {
        self.must_serve_by = Some(now + TAKE_OVER);
    }

    /// Something else goes wrong: no hurry is expected any more.
    pub(super) const fn expect_nothing(&mut self) {
        self.must_serve_by = None;
    }

    fn watch_sessions(
        &mut self,
        nodes: &mut [Node; 2],
        fabric: &Fabric,
        hosts: &mut Hosts,
        now: Instant,
    ) -> Result<(), String> {
        for number in 0..2 {
            let (here, there) = (nodes[number].place(), nodes[1 - number].place());
            let hears = nodes.iter().all(Node::is_awake)
                && fabric.way(there, here).is_good()
                && fabric.way(here, there).is_good();
            let known = &mut self.known[number];
            known.hears_since = hears.then(|| known.hears_since.unwrap_or(now));
            let acquainted = known.hears_since.is_some_and(|since| now.since(since) >= ACQUAINTED);
            known.met = nodes[number].runs() && (known.met || acquainted);
            let served = known.serves_since.is_some();
            known.serves_since = nodes[number].serves(now).then(|| known.serves_since.unwrap_or(now));
            if known.serves_since.is_some() && !served {
                seize(number, acquainted, hosts)?;
            }
        }
        let (server, since) = match [0, 1].map(|number| self.known[number].serves_since) {
            [Some(since), None] => (0, since),
            [None, Some(since)] => (1, since),
            _ => return Ok(()),
        };
        let is_wanting = |connection: &Connection| is_wanting(connection, server, since);
        if hosts.connections.iter().any(is_wanting)
            && nodes[1 - server].is_awake()
            && nodes[1 - server].is_in_sync()
            && nodes[server].has_told_all(now)
        {
            for connection in hosts.connections.iter_mut().filter(|it| is_wanting(it)) {
                connection.holders = 0b11;
            }
        }
        Ok(())
    }
}

/// Whether a connection is not known to be held by both, and could be by way of the node that has served since then.
fn is_wanting(connection: &Connection, server: usize, since: Instant) -> bool {
    let here = match connection.holders {
        0 => connection.via.is_some_and(|(node, sent_at)| node == server && sent_at >= since),
        holders => holders & (1 << server) != 0,
    };
    here && connection.holders != 0b11 && !connection.void && connection.phase == Phase::Open
}

/// A node begins to serve: what it does not hold is lost, and must not have been held by a peer it knows.
fn seize(number: usize, acquainted: bool, hosts: &mut Hosts) -> Result<(), String> {
    let own = 1 << number;
    let mut lost = hosts.connections.iter_mut().filter(|it| it.counts() && it.holders & own == 0).peekable();
    if acquainted && lost.peek().is_some() {
        return Err(format!(
            "node {number} took over without the sessions that its peer, whom it hears, holds"
        ));
    }
    lost.for_each(|connection| connection.void = true);
    Ok(())
}
