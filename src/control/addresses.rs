//! What this node answers for, and with which MAC.

use crate::{
    plane::Ownership,
    protocol::owner::Owner,
    service::{Role, ServiceTable},
    types::{Mac, PortId, Prefix},
};
use std::net::IpAddr;

/// One port's own addresses.
#[derive(Clone, Debug)]
struct PortAddresses {
    mac: Mac,
    addresses: Vec<Prefix>,
}

/// This node's own addresses, port by port.
#[derive(Clone, Debug, Default)]
pub struct NodeAddresses {
    ports: Vec<PortAddresses>,
}

impl NodeAddresses {
    /// From each port's MAC and its addresses with their prefix lengths, in the order of the configuration.
    pub fn new(ports: impl IntoIterator<Item = (Mac, Vec<Prefix>)>) -> Self {
        Self { ports: ports.into_iter().map(|(mac, addresses)| PortAddresses { mac, addresses }).collect() }
    }

    /// The MAC of a port.
    pub fn mac(&self, port: PortId) -> Option<Mac> {
        self.ports.get(port.index()).map(|port| port.mac)
    }

    /// An own address on the port to ask for `neighbor` from: in its subnet if there is one, of its family at least.
    pub fn source_for(&self, port: PortId, neighbor: IpAddr) -> Option<IpAddr> {
        let own = &self.ports.get(port.index())?.addresses;
        let same_family = |own: &&Prefix| own.address().is_ipv4() == neighbor.is_ipv4();
        own.iter()
            .find(|own| own.contains(neighbor))
            .or_else(|| own.iter().find(same_family))
            .map(Prefix::address)
    }

    /// Whether `address` lies in a subnet of the port.
    pub fn on_link(&self, port: PortId, address: IpAddr) -> bool {
        self.ports
            .get(port.index())
            .is_some_and(|port| port.addresses.iter().any(|own| own.contains(address)))
    }
}

/// What the node owns at this moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owned<'a> {
    pub(super) addresses: &'a NodeAddresses,
    pub(super) services: &'a ServiceTable,
    pub(super) ownership: &'a Ownership,
    /// By which addresses of instances are reached, in place of the port's.
    pub(super) virtual_macs: &'a [Mac],
}

impl Owner for Owned<'_> {
    fn answers(&self, port: PortId, address: IpAddr) -> Option<Mac> {
        let mac = self.addresses.mac(port)?;
        match self.services.role(address)? {
            Role::Node(own) => (own == port).then_some(mac),
            Role::Vip(instance) | Role::Local(instance) => {
                let moving = self.virtual_macs.get(instance.index()).copied();
                self.ownership.serves(instance).then_some(moving.unwrap_or(mac))
            }
        }
    }

    fn is_own_mac(&self, port: PortId, mac: Mac) -> bool {
        self.addresses.mac(port) == Some(mac) || self.virtual_macs.contains(&mac)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asks_from_the_address_on_the_neighbour_s_subnet() {
        let prefix = |text: &str| text.parse::<Prefix>().unwrap();
        let own = ["10.1.0.11/24", "10.2.0.11/24", "fd00::11/64"].map(prefix).to_vec();
        let addresses = NodeAddresses::new([(Mac([2, 0, 0, 0, 0, 1]), own)]);
        let source = |neighbor: &str| addresses.source_for(PortId(0), neighbor.parse().unwrap());
        assert_eq!(source("10.2.0.7"), Some("10.2.0.11".parse().unwrap()));
        assert_eq!(source("192.0.2.7"), Some("10.1.0.11".parse().unwrap()));
        assert_eq!(source("fd00::7"), Some("fd00::11".parse().unwrap()));
        assert_eq!(addresses.source_for(PortId(1), "10.1.0.7".parse().unwrap()), None);
        assert!(addresses.on_link(PortId(0), "10.1.0.200".parse().unwrap()));
        assert!(!addresses.on_link(PortId(0), "10.3.0.1".parse().unwrap()));
    }
}
