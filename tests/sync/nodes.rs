//! Two whole nodes: traffic on one, all sessions on the other, which then serves them with the same local ports.

use super::{
    frames::{ACK, FIN_ACK, RST, SYN, SYN_ACK, Seen},
    world::{Node, Setup, World, reply_tuple},
};
use hitless::{
    control::{Command, SyncGauge},
    packet::{V4, V6},
    plane::{Counter, HaState},
    protocol::bfd::{Hop, Path, Settings, Timers},
    session::State,
    types::{Duration, PortId, Protocol},
};
use std::{collections::HashSet, net::Ipv4Addr};

/// The other node has a session within so much of its opening: flush, link, and the turns of both control cores.
const BOUND: Duration = Duration::from_micros(200);

fn clients(count: u16) -> Vec<Seen> {
    let kinds = Protocol::ALL.iter().flat_map(|&protocol| [(protocol, 4), (protocol, 6)]);
    kinds
        .flat_map(|(protocol, family)| (0..count).map(move |number| World::client(protocol, family, number)))
        .collect()
}

fn takes_over_everything(workers: usize, toeplitz: bool) {
    let mut world = World::in_sync(Setup { workers: [workers; 2], toeplitz, ..Setup::default() });
    let clients = clients(25);
    let opened: Vec<(Seen, Seen)> =
        clients.iter().map(|&client| (client, world.establish(0, client))).collect();
    world.run(BOUND);
    world.assert_equal();
    assert_eq!(world.table(1).len(), clients.len());
    assert!(
        world.dump(1).iter().all(|record| record.state == State::Established && record.service.is_some())
    );
    assert_eq!(world.nodes[1].active(), clients.len() as u64, "schedulers count them");
    for (_, there) in &opened {
        let steering = &world.nodes[1].shared().ports[0].steering;
        let worker = match reply_tuple::<V4>(*there) {
            Some(tuple) => steering.owner(&tuple, there.protocol),
            None => steering.owner(&reply_tuple::<V6>(*there).unwrap(), there.protocol),
        };
        assert!(worker.index() < workers);
    }
    // A BACKUP forwards nothing.
    assert_eq!(world.ask(1, opened[0].0, ACK), None);

    // The first node stops where it stands. Taking over is one store.
    world.nodes[0].alive = false;
    world.nodes[1].set(HaState::Master, 2);
    for (client, there) in &opened {
        assert_eq!(world.ask(1, *client, ACK), Some(*there), "the same local port and backend");
        assert_eq!(world.ask(1, there.reversed(), ACK), Some(client.reversed()));
    }
    // No local port that is in use is given away again.
    let mut used: HashSet<Seen> = opened.iter().map(|(_, there)| *there).collect();
    for number in 1000..1100 {
        let there = world.open(1, World::client(Protocol::Tcp, 4, number));
        assert!(used.insert(there), "{there:?} is used twice");
    }
    assert_eq!(world.nodes[1].tally().get(Counter::SyncRefused), 0);
}

#[test]
fn one_worker_software_steering() {
    takes_over_everything(1, false);
}

#[test]
fn three_workers_software_steering() {
    takes_over_everything(3, false);
}

#[test]
fn one_worker_toeplitz() {
    takes_over_everything(1, true);
}

#[test]
fn three_workers_toeplitz() {
    takes_over_everything(3, true);
}

#[test]
fn a_session_is_at_the_peer_before_its_backend_can_have_answered() {
    let mut world = World::in_sync(Setup::default());
    world.open(0, World::client(Protocol::Tcp, 4, 1));
    let client = World::client(Protocol::Tcp, 4, 2);
    let frames = world.nodes[0].gauge(SyncGauge::FramesSent);
    world.arrived.clear();
    world.say(0, client, SYN);
    while world.arrived.is_empty() {
        world.step();
    }
    // The SYN has left. One turn later the record has left too, without anybody having waited for the other.
    world.run(Duration::from_millis(1));
    assert!(world.nodes[0].gauge(SyncGauge::FramesSent) > frames);
    world.assert_equal();
}

/// A crash between the backend's answer and the client's next segment leaves the session to be established there.
#[test]
fn a_half_open_session_is_established_by_the_node_that_takes_over() {
    let mut world = World::in_sync(Setup::default());
    let client = World::client(Protocol::Tcp, 4, 1);
    let there = world.open(0, client);
    assert_eq!(world.ask(0, there.reversed(), SYN_ACK), Some(client.reversed()));
    world.run(BOUND);
    world.nodes[0].alive = false;
    world.nodes[1].set(HaState::Master, 2);
    assert_eq!(world.ask(1, client, ACK), Some(there));
    assert_eq!(world.dump(1)[0].state, State::Established);
}

#[test]
fn ends_and_states_follow() {
    let mut world = World::in_sync(Setup::default());
    let state = |world: &mut World, node| world.dump(node).iter().map(|r| r.state).collect::<Vec<_>>();
    let client = World::client(Protocol::Tcp, 6, 1);
    let there = world.establish(0, client);
    world.run(BOUND);
    assert_eq!(state(&mut world, 1), [State::Established]);
    world.ask(0, client, FIN_ACK);
    world.run(BOUND);
    assert_eq!(state(&mut world, 1), [State::ClientClosed]);
    world.ask(0, there.reversed(), FIN_ACK);
    world.ask(0, client, ACK);
    world.run(BOUND);
    assert_eq!(state(&mut world, 0), [State::Closed]);
    assert_eq!(state(&mut world, 1), [State::Closed]);
    // The client begins anew: one session ends, another opens, with the same tuple.
    let again = world.open(0, client);
    world.run(BOUND);
    assert_ne!(again, there);
    assert_eq!(world.dump(1).len(), 1);
    world.assert_equal();
    world.ask(0, client, RST);
    world.run(BOUND);
    assert_eq!(state(&mut world, 1), [State::Reset]);
    // Closed sessions end after five seconds, here and there.
    world.until("over", |world| world.nodes.iter().all(|node| node.sessions() == 0));
    assert_eq!(world.nodes[1].active(), 0);
}

#[test]
fn a_node_that_joins_gets_everything_while_traffic_goes_on() {
    let mut world = World::new(Setup { workers: [3, 3], ..Setup::default() });
    world.nodes[1].alive = false;
    let mut sessions: Vec<Seen> = Vec::new();
    world.open(0, World::client(Protocol::Tcp, 4, 0));
    world.open(0, World::client(Protocol::Tcp, 6, 0));
    let mut open = |world: &mut World, number: u16| {
        let client = World::client(Protocol::Tcp, if number.is_multiple_of(3) { 6 } else { 4 }, number);
        world.say(0, client, SYN);
        sessions.push(client);
    };
    for number in 1..3000 {
        open(&mut world, number);
        if number % 8 == 0 {
            world.step();
        }
    }
    world.restart(1, HaState::Backup, 1);
    for number in 3000..4500 {
        open(&mut world, number);
        // Some of the old ones end meanwhile.
        let client = World::client(Protocol::Tcp, 4, number / 3 * 3 - 2998);
        world.say(0, client, RST);
        world.step();
        assert!(!world.nodes[1].sync().in_sync() || number > 3100, "in sync before the copy can be complete");
    }
    world.until("in sync", |world| world.nodes[1].sync().in_sync());
    world.run(BOUND);
    world.assert_equal();
    assert!(world.table(1).len() > 4000);
}

#[test]
fn a_master_that_comes_back_takes_the_sessions_of_the_other() {
    let mut world = World::in_sync(Setup { workers: [3, 3], toeplitz: true, ..Setup::default() });
    let first: Vec<_> = clients(5).into_iter().map(|client| (client, world.establish(0, client))).collect();
    world.run(BOUND);
    world.nodes[0].alive = false;
    world.nodes[1].set(HaState::Master, 2);
    let second: Vec<_> = (100..120)
        .map(|number| World::client(Protocol::Tcp, 4, number))
        .map(|client| (client, world.establish(1, client)))
        .collect();
    world.restart(0, HaState::Backup, 2);
    world.until("in sync", |world| world.nodes[0].sync().in_sync());
    world.assert_equal();
    world.nodes[1].alive = false;
    world.nodes[0].set(HaState::Master, 3);
    for (client, there) in first.iter().chain(&second) {
        assert_eq!(world.ask(0, *client, ACK), Some(*there), "survives the second failure too");
    }
}

/// Both nodes start, and follow each other's stream, before either serves: what they copied then was nothing.
#[test]
fn a_copy_made_before_its_instance_was_served_counts_for_nothing() {
    let mut world = World::in_sync(Setup { workers: [3, 3], ..Setup::default() });
    for number in 0..2000 {
        world.open(0, World::client(Protocol::Tcp, 4, number));
    }
    world.nodes[0].set(HaState::Backup, 1);
    world.restart(1, HaState::Backup, 1);
    // The second takes the first's stream from the beginning: everything but what the instance has.
    world.run(Duration::from_millis(50));
    assert!(world.nodes[1].gauge(SyncGauge::FramesReceived) > 0, "nothing was copied");
    assert!(!world.nodes[1].sync().in_sync(), "nobody serves");
    world.nodes[0].set(HaState::Master, 2);
    world.until("in sync", |world| world.nodes[1].sync().in_sync());
    assert_eq!(world.nodes[1].sessions(), 2000, "in sync without the sessions");
    world.assert_equal();
}

/// A node that was restarted knows of a higher term than the owner's, until the owner raises its own.
#[test]
fn a_copy_of_which_something_was_refused_counts_for_nothing() {
    let mut world = World::in_sync(Setup { workers: [3, 3], ..Setup::default() });
    for number in 0..200 {
        world.open(0, World::client(Protocol::Tcp, 4, number));
    }
    world.restart(1, HaState::Backup, 9);
    world.run(Duration::from_millis(50));
    assert!(world.nodes[1].gauge(SyncGauge::OldTerm) >= 200, "nothing was refused");
    assert!(!world.nodes[1].sync().in_sync(), "in sync without the sessions");
    world.nodes[0].set(HaState::Master, 10);
    world.until("in sync", |world| world.nodes[1].sync().in_sync());
    assert_eq!(world.nodes[1].sessions(), 200);
    world.assert_equal();
}

/// A planned switchover: nobody restarts, the roles change.
#[test]
fn roles_can_be_exchanged_and_back() {
    let mut world = World::in_sync(Setup { workers: [3, 3], ..Setup::default() });
    let mut sessions = Vec::new();
    for round in 0..4u16 {
        let (owner, other) = (usize::from(round % 2), usize::from(1 - round % 2));
        for number in 0..20 {
            let client = World::client(Protocol::Tcp, 4, round * 20 + number);
            sessions.push((client, world.establish(owner, client)));
        }
        let sync = world.nodes[owner].assembly.control.sync_mut().unwrap();
        sync.mark_barrier();
        let mut steps = 0;
        while !world.nodes[owner].assembly.control.sync_mut().unwrap().is_past_barrier() {
            world.step();
            steps += 1;
            assert!(steps < 100, "the barrier is never passed");
        }
        let term = u64::from(round) + 2;
        world.nodes[owner].set(HaState::Backup, term);
        world.nodes[other].set(HaState::Master, term);
        for (client, there) in &sessions {
            assert_eq!(world.ask(other, *client, ACK), Some(*there), "round {round}");
        }
        world.run(Duration::from_millis(2));
        world.until("in sync again", |world| world.nodes[owner].sync().in_sync());
        world.assert_equal();
    }
}

/// A paused ex-master cannot write into the new master's table.
#[test]
fn records_of_an_older_term_are_refused() {
    let mut world = World::in_sync(Setup::default());
    let client = World::client(Protocol::Tcp, 4, 1);
    let there = world.establish(0, client);
    world.run(BOUND);
    // The first node stands still with a segment in its queue, and the other takes over.
    world.nodes[0].alive = false;
    world.say(0, client, RST);
    world.say(0, World::client(Protocol::Tcp, 4, 2), SYN);
    world.run(Duration::from_millis(5));
    world.nodes[1].set(HaState::Master, 2);
    assert_eq!(world.ask(1, client, ACK), Some(there));
    // It wakes up and still thinks that it owns everything.
    world.nodes[0].alive = true;
    world.run(Duration::from_millis(5));
    assert!(world.nodes[1].gauge(SyncGauge::OwnInstance) > 0);
    assert_eq!(world.dump(1).len(), 1);
    assert_eq!(world.dump(1)[0].state, State::Established);
    // It learns of the other, gives up, and takes what the other has.
    world.nodes[0].set(HaState::Backup, 2);
    world.run(Duration::from_millis(2));
    world.until("in sync", |world| world.nodes[0].sync().in_sync());
    world.assert_equal();
    // As a BACKUP that has lost a later term, too, a node takes nothing of an older one.
    world.nodes[1].set(HaState::Backup, 9);
    world.run(Duration::from_millis(2));
    world.nodes[0].set(HaState::Master, 8);
    world.run(Duration::from_millis(2));
    world.open(0, World::client(Protocol::Tcp, 4, 3));
    world.run(Duration::from_millis(2));
    assert!(world.nodes[1].gauge(SyncGauge::OldTerm) > 0);
}

/// A node that returns with reserved terms raises its own while it goes on; the other hears of it before it has taken
/// all that was told under the one before.
#[test]
fn an_owner_that_raises_its_term_loses_no_record() {
    let mut world = World::in_sync(Setup::default());
    for term in 2..40 {
        let number = term as u16 * 2;
        world.open(0, World::client(Protocol::Tcp, 4, number));
        world.nodes[1].set(HaState::Backup, term);
        world.open(0, World::client(Protocol::Tcp, 4, number + 1));
        world.nodes[0].set(HaState::Master, term);
        world.run(Duration::from_millis(40));
        assert!(world.nodes[1].sync().in_sync(), "in term {term}");
    }
    world.assert_equal();
    assert_eq!(world.nodes[1].gauge(SyncGauge::OldTerm), 0);
}

/// After a take-over both nodes know a session's last packet from the other: the standby must not end it first.
#[test]
fn a_standby_ends_no_session_before_its_owner_does() {
    let mut world = World::in_sync(Setup::default());
    for number in 0..80 {
        let client = World::client(Protocol::Tcp, 4, number);
        world.establish(0, client);
        world.say(0, client, RST);
        world.run(Duration::from_millis(40));
    }
    world.nodes[0].set(HaState::Backup, 2);
    world.nodes[1].set(HaState::Master, 2);
    world.run(Duration::from_millis(2));
    world.until("in sync", |world| world.nodes[0].sync().in_sync());
    assert_eq!(world.nodes[0].sessions(), 80);
    for _ in 0..20 * 200 {
        world.step_by(Duration::from_millis(5));
        assert!(world.nodes[0].sync().in_sync(), "at {:?}", world.now);
    }
    assert_eq!(world.nodes[0].sessions(), 0);
}

#[test]
fn idle_sessions_cost_nothing_and_busy_ones_are_touched_before_the_peer_could_end_them() {
    let mut world = World::in_sync(Setup { udp_timeout_s: 20, ..Setup::default() });
    let busy = World::client(Protocol::Udp, 4, 1);
    let there = world.establish(0, busy);
    world.establish(0, World::client(Protocol::Udp, 4, 2));
    let records = world.nodes[0].gauge(SyncGauge::RecordsSent);
    for second in 0..100 {
        for _ in 0..200 {
            world.step_by(Duration::from_millis(5));
        }
        assert_eq!(world.ask(0, busy, ACK), Some(there));
        world.run(Duration::from_millis(1));
        let sessions = if second < 18 { 2..=2 } else { 1..=2 };
        assert!(sessions.contains(&(world.dump(1).len() as u64)), "after {second} s");
    }
    assert_eq!(world.dump(1).len(), 1, "the idle one has ended");
    let audits = 100 * 100;
    let told = world.nodes[0].gauge(SyncGauge::RecordsSent) - records - audits;
    assert!(told < 500, "{told} records for about ten touches and some audits more");
    // A standby's own clock ends nothing before four times the timeout.
    world.nodes[0].alive = false;
    for _ in 0..70 * 200 {
        world.step_by(Duration::from_millis(5));
    }
    assert_eq!(world.dump(1).len(), 1);
    for _ in 0..15 * 200 {
        world.step_by(Duration::from_millis(5));
    }
    assert_eq!(world.dump(1).len(), 0);
}

/// Becoming the owner gives a session that the peer touched long ago its grace, once.
#[test]
fn a_take_over_ends_no_session_early() {
    let mut world = World::in_sync(Setup { udp_timeout_s: 20, ..Setup::default() });
    let client = World::client(Protocol::Udp, 6, 1);
    let there = world.establish(0, client);
    for _ in 0..18 * 200 {
        world.step_by(Duration::from_millis(5));
    }
    assert_eq!(world.ask(0, client, ACK), Some(there));
    // Before the touch can be sent, the first node is gone.
    world.nodes[0].alive = false;
    world.nodes[1].set(HaState::Master, 2);
    for _ in 0..15 * 200 {
        world.step_by(Duration::from_millis(5));
    }
    assert_eq!(
        world.ask(1, client, ACK),
        Some(there),
        "15 s after its last packet, 33 s after the last record"
    );
    // From now on this node's own clock counts.
    for _ in 0..22 * 200 {
        world.step_by(Duration::from_millis(5));
    }
    assert_eq!(world.nodes[1].sessions(), 0);
}

const LATE: &str = "[[service]]\nname = \"late\"\nvip = \"10.77.0.101\"\nport = 443\n\
                    backends = [{ address = \"10.77.0.21\", port = 8443 }]\n";

/// Services are configured node by node: a session may come before its service does, and must survive all the same.
#[test]
fn a_session_of_an_unknown_service_is_kept_and_bound_when_the_service_appears() {
    let late = |number: u16| Seen {
        destination: "10.77.0.101:443".parse().unwrap(),
        ..World::client(Protocol::Tcp, 4, number)
    };
    let mut world = World::in_sync(Setup { more: [LATE, ""], ..Setup::default() });
    let opened: Vec<_> = (0..10).map(|number| (late(number), world.establish(0, late(number)))).collect();
    world.run(BOUND);
    world.assert_equal();
    assert!(world.nodes[1].sync().in_sync());
    assert_eq!(world.nodes[1].active(), 0, "no backend of this node's has it");
    assert!(world.dump(1).iter().all(|record| record.service.is_none()));
    // The service appears: the sessions are its own within a round of ageing.
    let mut services = world.nodes[1].shared().config.services.clone();
    services.extend(world.nodes[0].shared().config.services.iter().filter(|s| s.name == "late").cloned());
    let begun = std::time::Instant::now();
    world.nodes[1].shared().registry.lock().replace(services, begun).unwrap();
    world.run(Duration::from_millis(2_500));
    assert_eq!(world.nodes[1].active(), 10);
    assert!(world.dump(1).iter().all(|record| record.service.is_some()));
    // It goes away again, and does not come back in time: the peer has it still, so its sessions stay.
    {
        let mut registry = world.nodes[1].shared().registry.lock();
        registry.replace(world.nodes[1].shared().config.services.clone(), begun).unwrap();
        let until = registry.next_deadline().unwrap();
        registry.tick(until);
        let settlement = registry.settle().unwrap();
        registry.publish(settlement, until);
    }
    world.run(Duration::from_millis(2_500));
    assert_eq!((world.nodes[1].active(), world.dump(1).len()), (0, 10));
    // And this node goes on with them even so.
    world.nodes[0].alive = false;
    world.nodes[1].set(HaState::Master, 2);
    world.run(Duration::from_millis(2_500));
    for (client, there) in &opened {
        assert_eq!(world.ask(1, *client, ACK), Some(*there));
        assert_eq!(world.ask(1, there.reversed(), ACK), Some(client.reversed()));
    }
}

/// Both nodes own something, and each keeps what is the other's.
#[test]
fn each_node_owns_an_instance_and_the_other_keeps_its_sessions() {
    let mut world = World::new(Setup { blue: true, workers: [3, 3], ..Setup::default() });
    world.nodes[0].set_instance(1, HaState::Backup, 4);
    world.nodes[1].set_instance(1, HaState::Master, 4);
    world.until("in sync", |world| world.nodes.iter().all(|node| node.sync().in_sync()));
    let blue = |number| Seen {
        destination: "10.77.0.103:80".parse().unwrap(),
        ..World::client(Protocol::Tcp, 4, number)
    };
    let reds: Vec<_> =
        (0..30).map(|n| World::client(Protocol::Tcp, 4, n)).map(|c| (c, world.establish(0, c))).collect();
    let blues: Vec<_> = (0..30).map(blue).map(|c| (c, world.establish(1, c))).collect();
    world.run(BOUND);
    world.assert_equal();
    assert_eq!(world.table(0).len(), 60);
    // Rounds of audits find nothing to mend.
    world.run(Duration::from_secs(3));
    assert!(world.nodes.iter().all(|node| node.sync().in_sync() && node.gauge(SyncGauge::Repairs) == 0));
    // One is gone, the other owns everything.
    world.nodes[1].alive = false;
    world.nodes[0].set_instance(1, HaState::Master, 5);
    for (client, there) in reds.iter().chain(&blues) {
        assert_eq!(world.ask(0, *client, ACK), Some(*there));
    }
    // It comes back and gets its instance again, planned.
    world.restart(1, HaState::Backup, 1);
    world.nodes[1].set_instance(1, HaState::Backup, 5);
    world.until("in sync", |world| world.nodes[1].sync().in_sync());
    world.nodes[0].set_instance(1, HaState::Backup, 6);
    world.nodes[1].set_instance(1, HaState::Master, 6);
    for (client, there) in &blues {
        assert_eq!(world.ask(1, *client, ACK), Some(*there));
    }
    for (client, there) in &reds {
        assert_eq!(world.ask(0, *client, ACK), Some(*there));
    }
    world.run(Duration::from_millis(2));
    world.until("in sync", |world| world.nodes.iter().all(|node| node.sync().in_sync()));
    world.assert_equal();
}

#[test]
fn without_session_sync_nothing_is_journaled_and_the_peer_is_still_spoken_to() {
    let setup = Setup::default();
    let document = super::world::text(&setup, 0, None).replace("enabled = true", "enabled = false");
    let machine = hitless::config::Machine::with_cores(8);
    let config = hitless::config::Config::parse(&document, "test.toml", &machine).unwrap();
    let assembly =
        hitless::manage::assemble::<hitless::port::memory::MemoryPort>(config, Vec::new()).unwrap();
    assert!(assembly.shared.sync.is_none() && assembly.shared.pair.is_some());
    let with = Node::new(&setup, 0);
    assert!(with.shared().sync.is_some());
}

/// Has the node's control core do it.
fn order(world: &mut World, node: usize, command: Command) {
    world.nodes[node].shared().mailbox.send(command).unwrap();
    let done = |world: &World| {
        world.nodes[node].shared().mailbox.answer().is_some_and(|(_, result)| {
            result.unwrap();
            true
        })
    };
    world.until("done", done);
}

fn session_with(node: usize, peer: u8) -> Command {
    let address = |last| Ipv4Addr::new(10, 77, 0, last).into();
    let (local, remote) = (address([11, 12][node]), address(peer));
    let path = Path { port: PortId(0), local, remote, hop: Hop::Single };
    Command::AddBfd(Box::new(Settings::new(path, Timers::symmetric(10_000, 3).unwrap())))
}

#[test]
fn sessions_go_to_the_address_that_the_peer_is_heard_from() {
    for deleted in [false, true] {
        let mut world = World::new(Setup { peer_by_api: true, ..Setup::default() });
        // Nobody is there.
        order(&mut world, 0, session_with(0, 99));
        if deleted {
            let id = world.nodes[0].shared().bfd.list()[0].id;
            order(&mut world, 0, Command::RemoveBfd(id));
        }
        order(&mut world, 0, session_with(0, 12));
        order(&mut world, 1, session_with(1, 11));
        world.until("in sync", |world| world.nodes.iter().all(|node| node.sync().in_sync()));
        world.establish(0, World::client(Protocol::Tcp, 4, 1));
        world.run(BOUND);
        world.assert_equal();
        assert_eq!(world.table(1).len(), 1);
        // It is spoken to no more at an address that was taken away.
        let id = world.nodes[0]
            .shared()
            .bfd
            .list()
            .iter()
            .find(|entry| entry.path.remote == Ipv4Addr::new(10, 77, 0, 12))
            .unwrap()
            .id;
        order(&mut world, 0, Command::RemoveBfd(id));
        world.run(Duration::from_millis(100));
        world.recording = true;
        world.run(Duration::from_millis(100));
        assert!(world.recorded.iter().all(|(node, _)| *node == 1), "node 0 speaks still");
    }
}
