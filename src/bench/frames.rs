//! Frames for the benches, with right checksums.

use crate::{
    packet::{Family, Tuple, fold, sum},
    types::{Mac, Protocol},
};

/// What a generator sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frames {
    /// Packets of the clients' sessions, which come back.
    OfClients,
    /// First packets of strangers, each another one's: a SYN flood over TCP. Nothing need come back.
    OfStrangers,
}

/// TCP flags of a bench's packets.
pub(super) mod flags {
    pub(in super::super) const SYN: u8 = 0x02;
    pub(in super::super) const SYN_ACK: u8 = 0x12;
    pub(in super::super) const ACK: u8 = 0x10;
}

/// Smallest frame that holds headers of either family and TCP.
pub(super) const MIN_SIZE: usize = 14 + 40 + 20;

/// Appends a frame of `size` bytes (no less than its headers).
pub(super) fn append<F: Family>(
    out: &mut Vec<u8>,
    (from, to): (Mac, Mac),
    tuple: &Tuple<F>,
    protocol: Protocol,
    signal: u8,
    size: usize,
) {
    let start = out.len();
    out.extend(to.0);
    out.extend(from.0);
    out.extend(if F::VERSION == 4 { [0x08, 0x00] } else { [0x86, 0xdd] });
    let transport = if protocol == Protocol::Udp { 8 } else { 20 };
    let length = size.saturating_sub(14).max(F::HEADER + transport);
    let payload = (length - F::HEADER) as u16;
    if F::VERSION == 4 {
        out.extend([0x45, 0]);
        out.extend((length as u16).to_be_bytes());
        out.extend([0, 0, 0x40, 0, 64, protocol.number(), 0, 0]);
    } else {
        out.extend([0x60, 0, 0, 0]);
        out.extend(payload.to_be_bytes());
        out.extend([protocol.number(), 64]);
    }
    F::bytes(tuple.addresses, |byte| out.push(byte));
    if F::VERSION == 4 {
        let checksum = !fold(sum(&out[start + 14..start + 34]));
        out[start + 24..start + 26].copy_from_slice(&checksum.to_ne_bytes());
    }
    let at = out.len();
    out.extend(tuple.ports.bytes());
    match protocol {
        Protocol::Udp => {
            out.extend(payload.to_be_bytes());
            out.extend([0, 0]);
        }
        _ => out.extend([0, 0, 3, 0xe9, 0, 0, 7, 0xd1, 0x50, signal, 0xff, 0xff, 0, 0, 0, 0]),
    }
    out.resize(start + 14 + length, 0);
    let pseudo = u32::from(tuple.address_sum())
        + u32::from(u16::from(protocol.number()).to_be())
        + u32::from(payload.to_be());
    let checksum = match !fold(pseudo + sum(&out[at..])) {
        // RFC 768: zero would say that there is none.
        0 if protocol == Protocol::Udp => 0xffff,
        checksum => checksum,
    };
    let field = at + if protocol == Protocol::Udp { 6 } else { 16 };
    out[field..field + 2].copy_from_slice(&checksum.to_ne_bytes());
}

/// Whether a frame's IPv4 header and transport checksums are right.
pub(super) fn checks_out<F: Family>(frame: &[u8], protocol: Protocol) -> bool {
    let Some(ip) = frame.get(14..) else { return false };
    let addresses = if F::VERSION == 4 { ip.get(12..20) } else { ip.get(8..40) };
    let (Some(addresses), Some(segment)) = (addresses, ip.get(F::HEADER..)) else { return false };
    let header = F::VERSION == 6 || fold(sum(&ip[..20])) == 0xffff;
    let pseudo = sum(addresses)
        + u32::from(u16::from(protocol.number()).to_be())
        + u32::from((segment.len() as u16).to_be());
    header && fold(pseudo + sum(segment)) == 0xffff
}

/// A step near the golden section of `count` that visits every place once, none near the last.
pub(super) fn scattered_step(count: usize) -> usize {
    let gcd = |mut a: usize, mut b: usize| {
        while b != 0 {
            (a, b) = (b, a % b);
        }
        a
    };
    let mut step = (count as f64 * 0.618_033_988_75) as usize | 1;
    while gcd(step, count) != 1 {
        step += 1;
    }
    step % count.max(1)
}
