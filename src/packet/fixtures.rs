//! Packets for tests, made by an independent builder.

use etherparse::{
    IpFragOffset, IpHeaders, Ipv4Header, Ipv4Options, Ipv6Extensions, Ipv6FragmentHeader, Ipv6Header,
    Ipv6RawExtHeader, Ipv6RoutingExtensions, PacketBuilder,
};

pub(crate) const CLIENT_V4: [u8; 4] = [192, 0, 2, 1];
pub(crate) const SERVER_V4: [u8; 4] = [198, 51, 100, 7];

pub(crate) fn client_v6() -> [u8; 16] {
    "2001:db8::1".parse::<std::net::Ipv6Addr>().unwrap().octets()
}

pub(crate) fn server_v6() -> [u8; 16] {
    "2001:db8:7::ffff:9".parse::<std::net::Ipv6Addr>().unwrap().octets()
}

/// What stands behind the IP headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Tcp,
    Udp,
    Echo,
    /// Nothing but the payload.
    Raw(u8),
}

impl Transport {
    pub(crate) fn number(self, v6: bool) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Echo if v6 => 58,
            Self::Echo => 1,
            Self::Raw(number) => number,
        }
    }
}

/// An IPv4 header from client to server, with no-operation options of `options` bytes.
pub(crate) fn ipv4_header(options: usize) -> IpHeaders {
    let mut header = Ipv4Header::new(0, 33, etherparse::IpNumber::UDP, CLIENT_V4, SERVER_V4).unwrap();
    header.identification = 0x1234;
    header.options = Ipv4Options::try_from(&vec![1; options][..]).unwrap();
    IpHeaders::Ipv4(header, Default::default())
}

/// An IPv6 header from client to server with extension headers.
pub(crate) fn ipv6_header(extensions: Ipv6Extensions) -> IpHeaders {
    let header =
        Ipv6Header { source: client_v6(), destination: server_v6(), hop_limit: 33, ..Default::default() };
    IpHeaders::Ipv6(header, extensions)
}

/// The same header, of a fragment.
pub(crate) fn fragment(header: IpHeaders, offset_bytes: u16, more: bool) -> IpHeaders {
    let place = IpFragOffset::try_new(offset_bytes / 8).unwrap();
    match header {
        IpHeaders::Ipv4(mut header, rest) => {
            header.fragment_offset = place;
            header.more_fragments = more;
            header.dont_fragment = false;
            IpHeaders::Ipv4(header, rest)
        }
        IpHeaders::Ipv6(header, mut rest) => {
            rest.fragment =
                Some(Ipv6FragmentHeader::new(etherparse::IpNumber::UDP, place, more, 0x89ab_cdef));
            IpHeaders::Ipv6(header, rest)
        }
    }
}

/// Hop-by-hop options, routing with no segments left, destination options on both sides of it.
pub(crate) fn extensions() -> Ipv6Extensions {
    let raw = |bytes: usize| {
        let mut payload = vec![0; bytes];
        (payload[0], payload[1]) = (1, bytes as u8 - 2); // PadN
        Ipv6RawExtHeader::new_raw(etherparse::IpNumber::UDP, &payload).unwrap()
    };
    let routing = Ipv6RawExtHeader::new_raw(etherparse::IpNumber::UDP, &[4, 0, 0, 0, 0, 0]).unwrap();
    Ipv6Extensions {
        hop_by_hop_options: Some(raw(6)),
        destination_options: Some(raw(14)),
        routing: Some(Ipv6RoutingExtensions { routing, final_destination_options: Some(raw(6)) }),
        ..Default::default()
    }
}

/// The packet from its IP header on, checksums right.
pub(crate) fn packet(header: IpHeaders, transport: Transport, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let v6 = matches!(header, IpHeaders::Ipv6(..));
    let builder = PacketBuilder::ip(header);
    match transport {
        Transport::Tcp => builder.tcp(1000, 80, 7, 1024).write(&mut out, payload),
        Transport::Udp => builder.udp(1000, 53).write(&mut out, payload),
        Transport::Echo if v6 => builder.icmpv6_echo_request(5, 6).write(&mut out, payload),
        Transport::Echo => builder.icmpv4_echo_request(5, 6).write(&mut out, payload),
        Transport::Raw(number) => builder.write(&mut out, number.into(), payload),
    }
    .unwrap();
    out
}

/// Fills in the header checksum after a change to an IPv4 header.
pub(crate) fn seal(ip: &mut [u8]) {
    let header = usize::from(ip[0] & 15) * 4;
    ip[10..12].fill(0);
    let checksum = !super::fold(super::sum(&ip[..header]));
    ip[10..12].copy_from_slice(&checksum.to_ne_bytes());
}
