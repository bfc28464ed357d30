//! ICMP (RFC 792) and ICMPv6 (RFC 4443): telling messages apart, answering echo requests, making error messages
//! and translating those that come for a session.

mod echo;
mod embedded;
mod error;

pub use echo::{EchoId, reply_in_place};
pub use embedded::{Embedded, translate_embedded, translate_error};
pub use error::{ErrorMessage, MAX_ERROR_V4, MAX_ERROR_V6, build_error, may_answer};

use super::{Datagram, IP_ICMP, IP_ICMPV6, bytes, checksum, ip_header::pseudo_header_sum};
use crate::types::DropReason;

/// A received message, as far as a load balancer tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// Are you there?
    EchoRequest,
    /// The answer to one.
    EchoReply,
    /// A packet of ours, or of a session, did not arrive.
    Error(ErrorKind),
    /// Neighbour discovery of IPv6 (RFC 4861), redirects not counted: see [`super::Ndp`].
    Neighbor,
    /// All else: queries nobody answers, redirects and source quench, which nobody should heed (RFC 6633).
    Other,
}

/// What an error message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// There is no way, or nobody there; with its code.
    Unreachable(u8),
    /// The packet is longer than the next link takes, in bytes; 0 from a router older than RFC 1191.
    TooBig(u32),
    /// TTL or hop limit, or the time to collect fragments, ran out.
    TimeExceeded,
    /// The header was not understood.
    ParameterProblem,
}

impl Message {
    /// Reads the message in a parsed packet and verifies its checksum. Fragments are
    /// [`DropReason::FragmentUnsupported`].
    pub fn parse(ip: &[u8], datagram: &Datagram) -> Result<Self, DropReason> {
        let body = body(ip, datagram)?;
        let [kind, code, _, _, rest @ ..] = bytes::read::<8>(body, 0).ok_or(DropReason::Truncated)?;
        if !is_intact(body, datagram) {
            return Err(DropReason::BadL4Checksum);
        }
        let [_, _, m0, m1] = rest;
        Ok(match (datagram.protocol, kind, code) {
            (IP_ICMP, 0, _) | (IP_ICMPV6, 129, _) => Self::EchoReply,
            (IP_ICMP, 8, _) | (IP_ICMPV6, 128, _) => Self::EchoRequest,
            (IP_ICMP, 3, 4) => Self::Error(ErrorKind::TooBig(u16::from_be_bytes([m0, m1]).into())),
            (IP_ICMPV6, 2, _) => Self::Error(ErrorKind::TooBig(u32::from_be_bytes(rest))),
            (IP_ICMP, 3, _) | (IP_ICMPV6, 1, _) => Self::Error(ErrorKind::Unreachable(code)),
            (IP_ICMP, 11, _) | (IP_ICMPV6, 3, _) => Self::Error(ErrorKind::TimeExceeded),
            (IP_ICMP, 12, _) | (IP_ICMPV6, 4, _) => Self::Error(ErrorKind::ParameterProblem),
            (IP_ICMPV6, 133..=136, _) => Self::Neighbor,
            _ => Self::Other,
        })
    }
}

/// The bytes of the message: ICMP in IPv4, ICMPv6 in IPv6, and all of it.
fn body<'a>(ip: &'a [u8], datagram: &Datagram) -> Result<&'a [u8], DropReason> {
    let expected = if datagram.source.is_ipv4() { IP_ICMP } else { IP_ICMPV6 };
    if datagram.protocol != expected {
        return Err(DropReason::UnsupportedProtocol);
    }
    if datagram.fragment.is_some_and(|fragment| !fragment.is_atomic()) {
        return Err(DropReason::FragmentUnsupported);
    }
    ip.get(datagram.l4_offset..datagram.end).ok_or(DropReason::Truncated)
}

fn is_intact(body: &[u8], datagram: &Datagram) -> bool {
    checksum::fold(checksum::sum(body) + u32::from(pseudo_header(datagram, body.len()))) == 0xffff
}

/// What the pseudo-header adds to the checksum; ICMP of IPv4 has none.
fn pseudo_header(datagram: &Datagram, length: usize) -> u16 {
    match datagram.source.is_ipv4() {
        true => 0,
        false => pseudo_header_sum(datagram.source, datagram.destination, IP_ICMPV6, length as u16),
    }
}

#[cfg(test)]
mod tests;
