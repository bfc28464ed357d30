use super::*;
use crate::packet::fixtures::{self, Transport, extensions, ipv4_header, ipv6_header, packet, seal};
use etherparse::{IpHeaders, IpSlice};
use proptest::prelude::*;

use DropReason::{BadIpChecksum, FragmentUnsupported, MalformedHeader, Truncated};

const TRANSPORTS: [Transport; 5] =
    [Transport::Tcp, Transport::Udp, Transport::Echo, Transport::Raw(132), Transport::Raw(47)];

fn headers() -> Vec<IpHeaders> {
    vec![
        ipv4_header(0),
        ipv4_header(4),
        ipv4_header(40),
        ipv6_header(Default::default()),
        ipv6_header(extensions()),
    ]
}

fn header_length(header: &IpHeaders) -> usize {
    header.header_len()
}

#[test]
fn reads_every_header_an_independent_builder_wrote() {
    for header in headers() {
        for transport in TRANSPORTS {
            let ip = packet(header.clone(), transport, &[0x42; 32]);
            let read = Datagram::parse(&ip, false).unwrap();
            let v6 = header.ipv6().is_some();
            assert_eq!(read.protocol, transport.number(v6), "{header:?}");
            assert_eq!((read.l4_offset, read.end, read.ttl), (header_length(&header), ip.len(), 33));
            assert_eq!((read.fragment, read.dont_fragment), (None, true));
            let expected = IpSlice::from_slice(&ip).unwrap();
            assert_eq!(
                (read.source, read.destination),
                (expected.source_addr(), expected.destination_addr())
            );
        }
    }
}

#[test]
fn link_padding_is_not_part_of_the_packet() {
    for header in headers() {
        let mut ip = packet(header, Transport::Udp, b"x");
        let end = ip.len();
        ip.extend([0xff; 30]);
        assert_eq!(Datagram::parse(&ip, false).unwrap().end, end);
    }
}

#[test]
fn every_truncation_of_a_whole_packet_is_truncated() {
    for header in headers() {
        for transport in TRANSPORTS {
            let ip = packet(header.clone(), transport, &[0x42; 32]);
            for length in 0..ip.len() {
                assert_eq!(Datagram::parse(&ip[..length], false), Err(Truncated), "{transport:?} {length}");
            }
        }
    }
}

/// The packet cut to `length` bytes, and its IP header says so.
fn shortened(mut ip: Vec<u8>, length: usize) -> Vec<u8> {
    ip.truncate(length);
    if ip[0] >> 4 == 4 {
        ip[2..4].copy_from_slice(&(length as u16).to_be_bytes());
        seal(&mut ip);
    } else {
        ip[4..6].copy_from_slice(&(length as u16 - 40).to_be_bytes());
    }
    ip
}

#[test]
fn a_packet_that_ends_within_its_headers_is_refused() {
    for header in headers() {
        let fixed = if header.ipv4().is_some() { 20 } else { 40 };
        for (transport, least) in
            [(Transport::Tcp, 20), (Transport::Udp, 8), (Transport::Echo, 8), (Transport::Raw(132), 12)]
        {
            let ip = packet(header.clone(), transport, &[0x42; 32]);
            let l4 = header_length(&header);
            for length in fixed..l4 + least {
                let cut = if header.ipv4().is_some() && length < l4 {
                    continue;
                } else {
                    shortened(ip.clone(), length)
                };
                assert_eq!(Datagram::parse(&cut, false), Err(Truncated), "{transport:?} {length}");
            }
            if transport != Transport::Udp {
                assert!(Datagram::parse(&shortened(ip, l4 + least), false).is_ok());
            }
        }
    }
}

#[test]
fn lying_ipv4_headers_are_refused() {
    let good = packet(ipv4_header(4), Transport::Udp, &[0x42; 32]);
    let cases: [(&str, usize, u8, DropReason); 7] = [
        ("version 5", 0, 0x56, MalformedHeader),
        ("version 0", 0, 0x06, MalformedHeader),
        ("header of 16 bytes", 0, 0x44, MalformedHeader),
        ("total length below the header", 3, 23, MalformedHeader),
        ("total length beyond the buffer", 2, 0x10, Truncated),
        ("UDP length 7", 24 + 5, 7, MalformedHeader),
        ("UDP length beyond the packet", 24 + 5, 41, MalformedHeader),
    ];
    for (what, at, value, reason) in cases {
        let mut ip = good.clone();
        ip[at] = value;
        if ip[0] == 0x46 {
            seal(&mut ip);
        }
        assert_eq!(Datagram::parse(&ip, false), Err(reason), "{what}");
    }
    let mut ip = good[..24].to_vec();
    ip[0] = 0x4f;
    ip[3] = 60;
    assert_eq!(Datagram::parse(&ip, true), Err(Truncated), "a header longer than the buffer");
}

#[test]
fn the_header_checksum_covers_options_and_may_be_left_to_the_nic() {
    let mut ip = packet(ipv4_header(8), Transport::Tcp, &[]);
    ip[23] ^= 1;
    assert_eq!(Datagram::parse(&ip, false), Err(BadIpChecksum));
    assert!(Datagram::parse(&ip, true).is_ok());
}

#[test]
fn lying_tcp_offsets_are_refused() {
    for header in headers() {
        let ip = packet(header.clone(), Transport::Tcp, &[0; 8]);
        for (words, result) in [(4, Some(MalformedHeader)), (5, None), (7, None), (8, Some(MalformedHeader))]
        {
            let mut ip = ip.clone();
            ip[header_length(&header) + 12] = words << 4;
            assert_eq!(Datagram::parse(&ip, false).err(), result, "{words}");
        }
    }
}

#[test]
fn fragments_show_their_place() {
    for header in headers() {
        let v6 = header.ipv6().is_some();
        let plain = header_length(&header);
        for (offset_bytes, more) in [(0, true), (64, true), (1480, false)] {
            let header = fixtures::fragment(header.clone(), offset_bytes, more);
            let ip = packet(header.clone(), Transport::Udp, &[0x42; 32]);
            let read = Datagram::parse(&ip, false).unwrap();
            // The builder puts destination options that follow routing behind the fragment header; so do others.
            let header_at = match v6 {
                true => header_length(&header) - 8 - behind_fragment_header(&header),
                false => 0,
            };
            let id = if v6 { 0x89ab_cdef } else { 0x1234 };
            assert_eq!(read.fragment, Some(Fragment { id, offset_bytes, more, header_at }));
            assert_eq!(read.dont_fragment, v6);
            assert_eq!(read.is_later_fragment(), offset_bytes != 0);
            match offset_bytes {
                0 => assert_eq!((read.protocol, read.l4_offset), (17, plain + if v6 { 8 } else { 0 })),
                _ if v6 => assert_eq!(read.l4_offset, header_at + 8),
                _ => assert_eq!(read.l4_offset, plain),
            }
            assert_eq!(read.ports(&ip).is_some(), offset_bytes == 0);
        }
    }
}

fn behind_fragment_header(header: &IpHeaders) -> usize {
    let routing = header.ipv6().and_then(|(_, extensions)| extensions.routing.as_ref());
    routing
        .and_then(|routing| routing.final_destination_options.as_ref())
        .map_or(0, |options| options.header_len())
}

#[test]
fn a_fragment_header_on_a_whole_packet_is_atomic() {
    let ip = packet(fixtures::fragment(ipv6_header(extensions()), 0, false), Transport::Udp, &[0x42; 3]);
    let read = Datagram::parse(&ip, false).unwrap();
    assert!(read.fragment.unwrap().is_atomic() && !read.is_later_fragment());
    assert_eq!(read.ports(&ip), Some(Ports::new(1000, 53)));
    // Its transport header is held to the same rules as any other.
    assert_eq!(Datagram::parse(&shortened(ip.clone(), read.l4_offset + 7), false), Err(Truncated));
}

#[test]
fn fragments_that_cannot_fit_together_are_refused() {
    for header in [ipv4_header(0), ipv6_header(Default::default())] {
        let raw = |offset, more, payload: usize| {
            let header = fixtures::fragment(header.clone(), offset, more);
            Datagram::parse(&packet(header, Transport::Raw(17), &vec![0x42; payload]), false)
        };
        assert_eq!(raw(64, true, 33), Err(MalformedHeader), "not a multiple of eight");
        assert_eq!(raw(64, false, 0), Err(MalformedHeader), "empty");
        assert_eq!(raw(65528, false, 8), Err(MalformedHeader), "beyond 64 KiB");
        assert!(raw(64, false, 33).is_ok());
        assert!(raw(65480, false, 16).is_ok());
    }
}

#[test]
fn first_fragments_without_a_whole_transport_header_are_not_supported() {
    for header in [ipv4_header(0), ipv6_header(Default::default())] {
        let raw = |protocol, offset, more, payload: &[u8]| {
            let header = fixtures::fragment(header.clone(), offset, more);
            Datagram::parse(&packet(header, Transport::Raw(protocol), payload), false)
                .map(|read| read.protocol)
        };
        assert_eq!(raw(6, 0, true, &[0; 16]), Err(FragmentUnsupported), "half a TCP header");
        assert_eq!(raw(6, 8, false, &[0; 16]), Err(FragmentUnsupported), "overwrites TCP flags (RFC 3128)");
        assert_eq!(raw(6, 16, false, &[0; 16]), Ok(6));
        assert_eq!(raw(132, 0, true, &[0; 8]), Err(FragmentUnsupported), "half an SCTP header");
        let mut tcp = [0; 24];
        tcp[12] = 7 << 4;
        assert_eq!(raw(6, 0, true, &tcp), Err(FragmentUnsupported), "options in the next fragment");
        let udp = [0, 1, 0, 2, 0xff, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
        assert_eq!(raw(17, 0, true, &udp), Ok(17), "its length is that of the whole datagram");
    }
}

#[test]
fn a_first_fragment_must_hold_all_extension_headers() {
    let mut ip =
        packet(fixtures::fragment(ipv6_header(Default::default()), 0, true), Transport::Raw(17), &[0; 8]);
    ip[40] = DESTINATION_OPTIONS;
    ip[48] = 17;
    ip[49] = 1; // 16 bytes of options, of which 8 are here
    assert_eq!(Datagram::parse(&ip, false), Err(FragmentUnsupported));
}

/// An IPv6 packet with the extension headers `chain`, each as short as can be, then `last`.
fn chained(chain: &[u8], last: u8, payload: &[u8]) -> Vec<u8> {
    let mut ip = packet(ipv6_header(Default::default()), Transport::Raw(last), &[]);
    ip[6] = chain.first().copied().unwrap_or(last);
    for next in chain.iter().copied().skip(1).chain([last]).take(chain.len()) {
        ip.extend([next, 0, 0, 0, 0, 0, 0, 0]);
    }
    ip.extend(payload);
    let length = ip.len();
    shortened(ip, length)
}

#[test]
fn impossible_chains_are_refused() {
    let udp = [0, 1, 0, 2, 0, 8, 0, 0];
    let cases: [(&str, &[u8], Option<DropReason>); 7] = [
        ("none", &[], None),
        ("all four", &[HOP_BY_HOP, DESTINATION_OPTIONS, ROUTING, FRAGMENT], None),
        ("eight", &[DESTINATION_OPTIONS; 8], None),
        ("nine", &[DESTINATION_OPTIONS; 9], Some(MalformedHeader)),
        ("hop-by-hop second", &[DESTINATION_OPTIONS, HOP_BY_HOP], Some(MalformedHeader)),
        ("hop-by-hop twice", &[HOP_BY_HOP, HOP_BY_HOP], Some(MalformedHeader)),
        ("two fragment headers", &[FRAGMENT, FRAGMENT], Some(MalformedHeader)),
    ];
    for (what, chain, result) in cases {
        assert_eq!(Datagram::parse(&chained(chain, 17, &udp), false).err(), result, "{what}");
    }
    let mut ip = chained(&[ROUTING], 17, &udp);
    ip[43] = 1;
    assert_eq!(Datagram::parse(&ip, false).err(), Some(MalformedHeader), "segments left");
    let mut ip = chained(&[DESTINATION_OPTIONS], 17, &udp);
    ip[41] = 2;
    assert_eq!(Datagram::parse(&ip, false).err(), Some(Truncated), "a header longer than the packet");
    assert_eq!(Datagram::parse(&chained(&[], 59, &[]), false).unwrap().protocol, 59);
}

#[test]
fn embedded_packets_may_be_cut_behind_their_ip_headers() {
    for header in headers() {
        let ip = packet(header.clone(), Transport::Tcp, &[0x42; 32]);
        let whole = Datagram::parse(&ip, false).unwrap();
        for length in 0..ip.len() {
            let read = Datagram::parse_embedded(&ip[..length]);
            match length < whole.l4_offset {
                true => assert_eq!(read, Err(Truncated)),
                false => assert_eq!(read, Ok(Datagram { end: length, ..whole })),
            }
            let ports = read.ok().and_then(|read| read.ports(&ip[..length]));
            assert_eq!(ports.is_some(), length >= whole.l4_offset + 4);
        }
    }
}

#[test]
fn embedded_packets_end_where_their_length_says() {
    for header in headers() {
        let mut ip = packet(header.clone(), Transport::Udp, &[0x42; 32]);
        ip.extend([0; 64]);
        assert_eq!(Datagram::parse_embedded(&ip).unwrap().end, ip.len() - 64);
    }
    let mut ip = packet(ipv4_header(0), Transport::Udp, &[0x42; 32]);
    ip[10] ^= 0xff;
    assert!(Datagram::parse_embedded(&ip).is_ok(), "routers count the TTL down and may not fix the checksum");
}

#[test]
fn tuples_are_of_their_family() {
    use crate::packet::{V4, V6};
    let ip = packet(ipv4_header(8), Transport::Tcp, &[]);
    let read = Datagram::parse(&ip, false).unwrap();
    let tuple = read.tuple::<V4>(&ip).unwrap();
    assert_eq!((tuple.source(), tuple.ports), (IpAddr::from(fixtures::CLIENT_V4), Ports::new(1000, 80)));
    assert_eq!(read.tuple::<V6>(&ip), None);
    let ip = packet(ipv4_header(0), Transport::Echo, &[]);
    assert_eq!(Datagram::parse(&ip, false).unwrap().ports(&ip), None, "ICMP has no ports");
}

#[test]
fn martian_sources() {
    for (address, martian) in [
        ("0.0.0.0", true),
        ("0.1.2.3", true),
        ("127.0.0.1", true),
        ("224.0.0.1", true),
        ("240.0.0.1", true),
        ("255.255.255.255", true),
        ("10.0.0.1", false),
        ("223.255.255.255", false),
        ("169.254.1.1", false),
        ("::", true),
        ("::1", true),
        ("ff02::1", true),
        ("::ffff:10.0.0.1", true),
        ("fe80::1", false),
        ("fd00::1", false),
        ("2001:db8::1", false),
    ] {
        assert_eq!(is_martian_source(address.parse().unwrap()), martian, "{address}");
    }
}

fn samples() -> Vec<Vec<u8>> {
    let mut samples = Vec::new();
    for header in headers() {
        for transport in TRANSPORTS {
            samples.push(packet(header.clone(), transport, &[0x42; 40]));
            samples.push(packet(fixtures::fragment(header.clone(), 0, true), transport, &[0x42; 40]));
            samples.push(packet(fixtures::fragment(header.clone(), 64, false), transport, &[0x42; 41]));
        }
    }
    samples
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_bytes_are_read_or_refused(mut ip in prop::collection::vec(any::<u8>(), 0..200), first in 0u8..4) {
        if let (Some(byte), Some(version)) = (ip.first_mut(), [0x45, 0x47, 0x60].get(usize::from(first))) {
            *byte = *version;
        }
        for read in [Datagram::parse(&ip, true), Datagram::parse_embedded(&ip)].into_iter().flatten() {
            prop_assert!(read.l4_offset <= read.end && read.end <= ip.len());
            let _ = read.ports(&ip);
        }
    }

    /// Whatever is changed in a good packet: what is still taken, an independent parser takes and reads alike.
    #[test]
    fn what_is_taken_reads_as_an_independent_parser_reads_it(
        sample: prop::sample::Index, changes in prop::collection::vec((0usize..64, any::<u8>()), 0..4)
    ) {
        let samples = samples();
        let mut ip = samples[sample.index(samples.len())].clone();
        for (at, value) in changes {
            let at = at % ip.len();
            ip[at] = value;
        }
        let Ok(read) = Datagram::parse(&ip, true) else { return Ok(()) };
        // The other takes the payload of later fragments, and what authentication headers cover, for headers.
        let reads_on = (read.is_later_fragment() && read.source.is_ipv6()) || read.protocol == 51;
        if reads_on {
            return Ok(());
        }
        let expected = IpSlice::from_slice(&ip);
        prop_assert!(expected.is_ok(), "{:?} but {:?}", read, expected);
        let expected = expected.unwrap();
        prop_assert_eq!(read.source, expected.source_addr());
        prop_assert_eq!(read.destination, expected.destination_addr());
        let fragmented = read.fragment.is_some_and(|fragment| !fragment.is_atomic());
        prop_assert_eq!(fragmented, expected.is_fragmenting_payload());
        prop_assert_eq!(read.protocol, expected.payload().ip_number.0);
        prop_assert_eq!(expected.payload().payload, &ip[read.l4_offset..read.end]);
    }

    /// What the fast path takes, the general parse takes and reads alike.
    #[test]
    fn agrees_with_the_fast_path(
        sample: prop::sample::Index, changes in prop::collection::vec((0usize..64, any::<u8>()), 0..4)
    ) {
        use crate::packet::{Family, V4, V6};
        let samples = samples();
        let mut ip = samples[sample.index(samples.len())].clone();
        for (at, value) in changes {
            let at = at % ip.len();
            ip[at] = value;
        }
        let read = Datagram::parse(&ip, true);
        let general = read.map(|read| (read.protocol, read.end, read.ttl > 1, read.fragment));
        if let Ok(flow) = V4::parse(&ip, true) {
            prop_assert_eq!(general, Ok((flow.protocol.number(), usize::from(flow.length), true, None)));
            prop_assert_eq!(read.unwrap().tuple::<V4>(&ip), Some(flow.tuple));
        }
        if let Ok(flow) = V6::parse(&ip, false) {
            prop_assert_eq!(general, Ok((flow.protocol.number(), usize::from(flow.length), true, None)));
            prop_assert_eq!(read.unwrap().tuple::<V6>(&ip), Some(flow.tuple));
        }
    }
}
