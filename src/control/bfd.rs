//! BFD on the control core: hears, judges and speaks for all sessions, and measures how well.

use super::{CommandError, outlet::Outlet};
use crate::{
    packet::{ETHER_IPV4, ETHER_IPV6, Ethernet},
    plane::{Bulletin, Histogram, NextHops, Routes},
    port::Port,
    protocol::bfd::{
        AddError, Change, Counters, Diagnostic, Discards, MAX_DATAGRAM, Path, Random, Receipt, Session,
        SessionId, Sessions, Settings, Status, Timers,
    },
    types::{Duration, Instant, PortId},
};
use arrayvec::ArrayVec;
use std::{net::IpAddr, sync::Arc};

/// Sessions a node has room for.
pub const MAX_BFD_SESSIONS: usize = 64;

/// Changes of one turn: each session changes a few times at most.
type Changes = ArrayVec<(SessionId, Change), { 4 * MAX_BFD_SESSIONS }>;

/// How well a session's times are kept.
#[derive(Debug, Default)]
pub struct Timing {
    /// How long after they were due packets were given to the port, in nanoseconds.
    pub sent_late: Histogram,
    /// How much longer than the peer's interval its packets took to come, in nanoseconds; 0 for early ones.
    pub received_late: Histogram,
    /// How long packets lay here before they were looked at, in nanoseconds.
    pub looked_at_late: Histogram,
}

/// A session as management sees it.
#[derive(Clone, Copy, Debug)]
pub struct BfdEntry {
    /// Its slot.
    pub id: SessionId,
    /// Where it runs.
    pub path: Path,
    /// What was configured.
    pub timers: Timers,
    /// Where it stands.
    pub status: Status,
    /// What happened so far.
    pub counters: Counters,
    /// Its last packet bore a time of the device or its driver.
    pub stamped: bool,
}

/// All sessions, for management; renewed some times a second.
#[derive(Debug)]
pub struct BfdView {
    entries: Bulletin<Vec<BfdEntry>>,
    refused: Bulletin<Discards>,
    timings: Box<[Timing]>,
}

impl Default for BfdView {
    fn default() -> Self {
        Self {
            entries: Bulletin::new(|| Vec::with_capacity(MAX_BFD_SESSIONS)),
            refused: Bulletin::new(Discards::default),
            timings: (0..MAX_BFD_SESSIONS).map(|_| Timing::default()).collect(),
        }
    }
}

impl BfdView {
    /// The sessions.
    pub fn list(&self) -> Vec<BfdEntry> {
        self.entries.read()
    }

    /// Packets that are of no session, by reason.
    pub fn refused(&self) -> Discards {
        self.refused.read()
    }

    /// How well the session in a slot is served.
    pub fn timing(&self, id: SessionId) -> Option<&Timing> {
        self.timings.get(id.index())
    }
}

/// The control core's part.
#[derive(Debug)]
pub(super) struct Bfd {
    sessions: Sessions,
    view: Arc<BfdView>,
    /// The last packet of the session in a slot bore a time of the NIC.
    stamped: [bool; MAX_BFD_SESSIONS],
    /// Sessions that heard packets without such a time since the last turn began.
    unsettled: ArrayVec<SessionId, MAX_BFD_SESSIONS>,
    changes: Changes,
    /// Sessions that end once the peer has been told.
    leaving: [bool; MAX_BFD_SESSIONS],
    /// Packets known to be lost on this side, port by port, at the last judgement.
    lost: Vec<u64>,
}

impl Bfd {
    pub(super) fn new(seed: u64, ports: usize) -> Self {
        Self {
            sessions: Sessions::new(MAX_BFD_SESSIONS as u16, Random::seeded(seed)),
            view: Arc::default(),
            stamped: [false; MAX_BFD_SESSIONS],
            unsettled: ArrayVec::new(),
            changes: Changes::new(),
            leaving: [false; MAX_BFD_SESSIONS],
            lost: vec![0; ports],
        }
    }

    pub(super) fn view(&self) -> Arc<BfdView> {
        Arc::clone(&self.view)
    }

    pub(super) const fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    pub(super) fn add(&mut self, settings: Settings, now: Instant) -> Result<SessionId, AddError> {
        let id = self.sessions.add(settings, now)?;
        if let Some(timing) = self.view.timing(id) {
            timing.sent_late.clear();
            timing.received_late.clear();
            timing.looked_at_late.clear();
        }
        Ok(id)
    }

    /// The sessions that are not ending, each with its slot.
    pub(super) fn live(&self) -> impl Iterator<Item = (usize, &Session)> {
        let all = self.sessions.iter().map(|(id, session)| (id.index(), session));
        all.filter(|(slot, _)| !self.leaving[*slot])
    }

    pub(super) fn change(&mut self, id: SessionId, timers: Timers) -> Result<(), CommandError> {
        self.sessions.get_mut(id).ok_or(CommandError::NoSession)?.reconfigure(timers);
        Ok(())
    }

    /// Ends a session; the peer hears AdminDown for its detection time.
    pub(super) fn retire(&mut self, id: SessionId, now: Instant) -> Result<(), CommandError> {
        let session = self.sessions.get_mut(id).ok_or(CommandError::NoSession)?;
        let change = session.disable(Diagnostic::ADMINISTRATIVELY_DOWN, now);
        self.leaving[id.index()] = true;
        if let Some(change) = change {
            self.note(id, change);
        }
        Ok(())
    }

    /// The remote address of a session that ends, if no other session has it.
    pub(super) fn last_of_its_remote(&self, id: SessionId) -> Option<IpAddr> {
        let remote = self.sessions.get(id)?.settings().path.remote;
        let has_it = |(other, session): (SessionId, &Session)| {
            !self.leaving[other.index()] && session.settings().path.remote == remote
        };
        (!self.sessions.iter().any(has_it)).then_some(remote)
    }

    /// Says AdminDown on all sessions with this diagnostic, or lets them come up again.
    pub(super) fn set_admin_down(&mut self, diagnostic: Option<Diagnostic>, now: Instant) {
        for slot in 0..MAX_BFD_SESSIONS {
            let Some((id, _)) = self.sessions.iter().find(|(id, _)| id.index() == slot) else { continue };
            let Some(session) = self.sessions.get_mut(id).filter(|_| !self.leaving[slot]) else { continue };
            let change = match diagnostic {
                Some(diagnostic) => session.disable(diagnostic, now),
                None => session.enable(now),
            };
            if let Some(change) = change {
                self.note(id, change);
            }
        }
    }

    /// Removes sessions that have told their peer.
    pub(super) fn reap(&mut self, now: Instant) {
        for slot in 0..MAX_BFD_SESSIONS {
            if !self.leaving[slot] {
                continue;
            }
            let over = |session: &Session| session.removable_at().is_none_or(|at| at <= now);
            let found = self.sessions.iter().find(|(id, _)| id.index() == slot);
            if let Some(id) = found.filter(|(_, session)| over(session)).map(|(id, _)| id) {
                self.sessions.remove(id);
                self.leaving[slot] = false;
            }
        }
    }

    /// A turn begins. Packets that the last one took bore the time at which it began; where they have no other they
    /// were received by now, perhaps only now: between the two this thread may have stood still.
    pub(super) fn settle(&mut self, now: Instant) {
        for id in self.unsettled.drain(..) {
            if let Some(session) = self.sessions.get_mut(id) {
                session.settle(now);
            }
        }
    }

    /// Takes a packet from its IP header on. `received_at` is the NIC's time where it gave one.
    pub(super) fn hear(
        &mut self,
        port: PortId,
        ip: &[u8],
        (received_at, stamped): (Instant, bool),
        now: Instant,
    ) {
        let Ok((id, receipt)) = self.sessions.receive(port, ip, received_at, now) else { return };
        if let Some(flag) = self.stamped.get_mut(id.index()) {
            *flag = stamped;
        }
        if !stamped && !self.unsettled.contains(&id) {
            let _ = self.unsettled.try_push(id);
        }
        self.measure(id, &receipt);
        if let Some(change) = receipt.change {
            self.note(id, change);
        }
    }

    fn measure(&self, id: SessionId, receipt: &Receipt) {
        let Some(timing) = self.view.timing(id) else { return };
        timing.looked_at_late.record(receipt.delay.as_nanos());
        if let Some(late) = receipt.late {
            timing.received_late.record(late.as_nanos());
        }
    }

    /// Judges the sessions of a port whose queue had been looked through at `drained_at`; `lost` counts packets known to
    /// be lost on this side.
    pub(super) fn judge(&mut self, port: PortId, drained_at: Instant, lost: u64, now: Instant) {
        let Some(known) = self.lost.get_mut(port.index()) else { return };
        let evidence_lost = *known != lost;
        *known = lost;
        let Self { sessions, changes, .. } = self;
        sessions.expire(port, drained_at, evidence_lost, now, |id, change| {
            let _ = changes.try_push((id, change));
        });
    }

    fn note(&mut self, id: SessionId, change: Change) {
        // More changes than fit are seen in the session's state.
        let _ = self.changes.try_push((id, change));
    }

    /// What has changed since the last call.
    pub(super) fn take_changes(&mut self) -> Changes {
        std::mem::take(&mut self.changes)
    }

    /// Sends what is due. A packet whose next hop has no known address counts as lost on the way.
    pub(super) fn speak<P: Port>(
        &mut self,
        outlet: &mut Outlet<P>,
        next_hops: &NextHops,
        routes: &Routes,
        now: Instant,
    ) -> bool {
        let mut spoke = false;
        let mut datagram = [0; MAX_DATAGRAM];
        for _ in 0..2 * MAX_BFD_SESSIONS {
            let Some(outgoing) = self.sessions.transmit(now, &mut datagram) else { break };
            spoke = true;
            if let Some(timing) = self.view.timing(outgoing.session) {
                timing.sent_late.record(outgoing.late.as_nanos());
            }
            let ip = datagram.get(..outgoing.length).unwrap_or_default();
            send_ip(outlet, next_hops, routes, outgoing.path.remote, Some(outgoing.path.port), ip);
        }
        spoke
    }

    /// Renews what management sees.
    pub(super) fn publish(&self) {
        self.view.entries.post(|entries| {
            entries.clear();
            entries.extend(self.sessions.iter().map(|(id, session)| {
                let settings = session.settings();
                BfdEntry {
                    id,
                    path: settings.path,
                    timers: settings.timers,
                    status: session.status(),
                    counters: *session.counters(),
                    stamped: self.stamped.get(id.index()) == Some(&true),
                }
            }));
        });
        self.view.refused.post(|refused| *refused = *self.sessions.discards());
    }
}

/// Sends an IP packet that is complete, to a neighbour on `port` or along the route. False without a known address.
pub(super) fn send_ip<P: Port>(
    outlet: &mut Outlet<P>,
    next_hops: &NextHops,
    routes: &Routes,
    to: IpAddr,
    port: Option<PortId>,
    ip: &[u8],
) -> bool {
    let on_link = port.map(|port| (port, to)).filter(|(port, to)| next_hops.find(*port, *to).is_some());
    let Some((port, neighbor)) = on_link.or_else(|| routes.way(to).map(|way| (way.port, way.neighbor)))
    else {
        return false;
    };
    let Some(hop) = next_hops.find(port, neighbor).and_then(|slot| next_hops.get(slot)) else { return false };
    outlet.send(port, |frame, facts| {
        let ether_type = if to.is_ipv4() { ETHER_IPV4 } else { ETHER_IPV6 };
        let header = Ethernet { destination: hop.mac, source: facts.mac, vlan: facts.vlan, ether_type };
        let start = header.write(frame)?;
        frame.get_mut(start..start + ip.len())?.copy_from_slice(ip);
        Some((start + ip.len()).max(crate::packet::MIN_FRAME))
    })
}

/// A moment that has to do with BFD, for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BfdChange {
    /// Where it runs.
    pub path: Path,
    /// What changed.
    pub change: Change,
    /// From the last packet to the moment it was noticed.
    pub silence: Option<Duration>,
}
