//! Services: no two on one port, backends that fit, an instance with a local address.

use super::{Unique, family, within_limit};
use crate::config::{
    Config, Scheduler, Service,
    kind::{either, quote},
    report::Report,
};
use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
};

pub(super) fn check(config: &Config, report: &mut Report<'_>) {
    let mut names = Unique::new("a name of its own");
    let ways = Ways::new(config, report);
    for (s, service) in config.services.iter().enumerate() {
        let path = format!("service[{s}]");
        names.insert(&service.name, &service.name, format!("{path}.name"), report);
        secondary_vips(service, &path, report);
        sources(service, &path, report);
        backends(service, &path, report);
        ways.check(service, &path, config, report);
        warn(service, &path, report);
    }
    overlaps(&config.services, report);
    for (i, local) in config.nat.local_addresses.iter().enumerate() {
        known_instance(&local.instance, &format!("nat.local_addresses[{i}]"), config, report);
    }
    for (s, service) in config.services.iter().enumerate() {
        known_instance(&service.instance, &format!("service[{s}].instance"), config, report);
    }
    let (services, limits) = (&config.services, &config.limits);
    within_limit(services.len(), limits.services, "services", "service", report);
    let backends = services.iter().map(|service| service.backends.len()).sum();
    within_limit(backends, limits.backends, "backends", "service", report);
    if config.nat.local_addresses.is_empty() && services.is_empty() && report.sound("nat") {
        report.warning("nat.local_addresses", "is empty: no service can be created");
    }
}

fn secondary_vips(service: &Service, path: &str, report: &mut Report<'_>) {
    let mut unique = Unique::new("each address once");
    unique.insert(service.vip, service.vip, format!("{path}.vip"), report);
    for (i, vip) in service.secondary_vips.iter().enumerate() {
        let key = format!("{path}.secondary_vips[{i}]");
        same_family(*vip, service.vip, &key, path, report);
        unique.insert(*vip, *vip, key, report);
    }
}

fn sources(service: &Service, path: &str, report: &mut Report<'_>) {
    for (i, source) in service.allowed_sources.iter().enumerate() {
        let key = format!("{path}.allowed_sources[{i}]");
        same_family(source.address(), service.vip, &key, path, report);
    }
}

/// Notes a mistake when `address`, the value of `key`, is of another family than the VIP of the service at `path`.
fn same_family(address: IpAddr, vip: IpAddr, key: &str, path: &str, report: &mut Report<'_>) {
    let fits = address.is_ipv4() == vip.is_ipv4();
    if fits || !report.sound(key) || !report.sound(&format!("{path}.vip")) {
        return;
    }
    let (wrong, right) = (family(address), family(vip));
    let text = format!(
        "{address} is {wrong} but the vip is {right}, allowed is {right}: one service does not translate \
         between families yet"
    );
    report.mistake(key, text);
}

fn backends(service: &Service, path: &str, report: &mut Report<'_>) {
    let mut unique = Unique::new("each backend once");
    for (b, backend) in service.backends.iter().enumerate() {
        let key = format!("{path}.backends[{b}]");
        same_family(backend.address, service.vip, &format!("{key}.address"), path, report);
        unique.insert((backend.address, backend.port), backend, key, report);
    }
}

fn warn(service: &Service, path: &str, report: &mut Report<'_>) {
    let key = format!("{path}.backends");
    if !report.sound(&key) {
        return;
    }
    if service.backends.is_empty() {
        report.warning(&key, "is empty: every new session is refused until the API adds a backend");
    }
    let first = service.backends.first().map(|backend| backend.weight);
    let differ = service.backends.iter().any(|backend| Some(backend.weight) != first);
    if differ && service.scheduler == Scheduler::RoundRobin && report.sound(&format!("{path}.scheduler")) {
        report.warning(&key, "have weights, which scheduler \"rr\" does not look at: \"wrr\" does");
    }
}

/// Whether each instance has a source address towards backends in each family.
struct Ways<'a> {
    known: HashSet<(&'a str, bool)>,
    /// The list was read well, so what is not in it is not there.
    complete: bool,
}

impl<'a> Ways<'a> {
    fn new(config: &'a Config, report: &Report<'_>) -> Self {
        let locals = &config.nat.local_addresses;
        let known = locals.iter().map(|local| (&*local.instance, local.address.is_ipv4())).collect();
        Self { known, complete: report.sound("nat.local_addresses") && report.sound("ha.instance") }
    }

    fn check(&self, service: &Service, path: &str, config: &Config, report: &mut Report<'_>) {
        let (vip, instance) = (format!("{path}.vip"), format!("{path}.instance"));
        let known = self.known.contains(&(&*service.instance, service.vip.is_ipv4()));
        let exists = config.instance_id(&service.instance).is_some();
        if known || !exists || !self.complete || !report.sound(&vip) || !report.sound(&instance) {
            return;
        }
        let text = format!(
            "{} has no local address to reach backends from, allowed is a service whose instance has one: add \
             an {} address of instance {} to nat.local_addresses",
            service.vip,
            family(service.vip),
            quote(&service.instance)
        );
        report.mistake(&vip, text);
    }
}

fn known_instance(name: &str, key: &str, config: &Config, report: &mut Report<'_>) {
    if config.instance_id(name).is_some() || !report.sound(key) || !report.sound("ha.instance") {
        return;
    }
    let wrong = match name {
        "" => "names no instance".to_owned(),
        name => format!("names the instance {}, which does not exist", quote(name)),
    };
    let names = either(config.instances().iter().map(|instance| quote(&instance.name)));
    report.mistake(key, format!("{wrong}, allowed is {names}"));
}

/// Notes a mistake at the later one of two services with a port in common.
fn overlaps(services: &[Service], report: &mut Report<'_>) {
    let mut by_address: HashMap<_, Vec<usize>> = HashMap::new();
    for (s, service) in services.iter().enumerate() {
        let keys = ["vip", "secondary_vips", "port", "protocol"].map(|key| format!("service[{s}].{key}"));
        if keys.iter().all(|key| report.sound(key)) {
            for vip in service.vips() {
                let places = by_address.entry((vip, service.protocol)).or_default();
                // An address that one service lists twice is told elsewhere.
                if places.last() != Some(&s) {
                    places.push(s);
                }
            }
        }
    }
    for ((vip, _), mut group) in by_address {
        group.sort_by_key(|s| services.get(*s).map(|service| service.port));
        let mut widest: Option<usize> = None;
        for s in group {
            let (Some(this), before) = (services.get(s), widest.and_then(|w| Some((w, services.get(w)?))))
            else {
                continue;
            };
            match before {
                Some((w, before)) if before.port.last() >= this.port.first() => {
                    overlap(services, vip, w.min(s), w.max(s), report);
                    if this.port.last() > before.port.last() {
                        widest = Some(s);
                    }
                }
                _ => widest = Some(s),
            }
        }
    }
}

fn overlap(services: &[Service], vip: IpAddr, first: usize, second: usize, report: &mut Report<'_>) {
    let (Some(one), Some(two)) = (services.get(first), services.get(second)) else { return };
    let line = report.line(&format!("service[{first}].vip"));
    let text = format!(
        "{vip} {} port {} is also that of service {} (line {line}, port {}), allowed is a vip, protocol or port of \
         its own",
        two.protocol,
        two.port,
        quote(&one.name),
        one.port
    );
    report.mistake(&format!("service[{second}].vip"), text);
}

#[cfg(test)]
mod tests {
    use crate::config::tests::{NAT, PORT, config, expect, warnings};

    #[test]
    fn services_do_not_overlap() {
        expect(
            r#"
[[service]]
name = "wide"
vip = "10.77.0.100"
port = "1000-2000"
[[service]]
name = "inside"
vip = "10.77.0.100"
#! 7: service[1].vip: 10.77.0.100 tcp port 1500 is also that of service "wide" (line 3, port 1000-2000), allowed is a vip, protocol or port of its own
port = 1500
[[service]]
name = "also-inside"
vip = "10.77.0.100"
#! 7: service[2].vip: 10.77.0.100 tcp port 1600-1700 is also that of service "wide" (line 3, port 1000-2000), allowed is a vip, protocol or port of its own
port = "1600-1700"
[[service]]
name = "end"
vip = "10.77.0.100"
#! 7: service[3].vip: 10.77.0.100 tcp port 2000-2001 is also that of service "wide" (line 3, port 1000-2000), allowed is a vip, protocol or port of its own
port = "2000-2001"
[[service]]
name = "after"
vip = "10.77.0.100"
port = 2002
[[service]]
name = "before"
vip = "10.77.0.100"
#! 7: service[5].vip: 10.77.0.100 tcp port 900-1000 is also that of service "wide" (line 3, port 1000-2000), allowed is a vip, protocol or port of its own
port = "900-1000"
[[service]]
name = "udp"
vip = "10.77.0.100"
port = 1500
protocol = "udp"
[[service]]
name = "elsewhere"
vip = "10.77.0.101"
port = 1500
[[service]]
name = "six"
vip = "fd77::100"
port = 1500
[[service]]
name = "second"
vip = "10.77.0.102"
#! 7: service[9].vip: 10.77.0.101 tcp port 1400-1500 is also that of service "elsewhere" (line 32, port 1500), allowed is a vip, protocol or port of its own
secondary_vips = ["10.77.0.101", "10.77.0.103", "10.77.0.103", "10.77.0.102", "fd77::101"]
#! 49: service[9].secondary_vips[2]: 10.77.0.103 is taken by service[9].secondary_vips[1] (line 41), allowed is each address once
#! 64: service[9].secondary_vips[3]: 10.77.0.102 is taken by service[9].vip (line 40), allowed is each address once
#! 79: service[9].secondary_vips[4]: fd77::101 is IPv6 but the vip is IPv4, allowed is IPv4: one service does not translate between families yet
port = "1400-1500"
"#,
            &[PORT, NAT],
        );
    }

    #[test]
    fn families_are_not_mixed() {
        expect(
            r#"
[[service]]
name = "four"
vip = "10.77.0.100"
port = 80
allowed_sources = ["10.0.0.0/8", "fd00::/8"]
#! 34: service[0].allowed_sources[1]: fd00:: is IPv6 but the vip is IPv4, allowed is IPv4: one service does not translate between families yet
backends = [{ address = "fd77::21" }, { address = "10.77.0.21" }]
#! 25: service[0].backends[0].address: fd77::21 is IPv6 but the vip is IPv4, allowed is IPv4: one service does not translate between families yet
[[service]]
name = "six"
vip = "fd77::100"
port = 80
allowed_sources = ["0.0.0.0/0"]
#! 20: service[1].allowed_sources[0]: 0.0.0.0 is IPv4 but the vip is IPv6, allowed is IPv6: one service does not translate between families yet
backends = [{ address = "10.77.0.21" }]
#! 25: service[1].backends[0].address: 10.77.0.21 is IPv4 but the vip is IPv6, allowed is IPv6: one service does not translate between families yet
"#,
            &[PORT, NAT],
        );
    }

    #[test]
    fn backends_are_listed_once() {
        expect(
            r#"
[[service]]
name = "web"
vip = "10.77.0.100"
port = 80
backends = [
  { address = "10.77.0.21", port = 8080 },
  { address = "10.77.0.21", port = 8081 },
  { address = "10.77.0.21", port = 8080, weight = 2 },
#! 3: service[0].backends[2]: 10.77.0.21:8080 is taken by service[0].backends[0] (line 6), allowed is each backend once
  { address = "10.77.0.22" },
  { address = "10.77.0.22" },
#! 3: service[0].backends[4]: 10.77.0.22 is taken by service[0].backends[3] (line 9), allowed is each backend once
]
[[service]]
name = "ftp"
vip = "10.77.0.100"
port = "50000-50100"
backends = [{ address = "10.77.0.21" }, { address = "10.77.0.22", port = 50000 }]
"#,
            &[PORT, NAT],
        );
    }

    #[test]
    fn every_instance_needs_a_local_address_of_the_family() {
        expect(
            r#"
[ha]
peer = "10.77.0.12"
[[ha.instance]]
name = "blue"
[[ha.instance]]
name = "green"
[nat]
local_addresses = [
  { address = "10.77.0.40", instance = "blue" },
  { address = "10.77.0.41", instance = "red" },
#! 3: nat.local_addresses[1]: names the instance "red", which does not exist, allowed is "blue" or "green"
  "10.77.0.42",
#! 3: nat.local_addresses[2]: names no instance, allowed is "blue" or "green"
]
[[service]]
name = "a"
instance = "blue"
vip = "10.77.0.100"
port = 80
[[service]]
name = "b"
instance = "green"
vip = "10.77.0.101"
#! 7: service[1].vip: 10.77.0.101 has no local address to reach backends from, allowed is a service whose instance has one: add an IPv4 address of instance "green" to nat.local_addresses
port = 80
[[service]]
name = "c"
instance = "blue"
vip = "fd77::100"
#! 7: service[2].vip: fd77::100 has no local address to reach backends from, allowed is a service whose instance has one: add an IPv6 address of instance "blue" to nat.local_addresses
port = 80
[[service]]
name = "d"
instance = "red"
#! 12: service[3].instance: names the instance "red", which does not exist, allowed is "blue" or "green"
vip = "10.77.0.102"
port = 80
[[service]]
#! 1: service[4].instance: names no instance, allowed is "blue" or "green"
name = "e"
vip = "10.77.0.103"
port = 80
"#,
            &[PORT],
        );
    }

    #[test]
    fn a_lone_instance_owns_what_names_none() {
        let document = r#"
[ha]
instance = "blue"
peer = "10.77.0.12"
[[service]]
name = "web"
vip = "10.77.0.100"
port = 80
"#;
        let config = config(&[document, PORT, NAT].concat());
        assert_eq!(config.services[0].instance, "blue");
        assert!(config.nat.local_addresses.iter().all(|local| local.instance == "blue"));
    }

    #[test]
    fn limits_hold_for_the_file() {
        expect(
            r#"
[limits]
services = 1
backends = 2
[[service]]
#! 1: service: has 2 services in all, allowed are 1, or raise limits.services
#! 1: service: has 3 backends in all, allowed are 2, or raise limits.backends
name = "a"
vip = "10.77.0.100"
port = 80
backends = [{ address = "10.77.0.21" }, { address = "10.77.0.22" }]
[[service]]
name = "b"
vip = "10.77.0.100"
port = 81
backends = [{ address = "10.77.0.21" }]
"#,
            &[PORT, NAT],
        );
    }

    #[test]
    fn warns_of_what_can_hardly_be_meant() {
        let document = r#"
[[service]]
name = "empty"
vip = "10.77.0.100"
port = 80
[[service]]
name = "deaf"
vip = "10.77.0.100"
port = 81
scheduler = "rr"
backends = [{ address = "10.77.0.21" }, { address = "10.77.0.22", weight = 2 }]
"#;
        assert_eq!(
            warnings(&[document, PORT, NAT].concat()),
            [
                "lb.toml:2:1: service[0].backends: warning: is empty: every new session is refused until the API adds \
                 a backend",
                "lb.toml:11:12: service[1].backends: warning: have weights, which scheduler \"rr\" does not look at: \
                 \"wrr\" does",
            ]
        );
        assert_eq!(
            warnings(PORT.trim_start()),
            ["lb.toml:1:1: nat.local_addresses: warning: is empty: no service can be created"]
        );
    }
}
