//! The forwarding table: which port and next hop lead to an address, and in which slot that next hop lies.

use crate::types::{NextHopId, PortId, Prefix};
use std::{collections::HashMap, net::IpAddr};

/// A route: a connected subnet, or a static route over a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// Where it leads.
    pub to: Prefix,
    /// The port it leaves by.
    pub port: PortId,
    /// The gateway; `None` where the destination is on the link.
    pub via: Option<IpAddr>,
}

/// The way to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hop {
    /// The port to leave by.
    pub port: PortId,
    /// The neighbour to send to: the gateway, or the destination itself.
    pub neighbor: IpAddr,
    /// Its slot, if it has one yet.
    pub slot: Option<NextHopId>,
}

/// Routes and the slots of known neighbours. Immutable; the control thread publishes a new one on change.
#[derive(Clone, Debug, Default)]
pub struct Fib {
    /// Longest prefix first.
    routes: Vec<Route>,
    slots: HashMap<(PortId, IpAddr), NextHopId>,
}

impl Fib {
    /// From routes in any order and the slots of neighbours.
    pub fn new(mut routes: Vec<Route>, slots: HashMap<(PortId, IpAddr), NextHopId>) -> Self {
        routes.sort_by_key(|route| std::cmp::Reverse(route.to.length()));
        Self { routes, slots }
    }

    /// The way to `destination`: longest prefix first. Linear in the number of routes, which is small here; called
    /// once a session and direction.
    pub fn way(&self, destination: IpAddr) -> Option<Hop> {
        let route = self.routes.iter().find(|route| route.to.contains(destination))?;
        let neighbor = route.via.unwrap_or(destination);
        Some(Hop { port: route.port, neighbor, slot: self.slot(route.port, neighbor) })
    }

    /// The slot of a neighbour.
    pub fn slot(&self, port: PortId, neighbor: IpAddr) -> Option<NextHopId> {
        self.slots.get(&(port, neighbor)).copied()
    }

    /// The routes, longest prefix first.
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_wins() {
        let route = |to: &str, port, via: Option<&str>| Route {
            to: to.parse().unwrap(),
            port: PortId(port),
            via: via.map(|gateway| gateway.parse().unwrap()),
        };
        let gateway: IpAddr = "10.0.0.1".parse().unwrap();
        let fib = Fib::new(
            vec![
                route("0.0.0.0/0", 0, Some("10.0.0.1")),
                route("10.0.0.0/24", 0, None),
                route("172.16.0.0/12", 1, Some("10.9.0.1")),
                route("172.16.5.0/24", 0, Some("10.0.0.9")),
            ],
            HashMap::from([((PortId(0), gateway), NextHopId(3))]),
        );
        let way = |address: &str| fib.way(address.parse().unwrap());
        assert_eq!(
            way("8.8.8.8"),
            Some(Hop { port: PortId(0), neighbor: gateway, slot: Some(NextHopId(3)) })
        );
        let on_link = way("10.0.0.7").unwrap();
        assert_eq!((on_link.neighbor, on_link.slot), ("10.0.0.7".parse().unwrap(), None));
        assert_eq!(way("172.16.5.1").unwrap().port, PortId(0));
        assert_eq!(way("172.17.5.1").unwrap().port, PortId(1));
        assert_eq!(way("2001:db8::1"), None);
    }
}
