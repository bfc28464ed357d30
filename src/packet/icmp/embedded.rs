//! The packet inside an error message: finding it, and translating it along with its session.

use super::{Message, body};
use crate::{
    packet::{Datagram, Difference, Family, IP_ICMP, Tuple, bytes, checksum},
    types::{DropReason, Protocol},
};

/// The packet an error message is about, as far as it is quoted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Embedded {
    /// Where it begins, from the outer IP header.
    pub at: usize,
    /// Its layout, from its own IP header; its `end` is where the quoted bytes end.
    pub datagram: Datagram,
}

impl Embedded {
    /// Finds the packet in an error message and verifies the message's checksum. Messages of other kinds are
    /// [`DropReason::IcmpUnsupported`]; errors about packets without ports are [`DropReason::IcmpUnmatched`].
    pub fn find(ip: &[u8], outer: &Datagram) -> Result<Self, DropReason> {
        let Message::Error(_) = Message::parse(ip, outer)? else { return Err(DropReason::IcmpUnsupported) };
        let at = outer.l4_offset + 8;
        let quoted = quoted(body(ip, outer)?, outer.protocol).ok_or(DropReason::Truncated)?;
        let datagram = Datagram::parse_embedded(quoted)?;
        if datagram.source.is_ipv4() != outer.source.is_ipv4() {
            return Err(DropReason::MalformedHeader);
        }
        datagram.ports(quoted).ok_or(DropReason::IcmpUnmatched)?;
        Ok(Self { at, datagram })
    }

    /// The quoted packet's addresses and ports, in the direction it travelled. `ip` is the outer packet.
    pub fn tuple<F: Family>(&self, ip: &[u8]) -> Option<Tuple<F>> {
        self.datagram.tuple(ip.get(self.at..)?)
    }
}

/// The quoted packet in the body of an error message, without the extensions that may follow it (RFC 4884).
fn quoted(body: &[u8], protocol: u8) -> Option<&[u8]> {
    let [_, _, _, _, words_v6, words_v4, _, _] = bytes::read(body, 0)?;
    let length = match (protocol, body.first()?) {
        (IP_ICMP, _) => usize::from(words_v4) * 4,
        (_, 1 | 3) => usize::from(words_v6) * 8,
        _ => 0,
    };
    let quoted = body.get(8..)?;
    // A length below 128 is no such length: older senders leave the field to chance (RFC 4884 section 5.5).
    match length {
        128.. => Some(quoted.get(..length).unwrap_or(quoted)),
        _ => Some(quoted),
    }
}

/// Gives a quoted packet the addresses and ports of `to`. Its IPv4 header checksum follows, and its transport
/// checksum where it is quoted; the checksum of SCTP, a CRC over the whole packet, does not.
///
/// Returns what that does to a checksum that covers the quoted packet from an even offset; `None`, and nothing
/// changed, if it has no ports or is of the other family. `packet` and `layout` as in [`Embedded`].
pub fn translate_embedded<F: Family>(
    packet: &mut [u8],
    layout: &Datagram,
    to: &Tuple<F>,
) -> Option<Difference> {
    let packet = packet.get_mut(..layout.end)?;
    let from = layout.tuple::<F>(packet)?;
    let before = checksum::fold(checksum::sum(packet));
    rewrite_transport_checksum(packet, layout, Difference::between(from.sum(), to.sum()));
    write_addresses::<F>(packet, to.addresses)?;
    if layout.source.is_ipv4() {
        rewrite_header_checksum(packet, Difference::between(from.address_sum(), to.address_sum()))?;
    }
    bytes::write(packet, layout.l4_offset, to.ports.bytes())?;
    Some(Difference::between(before, checksum::fold(checksum::sum(packet))))
}

/// Translates an error message: `inner` becomes the tuple of the quoted packet, `outer` the addresses of the
/// message itself. All checksums stay right. TTL and Ethernet header are the caller's.
pub fn translate_error<F: Family>(
    ip: &mut [u8],
    datagram: &Datagram,
    outer: F::Pair,
    inner: &Tuple<F>,
) -> Result<(), DropReason> {
    let embedded = Embedded::find(ip, datagram)?;
    let old = F::pair(datagram.source, datagram.destination).ok_or(DropReason::MalformedHeader)?;
    let packet = ip.get_mut(embedded.at..).ok_or(DropReason::Truncated)?;
    let changed = translate_embedded(packet, &embedded.datagram, inner).ok_or(DropReason::IcmpUnmatched)?;
    write_outer::<F>(ip, datagram, changed, Difference::between(F::sum(old), F::sum(outer)), outer)
        .ok_or(DropReason::Truncated)
}

fn write_outer<F: Family>(
    ip: &mut [u8],
    datagram: &Datagram,
    quoted: Difference,
    addresses: Difference,
    outer: F::Pair,
) -> Option<()> {
    let is_ipv4 = datagram.source.is_ipv4();
    // The pseudo-header of ICMPv6 covers the addresses; ICMP of IPv4 has none.
    let changed = if is_ipv4 { quoted } else { quoted.and(addresses) };
    let at = datagram.l4_offset + 2;
    let old = bytes::read(ip, at).map(u16::from_ne_bytes)?;
    bytes::write(ip, at, changed.apply(old).to_ne_bytes())?;
    if is_ipv4 {
        rewrite_header_checksum(ip, addresses)?;
    }
    write_addresses::<F>(ip, outer)
}

fn rewrite_header_checksum(ip: &mut [u8], changed: Difference) -> Option<()> {
    let old = bytes::read(ip, 10).map(u16::from_ne_bytes)?;
    bytes::write(ip, 10, changed.apply(old).to_ne_bytes())
}

/// Adjusts the transport checksum if the packet has one and it is quoted.
fn rewrite_transport_checksum(packet: &mut [u8], layout: &Datagram, changed: Difference) -> Option<()> {
    let protocol = Protocol::from_number(layout.protocol)?;
    let at = layout.l4_offset
        + match protocol {
            Protocol::Tcp => 16,
            Protocol::Udp => 6,
            Protocol::Sctp => return None,
        };
    let old = bytes::read(packet, at).map(u16::from_ne_bytes)?;
    let new = match (protocol, old) {
        (Protocol::Udp, 0) => 0, // not computed by its sender (RFC 768)
        (Protocol::Udp, _) => changed.apply_udp(old),
        _ => changed.apply(old),
    };
    bytes::write(packet, at, new.to_ne_bytes())
}

/// Writes source and destination, the last fields of the fixed header in IPv4 and IPv6 alike.
fn write_addresses<F: Family>(ip: &mut [u8], addresses: F::Pair) -> Option<()> {
    let at = F::HEADER - size_of::<F::Pair>();
    let mut field = ip.get_mut(at..F::HEADER)?.iter_mut();
    F::bytes(addresses, |byte| {
        if let Some(place) = field.next() {
            *place = byte;
        }
    });
    Some(())
}
