//! `[[service]]`: virtual addresses and who serves them.

use super::{
    form::{Form, Section, may, must},
    health::Health,
    kind::{Maybe, Ports, integer, seconds},
    port_range::PortRange,
    text::{address, name, subnet},
    word::{OneOf, words},
};
use crate::types::{Duration, Prefix, Protocol};
use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

words! {
    /// How packets reach backends.
    Mode {
        /// Both addresses and both ports are translated, there and back.
        FullNat = "fullnat",
    } later ["default", "dsr", "onearm", "hostonearm", "fullproxy"]
}

words! {
    /// How a backend is chosen for a new session.
    Scheduler {
        /// Consistent hashing of addresses and ports: the same choice on every node and after most changes.
        Maglev = "maglev",
        /// Round robin.
        RoundRobin = "rr",
        /// Round robin, by weight.
        WeightedRoundRobin = "wrr",
        /// Fewest sessions for its weight.
        LeastConnections = "lc",
        /// Consistent hashing of the source address.
        SourceHash = "sh",
    } later []
}

words! {
    /// How a backend learns the client's address.
    ClientAddress {
        /// Not at all.
        None = "none",
    } later ["toa", "proxy-v2"]
}

/// `[[service]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its name, unique among services.
    pub name: String,
    /// The HA instance that owns it.
    pub instance: String,
    /// The virtual address.
    pub vip: IpAddr,
    /// Further virtual addresses that are served the same, of the same family; at most 16.
    pub secondary_vips: Vec<IpAddr>,
    /// Where it listens.
    pub port: PortRange,
    /// Its transport.
    pub protocol: Protocol,
    /// How packets reach backends.
    pub mode: Mode,
    /// How backends are chosen.
    pub scheduler: Scheduler,
    /// A session without packets ends after so long, a TCP session once it is established; 1 s to 7 days.
    pub idle_timeout: Duration,
    /// Who may open sessions, in the VIP's family; empty: everyone; at most 1024.
    pub allowed_sources: Vec<Prefix>,
    /// How backends learn the client's address.
    pub client_address: ClientAddress,
    /// A backend that is removed keeps its sessions for so long; up to 1 day, zero for not at all.
    pub drain_timeout: Duration,
    /// At most 1024, of the VIP's family.
    pub backends: Vec<Backend>,
    /// How backends are probed.
    pub health: Health,
}

impl Default for Service {
    fn default() -> Self {
        Self {
            name: String::new(),
            instance: String::new(),
            vip: Ipv4Addr::UNSPECIFIED.into(),
            secondary_vips: Vec::new(),
            port: PortRange::UNPRIVILEGED,
            protocol: Protocol::Tcp,
            mode: Mode::FullNat,
            scheduler: Scheduler::Maglev,
            idle_timeout: Self::default_idle_timeout(Protocol::Tcp),
            allowed_sources: Vec::new(),
            client_address: ClientAddress::None,
            drain_timeout: Duration::from_secs(300),
            backends: Vec::new(),
            health: Health::default(),
        }
    }
}

impl Service {
    /// The idle timeout of a service that names none.
    pub const fn default_idle_timeout(protocol: Protocol) -> Duration {
        match protocol {
            Protocol::Tcp => Duration::from_secs(1800),
            Protocol::Udp | Protocol::Sctp => Duration::from_secs(300),
        }
    }

    /// All its virtual addresses.
    pub fn vips(&self) -> impl Iterator<Item = IpAddr> {
        std::iter::once(self.vip).chain(self.secondary_vips.iter().copied())
    }
}

impl Section for Service {
    fn keys<F: Form>(&mut self, form: &mut F) {
        form.value(must("name"), &mut self.name, name());
        form.value(may("instance"), &mut self.instance, name());
        form.value(must("vip"), &mut self.vip, address());
        form.list(may("secondary_vips"), &mut self.secondary_vips, address(), 0..=16);
        form.value(must("port"), &mut self.port, Ports);
        form.value(may("protocol"), &mut self.protocol, OneOf);
        form.value(may("mode"), &mut self.mode, OneOf);
        form.value(may("scheduler"), &mut self.scheduler, OneOf);
        let idle = Self::default_idle_timeout(self.protocol);
        form.value_or(may("idle_timeout_s"), &mut self.idle_timeout, idle, seconds(1..=604_800));
        form.list(may("allowed_sources"), &mut self.allowed_sources, subnet(), 0..=1024);
        form.value(may("client_address"), &mut self.client_address, OneOf);
        form.value(may("drain_timeout_s"), &mut self.drain_timeout, seconds(0..=86_400));
        form.tables(may("backends"), &mut self.backends, 0..=1024);
        form.table(may("health"), &mut self.health);
    }
}

/// One of a service's backends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backend {
    /// Its address.
    pub address: IpAddr,
    /// Its port, never 0; `None`: the port the client asked for.
    pub port: Option<u16>,
    /// Its share of new sessions beside the other backends' weights, up to 1000; 0 for none.
    pub weight: u16,
}

impl Default for Backend {
    fn default() -> Self {
        Self { address: Ipv4Addr::UNSPECIFIED.into(), port: None, weight: 1 }
    }
}

/// Address and port, as in `10.0.0.1:8080` or `[fd00::1]:8080`; the address alone where there is no port.
impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => SocketAddr::new(self.address, port).fmt(f),
            None => self.address.fmt(f),
        }
    }
}

impl Section for Backend {
    const INLINE: bool = true;
    const ITEM: &'static str = "a table such as { address = \"10.0.0.1\", port = 8080 }";

    fn keys<F: Form>(&mut self, form: &mut F) {
        form.value(must("address"), &mut self.address, address());
        form.value(may("port"), &mut self.port, Maybe(integer(1..=65_535)));
        form.value(may("weight"), &mut self.weight, integer(0..=1000));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::{NAT, PORT, config, expect};

    #[test]
    fn mistakes_in_services() {
        expect(
            r#"
[[service]]
name = "two words"
#! 8: service[0].name: is "two words", allowed is 1 to 128 letters, digits, "-", "_", ".", ":" or "/"
instance = 0
#! 12: service[0].instance: is 0, allowed is 1 to 128 letters, digits, "-", "_", ".", ":" or "/"
vip = "10.77.0.100:80"
#! 7: service[0].vip: is "10.77.0.100:80", allowed is the IP address of one host, such as "10.0.0.1" or "fd00::1"
port = "http"
#! 8: service[0].port: is "http", allowed is a port from 1 to 65535 or a range such as "1000-2000"
protocol = "TCP"
#! 12: service[0].protocol: is "TCP", allowed is "tcp", "udp" or "sctp"
mode = "dsr"
#! 8: service[0].mode: "dsr" is not built yet, allowed is "fullnat"
scheduler = "roundrobin"
#! 13: service[0].scheduler: is "roundrobin", allowed is "maglev", "rr", "wrr", "lc" or "sh"
idle_timeout_s = 604801
#! 18: service[0].idle_timeout_s: is 604801, allowed is a whole number from 1 to 604800
allowed_sources = ["10.0.0.0", "10.0.0.1/8"]
#! 20: service[0].allowed_sources[0]: is "10.0.0.0", allowed is a subnet with no bits set after its length, such as "10.0.0.0/8" or "fd00::/64"
#! 32: service[0].allowed_sources[1]: is "10.0.0.1/8", allowed is a subnet with no bits set after its length, such as "10.0.0.0/8" or "fd00::/64"
drain_timeout_s = 86401
#! 19: service[0].drain_timeout_s: is 86401, allowed is a whole number from 0 to 86400
secondary_vips = ["127.0.0.1"]
#! 19: service[0].secondary_vips[0]: is "127.0.0.1", allowed is the IP address of one host, such as "10.0.0.1" or "fd00::1"
client_address = "proxy-v2"
#! 18: service[0].client_address: "proxy-v2" is not built yet, allowed is "none"
weight = 5
#! 1: service[0].weight: unknown key, allowed is name, instance, vip, secondary_vips, port, protocol, mode, scheduler, idle_timeout_s, allowed_sources, client_address, drain_timeout_s, backends or health

[[service]]
name = "late"
vip = "239.1.1.1"
#! 7: service[1].vip: is "239.1.1.1", allowed is the IP address of one host, such as "10.0.0.1" or "fd00::1"
port = 65536
#! 8: service[1].port: is 65536, allowed is a port from 1 to 65535 or a range such as "1000-2000"
mode = "nat"
#! 8: service[1].mode: is "nat", allowed is "fullnat"
client_address = "toa"
#! 18: service[1].client_address: "toa" is not built yet, allowed is "none"
backends = [
  { address = "localhost", port = 0, weight = -1 },
#! 15: service[1].backends[0].address: is "localhost", allowed is the IP address of one host, such as "10.0.0.1" or "fd00::1"
#! 35: service[1].backends[0].port: is 0, allowed is a whole number from 1 to 65535
#! 47: service[1].backends[0].weight: is -1, allowed is a whole number from 0 to 1000
  { address = "10.77.0.21", port = "8080", weight = 1001 },
#! 36: service[1].backends[1].port: is "8080", allowed is a whole number from 1 to 65535
#! 53: service[1].backends[1].weight: is 1001, allowed is a whole number from 0 to 1000
  { adress = "10.77.0.22", prot = 8080 },
#! 5: service[1].backends[2].adress: unknown key, did you mean address?
#! 28: service[1].backends[2].prot: unknown key, did you mean port?
  "10.77.0.23:8080",
#! 3: service[1].backends[3]: is "10.77.0.23:8080", allowed is a table such as { address = "10.0.0.1", port = 8080 }
]

[[service]]
#! 1: service[2].name: is missing, allowed is 1 to 128 letters, digits, "-", "_", ".", ":" or "/"
#! 1: service[2].port: is missing, allowed is a port from 1 to 65535 or a range such as "1000-2000"
#! 1: service[2].vip: is missing, allowed is the IP address of one host, such as "10.0.0.1" or "fd00::1"
"#,
            &[PORT, NAT],
        );
        expect(
            r#"
service = 5
#! 11: service: is 5, allowed is [[service]] tables
"#,
            &[PORT, NAT],
        );
        expect(
            r#"
[[service]]
#! 1: service[0].name: is missing, allowed is 1 to 128 letters, digits, "-", "_", ".", ":" or "/"
#! 1: service[0].port: is missing, allowed is a port from 1 to 65535 or a range such as "1000-2000"
#! 1: service[0].vip: is missing, allowed is the IP address of one host, such as "10.0.0.1" or "fd00::1"
backends = { address = "10.77.0.21" }
#! 12: service[0].backends: is a table, allowed is an array [...], each item a table such as { address = "10.0.0.1", port = 8080 }
"#,
            &[PORT, NAT],
        );
    }

    #[test]
    fn idle_timeouts_follow_the_protocol() {
        let service = |lines: &str| {
            let head = "[[service]]\nname = \"x\"\nvip = \"10.77.0.100\"\nport = 53\n";
            config(&[head, lines, PORT, NAT].concat()).services[0].idle_timeout
        };
        assert_eq!(service(""), Duration::from_secs(1800));
        assert_eq!(service("protocol = \"udp\"\n"), Duration::from_secs(300));
        assert_eq!(service("protocol = \"sctp\"\n"), Duration::from_secs(300));
        assert_eq!(service("protocol = \"udp\"\nidle_timeout_s = 7\n"), Duration::from_secs(7));
    }
}
