//! Frames of clients and backends.

use etherparse::{IpNumber, PacketBuilder};
use hitless::{
    packet::{Family, Flow, V4, V6},
    types::{Mac, Protocol},
};
use std::net::{IpAddr, SocketAddr};

pub(crate) const SYN: u8 = 0x02;
pub(crate) const SYN_ACK: u8 = 0x12;
pub(crate) const ACK: u8 = 0x10;
pub(crate) const FIN_ACK: u8 = 0x11;
pub(crate) const RST: u8 = 0x04;

/// SCTP chunk types.
const INIT: u8 = 1;
const DATA: u8 = 0;

/// A packet's fields, as seen on the segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Seen {
    pub(crate) protocol: Protocol,
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
}

impl Seen {
    /// The answer to it.
    pub(crate) fn reversed(self) -> Self {
        Self { source: self.destination, destination: self.source, ..self }
    }
}

/// A TCP segment with these flags; of SCTP an INIT for SYN and data for all else; of UDP just a datagram.
pub(crate) fn frame((from, to): (Mac, Mac), packet: Seen, flags: u8) -> Vec<u8> {
    let Seen { protocol, source, destination } = packet;
    let link = PacketBuilder::ethernet2(from.0, to.0);
    let ip = match (source.ip(), destination.ip()) {
        (IpAddr::V4(a), IpAddr::V4(b)) => link.ipv4(a.octets(), b.octets(), 64),
        (IpAddr::V6(a), IpAddr::V6(b)) => link.ipv6(a.octets(), b.octets(), 64),
        _ => unreachable!("one family"),
    };
    let (s, d) = (source.port(), destination.port());
    let mut out = Vec::new();
    match protocol {
        Protocol::Udp => ip.udp(s, d).write(&mut out, b"payload").unwrap(),
        Protocol::Tcp => {
            let tcp = ip.tcp(s, d, 1000, 5000);
            let tcp = if flags & SYN != 0 { tcp.syn() } else { tcp };
            let tcp = if flags & ACK != 0 { tcp.ack(7) } else { tcp };
            let tcp = if flags & RST != 0 { tcp.rst() } else { tcp };
            let tcp = if flags & 1 != 0 { tcp.fin() } else { tcp };
            tcp.write(&mut out, b"").unwrap();
        }
        Protocol::Sctp => {
            let mut message = [0; 20];
            message[..2].copy_from_slice(&s.to_be_bytes());
            message[2..4].copy_from_slice(&d.to_be_bytes());
            message[12..16].copy_from_slice(&[if flags == SYN { INIT } else { DATA }, 0, 0, 8]);
            ip.write(&mut out, IpNumber(Protocol::Sctp.number()), &message).unwrap();
        }
    }
    out
}

/// What a frame of a flow shows; `None` of anything else.
pub(crate) fn seen(frame: &[u8]) -> Option<Seen> {
    fn read<F: Family>(flow: Flow<F>) -> Seen {
        let ports = flow.tuple.ports;
        Seen {
            protocol: flow.protocol,
            source: SocketAddr::new(flow.tuple.source(), ports.source()),
            destination: SocketAddr::new(flow.tuple.destination(), ports.destination()),
        }
    }
    let ip = frame.get(14..)?;
    match frame[12..14] {
        [0x08, 0x00] => V4::parse(ip, false).ok().map(read),
        [0x86, 0xdd] => V6::parse(ip, false).ok().map(read),
        _ => None,
    }
}
