//! Every header a session's packet may have: through, and back, to the last byte and the last counter.

use super::{
    counts::Counts,
    frame::{ACK, Body, DATA, DESTINATION_OPTIONS, Frame, HOP_BY_HOP, PSH, Piece, ROUTING, SYN, answer},
    places::{BACK, FAMILIES, FRONT, Family, Legs, Session, open, open_with, plan_on, world},
    world::World,
};
use hitless::{
    port::Checksum,
    types::{DropReason, Protocol},
};

/// A kind of header: a name, whether it applies to a protocol and family, and what it does to a packet.
struct Kind {
    name: &'static str,
    applies: fn(Protocol, Family) -> bool,
    change: fn(&mut Frame),
}

const fn any(_: Protocol, _: Family) -> bool {
    true
}

fn is_ipv4(_: Protocol, family: Family) -> bool {
    family.ipv4
}

fn is_ipv6(_: Protocol, family: Family) -> bool {
    !family.ipv4
}

fn is_tcp(protocol: Protocol, _: Family) -> bool {
    protocol == Protocol::Tcp
}

fn is_udp(protocol: Protocol, _: Family) -> bool {
    protocol == Protocol::Udp
}

fn payload(frame: &mut Frame, bytes: usize) {
    let counted: Vec<u8> = (0..bytes).map(|n| n as u8).collect();
    *frame = frame.clone().carrying(&counted);
}

/// No-operation, record route of three places, timestamp, router alert: 36 bytes.
fn ipv4_options() -> Vec<u8> {
    let mut options = vec![1, 7, 15, 4];
    options.extend([0; 12]);
    options.extend([68, 12, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    options.extend([148, 4, 0, 0, 1, 1, 1, 0]);
    options
}

/// Maximum segment size, window scale, SACK permitted, timestamps.
fn tcp_options() -> Vec<u8> {
    vec![2, 4, 5, 160, 1, 3, 3, 7, 4, 2, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8]
}

const PADDED: [u8; 6] = [1, 4, 0, 0, 0, 0];

const KINDS: &[Kind] = &[
    Kind { name: "plain", applies: any, change: |_| {} },
    Kind { name: "no payload", applies: any, change: |frame| payload(frame, 0) },
    Kind { name: "one byte", applies: any, change: |frame| payload(frame, 1) },
    Kind { name: "odd length", applies: any, change: |frame| payload(frame, 999) },
    Kind { name: "even length", applies: any, change: |frame| payload(frame, 1000) },
    Kind { name: "full size", applies: any, change: |frame| payload(frame, 1400) },
    Kind { name: "ends of frames padded", applies: any, change: |frame| frame.padding = 26 },
    Kind { name: "the last hop but one", applies: any, change: |frame| frame.ttl = 2 },
    Kind { name: "the longest way", applies: any, change: |frame| frame.ttl = 255 },
    Kind { name: "congestion marked, expedited", applies: any, change: |frame| frame.class = 0xbb },
    Kind { name: "not to be fragmented", applies: is_ipv4, change: |frame| frame.dont_fragment = true },
    Kind { name: "identification 0", applies: is_ipv4, change: |frame| frame.id = 0 },
    Kind { name: "identification 65535", applies: is_ipv4, change: |frame| frame.id = 0xffff },
    Kind { name: "four bytes of options", applies: is_ipv4, change: |frame| frame.options = vec![1; 4] },
    Kind { name: "known options", applies: is_ipv4, change: |frame| frame.options = ipv4_options() },
    Kind { name: "as many options as fit", applies: is_ipv4, change: |frame| frame.options = vec![1; 40] },
    Kind {
        name: "end of options, then anything",
        applies: is_ipv4,
        change: |frame| {
            frame.options = vec![0, 131, 4, 4];
        },
    },
    Kind {
        name: "hop-by-hop options",
        applies: is_ipv6,
        change: |frame| {
            frame.extensions = vec![(HOP_BY_HOP, PADDED.to_vec())];
        },
    },
    Kind {
        name: "destination options",
        applies: is_ipv6,
        change: |frame| {
            frame.extensions = vec![(DESTINATION_OPTIONS, [&PADDED[..], &[0; 8]].concat())];
        },
    },
    Kind {
        name: "a routing header that is over",
        applies: is_ipv6,
        change: |frame| {
            frame.extensions = vec![(ROUTING, vec![4, 0, 0, 0, 0, 0])];
        },
    },
    Kind {
        name: "every extension header",
        applies: is_ipv6,
        change: |frame| {
            frame.extensions = vec![
                (HOP_BY_HOP, PADDED.to_vec()),
                (DESTINATION_OPTIONS, PADDED.to_vec()),
                (ROUTING, vec![4, 0, 0, 0, 0, 0]),
                (DESTINATION_OPTIONS, PADDED.to_vec()),
            ];
        },
    },
    Kind {
        name: "an atomic fragment",
        applies: is_ipv6,
        change: |frame| {
            frame.piece = Some(Piece { id: 0xdead_beef, offset: 0, more: false });
        },
    },
    Kind {
        name: "an atomic fragment behind options",
        applies: is_ipv6,
        change: |frame| {
            frame.extensions = vec![(HOP_BY_HOP, PADDED.to_vec()), (DESTINATION_OPTIONS, PADDED.to_vec())];
            frame.piece = Some(Piece { id: 1, offset: 0, more: false });
        },
    },
    Kind {
        name: "TCP options",
        applies: is_tcp,
        change: |frame| {
            let Body::Tcp { options, .. } = &mut frame.body else { unreachable!() };
            *options = tcp_options();
        },
    },
    Kind {
        name: "as many TCP options as fit",
        applies: is_tcp,
        change: |frame| {
            let Body::Tcp { options, .. } = &mut frame.body else { unreachable!() };
            *options = vec![1; 40];
        },
    },
    Kind {
        name: "UDP without a checksum",
        applies: is_udp,
        change: |frame| {
            let Body::Udp { checksum, .. } = &mut frame.body else { unreachable!() };
            *checksum = false;
        },
    },
    Kind {
        name: "UDP whose checksum is that of nothing",
        applies: is_udp,
        change: |frame| {
            *frame = frame.clone().carrying(&[0, 0]);
            // The sum of everything but the payload, so that all adds up to the checksum 0, which is sent as 0xffff.
            let ip = frame.ip();
            let at = ip.len() - 4;
            *frame = frame.clone().carrying(&ip[at..at + 2]);
        },
    },
];

/// The body of a packet in an established session.
fn data(protocol: Protocol) -> Body {
    match protocol {
        Protocol::Tcp => Body::Tcp { flags: ACK | PSH, options: Vec::new(), payload: b"GET /".to_vec() },
        Protocol::Udp => Body::Udp { checksum: true, payload: b"more".to_vec() },
        Protocol::Sctp => Body::Sctp { chunk: DATA, payload: vec![3; 12] },
    }
}

/// Opens a session with packets of `kind`, answers with one, and goes on with one.
fn passes(world: &mut World, family: Family, protocol: Protocol, kind: &Kind, client_port: u16) {
    let ip_length = |frame: &Frame| frame.ip().len();
    let mut first = family.opening(world, protocol, client_port);
    (kind.change)(&mut first);
    let (session, out) = open_with(world, family, &first);
    let (length, sent) = (first.bytes().len(), session.at_backend(world, &first).bytes().len());
    let counted = Counts::forwarded(length, sent).for_backend(ip_length(&first));
    assert_eq!(out.moved, counted.opened(family.ipv4), "the first packet");

    let Frame { body, .. } = answer(protocol, session.backend, session.local);
    for body in [body, data(protocol)] {
        let mut reply = session.outbound(world, body);
        (kind.change)(&mut reply);
        let expected = session.at_client(world, &reply).bytes();
        let out = world.offer(BACK, &reply.bytes());
        assert_eq!(out.only(FRONT), expected, "an answer");
        let counted = Counts::forwarded(reply.bytes().len(), expected.len());
        assert_eq!(out.moved, counted.for_backend(ip_length(&reply)), "an answer");
    }
    let mut next = session.inbound(world, data(protocol));
    (kind.change)(&mut next);
    let expected = session.at_backend(world, &next).bytes();
    let out = world.offer(FRONT, &next.bytes());
    assert_eq!(out.only(BACK), expected, "what follows");
    let counted = Counts::forwarded(next.bytes().len(), expected.len());
    assert_eq!(out.moved, counted.for_backend(ip_length(&next)), "what follows");
}

fn all_pass(legs: Legs) {
    let mut world = plan_on(legs).build();
    let mut client_port = 10_000;
    for family in FAMILIES {
        for protocol in Protocol::ALL {
            for kind in KINDS.iter().filter(|kind| (kind.applies)(protocol, family)) {
                println!("{protocol} from {}: {}", family.client, kind.name);
                client_port += 1;
                passes(&mut world, family, protocol, kind, client_port);
            }
        }
    }
    world.assert_balanced();
    assert_eq!(world.leaked(), 0);
}

#[test]
fn every_header_passes_both_ways() {
    all_pass(Legs::default());
}

#[test]
fn every_header_passes_from_no_vlan_into_one() {
    all_pass(Legs { vlans: [0, 7], ..Legs::default() });
}

#[test]
fn every_header_passes_out_of_a_vlan() {
    all_pass(Legs { vlans: [4094, 0], ..Legs::default() });
}

#[test]
fn every_header_passes_between_vlans() {
    all_pass(Legs { vlans: [5, 6], ..Legs::default() });
}

#[test]
fn every_header_passes_within_a_vlan() {
    all_pass(Legs { vlans: [9, 9], ..Legs::default() });
}

#[test]
fn jumbo_packets_pass() {
    let legs = Legs { mtus: [9600, 9000], ..Legs::default() };
    let mut world = plan_on(legs).with(|plan| plan.frame = 10_000).build();
    for family in FAMILIES {
        for (client_port, protocol) in (3000..).zip(Protocol::ALL) {
            let session = open(&mut world, family, protocol, client_port);
            let headers = session.inbound(&world, data(protocol)).carrying(&[]).ip().len();
            let jumbo = session.inbound(&world, data(protocol)).carrying(&vec![0x5a; 9000 - headers]);
            let out = world.offer(FRONT, &jumbo.bytes());
            assert_eq!(out.only(BACK), session.at_backend(&world, &jumbo).bytes());
            let reply = session.outbound(&world, data(protocol)).carrying(&vec![0xa5; 9000 - headers]);
            let out = world.offer(BACK, &reply.bytes());
            assert_eq!(out.only(FRONT), session.at_client(&world, &reply).bytes());
        }
    }
}

/// A checksum that was wrong stays wrong: the receiver must see it.
#[test]
fn a_wrong_transport_checksum_stays_wrong_by_the_same_bits() {
    let mut world = world();
    for family in FAMILIES {
        for (client_port, protocol) in (3000..).zip(Protocol::ALL) {
            let session = open(&mut world, family, protocol, client_port);
            let frame = session.inbound(&world, data(protocol)).carrying(&[1; 60]);
            let mut damaged = frame.bytes();
            let last = damaged.len() - 1;
            damaged[last] ^= 0x40;
            let mut expected = session.at_backend(&world, &frame).bytes();
            expected[last] ^= 0x40;
            assert_eq!(world.offer(FRONT, &damaged).only(BACK), expected, "{protocol}");
        }
    }
}

/// A guest on the same host leaves the checksum to a network card that never sees the packet: the field holds the sum
/// of the pseudo-header, or anything. It is right when the packet leaves.
#[test]
fn a_checksum_that_was_not_filled_in_leaves_right() {
    for legs in [Legs::default(), Legs { vlans: [5, 0], ..Legs::default() }] {
        let mut world = plan_on(legs).build();
        for family in FAMILIES {
            for (client_port, protocol) in (3000..).zip(Protocol::ALL) {
                let session = open(&mut world, family, protocol, client_port);
                for bytes in [0, 1, 1001] {
                    let frame = session.inbound(&world, data(protocol)).carrying(&vec![0xab; bytes]);
                    let frame = frame.with(|frame| frame.padding = 3);
                    let at = frame.link_length() + family.header();
                    let field = at + [16, 6, 8][client_port as usize - 3000];
                    let mut unfilled = frame.bytes();
                    unfilled[field..field + 2].copy_from_slice(&[0x12, 0x34]);
                    for ip in [Checksum::Unknown, Checksum::Good, Checksum::Partial] {
                        if ip == Checksum::Partial && family.ipv4 {
                            unfilled[at - 10..at - 8].fill(0x77);
                        }
                        let packet = world.packet(FRONT, &unfilled).with_checksums(ip, Checksum::Partial);
                        let out = world.offer_packet(FRONT, packet);
                        let expected = session.at_backend(&world, &frame).bytes();
                        assert_eq!(out.only(BACK), expected, "{protocol} {bytes} {ip:?}");
                        let counted = Counts::forwarded(unfilled.len(), expected.len());
                        assert_eq!(out.moved, counted.for_backend(frame.ip().len()));
                    }
                }
            }
        }
        // It is looked at like any other packet, all the same.
        let session = open(&mut world, FAMILIES[0], Protocol::Tcp, 4000);
        let foreign = session.inbound(&world, data(Protocol::Tcp)).with(|frame| frame.to.0[5] ^= 1).bytes();
        let packet = world.packet(FRONT, &foreign).with_checksums(Checksum::Unknown, Checksum::Partial);
        let out = world.offer_packet(FRONT, packet);
        assert_eq!(out.nothing().moved, Counts::lost(foreign.len(), DropReason::ForeignMac));
    }
}

/// A UDP checksum that translation makes zero is sent as all ones: zero would say that there is none.
#[test]
fn a_udp_checksum_that_becomes_zero_leaves_as_all_ones() {
    let mut world = world();
    for family in FAMILIES {
        let session = open(&mut world, family, Protocol::Udp, 3000);
        for out_port in [BACK, FRONT] {
            let with = |payload: &[u8]| {
                let body = Body::Udp { checksum: true, payload: payload.to_vec() };
                match out_port {
                    BACK => {
                        let frame = session.inbound(&world, body);
                        (frame.clone(), session.at_backend(&world, &frame))
                    }
                    _ => {
                        let frame = session.outbound(&world, body);
                        (frame.clone(), session.at_client(&world, &frame))
                    }
                }
            };
            let checksum = |frame: &Frame| -> [u8; 2] {
                let at = 14 + family.header() + 6;
                frame.bytes()[at..at + 2].try_into().unwrap()
            };
            let (arriving, leaving) = with(&checksum(&with(&[0, 0]).1));
            assert_eq!(checksum(&leaving), [0xff, 0xff]);
            assert_ne!(checksum(&arriving), [0xff, 0xff]);
            let out = world.offer(if out_port == BACK { FRONT } else { BACK }, &arriving.bytes());
            assert_eq!(out.only(out_port), leaving.bytes());
        }
    }
}

/// Ports, sequence numbers, window, urgent pointer, reserved bits: all that is not translated is left alone.
#[test]
fn nothing_else_of_a_segment_changes() {
    let mut world = world();
    let family = FAMILIES[0];
    let session = open(&mut world, family, Protocol::Tcp, 3000);
    let whole = Body::Tcp { flags: ACK | PSH, options: tcp_options(), payload: vec![1; 9] };
    let plain = session.inbound(&world, whole);
    for at in [14 + 20 + 4, 14 + 20 + 8, 14 + 20 + 12, 14 + 20 + 14, 14 + 20 + 18] {
        let (mut given, mut expected) = (plain.bytes(), session.at_backend(&world, &plain).bytes());
        // The low bit of the byte with the header length is a reserved one.
        given[at] ^= 1;
        expected[at] ^= 1;
        assert_eq!(world.offer(FRONT, &given).only(BACK), expected, "byte {at}");
    }
}

/// One arm: clients and backends on the same port and subnet, next to each other.
#[test]
fn one_port_serves_both_sides() {
    let config = r#"
[[port]]
name = "lan"
device = "0000:3b:00.0"
addresses = ["10.77.0.11/24"]
[nat]
local_addresses = ["10.77.0.40"]
ports = "20000-20999"
max_sessions = 100
[[service]]
name = "web"
vip = "10.77.0.100"
port = 80
scheduler = "rr"
backends = [{ address = "10.77.0.21", port = 8080 }]
"#;
    let mut world = super::world::Plan::new(&[config, super::places::SMALL].concat()).build();
    let syn = world.on(0, super::frame::tcp("10.77.0.9:999", "10.77.0.100:80", SYN));
    let out = world.offer(0, &syn.bytes());
    let frame = out.only(0);
    let (local, backend) = super::places::ends(&frame[14..]);
    assert_eq!(backend, super::frame::at("10.77.0.21:8080"));
    let at_backend = |frame: &Frame| Frame {
        from: super::world::own_mac(0),
        to: super::frame::mac_of(backend.ip()),
        source: local,
        destination: backend,
        ttl: 63,
        ..frame.clone()
    };
    assert_eq!(frame, at_backend(&syn).bytes());
    // The client was not known to be a neighbour; it was asked for when the session was opened.
    let reply = world.on(0, answer(Protocol::Tcp, backend, local));
    let expected = Frame {
        from: super::world::own_mac(0),
        to: super::frame::mac_of(syn.source.ip()),
        source: syn.destination,
        destination: syn.source,
        ttl: 63,
        ..reply.clone()
    };
    assert_eq!(world.offer(0, &reply.bytes()).only(0), expected.bytes());
}

/// Behind a range of ports, backends without a port of their own get the one the client asked for.
#[test]
fn a_range_keeps_the_port() {
    let range = r#"
[[service]]
name = "range"
vip = "10.77.0.100"
port = "1000-1002"
scheduler = "rr"
backends = [{ address = "10.88.0.21" }]
"#;
    let config = [&super::places::ports(Legs::default()), super::places::NAT, range, super::places::SMALL];
    let mut world = super::world::Plan::new(&config.concat()).build();
    for port in 1000..=1002 {
        let syn = super::frame::tcp("198.51.100.7:4000", &format!("10.77.0.100:{port}"), SYN);
        let syn = world.on(FRONT, syn);
        let out = world.offer(FRONT, &syn.bytes());
        let session = Session::of(FAMILIES[0], &syn, out.only(BACK));
        assert_eq!(session.backend.port(), port);
        assert_eq!(out.only(BACK), session.at_backend(&world, &syn).bytes());
    }
    for port in [999, 1003] {
        let syn = super::frame::tcp("198.51.100.7:4000", &format!("10.77.0.100:{port}"), SYN);
        let syn = world.on(FRONT, syn).bytes();
        let out = world.offer(FRONT, &syn);
        assert_eq!(out.nothing().moved, Counts::lost(syn.len(), DropReason::NoService));
    }
}
