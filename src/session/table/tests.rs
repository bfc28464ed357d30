use super::*;
use crate::{
    packet::{V4, V6},
    types::{BackendId, InstanceId, ServiceId},
};
use proptest::prelude::*;
use std::{collections::HashMap, net::IpAddr};

const KEY: HashKey = HashKey::new([0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210]);

fn address(family: u8, host: u32) -> IpAddr {
    match family {
        4 => std::net::Ipv4Addr::from_bits(0x0a00_0000 | host).into(),
        _ => std::net::Ipv6Addr::from_bits(0xfd00 << 112 | u128::from(host)).into(),
    }
}

fn session<F: Family>(family: u8, client: u32, port: u16, local_port: u16) -> Session<F> {
    let inbound = Tuple::new((address(family, client), port), (address(family, 1), 80)).unwrap();
    let outbound = Tuple::new((address(family, 2), 8080), (address(family, 3), local_port)).unwrap();
    let ids = (ServiceId(1), BackendId(2), InstanceId(0));
    Session::new(inbound, outbound, Protocol::Tcp, ids, 0)
}

fn look<F: Family>(table: &Table<F>, session: &Session<F>, direction: Direction) -> Option<Reference> {
    let tuple = session.arriving(direction);
    table.find(table.hash(&tuple, Protocol::Tcp), &tuple, Protocol::Tcp)
}

/// Whether the home bucket leads to the session, and whether it or the second does.
fn batched<F: Family>(table: &mut Table<F>, session: &Session<F>, direction: Direction) -> (bool, bool) {
    let tuple = session.arriving(direction);
    let hash = table.hash(&tuple, Protocol::Tcp);
    table.prefetch(hash);
    let candidate = table.candidate(hash);
    let at_home = table.confirm(candidate, &tuple, Protocol::Tcp).is_some();
    if candidate != Reference::NONE || !table.prefetch_second(hash) {
        return (at_home, at_home);
    }
    let candidate = table.second_candidate(hash);
    (at_home, table.confirm(candidate, &tuple, Protocol::Tcp).is_some())
}

fn fills_to_the_last_session<F: Family>(family: u8) {
    let capacity = 60_000;
    let mut table = Table::<F>::new(Storage::heap(capacity), KEY);
    let sessions: Vec<_> =
        (0..capacity as u32).map(|n| session::<F>(family, n + 10, n as u16, n as u16)).collect();
    for session in &sessions {
        table.insert(*session).unwrap();
    }
    assert!(table.len() == capacity && table.is_full());
    assert_eq!(table.insert(session(family, 9, 9, 65535)), Err(Full));
    let (mut at_home, mut batched_found) = (0, 0);
    for session in &sessions {
        for direction in [Direction::Inbound, Direction::Outbound] {
            let reference = look(&table, session, direction).unwrap();
            assert_eq!(reference.direction(), direction);
            let (home, either) = batched(&mut table, session, direction);
            at_home += u32::from(home);
            batched_found += u32::from(either);
        }
    }
    assert!(at_home > 114_000, "of 120,000 tuples {at_home} were found in their home bucket at once");
    assert!(
        batched_found > 119_600,
        "of 120,000 tuples {batched_found} were found in one of their buckets at once"
    );
    let absent = session::<F>(family, 5, 5, 65000);
    assert_eq!(look(&table, &absent, Direction::Inbound), None);
    for session in &sessions {
        let reference = look(&table, session, Direction::Outbound).unwrap();
        table.remove(reference);
        table.remove(reference);
    }
    assert!(table.is_empty());
    assert!(table.buckets.iter().all(|bucket| bucket.head == [0; HEAD]));
    table.insert(sessions[7]).unwrap();
    assert!(look(&table, &sessions[7], Direction::Inbound).is_some());
}

#[test]
fn ipv4_fills_to_the_last_session() {
    fills_to_the_last_session::<V4>(4);
}

#[test]
fn ipv6_fills_to_the_last_session() {
    fills_to_the_last_session::<V6>(6);
}

#[test]
fn memory_a_session_is_within_the_target() {
    let sessions = 1_000_000;
    let bytes = sessions * (size_of::<Session<V4>>() + 4)
        + Storage::<V4>::buckets_for(sessions) * size_of::<Bucket>();
    assert!(bytes / sessions <= 83, "{} bytes", bytes / sessions);
}

#[test]
fn ageing_goes_round_and_removes_what_is_over() {
    let mut table = Table::<V4>::new(Storage::heap(100), KEY);
    for n in 0..100 {
        let mut session = session::<V4>(4, n + 10, 1, n as u16);
        session.last_seen_ms = n;
        table.insert(session).unwrap();
    }
    let mut ended = Vec::new();
    for _ in 0..10 {
        table.age(10, |session| {
            let over = session.idle_ms(100) > 50;
            ended.extend(over.then_some(session.last_seen_ms));
            over
        });
    }
    assert_eq!(ended, (0..50).collect::<Vec<_>>());
    assert_eq!(table.len(), 50);
    let (rest, next) = table.scan(0, 1000);
    assert_eq!((rest.count(), next), (50, None));
    let (part, next) = table.scan(50, 10);
    assert_eq!((part.count(), next), (10, Some(60)));
}

#[derive(Clone, Debug)]
enum Step {
    Insert(u8),
    Remove(u8),
    Look(u8),
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Against a map, in a table so small that buckets overflow all the time.
    #[test]
    fn behaves_like_a_map(steps in prop::collection::vec(
        (0..3, any::<u8>()).prop_map(|(kind, n)| match kind { 0 => Step::Insert(n), 1 => Step::Remove(n), _ => Step::Look(n) }),
        0..2000,
    )) {
        let storage = Storage { buckets: Vec::leak(vec![Bucket::default(); 13]), sessions: Vec::leak(vec![Session::free(); 70]) };
        let mut table = Table::<V4>::new(storage, KEY);
        let mut model = HashMap::new();
        for step in steps {
            match step {
                Step::Insert(n) if !model.contains_key(&n) => {
                    let session = session::<V4>(4, u32::from(n) + 10, u16::from(n), u16::from(n) + 1000);
                    if table.insert(session).is_ok() {
                        model.insert(n, session);
                    } else {
                        prop_assert!(model.len() > 50, "refused at {}", model.len());
                    }
                }
                Step::Insert(_) => {}
                Step::Remove(n) => if let Some(session) = model.remove(&n) {
                    let reference = look(&table, &session, Direction::Outbound);
                    prop_assert!(reference.is_some());
                    table.remove(reference.unwrap());
                }
                Step::Look(n) => {
                    let probe = session::<V4>(4, u32::from(n) + 10, u16::from(n), u16::from(n) + 1000);
                    for direction in [Direction::Inbound, Direction::Outbound] {
                        prop_assert_eq!(look(&table, &probe, direction).is_some(), model.contains_key(&n));
                    }
                }
            }
            prop_assert_eq!(table.len(), model.len());
        }
        let spilled: u32 = table.buckets.iter().map(|bucket| bucket.spilled()).sum();
        let entries: usize = table.buckets.iter().map(|bucket| WAYS - bucket.ways(u8x16::ZERO).count()).sum();
        prop_assert_eq!(entries, 2 * model.len());
        prop_assert!(spilled as usize <= entries);
    }
}
