use super::*;
use etherparse::{
    Icmpv6Type, PacketBuilder, SlicedPacket, TransportSlice, icmpv6::NeighborAdvertisementHeader,
};
use proptest::prelude::*;

use DropReason::{BadL4Checksum, IcmpUnsupported, MalformedHeader, MartianSource, Truncated};

const MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);
const OTHER: Mac = Mac([2, 0, 0, 0, 0, 2]);

fn ip(text: &str) -> Ipv6Addr {
    text.parse().unwrap()
}

fn here() -> Ipv6Addr {
    ip("fd00::11")
}

fn there() -> Ipv6Addr {
    ip("fd00::aa12:3456")
}

fn parse(packet: &[u8]) -> Result<Ndp, DropReason> {
    Ndp::parse(packet, &Datagram::parse(packet, false)?)
}

fn parse_frame(frame: &[u8]) -> Result<Ndp, DropReason> {
    let (link, at) = Ethernet::parse(frame).unwrap();
    assert_eq!(link.ether_type, ETHER_IPV6);
    parse(&frame[at..])
}

/// A message of an independent builder: `rest` is what follows the first eight bytes of ICMPv6.
fn built(ends: (Ipv6Addr, Ipv6Addr), hop_limit: u8, kind: [u8; 2], flags: u8, rest: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    PacketBuilder::ipv6(ends.0.octets(), ends.1.octets(), hop_limit)
        .icmpv6_raw(kind[0], kind[1], [flags, 0, 0, 0])
        .write(&mut out, rest)
        .unwrap();
    out
}

fn target(address: Ipv6Addr, options: &[u8]) -> Vec<u8> {
    [&address.octets(), options].concat()
}

const SOURCE_MAC: [u8; 8] = [1, 1, 2, 0, 0, 0, 0, 1];
const TARGET_MAC: [u8; 8] = [2, 1, 2, 0, 0, 0, 0, 1];

#[test]
fn groups_and_their_macs() {
    assert_eq!(solicited_node(there()), ip("ff02::1:ff12:3456"));
    assert_eq!(group_mac(solicited_node(there())), "33:33:ff:12:34:56".parse().unwrap());
    assert_eq!(group_mac(ALL_NODES), "33:33:00:00:00:01".parse().unwrap());
    assert!(is_solicited_node(ip("ff02::1:ff00:1")) && !is_solicited_node(ip("ff02::1:fe00:1")));
}

#[test]
fn reads_what_an_independent_builder_wrote() {
    let question = Solicitation {
        source: here(),
        destination: solicited_node(there()),
        target: there(),
        mac: Some(MAC),
    };
    let packet = built((here(), solicited_node(there())), 255, [135, 0], 0, &target(there(), &SOURCE_MAC));
    assert_eq!(parse(&packet), Ok(Ndp::Solicitation(question)));
    for flags in 0..8u8 {
        let expected = Advertisement {
            source: there(),
            destination: here(),
            target: there(),
            mac: Some(MAC),
            router: flags & 4 != 0,
            solicited: flags & 2 != 0,
            overrides: flags & 1 != 0,
        };
        let packet = built((there(), here()), 255, [136, 0], flags << 5, &target(there(), &TARGET_MAC));
        assert_eq!(parse(&packet), Ok(Ndp::Advertisement(expected)));
    }
}

#[test]
fn an_independent_parser_reads_every_message() {
    let multicast = Solicitation::new(MAC, here(), there(), false);
    let probe = Solicitation::new(MAC, here(), there(), true);
    let duplicate = Solicitation { source: Ipv6Addr::UNSPECIFIED, mac: None, ..multicast };
    for question in [multicast, probe, duplicate] {
        let mut frame = [0xee; 128];
        let length = question.frame(MAC, OTHER, 0, &mut frame).unwrap();
        assert_eq!(parse_frame(&frame[..length]), Ok(Ndp::Solicitation(question)));
        let read = SlicedPacket::from_ethernet(&frame[..length]).unwrap();
        let Some(TransportSlice::Icmpv6(icmp)) = read.transport else { panic!() };
        assert_eq!(icmp.icmp_type(), Icmpv6Type::NeighborSolicitation);
        assert!(icmp.is_checksum_valid(question.source.octets(), question.destination.octets()));
        let options: &[u8] = if question.mac.is_some() { &SOURCE_MAC } else { &[] };
        assert_eq!(icmp.payload(), target(there(), options));
    }
    let answers =
        [multicast.answer(OTHER), duplicate.answer(OTHER), Advertisement::unsolicited(OTHER, there(), true)];
    for answer in answers {
        let mut frame = [0xee; 128];
        let length = answer.frame(OTHER, MAC, 9, &mut frame).unwrap();
        assert_eq!((length, Ethernet::parse(&frame).unwrap().0.vlan), (90, 9));
        assert_eq!(parse_frame(&frame[..length]), Ok(Ndp::Advertisement(answer)));
        let read = SlicedPacket::from_ethernet(&frame[..length]).unwrap();
        let Some(TransportSlice::Icmpv6(icmp)) = read.transport else { panic!() };
        let flags = NeighborAdvertisementHeader {
            router: answer.router,
            solicited: answer.solicited,
            r#override: answer.overrides,
        };
        assert_eq!(icmp.icmp_type(), Icmpv6Type::NeighborAdvertisement(flags));
        assert!(icmp.is_checksum_valid(answer.source.octets(), answer.destination.octets()));
    }
}

#[test]
fn whoever_has_no_address_yet_is_answered_through_all_nodes() {
    let question = Solicitation::new(MAC, here(), there(), false);
    let answer = question.answer(OTHER);
    assert_eq!((answer.source, answer.destination, answer.solicited), (there(), here(), true));
    let answer = Solicitation { source: Ipv6Addr::UNSPECIFIED, mac: None, ..question }.answer(OTHER);
    assert_eq!((answer.destination, answer.solicited, answer.overrides), (ALL_NODES, false, true));
}

#[test]
fn messages_that_break_a_rule_are_refused() {
    let group = solicited_node(there());
    let nobody = Ipv6Addr::UNSPECIFIED;
    let ns = |ends, hop_limit, code, rest: &[u8]| parse(&built(ends, hop_limit, [135, code], 0, rest)).err();
    let na =
        |ends, hop_limit, flags, rest: &[u8]| parse(&built(ends, hop_limit, [136, 0], flags, rest)).err();
    let asked = target(there(), &[]);

    // RFC 4861 section 7.1.1
    assert_eq!(ns((here(), group), 255, 0, &asked), None);
    assert_eq!(ns((here(), group), 254, 0, &asked), Some(MalformedHeader), "from beyond a router");
    assert_eq!(ns((here(), group), 255, 1, &asked), Some(MalformedHeader), "code");
    assert_eq!(ns((here(), group), 255, 0, &target(group, &[])), Some(MalformedHeader), "multicast target");
    assert_eq!(ns((here(), group), 255, 0, &asked[..15]), Some(Truncated), "shorter than 24 bytes");
    assert_eq!(ns((nobody, group), 255, 0, &asked), None);
    assert_eq!(ns((nobody, there()), 255, 0, &asked), Some(MalformedHeader), "duplicate search by unicast");
    assert_eq!(ns((nobody, group), 255, 0, &target(there(), &SOURCE_MAC)), Some(MalformedHeader));
    assert_eq!(ns((ip("ff02::2"), group), 255, 0, &asked), Some(MartianSource));
    assert_eq!(ns((ip("::1"), group), 255, 0, &asked), Some(MartianSource));

    // RFC 4861 section 7.1.2
    assert_eq!(na((there(), here()), 255, 0x60, &asked), None, "without a MAC");
    assert_eq!(na((there(), here()), 1, 0x60, &asked), Some(MalformedHeader), "from beyond a router");
    assert_eq!(na((there(), ALL_NODES), 255, 0x40, &asked), Some(MalformedHeader), "solicited by everybody");
    assert_eq!(na((there(), ALL_NODES), 255, 0x20, &asked), None);
    assert_eq!(na((there(), here()), 255, 0, &target(group, &[])), Some(MalformedHeader), "multicast target");
    assert_eq!(na((nobody, here()), 255, 0, &asked), Some(MartianSource));

    assert_eq!(parse(&built((here(), group), 255, [133, 0], 0, &asked)), Err(IcmpUnsupported));
    assert_eq!(parse(&built((here(), group), 255, [137, 0], 0, &asked)), Err(IcmpUnsupported));
}

#[test]
fn options_are_read_strictly() {
    type Case = (&'static str, &'static [u8], Result<Option<Mac>, DropReason>);
    let cases: [Case; 10] = [
        ("none", &[], Ok(None)),
        ("one", &SOURCE_MAC, Ok(Some(MAC))),
        ("another kind", &[14, 1, 9, 9, 9, 9, 9, 9], Ok(None)),
        ("behind another kind", &[14, 1, 9, 9, 9, 9, 9, 9, 1, 1, 2, 0, 0, 0, 0, 2], Ok(Some(OTHER))),
        ("the first of two", &[1, 1, 2, 0, 0, 0, 0, 1, 1, 1, 2, 0, 0, 0, 0, 2], Ok(Some(MAC))),
        ("length zero", &[14, 0, 9, 9, 9, 9, 9, 9], Err(MalformedHeader)),
        ("length zero behind", &[1, 1, 2, 0, 0, 0, 0, 1, 3, 0, 0, 0, 0, 0, 0, 0], Err(MalformedHeader)),
        ("longer than the message", &[1, 2, 2, 0, 0, 0, 0, 1], Err(Truncated)),
        ("a group", &[1, 1, 3, 0, 0, 0, 0, 1], Err(MartianSource)),
        ("all zeros", &[1, 1, 0, 0, 0, 0, 0, 0], Err(MartianSource)),
    ];
    for (what, options, mac) in cases {
        let packet = built((here(), solicited_node(there())), 255, [135, 0], 0, &target(there(), options));
        let read = parse(&packet).map(|read| match read {
            Ndp::Solicitation(question) => question.mac,
            Ndp::Advertisement(answer) => answer.mac,
        });
        assert_eq!(read, mac, "{what}");
    }
    let long = [&[1, 2, 2, 0, 0, 0, 0, 1][..], &[0; 8]].concat();
    let packet = built((here(), solicited_node(there())), 255, [135, 0], 0, &target(there(), &long));
    assert_eq!(parse(&packet), Err(MalformedHeader), "an address that is not of Ethernet");
}

#[test]
fn damage_cuts_and_fragments_are_refused() {
    let packet = built((there(), here()), 255, [136, 0], 0x60, &target(there(), &TARGET_MAC));
    let layout = Datagram::parse(&packet, false).unwrap();
    for at in 44..packet.len() {
        let mut packet = packet.clone();
        packet[at] ^= 0x10;
        assert_eq!(Ndp::parse(&packet, &layout), Err(BadL4Checksum), "{at}");
    }
    for length in 0..packet.len() {
        assert_eq!(parse(&packet[..length]), Err(Truncated));
        assert_eq!(Ndp::parse(&packet[..length], &layout), Err(Truncated));
    }
    let fragment = etherparse::Ipv6FragmentHeader::new(58.into(), etherparse::IpFragOffset::ZERO, false, 1);
    let mut atomic = packet.clone();
    atomic.splice(40..40, fragment.to_bytes());
    (atomic[5], atomic[6]) = (packet.len() as u8 - 40 + 8, 44);
    assert_eq!(parse(&atomic), Err(MalformedHeader), "RFC 6980");
}

#[test]
fn a_buffer_too_short_is_refused() {
    let question = Solicitation::new(MAC, here(), there(), false);
    for room in 0..86 {
        assert_eq!(question.frame(MAC, OTHER, 0, &mut vec![0; room]), None);
    }
    assert_eq!(question.frame(MAC, OTHER, 0, &mut [0; 86]), Some(86));
}

proptest! {
    #[test]
    fn any_message_is_read_or_refused(kind in 133u8..138, flags: u8, rest in prop::collection::vec(any::<u8>(), 0..80)) {
        let _ = parse(&built((here(), there()), 255, [kind, 0], flags, &rest));
    }

    #[test]
    fn messages_round_trip(source: u128, destination: u128, target: u128, mac: Option<[u8; 6]>, bits in 0u8..8) {
        let answer = Advertisement {
            source: source.into(),
            destination: destination.into(),
            target: target.into(),
            mac: mac.map(Mac),
            router: bits & 1 != 0,
            solicited: bits & 2 != 0,
            overrides: bits & 4 != 0,
        };
        let mut frame = [0; 90];
        let length = answer.frame(MAC, OTHER, 0, &mut frame).unwrap();
        match parse_frame(&frame[..length]) {
            Ok(read) => prop_assert_eq!(read, Ndp::Advertisement(answer)),
            Err(reason) => prop_assert_ne!(reason, BadL4Checksum),
        }
    }
}
