//! What goes wrong on the way: loss, duplication, reordering, delay, restarts, standing still, full rings. After it
//! is over, both tables are equal, and no session that was acknowledged is lost.

use super::{
    frames::{ACK, FIN_ACK, RST, SYN, Seen},
    world::{Quality, Setup, World},
};
use hitless::{
    control::SyncGauge,
    plane::{Counter, HaState},
    protocol::bfd::Random,
    types::{Duration, Protocol},
};
use proptest::prelude::*;
use std::collections::HashSet;

fn quality() -> impl Strategy<Value = Quality> {
    (0..30u64, 0..30u64, 0..1500u64).prop_map(|(lost_percent, doubled_percent, wander)| Quality {
        lost_percent,
        doubled_percent,
        wander: Duration::from_micros(wander),
    })
}

/// A client of one of many sessions.
fn client(random: &mut Random) -> Seen {
    let protocol = Protocol::ALL[random.below(3) as usize];
    World::client(protocol, if random.below(2) == 0 { 4 } else { 6 }, random.below(300) as u16)
}

/// Neighbours are known, so that packets are not held.
fn warm(world: &mut World) {
    for number in 0..20 {
        world.open(0, World::client(Protocol::Udp, 4, 5000 + number));
        world.open(0, World::client(Protocol::Udp, 6, 5000 + number));
    }
}

/// Random traffic for so many steps.
fn traffic(world: &mut World, random: &mut Random, node: usize, steps: u32) {
    for _ in 0..steps {
        let client = client(random);
        let flags = [SYN, SYN, SYN, ACK, FIN_ACK, RST][random.below(6) as usize];
        world.say(node, client, flags);
        // Some of what backends get is answered.
        if let Some(there) = world.arrived.pop()
            && there.destination.port() == 8080
        {
            world.say(node, there.reversed(), if flags == FIN_ACK { FIN_ACK } else { 0x12 });
        }
        world.arrived.clear();
        world.step();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn tables_are_equal_once_it_is_quiet(
        quality in quality(),
        seed: u64,
        workers in 1..4usize,
        toeplitz: bool,
        restart in prop::option::of(0..2usize),
    ) {
        let mut world = World::in_sync(Setup { workers: [workers; 2], toeplitz, ..Setup::default() });
        warm(&mut world);
        world.seed(seed);
        let mut random = Random::seeded(seed);
        world.quality = quality;
        traffic(&mut world, &mut random, 0, 800);
        match restart {
            Some(1) => world.restart(1, HaState::Backup, 1),
            Some(_) => {
                // The owner is gone and comes back as a BACKUP of the other.
                world.nodes[1].set(HaState::Master, 2);
                world.restart(0, HaState::Backup, 2);
            }
            None => {}
        }
        let owner = usize::from(restart == Some(0));
        traffic(&mut world, &mut random, owner, 800);
        world.quality = Quality::GOOD;
        world.run(Duration::from_millis(5));
        world.until("in sync", |world| world.nodes[1 - owner].sync().in_sync());
        world.until("quiet", |world| world.nodes[owner].gauge(SyncGauge::LagRecords) == 0);
        world.run(Duration::from_millis(5));
        world.assert_equal();
        for node in &world.nodes {
            prop_assert_eq!(node.tally().get(Counter::SyncRefused), 0);
            let tally = node.tally();
            let opened = tally.get(Counter::SessionsOpened) + tally.get(Counter::SessionsSynced);
            prop_assert_eq!(opened, tally.get(Counter::SessionsEnded) + node.sessions());
            prop_assert_eq!(node.active(), node.sessions(), "each session counts at its backend");
        }
    }

    /// Whatever the link does: a session whose record is acknowledged when its node dies goes on at the other, with the
    /// same local port, and no port is given away twice.
    #[test]
    fn no_acknowledged_session_is_lost(quality in quality(), seed: u64, workers in 1..4usize) {
        let mut world = World::in_sync(Setup { workers: [workers; 2], ..Setup::default() });
        warm(&mut world);
        world.seed(seed);
        world.quality = quality;
        let mut random = Random::seeded(seed);
        let mut opened: Vec<(Seen, Seen)> = Vec::new();
        for number in 0..400u16 {
            let family = if random.below(2) == 0 { 4 } else { 6 };
            let client = World::client(Protocol::Tcp, family, number);
            let there = world.ask(0, client, SYN);
            prop_assert!(there.is_some());
            opened.extend(there.map(|there| (client, there)));
        }
        world.nodes[0].assembly.control.sync_mut().unwrap().mark_barrier();
        let before = opened.len();
        let mut steps = 0;
        while !world.nodes[0].assembly.control.sync_mut().unwrap().is_past_barrier() {
            let client = World::client(Protocol::Tcp, 4, 1000 + steps);
            world.say(0, client, SYN);
            world.step();
            steps += 1;
            prop_assert!(steps < 30_000, "never acknowledged");
        }
        world.nodes[0].alive = false;
        world.nodes[1].set(HaState::Master, 2);
        world.quality = Quality::GOOD;
        world.run(Duration::from_millis(1));
        let mut used = HashSet::new();
        for (client, there) in &opened[..before] {
            prop_assert_eq!(world.ask(1, *client, ACK), Some(*there));
            prop_assert!(used.insert(*there), "one port for two sessions");
        }
        for number in 0..50 {
            let there = world.open(1, World::client(Protocol::Tcp, 4, 40_000 + number));
            prop_assert!(used.insert(there), "a port that a synced session has");
        }
    }
}

/// The control core stands still while workers open more sessions than their rings hold.
#[test]
fn what_a_full_ring_dropped_is_copied_again() {
    let setup = Setup { max_sessions: 60_000, workers: [1, 1], ..Setup::default() };
    let mut world = World::in_sync(setup);
    warm(&mut world);
    world.nodes[0].control_alive = false;
    for number in 0..20_000u16 {
        world.say(0, World::client(Protocol::Udp, 4, number), SYN);
        if number % 16 == 0 {
            world.arrived.clear();
            world.step();
        }
    }
    let sessions = world.nodes[0].sessions();
    world.run(Duration::from_millis(2));
    assert!(world.nodes[0].tally().get(Counter::SyncOverruns) > 1_000);
    world.nodes[0].control_alive = true;
    world.until("copied", |world| world.nodes[1].sessions() >= sessions);
    world.run(Duration::from_millis(100));
    world.until("in sync", |world| world.nodes[1].sync().in_sync());
    world.assert_equal();
}

/// The standby takes nothing for a while: its peer's workers do not wait for it.
#[test]
fn a_standby_that_stands_still_costs_its_peer_nothing_but_a_copy() {
    let mut world = World::in_sync(Setup { max_sessions: 60_000, ..Setup::default() });
    warm(&mut world);
    world.nodes[1].alive = false;
    for number in 0..20_000u16 {
        world.say(0, World::client(Protocol::Udp, 4, number), SYN);
        if number % 16 == 0 {
            world.arrived.clear();
            world.step();
        }
    }
    world.run(Duration::from_millis(2));
    assert_eq!(world.nodes[0].sessions(), 20_000 + 20, "every session was opened");
    world.nodes[1].alive = true;
    world.until("the same", |world| world.nodes[1].sessions() == world.nodes[0].sessions());
    world.until("in sync", |world| world.nodes[1].sync().in_sync());
    world.run(Duration::from_millis(5));
    world.assert_equal();
}

/// Something neither side knows of has changed the standby's table: the audit finds it.
#[test]
fn the_audit_finds_what_nobody_told() {
    let mut world = World::in_sync(Setup::default());
    warm(&mut world);
    for number in 0..50 {
        world.establish(0, World::client(Protocol::Udp, 4, number));
    }
    world.run(Duration::from_millis(2));
    let (sessions, streams) = (world.nodes[0].sessions(), world.nodes[0].gauge(SyncGauge::Streams));
    assert_eq!(world.nodes[1].sessions(), sessions);
    // The standby's workers dream of a time when every session has long been idle.
    for turn in 0..5_000 {
        let dream = world.now + Duration::from_secs(7_200) + Duration::from_millis(turn);
        for worker in &mut world.nodes[1].assembly.workers {
            worker.turn(dream);
        }
    }
    assert_eq!(world.nodes[1].sessions(), 0);
    let took = world.until("repaired", |world| world.nodes[1].sessions() == sessions);
    assert!(took < Duration::from_secs(3), "{took:?}");
    world.run(Duration::from_millis(50));
    world.until("in sync", |world| world.nodes[1].sync().in_sync());
    assert!(world.nodes[0].gauge(SyncGauge::Repairs) > 0);
    assert_eq!(world.nodes[0].gauge(SyncGauge::Streams), streams, "no new stream was needed");
    world.assert_equal();
}
