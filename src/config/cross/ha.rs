//! HA: the peer is somebody else within reach, and so are the witnesses.

use super::{
    Unique,
    addresses::{Ours, on_link, subnets, subnets_are_known},
    family,
};
use crate::{
    config::{
        BfdPath, Config, GatewayCheck, Ha, Idle, is_host,
        kind::{Kind, either},
        report::Report,
        text,
    },
    types::Duration,
};
use std::net::IpAddr;

/// Beneath this interval a thread that sleeps may wake too late to send in time.
const SLEEPERS_INTERVAL: Duration = Duration::from_millis(10);

pub(super) fn check(config: &Config, report: &mut Report<'_>) {
    let Some(ha) = &config.ha else { return };
    let ours = Ours::of_ports(config, report).with_local_addresses(config, report).with_vips(config, report);
    instances(ha, report);
    peer(ha, &ours, config, report);
    witnesses(ha, &ours, config, report);
    if report.has("ha.bfd") {
        paths(ha, &ours, config, report);
    }
    let hasty = ha.bfd.iter().any(|path| path.interval < SLEEPERS_INTERVAL);
    if hasty && config.cores.idle == Idle::Sleep && report.sound("ha") && report.sound("cores.idle") {
        let text = "has an interval_us under 10000: with cores.idle = \"sleep\" the control thread may wake too \
                    late for it and the peer be declared gone";
        report.warning("ha.bfd", text);
    }
}

fn instances(ha: &Ha, report: &mut Report<'_>) {
    let mut names = Unique::new("a name of its own");
    for (i, instance) in ha.instances.iter().enumerate() {
        let listed = format!("ha.instance[{i}].name");
        let key = if report.has(&listed) { listed } else { "ha.instance".into() };
        if instance.name == "default" && report.sound(&key) {
            let text =
                "is \"default\", which is the API's other name of \"llb-inst0\", allowed is any other name";
            report.mistake(&key, text.into());
        }
        names.insert(&instance.name, &instance.name, key, report);
    }
}

fn peer(ha: &Ha, ours: &Ours, config: &Config, report: &mut Report<'_>) {
    match (ha.peer, report.has("ha.bfd")) {
        (Some(peer), with_paths) => {
            ours.refuse(peer, "ha.peer", config, report);
            if !with_paths {
                on_link(peer, "ha.peer", ", or the paths to it in [[ha.bfd]]", config, report);
            }
        }
        (None, true) if report.sound("ha.peer") => {
            let text = "is missing, allowed is the other node's address: sessions are sent there".to_owned();
            report.mistake("ha.peer", text);
        }
        (None, false) if report.sound("ha") => {
            report.warning(
                "ha",
                "has neither peer nor [[ha.bfd]]: this node is alone until the API names a peer",
            );
        }
        (None, _) => (),
    }
}

fn witnesses(ha: &Ha, ours: &Ours, config: &Config, report: &mut Report<'_>) {
    let mut unique = Unique::new("each gateway once");
    for (i, gateway) in ha.gateway_check.iter().enumerate() {
        let key = format!("ha.gateway_check[{i}]");
        ours.refuse(*gateway, &key, config, report);
        if ha.gateway_check_type != GatewayCheck::Ping && report.sound("ha.gateway_check_type") {
            on_link(*gateway, &key, ", or gateway_check_type = \"ping\"", config, report);
        }
        if ha.peer == Some(*gateway) && report.sound(&key) {
            let text = format!("{gateway} is the peer, allowed is a third party both nodes reach");
            report.mistake(&key, text);
        }
        unique.insert(*gateway, gateway, key, report);
    }
}

/// Whether a BFD session between these addresses can be asked for besides those of the file. `vips`: the virtual addresses,
/// each with the service that has it. Without `local` the node chooses.
///
/// # Errors
///
/// In the words of the file's check, with the keys of the API.
pub(crate) fn check_bfd_path(
    config: &Config,
    vips: impl IntoIterator<Item = (IpAddr, String)>,
    local: Option<IpAddr>,
    remote: IpAddr,
) -> Result<(), String> {
    const LOCAL: &str = "sourceIp";
    const REMOTE: &str = "remoteIp";
    let mut report = Report::new("");
    for (key, address) in std::iter::once((REMOTE, remote)).chain(local.map(|local| (LOCAL, local))) {
        if !is_host(&address) {
            let allowed = text::address().allowed();
            report.mistake(key, format!("{address} is no such address, allowed is {allowed}"));
        }
    }
    let ours = Ours::of_ports(config, &report).with_local_addresses(config, &report).with(vips);
    ours.refuse(remote, REMOTE, config, &mut report);
    if let Some(local) = local {
        own_address(local, LOCAL, config, &mut report);
        if local.is_ipv4() != remote.is_ipv4() {
            let families = (family(remote), family(local));
            let text = format!(
                "{remote} is {} and {LOCAL} {local} is {}, allowed are two addresses of one family",
                families.0, families.1
            );
            report.mistake(REMOTE, text);
        }
    }
    let (mistakes, _) = report.finish("");
    match mistakes.first() {
        Some(mistake) => Err(format!("{}: {}", mistake.key, mistake.text)),
        None => Ok(()),
    }
}

fn paths(ha: &Ha, ours: &Ours, config: &Config, report: &mut Report<'_>) {
    let mut unique = Unique::new("one path between two addresses");
    for (i, path) in ha.bfd.iter().enumerate() {
        let (local, remote) = (format!("ha.bfd[{i}].local"), format!("ha.bfd[{i}].remote"));
        own_address(path.local, &local, config, report);
        ours.refuse(path.remote, &remote, config, report);
        one_hop(path, &local, &remote, config, report);
        if report.sound(&local) {
            let shown = format!("{} to {}", path.local, path.remote);
            unique.insert((path.local, path.remote), shown, remote, report);
        }
    }
}

fn own_address(local: IpAddr, key: &str, config: &Config, report: &mut Report<'_>) {
    let own = subnets(config).any(|subnet| subnet.address() == local);
    if !own && report.sound(key) && subnets_are_known(config, report) {
        let family = subnets(config).map(|own| own.address()).filter(|a| a.is_ipv4() == local.is_ipv4());
        let own = either(family);
        let allowed = if own.is_empty() { "one of the addresses of some [[port]]".to_owned() } else { own };
        report.mistake(key, format!("{} is no address of this node's ports, allowed is {allowed}", local));
    }
}

/// Such packets do not pass routers (RFC 5881 section 5).
fn one_hop(path: &BfdPath, local: &str, remote: &str, config: &Config, report: &mut Report<'_>) {
    let subnet = subnets(config).find(|subnet| subnet.address() == path.local);
    if let Some(subnet) = subnet
        && !subnet.contains(path.remote)
        && report.sound(local)
        && report.sound(remote)
    {
        let (wrong, subnet) = (path.remote, subnet.network());
        report.mistake(
            remote,
            format!("{wrong} is not in the subnet of {}, allowed is an address in {subnet}", path.local),
        );
    }
}

#[cfg(test)]
mod tests {
    use crate::config::tests::{NAT, PORT, config, expect, warnings};

    #[test]
    fn the_peer_and_the_witnesses_are_others_within_reach() {
        expect(
            r#"
[[service]]
name = "web"
vip = "10.77.0.100"
port = 80
[ha]
peer = "10.99.0.12"
#! 8: ha.peer: 10.99.0.12 is in no port's subnet, allowed is an address in 10.77.0.0/24, or the paths to it in [[ha.bfd]]
gateway_check = ["10.77.0.11", "10.77.0.100", "10.77.0.40", "10.88.0.1", "10.99.0.12", "10.77.0.1", "10.77.0.1"]
#! 18: ha.gateway_check[0]: 10.77.0.11 is taken by port[0].addresses[0] (line 12), allowed is an address used for nothing else
#! 32: ha.gateway_check[1]: 10.77.0.100 is taken by service[0].vip (line 3), allowed is an address used for nothing else
#! 47: ha.gateway_check[2]: 10.77.0.40 is taken by nat.local_addresses[0] (line 15), allowed is an address used for nothing else
#! 61: ha.gateway_check[3]: 10.88.0.1 is in no port's subnet, allowed is an address in 10.77.0.0/24, or gateway_check_type = "ping"
#! 74: ha.gateway_check[4]: 10.99.0.12 is in no port's subnet, allowed is an address in 10.77.0.0/24, or gateway_check_type = "ping"
#! 74: ha.gateway_check[4]: 10.99.0.12 is the peer, allowed is a third party both nodes reach
#! 101: ha.gateway_check[6]: 10.77.0.1 is taken by ha.gateway_check[5] (line 7), allowed is each gateway once
"#,
            &[PORT, NAT],
        );
        expect(
            r#"
[ha]
peer = "10.77.0.11"
#! 8: ha.peer: 10.77.0.11 is taken by port[0].addresses[0] (line 7), allowed is an address used for nothing else
"#,
            &[PORT],
        );
        expect(
            r#"
[ha]
peer = "10.77.0.255"
#! 8: ha.peer: 10.77.0.255 is no host in the subnet 10.77.0.0/24, allowed is one between its ends
"#,
            &[PORT],
        );
    }

    #[test]
    fn pings_may_pass_routers() {
        let document =
            "[ha]\npeer = \"10.77.0.12\"\ngateway_check = [\"192.0.2.1\"]\ngateway_check_type = \"ping\"\n";
        config(&(document.to_owned() + PORT));
    }

    #[test]
    fn paths_go_from_an_own_address_to_a_neighbour() {
        expect(
            r#"
[ha]
#! 1: ha.peer: is missing, allowed is the other node's address: sessions are sent there
[[ha.bfd]]
local = "10.77.0.13"
#! 9: ha.bfd[0].local: 10.77.0.13 is no address of this node's ports, allowed is 10.77.0.11
remote = "10.77.0.12"
[[ha.bfd]]
local = "10.77.0.11"
remote = "10.77.0.11"
#! 10: ha.bfd[1].remote: 10.77.0.11 is taken by port[0].addresses[0] (line 24), allowed is an address used for nothing else
[[ha.bfd]]
local = "10.77.0.11"
remote = "10.88.0.12"
#! 10: ha.bfd[2].remote: 10.88.0.12 is not in the subnet of 10.77.0.11, allowed is an address in 10.77.0.0/24
[[ha.bfd]]
local = "10.77.0.11"
remote = "fd77::12"
#! 10: ha.bfd[3].remote: fd77::12 is not in the subnet of 10.77.0.11, allowed is an address in 10.77.0.0/24
[[ha.bfd]]
local = "fd77::11"
remote = "fd77::12"
[[ha.bfd]]
local = "fd77::11"
remote = "fd77::12"
#! 10: ha.bfd[5].remote: fd77::11 to fd77::12 is taken by ha.bfd[4].remote (line 16), allowed is one path between two addresses
"#,
            &[PORT],
        );
    }

    #[test]
    fn warns_of_ha_without_a_peer() {
        let text = format!("[ha]\n{PORT}{NAT}");
        let said = "lb.toml:1:1: ha: warning: has neither peer nor [[ha.bfd]]: this node is alone until the API names \
                    a peer";
        assert_eq!(warnings(&text)[0], said);
    }

    #[test]
    fn warns_of_fast_paths_on_sleeping_threads() {
        let text = |interval: u32| {
            format!(
                "[cores]\nidle = \"sleep\"\n[ha]\npeer = \"10.77.0.12\"\n[[ha.bfd]]\nlocal = \"10.77.0.11\"\n\
                 remote = \"10.77.0.12\"\ninterval_us = {interval}\n[[service]]\nname = \"x\"\nvip = \"10.0.0.1\"\n\
                 port = 1\nbackends = [{{ address = \"10.0.0.2\" }}]\n{PORT}{NAT}"
            )
        };
        assert_eq!(
            warnings(&text(9999)),
            [
                "lb.toml:5:1: ha.bfd: warning: has an interval_us under 10000: with cores.idle = \"sleep\" the \
                 control thread may wake too late for it and the peer be declared gone"
            ]
        );
        assert_eq!(warnings(&text(10_000)), [""; 0]);
    }
}
