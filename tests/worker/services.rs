//! Services that change under traffic, and how new sessions find their backend, with one worker and with several.

use super::{
    counts::{Counts, of_backend},
    frame::{ACK, Body, RST, at, mac_of, tcp, udp},
    nic::Dispatch,
    places::{BACK, FAMILIES, FRONT, Family, Legs, NAT, SMALL, Session, ends, ports},
    world::{Plan, World},
};
use hitless::types::{BackendId, DropReason};
use std::net::{IpAddr, SocketAddr};

const V4: Family = FAMILIES[0];

/// Numbers of workers that must not matter.
const WORKERS: [u8; 5] = [1, 2, 3, 4, 7];

/// The text of a TCP service at a port of the usual VIP; backends are last bytes of 10.88.0.0/24 and weights.
fn service(port: u16, scheduler: &str, backends: &[(u8, u16)]) -> String {
    service_at("10.77.0.100", port, scheduler, backends)
}

fn service_at(vip: &str, port: u16, scheduler: &str, backends: &[(u8, u16)]) -> String {
    let backend = |(host, weight): &(u8, u16)| match scheduler {
        "rr" => format!("{{ address = \"10.88.0.{host}\", port = 8080 }}"),
        _ => format!("{{ address = \"10.88.0.{host}\", port = 8080, weight = {weight} }}"),
    };
    let backends: Vec<String> = backends.iter().map(backend).collect();
    format!(
        "[[service]]\nname = \"s{port}\"\nvip = \"{vip}\"\nport = {port}\nscheduler = \"{scheduler}\"\n\
         backends = [{}]\n",
        backends.join(", ")
    )
}

fn config(services: &[String]) -> String {
    [&ports(Legs::default()), NAT, &services.concat(), SMALL].concat()
}

fn world_of(services: &[String]) -> World {
    Plan::new(&config(services)).build()
}

/// Opens a session; where it went.
#[track_caller]
fn open_from(world: &mut World, client: &str, to: &str) -> Session {
    let gateway = mac_of(V4.ip(V4.gateway));
    let syn = world.on(FRONT, tcp(client, to, super::frame::SYN).with(|frame| frame.from = gateway));
    super::places::open_with(world, V4, &syn).0
}

fn client(port: u16) -> String {
    format!("198.51.100.7:{port}")
}

/// The last byte of the backend's address.
fn host(session: &Session) -> u8 {
    match session.backend.ip() {
        IpAddr::V4(v4) => v4.octets()[3],
        IpAddr::V6(_) => panic!("an IPv4 backend"),
    }
}

fn segment(flags: u8) -> Body {
    Body::Tcp { flags, options: Vec::new(), payload: vec![1; 10] }
}

/// The session goes on, both ways, as it was.
#[track_caller]
fn goes_on(world: &mut World, session: &Session) {
    let frame = session.inbound(world, segment(ACK));
    assert_eq!(world.offer(FRONT, &frame.bytes()).only(BACK), session.at_backend(world, &frame).bytes());
    let frame = session.outbound(world, segment(ACK));
    assert_eq!(world.offer(BACK, &frame.bytes()).only(FRONT), session.at_client(world, &frame).bytes());
}

#[test]
fn a_backend_that_goes_keeps_its_sessions_and_gets_no_new_ones() {
    let mut world = world_of(&[service(80, "rr", &[(21, 1), (22, 1), (23, 1)])]);
    let before: Vec<_> =
        (1000..1030).map(|port| open_from(&mut world, &client(port), "10.77.0.100:80")).collect();
    let counted = [0, 2].map(|slot| of_backend(&world.shared, BackendId(slot)));
    world.reconfigure(&config(&[service(80, "rr", &[(21, 1), (23, 1)])]));
    assert_eq!([0, 2].map(|slot| of_backend(&world.shared, BackendId(slot))), counted, "counts stay");
    before.iter().for_each(|session| goes_on(&mut world, session));
    let after: Vec<_> =
        (2000..2030).map(|port| host(&open_from(&mut world, &client(port), "10.77.0.100:80"))).collect();
    assert_eq!(after.iter().filter(|&&host| host == 21).count(), 15);
    assert_eq!(after.iter().filter(|&&host| host == 23).count(), 15);
    // The last one goes: nobody is left for new sessions, and the old ones still go on.
    world.reconfigure(&config(&[service(80, "rr", &[])]));
    before.iter().for_each(|session| goes_on(&mut world, session));
    let syn = world.on(FRONT, tcp(&client(3000), "10.77.0.100:80", super::frame::SYN)).bytes();
    assert_eq!(world.offer(FRONT, &syn).nothing().moved, Counts::lost(syn.len(), DropReason::NoBackend));
}

#[test]
fn clients_of_a_backend_that_went_down_are_told_by_a_reset() {
    for resets in [true, false] {
        let health = format!("[service.health]\nport = 9\nreset_on_down = {resets}\n");
        let mut world = world_of(&[service(80, "rr", &[(21, 1)]) + &health]);
        let session = open_from(&mut world, &client(1000), "10.77.0.100:80");
        {
            let mut registry = world.shared.registry.lock();
            let key = registry.services().next().unwrap().key();
            assert!(registry.set_healthy(&key, BackendId(0), false));
            let settlement = registry.settle().unwrap();
            registry.publish(settlement, std::time::Instant::now());
        }
        world.pass_time(2_000);
        let frame = session.inbound(&world, segment(ACK));
        if !resets {
            assert_eq!(
                world.offer(FRONT, &frame.bytes()).only(BACK),
                session.at_backend(&world, &frame).bytes()
            );
            continue;
        }
        let out = world.offer(FRONT, &frame.bytes());
        let died = Counts::lost(frame.bytes().len(), DropReason::NoSession);
        assert_eq!(out.moved, died.and("tcp_resets", 1));
        let reset = out.only(FRONT);
        let parsed = etherparse::SlicedPacket::from_ethernet(reset).unwrap();
        let Some(etherparse::TransportSlice::Tcp(tcp)) = parsed.transport else { panic!("{reset:02x?}") };
        assert!(tcp.rst() && !tcp.ack());
        assert_eq!((tcp.source_port(), tcp.destination_port()), (80, 1000));
        // Where the client acknowledged.
        assert_eq!((tcp.sequence_number(), reset.len()), (2_000_002, 60));
    }
}

#[test]
fn a_backend_that_comes_takes_its_turn_and_moves_nobody() {
    let mut world = world_of(&[service(80, "rr", &[(21, 1)])]);
    let before: Vec<_> =
        (1000..1010).map(|port| open_from(&mut world, &client(port), "10.77.0.100:80")).collect();
    world.reconfigure(&config(&[service(80, "rr", &[(21, 1), (24, 1)])]));
    world.run(20);
    before.iter().for_each(|session| goes_on(&mut world, session));
    let after: Vec<_> =
        (2000..2010).map(|port| host(&open_from(&mut world, &client(port), "10.77.0.100:80"))).collect();
    assert_eq!(after.iter().filter(|&&host| host == 24).count(), 5, "{after:?}");
}

#[test]
fn a_weight_that_changes_moves_nobody() {
    for scheduler in ["wrr", "lc", "maglev", "sh"] {
        let mut world = world_of(&[service(80, scheduler, &[(21, 1), (22, 1)])]);
        let before: Vec<_> =
            (1000..1020).map(|port| open_from(&mut world, &client(port), "10.77.0.100:80")).collect();
        world.reconfigure(&config(&[service(80, scheduler, &[(21, 1), (22, 9)])]));
        before.iter().for_each(|session| goes_on(&mut world, session));
    }
    let mut world = world_of(&[service(80, "wrr", &[(21, 1), (22, 1)])]);
    world.reconfigure(&config(&[service(80, "wrr", &[(21, 1), (22, 9)])]));
    let after = (2000..2100).map(|port| host(&open_from(&mut world, &client(port), "10.77.0.100:80")));
    assert_eq!(after.filter(|&host| host == 22).count(), 90);
}

#[test]
fn a_service_that_goes_takes_its_sessions_with_it_and_no_others() {
    let both = [service(80, "rr", &[(21, 1)]), service_at("10.77.0.101", 81, "rr", &[(21, 1)])];
    let mut world = world_of(&both);
    let stays: Vec<_> =
        (1000..1010).map(|port| open_from(&mut world, &client(port), "10.77.0.100:80")).collect();
    let goes: Vec<_> =
        (1000..1010).map(|port| open_from(&mut world, &client(port), "10.77.0.101:81")).collect();
    world.reconfigure(&config(&both[..1]));
    world.forget_services_that_went();
    let out = world.watch(|world| world.pass_time(2_000));
    let ended = Counts::none().and("sessions_ended", 10).and("sessions_v4", -10).and("backend_active", -10);
    assert_eq!(out.nothing().moved, ended);
    world.run(20);
    stays.iter().for_each(|session| goes_on(&mut world, session));
    let syn = world.on(FRONT, tcp(&client(1000), "10.77.0.101:81", super::frame::SYN)).bytes();
    assert_eq!(world.offer(FRONT, &syn).nothing().moved, Counts::lost(syn.len(), DropReason::NotOurs));
    let late = goes[0].outbound(&world, segment(ACK)).bytes();
    assert_eq!(world.offer(BACK, &late).nothing().moved, Counts::lost(late.len(), DropReason::NoSession));
}

/// A hundred changes elsewhere: not a packet of an untouched service is lost.
#[test]
fn changes_elsewhere_lose_no_packet() {
    let steady = service(80, "maglev", &[(21, 1), (22, 1)]);
    let roomy = |services: &[String]| {
        config(services).replace("services = 32", "services = 200").replace("backends = 64", "backends = 300")
    };
    let mut world = Plan::new(&roomy(std::slice::from_ref(&steady))).build();
    let sessions: Vec<_> =
        (1000..1010).map(|port| open_from(&mut world, &client(port), "10.77.0.100:80")).collect();
    for round in 0..100u16 {
        let other = service(1000 + round, "maglev", &[(100 + (round % 20) as u8, 1), (60, 1)]);
        world.reconfigure(&roomy(&[steady.clone(), other]));
        let session = &sessions[usize::from(round) % 10];
        let frames = [
            (FRONT, session.inbound(&world, segment(ACK)).bytes()),
            (BACK, session.outbound(&world, segment(ACK)).bytes()),
        ];
        let out = world.offer_all(frames);
        assert_eq!((out.sent.len(), out.moved.drops()), (2, Counts::none()), "round {round}");
    }
    assert_eq!(world.counts().get("sessions_ended"), 0);
}

/// Sources are asked for when a session opens; who is inside stays.
#[test]
fn allowed_sources_concern_new_sessions() {
    let allow = |text: String, sources: &str| {
        text.replace("scheduler", &format!("allowed_sources = [{sources}]\nscheduler"))
    };
    let plain = service(80, "rr", &[(21, 1)]);
    let mut world = world_of(&[allow(plain.clone(), "\"198.51.100.0/24\", \"203.0.113.128/25\"")]);
    let refused = |world: &mut World, from: &str| {
        let syn = world.on(FRONT, tcp(from, "10.77.0.100:80", super::frame::SYN)).bytes();
        let out = world.offer(FRONT, &syn);
        assert_eq!(out.nothing().moved, Counts::lost(syn.len(), DropReason::SourceRefused), "{from}");
    };
    let session = open_from(&mut world, "198.51.100.7:1000", "10.77.0.100:80");
    open_from(&mut world, "203.0.113.255:1000", "10.77.0.100:80");
    refused(&mut world, "203.0.113.127:1000");
    refused(&mut world, "198.51.101.0:1000");
    world.reconfigure(&config(&[allow(plain, "\"192.0.2.0/24\"")]));
    goes_on(&mut world, &session);
    refused(&mut world, "198.51.100.7:1001");
    open_from(&mut world, "192.0.2.1:1000", "10.77.0.100:80");
}

/// A world with so many workers.
fn with_workers(services: &[String], workers: u8, dispatch: Dispatch) -> World {
    Plan::new(&config(services)).with(|plan| (plan.workers, plan.dispatch) = (workers, dispatch)).build()
}

const DISPATCHES: [Dispatch; 2] = [Dispatch::Toeplitz, Dispatch::Scattered];

/// The backends of sessions opened one after the other.
fn chosen(world: &mut World, clients: impl Iterator<Item = String>) -> Vec<u8> {
    clients.map(|client| host(&open_from(world, &client, "10.77.0.100:80"))).collect()
}

#[test]
fn rr_is_one_rotation_over_all_workers() {
    for workers in WORKERS {
        for dispatch in DISPATCHES {
            let mut world =
                with_workers(&[service(80, "rr", &[(23, 1), (21, 1), (22, 1)])], workers, dispatch);
            let order = chosen(&mut world, (1000..1060).map(client));
            assert_eq!(order, [23, 21, 22].repeat(20), "{workers} workers, {dispatch:?}");
            world.assert_balanced();
        }
    }
}

#[test]
fn wrr_is_smooth_over_all_workers() {
    for workers in WORKERS {
        for dispatch in DISPATCHES {
            let mut world =
                with_workers(&[service(80, "wrr", &[(21, 5), (22, 1), (23, 1)])], workers, dispatch);
            let order = chosen(&mut world, (1000..1070).map(client));
            assert_eq!(order, [21, 21, 22, 21, 23, 21, 21].repeat(10), "{workers} workers, {dispatch:?}");
            let mut world = with_workers(&[service(80, "wrr", &[(21, 80), (22, 20)])], workers, dispatch);
            let order = chosen(&mut world, (1000..1100).map(client));
            assert_eq!(order.iter().filter(|&&host| host == 21).count(), 80);
        }
    }
}

#[test]
fn lc_takes_the_fewest_over_all_workers() {
    for workers in WORKERS {
        for dispatch in DISPATCHES {
            let mut world =
                with_workers(&[service(80, "lc", &[(21, 1), (22, 1), (23, 2)])], workers, dispatch);
            let order = chosen(&mut world, (1000..1040).map(client));
            let count = |host: u8| order.iter().filter(|&&other| other == host).count();
            assert_eq!([count(21), count(22), count(23)], [10, 10, 20], "{workers} workers, {dispatch:?}");
            // Those of one end: it is the emptiest until it has as many again.
            let of_22 = world.sessions().into_iter().filter(|record| record.backend.0 == V4.ip("10.88.0.22"));
            for record in of_22.collect::<Vec<_>>() {
                let socket = |(address, port): (IpAddr, u16)| SocketAddr::new(address, port);
                let session = Session {
                    family: V4,
                    client: socket(record.client),
                    vip: socket(record.vip),
                    local: socket(record.local),
                    backend: socket(record.backend),
                };
                let reset = session.inbound(&world, segment(RST)).bytes();
                world.offer(FRONT, &reset).only(BACK);
            }
            world.let_pass(6_000);
            assert_eq!(of_backend(&world.shared, BackendId(1))[0], 0);
            assert_eq!(chosen(&mut world, (2000..2010).map(client)), [22; 10]);
        }
    }
}

/// The choice of maglev and sh depends on the client alone: not on the number of workers, not on how packets are
/// spread, not on the process.
#[test]
fn maglev_and_sh_choose_alike_everywhere() {
    for scheduler in ["maglev", "sh"] {
        let backends: Vec<(u8, u16)> = (21..31).map(|host| (host, 1)).collect();
        let clients = || (0..200u16).map(|n| format!("203.0.113.{}:{}", n % 100 + 1, 1000 + n));
        let mut known: Option<Vec<u8>> = None;
        for workers in WORKERS {
            for dispatch in DISPATCHES {
                let mut world = with_workers(&[service(80, scheduler, &backends)], workers, dispatch);
                let order = chosen(&mut world, clients());
                let known = known.get_or_insert_with(|| order.clone());
                assert_eq!(*known, order, "{scheduler}, {workers} workers, {dispatch:?}");
            }
        }
        let order = known.unwrap();
        let used: std::collections::HashSet<u8> = order.iter().copied().collect();
        assert_eq!(used.len(), 10, "all take part");
        let sticks = (0..100).all(|n| order[n] == order[n + 100]);
        assert_eq!(sticks, scheduler == "sh", "{scheduler}: one address, two ports");
    }
}

/// A fixed client port comes to the same backend again, long after its session.
#[test]
fn maglev_sticks_to_a_tuple() {
    let backends: Vec<(u8, u16)> = (21..31).map(|host| (host, 1)).collect();
    let mut world = world_of(&[service(80, "maglev", &backends)]);
    let first = chosen(&mut world, (1000..1050).map(client));
    world.let_pass(31_000);
    assert_eq!(world.sessions(), []);
    assert_eq!(chosen(&mut world, (1000..1050).map(client)), first);
}

/// A removed backend moves its own share of new flows, and hardly any other.
#[test]
fn a_removed_backend_moves_only_its_share() {
    for scheduler in ["maglev", "sh"] {
        let backends: Vec<(u8, u16)> = (21..31).map(|host| (host, 1)).collect();
        let clients = || (0..500u16).map(|n| format!("203.0.{}.{}:{}", n / 250, n % 250 + 1, 1000 + n));
        let before = chosen(&mut world_of(&[service(80, scheduler, &backends)]), clients());
        let fewer: Vec<_> = backends.iter().copied().filter(|(host, _)| *host != 25).collect();
        let after = chosen(&mut world_of(&[service(80, scheduler, &fewer)]), clients());
        let others = before.iter().zip(&after).filter(|(old, _)| **old != 25);
        let moved = others.clone().filter(|(old, new)| old != new).count();
        assert!(moved * 50 <= others.count(), "{scheduler}: {moved} moved without need");
        assert!(!after.contains(&25));
    }
}

/// Weights hold within three of a hundred.
#[test]
fn maglev_keeps_weights() {
    let mut world = world_of(&[service(80, "maglev", &[(21, 80), (22, 20)])]);
    let clients = (0..1000u16).map(|n| format!("203.0.{}.{}:{}", n / 250, n % 250 + 1, 1000 + n));
    let order = chosen(&mut world, clients.take(900));
    let first = order.iter().filter(|&&host| host == 21).count() * 100 / 900;
    assert!(first.abs_diff(80) <= 3, "{first} of a hundred");
}

/// Replies come back though the table was replaced in between, and UDP goes on too.
#[test]
fn udp_survives_a_change_of_its_own_service() {
    let text = |hosts: &[u8]| {
        let hosts: Vec<_> = hosts.iter().map(|&host| (host, 1)).collect();
        service(53, "rr", &hosts).replace("port = 53", "port = 53\nprotocol = \"udp\"")
    };
    let mut world = world_of(&[text(&[21, 22])]);
    let question = world.on(FRONT, udp("198.51.100.7:1000", "10.77.0.100:53"));
    let out = world.offer(FRONT, &question.bytes());
    let (local, backend) = ends(&out.only(BACK)[14..]);
    assert_eq!(backend, at("10.88.0.21:8080"));
    world.reconfigure(&config(&[text(&[22])]));
    let session = Session { family: V4, client: question.source, vip: question.destination, local, backend };
    let answer = session.outbound(&world, Body::Udp { checksum: true, payload: vec![1; 3] });
    let expected = session.at_client(&world, &answer).bytes();
    assert_eq!(world.offer(BACK, &answer.bytes()).only(FRONT), expected);
}
