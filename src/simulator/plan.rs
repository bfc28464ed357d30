//! How the nodes of a simulated pair are configured.

use crate::{
    config::{Config, Machine},
    types::Mac,
};
use std::net::Ipv4Addr;

/// The service's address.
pub const VIP: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 100);
/// The service's port.
pub const VIP_PORT: u16 = 80;
/// The address that backends see.
pub const LOCAL: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 40);
/// The port that backends listen on.
pub const BACKEND_PORT: u16 = 8080;
/// The way to clients.
pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);

/// The MAC of node 0 or 1.
pub const fn node_mac(number: usize) -> Mac {
    Mac([2, 0, 0, 0, 0, 0x11 + number as u8])
}

/// What differs from pair to pair.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Workers of each node, 1 to 3.
    pub workers: u8,
    /// BFD's interval in microseconds; three are missed before the peer counts as silent.
    pub interval_us: u32,
    /// How long a node that heard nobody waits, in milliseconds.
    pub lone_start_ms: u32,
    /// How long a node may stand still and serve on, in milliseconds; 0 for ever.
    pub lease_ms: u32,
    /// The VIPs have a MAC that moves with them.
    pub virtual_mac: bool,
    /// Nodes ask the gateway whether they have a network.
    pub witness: bool,
    /// Sessions of a node.
    pub max_sessions: u32,
    /// Backends of the service, 1 to 250.
    pub backends: u8,
}

impl Plan {
    /// The backends' addresses.
    pub fn backends(&self) -> impl Iterator<Item = Ipv4Addr> + use<> {
        (1..=self.backends).map(|number| Ipv4Addr::new(10, 77, 1, number))
    }

    /// The configuration of node 0 or 1; the first has the higher priority.
    ///
    /// # Errors
    ///
    /// The plan's numbers are none that a configuration may have: the mistakes in it.
    pub fn config(&self, number: usize) -> Result<Config, String> {
        let (own, peer) = (11 + number % 2, 12 - number % 2);
        let priority = 100 - number % 2;
        let workers: Vec<String> = (1..=self.workers).map(|core| core.to_string()).collect();
        let workers = workers.join(", ");
        let gateways = if self.witness { format!("gateway_check = [\"{GATEWAY}\"]") } else { String::new() };
        let Self { interval_us, lone_start_ms, lease_ms, virtual_mac, max_sessions, .. } = self;
        let backend = |address| format!("{{ address = \"{address}\", port = {BACKEND_PORT} }}");
        let backends: Vec<String> = self.backends().map(backend).collect();
        let backends = backends.join(", ");
        let text = format!(
            r#"
[node]
name = "lb{own}"
[limits]
neighbors = 256
services = 4
backends = 256
held_packets = 64
fragments = 16
[cores]
control = 0
workers = [{workers}]
management = [7]
[[port]]
name = "lan"
device = "net_null0"
addresses = ["10.77.0.{own}/16"]
[[route]]
to = "0.0.0.0/0"
via = "{GATEWAY}"
[nat]
local_addresses = ["{LOCAL}"]
max_sessions = {max_sessions}
[[service]]
name = "web"
vip = "{VIP}"
port = {VIP_PORT}
protocol = "tcp"
scheduler = "rr"
backends = [{backends}]
[ha]
peer = "10.77.0.{peer}"
priority = {priority}
lone_start_ms = {lone_start_ms}
lease_ms = {lease_ms}
virtual_mac = {virtual_mac}
{gateways}
[[ha.bfd]]
local = "10.77.0.{own}"
remote = "10.77.0.{peer}"
interval_us = {interval_us}
multiplier = 3
[api]
state_file = ""
"#
        );
        Config::parse(&text, "plan.toml", &Machine::with_cores(8)).map_err(|mistakes| mistakes.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_a_configuration() {
        let plan = Plan {
            workers: 2,
            interval_us: 10_000,
            lone_start_ms: 300,
            lease_ms: 60,
            virtual_mac: true,
            witness: true,
            max_sessions: 1000,
            backends: 3,
        };
        for number in 0..2 {
            let config = plan.config(number).unwrap();
            assert_eq!((config.cores.workers.len(), config.services.len()), (2, 1));
        }
        assert!(Plan { interval_us: 1, ..plan }.config(0).is_err());
    }
}
