//! Fragments: the first decides, the later ones follow it, and both get an identification of this node's.

use super::{
    counts::Counts,
    frame::{ACK, Body, DESTINATION_OPTIONS, Frame, HOP_BY_HOP, PSH, Piece, ROUTING, mac_of, udp},
    places::{BACK, FAMILIES, FRONT, Family, Legs, Session, open, plan_on, world},
    world::World,
};
use hitless::types::{DropReason, Protocol};

const V4: Family = FAMILIES[0];

/// Which way a datagram goes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    In,
    Out,
}

impl Way {
    fn ports(self) -> (usize, usize) {
        match self {
            Self::In => (FRONT, BACK),
            Self::Out => (BACK, FRONT),
        }
    }

    fn arriving(self, session: &Session, world: &World, body: Body) -> Frame {
        match self {
            Self::In => session.inbound(world, body),
            Self::Out => session.outbound(world, body),
        }
    }

    fn leaving(self, session: &Session, world: &World, frame: &Frame) -> Frame {
        match self {
            Self::In => session.at_backend(world, frame),
            Self::Out => session.at_client(world, frame),
        }
    }
}

fn datagram(protocol: Protocol, bytes: usize) -> Body {
    let payload = (0..bytes).map(|n| (n * 7) as u8).collect();
    match protocol {
        Protocol::Tcp => Body::Tcp { flags: ACK | PSH, options: Vec::new(), payload },
        _ => Body::Udp { checksum: true, payload },
    }
}

/// The identification of a fragment that left.
fn id_of(frame: &[u8]) -> u32 {
    let at = if frame[12..14] == [0x81, 0] { 18 } else { 14 };
    let ip = &frame[at..];
    if ip[0] >> 4 == 4 {
        return u16::from_be_bytes([ip[4], ip[5]]).into();
    }
    let (mut next, mut at) = (ip[6], 40);
    while next != 44 {
        assert!(matches!(next, 0 | 43 | 60), "no fragment header");
        next = ip[at];
        at += (usize::from(ip[at + 1]) + 1) * 8;
    }
    u32::from_be_bytes(ip[at + 4..at + 8].try_into().unwrap())
}

/// Sends a datagram cut at `cuts`, its pieces in `order`; all of them must come through, translated as the whole
/// would be, each counted. Returns their identification.
#[track_caller]
fn passes(
    world: &mut World,
    session: &Session,
    way: Way,
    whole: &Frame,
    cuts: &[usize],
    order: &[usize],
) -> u32 {
    let (port, out_port) = way.ports();
    let arriving = whole.in_pieces(whole.id.into(), cuts);
    let mut id = None;
    for &at in order {
        let given = arriving[at].bytes();
        let out = world.offer(port, &given);
        let sent = out.only(out_port);
        let id = *id.get_or_insert_with(|| id_of(sent));
        let expected = way.leaving(session, world, whole).in_pieces(id, cuts)[at].bytes();
        assert_eq!(sent, expected, "piece {at}, {way:?}");
        let counted = Counts::forwarded(given.len(), sent.len()).for_backend(arriving[at].ip().len());
        assert_eq!(out.moved, counted, "piece {at}, {way:?}");
    }
    id.unwrap()
}

fn all_ways(legs: Legs) {
    let mut world = plan_on(legs).build();
    let mut client_port = 1000;
    for family in FAMILIES {
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            client_port += 1;
            let session = open(&mut world, family, protocol, client_port);
            for way in [Way::In, Way::Out] {
                for (bytes, cuts, order) in [
                    (1000, &[400][..], &[0, 1][..]),
                    (999, &[24], &[0, 1]),
                    (2000, &[800, 1600], &[0, 1, 2]),
                    (2000, &[800, 1600], &[0, 2, 1]),
                    (2000, &[800, 1600], &[0, 1, 1, 0, 2]),
                    (65, &[24, 32, 40, 48, 56, 64], &[0, 6, 5, 4, 3, 2, 1]),
                ] {
                    let whole = way.arriving(&session, &world, datagram(protocol, bytes));
                    let optioned = whole.clone().with(|frame| match family.ipv4 {
                        true => frame.options = vec![148, 4, 0, 0],
                        false => {
                            let padded = vec![1, 4, 0, 0, 0, 0];
                            frame.extensions = vec![
                                (HOP_BY_HOP, padded.clone()),
                                (DESTINATION_OPTIONS, padded),
                                (ROUTING, vec![4, 0, 0, 0, 0, 0]),
                            ];
                        }
                    });
                    for whole in [whole, optioned] {
                        passes(&mut world, &session, way, &whole, cuts, order);
                        // The next datagram finds the table empty.
                        world.let_pass(5_000);
                    }
                }
            }
        }
    }
    world.assert_balanced();
    assert_eq!(world.leaked(), 0);
}

#[test]
fn fragments_pass_both_ways_in_any_order_behind_the_first() {
    all_ways(Legs::default());
}

#[test]
fn fragments_pass_between_vlans() {
    all_ways(Legs { vlans: [0, 7], ..Legs::default() });
    all_ways(Legs { vlans: [7, 0], ..Legs::default() });
    all_ways(Legs { vlans: [7, 8], ..Legs::default() });
}

#[test]
fn a_datagram_of_32000_bytes_passes() {
    let mut world = world();
    for family in FAMILIES {
        let session = open(&mut world, family, Protocol::Udp, 1000);
        let whole = session.inbound(&world, datagram(Protocol::Udp, 32_000));
        let cuts: Vec<usize> = (1..).map(|n| n * 1400).take_while(|cut| *cut < 32_008).collect();
        let order: Vec<usize> = (0..=cuts.len()).collect();
        passes(&mut world, &session, Way::In, &whole, &cuts, &order);
    }
}

#[test]
fn a_datagram_without_a_checksum_stays_without() {
    let mut world = world();
    let session = open(&mut world, V4, Protocol::Udp, 1000);
    let whole = session.inbound(&world, Body::Udp { checksum: false, payload: vec![1; 100] });
    passes(&mut world, &session, Way::In, &whole, &[48], &[0, 1]);
}

/// A datagram may open its session.
#[test]
fn a_first_fragment_opens_a_session() {
    let mut world = world();
    for family in FAMILIES {
        let whole = family.opening(&world, Protocol::Udp, 1000).carrying(&[1; 100]);
        let pieces = whole.in_pieces(5, &[48]);
        let out = world.offer(FRONT, &pieces[0].bytes());
        let sent = out.only(BACK).to_vec();
        let at = 14 + family.header() + if family.ipv4 { 0 } else { 8 };
        let local = u16::from_be_bytes([sent[at], sent[at + 1]]);
        let session = Session {
            family,
            client: whole.source,
            vip: whole.destination,
            local: std::net::SocketAddr::new(family.ip(family.local), local),
            backend: family.backend_at(Protocol::Udp),
        };
        let expected = session.at_backend(&world, &whole).in_pieces(id_of(&sent), &[48]);
        assert_eq!(sent, expected[0].bytes());
        let counted = Counts::forwarded(pieces[0].bytes().len(), sent.len());
        assert_eq!(out.moved, counted.for_backend(pieces[0].ip().len()).opened(family.ipv4));
        assert_eq!(world.offer(FRONT, &pieces[1].bytes()).only(BACK), expected[1].bytes());
    }
}

#[test]
fn what_comes_before_the_first_is_refused_and_the_rest_passes() {
    let mut world = world();
    for family in FAMILIES {
        let session = open(&mut world, family, Protocol::Udp, 1000);
        let whole = session.inbound(&world, datagram(Protocol::Udp, 2000));
        let early = whole.in_pieces(whole.id.into(), &[800, 1600])[1].bytes();
        let out = world.offer(FRONT, &early);
        assert_eq!(out.nothing().moved, Counts::lost(early.len(), DropReason::FragmentUnmatched));
        passes(&mut world, &session, Way::In, &whole, &[800, 1600], &[0, 2]);
    }
}

/// Fragments that overlap are the receiver's to judge: they go the way of the first, as they are.
#[test]
fn overlapping_fragments_are_passed_on_as_they_are() {
    let mut world = world();
    for family in FAMILIES {
        let session = open(&mut world, family, Protocol::Udp, 1000);
        let whole = session.inbound(&world, datagram(Protocol::Udp, 200));
        let first = whole.in_pieces(7, &[104])[0].bytes();
        let out = world.offer(FRONT, &first);
        let id = id_of(out.only(BACK));
        for (offset, more) in [(8, true), (96, true), (48, false), (104, false)] {
            let overlapping = |frame: &Frame, id: u32| {
                let body = Body::Raw { protocol: 17, payload: vec![9; 64] };
                frame.clone().with(|frame| {
                    (frame.body, frame.piece) = (body, Some(Piece { id, offset, more }));
                })
            };
            let out = world.offer(FRONT, &overlapping(&whole, 7).bytes());
            let expected = overlapping(&session.at_backend(&world, &whole), id);
            assert_eq!(out.only(BACK), expected.bytes(), "{offset} {more}");
        }
    }
}

/// Two clients may choose the same identification; at the backend they come from one address.
#[test]
fn datagrams_of_two_clients_do_not_mix() {
    let mut world = world();
    for family in FAMILIES {
        let gateway = mac_of(family.ip(family.gateway));
        let other = if family.ipv4 { "198.51.100.8:1000" } else { "[2001:db8::8]:1000" };
        let one = open(&mut world, family, Protocol::Udp, 1000);
        let frame =
            world.on(FRONT, udp(other, &family.service(Protocol::Udp)).with(|frame| frame.from = gateway));
        let two = super::places::open_with(&mut world, family, &frame).0;
        let wholes = [one, two].map(|session| session.inbound(&world, datagram(Protocol::Udp, 100)));
        let mut ids = Vec::new();
        let mut sent = Vec::new();
        for piece in 0..2 {
            for whole in &wholes {
                let out = world.offer(FRONT, &whole.in_pieces(0x55, &[48])[piece].bytes());
                ids.push(id_of(out.only(BACK)));
                sent.push(out.only(BACK).to_vec());
            }
        }
        assert_eq!(ids[..2], ids[2..], "a datagram keeps its identification");
        assert_ne!(ids[0], ids[1]);
        for (at, session) in [one, two].iter().enumerate() {
            let expected = session.at_backend(&world, &wholes[at]).in_pieces(ids[at], &[48]);
            assert_eq!([&sent[at], &sent[at + 2]], [&expected[0].bytes(), &expected[1].bytes()]);
        }
    }
}

/// A client's datagrams have identifications of their own, one after another.
#[test]
fn no_identification_is_used_twice_in_a_row() {
    let mut world = world();
    for family in FAMILIES {
        let session = open(&mut world, family, Protocol::Udp, 1000);
        let mut seen = std::collections::HashSet::new();
        for id in 0..96 {
            let whole = session.inbound(&world, datagram(Protocol::Udp, 100)).with(|frame| frame.id = id);
            assert!(seen.insert(passes(&mut world, &session, Way::In, &whole, &[48], &[0, 1])));
            if id % 8 == 7 {
                world.let_pass(5_000);
            }
        }
    }
}

#[test]
fn the_first_is_remembered_for_five_seconds() {
    let mut world = world();
    let session = open(&mut world, V4, Protocol::Udp, 1000);
    let whole = session.inbound(&world, datagram(Protocol::Udp, 2000));
    let pieces = whole.in_pieces(7, &[800, 1600]).map_bytes();
    world.offer(FRONT, &pieces[0]).only(BACK);
    world.now = world.now + hitless::types::Duration::from_millis(4_990);
    world.offer(FRONT, &pieces[1]).only(BACK);
    world.now = world.now + hitless::types::Duration::from_millis(10);
    let out = world.offer(FRONT, &pieces[2]);
    assert_eq!(out.nothing().moved, Counts::lost(pieces[2].len(), DropReason::FragmentUnmatched));
}

/// The table's limit is the limit of datagrams at a time: those that are followed go on, others wait five seconds.
#[test]
fn a_full_table_refuses_new_datagrams_and_spares_the_old() {
    let mut world = world();
    let session = open(&mut world, V4, Protocol::Udp, 1000);
    let whole = session.inbound(&world, datagram(Protocol::Udp, 100));
    let pieces = |id: u32| whole.in_pieces(id, &[48]).map_bytes();
    for id in 0..8 {
        world.offer(FRONT, &pieces(id)[0]).only(BACK);
    }
    for (piece, reason) in [(0, DropReason::FragmentTableFull), (1, DropReason::FragmentUnmatched)] {
        let frame = &pieces(8)[piece];
        assert_eq!(world.offer(FRONT, frame).nothing().moved, Counts::lost(frame.len(), reason));
    }
    for id in 0..8 {
        world.offer(FRONT, &pieces(id)[1]).only(BACK);
    }
    world.pass_time(5_000);
    world.offer(FRONT, &pieces(8)[0]).only(BACK);
    world.offer(FRONT, &pieces(8)[1]).only(BACK);
}

/// A flood of first fragments opens no sessions that nobody could use.
#[test]
fn a_full_table_opens_no_sessions() {
    let mut world = world();
    let session = open(&mut world, V4, Protocol::Udp, 1000);
    let whole = session.inbound(&world, datagram(Protocol::Udp, 100));
    for id in 0..8 {
        world.offer(FRONT, &whole.in_pieces(id, &[48])[0].bytes()).only(BACK);
    }
    let new = V4.opening(&world, Protocol::Udp, 2000).carrying(&[1; 100]).in_pieces(9, &[48])[0].bytes();
    let out = world.offer(FRONT, &new);
    assert_eq!(out.nothing().moved, Counts::lost(new.len(), DropReason::FragmentTableFull));
}

/// Places that cannot be.
#[test]
fn impossible_places_are_malformed() {
    let mut world = world();
    for family in FAMILIES {
        let session = open(&mut world, family, Protocol::Udp, 1000);
        let whole = session.inbound(&world, datagram(Protocol::Udp, 100));
        world.offer(FRONT, &whole.in_pieces(7, &[48])[0].bytes()).only(BACK);
        for (offset, more, bytes) in [
            (48, true, 63),     // not a multiple of eight, though more follow
            (48, false, 0),     // nothing
            (48, true, 0),      // nothing, and more
            (0, true, 0),       // a first without anything
            (0, true, 12),      // an odd first
            (65_528, false, 9), // beyond the largest datagram
            (65_528, true, 8),
        ] {
            let frame = whole.clone().with(|frame| {
                frame.body = Body::Raw { protocol: 17, payload: vec![0; bytes] };
                frame.piece = Some(Piece { id: 7, offset, more });
            });
            let frame = frame.bytes();
            let out = world.offer(FRONT, &frame);
            let expected = Counts::lost(frame.len(), DropReason::MalformedHeader);
            assert_eq!(out.nothing().moved, expected, "{offset} {more} {bytes}");
        }
    }
}

/// A fragment that does not fit the next link: the first is told, the later ones only die.
#[test]
fn fragments_larger_than_the_next_link_are_cut_again_or_too_big() {
    let mut world = plan_on(Legs { mtus: [1500, 1300], ..Legs::default() }).build();
    for family in FAMILIES {
        let session = open(&mut world, family, Protocol::Udp, 1000);
        let whole = session.inbound(&world, datagram(Protocol::Udp, 2600));
        if family.ipv4 {
            let pieces = whole.in_pieces(6, &[1400]).map_bytes();
            let sent = world.offer_all(pieces.into_iter().map(|piece| (FRONT, piece))).sent;
            assert_eq!(sent.len(), 3, "the first of two was cut");
            let pieces: Vec<_> = sent.iter().map(|(_, frame)| &frame[14..]).collect();
            assert_eq!(reassemble(&pieces), session.at_backend(&world, &whole).ip()[20..]);
        }
        let whole = whole.with(|frame| frame.dont_fragment = true);
        let frame = whole.in_pieces(7, &[1400])[0].bytes();
        let out = world.offer(FRONT, &frame);
        out.only(FRONT);
        assert_eq!(out.moved, Counts::lost(frame.len(), DropReason::TooBig).and("icmp_errors", 1));
        let pieces = whole.in_pieces(8, &[800, 2200]).map_bytes();
        world.offer(FRONT, &pieces[0]).only(BACK);
        let out = world.offer(FRONT, &pieces[1]);
        assert_eq!(out.nothing().moved, Counts::lost(pieces[1].len(), DropReason::TooBig));
        world.offer(FRONT, &pieces[2]).only(BACK);
    }
}

/// What fragments of IPv4 are made of, in whatever order they came.
fn reassemble(pieces: &[&[u8]]) -> Vec<u8> {
    let mut whole = Vec::new();
    for ip in pieces {
        let word = |at: usize| usize::from(u16::from_be_bytes([ip[at], ip[at + 1]]));
        let (start, payload) = (8 * (word(6) & 0x1fff), &ip[20..word(2)]);
        whole.resize(whole.len().max(start + payload.len()), 0);
        whole[start..start + payload.len()].copy_from_slice(payload);
    }
    whole
}

trait MapBytes {
    fn map_bytes(&self) -> Vec<Vec<u8>>;
}

impl MapBytes for Vec<Frame> {
    fn map_bytes(&self) -> Vec<Vec<u8>> {
        self.iter().map(Frame::bytes).collect()
    }
}
