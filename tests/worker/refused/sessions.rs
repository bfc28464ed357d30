//! Packets that find no service, no session or no way, and none is made for them.

use super::{AS_IT_IS, Case, V4, V6, all_die, changed, dies, ping4, ping6, sctp4, syn4, syn6, udp4, udp6};
use crate::{
    counts::Counts,
    frame::{
        ABORT, ACK, Body, DATA, FIN, Frame, INIT, INIT_ACK, PSH, RST, SYN, answer, icmp, ip, ping, sctp, tcp,
        udp,
    },
    places::{BACK, FAMILIES, FRONT, Legs, NAT, SMALL, Session, end, open, plan, ports, world},
    world::{Plan, World},
};
use hitless::types::{DropReason, Protocol};

pub(super) const CASES: &[Case] = &[
    Case {
        reason: DropReason::NoService,
        name: "another port or protocol of a VIP",
        run: || {
            all_die(
                DropReason::NoService,
                [
                    (tcp("198.51.100.7:1000", "10.77.0.100:81", SYN), AS_IT_IS),
                    (tcp("198.51.100.7:1000", "10.77.0.100:79", ACK), AS_IT_IS),
                    (udp("198.51.100.7:1000", "10.77.0.100:80"), AS_IT_IS),
                    (sctp("198.51.100.7:1000", "10.77.0.100:80", INIT), AS_IT_IS),
                    (tcp("[2001:db8::7]:1000", "[fd77::100]:0", SYN), AS_IT_IS),
                ],
            )
        },
    },
    Case {
        reason: DropReason::NotOwner,
        name: "a node that does not serve",
        run: || {
            let mut world = plan().with(|plan| plan.serves = false).build();
            let replies = FAMILIES.map(|family| {
                let (backend, local) = (family.backend_at(Protocol::Tcp), end(family.local, 20_500));
                tcp(&backend.to_string(), &local, SYN | ACK)
            });
            let all = [syn4(), syn6(), udp4(), udp6(), sctp4(), ping4(), ping6()].into_iter().chain(replies);
            let mut moved = Counts::none();
            for frame in all {
                let frame = world.on(FRONT, frame).bytes();
                moved = moved.plus(&dies(&mut world, FRONT, &frame, DropReason::NotOwner));
            }
            moved
        },
    },
    Case {
        reason: DropReason::LeaseExpired,
        name: "a node that stood still",
        run: || {
            let mut world = world();
            world.shared.ownership.lease_until(world.now);
            let frame = world.on(FRONT, syn4()).bytes();
            dies(&mut world, FRONT, &frame, DropReason::LeaseExpired)
        },
    },
    Case {
        reason: DropReason::SourceRefused,
        name: "a client that is not among allowed_sources",
        run: || {
            let sources = "port = 80\nallowed_sources = [\"198.51.100.0/25\"]\nscheduler = \"rr\"\nbackends = [{ address = \"10.88";
            let mut world =
                changed("port = 80\nscheduler = \"rr\"\nbackends = [{ address = \"10.88", sources).build();
            let allowed = world.on(FRONT, tcp("198.51.100.127:1000", "10.77.0.100:80", SYN)).bytes();
            world.offer(FRONT, &allowed).only(BACK);
            let refused = world.on(FRONT, tcp("198.51.100.128:1000", "10.77.0.100:80", SYN)).bytes();
            dies(&mut world, FRONT, &refused, DropReason::SourceRefused)
        },
    },
    Case {
        reason: DropReason::NoBackend,
        name: "a service without backends",
        run: || {
            let mut moved = Counts::none();
            for scheduler in ["maglev", "rr", "wrr", "lc", "sh"] {
                let service = "[[service]]\nname = \"web\"\nvip = \"10.77.0.100\"\nport = 80\n";
                let service = format!("{service}scheduler = \"{scheduler}\"\nbackends = []\n");
                let mut world = Plan::new(&[&ports(Legs::default()), NAT, &service, SMALL].concat()).build();
                let frame = world.on(FRONT, syn4()).bytes();
                moved = moved.plus(&dies(&mut world, FRONT, &frame, DropReason::NoBackend));
            }
            moved
        },
    },
    Case {
        reason: DropReason::NoSession,
        name: "packets that open nothing",
        run: || {
            let flags =
                [0, ACK, ACK | PSH, FIN, FIN | ACK, RST, RST | ACK, SYN | ACK, SYN | FIN, SYN | RST, 0x3f];
            let segments = flags.map(|flags| tcp("198.51.100.7:1000", "10.77.0.100:80", flags));
            let chunks = [DATA, INIT_ACK, ABORT, 7, 8, 10, 11, 14, 255];
            let messages = chunks.map(|chunk| sctp("[2001:db8::7]:1000", "[fd77::100]:3868", chunk));
            all_die(
                DropReason::NoSession,
                segments.into_iter().chain(messages).map(|frame| (frame, AS_IT_IS)),
            )
        },
    },
    Case {
        reason: DropReason::NoSession,
        name: "replies to nobody",
        run: || {
            let mut world = world();
            let mut moved = Counts::none();
            for family in FAMILIES {
                for protocol in Protocol::ALL {
                    let session = open(&mut world, family, protocol, 1000);
                    let body = answer(protocol, session.backend, session.local).body;
                    // Another port of ours, another of the backend's, another backend.
                    let right = session.outbound(&world, body);
                    let wrong = [
                        right.clone().with(|frame| frame.destination.set_port(session.local.port() ^ 1)),
                        right.clone().with(|frame| frame.source.set_port(1)),
                        right.clone().with(|frame| frame.source.set_ip(family.ip(family.router))),
                    ];
                    for frame in wrong {
                        moved = moved.plus(&dies(&mut world, BACK, &frame.bytes(), DropReason::NoSession));
                    }
                }
            }
            moved
        },
    },
    Case {
        reason: DropReason::PortsExhausted,
        name: "every local port towards a backend taken",
        run: || {
            let mut world = changed("20000-20999", "20000-20003").build();
            for client_port in 1000..1004 {
                let frame =
                    world.on(FRONT, tcp(&format!("198.51.100.7:{client_port}"), "10.77.0.100:80", SYN));
                world.offer(FRONT, &frame.bytes()).only(BACK);
            }
            let frame = world.on(FRONT, tcp("198.51.100.7:1004", "10.77.0.100:80", SYN)).bytes();
            dies(&mut world, FRONT, &frame, DropReason::PortsExhausted)
        },
    },
    Case {
        reason: DropReason::SessionTableFull,
        name: "as many sessions as there is room for",
        run: || {
            let mut world = changed("max_sessions = 2000", "max_sessions = 3").build();
            for client_port in 1000..1003 {
                open(&mut world, V4, Protocol::Udp, client_port);
            }
            let frame = V4.opening(&world, Protocol::Udp, 1003).bytes();
            let moved = dies(&mut world, FRONT, &frame, DropReason::SessionTableFull);
            // IPv6 has a table of its own.
            open(&mut world, V6, Protocol::Udp, 1000);
            moved
        },
    },
    Case {
        reason: DropReason::FragmentUnmatched,
        name: "a later fragment alone",
        run: || {
            let pieces = |frame: Frame| frame.carrying(&[5; 64]).in_pieces(7, &[16, 32])[1..].to_vec();
            let all = [udp4(), udp6(), sctp4()].into_iter().flat_map(pieces).map(|frame| (frame, AS_IT_IS));
            all_die(DropReason::FragmentUnmatched, all.collect::<Vec<_>>())
        },
    },
    Case {
        reason: DropReason::FragmentTableFull,
        name: "more datagrams in fragments than are followed",
        run: || {
            let mut world = world();
            let session = open(&mut world, V4, Protocol::Udp, 1000);
            let first = |world: &World, id: u32| {
                let body = Body::Udp { checksum: true, payload: vec![1; 64] };
                session.inbound(world, body).in_pieces(id, &[32])[0].bytes()
            };
            for id in 0..8 {
                let frame = first(&world, id);
                world.offer(FRONT, &frame).only(BACK);
            }
            let frame = first(&world, 8);
            dies(&mut world, FRONT, &frame, DropReason::FragmentTableFull)
        },
    },
    Case {
        reason: DropReason::FragmentUnsupported,
        name: "fragments that cannot be translated alone",
        run: || {
            let pieces = |frame: Frame, cut: usize| frame.carrying(&[5; 64]).in_pieces(7, &[cut]);
            all_die(
                DropReason::FragmentUnsupported,
                [
                    // Headers that are not all in the first.
                    (pieces(syn4(), 8)[0].clone(), AS_IT_IS),
                    (pieces(syn4(), 16)[0].clone(), AS_IT_IS),
                    (pieces(syn6(), 16)[0].clone(), AS_IT_IS),
                    // A second that could overwrite the first's flags (RFC 3128).
                    (pieces(syn4(), 8)[1].clone(), AS_IT_IS),
                    (pieces(syn6(), 8)[1].clone(), AS_IT_IS),
                    // SCTP's checksum covers all of them.
                    (pieces(sctp4(), 32)[0].clone(), AS_IT_IS),
                    // Pings are not put together.
                    (pieces(ping4(), 32)[0].clone(), AS_IT_IS),
                    (pieces(ping4(), 32)[1].clone(), AS_IT_IS),
                    (pieces(ping6(), 32)[0].clone(), AS_IT_IS),
                    (
                        pieces(
                            syn4().with(|frame| frame.body = Body::Raw { protocol: 47, payload: vec![] }),
                            32,
                        )[0]
                        .clone(),
                        AS_IT_IS,
                    ),
                ],
            )
        },
    },
    Case {
        reason: DropReason::IcmpUnmatched,
        name: "errors about no session",
        run: || {
            let quoted4 = tcp("10.77.0.100:80", "198.51.100.7:1000", ACK);
            let quoted6 = udp("[fd77::100]:53", "[2001:db8::7]:1000");
            let about4 =
                |quoted: &[u8]| (icmp(ip("203.0.113.9"), ip("10.77.0.100"), 3, 4, 1400, quoted), AS_IT_IS);
            let about6 =
                |quoted: &[u8]| (icmp(ip("2001:db8::9"), ip("fd77::100"), 2, 0, 1400, quoted), AS_IT_IS);
            all_die(
                DropReason::IcmpUnmatched,
                [
                    about4(&quoted4.ip()),
                    about6(&quoted6.ip()),
                    // About a ping of ours, about a fragment without ports.
                    about4(&ping("10.77.0.100", "198.51.100.7").ip()),
                    about4(&quoted4.carrying(&[1; 40]).in_pieces(3, &[24])[1].ip()),
                    about6(&quoted6.carrying(&[1; 40]).in_pieces(3, &[24])[1].ip()),
                ],
            )
        },
    },
    Case {
        reason: DropReason::IcmpUnsupported,
        name: "messages nobody answers",
        run: || {
            let v4 = |kind: u8, code: u8| {
                (icmp(ip("198.51.100.7"), ip("10.77.0.100"), kind, code, 0, &[0; 28]), AS_IT_IS)
            };
            let v6 = |kind: u8| (icmp(ip("2001:db8::7"), ip("fd77::100"), kind, 0, 0, &[0; 48]), AS_IT_IS);
            all_die(
                DropReason::IcmpUnsupported,
                [
                    v4(0, 0),
                    v4(4, 0),
                    v4(5, 1),
                    v4(9, 0),
                    v4(10, 0),
                    v4(13, 0),
                    v4(17, 0),
                    v4(42, 0),
                    v4(255, 0),
                    v6(129),
                    v6(130),
                    v6(133),
                    v6(134),
                    v6(137),
                    v6(143),
                    v6(160),
                    v6(5),
                    v6(255),
                ],
            )
        },
    },
    Case {
        reason: DropReason::NoRoute,
        name: "no way back to the client, or on to the backend",
        run: || {
            let mut world = changed("0.0.0.0/0", "198.51.100.0/24").build();
            let frame = world.on(FRONT, tcp("203.0.113.7:1000", "10.77.0.100:80", SYN)).bytes();
            let moved = dies(&mut world, FRONT, &frame, DropReason::NoRoute);
            let mut world = plan()
                .with(|plan| {
                    plan.config = plan
                        .config
                        .replace("0.0.0.0/0", "198.51.100.0/24")
                        .replace("10.88.0.21", "192.0.2.21");
                })
                .build();
            let frame = world.on(FRONT, syn4()).bytes();
            moved.plus(&dies(&mut world, FRONT, &frame, DropReason::NoRoute))
        },
    },
    Case {
        reason: DropReason::NeighborUnresolved,
        name: "a next hop that does not answer in time",
        run: || {
            let mut world = world();
            world.silence(ip("10.77.0.9"), true);
            let session = open_on_link(&mut world, "10.77.0.9:1000");
            let reply = world.on(BACK, answer(Protocol::Udp, session.1, session.0)).bytes();
            let out = world.watch(|world| {
                world.arrive(BACK, &reply);
                world.run(1100);
            });
            assert_eq!(out.nothing().moved, Counts::lost(reply.len(), DropReason::NeighborUnresolved));
            out.moved
        },
    },
];

/// A UDP session of a client on the front port's subnet; its local and backend ends.
fn open_on_link(world: &mut World, client: &str) -> (std::net::SocketAddr, std::net::SocketAddr) {
    let frame = world.on(FRONT, udp(client, "10.77.0.100:53"));
    let out = world.offer(FRONT, &frame.bytes());
    let session = Session::of(V4, &frame, out.only(BACK));
    (session.local, session.backend)
}
