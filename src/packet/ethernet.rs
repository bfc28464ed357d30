//! Ethernet II headers, with at most one 802.1Q tag.

use super::{ETHER_VLAN, bytes};
use crate::types::{DropReason, Mac};

/// Shortest frame that is sent, without the frame check sequence (IEEE 802.3).
pub const MIN_FRAME: usize = 60;

/// An Ethernet header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ethernet {
    /// Whom the frame is for.
    pub destination: Mac,
    /// Who sent it.
    pub source: Mac,
    /// VLAN identifier, 1..=4095; 0 for no tag, or a tag that carries only a priority.
    pub vlan: u16,
    /// What follows.
    pub ether_type: u16,
}

impl Ethernet {
    /// Bytes it takes when written.
    #[inline]
    pub const fn length(&self) -> usize {
        if self.vlan == 0 { 14 } else { 18 }
    }

    /// Reads the header of `frame`; the second value is the offset of what follows. Behind a second tag nothing
    /// is read: `ether_type` is then that of the tag.
    pub fn parse(frame: &[u8]) -> Result<(Self, usize), DropReason> {
        Self::read(frame).ok_or(DropReason::Truncated)
    }

    fn read(frame: &[u8]) -> Option<(Self, usize)> {
        let destination = Mac(bytes::read(frame, 0)?);
        let source = Mac(bytes::read(frame, 6)?);
        let ether_type = bytes::read_u16(frame, 12)?;
        if ether_type != ETHER_VLAN {
            return Some((Self { destination, source, vlan: 0, ether_type }, 14));
        }
        let vlan = bytes::read_u16(frame, 14)? & 0x0fff;
        let ether_type = bytes::read_u16(frame, 16)?;
        Some((Self { destination, source, vlan, ether_type }, 18))
    }

    /// Writes the header at the start of `frame` and returns the offset of what follows; `None` if it is too
    /// short.
    pub fn write(&self, frame: &mut [u8]) -> Option<usize> {
        let header = frame.get_mut(..self.length())?;
        bytes::write(header, 0, self.destination.0)?;
        bytes::write(header, 6, self.source.0)?;
        if self.vlan != 0 {
            bytes::write(header, 12, ETHER_VLAN.to_be_bytes())?;
            bytes::write(header, 14, (self.vlan & 0x0fff).to_be_bytes())?;
        }
        bytes::write(header, self.length() - 2, self.ether_type.to_be_bytes())?;
        Some(self.length())
    }

    /// Writes a whole frame with the `N` bytes of `payload`, padded with zeros to [`MIN_FRAME`], and returns its
    /// length; `None` if `frame` is too short.
    pub(super) fn write_padded<const N: usize>(&self, payload: [u8; N], frame: &mut [u8]) -> Option<usize> {
        let length = (self.length() + N).max(MIN_FRAME);
        let frame = frame.get_mut(..length)?;
        frame.fill(0);
        let at = self.write(frame)?;
        bytes::write(frame, at, payload)?;
        Some(length)
    }
}

/// Whether `mac` can be the address of one station: neither a group nor all zeros.
pub(crate) fn is_station(mac: Mac) -> bool {
    !mac.is_multicast() && mac != Mac::default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::{Ethernet2HeaderSlice, PacketBuilder, VlanId};
    use proptest::prelude::*;

    const DESTINATION: Mac = Mac([2, 0, 0, 0, 0, 1]);
    const SOURCE: Mac = Mac([2, 0, 0, 0, 0, 2]);

    fn built(vlan: Option<u16>) -> Vec<u8> {
        let mut frame = Vec::new();
        let link = PacketBuilder::ethernet2(SOURCE.0, DESTINATION.0);
        match vlan {
            Some(vlan) => link
                .single_vlan(VlanId::try_new(vlan).unwrap())
                .ipv4([1, 2, 3, 4], [5, 6, 7, 8], 9)
                .udp(1, 2)
                .write(&mut frame, &[]),
            None => link.ipv4([1, 2, 3, 4], [5, 6, 7, 8], 9).udp(1, 2).write(&mut frame, &[]),
        }
        .unwrap();
        frame
    }

    #[test]
    fn reads_what_an_independent_builder_wrote() {
        for (tag, vlan, offset) in [(None, 0, 14), (Some(7), 7, 18), (Some(4095), 4095, 18), (Some(0), 0, 18)]
        {
            let header = Ethernet {
                destination: DESTINATION,
                source: SOURCE,
                vlan,
                ether_type: super::super::ETHER_IPV4,
            };
            assert_eq!(Ethernet::parse(&built(tag)), Ok((header, offset)));
        }
    }

    #[test]
    fn an_independent_parser_reads_what_is_written() {
        let header = Ethernet { destination: DESTINATION, source: SOURCE, vlan: 0, ether_type: 0x1234 };
        let mut frame = [0xaa; 20];
        assert_eq!(header.write(&mut frame), Some(14));
        let read = Ethernet2HeaderSlice::from_slice(&frame).unwrap();
        assert_eq!(
            (read.destination(), read.source(), read.ether_type().0),
            (DESTINATION.0, SOURCE.0, 0x1234)
        );
        assert_eq!(frame[14..], [0xaa; 6]);
    }

    #[test]
    fn a_second_tag_is_left_to_the_caller() {
        let mut frame = built(Some(7));
        frame[16..18].copy_from_slice(&ETHER_VLAN.to_be_bytes());
        assert_eq!(Ethernet::parse(&frame).unwrap().0.ether_type, ETHER_VLAN);
    }

    #[test]
    fn cut_headers_are_truncated() {
        for (tag, offset) in [(None, 14), (Some(7), 18)] {
            let frame = built(tag);
            for length in 0..offset {
                assert_eq!(Ethernet::parse(&frame[..length]), Err(DropReason::Truncated), "{length}");
            }
        }
    }

    proptest! {
        #[test]
        fn headers_round_trip(destination: [u8; 6], source: [u8; 6], vlan in 0u16..4096, ether_type: u16, room in 0usize..30) {
            prop_assume!(ether_type != ETHER_VLAN);
            let header = Ethernet { destination: Mac(destination), source: Mac(source), vlan, ether_type };
            let mut frame = vec![0; room];
            match header.write(&mut frame) {
                Some(offset) => prop_assert_eq!(Ethernet::parse(&frame), Ok((header, offset))),
                None => prop_assert!(room < header.length()),
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(frame in prop::collection::vec(any::<u8>(), 0..32)) {
            let _ = Ethernet::parse(&frame);
        }
    }
}
