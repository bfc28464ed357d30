//! Rules R1 to R6, a case each; and what follows from each at its edges.

use crate::bench::*;
use hitless::protocol::election::*;

#[test]
fn r1_silence_on_every_path_counts_and_down_does_not() {
    let mut bench = Bench::new();
    (bench.view, bench.bfd) = (PeerView::new(3), vec![Bfd::Heard; 3]);
    bench.follow();
    // Down as the peer sends it, a path gone, all the others gone: it lives.
    bench.bfd = vec![Bfd::Deaf, Bfd::Heard, Bfd::Heard];
    bench.expect_nothing(100);
    bench.bfd = vec![Bfd::Deaf, Bfd::Silent, Bfd::Silent];
    bench.expect_nothing(10_000);
    bench.vanish();
    assert_eq!(bench.run_until_change(10), 3);
    bench.expect(Role::Standby, Role::Alone, Reason::PeerSilent);
}

#[test]
fn r1_silence_is_judged_when_the_queue_was_seen_empty() {
    let mut bench = Bench::standby();
    // The loop stood still for a second, and the queue it finds was last seen empty before that.
    let drained_at = bench.now + ms(1);
    let now = bench.now + ms(1000);
    let evidence = hitless::protocol::witness::Evidence::NOT_ASKED;
    let look = |bench: &mut Bench, drained_at| {
        let view = &bench.view;
        let surroundings = Surroundings { view, evidence, healthy: true, drained_at, now };
        bench.elections.look(&surroundings, |change| panic!("{change:?}"));
    };
    look(&mut bench, drained_at);
    // What was in the queue is heard, with the times it was received.
    let heard = now - ms(1);
    bench.view.report(
        0,
        PathReport { last_heard: Some(heard), expires_at: Some(heard + DETECTION), ..PathReport::default() },
    );
    look(&mut bench, now);
}

#[test]
fn r1_silence_means_something_only_after_a_sound() {
    // It yielded to a peer whose BFD it has not heard since: the hello says that it serves.
    let mut bench = Bench::alone();
    bench.peer = Some(entry(Role::Alone, 2));
    bench.run(20);
    bench.expect(Role::Alone, Role::Sync, Reason::HigherClaim);
    bench.expect_nothing(20_000);
    // Its hellos end too: as at a cold start.
    bench.peer = None;
    let took = bench.run_until_change(LONE_START_MS + 200);
    assert!((LONE_START_MS..=LONE_START_MS + 100).contains(&took), "{took}");
    bench.expect(Role::Sync, Role::Alone, Reason::LoneStart);
}

#[test]
fn r2_a_standby_needs_a_witness_that_answered_after_the_peer() {
    let mut bench = Bench::standby();
    // The cable is cut: neither the gateway nor the peer is heard any more, and both were a moment ago.
    bench.gateways = Gateways::Silent;
    bench.vanish();
    bench.expect_nothing(5000);
    // The peer alone is gone.
    let mut bench = Bench::standby();
    bench.run(20);
    bench.vanish();
    assert_eq!(bench.run_until_change(10), 3);
    bench.expect(Role::Standby, Role::Alone, Reason::PeerSilent);
}

/// Seen in the lab with BFD echo: the two spoke again before BFD was Up, and a node claimed and gave up what nobody
/// served, hundreds of times in a millisecond.
#[test]
fn r3_who_would_have_to_give_up_at_once_does_not_begin() {
    let mut bench = Bench::fenced();
    bench.changes();
    bench.peer_sender.witness = false;
    bench.peer = Some(entry(Role::Sync, 1));
    bench.run(500);
    assert_eq!(bench.changes().len(), 0, "{:?}", bench.status());
    // BFD hears the peer: it is the gateway that is gone, and one of the two serves.
    bench.bfd = vec![Bfd::Heard];
    bench.run(500);
    assert!((1..4).contains(&bench.changes().len()), "{:?}", bench.status());
    assert_eq!(bench.role(), Role::Active);
}

#[test]
fn r2_an_answer_that_is_too_old_is_waited_for() {
    let mut bench = Bench::standby();
    bench.gateways = Gateways::NotAsked;
    bench.run(40);
    bench.vanish();
    bench.expect_nothing(20);
    bench.gateways = Gateways::Answer;
    bench.step();
    bench.expect(Role::Standby, Role::Alone, Reason::PeerSilent);
}

#[test]
fn r2_an_isolated_standby_does_not_take_over_when_its_gateway_is_back_first() {
    let mut bench = Bench::standby();
    bench.gateways = Gateways::Silent;
    bench.run(40);
    bench.vanish();
    bench.run(5000);
    bench.gateways = Gateways::Answer;
    // BFD needs up to a second to be heard again.
    bench.run(900);
    bench.bfd = vec![Bfd::Heard];
    bench.peer = Some(entry(Role::Alone, 5));
    bench.run(100);
    assert!(bench.changes().is_empty());
    assert_eq!(bench.role(), Role::Standby);
    // And is a standby as before.
    bench.vanish();
    assert_eq!(bench.run_until_change(10), 3);
    bench.expect(Role::Standby, Role::Alone, Reason::PeerSilent);
}

/// Seen in the lab: a node whose witness missed an answer now and then waited for ever.
#[test]
fn r2_an_answer_that_is_late_now_and_then_does_not_put_off_a_lone_start() {
    let mut bench = Bench::new();
    for _ in 0..(LONE_START_MS + 200) / 41 {
        bench.gateways = Gateways::NotAsked;
        bench.run(40);
        bench.gateways = Gateways::Answer;
        bench.step();
    }
    assert_eq!(bench.role(), Role::Alone);
    // Without any answer it does wait.
    let mut bench = Bench::new();
    bench.gateways = Gateways::Silent;
    bench.run(3 * LONE_START_MS);
    assert_eq!(bench.role(), Role::Sync);
}

#[test]
fn r2_a_loop_that_stood_still_has_not_listened() {
    let mut bench = Bench::new();
    bench.run(1000);
    bench.changes();
    bench.now = bench.now + ms(60_000);
    // Nobody was heard for a minute, because nobody looked.
    bench.expect_nothing(LONE_START_MS - 10);
    bench.run(20);
    bench.expect(Role::Sync, Role::Alone, Reason::LoneStart);
}

#[test]
fn r3_who_hears_nobody_and_reaches_no_gateway_gives_up() {
    for mut bench in [Bench::active(), Bench::alone()] {
        bench.gateways = Gateways::Silent;
        bench.vanish();
        bench.run(70);
        assert_eq!(bench.role(), Role::Fenced);
        assert!(bench.changes().iter().any(|change| change.announce == Announce::Stop));
    }
    // One of the two is enough.
    let mut bench = Bench::active();
    bench.gateways = Gateways::Silent;
    bench.peer = Some(Entry { ready: false, ..entry(Role::Sync, 1) });
    bench.run(20);
    bench.changes();
    bench.expect_nothing(10_000);
    let mut bench = Bench::active();
    bench.vanish();
    bench.run(10_000);
    assert_eq!(bench.role(), Role::Alone);
}

#[test]
fn r3_two_nodes_that_hear_each_other_are_not_isolated() {
    // The gateway is gone for both, and both have given up: one of them serves those it can reach.
    let mut bench = Bench::fenced();
    bench.bfd = vec![Bfd::Heard];
    bench.peer = Some(entry(Role::Fenced, 1));
    bench.expect_nothing(1000);
    bench.peer_sender.witness = false;
    bench.run(20);
    let expected = [
        (Role::Sync, Reason::WitnessBack),
        (Role::Alone, Reason::PeerUnfit),
        (Role::Active, Reason::PeerBack),
    ];
    assert_eq!(bench.steps(), expected);
}

#[test]
fn r4_every_take_over_has_a_term_above_all_that_were_heard_of() {
    let mut bench = Bench::with(NodeSettings { first_term: 40, ..node_settings() }, &[settings()]);
    bench.run(LONE_START_MS + 20);
    assert_eq!(bench.term(), 41);
    bench.peer = Some(entry(Role::Active, 90));
    bench.bfd = vec![Bfd::Heard];
    bench.elections.copied(RED, Some(90));
    bench.run(50);
    assert_eq!(bench.role(), Role::Standby);
    bench.vanish();
    bench.run(10);
    assert_eq!((bench.role(), bench.term()), (Role::Alone, 91));
}

#[test]
fn r4_a_claim_keeps_above_what_a_follower_knows() {
    // It restarted with terms reserved far ahead; it takes no sessions of an earlier one.
    let mut bench = Bench::active();
    bench.hear(entry(Role::Sync, 1000));
    bench.look();
    let change = bench.expect(Role::Active, Role::Active, Reason::TermRaised);
    assert_eq!((change.term, change.announce, bench.term()), (1001, Announce::Keep, 1001));
    bench.peer = Some(entry(Role::Sync, 1001));
    bench.expect_nothing(1000);
}

#[test]
fn r4_of_two_claims_the_one_that_cannot_hear_stays() {
    // The peer serves by an earlier claim and does not hear this node, so it will not yield.
    let mut bench = Bench::active();
    bench.peer_sender.hears = 0;
    bench.peer = Some(entry(Role::Alone, 1));
    bench.hear(entry(Role::Alone, 1));
    bench.look();
    bench.expect(Role::Active, Role::Active, Reason::LowerClaim);
    assert_eq!(bench.run_until_change(200), DEAF_HOLD.as_millis());
    bench.expect(Role::Active, Role::Sync, Reason::DeafClaim);
    bench.expect_nothing(10_000);
}

#[test]
fn r5_the_lease_is_extended_by_each_look_and_not_by_the_first_after_a_rest() {
    let lease = ms(20);
    let mut bench = Bench::with(NodeSettings { lease, ..node_settings() }, &[settings()]);
    bench.serve();
    for _ in 0..100 {
        bench.step();
        assert_eq!(bench.elections.lease(), bench.now + lease);
    }
    let before = bench.elections.lease();
    bench.now = bench.now + ms(500);
    bench.look();
    assert_eq!(bench.elections.lease(), before, "workers serve nothing");
    bench.run(10);
    assert_eq!(bench.elections.lease(), bench.now + lease, "the peer's hello does not say that it serves");

    // It does: the claim is given up before the lease is extended.
    bench.now = bench.now + ms(500);
    bench.peer = None;
    bench.look();
    let before = bench.elections.lease();
    assert!(before < bench.now);
    bench.now = bench.now + ms(5);
    bench.hear(entry(Role::Alone, 2));
    bench.look();
    assert_eq!(bench.role(), Role::Sync);
    assert!(bench.elections.lease() > bench.now);
}

#[test]
fn r5_no_lease_unless_configured() {
    let mut bench = Bench::active();
    bench.now = bench.now + ms(500);
    bench.look();
    assert_eq!(bench.elections.lease(), hitless::types::Instant::MAX);
}

fn preempting() -> Settings {
    Settings { preempt: true, ..settings() }
}

#[test]
fn r6_no_preemption_unless_asked_for() {
    let mut bench = Bench::standby();
    bench.expect_nothing(200_000);
    assert_eq!(bench.request(), Request::None);
}

#[test]
fn r6_preemption_asks_when_all_has_been_well_for_a_minute() {
    let mut bench = Bench::with(node_settings(), &[preempting()]);
    bench.follow();
    bench.run(30_000);
    // Something was not well: the minute begins anew.
    bench.peer = None;
    bench.run(150);
    bench.peer = Some(entry(Role::Active, 5));
    bench.run(59_900);
    assert_eq!(bench.request(), Request::None);
    bench.run(300);
    assert_eq!((bench.role(), bench.request()), (Role::Standby, Request::Ask), "a wish, not a take-over");
    assert!(bench.changes().is_empty());
    // Not from an equal.
    let mut bench = Bench::with(node_settings(), &[preempting()]);
    bench.follow();
    bench.peer = Some(Entry { priority: 100, ..entry(Role::Active, 5) });
    bench.expect_nothing(200_000);
    assert_eq!(bench.request(), Request::None);
}

#[test]
fn r6_who_is_asked_hands_over_as_planned() {
    let mut bench = Bench::active();
    bench.peer = Some(Entry { request: Request::Ask, ..entry(Role::Standby, 1) });
    bench.run(10);
    assert_eq!((bench.role(), bench.request()), (Role::Active, Request::Switch(2)));
    // Not to one that is not ready.
    let mut bench = Bench::active();
    bench.peer = Some(Entry { request: Request::Ask, ..entry(Role::Sync, 1) });
    bench.expect_nothing(1000);
    assert_eq!(bench.request(), Request::None);
}
