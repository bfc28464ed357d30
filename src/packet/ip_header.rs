//! Fixed IP headers and pseudo-headers for packets this node makes itself.

use super::{bytes, checksum};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Hop limit and TTL of packets that begin here (the IANA default).
pub const DEFAULT_TTL: u8 = 64;

/// Writes a 20-byte IPv4 header without options, not to be fragmented, its checksum filled in. `length` is that
/// of the whole packet. `None` if `packet` is too short.
pub fn write_ipv4_header(
    packet: &mut [u8],
    (source, destination): (Ipv4Addr, Ipv4Addr),
    protocol: u8,
    type_of_service: u8,
    ttl: u8,
    length: u16,
) -> Option<()> {
    let header: &mut [u8; 20] = packet.first_chunk_mut()?;
    let [l0, l1] = length.to_be_bytes();
    // Identification 0: a packet that is never in fragments needs none (RFC 6864 section 4.1).
    bytes::write(header, 0, [0x45, type_of_service, l0, l1, 0, 0, 0x40, 0, ttl, protocol, 0, 0])?;
    bytes::write(header, 12, source.octets())?;
    bytes::write(header, 16, destination.octets())?;
    let checksum = !checksum::fold(checksum::sum(header));
    bytes::write(header, 10, checksum.to_ne_bytes())
}

/// Writes a 40-byte IPv6 header; `payload` is the length of what follows. `None` if `packet` is too short.
pub fn write_ipv6_header(
    packet: &mut [u8],
    (source, destination): (Ipv6Addr, Ipv6Addr),
    next_header: u8,
    hop_limit: u8,
    payload: u16,
) -> Option<()> {
    let header: &mut [u8; 40] = packet.first_chunk_mut()?;
    let [l0, l1] = payload.to_be_bytes();
    bytes::write(header, 0, [0x60, 0, 0, 0, l0, l1, next_header, hop_limit])?;
    bytes::write(header, 8, source.octets())?;
    bytes::write(header, 24, destination.octets())
}

/// The share of a pseudo-header (RFC 9293 section 3.1, RFC 8200 section 8.1) in a transport checksum of
/// `length` bytes.
pub fn pseudo_header_sum(source: IpAddr, destination: IpAddr, protocol: u8, length: u16) -> u16 {
    let address = |address: IpAddr| match address {
        IpAddr::V4(v4) => checksum::sum(&v4.octets()),
        IpAddr::V6(v6) => checksum::sum(&v6.octets()),
    };
    let [l0, l1] = length.to_be_bytes();
    checksum::fold(address(source) + address(destination) + checksum::sum(&[0, protocol, l0, l1]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::{IpNumber, Ipv4HeaderSlice, Ipv6HeaderSlice, UdpHeader};

    #[test]
    fn an_independent_parser_reads_the_headers() {
        let addresses = (Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(198, 51, 100, 2));
        let mut packet = [0xee; 20];
        write_ipv4_header(&mut packet, addresses, 17, 0xc0, 64, 777).unwrap();
        let read = Ipv4HeaderSlice::from_slice(&packet).unwrap().to_header();
        assert_eq!(read.calc_header_checksum(), read.header_checksum);
        assert_eq!((read.source, read.destination), (addresses.0.octets(), addresses.1.octets()));
        assert_eq!((read.protocol, read.time_to_live, read.total_len), (IpNumber::UDP, 64, 777));
        assert_eq!((read.dscp.value(), read.dont_fragment, read.more_fragments), (48, true, false));

        let addresses: (Ipv6Addr, Ipv6Addr) = ("fd00::1".parse().unwrap(), "2001:db8::2".parse().unwrap());
        let mut packet = [0xee; 40];
        write_ipv6_header(&mut packet, addresses, 58, 255, 24).unwrap();
        let read = Ipv6HeaderSlice::from_slice(&packet).unwrap().to_header();
        assert_eq!((read.source, read.destination), (addresses.0.octets(), addresses.1.octets()));
        assert_eq!((read.next_header, read.hop_limit, read.payload_length), (IpNumber::IPV6_ICMP, 255, 24));

        assert_eq!(write_ipv4_header(&mut [0; 19], (addresses_v4(), addresses_v4()), 1, 0, 1, 20), None);
        assert_eq!(write_ipv6_header(&mut [0; 39], addresses, 58, 255, 24), None);
    }

    fn addresses_v4() -> Ipv4Addr {
        Ipv4Addr::LOCALHOST
    }

    #[test]
    fn pseudo_headers_sum_up_as_an_independent_builder_says() {
        let payload = [1, 2, 3, 4, 5];
        for (source, destination) in [("192.0.2.1", "10.0.0.9"), ("fd00::1", "2001:db8::ffff:2")] {
            let (source, destination): (IpAddr, IpAddr) =
                (source.parse().unwrap(), destination.parse().unwrap());
            let udp = match (source, destination) {
                (IpAddr::V4(a), IpAddr::V4(b)) => UdpHeader::with_ipv4_checksum(
                    7,
                    9,
                    &etherparse::Ipv4Header::new(13, 64, IpNumber::UDP, a.octets(), b.octets()).unwrap(),
                    &payload,
                ),
                (IpAddr::V6(a), IpAddr::V6(b)) => {
                    let header = etherparse::Ipv6Header {
                        source: a.octets(),
                        destination: b.octets(),
                        ..Default::default()
                    };
                    UdpHeader::with_ipv6_checksum(7, 9, &header, &payload)
                }
                _ => unreachable!(),
            }
            .unwrap();
            let total = u32::from(pseudo_header_sum(source, destination, 17, 13))
                + checksum::sum(&udp.to_bytes())
                + checksum::sum(&payload);
            assert_eq!(checksum::fold(total), 0xffff);
        }
    }
}
