//! Who serves. Each turn the election is told what BFD, the witnesses and the workers say; what it decides is carried
//! out at once: one store moves an instance's addresses, then they are announced, then the peer and management are
//! told.

use super::{Control, Event, HaView, Io};
use crate::{
    plane::{Counter, Reader},
    port::Port,
    protocol::{
        announce::{self, Addresses, Announcer},
        bfd::Random,
        election::{
            self, Announce, Change, Elections, MAX_HELLO, MAX_PATHS, NodeSettings, PathReport, PeerView,
            Reason, Role, Surroundings,
        },
        pair::Kind,
        witness::{Check, Gateway, Witness},
    },
    types::{Duration, InstanceId, Instant, Mac, PortId},
};
use arrayvec::ArrayVec;
use std::sync::Arc;

/// Decisions carried out in one turn; each instance makes a few at most.
const CHANGES: usize = 256;

/// What high availability is made from.
#[derive(Debug)]
pub struct HaSettings {
    /// Who this node is.
    pub node: NodeSettings,
    /// Its instances, in the order of the configuration.
    pub instances: Vec<election::Settings>,
    /// Whom to ask whether this node has a network, and how.
    pub witnesses: Vec<Gateway>,
    /// How.
    pub check: Check,
    /// The shortest interval of the BFD paths to the peer.
    pub fastest: Option<Duration>,
    /// When to announce.
    pub announcer: announce::Settings,
    /// What to announce.
    pub addresses: Reader<Addresses>,
    /// The MACs that move with the instances; none if VIPs have their port's.
    pub virtual_macs: Vec<Mac>,
    /// Ports without which this node serves nobody, a bit each.
    pub needed_ports: u32,
}

/// The control core's part.
#[derive(Debug)]
pub(super) struct Ha {
    pub(super) elections: Elections,
    pub(super) witness: Witness,
    pub(super) announcer: Announcer,
    pub(super) addresses: Reader<Addresses>,
    pub(super) virtual_macs: Vec<Mac>,
    peer: PeerView,
    needed_ports: u32,
    view: Arc<HaView>,
    instances: u8,
    /// Waits for the barrier in the session stream.
    flushing: bool,
    /// BFD says AdminDown.
    left: bool,
    /// Strays of all workers at the last look.
    strays: u64,
    /// When a take-over was decided whose first announcement has not been seen to leave.
    decided_at: Option<Instant>,
}

impl Ha {
    pub(super) fn new(settings: HaSettings, seed: u64, now: Instant) -> Self {
        let mut random = Random::seeded(seed);
        let mut fork = || Random::seeded(random.next_u64());
        let instances = settings.instances.len();
        Self {
            elections: Elections::new(settings.node, &settings.instances, now),
            witness: Witness::new(
                settings.check,
                settings.check.interval(settings.fastest),
                settings.witnesses,
                now,
                fork(),
            ),
            announcer: Announcer::new(&settings.announcer, instances as u8, fork()),
            addresses: settings.addresses,
            virtual_macs: settings.virtual_macs,
            peer: PeerView::new(MAX_PATHS),
            needed_ports: settings.needed_ports,
            view: Arc::new(HaView::new(instances)),
            instances: instances as u8,
            flushing: false,
            left: false,
            strays: 0,
            decided_at: None,
        }
    }

    pub(super) fn view(&self) -> Arc<HaView> {
        Arc::clone(&self.view)
    }

    fn ids(&self) -> impl Iterator<Item = InstanceId> + use<> {
        (0..self.instances).map(InstanceId)
    }

    fn drains(&self, instance: InstanceId) -> bool {
        self.elections.status(instance).is_some_and(|status| status.role == Role::Handover)
    }
}

impl<P: Port> Control<P> {
    /// Looks at everything and decides.
    pub(super) fn elect(&mut self, now: Instant) {
        let drained_at = self.drained_at().unwrap_or(now);
        let healthy = self.is_healthy();
        let Some(ha) = &mut self.ha else { return };
        if let Some(decided_at) = ha.decided_at.take() {
            ha.view.takeover.record(now.since(decided_at).as_nanos());
        }
        let mut reports = [PathReport::default(); MAX_PATHS];
        for (path, session) in self.bfd.live() {
            if let Some(report) = reports.get_mut(path) {
                *report = PathReport::new(&session.status(), session.settings().compatibility);
            }
        }
        reports.into_iter().enumerate().for_each(|(path, report)| ha.peer.report(path, report));
        if let Some(since) = ha.peer.late_since(drained_at) {
            ha.witness.hurry(since, now);
        }
        let evidence = ha.witness.judge(drained_at);
        let mut changes = ArrayVec::<Change, CHANGES>::new();
        let surroundings = Surroundings { view: &ha.peer, evidence, healthy, drained_at, now };
        let Ha { elections, announcer, .. } = ha;
        elections.look(&surroundings, |change| {
            self.ownership.store(change.instance, change.to.state(), change.to.duty(), change.term);
            match change.announce {
                Announce::Start => announcer.start(change.instance, now),
                Announce::Stop => announcer.stop(change.instance),
                Announce::Keep => {}
            }
            // What does not fit is seen in the instance's state.
            let _ = changes.try_push(change);
        });
        self.ownership.lease_until(ha.elections.lease());
        for change in changes {
            if let Some(sync) = &mut self.sync
                && change.from.serves() != change.to.serves()
            {
                sync.inherit(change.instance, change.reason == Reason::HandedOver);
            }
            self.note(&change);
        }
    }

    /// Up to which moment everything that was received on any port has been looked at.
    fn drained_at(&self) -> Option<Instant> {
        (0..self.ports()).map(|port| self.looked_through(port)).min()
    }

    fn is_healthy(&self) -> bool {
        let needed = self.ha.as_ref().map_or(0, |ha| ha.needed_ports);
        self.watchdog.stalled() == 0 && self.links.up() & needed == needed
    }

    fn note(&mut self, change: &Change) {
        if let Some(ha) = &mut self.ha
            && change.to.serves()
            && !change.from.serves()
        {
            ha.decided_at = Some(change.decided_at);
            if let Some(silence) = change.silence {
                ha.view.detection.record(change.decided_at.since(silence.last_heard).as_nanos());
            }
        }
        self.tell(Event::Election(*change));
    }

    /// Tells the peer.
    pub(super) fn say_hello(&mut self, now: Instant) -> bool {
        let (Some(ha), Some(link)) = (&mut self.ha, &mut self.link) else { return false };
        let mut hello = [0; MAX_HELLO];
        let mut said = false;
        while let Some(length) = ha.elections.transmit(now, &mut hello) {
            let mut io = Io {
                outlet: &mut self.outlet,
                routes: self.routes.load(),
                next_hops: &self.next_hops,
                neighbors: &mut self.neighbors,
                addresses: &self.addresses,
            };
            link.broadcast(Kind::Hello, hello.get(..length).unwrap_or_default(), &mut io, now);
            said = true;
        }
        said
    }

    /// Follows what takes part in a hand-over besides the election: the session stream, strays, BFD.
    pub(super) fn follow_handover(&mut self, now: Instant) {
        let Some(ha) = &mut self.ha else { return };
        let wanted = ha.ids().any(|instance| ha.elections.wants_flush(instance));
        let flushed = match &mut self.sync {
            None => wanted,
            Some(sync) => {
                if wanted && !ha.flushing {
                    sync.mark_barrier();
                }
                wanted && ha.flushing && sync.is_past_barrier()
            }
        };
        ha.flushing = wanted;
        if flushed {
            for instance in ha.ids() {
                if ha.elections.wants_flush(instance) {
                    ha.elections.flushed(instance);
                }
            }
        }
        let down = ha.elections.admin_down();
        if down.is_some() != ha.left {
            ha.left = down.is_some();
            self.bfd.set_admin_down(down, now);
        }
    }

    /// What need not be known at once.
    pub(super) fn keep_house_of_ha(&mut self, now: Instant) {
        let Some(ha) = &mut self.ha else { return };
        for instance in ha.ids() {
            let Some(status) = ha.elections.status(instance) else { continue };
            let here = self.sync.as_ref().is_none_or(|sync| sync.holds(instance));
            match status.peer {
                Some((role, claim)) if role.serves() && here => {
                    ha.elections.copied(instance, Some(claim.term));
                }
                // Nothing can have changed since it fell silent.
                _ if here => {}
                _ => ha.elections.copied(instance, None),
            }
        }
        if ha.ids().any(|instance| ha.drains(instance)) {
            let strays = self.workers.iter().map(|worker| worker.read().get(Counter::Strays)).sum();
            if strays != ha.strays {
                ha.strays = strays;
                // One that is not being handed over does not care.
                ha.ids().for_each(|instance| ha.elections.stray(instance, now));
            }
        }
        ha.view.want_reserve(ha.elections.reserve().unwrap_or(0));
        ha.view.set_may_exit(ha.elections.may_exit());
        ha.view.post(|report| {
            report.instances.clear();
            let status = |instance| Some((instance, ha.elections.status(instance)?));
            report.instances.extend(ha.ids().filter_map(status));
            report.witnesses = ha.witness.gateways().map(|(gateway, at, _)| (gateway.address, at)).collect();
            report.asked = ha.witness.counters();
            report.refused_hellos = ha.elections.refusals().total();
            report.at = now;
        });
    }

    /// Keeps workers informed of where the other node is.
    pub(super) fn find_relay(&mut self) {
        for port in (0..self.ports()).map(|port| PortId(port as u8)) {
            let Some(link) = &self.link else { return };
            let on_link = link.peers().filter(|peer| self.addresses.on_link(port, *peer));
            let known = on_link.filter_map(|peer| self.next_hops.get(self.next_hops.find(port, peer)?));
            if let Some(hop) = known.into_iter().next() {
                self.relay.set(port, Some(hop.mac));
            }
        }
    }
}
