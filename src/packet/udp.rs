//! Whole UDP datagrams that this node sends and receives itself.

use super::{
    Datagram, bytes, checksum,
    ip_header::{pseudo_header_sum, write_ipv4_header, write_ipv6_header},
};
use crate::types::{DropReason, Protocol};
use std::net::IpAddr;

const UDP_HEADER: usize = 8;

/// A datagram's ends and how it travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Udp {
    /// From this address ...
    pub source: IpAddr,
    /// ... to this one, of the same family.
    pub destination: IpAddr,
    /// Source port.
    pub source_port: u16,
    /// Destination port.
    pub destination_port: u16,
    /// TTL or hop limit.
    pub ttl: u8,
}

impl Udp {
    /// Bytes of IP and UDP headers between these addresses.
    pub const fn header_length(&self) -> usize {
        UDP_HEADER + if self.source.is_ipv4() { 20 } else { 40 }
    }

    /// Reads an unfragmented datagram from its IP header on; bytes after the IP packet are left out. Lengths and
    /// checksums are checked.
    ///
    /// # Errors
    ///
    /// Why it is none.
    pub fn parse(ip: &[u8]) -> Result<(Self, &[u8]), DropReason> {
        let datagram = Datagram::parse(ip, false)?;
        if datagram.protocol != Protocol::Udp.number() {
            return Err(DropReason::UnsupportedProtocol);
        }
        if datagram.fragment.is_some_and(|fragment| !fragment.is_atomic()) {
            return Err(DropReason::FragmentUnsupported);
        }
        let segment = ip.get(datagram.l4_offset..datagram.end).ok_or(DropReason::Truncated)?;
        let &[s0, s1, d0, d1, l0, l1, c0, c1] = segment.first_chunk().ok_or(DropReason::Truncated)?;
        let length = u16::from_be_bytes([l0, l1]);
        let segment = segment.get(..usize::from(length)).ok_or(DropReason::Truncated)?;
        let udp = Self {
            source: datagram.source,
            destination: datagram.destination,
            source_port: u16::from_be_bytes([s0, s1]),
            destination_port: u16::from_be_bytes([d0, d1]),
            ttl: datagram.ttl,
        };
        // RFC 768: 0 means no checksum; RFC 8200 section 8.1: not so over IPv6.
        let unchecked = [c0, c1] == [0, 0];
        if unchecked && udp.source.is_ipv6() || !unchecked && udp.sum(segment, length) != 0xffff {
            return Err(DropReason::BadL4Checksum);
        }
        Ok((udp, segment.get(UDP_HEADER..).ok_or(DropReason::Truncated)?))
    }

    /// Writes the headers before a payload that already lies [`Self::header_length`] bytes into `ip`, and returns the
    /// length of the whole. `None`, and `ip` in any state, when it is too short or the addresses are of different
    /// families.
    pub fn write_headers(&self, ip: &mut [u8], type_of_service: u8, payload: usize) -> Option<usize> {
        let at = self.header_length() - UDP_HEADER;
        let length = u16::try_from(UDP_HEADER + payload).ok()?;
        let end = at + usize::from(length);
        let protocol = Protocol::Udp.number();
        match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let whole = u16::try_from(end).ok()?;
                write_ipv4_header(ip, (source, destination), protocol, type_of_service, self.ttl, whole)?;
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                write_ipv6_header(ip, (source, destination), protocol, self.ttl, length)?;
                // The traffic class lies across the first two bytes.
                bytes::write(ip, 0, [0x60 | type_of_service >> 4, type_of_service << 4])?;
            }
            _ => return None,
        }
        let segment = ip.get_mut(at..end)?;
        bytes::write(segment, 0, self.source_port.to_be_bytes())?;
        bytes::write(segment, 2, self.destination_port.to_be_bytes())?;
        bytes::write(segment, 4, length.to_be_bytes())?;
        bytes::write(segment, 6, [0, 0])?;
        let sum = match !self.sum(segment, length) {
            0 => 0xffff,
            other => other,
        };
        bytes::write(segment, 6, sum.to_ne_bytes())?;
        Some(end)
    }

    fn sum(&self, segment: &[u8], length: u16) -> u16 {
        let pseudo = pseudo_header_sum(self.source, self.destination, Protocol::Udp.number(), length);
        checksum::fold(u32::from(pseudo) + checksum::sum(segment))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::{NetSlice, SlicedPacket, TransportSlice};

    fn udp(source: &str, destination: &str) -> Udp {
        let (source, destination) = (source.parse().unwrap(), destination.parse().unwrap());
        Udp { source, destination, source_port: 3786, destination_port: 3786, ttl: 255 }
    }

    fn packet(udp: &Udp, payload: &[u8]) -> Vec<u8> {
        let mut ip = vec![0xee; udp.header_length() + payload.len() + 3];
        ip[udp.header_length()..][..payload.len()].copy_from_slice(payload);
        let length = udp.write_headers(&mut ip, 0x40, payload.len()).unwrap();
        assert_eq!(length, ip.len() - 3);
        ip
    }

    #[test]
    fn an_independent_parser_reads_what_is_written() {
        for udp in [udp("10.0.0.11", "10.0.0.12"), udp("fd00::11", "fd00::12")] {
            for payload in [&b""[..], b"odd", b"even"] {
                let ip = packet(&udp, payload);
                let sliced = SlicedPacket::from_ip(&ip).unwrap();
                let Some(TransportSlice::Udp(read)) = sliced.transport else { panic!("no UDP") };
                assert_eq!((read.source_port(), read.destination_port()), (3786, 3786));
                assert_eq!(read.payload(), payload);
                let expected = match sliced.net.unwrap() {
                    NetSlice::Ipv4(v4) => {
                        assert_eq!((v4.header().ttl(), v4.header().dcp().value()), (255, 16));
                        read.to_header().calc_checksum_ipv4(&v4.header().to_header(), payload)
                    }
                    NetSlice::Ipv6(v6) => {
                        assert_eq!((v6.header().hop_limit(), v6.header().traffic_class()), (255, 0x40));
                        read.to_header().calc_checksum_ipv6(&v6.header().to_header(), payload)
                    }
                    _ => panic!("no IP"),
                };
                assert_eq!(read.checksum(), expected.unwrap());
                assert_eq!(Udp::parse(&ip), Ok((udp, payload)));
            }
        }
    }

    #[test]
    fn what_is_damaged_or_no_datagram_is_named() {
        for udp in [udp("10.0.0.11", "10.0.0.12"), udp("fd00::11", "fd00::12")] {
            let whole = packet(&udp, b"payload");
            let ip = &whole[..whole.len() - 3];
            for at in udp.header_length() - 8..ip.len() {
                let mut changed = ip.to_vec();
                changed[at] ^= 1;
                assert!(Udp::parse(&changed).is_err(), "byte {at}");
            }
            for length in 0..ip.len() {
                assert!(Udp::parse(&ip[..length]).is_err(), "{length}");
            }
            let mut unchecked = ip.to_vec();
            let at = udp.header_length() - 2;
            unchecked[at..at + 2].fill(0);
            assert_eq!(Udp::parse(&unchecked).is_ok(), udp.source.is_ipv4());
            let mut tcp = ip.to_vec();
            tcp[if udp.source.is_ipv4() { 9 } else { 6 }] = 1;
            assert!(Udp::parse(&tcp).is_err());
        }
        let mixed = udp("10.0.0.11", "fd00::12");
        assert_eq!(mixed.write_headers(&mut [0; 100], 0, 4), None);
        assert_eq!(udp("10.0.0.11", "10.0.0.12").write_headers(&mut [0; 30], 0, 4), None);
    }
}
