//! Next hops: asked for, waited for, lost and found again; and links that go down.

use super::{
    counts::Counts,
    frame::{Body, Frame, ip, mac_of, udp},
    places::{BACK, FAMILIES, FRONT, Family, Legs, NAT, SMALL, Session, arp, open, plan, ports, world},
    world::{Plan, World, own_mac},
};
use hitless::{
    control::Event,
    types::{DropReason, Duration, Mac, PortId, Protocol},
};

const V4: Family = FAMILIES[0];

fn datagram(n: u8) -> Body {
    Body::Udp { checksum: true, payload: vec![n; 20] }
}

/// A session of a client on the front port's subnet, whom nobody knows yet.
fn on_link(world: &mut World, family: Family, last: u16) -> Session {
    let host = host(family, last);
    let client = super::places::end(&host, 1000);
    let frame = world.on(FRONT, udp(&client, &family.service(Protocol::Udp)));
    let out = world.offer(FRONT, &frame.bytes());
    Session::of(family, &frame, out.only(BACK))
}

/// A host on the front port's subnet.
fn host(family: Family, last: u16) -> String {
    if family.ipv4 { format!("10.77.0.{last}") } else { format!("fd77::{last:x}") }
}

/// What a backend's packet is when it reaches a client on the link.
fn delivered(session: &Session, world: &World, frame: &Frame) -> Frame {
    session.at_client(world, frame).with(|frame| frame.to = mac_of(session.client.ip()))
}

/// The answer that a host gives to a question for it.
fn arp_reply(world: &World, port: usize, host: &str, mac: Mac) -> Vec<u8> {
    let own = [ip("10.77.0.11"), ip("10.88.0.11")][port];
    arp(world, port, (2, mac, host, own_mac(port), &own.to_string()))
}

/// A neighbour that is needed is asked for when a session opens, so that the reply need not wait.
#[test]
fn a_client_on_the_link_is_asked_for_before_its_reply_comes() {
    let mut world = world();
    for family in FAMILIES {
        let session = on_link(&mut world, family, 0x99);
        let reply = session.outbound(&world, datagram(1));
        let out = world.offer(BACK, &reply.bytes());
        assert_eq!(out.only(FRONT), delivered(&session, &world, &reply).bytes());
        assert_eq!(out.moved.drops(), Counts::none());
    }
}

/// Packets wait for an answer, and leave in the order they came, before all that come after.
#[test]
fn what_waited_leaves_first() {
    let mut world = world();
    world.silence(ip("10.77.0.9"), true);
    let session = on_link(&mut world, V4, 9);
    let replies: Vec<Frame> = (1..=6).map(|n| session.outbound(&world, datagram(n))).collect();
    let out = world.watch(|world| {
        for reply in &replies[..3] {
            world.arrive(BACK, &reply.bytes());
        }
        world.run(3);
    });
    assert_eq!(out.nothing().moved, Counts::none().and("received", 3).and("held", 3));
    let expected: Vec<Vec<u8>> =
        replies.iter().map(|reply| delivered(&session, &world, reply).bytes()).collect();
    // The answer, and right behind it, within the same millisecond, the next packets.
    let out = world.watch(|world| {
        let answer = arp_reply(world, FRONT, "10.77.0.9", mac_of(ip("10.77.0.9")));
        world.arrive(FRONT, &answer);
        world.turn();
        for reply in &replies[3..] {
            world.arrive(BACK, &reply.bytes());
            world.turn();
        }
        world.run(2);
    });
    let sent: Vec<Vec<u8>> = out.sent.iter().map(|(_, frame)| frame.clone()).collect();
    assert_eq!(sent, expected, "in the order they came");
    assert_eq!((out.moved.get("held"), out.moved.get("forwarded")), (-3, 6));
    world.assert_balanced();
}

/// Neighbour discovery does the same for IPv6.
#[test]
fn what_waited_for_an_ipv6_neighbour_leaves_when_it_answers() {
    let mut world = world();
    let client = ip("fd77::9");
    world.silence(client, true);
    let session = on_link(&mut world, FAMILIES[1], 9);
    let reply = session.outbound(&world, datagram(1));
    assert_eq!(world.offer(BACK, &reply.bytes()).nothing().moved.get("held"), 1);
    world.silence(client, false);
    let out = world.watch(|world| world.run(600));
    assert_eq!(out.only(FRONT), delivered(&session, &world, &reply).bytes());
}

/// Fragments that waited leave as one datagram.
#[test]
fn fragments_that_waited_leave_as_one_datagram() {
    let mut world = world();
    world.silence(ip("10.77.0.9"), true);
    let session = on_link(&mut world, V4, 9);
    let whole = session.outbound(&world, Body::Udp { checksum: true, payload: vec![5; 100] });
    let pieces = whole.in_pieces(0x77, &[48, 96]);
    let held = world.offer_all(pieces[..2].iter().map(|piece| (BACK, piece.bytes())));
    assert_eq!(held.nothing().moved.get("held"), 2);
    let answer = arp_reply(&world, FRONT, "10.77.0.9", mac_of(ip("10.77.0.9")));
    let out = world.watch(|world| {
        world.arrive(FRONT, &answer);
        world.run(3);
        world.arrive(BACK, &pieces[2].bytes());
        world.run(3);
    });
    let id = u32::from(u16::from_be_bytes([out.sent[0].1[18], out.sent[0].1[19]]));
    let expected: Vec<Vec<u8>> =
        delivered(&session, &world, &whole).in_pieces(id, &[48, 96]).iter().map(Frame::bytes).collect();
    let sent: Vec<Vec<u8>> = out.sent.into_iter().map(|(_, frame)| frame).collect();
    assert_eq!(sent, expected);
}

/// So many wait for one next hop, and so many in all; the rest die at once, the waiting after a second.
#[test]
fn waiting_is_bounded_for_each_next_hop_and_in_all() {
    let mut world = world();
    let sessions: Vec<Session> = [9, 10, 12]
        .map(|last| {
            world.silence(ip(&host(V4, last)), true);
            on_link(&mut world, V4, last)
        })
        .into();
    let mut expected_held = 0;
    for (session, room) in sessions.iter().zip([32, 32, 0]) {
        let reply = session.outbound(&world, datagram(1)).bytes();
        let out = world.offer_all((0..40).map(|_| (BACK, reply.clone())));
        expected_held += room;
        let died = 40 - room;
        let expected = Counts::none().and("received", 40).and("held", room).and("rx", died);
        let expected = expected.and("rx_bytes", died * reply.len() as i64);
        assert_eq!(out.nothing().moved, expected.dropped(DropReason::NeighborUnresolved, died));
        assert_eq!(world.counts().get("held"), expected_held);
    }
    let out = world.watch(|world| world.run(1100));
    assert_eq!((out.moved.get("held"), out.moved.get("neighbor_unresolved")), (-64, 64));
    out.nothing();
    world.assert_balanced();
    assert_eq!(world.leaked(), 0);
}

/// Two backends, one of which does not answer: a flood to it takes nothing from the other, nor from those that are
/// only now asked for.
#[test]
fn an_unreachable_backend_touches_no_other() {
    let services = r#"
[[service]]
name = "good"
vip = "10.77.0.100"
port = 53
protocol = "udp"
scheduler = "rr"
backends = [{ address = "10.88.0.21", port = 8080 }]
[[service]]
name = "gone"
vip = "10.77.0.100"
port = 54
protocol = "udp"
scheduler = "rr"
backends = [{ address = "10.88.0.66", port = 8080 }]
"#;
    let mut world = Plan::new(&[&ports(Legs::default()), NAT, services, SMALL].concat()).build();
    // It answered once, at the start; then it went.
    world.silence(ip("10.88.0.66"), true);
    world.let_pass(40_000);
    world.run(6_000);
    let good = world.on(FRONT, udp("198.51.100.7:1000", "10.77.0.100:53"));
    let out = world.offer(FRONT, &good.bytes());
    let session = Session::of(V4, &good, out.only(BACK));
    for round in 0..50u16 {
        let mut frames = Vec::new();
        for n in 0..10 {
            let lost =
                world.on(FRONT, udp(&format!("203.0.113.7:{}", 1000 + round * 10 + n), "10.77.0.100:54"));
            frames.push((FRONT, lost.bytes()));
        }
        frames.push((FRONT, session.inbound(&world, datagram(1)).bytes()));
        frames.push((BACK, session.outbound(&world, datagram(2)).bytes()));
        let out = world.offer_all(frames);
        assert_eq!(out.sent.len(), 2, "round {round}: the other backend's packets pass: {:?}", out.moved);
    }
    // A new neighbour is found in the middle of it.
    let local = on_link(&mut world, V4, 9);
    let reply = world.on(BACK, Frame::new(local.backend, local.local, datagram(3)));
    let out = world.offer(BACK, &reply.bytes());
    assert_eq!(out.only(FRONT), delivered(&local, &world, &reply).bytes());
    // The lost one comes back: what comes for it passes again.
    world.silence(ip("10.88.0.66"), false);
    world.run(25_000);
    let found = world.on(FRONT, udp("203.0.113.7:999", "10.77.0.100:54"));
    world.offer(FRONT, &found.bytes()).only(BACK);
    world.assert_balanced();
}

/// A gateway or backend that moves to another machine is followed at once.
#[test]
fn a_new_mac_is_used_at_once() {
    let mut world = world();
    let session = open(&mut world, V4, Protocol::Udp, 1000);
    let other = Mac([2, 0xaa, 0, 0, 0, 1]);
    let frame = session.inbound(&world, datagram(1));
    let announcement = arp(&world, BACK, (2, other, "10.88.0.21", Mac::BROADCAST, "10.88.0.21"));
    let announcement = [&[0xff; 6][..], &announcement[6..]].concat();
    let out = world.watch(|world| {
        world.arrive(BACK, &announcement);
        world.turn();
        world.arrive(FRONT, &frame.bytes());
        world.run(1);
    });
    let expected = session.at_backend(&world, &frame).with(|frame| frame.to = other);
    assert_eq!(out.only(BACK), expected.bytes());
    // The host itself still says otherwise when asked: it is right, for the announcement was verified.
    world.run(1000);
    assert_eq!(world.offer(FRONT, &frame.bytes()).only(BACK), session.at_backend(&world, &frame).bytes());
}

/// Neighbours in use are asked again before they grow old, without a packet being held for it.
#[test]
fn verification_costs_no_packet() {
    let mut world = world();
    let remote = open(&mut world, V4, Protocol::Udp, 1000);
    let local = on_link(&mut world, V4, 9);
    for n in 0..400u16 {
        world.now = world.now + Duration::from_millis(500);
        let frames = [
            (FRONT, remote.inbound(&world, datagram(n as u8)).bytes()),
            (BACK, remote.outbound(&world, datagram(n as u8)).bytes()),
            (BACK, local.outbound(&world, datagram(n as u8)).bytes()),
        ];
        let out = world.offer_all(frames);
        assert_eq!(out.sent.len(), 3, "at {:?}: {:?}", world.now, out.moved);
    }
}

/// Strangers may ask for our addresses as often as they like: sessions go on, neighbours in use stay, and nobody is
/// learned for having been named.
#[test]
fn a_flood_of_arp_disturbs_nobody() {
    let mut world = plan().with(|plan| plan.depth = 2048).build();
    let session = open(&mut world, V4, Protocol::Udp, 1000);
    let local = on_link(&mut world, V4, 9);
    for round in 0..50u16 {
        let mut frames = Vec::new();
        for n in 0..64u16 {
            let last = [(round % 250) as u8, n as u8 + 20];
            let mac = Mac([2, 0xbb, 0, 0, last[0], last[1]]);
            let sender = format!("10.77.0.{}", last[1]);
            let target = if n % 2 == 0 { "10.77.0.100" } else { "10.77.0.222" };
            frames.push((FRONT, arp(&world, FRONT, (1, mac, &sender, Mac::default(), target))));
        }
        frames.push((FRONT, session.inbound(&world, datagram(1)).bytes()));
        frames.push((BACK, local.outbound(&world, datagram(2)).bytes()));
        let out = world.offer_all(frames);
        assert_eq!(out.sent.len(), 2, "round {round}: {:?}", out.moved);
        assert_eq!(out.moved.get("to_control"), 64);
    }
    assert!(world.counts().drops() == Counts::none());
}

/// Who claims an address of ours is told of, and believed by nobody.
#[test]
fn a_claim_to_our_address_is_reported() {
    let mut world = world();
    while world.shared.events.pop().is_some() {}
    let thief = Mac([2, 0xee, 0, 0, 0, 1]);
    let claim = arp(&world, FRONT, (2, thief, "10.77.0.100", own_mac(FRONT), "10.77.0.11"));
    world.offer(FRONT, &claim).nothing();
    let event = world.shared.events.pop();
    let expected = Event::AddressConflict { port: PortId(0), address: ip("10.77.0.100"), mac: thief };
    assert_eq!(event, Some(expected));
    open(&mut world, V4, Protocol::Tcp, 1000);
}

/// A link that goes down takes what would leave by it and nothing else, and is used again when it comes back.
#[test]
fn links_go_down_and_come_back_one_by_one() {
    let mut world = world();
    let session = open(&mut world, V4, Protocol::Udp, 1000);
    for (down, up) in [(BACK, FRONT), (FRONT, BACK)] {
        world.shared.links.set(PortId(down as u8), false);
        for _ in 0..3 {
            let inbound = session.inbound(&world, datagram(1));
            let outbound = session.outbound(&world, datagram(2));
            let out = world.offer_all([(FRONT, inbound.bytes()), (BACK, outbound.bytes())]);
            let expected = match up {
                FRONT => session.at_client(&world, &outbound).bytes(),
                _ => session.at_backend(&world, &inbound).bytes(),
            };
            assert_eq!(out.only(up), expected);
            assert_eq!(out.moved.drops(), Counts::none().dropped(DropReason::LinkDown, 1));
        }
        world.shared.links.set(PortId(down as u8), true);
        let frame = session.inbound(&world, datagram(1));
        assert_eq!(world.offer(FRONT, &frame.bytes()).only(BACK), session.at_backend(&world, &frame).bytes());
    }
    // A burst that is full does not wait for the end of the turn, nor for the link.
    world.shared.links.set(PortId(BACK as u8), false);
    let frame = session.inbound(&world, datagram(1)).bytes();
    let out = world.offer_all((0..100).map(|_| (FRONT, frame.clone())));
    assert_eq!(out.nothing().moved.drops(), Counts::none().dropped(DropReason::LinkDown, 100));
    assert_eq!(out.moved.get("tx_bytes"), 0);
    assert_eq!(world.leaked(), 0);
}

/// A link that was down for long comes back: its neighbours are asked at once, not when their patience is over.
#[test]
fn a_link_that_comes_back_is_used_at_once() {
    for family in FAMILIES {
        let mut world = world();
        let session = open(&mut world, family, Protocol::Udp, 1000);
        let answer = session.outbound(&world, datagram(0));
        world.offer(BACK, &answer.bytes()).only(FRONT);
        let back = PortId(BACK as u8);
        for round in 0..3 {
            world.shared.links.set(back, false);
            world.silence(session.backend.ip(), true);
            world.run(100_000 + round * 7_000);
            world.silence(session.backend.ip(), false);
            world.shared.links.set(back, true);
            world.run(200);
            let frame = session.inbound(&world, datagram(1));
            let out = world.offer(FRONT, &frame.bytes());
            assert_eq!(out.only(BACK), session.at_backend(&world, &frame).bytes(), "round {round}");
        }
    }
}

/// The control core without a queue of its own asks and answers through the first worker.
#[test]
fn without_a_queue_of_its_own_the_control_core_sends_through_the_first_worker() {
    let mut world = plan().with(|plan| (plan.control_queue, plan.workers) = (false, 3)).build();
    assert_ne!(world.worker_counts(0).get("injected"), 0, "it asked for its neighbours");
    assert_eq!(world.worker_counts(1).get("injected"), 0);
    world.take_talk();
    let question =
        arp(&world, FRONT, (1, mac_of(ip("10.77.0.9")), "10.77.0.9", Mac::default(), "10.77.0.100"));
    let out = world.offer(FRONT, &question);
    let expected = Counts::took(question.len()).and("to_control", 1).and("injected", 1);
    assert_eq!(out.nothing().moved, expected);
    let [(FRONT, reply)] = &world.take_talk()[..] else { panic!("one answer") };
    let wanted = arp(&world, FRONT, (2, own_mac(FRONT), "10.77.0.100", mac_of(ip("10.77.0.9")), "10.77.0.9"));
    assert_eq!(reply[12..], wanted[12..]);
    assert_eq!(reply[..6], mac_of(ip("10.77.0.9")).0);
}
