//! What the operator, the session stream and the peer's hellos may do, and what is refused.

use crate::bench::*;
use hitless::{
    protocol::election::*,
    types::{InstanceId, Instant},
};

fn switch_over(bench: &mut Bench) -> Result<(), Refused> {
    bench.elections.switch_over(RED, bench.now)
}

#[test]
fn a_switchover_is_refused_where_it_would_lose_something() {
    assert_eq!(Bench::active().elections.switch_over(InstanceId(9), Instant::ZERO), Err(Refused::Unknown));
    assert_eq!(switch_over(&mut Bench::new()), Err(Refused::NotTakingPart(Role::Init)));
    assert_eq!(switch_over(&mut Bench::fenced()), Err(Refused::NotTakingPart(Role::Fenced)));
    assert_eq!(switch_over(&mut Bench::alone()), Err(Refused::PeerSilent));
    let mut bench = Bench::active();
    bench.peer = Some(entry(Role::Sync, 1));
    bench.run(20);
    assert_eq!(switch_over(&mut bench), Err(Refused::PeerNotReady));
    let mut bench = Bench::active();
    bench.peer_sender.hears = 0;
    bench.run(20);
    assert_eq!(switch_over(&mut bench), Err(Refused::PeerNotReady), "it would not hear the question");
    let mut bench = Bench::new();
    bench.peer = Some(entry(Role::Active, 5));
    bench.run(20);
    assert_eq!(switch_over(&mut bench), Err(Refused::NotReady));
    let mut bench = Bench::active();
    assert_eq!((switch_over(&mut bench), switch_over(&mut bench)), (Ok(()), Err(Refused::UnderWay)));
    let mut bench = Bench::standby();
    assert_eq!((switch_over(&mut bench), switch_over(&mut bench)), (Ok(()), Err(Refused::UnderWay)));
}

#[test]
fn a_switchover_that_is_not_answered_is_called_off() {
    let mut bench = Bench::active();
    switch_over(&mut bench).unwrap();
    let took = bench.run_until_change(3000);
    assert!((2000..=2001).contains(&took), "{took}");
    bench.expect(Role::Active, Role::Active, Reason::SwitchoverFailed);
    bench.run(1);
    assert_eq!(bench.request(), Request::None);
    // It can be tried again.
    assert_eq!(switch_over(&mut bench), Ok(()));
    // And is called off at once when the peer is not ready any more.
    bench.hear(entry(Role::Sync, 1));
    bench.look();
    bench.expect(Role::Active, Role::Active, Reason::SwitchoverFailed);
}

#[test]
fn an_instance_nobody_came_for_is_taken_back() {
    let mut bench = Bench::active();
    bench.healthy = false;
    bench.step();
    bench.healthy = true;
    bench.changes();
    assert_eq!(bench.run_until_change(300), GO_PATIENCE.as_millis());
    let change = bench.expect(Role::Handover, Role::Active, Reason::HandoverAborted);
    assert_eq!((change.term, change.announce), (3, Announce::Start));
    // The answer that comes too late is a lower claim.
    bench.peer = None;
    bench.step();
    bench.hear(entry(Role::Active, 2));
    bench.look();
    bench.expect(Role::Active, Role::Active, Reason::LowerClaim);
}

#[test]
fn a_standby_asked_by_its_operator_asks_for_two_seconds() {
    let mut bench = Bench::standby();
    switch_over(&mut bench).unwrap();
    bench.step();
    assert_eq!(bench.request(), Request::Ask);
    bench.run(1990);
    assert_eq!(bench.request(), Request::Ask);
    bench.run(20);
    assert_eq!(bench.request(), Request::None);
}

#[test]
fn an_instance_the_operator_gave_away_is_not_asked_back() {
    let preempting = Settings { preempt: true, ..settings() };
    let mut bench = Bench::with(node_settings(), &[preempting]);
    bench.serve();
    switch_over(&mut bench).unwrap();
    bench.step();
    bench.hear(Entry { request: Request::Ready(2), ..entry(Role::Standby, 1) });
    bench.look();
    bench.elections.flushed(RED);
    bench.look();
    bench.peer = Some(entry(Role::Active, 2));
    bench.elections.copied(RED, Some(2));
    bench.run(1000);
    assert_eq!(bench.role(), Role::Standby);
    bench.changes();
    bench.expect_nothing(300_000);
    assert_eq!(bench.request(), Request::None);
    // Unless the peer failed in between.
    bench.vanish();
    bench.run(10);
    assert_eq!(bench.role(), Role::Alone);
}

#[test]
fn a_stale_offer_is_void() {
    let mut bench = Bench::standby();
    for term in [4, 5] {
        bench.hear(Entry { request: Request::Switch(term), ..entry(Role::Active, 5) });
        bench.look();
        assert_eq!(bench.request(), Request::None, "{term}");
    }
    bench.hear(Entry { request: Request::Go(4), ..entry(Role::Handover, 5) });
    bench.look();
    assert!(bench.changes().is_empty());
    // A barrier that nobody waits for is none.
    let mut bench = Bench::active();
    bench.elections.flushed(RED);
    switch_over(&mut bench).unwrap();
    bench.step();
    bench.hear(Entry { request: Request::Ready(2), ..entry(Role::Standby, 1) });
    bench.look();
    assert!(bench.elections.wants_flush(RED) && bench.role() == Role::Active);
}

#[test]
fn without_sync_a_follower_counts_as_having_the_sessions() {
    let mut bench = Bench::with(node_settings(), &[Settings { sync: false, ..settings() }]);
    bench.bfd = vec![Bfd::Heard];
    bench.peer = Some(entry(Role::Active, 5));
    bench.run(20);
    assert_eq!(bench.role(), Role::Standby);
    // And a hand-over waits for no barrier.
    bench.vanish();
    bench.run(10);
    bench.bfd = vec![Bfd::Heard];
    bench.peer = Some(entry(Role::Standby, 6));
    bench.run(20);
    switch_over(&mut bench).unwrap();
    bench.step();
    bench.hear(Entry { request: Request::Ready(7), ..entry(Role::Standby, 6) });
    bench.look();
    assert_eq!(bench.role(), Role::Handover);
}

#[test]
fn terms_are_reserved_before_they_are_needed() {
    let mut bench = Bench::with(NodeSettings { first_term: 1000, ..node_settings() }, &[settings()]);
    assert_eq!(bench.elections.reserve(), Some(1000 + TERM_RESERVE));
    bench.elections.reserved(1000 + TERM_RESERVE);
    bench.run(LONE_START_MS + 20);
    assert_eq!((bench.term(), bench.elections.reserve()), (1001, None));
    // Heard of: reserved before anybody claims above it.
    bench.hear(entry(Role::Sync, 50_000));
    assert_eq!(bench.elections.reserve(), Some(50_000 + TERM_RESERVE));
    bench.elections.reserved(50_000 + TERM_RESERVE);
    bench.elections.reserved(7);
    assert_eq!(bench.elections.reserve(), None);
}

#[test]
fn hellos_are_refused_by_name_and_counted() {
    let mut bench = Bench::standby();
    let mut say = |sender: Sender, spoil: usize| {
        let mut body = [0; MAX_HELLO];
        let length = Hello::emit(&sender, &[entry(Role::Alone, 99)], &mut body).unwrap();
        bench.elections.receive(&body[..length - spoil], bench.now)
    };
    let sender = Sender { node: PEER, incarnation: 0x12, sequence: 1, hears: 0, witness: true };
    for (refusal, result) in [
        (Refusal::Truncated, say(sender, 1)),
        (Refusal::Old, say(sender, 0)),
        (Refusal::OwnNode, say(Sender { node: NODE, ..sender }, 0)),
        (Refusal::NodeZero, say(Sender { node: 0, ..sender }, 0)),
    ] {
        assert_eq!(result, Err(refusal));
        assert_eq!(bench.elections.refusals().count(refusal), 1);
    }
    bench.look();
    assert!(bench.changes().is_empty(), "they moved nothing");
    assert_eq!((bench.elections.refusals().total(), bench.term()), (4, 5));
}

#[test]
fn an_instance_the_peer_does_not_have_is_served_alone() {
    let mut bench = Bench::new();
    bench.bfd = vec![Bfd::Heard];
    bench.peer = Some(Entry { name: name_hash("green"), ..entry(Role::Active, 5) });
    bench.run(LONE_START_MS + 200);
    assert_eq!(bench.role(), Role::Alone);
    assert!(bench.elections.unknown_instances() > 100);
    // But a peer that speaks no hello we understand is not known not to serve.
    let mut bench = Bench::new();
    bench.bfd = vec![Bfd::Heard];
    bench.run(20_000);
    assert_eq!(bench.role(), Role::Sync);
}

#[test]
fn hellos_are_paced_prompt_and_bounded() {
    let mut bench = Bench::active();
    let before = bench.hellos;
    bench.run(1000);
    assert!((99..=101).contains(&(bench.hellos - before)), "{}", bench.hellos - before);
    // Whatever flutters, there are no more than sixteen out of turn in an interval.
    let before = bench.hellos;
    for turn in 0..1000u64 {
        bench.now = bench.now + hitless::types::Duration::from_micros(5);
        bench.healthy = turn % 2 == 0;
        bench.elections.hold(RED).unwrap();
        bench.look();
        bench.elections.release(RED).unwrap();
        bench.look();
    }
    assert!(bench.hellos - before <= 2 * 16 + 2, "{}", bench.hellos - before);
}

#[test]
fn many_instances_fill_several_hellos() {
    let instances: Vec<Settings> = (0..64u8)
        .map(|index| Settings {
            instance: InstanceId(index),
            name: name_hash(&index.to_string()),
            ..settings()
        })
        .collect();
    let mut elections = Elections::new(node_settings(), &instances, Instant::ZERO);
    let mut other = Elections::new(NodeSettings { node: PEER, ..node_settings() }, &instances, Instant::ZERO);
    let mut body = [0; MAX_HELLO];
    assert_eq!(elections.transmit(Instant::ZERO, &mut body), None, "not before the first look");
    let view = PeerView::new(0);
    let evidence = hitless::protocol::witness::Evidence::NOT_ASKED;
    let (drained_at, now) = (Instant::ZERO, Instant::ZERO);
    elections.look(&Surroundings { view: &view, evidence, healthy: true, drained_at, now }, |_| {});
    assert_eq!(elections.transmit(now, &mut [0; 63]), None, "no room for one");
    // 256 bytes hold seven instances.
    let mut named = 0;
    for expected in [7; 9].into_iter().chain([1]) {
        let length = elections.transmit(now, &mut body[..256]).unwrap();
        assert_eq!(Hello::parse(&body[..length]).unwrap().entries.len(), expected);
        assert_eq!(other.receive(&body[..length], now), Ok(()));
        named += expected;
    }
    assert_eq!((named, elections.transmit(now, &mut body[..256])), (64, None));
    assert_eq!(other.unknown_instances(), 0);
    assert!((0..64).all(|index| other.status(InstanceId(index)).unwrap().peer.is_some()));
}

#[test]
fn an_announcement_of_somebody_else_is_answered_by_announcing() {
    let mut bench = Bench::alone();
    bench.elections.contested(RED);
    bench.look();
    let change = bench.expect(Role::Alone, Role::Alone, Reason::AddressContested);
    assert_eq!(change.announce, Announce::Start);
    // Again when an interval is over, and then less and less often, down to once a second.
    let mut pauses = Vec::new();
    for _ in 0..10 {
        let mut pause = 0;
        while bench.changes().is_empty() {
            bench.elections.contested(RED);
            bench.run(1);
            pause += 1;
        }
        pauses.push(pause);
    }
    assert!(pauses[0] <= 20 && pauses.is_sorted() && pauses[8..] == [1000, 1000], "{pauses:?}");
    // To somebody who comes later at once.
    bench.expect_nothing(12_000);
    bench.elections.contested(RED);
    bench.run(1);
    bench.expect(Role::Alone, Role::Alone, Reason::AddressContested);
    let mut bench = Bench::standby();
    bench.elections.contested(RED);
    bench.expect_nothing(100);
}

#[test]
fn two_instances_may_be_served_by_different_nodes() {
    let blue = InstanceId(1);
    let two = [settings(), Settings { instance: blue, name: name_hash("blue"), priority: 10, ..settings() }];
    let mut bench = Bench::with(node_settings(), &two);
    for _ in 0..10 {
        bench.hear(entry(Role::Sync, 0));
        bench.hear(Entry { name: name_hash("blue"), ..entry(Role::Sync, 0) });
        bench.step();
    }
    let roles = [RED, blue].map(|instance| bench.elections.status(instance).unwrap().role);
    assert_eq!(roles, [Role::Active, Role::Sync]);
    // BFD says AdminDown for a node, so not for one instance.
    bench.elections.hold(blue).unwrap();
    bench.run(5);
    assert_eq!(bench.elections.admin_down(), None);
}

#[test]
fn a_peer_that_cannot_serve_is_not_waited_for() {
    for role in [Role::Init, Role::Fenced, Role::Admin] {
        let mut bench = Bench::standby();
        bench.hear(Entry { priority: 255, ..entry(role, 5) });
        bench.look();
        bench.expect(Role::Standby, Role::Alone, Reason::PeerUnfit);
    }
    // Nor one that could, but is kept from it.
    let mut bench = Bench::standby();
    bench.hear(Entry { priority: 255, eligible: false, ..entry(Role::Sync, 5) });
    bench.look();
    bench.expect(Role::Standby, Role::Alone, Reason::PeerUnfit);
}

#[test]
fn at_a_cold_start_a_peer_whose_ports_come_up_later_has_its_chance() {
    let mut bench = Bench::new();
    bench.peer = Some(Entry { priority: 200, ..entry(Role::Init, 0) });
    bench.run(LONE_START_MS / 2);
    assert_eq!(bench.role(), Role::Sync);
    bench.peer = Some(Entry { priority: 200, ..entry(Role::Sync, 0) });
    bench.run(10_000);
    assert_eq!(bench.role(), Role::Sync, "it comes first");
    let mut bench = Bench::new();
    bench.peer = Some(Entry { priority: 200, ..entry(Role::Init, 0) });
    bench.run(LONE_START_MS + 20);
    assert_eq!(bench.role(), Role::Alone, "it had its chance");
}

#[test]
fn a_standby_without_a_network_is_not_ready_for_one_with_it() {
    for (witness, expected) in [(true, Request::None), (false, Request::Ready(6))] {
        let mut bench = Bench::standby();
        bench.gateways = Gateways::Silent;
        bench.peer_sender.witness = witness;
        bench.run(100);
        bench.hear(Entry { request: Request::Switch(6), ..entry(Role::Active, 5) });
        bench.look();
        assert_eq!(bench.request(), expected);
    }
}

#[test]
fn a_node_with_a_fault_takes_nothing_back() {
    let mut bench = Bench::active();
    bench.healthy = false;
    bench.step();
    bench.changes();
    bench.vanish();
    bench.run(10);
    bench.expect(Role::Handover, Role::Fenced, Reason::SelfCheck);
}
