//! Neighbour discovery for IPv6 (RFC 4861): solicitations and advertisements.

use super::{
    Datagram, ETHER_IPV6, Ethernet, IP_ICMPV6, bytes, checksum,
    ethernet::is_station,
    ip_header::{pseudo_header_sum, write_ipv6_header},
    is_martian_source,
};
use crate::types::{DropReason, Mac};
use std::net::{IpAddr, Ipv6Addr};

/// Everybody on the link.
pub const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// Hop limit of all messages: a packet that crossed a router has less (RFC 4861 section 7.1).
const HOP_LIMIT: u8 = 255;

const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
const SOURCE_LINK_LAYER: u8 = 1;
const TARGET_LINK_LAYER: u8 = 2;

/// The question who has `target`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Solicitation {
    /// Who asks; unspecified when it looks for a duplicate of an address it wants.
    pub source: Ipv6Addr,
    /// The target, or its solicited-node group.
    pub destination: Ipv6Addr,
    /// The address asked for.
    pub target: Ipv6Addr,
    /// The asker's MAC, if it says so.
    pub mac: Option<Mac>,
}

/// The statement that `target` is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advertisement {
    /// Who states it.
    pub source: Ipv6Addr,
    /// Who asked, or [`ALL_NODES`].
    pub destination: Ipv6Addr,
    /// The address stated.
    pub target: Ipv6Addr,
    /// The target's MAC, if it is said.
    pub mac: Option<Mac>,
    /// The sender is a router.
    pub router: bool,
    /// It answers a solicitation of the destination.
    pub solicited: bool,
    /// It replaces a MAC known before.
    pub overrides: bool,
}

/// A received message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ndp {
    /// A question.
    Solicitation(Solicitation),
    /// An answer or announcement.
    Advertisement(Advertisement),
}

impl Ndp {
    /// Reads and validates the message of a parsed packet (RFC 4861 sections 7.1.1 and 7.1.2). Other messages are
    /// [`DropReason::IcmpUnsupported`], a MAC or source nobody may have [`DropReason::MartianSource`]. Fragments
    /// are refused (RFC 6980).
    pub fn parse(ip: &[u8], datagram: &Datagram) -> Result<Self, DropReason> {
        let (IpAddr::V6(source), IpAddr::V6(destination), IP_ICMPV6) =
            (datagram.source, datagram.destination, datagram.protocol)
        else {
            return Err(DropReason::IcmpUnsupported);
        };
        let body = ip.get(datagram.l4_offset..datagram.end).ok_or(DropReason::Truncated)?;
        let [kind, code, _, _, flags, ..] = bytes::read::<8>(body, 0).ok_or(DropReason::Truncated)?;
        if !matches!(kind, SOLICITATION | ADVERTISEMENT) {
            return Err(DropReason::IcmpUnsupported);
        }
        if datagram.ttl != HOP_LIMIT || code != 0 || datagram.fragment.is_some() {
            return Err(DropReason::MalformedHeader);
        }
        if checksum::fold(checksum::sum(body) + pseudo_sum(source, destination, body.len())) != 0xffff {
            return Err(DropReason::BadL4Checksum);
        }
        let target = bytes::read::<16>(body, 8).map(Ipv6Addr::from).ok_or(DropReason::Truncated)?;
        if target.is_multicast() {
            return Err(DropReason::MalformedHeader);
        }
        let options = body.get(24..).unwrap_or_default();
        if kind == SOLICITATION {
            let mac = link_layer(options, SOURCE_LINK_LAYER)?;
            Solicitation { source, destination, target, mac }.validated()
        } else {
            let mac = link_layer(options, TARGET_LINK_LAYER)?;
            let [router, solicited, overrides] = [0x80, 0x40, 0x20].map(|bit| flags & bit != 0);
            Advertisement { source, destination, target, mac, router, solicited, overrides }.validated()
        }
    }
}

impl Solicitation {
    /// The question for `target`: to its group, or to the host thought to have it when `probe` is set.
    pub fn new(mac: Mac, source: Ipv6Addr, target: Ipv6Addr, probe: bool) -> Self {
        let destination = if probe { target } else { solicited_node(target) };
        Self { source, destination, target, mac: Some(mac) }
    }

    fn validated(self) -> Result<Ndp, DropReason> {
        let looks_for_duplicate = self.source.is_unspecified();
        if looks_for_duplicate && (self.mac.is_some() || !is_solicited_node(self.destination)) {
            return Err(DropReason::MalformedHeader);
        }
        if !looks_for_duplicate && is_martian_source(self.source.into()) {
            return Err(DropReason::MartianSource);
        }
        Ok(Ndp::Solicitation(self))
    }

    /// The answer that `target` is at `mac`: to the asker, or to all where the asker has no address yet
    /// (RFC 4861 section 7.2.4).
    pub fn answer(&self, mac: Mac) -> Advertisement {
        let asker = Some(self.source).filter(|source| !source.is_unspecified());
        Advertisement {
            source: self.target,
            destination: asker.unwrap_or(ALL_NODES),
            target: self.target,
            mac: Some(mac),
            router: false,
            solicited: asker.is_some(),
            overrides: true,
        }
    }

    /// Writes the whole frame and returns its length; `None` if `frame` is too short.
    pub fn frame(&self, from: Mac, to: Mac, vlan: u16, frame: &mut [u8]) -> Option<usize> {
        let link = Ethernet { destination: to, source: from, vlan, ether_type: ETHER_IPV6 };
        let option = self.mac.map(|mac| (SOURCE_LINK_LAYER, mac));
        Body { kind: SOLICITATION, flags: 0, target: self.target, option }.frame(
            &link,
            (self.source, self.destination),
            frame,
        )
    }
}

impl Advertisement {
    /// The announcement to all nodes that `address` is at `mac` now (RFC 4861 section 7.2.6).
    pub fn unsolicited(mac: Mac, address: Ipv6Addr, router: bool) -> Self {
        Self {
            source: address,
            destination: ALL_NODES,
            target: address,
            mac: Some(mac),
            router,
            solicited: false,
            overrides: true,
        }
    }

    fn validated(self) -> Result<Ndp, DropReason> {
        if self.destination.is_multicast() && self.solicited {
            return Err(DropReason::MalformedHeader);
        }
        if is_martian_source(self.source.into()) {
            return Err(DropReason::MartianSource);
        }
        Ok(Ndp::Advertisement(self))
    }

    /// Writes the whole frame and returns its length; `None` if `frame` is too short.
    pub fn frame(&self, from: Mac, to: Mac, vlan: u16, frame: &mut [u8]) -> Option<usize> {
        let link = Ethernet { destination: to, source: from, vlan, ether_type: ETHER_IPV6 };
        let bit = |set, bit| if set { bit } else { 0 };
        let flags = bit(self.router, 0x80) | bit(self.solicited, 0x40) | bit(self.overrides, 0x20);
        let option = self.mac.map(|mac| (TARGET_LINK_LAYER, mac));
        Body { kind: ADVERTISEMENT, flags, target: self.target, option }.frame(
            &link,
            (self.source, self.destination),
            frame,
        )
    }
}

/// What both messages look like behind the IP header.
struct Body {
    kind: u8,
    flags: u8,
    target: Ipv6Addr,
    option: Option<(u8, Mac)>,
}

impl Body {
    fn frame(&self, link: &Ethernet, ends: (Ipv6Addr, Ipv6Addr), frame: &mut [u8]) -> Option<usize> {
        let length = if self.option.is_some() { 32 } else { 24 };
        let end = link.length() + 40 + length;
        let frame = frame.get_mut(..end)?;
        let at = link.write(frame)?;
        let ip = frame.get_mut(at..)?;
        write_ipv6_header(ip, ends, IP_ICMPV6, HOP_LIMIT, length as u16)?;
        let body = ip.get_mut(40..)?;
        bytes::write(body, 0, [self.kind, 0, 0, 0, self.flags, 0, 0, 0])?;
        bytes::write(body, 8, self.target.octets())?;
        if let Some((kind, mac)) = self.option {
            bytes::write(body, 24, [kind, 1])?;
            bytes::write(body, 26, mac.0)?;
        }
        let checksum = !checksum::fold(checksum::sum(body) + pseudo_sum(ends.0, ends.1, length));
        bytes::write(body, 2, checksum.to_ne_bytes())?;
        Some(end)
    }
}

/// The MAC in the first option of type `wanted`. All options are looked at: one of length zero spoils the
/// message (RFC 4861 section 4.6).
fn link_layer(mut options: &[u8], wanted: u8) -> Result<Option<Mac>, DropReason> {
    let mut found = None;
    while !options.is_empty() {
        let [kind, units] = bytes::read(options, 0).ok_or(DropReason::Truncated)?;
        if units == 0 {
            return Err(DropReason::MalformedHeader);
        }
        let (option, rest) = options.split_at_checked(usize::from(units) * 8).ok_or(DropReason::Truncated)?;
        if kind == wanted && found.is_none() {
            let mac = Mac(bytes::read(option, 2).ok_or(DropReason::Truncated)?);
            // RFC 2464 section 6: an Ethernet address fills one unit.
            if units != 1 {
                return Err(DropReason::MalformedHeader);
            }
            if !is_station(mac) {
                return Err(DropReason::MartianSource);
            }
            found = Some(mac);
        }
        options = rest;
    }
    Ok(found)
}

fn pseudo_sum(source: Ipv6Addr, destination: Ipv6Addr, length: usize) -> u32 {
    pseudo_header_sum(source.into(), destination.into(), IP_ICMPV6, length as u16).into()
}

/// The group that the owner of `address` listens to (RFC 4291 section 2.7.1).
pub fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., high, low] = address.segments();
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | (high & 0xff), low)
}

fn is_solicited_node(address: Ipv6Addr) -> bool {
    solicited_node(address) == address
}

/// The MAC that frames to an IPv6 group carry (RFC 2464 section 7).
pub fn group_mac(group: Ipv6Addr) -> Mac {
    let [.., a, b, c, d] = group.octets();
    Mac([0x33, 0x33, a, b, c, d])
}

#[cfg(test)]
mod tests;
