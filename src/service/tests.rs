//! The table as its users see it.

use super::*;
use crate::types::{Duration, InstanceId, PortId, Prefix, Protocol};
use proptest::prelude::*;
use std::{collections::HashMap, ops::RangeInclusive};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// `n` as an address of 10.0.0.0/8.
fn v4(n: u32) -> IpAddr {
    (0x0a00_0000 + n).to_be_bytes().into()
}

fn backend(id: u32, weight: u16) -> Backend {
    Backend { id: BackendId(id), address: v4(0x77_0000 + id), port: Some(8080), weight, available: true }
}

/// A service on TCP port 80 of an address of its own, with backends of these weights whose ids begin at a hundred
/// times its own.
fn service(id: u32, scheduler: SchedulerKind, weights: &[u16]) -> ServiceSpec {
    ServiceSpec {
        id: ServiceId(id),
        name: format!("s{id}"),
        instance: InstanceId(0),
        vip: v4(id),
        secondary_vips: Vec::new(),
        ports: 80..=80,
        protocol: Protocol::Tcp,
        scheduler,
        idle_timeout: Duration::from_secs(1800),

        resets_unknown: false,
        allowed_sources: Vec::new(),
        backends: (id * 100..).zip(weights).map(|(id, &weight)| backend(id, weight)).collect(),
    }
}

fn build(services: &[ServiceSpec], previous: Option<&ServiceTable>) -> ServiceTable {
    ServiceTable::build(services.to_vec(), [], previous).unwrap()
}

fn client(n: u32) -> Client {
    Client { flow: u64::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15), source: v4(n) }
}

/// The ids of the backends that the first `count` clients get.
fn choices(table: &ServiceTable, id: u32, count: u32) -> Vec<u32> {
    let service = table.service(ServiceId(id)).unwrap();
    (0..count).map(|n| service.select(&client(n), |_| 0).unwrap().id.0).collect()
}

#[test]
fn addresses_have_roles() {
    let mut inner = service(2, SchedulerKind::RoundRobin, &[]);
    (inner.vip, inner.instance) = (ip("fd00::1"), InstanceId(3));
    let addresses = [
        (ip("192.0.2.1"), Role::Local(InstanceId(3))),
        (ip("192.0.2.2"), Role::Node(PortId(1))),
        (ip("192.0.2.3"), Role::Vip(InstanceId(1))),
        (ip("fd00::1"), Role::Vip(InstanceId(3))),
        (ip("192.0.2.2"), Role::Node(PortId(1))),
    ];
    let services = vec![inner, service(1, SchedulerKind::RoundRobin, &[])];
    let table = ServiceTable::build(services, addresses, None).unwrap();
    for (address, role) in addresses.into_iter().chain([(v4(1), Role::Vip(InstanceId(0)))]) {
        assert_eq!(table.role(address), Some(role), "{address}");
    }
    assert_eq!(table.addresses().collect::<HashMap<_, _>>().len(), 5);
    // An IPv4 address in IPv6 clothes is another address.
    for stranger in ["192.0.2.4", "::ffff:192.0.2.1", "fd00::2"] {
        assert_eq!(table.role(ip(stranger)), None, "{stranger}");
    }
    assert_eq!(ServiceTable::default().role(v4(1)), None);
}

#[test]
fn services_are_found_by_address_protocol_and_port() {
    let on = |id, protocol, ports: RangeInclusive<u16>| {
        let spec = service(id, SchedulerKind::RoundRobin, &[]);
        ServiceSpec { vip: v4(1), protocol, ports, ..spec }
    };
    let table = build(
        &[
            on(5, Protocol::Tcp, 1000..=2000),
            on(9, Protocol::Tcp, 80..=80),
            on(3, Protocol::Tcp, 2001..=65535),
            on(7, Protocol::Udp, 0..=1500),
            service(4, SchedulerKind::RoundRobin, &[]),
        ],
        None,
    );
    for (vip, protocol, port, id) in [
        (1, Protocol::Tcp, 80, Some(9)),
        (1, Protocol::Tcp, 79, None),
        (1, Protocol::Tcp, 81, None),
        (1, Protocol::Tcp, 999, None),
        (1, Protocol::Tcp, 1000, Some(5)),
        (1, Protocol::Tcp, 2000, Some(5)),
        (1, Protocol::Tcp, 2001, Some(3)),
        (1, Protocol::Tcp, 65535, Some(3)),
        (1, Protocol::Udp, 0, Some(7)),
        (1, Protocol::Udp, 1501, None),
        (1, Protocol::Sctp, 80, None),
        (4, Protocol::Tcp, 80, Some(4)),
        (2, Protocol::Tcp, 80, None),
    ] {
        let found = table.find(v4(vip), protocol, port).map(|service| service.id().0);
        assert_eq!(found, id, "{vip} {protocol} {port}");
    }
    assert_eq!(table.services().map(|service| service.id().0).collect::<Vec<_>>(), [3, 4, 5, 7, 9]);
    assert_eq!(table.service(ServiceId(7)).unwrap().spec().name, "s7");
    assert!(table.service(ServiceId(6)).is_none() && table.service(ServiceId(10)).is_none());
}

#[test]
fn what_contradicts_itself_is_refused_by_name() {
    type Change = fn(&mut Vec<ServiceSpec>, &mut Vec<(IpAddr, Role)>);
    let cases: [(Change, &str); 16] = [
        (|s, _| s[1].vip = v4(1), "services s1 and s2 both claim 10.0.0.1 tcp port 80: "),
        (
            |s, _| (s[1].vip, s[1].ports) = (v4(1), 70..=90),
            "services s2 and s1 both claim 10.0.0.1 tcp port 80: ",
        ),
        (
            |s, _| (s[1].vip, s[1].instance, s[1].ports) = (v4(1), InstanceId(1), 81..=81),
            "services s1 and s2 claim 10.0.0.1 for different instances: ",
        ),
        (
            |s, _| (s[1].vip, s[1].instance, s[1].protocol) = (v4(1), InstanceId(1), Protocol::Udp),
            "services s1 and s2 claim 10.0.0.1 for different instances: ",
        ),
        (|s, _| s[1].id = ServiceId(1), "services s1 and s2 both have slot 1: "),
        (|s, _| s[1].id = ServiceId(65_536), "service s2 has slot 65536, "),
        (
            |s, _| s[1].backends[0].id = BackendId(101),
            "services s1 and s2 both have a backend with slot 101: ",
        ),
        (
            |s, _| s[1].backends[0].id = BackendId(201),
            "services s2 and s2 both have a backend with slot 201: ",
        ),
        (
            |s, _| s[1].backends[1].address = s[1].backends[0].address,
            "service s2 lists backend 10.119.0.200 port 8080 twice: ",
        ),
        (|s, _| s[1].vip = ip("fd00::1"), "service s2 at fd00::1 has the address 10.119.0.200: "),
        (|s, _| s[1].backends[1].address = ip("fd00::1"), "service s2 at 10.0.0.2 has the address fd00::1: "),
        (|s, _| s[1].ports = RangeInclusive::new(9, 8), "service s2 has no ports, 9 comes after 8: "),
        (
            |s, _| s[1].allowed_sources = vec![Prefix::host(v4(1)); MAX_SOURCES + 1],
            "service s2 lists 4097 allowed sources: ",
        ),
        (
            |s, _| s[1].backends = (1_000..).map(|id| backend(id, 1)).take(MAX_BACKENDS + 1).collect(),
            "service s2 has 1025 backends: ",
        ),
        (
            |_, a| a.push((v4(2), Role::Local(InstanceId(0)))),
            "10.0.0.2 is a virtual address of instance 0 (service s2) and a local address of instance 0: ",
        ),
        (
            |_, a| a.extend([(v4(9), Role::Node(PortId(1))), (v4(9), Role::Local(InstanceId(0)))]),
            "10.0.0.9 is this node's own address on port 1 and a local address of instance 0: ",
        ),
    ];
    for (change, expected) in cases {
        let mut services: Vec<_> = (1..=2).map(|id| service(id, SchedulerKind::Maglev, &[1, 1])).collect();
        let mut addresses = Vec::new();
        assert!(ServiceTable::build(services.clone(), addresses.clone(), None).is_ok());
        change(&mut services, &mut addresses);
        let error = ServiceTable::build(services, addresses, None).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn limits_of_the_whole_table_are_kept() {
    let services =
        |count| (0..count).map(|id| service(id, SchedulerKind::RoundRobin, &[])).collect::<Vec<_>>();
    assert!(ServiceTable::build(services(65_536), [], None).is_ok());
    assert_eq!(
        ServiceTable::build(services(65_537), [], None).unwrap_err(),
        BuildError::TooManyServices { count: 65_537 }
    );
    let others = |count| (0..count).map(|n| (v4(0x80_0000 + n), Role::Local(InstanceId(0))));
    assert!(ServiceTable::build(services(1), others(131_071), None).is_ok());
    assert_eq!(
        ServiceTable::build(services(1), others(131_072), None).unwrap_err(),
        BuildError::TooManyAddresses { address: v4(0) }
    );
    let mut full: Vec<_> = (0..1_025).map(|id| service(id, SchedulerKind::LeastConnections, &[])).collect();
    for spec in &mut full {
        let first = spec.id.0 * 1_024;
        spec.backends = (first..first + 1_024).map(|id| backend(id, 1)).collect();
    }
    assert_eq!(
        ServiceTable::build(full, [], None).unwrap_err(),
        BuildError::TooManyBackendsInAll { service: "s1024".into(), count: 1_025 * 1_024 }
    );
}

#[test]
fn round_robin_goes_in_listed_order_over_those_that_take_sessions() {
    let mut spec = service(1, SchedulerKind::RoundRobin, &[1, 9, 0, 1, 1]);
    spec.backends.reverse();
    spec.backends[0].available = false;
    let table = build(&[spec], None);
    assert_eq!(choices(&table, 1, 7), [103, 101, 100, 103, 101, 100, 103]);
    // The others are still there for the sessions they have.
    let service = table.service(ServiceId(1)).unwrap();
    assert_eq!(service.backend(BackendId(104)).unwrap().address, v4(0x77_0068));
    assert_eq!(service.backend(BackendId(102)).unwrap().weight, 0);
    assert!(service.backend(BackendId(105)).is_none());
}

#[test]
fn turns_go_on_where_the_table_before_was() {
    for scheduler in [SchedulerKind::RoundRobin, SchedulerKind::WeightedRoundRobin] {
        let services = [service(1, scheduler, &[1, 1, 1]), service(2, scheduler, &[1, 1, 1])];
        let first = build(&services, None);
        assert_eq!(choices(&first, 1, 4), [100, 101, 102, 100]);
        let second = build(&services, Some(&first));
        // Workers change over one by one: both tables move one cursor.
        assert_eq!(choices(&second, 1, 1), [101]);
        assert_eq!(choices(&first, 1, 1), [102]);
        assert_eq!(choices(&second, 1, 1), [100]);
        assert_eq!(choices(&second, 2, 1), [200]);
    }
}

#[test]
fn weighted_round_robin_keeps_eighty_to_twenty() {
    let table = build(&[service(1, SchedulerKind::WeightedRoundRobin, &[80, 20])], None);
    for _ in 0..10 {
        let first = choices(&table, 1, 100).into_iter().filter(|&id| id == 100).count();
        assert!(first.abs_diff(80) <= 3, "{first}");
    }
}

#[test]
fn least_connections_takes_the_first_of_the_least_loaded() {
    for (weights, active, expected) in [
        (&[1, 1, 1][..], &[0, 0, 0][..], Some(100)),
        (&[1, 1, 1], &[4, 0, 0], Some(101)),
        (&[1, 1, 1], &[4, 1, 0], Some(102)),
        (&[1, 1, 1], &[2, 2, 2], Some(100)),
        (&[1, 2, 4], &[1, 1, 3], Some(101)),
        (&[1, 2, 4], &[1, 2, 3], Some(102)),
        (&[0, 1, 1], &[0, 5, 4], Some(102)),
        (&[65_535, 65_534], &[u32::MAX, u32::MAX], Some(100)),
        (&[0, 0], &[0, 0], None),
        (&[], &[], None),
    ] {
        let table = build(&[service(1, SchedulerKind::LeastConnections, weights)], None);
        let service = table.service(ServiceId(1)).unwrap();
        let active = |id: BackendId| active[id.index() - 100];
        let chosen = service.select(&client(0), active).map(|backend| backend.id.0);
        assert_eq!(chosen, expected, "{weights:?}");
    }
}

#[test]
fn source_hash_keeps_a_client_and_maglev_spreads_its_flows() {
    let specs = [service(1, SchedulerKind::SourceHash, &[1; 3]), service(2, SchedulerKind::Maglev, &[1; 3])];
    let table = build(&specs, None);
    let flows = |id| {
        let chosen = |flow: u64| {
            let client = Client { flow: flow << 40, source: v4(77) };
            table.service(ServiceId(id)).unwrap().select(&client, |_| 0).unwrap().id
        };
        (0..100).map(chosen).collect::<std::collections::HashSet<_>>().len()
    };
    assert_eq!((flows(1), flows(2)), (1, 3));
    let v6 = Client { flow: 0, source: ip("2001:db8::1") };
    assert!(table.service(ServiceId(1)).unwrap().select(&v6, |_| 0).is_some());
}

/// Also for flows that are alike but for their last bits, and hashes that are poor in their first.
#[test]
fn hashed_schedulers_follow_the_weights() {
    for scheduler in [SchedulerKind::Maglev, SchedulerKind::SourceHash] {
        let table = build(&[service(1, scheduler, &[5, 3, 2])], None);
        let service = table.service(ServiceId(1)).unwrap();
        let mut counts = [0u32; 3];
        for n in 0..10_000 {
            let client = Client { flow: n, source: v4(n as u32) };
            counts[service.select(&client, |_| 0).unwrap().id.index() - 100] += 1;
        }
        for (count, fair) in counts.into_iter().zip([5_000, 3_000, 2_000]) {
            assert!(count.abs_diff(fair) < 200, "{scheduler}: {counts:?}");
        }
    }
}

#[test]
fn a_backend_that_fails_moves_its_own_share_and_gets_it_back() {
    for scheduler in [SchedulerKind::Maglev, SchedulerKind::SourceHash] {
        let up = [service(1, scheduler, &[1; 5])];
        let mut down = up.clone();
        down[0].backends[2].available = false;
        let first = build(&up, None);
        let second = build(&down, Some(&first));
        let third = build(&up, Some(&second));
        let before = choices(&first, 1, 5_000);
        for (&old, new) in before.iter().zip(choices(&second, 1, 5_000)) {
            assert!(old == new || old == 102);
            assert_ne!(new, 102);
        }
        assert_eq!(before, choices(&third, 1, 5_000));
    }
}

#[test]
fn a_service_that_nobody_serves_selects_nobody() {
    for scheduler in SchedulerKind::ALL {
        let mut failed = service(1, scheduler, &[1, 0]);
        failed.backends[0].available = false;
        let table = build(&[failed, service(2, scheduler, &[])], None);
        for service in table.services() {
            assert_eq!(service.select(&client(0), |_| 0), None, "{scheduler}");
        }
    }
}

#[test]
fn admits_the_allowed() {
    let mut spec = service(1, SchedulerKind::Maglev, &[1]);
    spec.allowed_sources = vec!["10.10.10.0/31".parse().unwrap(), "fd00::/8".parse().unwrap()];
    let table = build(&[spec, service(2, SchedulerKind::Maglev, &[1])], None);
    let [some, all] = [1, 2].map(|id| table.service(ServiceId(id)).unwrap());
    assert!(some.admits(ip("10.10.10.1")) && !some.admits(ip("10.10.10.2")) && some.admits(ip("fd00::1")));
    assert!(all.admits(ip("10.10.10.2")) && all.admits(ip("::1")));
}

fn ring(table: &ServiceTable, id: u32) -> &maglev::Ring {
    match &table.service(ServiceId(id)).unwrap().selector {
        Selector::Ring { ring, .. } => ring,
        other => panic!("{other:?}"),
    }
}

#[test]
fn equal_backends_share_a_ring_and_keep_it() {
    let mut services: Vec<_> = (1..=3).map(|id| service(id, SchedulerKind::Maglev, &[2, 4, 6])).collect();
    for spec in &mut services[1..] {
        for (backend, n) in spec.backends.iter_mut().zip(100..) {
            (backend.address, backend.weight) = (v4(0x77_0000 + n), backend.weight / 2);
        }
    }
    services[1].scheduler = SchedulerKind::SourceHash;
    services[2].backends[0].available = false;
    let first = build(&services, None);
    assert!(ring(&first, 1).is_same(ring(&first, 2)));
    assert!(!ring(&first, 1).is_same(ring(&first, 3)));
    assert_eq!(first.ring_usage(), (2, 2 * 2 * 65_537));
    services.remove(0);
    services[1].backends[0].available = true;
    let second = build(&services, Some(&first));
    assert!(ring(&first, 1).is_same(ring(&second, 2)));
    assert!(ring(&second, 2).is_same(ring(&second, 3)));
    assert_eq!(second.ring_usage(), (1, 2 * 65_537));
}

#[test]
fn many_services_have_smaller_rings_and_nobodys_ring_changes_because_of_others() {
    let large = rings::LARGE_RINGS as u32;
    let few: Vec<_> = (0..large).map(|id| service(id + 1, SchedulerKind::Maglev, &[1; 2])).collect();
    let mut many = vec![service(0, SchedulerKind::Maglev, &[1; 2])];
    many.extend(few.iter().cloned().chain([service(large + 1, SchedulerKind::Maglev, &[1; 2])]));
    let size = |table: &ServiceTable, id| {
        table.service(ServiceId(id)).unwrap().selector.ring_members().unwrap().1.unwrap()
    };
    let first = build(&few, None);
    let second = build(&many, Some(&first));
    for id in 1..=large {
        assert!(size(&second, id) == 65_537 && ring(&first, id).is_same(ring(&second, id)), "{id}");
    }
    assert_eq!((size(&second, 0), size(&second, large + 1)), (2_039, 2_039));
    // Alone again, and with more backends: still that size.
    let mut last = many.pop().unwrap();
    last.backends = (0..50).map(|n| backend(n, 1)).collect();
    let third = build(&[last], Some(&second));
    assert_eq!(size(&third, large + 1), 2_039);
}

/// Services at random places that may overlap.
fn placed() -> impl Strategy<Value = ServiceSpec> {
    let protocol = prop::sample::select(Protocol::ALL.to_vec());
    (0u32..3, protocol, 0u16..300, prop_oneof![Just(0u16), 0u16..40]).prop_map(
        |(vip, protocol, first, more)| {
            let spec = service(0, SchedulerKind::RoundRobin, &[]);
            ServiceSpec { vip: v4(vip), protocol, ports: first..=first + more, ..spec }
        },
    )
}

proptest! {
    #[test]
    fn find_agrees_with_looking_at_every_service(mut specs in prop::collection::vec(placed(), 0..40)) {
        for (id, spec) in (0..).zip(&mut specs) {
            spec.id = ServiceId(id);
        }
        let hit = |spec: &ServiceSpec, vip, protocol, port: u16| {
            (spec.vip, spec.protocol) == (vip, protocol) && spec.ports.contains(&port)
        };
        let overlaps = |a: &ServiceSpec, b: &ServiceSpec| {
            a.ports.clone().any(|port| hit(b, a.vip, a.protocol, port))
        };
        // The model refuses what overlaps, so the table must, and it must take the rest.
        let mut kept: Vec<ServiceSpec> = Vec::new();
        for spec in &specs {
            if !kept.iter().any(|other| overlaps(spec, other)) {
                kept.push(spec.clone());
            }
        }
        prop_assert_eq!(ServiceTable::build(specs.clone(), [], None).is_ok(), kept.len() == specs.len());
        let table = build(&kept, None);
        for vip in (0..4).map(v4) {
            for protocol in Protocol::ALL {
                for port in 0..350 {
                    let naive = kept.iter().find(|spec| hit(spec, vip, protocol, port)).map(|spec| spec.id);
                    prop_assert_eq!(table.find(vip, protocol, port).map(Service::id), naive);
                }
            }
        }
    }

    /// Two nodes that list backends and number things in their own ways choose alike.
    #[test]
    fn the_order_of_the_list_has_no_part_in_hashing(
        (weights, shuffled) in prop::collection::vec((0u16..5, any::<bool>()), 1..20).prop_flat_map(|list| {
            let order: Vec<usize> = (0..list.len()).collect();
            (Just(list), Just(order).prop_shuffle())
        }),
        source_hash: bool,
    ) {
        let scheduler = if source_hash { SchedulerKind::SourceHash } else { SchedulerKind::Maglev };
        let listed: Vec<u16> = weights.iter().map(|(weight, _)| *weight).collect();
        let mut one = service(1, scheduler, &listed);
        for (backend, (_, available)) in one.backends.iter_mut().zip(&weights) {
            backend.available = *available;
        }
        let mut other = one.clone();
        other.backends = (500..)
            .zip(shuffled)
            .map(|(id, at)| Backend { id: BackendId(id), ..one.backends[at] })
            .collect();
        let (one, other) = (build(&[one], None), build(&[other], None));
        let address = |table: &ServiceTable, n| {
            let chosen = table.service(ServiceId(1)).unwrap().select(&client(n), |_| 0);
            chosen.map(|backend| backend.address)
        };
        for n in 0..200 {
            prop_assert_eq!(address(&one, n), address(&other, n));
        }
    }
}
