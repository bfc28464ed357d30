//! From a rule to a service.

use crate::{
    config::{Backend, Health, PortRange, Probe, Scheduler, Service},
    manage::{
        Refusal, Rule, ServiceKey,
        api::answer::{Problem, code},
    },
    types::{Duration, Prefix, Protocol},
};
use serde::Deserialize;
use std::net::IpAddr;
use utoipa::ToSchema;

/// A rule, as clients send it.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub(in crate::manage::api) struct LoadBalancerRule {
    #[serde(rename = "serviceArguments", alias = "servicearguments")]
    arguments: Arguments,
    #[serde(default)]
    endpoints: Vec<EndpointArguments>,
    #[serde(rename = "secondaryIPs", alias = "secondaryips", default)]
    secondary_ips: Vec<SecondaryIp>,
    #[serde(rename = "allowedSources", alias = "allowedsources", default)]
    allowed_sources: Vec<AllowedSource>,
}

/// The service of a rule.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[schema(as = LoadBalancerArguments)]
struct Arguments {
    /// Virtual address.
    #[serde(rename = "externalIP", alias = "externalip")]
    external_ip: String,
    /// Source towards endpoints: not taken, `nat.local_addresses` are the sources.
    #[serde(rename = "privateIP", alias = "privateip", default)]
    private_ip: String,
    /// First port, 1 to 65535.
    port: u16,
    /// Last port of a range; 0 for one port.
    #[serde(rename = "portMax", alias = "portmax", default)]
    port_max: u16,
    /// tcp, udp or sctp.
    #[serde(default)]
    protocol: String,
    /// 0 round robin, 1 hash, 2 by weight, 3 persistent by source, 4 least connections.
    #[serde(default)]
    sel: i32,
    /// 2: full NAT. LoxiLB's others are refused.
    #[serde(default)]
    mode: i32,
    /// Announce by BGP: not taken yet.
    #[serde(default)]
    bgp: bool,
    /// Probe the endpoints.
    #[serde(default)]
    monitor: bool,
    /// Owned by a controller.
    #[serde(default)]
    managed: bool,
    /// Not taken.
    #[serde(default)]
    snat: bool,
    /// Not taken.
    #[serde(default)]
    egress: bool,
    /// Not taken.
    #[serde(default)]
    proxyprotocolv2: bool,
    /// tcp, udp, ping, http, https, none, or empty for the protocol's own.
    #[serde(default)]
    probetype: String,
    /// Port to probe; 0 for the endpoint's.
    #[serde(default)]
    probeport: u16,
    /// What a probe sends; the path of an HTTP probe.
    #[serde(default)]
    probereq: String,
    /// What must come back.
    #[serde(default)]
    proberesp: String,
    /// Seconds between probes.
    #[serde(rename = "probeTimeout", alias = "probetimeout", default)]
    probe_timeout: u32,
    /// Failures that take an endpoint out, up to 100.
    #[serde(rename = "probeRetries", alias = "proberetries", default)]
    probe_retries: i32,
    /// Not taken but for 0.
    #[serde(default)]
    security: i32,
    /// Mark: not taken but for 0.
    #[serde(default)]
    block: u32,
    /// Idle timeout in seconds; 0 for the protocol's own.
    #[serde(rename = "inactiveTimeOut", alias = "inactivetimeout", default)]
    inactive_timeout: i32,
    /// Any name; what follows a colon names the HA instance.
    #[serde(default)]
    name: String,
    /// Not taken.
    #[serde(default)]
    host: String,
    /// 0 create or replace, 1 attach the endpoints, 2 detach them.
    #[serde(default)]
    oper: i32,
}

/// An endpoint of a rule.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[schema(as = LoadBalancerEndpointArguments)]
struct EndpointArguments {
    #[serde(rename = "endpointIP", alias = "endpointip")]
    endpoint_ip: String,
    /// 0: the port the client asked for.
    #[serde(rename = "targetPort", alias = "targetport", default)]
    target_port: u16,
    /// Share of new sessions, up to 1000; 0 for none.
    #[serde(default = "one")]
    weight: u32,
}

const fn one() -> u32 {
    1
}

/// A further virtual address.
#[derive(Clone, Debug, Deserialize, ToSchema)]
struct SecondaryIp {
    #[serde(rename = "secondaryIP", alias = "secondaryip")]
    secondary_ip: String,
}

/// A subnet whose clients may use the service.
#[derive(Clone, Debug, Deserialize, ToSchema)]
struct AllowedSource {
    prefix: String,
}

/// What a rule does to the one that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::manage::api) enum Operation {
    Replace,
    Attach,
    Detach,
}

/// By their numbers.
pub(in crate::manage::api) const OPERATIONS: [Operation; 3] =
    [Operation::Replace, Operation::Attach, Operation::Detach];

/// Which scheduler `sel` asks for; `None` for those there are not.
const SELECTIONS: [(&str, Option<Scheduler>); 7] = [
    ("rr", Some(Scheduler::RoundRobin)),
    ("hash", Some(Scheduler::Maglev)),
    ("priority", Some(Scheduler::WeightedRoundRobin)),
    ("persist", Some(Scheduler::SourceHash)),
    ("lc", Some(Scheduler::LeastConnections)),
    ("n2", None),
    ("n3", None),
];

const MODES: [&str; 6] = ["default", "onearm", "fullnat", "dsr", "fullproxy", "hostonearm"];
const FULL_NAT: i32 = 2;

/// The number of a scheduler.
pub(super) fn selection(scheduler: Scheduler) -> usize {
    SELECTIONS.iter().position(|(_, known)| *known == Some(scheduler)).unwrap_or(0)
}

/// A service and what else its rule says.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) service: Service,
    pub(super) rule: Option<Rule>,
}

fn malformed(text: String) -> Refusal {
    Refusal::Malformed(text)
}

fn address(text: &str, key: &str) -> Result<IpAddr, Refusal> {
    text.parse()
        .map_err(|_| malformed(format!("malformed-ip error: {key} is {text:?}, which is no IP address")))
}

impl LoadBalancerRule {
    /// What is to be done.
    pub(super) fn operation(&self) -> Result<Operation, Problem> {
        let arguments = &self.arguments;
        let limits = [("mode", arguments.mode, MODES.len()), ("sel", arguments.sel, SELECTIONS.len())];
        let others = [("oper", arguments.oper, OPERATIONS.len()), ("security", arguments.security, 3)];
        for (key, value, count) in limits.into_iter().chain(others) {
            if usize::try_from(value).is_ok_and(|value| value < count) {
                continue;
            }
            let all: Vec<String> = (0..count).map(|number| number.to_string()).collect();
            let text = format!("serviceArguments.{key} in body should be one of [{}]", all.join(" "));
            return Err(Problem::unfit(code::ENUM, text));
        }
        let place = usize::try_from(arguments.oper).unwrap_or(0);
        Ok(OPERATIONS.get(place).copied().unwrap_or(Operation::Replace))
    }

    /// Where it listens.
    pub(super) fn key(&self) -> Result<ServiceKey, Refusal> {
        let ports = self.ports()?;
        Ok(ServiceKey {
            vip: address(&self.arguments.external_ip, "externalIP")?,
            protocol: self.protocol()?,
            first: ports.first(),
            last: ports.last(),
        })
    }

    fn ports(&self) -> Result<PortRange, Refusal> {
        let (first, last) = (self.arguments.port, self.arguments.port_max);
        let last = if last == 0 { first } else { last };
        PortRange::new(first, last).ok_or_else(|| {
            malformed(format!(
                "serv-port-args range error: ports {first} to {last}, allowed are 1 to 65535 in ascending order"
            ))
        })
    }

    fn protocol(&self) -> Result<Protocol, Refusal> {
        self.arguments.protocol.parse().map_err(|()| {
            let wrong = &self.arguments.protocol;
            malformed(format!("protocol {wrong:?} is not supported: use tcp, udp or sctp"))
        })
    }

    /// The service it asks for. Of `instances`, its name selects one.
    pub(super) fn wanted(&self, instances: &[String], default_instance: &str) -> Result<Wanted, Refusal> {
        self.refuse_what_is_not_done()?;
        let arguments = &self.arguments;
        let protocol = self.protocol()?;
        let place = usize::try_from(arguments.sel).unwrap_or(0);
        let scheduler =
            SELECTIONS.get(place).and_then(|(_, scheduler)| *scheduler).unwrap_or(Scheduler::RoundRobin);
        let secondary_vips = self.secondary_ips.iter().map(|ip| address(&ip.secondary_ip, "secondaryIP"));
        let service = Service {
            name: legal_name(&arguments.name),
            instance: instance(&arguments.name, instances, default_instance)?,
            vip: address(&arguments.external_ip, "externalIP")?,
            secondary_vips: secondary_vips.collect::<Result<_, _>>()?,
            port: self.ports()?,
            protocol,
            scheduler,
            idle_timeout: self.idle_timeout(protocol)?,
            allowed_sources: self.sources()?,
            backends: self.backends()?,
            health: self.health(protocol)?,
            ..Service::default()
        };
        if service.secondary_vips.len() > 16 {
            return Err(malformed("secondaryip-args error: up to 16 secondaryIPs are allowed".into()));
        }
        Ok(Wanted { service, rule: Some(self.rule()?) })
    }

    fn refuse_what_is_not_done(&self) -> Result<(), Refusal> {
        let arguments = &self.arguments;
        let word = |words: &[&'static str], number: i32| {
            usize::try_from(number).ok().and_then(|place| words.get(place).copied()).unwrap_or_default()
        };
        if arguments.mode != FULL_NAT {
            let (number, name) = (arguments.mode, word(&MODES, arguments.mode));
            return Err(malformed(format!(
                "mode {number} ({name}) is not supported: this node translates both addresses, use mode 2 (loxicmd \
                 --mode=fullnat, kube-loxilb --setLBMode=2 or loxilb.io/lbmode: fullnat)"
            )));
        }
        let names = SELECTIONS.map(|(name, _)| name);
        if !usize::try_from(arguments.sel).is_ok_and(|place| place < 5) {
            let (number, name) = (arguments.sel, word(&names, arguments.sel));
            return Err(malformed(format!(
                "sel {number} ({name}) is not supported: use rr, hash, priority, persist or lc"
            )));
        }
        let refused = [
            (
                arguments.bgp,
                "bgp is not supported yet: this node does not announce its addresses, leave out --bgp and --setBGP",
            ),
            (
                arguments.snat,
                "snat is not supported: this node balances what comes to its virtual addresses only",
            ),
            (
                arguments.egress,
                "egress is not supported: this node balances what comes to its virtual addresses only",
            ),
            (arguments.proxyprotocolv2, "proxyprotocolv2 is not supported yet: leave out --ppv2en"),
            (
                arguments.security != 0,
                "security is not supported: this node does not end TLS, let the endpoints do it",
            ),
            (arguments.block != 0, "block (mark) is not supported: use a virtual address or port of its own"),
            (
                !arguments.host.is_empty(),
                "host is not supported: this node balances by address and port, not by host name",
            ),
            (
                !arguments.private_ip.is_empty(),
                "privateIP is not supported: the sources towards endpoints are nat.local_addresses",
            ),
            (arguments.probetype == "sctp", "probetype sctp is not supported: use ping"),
        ];
        match refused.into_iter().find(|(asked, _)| *asked) {
            Some((_, text)) => Err(malformed(text.into())),
            None => Ok(()),
        }
    }

    fn idle_timeout(&self, protocol: Protocol) -> Result<Duration, Refusal> {
        match u64::try_from(self.arguments.inactive_timeout) {
            Ok(0) => Ok(Service::default_idle_timeout(protocol)),
            Ok(seconds @ 1..=604_800) => Ok(Duration::from_secs(seconds)),
            _ => {
                let wrong = self.arguments.inactive_timeout;
                Err(malformed(format!(
                    "inactiveTimeOut {wrong} is out of range: allowed are 0 to 604800 seconds"
                )))
            }
        }
    }

    fn sources(&self) -> Result<Vec<Prefix>, Refusal> {
        let mut sources: Vec<Prefix> = Vec::new();
        for AllowedSource { prefix } in &self.allowed_sources {
            let parsed: Prefix = match prefix.parse() {
                Ok(parsed) => parsed,
                Err(_) => Prefix::host(prefix.parse().map_err(|_| {
                    malformed(format!("allowedSources: {prefix:?} is no subnet: write it as in 10.0.0.0/8"))
                })?),
            };
            if !sources.contains(&parsed.network()) {
                sources.push(parsed.network());
            }
        }
        if sources.len() > 1024 {
            return Err(malformed(
                "allowedSources: up to 1024 subnets are allowed, use shorter prefixes".into(),
            ));
        }
        Ok(sources)
    }

    /// Its endpoints, each once.
    pub(super) fn backends(&self) -> Result<Vec<Backend>, Refusal> {
        let mut backends: Vec<Backend> = Vec::with_capacity(self.endpoints.len());
        for endpoint in &self.endpoints {
            let backend = Backend {
                address: address(&endpoint.endpoint_ip, "endpointIP")?,
                port: (endpoint.target_port != 0).then_some(endpoint.target_port),
                weight: u16::try_from(endpoint.weight).ok().filter(|weight| *weight <= 1000).ok_or_else(
                    || {
                        malformed(format!(
                            "weight {} is out of range: allowed are 0 to 1000",
                            endpoint.weight
                        ))
                    },
                )?,
            };
            match backends.iter().find(|known| is_same(known, &backend)) {
                None => backends.push(backend),
                Some(known) if *known == backend => {}
                Some(_) => {
                    return Err(malformed(format!(
                        "endpoint {} is listed with two weights: list it once",
                        backend.address
                    )));
                }
            }
        }
        Ok(backends)
    }

    fn rule(&self) -> Result<Rule, Refusal> {
        let arguments = &self.arguments;
        let texts = [
            ("name", &arguments.name),
            ("probereq", &arguments.probereq),
            ("proberesp", &arguments.proberesp),
        ];
        if let Some((key, _)) = texts.into_iter().find(|(_, text)| text.len() > 1024) {
            return Err(malformed(format!("{key} is too long: up to 1024 bytes are allowed")));
        }
        Ok(Rule {
            name: arguments.name.clone(),
            monitor: arguments.monitor,
            managed: arguments.managed,
            probe_type: arguments.probetype.clone(),
            probe_port: arguments.probeport,
            probe_request: arguments.probereq.clone(),
            probe_response: arguments.proberesp.clone(),
            probe_timeout_s: arguments.probe_timeout,
            probe_retries: u8::try_from(arguments.probe_retries)
                .ok()
                .filter(|retries| *retries <= 100)
                .ok_or_else(|| {
                    malformed(format!(
                        "probeRetries {} is out of range: allowed are 0 to 100",
                        arguments.probe_retries
                    ))
                })?,
        })
    }

    /// LoxiLB looks at probes only where `monitor` is set.
    fn health(&self, protocol: Protocol) -> Result<Health, Refusal> {
        let arguments = &self.arguments;
        let probe = match (arguments.probetype.as_str(), protocol) {
            ("tcp", _) | ("", Protocol::Tcp) => Probe::Tcp,
            ("udp", _) | ("", Protocol::Udp) => Probe::Udp,
            ("ping", _) | ("", Protocol::Sctp) => Probe::Ping,
            ("http", _) => Probe::Http,
            ("https", _) => Probe::Https,
            ("none", _) => Probe::None,
            (other, _) => {
                return Err(malformed(format!(
                    "malformed-service-ptype error: probetype {other:?}, allowed is tcp, udp, ping, http, https or none"
                )));
            }
        };
        let probe = if arguments.monitor { probe } else { Probe::None };
        let mut health = Health { probe, ..Health::default() };
        if arguments.probe_timeout != 0 {
            let seconds = u64::from(arguments.probe_timeout);
            if seconds > 3600 {
                let text = format!("probeTimeout {seconds} is out of range: allowed are 0 to 3600 seconds");
                return Err(malformed(text));
            }
            health.interval = Duration::from_secs(seconds);
        }
        if let Ok(retries @ 1..) = u8::try_from(arguments.probe_retries) {
            health.fall = retries.min(100);
        }
        if probe != Probe::None {
            health
                .ask(&arguments.probereq, &arguments.proberesp)
                .map_err(|wrong| malformed(format!("malformed probereq or proberesp: {wrong}")))?;
        }
        if arguments.probeport != 0 && !matches!(probe, Probe::None | Probe::Ping) {
            health.port = Some(arguments.probeport);
        }
        Ok(health)
    }
}

const fn place(backend: &Backend) -> (IpAddr, Option<u16>) {
    (backend.address, backend.port)
}

fn is_same(one: &Backend, other: &Backend) -> bool {
    place(one) == place(other)
}

/// Adds backends; those that are there get the new weight.
pub(super) fn join(backends: &mut Vec<Backend>, more: Vec<Backend>) {
    for backend in more {
        match backends.iter_mut().find(|known| is_same(known, &backend)) {
            Some(known) => known.weight = backend.weight,
            None => backends.push(backend),
        }
    }
}

/// Takes backends away.
pub(super) fn part(backends: &mut Vec<Backend>, fewer: &[Backend]) {
    backends.retain(|known| !fewer.iter().any(|gone| is_same(known, gone)));
}

/// The name with what the configuration file does not take replaced.
fn legal_name(name: &str) -> String {
    let letter = |letter: char| {
        let legal = letter.is_ascii_alphanumeric() || "-_.:/".contains(letter);
        if legal { letter } else { '-' }
    };
    name.chars().take(128).map(letter).collect()
}

/// The instance that a rule's name selects: what follows its colon. Controllers number theirs `ZONE-inst0` and up,
/// the zone possibly empty; 0 is the default one.
fn instance(name: &str, instances: &[String], default_instance: &str) -> Result<String, Refusal> {
    let Some((_, selected)) = name.rsplit_once(':') else { return Ok(default_instance.to_owned()) };
    if matches!(selected, "" | "default") {
        return Ok(default_instance.to_owned());
    }
    if let Some(known) = instances.iter().find(|known| *known == selected) {
        return Ok(known.clone());
    }
    let number = |name: &str| Some(name.rsplit_once("-inst")?.1.to_owned());
    let wanted = number(selected);
    match instances.iter().find(|known| wanted.is_some() && number(known) == wanted) {
        Some(known) => Ok(known.clone()),
        None if wanted.as_deref() == Some("0") => Ok(default_instance.to_owned()),
        None => {
            Err(Refusal::UnknownInstance { instance: selected.to_owned(), known: instances.join(" or ") })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_selects_an_instance() {
        let instances = ["llb-inst0".to_owned(), "blue".to_owned(), "llb-inst1".to_owned()];
        for (name, selected) in [
            ("", "llb-inst0"),
            ("web", "llb-inst0"),
            ("web:", "llb-inst0"),
            ("web:default", "llb-inst0"),
            ("default_web:llb-inst0", "llb-inst0"),
            ("default_web:-inst0", "llb-inst0"),
            ("default_web:zone-inst0", "llb-inst0"),
            ("default_web:zone-inst1", "llb-inst1"),
            ("a:b:blue", "blue"),
        ] {
            assert_eq!(instance(name, &instances, "llb-inst0").as_deref(), Ok(selected), "{name}");
        }
        for name in ["web:red", "web:llb-inst2", "web:-inst"] {
            let refused = instance(name, &instances, "llb-inst0").unwrap_err().to_string();
            assert!(
                refused.contains("llb-inst0 or blue or llb-inst1") && !refused.contains("exist"),
                "{refused}"
            );
        }
        assert_eq!(instance("a_b:llb-inst0", &["red".to_owned()], "red").as_deref(), Ok("red"));
    }

    #[test]
    fn names_fit_the_file() {
        assert_eq!(legal_name("default_web:llb-inst0"), "default_web:llb-inst0");
        assert_eq!(legal_name("my web\u{e9}\n"), "my-web--");
        assert_eq!(legal_name(&"x".repeat(500)).len(), 128);
    }
}
