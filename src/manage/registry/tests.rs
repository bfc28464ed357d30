//! Services of the file and of the API, one change at a time.

use super::*;
use crate::{
    config::{AllDown, Backend, Machine, PortRange},
    service::ServiceTable,
    types::Duration as Span,
};
use proptest::prelude::*;

const NODE: &str = r#"
[[port]]
name = "lan"
device = "net_null0"
addresses = ["10.77.0.11/24", "fd77::11/64"]
[nat]
local_addresses = ["10.77.0.40", { address = "10.77.0.41", instance = "blue" }, "fd77::40"]
[[ha.instance]]
name = "llb-inst0"
[[ha.instance]]
name = "blue"
[limits]
services = 40
backends = 100
"#;

fn registry() -> Registry {
    let config = Config::parse(NODE, "node.toml", &Machine::with_cores(4)).unwrap();
    Registry::new(&config).unwrap()
}

fn vip(n: u8) -> IpAddr {
    [192, 0, 2, n].into()
}

/// TCP port 80 at `vip(n)` over backends by their last octet.
fn service(n: u8, backends: &[u8]) -> config::Service {
    let backend = |&n: &u8| Backend { address: [10, 77, 0, n].into(), port: Some(8080), weight: 1 };
    config::Service {
        name: format!("s{n}"),
        vip: vip(n),
        port: PortRange::one(80).unwrap(),
        backends: backends.iter().map(backend).collect(),
        ..config::Service::default()
    }
}

fn key(n: u8) -> ServiceKey {
    ServiceKey::of(&service(n, &[]))
}

/// A registry and its clock.
struct World {
    registry: Registry,
    now: Instant,
}

impl World {
    fn new() -> Self {
        Self { registry: registry(), now: Instant::now() }
    }

    fn pass(&mut self, span: Duration) {
        self.now += span;
        self.registry.tick(self.now);
        self.publish();
    }

    fn publish(&mut self) -> bool {
        let settlement = self.registry.settle().unwrap();
        let saves = settlement.saves;
        self.registry.publish(settlement, self.now);
        saves
    }

    fn put(&mut self, service: config::Service) -> Result<Put, Refusal> {
        self.put_from(service, Source::Api)
    }

    fn put_from(&mut self, service: config::Service, source: Source) -> Result<Put, Refusal> {
        let savepoint = self.registry.savepoint();
        let put = self.registry.put(service, None, source, self.now);
        if put.is_err() {
            self.registry.rollback(&savepoint);
        }
        self.publish();
        put
    }

    fn remove(&mut self, n: u8) -> bool {
        let removed = self.registry.remove(&key(n), Source::Api, self.now).unwrap();
        self.publish();
        removed
    }

    fn entry(&self, n: u8) -> Arc<ServiceEntry> {
        Arc::clone(self.registry.service(&key(n)).unwrap())
    }

    /// The slots of a service's backends by their last octet, as workers see them, and whether they take sessions.
    fn backends(&self, n: u8) -> Vec<(u8, u32, bool)> {
        let table = self.registry.table();
        let service = table.service(self.entry(n).id).unwrap();
        let octet = |address| match address {
            IpAddr::V4(v4) => v4.octets()[3],
            IpAddr::V6(v6) => v6.octets()[15],
        };
        service.backends().iter().map(|b| (octet(b.address), b.id.0, b.available)).collect()
    }

    fn found(&self, n: u8) -> Option<ServiceId> {
        self.registry.table().find(vip(n), Protocol::Tcp, 80).map(crate::service::Service::id)
    }
}

#[test]
fn what_stays_keeps_its_slots() {
    let mut world = World::new();
    assert_eq!(world.put(service(1, &[21, 22])), Ok(Put::Created));
    assert_eq!(world.put(service(2, &[23])), Ok(Put::Created));
    let (first, before) = (world.entry(1), world.backends(1));
    assert_eq!(world.put(service(1, &[21, 22])), Ok(Put::Unchanged));
    let mut heavier = service(1, &[21, 22]);
    heavier.backends[1].weight = 5;
    assert_eq!(world.put(heavier), Ok(Put::Replaced));
    assert_eq!((world.entry(1).id, world.backends(1)), (first.id, before.clone()));
    // One more, in front of the others.
    assert_eq!(world.put(service(1, &[24, 21, 22])), Ok(Put::Replaced));
    assert_eq!(world.backends(1)[1..], before[..]);
    assert_eq!(world.registry.published().load().len(), 2);
}

#[test]
fn a_removed_backend_drains_until_its_deadline() {
    let mut world = World::new();
    let mut wanted = service(1, &[21, 22]);
    wanted.drain_timeout = Span::from_secs(60);
    world.put(wanted.clone()).unwrap();
    let before = world.backends(1);
    wanted.backends.pop();
    world.put(wanted.clone()).unwrap();
    assert_eq!(world.backends(1), [before[0], (22, before[1].1, false)]);
    assert_eq!(world.entry(1).wanted.backends.len(), 1);
    // It drains on while the service changes in other ways.
    world.pass(Duration::from_secs(59));
    wanted.idle_timeout = Span::from_secs(7);
    world.put(wanted.clone()).unwrap();
    assert_eq!(world.backends(1).len(), 2);
    world.pass(Duration::from_secs(1));
    assert_eq!(world.backends(1), [before[0]]);
    assert_eq!(world.registry.next_deadline(), None);
    // Back again, it is another: its slot rests.
    world.put(service(1, &[21, 22])).unwrap();
    assert_ne!(world.backends(1)[1].1, before[1].1);
    // Before its deadline it comes back as itself.
    let slots = world.backends(1);
    world.put(service(1, &[21])).unwrap();
    world.pass(Duration::from_secs(100));
    world.put(service(1, &[21, 22])).unwrap();
    assert_eq!(world.backends(1), slots);
    assert_eq!(world.registry.next_deadline(), None);
    // Without a drain time it is gone at once.
    let mut hasty = service(1, &[21]);
    hasty.drain_timeout = Span::ZERO;
    world.put(hasty).unwrap();
    assert_eq!(world.backends(1), [slots[0]]);
}

#[test]
fn an_operator_drains_a_backend_and_takes_it_back() {
    let mut world = World::new();
    world.put(service(1, &[21, 22])).unwrap();
    let slots = world.backends(1);
    let address = slots[0];
    let until = world.now + Duration::from_secs(10);
    let host = IpAddr::from([10, 77, 0, address.0]);
    assert_eq!(world.registry.drain(&key(1), (host, None), Some(until)), Ok(1));
    assert!(world.publish(), "it is kept over a restart");
    assert_eq!(world.backends(1), [(21, slots[0].1, false), slots[1]]);
    // An identical rule does not take it back.
    assert_eq!(world.put(service(1, &[21, 22])), Ok(Put::Unchanged));
    world.pass(Duration::from_secs(10));
    assert_eq!(world.backends(1), [slots[1]], "its sessions end");
    assert_eq!(world.entry(1).backends.len(), 2, "it is still listed");
    assert_eq!(world.registry.drain(&key(1), (host, Some(8080)), None), Ok(1));
    world.publish();
    assert_eq!(world.backends(1), slots);
    for (place, port) in [([10, 77, 0, 29], None), ([10, 77, 0, 21], Some(81))] {
        let refused = world.registry.drain(&key(1), (place.into(), port), None).unwrap_err();
        assert_eq!(refused.kind(), RefusalKind::NotFound);
    }
    assert_eq!(world.registry.drain(&key(2), (host, None), None).unwrap_err().kind(), RefusalKind::NotFound);
}

#[test]
fn a_service_that_comes_back_at_once_is_the_same() {
    let mut world = World::new();
    world.put(service(1, &[21, 22])).unwrap();
    let (id, slots) = (world.entry(1).id, world.backends(1));
    assert!(world.remove(1) && !world.remove(1));
    assert_eq!(world.found(1), None);
    assert!(world.registry.table().service(id).is_some(), "its sessions go on");
    world.pass(Duration::from_millis(1_999));
    assert_eq!(world.put(service(1, &[21, 23])), Ok(Put::Created));
    assert_eq!(world.entry(1).id, id);
    assert_eq!(world.backends(1)[0], slots[0]);
    assert_eq!(world.backends(1)[2], (22, slots[1].1, false), "what it lists no more drains");
    world.remove(1);
    world.pass(Duration::from_secs(2));
    assert!(world.registry.table().service(id).is_none());
    assert_eq!(world.put(service(1, &[21, 22])), Ok(Put::Created));
    assert_ne!(world.entry(1).id, id);
}

#[test]
fn the_file_s_services_are_changed_in_the_file() {
    let mut world = World::new();
    world.registry.replace(vec![service(1, &[21]), service(2, &[22])], world.now).unwrap();
    assert_eq!(world.put(service(1, &[21])), Ok(Put::Unchanged));
    let mut same = service(1, &[21]);
    same.name = "default_web:llb-inst0".into();
    assert_eq!(world.put(same), Ok(Put::Unchanged));
    let refused = world.put(service(1, &[22])).unwrap_err();
    assert_eq!((refused.kind(), refused.to_string().contains("SIGHUP")), (RefusalKind::Conflict, true));
    assert_eq!(
        world.registry.remove(&key(1), Source::Api, world.now).unwrap_err().kind(),
        RefusalKind::Conflict
    );
    // The file may take over what the API created, and keeps its sessions.
    world.put(service(3, &[23])).unwrap();
    let id = world.entry(3).id;
    world.registry.replace(vec![service(3, &[23]), service(1, &[21])], world.now).unwrap();
    assert_eq!((world.entry(3).id, world.entry(3).source), (id, Source::File));
    assert_eq!(world.registry.services().count(), 2);
}

#[test]
fn a_reload_is_a_difference() {
    let mut world = World::new();
    world.put(service(9, &[29])).unwrap();
    let services: Vec<_> = (1..=4).map(|n| service(n, &[20 + n])).collect();
    world.registry.replace(services.clone(), world.now).unwrap();
    let before: Vec<_> = [1, 2, 3, 4, 9].map(|n| world.entry(n)).into();
    // Two change places, one goes, one loses a backend.
    let mut next = services.clone();
    (next[0].vip, next[1].vip) = (vip(2), vip(1));
    (next[0].name, next[1].name) = ("s2".into(), "s1".into());
    next.remove(3);
    next[2].backends = vec![];
    world.registry.replace(next.clone(), world.now).unwrap();
    assert_eq!([1, 2, 3].map(|n| world.entry(n).id), [before[0].id, before[1].id, before[2].id]);
    assert!(Arc::ptr_eq(&world.entry(9), &before[4]));
    assert_eq!(world.found(4), None);
    assert_eq!(world.backends(3), [(23, before[2].backends[0].id.0, false)]);
    // The same again is nothing.
    let table = world.registry.table();
    world.registry.replace(next.clone(), world.now).unwrap();
    assert!(Arc::ptr_eq(&table, &world.registry.table()));
    // All that is wrong is said, and nothing changes.
    (next[0].vip, next[0].port) = (vip(9), PortRange::new(80, 81).unwrap());
    next[1].backends = service(1, &[11]).backends;
    let refusals = world.registry.replace(next, world.now).unwrap_err().to_string();
    assert_eq!(refusals.lines().count(), 2, "{refusals}");
    assert!(Arc::ptr_eq(&table, &world.registry.table()));
    assert!(refusals.starts_with("service s2: 192.0.2.9 tcp port 80 is taken by service s9: "), "{refusals}");
}

#[test]
fn what_does_not_fit_is_refused_in_words() {
    type Change = fn(&mut config::Service);
    let cases: [(Change, RefusalKind, &str); 16] = [
        (
            |s| (s.vip, s.port) = (vip(1), PortRange::new(70, 90).unwrap()),
            RefusalKind::Conflict,
            "192.0.2.1 tcp port 80 is taken by service s1: ",
        ),
        (
            |s| s.secondary_vips = vec![vip(7), vip(2)],
            RefusalKind::Conflict,
            "192.0.2.2 tcp port 80 is taken by service s2: ",
        ),
        (|s| s.secondary_vips = vec![vip(7), vip(7)], RefusalKind::Malformed, "192.0.2.7 is listed twice: "),
        (
            |s| s.name = "s2".into(),
            RefusalKind::Conflict,
            "the name s2 is taken by the service at 192.0.2.2 tcp port 80: ",
        ),
        (
            |s| s.instance = "red".into(),
            RefusalKind::Malformed,
            "instance red is not configured: use llb-inst0 or blue",
        ),
        (
            |s| (s.vip, s.port, s.instance) = (vip(2), PortRange::one(81).unwrap(), "blue".into()),
            RefusalKind::Malformed,
            "192.0.2.2 belongs to instance llb-inst0 by service s2: ",
        ),
        (
            |s| (s.vip, s.instance, s.backends) = ("fd00::1".parse().unwrap(), "blue".into(), vec![]),
            RefusalKind::Malformed,
            "fd00::1 has no local address to reach backends from: add an IPv6 address of instance blue ",
        ),
        (
            |s| s.vip = [10, 77, 0, 11].into(),
            RefusalKind::Malformed,
            "10.77.0.11 is this node's own address: ",
        ),
        (
            |s| s.vip = [10, 77, 0, 40].into(),
            RefusalKind::Malformed,
            "10.77.0.40 is one of nat.local_addresses: ",
        ),
        (
            |s| s.vip = [10, 77, 0, 255].into(),
            RefusalKind::Malformed,
            "10.77.0.255 cannot be a virtual address: it is no host in the subnet 10.77.0.0/24",
        ),
        (
            |s| s.vip = [224, 0, 0, 1].into(),
            RefusalKind::Malformed,
            "224.0.0.1 cannot be a virtual address: it is the address of no single host",
        ),
        (|s| s.vip = [10, 77, 0, 22].into(), RefusalKind::Malformed, "10.77.0.22 is a backend's address: "),
        (
            |s| s.backends[0].address = vip(2),
            RefusalKind::Malformed,
            "192.0.2.2 is the virtual address of service s2: ",
        ),
        (
            |s| s.backends[0].address = "fd77::21".parse().unwrap(),
            RefusalKind::Malformed,
            "fd77::21 cannot be a backend of this service: 192.0.2.5 is IPv4, ",
        ),
        (|s| s.backends.push(s.backends[0].clone()), RefusalKind::Malformed, "10.77.0.25 is listed twice: "),
        (
            |s| s.allowed_sources = vec!["fd00::/8".parse().unwrap()],
            RefusalKind::Malformed,
            "fd00::/8 cannot be a source of this service: 192.0.2.5 is IPv4, ",
        ),
    ];
    let mut world = World::new();
    for n in [1, 2] {
        world.put(service(n, &[20 + n])).unwrap();
    }
    let table = world.registry.table();
    for (change, kind, text) in cases {
        let mut wanted = service(5, &[25]);
        change(&mut wanted);
        let refused = world.put(wanted).unwrap_err();
        assert_eq!(refused.kind(), kind, "{refused}");
        assert!(refused.to_string().starts_with(text), "{refused}");
        assert!(!refused.to_string().contains("exist"), "{refused}");
        assert!(Arc::ptr_eq(&table, &world.registry.table()));
    }
}

#[test]
fn limits_hold_and_refusals_keep_no_slots() {
    let mut world = World::new();
    for round in 0..3 {
        for n in 0..40 {
            world.put(service(n, &[20])).unwrap();
        }
        assert_eq!(world.put(service(200, &[20])), Err(Refusal::Full { what: "services" }), "{round}");
        let many: Vec<u8> = (100..190).collect();
        for _ in 0..100 {
            assert_eq!(world.put(service(1, &many)), Err(Refusal::Full { what: "backends" }));
        }
        for n in 0..40 {
            world.remove(n);
        }
        world.pass(GRACE);
    }
}

#[test]
fn a_host_that_is_down_gets_no_sessions_wherever_it_is_listed() {
    let mut world = World::new();
    world.put(service(1, &[21, 22])).unwrap();
    let host = IpAddr::from([10, 77, 0, 21]);
    world.registry.set_host(host, 8080, Protocol::Tcp, false);
    assert!(!world.publish(), "the host's state is saved elsewhere");
    world.put(service(2, &[21])).unwrap();
    let available = |world: &World, n| world.backends(n).iter().map(|b| b.2).collect::<Vec<_>>();
    assert_eq!((available(&world, 1), available(&world, 2)), (vec![false, true], vec![false]));
    // Health is another matter: both must be good.
    let id = world.entry(1).backends[1].id;
    world.registry.set_healthy(&key(1), id, false);
    world.registry.set_host(host, 8080, Protocol::Tcp, true);
    world.publish();
    assert_eq!((available(&world, 1), available(&world, 2)), (vec![true, false], vec![true]));
    world.registry.set_healthy(&key(1), id, true);
    let savepoint = world.registry.savepoint();
    world.registry.set_host(host, 8080, Protocol::Tcp, false);
    world.registry.rollback(&savepoint);
    world.publish();
    world.put(service(3, &[21])).unwrap();
    assert_eq!((available(&world, 1), available(&world, 3)), (vec![true, true], vec![true]));
}

/// The backends workers know, and whether each takes new sessions.
fn known(world: &World, n: u8) -> Vec<(BackendId, bool)> {
    let table = world.registry.table();
    let service = table.service(world.entry(n).id).unwrap();
    service.backends().iter().map(|backend| (backend.id, backend.available)).collect()
}

#[test]
fn backends_that_are_down_keep_their_sessions_unless_they_are_to_be_reset() {
    let mut world = World::new();
    let mut resetting = service(2, &[21, 22]);
    resetting.health.reset_on_down = true;
    world.put(service(1, &[21, 22])).unwrap();
    world.put(resetting).unwrap();
    for n in [1, 2] {
        let id = world.entry(n).backends[0].id;
        assert!(world.registry.set_healthy(&key(n), id, false), "that is news");
        assert!(!world.registry.set_healthy(&key(n), id, false), "once");
    }
    assert!(!world.publish(), "and nothing for the state file");
    // Workers end the sessions of backends they do not know.
    let ids = |n| world.entry(n).backends.iter().map(|backend| backend.id).collect::<Vec<_>>();
    let (one, two) = (ids(1), ids(2));
    assert_eq!(known(&world, 1), [(one[0], false), (one[1], true)]);
    assert_eq!(known(&world, 2), [(two[1], true)]);
    world.registry.set_healthy(&key(2), two[0], true);
    world.publish();
    assert_eq!(known(&world, 2), [(two[0], true), (two[1], true)], "it has its slot again");
}

#[test]
fn when_all_are_down_a_service_refuses_or_uses_all() {
    let mut world = World::new();
    let mut trusting = service(2, &[21, 22]);
    trusting.health.all_down = AllDown::UseAll;
    trusting.health.reset_on_down = true;
    world.put(service(1, &[21, 22])).unwrap();
    world.put(trusting).unwrap();
    for n in [1, 2] {
        let ids: Vec<BackendId> = world.entry(n).backends.iter().map(|backend| backend.id).collect();
        for id in &ids {
            world.registry.set_healthy(&key(n), *id, false);
        }
        world.publish();
        assert_eq!(known(&world, n), ids.iter().map(|id| (*id, n == 2)).collect::<Vec<_>>());
    }
    // What an operator drains is not used, whatever the probes say.
    let until = world.now + Duration::from_secs(60);
    world.registry.drain(&key(2), ([10, 77, 0, 21].into(), None), Some(until)).unwrap();
    world.publish();
    assert_eq!(known(&world, 2).iter().map(|(_, available)| *available).collect::<Vec<_>>(), [false, true]);
}

#[test]
fn names_are_made_unique() {
    let mut world = World::new();
    let mut first = service(1, &[21]);
    first.name = "default_lb:llb-inst0".into();
    world.put(first).unwrap();
    let registry = &world.registry;
    assert_eq!(registry.free_name("default_lb:llb-inst0", &key(1)), "default_lb:llb-inst0");
    assert_eq!(registry.free_name("default_lb:llb-inst0", &key(2)), "default_lb:llb-inst0-tcp-192.0.2.2-80");
    assert_eq!(registry.free_name("", &key(2)), "tcp-192.0.2.2-80");
    let long = "x".repeat(128);
    let mut second = service(2, &[21]);
    second.name.clone_from(&long);
    world.put(second).unwrap();
    let name = world.registry.free_name(&long, &key(3));
    assert!(name.len() <= 128 && name != long);
}

#[test]
fn what_is_not_saved_is_not_served() {
    let mut world = World::new();
    world.put(service(1, &[21, 22])).unwrap();
    world.put(service(2, &[23])).unwrap();
    let (table, slots) = (world.registry.table(), world.backends(1));
    let now = world.now;
    world.registry.put(service(1, &[21, 24]), None, Source::Api, now).unwrap();
    world.registry.put(service(3, &[25]), None, Source::Api, now).unwrap();
    world.registry.remove(&key(2), Source::Api, now).unwrap();
    let settlement = world.registry.settle().unwrap();
    assert!(settlement.saves && settlement.changes.len() == 3);
    world.registry.revert(settlement);
    assert!(Arc::ptr_eq(&table, &world.registry.table()));
    assert!(!world.publish());
    // And the next change builds on what was.
    assert_eq!(world.put(service(4, &[26])), Ok(Put::Created));
    assert_eq!((world.backends(1), world.found(2), world.found(3)), (slots, Some(world.entry(2).id), None));
}

#[derive(Clone, Debug)]
enum Step {
    Put(u8, Vec<u8>, bool),
    Remove(u8, bool),
    Drain(u8, u8, u64),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let backends =
        prop::collection::btree_set(21u8..26, 0..4).prop_map(|set| set.into_iter().collect::<Vec<_>>());
    prop_oneof![
        5 => (1u8..5, backends, any::<bool>()).prop_map(|(n, backends, file)| Step::Put(n, backends, file)),
        2 => (1u8..5, any::<bool>()).prop_map(|(n, file)| Step::Remove(n, file)),
        1 => (1u8..5, 21u8..26, 1u64..400).prop_map(|(n, backend, seconds)| Step::Drain(n, backend, seconds)),
        2 => (0u64..400).prop_map(Step::Pass),
    ]
}

/// What workers see of every service: by slot, so that nobody's sessions are taken for another's.
fn slots(table: &ServiceTable) -> Vec<(u32, Vec<u32>)> {
    let of = |service: &crate::service::Service| {
        (service.id().0, service.backends().iter().map(|backend| backend.id.0).collect())
    };
    table.services().map(of).collect()
}

proptest! {
    /// Whatever is done and whatever fails to be saved: slots are never shared, and what was reverted leaves no
    /// trace.
    #[test]
    fn any_steps_keep_slots_apart(steps in prop::collection::vec((step(), any::<bool>()), 1..60)) {
        let mut world = World::new();
        for (step, saved) in steps {
            let before = slots(&world.registry.table());
            let listed: Vec<_> = world.registry.services().map(|entry| entry.wanted.clone()).collect();
            let source = |file| if file { Source::File } else { Source::Api };
            let now = world.now;
            let savepoint = world.registry.savepoint();
            let done = match step {
                Step::Put(n, backends, file) => {
                    world.registry.put(service(n, &backends), None, source(file), now).map(|_| ())
                }
                Step::Remove(n, file) => world.registry.remove(&key(n), source(file), now).map(|_| ()),
                Step::Drain(n, backend, seconds) => {
                    let until = now + Duration::from_secs(seconds);
                    world.registry.drain(&key(n), ([10, 77, 0, backend].into(), None), Some(until)).map(|_| ())
                }
                Step::Pass(seconds) => {
                    world.pass(Duration::from_secs(seconds));
                    Ok(())
                }
            };
            let passed = now != world.now;
            if done.is_err() {
                world.registry.rollback(&savepoint);
            }
            let settlement = world.registry.settle().unwrap();
            if saved {
                world.registry.publish(settlement, world.now);
            } else {
                world.registry.revert(settlement);
            }
            if !passed && (done.is_err() || !saved) {
                prop_assert_eq!(&slots(&world.registry.table()), &before);
                let left: Vec<_> = world.registry.services().map(|entry| entry.wanted.clone()).collect();
                prop_assert_eq!(left, listed);
            }
            let table = world.registry.table();
            let mut backends: Vec<u32> = slots(&table).into_iter().flat_map(|(_, backends)| backends).collect();
            let count = backends.len();
            backends.sort_unstable();
            backends.dedup();
            prop_assert_eq!(backends.len(), count);
            for entry in world.registry.services() {
                let found = table.find(entry.wanted.vip, Protocol::Tcp, 80).map(crate::service::Service::id);
                prop_assert_eq!(found, Some(entry.id));
            }
        }
    }
}
