//! Strangers, forgers, recordings, other releases and other configurations: refused by name, and nothing changes.

use super::{
    frames::ACK,
    world::{OTHERS, Setup, World},
};
use hitless::{
    control::SyncGauge,
    packet::{ETHER_IPV4, Ethernet, Udp},
    protocol::pair::{Difference, Fingerprint, Kind, Pair, PairSettings, Refusal, SYNC_PORT},
    types::{Duration, Protocol},
};

const KEY: Option<&str> = Some("a secret of both nodes");

/// A frame of the pair's for the second node.
fn frame(world: &World, source: [u8; 4], ttl: u8, message: &[u8]) -> Vec<u8> {
    let udp = Udp {
        source: source.into(),
        destination: [10, 77, 0, 12].into(),
        source_port: SYNC_PORT,
        destination_port: SYNC_PORT,
        ttl,
    };
    let mut out = vec![0; 14 + udp.header_length() + message.len()];
    let ethernet = Ethernet { destination: world.mac(1), source: OTHERS, vlan: 0, ether_type: ETHER_IPV4 };
    let at = ethernet.write(&mut out).unwrap();
    out[at + udp.header_length()..].copy_from_slice(message);
    udp.write_headers(&mut out[at..], 0, message.len()).unwrap();
    out
}

fn message_of(frame: &[u8]) -> Vec<u8> {
    Udp::parse(&frame[14..]).unwrap().1.to_vec()
}

/// A pair in sync with some sessions, and the messages that the first node sent.
fn eavesdropped(key: Option<&'static str>) -> (World, Vec<Vec<u8>>) {
    let mut world = World::in_sync(Setup { key: [key; 2], ..Setup::default() });
    world.recording = true;
    for number in 0..20 {
        world.establish(0, World::client(Protocol::Tcp, 4, number));
    }
    world.run(Duration::from_millis(20));
    world.recording = false;
    let from_first = std::mem::take(&mut world.recorded).into_iter().filter(|(from, _)| *from == 0);
    let messages = from_first.map(|(_, frame)| message_of(&frame)).collect();
    (world, messages)
}

/// Gives the second node some messages; each must be refused for this reason, and change nothing.
fn expect(world: &mut World, frames: &[Vec<u8>], reason: Refusal) {
    let table = world.table(1);
    let before = world.nodes[1].pair().refused(reason);
    for frame in frames {
        world.inject(1, frame);
        world.step();
    }
    world.run(Duration::from_millis(3));
    let refused = world.nodes[1].pair().refused(reason) - before;
    assert_eq!(refused, frames.len() as u64, "{reason}");
    assert_eq!(world.table(1), table);
    assert!(world.nodes[1].sync().in_sync());
}

#[test]
fn recordings_are_refused_with_and_without_a_key() {
    for key in [None, KEY] {
        let (mut world, messages) = eavesdropped(key);
        assert!(messages.len() > 20);
        let frames: Vec<_> = messages.iter().map(|m| frame(&world, [10, 77, 0, 11], 255, m)).collect();
        expect(&mut world, &frames, Refusal::Replayed);
    }
}

#[test]
fn strangers_are_refused() {
    let (mut world, messages) = eavesdropped(None);
    let foreign: Vec<_> = messages.iter().map(|m| frame(&world, [10, 77, 0, 66], 255, m)).collect();
    expect(&mut world, &foreign, Refusal::Stranger);
    let routed: Vec<_> = messages.iter().map(|m| frame(&world, [10, 77, 0, 11], 254, m)).collect();
    expect(&mut world, &routed, Refusal::Stranger);
}

#[test]
fn forgeries_are_refused() {
    let (mut world, messages) = eavesdropped(KEY);
    let forged: Vec<_> = messages
        .iter()
        .enumerate()
        .map(|(n, message)| {
            let mut forged = message.clone();
            let at = 32 + n * 7 % (forged.len() - 32);
            forged[at] ^= 1;
            frame(&world, [10, 77, 0, 11], 255, &forged)
        })
        .collect();
    expect(&mut world, &forged, Refusal::WrongKey);
    let mut newer = messages[0].clone();
    newer[4] += 1;
    let newer = frame(&world, [10, 77, 0, 11], 255, &newer);
    expect(&mut world, &[newer], Refusal::WrongVersion);
    let cut = frame(&world, [10, 77, 0, 11], 255, &messages[0][..40]);
    expect(&mut world, &[cut], Refusal::Malformed);
}

/// Somebody who knows everything but who this node is now.
#[test]
fn whoever_was_not_there_after_the_start_is_refused() {
    let (mut world, _) = eavesdropped(None);
    let settings = PairSettings { node: 99, incarnation: 5, fingerprint: Fingerprint::default(), key: None };
    let mut stranger = Pair::new(settings);
    let mut out = [0; 200];
    let frames: Vec<_> = (0..10)
        .map(|_| {
            let length = stranger.seal(Kind::SyncData, &mut out, |_| Some(30)).unwrap();
            frame(&world, [10, 77, 0, 11], 255, &out[..length])
        })
        .collect();
    expect(&mut world, &frames, Refusal::Unacquainted);
}

#[test]
fn nodes_with_different_keys_share_nothing() {
    let mut world =
        World::new(Setup { key: [KEY, Some("another secret, just as long")], ..Setup::default() });
    world.establish(0, World::client(Protocol::Tcp, 4, 1));
    world.run(Duration::from_millis(100));
    for node in &world.nodes {
        assert!(!node.sync().in_sync() && node.gauge(SyncGauge::Streaming) == 0);
        assert!(node.pair().refused(Refusal::WrongKey) > 5);
    }
    assert!(world.dump(1).is_empty());
}

#[test]
fn nodes_with_different_workers_share_nothing_and_say_why() {
    let mut world = World::new(Setup { workers: [3, 2], ..Setup::default() });
    let client = World::client(Protocol::Tcp, 4, 1);
    let there = world.establish(0, client);
    world.run(Duration::from_millis(100));
    let [first, second] = world.nodes.each_ref().map(|node| node.pair().difference());
    assert_eq!(first, Some(Difference::Workers { ours: 3, theirs: 2 }));
    assert_eq!(second, Some(Difference::Workers { ours: 2, theirs: 3 }));
    for node in &world.nodes {
        assert!(!node.sync().in_sync());
        assert!(node.pair().refused(Refusal::OtherConfiguration) > 5);
    }
    assert!(world.dump(1).is_empty());
    assert_eq!(world.ask(0, client, ACK), Some(there), "traffic goes on");
}

#[test]
fn other_local_addresses_are_another_configuration() {
    let more = "[[service]]\nname = \"x\"\nvip = \"10.77.0.102\"\nport = 1\nbackends = []\n";
    // Other services are none: services are configured node by node.
    World::in_sync(Setup { more: ["", more], ..Setup::default() });
}
