//! Nothing allocates once a node turns: not packets of any kind, not new sessions, not ageing, not neighbours, not
//! lists for people, not new tables.

use super::{
    frame::{ACK, Body, Frame, icmp, ip, mac_of, opening, ping, udp},
    nic::Dispatch,
    places::{BACK, FAMILIES, FRONT, Legs, NAT, SERVICES, SMALL, end, open, plan, ports, service_port},
    world::{World, reconfigure},
};
use allocation_counter::{measure, opt_out};
use hitless::{
    manage::Shared,
    types::{Duration, Protocol},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
};

/// A frame that is sent again and again.
struct Sent {
    port: usize,
    bytes: Vec<u8>,
}

/// Packets of established sessions, both ways.
fn steady(world: &mut World) -> Vec<Sent> {
    let mut all = Vec::new();
    for family in FAMILIES {
        for (client_port, protocol) in (1000..).zip(Protocol::ALL) {
            let session = open(world, family, protocol, client_port);
            let body = |bytes: usize| match protocol {
                Protocol::Tcp => Body::Tcp { flags: ACK, options: Vec::new(), payload: vec![1; bytes] },
                Protocol::Udp => Body::Udp { checksum: true, payload: vec![1; bytes] },
                Protocol::Sctp => Body::Sctp { chunk: 3, payload: vec![1; bytes] },
            };
            for bytes in [0, 100] {
                all.push(Sent { port: BACK, bytes: session.outbound(world, body(bytes)).bytes() });
                all.push(Sent { port: FRONT, bytes: session.inbound(world, body(bytes)).bytes() });
            }
            let inbound = session.inbound(world, body(200));
            for piece in inbound.in_pieces(77, &[104]) {
                all.push(Sent { port: FRONT, bytes: piece.bytes() });
            }
            let quoted = session.at_backend(world, &inbound).ip();
            let (kind, code) = if family.ipv4 { (3, 4) } else { (2, 0) };
            let error = icmp(family.ip(family.router), family.ip(family.local), kind, code, 1300, &quoted);
            all.push(Sent { port: BACK, bytes: world.on(BACK, error).bytes() });
            // At its last hop, and too big: answered by this node.
            all.push(Sent { port: FRONT, bytes: inbound.clone().with(|frame| frame.ttl = 1).bytes() });
            all.push(Sent { port: FRONT, bytes: session.inbound(world, body(1440)).bytes() });
        }
        all.push(Sent { port: FRONT, bytes: world.on(FRONT, ping(family.client, family.vip)).bytes() });
    }
    let bfd = world.on(FRONT, udp("10.77.0.12:49152", "10.77.0.11:3784"));
    all.push(Sent { port: FRONT, bytes: bfd.bytes() });
    let nobody = world.on(FRONT, udp("198.51.100.7:1", "10.77.0.100:9"));
    all.push(Sent { port: FRONT, bytes: nobody.bytes() });
    all.push(Sent { port: FRONT, bytes: vec![0xff; 70] });
    all
}

/// Opening packets whose client port is written anew each time.
fn openings(world: &World) -> Vec<Vec<u8>> {
    let opening = |family: super::places::Family, protocol: Protocol| {
        let service = end(family.vip, service_port(protocol));
        world.on(FRONT, opening(protocol, &family.client_at(1), &service)).bytes()
    };
    let on_link = |last: u8| {
        let frame = opening_of_host(last);
        world.on(FRONT, frame).bytes()
    };
    let strangers =
        FAMILIES.into_iter().flat_map(|family| Protocol::ALL.map(|protocol| opening(family, protocol)));
    strangers.chain((200..220).map(on_link)).collect()
}

fn opening_of_host(last: u8) -> Frame {
    let host = format!("10.77.0.{last}");
    opening(Protocol::Udp, &end(&host, 1), "10.77.0.100:53").with(|frame| frame.from = mac_of(ip(&host)))
}

fn set_client_port(frame: &mut [u8], port: u16) {
    let at = if frame[14] >> 4 == 4 { 34 } else { 54 };
    frame[at..at + 2].copy_from_slice(&port.to_be_bytes());
}

/// So many turns of everybody, with everything that may happen in them.
fn turns(world: &mut World, count: u32, phase: &Phase) -> u64 {
    let workers = world.workers.len();
    let steady = steady(world);
    let mut openings = openings(world);
    world.workers.iter_mut().for_each(hitless::worker::Worker::prepare);
    world.control.prepare();
    let measured = measure(|| {
        phase.turning.store(true, Relaxed);
        for turn in 0..count {
            world.now = world.now + Duration::from_micros(50);
            let at = turn as usize;
            let sent = &steady[at % steady.len()];
            put(world, sent.port, at % workers, &sent.bytes);
            if turn % 4 == 0 {
                let count = openings.len();
                let opening = &mut openings[at / 4 % count];
                set_client_port(opening, 2000 + (turn / 4 % 30_000) as u16);
                put(world, FRONT, at / 4 % workers, opening);
            }
            for worker in &mut world.workers {
                worker.turn(world.now);
            }
            world.control.turn(world.now);
            // The hosts around are no part of the node.
            opt_out(|| {
                world.collect();
                world.take_sent();
                world.take_talk();
            });
        }
    });
    measured.count_total
}

fn put(world: &World, port: usize, queue: usize, bytes: &[u8]) {
    let packet = world.packet(port, bytes);
    // A full queue refuses it, as a NIC would.
    let _ = world.put(port, queue, packet);
}

fn config() -> String {
    let legs = Legs { vlans: [0, 5], mtus: [1500, 1400] };
    // Sessions that end within the test, by all ways there are.
    let nat = NAT.replace(
        "[nat]\n",
        "[nat]\ntcp_syn_timeout_s = 1\ntcp_fin_timeout_s = 1\ntcp_closed_timeout_s = 1\n",
    );
    let services = SERVICES.replace("scheduler", "idle_timeout_s = 3\nscheduler");
    let [tcp, udp] = ["lc", "maglev"].map(|scheduler| format!("scheduler = \"{scheduler}\""));
    let services = services.replacen("scheduler = \"rr\"", &tcp, 1).replacen("scheduler = \"rr\"", &udp, 1);
    // A slot rests before another service gets it: the tables that follow one another need their own.
    let limits =
        SMALL.replace("services = 32", "services = 1000").replace("backends = 64", "backends = 1000");
    [ports(legs), nat, services, limits].concat()
}

/// Management begins when the turns do, so that the first new table comes to a thread that never saw one, and ends
/// with them, also when they fail.
#[derive(Default)]
struct Phase {
    turning: AtomicBool,
    over: AtomicBool,
}

struct Ends<'a>(&'a Phase);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.over.store(true, Relaxed);
    }
}

/// What management does meanwhile: new tables, lists of sessions and neighbours.
fn manage(shared: &Shared, phase: &Phase) -> u32 {
    let others = SERVICES.replace("10.77.0.100", "10.77.0.101").replace("fd77::100", "fd77::101");
    let tables = [config(), config() + &others.replace("name = \"", "name = \"other-")];
    let mut rounds = 0;
    while !phase.over.load(Relaxed) {
        thread::sleep(std::time::Duration::from_millis(2));
        if !phase.turning.load(Relaxed) {
            continue;
        }
        if rounds < 100 {
            reconfigure(shared, &tables[rounds as usize % 2]);
        }
        rounds += 1;
        shared.sessions.list(|_| true);
        shared.neighbors.list();
    }
    rounds
}

/// On a thread of its own, as a worker's is, and management on another.
fn measured(workers: u8, dispatch: Dispatch, count: u32) -> (u64, World) {
    let mut world = plan()
        .with(|plan| {
            plan.config = config();
            (plan.workers, plan.dispatch, plan.control_queue) = (workers, dispatch, workers == 1);
        })
        .build();
    let phase = Phase::default();
    let shared = Arc::clone(&world.shared);
    thread::scope(|scope| {
        let managing = scope.spawn(|| manage(&shared, &phase));
        let turning = scope.spawn(|| {
            let _ends = Ends(&phase);
            (turns(&mut world, count, &phase), world)
        });
        let turned = turning.join().unwrap();
        assert!(managing.join().unwrap() > 10, "tables were replaced and lists made");
        turned
    })
}

#[test]
fn a_million_turns_allocate_nothing() {
    let (allocated, world) = measured(1, Dispatch::Scattered, 1_000_000);
    let counts = world.counts();
    println!("{counts:?}");
    // It all happened.
    for (counter, least) in [
        ("sessions_opened", 20_000),
        ("sessions_ended", 20_000),
        ("echo_replies", 1_000),
        ("icmp_errors", 1_000),
        ("icmp_translated", 1_000),
        ("to_control", 1_000),
        ("forwarded", 500_000),
        ("no_service", 1_000),
        ("too_big", 1_000),
        ("ttl_expired", 1_000),
    ] {
        assert!(counts.get(counter) >= least, "{counter}: {counts:?}");
    }
    assert_eq!(allocated, 0);
}

#[test]
fn turns_of_several_workers_allocate_nothing() {
    for dispatch in [Dispatch::Scattered, Dispatch::Toeplitz] {
        let (allocated, world) = measured(3, dispatch, 150_000);
        assert_ne!(world.counts().get("handed_out"), 0, "frames are put into queues by turns");
        assert_eq!(allocated, 0, "{dispatch:?}");
    }
}
