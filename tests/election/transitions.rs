//! The 30 transitions of the design, one case a row, named after it.

use crate::bench::*;
use hitless::{
    protocol::election::*,
    types::{Duty, HaState},
};

#[test]
fn row_01_init_starts_when_ports_are_up() {
    let mut bench = Bench::with(NodeSettings { first_term: 1000, ..node_settings() }, &[settings()]);
    bench.healthy = false;
    bench.expect_nothing(50);
    assert_eq!(bench.role(), Role::Init);
    bench.healthy = true;
    bench.step();
    bench.expect(Role::Init, Role::Sync, Reason::Started);
    let said = bench.said.clone().unwrap();
    assert_eq!(
        (said.entries[0].role, said.entries[0].term),
        (Role::Sync, 1000),
        "the term is that of the disk"
    );
}

#[test]
fn row_02_sync_waits_for_the_copy_behind_an_active_peer() {
    let mut bench = Bench::new();
    bench.bfd = vec![Bfd::Heard];
    bench.peer = Some(entry(Role::Active, 5));
    bench.step();
    bench.changes();
    bench.expect_nothing(10_000);
    let said = bench.said.clone().unwrap().entries[0];
    assert_eq!((said.role, said.ready, said.holding), (Role::Sync, false, Holding::Part));
}

#[test]
fn row_03_sync_is_standby_when_all_sessions_are_here() {
    let mut bench = Bench::new();
    bench.bfd = vec![Bfd::Heard];
    bench.peer = Some(entry(Role::Active, 5));
    bench.run(100);
    bench.changes();
    bench.elections.copied(RED, Some(5));
    bench.step();
    bench.expect(Role::Sync, Role::Standby, Reason::CopyComplete);
    assert!(bench.said.as_ref().unwrap().entries[0].ready, "said at once");
}

#[test]
fn row_04_a_lone_node_serves_after_lone_start() {
    let mut bench = Bench::new();
    bench.step();
    bench.changes();
    assert_eq!(bench.run_until_change(LONE_START_MS + 1), LONE_START_MS);
    let change = bench.expect(Role::Sync, Role::Alone, Reason::LoneStart);
    assert_eq!((change.term, change.announce, change.degraded), (1, Announce::Start, false));
    // Without a witness it does not.
    let mut bench = Bench::new();
    bench.gateways = Gateways::Silent;
    bench.step();
    bench.changes();
    bench.expect_nothing(3 * LONE_START_MS);
}

#[test]
fn row_05_of_two_that_start_together_the_higher_priority_serves() {
    for (priority, expected) in [(50, Role::Active), (150, Role::Sync)] {
        let mut bench = Bench::new();
        bench.bfd = vec![Bfd::Heard];
        bench.peer = Some(Entry { priority, ..entry(Role::Sync, 0) });
        bench.run(20);
        assert_eq!(bench.role(), expected);
        if expected == Role::Active {
            let change = bench.changes()[1];
            assert_eq!((change.reason, change.term), (Reason::ColdStart, 1));
        } else {
            bench.changes();
            bench.expect_nothing(10_000);
        }
    }
    // Equal priorities: the higher id, which is the peer's.
    let mut bench = Bench::new();
    bench.peer = Some(Entry { priority: 100, ..entry(Role::Sync, 0) });
    bench.run(10_000);
    assert_eq!(bench.role(), Role::Sync);
}

#[test]
fn row_06_sync_takes_over_with_part_of_the_sessions() {
    let mut bench = Bench::new();
    bench.bfd = vec![Bfd::Heard];
    bench.peer = Some(entry(Role::Active, 5));
    bench.run(100);
    bench.changes();
    bench.vanish();
    assert_eq!(bench.run_until_change(10), 3);
    let change = bench.expect(Role::Sync, Role::Alone, Reason::PeerSilent);
    assert_eq!((change.term, change.announce, change.degraded), (6, Announce::Start, true));
}

#[test]
fn row_07_standby_takes_over_from_a_silent_peer() {
    let mut bench = Bench::standby();
    let last = bench.now;
    bench.vanish();
    assert_eq!(bench.run_until_change(10), 3);
    let change = bench.expect(Role::Standby, Role::Alone, Reason::PeerSilent);
    assert_eq!((change.term, change.announce, change.degraded), (6, Announce::Start, false));
    assert_eq!((change.to.state(), change.to.duty()), (HaState::Master, Duty::Serving));
    let silence = change.silence.unwrap();
    assert_eq!((silence.last_heard, silence.detection()), (last, DETECTION));
    assert_eq!((change.judged_at, change.decided_at), (bench.now, bench.now));
    let said = bench.said.as_ref().unwrap().entries[0];
    assert_eq!((said.role, said.term), (Role::Alone, 6), "said at once");
}

#[test]
fn row_08_standby_without_a_witness_stays() {
    let mut bench = Bench::standby();
    bench.gateways = Gateways::Silent;
    bench.run(29);
    bench.vanish();
    bench.expect_nothing(20_000);
    assert_eq!(bench.role(), Role::Standby);
}

#[test]
fn row_09_standby_with_one_path_left_stays() {
    let mut bench = Bench::new();
    (bench.view, bench.bfd) = (PeerView::new(2), vec![Bfd::Heard; 2]);
    bench.follow();
    bench.bfd[0] = Bfd::Silent;
    bench.expect_nothing(10_000);
    assert_eq!(bench.view.count(bench.now), (1, 2), "for the alarm");
    bench.bfd[1] = Bfd::Silent;
    assert_eq!(bench.run_until_change(10), 3);
    bench.expect(Role::Standby, Role::Alone, Reason::PeerSilent);
}

#[test]
fn row_10_standby_takes_over_at_once_from_a_peer_that_leaves() {
    let mut bench = Bench::standby();
    bench.bfd = vec![Bfd::Leaving];
    bench.step();
    let change = bench.expect(Role::Standby, Role::Alone, Reason::PeerLeft);
    assert_eq!((change.term, change.announce), (6, Announce::Start));
    // The same by hello.
    let mut bench = Bench::standby();
    bench.hear(Entry { request: Request::Resign, ..entry(Role::Init, 5) });
    bench.look();
    bench.expect(Role::Standby, Role::Alone, Reason::PeerResigned);
}

#[test]
fn row_11_a_session_that_is_down_is_no_silence() {
    let mut bench = Bench::standby();
    bench.bfd = vec![Bfd::Deaf];
    bench.expect_nothing(10_000);
    let said = bench.said.as_ref().unwrap();
    assert_eq!((said.entries[0].role, said.sender.hears), (Role::Standby, 0x12), "I hear you");
}

#[test]
fn row_12_standby_serves_when_it_is_handed_the_instance() {
    let mut bench = Bench::standby();
    bench.peer = Some(Entry { request: Request::Switch(6), ..entry(Role::Active, 5) });
    bench.run(10);
    assert_eq!((bench.role(), bench.request()), (Role::Standby, Request::Ready(6)));
    bench.peer = None;
    bench.hear(Entry { request: Request::Go(6), ..entry(Role::Handover, 6) });
    bench.look();
    let change = bench.expect(Role::Standby, Role::Active, Reason::HandedOver);
    assert_eq!((change.term, change.announce, change.degraded), (6, Announce::Start, false));
}

#[test]
fn row_13_active_with_a_silent_peer_is_alone() {
    let mut bench = Bench::active();
    bench.vanish();
    assert_eq!(bench.run_until_change(10), 3);
    let change = bench.expect(Role::Active, Role::Alone, Reason::PeerSilent);
    assert_eq!((change.term, change.announce), (1, Announce::Keep), "its claim stands");
}

#[test]
fn row_14_active_that_loses_peer_and_witness_gives_up() {
    let mut bench = Bench::active();
    bench.gateways = Gateways::Silent;
    bench.run(28);
    bench.vanish();
    // Three intervals until the gateway counts as lost, and three more.
    let took = 28 + bench.run_until_change(100);
    assert_eq!(took, 60);
    let change = bench.expect(Role::Active, Role::Fenced, Reason::WitnessLost);
    assert_eq!(
        (change.announce, change.to.state(), change.to.duty()),
        (Announce::Stop, HaState::Fault, Duty::Idle)
    );
}

#[test]
fn row_15_active_without_a_network_hands_over_to_a_peer_with_one() {
    let mut bench = Bench::active();
    bench.gateways = Gateways::Silent;
    bench.run(61);
    assert_eq!(bench.request(), Request::Switch(2));
    bench.hear(Entry { request: Request::Ready(2), ..entry(Role::Standby, 1) });
    bench.look();
    bench.elections.flushed(RED);
    bench.look();
    bench.expect(Role::Active, Role::Handover, Reason::WitnessLost);
    assert_eq!(bench.request(), Request::Go(2));
}

#[test]
fn row_16_active_without_a_network_beside_a_peer_without_one_stays() {
    let mut bench = Bench::active();
    bench.gateways = Gateways::Silent;
    bench.peer_sender.witness = false;
    bench.expect_nothing(10_000);
    assert_eq!((bench.role(), bench.request()), (Role::Active, Request::None));
}

#[test]
fn row_17_active_that_is_not_heard_says_so_and_stays() {
    let mut bench = Bench::active();
    bench.bfd = vec![Bfd::Deaf];
    bench.step();
    bench.expect(Role::Active, Role::Active, Reason::PeerDeaf);
    bench.expect_nothing(1000);
    bench.bfd = vec![Bfd::Heard];
    bench.expect_nothing(100);
}

#[test]
fn row_18_a_higher_claim_makes_it_yield_at_once() {
    for mut bench in [Bench::active(), Bench::alone()] {
        let from = bench.role();
        bench.hear(entry(Role::Alone, 2));
        bench.look();
        let change = bench.expect(from, Role::Sync, Reason::HigherClaim);
        assert_eq!((change.announce, change.to.duty()), (Announce::Stop, Duty::Idle));
        assert_eq!(bench.said.as_ref().unwrap().entries[0].role, Role::Sync);
    }
    // Of the same term: by priority.
    let mut bench = Bench::active();
    bench.hear(Entry { priority: 101, ..entry(Role::Active, 1) });
    bench.look();
    bench.expect(Role::Active, Role::Sync, Reason::HigherClaim);
}

#[test]
fn row_19_a_lower_claim_is_answered_by_hello_and_announcements() {
    let mut bench = Bench::active();
    let hellos = bench.hellos;
    bench.peer = Some(entry(Role::Active, 1));
    bench.hear(entry(Role::Active, 1));
    bench.look();
    let change = bench.expect(Role::Active, Role::Active, Reason::LowerClaim);
    assert_eq!((change.announce, change.term, bench.hellos), (Announce::Start, 1, hellos + 1));
    // Once a claim, not once a hello.
    bench.expect_nothing(1000);
    // And when the peer has yielded, because its announcements may have been the last.
    bench.hear(entry(Role::Sync, 1));
    bench.look();
    let change = bench.expect(Role::Active, Role::Active, Reason::ConflictOver);
    assert_eq!(change.announce, Announce::Start);
}

#[test]
fn row_20_a_fault_hands_over_or_fences() {
    let mut bench = Bench::active();
    bench.healthy = false;
    bench.step();
    let change = bench.expect(Role::Active, Role::Handover, Reason::SelfCheck);
    assert_eq!((bench.request(), change.announce), (Request::Go(2), Announce::Stop), "without questions");

    let mut bench = Bench::alone();
    bench.healthy = false;
    bench.step();
    let change = bench.expect(Role::Alone, Role::Fenced, Reason::SelfCheck);
    assert_eq!((bench.request(), change.announce), (Request::Resign, Announce::Stop));
    assert_eq!(bench.elections.admin_down().map(|said| said.bits()), Some(5), "the dying gasp: path down");

    // A peer that is not ready is left to decide for itself.
    let mut bench = Bench::active();
    bench.peer = Some(entry(Role::Sync, 1));
    bench.run(20);
    bench.healthy = false;
    bench.step();
    bench.expect(Role::Active, Role::Fenced, Reason::SelfCheck);
}

fn handover() -> Bench {
    let mut bench = Bench::active();
    bench.elections.switch_over(RED, bench.now).unwrap();
    bench.step();
    assert_eq!(bench.request(), Request::Switch(2));
    assert!(!bench.elections.wants_flush(RED));
    bench.hear(Entry { request: Request::Ready(2), ..entry(Role::Standby, 1) });
    bench.look();
    assert_eq!(
        (bench.role(), bench.elections.wants_flush(RED)),
        (Role::Active, true),
        "serves until it is flushed"
    );
    bench.elections.flushed(RED);
    bench.look();
    bench
}

#[test]
fn row_21_switchover_asks_flushes_and_hands_over() {
    let mut bench = handover();
    let change = bench.expect(Role::Active, Role::Handover, Reason::Operator);
    assert_eq!(
        (change.announce, change.to.state(), change.to.duty()),
        (Announce::Stop, HaState::Backup, Duty::Draining)
    );
    assert_eq!(bench.request(), Request::Go(2));
}

#[test]
fn row_22_shutdown_hands_over_first() {
    let mut bench = Bench::active();
    bench.elections.shut_down();
    bench.step();
    assert_eq!((bench.request(), bench.elections.admin_down()), (Request::Switch(2), None));
    bench.hear(Entry { request: Request::Ready(2), ..entry(Role::Standby, 1) });
    bench.look();
    bench.elections.flushed(RED);
    bench.look();
    bench.expect(Role::Active, Role::Handover, Reason::Shutdown);
    bench.peer = Some(entry(Role::Active, 2));
    bench.run(100);
    assert!(!bench.elections.may_exit());
    assert_eq!(bench.role(), Role::Handover);
    bench.run(200);
    bench.expect(Role::Handover, Role::Init, Reason::HandoverDone);
    assert!(bench.elections.may_exit());
    assert_eq!(bench.elections.admin_down().map(|said| said.bits()), Some(7));

    // With nobody to hand over to it just goes, and says so.
    let mut bench = Bench::alone();
    bench.elections.shut_down();
    bench.step();
    bench.expect(Role::Alone, Role::Init, Reason::Shutdown);
    assert!(!bench.elections.may_exit() && bench.request() == Request::Resign);
    bench.expect_nothing(30);
    assert!(bench.elections.may_exit());
}

#[test]
fn row_23_alone_is_active_when_the_peer_is_back() {
    let mut bench = Bench::alone();
    bench.bfd = vec![Bfd::Heard];
    bench.peer = Some(entry(Role::Sync, 0));
    bench.run(20);
    let change = bench.expect(Role::Alone, Role::Active, Reason::PeerBack);
    assert_eq!((change.announce, change.term), (Announce::Start, 1));
}

#[test]
fn row_24_alone_without_a_witness_gives_up() {
    let mut bench = Bench::alone();
    bench.gateways = Gateways::Silent;
    assert_eq!(bench.run_until_change(100), 60);
    bench.expect(Role::Alone, Role::Fenced, Reason::WitnessLost);
    // A lab with one leg has no gateways to ask.
    let mut bench = Bench::new();
    bench.gateways = Gateways::None;
    bench.run(LONE_START_MS + 20);
    bench.changes();
    bench.expect_nothing(10_000);
    assert_eq!(bench.role(), Role::Alone);
}

#[test]
fn row_25_fenced_with_its_network_back_and_nobody_there_serves_again() {
    let mut bench = Bench::fenced();
    bench.gateways = Gateways::Answer;
    assert_eq!(bench.run_until_change(LONE_START_MS + 10), LONE_START_MS);
    let change = bench.expect(Role::Fenced, Role::Alone, Reason::WitnessBack);
    assert_eq!((change.term, change.degraded), (2, false), "it has the sessions it had");
}

#[test]
fn row_26_fenced_with_its_network_and_peer_back_follows() {
    let mut bench = Bench::fenced();
    bench.gateways = Gateways::Answer;
    bench.bfd = vec![Bfd::Heard];
    bench.peer = Some(entry(Role::Alone, 2));
    bench.run(20);
    bench.expect(Role::Fenced, Role::Sync, Reason::WitnessBack);
    bench.expect_nothing(10_000);
    bench.elections.copied(RED, Some(2));
    bench.step();
    bench.expect(Role::Sync, Role::Standby, Reason::CopyComplete);
}

#[test]
fn row_27_handover_ends_when_the_peer_serves_and_strays_cease() {
    let mut bench = handover();
    bench.changes();
    bench.elections.copied(RED, Some(2));
    bench.peer = Some(entry(Role::Active, 2));
    bench.run(10);
    assert_eq!(bench.request(), Request::None, "it has come for it");
    for _ in 0..100 {
        bench.elections.stray(RED, bench.now);
        bench.expect_nothing(10);
    }
    let took = bench.run_until_change(300);
    assert!((189..=191).contains(&took), "{took} ms after the last stray");
    bench.expect(Role::Handover, Role::Standby, Reason::HandoverDone);

    // Strays for ever: five seconds.
    let mut bench = handover();
    bench.changes();
    bench.peer = Some(entry(Role::Active, 2));
    let mut took = 0;
    while bench.role() == Role::Handover {
        bench.elections.stray(RED, bench.now);
        bench.step();
        took += 1;
    }
    assert_eq!(took, 5000);
    // Without a copy of what the peer has opened since it is not STANDBY yet.
    bench.expect(Role::Handover, Role::Sync, Reason::HandoverDone);
}

#[test]
fn row_28_handover_is_aborted_when_the_peer_dies_first() {
    let mut bench = handover();
    bench.changes();
    bench.vanish();
    assert_eq!(bench.run_until_change(10), 3);
    let change = bench.expect(Role::Handover, Role::Alone, Reason::HandoverAborted);
    assert_eq!(
        (change.term, change.announce, change.degraded),
        (3, Announce::Start, false),
        "2 was given away"
    );
}

#[test]
fn row_29_hold_takes_the_instance_out() {
    for mut bench in [Bench::new(), Bench::standby(), Bench::fenced(), Bench::alone()] {
        let serves = bench.role().serves();
        bench.step();
        bench.changes();
        let from = bench.role();
        bench.elections.hold(RED).unwrap();
        bench.step();
        let change = bench.expect(from, Role::Admin, Reason::Held);
        assert_eq!((change.to.state(), change.announce == Announce::Stop), (HaState::Stop, serves));
        assert_eq!(bench.elections.admin_down().map(|said| said.bits()), Some(7));
        bench.vanish();
        bench.expect_nothing(10_000);
    }
    // Who serves hands over first.
    let mut bench = Bench::active();
    bench.elections.hold(RED).unwrap();
    bench.step();
    bench.hear(Entry { request: Request::Ready(2), ..entry(Role::Standby, 1) });
    bench.look();
    bench.elections.flushed(RED);
    bench.peer = Some(entry(Role::Active, 2));
    bench.run(300);
    assert_eq!(bench.steps(), [(Role::Handover, Reason::Held), (Role::Admin, Reason::HandoverDone)]);
}

#[test]
fn row_30_release_lets_it_start_again() {
    let mut bench = Bench::new();
    bench.elections.hold(RED).unwrap();
    bench.run(10);
    bench.changes();
    bench.elections.release(RED).unwrap();
    bench.step();
    assert_eq!(bench.steps(), [(Role::Init, Reason::Released), (Role::Sync, Reason::Started)]);
    assert_eq!(bench.elections.admin_down(), None);
}
