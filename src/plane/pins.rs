//! The next hops that the configuration names: gateways, and the neighbours by which backends, the other node and
//! witnesses are reached. Management computes and publishes them; the control core keeps them resolved.

use super::Routes;
use crate::types::PortId;
use std::net::IpAddr;

/// A next hop: the neighbour's address on a port.
pub type Hop = (PortId, IpAddr);

/// All of them, sorted. Immutable; published whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pins(Box<[Hop]>);

impl Pins {
    /// Every gateway of `routes`, and the way to each of `addresses`.
    pub fn new(routes: &Routes, addresses: impl Iterator<Item = IpAddr>) -> Self {
        let gateways = routes.iter().filter_map(|route| route.via.map(|gateway| (route.port, gateway)));
        let ways = addresses.filter_map(|address| routes.way(address)).map(|way| (way.port, way.neighbor));
        let mut hops: Vec<Hop> = gateways.chain(ways).collect();
        hops.sort_unstable();
        hops.dedup();
        Self(hops.into())
    }

    /// The hop at a place in the order.
    pub fn get(&self, at: usize) -> Option<Hop> {
        self.0.get(at).copied()
    }

    /// Whether it is among them.
    pub fn contains(&self, hop: Hop) -> bool {
        self.0.binary_search(&hop).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plane::Route;

    #[test]
    fn gateways_and_ways_to_backends_each_once() {
        let ip = |text: &str| -> IpAddr { text.parse().unwrap() };
        let route = |to: &str, port, via: Option<&str>| Route {
            to: to.parse().unwrap(),
            port: PortId(port),
            via: via.map(ip),
        };
        let routes = Routes::new(vec![
            route("10.2.0.0/24", 1, None),
            route("0.0.0.0/0", 0, Some("10.1.0.1")),
            route("10.9.0.0/16", 1, Some("10.2.0.254")),
        ]);
        let backends = ["10.2.0.7", "10.9.1.1", "10.9.1.2", "192.0.2.1", "fd00::1"].map(ip);
        let pins = Pins::new(&routes, backends.into_iter());
        let expected = [(0, "10.1.0.1"), (1, "10.2.0.7"), (1, "10.2.0.254")].map(|(p, a)| (PortId(p), ip(a)));
        let found: Vec<Hop> = (0..).map_while(|at| pins.get(at)).collect();
        assert_eq!(found, expected);
        assert!(pins.contains(expected[2]) && !pins.contains((PortId(0), ip("10.2.0.254"))));
    }
}
