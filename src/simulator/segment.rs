//! TCP segments of clients and backends, over IPv4 (RFC 9293, RFC 791): right checksums, no options.

use crate::{
    packet::{ETHER_IPV4, Ethernet, fold, sum},
    types::{Mac, Protocol},
};
use std::net::{Ipv4Addr, SocketAddrV4};

/// The flags that matter here, as in the header's fourteenth byte.
pub(super) const FIN: u8 = 0x01;
pub(super) const SYN: u8 = 0x02;
pub(super) const RST: u8 = 0x04;
pub(super) const ACK: u8 = 0x10;

const ETHERNET: usize = 14;
const IP: usize = 20;
const TCP: usize = 20;
/// Bytes of payload: the connection's number and the exchange's.
const PAYLOAD: usize = 8;

/// A segment that carries the numbers of a connection and of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) source: SocketAddrV4,
    pub(super) destination: SocketAddrV4,
    pub(super) flags: u8,
    pub(super) connection: u32,
    pub(super) exchange: u32,
}

impl Segment {
    /// What a host says to it, with other flags.
    pub(super) const fn answer(self, flags: u8) -> Self {
        Self { source: self.destination, destination: self.source, flags, ..self }
    }

    /// As a frame.
    pub(super) fn frame(&self, from: Mac, to: Mac) -> Vec<u8> {
        let mut frame = vec![0; ETHERNET + IP + TCP + PAYLOAD];
        let ethernet = Ethernet { destination: to, source: from, vlan: 0, ether_type: ETHER_IPV4 };
        let (link, ip) = frame.split_at_mut(ETHERNET);
        let _ = ethernet.write(link);
        let length = (IP + TCP + PAYLOAD) as u16;
        ip[..12].copy_from_slice(&[0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, Protocol::Tcp.number(), 0, 0]);
        ip[2..4].copy_from_slice(&length.to_be_bytes());
        ip[12..16].copy_from_slice(&self.source.ip().octets());
        ip[16..20].copy_from_slice(&self.destination.ip().octets());
        let checksum = !fold(sum(&ip[..IP]));
        ip[10..12].copy_from_slice(&checksum.to_ne_bytes());
        let (ip, tcp) = ip.split_at_mut(IP);
        tcp[..2].copy_from_slice(&self.source.port().to_be_bytes());
        tcp[2..4].copy_from_slice(&self.destination.port().to_be_bytes());
        tcp[12..16].copy_from_slice(&[0x50, self.flags, 0xff, 0xff]);
        tcp[20..24].copy_from_slice(&self.connection.to_be_bytes());
        tcp[24..28].copy_from_slice(&self.exchange.to_be_bytes());
        let pseudo = sum(&ip[12..20]) + u32::from(u16::from(Protocol::Tcp.number()).to_be());
        let checksum = !fold(pseudo + u32::from((tcp.len() as u16).to_be()) + sum(tcp));
        tcp[16..18].copy_from_slice(&checksum.to_ne_bytes());
        frame
    }

    /// From a frame with right checksums; `None` of anything else.
    pub(super) fn parse(frame: &[u8]) -> Option<Self> {
        let (ethernet, at) = Ethernet::parse(frame).ok()?;
        let ip = frame.get(at..at + IP + TCP + PAYLOAD)?;
        let (ip, tcp) = ip.split_at(IP);
        if ethernet.ether_type != ETHER_IPV4 || ip[0] != 0x45 || ip[9] != Protocol::Tcp.number() {
            return None;
        }
        let pseudo = sum(&ip[12..20]) + u32::from(u16::from(Protocol::Tcp.number()).to_be());
        let whole = fold(pseudo + u32::from((tcp.len() as u16).to_be()) + sum(tcp));
        if fold(sum(ip)) != 0xffff || whole != 0xffff {
            return None;
        }
        let word = |at: usize| Some(u32::from_be_bytes(*tcp.get(at..)?.first_chunk()?));
        let address = |at: usize| Some(Ipv4Addr::from(*ip.get(at..)?.first_chunk::<4>()?));
        let ports = word(0)?;
        Some(Self {
            source: SocketAddrV4::new(address(12)?, (ports >> 16) as u16),
            destination: SocketAddrV4::new(address(16)?, ports as u16),
            flags: tcp[13],
            connection: word(20)?,
            exchange: word(24)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_comes_back() {
        let segment = Segment {
            source: "192.0.2.7:1024".parse().unwrap(),
            destination: "10.77.0.100:80".parse().unwrap(),
            flags: SYN | ACK,
            connection: 0x0102_0304,
            exchange: 77,
        };
        let mut frame = segment.frame(Mac([2, 0, 0, 0, 0, 1]), Mac([2, 0, 0, 0, 0, 2]));
        assert_eq!(Segment::parse(&frame), Some(segment));
        let transport = etherparse::SlicedPacket::from_ethernet(&frame).unwrap().transport;
        assert!(matches!(transport, Some(etherparse::TransportSlice::Tcp(tcp)) if tcp.syn() && tcp.ack()));
        frame[50] ^= 1;
        assert_eq!(Segment::parse(&frame), None, "a checksum is wrong");
    }
}
