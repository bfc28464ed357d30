//! The general IP parse: whatever the fast path leaves as uncommon. Options, extension headers, fragments and any
//! protocol; and packets that stand cut short inside an ICMP error.

use super::{
    IP_ICMP, IP_ICMPV6, bytes, checksum,
    family::{Family, Ports, Tuple},
};
use crate::types::{DropReason, Protocol};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Extension headers in one packet; more of them is no honest traffic (RFC 8504 section 5.3).
const MAX_EXTENSION_HEADERS: usize = 8;

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const DESTINATION_OPTIONS: u8 = 60;

/// A packet's layout. Offsets count from the IP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// IP protocol number behind all extension headers. In a later fragment of IPv6, the next header its
    /// fragment header names.
    pub protocol: u8,
    /// Where the transport header begins, or a later fragment's payload.
    pub l4_offset: usize,
    /// Where the IP packet ends; link padding may follow. Of an embedded packet, where the bytes end.
    pub end: usize,
    /// TTL or hop limit.
    pub ttl: u8,
    /// Nobody may fragment it on its way; always so for IPv6.
    pub dont_fragment: bool,
    /// Set when it is a fragment, or carries an IPv6 fragment header.
    pub fragment: Option<Fragment>,
}

/// A fragment's place in its datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// Identification; 16 bits in IPv4.
    pub id: u32,
    /// Where its payload belongs, in bytes; a multiple of 8.
    pub offset_bytes: u16,
    /// More fragments follow.
    pub more: bool,
    /// Offset of the IPv6 fragment header; 0 in IPv4.
    pub header_at: usize,
}

impl Fragment {
    /// A whole packet that merely carries a fragment header (RFC 6946).
    pub const fn is_atomic(&self) -> bool {
        self.offset_bytes == 0 && !self.more
    }
}

impl Datagram {
    /// Parses a packet from its IP header on. `checked`: the NIC has verified the IPv4 header checksum.
    ///
    /// Of later fragments nothing behind the IP headers is looked at. First fragments that do not hold the whole
    /// transport header, and TCP fragments that could overwrite one, are [`DropReason::FragmentUnsupported`]
    /// (RFC 3128, RFC 7112). A routing header that still names other nodes is refused (RFC 8200 section 4.4).
    pub fn parse(ip: &[u8], checked: bool) -> Result<Self, DropReason> {
        let datagram = match version(ip)? {
            4 => Self::parse_v4(ip, checked)?,
            _ => Self::parse_v6(ip)?,
        };
        datagram.check_fragment()?;
        if datagram.is_later_fragment() {
            return Ok(datagram);
        }
        datagram.check_transport(ip.get(..datagram.end).ok_or(DropReason::Truncated)?)?;
        Ok(datagram)
    }

    /// Parses a packet of which only the beginning is there, as inside an ICMP error. Its lengths may exceed
    /// what is present and its checksums are not looked at; only the IP headers must be complete.
    pub fn parse_embedded(ip: &[u8]) -> Result<Self, DropReason> {
        let claimed = match version(ip)? {
            4 => bytes::read_u16(ip, 2).map(usize::from),
            _ => bytes::read_u16(ip, 4).map(|payload| 40 + usize::from(payload)),
        };
        let present = claimed.ok_or(DropReason::Truncated)?.min(ip.len());
        let ip = ip.get(..present).ok_or(DropReason::Truncated)?;
        match version(ip)? {
            4 => header_v4(ip, present),
            _ => headers_v6(ip),
        }
    }

    fn parse_v4(ip: &[u8], checked: bool) -> Result<Self, DropReason> {
        let length = usize::from(bytes::read_u16(ip, 2).ok_or(DropReason::Truncated)?);
        let datagram = header_v4(ip, length)?;
        if length < datagram.l4_offset {
            return Err(DropReason::MalformedHeader);
        }
        if length > ip.len() {
            return Err(DropReason::Truncated);
        }
        let header = ip.get(..datagram.l4_offset).ok_or(DropReason::Truncated)?;
        if !checked && checksum::fold(checksum::sum(header)) != 0xffff {
            return Err(DropReason::BadIpChecksum);
        }
        Ok(datagram)
    }

    fn parse_v6(ip: &[u8]) -> Result<Self, DropReason> {
        let payload = bytes::read_u16(ip, 4).ok_or(DropReason::Truncated)?;
        headers_v6(ip.get(..40 + usize::from(payload)).ok_or(DropReason::Truncated)?)
    }

    /// A fragment that is not its datagram's first, so without a transport header.
    pub fn is_later_fragment(&self) -> bool {
        self.fragment.is_some_and(|fragment| fragment.offset_bytes != 0)
    }

    /// The ports of TCP, UDP and SCTP, where they are present. `ip` is what was parsed.
    pub fn ports(&self, ip: &[u8]) -> Option<Ports> {
        Protocol::from_number(self.protocol)?;
        let ports = bytes::read(ip.get(..self.end)?, self.l4_offset)?;
        (!self.is_later_fragment()).then_some(Ports::read(&ports))
    }

    /// Addresses and ports; `None` without ports, or if the packet is of the other family.
    pub fn tuple<F: Family>(&self, ip: &[u8]) -> Option<Tuple<F>> {
        let ports = self.ports(ip)?;
        Some(Tuple { addresses: F::pair(self.source, self.destination)?, ports })
    }

    /// Fragments must line up with each other and may not reach beyond the largest datagram.
    fn check_fragment(&self) -> Result<(), DropReason> {
        let Some(fragment) = self.fragment.filter(|fragment| !fragment.is_atomic()) else { return Ok(()) };
        // Where the payload begins, and how much before it counts for the length field's 16 bits: IPv6 does not
        // count its own header.
        let (begin, counted) = match fragment.header_at {
            0 => (self.l4_offset, self.l4_offset),
            at => (at + 8, at - 40),
        };
        let payload = self.end - begin;
        let whole = counted + usize::from(fragment.offset_bytes) + payload;
        if payload == 0 || (fragment.more && !payload.is_multiple_of(8)) || whole > usize::from(u16::MAX) {
            return Err(DropReason::MalformedHeader);
        }
        if self.protocol == Protocol::Tcp.number() && fragment.offset_bytes == 8 {
            return Err(DropReason::FragmentUnsupported);
        }
        Ok(())
    }

    /// The transport header must be complete and its lengths within the packet, which `ip` is.
    fn check_transport(&self, ip: &[u8]) -> Result<(), DropReason> {
        let room = self.end - self.l4_offset;
        let first = self.fragment.is_some_and(|fragment| fragment.more);
        let (truncated, overlong) = match first {
            true => (DropReason::FragmentUnsupported, DropReason::FragmentUnsupported),
            false => (DropReason::Truncated, DropReason::MalformedHeader),
        };
        let least = match self.protocol {
            6 => 20,
            17 | IP_ICMP | IP_ICMPV6 => 8,
            132 => 12,
            _ => 0,
        };
        if room < least {
            return Err(truncated);
        }
        match self.protocol {
            6 => {
                let [words] = bytes::read(ip, self.l4_offset + 12).ok_or(truncated)?;
                let length = usize::from(words >> 4) * 4;
                match length {
                    0..20 => Err(DropReason::MalformedHeader),
                    _ if length > room => Err(overlong),
                    _ => Ok(()),
                }
            }
            17 => {
                let length = usize::from(bytes::read_u16(ip, self.l4_offset + 4).ok_or(truncated)?);
                let fits = length >= 8 && (first || length <= room);
                fits.then_some(()).ok_or(DropReason::MalformedHeader)
            }
            _ => Ok(()),
        }
    }
}

fn version(ip: &[u8]) -> Result<u8, DropReason> {
    match ip.first().ok_or(DropReason::Truncated)? >> 4 {
        version @ (4 | 6) => Ok(version),
        _ => Err(DropReason::MalformedHeader),
    }
}

/// Reads an IPv4 header, options included, of a packet that ends at `end`.
fn header_v4(ip: &[u8], end: usize) -> Result<Datagram, DropReason> {
    let header: [u8; 20] = bytes::read(ip, 0).ok_or(DropReason::Truncated)?;
    let [first, _, _, _, i0, i1, f0, f1, ttl, protocol, _, _, a, b, c, d, e, f, g, h] = header;
    let l4_offset = usize::from(first & 15) * 4;
    if l4_offset < 20 {
        return Err(DropReason::MalformedHeader);
    }
    if l4_offset > ip.len() {
        return Err(DropReason::Truncated);
    }
    let flags = u16::from_be_bytes([f0, f1]);
    let fragment = Fragment {
        id: u32::from(u16::from_be_bytes([i0, i1])),
        offset_bytes: (flags & 0x1fff) * 8,
        more: flags & 0x2000 != 0,
        header_at: 0,
    };
    Ok(Datagram {
        source: Ipv4Addr::new(a, b, c, d).into(),
        destination: Ipv4Addr::new(e, f, g, h).into(),
        protocol,
        l4_offset,
        end,
        ttl,
        dont_fragment: flags & 0x4000 != 0,
        fragment: (!fragment.is_atomic()).then_some(fragment),
    })
}

/// Reads an IPv6 header and the extension headers of a packet that ends where `ip` ends.
fn headers_v6(ip: &[u8]) -> Result<Datagram, DropReason> {
    let [_, _, _, _, _, _, next, ttl] = bytes::read(ip, 0).ok_or(DropReason::Truncated)?;
    let source: [u8; 16] = bytes::read(ip, 8).ok_or(DropReason::Truncated)?;
    let destination: [u8; 16] = bytes::read(ip, 24).ok_or(DropReason::Truncated)?;
    let chain = Chain::walk(ip, next)?;
    Ok(Datagram {
        source: Ipv6Addr::from(source).into(),
        destination: Ipv6Addr::from(destination).into(),
        protocol: chain.protocol,
        l4_offset: chain.at,
        end: ip.len(),
        ttl,
        dont_fragment: true,
        fragment: chain.fragment,
    })
}

/// A walk along IPv6 extension headers: where it stands, and the fragment header it met.
struct Chain {
    protocol: u8,
    at: usize,
    fragment: Option<Fragment>,
}

impl Chain {
    fn walk(ip: &[u8], next: u8) -> Result<Self, DropReason> {
        let mut chain = Self { protocol: next, at: 40, fragment: None };
        for _ in 0..MAX_EXTENSION_HEADERS {
            if chain.ended() {
                return Ok(chain);
            }
            chain.step(ip)?;
        }
        chain.ended().then_some(chain).ok_or(DropReason::MalformedHeader)
    }

    /// Whether no extension header that can be read follows.
    fn ended(&self) -> bool {
        let later = self.fragment.is_some_and(|fragment| fragment.offset_bytes != 0);
        later || !matches!(self.protocol, HOP_BY_HOP | ROUTING | FRAGMENT | DESTINATION_OPTIONS)
    }

    fn step(&mut self, ip: &[u8]) -> Result<(), DropReason> {
        // RFC 7112: the first fragment must hold all headers.
        let cut = match self.fragment {
            Some(Fragment { more: true, .. }) => DropReason::FragmentUnsupported,
            _ => DropReason::Truncated,
        };
        let header: [u8; 8] = bytes::read(ip, self.at).ok_or(cut)?;
        let [next, words, f0, f1, i0, i1, i2, i3] = header;
        let segments_left = f1;
        let field = u16::from_be_bytes([f0, f1]);
        let length = match self.protocol {
            HOP_BY_HOP if self.at != 40 => return Err(DropReason::MalformedHeader),
            ROUTING if segments_left != 0 => return Err(DropReason::MalformedHeader),
            FRAGMENT if self.fragment.is_some() => return Err(DropReason::MalformedHeader),
            FRAGMENT => {
                self.fragment = Some(Fragment {
                    id: u32::from_be_bytes([i0, i1, i2, i3]),
                    offset_bytes: field & 0xfff8,
                    more: field & 1 != 0,
                    header_at: self.at,
                });
                8
            }
            _ => (usize::from(words) + 1) * 8,
        };
        self.protocol = next;
        self.at += length;
        if self.at > ip.len() { Err(cut) } else { Ok(()) }
    }
}

/// Whether nobody may send from `address`: a packet with such a source is not answered, forwarded or believed.
pub fn is_martian_source(address: IpAddr) -> bool {
    match address {
        // "This network", loopback, multicast, class E and the limited broadcast.
        IpAddr::V4(v4) => matches!(v4.octets()[0], 0 | 127 | 224..),
        IpAddr::V6(v6) => {
            v6.is_unspecified() || v6.is_loopback() || v6.is_multicast() || v6.to_ipv4_mapped().is_some()
        }
    }
}

#[cfg(test)]
mod tests;
