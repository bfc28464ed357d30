//! Addresses: ports and their subnets, local addresses, routes.

use super::{Unique, within_limit};
use crate::config::{Config, kind::either, report::Report, text::is_edge};
use crate::types::Prefix;
use std::{collections::HashMap, net::IpAddr};

pub(super) fn check(config: &Config, report: &mut Report<'_>) {
    ports(config, report);
    local_addresses(config, report);
    routes(config, report);
    virtual_addresses(config, report);
}

/// The addresses that are this node's in some way, and which key says so.
pub(super) struct Ours {
    keys: HashMap<IpAddr, String>,
}

impl Ours {
    /// The ports' own addresses.
    pub(super) fn of_ports(config: &Config, report: &Report<'_>) -> Self {
        let mut ours = Self { keys: HashMap::new() };
        for (p, port) in config.ports.iter().enumerate() {
            for (a, own) in port.addresses.iter().enumerate() {
                ours.add(own.address(), format!("port[{p}].addresses[{a}]"), report);
            }
        }
        ours
    }

    /// And the source addresses towards backends.
    pub(super) fn with_local_addresses(mut self, config: &Config, report: &Report<'_>) -> Self {
        for (i, local) in config.nat.local_addresses.iter().enumerate() {
            self.add(local.address, format!("nat.local_addresses[{i}]"), report);
        }
        self
    }

    /// And the virtual addresses.
    pub(super) fn with_vips(mut self, config: &Config, report: &Report<'_>) -> Self {
        for (i, service) in config.services.iter().enumerate() {
            self.add(service.vip, format!("service[{i}].vip"), report);
            for (v, vip) in service.secondary_vips.iter().enumerate() {
                self.add(*vip, format!("service[{i}].secondary_vips[{v}]"), report);
            }
        }
        self
    }

    /// And these, each with what has it.
    pub(super) fn with(mut self, taken: impl IntoIterator<Item = (IpAddr, String)>) -> Self {
        for (address, by) in taken {
            self.keys.entry(address).or_insert(by);
        }
        self
    }

    fn add(&mut self, address: IpAddr, key: String, report: &Report<'_>) {
        if report.sound(&key) {
            self.keys.entry(address).or_insert(key);
        }
    }

    /// Notes a mistake when `address`, the value of `key`, is among them or is no host's in a subnet of ours.
    pub(super) fn refuse(&self, address: IpAddr, key: &str, config: &Config, report: &mut Report<'_>) {
        if !report.sound(key) {
            return;
        }
        if let Some(taken) = self.keys.get(&address) {
            let place =
                if report.has(taken) { format!(" (line {})", report.line(taken)) } else { String::new() };
            let text =
                format!("{address} is taken by {taken}{place}, allowed is an address used for nothing else");
            report.mistake(key, text);
        } else if let Some(subnet) = subnets(config).find(|subnet| is_edge(subnet, address)) {
            let subnet = subnet.network();
            let text =
                format!("{address} is no host in the subnet {subnet}, allowed is one between its ends");
            report.mistake(key, text);
        }
    }
}

/// The subnets of all ports.
pub(super) fn subnets(config: &Config) -> impl Iterator<Item = &Prefix> {
    config.ports.iter().flat_map(|port| &port.addresses)
}

/// Whether every port's addresses were read well, so that what is not among them is not ours.
pub(super) fn subnets_are_known(config: &Config, report: &Report<'_>) -> bool {
    let ports = config.ports.len();
    ports > 0 && (0..ports).all(|port| report.sound(&format!("port[{port}].addresses")))
}

/// Notes a mistake when `address`, the value of `key`, is in no port's subnet. `or`: what else would be allowed.
pub(super) fn on_link(address: IpAddr, key: &str, or: &str, config: &Config, report: &mut Report<'_>) {
    let connected = subnets(config).any(|subnet| subnet.contains(address));
    if connected || !report.sound(key) || !subnets_are_known(config, report) {
        return;
    }
    let family = subnets(config).filter(|subnet| subnet.address().is_ipv4() == address.is_ipv4());
    let subnets: Vec<String> = family.map(|subnet| subnet.network().to_string()).collect();
    let allowed = match (subnets.is_empty(), super::family(address)) {
        (true, family) => format!("{family} only when some port has an {family} address{or}"),
        (false, _) => format!("an address in {}{or}", either(subnets)),
    };
    report.mistake(key, format!("{address} is in no port's subnet, allowed is {allowed}"));
}

fn ports(config: &Config, report: &mut Report<'_>) {
    let mut names = Unique::new("a name of its own");
    let mut devices = Unique::new("a device of its own");
    let mut interfaces = Unique::new("a device with an interface of its own");
    let mut kernel_interfaces = Unique::new("an interface name of its own");
    let mut addresses = Unique::new("an address of its own");
    for (p, port) in config.ports.iter().enumerate() {
        names.insert(&port.name, &port.name, format!("port[{p}].name"), report);
        let device = format!("port[{p}].device");
        devices.insert(port.device_name(), port.device_name(), device.clone(), report);
        if let Some(interface) = port.device_interface() {
            interfaces.insert(interface, interface, device, report);
        }
        if let Some(interface) = &port.kernel_interface {
            kernel_interfaces.insert(interface, interface, format!("port[{p}].kernel_interface"), report);
        }
        for (a, own) in port.addresses.iter().enumerate() {
            addresses.insert(own.address(), own.address(), format!("port[{p}].addresses[{a}]"), report);
        }
    }
    shared_subnets(config, report);
}

/// The way to a subnet on two ports would be ambiguous. Link-local addresses are on every port.
fn shared_subnets(config: &Config, report: &mut Report<'_>) {
    let mut seen: HashMap<Prefix, (usize, String)> = HashMap::new();
    for (p, port) in config.ports.iter().enumerate() {
        for (a, own) in port.addresses.iter().enumerate() {
            let key = format!("port[{p}].addresses[{a}]");
            let link_local = matches!(own.address(), IpAddr::V6(v6) if v6.is_unicast_link_local());
            if link_local || !report.sound(&key) {
                continue;
            }
            let (owner, before) = seen.entry(own.network()).or_insert_with(|| (p, key.clone()));
            if *owner != p {
                let line = report.line(before);
                let text = format!(
                    "the subnet {} is also that of {before} (line {line}), allowed is a subnet on one port",
                    own.network()
                );
                report.mistake(&key, text);
            }
        }
    }
}

fn local_addresses(config: &Config, report: &mut Report<'_>) {
    let own = Ours::of_ports(config, report);
    let mut unique = Unique::new("each address once");
    for (i, local) in config.nat.local_addresses.iter().enumerate() {
        let key = format!("nat.local_addresses[{i}]");
        own.refuse(local.address, &key, config, report);
        on_link(local.address, &key, "", config, report);
        unique.insert(local.address, local.address, key, report);
    }
}

fn routes(config: &Config, report: &mut Report<'_>) {
    let ours = Ours::of_ports(config, report).with_local_addresses(config, report).with_vips(config, report);
    let mut unique = Unique::new("one route to a subnet");
    for (i, route) in config.routes.iter().enumerate() {
        let (to, via) = (format!("route[{i}].to"), format!("route[{i}].via"));
        unique.insert(route.to, route.to, to.clone(), report);
        if route.to.address().is_ipv4() != route.via.is_ipv4() && report.sound(&to) && report.sound(&via) {
            let text =
                format!("{} is of another family than {}, allowed is the same family", route.via, route.to);
            report.mistake(&via, text);
            continue;
        }
        ours.refuse(route.via, &via, config, report);
        on_link(route.via, &via, "", config, report);
    }
    within_limit(config.routes.len(), config.limits.routes, "routes", "route", report);
}

/// VIPs need not be in a subnet of ours: a router may send them here.
fn virtual_addresses(config: &Config, report: &mut Report<'_>) {
    let own = Ours::of_ports(config, report).with_local_addresses(config, report);
    let ours = Ours::of_ports(config, report).with_local_addresses(config, report).with_vips(config, report);
    for (s, service) in config.services.iter().enumerate() {
        own.refuse(service.vip, &format!("service[{s}].vip"), config, report);
        for (v, vip) in service.secondary_vips.iter().enumerate() {
            own.refuse(*vip, &format!("service[{s}].secondary_vips[{v}]"), config, report);
        }
        for (b, backend) in service.backends.iter().enumerate() {
            ours.refuse(backend.address, &format!("service[{s}].backends[{b}].address"), config, report);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::tests::{NAT, PORT, config, expect};

    #[test]
    fn two_ports_share_nothing() {
        expect(
            r#"
[[port]]
name = "lan"
device = "0000:3b:00.0"
addresses = ["10.77.0.11/24", "10.77.0.12/24", "fd77::11/64"]
kernel_interface = "hl-lan"
[[port]]
name = "lan"
#! 8: port[1].name: lan is taken by port[0].name (line 2), allowed is a name of its own
device = "3B:00.0,rxq_cqe_comp_en=1"
#! 10: port[1].device: 0000:3b:00.0 is taken by port[0].device (line 3), allowed is a device of its own
addresses = ["10.77.0.11/24", "10.77.0.13/16", "fd77::12/64", "fe80::1/64"]
#! 14: port[1].addresses[0]: 10.77.0.11 is taken by port[0].addresses[0] (line 4), allowed is an address of its own
#! 14: port[1].addresses[0]: the subnet 10.77.0.0/24 is also that of port[0].addresses[0] (line 4), allowed is a subnet on one port
#! 48: port[1].addresses[2]: the subnet fd77::/64 is also that of port[0].addresses[2] (line 4), allowed is a subnet on one port
kernel_interface = "hl-lan"
#! 20: port[1].kernel_interface: hl-lan is taken by port[0].kernel_interface (line 5), allowed is an interface name of its own
[[port]]
name = "a"
device = "net_af_packet0,iface=veth0"
addresses = ["10.78.0.11/24", "10.78.0.11/25", "fe80::1:1/64"]
#! 31: port[2].addresses[1]: 10.78.0.11 is taken by port[2].addresses[0] (line 14), allowed is an address of its own
[[port]]
name = "b"
device = "net_af_packet1,iface=veth0"
#! 10: port[3].device: veth0 is taken by port[2].device (line 13), allowed is a device with an interface of its own
addresses = ["10.79.0.11/24", "fe80::2/64"]
"#,
            &[],
        );
    }

    #[test]
    fn local_addresses_are_others_in_a_subnet() {
        expect(
            r#"
[nat]
local_addresses = ["10.99.0.40", "10.77.0.11", "10.77.0.40", "10.77.0.40", "10.77.0.255", "fd99::40"]
#! 20: nat.local_addresses[0]: 10.99.0.40 is in no port's subnet, allowed is an address in 10.77.0.0/24
#! 34: nat.local_addresses[1]: 10.77.0.11 is taken by port[0].addresses[0] (line 7), allowed is an address used for nothing else
#! 62: nat.local_addresses[3]: 10.77.0.40 is taken by nat.local_addresses[2] (line 2), allowed is each address once
#! 76: nat.local_addresses[4]: 10.77.0.255 is no host in the subnet 10.77.0.0/24, allowed is one between its ends
#! 91: nat.local_addresses[5]: fd99::40 is in no port's subnet, allowed is an address in fd77::/64
"#,
            &[PORT],
        );
        expect(
            r#"
[nat]
local_addresses = ["fd77::40"]
#! 20: nat.local_addresses[0]: fd77::40 is in no port's subnet, allowed is IPv6 only when some port has an IPv6 address
[[port]]
name = "lan"
device = "0000:3b:00.0"
addresses = ["10.77.0.11/24"]
"#,
            &[],
        );
    }

    #[test]
    fn virtual_addresses_and_backends_are_nothing_else() {
        expect(
            r#"
[[service]]
name = "own"
vip = "10.77.0.11"
#! 7: service[0].vip: 10.77.0.11 is taken by port[0].addresses[0] (line 32), allowed is an address used for nothing else
port = 80
[[service]]
name = "local"
vip = "10.77.0.40"
#! 7: service[1].vip: 10.77.0.40 is taken by nat.local_addresses[0] (line 35), allowed is an address used for nothing else
port = 80
[[service]]
name = "broadcast"
vip = "10.77.0.255"
#! 7: service[2].vip: 10.77.0.255 is no host in the subnet 10.77.0.0/24, allowed is one between its ends
port = 80
[[service]]
name = "web"
vip = "10.77.0.100"
port = 80
backends = [
  { address = "10.77.0.100", port = 8080 },
#! 15: service[3].backends[0].address: 10.77.0.100 is taken by service[3].vip (line 15), allowed is an address used for nothing else
  { address = "10.77.0.101", port = 8080 },
#! 15: service[3].backends[1].address: 10.77.0.101 is taken by service[4].vip (line 26), allowed is an address used for nothing else
  { address = "10.77.0.11", port = 8080 },
#! 15: service[3].backends[2].address: 10.77.0.11 is taken by port[0].addresses[0] (line 32), allowed is an address used for nothing else
  { address = "10.77.0.40", port = 8080 },
#! 15: service[3].backends[3].address: 10.77.0.40 is taken by nat.local_addresses[0] (line 35), allowed is an address used for nothing else
  { address = "10.77.0.0", port = 8080 },
#! 15: service[3].backends[4].address: 10.77.0.0 is no host in the subnet 10.77.0.0/24, allowed is one between its ends
]
[[service]]
name = "second"
vip = "10.77.0.101"
port = 80
"#,
            &[PORT, NAT],
        );
    }

    #[test]
    fn virtual_addresses_and_backends_may_be_behind_routers() {
        let document = r#"
[[service]]
name = "web"
vip = "203.0.113.7"
port = 80
backends = [{ address = "198.51.100.3" }]
"#;
        config(&[document, PORT, NAT].concat());
    }

    #[test]
    fn gateways_are_neighbours() {
        expect(
            r#"
[limits]
routes = 5
[[route]]
#! 1: route: has 6 routes in all, allowed are 5, or raise limits.routes
to = "0.0.0.0/0"
via = "10.77.0.1"
[[route]]
to = "0.0.0.0/0"
#! 6: route[1].to: 0.0.0.0/0 is taken by route[0].to (line 4), allowed is one route to a subnet
via = "10.77.0.2"
[[route]]
to = "10.1.0.0/16"
via = "10.99.0.1"
#! 7: route[2].via: 10.99.0.1 is in no port's subnet, allowed is an address in 10.77.0.0/24
[[route]]
to = "10.2.0.0/16"
via = "fd77::1"
#! 7: route[3].via: fd77::1 is of another family than 10.2.0.0/16, allowed is the same family
[[route]]
to = "10.3.0.0/16"
via = "10.77.0.11"
#! 7: route[4].via: 10.77.0.11 is taken by port[0].addresses[0] (line 25), allowed is an address used for nothing else
[[route]]
to = "10.4.0.0/16"
via = "10.77.0.40"
#! 7: route[5].via: 10.77.0.40 is taken by nat.local_addresses[0] (line 28), allowed is an address used for nothing else
"#,
            &[PORT, NAT],
        );
    }

    #[test]
    fn unread_subnets_are_not_held_against_addresses() {
        expect(
            r#"
[nat]
local_addresses = ["10.99.0.40"]
[[route]]
to = "0.0.0.0/0"
via = "10.99.0.1"
[[port]]
name = "lan"
device = "0000:3b:00.0"
addresses = ["10.77.0.11/24", "10.99.0.11"]
#! 31: port[0].addresses[1]: is "10.99.0.11", allowed is a host's address and the length of its subnet, such as "10.0.0.1/24" or "fd00::1/64"
"#,
            &[],
        );
    }
}
