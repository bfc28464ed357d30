//! Two nodes on a link that does its worst.

use crate::{
    bench::ms,
    pair::{LONE_START, Pair, Way},
};
use hitless::{
    protocol::election::*,
    types::{Duration, InstanceId},
};
use proptest::prelude::*;

const RED: InstanceId = InstanceId(0);

#[derive(Clone, Copy, Debug)]
enum Event {
    Crash(usize),
    Start(usize),
    Pause(usize),
    Resume(usize),
    /// What goes to this node is lost.
    Cut(usize),
    Quality {
        to: usize,
        lost_percent: u64,
        delay_ms: u64,
        wander_ms: u64,
    },
    Gateway(usize, bool),
    Healthy(usize, bool),
    Hold(usize, bool),
    SwitchOver(usize),
    Heal,
}

fn event() -> impl Strategy<Value = Event> {
    let node = 0usize..2;
    prop_oneof![
        2 => node.clone().prop_map(Event::Crash),
        3 => node.clone().prop_map(Event::Start),
        2 => node.clone().prop_map(Event::Pause),
        3 => node.clone().prop_map(Event::Resume),
        3 => node.clone().prop_map(Event::Cut),
        3 => (node.clone(), 0u64..60, 0u64..30, 0u64..30).prop_map(|(to, lost_percent, delay_ms, wander_ms)| {
            Event::Quality { to, lost_percent, delay_ms, wander_ms }
        }),
        3 => (node.clone(), any::<bool>()).prop_map(|(node, up)| Event::Gateway(node, up)),
        2 => (node.clone(), any::<bool>()).prop_map(|(node, up)| Event::Healthy(node, up)),
        1 => (node.clone(), any::<bool>()).prop_map(|(node, held)| Event::Hold(node, held)),
        2 => node.prop_map(Event::SwitchOver),
        2 => Just(Event::Heal),
    ]
}

fn happen(pair: &mut Pair, event: Event) {
    match event {
        Event::Crash(node) => pair.nodes[node].crash(),
        Event::Start(node) => pair.start(node),
        Event::Pause(node) => pair.nodes[node].paused = true,
        Event::Resume(node) => pair.nodes[node].paused = false,
        Event::Cut(to) => pair.ways[to].cut = true,
        Event::Quality { to, lost_percent, delay_ms, wander_ms } => {
            pair.ways[to] = Way { cut: false, lost_percent, delay: ms(delay_ms), wander: ms(wander_ms) };
        }
        Event::Gateway(node, up) => pair.nodes[node].gateway = up,
        Event::Healthy(node, healthy) => pair.nodes[node].healthy = healthy,
        Event::Hold(node, held) => pair.nodes[node].hold(held),
        Event::SwitchOver(node) => {
            let now = pair.now;
            if pair.nodes[node].role().is_some() {
                let _ = pair.nodes[node].elections().switch_over(RED, now);
            }
        }
        Event::Heal => pair.heal(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(150) })]

    /// Whatever happens: two never serve for long while packets pass, one always serves soon if one can, terms never
    /// go back (all checked after every millisecond); and when all is well again, exactly one serves, the other stands
    /// by, and nothing moves any more.
    #[test]
    fn whatever_happens_ends_with_one_master(
        priorities in prop::sample::select(vec![[100, 100], [200, 100], [100, 200]]),
        events in prop::collection::vec((event(), 1u64..2500), 0..14),
        seed: u64,
    ) {
        let mut pair = Pair::new(priorities, seed);
        pair.start(0);
        pair.start(1);
        for (event, milliseconds) in events {
            happen(&mut pair, event);
            pair.run(milliseconds);
        }
        pair.heal();
        pair.run(8000);
        let (master, roles) = (pair.master(), pair.roles());
        prop_assert!(master.is_some(), "{}", pair.story());
        prop_assert!(roles.contains(&Some(Role::Active)) && roles.contains(&Some(Role::Standby)), "{}", pair.story());
        pair.forget();
        pair.run(4000);
        prop_assert_eq!(pair.master(), master);
        prop_assert!(pair.nodes.iter().all(|node| node.changes.is_empty()), "{}", pair.story());
    }

    /// A standby that loses its network, in whatever order and for however long, costs the MASTER nothing: it serves
    /// on, before, during and after. Only a loss shorter than the standby's own patience with its gateway (70 ms at
    /// 10 ms between questions) cannot be told from a MASTER that died.
    #[test]
    fn an_isolated_standby_costs_nothing(
        network_first: bool,
        apart in 0u64..120,
        cut_for in 100u64..5000,
        gateway_back_first: bool,
        back_apart in 0u64..900,
        seed: u64,
    ) {
        let mut pair = Pair::settled(seed);
        let cut = |pair: &mut Pair, cut: bool| pair.ways.iter_mut().for_each(|way| way.cut = cut);
        if network_first {
            cut(&mut pair, true);
            // Its port is gone: everything goes at once, but its gateway was asked a moment ago.
            pair.nodes[1].gateway = false;
        } else {
            pair.nodes[1].gateway = false;
            pair.run(apart);
            cut(&mut pair, true);
        }
        pair.run(cut_for);
        if gateway_back_first {
            pair.nodes[1].gateway = true;
            pair.run(back_apart);
            cut(&mut pair, false);
        } else {
            cut(&mut pair, false);
            pair.run(back_apart);
            pair.nodes[1].gateway = true;
        }
        pair.run(8000);
        prop_assert_eq!(pair.roles(), [Some(Role::Active), Some(Role::Standby)], "{}", pair.story());
        let served = pair.nodes[0].changes.iter().all(|change| change.from.serves() && change.to.serves());
        prop_assert!(served, "{}", pair.story());
        prop_assert_eq!(pair.uncovered, Duration::ZERO);
    }

    /// A partition between the nodes alone: the standby takes over, and keeps what it took when the partition heals,
    /// however long it was. Before, during and after, somebody serves.
    #[test]
    fn a_healed_partition_moves_nothing_again(cut_for in 200u64..6000, seed: u64) {
        let mut pair = Pair::settled(seed);
        pair.ways.iter_mut().for_each(|way| way.cut = true);
        pair.run(cut_for);
        prop_assert_eq!(pair.roles(), [Some(Role::Alone); 2]);
        pair.ways = [Way::CLEAN; 2];
        pair.run(8000);
        prop_assert_eq!(pair.roles(), [Some(Role::Standby), Some(Role::Active)], "{}", pair.story());
        let kept = pair.nodes[1].changes.iter().skip(1).all(|change| change.from.serves() && change.to.serves());
        prop_assert!(kept, "{}", pair.story());
        prop_assert_eq!(pair.uncovered, Duration::ZERO);
    }

    /// Restarts, pauses and silence of a standby, and pauses of a MASTER too short to be noticed, change no role.
    #[test]
    fn no_swap_without_need(
        what in 0u8..4,
        milliseconds in 1u64..5000,
        seed: u64,
    ) {
        let mut pair = Pair::settled(seed);
        match what {
            0 => {
                pair.nodes[1].crash();
                pair.run(milliseconds);
                pair.start(1);
            }
            1 => {
                pair.nodes[1].paused = true;
                pair.run(milliseconds);
                pair.nodes[1].paused = false;
            }
            2 => {
                pair.ways[0].cut = true;
                pair.run(milliseconds);
                pair.ways[0].cut = false;
            }
            _ => {
                pair.nodes[0].paused = true;
                pair.run(milliseconds % 19);
                pair.nodes[0].paused = false;
            }
        }
        pair.run(8000);
        prop_assert_eq!(pair.roles(), [Some(Role::Active), Some(Role::Standby)], "{}", pair.story());
        prop_assert!(pair.nodes[0].changes.iter().all(|change| change.to.serves()), "{}", pair.story());
    }

    /// A planned switchover on a bad link: somebody forwards all the time, and it ends with the instance at one node
    /// or the other.
    #[test]
    fn a_switchover_never_leaves_nobody(
        lost_percent in 0u64..20,
        delay_ms in 0u64..5,
        from in 0usize..2,
        seed: u64,
    ) {
        let mut pair = Pair::settled(seed);
        pair.ways = [Way { cut: false, lost_percent: 0, delay: ms(delay_ms), wander: ms(1) }; 2];
        pair.run(100);
        pair.ways.iter_mut().for_each(|way| way.lost_percent = lost_percent);
        let now = pair.now;
        pair.nodes[from].elections().switch_over(RED, now).unwrap();
        pair.run(3000);
        pair.ways = [Way::CLEAN; 2];
        pair.run(8000);
        prop_assert_eq!(pair.uncovered, Duration::ZERO, "{}", pair.story());
        prop_assert!(pair.master().is_some(), "{}", pair.story());
        if lost_percent == 0 {
            prop_assert_eq!(pair.master(), Some(1), "{}", pair.story());
        }
    }
}

/// From the crash of the MASTER to the standby's claim: the detection time, 30 ms here, and no more than a look.
#[test]
fn a_crash_is_taken_over_within_the_detection_time() {
    for seed in 0..20 {
        let mut pair = Pair::settled(seed);
        let crashed = pair.now;
        pair.nodes[0].crash();
        pair.run(100);
        let change = pair.nodes[1].changes[0];
        assert_eq!((change.to, change.reason, change.degraded), (Role::Alone, Reason::PeerSilent, false));
        let took = change.decided_at.since(crashed);
        assert!(took <= ms(31), "{took:?}");
    }
}

/// The crashed MASTER comes back before anybody missed it: the standby has the sessions, so it serves.
#[test]
fn a_quick_restart_is_taken_over_at_once() {
    for seed in 0..20 {
        let mut pair = Pair::settled(seed);
        pair.nodes[0].crash();
        pair.start(0);
        pair.run(15);
        assert!(pair.nodes[1].role().unwrap().serves(), "{}", pair.story());
        pair.run(8000);
        assert_eq!(pair.roles(), [Some(Role::Standby), Some(Role::Active)], "{}", pair.story());
    }
}

/// A MASTER that stood still, as a frozen virtual machine does: when it wakes its lease is over, and it serves
/// nothing before it has learned that the peer does.
#[test]
fn a_frozen_master_wakes_fenced_by_its_lease() {
    for (seed, milliseconds) in (0..20).zip([100, 200, 500, 900, 5000].into_iter().cycle()) {
        let mut pair = Pair::settled(seed);
        pair.nodes[0].paused = true;
        pair.run(milliseconds);
        assert_eq!(pair.master(), Some(1));
        pair.nodes[0].paused = false;
        for _ in 0..3000 {
            pair.run(1);
            assert_eq!(pair.master(), Some(1), "never both, not for a millisecond: {}", pair.story());
        }
        pair.run(5000);
        assert_eq!(pair.roles(), [Some(Role::Standby), Some(Role::Active)]);
    }
}

/// Both start together, and the one with the higher priority serves, on either side; both start apart, and the first
/// one serves.
#[test]
fn cold_starts() {
    for (priorities, master) in [([200, 100], 0), ([100, 200], 1), ([100, 100], 1)] {
        let mut pair = Pair::new(priorities, 9);
        pair.start(0);
        pair.run(7);
        pair.start(1);
        pair.run(100);
        assert_eq!(pair.master(), Some(master), "{priorities:?} {}", pair.story());
        pair.run(6000);
        assert_eq!(pair.master(), Some(master));
    }
    for first in [0, 1] {
        let mut pair = Pair::new([200, 100], 9);
        pair.start(first);
        pair.run(LONE_START.as_millis() + 100);
        assert_eq!(pair.master(), Some(first));
        pair.start(1 - first);
        pair.run(8000);
        assert_eq!(pair.master(), Some(first), "no preemption");
        assert_eq!(pair.roles()[1 - first], Some(Role::Standby));
    }
}

/// A standby that stood still so long that its ring ran over wakes at the very moment the detection time of the last
/// packet in it ends. It was the one that missed the packets since.
#[test]
fn a_frozen_standby_wakes_and_takes_nothing() {
    for milliseconds in (2900..3200).step_by(3) {
        let mut pair = Pair::settled(2_102_641_800_867_106_026);
        pair.nodes[1].paused = true;
        pair.run(milliseconds);
        pair.nodes[1].paused = false;
        pair.run(5000);
        assert_eq!(
            pair.roles(),
            [Some(Role::Active), Some(Role::Standby)],
            "{milliseconds} ms {}",
            pair.story()
        );
    }
}
