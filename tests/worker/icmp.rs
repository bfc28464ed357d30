//! ICMP: pings of our addresses, errors for sessions translated both ways, errors of this node's own.

use super::{
    counts::Counts,
    frame::{
        ACK, Body, DESTINATION_OPTIONS, Frame, HOP_BY_HOP, INIT, SYN, icmp, mac_of, ping, sctp, tcp, udp,
    },
    places::{BACK, FAMILIES, FRONT, Family, Legs, Session, open, plan, plan_on, world},
    world::{World, own_mac},
};
use hitless::types::{DropReason, Protocol};

const V4: Family = FAMILIES[0];
const V6: Family = FAMILIES[1];

/// What a ping is answered with.
fn pong(request: &Frame) -> Frame {
    request.clone().with(|frame| {
        (frame.source, frame.destination) = (request.destination, request.source);
        (frame.from, frame.to) = (request.to, request.from);
        frame.ttl = 64;
        // Nobody chooses the way of a packet that this node sends.
        frame.options.fill(1);
        let Body::Icmp { kind, .. } = &mut frame.body else { unreachable!() };
        *kind = if request.is_ipv4() { 0 } else { 129 };
    })
}

#[test]
fn pings_are_answered_at_every_address() {
    for vlans in [[0, 0], [5, 6]] {
        let mut world = plan_on(Legs { vlans, ..Legs::default() }).build();
        for family in FAMILIES {
            let node = family.node;
            for (port, address) in [
                (FRONT, family.vip),
                (BACK, family.vip),
                (FRONT, family.local),
                (BACK, family.local),
                (FRONT, node[0]),
                (BACK, node[1]),
                // A node's address is the node's, whichever port is asked.
                (FRONT, node[1]),
            ] {
                let changes: &[fn(&mut Frame)] = &[
                    |_| {},
                    |frame| *frame = frame.clone().carrying(&[]),
                    |frame| *frame = frame.clone().carrying(&[7]),
                    |frame| *frame = frame.clone().carrying(&[0xff; 1400]),
                    |frame| frame.ttl = 255,
                    |frame| frame.ttl = 1,
                    |frame| frame.padding = 17,
                    |frame| (frame.id, frame.dont_fragment, frame.class) = (0, true, 0xb8),
                ];
                let options: &[fn(&mut Frame)] = &[|frame| frame.options = vec![7, 7, 4, 0, 0, 0, 0, 0]];
                let extensions: &[fn(&mut Frame)] = &[|frame| {
                    let padded = vec![1, 4, 0, 0, 0, 0];
                    frame.extensions = vec![(HOP_BY_HOP, padded.clone()), (DESTINATION_OPTIONS, padded)];
                }];
                for change in changes.iter().chain(if family.ipv4 { options } else { extensions }) {
                    let request = world.on(port, ping(family.client, address)).with(change);
                    let reply = pong(&request).bytes();
                    let out = world.offer(port, &request.bytes());
                    assert_eq!(out.only(port), reply, "{address} on port {port}");
                    let expected = Counts::forwarded(request.bytes().len(), reply.len());
                    assert_eq!(out.moved, expected.and("echo_replies", 1), "{address} on port {port}");
                }
            }
        }
        assert_eq!(world.leaked(), 0);
    }
}

/// With a kernel interface the node's own addresses are the kernel's to answer for; ours stay ours.
#[test]
fn the_kernel_answers_for_the_node() {
    let mut world = plan()
        .with(|plan| {
            let port = "name = \"front\"\n";
            plan.config = plan.config.replace(port, &format!("{port}kernel_interface = \"hl0\"\n"));
        })
        .build();
    for family in FAMILIES {
        let to_node = world.on(FRONT, ping(family.client, family.node[0])).bytes();
        let out = world.offer(FRONT, &to_node);
        assert_eq!(out.nothing().moved, Counts::took(to_node.len()).and("to_kernel", 1));
        let (port, packet) = world.kernel.from_workers[0].pop().unwrap();
        assert_eq!((port.index(), hitless::port::Packet::data(&packet)), (FRONT, &to_node[..]));
        let request = world.on(FRONT, ping(family.client, family.vip));
        assert_eq!(world.offer(FRONT, &request.bytes()).only(FRONT), pong(&request).bytes());
    }
    // So is everything that is nobody's, groups and unknown protocols among it.
    let mut strange = world.on(FRONT, tcp("198.51.100.7:1", "10.77.0.11:22", SYN)).bytes();
    strange[12..14].copy_from_slice(&[0x88, 0xcc]);
    let group = world.on(FRONT, udp("10.77.0.9:1", "224.0.0.5:2")).with(|frame| frame.to.0[0] |= 1).bytes();
    let elsewhere = world.on(FRONT, tcp("198.51.100.7:1", "203.0.113.8:22", SYN)).bytes();
    let fragment = udp("198.51.100.7:1", "10.77.0.11:2").carrying(&[1; 64]).in_pieces(4, &[32])[1].clone();
    let fragment = world.on(FRONT, fragment).bytes();
    let last_hop = world.on(FRONT, tcp("198.51.100.7:1", "10.77.0.11:179", SYN)).with(|frame| frame.ttl = 1);
    for frame in [strange, group, elsewhere, fragment, last_hop.bytes()] {
        let out = world.offer(FRONT, &frame);
        assert_eq!(out.nothing().moved, Counts::took(frame.len()).and("to_kernel", 1));
        let (_, packet) = world.kernel.from_workers[0].pop().unwrap();
        assert_eq!(hitless::port::Packet::data(&packet), frame);
    }
}

/// What the kernel sends leaves by its port as it is.
#[test]
fn the_kernel_s_frames_leave_as_they_are() {
    let mut world = world();
    let frame = world.on(FRONT, tcp("10.77.0.11:22", "10.77.0.9:999", SYN | ACK)).bytes();
    let packet = world.packet(FRONT, &frame);
    world.kernel.to_wire.push((hitless::types::PortId(FRONT as u8), packet)).unwrap();
    let out = world.watch(|world| world.run(2));
    assert_eq!(out.only(FRONT), frame);
    assert_eq!(out.moved, Counts::none().and("injected", 1));
}

/// A way a packet of a session went, and where errors about it come from and go to.
#[derive(Clone, Copy, Debug, PartialEq)]
enum About {
    /// The client's packet, on its way to the backend.
    Inbound,
    /// The backend's packet, on its way to the client.
    Outbound,
}

/// An error about a packet of a session: as it arrives, and as it must leave.
struct Told {
    port: usize,
    arriving: Frame,
    out_port: usize,
    leaving: Frame,
}

/// `quoted` bytes of the packet (as it stands on its second leg) are in the error; `change` is made to the packet.
fn told(
    world: &World,
    session: &Session,
    about: About,
    message: (u8, u8, u32),
    quoted: usize,
    body: Body,
    change: fn(&mut Frame),
) -> Told {
    let (kind, code, word) = message;
    let (port, out_port, original, translated) = match about {
        About::Inbound => {
            let original = session.inbound(world, body).with(change);
            (BACK, FRONT, original.clone(), session.at_backend(world, &original))
        }
        About::Outbound => {
            let original = session.outbound(world, body).with(change);
            (FRONT, BACK, original.clone(), session.at_client(world, &original))
        }
    };
    let on_the_way = translated.ip();
    // Its sender knows the packet as it was sent; only the TTL tells how far it came.
    let mut known = original.with(|frame| frame.ttl = translated.ttl).ip();
    if session.protocol() == Protocol::Sctp {
        // SCTP's checksum covers more than is quoted, so it stays that of the other leg.
        let at = on_the_way.len() - translated.transport().len() + 8;
        known[at..at + 4].copy_from_slice(&on_the_way[at..at + 4]);
    }
    let quoted = quoted.min(on_the_way.len());
    let family = session.family;
    let (reporter, node, sender) = match about {
        About::Inbound => (family.router, session.local, session.client),
        About::Outbound => (family.client, session.vip, session.backend),
    };
    let arriving = icmp(family.ip(reporter), node.ip(), kind, code, word, &on_the_way[..quoted]);
    let as_node = match about {
        About::Inbound => session.vip.ip(),
        About::Outbound => session.local.ip(),
    };
    let leaving = icmp(as_node, sender.ip(), kind, code, word, &known[..quoted]);
    let next_hop = match about {
        About::Inbound => family.ip(family.gateway),
        About::Outbound => session.backend.ip(),
    };
    Told {
        port,
        arriving: world.on(port, arriving),
        out_port,
        leaving: world.on(out_port, leaving).with(|frame| {
            (frame.from, frame.to, frame.ttl) = (own_mac(out_port), mac_of(next_hop), 63);
        }),
    }
}

impl Session {
    fn protocol(&self) -> Protocol {
        match self.vip.port() {
            80 => Protocol::Tcp,
            53 => Protocol::Udp,
            _ => Protocol::Sctp,
        }
    }
}

const MESSAGES_V4: [(u8, u8, u32); 11] = [
    (3, 0, 0),
    (3, 1, 0),
    (3, 2, 0),
    (3, 3, 0),
    (3, 4, 1400),
    (3, 4, 0),
    (3, 13, 0),
    (11, 0, 0),
    (11, 1, 0),
    (12, 0, 0x0900_0000),
    (12, 2, 0),
];

const MESSAGES_V6: [(u8, u8, u32); 11] = [
    (1, 0, 0),
    (1, 1, 0),
    (1, 3, 0),
    (1, 4, 0),
    (1, 6, 0),
    (2, 0, 1280),
    (2, 0, 9000),
    (3, 0, 0),
    (3, 1, 0),
    (4, 0, 6),
    (4, 1, 40),
];

fn body(protocol: Protocol, bytes: usize) -> Body {
    let payload = (0..bytes).map(|n| (n * 3) as u8).collect();
    match protocol {
        Protocol::Tcp => Body::Tcp { flags: ACK, options: Vec::new(), payload },
        Protocol::Udp => Body::Udp { checksum: true, payload },
        Protocol::Sctp => Body::Sctp { chunk: 0, payload },
    }
}

#[test]
fn errors_reach_the_side_that_must_hear_of_them() {
    for vlans in [[0, 0], [5, 0], [0, 6]] {
        let mut world = plan_on(Legs { vlans, ..Legs::default() }).build();
        for family in FAMILIES {
            let header = family.header();
            for (client_port, protocol) in (1000..).zip(Protocol::ALL) {
                let session = open(&mut world, family, protocol, client_port);
                let messages = if family.ipv4 { MESSAGES_V4 } else { MESSAGES_V6 };
                let all = |quoted: usize| messages.map(|message| (message, quoted));
                // Of the transport header: the ports, eight bytes (RFC 792), all of it, an odd length, everything.
                let quotes = [4, 8, 20, 33, 2000].map(|bytes| header + bytes);
                for (message, quoted) in quotes.into_iter().flat_map(all) {
                    for about in [About::Inbound, About::Outbound] {
                        let body = body(protocol, 40);
                        let told = told(&world, &session, about, message, quoted, body, |_| {});
                        let out = world.offer(told.port, &told.arriving.bytes());
                        let expected = told.leaving.bytes();
                        assert_eq!(
                            out.only(told.out_port),
                            expected,
                            "{protocol} {message:?} {quoted} {about:?}"
                        );
                        let counted = Counts::forwarded(told.arriving.bytes().len(), expected.len());
                        assert_eq!(out.moved, counted.and("icmp_translated", 1));
                    }
                }
            }
        }
        assert_eq!(world.leaked(), 0);
    }
}

/// Quoted packets with options, extension headers, without a checksum, as a first fragment.
#[test]
fn quoted_packets_of_every_kind_are_translated() {
    let mut world = world();
    for family in FAMILIES {
        let message = if family.ipv4 { (3, 4, 1300) } else { (2, 0, 1300) };
        for (client_port, protocol) in (1000..).zip(Protocol::ALL) {
            let session = open(&mut world, family, protocol, client_port);
            let of_ipv4: &[fn(&mut Frame)] = &[
                |frame| frame.options = vec![1; 12],
                |frame| (frame.dont_fragment, frame.class, frame.id) = (true, 0xb8, 0),
                |frame| {
                    if let Body::Udp { checksum, .. } = &mut frame.body {
                        *checksum = false;
                    }
                },
            ];
            let of_ipv6: &[fn(&mut Frame)] = &[
                |frame| frame.extensions = vec![(HOP_BY_HOP, vec![1, 4, 0, 0, 0, 0])],
                |frame| {
                    frame.extensions = vec![(DESTINATION_OPTIONS, vec![1, 4, 0, 0, 0, 0])];
                    frame.piece = Some(super::frame::Piece { id: 99, offset: 0, more: false });
                },
            ];
            for change in if family.ipv4 { of_ipv4 } else { of_ipv6 } {
                for about in [About::Inbound, About::Outbound] {
                    let told = told(&world, &session, about, message, 2000, body(protocol, 41), *change);
                    let out = world.offer(told.port, &told.arriving.bytes());
                    assert_eq!(out.only(told.out_port), told.leaving.bytes(), "{protocol} {about:?}");
                }
            }
        }
    }
}

/// The error itself may have options, extension headers, padding, and extensions behind the quoted packet (RFC 4884).
#[test]
fn errors_of_every_form_are_translated() {
    let mut world = world();
    for family in FAMILIES {
        let session = open(&mut world, family, Protocol::Tcp, 1000);
        let kind = if family.ipv4 { 11 } else { 3 };
        let of_ipv4: &[fn(&mut Frame)] =
            &[|frame| frame.options = vec![1; 8], |frame| frame.padding = 11, |frame| frame.class = 0xc0];
        let of_ipv6: &[fn(&mut Frame)] = &[
            |frame| frame.extensions = vec![(HOP_BY_HOP, vec![1, 4, 0, 0, 0, 0])],
            |frame| frame.padding = 11,
        ];
        for change in if family.ipv4 { of_ipv4 } else { of_ipv6 } {
            let told =
                told(&world, &session, About::Inbound, (kind, 0, 0), 2000, body(Protocol::Tcp, 7), |_| {});
            let arriving = told.arriving.with(change).bytes();
            assert_eq!(world.offer(BACK, &arriving).only(FRONT), told.leaving.with(change).bytes());
        }
        // 128 bytes of the packet, then an extension structure: the length field says where one ends.
        let words = if family.ipv4 { 0x0020_0000 } else { 0x1000_0000 };
        let extension = [0x20, 0, 0xa5, 0x5a, 0, 8, 1, 1, 1, 2, 3, 4];
        let told =
            told(&world, &session, About::Inbound, (kind, 0, words), 128, body(Protocol::Tcp, 400), |_| {});
        let longer = |frame: Frame| {
            let Body::Icmp { payload, .. } = &frame.body else { unreachable!() };
            let payload = [&payload[..], &extension].concat();
            frame.carrying(&payload)
        };
        let out = world.offer(BACK, &longer(told.arriving).bytes());
        assert_eq!(out.only(FRONT), longer(told.leaving).bytes(), "the extension is left alone");
    }
}

/// A session is neither kept alive nor ended by errors, which anybody may forge.
#[test]
fn errors_change_no_session() {
    let mut world = world();
    let session = open(&mut world, V4, Protocol::Tcp, 1000);
    let before = world.session(session.client);
    world.run(500);
    let told = told(&world, &session, About::Inbound, (3, 1, 0), 2000, body(Protocol::Tcp, 0), |_| {});
    world.offer(BACK, &told.arriving.bytes()).only(FRONT);
    let after = world.session(session.client);
    assert_eq!((after.state, after.packets, after.bytes), (before.state, before.packets, before.bytes));
    assert!(after.idle_ms >= 500);
}

/// An error is bound to the tuple it quotes, whole.
#[test]
fn errors_that_quote_something_else_are_unmatched() {
    let mut world = world();
    for family in FAMILIES {
        let session = open(&mut world, family, Protocol::Tcp, 1000);
        let message = if family.ipv4 { (3, 4, 1300) } else { (2, 0, 1300) };
        let right = told(&world, &session, About::Inbound, message, 2000, body(Protocol::Tcp, 20), |_| {});
        let header = family.header();
        let Body::Icmp { payload: quoted, .. } = &right.arriving.body else { unreachable!() };
        let protocol_at = if family.ipv4 { 9 } else { 6 };
        let (source_at, destination_at) = if family.ipv4 { (15, 19) } else { (23, 39) };
        for at in [protocol_at, source_at, destination_at, header + 1, header + 3] {
            let mut wrong = quoted.clone();
            // TCP (6) becomes UDP (17); other bytes change their lowest bit.
            wrong[at] ^= if at == protocol_at { 6 ^ 17 } else { 1 };
            let frame = right.arriving.clone().carrying(&wrong).bytes();
            let out = world.offer(BACK, &frame);
            assert_eq!(
                out.nothing().moved,
                Counts::lost(frame.len(), DropReason::IcmpUnmatched),
                "byte {at}"
            );
        }
        // Cut within the quoted packet's headers.
        for (length, reason) in [
            (0, DropReason::Truncated),
            (1, DropReason::Truncated),
            (header - 1, DropReason::Truncated),
            (header, DropReason::IcmpUnmatched),
            (header + 3, DropReason::IcmpUnmatched),
        ] {
            let frame = right.arriving.clone().carrying(&quoted[..length]).bytes();
            assert_eq!(
                world.offer(BACK, &frame).nothing().moved,
                Counts::lost(frame.len(), reason),
                "{length}"
            );
        }
        // Its header lies.
        for byte in [0x25, 0xf0, if family.ipv4 { 0x44 } else { 0x15 }] {
            let mut wrong = quoted.clone();
            wrong[0] = byte;
            let frame = right.arriving.clone().carrying(&wrong).bytes();
            let out = world.offer(BACK, &frame);
            assert_eq!(out.nothing().moved, Counts::lost(frame.len(), DropReason::MalformedHeader));
        }
        // A damaged error is not believed.
        let mut damaged = right.arriving.bytes();
        *damaged.last_mut().unwrap() ^= 1;
        let out = world.offer(BACK, &damaged);
        assert_eq!(out.nothing().moved, Counts::lost(damaged.len(), DropReason::BadL4Checksum));
        // One at the end of its way dies, and nothing is sent about it.
        let last = right.arriving.clone().with(|frame| frame.ttl = 1).bytes();
        let out = world.offer(BACK, &last);
        assert_eq!(out.nothing().moved, Counts::lost(last.len(), DropReason::TtlExpired));
    }
}

/// An error may be long, and its way on narrower than the way it came.
#[test]
fn errors_too_large_for_the_next_link_die() {
    let legs = Legs { mtus: [1500, 9000], ..Legs::default() };
    let mut world = plan_on(legs).with(|plan| plan.frame = 10_000).build();
    for family in FAMILIES {
        let session = open(&mut world, family, Protocol::Udp, 1000);
        let message = if family.ipv4 { (3, 1, 0) } else { (1, 3, 0) };
        let headers = family.header() + 8;
        for (quoted, passes) in [(1500 - headers, true), (1501 - headers, false)] {
            let told =
                told(&world, &session, About::Inbound, message, quoted, body(Protocol::Udp, 3000), |_| {});
            let arriving = told.arriving.bytes();
            let out = world.offer(BACK, &arriving);
            if passes {
                assert_eq!(out.only(FRONT), told.leaving.bytes());
            } else {
                assert_eq!(out.nothing().moved, Counts::lost(arriving.len(), DropReason::TooBig));
            }
        }
    }
}

/// What this node says about a packet that died here.
fn own_error(about: &Frame, kind: u8, code: u8, word: u32) -> Frame {
    let quoted = about.ip();
    let limit = if about.is_ipv4() { 576 - 28 } else { 1280 - 48 };
    let quoted = &quoted[..quoted.len().min(limit)];
    icmp(about.destination.ip(), about.source.ip(), kind, code, word, quoted).with(|frame| {
        (frame.from, frame.to, frame.vlan) = (about.to, about.from, about.vlan);
        (frame.ttl, frame.id, frame.dont_fragment) = (64, 0, true);
        frame.class = if about.is_ipv4() { 0xc0 } else { 0 };
    })
}

#[test]
fn the_last_hop_is_told() {
    for vlans in [[0, 0], [5, 6]] {
        let mut world = plan_on(Legs { vlans, ..Legs::default() }).build();
        for family in FAMILIES {
            for (client_port, protocol) in (1000..).zip(Protocol::ALL) {
                let session = open(&mut world, family, protocol, client_port);
                for bytes in [0, 1, 500, 1300] {
                    let inbound = (FRONT, session.inbound(&world, body(protocol, bytes)));
                    let outbound = (BACK, session.outbound(&world, body(protocol, bytes)));
                    for (port, frame) in [inbound, outbound] {
                        let frame = frame.with(|frame| (frame.ttl, frame.padding) = (1, 6));
                        let kind = if family.ipv4 { 11 } else { 3 };
                        let out = world.offer(port, &frame.bytes());
                        assert_eq!(
                            out.only(port),
                            own_error(&frame, kind, 0, 0).bytes(),
                            "{protocol} {bytes}"
                        );
                        let counted = Counts::lost(frame.bytes().len(), DropReason::TtlExpired);
                        assert_eq!(out.moved, counted.and("icmp_errors", 1));
                    }
                }
            }
        }
        assert_eq!(world.leaked(), 0);
    }
}

#[test]
fn what_is_too_big_is_told_how_much_passes() {
    let legs = Legs { mtus: [1300, 1400], vlans: [0, 7] };
    let mut world = plan_on(legs).build();
    for family in FAMILIES {
        for (client_port, protocol) in (1000..).zip(Protocol::ALL) {
            let session = open(&mut world, family, protocol, client_port);
            let inbound = (FRONT, session.inbound(&world, body(protocol, 1399)), 1400);
            let outbound = (BACK, session.outbound(&world, body(protocol, 1299)), 1300);
            for (port, frame, mtu) in [inbound, outbound] {
                let frame = frame.with(|frame| frame.dont_fragment = family.ipv4);
                let (kind, code) = if family.ipv4 { (3, 4) } else { (2, 0) };
                let out = world.offer(port, &frame.bytes());
                assert_eq!(out.only(port), own_error(&frame, kind, code, mtu).bytes(), "{protocol}");
                let counted = Counts::lost(frame.bytes().len(), DropReason::TooBig);
                assert_eq!(out.moved, counted.and("icmp_errors", 1));
            }
        }
    }
}

/// Errors are not sent about later fragments (IPv4) or to groups, and never about errors.
#[test]
fn nobody_is_told_what_must_not_be_told() {
    let mut world = world();
    let whole = udp("198.51.100.7:1000", "10.77.0.100:53").carrying(&[1; 100]);
    let later = world.on(FRONT, whole.in_pieces(9, &[48])[1].clone()).with(|frame| frame.ttl = 1).bytes();
    let out = world.offer(FRONT, &later);
    assert_eq!(out.nothing().moved, Counts::lost(later.len(), DropReason::TtlExpired));
}

/// A flood is answered up to the budget: a thousand at once, ten a millisecond.
#[test]
fn own_errors_are_limited() {
    let mut world = plan().with(|plan| plan.depth = 3000).build();
    let frame = V4.opening(&world, Protocol::Tcp, 1000).with(|frame| frame.ttl = 1).bytes();
    let flood = |world: &mut World, count: usize| {
        let out = world.watch(|world| {
            for _ in 0..count {
                world.arrive(FRONT, &frame);
                world.workers[0].turn(world.now);
            }
            world.now = world.now + hitless::types::Duration::from_millis(1);
            world.turn();
        });
        assert_eq!(out.moved.get("ttl_expired"), count as i64, "each is counted");
        assert_eq!(out.moved.get("icmp_errors"), out.sent.len() as i64);
        out.sent.len()
    };
    assert_eq!(flood(&mut world, 1200), 1000);
    assert_eq!(flood(&mut world, 50), 10);
    world.now = world.now + hitless::types::Duration::from_millis(20);
    assert_eq!(flood(&mut world, 500), 210);
    world.run(1000);
    assert_eq!(flood(&mut world, 1200), 1000);
    world.assert_balanced();
}

/// SCTP's first bytes are enough to find the session, and the handshake of one is told of a port that is closed.
#[test]
fn an_unreachable_port_ends_a_handshake_at_the_client() {
    let mut world = world();
    for (family, message) in [(V4, (3, 3, 0)), (V6, (1, 4, 0))] {
        let session = open(&mut world, family, Protocol::Sctp, 1000);
        let told = told(
            &world,
            &session,
            About::Inbound,
            message,
            family.header() + 8,
            sctp("1.2.3.4:1", "1.2.3.4:1", INIT).body,
            |_| {},
        );
        assert_eq!(world.offer(BACK, &told.arriving.bytes()).only(FRONT), told.leaving.bytes());
        let Body::Icmp { payload, .. } = &told.leaving.body else { unreachable!() };
        let ports = &payload[family.header()..][..4];
        assert_eq!(ports, [session.client.port().to_be_bytes(), session.vip.port().to_be_bytes()].concat());
    }
}
