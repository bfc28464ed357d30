//! The IP and UDP headers around a control packet (RFC 5881 sections 4 and 5, RFC 5883 section 5), from the IP header
//! on; the Ethernet header is the caller's.

use super::{auth::MAX_LENGTH, discard::Discard};
use crate::packet::{fold, sum};
use std::net::IpAddr;

/// UDP port of single-hop sessions.
pub const SINGLE_HOP_PORT: u16 = 3784;
/// UDP port of multi-hop sessions.
pub const MULTI_HOP_PORT: u16 = 4784;
/// UDP port of echo packets (RFC 5881 section 4, RFC 9747 section 2).
pub const ECHO_PORT: u16 = 3785;
/// TTL and hop limit of every packet sent, and the only one accepted over a single hop (RFC 5082).
pub const TTL: u8 = 255;
/// The largest datagram: IPv6, UDP and an authenticated control packet.
pub const MAX_DATAGRAM: usize = IPV6 + UDP + MAX_LENGTH;

/// DSCP CS6, network control: with a lower class BFD is the first to be lost where it is needed most.
const TRAFFIC_CLASS: u8 = 0xc0;
const IPV4: usize = 20;
const IPV6: usize = 40;
const UDP: usize = 8;
const UDP_PROTOCOL: u8 = 17;
const FRAGMENT_HEADER: u8 = 44;

/// A received datagram to one of the ports above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// Who sent it.
    pub source: IpAddr,
    /// To whom.
    pub destination: IpAddr,
    /// From which UDP port; any will do.
    pub source_port: u16,
    /// To which: [`SINGLE_HOP_PORT`] or [`MULTI_HOP_PORT`], or [`ECHO_PORT`] where that was asked for.
    pub destination_port: u16,
    /// TTL or hop limit as received.
    pub ttl: u8,
    /// The control packet, perhaps with bytes after it.
    pub payload: &'a [u8],
}

/// Where a datagram to send goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoints {
    /// From this address.
    pub source: IpAddr,
    /// To this one, of the same family.
    pub destination: IpAddr,
    /// From this UDP port, 49152 to 65535.
    pub source_port: u16,
    /// To this UDP port.
    pub destination_port: u16,
}

impl<'a> Datagram<'a> {
    /// Reads a packet from its IP header on; bytes after the IP packet (Ethernet padding) are left out. Lengths and
    /// both checksums are checked, the TTL is not.
    pub fn parse(ip: &'a [u8]) -> Result<Self, Discard> {
        parse_to(&[SINGLE_HOP_PORT, MULTI_HOP_PORT], ip)
    }

    /// As [`Self::parse`], for an echo packet.
    pub fn parse_echo(ip: &'a [u8]) -> Result<Self, Discard> {
        parse_to(&[ECHO_PORT], ip)
    }
}

fn parse_to<'a>(ports: &[u16], ip: &'a [u8]) -> Result<Datagram<'a>, Discard> {
    match ip.first().map(|first| first >> 4) {
        Some(4) => parse_ipv4(ports, ip),
        Some(6) => parse_ipv6(ports, ip),
        Some(_) => Err(Discard::NotBfd),
        None => Err(Discard::Truncated),
    }
}

fn parse_ipv4<'a>(ports: &[u16], ip: &'a [u8]) -> Result<Datagram<'a>, Discard> {
    let head: &[u8; IPV4] = ip.first_chunk().ok_or(Discard::Truncated)?;
    let [first, _, l0, l1, _, _, f0, f1, ttl, protocol, _, _, s0, s1, s2, s3, d0, d1, d2, d3] = *head;
    if protocol != UDP_PROTOCOL {
        return Err(Discard::NotBfd);
    }
    if u16::from_be_bytes([f0, f1]) & 0x3fff != 0 {
        return Err(Discard::Fragment);
    }
    let header_length = usize::from(first & 15) * 4;
    let ip = ip.get(..u16::from_be_bytes([l0, l1]).into()).ok_or(Discard::Truncated)?;
    let (header, udp) = ip.split_at_checked(header_length.max(IPV4)).ok_or(Discard::Truncated)?;
    if header_length < IPV4 || fold(sum(header)) != 0xffff {
        return Err(Discard::IpChecksum);
    }
    let source = IpAddr::from([s0, s1, s2, s3]);
    parse_udp(ports, udp, (source, IpAddr::from([d0, d1, d2, d3])), ttl)
}

fn parse_ipv6<'a>(ports: &[u16], ip: &'a [u8]) -> Result<Datagram<'a>, Discard> {
    let (head, rest) = ip.split_first_chunk::<IPV6>().ok_or(Discard::Truncated)?;
    let [_, _, _, _, l0, l1, next_header, hop_limit, addresses @ ..] = *head;
    match next_header {
        UDP_PROTOCOL => {}
        FRAGMENT_HEADER => return Err(Discard::Fragment),
        _ => return Err(Discard::NotBfd),
    }
    let udp = rest.get(..u16::from_be_bytes([l0, l1]).into()).ok_or(Discard::Truncated)?;
    let (addresses, _) = addresses.as_chunks::<16>();
    let [source, destination] = *addresses else { return Err(Discard::Truncated) };
    parse_udp(ports, udp, (IpAddr::from(source), IpAddr::from(destination)), hop_limit)
}

fn parse_udp<'a>(
    ports: &[u16],
    udp: &'a [u8],
    (source, destination): (IpAddr, IpAddr),
    ttl: u8,
) -> Result<Datagram<'a>, Discard> {
    let head: &[u8; UDP] = udp.first_chunk().ok_or(Discard::Truncated)?;
    let [s0, s1, d0, d1, l0, l1, c0, c1] = *head;
    let destination_port = u16::from_be_bytes([d0, d1]);
    if !ports.contains(&destination_port) {
        return Err(Discard::NotBfd);
    }
    let udp = udp.get(..u16::from_be_bytes([l0, l1]).into()).ok_or(Discard::Truncated)?;
    let payload = udp.get(UDP..).ok_or(Discard::Truncated)?;
    // RFC 768: 0 means no checksum; RFC 8200 section 8.1: not so over IPv6.
    let unchecked = [c0, c1] == [0, 0] && source.is_ipv4();
    if !unchecked && ([c0, c1] == [0, 0] || fold(udp_sum(udp, source, destination)) != 0xffff) {
        return Err(Discard::UdpChecksum);
    }
    let source_port = u16::from_be_bytes([s0, s1]);
    Ok(Datagram { source, destination, source_port, destination_port, ttl, payload })
}

/// Writes a whole datagram from the IP header on and returns its length. `None`, and the buffer in any state, when it
/// is too small ([`MAX_DATAGRAM`] never is) or the addresses are of different families.
pub fn emit(buffer: &mut [u8], endpoints: &Endpoints, payload: &[u8]) -> Option<usize> {
    let udp_length = u16::try_from(UDP + payload.len()).ok()?;
    let header_length = match (endpoints.source, endpoints.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let header = ipv4_header(source.octets(), destination.octets(), udp_length)?;
            buffer.get_mut(..IPV4)?.copy_from_slice(&header);
            IPV4
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let header = ipv6_header(source.octets(), destination.octets(), udp_length);
            buffer.get_mut(..IPV6)?.copy_from_slice(&header);
            IPV6
        }
        _ => return None,
    };
    let length = header_length + usize::from(udp_length);
    let udp = buffer.get_mut(header_length..length)?;
    udp[0..2].copy_from_slice(&endpoints.source_port.to_be_bytes());
    udp[2..4].copy_from_slice(&endpoints.destination_port.to_be_bytes());
    udp[4..6].copy_from_slice(&udp_length.to_be_bytes());
    udp[6..8].fill(0);
    udp[UDP..].copy_from_slice(payload);
    let checksum = match !fold(udp_sum(udp, endpoints.source, endpoints.destination)) {
        0 => 0xffff,
        other => other,
    };
    udp[6..8].copy_from_slice(&checksum.to_ne_bytes());
    Some(length)
}

/// Do not fragment, identification 0 (RFC 6864: it means nothing in an atomic datagram).
fn ipv4_header(source: [u8; 4], destination: [u8; 4], udp_length: u16) -> Option<[u8; IPV4]> {
    let mut header = [0; IPV4];
    header[0] = 0x45;
    header[1] = TRAFFIC_CLASS;
    header[2..4].copy_from_slice(&udp_length.checked_add(IPV4 as u16)?.to_be_bytes());
    header[6] = 0x40;
    header[8] = TTL;
    header[9] = UDP_PROTOCOL;
    header[12..16].copy_from_slice(&source);
    header[16..20].copy_from_slice(&destination);
    let checksum = !fold(sum(&header));
    header[10..12].copy_from_slice(&checksum.to_ne_bytes());
    Some(header)
}

fn ipv6_header(source: [u8; 16], destination: [u8; 16], udp_length: u16) -> [u8; IPV6] {
    let mut header = [0; IPV6];
    header[0] = 0x60 | TRAFFIC_CLASS >> 4;
    header[1] = TRAFFIC_CLASS << 4;
    header[4..6].copy_from_slice(&udp_length.to_be_bytes());
    header[6] = UDP_PROTOCOL;
    header[7] = TTL;
    header[8..24].copy_from_slice(&source);
    header[24..40].copy_from_slice(&destination);
    header
}

/// Sum of the UDP datagram and its pseudo header, in native order.
fn udp_sum(udp: &[u8], source: IpAddr, destination: IpAddr) -> u32 {
    let address = |address: IpAddr| match address {
        IpAddr::V4(address) => sum(&address.octets()),
        IpAddr::V6(address) => sum(&address.octets()),
    };
    let protocol = u32::from(u16::from_be(UDP_PROTOCOL.into()));
    let length = u32::from(u16::from_be(udp.len() as u16));
    sum(udp) + address(source) + address(destination) + protocol + length
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::{NetSlice, SlicedPacket, TransportSlice};
    use proptest::prelude::*;

    fn endpoints(six: bool, port: u16) -> Endpoints {
        let [source, destination] = if six { ["fe80::1", "fe80::2"] } else { ["10.9.0.1", "10.9.0.2"] };
        Endpoints {
            source: source.parse().unwrap(),
            destination: destination.parse().unwrap(),
            source_port: 50_000,
            destination_port: port,
        }
    }

    fn emitted(endpoints: &Endpoints, payload: &[u8]) -> Vec<u8> {
        let mut buffer = vec![0xaa; 40 + 8 + payload.len()];
        let length = emit(&mut buffer, endpoints, payload).unwrap();
        buffer.truncate(length);
        buffer
    }

    /// Made with scapy 2.5: IP(tos=0xc0, ttl=255, flags="DF", id=0)/UDP/24 bytes of 7, and the same over IPv6.
    #[test]
    fn golden_datagrams() {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let body = "07".repeat(24);
        let four = emitted(&endpoints(false, SINGLE_HOP_PORT), &[7; 24]);
        assert_eq!(hex(&four), format!("45c0003400004000ff1166e40a0900010a090002c3500ec80020c52c{body}"));
        let six = emitted(&endpoints(true, MULTI_HOP_PORT), &[7; 24]);
        assert_eq!(
            hex(&six),
            format!(
                "6c000000002011fffe800000000000000000000000000001fe800000000000000000000000000002c35012b00020d854{body}"
            )
        );
    }

    proptest! {
        #[test]
        fn what_is_emitted_is_read_back_and_an_independent_parser_agrees(
            six: bool,
            multi: bool,
            payload in prop::collection::vec(any::<u8>(), 0..60),
        ) {
            let port = if multi { MULTI_HOP_PORT } else { SINGLE_HOP_PORT };
            let endpoints = endpoints(six, port);
            let bytes = emitted(&endpoints, &payload);
            let datagram = Datagram::parse(&bytes).unwrap();
            prop_assert_eq!((datagram.source, datagram.destination), (endpoints.source, endpoints.destination));
            prop_assert_eq!((datagram.source_port, datagram.destination_port), (50_000, port));
            prop_assert_eq!((datagram.ttl, datagram.payload), (255, &payload[..]));

            let sliced = SlicedPacket::from_ip(&bytes).unwrap();
            let Some(TransportSlice::Udp(udp)) = sliced.transport else { panic!("no UDP") };
            let checksum = match sliced.net.unwrap() {
                NetSlice::Ipv4(ip) => {
                    let header = ip.header().to_header();
                    prop_assert_eq!(header.header_checksum, header.calc_header_checksum());
                    prop_assert_eq!((header.time_to_live, header.dscp.value()), (255, 48));
                    udp.to_header().calc_checksum_ipv4(&header, udp.payload())
                }
                NetSlice::Ipv6(ip) => {
                    let header = ip.header().to_header();
                    prop_assert_eq!((header.hop_limit, header.traffic_class), (255, 0xc0));
                    udp.to_header().calc_checksum_ipv6(&header, udp.payload())
                }
                NetSlice::Arp(_) => panic!("ARP"),
            };
            prop_assert_eq!(checksum.unwrap(), udp.checksum());
        }

        #[test]
        fn any_bytes_parse_or_are_discarded(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
            let _ = Datagram::parse(&bytes);
        }

        #[test]
        fn any_changed_bit_is_found_or_harmless(six: bool, at in 0usize..52, bit in 0u8..8) {
            let mut bytes = emitted(&endpoints(six, SINGLE_HOP_PORT), &[7; 24]);
            let whole = bytes.clone();
            bytes[at] ^= 1 << bit;
            // IPv6 has no header checksum: traffic class, flow label and hop limit may change.
            let unprotected = six && (at < 4 || at == 7);
            prop_assert!(Datagram::parse(&bytes).is_err() || unprotected);
            prop_assert!(Datagram::parse(&whole).is_ok());
        }
    }

    #[test]
    fn cut_padded_and_optioned() {
        for six in [false, true] {
            let bytes = emitted(&endpoints(six, SINGLE_HOP_PORT), &[7; 24]);
            for length in 0..bytes.len() {
                assert_eq!(Datagram::parse(&bytes[..length]), Err(Discard::Truncated), "{length}");
            }
            let mut padded = bytes.clone();
            padded.extend([0; 18]);
            assert_eq!(Datagram::parse(&padded).unwrap().payload, [7; 24]);
        }
        let mut optioned = emitted(&endpoints(false, SINGLE_HOP_PORT), &[7; 24]);
        optioned[0] = 0x46;
        optioned[3] += 4;
        optioned[10..12].fill(0);
        optioned.splice(20..20, [1; 4]);
        let checksum = !fold(sum(&optioned[..24]));
        optioned[10..12].copy_from_slice(&checksum.to_ne_bytes());
        assert_eq!(Datagram::parse(&optioned).unwrap().payload, [7; 24]);
    }

    #[test]
    fn control_and_echo_ports_are_not_confused() {
        for six in [false, true] {
            let control = emitted(&endpoints(six, SINGLE_HOP_PORT), &[7; 24]);
            let echo = emitted(&endpoints(six, ECHO_PORT), &[7; 24]);
            assert_eq!(Datagram::parse_echo(&control), Err(Discard::NotBfd));
            assert_eq!(Datagram::parse(&echo), Err(Discard::NotBfd));
            assert_eq!(Datagram::parse_echo(&echo).unwrap().payload, [7; 24]);
        }
    }

    #[test]
    fn zero_udp_checksum_means_none_over_ipv4_only() {
        let mut four = emitted(&endpoints(false, SINGLE_HOP_PORT), &[7; 24]);
        four[26..28].fill(0);
        assert!(Datagram::parse(&four).is_ok());
        let mut six = emitted(&endpoints(true, SINGLE_HOP_PORT), &[7; 24]);
        six[46..48].fill(0);
        assert_eq!(Datagram::parse(&six), Err(Discard::UdpChecksum));
    }

    #[test]
    fn small_buffer_and_mixed_families() {
        for six in [false, true] {
            let length = emitted(&endpoints(six, SINGLE_HOP_PORT), &[7; 52]).len();
            assert!(length <= MAX_DATAGRAM);
            for room in 0..length {
                assert_eq!(emit(&mut vec![0; room], &endpoints(six, SINGLE_HOP_PORT), &[7; 52]), None);
            }
        }
        let mixed = Endpoints { source: endpoints(true, 1).source, ..endpoints(false, 1) };
        assert_eq!(emit(&mut [0; 200], &mixed, &[]), None);
    }
}
