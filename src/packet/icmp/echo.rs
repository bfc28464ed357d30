//! Echo replies.

use super::{Message, body};
use crate::{
    packet::{DEFAULT_TTL, Datagram, Difference, IP_ICMP, bytes, checksum},
    types::DropReason,
};
use std::net::IpAddr;

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
