//! The life of UDP and SCTP sessions, and what happens when there is no room for another.

use super::{
    counts::{self, Counts},
    frame::{ABORT, Body, DATA, Frame, INIT, INIT_ACK, SHUTDOWN_COMPLETE, mac_of, opening},
    places::{
        BACK, FAMILIES, FRONT, Family, Legs, NAT, SMALL, Session, end, open, open_with, plan, ports, world,
    },
    world::{Plan, World},
};
use hitless::{
    session::State::{self, *},
    types::{BackendId, DropReason, Duration, Instant, Protocol},
};
use std::collections::HashSet;

fn datagram() -> Body {
    Body::Udp { checksum: true, payload: b"more".to_vec() }
}

fn chunk(chunk: u8) -> Body {
    Body::Sctp { chunk, payload: vec![1; 12] }
}

#[track_caller]
fn inbound(world: &mut World, session: &Session, body: Body) {
    let frame = session.inbound(world, body);
    assert_eq!(world.offer(FRONT, &frame.bytes()).only(BACK), session.at_backend(world, &frame).bytes());
}

#[track_caller]
fn outbound(world: &mut World, session: &Session, body: Body) {
    let frame = session.outbound(world, body);
    assert_eq!(world.offer(BACK, &frame.bytes()).only(FRONT), session.at_client(world, &frame).bytes());
}

#[track_caller]
fn state(world: &mut World, session: &Session) -> State {
    world.session(session.client).state
}

#[test]
fn udp_is_opening_until_answered() {
    let mut world = world();
    for family in FAMILIES {
        let session = open(&mut world, family, Protocol::Udp, 1000);
        inbound(&mut world, &session, datagram());
        assert_eq!(state(&mut world, &session), Opening);
        outbound(&mut world, &session, datagram());
        assert_eq!(state(&mut world, &session), Established);
        inbound(&mut world, &session, datagram());
        assert_eq!(state(&mut world, &session), Established);
    }
}

/// An unanswered question is forgotten after the opening time, an answered one after the service's.
#[test]
fn udp_idles_out() {
    let mut world = plan()
        .with(|plan| {
            plan.config =
                plan.config.replace("protocol = \"udp\"\n", "protocol = \"udp\"\nidle_timeout_s = 60\n")
        })
        .build();
    for family in FAMILIES {
        let silent = open(&mut world, family, Protocol::Udp, 1000);
        let answered = open(&mut world, family, Protocol::Udp, 1001);
        outbound(&mut world, &answered, datagram());
        world.pass_time(29_000);
        assert_eq!(world.sessions().len(), 2);
        let out = world.watch(|world| world.pass_time(1_500));
        assert_eq!(out.nothing().moved, Counts::none().ended(family.ipv4));
        assert_eq!(world.sessions()[0].client.1, answered.client.port());
        world.pass_time(30_000);
        assert_eq!(world.sessions(), []);
        // The next datagram opens another.
        let again = open(&mut world, family, Protocol::Udp, 1000);
        assert_ne!(again.local, silent.local, "the port that was free longest comes first");
        world.pass_time(31_000);
    }
}

#[test]
fn sctp_lives_from_init_to_shutdown() {
    let mut world = world();
    for family in FAMILIES {
        for (client_port, last) in [(1000, ABORT), (1001, SHUTDOWN_COMPLETE)] {
            let session = open(&mut world, family, Protocol::Sctp, client_port);
            assert_eq!(state(&mut world, &session), Opening);
            outbound(&mut world, &session, chunk(INIT_ACK));
            assert_eq!(state(&mut world, &session), Established);
            for (from_client, kind) in
                [(true, 10), (false, 11), (true, DATA), (false, 3), (true, 7), (false, 8)]
            {
                match from_client {
                    true => inbound(&mut world, &session, chunk(kind)),
                    false => outbound(&mut world, &session, chunk(kind)),
                }
                assert_eq!(state(&mut world, &session), Established);
            }
            inbound(&mut world, &session, chunk(last));
            assert_eq!(state(&mut world, &session), Closed);
            // Only an INIT begins anew.
            inbound(&mut world, &session, chunk(DATA));
            assert_eq!(state(&mut world, &session), Closed);
            let init = family.opening(&world, Protocol::Sctp, client_port);
            let (new, out) = open_with(&mut world, family, &init);
            assert_ne!(new.local, session.local);
            assert_eq!((out.moved.get("sessions_opened"), out.moved.get("sessions_ended")), (1, 1));
        }
        // A restart within the association is the endpoints' affair (RFC 9260 section 5.2).
        let session = open(&mut world, family, Protocol::Sctp, 1002);
        outbound(&mut world, &session, chunk(INIT_ACK));
        inbound(&mut world, &session, chunk(INIT));
        assert_eq!(state(&mut world, &session), Established);
    }
}

/// The tuples of two protocols are two sessions, and those of two families.
#[test]
fn one_client_port_is_one_session_for_each_protocol() {
    let mut world = world();
    for family in FAMILIES {
        for protocol in Protocol::ALL {
            open(&mut world, family, protocol, 1000);
        }
    }
    assert_eq!(world.sessions().len(), 6);
}

/// Two services, two backends, four local ports.
fn narrow(scheduler: &str) -> Plan {
    let services = format!(
        r#"
[[service]]
name = "one"
vip = "10.77.0.100"
port = 80
scheduler = "{scheduler}"
backends = [{{ address = "10.88.0.21", port = 8080 }}]
[[service]]
name = "other-port"
vip = "10.77.0.100"
port = 81
scheduler = "rr"
backends = [{{ address = "10.88.0.21", port = 8081 }}]
[[service]]
name = "other-backend"
vip = "10.77.0.100"
port = 82
scheduler = "rr"
backends = [{{ address = "10.88.0.22", port = 8080 }}]
[[service]]
name = "other-protocol"
vip = "10.77.0.100"
port = 80
protocol = "udp"
scheduler = "rr"
backends = [{{ address = "10.88.0.21", port = 8080 }}]
"#
    );
    let nat = NAT.replace("20000-20999", "20000-20003");
    Plan::new(&[&ports(Legs::default()), &nat, &services, SMALL].concat())
}

const V4: Family = FAMILIES[0];

fn arriving(world: &World, protocol: Protocol, client_port: u16, port: u16) -> Frame {
    let frame = opening(protocol, &V4.client_at(client_port), &end(V4.vip, port));
    world.on(FRONT, frame.with(|frame| frame.from = mac_of(V4.ip(V4.gateway))))
}

/// One backend out of ports refuses its own new sessions; its old ones, its other port, another backend and another
/// protocol do not notice.
#[test]
fn exhausted_ports_concern_one_backend_and_port() {
    let mut world = narrow("rr").build();
    let mut used = HashSet::new();
    for client_port in 1000..1004 {
        let out = world.offer(FRONT, &arriving(&world, Protocol::Tcp, client_port, 80).bytes());
        used.insert(super::places::ends(&out.only(BACK)[14..]).0.port());
    }
    assert_eq!(used, HashSet::from([20000, 20001, 20002, 20003]));
    let refused = arriving(&world, Protocol::Tcp, 1004, 80).bytes();
    for _ in 0..3 {
        let out = world.offer(FRONT, &refused);
        assert_eq!(out.nothing().moved, Counts::lost(refused.len(), DropReason::PortsExhausted));
    }
    for (protocol, port) in [(Protocol::Tcp, 81), (Protocol::Tcp, 82), (Protocol::Udp, 80)] {
        for client_port in 2000..2004 {
            let frame = arriving(&world, protocol, client_port, port).bytes();
            world.offer(FRONT, &frame).only(BACK);
        }
    }
    for client_port in 1000..1004 {
        let again = arriving(&world, Protocol::Tcp, client_port, 80).bytes();
        world.offer(FRONT, &again).only(BACK);
    }
    // A session that ends gives its port to the next.
    world.pass_time(31_000);
    assert_eq!(world.sessions(), []);
    world.offer(FRONT, &refused).only(BACK);
}

/// Two services of one backend and port share its local ports: no two sessions look alike to it.
#[test]
fn services_of_one_backend_share_its_ports() {
    let service = |port: u16| {
        format!(
            "[[service]]\nname = \"s{port}\"\nvip = \"10.77.0.100\"\nport = {port}\nscheduler = \"rr\"\n\
             backends = [{{ address = \"10.88.0.21\", port = 8080 }}]\n"
        )
    };
    let nat = NAT.replace("20000-20999", "20000-20009");
    let config = [ports(Legs::default()), nat, service(80), service(81), SMALL.to_owned()];
    let mut world = Plan::new(&config.concat()).build();
    let mut used = HashSet::new();
    for n in 0..10 {
        let out = world.offer(FRONT, &arriving(&world, Protocol::Tcp, 1000 + n, 80 + n % 2).bytes());
        assert!(used.insert(super::places::ends(&out.only(BACK)[14..]).0));
    }
    for port in [80, 81] {
        let refused = arriving(&world, Protocol::Tcp, 2000, port).bytes();
        let out = world.offer(FRONT, &refused);
        assert_eq!(out.nothing().moved, Counts::lost(refused.len(), DropReason::PortsExhausted));
    }
}

/// Milliseconds are counted in 32 bits: after 49 days they begin anew, and nothing comes of it.
#[test]
fn nothing_happens_after_49_days() {
    let wrap = Instant::ZERO + Duration::from_millis(1 << 32);
    for (family, before) in FAMILIES.into_iter().zip([20, 2]) {
        let start = wrap - Duration::from_secs(before);
        let mut world = plan().with(|plan| plan.start = start).build();
        let silent = open(&mut world, family, Protocol::Udp, 1000);
        let answered = open(&mut world, family, Protocol::Udp, 1001);
        outbound(&mut world, &answered, datagram());
        let whole = answered.inbound(&world, Body::Udp { checksum: true, payload: vec![1; 100] });
        let pieces = whole.in_pieces(9, &[48]);
        world.offer(FRONT, &pieces[0].bytes()).only(BACK);
        world.let_pass(3_000);
        world.offer(FRONT, &pieces[1].bytes()).only(BACK);
        world.let_pass(26_000);
        assert_eq!(world.sessions().len(), 2, "neither is 30 seconds old");
        inbound(&mut world, &silent, datagram());
        world.let_pass(29_000);
        inbound(&mut world, &answered, datagram());
        outbound(&mut world, &answered, datagram());
        world.let_pass(2_000);
        let left: Vec<u16> = world.sessions().iter().map(|record| record.client.1).collect();
        assert_eq!(left, [1001], "the one that was never answered is gone");
        world.let_pass(301_000);
        assert_eq!(world.sessions(), []);
    }
}

/// A closed session gives its port away after a second, before its own time is over.
#[test]
fn a_closed_session_s_port_is_used_again() {
    let mut world = narrow("rr").build();
    let mut sessions = Vec::new();
    for client_port in 1000..1004 {
        let syn = arriving(&world, Protocol::Tcp, client_port, 80);
        let out = world.offer(FRONT, &syn.bytes());
        sessions.push(Session::of(V4, &syn, out.only(BACK)));
    }
    let reset = Body::Tcp { flags: super::frame::RST, options: Vec::new(), payload: Vec::new() };
    inbound(&mut world, &sessions[2], reset);
    let next = arriving(&world, Protocol::Tcp, 1004, 80).bytes();
    let out = world.offer(FRONT, &next);
    assert_eq!(out.nothing().moved, Counts::lost(next.len(), DropReason::PortsExhausted));
    world.run(1000);
    let out = world.offer(FRONT, &next);
    assert_eq!(super::places::ends(&out.only(BACK)[14..]).0, sessions[2].local);
    assert_eq!((out.moved.get("sessions_opened"), out.moved.get("sessions_ended")), (1, 1));
    assert_eq!(out.moved.get("backend_active"), 0);
}

/// Ports that are taken by sessions that last must not keep new ones from those that are free: wherever the search
/// stands, one free port in two is found.
#[test]
fn long_sessions_in_a_row_do_not_block_new_ones() {
    let services = r#"
[[service]]
name = "mixed"
vip = "10.77.0.100"
port = 80
protocol = "udp"
scheduler = "rr"
idle_timeout_s = 3600
backends = [{ address = "10.88.0.21", port = 8080 }]
"#;
    let nat = NAT.replace("max_sessions = 2000", "max_sessions = 2000\ntcp_syn_timeout_s = 5");
    let mut world = Plan::new(&[&ports(Legs::default()), &nat, services, SMALL].concat()).build();
    // Half of the thousand ports, one after the other, by sessions that are answered and stay.
    for client_port in 1000..1500 {
        let frame = arriving(&world, Protocol::Udp, client_port, 80);
        let out = world.offer(FRONT, &frame.bytes());
        let session = Session::of(V4, &frame, out.only(BACK));
        outbound(&mut world, &session, datagram());
    }
    // The other half comes and goes, ten times over.
    let mut refused = 0;
    for round in 0..10 {
        for client_port in 2000..2400 {
            let out =
                world.offer(FRONT, &arriving(&world, Protocol::Udp, client_port + round * 400, 80).bytes());
            refused += out.moved.get("ports_exhausted");
        }
        world.pass_time(6_000);
        assert_eq!(world.sessions().len(), 500, "those that came have gone");
    }
    assert_eq!(refused, 0, "of 4000 new sessions, with half of the ports free");
}

/// A full table refuses new sessions; the old ones go on, and room that comes free is used.
#[test]
fn a_full_table_spares_those_that_are_in_it() {
    let mut world = plan()
        .with(|plan| plan.config = plan.config.replace("max_sessions = 2000", "max_sessions = 50"))
        .build();
    let sessions: Vec<_> =
        (1000..1050).map(|client_port| open(&mut world, V4, Protocol::Udp, client_port)).collect();
    for protocol in Protocol::ALL {
        let new = V4.opening(&world, protocol, 2000).bytes();
        let out = world.offer(FRONT, &new);
        assert_eq!(out.nothing().moved, Counts::lost(new.len(), DropReason::SessionTableFull));
    }
    world.pass_time(20_000);
    for session in &sessions[..25] {
        outbound(&mut world, session, datagram());
        inbound(&mut world, session, datagram());
    }
    world.pass_time(11_000);
    assert_eq!(world.sessions().len(), 25);
    for client_port in 2000..2025 {
        open(&mut world, V4, Protocol::Tcp, client_port);
    }
    let new = V4.opening(&world, Protocol::Tcp, 2025).bytes();
    let out = world.offer(FRONT, &new);
    assert_eq!(out.nothing().moved, Counts::lost(new.len(), DropReason::SessionTableFull));
}

/// After everything has ended nothing is left: no session, no port, no count.
#[test]
fn nothing_is_left_of_sessions_that_ended() {
    let mut world =
        plan().with(|plan| plan.config = plan.config.replace("20000-20999", "20000-20049")).build();
    for round in 0..20 {
        for client_port in 0..50 {
            let syn = V4.opening(&world, Protocol::Tcp, 1000 + round * 50 + client_port);
            let out = world.offer(FRONT, &syn.bytes());
            let session = Session::of(V4, &syn, out.only(BACK));
            let reset = Body::Tcp { flags: super::frame::RST, options: Vec::new(), payload: Vec::new() };
            outbound(&mut world, &session, reset);
        }
        world.pass_time(6_000);
    }
    let counts = world.counts();
    assert_eq!((counts.get("sessions_opened"), counts.get("sessions_ended")), (1000, 1000));
    assert_eq!((counts.get("sessions_v4"), counts.get("backend_active")), (0, 0));
    assert_eq!(counts::of_backend(&world.shared, BackendId(0))[0], 0);
    assert_eq!(world.leaked(), 0);
}

/// Clients that wait for answers keep some packets in the queue at all times: it is never empty, and never long.
#[test]
fn a_queue_that_is_short_but_never_empty_refuses_nobody() {
    let mut world = plan().with(|plan| plan.packets = 2048).build();
    let session = open(&mut world, V4, Protocol::Udp, 1000);
    let numbered = |world: &World, number: u32| {
        let payload = number.to_be_bytes().to_vec();
        session.inbound(world, Body::Udp { checksum: true, payload }).bytes()
    };
    let frames: Vec<_> = (0..800u32)
        .map(|number| match number % 8 {
            0 => V4.opening(&world, Protocol::Tcp, 2000 + number as u16).bytes(),
            _ => numbered(&world, number),
        })
        .collect();
    let out = world.watch(|world| {
        let (first, rest) = frames.split_at(200);
        for burst in [first].into_iter().chain(rest.chunks(32)) {
            burst.iter().for_each(|frame| world.arrive(FRONT, frame));
            world.workers[0].turn(world.now);
        }
        world.run(10);
    });
    assert_eq!(out.moved.get("overload"), 0);
    assert_eq!(out.moved.get("sessions_opened"), 100);
    let sent: Vec<u32> = (out.sent.iter())
        .filter_map(|(_, frame)| {
            frame.last_chunk().filter(|_| frame[23] == 17).map(|last| u32::from_be_bytes(*last))
        })
        .collect();
    assert_eq!(sent.len(), 700);
    assert!(sent.is_sorted(), "packets of a session stay in order");
}
