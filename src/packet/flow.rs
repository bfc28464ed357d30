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

/// What a plain IPv4 header has in its first two words: version 4, five words, no fragment.
const PLAIN_V4: [u32; 2] = [u32::from_ne_bytes([0x45, 0, 0, 0]), 0];
const PLAIN_V4_MASKS: [u32; 2] =
    [u32::from_ne_bytes([0xff, 0, 0, 0]), u32::from_ne_bytes([0, 0, 0x3f, 0xff])];

#[inline(always)]
pub(super) fn parse_v4(ip: &[u8], checked: bool) -> Result<Flow<V4>, Exception> {
    let head: &[u8; 28] = ip.first_chunk().ok_or(Uncommon)?;
    let [w0, w1, w2, source, destination, ports, _] = bytemuck::must_cast::<_, [u32; 7]>(*head);
    let [_, _, l0, l1] = w0.to_ne_bytes();
    let [ttl, number, _, _] = w2.to_ne_bytes();
    let length = u16::from_be_bytes([l0, l1]);
    if [w0 & PLAIN_V4_MASKS[0], w1 & PLAIN_V4_MASKS[1]] != PLAIN_V4
        || ttl <= 1
        || usize::from(length) > ip.len()
    {
        return Err(not_plain_v4(ip, checked));
    }
    if !checked && !sums_up([w0, w1, w2, source, destination]) {
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
    match number {
        6 => {
            let header: Option<&[u8; 20]> = ip.get(at..).and_then(|rest| rest.first_chunk());
            let (Some(header), true) = (header, at + 20 <= end) else {
                return Err(Bad(DropReason::Truncated));
            };
            let offset = usize::from(header[12] >> 4) * 4;
            if offset < 20 || at + offset > end {
                return Err(Bad(DropReason::MalformedHeader));
            }
            Ok((Protocol::Tcp, header[13]))
        }
        17 => {
            let header: Option<&[u8; 8]> = ip.get(at..).and_then(|rest| rest.first_chunk());
            let (Some(header), true) = (header, at + 8 <= end) else {
                return Err(Bad(DropReason::Truncated));
            };
            let claimed = usize::from(u16::from_be_bytes([header[4], header[5]]));
            if claimed < 8 || at + claimed > end {
                return Err(Bad(DropReason::MalformedHeader));
            }
            Ok((Protocol::Udp, 0))
        }
        132 => {
            let header: Option<&[u8; 16]> = ip.get(at..).and_then(|rest| rest.first_chunk());
            let (Some(header), true) = (header, at + 16 <= end) else {
                return Err(Bad(DropReason::Truncated));
            };
            Ok((Protocol::Sctp, header[12]))
        }
        _ => Err(Uncommon),
    }
}
