//! One table after the other, against tables built from nothing.

use super::*;
use crate::{
    service::Client,
    types::{BackendId, Duration, InstanceId, PortId, Protocol},
};
use proptest::prelude::*;
use std::ops::RangeInclusive;

fn v4(n: u32) -> IpAddr {
    (0x0a00_0000 + n).to_be_bytes().into()
}

/// TCP port 80 at an address of its own, with backends of these weights.
fn service(id: u32, scheduler: SchedulerKind, weights: &[u16]) -> ServiceSpec {
    let backend = |(n, &weight): (u32, &u16)| Backend {
        id: BackendId(id * 100 + n),
        address: v4(0x77_0000 + id * 100 + n),
        port: Some(8080),
        weight,
        available: true,
    };
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
        backends: (0..).zip(weights).map(backend).collect(),
    }
}

fn builder() -> TableBuilder {
    let own = [(v4(0xff_0001), Role::Node(PortId(0))), (v4(0xff_0002), Role::Local(InstanceId(0)))];
    TableBuilder::new(own).unwrap()
}

fn puts(specs: &[ServiceSpec]) -> Vec<Change> {
    specs.iter().cloned().map(Change::Put).collect()
}

fn found(table: &ServiceTable, vip: u32, port: u16) -> Option<u32> {
    table.find(v4(vip), Protocol::Tcp, port).map(|service| service.id().0)
}

#[test]
fn what_does_not_change_is_the_same_object() {
    let mut builder = builder();
    let specs: Vec<_> = (1..=3).map(|id| service(id, SchedulerKind::Maglev, &[1, 1])).collect();
    let first = builder.apply(puts(&specs)).unwrap();
    let mut changed = specs[1].clone();
    changed.backends[0].available = false;
    let second = builder.apply(vec![Change::Put(changed), Change::Put(specs[2].clone())]).unwrap();
    let same = |id: u32| {
        let of = |table: &ServiceTable| std::ptr::from_ref(table.service(ServiceId(id)).unwrap());
        of(&first) == of(&second)
    };
    assert!(same(1) && !same(2) && same(3));
    assert!(Arc::ptr_eq(&first.addresses, &second.addresses));
    assert_eq!(second.ring_usage().0, 3);
}

#[test]
fn a_retired_service_listens_no_more_and_is_there_for_its_sessions() {
    let mut builder = builder();
    let spec = service(1, SchedulerKind::Maglev, &[1, 1]);
    let served = builder.apply(puts(&[spec.clone(), service(2, SchedulerKind::Maglev, &[1])])).unwrap();
    let retired = builder.apply(vec![Change::Retire(spec.clone())]).unwrap();
    assert_eq!((found(&retired, 1, 80), found(&retired, 2, 80)), (None, Some(2)));
    assert_eq!(retired.role(v4(1)), None);
    assert!(retired.service(ServiceId(1)).unwrap().backend(BackendId(100)).is_some());
    // It comes back as it was, ring and all.
    let back = builder.apply(puts(std::slice::from_ref(&spec))).unwrap();
    assert_eq!(found(&back, 1, 80), Some(1));
    let of = |table: &ServiceTable| std::ptr::from_ref(table.service(ServiceId(1)).unwrap());
    assert_eq!(of(&served), of(&back));
    // And another may listen there while it is retired.
    builder.apply(vec![Change::Retire(spec)]).unwrap();
    let mut other = service(3, SchedulerKind::RoundRobin, &[1]);
    other.vip = v4(1);
    let other = builder.apply(puts(&[other])).unwrap();
    assert_eq!(found(&other, 1, 80), Some(3));
    let gone = builder.apply(vec![Change::Remove(ServiceId(1)), Change::Remove(ServiceId(3))]).unwrap();
    assert!(gone.service(ServiceId(1)).is_none() && gone.role(v4(1)).is_none());
    assert_eq!(gone.services().map(|service| service.id().0).collect::<Vec<_>>(), [2]);
}

#[test]
fn second_addresses_serve_the_same() {
    let mut builder = builder();
    let mut spec = service(1, SchedulerKind::RoundRobin, &[1, 1]);
    spec.secondary_vips = vec![v4(11), v4(12)];
    let table = builder.apply(puts(std::slice::from_ref(&spec))).unwrap();
    for vip in [1, 11, 12] {
        assert_eq!((found(&table, vip, 80), found(&table, vip, 81)), (Some(1), None));
        assert_eq!(table.role(v4(vip)), Some(Role::Vip(InstanceId(0))));
    }
    // One rotation for all.
    let client = Client { flow: 1, source: v4(77) };
    let pick = |vip| table.find(v4(vip), Protocol::Tcp, 80).unwrap().select(&client, |_| 0).unwrap().id.0;
    assert_eq!([pick(1), pick(11), pick(12)], [100, 101, 100]);
    spec.secondary_vips.remove(0);
    let table = builder.apply(puts(std::slice::from_ref(&spec))).unwrap();
    assert_eq!((found(&table, 11, 80), found(&table, 12, 80)), (None, Some(1)));
    spec.secondary_vips = vec!["fd00::1".parse().unwrap()];
    let error = builder.apply(puts(&[spec])).unwrap_err().to_string();
    assert!(error.starts_with("service s1 at 10.0.0.1 has the address fd00::1: "), "{error}");
}

#[test]
fn a_refused_change_changes_nothing() {
    let mut builder = builder();
    let specs = [service(1, SchedulerKind::Maglev, &[1, 1]), service(2, SchedulerKind::Maglev, &[1, 1])];
    builder.apply(puts(&specs)).unwrap();
    let mut same_place = service(3, SchedulerKind::Maglev, &[1]);
    same_place.vip = v4(2);
    let mut own = service(3, SchedulerKind::Maglev, &[1]);
    own.vip = v4(0xff_0001);
    let mut other_instance = service(3, SchedulerKind::Maglev, &[1]);
    (other_instance.vip, other_instance.ports, other_instance.instance) = (v4(2), 81..=81, InstanceId(1));
    for (spec, expected) in [
        (same_place, "services s2 and s3 both claim 10.0.0.2 tcp port 80: "),
        (
            own,
            "10.255.0.1 is a virtual address of instance 0 (service s3) and this node's own address on port 0: ",
        ),
        (other_instance, "services s2 and s3 claim 10.0.0.2 for different instances: "),
    ] {
        let changes = vec![Change::Remove(ServiceId(1)), Change::Put(spec)];
        let error = builder.apply(changes).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
        assert_eq!((found(builder.table(), 1, 80), found(builder.table(), 2, 80)), (Some(1), Some(2)));
    }
    assert_eq!(builder.apply(Vec::new()).unwrap().services().count(), 2);
}

#[test]
fn limits_are_kept_change_by_change() {
    let mut builder = builder();
    let all: Vec<_> =
        (0..MAX_SERVICES as u32).map(|id| service(id, SchedulerKind::RoundRobin, &[])).collect();
    builder.apply(puts(&all)).unwrap();
    let mut last = all[0].clone();
    last.id = ServiceId(MAX_SERVICES as u32);
    assert!(matches!(builder.apply(puts(&[last])), Err(BuildError::SlotTooHigh { .. })));
    // One goes and one comes in its slot.
    let mut next = all[7].clone();
    next.vip = v4(0x70_0000);
    let table = builder.apply(puts(&[next])).unwrap();
    assert_eq!((found(&table, 0x70_0000, 80), found(&table, 7, 80)), (Some(7), None));
    assert_eq!(table.services().count(), MAX_SERVICES);
}

#[derive(Clone, Debug)]
enum Step {
    Put(u32, u32, Option<u32>, RangeInclusive<u16>, u8, Vec<u16>),
    Retire(u32),
    Remove(u32),
}

fn step() -> impl Strategy<Value = Step> {
    let put = (
        0u32..8,
        0u32..4,
        prop::option::of(4u32..7),
        (1u16..50, 0u16..20),
        0u8..5,
        prop::collection::vec(0u16..3, 0..4),
    );
    prop_oneof![
        6 => put.prop_map(|(id, vip, second, (first, more), scheduler, weights)| {
            Step::Put(id, vip, second, first..=first + more, scheduler, weights)
        }),
        1 => (0u32..8).prop_map(Step::Retire),
        2 => (0u32..8).prop_map(Step::Remove),
    ]
}

fn spec_of(
    id: u32,
    vip: u32,
    second: Option<u32>,
    ports: RangeInclusive<u16>,
    kind: u8,
    weights: &[u16],
) -> ServiceSpec {
    let mut spec = service(id, SchedulerKind::ALL[usize::from(kind)], weights);
    (spec.vip, spec.ports) = (v4(vip), ports);
    spec.secondary_vips = second.map(v4).into_iter().collect();
    spec
}

proptest! {
    /// After any steps, in any batches, the table finds and chooses like one built of the same services at once.
    #[test]
    fn steps_lead_where_building_leads(batches in prop::collection::vec(prop::collection::vec(step(), 1..4), 1..25)) {
        let mut builder = builder();
        let mut model: HashMap<u32, (ServiceSpec, bool)> = HashMap::new();
        for batch in batches {
            let mut next = model.clone();
            let mut changes: HashMap<u32, Change> = HashMap::new();
            for step in batch {
                match step {
                    Step::Put(id, vip, second, ports, kind, weights) => {
                        let spec = spec_of(id, vip, second, ports, kind, &weights);
                        next.insert(id, (spec.clone(), true));
                        changes.insert(id, Change::Put(spec));
                    }
                    Step::Retire(id) if model.contains_key(&id) => {
                        let (spec, _) = model[&id].clone();
                        next.insert(id, (spec.clone(), false));
                        changes.insert(id, Change::Retire(spec));
                    }
                    Step::Remove(id) => {
                        next.remove(&id);
                        changes.insert(id, Change::Remove(ServiceId(id)));
                    }
                    Step::Retire(_) => {}
                }
            }
            let listening = |model: &HashMap<u32, (ServiceSpec, bool)>| -> Vec<ServiceSpec> {
                model.values().filter(|(_, listens)| *listens).map(|(spec, _)| spec.clone()).collect()
            };
            let built = ServiceTable::build(listening(&next), [], None);
            let applied = builder.apply(changes.into_values().collect());
            prop_assert_eq!(built.is_ok(), applied.is_ok(), "{:?} {:?}", built.err(), applied.err());
            if applied.is_ok() {
                model = next;
            }
            let built = ServiceTable::build(listening(&model), [], None).unwrap();
            let table = builder.table();
            for vip in 0..8 {
                prop_assert_eq!(table.role(v4(vip)), built.role(v4(vip)));
                for port in 0..75 {
                    prop_assert_eq!(found(table, vip, port), found(&built, vip, port));
                }
            }
            prop_assert_eq!(table.services().count(), model.len());
            for service in built.services() {
                let client = Client { flow: u64::from(service.id().0) << 33, source: v4(5) };
                let same = table.service(service.id()).unwrap();
                prop_assert_eq!(same.spec(), service.spec());
                if !matches!(service.spec().scheduler, SchedulerKind::RoundRobin | SchedulerKind::WeightedRoundRobin) {
                    prop_assert_eq!(same.select(&client, |_| 0), service.select(&client, |_| 0));
                }
            }
        }
    }
}
