use super::*;
use crate::packet::{
    DEFAULT_TTL, Family, Ports, Tuple, V4, V6,
    fixtures::{
        self, CLIENT_V4, SERVER_V4, Transport, client_v6, extensions, ipv4_header, ipv6_header, packet,
    },
    fold, sum,
};
use etherparse::{
    Icmpv4Type, Icmpv6Type, IpHeaders, LaxSlicedPacket, PacketBuilder, SlicedPacket, TransportSlice, icmpv4,
    icmpv6,
};
use proptest::prelude::*;
use std::net::IpAddr;

const ROUTER_V4: [u8; 4] = [203, 0, 113, 254];

fn router_v6() -> [u8; 16] {
    "2001:db8:ffff::1".parse::<std::net::Ipv6Addr>().unwrap().octets()
}

fn parsed(ip: &[u8]) -> Datagram {
    Datagram::parse(ip, false).unwrap()
}

fn is_valid(ip: &[u8]) -> bool {
    let datagram = parsed(ip);
    is_intact(body(ip, &datagram).unwrap(), &datagram)
}

fn ipv4_message(kind: Icmpv4Type, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    PacketBuilder::ipv4(ROUTER_V4, SERVER_V4, 60).icmpv4(kind).write(&mut out, payload).unwrap();
    out
}

fn ipv6_message(kind: Icmpv6Type, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    PacketBuilder::ipv6(router_v6(), server_v6(), 60).icmpv6(kind).write(&mut out, payload).unwrap();
    out
}

fn server_v6() -> [u8; 16] {
    fixtures::server_v6()
}

#[test]
fn messages_of_an_independent_builder_are_told_apart() {
    use Message::{EchoReply, EchoRequest, Error, Neighbor, Other};
    let echo = etherparse::IcmpEchoHeader { id: 1, seq: 2 };
    let unknown = |type_u8, code_u8| Icmpv4Type::Unknown { type_u8, code_u8, bytes5to8: [0; 4] };
    let unreachable = icmpv4::DestUnreachableHeader::Port;
    let too_big = icmpv4::DestUnreachableHeader::FragmentationNeeded { next_hop_mtu: 1400 };
    let ipv4 = [
        (Icmpv4Type::EchoRequest(echo), EchoRequest),
        (Icmpv4Type::EchoReply(echo), EchoReply),
        (Icmpv4Type::DestinationUnreachable(unreachable), Error(ErrorKind::Unreachable(3))),
        (Icmpv4Type::DestinationUnreachable(too_big), Error(ErrorKind::TooBig(1400))),
        (
            Icmpv4Type::TimeExceeded(icmpv4::TimeExceededCode::TtlExceededInTransit),
            Error(ErrorKind::TimeExceeded),
        ),
        (
            Icmpv4Type::ParameterProblem(icmpv4::ParameterProblemHeader::BadLength),
            Error(ErrorKind::ParameterProblem),
        ),
        (unknown(4, 0), Other),
        (unknown(5, 1), Other),
        (unknown(13, 0), Other),
    ];
    for (kind, message) in ipv4 {
        let ip = ipv4_message(kind, &[0; 28]);
        assert_eq!(Message::parse(&ip, &parsed(&ip)), Ok(message));
    }
    let unknown = |type_u8, code_u8| Icmpv6Type::Unknown { type_u8, code_u8, bytes5to8: [0; 4] };
    let ipv6 = [
        (Icmpv6Type::EchoRequest(echo), EchoRequest),
        (Icmpv6Type::EchoReply(echo), EchoReply),
        (
            Icmpv6Type::DestinationUnreachable(icmpv6::DestUnreachableCode::Port),
            Error(ErrorKind::Unreachable(4)),
        ),
        (Icmpv6Type::PacketTooBig { mtu: 70000 }, Error(ErrorKind::TooBig(70000))),
        (
            Icmpv6Type::TimeExceeded(icmpv6::TimeExceededCode::HopLimitExceeded),
            Error(ErrorKind::TimeExceeded),
        ),
        (unknown(4, 1), Error(ErrorKind::ParameterProblem)),
        (unknown(133, 0), Neighbor),
        (unknown(135, 0), Neighbor),
        (unknown(136, 0), Neighbor),
        (unknown(137, 0), Other),
        (unknown(143, 0), Other),
        (unknown(100, 0), Other),
    ];
    for (kind, message) in ipv6 {
        let ip = ipv6_message(kind, &[0; 48]);
        assert_eq!(Message::parse(&ip, &parsed(&ip)), Ok(message));
    }
}

#[test]
fn damaged_fragmented_and_foreign_messages_are_refused() {
    for header in [ipv4_header(4), ipv6_header(extensions())] {
        let good = packet(header.clone(), Transport::Echo, &[7; 31]);
        let layout = parsed(&good);
        for at in layout.l4_offset..good.len() {
            let mut ip = good.clone();
            ip[at] ^= 0x20;
            assert_eq!(Message::parse(&ip, &layout), Err(DropReason::BadL4Checksum), "{at}");
        }
        let ip = packet(fixtures::fragment(header.clone(), 0, true), Transport::Echo, &[7; 32]);
        assert_eq!(Message::parse(&ip, &parsed(&ip)), Err(DropReason::FragmentUnsupported));
        let other = if header.ipv4().is_some() { 58 } else { 1 };
        for number in [other, 17, 2] {
            let ip = packet(header.clone(), Transport::Raw(number), &[0, 1, 0, 2, 0, 8, 0, 0]);
            assert_eq!(Message::parse(&ip, &parsed(&ip)), Err(DropReason::UnsupportedProtocol), "{number}");
        }
    }
}

#[test]
fn echo_requests_become_replies_an_independent_parser_accepts() {
    let atomic = fixtures::fragment(ipv6_header(Default::default()), 0, false);
    for header in
        [ipv4_header(0), ipv4_header(12), ipv6_header(Default::default()), ipv6_header(extensions()), atomic]
    {
        let mut ip = packet(header, Transport::Echo, b"payload");
        let request = parsed(&ip);
        reply_in_place(&mut ip, &request).unwrap();
        let reply = Datagram::parse(&ip, false).expect("the header checksum is right");
        assert_eq!((reply.source, reply.destination), (request.destination, request.source));
        assert_eq!((reply.ttl, reply.end), (DEFAULT_TTL, request.end));
        assert!(is_valid(&ip));
        let read = SlicedPacket::from_ip(&ip).unwrap();
        let echo = etherparse::IcmpEchoHeader { id: 5, seq: 6 };
        match read.transport.unwrap() {
            TransportSlice::Icmpv4(icmp) => {
                assert_eq!(icmp.icmp_type(), Icmpv4Type::EchoReply(echo));
                assert_eq!(icmp.payload(), b"payload");
            }
            TransportSlice::Icmpv6(icmp) => {
                assert_eq!(icmp.icmp_type(), Icmpv6Type::EchoReply(echo));
                assert_eq!(icmp.payload(), b"payload");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn our_requests_are_what_an_independent_parser_expects_and_their_replies_are_told_apart() {
    let id = EchoId { identifier: 0x4321, sequence: 0xfffe };
    let header = etherparse::IcmpEchoHeader { id: 0x4321, seq: 0xfffe };
    for (source, destination, length) in [("192.0.2.1", "10.0.0.1", 28), ("2001:db8::1", "fd00::1", 48)] {
        let (source, destination): (IpAddr, IpAddr) = (source.parse().unwrap(), destination.parse().unwrap());
        let mut packet = [0xee; 60];
        assert_eq!(id.write_request(source, destination, &mut packet), Some(length));
        for room in 0..length {
            assert_eq!(id.write_request(source, destination, &mut vec![0; room]), None);
        }
        let request = &mut packet[..length];
        assert!(is_valid(request));
        assert_eq!((parsed(request).source, parsed(request).destination), (source, destination));
        match SlicedPacket::from_ip(request).unwrap().transport.unwrap() {
            TransportSlice::Icmpv4(icmp) => assert_eq!(icmp.icmp_type(), Icmpv4Type::EchoRequest(header)),
            TransportSlice::Icmpv6(icmp) => assert_eq!(icmp.icmp_type(), Icmpv6Type::EchoRequest(header)),
            other => panic!("{other:?}"),
        }
        assert_eq!(EchoId::of_reply(request, &parsed(request)), Err(DropReason::IcmpUnsupported));
        reply_in_place(request, &parsed(request)).unwrap();
        assert_eq!(EchoId::of_reply(request, &parsed(request)), Ok(id));
        request[length - 1] ^= 1;
        assert_eq!(EchoId::of_reply(request, &parsed(request)), Err(DropReason::BadL4Checksum));
    }
    let mixed = id.write_request(IpAddr::from([192, 0, 2, 1]), "fd00::1".parse().unwrap(), &mut [0; 60]);
    assert_eq!(mixed, None);
}

#[test]
fn a_request_cannot_choose_the_way_of_its_reply() {
    let IpHeaders::Ipv4(mut header, rest) = ipv4_header(12) else { panic!() };
    header.options = etherparse::Ipv4Options::try_from(&[131, 11, 4, 9, 9, 9, 9, 8, 8, 8, 8, 0][..]).unwrap();
    let mut ip = packet(IpHeaders::Ipv4(header, rest), Transport::Echo, &[]);
    let request = parsed(&ip);
    reply_in_place(&mut ip, &request).unwrap();
    assert_eq!(ip[20..32], [1; 12], "loose source route");
}

#[test]
fn only_echo_requests_to_one_host_are_answered() {
    let refused = |ip: &mut Vec<u8>| {
        let before = ip.clone();
        let layout = parsed(ip);
        assert_eq!(reply_in_place(ip, &layout), Err(DropReason::IcmpUnsupported));
        assert_eq!(*ip, before);
    };
    let echo = etherparse::IcmpEchoHeader { id: 1, seq: 2 };
    refused(&mut ipv4_message(Icmpv4Type::EchoReply(echo), &[]));
    refused(&mut ipv6_message(Icmpv6Type::EchoReply(echo), &[]));
    for group in [[224, 0, 0, 1], [255; 4]] {
        let mut ip = Vec::new();
        PacketBuilder::ipv4(CLIENT_V4, group, 9).icmpv4_echo_request(1, 2).write(&mut ip, &[]).unwrap();
        refused(&mut ip);
    }
    let group = "ff02::1".parse::<std::net::Ipv6Addr>().unwrap().octets();
    let mut ip = Vec::new();
    PacketBuilder::ipv6(client_v6(), group, 9).icmpv6_echo_request(1, 2).write(&mut ip, &[]).unwrap();
    refused(&mut ip);
}

/// An error about `quoted` as a router on the way sends it.
fn error_about(quoted: &[u8]) -> Vec<u8> {
    match quoted[0] >> 4 {
        4 => ipv4_message(Icmpv4Type::TimeExceeded(icmpv4::TimeExceededCode::TtlExceededInTransit), quoted),
        _ => ipv6_message(Icmpv6Type::PacketTooBig { mtu: 1400 }, quoted),
    }
}

#[test]
fn the_packet_an_error_is_about_is_found_however_short() {
    for header in [ipv4_header(0), ipv4_header(8), ipv6_header(Default::default()), ipv6_header(extensions())]
    {
        for transport in [Transport::Tcp, Transport::Udp, Transport::Raw(132)] {
            let quoted = packet(header.clone(), transport, &[0, 1, 0, 2, 9, 9, 9, 9, 9, 9, 9, 9]);
            let whole = parsed(&quoted);
            for length in 1..=quoted.len() {
                let ip = error_about(&quoted[..length]);
                let outer = parsed(&ip);
                let found = Embedded::find(&ip, &outer);
                if length < whole.l4_offset {
                    assert_eq!(found, Err(DropReason::Truncated), "{length}");
                } else if length < whole.l4_offset + 4 {
                    assert_eq!(found, Err(DropReason::IcmpUnmatched), "{length}");
                } else {
                    let datagram = Datagram { end: length, ..whole };
                    assert_eq!(found, Ok(Embedded { at: outer.l4_offset + 8, datagram }));
                }
            }
        }
    }
}

#[test]
fn errors_about_what_has_no_ports_match_nothing() {
    for header in [ipv4_header(0), ipv6_header(Default::default())] {
        let echo = error_about(&packet(header.clone(), Transport::Echo, &[]));
        let later = error_about(&packet(fixtures::fragment(header, 64, false), Transport::Raw(17), &[1; 16]));
        for ip in [echo, later] {
            assert_eq!(Embedded::find(&ip, &parsed(&ip)), Err(DropReason::IcmpUnmatched));
        }
    }
    let echo = packet(ipv4_header(0), Transport::Echo, &[]);
    assert_eq!(Embedded::find(&echo, &parsed(&echo)), Err(DropReason::IcmpUnsupported));
    let mixed = ipv4_message(
        Icmpv4Type::TimeExceeded(icmpv4::TimeExceededCode::TtlExceededInTransit),
        &packet(ipv6_header(Default::default()), Transport::Udp, &[]),
    );
    assert_eq!(Embedded::find(&mixed, &parsed(&mixed)), Err(DropReason::MalformedHeader));
}

#[test]
fn extensions_behind_the_quoted_packet_are_not_part_of_it() {
    let mut quoted = packet(ipv4_header(0), Transport::Udp, &[3; 1000]);
    quoted.truncate(128);
    quoted.extend([0x20, 0, 0xff, 0xff, 0, 8, 1, 1, 0, 1, 2, 3]);
    for (words, end) in [(32, 128), (0, 140), (31, 140), (255, 140)] {
        let kind = Icmpv4Type::Unknown { type_u8: 11, code_u8: 0, bytes5to8: [0, words, 0, 0] };
        let ip = ipv4_message(kind, &quoted);
        assert_eq!(Embedded::find(&ip, &parsed(&ip)).unwrap().datagram.end, end, "{words} words");
    }
}

const INSIDE: (&str, u16) = ("10.77.0.40", 40000);
const BACKEND: (&str, u16) = ("10.77.0.21", 8080);
const INSIDE_V6: (&str, u16) = ("fd77::40", 40000);
const BACKEND_V6: (&str, u16) = ("fd77::21", 8080);

fn tuple<F: Family>(source: (&str, u16), destination: (&str, u16)) -> Tuple<F> {
    let at = |(address, port): (&str, u16)| (address.parse::<IpAddr>().unwrap(), port);
    Tuple::new(at(source), at(destination)).unwrap()
}

/// The quoted packet as its sender would have made it with the other tuple.
fn rebuilt(ip: &[u8], layout: &Datagram, ports: Ports, addresses: &[u8]) -> Vec<u8> {
    let mut ip = ip.to_vec();
    let at = if addresses.len() == 8 { 12 } else { 8 };
    ip[at..at + addresses.len()].copy_from_slice(addresses);
    ip[layout.l4_offset..layout.l4_offset + 4].copy_from_slice(&ports.bytes());
    let field = layout.l4_offset + if layout.protocol == 6 { 16 } else { 6 };
    let none = layout.protocol == 17 && ip[field..field + 2] == [0, 0];
    if matches!(layout.protocol, 6 | 17) && !none {
        ip[field..field + 2].fill(0);
        let length = (layout.end - layout.l4_offset) as u32;
        let total = sum(&ip[layout.l4_offset..]) + sum(addresses) + sum(&[0, layout.protocol]);
        let length = fold(sum(&length.to_be_bytes()));
        let checksum = match !fold(total + u32::from(length)) {
            0 if layout.protocol == 17 => 0xffff,
            other => other,
        };
        ip[field..field + 2].copy_from_slice(&checksum.to_ne_bytes());
    }
    if addresses.len() == 8 {
        fixtures::seal(&mut ip);
    }
    ip
}

fn translated<F: Family>(quoted: &[u8], length: usize, inner: Tuple<F>, outer: F::Pair) -> Vec<u8> {
    let mut ip = error_about(&quoted[..length]);
    let layout = parsed(&ip);
    translate_error::<F>(&mut ip, &layout, outer, &inner).unwrap();
    ip
}

fn check_translation<F: Family>(header: IpHeaders, transport: Transport, no_checksum: bool, inner: Tuple<F>) {
    let mut quoted = packet(header, transport, &[0, 1, 0, 2, 9, 9, 9, 9, 9, 9, 9, 9, 5]);
    let layout = parsed(&quoted);
    if no_checksum {
        quoted[layout.l4_offset + 6..layout.l4_offset + 8].fill(0);
    }
    let mut addresses = Vec::new();
    F::bytes(inner.addresses, |byte| addresses.push(byte));
    let expected = rebuilt(&quoted, &layout, inner.ports, &addresses);
    let outer = inner.swapped().addresses;
    let field = layout.l4_offset + if transport == Transport::Tcp { 16 } else { 6 };
    for length in layout.l4_offset + 4..=quoted.len() {
        let ip = translated::<F>(&quoted, length, inner, outer);
        let read = Datagram::parse(&ip, false).expect("the outer header checksum is right");
        assert_eq!((read.source, read.destination), (F::source(outer), F::destination(outer)));
        assert!(is_valid(&ip), "the ICMP checksum, {length} bytes quoted");
        // Of half a checksum nothing right can be made.
        let whole = if length == field + 1 { field } else { length };
        assert_eq!(ip[read.l4_offset + 8..][..whole], expected[..whole], "{transport:?} {length}");
    }
}

#[test]
fn errors_are_translated_as_if_the_quoted_packet_had_been_sent_so() {
    for transport in [Transport::Tcp, Transport::Udp, Transport::Raw(132)] {
        for no_checksum in [false, transport == Transport::Udp] {
            for options in [0, 20] {
                check_translation::<V4>(ipv4_header(options), transport, no_checksum, tuple(INSIDE, BACKEND));
            }
            for chain in [Default::default(), extensions()] {
                check_translation::<V6>(
                    ipv6_header(chain),
                    transport,
                    no_checksum,
                    tuple(INSIDE_V6, BACKEND_V6),
                );
            }
        }
    }
}

#[test]
fn translation_there_and_back_changes_nothing() {
    let quoted = packet(ipv4_header(0), Transport::Tcp, &[]);
    let error = error_about(&quoted);
    let mut ip = error.clone();
    let layout = parsed(&ip);
    let original = Embedded::find(&ip, &layout).unwrap().tuple::<V4>(&ip).unwrap();
    let addresses = V4::pair(layout.source, layout.destination).unwrap();
    let inner = tuple::<V4>(INSIDE, BACKEND);
    translate_error::<V4>(&mut ip, &layout, inner.swapped().addresses, &inner).unwrap();
    let layout = parsed(&ip);
    translate_error::<V4>(&mut ip, &layout, addresses, &original).unwrap();
    assert_eq!(ip, error);
}

#[test]
fn the_other_family_cannot_be_translated_to() {
    let mut ip = error_about(&packet(ipv4_header(0), Transport::Tcp, &[]));
    let (before, layout) = (ip.clone(), parsed(&ip));
    let inner = tuple::<V6>(INSIDE_V6, BACKEND_V6);
    assert!(translate_error::<V6>(&mut ip, &layout, inner.addresses, &inner).is_err());
    let embedded = Embedded::find(&ip, &layout).unwrap();
    assert_eq!(translate_embedded::<V6>(&mut ip[embedded.at..], &embedded.datagram, &inner), None);
    assert_eq!(ip, before);
}

fn own(v6: bool) -> IpAddr {
    if v6 { router_v6().into() } else { ROUTER_V4.into() }
}

#[test]
fn errors_are_built_as_an_independent_parser_expects() {
    let messages = [
        ErrorMessage::TimeExceeded,
        ErrorMessage::TooBig { mtu: 1400 },
        ErrorMessage::PortUnreachable,
        ErrorMessage::HostUnreachable,
        ErrorMessage::NetUnreachable,
    ];
    use icmpv4::DestUnreachableHeader as Unreachable4;
    use icmpv6::DestUnreachableCode as Unreachable6;
    let ipv4 = [
        Icmpv4Type::TimeExceeded(icmpv4::TimeExceededCode::TtlExceededInTransit),
        Icmpv4Type::DestinationUnreachable(Unreachable4::FragmentationNeeded { next_hop_mtu: 1400 }),
        Icmpv4Type::DestinationUnreachable(Unreachable4::Port),
        Icmpv4Type::DestinationUnreachable(Unreachable4::Host),
        Icmpv4Type::DestinationUnreachable(Unreachable4::Network),
    ];
    let ipv6 = [
        Icmpv6Type::TimeExceeded(icmpv6::TimeExceededCode::HopLimitExceeded),
        Icmpv6Type::PacketTooBig { mtu: 1400 },
        Icmpv6Type::DestinationUnreachable(Unreachable6::Port),
        Icmpv6Type::DestinationUnreachable(Unreachable6::Address),
        Icmpv6Type::DestinationUnreachable(Unreachable6::NoRoute),
    ];
    for (index, message) in messages.into_iter().enumerate() {
        for header in [ipv4_header(8), ipv6_header(extensions())] {
            let v6 = header.ipv6().is_some();
            let mut ip = packet(header, Transport::Udp, &[0x42; 33]);
            let layout = parsed(&ip);
            ip.extend([0; 6]); // link padding is not quoted
            let mut out = [0xee; 2000];
            let length = build_error(message, own(v6), (&ip, &layout), false, &mut out).unwrap();
            let out = &out[..length];
            let read = parsed(out);
            assert_eq!((read.source, read.destination, read.end), (own(v6), layout.source, length));
            assert!(is_valid(out));
            assert_eq!(out[read.l4_offset + 8..], ip[..layout.end]);
            match SlicedPacket::from_ip(out).unwrap().transport.unwrap() {
                TransportSlice::Icmpv4(icmp) => assert_eq!(icmp.icmp_type(), ipv4[index]),
                TransportSlice::Icmpv6(icmp) => assert_eq!(icmp.icmp_type(), ipv6[index]),
                other => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn errors_quote_no_more_than_their_limit_and_their_buffer() {
    for (header, headers, limit) in
        [(ipv4_header(0), 28, MAX_ERROR_V4), (ipv6_header(Default::default()), 48, MAX_ERROR_V6)]
    {
        let v6 = header.ipv6().is_some();
        let ip = packet(header, Transport::Udp, &[0x42; 1440]);
        for room in [0, headers - 1, headers, headers + 1, 200, limit - 1, limit, limit + 1, 3000] {
            let mut out = vec![0; room];
            let length =
                build_error(ErrorMessage::TimeExceeded, own(v6), (&ip, &parsed(&ip)), false, &mut out);
            assert_eq!(length, (room >= headers).then_some(room.min(limit)));
            if let Some(length) = length {
                assert!(is_valid(&out[..length]));
                assert!(LaxSlicedPacket::from_ip(&out[headers..length]).is_ok() || length < headers + 40);
            }
        }
        assert_eq!(
            build_error(ErrorMessage::TimeExceeded, own(!v6), (&ip, &parsed(&ip)), false, &mut [0; 600]),
            None
        );
    }
}

fn ipv4_packet(source: [u8; 4], destination: [u8; 4]) -> Vec<u8> {
    let mut ip = Vec::new();
    PacketBuilder::ipv4(source, destination, 9).udp(1, 2).write(&mut ip, &[0; 9]).unwrap();
    ip
}

fn ipv6_packet(source: &str, destination: &str) -> Vec<u8> {
    let octets = |text: &str| text.parse::<std::net::Ipv6Addr>().unwrap().octets();
    let mut ip = Vec::new();
    PacketBuilder::ipv6(octets(source), octets(destination), 9).udp(1, 2).write(&mut ip, &[0; 9]).unwrap();
    ip
}

#[test]
fn no_error_is_sent_where_the_standards_forbid_it() {
    let too_big = ErrorMessage::TooBig { mtu: 1280 };
    let answered = |message, ip: &[u8], group| may_answer(message, ip, &parsed(ip), group);
    let expired = |ip: &[u8]| answered(ErrorMessage::TimeExceeded, ip, false);
    let fragment = |header, offset, number| {
        packet(fixtures::fragment(header, offset, offset == 0), Transport::Raw(number), &[8; 32])
    };
    let v6 = || ipv6_header(Default::default());

    assert!(expired(&ipv4_packet(CLIENT_V4, SERVER_V4)));
    assert!(expired(&ipv6_packet("2001:db8::1", "2001:db8::2")));
    for source in [[0; 4], [127, 0, 0, 1], [224, 0, 0, 1], [255; 4], [240, 0, 0, 1]] {
        assert!(!expired(&ipv4_packet(source, SERVER_V4)), "{source:?}");
    }
    for source in ["::", "ff02::1", "::1"] {
        assert!(!expired(&ipv6_packet(source, "2001:db8::2")), "{source}");
    }
    for destination in [[224, 0, 0, 9], [255; 4]] {
        assert!(!expired(&ipv4_packet(CLIENT_V4, destination)));
        assert!(!answered(too_big, &ipv4_packet(CLIENT_V4, destination), false));
    }
    assert!(!answered(ErrorMessage::TimeExceeded, &ipv4_packet(CLIENT_V4, SERVER_V4), true));
    assert!(!expired(&ipv6_packet("2001:db8::1", "ff0e::1")));
    assert!(answered(too_big, &ipv6_packet("2001:db8::1", "ff0e::1"), true), "RFC 4443 2.4 e.3");
    assert!(!answered(ErrorMessage::PortUnreachable, &ipv6_packet("2001:db8::1", "2001:db8::2"), true));

    assert!(expired(&fragment(ipv4_header(0), 0, 17)));
    assert!(!expired(&fragment(ipv4_header(0), 64, 17)), "not the first fragment");
    assert!(expired(&fragment(v6(), 64, 17)));
    assert!(!expired(&fragment(v6(), 64, 58)), "it may be of an error");

    for header in [ipv4_header(0), v6()] {
        assert!(expired(&packet(header.clone(), Transport::Echo, &[])), "a query");
        assert!(!expired(&error_about(&packet(header, Transport::Udp, &[]))), "an error");
    }
    let redirect = Icmpv4Type::Unknown { type_u8: 5, code_u8: 0, bytes5to8: [0; 4] };
    assert!(!expired(&ipv4_message(redirect, &[0; 28])));
    let redirect = Icmpv6Type::Unknown { type_u8: 137, code_u8: 0, bytes5to8: [0; 4] };
    assert!(!expired(&ipv6_message(redirect, &[0; 32])));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// Nothing a router may quote, and no tuple, makes the outcome wrong in any checksum.
    #[test]
    fn translated_errors_sum_up_for_any_quotation_and_tuple(
        mut quoted in prop::collection::vec(any::<u8>(), 28..200), v6: bool, protocol in 0usize..4,
        a: u128, b: u128, ports: [u8; 4],
    ) {
        let protocol = [6, 17, 132, 17][protocol];
        let (header, number) = if v6 { (0x60, 6) } else { (0x45, 9) };
        quoted[0] = header;
        quoted[number] = protocol;
        if !v6 {
            quoted[6] = 0x40;
            quoted[7] = 0;
        }
        let mut ip = error_about(&quoted);
        let layout = parsed(&ip);
        let done = if v6 {
            let pair = V6::pair(IpAddr::V6(a.into()), IpAddr::V6(b.into())).unwrap();
            translate_error::<V6>(&mut ip, &layout, V6::swapped(pair), &Tuple { addresses: pair, ports: Ports::read(&ports) })
        } else {
            let pair = V4::pair(IpAddr::V4((a as u32).into()), IpAddr::V4((b as u32).into())).unwrap();
            translate_error::<V4>(&mut ip, &layout, V4::swapped(pair), &Tuple { addresses: pair, ports: Ports::read(&ports) })
        };
        prop_assert!(is_valid(&ip), "{done:?}");
        if done.is_ok() {
            let found = Embedded::find(&ip, &parsed(&ip)).unwrap();
            prop_assert_eq!(found.datagram.ports(&ip[found.at..]), Some(Ports::read(&ports)));
        }
    }

    #[test]
    fn any_bytes_are_handled(mut ip in prop::collection::vec(any::<u8>(), 20..160), v6: bool, fix: bool) {
        ip[0] = if v6 { 0x60 } else { 0x45 };
        if fix {
            let length = ip.len();
            if v6 && length >= 40 {
                ip[4..6].copy_from_slice(&(length as u16 - 40).to_be_bytes());
                ip[6] = 58;
            } else {
                ip[2..4].copy_from_slice(&(length as u16).to_be_bytes());
                (ip[6], ip[7], ip[9]) = (0, 0, 1);
            }
        }
        if let Ok(layout) = Datagram::parse(&ip, true) {
            let _ = Message::parse(&ip, &layout);
            let _ = Embedded::find(&ip, &layout);
            let _ = build_error(ErrorMessage::TimeExceeded, own(v6), (&ip, &layout), false, &mut [0; 1500]);
            let _ = reply_in_place(&mut ip, &layout);
        }
    }
}
