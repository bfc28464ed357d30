//! Tells the links where an instance's addresses are, and hears who else claims them.

use super::Control;
use crate::{
    packet::{Arp, Ndp},
    port::Port,
    service::Role,
    types::{Duty, Instant, Mac, PortId},
};
use std::net::IpAddr;

/// Announcements in one turn: BFD must not wait for them.
const PER_TURN: usize = 16;

impl<P: Port> Control<P> {
    /// Announces what is due.
    pub(super) fn announce(&mut self, now: Instant) -> bool {
        let Some(ha) = &mut self.ha else { return false };
        let mut found = false;
        for _ in 0..PER_TURN {
            let Some(announcement) = ha.announcer.next(ha.addresses.load(), now) else { break };
            found = true;
            let virtual_mac = ha.virtual_macs.get(announcement.instance.index()).copied();
            self.outlet.send(announcement.port, |out, facts| {
                announcement.frame(virtual_mac.unwrap_or(facts.mac), facts.vlan, out)
            });
        }
        found
    }

    /// Somebody else says that an address of an instance is theirs: an intruder while this node serves it, the new
    /// owner while it is being handed over.
    pub(super) fn hear_claim(&mut self, port: PortId, address: IpAddr, mac: Mac) {
        let (Some(ha), Some(Role::Vip(instance) | Role::Local(instance))) =
            (&mut self.ha, self.services.load().role(address))
        else {
            return;
        };
        match self.ownership.duty(instance) {
            Duty::Serving => ha.elections.contested(instance),
            Duty::Draining => self.relay.set(port, Some(mac)),
            Duty::Idle => {}
        }
    }

    /// What an ARP packet says of who has an address, to whom it concerns.
    pub(super) fn hear_arp_of_others(&mut self, port: PortId, arp: &Arp, now: Instant) {
        let is_ours = self.addresses.mac(port) == Some(arp.sender_mac);
        if is_ours || arp.sender.is_unspecified() || arp.sender_mac.is_multicast() {
            return;
        }
        if let Some(ha) = &mut self.ha {
            ha.witness.hear_arp(port, arp.sender.into(), arp.sender_mac, now);
        }
        if arp.is_gratuitous() {
            self.hear_claim(port, arp.sender.into(), arp.sender_mac);
        }
    }

    /// The same of a neighbour advertisement.
    pub(super) fn hear_ndp_of_others(&mut self, port: PortId, message: &Ndp, now: Instant) {
        let Ndp::Advertisement(said) = message else { return };
        let Some(mac) = said.mac.filter(|mac| self.addresses.mac(port) != Some(*mac)) else { return };
        if let Some(ha) = &mut self.ha {
            ha.witness.hear_arp(port, said.target.into(), mac, now);
        }
        if !said.solicited {
            self.hear_claim(port, said.target.into(), mac);
        }
    }
}
