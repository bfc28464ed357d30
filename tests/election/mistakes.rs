//! What others get wrong, a case each.

use crate::{
    bench::*,
    pair::{Pair, Way},
};
use hitless::{
    protocol::election::*,
    types::{HaState, InstanceId},
};

/// LoxiLB: "a lone node never becomes MASTER and never announces the VIP"; with BFD not Up its state stays NOT_DEFINED.
#[test]
fn loxilb_a_lone_node_never_becomes_master() {
    let mut bench = Bench::new();
    bench.run(LONE_START_MS + 20);
    let last = bench.changes().pop().unwrap();
    assert_eq!((last.to.state(), last.announce), (HaState::Master, Announce::Start));
}

/// LoxiLB: AdminDown leads to Init and no fail-over; deleting the session on the MASTER leaves nobody.
#[test]
fn loxilb_admin_down_does_not_fail_over() {
    let mut bench = Bench::standby();
    bench.bfd = vec![Bfd::Leaving];
    bench.step();
    bench.expect(Role::Standby, Role::Alone, Reason::PeerLeft);
    // Once, not again and again for as long as it says so.
    bench.peer = Some(entry(Role::Sync, 6));
    bench.run(1000);
    assert_eq!(bench.steps(), [(Role::Active, Reason::PeerBack)]);
    bench.hear(entry(Role::Alone, 7));
    bench.peer = Some(entry(Role::Alone, 7));
    bench.run(10_000);
    assert_eq!(bench.role(), Role::Sync, "it does not take back what it yielded");
}

/// LoxiLB: after a partition both have raised their discriminator, and the roles swap when it heals.
#[test]
fn loxilb_roles_swap_when_a_partition_heals() {
    let mut pair = Pair::settled(1);
    pair.ways.iter_mut().for_each(|way| way.cut = true);
    pair.run(5000);
    assert_eq!(pair.roles(), [Some(Role::Alone); 2]);
    // The second announced last: the traffic is there, and stays there, though the first has the higher priority.
    for _ in 0..3 {
        pair.ways = [Way::CLEAN; 2];
        pair.run(8000);
        assert_eq!(pair.roles(), [Some(Role::Standby), Some(Role::Active)]);
        pair.ways.iter_mut().for_each(|way| way.cut = true);
        // Too short for silence to be noticed.
        pair.run(5);
    }
}

/// LoxiLB: a MASTER that hears Up with a higher discriminator goes BACKUP: forced re-election without need.
#[test]
fn loxilb_a_restarted_peer_forces_an_election() {
    for (priority, term) in [(255, 0), (255, 5000), (1, 5000)] {
        let mut bench = Bench::alone();
        bench.bfd = vec![Bfd::Heard];
        bench.peer = Some(Entry { priority, ..entry(Role::Sync, term) });
        bench.run(1000);
        assert!(bench.changes().iter().all(|change| change.to.serves() && change.from.serves()));
        assert!(bench.term() > term);
    }
}

/// LoxiLB: nothing about the node's own links influences its state.
#[test]
fn loxilb_own_ports_and_gateways_mean_nothing() {
    let mut bench = Bench::alone();
    bench.healthy = false;
    bench.step();
    assert_eq!(bench.only_change().to.state(), HaState::Fault);
    let mut bench = Bench::alone();
    bench.gateways = Gateways::Silent;
    bench.run(100);
    assert_eq!(bench.only_change().to.state(), HaState::Fault);
}

/// LoxiLB: a peer that restarts within the detection time is not noticed by the Down it sends.
#[test]
fn loxilb_a_quick_restart_is_not_noticed() {
    let mut bench = Bench::standby();
    bench.bfd = vec![Bfd::Deaf];
    bench.peer = None;
    bench.peer_sender = Sender { incarnation: 0x13, sequence: 0, hears: 0, ..bench.peer_sender };
    bench.hear(Entry { priority: 255, ..entry(Role::Sync, 1005) });
    bench.look();
    let change = bench.expect(Role::Standby, Role::Active, Reason::ColdStart);
    assert_eq!((change.term, change.degraded), (1006, false));
}

/// LoxiLB: equal values while changing give NOT_DEFINED. Equal priorities and terms are decided by the node's id.
#[test]
fn loxilb_equals_decide_nothing() {
    let mut pair = Pair::new([100, 100], 3);
    pair.start(0);
    pair.start(1);
    pair.run(8000);
    assert_eq!(pair.roles(), [Some(Role::Standby), Some(Role::Active)]);
}

/// LoxiLB issue 565: a restarted node was MASTER again before it had the sessions, and reset live connections.
#[test]
fn loxilb_565_master_before_the_sessions_are_there() {
    let preempt = Settings { preempt: true, priority: 255, ..settings() };
    let mut bench = Bench::with(node_settings(), &[preempt]);
    bench.bfd = vec![Bfd::Heard];
    bench.peer = Some(Entry { priority: 1, ..entry(Role::Alone, 7) });
    bench.run(50);
    bench.changes();
    bench.expect_nothing(200_000);
    assert_eq!((bench.role(), bench.request()), (Role::Sync, Request::None));
    // A copy of an earlier claim's sessions is none.
    bench.elections.copied(RED, Some(6));
    bench.expect_nothing(200_000);
    // Asked to take it, it is not ready.
    bench.peer = Some(Entry { priority: 1, request: Request::Switch(8), ..entry(Role::Active, 7) });
    bench.expect_nothing(100);
    assert_eq!(bench.request(), Request::None);
    bench.hear(Entry { request: Request::Go(8), ..entry(Role::Handover, 8) });
    bench.look();
    assert!(bench.changes().is_empty());
}

/// LoxiLB issue 565, once more: a standby whose copy is torn is not ready any more.
#[test]
fn loxilb_565_a_torn_copy() {
    let mut bench = Bench::standby();
    bench.elections.copied(RED, None);
    bench.step();
    bench.expect(Role::Standby, Role::Sync, Reason::CopyLost);
    bench.elections.copied(RED, Some(5));
    bench.step();
    bench.expect(Role::Sync, Role::Standby, Reason::CopyComplete);
}

/// LoxiLB issue 558: both nodes MASTER, and at a simultaneous cold start two VIPs on different nodes.
#[test]
fn loxilb_558_vips_on_different_nodes_after_a_cold_start() {
    let blue = InstanceId(1);
    let two = [settings(), Settings { instance: blue, name: name_hash("blue"), ..settings() }];
    for ours in [true, false] {
        let mut bench = Bench::with(node_settings(), &two);
        let priority = if ours { 50 } else { 150 };
        for _ in 0..10 {
            let said = Entry { priority, ..entry(Role::Sync, 0) };
            bench.hear(said);
            bench.hear(Entry { name: name_hash("blue"), ..said });
            bench.step();
        }
        let roles = [RED, blue].map(|instance| bench.elections.status(instance).unwrap().role);
        assert_eq!(roles, [if ours { Role::Active } else { Role::Sync }; 2]);
    }
}

/// LoxiLB issue 558, once more: whoever is MASTER twice is so for a hello, and then one is.
#[test]
fn loxilb_558_two_masters() {
    let mut pair = Pair::settled(2);
    pair.ways.iter_mut().for_each(|way| way.cut = true);
    pair.run(1000);
    pair.ways = [Way::CLEAN; 2];
    pair.run(12);
    assert_eq!(pair.master(), Some(1), "{}", pair.story());
}

/// A pair migrated node by node: LoxiLB elects by discriminator and says nothing but BFD.
#[test]
fn loxilb_as_a_peer_is_agreed_with() {
    let serve = |bench: &mut Bench| {
        bench.bfd = vec![Bfd::LoxiLb(true)];
        bench.run(2);
        assert_eq!(bench.role(), Role::Active);
    };
    let mut bench = Bench::new();
    bench.bfd = vec![Bfd::Heard];
    bench.run(20_000);
    assert_eq!(bench.role(), Role::Sync, "the handshake decides nothing");
    serve(&mut bench);
    bench.changes();
    bench.expect_nothing(20_000);
    // It restarts and has the higher one now: it serves, so this node does not.
    bench.bfd = vec![Bfd::LoxiLb(false)];
    bench.step();
    bench.expect(Role::Active, Role::Sync, Reason::HigherClaim);
    bench.expect_nothing(20_000);
    bench.vanish();
    assert_eq!(bench.run_until_change(10), 3);
    bench.expect(Role::Sync, Role::Alone, Reason::PeerSilent);
    // The survivor's discriminator is the higher one from now on.
    serve(&mut bench);
}

/// keepalived: both MASTER while advertisements are lost in one direction only.
#[test]
fn keepalived_one_way_loss_makes_two_masters() {
    for to in [0, 1] {
        let mut pair = Pair::settled(4);
        pair.ways[to].cut = true;
        pair.run(20_000);
        // Silence towards the MASTER changes nothing; silence towards the standby makes it take over, and the old
        // one hears that.
        assert_eq!(pair.master(), Some(to), "{}", pair.story());
        assert!(pair.roles()[to].unwrap().serves());
        pair.ways[to].cut = false;
        pair.run(8000);
        assert_eq!(pair.master(), Some(to), "{}", pair.story());
    }
}

/// pfsync's demotion, kept: no claim against a healthy node while the bulk copy runs, though its priority is higher.
#[test]
fn carp_demotes_while_the_bulk_copy_runs() {
    let mut bench = Bench::with(node_settings(), &[Settings { priority: 255, ..settings() }]);
    bench.bfd = vec![Bfd::Heard];
    bench.peer = Some(entry(Role::Active, 5));
    bench.run(1000);
    let said = bench.said.as_ref().unwrap().entries[0];
    assert_eq!((said.role, said.ready, said.holding), (Role::Sync, false, Holding::Part));
}

/// xdp-bfd and others: a peer whose BFD is blocked but whose hellos come is taken over once, not for ever in turns.
#[test]
fn blocked_bfd_makes_no_ping_pong() {
    let mut bench = Bench::standby();
    bench.bfd = vec![Bfd::Silent];
    bench.run(4);
    bench.expect(Role::Standby, Role::Alone, Reason::PeerSilent);
    bench.peer = Some(entry(Role::Sync, 6));
    bench.run(1000);
    bench.changes();
    // The peer takes it back by hand; BFD is still blocked, so its silence says nothing.
    bench.peer = Some(entry(Role::Alone, 7));
    bench.run(10_000);
    assert_eq!(bench.steps(), [(Role::Sync, Reason::HigherClaim)]);
}

/// LoxiLB issue 565, from the other side: the peer restarted and serves anew, so what is here is of its time before.
#[test]
fn loxilb_565_a_copy_of_a_peer_that_restarted() {
    let mut bench = Bench::standby();
    bench.peer_sender = Sender { incarnation: 0x13, sequence: 0, ..bench.peer_sender };
    bench.hear(entry(Role::Alone, 1001));
    bench.look();
    bench.expect(Role::Standby, Role::Sync, Reason::CopyLost);
    // What it said before it restarted is void, of instances too that it has not named since.
    bench.peer_sender = Sender { incarnation: 0x14, sequence: 0, ..bench.peer_sender };
    bench.hear(Entry { name: name_hash("green"), ..entry(Role::Alone, 1001) });
    assert_eq!(bench.status().peer, None);
}
