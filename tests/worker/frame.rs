//! Frames as words: written by an independent builder, with every checksum right unless a test spoils it.

use etherparse::{
    EtherType, Ethernet2Header, Icmpv4Header, Icmpv4Type, Icmpv6Header, Icmpv6Type, IpDscp, IpEcn,
    IpFragOffset, IpNumber, Ipv4Header, Ipv4Options, Ipv6FlowLabel, Ipv6Header, SingleVlanHeader, TcpHeader,
    UdpHeader, VlanId,
};
use hitless::types::{Mac, Protocol};
use std::net::{IpAddr, SocketAddr};

/// TCP flags.
pub(crate) const FIN: u8 = 0x01;
pub(crate) const SYN: u8 = 0x02;
pub(crate) const RST: u8 = 0x04;
pub(crate) const PSH: u8 = 0x08;
pub(crate) const ACK: u8 = 0x10;

/// SCTP chunk types.
pub(crate) const DATA: u8 = 0;
pub(crate) const INIT: u8 = 1;
pub(crate) const INIT_ACK: u8 = 2;
pub(crate) const ABORT: u8 = 6;
pub(crate) const SHUTDOWN_COMPLETE: u8 = 14;

/// IPv6 extension headers.
pub(crate) const HOP_BY_HOP: u8 = 0;
pub(crate) const ROUTING: u8 = 43;
pub(crate) const FRAGMENT: u8 = 44;
pub(crate) const DESTINATION_OPTIONS: u8 = 60;

/// What stands behind the IP headers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Body {
    Tcp {
        flags: u8,
        options: Vec<u8>,
        payload: Vec<u8>,
    },
    Udp {
        checksum: bool,
        payload: Vec<u8>,
    },
    /// The first chunk's type, and what follows its four bytes.
    Sctp {
        chunk: u8,
        payload: Vec<u8>,
    },
    /// ICMP in IPv4, ICMPv6 in IPv6: type, code, the four bytes behind the checksum.
    Icmp {
        kind: u8,
        code: u8,
        word: [u8; 4],
        payload: Vec<u8>,
    },
    /// Bytes of any protocol.
    Raw {
        protocol: u8,
        payload: Vec<u8>,
    },
}

/// A fragment's place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Piece {
    pub(crate) id: u32,
    /// In bytes.
    pub(crate) offset: u16,
    pub(crate) more: bool,
}

/// A frame. Ports stand beside their addresses and are not used by bodies that have none.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Frame {
    pub(crate) from: Mac,
    pub(crate) to: Mac,
    /// The tag's identifier; `None` for no tag.
    pub(crate) vlan: Option<u16>,
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
    pub(crate) ttl: u8,
    /// Type of service, traffic class.
    pub(crate) class: u8,
    pub(crate) id: u16,
    pub(crate) dont_fragment: bool,
    /// Of IPv4.
    pub(crate) options: Vec<u8>,
    /// Of IPv6: the number of each extension header, and what follows its two first bytes.
    pub(crate) extensions: Vec<(u8, Vec<u8>)>,
    pub(crate) piece: Option<Piece>,
    pub(crate) body: Body,
    /// Bytes behind the IP packet.
    pub(crate) padding: usize,
}

/// An address and port, from text.
pub(crate) fn at(text: &str) -> SocketAddr {
    text.parse().unwrap_or_else(|_| panic!("{text} is no address with a port"))
}

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap_or_else(|_| panic!("{text} is no address"))
}

/// The MAC of whoever has an address.
pub(crate) fn mac_of(address: IpAddr) -> Mac {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            Mac([0x02, 0x04, a, b, c, d])
        }
        IpAddr::V6(v6) => {
            let bits = v6.to_bits();
            let mixed = (bits >> 96) as u32 ^ bits as u32;
            let [a, b, c, d] = mixed.to_be_bytes();
            Mac([0x02, 0x06, a, b, c, d])
        }
    }
}

impl Frame {
    pub(crate) fn new(source: SocketAddr, destination: SocketAddr, body: Body) -> Self {
        Self {
            from: mac_of(source.ip()),
            to: Mac::default(),
            vlan: None,
            source,
            destination,
            ttl: 64,
            class: 0,
            id: 0x1234,
            dont_fragment: false,
            options: Vec::new(),
            extensions: Vec::new(),
            piece: None,
            body,
            padding: 0,
        }
    }

    /// The same with changes.
    pub(crate) fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// The same with another payload.
    pub(crate) fn carrying(mut self, bytes: &[u8]) -> Self {
        let (Body::Tcp { payload, .. }
        | Body::Udp { payload, .. }
        | Body::Sctp { payload, .. }
        | Body::Icmp { payload, .. }
        | Body::Raw { payload, .. }) = &mut self.body;
        *payload = bytes.to_vec();
        self
    }

    pub(crate) fn is_ipv4(&self) -> bool {
        self.source.is_ipv4()
    }

    /// The number of what stands behind all headers.
    pub(crate) fn protocol(&self) -> u8 {
        match self.body {
            Body::Tcp { .. } => 6,
            Body::Udp { .. } => 17,
            Body::Sctp { .. } => 132,
            Body::Icmp { .. } if self.is_ipv4() => 1,
            Body::Icmp { .. } => 58,
            Body::Raw { protocol, .. } => protocol,
        }
    }

    /// The whole frame.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut frame = self.link();
        frame.extend(self.ip());
        frame.extend(std::iter::repeat_n(0, self.padding));
        frame
    }

    fn link(&self) -> Vec<u8> {
        let network = if self.is_ipv4() { EtherType::IPV4 } else { EtherType::IPV6 };
        let mut header = Ethernet2Header { source: self.from.0, destination: self.to.0, ether_type: network };
        let mut out = Vec::new();
        match self.vlan {
            None => header.write(&mut out).unwrap(),
            Some(vlan) => {
                header.ether_type = EtherType::VLAN_TAGGED_FRAME;
                header.write(&mut out).unwrap();
                let tag = SingleVlanHeader {
                    vlan_id: VlanId::try_new(vlan).unwrap(),
                    ether_type: network,
                    ..Default::default()
                };
                tag.write(&mut out).unwrap();
            }
        }
        out
    }

    /// Bytes before the IP header.
    pub(crate) fn link_length(&self) -> usize {
        if self.vlan.is_some() { 18 } else { 14 }
    }

    /// The packet from its IP header on.
    pub(crate) fn ip(&self) -> Vec<u8> {
        match (self.source.ip(), self.destination.ip()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => self.ipv4(source.octets(), destination.octets()),
            (IpAddr::V6(source), IpAddr::V6(destination)) => self.ipv6(source.octets(), destination.octets()),
            _ => panic!("two families in one packet"),
        }
    }

    fn ipv4(&self, source: [u8; 4], destination: [u8; 4]) -> Vec<u8> {
        let transport = self.transport();
        let piece = self.piece.unwrap_or(Piece { id: self.id.into(), offset: 0, more: false });
        let options = Ipv4Options::try_from(&self.options[..]).unwrap();
        let header = Ipv4Header {
            dscp: IpDscp::try_new(self.class >> 2).unwrap(),
            ecn: IpEcn::try_new(self.class & 3).unwrap(),
            total_len: (20 + self.options.len() + transport.len()) as u16,
            identification: piece.id as u16,
            dont_fragment: self.dont_fragment,
            more_fragments: piece.more,
            fragment_offset: IpFragOffset::try_new(piece.offset / 8).unwrap(),
            time_to_live: self.ttl,
            protocol: IpNumber(self.protocol()),
            header_checksum: 0,
            source,
            destination,
            options,
        };
        let mut out = Vec::new();
        header.write(&mut out).unwrap();
        out.extend(transport);
        out
    }

    fn ipv6(&self, source: [u8; 16], destination: [u8; 16]) -> Vec<u8> {
        let mut chain: Vec<(u8, Vec<u8>)> = self.extensions.clone();
        if let Some(piece) = self.piece {
            let place = piece.offset & !7 | u16::from(piece.more);
            let field = [&place.to_be_bytes()[..], &piece.id.to_be_bytes()].concat();
            chain.push((FRAGMENT, field));
        }
        let numbers: Vec<u8> = chain.iter().map(|(number, _)| *number).chain([self.protocol()]).collect();
        let mut rest = Vec::new();
        for ((number, data), next) in chain.iter().zip(&numbers[1..]) {
            assert_eq!((data.len() + 2) % 8, 0, "an extension header is a multiple of eight bytes");
            let words = if *number == FRAGMENT { 0 } else { (data.len() / 8) as u8 };
            rest.extend([*next, words]);
            rest.extend(data);
        }
        rest.extend(self.transport());
        let header = Ipv6Header {
            traffic_class: self.class,
            flow_label: Ipv6FlowLabel::ZERO,
            payload_length: rest.len() as u16,
            next_header: IpNumber(numbers[0]),
            hop_limit: self.ttl,
            source,
            destination,
        };
        let mut out = Vec::new();
        header.write(&mut out).unwrap();
        out.extend(rest);
        out
    }

    /// What stands behind the IP headers, its checksum computed over all of it.
    pub(crate) fn transport(&self) -> Vec<u8> {
        match &self.body {
            Body::Tcp { flags, options, payload } => self.tcp(*flags, options, payload),
            Body::Udp { checksum, payload } => self.udp(*checksum, payload),
            Body::Sctp { chunk, payload } => self.sctp(*chunk, payload),
            Body::Icmp { kind, code, word, payload } => self.icmp((*kind, *code, *word), payload),
            Body::Raw { payload, .. } => payload.clone(),
        }
    }

    fn tcp(&self, flags: u8, options: &[u8], payload: &[u8]) -> Vec<u8> {
        let is = |flag: u8| flags & flag != 0;
        let mut header = TcpHeader::new(self.source.port(), self.destination.port(), 1_000_001, 65_000);
        header.acknowledgment_number = 2_000_002;
        (header.fin, header.syn, header.rst) = (is(FIN), is(SYN), is(RST));
        (header.psh, header.ack) = (is(PSH), is(ACK));
        header.set_options_raw(options).unwrap();
        header.checksum = match (self.source.ip(), self.destination.ip()) {
            (IpAddr::V4(a), IpAddr::V4(b)) => header.calc_checksum_ipv4_raw(a.octets(), b.octets(), payload),
            (IpAddr::V6(a), IpAddr::V6(b)) => header.calc_checksum_ipv6_raw(a.octets(), b.octets(), payload),
            _ => unreachable!(),
        }
        .unwrap();
        [&header.to_bytes()[..], payload].concat()
    }

    fn udp(&self, checksum: bool, payload: &[u8]) -> Vec<u8> {
        let mut header = UdpHeader {
            source_port: self.source.port(),
            destination_port: self.destination.port(),
            length: (8 + payload.len()) as u16,
            checksum: 0,
        };
        if checksum {
            header.checksum = match (self.source.ip(), self.destination.ip()) {
                (IpAddr::V4(a), IpAddr::V4(b)) => {
                    header.calc_checksum_ipv4_raw(a.octets(), b.octets(), payload)
                }
                (IpAddr::V6(a), IpAddr::V6(b)) => {
                    header.calc_checksum_ipv6_raw(a.octets(), b.octets(), payload)
                }
                _ => unreachable!(),
            }
            .unwrap();
        }
        [&header.to_bytes()[..], payload].concat()
    }

    fn sctp(&self, chunk: u8, payload: &[u8]) -> Vec<u8> {
        let mut message = Vec::new();
        message.extend(self.source.port().to_be_bytes());
        message.extend(self.destination.port().to_be_bytes());
        message.extend([0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, 0]);
        message.extend([chunk, 0]);
        message.extend((4 + payload.len() as u16).to_be_bytes());
        message.extend(payload);
        let checksum = crc32c(&message).to_le_bytes();
        message[8..12].copy_from_slice(&checksum);
        message
    }

    fn icmp(&self, (kind, code, word): (u8, u8, [u8; 4]), payload: &[u8]) -> Vec<u8> {
        let header = match (self.source.ip(), self.destination.ip()) {
            (IpAddr::V4(_), _) => {
                let kind = Icmpv4Type::Unknown { type_u8: kind, code_u8: code, bytes5to8: word };
                Icmpv4Header::with_checksum(kind, payload).to_bytes().to_vec()
            }
            (IpAddr::V6(a), IpAddr::V6(b)) => {
                let kind = Icmpv6Type::Unknown { type_u8: kind, code_u8: code, bytes5to8: word };
                let header = Icmpv6Header::with_checksum(kind, a.octets(), b.octets(), payload).unwrap();
                header.to_bytes().to_vec()
            }
            _ => unreachable!(),
        };
        [&header[..], payload].concat()
    }

    /// The frame in fragments whose payloads begin at the bytes `cuts` (and at 0), in order.
    pub(crate) fn in_pieces(&self, id: u32, cuts: &[usize]) -> Vec<Self> {
        let whole = self.transport();
        let starts: Vec<usize> = [&[0], cuts].concat();
        let ends: Vec<usize> = cuts.iter().copied().chain([whole.len()]).collect();
        let piece = |(start, end): (&usize, &usize)| {
            let mut piece = self.clone();
            piece.body = Body::Raw { protocol: self.protocol(), payload: whole[*start..*end].to_vec() };
            piece.piece = Some(Piece { id, offset: *start as u16, more: *end < whole.len() });
            piece
        };
        starts.iter().zip(&ends).map(piece).collect()
    }
}

/// CRC32c, bit by bit (RFC 9260 appendix A).
fn crc32c(bytes: &[u8]) -> u32 {
    let mut register = u32::MAX;
    for byte in bytes {
        register ^= u32::from(*byte);
        for _ in 0..8 {
            register = register >> 1 ^ if register & 1 == 1 { 0x82f6_3b78 } else { 0 };
        }
    }
    !register
}

pub(crate) fn tcp(source: &str, destination: &str, flags: u8) -> Frame {
    Frame::new(at(source), at(destination), Body::Tcp { flags, options: Vec::new(), payload: Vec::new() })
}

pub(crate) fn udp(source: &str, destination: &str) -> Frame {
    Frame::new(at(source), at(destination), Body::Udp { checksum: true, payload: b"question".to_vec() })
}

pub(crate) fn sctp(source: &str, destination: &str, chunk: u8) -> Frame {
    Frame::new(at(source), at(destination), Body::Sctp { chunk, payload: vec![7; 16] })
}

/// An echo request.
pub(crate) fn ping(source: &str, destination: &str) -> Frame {
    let (source, destination) = (SocketAddr::new(ip(source), 0), SocketAddr::new(ip(destination), 0));
    let kind = if source.is_ipv4() { 8 } else { 128 };
    let body = Body::Icmp { kind, code: 0, word: [0, 7, 0, 9], payload: b"are you there".to_vec() };
    Frame::new(source, destination, body)
}

/// An ICMP message.
pub(crate) fn icmp(
    source: IpAddr,
    destination: IpAddr,
    kind: u8,
    code: u8,
    word: u32,
    payload: &[u8],
) -> Frame {
    let body = Body::Icmp { kind, code, word: word.to_be_bytes(), payload: payload.to_vec() };
    Frame::new(SocketAddr::new(source, 0), SocketAddr::new(destination, 0), body)
}

/// The opening packet of a flow.
pub(crate) fn opening(protocol: Protocol, source: &str, destination: &str) -> Frame {
    match protocol {
        Protocol::Tcp => tcp(source, destination, SYN),
        Protocol::Udp => udp(source, destination),
        Protocol::Sctp => sctp(source, destination, INIT),
    }
}

/// The first answer in a flow.
pub(crate) fn answer(protocol: Protocol, source: SocketAddr, destination: SocketAddr) -> Frame {
    let body = match protocol {
        Protocol::Tcp => Body::Tcp { flags: SYN | ACK, options: Vec::new(), payload: Vec::new() },
        Protocol::Udp => Body::Udp { checksum: true, payload: b"an answer".to_vec() },
        Protocol::Sctp => Body::Sctp { chunk: INIT_ACK, payload: vec![9; 20] },
    };
    Frame::new(source, destination, body)
}
