//! Frames that are not for this port, cut, damaged, or lie about themselves.

use super::{AS_IT_IS, Case, IP, Spoil, all_die, dies, ping4, ping6, sctp4, syn4, syn6, udp4, udp6};
use crate::{
    counts::Counts,
    frame::{Body, DESTINATION_OPTIONS, FRAGMENT, Frame, HOP_BY_HOP, ROUTING, ping},
    places::{BACK, FRONT, Legs, plan_on, world},
    world::own_mac,
};
use hitless::{
    port::Checksum,
    types::{DropReason, Mac},
};

pub(super) const CASES: &[Case] = &[
    Case {
        reason: DropReason::ForeignMac,
        name: "to another station",
        run: || {
            let mut world = world();
            let mut moved = Counts::none();
            for to in [Mac([2, 0, 0, 0, 0, 0x99]), Mac::default(), own_mac(BACK)] {
                let frame = world.on(FRONT, syn4()).with(|frame| frame.to = to).bytes();
                moved = moved.plus(&dies(&mut world, FRONT, &frame, DropReason::ForeignMac));
            }
            moved
        },
    },
    Case {
        reason: DropReason::WrongVlan,
        name: "a tag on a port without one",
        run: || {
            let mut world = world();
            let frame = world.on(FRONT, syn4()).with(|frame| frame.vlan = Some(5)).bytes();
            dies(&mut world, FRONT, &frame, DropReason::WrongVlan)
        },
    },
    Case {
        reason: DropReason::WrongVlan,
        name: "no tag, another's, or a priority alone, on a port with one",
        run: || {
            let mut world = plan_on(Legs { vlans: [5, 0], ..Legs::default() }).build();
            let mut moved = Counts::none();
            for vlan in [None, Some(6), Some(0), Some(4095)] {
                let frame = world.on(FRONT, syn4()).with(|frame| frame.vlan = vlan).bytes();
                moved = moved.plus(&dies(&mut world, FRONT, &frame, DropReason::WrongVlan));
            }
            moved
        },
    },
    Case {
        reason: DropReason::UnknownEtherType,
        name: "spanning tree, LLDP, PPPoE, two tags",
        run: || {
            let mut world = plan_on(Legs { vlans: [0, 5], ..Legs::default() }).build();
            let mut moved = Counts::none();
            for (kind, group) in
                [(0x0026u16, true), (0x88cc, true), (0x8864, false), (0x88a8, false), (0, false)]
            {
                let mut frame = world.on(FRONT, syn4()).bytes();
                frame[12..14].copy_from_slice(&kind.to_be_bytes());
                frame[0] |= u8::from(group);
                moved = moved.plus(&dies(&mut world, FRONT, &frame, DropReason::UnknownEtherType));
            }
            let mut twice = world.on(BACK, syn4()).bytes();
            twice[16..18].copy_from_slice(&[0x81, 0]);
            moved.plus(&dies(&mut world, BACK, &twice, DropReason::UnknownEtherType))
        },
    },
    Case {
        reason: DropReason::Truncated,
        name: "cut at every byte",
        run: || {
            let mut world = world();
            let mut moved = Counts::none();
            let whole = [syn4(), syn6(), udp4(), udp6(), sctp4(), ping4(), ping6()]
                .map(|frame| world.on(FRONT, frame));
            let optioned = whole[0].clone().with(|frame| frame.options = vec![1; 8]);
            let extended =
                whole[1].clone().with(|frame| frame.extensions = vec![(HOP_BY_HOP, vec![1, 4, 0, 0, 0, 0])]);
            for frame in whole.iter().chain([&optioned, &extended]) {
                let bytes = frame.bytes();
                for length in 0..bytes.len() {
                    moved = moved.plus(&dies(&mut world, FRONT, &bytes[..length], DropReason::Truncated));
                }
            }
            moved
        },
    },
    Case {
        reason: DropReason::Truncated,
        name: "a tag cut at every byte",
        run: || {
            let mut world = plan_on(Legs { vlans: [5, 0], ..Legs::default() }).build();
            let frame = world.on(FRONT, udp4()).bytes();
            let cut = |length: usize| dies(&mut world, FRONT, &frame[..length], DropReason::Truncated);
            (0..frame.len()).map(cut).fold(Counts::none(), |sum, moved| sum.plus(&moved))
        },
    },
    Case {
        reason: DropReason::Truncated,
        name: "an IP packet too short for its transport header",
        run: || {
            let short = |frame: Frame, protocol: u8, bytes: usize| {
                (frame.with(|frame| frame.body = Body::Raw { protocol, payload: vec![0; bytes] }), AS_IT_IS)
            };
            let with_options = |frame: Frame| frame.with(|frame| frame.options = vec![1; 4]);
            all_die(
                DropReason::Truncated,
                [
                    short(syn4(), 6, 0),
                    short(syn4(), 6, 19),
                    short(syn6(), 6, 19),
                    short(udp4(), 17, 0),
                    short(udp4(), 17, 7),
                    short(udp6(), 17, 7),
                    short(sctp4(), 132, 11),
                    short(sctp4(), 132, 15),
                    short(ping4(), 1, 7),
                    short(ping6(), 58, 7),
                    short(with_options(syn4()), 6, 19),
                    short(with_options(udp4()), 17, 7),
                    short(with_options(sctp4()), 132, 11),
                    short(with_options(sctp4()), 132, 15),
                ],
            )
        },
    },
    Case {
        reason: DropReason::MalformedHeader,
        name: "versions and lengths that lie",
        run: || {
            all_die(
                DropReason::MalformedHeader,
                [
                    (syn4(), (|frame| frame[IP] = 0x55) as Spoil),
                    (syn4(), |frame| frame[IP] = 0x05),
                    (syn4(), |frame| frame[IP] = 0x65),
                    (syn4(), |frame| frame[IP] = 0x44),
                    (syn4(), |frame| frame[IP] = 0x40),
                    (syn4(), |frame| {
                        // Shorter than its own header with options.
                        frame[IP] = 0x46;
                        frame[IP + 2..IP + 4].copy_from_slice(&[0, 23]);
                        seal(frame);
                    }),
                    (syn6(), |frame| frame[IP] = 0x45),
                    (syn6(), |frame| frame[IP] = 0xf0),
                    (syn6(), |frame| frame[IP] = 0x00),
                ],
            )
        },
    },
    Case {
        reason: DropReason::MalformedHeader,
        name: "the other family's EtherType",
        run: || {
            all_die(
                DropReason::MalformedHeader,
                [
                    (syn4(), (|frame| frame[12..14].copy_from_slice(&[0x86, 0xdd])) as Spoil),
                    (syn6(), |frame| frame[12..14].copy_from_slice(&[0x08, 0x00])),
                    // In a short packet, which is parsed at leisure.
                    (ping4().carrying(&[]), |frame| frame[12..14].copy_from_slice(&[0x86, 0xdd])),
                ],
            )
        },
    },
    Case {
        reason: DropReason::MalformedHeader,
        name: "transport headers that lie",
        run: || {
            const TRANSPORT: usize = IP + 20;
            const TRANSPORT6: usize = IP + 40;
            let optioned = syn4().with(|frame| frame.options = vec![1; 4]);
            all_die(
                DropReason::MalformedHeader,
                [
                    (syn4(), (|frame| frame[TRANSPORT + 12] = 0x40) as Spoil),
                    (syn4(), |frame| frame[TRANSPORT + 12] = 0x60),
                    (syn4(), |frame| frame[TRANSPORT + 12] = 0x00),
                    (syn6(), |frame| frame[TRANSPORT6 + 12] = 0xf0),
                    (optioned.clone(), |frame| frame[TRANSPORT + 4 + 12] = 0x40),
                    (optioned, |frame| frame[TRANSPORT + 4 + 12] = 0xf0),
                    (udp4(), |frame| frame[TRANSPORT + 4..TRANSPORT + 6].copy_from_slice(&[0, 7])),
                    (udp4(), |frame| frame[TRANSPORT + 4..TRANSPORT + 6].copy_from_slice(&[0, 0])),
                    (udp4(), |frame| frame[TRANSPORT + 4..TRANSPORT + 6].copy_from_slice(&[0, 17])),
                    (udp4(), |frame| frame[TRANSPORT + 4..TRANSPORT + 6].copy_from_slice(&[0xff, 0xff])),
                    (udp6(), |frame| frame[TRANSPORT6 + 4..TRANSPORT6 + 6].copy_from_slice(&[0, 17])),
                ],
            )
        },
    },
    Case {
        reason: DropReason::MalformedHeader,
        name: "source routes",
        run: || {
            let routed = |options: &[u8]| {
                let options = options.to_vec();
                (syn4().with(move |frame| frame.options = options), AS_IT_IS)
            };
            all_die(
                DropReason::MalformedHeader,
                [
                    routed(&[131, 7, 4, 10, 0, 0, 1, 0]),
                    routed(&[137, 7, 4, 10, 0, 0, 1, 0]),
                    routed(&[1, 1, 7, 7, 4, 0, 0, 0, 0, 131, 3, 4]),
                    (ping4().with(|frame| frame.options = vec![137, 3, 4, 0]), AS_IT_IS),
                ],
            )
        },
    },
    Case {
        reason: DropReason::MalformedHeader,
        name: "chains of extension headers that cannot be",
        run: || {
            let chain = |kinds: &[u8], segments_left: u8| {
                let header = |kind: &u8| {
                    (*kind, vec![if *kind == ROUTING { 4 } else { 1 }, segments_left, 0, 0, 0, 0])
                };
                let chain = kinds.iter().map(header).collect();
                (syn6().with(|frame| frame.extensions = chain), AS_IT_IS)
            };
            all_die(
                DropReason::MalformedHeader,
                [
                    chain(&[DESTINATION_OPTIONS; 9], 4),
                    chain(&[DESTINATION_OPTIONS, HOP_BY_HOP], 4),
                    chain(&[ROUTING], 1),
                    // A routing header of type 0 with segments left.
                    (
                        syn6().with(|frame| frame.extensions = vec![(ROUTING, vec![0, 3, 0, 0, 0, 0])]),
                        AS_IT_IS,
                    ),
                    (
                        syn6().with(|frame| {
                            frame.extensions = vec![(FRAGMENT, vec![0; 6]), (FRAGMENT, vec![0; 6])];
                        }),
                        AS_IT_IS,
                    ),
                ],
            )
        },
    },
    Case {
        reason: DropReason::BadIpChecksum,
        name: "every bit of an IPv4 header",
        run: || {
            let mut world = world();
            let mut moved = Counts::none();
            for frame in [syn4(), syn4().with(|frame| frame.options = vec![1; 4])] {
                let frame = world.on(FRONT, frame).bytes();
                // Version and lengths are looked at before the checksum.
                for bit in (8..(frame.len() - 14 - 20) * 8).filter(|bit| !(16..32).contains(bit)) {
                    let mut damaged = frame.clone();
                    damaged[IP + bit / 8] ^= 1 << (bit % 8);
                    moved = moved.plus(&dies(&mut world, FRONT, &damaged, DropReason::BadIpChecksum));
                }
            }
            moved
        },
    },
    Case {
        reason: DropReason::BadIpChecksum,
        name: "the NIC says so",
        run: || nic_says(syn4(), Checksum::Bad, Checksum::Unknown, DropReason::BadIpChecksum),
    },
    Case {
        reason: DropReason::BadL4Checksum,
        name: "the NIC says so",
        run: || {
            nic_says(syn4(), Checksum::Good, Checksum::Bad, DropReason::BadL4Checksum).plus(&nic_says(
                udp6(),
                Checksum::Unknown,
                Checksum::Bad,
                DropReason::BadL4Checksum,
            ))
        },
    },
    Case {
        reason: DropReason::BadL4Checksum,
        name: "a ping that was damaged",
        run: || {
            let damage: Spoil = |frame| *frame.last_mut().unwrap() ^= 1;
            let to_node = [ping("198.51.100.7", "10.77.0.11"), ping("2001:db8::7", "fd77::11")];
            let all = [ping4(), ping6()].into_iter().chain(to_node);
            all_die(DropReason::BadL4Checksum, all.map(|frame| (frame, damage)))
        },
    },
];

/// A packet of which the NIC says something dies.
#[track_caller]
fn nic_says(frame: Frame, ip: Checksum, l4: Checksum, reason: DropReason) -> Counts {
    let mut world = world();
    let frame = world.on(FRONT, frame).bytes();
    let packet = world.packet(FRONT, &frame).with_checksums(ip, l4);
    let out = world.offer_packet(FRONT, packet);
    assert_eq!(out.nothing().moved, Counts::lost(frame.len(), reason));
    out.moved
}

/// Gives an IPv4 header its checksum back after a change.
fn seal(frame: &mut [u8]) {
    let header = usize::from(frame[IP] & 15).max(5) * 4;
    frame[IP + 10..IP + 12].fill(0);
    let words =
        frame[IP..IP + header].chunks(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    frame[IP + 10..IP + 12].copy_from_slice(&(!sum as u16).to_be_bytes());
}
