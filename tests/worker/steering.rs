//! Replies find the worker of their session: by RSS alone where the NIC hashes as it was predicted, by one hand-over
//! where it spreads packets as it likes.

use super::{
    counts::Counts,
    frame::{Body, Frame, icmp, mac_of, opening, udp},
    nic::Dispatch,
    places::{BACK, FAMILIES, FRONT, Family, Session, end, plan, service_port},
    world::{Outcome, World},
};
use hitless::types::{DropReason, Protocol};

const WORKERS: [u8; 5] = [1, 2, 3, 4, 7];

fn world_of(workers: u8, dispatch: Dispatch) -> World {
    plan()
        .with(|plan| {
            (plan.workers, plan.dispatch) = (workers, dispatch);
            plan.config = plan.config.replace("20000-20999", "1024-65535");
            plan.config = plan.config.replace("fragments = 8", "fragments = 512");
        })
        .build()
}

fn body(protocol: Protocol, bytes: usize) -> Body {
    let payload = vec![1; bytes];
    match protocol {
        Protocol::Tcp => Body::Tcp { flags: super::frame::ACK, options: Vec::new(), payload },
        Protocol::Udp => Body::Udp { checksum: true, payload },
        Protocol::Sctp => Body::Sctp { chunk: 3, payload },
    }
}

/// A client of many.
fn client(family: Family, n: u16) -> String {
    match family.ipv4 {
        true => end(&format!("198.51.{}.{}", n % 7, n % 250 + 1), 1000 + n),
        false => end(&format!("2001:db8:{:x}::{:x}", n % 7, n + 1), 1000 + n),
    }
}

/// Opens a session, wherever its packets are spread to.
fn open(world: &mut World, family: Family, protocol: Protocol, n: u16) -> (Session, Outcome) {
    let gateway = mac_of(family.ip(family.gateway));
    let frame = opening(protocol, &client(family, n), &end(family.vip, service_port(protocol)));
    let frame = world.on(FRONT, frame.with(|frame| frame.from = gateway));
    let out = world.offer(FRONT, &frame.bytes());
    let session = Session::of(family, &frame, out.only(BACK));
    assert_eq!(out.only(BACK), session.at_backend(world, &frame).bytes());
    (session, out)
}

/// Sends a frame that must come through.
#[track_caller]
fn passes(world: &mut World, port: usize, frame: &Frame, out_port: usize, expected: &Frame) -> Outcome {
    let out = world.offer(port, &frame.bytes());
    assert_eq!(out.only(out_port), expected.bytes());
    out
}

/// Every packet of many sessions, both ways; what each was counted as.
fn traffic(world: &mut World, sessions: u16, mut each: impl FnMut(&Outcome)) {
    for family in FAMILIES {
        for protocol in Protocol::ALL {
            for n in 0..sessions {
                let (session, out) = open(world, family, protocol, n);
                each(&out);
                for _ in 0..2 {
                    let frame = session.outbound(world, body(protocol, 10));
                    let expected = session.at_client(world, &frame);
                    each(&passes(world, BACK, &frame, FRONT, &expected));
                    let frame = session.inbound(world, body(protocol, 10));
                    let expected = session.at_backend(world, &frame);
                    each(&passes(world, FRONT, &frame, BACK, &expected));
                }
            }
        }
    }
}

#[test]
fn rss_alone_brings_every_reply_to_its_session_s_worker() {
    for workers in WORKERS {
        let mut world = world_of(workers, Dispatch::Toeplitz);
        traffic(&mut world, 60, |out| assert_eq!(out.moved.get("handed_out"), 0, "{:?}", out.moved));
        let shares: Vec<i64> = (0..usize::from(workers))
            .map(|worker| world.worker_counts(worker).get("sessions_opened"))
            .collect();
        assert_eq!(shares.iter().sum::<i64>(), 360);
        let fair = 360 / i64::from(workers);
        assert!(shares.iter().all(|share| *share > fair / 2), "all workers take part: {shares:?}");
        world.assert_balanced();
        assert_eq!(world.leaked(), 0);
    }
}

#[test]
fn packets_spread_at_random_are_handed_over_once_at_most() {
    for workers in WORKERS {
        let mut world = world_of(workers, Dispatch::Scattered);
        let mut handed = 0;
        let mut packets = 0;
        traffic(&mut world, 30, |out| {
            let count = out.moved.get("handed_out");
            assert!(count <= 1 && out.moved.get("handed_in") == count, "{:?}", out.moved);
            handed += count;
            packets += 1;
        });
        // A packet is at its owner already one time in so many.
        let expected = packets * (i64::from(workers) - 1) / i64::from(workers);
        assert!((handed - expected).abs() <= packets / 10, "{workers} workers: {handed} of {packets}");
        world.assert_balanced();
        assert_eq!(world.leaked(), 0);
    }
}

/// A NIC that does not hash SCTP by ports: SCTP is handed over, the others are not.
#[test]
fn what_the_nic_does_not_hash_is_handed_over_and_the_rest_is_not() {
    let mut world = world_of(3, Dispatch::ToeplitzWithoutSctp);
    for family in FAMILIES {
        for protocol in Protocol::ALL {
            let before = world.counts().get("handed_out");
            for n in 0..40 {
                let (session, out) = open(&mut world, family, protocol, n);
                assert!(out.moved.get("handed_out") <= 1);
                let frame = session.outbound(&world, body(protocol, 10));
                let expected = session.at_client(&world, &frame);
                assert!(passes(&mut world, BACK, &frame, FRONT, &expected).moved.get("handed_out") <= 1);
            }
            let handed = world.counts().get("handed_out") - before;
            assert_eq!(handed > 0, protocol == Protocol::Sctp, "{protocol}: {handed}");
        }
    }
    world.assert_balanced();
}

/// One port whose NIC hashes as predicted, one that spreads at random: the replies to the first need no hand-over,
/// whatever happens on the second.
#[test]
fn ports_of_two_kinds_are_steered_each_in_its_way() {
    for (front, back) in
        [(Dispatch::Scattered, Dispatch::Toeplitz), (Dispatch::Toeplitz, Dispatch::Scattered)]
    {
        let mut world = plan()
            .with(|plan| {
                (plan.workers, plan.dispatch, plan.second) = (3, front, Some(back));
                plan.config = plan.config.replace("20000-20999", "1024-65535");
            })
            .build();
        for family in FAMILIES {
            for protocol in Protocol::ALL {
                for n in 0..30 {
                    let (session, out) = open(&mut world, family, protocol, n);
                    let most = |dispatch: Dispatch| i64::from(dispatch == Dispatch::Scattered);
                    assert!(out.moved.get("handed_out") <= most(front));
                    let frame = session.outbound(&world, body(protocol, 10));
                    let expected = session.at_client(&world, &frame);
                    let out = passes(&mut world, BACK, &frame, FRONT, &expected);
                    assert!(out.moved.get("handed_out") <= most(back), "{front:?} {back:?}: {:?}", out.moved);
                    let frame = session.inbound(&world, body(protocol, 10));
                    let expected = session.at_backend(&world, &frame);
                    let out = passes(&mut world, FRONT, &frame, BACK, &expected);
                    assert!(out.moved.get("handed_out") <= most(front));
                }
            }
        }
        world.assert_balanced();
        assert_eq!(world.leaked(), 0);
    }
}

/// Errors carry no ports of their own: the NIC spreads them by addresses, and the worker that gets one hands it to
/// the owner of the session it quotes, once.
#[test]
fn errors_reach_the_owner_with_one_hand_over() {
    for dispatch in [Dispatch::Toeplitz, Dispatch::Scattered] {
        for workers in WORKERS {
            let mut world = world_of(workers, dispatch);
            let mut handed = 0;
            for family in FAMILIES {
                for (n, protocol) in (0..30).zip(Protocol::ALL.into_iter().cycle()) {
                    let (session, _) = open(&mut world, family, protocol, n);
                    let (kind, code) = if family.ipv4 { (3, 4) } else { (2, 0) };
                    let inbound = session.inbound(&world, body(protocol, 4));
                    let quoted = session.at_backend(&world, &inbound).ip();
                    let reporter =
                        format!("{}{:x}", if family.ipv4 { "192.0.2." } else { "2001:db8:f::" }, n % 10);
                    let error = icmp(family.ip(&reporter), session.local.ip(), kind, code, 1300, &quoted);
                    let error = world.on(BACK, error).bytes();
                    let out = world.offer(BACK, &error);
                    out.only(FRONT);
                    assert!(out.moved.get("handed_out") <= 1);
                    assert_eq!(out.moved.get("icmp_translated"), 1, "{:?}", out.moved);
                    handed += out.moved.get("handed_out");
                    // The client's side hears of its end, too.
                    let outbound = session.outbound(&world, body(protocol, 4));
                    let quoted = session.at_client(&world, &outbound).ip();
                    let error = icmp(session.client.ip(), session.vip.ip(), kind, code, 1300, &quoted);
                    let error = world.on(FRONT, error).bytes();
                    let out = world.offer(FRONT, &error);
                    out.only(BACK);
                    assert!(out.moved.get("handed_out") <= 1);
                    assert_eq!(out.moved.get("icmp_translated"), 1, "{:?}", out.moved);
                }
            }
            assert_eq!(handed > 0, workers > 1);
            // One about nobody is handed over once, too, and dies there.
            let stranger = udp("10.88.0.40:1", "10.88.0.21:5353").ip();
            let error =
                icmp(FAMILIES[0].ip("192.0.2.1"), FAMILIES[0].ip("10.88.0.40"), 3, 4, 1300, &stranger);
            let error = world.on(BACK, error).bytes();
            let out = world.offer(BACK, &error);
            assert_eq!(out.nothing().moved.drops(), Counts::none().dropped(DropReason::IcmpUnmatched, 1));
            assert!(out.moved.get("handed_out") <= 1);
            world.assert_balanced();
            assert_eq!(world.leaked(), 0);
        }
    }
}

/// Fragments are spread by addresses as well; the first one's ports name the owner, the later ones follow.
#[test]
fn fragments_reach_the_owner_with_one_hand_over_each() {
    for dispatch in [Dispatch::Toeplitz, Dispatch::Scattered] {
        for workers in WORKERS {
            let mut world = world_of(workers, dispatch);
            for family in FAMILIES {
                for n in 0..20 {
                    let (session, _) = open(&mut world, family, Protocol::Udp, n);
                    for (port, out_port, frame) in [
                        (FRONT, BACK, session.inbound(&world, body(Protocol::Udp, 100))),
                        (BACK, FRONT, session.outbound(&world, body(Protocol::Udp, 100))),
                    ] {
                        let pieces = frame.in_pieces(u32::from(n), &[48, 72]);
                        let handed: Vec<i64> = pieces
                            .iter()
                            .map(|piece| {
                                let out = world.offer(port, &piece.bytes());
                                out.only(out_port);
                                out.moved.get("handed_out")
                            })
                            .collect();
                        assert!(handed == [0, 0, 0] || handed == [1, 1, 1], "{handed:?}");
                    }
                }
            }
            world.assert_balanced();
            assert_eq!(world.leaked(), 0);
        }
    }
}

/// Datagrams in fragments get an identification that no other worker gives at the same time: at a backend they all
/// come from one address.
#[test]
fn no_two_workers_give_one_identification() {
    for workers in [3u8, 7] {
        let mut world = world_of(workers, Dispatch::Toeplitz);
        let mut owners: Vec<Option<Session>> = vec![None; usize::from(workers)];
        for n in 0..200 {
            let (session, _) = open(&mut world, FAMILIES[0], Protocol::Udp, n);
            let opened = |world: &World, at: usize| world.worker_counts(at).get("sessions_opened");
            let owner =
                (0..usize::from(workers)).find(|at| owners[*at].is_none() && opened(&world, *at) == 1);
            if let Some(owner) = owner {
                owners[owner] = Some(session);
            }
        }
        let mut seen = std::collections::HashSet::new();
        // As many as there are identifications of 16 bits, each worker its part of them.
        for round in 0..(65_536 / u32::from(workers) / 8) {
            let mut frames = Vec::new();
            for session in owners.iter().flatten() {
                for n in 0..8 {
                    let first =
                        session.inbound(&world, body(Protocol::Udp, 40)).in_pieces(round * 8 + n, &[24]);
                    frames.push((FRONT, first[0].bytes()));
                }
            }
            let count = frames.len();
            world.now = world.now + hitless::types::Duration::from_millis(800);
            let out = world.offer_all(frames);
            assert_eq!(out.sent.len(), count, "{:?}", out.moved);
            for (_, frame) in &out.sent {
                let id = u16::from_be_bytes([frame[18], frame[19]]);
                assert!(seen.insert(id), "{id} a second time, of {} given by {workers} workers", seen.len());
            }
        }
    }
}

/// A turn takes a burst from each other worker and no more, whichever ports the packets came by.
#[test]
fn a_turn_takes_a_burst_from_each_worker() {
    let mut world = world_of(2, Dispatch::Scattered);
    let frames: Vec<Vec<u8>> = (0..200)
        .map(|n| opening(Protocol::Tcp, &client(FAMILIES[0], n), "10.77.0.100:80"))
        .map(|frame| world.on(FRONT, frame).bytes())
        .collect();
    let before = world.worker_counts(0).get("handed_out");
    for frame in &frames {
        for port in [FRONT, BACK] {
            let mut frame = frame.clone();
            frame[..6].copy_from_slice(&super::world::own_mac(port).0);
            let packet = world.packet(port, &frame);
            assert!(world.put(port, 0, packet));
        }
        world.workers[0].turn(world.now);
    }
    world.now = world.now + hitless::types::Duration::from_millis(1);
    world.workers[0].turn(world.now);
    let handed = world.worker_counts(0).get("handed_out") - before;
    assert!(handed > 100, "{handed} wait for the other worker");
    let mut left = handed;
    while left > 0 {
        world.now = world.now + hitless::types::Duration::from_millis(1);
        let before = world.worker_counts(1).get("handed_in");
        world.workers[1].turn(world.now);
        let taken = world.worker_counts(1).get("handed_in") - before;
        assert_eq!(taken, left.min(32), "in one turn");
        left -= taken;
    }
}
