//! What the worker does differently for IPv4 and IPv6: where its sessions are, how a packet is parsed, how it is
//! rewritten.

use super::core::Sessions;
use crate::{
    packet::{Difference, Family, Flow, V4, V6, sctp},
    session::{Direction, Session, Table},
    types::Protocol,
};

/// An address family as the worker sees it.
pub(super) trait WorkerFamily: Family {
    fn table(sessions: &Sessions) -> &Table<Self>;
    fn table_mut(sessions: &mut Sessions) -> &mut Table<Self>;

    /// Rewrites addresses, hop limit and header checksum. `ip` begins with at least [`Family::HEADER`] bytes, and
    /// its hop limit is above 1.
    fn rewrite_ip(ip: &mut [u8], session: &Session<Self>, direction: Direction);
}

/// What one hop does to an IPv4 header checksum: the TTL is the first byte of its word.
const TTL_LESS_ONE: Difference = Difference::between(u16::from_ne_bytes([1, 0]), 0);

impl WorkerFamily for V4 {
    #[inline]
    fn table(sessions: &Sessions) -> &Table<Self> {
        &sessions.v4
    }

    #[inline]
    fn table_mut(sessions: &mut Sessions) -> &mut Table<Self> {
        &mut sessions.v4
    }

    #[inline(always)]
    fn rewrite_ip(ip: &mut [u8], session: &Session<Self>, direction: Direction) {
        let Some(header) = ip.first_chunk_mut::<20>() else { return };
        header[8] = header[8].wrapping_sub(1);
        let difference = session.address_difference(direction);
        let checksum = difference.apply_with(TTL_LESS_ONE, u16::from_ne_bytes([header[10], header[11]]));
        header[10..12].copy_from_slice(&checksum.to_ne_bytes());
        header[12..20].copy_from_slice(&session.leaving(direction).addresses.to_ne_bytes());
    }
}

impl WorkerFamily for V6 {
    #[inline]
    fn table(sessions: &Sessions) -> &Table<Self> {
        &sessions.v6
    }

    #[inline]
    fn table_mut(sessions: &mut Sessions) -> &mut Table<Self> {
        &mut sessions.v6
    }

    #[inline(always)]
    fn rewrite_ip(ip: &mut [u8], session: &Session<Self>, direction: Direction) {
        let Some(header) = ip.first_chunk_mut::<40>() else { return };
        header[7] = header[7].wrapping_sub(1);
        let words = session.leaving(direction).addresses;
        for (bytes, word) in header[8..].as_chunks_mut::<8>().0.iter_mut().zip(words) {
            *bytes = word.to_ne_bytes();
        }
    }
}

/// Rewrites ports and transport checksum of a packet whose transport header begins at `at`. The checksum changes by
/// the difference, so a wrong one stays wrong for the receiver to see.
#[inline(always)]
pub(super) fn rewrite_transport<F: Family>(
    ip: &mut [u8],
    at: usize,
    flow: &Flow<F>,
    session: &Session<F>,
    direction: Direction,
) {
    let ports = session.leaving(direction).ports.bytes();
    let difference = session.transport_difference(direction);
    match flow.protocol {
        Protocol::Udp => {
            let Some(header) = ip.get_mut(at..).and_then(|rest| rest.first_chunk_mut::<8>()) else { return };
            header[..4].copy_from_slice(&ports);
            let checksum = u16::from_ne_bytes([header[6], header[7]]);
            // Zero: the sender computed none (RFC 768).
            if checksum != 0 {
                header[6..8].copy_from_slice(&difference.apply_udp(checksum).to_ne_bytes());
            }
        }
        Protocol::Tcp => {
            let Some(header) = ip.get_mut(at..).and_then(|rest| rest.first_chunk_mut::<20>()) else { return };
            header[..4].copy_from_slice(&ports);
            let checksum = difference.apply(u16::from_ne_bytes([header[16], header[17]]));
            header[16..18].copy_from_slice(&checksum.to_ne_bytes());
        }
        Protocol::Sctp => {
            if let Some(message) = ip.get_mut(at..usize::from(flow.length)) {
                sctp::rewrite_ports(message, ports);
            }
        }
    }
}
