//! The question for a neighbour, as a frame.

use crate::{
    packet::{
        Arp,
        ndp::{Solicitation, group_mac},
    },
    types::{Mac, PortId},
};
use std::net::IpAddr;

/// A question to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The port to send it by.
    pub port: PortId,
    /// The address asked for.
    pub address: IpAddr,
    /// The MAC it is thought to have, to be asked directly; `None`: everybody is asked.
    pub to: Option<Mac>,
}

impl Ask {
    /// Writes the frame, an ARP request or a neighbour solicitation, and returns its length. `mac` and `own` are
    /// the port's MAC and an address of this node on the same link. `None` if `own` is of the other family or
    /// `frame` shorter than 90 bytes.
    pub fn frame(&self, mac: Mac, own: IpAddr, vlan: u16, frame: &mut [u8]) -> Option<usize> {
        match (own, self.address) {
            (IpAddr::V4(own), IpAddr::V4(target)) => {
                Arp::request(mac, own, target).frame(self.to.unwrap_or(Mac::BROADCAST), vlan, frame)
            }
            (IpAddr::V6(own), IpAddr::V6(target)) => {
                let question = Solicitation::new(mac, own, target, self.to.is_some());
                let to = self.to.unwrap_or(group_mac(question.destination));
                question.frame(mac, to, vlan, frame)
            }
            _ => None,
        }
    }
}
