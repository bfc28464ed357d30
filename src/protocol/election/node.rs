//! All instances of a node: hellos in and out, the lease, and the terms reserved.

use super::{
    claim::MAX_TERM,
    facts::Situation,
    hello::{Entry, HELLO_ENTRY, HELLO_HEADER, Hello, MAX_ENTRIES, Sender},
    instance::Election,
    lease::{Assurance, Lease},
    peer::Peer,
    refusal::{Refusal, Refusals},
    report::{Change, Refused, Status},
    role::Role,
    settings::{HELLO_FRESH, HELLO_INTERVAL, NodeSettings, Settings, TERM_RESERVE},
    view::PeerView,
};
use crate::{
    protocol::{bfd::Diagnostic, witness::Evidence},
    types::{InstanceId, Instant},
};
use arrayvec::ArrayVec;

/// Hellos that may go out of turn in one interval. A hand-over takes three; more means that something flutters, and
/// the periodic ones tell the rest.
const EARLY_LIMIT: u8 = 16;

/// What one instance may decide in one look. No chain of decisions is longer than three.
const DECISIONS: usize = 4;

/// What the rest of the node knows at the time of a look.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    /// What BFD says of the peer.
    pub view: &'a PeerView,
    /// What the witnesses say, judged at `drained_at`.
    pub evidence: Evidence,
    /// Ports and workers of this node are well.
    pub healthy: bool,
    /// The earliest of the moments at which each port's receive queue was last seen empty; all that had been received
    /// by then has been given to BFD, the witness and [`Elections::receive`].
    pub drained_at: Instant,
    /// The present.
    pub now: Instant,
}

/// The elections of a node. Lives on the control thread; allocates nothing after [`Elections::new`].
///
/// A turn of the control loop gives every hello to [`Elections::receive`], then calls [`Elections::look`] and carries
/// its changes out, then sends what [`Elections::transmit`] gives and publishes [`Elections::lease`].
#[derive(Clone, Debug)]
pub struct Elections {
    settings: NodeSettings,
    instances: Box<[Election]>,
    peer: Peer,
    refusals: Refusals,
    unknown_instances: u64,
    lease: Lease,
    looked_at: Option<Instant>,
    drained_at: Instant,
    reserved: u64,

    sequence: u64,
    witness: bool,
    next_hello: Instant,
    /// The first instance that the hellos under way have still to name.
    page: Option<usize>,
    early: bool,
    early_left: u8,
}

impl Elections {
    /// All instances in INIT; at most 64 of them. The first hello is due after the first look.
    pub fn new(settings: NodeSettings, instances: &[Settings], now: Instant) -> Self {
        let own = (settings.node, settings.incarnation);
        let election = |instance: &Settings| Election::new(*instance, own, settings.first_term, now);
        Self {
            instances: instances.iter().map(election).collect(),
            peer: Peer::new(),
            refusals: Refusals::default(),
            unknown_instances: 0,
            lease: Lease::new(settings.lease),
            looked_at: None,
            drained_at: now,
            reserved: settings.first_term,
            sequence: 0,
            witness: false,
            next_hello: now,
            page: None,
            early: false,
            early_left: EARLY_LIMIT,
            settings,
        }
    }

    /// Raises the last term reserved before the start. Before the first look.
    pub fn begin_after(&mut self, term: u64) {
        self.reserved = self.reserved.max(term);
        self.instances
            .iter_mut()
            .for_each(|election| election.known = election.known.max(term.min(MAX_TERM)));
    }

    /// Takes a hello that was received `received_at`; the envelope around it has been verified.
    pub fn receive(&mut self, body: &[u8], received_at: Instant) -> Result<(), Refusal> {
        let result = Hello::parse(body).and_then(|hello| {
            let renewed = self.peer.admit(&hello.sender, self.settings.node, received_at)?;
            Ok((hello, renewed))
        });
        let (hello, renewed) = result.inspect_err(|reason| self.refusals.add(*reason))?;
        if renewed {
            self.instances.iter_mut().for_each(Election::renewed);
        }
        for entry in &hello.entries {
            match self.instances.iter_mut().find(|election| election.settings.name == entry.name) {
                Some(election) => election.hear(&hello.sender, entry, received_at),
                None => self.unknown_instances += 1,
            }
        }
        Ok(())
    }

    /// Looks at everything and decides. Each change goes to `on_change`, to be carried out at once.
    pub fn look(&mut self, surroundings: &Surroundings<'_>, mut on_change: impl FnMut(Change)) {
        let Surroundings { view, evidence, healthy, drained_at, now } = *surroundings;
        let situation = Situation {
            presence: view.presence(drained_at),
            elected: view.elected(drained_at),
            evidence,
            healthy,
            talking: self.peer.fresh(drained_at).is_some(),
            stood_still: self.looked_at.is_some_and(|before| now.since(before) > HELLO_FRESH),
            at: drained_at,
            now,
        };
        (self.looked_at, self.drained_at) = (Some(now), drained_at);
        self.witness = !evidence.lost();
        for election in &mut self.instances {
            let before = election.entry();
            for _ in 0..DECISIONS {
                let Some(change) = election.decide(&situation) else { break };
                self.early = true;
                on_change(change);
            }
            self.early |= election.entry() != before;
        }
        let quiet = !situation.hears() && !situation.talking;
        let hello_at = self.peer.latest().map(|(_, at)| at);
        let assurance = Assurance { hello_at, alone: quiet && evidence.fresh(drained_at) };
        self.lease.extend(drained_at, now, assurance);
    }

    /// Writes the next hello that is due at `now` and returns its length. Call again until there is none: what does
    /// not fit `buffer` goes into another. [`super::MAX_HELLO`] bytes hold 32 instances; fewer than 64 bytes hold none,
    /// and nothing is written.
    pub fn transmit(&mut self, now: Instant, buffer: &mut [u8]) -> Option<usize> {
        let room = (buffer.len().checked_sub(HELLO_HEADER)? / HELLO_ENTRY).min(MAX_ENTRIES);
        if room == 0 || self.looked_at.is_none() {
            return None;
        }
        if self.page.is_none() {
            self.begin_hello(now)?;
        }
        let first = self.page?;
        let entries: ArrayVec<Entry, MAX_ENTRIES> =
            self.instances.iter().skip(first).take(room).map(Election::entry).collect();
        if entries.is_empty() {
            self.page = None;
            return None;
        }
        let next = first + entries.len();
        self.page = (next < self.instances.len()).then_some(next);
        self.sequence += 1;
        Hello::emit(&self.sender(), &entries, buffer)
    }

    fn begin_hello(&mut self, now: Instant) -> Option<()> {
        if self.next_hello <= now {
            self.next_hello = now + HELLO_INTERVAL;
            self.early_left = EARLY_LIMIT;
        } else if self.early && self.early_left > 0 {
            self.early_left -= 1;
        } else {
            return None;
        }
        self.early = false;
        self.page = Some(0);
        Some(())
    }

    fn sender(&self) -> Sender {
        Sender {
            node: self.settings.node,
            incarnation: self.settings.incarnation,
            sequence: self.sequence,
            hears: self.peer.fresh(self.drained_at).map_or(0, |peer| peer.incarnation),
            witness: self.witness,
        }
    }

    /// When the next periodic hello is due. Deadlines of decisions are not told: look every turn.
    pub fn next_hello(&self) -> Instant {
        self.next_hello
    }

    /// How long workers may serve without another look; for `Ownership::lease_until`. Renewed by each look.
    pub fn lease(&self) -> Instant {
        self.lease.until()
    }

    /// Whether BFD is to say AdminDown, and with which diagnostic: when no instance can use this node any more.
    pub fn admin_down(&self) -> Option<Diagnostic> {
        let all = |is: fn(&Election) -> bool| self.instances.iter().all(is);
        if self.instances.is_empty() {
            None
        } else if all(|election| election.role == Role::Admin || election.has_left()) {
            Some(Diagnostic::ADMINISTRATIVELY_DOWN)
        } else if all(Election::is_broken) {
            Some(Diagnostic::PATH_DOWN)
        } else {
            None
        }
    }

    /// The highest term that should be reserved on disk, if that is more than is: no claim after a restart may be at
    /// or below one of before. It is asked for long before it is needed, so nobody waits for it.
    pub fn reserve(&self) -> Option<u64> {
        let known = self.instances.iter().map(Election::highest_term).max()?;
        (known + TERM_RESERVE / 2 > self.reserved).then_some(known + TERM_RESERVE)
    }

    /// Terms up to `term` are reserved on disk.
    pub fn reserved(&mut self, term: u64) {
        self.reserved = self.reserved.max(term);
    }

    /// All of the sessions are here of the peer's claim with this term, as of a bulk copy verified and a stream not
    /// torn since; `None`: not, or not any more.
    pub fn copied(&mut self, instance: InstanceId, term: Option<u64>) {
        self.with(instance, |election| election.copied = term);
    }

    /// Whether a hand-over waits for the session stream: mark a barrier in it, and call [`Elections::flushed`] when
    /// the peer has acknowledged all before it. To be asked after each look.
    pub fn wants_flush(&self, instance: InstanceId) -> bool {
        self.get(instance).is_some_and(Election::wants_flush)
    }

    /// The barrier has been acknowledged. Of no meaning when no hand-over waits for it.
    pub fn flushed(&mut self, instance: InstanceId) {
        self.with(instance, Election::flushed);
    }

    /// A worker forwarded a packet of an instance that is being handed over.
    pub fn stray(&mut self, instance: InstanceId, at: Instant) {
        self.with(instance, |election| election.stray(at));
    }

    /// Somebody was heard to announce an address of an instance that this node serves: its own announcements begin
    /// anew, at most once a hello interval. The peer's claim, if that is what it was, comes with its hello.
    pub fn contested(&mut self, instance: InstanceId) {
        self.with(instance, |election| election.address_contested = true);
    }

    /// Gives the instance to the other node, or asks for it if that serves, as a planned hand-over. Success is told
    /// by a change: HANDOVER to STANDBY here, or to ACTIVE.
    pub fn switch_over(&mut self, instance: InstanceId, now: Instant) -> Result<(), Refused> {
        self.get_mut(instance).ok_or(Refused::Unknown)?.switch_over(now)
    }

    /// Takes this node out of the instance's election, handing it over first if it serves and the peer is ready.
    pub fn hold(&mut self, instance: InstanceId) -> Result<(), Refused> {
        self.get_mut(instance).ok_or(Refused::Unknown).map(|election| election.held = true)
    }

    /// Lets it take part again.
    pub fn release(&mut self, instance: InstanceId) -> Result<(), Refused> {
        self.get_mut(instance).ok_or(Refused::Unknown).map(|election| election.held = false)
    }

    /// This node leaves: every instance it serves is handed over, or given up if the peer is not ready.
    pub fn shut_down(&mut self) {
        for election in &mut self.instances {
            election.stopping = true;
        }
    }

    /// Whether a shutdown is complete: nothing is served any more, and the peer has been told three times. BFD may
    /// have to say AdminDown a little longer.
    pub fn may_exit(&self) -> bool {
        let told = |election: &Election| election.since + HELLO_INTERVAL.times(3) <= self.drained_at;
        self.instances.iter().all(|election| election.has_left() && told(election))
    }

    /// Where an instance stands.
    pub fn status(&self, instance: InstanceId) -> Option<Status> {
        self.get(instance).map(|election| election.status(self.drained_at))
    }

    /// Hellos refused, by reason.
    pub fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    /// Times the peer spoke of an instance that this node does not have.
    pub fn unknown_instances(&self) -> u64 {
        self.unknown_instances
    }

    fn get(&self, instance: InstanceId) -> Option<&Election> {
        self.instances.iter().find(|election| election.settings.instance == instance)
    }

    fn get_mut(&mut self, instance: InstanceId) -> Option<&mut Election> {
        self.instances.iter_mut().find(|election| election.settings.instance == instance)
    }

    fn with(&mut self, instance: InstanceId, act: impl FnOnce(&mut Election)) {
        if let Some(election) = self.get_mut(instance) {
            act(election);
        }
    }
}
