//! Checksums that a sender left to its network card and that were never filled in, as in packets of guests on the
//! same host: the data is intact, the field holds something else.

use super::{Datagram, bytes, checksum, ip_header::pseudo_header_sum, sctp};
use crate::types::Protocol;

/// Fills in the IPv4 header checksum and that of TCP, UDP or SCTP. `ip` is what was parsed. In fragments nothing can
/// be filled in: no one has the whole.
pub fn fill_in_checksums(ip: &mut [u8], datagram: &Datagram) {
    if datagram.source.is_ipv4() {
        header(ip, datagram.l4_offset);
    }
    let whole = datagram.fragment.is_none_or(|fragment| fragment.is_atomic());
    let Some(message) = ip.get_mut(datagram.l4_offset..datagram.end).filter(|_| whole) else { return };
    match Protocol::from_number(datagram.protocol) {
        Some(Protocol::Tcp) => internet(message, 16, 0, datagram),
        // RFC 768: zero would say that there is none.
        Some(Protocol::Udp) => internet(message, 6, 0xffff, datagram),
        Some(Protocol::Sctp) => sctp::fill_in(message),
        None => {}
    }
}

fn header(ip: &mut [u8], length: usize) {
    let Some(header) = ip.get_mut(..length) else { return };
    bytes::write(header, 10, [0, 0]);
    let checksum = !checksum::fold(checksum::sum(header));
    bytes::write(header, 10, checksum.to_ne_bytes());
}

/// Fills in the field `at` so many bytes; a checksum of zero is written as `zero`.
fn internet(message: &mut [u8], at: usize, zero: u16, datagram: &Datagram) {
    bytes::write(message, at, [0, 0]);
    let length = u16::try_from(message.len()).unwrap_or(u16::MAX);
    let pseudo = pseudo_header_sum(datagram.source, datagram.destination, datagram.protocol, length);
    let checksum = match !checksum::fold(checksum::sum(message) + u32::from(pseudo)) {
        0 => zero,
        checksum => checksum,
    };
    bytes::write(message, at, checksum.to_ne_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::fixtures::{Transport, extensions, ipv4_header, ipv6_header, packet};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_an_independent_builder_wrote_comes_back(
            payload in prop::collection::vec(any::<u8>(), 0..300),
            junk: [u8; 2],
            tcp: bool,
            options in 0usize..4,
            v6: bool,
        ) {
            let transport = if tcp { Transport::Tcp } else { Transport::Udp };
            let headers = match (v6, options) {
                (false, options) => ipv4_header(options * 4),
                (true, 0) => ipv6_header(Default::default()),
                (true, _) => ipv6_header(extensions()),
            };
            let right = packet(headers, transport, &payload);
            let datagram = Datagram::parse(&right, false).unwrap();
            let mut ip = right.clone();
            let at = datagram.l4_offset + if tcp { 16 } else { 6 };
            ip[at..at + 2].copy_from_slice(&junk);
            if !v6 {
                ip[10..12].copy_from_slice(&junk);
            }
            fill_in_checksums(&mut ip, &datagram);
            prop_assert_eq!(ip, right);
        }
    }
}
