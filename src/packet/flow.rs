//! The fast path's parse: one pass over a plain TCP, UDP or SCTP packet. Anything else is an exception.

use super::{
    checksum::verify_ipv4_header,
    family::{Family, Ports, Tuple, V4, V6},
};
use crate::types::{DropReason, Protocol};

/// A plain packet of one flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow<F: Family> {
    /// Its addresses and ports.
    pub tuple: Tuple<F>,
    /// Its transport protocol.
    pub protocol: Protocol,
    /// What may change its session's state: the flags of TCP, the first chunk's type of SCTP; 0 for UDP.
    pub signal: u8,
    /// IP packet length in bytes, header included.
    pub length: u16,
}

/// Why the fast path does not take a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exception {
    /// Well-formed as far as was looked, but of a kind that needs a longer look: options, extension headers,
    /// fragments, other protocols, a hop limit that ends.
    Uncommon,
    /// Not a packet anyone should forward.
    Bad(DropReason),
}

use Exception::{Bad, Uncommon};

#[inline]
pub(super) fn parse_v4(ip: &[u8], checked: bool) -> Result<Flow<V4>, Exception> {
    let head: &[u8; 28] = ip.first_chunk().ok_or(Uncommon)?;
    let [version, _, l0, l1, _, _, f0, f1, ttl, number, ..] = *head;
    let length = u16::from_be_bytes([l0, l1]);
    if version != 0x45 {
        return Err(if version >> 4 == 4 && version & 15 > 5 {
            Uncommon
        } else {
            Bad(DropReason::MalformedHeader)
        });
    }
    if usize::from(length) > ip.len() {
        return Err(Bad(DropReason::Truncated));
    }
    if !checked {
        let header: &[u8; 20] = ip.first_chunk().ok_or(Bad(DropReason::Truncated))?;
        if !verify_ipv4_header(header) {
            return Err(Bad(DropReason::BadIpChecksum));
        }
    }
    if u16::from_be_bytes([f0, f1]) & 0x3fff != 0 || ttl <= 1 {
        return Err(Uncommon);
    }
    let [_, _, _, _, _, _, _, _, _, _, _, _, addresses @ .., p0, p1, p2, p3, _, _, _, _] = *head;
    let tuple = Tuple { addresses: u64::from_ne_bytes(addresses), ports: Ports::read(&[p0, p1, p2, p3]) };
    let (protocol, signal) = transport(number, ip, 20, length)?;
    Ok(Flow { tuple, protocol, signal, length })
}

#[inline]
pub(super) fn parse_v6(ip: &[u8]) -> Result<Flow<V6>, Exception> {
    let head: &[u8; 48] = ip.first_chunk().ok_or(Uncommon)?;
    let [version, _, _, _, l0, l1, number, hop_limit, ..] = *head;
    if version >> 4 != 6 {
        return Err(Bad(DropReason::MalformedHeader));
    }
    let length = u16::from_be_bytes([l0, l1]).checked_add(40).ok_or(Bad(DropReason::MalformedHeader))?;
    if usize::from(length) > ip.len() {
        return Err(Bad(DropReason::Truncated));
    }
    if hop_limit <= 1 {
        return Err(Uncommon);
    }
    let [_, _, _, _, _, _, _, _, addresses @ .., p0, p1, p2, p3, _, _, _, _] = *head;
    let (words, _) = addresses.as_chunks::<8>();
    let [a, b, c, d] = *words else { return Err(Bad(DropReason::Truncated)) };
    let addresses = [a, b, c, d].map(u64::from_ne_bytes);
    let tuple = Tuple { addresses, ports: Ports::read(&[p0, p1, p2, p3]) };
    let (protocol, signal) = transport(number, ip, 40, length)?;
    Ok(Flow { tuple, protocol, signal, length })
}

/// Checks the transport header that begins at `at`, of an IP packet `length` bytes long; gives the protocol and
/// its signal (see [`Flow::signal`]).
#[inline]
pub fn transport(number: u8, ip: &[u8], at: usize, length: u16) -> Result<(Protocol, u8), Exception> {
    let room = usize::from(length).saturating_sub(at);
    match number {
        6 => {
            let header: Option<&[u8; 20]> = ip.get(at..).and_then(|rest| rest.first_chunk());
            let (Some(header), true) = (header, room >= 20) else { return Err(Bad(DropReason::Truncated)) };
            let offset = usize::from(header[12] >> 4) * 4;
            if offset < 20 || offset > room {
                return Err(Bad(DropReason::MalformedHeader));
            }
            Ok((Protocol::Tcp, header[13]))
        }
        17 => {
            let header: Option<&[u8; 8]> = ip.get(at..).and_then(|rest| rest.first_chunk());
            let (Some(header), true) = (header, room >= 8) else { return Err(Bad(DropReason::Truncated)) };
            let claimed = usize::from(u16::from_be_bytes([header[4], header[5]]));
            if claimed < 8 || claimed > room {
                return Err(Bad(DropReason::MalformedHeader));
            }
            Ok((Protocol::Udp, 0))
        }
        132 => {
            let header: Option<&[u8; 16]> = ip.get(at..).and_then(|rest| rest.first_chunk());
            let (Some(header), true) = (header, room >= 16) else { return Err(Bad(DropReason::Truncated)) };
            Ok((Protocol::Sctp, header[12]))
        }
        _ => Err(Uncommon),
    }
}
