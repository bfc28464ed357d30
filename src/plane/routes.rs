//! The routes: which port and which neighbour lead to an address.

use crate::types::{PortId, Prefix};
use std::net::IpAddr;

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
pub struct Way {
    /// The port to leave by.
    pub port: PortId,
    /// The neighbour to send to: the gateway, or the destination itself.
    pub neighbor: IpAddr,
}

/// All routes. Immutable; published whole.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    /// Longest prefix first.
    routes: Vec<Route>,
}

impl Routes {
    /// From routes in any order.
    pub fn new(mut routes: Vec<Route>) -> Self {
        routes.sort_by_key(|route| std::cmp::Reverse(route.to.length()));
        Self { routes }
    }

    /// The way to `destination`: longest prefix first. Linear in the number of routes, which is small; asked once a
    /// session and direction.
    pub fn way(&self, destination: IpAddr) -> Option<Way> {
        let route = self.routes.iter().find(|route| route.to.contains(destination))?;
        Some(Way { port: route.port, neighbor: route.via.unwrap_or(destination) })
    }

    /// The routes, longest prefix first.
    pub fn iter(&self) -> impl Iterator<Item = &Route> {
        self.routes.iter()
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
        let routes = Routes::new(vec![
            route("0.0.0.0/0", 0, Some("10.0.0.1")),
            route("10.0.0.0/24", 0, None),
            route("172.16.0.0/12", 1, Some("10.9.0.1")),
            route("172.16.5.0/24", 0, Some("10.0.0.9")),
        ]);
        let way = |address: &str| {
            let way = routes.way(address.parse().unwrap())?;
            Some((way.port.0, way.neighbor.to_string()))
        };
        assert_eq!(way("8.8.8.8"), Some((0, "10.0.0.1".into())));
        assert_eq!(way("10.0.0.7"), Some((0, "10.0.0.7".into())));
        assert_eq!(way("172.16.5.1"), Some((0, "10.0.0.9".into())));
        assert_eq!(way("172.17.5.1"), Some((1, "10.9.0.1".into())));
        assert_eq!(way("2001:db8::1"), None);
    }
}
