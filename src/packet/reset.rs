//! The segment that ends a connection which is not there: what a host answers to a segment of one (RFC 9293 section
//! 3.10.7.1).

use super::{
    DEFAULT_TTL, Datagram, IP_TCP, bytes, checksum, is_martian_source, pseudo_header_sum, write_ipv4_header,
    write_ipv6_header,
};
use std::net::IpAddr;

/// Longest reset, IP header included.
pub const MAX_RESET: usize = 40 + HEADER;

/// Bytes of a TCP header without options.
const HEADER: usize = 20;

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

/// Writes the reset that answers a received segment into `out`, from its destination to its source; returns the
/// length of the IP packet. `None` for what is no segment, or a reset itself, or if `out` is too short.
pub fn build_reset(ip: &[u8], datagram: &Datagram, out: &mut [u8]) -> Option<usize> {
    let segment = ip.get(datagram.l4_offset..datagram.end)?;
    let [s0, s1, d0, d1, sequence @ .., offset, flags, _, _, _, _, _, _] =
        *segment.first_chunk::<HEADER>()?;
    if datagram.protocol != IP_TCP || flags & RST != 0 || is_martian_source(datagram.source) {
        return None;
    }
    let [sequence, acknowledged] = [0, 4].map(|at| bytes::read(&sequence, at).map_or(0, u32::from_be_bytes));
    let (sequence, acknowledges, flags) = if flags & ACK != 0 {
        (acknowledged, 0, RST)
    } else {
        let payload = segment.len().checked_sub(usize::from(offset >> 4) * 4)?;
        let length = payload as u32 + u32::from(flags & SYN != 0) + u32::from(flags & FIN != 0);
        (0, sequence.wrapping_add(length), RST | ACK)
    };
    let (from, to) = (datagram.destination, datagram.source);
    let header = if from.is_ipv4() { 20 } else { 40 };
    let reset = out.get_mut(header..header + HEADER)?;
    bytes::write(reset, 0, [d0, d1, s0, s1])?;
    bytes::write(reset, 4, sequence.to_be_bytes())?;
    bytes::write(reset, 8, acknowledges.to_be_bytes())?;
    bytes::write(reset, 12, [(HEADER as u8 / 4) << 4, flags, 0, 0, 0, 0, 0, 0])?;
    let pseudo = pseudo_header_sum(from, to, IP_TCP, HEADER as u16);
    let sum = !checksum::fold(checksum::sum(reset) + u32::from(pseudo));
    bytes::write(reset, 16, sum.to_ne_bytes())?;
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            write_ipv4_header(out, (from, to), IP_TCP, 0, DEFAULT_TTL, (20 + HEADER) as u16)?;
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            write_ipv6_header(out, (from, to), IP_TCP, DEFAULT_TTL, HEADER as u16)?;
        }
        _ => return None,
    }
    Some(header + HEADER)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::fixtures::{CLIENT_V4, SERVER_V4, ipv4_header, ipv6_header};
    use etherparse::{PacketBuilder, PacketBuilderStep, SlicedPacket, TcpHeader, TransportSlice};

    type Tcp = PacketBuilderStep<TcpHeader>;

    /// The answer to a segment, by an independent parser.
    fn answer(v6: bool, change: fn(Tcp) -> Tcp, payload: &[u8]) -> Option<(Vec<u8>, TcpHeader)> {
        let header = if v6 { ipv6_header(Default::default()) } else { ipv4_header(8) };
        let mut ip = Vec::new();
        change(PacketBuilder::ip(header).tcp(1000, 80, 7, 1024)).write(&mut ip, payload).unwrap();
        let datagram = Datagram::parse(&ip, false).unwrap();
        let mut out = [0xee; MAX_RESET];
        let length = build_reset(&ip, &datagram, &mut out)?;
        let reset = out[..length].to_vec();
        let parsed = SlicedPacket::from_ip(&reset).unwrap();
        let Some(TransportSlice::Tcp(tcp)) = parsed.transport else { panic!("{reset:?}") };
        Some((reset.clone(), tcp.to_header()))
    }

    #[test]
    fn a_segment_that_acknowledges_is_answered_from_where_it_does() {
        for v6 in [false, true] {
            let (reset, tcp) = answer(v6, |tcp| tcp.ack(0xffff_fff0).psh(), b"data").unwrap();
            assert_eq!((tcp.source_port, tcp.destination_port), (80, 1000));
            assert_eq!(
                (tcp.sequence_number, tcp.rst, tcp.ack, tcp.window_size),
                (0xffff_fff0, true, false, 0)
            );
            let datagram = Datagram::parse(&reset, false).unwrap();
            let pseudo = pseudo_header_sum(datagram.source, datagram.destination, IP_TCP, 20);
            let sum = checksum::sum(&reset[datagram.l4_offset..]) + u32::from(pseudo);
            assert_eq!(checksum::fold(sum), 0xffff);
            if !v6 {
                assert_eq!((datagram.source, datagram.destination), (SERVER_V4.into(), CLIENT_V4.into()));
            }
        }
    }

    #[test]
    fn one_that_does_not_is_acknowledged_to_its_end() {
        let (_, tcp) = answer(false, |tcp| tcp.fin(), b"12345").unwrap();
        assert_eq!((tcp.sequence_number, tcp.acknowledgment_number), (0, 7 + 5 + 1));
        assert!(tcp.rst && tcp.ack);
    }

    #[test]
    fn a_reset_and_other_protocols_are_not_answered() {
        assert!(answer(false, |tcp| tcp.rst(), b"").is_none());
        let mut udp = Vec::new();
        PacketBuilder::ip(ipv4_header(0)).udp(1, 2).write(&mut udp, &[0; 40]).unwrap();
        assert_eq!(build_reset(&udp, &Datagram::parse(&udp, false).unwrap(), &mut [0; 60]), None);
    }
}
