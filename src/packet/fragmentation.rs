//! Cutting IPv4 packets in fragments (RFC 791 section 3.2), as a router must when the next link is narrower and the
//! sender has not forbidden it.

use super::{bytes::read_u16, fold, sum};

/// A header without options; with them, the pieces would need different headers.
const HEADER: usize = 20;
const DONT_FRAGMENT: u16 = 0x4000;
const MORE_FRAGMENTS: u16 = 0x2000;
const OFFSET: u16 = 0x1fff;

/// An IPv4 packet that may be cut.
#[derive(Clone, Copy, Debug)]
pub struct Divisible {
    header: [u8; HEADER],
    payload: usize,
    /// Payload bytes of each piece but the last: a multiple of 8.
    room: usize,
}

impl Divisible {
    /// The packet that begins `ip`, to be cut for links of `mtu` bytes; `None` when its sender forbids it, it has
    /// options, or it is not all there.
    pub fn new(ip: &[u8], mtu: u16) -> Option<Self> {
        let header = *ip.first_chunk::<HEADER>()?;
        let payload = usize::from(read_u16(&header, 2)?).checked_sub(HEADER)?;
        let room = usize::from(mtu).checked_sub(HEADER)? & !7;
        let allowed = header[0] == 0x45 && read_u16(&header, 6)? & DONT_FRAGMENT == 0;
        (allowed && room > 0 && ip.len() >= HEADER + payload).then_some(Self { header, payload, room })
    }

    /// It is not a fragment itself, so its identification is its sender's.
    pub fn is_whole(&self) -> bool {
        read_u16(&self.header, 6).is_some_and(|flags| flags & (MORE_FRAGMENTS | OFFSET) == 0)
    }

    /// Gives it another identification.
    pub fn renumber(&mut self, id: u16) {
        self.header[4..6].copy_from_slice(&id.to_be_bytes());
    }

    /// How many pieces it makes.
    pub const fn count(&self) -> usize {
        if self.payload == 0 { 1 } else { self.payload.div_ceil(self.room) }
    }

    /// The piece's header, its checksum right, and where in the packet `ip` its payload lies.
    pub fn piece(&self, number: usize) -> ([u8; HEADER], std::ops::Range<usize>) {
        let start = number * self.room;
        let end = (start + self.room).min(self.payload);
        let mut header = self.header;
        let flags = u16::from_be_bytes([header[6], header[7]]);
        let more = if end < self.payload { MORE_FRAGMENTS } else { flags & MORE_FRAGMENTS };
        let flags =
            (flags & !(MORE_FRAGMENTS | OFFSET)) | more | (((flags & OFFSET) + (start / 8) as u16) & OFFSET);
        header[2..4].copy_from_slice(&((HEADER + end - start) as u16).to_be_bytes());
        header[6..8].copy_from_slice(&flags.to_be_bytes());
        header[10..12].fill(0);
        let checksum = !fold(sum(&header));
        header[10..12].copy_from_slice(&checksum.to_ne_bytes());
        (header, HEADER + start..HEADER + end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::verify_ipv4_header;
    use etherparse::{IpFragOffset, Ipv4Header, Ipv4Slice, ip_number};
    use proptest::prelude::*;

    fn packet(length: usize, change: impl FnOnce(&mut Ipv4Header)) -> Vec<u8> {
        let mut header =
            Ipv4Header::new(length as u16, 64, ip_number::UDP, [10, 0, 0, 1], [10, 0, 0, 2]).unwrap();
        header.dont_fragment = false;
        header.identification = 7;
        change(&mut header);
        header.header_checksum = header.calc_header_checksum();
        let mut ip = header.to_bytes().to_vec();
        ip.extend((0..length).map(|at| at as u8));
        ip
    }

    #[test]
    fn what_may_not_be_cut_is_not() {
        assert!(Divisible::new(&packet(2000, |header| header.dont_fragment = true), 1500).is_none());
        assert!(Divisible::new(&packet(2000, |_| {})[..2019], 1500).is_none());
        assert!(Divisible::new(&packet(2000, |_| {}), 27).is_none());
        assert!(
            Divisible::new(&packet(2000, |header| header.options = [1; 4][..].try_into().unwrap()), 1500)
                .is_none()
        );
        assert!(Divisible::new(&packet(2000, |_| {}), 28).is_some());
    }

    proptest! {
        #[test]
        fn pieces_join_to_the_packet(length in 0usize..9000, mtu in 28u16..9100, offset in 0u16..1000, more: bool) {
            let ip = packet(length, |header| {
                header.fragment_offset = IpFragOffset::try_new(offset).unwrap();
                header.more_fragments = more;
            });
            let mut whole = Divisible::new(&ip, mtu).unwrap();
            prop_assert_eq!(whole.is_whole(), offset == 0 && !more);
            whole.renumber(9);
            let mut joined = Vec::<u8>::new();
            for number in 0..whole.count() {
                let (header, payload) = whole.piece(number);
                prop_assert!(verify_ipv4_header(&header));
                let mut piece = header.to_vec();
                piece.extend(&ip[payload]);
                prop_assert!(piece.len() <= usize::from(mtu));
                let parsed = Ipv4Slice::from_slice(&piece).unwrap();
                prop_assert_eq!(parsed.header().identification(), 9);
                let at = usize::from(parsed.header().fragments_offset().value()) * 8;
                prop_assert_eq!(at, usize::from(offset) * 8 + joined.len());
                prop_assert_eq!(parsed.header().more_fragments(), more || number + 1 < whole.count());
                joined.extend(parsed.payload().payload);
            }
            prop_assert_eq!(joined.as_slice(), &ip[20..]);
        }
    }
}
