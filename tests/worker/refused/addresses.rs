//! Packets from or to addresses that will not do, at the end of their way, or of no protocol that is balanced.

use super::{AS_IT_IS, Case, Spoil, all_die, ping4, ping6, sctp4, syn4, syn6, udp4, udp6};
use crate::{
    counts::Counts,
    frame::{ACK, Body, Frame, HOP_BY_HOP, SYN, at, icmp, ip, ping, tcp, udp},
    places::{FRONT, world},
};
use hitless::types::{DropReason, Mac};

pub(super) const CASES: &[Case] = &[
    Case {
        reason: DropReason::MartianSource,
        name: "sources nobody may send from",
        run: || {
            let v4 =
                ["0.0.0.0", "0.1.2.3", "127.0.0.1", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255"];
            let v6 = ["::", "::1", "ff02::1", "::ffff:1.2.3.4"];
            all_die(DropReason::MartianSource, from_each(&v4, &v6))
        },
    },
    Case {
        reason: DropReason::MartianSource,
        name: "this node's own addresses",
        run: || {
            let v4 = ["10.77.0.100", "10.88.0.40", "10.77.0.11", "10.88.0.11"];
            let v6 = ["fd77::100", "fd88::40", "fd77::11", "fd88::11"];
            all_die(DropReason::MartianSource, from_each(&v4, &v6))
        },
    },
    Case {
        reason: DropReason::MartianSource,
        name: "pings of the node from such sources",
        run: || {
            let v4 = ["127.0.0.1", "224.0.0.1", "255.255.255.255", "10.77.0.11", "10.77.0.100"];
            let v6 = ["::", "::1", "ff02::1", "fd77::11", "fd77::100"];
            let v4 = v4.map(|source| (ping(source, "10.77.0.11"), AS_IT_IS));
            let v6 = v6.map(|source| (ping(source, "fd77::11"), AS_IT_IS));
            all_die(DropReason::MartianSource, v4.into_iter().chain(v6))
        },
    },
    Case {
        reason: DropReason::MartianSource,
        name: "frames that a group sent",
        run: || {
            let group = |frame: Frame| (frame.with(|frame| frame.from = Mac::BROADCAST), AS_IT_IS);
            let ends = syn4().with(|frame| frame.ttl = 1);
            all_die(DropReason::MartianSource, [ping4(), ping6(), ends].map(group))
        },
    },
    Case {
        reason: DropReason::TtlExpired,
        name: "the last hop",
        run: || {
            let mut world = world();
            let mut moved = Counts::none();
            for frame in [syn4(), syn6(), udp4(), udp6(), sctp4()] {
                for ttl in [0, 1] {
                    let frame = world.on(FRONT, frame.clone()).with(|frame| frame.ttl = ttl).bytes();
                    let out = world.offer(FRONT, &frame);
                    out.only(FRONT);
                    let expected = Counts::lost(frame.len(), DropReason::TtlExpired).and("icmp_errors", 1);
                    assert_eq!(out.moved, expected);
                    moved = moved.plus(&out.moved);
                }
            }
            moved
        },
    },
    Case {
        reason: DropReason::NotOurs,
        name: "another's address",
        run: || {
            all_die(
                DropReason::NotOurs,
                [
                    (tcp("198.51.100.7:1000", "10.77.0.101:80", SYN), AS_IT_IS),
                    (udp("198.51.100.7:1000", "203.0.113.1:53"), AS_IT_IS),
                    (tcp("[2001:db8::7]:1000", "[fd77::101]:80", SYN), AS_IT_IS),
                    (ping("198.51.100.7", "10.77.0.101"), AS_IT_IS),
                    (
                        syn4().with(|frame| (frame.destination, frame.ttl) = (at("10.77.0.101:80"), 1)),
                        AS_IT_IS,
                    ),
                ],
            )
        },
    },
    Case {
        reason: DropReason::NotOurs,
        name: "the node's own address, without a kernel interface",
        run: || {
            all_die(
                DropReason::NotOurs,
                [
                    (tcp("198.51.100.7:1000", "10.77.0.11:22", SYN), AS_IT_IS),
                    (tcp("[2001:db8::7]:1000", "[fd77::11]:22", SYN), AS_IT_IS),
                    (udp("198.51.100.7:1000", "10.77.0.11:53"), AS_IT_IS),
                    (ping("198.51.100.7", "10.77.0.11").with(|frame| set_kind(frame, 0)), AS_IT_IS),
                    (tcp("198.51.100.7:1000", "10.77.0.11:3784", SYN), AS_IT_IS),
                ],
            )
        },
    },
    Case {
        reason: DropReason::NotOurs,
        name: "groups",
        run: || {
            let grouped: Spoil = |frame| frame[0] |= 1;
            all_die(
                DropReason::NotOurs,
                [
                    (udp("198.51.100.7:1000", "224.0.0.18:53"), grouped),
                    (udp("198.51.100.7:1000", "255.255.255.255:67"), grouped),
                    (udp("198.51.100.7:1000", "10.77.0.255:137"), grouped),
                    // A unicast packet for a VIP in a frame for everybody is nobody's (RFC 1122 section 3.3.6).
                    (syn4(), grouped),
                    (ping4(), grouped),
                    (ping6(), grouped),
                    (udp("[2001:db8::7]:1000", "[ff02::1]:53"), grouped),
                    (icmp(ip("fe80::1"), ip("ff02::1"), 134, 0, 0, &[0; 8]), grouped),
                    (udp("198.51.100.7:1000", "224.0.0.18:53"), AS_IT_IS),
                    (udp("[2001:db8::7]:1000", "[ff02::1]:53"), AS_IT_IS),
                ],
            )
        },
    },
    Case {
        reason: DropReason::UnsupportedProtocol,
        name: "GRE, ESP, AH, OSPF, nothing",
        run: || {
            let other = |frame: Frame, protocol: u8| {
                (frame.with(|frame| frame.body = Body::Raw { protocol, payload: vec![0; 40] }), AS_IT_IS)
            };
            all_die(
                DropReason::UnsupportedProtocol,
                [
                    other(syn4(), 47),
                    other(syn4(), 50),
                    other(syn4(), 89),
                    other(syn4(), 0),
                    // The other family's ICMP.
                    other(syn4(), 58),
                    other(syn6(), 1),
                    other(syn6(), 50),
                    other(syn6(), 51),
                    other(syn6(), 59),
                    other(
                        syn6().with(|frame| frame.extensions = vec![(HOP_BY_HOP, vec![1, 4, 0, 0, 0, 0])]),
                        47,
                    ),
                ],
            )
        },
    },
];

/// Packets that would be taken but for their source: opening, with options, at the end of their way, pings, errors.
fn from_each(v4: &[&str], v6: &[&str]) -> Vec<(Frame, Spoil)> {
    let of = |source: &str, frame: Frame| {
        let mut frame = frame;
        frame.source.set_ip(ip(source));
        (frame, AS_IT_IS)
    };
    let mut all = Vec::new();
    for source in v4 {
        let optioned = syn4().with(|frame| frame.options = vec![1; 4]);
        let ends = syn4().with(|frame| frame.ttl = 1);
        let quoted = tcp("10.77.0.100:80", "198.51.100.7:1000", ACK).ip();
        let error = icmp(ip("203.0.113.9"), ip("10.77.0.100"), 3, 4, 1400, &quoted);
        let first = udp4().carrying(&[1; 64]).in_pieces(5, &[32])[0].clone();
        all.extend(
            [syn4(), udp4(), sctp4(), optioned, ends, ping4(), error, first].map(|frame| of(source, frame)),
        );
    }
    for source in v6 {
        let ends = udp6().with(|frame| frame.ttl = 1);
        let first = udp6().carrying(&[1; 64]).in_pieces(5, &[32])[0].clone();
        all.extend([syn6(), udp6(), ends, ping6(), first].map(|frame| of(source, frame)));
    }
    all
}

/// Makes another ICMP message of one.
fn set_kind(frame: &mut Frame, to: u8) {
    let Body::Icmp { kind, .. } = &mut frame.body else { unreachable!() };
    *kind = to;
}
