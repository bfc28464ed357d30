//! Answers to ARP requests and neighbour solicitations for this node's own addresses.

use super::owner::Owner;
use crate::{
    packet::{
        Arp, ArpOperation, Ethernet,
        ndp::{ALL_NODES, Solicitation, group_mac},
    },
    types::{Mac, PortId},
};

/// Writes the reply to an ARP request into `frame` and returns its length. `None`, with nothing to send, unless the
/// request asks for an address that is this node's own now.
///
/// Whoever probes for a duplicate (RFC 5227) is answered, which defends the address. Who announces an address of
/// this node as its own asks nothing; that is a conflict, which the neighbour machine reports.
pub fn answer_arp(
    port: PortId,
    ethernet: &Ethernet,
    arp: &Arp,
    owner: &impl Owner,
    frame: &mut [u8],
) -> Option<usize> {
    let asker_is_us =
        owner.answers(port, arp.sender.into()).is_some() || owner.is_own_mac(port, arp.sender_mac);
    if arp.operation != ArpOperation::Request || arp.is_gratuitous() || asker_is_us {
        return None;
    }
    let mac = owner.answers(port, arp.target.into())?;
    arp.reply(mac).frame(arp.sender_mac, ethernet.vlan, frame)
}

/// Writes the answer to a neighbour solicitation into `frame` and returns its length. `None`, with nothing to send,
/// unless it asks for an address that is this node's own now.
///
/// Whoever looks for a duplicate has no address yet; the answer goes to all nodes (RFC 4861 section 7.2.4).
pub fn answer_solicitation(
    port: PortId,
    ethernet: &Ethernet,
    question: &Solicitation,
    owner: &impl Owner,
    frame: &mut [u8],
) -> Option<usize> {
    let asker: Mac = question.mac.unwrap_or(ethernet.source);
    let asker_is_us = owner.answers(port, question.source.into()).is_some() || owner.is_own_mac(port, asker);
    if asker_is_us || asker.is_multicast() {
        return None;
    }
    let mac = owner.answers(port, question.target.into())?;
    let answer = question.answer(mac);
    let to = if answer.destination == ALL_NODES { group_mac(ALL_NODES) } else { asker };
    answer.frame(mac, to, ethernet.vlan, frame)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::{Datagram, ETHER_ARP, ETHER_IPV6, ndp::Advertisement, ndp::Ndp, ndp::solicited_node};
    use proptest::prelude::*;
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    const OWN: Mac = Mac([2, 0, 0, 0, 0, 0x11]);
    const VIRTUAL: Mac = Mac([0, 0, 0x5e, 0, 1, 7]);
    const CLIENT: Mac = Mac([2, 0, 0, 0, 0, 0x99]);
    const PORT: PortId = PortId(3);

    /// 10.0.0.11 and fd00::11 always, 10.0.0.100 and fd00::100 while master; all on port 3 only.
    struct Node {
        master: bool,
    }

    impl Owner for Node {
        fn answers(&self, port: PortId, address: IpAddr) -> Option<Mac> {
            let text = address.to_string();
            match text.as_str() {
                _ if port != PORT => None,
                "10.0.0.11" | "fd00::11" => Some(OWN),
                "10.0.0.100" | "fd00::100" if self.master => Some(VIRTUAL),
                _ => None,
            }
        }

        fn is_own_mac(&self, _: PortId, mac: Mac) -> bool {
            mac == OWN || (self.master && mac == VIRTUAL)
        }
    }

    const MASTER: Node = Node { master: true };
    const BACKUP: Node = Node { master: false };

    fn v4(text: &str) -> Ipv4Addr {
        text.parse().unwrap()
    }

    fn v6(text: &str) -> Ipv6Addr {
        text.parse().unwrap()
    }

    fn arp(node: &Node, port: PortId, arp: &Arp) -> Option<(Ethernet, Arp)> {
        let link = Ethernet { destination: Mac::BROADCAST, source: CLIENT, vlan: 42, ether_type: ETHER_ARP };
        let mut frame = [0xee; 100];
        let length = answer_arp(port, &link, arp, node, &mut frame)?;
        assert_eq!(length, 60);
        let (link, at) = Ethernet::parse(&frame[..length]).unwrap();
        Some((link, Arp::parse(&frame[at..length]).unwrap()))
    }

    #[test]
    fn arp_for_an_own_address_is_answered_with_its_mac() {
        for (target, mac) in [("10.0.0.11", OWN), ("10.0.0.100", VIRTUAL)] {
            let request = Arp::request(CLIENT, v4("10.0.0.9"), v4(target));
            let (link, reply) = arp(&MASTER, PORT, &request).unwrap();
            let expected = Ethernet { destination: CLIENT, source: mac, vlan: 42, ether_type: ETHER_ARP };
            assert_eq!((link, reply), (expected, request.reply(mac)));
            assert_eq!((reply.sender, reply.target, reply.target_mac), (v4(target), v4("10.0.0.9"), CLIENT));
        }
    }

    #[test]
    fn an_arp_probe_for_an_own_address_is_answered() {
        let probe = Arp::request(CLIENT, Ipv4Addr::UNSPECIFIED, v4("10.0.0.100"));
        let (link, reply) = arp(&MASTER, PORT, &probe).unwrap();
        assert_eq!((link.destination, reply.sender_mac), (CLIENT, VIRTUAL));
        assert_eq!((reply.sender, reply.target), (v4("10.0.0.100"), Ipv4Addr::UNSPECIFIED));
    }

    #[test]
    fn other_arp_is_not_answered() {
        let request = Arp::request(CLIENT, v4("10.0.0.9"), v4("10.0.0.100"));
        assert!(arp(&MASTER, PORT, &request).is_some());
        assert_eq!(arp(&BACKUP, PORT, &request), None, "not the owner");
        assert_eq!(arp(&MASTER, PortId(0), &request), None, "another port");
        assert_eq!(arp(&MASTER, PORT, &request.reply(CLIENT)), None, "no question");
        let cases = [
            ("another's address", Arp { target: v4("10.0.0.12"), ..request }),
            ("an announcement of our address", Arp { sender: v4("10.0.0.100"), ..request }),
            ("a question in our name", Arp { sender: v4("10.0.0.11"), ..request }),
            ("our own question, come back", Arp { sender_mac: OWN, ..request }),
        ];
        for (what, request) in cases {
            assert_eq!(arp(&MASTER, PORT, &request), None, "{what}");
        }
        let announcement = Arp::gratuitous(ArpOperation::Request, CLIENT, v4("10.0.0.9"));
        assert_eq!(arp(&MASTER, PORT, &announcement), None);
    }

    fn ndp(node: &Node, port: PortId, question: &Solicitation) -> Option<(Ethernet, Advertisement)> {
        let link = Ethernet { destination: Mac::BROADCAST, source: CLIENT, vlan: 42, ether_type: ETHER_IPV6 };
        let mut frame = [0xee; 100];
        let length = answer_solicitation(port, &link, question, node, &mut frame)?;
        let (link, at) = Ethernet::parse(&frame[..length]).unwrap();
        let ip = &frame[at..length];
        match Ndp::parse(ip, &Datagram::parse(ip, false).unwrap()).unwrap() {
            Ndp::Advertisement(answer) => Some((link, answer)),
            Ndp::Solicitation(_) => panic!("answered with a question"),
        }
    }

    #[test]
    fn a_solicitation_for_an_own_address_is_answered_with_its_mac() {
        for (target, mac) in [("fd00::11", OWN), ("fd00::100", VIRTUAL)] {
            for (probe, said) in [(false, Some(CLIENT)), (true, Some(CLIENT)), (true, None)] {
                let question = Solicitation::new(CLIENT, v6("fd00::9"), v6(target), probe);
                let (link, answer) = ndp(&MASTER, PORT, &Solicitation { mac: said, ..question }).unwrap();
                let expected =
                    Ethernet { destination: CLIENT, source: mac, vlan: 42, ether_type: ETHER_IPV6 };
                assert_eq!((link, answer), (expected, question.answer(mac)));
                assert_eq!((answer.source, answer.target, answer.mac), (v6(target), v6(target), Some(mac)));
                assert!(answer.solicited && answer.overrides && answer.destination == v6("fd00::9"));
            }
        }
    }

    #[test]
    fn a_search_for_a_duplicate_is_answered_to_all_nodes() {
        let target = v6("fd00::100");
        let question = Solicitation {
            source: Ipv6Addr::UNSPECIFIED,
            destination: solicited_node(target),
            target,
            mac: None,
        };
        let (link, answer) = ndp(&MASTER, PORT, &question).unwrap();
        assert_eq!(link.destination, "33:33:00:00:00:01".parse().unwrap());
        assert_eq!((answer.destination, answer.solicited, answer.mac), (ALL_NODES, false, Some(VIRTUAL)));
        assert_eq!(ndp(&BACKUP, PORT, &question), None);
    }

    #[test]
    fn other_solicitations_are_not_answered() {
        let question = Solicitation::new(CLIENT, v6("fd00::9"), v6("fd00::100"), false);
        assert!(ndp(&MASTER, PORT, &question).is_some());
        assert_eq!(ndp(&BACKUP, PORT, &question), None, "not the owner");
        assert_eq!(ndp(&MASTER, PortId(0), &question), None, "another port");
        let cases = [
            ("another's address", Solicitation { target: v6("fd00::12"), ..question }),
            ("a question in our name", Solicitation { source: v6("fd00::11"), ..question }),
            ("our own question, come back", Solicitation { mac: Some(OWN), ..question }),
        ];
        for (what, question) in cases {
            assert_eq!(ndp(&MASTER, PORT, &question), None, "{what}");
        }
    }

    #[test]
    fn no_room_no_answer() {
        let link = Ethernet { destination: OWN, source: CLIENT, vlan: 0, ether_type: ETHER_ARP };
        let request = Arp::request(CLIENT, v4("10.0.0.9"), v4("10.0.0.11"));
        assert_eq!(answer_arp(PORT, &link, &request, &MASTER, &mut [0; 59]), None);
        let question = Solicitation::new(CLIENT, v6("fd00::9"), v6("fd00::11"), false);
        assert_eq!(answer_solicitation(PORT, &link, &question, &MASTER, &mut [0; 85]), None);
    }

    proptest! {
        #[test]
        fn only_what_is_owned_is_answered(last in 0u8..=255, sender in 0u8..=255, master: bool, bits in 0u8..4) {
            let node = Node { master };
            let request = Arp {
                operation: if bits & 1 == 0 { ArpOperation::Request } else { ArpOperation::Reply },
                ..Arp::request(if bits & 2 == 0 { CLIENT } else { OWN }, Ipv4Addr::new(10, 0, 0, sender), Ipv4Addr::new(10, 0, 0, last))
            };
            let owns = |last| node.answers(PORT, Ipv4Addr::new(10, 0, 0, last).into());
            let expected = (bits == 0 && sender != last && owns(sender).is_none()).then(|| owns(last)).flatten();
            prop_assert_eq!(arp(&node, PORT, &request).map(|(_, reply)| reply.sender_mac), expected);
        }
    }
}
