//! Where this node's own connections leave: probes of backends.

use super::port::{Port, Route};
use std::net::IpAddr;

/// The way of a connection of this node's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit<'c> {
    /// The port it leaves by.
    pub port: &'c Port,
    /// The port's address it comes from, of the destination's family.
    pub local: IpAddr,
}

/// The way to `destination`: over the port whose subnet holds it, or else over the gateway of the longest prefix that
/// does. `None` without such a port, or if the port has no address of that family.
pub fn exit_towards<'c>(ports: &'c [Port], routes: &[Route], destination: IpAddr) -> Option<Exit<'c>> {
    let over = |neighbor: IpAddr| {
        ports.iter().find_map(|port| {
            let own = port.addresses.iter().find(|own| own.contains(neighbor))?;
            Some(Exit { port, local: own.address() })
        })
    };
    over(destination).or_else(|| {
        let fitting = routes.iter().filter(|route| route.to.contains(destination));
        over(fitting.max_by_key(|route| route.to.length())?.via)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_by_the_nearest_port() {
        let port = |name: &str, addresses: &[&str]| Port {
            name: name.into(),
            addresses: addresses.iter().map(|own| own.parse().unwrap()).collect(),
            ..Port::default()
        };
        let route = |to: &str, via: &str| Route { to: to.parse().unwrap(), via: via.parse().unwrap() };
        let ports = [port("lan", &["10.77.0.11/24", "fd77::11/64"]), port("wan", &["192.0.2.2/30"])];
        let routes = [route("0.0.0.0/0", "192.0.2.1"), route("10.0.0.0/8", "10.77.0.1")];
        for (destination, exit) in [
            ("10.77.0.21", Some(("lan", "10.77.0.11"))),
            ("fd77::21", Some(("lan", "fd77::11"))),
            ("10.78.0.21", Some(("lan", "10.77.0.11"))),
            ("198.51.100.1", Some(("wan", "192.0.2.2"))),
            ("fd78::21", None),
        ] {
            let found = exit_towards(&ports, &routes, destination.parse().unwrap());
            let found = found.map(|exit| (exit.port.name.as_str(), exit.local.to_string()));
            assert_eq!(found.as_ref().map(|(name, local)| (*name, local.as_str())), exit, "{destination}");
        }
    }
}
