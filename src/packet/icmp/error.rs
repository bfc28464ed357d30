//! Error messages this node sends about packets it received, and when it may not.

use crate::packet::{
    DEFAULT_TTL, Datagram, IP_ICMP, IP_ICMPV6, bytes, checksum, is_martian_source, pseudo_header_sum,
    write_ipv4_header, write_ipv6_header,
};
use std::net::{IpAddr, Ipv4Addr};

/// Longest error message of IPv4, headers included (RFC 1812 section 4.3.2.3).
pub const MAX_ERROR_V4: usize = 576;
/// Longest error message of IPv6: what every link takes (RFC 4443 section 2.4c).
pub const MAX_ERROR_V6: usize = 1280;

/// What to tell the sender of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorMessage {
    /// Its TTL or hop limit ended here.
    TimeExceeded,
    /// It does not fit into this many bytes, and may not be fragmented.
    TooBig {
        /// The largest IP packet that would pass.
        mtu: u16,
    },
    /// Nobody listens on that port.
    PortUnreachable,
    /// The next hop does not answer.
    HostUnreachable,
    /// There is no route to its destination.
    NetUnreachable,
}

impl ErrorMessage {
    const fn type_and_code_v4(self) -> [u8; 2] {
        match self {
            Self::NetUnreachable => [3, 0],
            Self::HostUnreachable => [3, 1],
            Self::PortUnreachable => [3, 3],
            Self::TooBig { .. } => [3, 4],
            Self::TimeExceeded => [11, 0],
        }
    }

    const fn type_and_code_v6(self) -> [u8; 2] {
        match self {
            Self::NetUnreachable => [1, 0],
            Self::HostUnreachable => [1, 3],
            Self::PortUnreachable => [1, 4],
            Self::TooBig { .. } => [2, 0],
            Self::TimeExceeded => [3, 0],
        }
    }

    /// The four bytes behind the checksum: the MTU stands last in both families.
    const fn word(self) -> [u8; 4] {
        match self {
            Self::TooBig { mtu } => (mtu as u32).to_be_bytes(),
            _ => [0; 4],
        }
    }
}

/// Whether `message` may be sent about a packet: RFC 1122 section 3.2.2, RFC 4443 section 2.4e. `group_frame`: the
/// frame was a broadcast or multicast. Directed broadcasts are for the caller to know.
pub fn may_answer(message: ErrorMessage, ip: &[u8], datagram: &Datagram, group_frame: bool) -> bool {
    if is_martian_source(datagram.source) || may_be_error(ip, datagram) {
        return false;
    }
    match datagram.destination {
        IpAddr::V4(v4) => {
            let group = group_frame || v4.is_multicast() || v4 == Ipv4Addr::BROADCAST;
            !group && !datagram.is_later_fragment()
        }
        // Path-MTU discovery works for multicast too.
        IpAddr::V6(v6) => {
            matches!(message, ErrorMessage::TooBig { .. }) || !(group_frame || v6.is_multicast())
        }
    }
}

/// Whether the packet may itself be an ICMP error, or a redirect; only known queries surely are not.
fn may_be_error(ip: &[u8], datagram: &Datagram) -> bool {
    if !matches!(datagram.protocol, IP_ICMP | IP_ICMPV6) {
        return false;
    }
    let kind = bytes::read(ip, datagram.l4_offset);
    match (datagram.protocol, kind) {
        _ if datagram.is_later_fragment() => true,
        (IP_ICMP, Some([0 | 8..=10 | 13..=18])) => false,
        (IP_ICMPV6, Some([kind])) => kind < 128 || kind == 137,
        _ => true,
    }
}

/// Writes `message` about a received packet into `out`, from `from`, an address of this node, to the packet's
/// sender; quotes as much as the limits and `out` allow. Returns the length of the IP packet; `None` if no error
/// may be sent (see [`may_answer`]), `from` is of the other family or `out` too short for the headers.
pub fn build_error(
    message: ErrorMessage,
    from: IpAddr,
    (ip, datagram): (&[u8], &Datagram),
    group_frame: bool,
    out: &mut [u8],
) -> Option<usize> {
    if !may_answer(message, ip, datagram, group_frame) {
        return None;
    }
    let packet = ip.get(..datagram.end)?;
    match (from, datagram.source) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let length = quote(packet, 20, MAX_ERROR_V4, out)?;
            let body = out.get_mut(20..length)?;
            fill(body, message.type_and_code_v4(), message.word(), 0)?;
            write_ipv4_header(out, (from, to), IP_ICMP, INTERNETWORK_CONTROL, DEFAULT_TTL, length as u16)?;
            Some(length)
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let length = quote(packet, 40, MAX_ERROR_V6, out)?;
            let body = out.get_mut(40..length)?;
            let pseudo = pseudo_header_sum(from.into(), to.into(), IP_ICMPV6, body.len() as u16);
            fill(body, message.type_and_code_v6(), message.word(), pseudo)?;
            write_ipv6_header(out, (from, to), IP_ICMPV6, DEFAULT_TTL, (length - 40) as u16)?;
            Some(length)
        }
        _ => None,
    }
}

/// Precedence of error messages (RFC 1812 section 4.3.2.5).
const INTERNETWORK_CONTROL: u8 = 0xc0;

/// Copies the beginning of `packet` behind the headers and returns the length of the whole.
fn quote(packet: &[u8], header: usize, limit: usize, out: &mut [u8]) -> Option<usize> {
    let at = header + 8;
    let length = limit.min(out.len()).min(at + packet.len());
    let room = out.get_mut(at..length)?;
    room.copy_from_slice(packet.get(..room.len())?);
    Some(length)
}

/// Fills in the ICMP header of `body`, whose quotation is in place.
fn fill(body: &mut [u8], type_and_code: [u8; 2], word: [u8; 4], pseudo_header: u16) -> Option<()> {
    bytes::write(body, 0, type_and_code)?;
    bytes::write(body, 2, [0, 0])?;
    bytes::write(body, 4, word)?;
    let checksum = !checksum::fold(checksum::sum(body) + u32::from(pseudo_header));
    bytes::write(body, 2, checksum.to_ne_bytes())
}
