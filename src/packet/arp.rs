//! ARP for IPv4 over Ethernet (RFC 826, RFC 5227).

use super::{
    ETHER_ARP, ETHER_IPV4, bytes, datagram::is_martian_source, ethernet::Ethernet, ethernet::is_station,
};
use crate::types::{DropReason, Mac};
use std::net::Ipv4Addr;

/// What an ARP packet does; the value is the operation code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum ArpOperation {
    /// Who has the target address?
    Request = 1,
    /// The sender has it.
    Reply = 2,
}

/// An ARP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arp {
    /// Question or answer.
    pub operation: ArpOperation,
    /// The sender's Ethernet address.
    pub sender_mac: Mac,
    /// The sender's address; unspecified in a probe for a duplicate.
    pub sender: Ipv4Addr,
    /// The target's Ethernet address; of no meaning in a request.
    pub target_mac: Mac,
    /// The address that is asked for, or that asked.
    pub target: Ipv4Addr,
}

/// Hardware type Ethernet, protocol type IPv4, address lengths 6 and 4.
const KIND: [u8; 6] = {
    let [a, b] = ETHER_IPV4.to_be_bytes();
    [0, 1, a, b, 6, 4]
};

impl Arp {
    /// Bytes on the wire, padding not counted.
    pub const LENGTH: usize = 28;

    /// Reads a packet from behind its Ethernet header; padding may follow. A sender whom nobody may believe (a
    /// group or zero MAC, an address that is no host's) is [`DropReason::MartianSource`].
    pub fn parse(packet: &[u8]) -> Result<Self, DropReason> {
        let packet: &[u8; Self::LENGTH] = packet.first_chunk().ok_or(DropReason::Truncated)?;
        let arp = Self::read(packet).ok_or(DropReason::MalformedHeader)?;
        let probe = arp.operation == ArpOperation::Request && arp.sender.is_unspecified();
        if !is_station(arp.sender_mac) || (is_martian_source(arp.sender.into()) && !probe) {
            return Err(DropReason::MartianSource);
        }
        Ok(arp)
    }

    fn read(packet: &[u8; Self::LENGTH]) -> Option<Self> {
        let operation = match bytes::read_u16(packet, 6)? {
            1 => ArpOperation::Request,
            2 => ArpOperation::Reply,
            _ => return None,
        };
        (packet.first_chunk() == Some(&KIND)).then_some(Self {
            operation,
            sender_mac: Mac(bytes::read(packet, 8)?),
            sender: bytes::read::<4>(packet, 14)?.into(),
            target_mac: Mac(bytes::read(packet, 18)?),
            target: bytes::read::<4>(packet, 24)?.into(),
        })
    }

    /// The question who has `target`, from `sender`; an unspecified sender makes it a probe (RFC 5227).
    pub fn request(sender_mac: Mac, sender: Ipv4Addr, target: Ipv4Addr) -> Self {
        Self { operation: ArpOperation::Request, sender_mac, sender, target_mac: Mac::default(), target }
    }

    /// A gratuitous packet: `mac` has `address`, whoever wants to know. Some devices heed only requests, some
    /// only replies.
    pub fn gratuitous(operation: ArpOperation, mac: Mac, address: Ipv4Addr) -> Self {
        let target_mac = match operation {
            ArpOperation::Request => Mac::default(),
            ArpOperation::Reply => Mac::BROADCAST,
        };
        Self { operation, sender_mac: mac, sender: address, target_mac, target: address }
    }

    /// The answer to this request: its target is at `mac`.
    pub fn reply(&self, mac: Mac) -> Self {
        Self {
            operation: ArpOperation::Reply,
            sender_mac: mac,
            sender: self.target,
            target_mac: self.sender_mac,
            target: self.sender,
        }
    }

    /// Whether sender and target address are one: an announcement, not a question.
    pub fn is_gratuitous(&self) -> bool {
        self.sender == self.target
    }

    /// Writes the whole frame from the sender's MAC to `destination`, padded to 60 bytes, and returns its length;
    /// `None` if `frame` is too short.
    pub fn frame(&self, destination: Mac, vlan: u16, frame: &mut [u8]) -> Option<usize> {
        let ethernet = Ethernet { destination, source: self.sender_mac, vlan, ether_type: ETHER_ARP };
        ethernet.write_padded(self.bytes(), frame)
    }

    fn bytes(&self) -> [u8; Self::LENGTH] {
        let mut packet = [0; Self::LENGTH];
        packet[..6].copy_from_slice(&KIND);
        packet[6..8].copy_from_slice(&(self.operation as u16).to_be_bytes());
        packet[8..14].copy_from_slice(&self.sender_mac.0);
        packet[14..18].copy_from_slice(&self.sender.octets());
        packet[18..24].copy_from_slice(&self.target_mac.0);
        packet[24..].copy_from_slice(&self.target.octets());
        packet
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::{ArpEthIpv4Packet, ArpPacket, ArpPacketSlice, PacketBuilder};
    use proptest::prelude::*;

    const MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);
    const OTHER: Mac = Mac([2, 0, 0, 0, 0, 2]);
    const HERE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
    const THERE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

    fn through_etherparse(arp: &Arp) -> ArpEthIpv4Packet {
        let mut frame = [0xee; 64];
        assert_eq!(arp.frame(Mac::BROADCAST, 0, &mut frame), Some(60));
        assert_eq!(frame[42..60], [0; 18], "padding carries nothing of other packets");
        ArpPacketSlice::from_slice(&frame[14..60]).unwrap().to_packet().try_eth_ipv4().unwrap()
    }

    #[test]
    fn an_independent_parser_reads_every_form() {
        let request = Arp::request(MAC, HERE, THERE);
        let forms = [
            (request, 1, MAC, HERE, Mac::default(), THERE),
            (request.reply(OTHER), 2, OTHER, THERE, MAC, HERE),
            (
                Arp::request(MAC, Ipv4Addr::UNSPECIFIED, THERE),
                1,
                MAC,
                Ipv4Addr::UNSPECIFIED,
                Mac::default(),
                THERE,
            ),
            (Arp::gratuitous(ArpOperation::Request, MAC, HERE), 1, MAC, HERE, Mac::default(), HERE),
            (Arp::gratuitous(ArpOperation::Reply, MAC, HERE), 2, MAC, HERE, Mac::BROADCAST, HERE),
        ];
        for (arp, operation, sender_mac, sender, target_mac, target) in forms {
            let read = through_etherparse(&arp);
            assert_eq!(read.operation.0, operation);
            assert_eq!((read.sender_mac, read.sender_ipv4), (sender_mac.0, sender.octets()));
            assert_eq!((read.target_mac, read.target_ipv4), (target_mac.0, target.octets()));
            assert_eq!(Arp::parse(&arp.bytes()), Ok(arp));
        }
    }

    fn built(change: impl FnOnce(&mut ArpPacket)) -> Vec<u8> {
        let mut arp = ArpPacket::new(
            etherparse::ArpHardwareId::ETHERNET,
            etherparse::EtherType::IPV4,
            etherparse::ArpOperation::REQUEST,
            &MAC.0,
            &HERE.octets(),
            &[0; 6],
            &THERE.octets(),
        )
        .unwrap();
        change(&mut arp);
        let mut frame = Vec::new();
        PacketBuilder::ethernet2(MAC.0, [0xff; 6]).arp(arp).write(&mut frame).unwrap();
        frame
    }

    #[test]
    fn reads_what_an_independent_builder_wrote() {
        assert_eq!(Arp::parse(&built(|_| ())[14..]), Ok(Arp::request(MAC, HERE, THERE)));
    }

    #[test]
    fn refuses_other_kinds_and_unbelievable_senders() {
        let malformed: [fn(&mut ArpPacket); 4] = [
            |arp| arp.hw_addr_type = etherparse::ArpHardwareId(6),
            |arp| arp.proto_addr_type = etherparse::EtherType::IPV6,
            |arp| arp.operation = etherparse::ArpOperation(3),
            |arp| arp.operation = etherparse::ArpOperation(0),
        ];
        for change in malformed {
            assert_eq!(Arp::parse(&built(change)[14..]), Err(DropReason::MalformedHeader));
        }
        for at in [4, 5] {
            let mut packet = Arp::request(MAC, HERE, THERE).bytes();
            packet[at] += 1;
            assert_eq!(Arp::parse(&packet), Err(DropReason::MalformedHeader), "an address length");
        }
        let request = Arp::request(MAC, HERE, THERE);
        let martians = [
            Arp { sender_mac: Mac::BROADCAST, ..request },
            Arp { sender_mac: Mac([1, 0, 0x5e, 0, 0, 1]), ..request },
            Arp { sender_mac: Mac::default(), ..request },
            Arp { sender: Ipv4Addr::BROADCAST, ..request },
            Arp { sender: Ipv4Addr::LOCALHOST, ..request },
            Arp { sender: Ipv4Addr::new(224, 0, 0, 1), ..request },
            Arp { operation: ArpOperation::Reply, sender: Ipv4Addr::UNSPECIFIED, ..request },
        ];
        for arp in martians {
            assert_eq!(Arp::parse(&arp.bytes()), Err(DropReason::MartianSource), "{arp:?}");
        }
    }

    #[test]
    fn every_cut_is_truncated_and_a_short_buffer_refused() {
        let arp = Arp::request(MAC, HERE, THERE);
        for length in 0..Arp::LENGTH {
            assert_eq!(Arp::parse(&arp.bytes()[..length]), Err(DropReason::Truncated));
        }
        assert_eq!(arp.frame(OTHER, 0, &mut [0; 59]), None);
        let mut frame = [0; 60];
        assert_eq!(arp.frame(OTHER, 5, &mut frame), Some(60));
        assert_eq!(Ethernet::parse(&frame).unwrap().0.vlan, 5);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(packet in prop::collection::vec(any::<u8>(), 0..64), proper: bool) {
            let mut packet = packet;
            if proper && packet.len() >= 8 {
                packet[..6].copy_from_slice(&KIND);
            }
            if let Ok(arp) = Arp::parse(&packet) {
                prop_assert_eq!(&arp.bytes()[..], &packet[..Arp::LENGTH]);
            }
        }
    }
}
