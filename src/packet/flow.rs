//! The fast path's parse: one pass over a plain TCP, UDP or SCTP packet. Anything else is an exception.

use super::{
    bytes,
    checksum::{sums_up, verify_ipv4_header},
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

/// What a plain IPv4 header has in its first eight bytes: version 4, five words, no fragment.
const PLAIN_V4: u64 = u64::from_ne_bytes([0x45, 0, 0, 0, 0, 0, 0, 0]);
const PLAIN_V4_MASK: u64 = u64::from_ne_bytes([0xff, 0, 0, 0, 0, 0, 0x3f, 0xff]);

#[inline(always)]
pub(super) fn parse_v4(ip: &[u8], checked: bool) -> Result<Flow<V4>, Exception> {
    let head: &[u8; 28] = ip.first_chunk().ok_or(Uncommon)?;
    let [first, second] = [0, 8].map(|at| bytes::read(head, at).map_or(0, u64::from_ne_bytes));
    let [_, _, _, _, destination, ports, _] = bytemuck::must_cast::<_, [u32; 7]>(*head);
    let [_, _, l0, l1, ..] = first.to_ne_bytes();
    let [ttl, number, ..] = second.to_ne_bytes();
    let length = u16::from_be_bytes([l0, l1]);
    if first & PLAIN_V4_MASK != PLAIN_V4 || ttl <= 1 || usize::from(length) > ip.len() {
        return Err(not_plain_v4(ip, checked));
    }
    if !checked && !sums_up([first, second], destination) {
        return Err(Bad(DropReason::BadIpChecksum));
    }
    let tuple = Tuple {
        addresses: bytes::read(head, 12).map_or(0, u64::from_ne_bytes),
        ports: Ports::read(&ports.to_ne_bytes()),
    };
    let (protocol, signal) = transport(number, ip, 20, length)?;
    Ok(Flow { tuple, protocol, signal, length })
}

/// What is the matter with an IPv4 packet that is not plain.
#[cold]
fn not_plain_v4(ip: &[u8], checked: bool) -> Exception {
    let [version, _, l0, l1, ..] = *ip else { return Uncommon };
    if version != 0x45 {
        return if version >> 4 == 4 && version & 15 > 5 {
            Uncommon
        } else {
            Bad(DropReason::MalformedHeader)
        };
    }
    if usize::from(u16::from_be_bytes([l0, l1])) > ip.len() {
        return Bad(DropReason::Truncated);
    }
    let right = checked || ip.first_chunk().is_some_and(verify_ipv4_header);
    if right { Uncommon } else { Bad(DropReason::BadIpChecksum) }
}

#[inline(always)]
pub(super) fn parse_v6(ip: &[u8]) -> Result<Flow<V6>, Exception> {
    let head: &[u8; 48] = ip.first_chunk().ok_or(Uncommon)?;
    let [w0, a, b, c, d, after] = bytemuck::must_cast::<_, [u64; 6]>(*head);
    let [version, _, _, _, l0, l1, number, hop_limit] = w0.to_ne_bytes();
    let [p0, p1, p2, p3, ..] = after.to_ne_bytes();
    let length = u16::from_be_bytes([l0, l1]).checked_add(40).ok_or(Bad(DropReason::MalformedHeader))?;
    if version >> 4 != 6 {
        return Err(Bad(DropReason::MalformedHeader));
    }
    if usize::from(length) > ip.len() {
        return Err(Bad(DropReason::Truncated));
    }
    if hop_limit <= 1 {
        return Err(Uncommon);
    }
    let tuple = Tuple { addresses: [a, b, c, d], ports: Ports::read(&[p0, p1, p2, p3]) };
    let (protocol, signal) = transport(number, ip, 40, length)?;
    Ok(Flow { tuple, protocol, signal, length })
}

/// Checks the transport header that begins at `at`, of an IP packet `length` bytes long; gives the protocol and
/// its signal (see [`Flow::signal`]).
#[inline(always)]
pub fn transport(number: u8, ip: &[u8], at: usize, length: u16) -> Result<(Protocol, u8), Exception> {
    let end = usize::from(length);
    let rest = ip.get(at..).unwrap_or_default();
    if number == 17 {
        let header: &[u8; 8] = rest.first_chunk().ok_or(Bad(DropReason::Truncated))?;
        let claimed = u16::from_be_bytes([header[4], header[5]]);
        reaches(at, 8, claimed.into(), end)?;
        Ok((Protocol::Udp, 0))
    } else if number == 6 {
        let header: &[u8; 20] = rest.first_chunk().ok_or(Bad(DropReason::Truncated))?;
        reaches(at, 20, usize::from(header[12] >> 4) * 4, end)?;
        Ok((Protocol::Tcp, header[13]))
    } else {
        sctp(number, rest, end.saturating_sub(at))
    }
}

/// Whether what a transport header at `at` claims is no less than the `least` and no more than there is before `end`.
#[inline(always)]
const fn reaches(at: usize, least: usize, claimed: usize, end: usize) -> Result<(), Exception> {
    if claimed < least || at + claimed > end { Err(too_short(at + least, end)) } else { Ok(()) }
}

/// What is the matter with one that does not, and ends at `least` at best.
#[cold]
const fn too_short(least: usize, end: usize) -> Exception {
    Bad(if least > end { DropReason::Truncated } else { DropReason::MalformedHeader })
}

/// The common header and the first chunk's (RFC 9260 section 3), if it is SCTP.
#[inline(never)]
fn sctp(number: u8, message: &[u8], length: usize) -> Result<(Protocol, u8), Exception> {
    match message.first_chunk::<16>() {
        _ if number != 132 => Err(Uncommon),
        Some(header) if length >= header.len() => Ok((Protocol::Sctp, header[12])),
        _ => Err(Bad(DropReason::Truncated)),
    }
}
