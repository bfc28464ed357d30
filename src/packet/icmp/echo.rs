//! Echo requests and replies.

use super::{Message, body};
use crate::{
    packet::{
        DEFAULT_TTL, Datagram, Difference, IP_ICMP, IP_ICMPV6, bytes, checksum, pseudo_header_sum,
        write_ipv4_header, write_ipv6_header,
    },
    types::DropReason,
};
use std::net::IpAddr;

/// What tells one echo from another; both numbers are the asker's to choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EchoId {
    /// Whose it is.
    pub identifier: u16,
    /// Which of its.
    pub sequence: u16,
}

const LENGTH: usize = 8;

impl EchoId {
    /// Writes an echo request without data, from the IP header on, and returns its length. `None` if `packet` is
    /// shorter than 48 bytes (IPv6) or 28 (IPv4), or the addresses are of different families.
    pub fn write_request(&self, source: IpAddr, destination: IpAddr, packet: &mut [u8]) -> Option<usize> {
        let (at, kind, pseudo_header) = match (source, destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                write_ipv4_header(
                    packet,
                    (source, destination),
                    IP_ICMP,
                    0,
                    DEFAULT_TTL,
                    20 + LENGTH as u16,
                )?;
                (20, 8, 0)
            }
            (IpAddr::V6(v6_source), IpAddr::V6(v6_destination)) => {
                let ends = (v6_source, v6_destination);
                write_ipv6_header(packet, ends, IP_ICMPV6, DEFAULT_TTL, LENGTH as u16)?;
                (40, 128, pseudo_header_sum(source, destination, IP_ICMPV6, LENGTH as u16))
            }
            _ => return None,
        };
        let message = packet.get_mut(at..at + LENGTH)?;
        bytes::write(message, 0, [kind, 0, 0, 0])?;
        bytes::write(message, 4, self.identifier.to_be_bytes())?;
        bytes::write(message, 6, self.sequence.to_be_bytes())?;
        let sum = !checksum::fold(checksum::sum(message) + u32::from(pseudo_header));
        bytes::write(message, 2, sum.to_ne_bytes())?;
        Some(at + LENGTH)
    }

    /// Reads an echo reply, its checksum verified; other messages are [`DropReason::IcmpUnsupported`].
    pub fn of_reply(ip: &[u8], datagram: &Datagram) -> Result<Self, DropReason> {
        if Message::parse(ip, datagram)? != Message::EchoReply {
            return Err(DropReason::IcmpUnsupported);
        }
        let message = body(ip, datagram)?;
        let number = |at| bytes::read_u16(message, at).ok_or(DropReason::Truncated);
        Ok(Self { identifier: number(4)?, sequence: number(6)? })
    }
}

/// Turns an echo request into its reply where it lies; the Ethernet header is the caller's.
///
/// The destination must be an address of this node. Requests to groups are refused with
/// [`DropReason::IcmpUnsupported`], other messages too. IPv4 options are not returned: each becomes a
/// no-operation, so that nobody chooses the way of a packet that this node sends.
pub fn reply_in_place(ip: &mut [u8], datagram: &Datagram) -> Result<(), DropReason> {
    if Message::parse(ip, datagram)? != Message::EchoRequest || is_group(datagram.destination) {
        return Err(DropReason::IcmpUnsupported);
    }
    let request: [u8; 2] = bytes::read(body(ip, datagram)?, 0).ok_or(DropReason::Truncated)?;
    let reply = if datagram.protocol == IP_ICMP { [0, request[1]] } else { [129, request[1]] };
    let changed = Difference::between(u16::from_ne_bytes(request), u16::from_ne_bytes(reply));
    let at = datagram.l4_offset;
    let old = bytes::read(ip, at + 2).map(u16::from_ne_bytes).ok_or(DropReason::Truncated)?;
    bytes::write(ip, at, reply).ok_or(DropReason::Truncated)?;
    bytes::write(ip, at + 2, changed.apply(old).to_ne_bytes()).ok_or(DropReason::Truncated)?;
    turn_around(ip, datagram).ok_or(DropReason::Truncated)
}

/// Exchanges the addresses, which leaves every checksum that covers both as it is, and starts a new TTL.
fn turn_around(ip: &mut [u8], datagram: &Datagram) -> Option<()> {
    match (datagram.source, datagram.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            bytes::write(ip, 12, destination.octets())?;
            bytes::write(ip, 16, source.octets())?;
            bytes::write(ip, 8, [DEFAULT_TTL])?;
            bytes::write(ip, 10, [0, 0])?;
            let header = ip.get_mut(..datagram.l4_offset)?;
            header.get_mut(20..)?.fill(NO_OPERATION);
            let sum = !checksum::fold(checksum::sum(header));
            bytes::write(header, 10, sum.to_ne_bytes())
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            bytes::write(ip, 7, [DEFAULT_TTL])?;
            bytes::write(ip, 8, destination.octets())?;
            bytes::write(ip, 24, source.octets())
        }
        _ => None,
    }
}

const NO_OPERATION: u8 = 1;

fn is_group(address: IpAddr) -> bool {
    address.is_multicast() || address == IpAddr::V4(std::net::Ipv4Addr::BROADCAST)
}
