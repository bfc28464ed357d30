//! One announcement, as a frame.

use crate::{
    packet::{
        Arp, ArpOperation,
        ndp::{ALL_NODES, Advertisement, group_mac},
    },
    types::{InstanceId, Mac, PortId},
};
use std::net::IpAddr;

/// An address to announce now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// The instance it belongs to.
    pub instance: InstanceId,
    /// The port to send it by.
    pub port: PortId,
    /// The address.
    pub address: IpAddr,
    /// The form, where it is ARP.
    pub form: ArpOperation,
}

impl Announcement {
    /// Writes the frame, a gratuitous ARP packet to everybody or an unsolicited neighbour advertisement to all nodes,
    /// and returns its length. `mac` is what the address is reached by, `vlan` the port's. `None` if `frame` is
    /// shorter than 90 bytes.
    pub fn frame(&self, mac: Mac, vlan: u16, frame: &mut [u8]) -> Option<usize> {
        match self.address {
            IpAddr::V4(address) => {
                Arp::gratuitous(self.form, mac, address).frame(Mac::BROADCAST, vlan, frame)
            }
            IpAddr::V6(address) => {
                let statement = Advertisement::unsolicited(mac, address, false);
                statement.frame(mac, group_mac(ALL_NODES), vlan, frame)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::{Datagram, ETHER_ARP, ETHER_IPV6, Ethernet, Ndp};

    const MAC: Mac = Mac([2, 0, 0, 0, 0, 9]);

    fn framed(address: &str, form: ArpOperation, vlan: u16) -> (Ethernet, Vec<u8>) {
        let address = address.parse().unwrap();
        let announcement = Announcement { instance: InstanceId(0), port: PortId(0), address, form };
        let mut frame = [0xee; 128];
        let length = announcement.frame(MAC, vlan, &mut frame).unwrap();
        assert!(length <= 90);
        let (ethernet, at) = Ethernet::parse(&frame[..length]).unwrap();
        assert_eq!((ethernet.source, ethernet.vlan), (MAC, vlan));
        (ethernet, frame[at..length].to_vec())
    }

    #[test]
    fn both_arp_forms_go_to_everybody() {
        for vlan in [0, 7] {
            for form in [ArpOperation::Request, ArpOperation::Reply] {
                let (ethernet, body) = framed("10.0.0.100", form, vlan);
                assert_eq!((ethernet.destination, ethernet.ether_type), (Mac::BROADCAST, ETHER_ARP));
                let arp = Arp::parse(&body).unwrap();
                assert!(arp.is_gratuitous());
                assert_eq!((arp.operation, arp.sender_mac), (form, MAC));
                assert_eq!(IpAddr::V4(arp.sender), "10.0.0.100".parse::<IpAddr>().unwrap());
            }
        }
    }

    #[test]
    fn advertisements_override_and_go_to_all_nodes() {
        for form in [ArpOperation::Request, ArpOperation::Reply] {
            let (ethernet, body) = framed("fd00::100", form, 7);
            let all_nodes: Mac = "33:33:00:00:00:01".parse().unwrap();
            assert_eq!((ethernet.destination, ethernet.ether_type), (all_nodes, ETHER_IPV6));
            let Ndp::Advertisement(said) =
                Ndp::parse(&body, &Datagram::parse(&body, false).unwrap()).unwrap()
            else {
                panic!("no advertisement")
            };
            assert_eq!((said.destination, said.mac), (ALL_NODES, Some(MAC)));
            assert_eq!(IpAddr::V6(said.target), "fd00::100".parse::<IpAddr>().unwrap());
            assert!(said.overrides && !said.solicited && !said.router);
        }
    }
}
