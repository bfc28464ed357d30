//! `hitless create lb` and `hitless delete lb`: rules from the flags of `loxicmd`.

use super::{
    Failure,
    client::{Daemon, escaped},
};
use clap::Args;
use serde_json::{Value, json};
use std::net::IpAddr;

/// `hitless create lb`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hitless create lb 10.77.0.100 --tcp=80:8080 --endpoints=10.77.0.21:1,10.77.0.22:1
  hitless create lb 10.77.0.100 --udp=53:53 --select=hash --endpoints=10.77.0.21:1
  hitless create lb fd77::100 --tcp=1000-2000:8080 --endpoints=fd77::21:1,fd77::22:1")]
pub(super) struct CreateLb {
    /// The virtual address
    vip: IpAddr,
    #[command(flatten)]
    ports: CreatePorts,
    /// Who serves, and its share of new sessions
    #[arg(long, value_delimiter = ',', value_parser = endpoint, value_name = "IP:WEIGHT")]
    endpoints: Vec<Endpoint>,
    /// How an endpoint is chosen: rr, hash, priority, persist or lc; or as the configuration file names them
    #[arg(long, default_value = "rr", value_parser = selection)]
    select: u8,
    /// How packets reach endpoints
    #[arg(long, default_value = "fullnat", value_parser = mode)]
    mode: u8,
    /// A name; what follows a colon selects the HA instance
    #[arg(long, default_value = "")]
    name: String,
    /// Seconds after which a silent session ends; 0 for the protocol's default
    #[arg(long, default_value_t = 0, value_name = "SECONDS")]
    inatimeout: u32,
    /// Subnets whose clients may use it; everyone otherwise
    #[arg(long, value_delimiter = ',', value_name = "CIDR")]
    sources: Vec<String>,
    /// Further virtual addresses
    #[arg(long, value_delimiter = ',', value_name = "IP")]
    secips: Vec<IpAddr>,
    /// Probe the endpoints
    #[arg(long)]
    monitor: bool,
    /// tcp, udp, ping, http, https or none; the protocol's own otherwise
    #[arg(long, default_value = "", value_name = "TYPE", value_parser = probe)]
    probetype: String,
    /// Port to probe; the endpoint's otherwise
    #[arg(long, default_value_t = 0, value_name = "PORT")]
    probeport: u16,
    /// What a probe sends: the path of an HTTP probe
    #[arg(long, default_value = "")]
    probereq: String,
    /// What must come back
    #[arg(long, default_value = "")]
    proberesp: String,
    /// Seconds between probes
    #[arg(long, default_value_t = 0, value_name = "SECONDS")]
    probetimeout: u32,
    /// Failures that take an endpoint out
    #[arg(long, default_value_t = 0)]
    proberetries: u8,
    /// Add the endpoints to the service that is there
    #[arg(long = "attachEP", conflicts_with = "detach")]
    attach: bool,
    /// Take the endpoints from the service that is there
    #[arg(long = "detachEP")]
    detach: bool,
    /// Announce by BGP (the daemon refuses it: announcing is not built yet)
    #[arg(long)]
    bgp: bool,
    /// Proxy protocol (the daemon refuses it: not built yet)
    #[arg(long)]
    ppv2en: bool,
    /// Egress rule (the daemon refuses it)
    #[arg(long)]
    egress: bool,
    /// Mark (the daemon refuses it)
    #[arg(long, default_value_t = 0)]
    mark: u32,
    /// Host name (the daemon refuses it)
    #[arg(long, default_value = "")]
    host: String,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
struct CreatePorts {
    /// Ports and where they lead: 80:8080, 1000-2000:8080, 80:8080-8081; repeat it or separate with commas
    #[arg(long, value_delimiter = ',', value_parser = port_pair, value_name = "PORT:TARGETPORT")]
    tcp: Vec<PortPair>,
    /// The same for UDP
    #[arg(long, value_delimiter = ',', value_parser = port_pair, value_name = "PORT:TARGETPORT")]
    udp: Vec<PortPair>,
    /// The same for SCTP
    #[arg(long, value_delimiter = ',', value_parser = port_pair, value_name = "PORT:TARGETPORT")]
    sctp: Vec<PortPair>,
}

/// Ports of a service and of its endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct PortPair {
    first: u16,
    last: u16,
    targets: (u16, u16),
}

/// A range of ports, or one.
fn range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last).then_some((first, last))
}

fn port_pair(text: &str) -> Result<PortPair, String> {
    let parsed = text.split_once(':').and_then(|(ports, targets)| Some((range(ports)?, range(targets)?)));
    match parsed {
        Some(((first @ 1.., last), targets)) => Ok(PortPair { first, last, targets }),
        _ => {
            Err("write PORT:TARGETPORT, as in 80:8080; target port 0 is the port the client asked for".into())
        }
    }
}

/// A word for a probe, as it is called now or was called once; empty for the protocol's own.
pub(super) fn probe(text: &str) -> Result<String, String> {
    match text.strip_prefix("connect-").unwrap_or(text) {
        "" | "tcp" | "udp" | "sctp" | "ping" | "http" | "https" | "none" => Ok(text.to_owned()),
        _ => Err("write tcp, udp, ping, http, https or none".into()),
    }
}

/// An endpoint's address and weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Endpoint {
    address: IpAddr,
    weight: u32,
}

fn endpoint(text: &str) -> Result<Endpoint, String> {
    let with_weight = text.rsplit_once(':').and_then(|(address, weight)| {
        let address = address.trim_start_matches('[').trim_end_matches(']');
        Some(Endpoint { address: address.parse().ok()?, weight: weight.parse().ok()? })
    });
    let alone = || Some(Endpoint { address: text.parse().ok()?, weight: 1 });
    with_weight.or_else(alone).ok_or_else(|| "write IP:WEIGHT, as in 10.77.0.21:1 or fd77::21:1".into())
}

fn selection(text: &str) -> Result<u8, String> {
    match text {
        "rr" => Ok(0),
        "hash" | "maglev" => Ok(1),
        "priority" | "wrr" => Ok(2),
        "persist" | "sh" => Ok(3),
        "lc" => Ok(4),
        "n2" => Ok(5),
        "n3" => Ok(6),
        _ => Err("write rr, hash, priority, persist or lc".into()),
    }
}

fn mode(text: &str) -> Result<u8, String> {
    let modes = ["default", "onearm", "fullnat", "dsr", "fullproxy", "hostonearm"];
    let place = modes.iter().position(|mode| *mode == text);
    place.and_then(|place| u8::try_from(place).ok()).ok_or_else(|| "write fullnat".into())
}

impl CreateLb {
    pub(super) fn run(&self, daemon: &Daemon) -> Result<(), Failure> {
        for (protocol, pair) in self.ports.all() {
            daemon.post("/netlox/v1/config/loadbalancer", &self.rule(protocol, pair))?;
        }
        Ok(())
    }

    fn rule(&self, protocol: &str, pair: PortPair) -> Value {
        let endpoints = self.endpoints.iter().flat_map(|endpoint| {
            (pair.targets.0..=pair.targets.1).map(move |target| {
                json!({ "endpointIP": endpoint.address, "targetPort": target, "weight": endpoint.weight })
            })
        });
        let operation = if self.attach { 1 } else { u8::from(self.detach) * 2 };
        json!({
            "serviceArguments": {
                "externalIP": self.vip,
                "port": pair.first,
                "portMax": if pair.last == pair.first { 0 } else { pair.last },
                "protocol": protocol,
                "sel": self.select,
                "mode": self.mode,
                "bgp": self.bgp,
                "monitor": self.monitor,
                "probetype": self.probetype,
                "probeport": self.probeport,
                "probereq": self.probereq,
                "proberesp": self.proberesp,
                "probeTimeout": self.probetimeout,
                "probeRetries": self.proberetries,
                "inactiveTimeOut": self.inatimeout,
                "name": self.name,
                "oper": operation,
                "proxyprotocolv2": self.ppv2en,
                "egress": self.egress,
                "block": self.mark,
                "host": self.host,
            },
            "secondaryIPs": self.secips.iter().map(|ip| json!({ "secondaryIP": ip })).collect::<Vec<_>>(),
            "allowedSources": self.sources.iter().map(|prefix| json!({ "prefix": prefix })).collect::<Vec<_>>(),
            "endpoints": endpoints.collect::<Vec<_>>(),
        })
    }
}

impl CreatePorts {
    fn all(&self) -> impl Iterator<Item = (&'static str, PortPair)> {
        let of = |name, pairs: &[PortPair]| pairs.iter().map(move |pair| (name, *pair)).collect::<Vec<_>>();
        [of("tcp", &self.tcp), of("udp", &self.udp), of("sctp", &self.sctp)].into_iter().flatten()
    }
}

/// `hitless delete lb`.
#[derive(Debug, Args)]
pub(super) struct DeleteLb {
    /// The virtual address
    #[arg(required_unless_present_any = ["name", "all"], conflicts_with_all = ["name", "all"], requires = "ports")]
    vip: Option<IpAddr>,
    #[command(flatten)]
    ports: DeletePorts,
    /// All services that were created with this name
    #[arg(long)]
    name: Option<String>,
    /// All services that were created through the API
    #[arg(long, conflicts_with = "name")]
    all: bool,
}

#[derive(Debug, Args)]
#[group(id = "ports", multiple = true)]
struct DeletePorts {
    /// Ports: 80, or 1000-2000 for a service of a range; repeat it or separate with commas
    #[arg(long, value_delimiter = ',', value_parser = ports, value_name = "PORT")]
    tcp: Vec<(u16, u16)>,
    /// The same for UDP
    #[arg(long, value_delimiter = ',', value_parser = ports, value_name = "PORT")]
    udp: Vec<(u16, u16)>,
    /// The same for SCTP
    #[arg(long, value_delimiter = ',', value_parser = ports, value_name = "PORT")]
    sctp: Vec<(u16, u16)>,
}

fn ports(text: &str) -> Result<(u16, u16), String> {
    range(text).filter(|ports| ports.0 > 0).ok_or_else(|| "write a port, or a range as in 1000-2000".into())
}

impl DeleteLb {
    pub(super) fn run(&self, daemon: &Daemon) -> Result<(), Failure> {
        const PATH: &str = "/netlox/v1/config/loadbalancer";
        if self.all {
            return daemon.delete(&format!("{PATH}/all"));
        }
        if let Some(name) = &self.name {
            return daemon.delete(&format!("{PATH}/name/{}", escaped(name)));
        }
        let Some(vip) = self.vip else { return Ok(()) };
        let of = [("tcp", &self.ports.tcp), ("udp", &self.ports.udp), ("sctp", &self.ports.sctp)];
        for (protocol, ports) in of {
            for &(first, last) in ports {
                let range = if first == last { String::new() } else { format!("/portmax/{last}") };
                daemon.delete(&format!(
                    "{PATH}/externalipaddress/{vip}/port/{first}{range}/protocol/{protocol}"
                ))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_pairs() {
        let pair = |first, last, targets| Ok(PortPair { first, last, targets });
        assert_eq!(port_pair("80:8080"), pair(80, 80, (8080, 8080)));
        assert_eq!(port_pair("1000-2000:0"), pair(1000, 2000, (0, 0)));
        assert_eq!(port_pair("80:8080-8082"), pair(80, 80, (8080, 8082)));
        for bad in ["80", "80:", ":80", "0:80", "90-80:1", "80:x", "70000:1", "1:2:3"] {
            assert!(port_pair(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn endpoints_end_with_a_weight() {
        let found = |address: &str, weight| Ok(Endpoint { address: address.parse().unwrap(), weight });
        assert_eq!(endpoint("10.0.0.1:40"), found("10.0.0.1", 40));
        assert_eq!(endpoint("10.0.0.1"), found("10.0.0.1", 1));
        assert_eq!(endpoint("4ffe::1:1"), found("4ffe::1", 1));
        assert_eq!(endpoint("[4ffe::1]:7"), found("4ffe::1", 7));
        assert_eq!(endpoint("4ffe::"), found("4ffe::", 1));
        for bad in ["", ":1", "10.0.0.1:", "10.0.0.1:x", "host:1"] {
            assert!(endpoint(bad).is_err(), "{bad}");
        }
    }
}
