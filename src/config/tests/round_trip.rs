//! What is shown parses back to what was shown.

use crate::{
    config::{
        AllDown, Api, Backend, BfdAuth, BfdAuthKind, BfdPath, BfdPeer, Config, Cores, Dpdk, GatewayCheck, Ha,
        Health, Idle, Instance, Limits, LocalAddress, Log, LogLevel, Machine, Nat, Node, Port, PortRange,
        Probe, Route, Scheduler, Service, SessionSync,
    },
    types::{Duration, Prefix, Protocol},
};
use proptest::{collection::vec, option, prelude::*, sample::select, strategy::BoxedStrategy};
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::PathBuf,
};

/// The cores of the machine these configurations are for.
const CORES: u16 = 16;

/// Host `host` of the IPv4 or IPv6 subnet of port `port`.
fn host(v4: bool, port: u8, host: u16) -> IpAddr {
    let [high, low] = host.to_be_bytes();
    match v4 {
        true => Ipv4Addr::new(10, port, high, low).into(),
        false => Ipv6Addr::new(0xfd00, u16::from(port), 0, 0, 0, 0, 0, host).into(),
    }
}

fn words() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9._:/-]{1,20}"
}

fn line() -> impl Strategy<Value = String> {
    "[ -~äß€]{1,20}"
}

fn file() -> impl Strategy<Value = PathBuf> {
    line().prop_map(PathBuf::from)
}

fn times(range: std::ops::RangeInclusive<u64>, unit: Duration) -> impl Strategy<Value = Duration> {
    range.prop_map(move |count| unit.times(count))
}

const MICROSECOND: Duration = Duration::from_micros(1);
const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

fn cores() -> impl Strategy<Value = Cores> {
    let order = Just((0..CORES).collect::<Vec<u16>>()).prop_shuffle();
    let idle = select(Idle::ALL);
    (order, 1..8_usize, 1..4_usize, idle, any::<bool>(), times(10..=60_000, MILLISECOND)).prop_map(
        |(order, workers, management, idle, realtime, stall)| Cores {
            control: order[0],
            workers: order[1..=workers].to_vec(),
            management: order[8..8 + management].to_vec(),
            idle,
            realtime,
            stall,
        },
    )
}

fn port(index: u8) -> impl Strategy<Value = Port> {
    let devices = select(vec!["0000:3b:00", "net_af_packet", "auxiliary:mlx5_core.sf"]);
    // Backends are beyond the first port, and probing them takes a kernel interface.
    let kernel_interface =
        any::<bool>().prop_map(move |there| (there || index == 0).then(|| format!("hl{index}")));
    (devices, 1280..=9600_u16, 0..=4094_u16, 64..=32_768_u16, 64..=32_768_u16, kernel_interface).prop_map(
        move |(device, mtu, vlan, rx_descriptors, tx_descriptors, kernel_interface)| Port {
            name: format!("port{index}"),
            device: format!("{device}.{index}"),
            addresses: [(true, 16), (false, 64)]
                .map(|(v4, length)| Prefix::new(host(v4, index, 11), length).unwrap())
                .into(),
            mtu,
            vlan,
            rx_descriptors,
            tx_descriptors,
            kernel_interface,
        },
    )
}

fn route(index: u8) -> impl Strategy<Value = Route> {
    (any::<bool>(), 1..=99_u16).prop_map(move |(v4, gateway)| {
        let (to, length) =
            if v4 { (host(true, 100 + index, 0), 16) } else { (host(false, 100 + index, 0), 32) };
        let to = Prefix::new(to, length).unwrap().network();
        Route { to, via: host(v4, 0, 1000 + gateway) }
    })
}

fn nat(instances: &[Instance]) -> impl Strategy<Value = Nat> + use<> {
    let local = |(place, instance): (usize, &Instance)| {
        [true, false].map(|v4| LocalAddress {
            address: host(v4, 0, 500 + u16::try_from(place).unwrap()),
            instance: instance.name.clone(),
        })
    };
    let local_addresses: Vec<LocalAddress> = instances.iter().enumerate().flat_map(local).collect();
    let timeout = || times(1..=3600, SECOND);
    (ports(), 1..=100_000_000_u32, timeout(), timeout(), timeout()).prop_map(
        move |(ports, max_sessions, tcp_syn_timeout, tcp_fin_timeout, tcp_closed_timeout)| Nat {
            local_addresses: local_addresses.clone(),
            ports,
            max_sessions,
            tcp_syn_timeout,
            tcp_fin_timeout,
            tcp_closed_timeout,
        },
    )
}

fn ports() -> impl Strategy<Value = PortRange> {
    (1..=u16::MAX, 1..=u16::MAX).prop_map(|(a, b)| PortRange::new(a.min(b), a.max(b)).unwrap())
}

fn health() -> impl Strategy<Value = Health> {
    let http = ("/[!-~]{0,20}", vec(100..=599_u16, 1..4));
    let octets = ("[ -~]{0,20}|hex:([0-9a-f]{2}){0,9}", "\\PC{0,20}");
    let outcome = (any::<bool>(), select(AllDown::ALL), option::of(1..=u16::MAX));
    let counts = (1..=100_u8, 1..=100_u8);
    (select(Probe::ALL), 10..=3_600_000_u64, 1..=100_u64, counts, http, octets, outcome).prop_map(
        |(probe, interval, share, (rise, fall), (path, expect_status), (payload, reply), outcome)| {
            let (reset_on_down, all_down, port) = outcome;
            let port = port.filter(|_| !matches!(probe, Probe::None | Probe::Ping));
            let timeout = MILLISECOND.times((interval * share / 100).max(1));
            let health = Health {
                probe,
                interval: MILLISECOND.times(interval),
                timeout,
                rise,
                fall,
                port,
                reset_on_down,
                all_down,
                ..Health::default()
            };
            let reply = if Health::octets(&reply).is_some() { reply } else { String::new() };
            match probe {
                Probe::Http | Probe::Https => Health { path, expect_status, reply, ..health },
                Probe::Udp if Health::octets(&payload).is_some() => Health { payload, reply, ..health },
                _ => health,
            }
        },
    )
}

fn service(index: u16, instances: Vec<Instance>) -> impl Strategy<Value = Service> {
    let backends = vec((option::of(1..=u16::MAX), 0..=1000_u16), 0..4);
    let sources = vec(0..=32_u8, 0..3);
    let words = (select(&Protocol::ALL), select(Scheduler::ALL), select(instances));
    let times = (times(1..=604_800, SECOND), times(0..=86_400, SECOND));
    ((any::<bool>(), 0..3_u8), ports(), words, times, sources, backends, health()).prop_map(
        move |((v4, seconds), port, (protocol, scheduler, instance), times, sources, backends, health)| {
            let (idle_timeout, drain_timeout) = times;
            let source = |length: u8| Prefix::new(host(v4, 7, 0), length).unwrap().network();
            let backend = |(place, (own, weight)): (u16, (Option<u16>, u16))| Backend {
                address: host(v4, 0, 2000 + place),
                port: own,
                weight,
            };
            Service {
                name: format!("service/{index}"),
                instance: instance.name,
                vip: host(v4, 200, 100 + index),
                secondary_vips: (0..seconds).map(|n| host(v4, 201 + n, 100 + index)).collect(),
                port,
                protocol,
                scheduler,
                idle_timeout,
                allowed_sources: sources.into_iter().map(source).collect(),
                drain_timeout,
                backends: (0..).zip(backends).map(backend).collect(),
                health,
                ..Service::default()
            }
        },
    )
}

fn path(index: u16) -> impl Strategy<Value = BfdPath> {
    let auth = (select(BfdAuthKind::ALL), any::<u8>(), file());
    let auth = option::of(auth.prop_map(|(kind, key_id, key_file)| BfdAuth { kind, key_id, key_file }));
    let interval = times(50..=10_000_000, MICROSECOND);
    (any::<bool>(), interval, 1..=255_u8, select(BfdPeer::ALL), auth).prop_map(
        move |(v4, interval, multiplier, compatible, auth)| BfdPath {
            local: host(v4, 0, 11),
            remote: host(v4, 0, 12 + index),
            interval,
            multiplier,
            compatible,
            auth,
        },
    )
}

fn ha() -> impl Strategy<Value = Ha> {
    let priorities = vec(1..=255_u8, 1..4);
    let paths = (0..4_u16).prop_flat_map(|count| (0..count).map(|i| path(i).boxed()).collect::<Vec<_>>());
    let garp_repeat = proptest::collection::btree_set(0..=60_000_u64, 0..6);
    let sync = (any::<bool>(), option::of(file()));
    let sync = sync.prop_map(|(enabled, key_file)| SessionSync { enabled, key_file });
    let times = (
        times(0..=600_000, MILLISECOND),
        times(0..=60_000, MILLISECOND),
        times(0..=3600, SECOND),
        garp_repeat.prop_map(|times| times.into_iter().map(Duration::from_millis).collect::<Vec<_>>()),
    );
    let gateways = (0..4_u16, select(GatewayCheck::ALL));
    (priorities, paths, times, gateways, any::<(bool, bool)>(), option::of(file()), sync).prop_map(
        |(priorities, bfd, times, (gateways, gateway_check_type), (preempt, virtual_mac), notify, sync)| {
            let (lone_start, lease, garp_refresh, garp_repeat) = times;
            let instance = |(place, priority)| Instance { name: format!("instance{place}"), priority };
            Ha {
                instances: (0..).zip(priorities).map(instance).collect(),
                peer: (!bfd.is_empty()).then(|| host(true, 0, 12)),
                preempt,
                lone_start,
                gateway_check: (0..gateways).map(|i| host(true, 0, 600 + i)).collect(),
                gateway_check_type,
                lease,
                virtual_mac,
                garp_repeat,
                garp_refresh,
                notify,
                bfd,
                sync,
            }
        },
    )
}

fn process() -> impl Strategy<Value = (Node, Dpdk, Limits, Log, Api)> {
    let dpdk = (any::<bool>(), 64..=1_048_576_u32, vec(line(), 0..4));
    let dpdk = dpdk.prop_map(|(hugepages, memory_mb, args)| Dpdk { hugepages, memory_mb, args });
    let limits = (100..=1000_u32, 100..=1000_u32, 100..=1000_u32, 1..=1000_u32, 1..=1000_u32, 1..=1000_u32)
        .prop_map(|(services, backends, routes, neighbors, held_packets, fragments)| Limits {
            services,
            backends,
            routes,
            neighbors,
            held_packets,
            fragments,
        });
    let files = (option::of(file()), option::of((file(), file())), option::of(file()));
    let api = (any::<std::net::SocketAddr>(), files, 16..=65_536_u32).prop_map(
        |(mut listen, (state_file, tls, token_file), max_connections)| {
            if let std::net::SocketAddr::V6(v6) = &mut listen {
                v6.set_flowinfo(0);
            }
            let (tls_cert, tls_key) = tls.unzip();
            Api { listen, state_file, tls_cert, tls_key, token_file, max_connections }
        },
    );
    let log = select(LogLevel::ALL).prop_map(|level| Log { level });
    (words().prop_map(|name| Node { name }), dpdk, limits, log, api)
}

/// Configurations without a mistake.
fn configs() -> impl Strategy<Value = Config> {
    option::of(ha()).prop_flat_map(|ha| {
        let instances = ha.as_ref().map_or_else(|| vec![Instance::default()], |ha| ha.instances.clone());
        let ports: BoxedStrategy<Vec<Port>> =
            (1..4_u8).prop_flat_map(|count| (0..count).map(|i| port(i).boxed()).collect::<Vec<_>>()).boxed();
        let routes =
            (0..4_u8).prop_flat_map(|count| (0..count).map(|i| route(i).boxed()).collect::<Vec<_>>());
        let nat = nat(&instances);
        let services = (0..4_u16).prop_flat_map(move |count| {
            let one = |index| service(index, instances.clone()).boxed();
            (0..count).map(one).collect::<Vec<_>>()
        });
        (process(), cores(), ports, routes, nat, services).prop_map(
            move |((node, dpdk, limits, log, api), cores, ports, routes, nat, services)| {
                let ha = ha.clone();
                Config { node, dpdk, cores, ports, routes, nat, services, ha, api, limits, log }
            },
        )
    })
}

proptest! {
    #[test]
    fn what_is_shown_parses_back(config in configs()) {
        let shown = config.show();
        let parsed = Config::parse(&shown, "shown", &Machine::with_cores(CORES));
        prop_assert_eq!(parsed, Ok(config), "{}", shown);
    }

    #[test]
    fn services_parse_back_from_json(config in configs()) {
        for service in config.services {
            let shown = service.to_json();
            prop_assert_eq!(Service::from_json(&shown), Ok(service.clone()), "{}", shown);
            let shown = service.to_json_brief();
            prop_assert_eq!(Service::from_json(&shown), Ok(service), "{}", shown);
        }
    }

    #[test]
    fn a_configuration_differs_from_others_alone(one in configs(), other in configs()) {
        prop_assert_eq!(one.differences(&one), [""; 0]);
        prop_assert_eq!(one.differences(&other).is_empty(), one == other);
    }
}

#[test]
fn defaults_are_shown() {
    let document = "[[port]]\nname = \"lan\"\ndevice = \"net_af_packet0\"\naddresses = [\"10.77.0.11/24\"]\n\
                    [ha]\npeer = \"10.77.0.12\"\n";
    let shown = super::config(document).show();
    for line in [
        "workers = [2, 3]",
        "idle = \"spin\"",
        "stall_ms = 1000",
        "mtu = 1500",
        "rx_descriptors = 1024",
        "kernel_interface = \"\"",
        "local_addresses = []",
        "ports = \"1024-65535\"",
        "tcp_syn_timeout_s = 30",
        "tcp_fin_timeout_s = 15",
        "tcp_closed_timeout_s = 5",
        "instance = \"llb-inst0\"",
        "garp_repeat = [0, 20, 100, 500, 2000]",
        "lone_start_ms = 3000",
        "[[ha.bfd]]",
        "local = \"10.77.0.11\"",
        "interval_us = 1000",
        "multiplier = 3",
        "[ha.sync]",
        "listen = \"127.0.0.1:11111\"",
        "held_packets = 256",
        "level = \"info\"",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line} is not in\n{shown}");
    }
}
