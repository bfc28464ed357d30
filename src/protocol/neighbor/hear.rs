//! What ARP packets and neighbour discovery messages teach, and what they may not.
//!
//! Replies and announcements change neighbours that are known and create none. Only who asks for an address of
//! this node becomes known by that. Claims to this node's own addresses are conflicts; its own MACs teach nothing.

use super::{Neighbors, State, machine::Demand};
use crate::{
    packet::{
        Arp, ArpOperation, is_martian_source,
        ndp::{Advertisement, Ndp, Solicitation},
    },
    protocol::owner::Owner,
    types::{Instant, Mac, NextHopId, PortId},
};
use std::net::IpAddr;

/// A statement about a neighbour.
struct Claim {
    mac: Option<Mac>,
    /// It answers a question.
    solicited: bool,
    /// It replaces what was known.
    overrides: bool,
}

impl Neighbors {
    /// Learns from a valid ARP packet received on `port`.
    pub fn hear_arp(&mut self, port: PortId, arp: &Arp, owner: &impl Owner, now: Instant) {
        let to_us = owner.answers(port, arp.target.into()).is_some();
        let sender = (arp.sender.into(), Some(arp.sender_mac));
        match arp.operation {
            ArpOperation::Request => self.hear_question(port, sender, to_us, owner, now),
            ArpOperation::Reply => {
                let claim = Claim { mac: Some(arp.sender_mac), solicited: to_us, overrides: true };
                self.hear_claim(port, arp.sender.into(), claim, owner, now);
            }
        }
    }

    /// Learns from a valid neighbour discovery message received on `port`.
    pub fn hear_ndp(&mut self, port: PortId, message: &Ndp, owner: &impl Owner, now: Instant) {
        match message {
            Ndp::Solicitation(Solicitation { source, target, mac, .. }) => {
                let to_us = owner.answers(port, (*target).into()).is_some();
                self.hear_question(port, ((*source).into(), *mac), to_us, owner, now);
            }
            Ndp::Advertisement(Advertisement { target, mac, solicited, overrides, .. }) => {
                let claim = Claim { mac: *mac, solicited: *solicited, overrides: *overrides };
                self.hear_claim(port, (*target).into(), claim, owner, now);
            }
        }
    }

    /// Somebody asks: that shows where it is (RFC 826, RFC 4861 section 7.2.3), unless it has no address yet.
    fn hear_question(
        &mut self,
        port: PortId,
        (address, mac): (IpAddr, Option<Mac>),
        to_us: bool,
        owner: &impl Owner,
        now: Instant,
    ) {
        let Some(mac) = mac.filter(|mac| !is_martian_source(address) && !owner.is_own_mac(port, *mac)) else {
            return;
        };
        if owner.answers(port, address).is_some() {
            return self.conflict(port, address, mac, now);
        }
        match self.slots.find(&(port, address)) {
            Some(slot) => {
                self.learn(slot, &Claim { mac: Some(mac), solicited: false, overrides: true }, now);
            }
            None if to_us => {
                if let Some(slot) = self.create((port, address), Demand::Heard, now) {
                    self.doubt(slot, Some(mac), now);
                }
            }
            None => {}
        }
    }

    fn hear_claim(&mut self, port: PortId, address: IpAddr, claim: Claim, owner: &impl Owner, now: Instant) {
        if claim.mac.is_some_and(|mac| owner.is_own_mac(port, mac)) {
            return;
        }
        if owner.answers(port, address).is_some() {
            if let Some(mac) = claim.mac {
                self.conflict(port, address, mac, now);
            }
            return;
        }
        if let Some(slot) = self.slots.find(&(port, address)) {
            self.counters.answers += 1;
            self.learn(slot, &claim, now);
        }
    }

    /// RFC 4861 section 7.2.5, where STALE is what is verified next. An answer to no question counts as an
    /// announcement.
    fn learn(&mut self, slot: NextHopId, claim: &Claim, now: Instant) {
        let Some(entry) = self.slots.get(slot) else { return };
        let awaited = entry.asked.is_some()
            && matches!(entry.state, State::Incomplete | State::Probing | State::Failed);
        let confirmed = claim.solicited && awaited;
        let Some(mac) = claim.mac.or(entry.mac) else { return };
        let replaces = entry.mac != Some(mac);
        if replaces && entry.mac.is_some() && !claim.overrides {
            if entry.state == State::Reachable {
                self.doubt(slot, entry.mac, now);
            }
        } else if confirmed {
            self.confirm(slot, mac, now);
        } else if replaces {
            self.doubt(slot, Some(mac), now);
        }
    }
}
