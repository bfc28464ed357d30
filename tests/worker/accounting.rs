//! Every packet is accounted for by exactly one counter, whatever it is: random traffic, right, spoiled, cut, made up.

use super::{
    counts::Counts,
    frame::{ACK, FIN, Frame, HOP_BY_HOP, PSH, RST, SYN, icmp, ip, mac_of, opening, ping, sctp, tcp, udp},
    nic::Dispatch,
    places::{BACK, FAMILIES, FRONT, Family, end, plan, service_port},
    world::{Plan, World},
};
use hitless::{
    plane::HaState,
    port::Checksum,
    types::{Duration, InstanceId, PortId, Protocol},
};
use proptest::{prelude::*, sample::select};

/// What happens next. Small numbers, so that clients, ports and local ports meet again.
#[derive(Clone, Debug)]
enum Step {
    /// A frame of a kind arrives at a port and queue, spoiled in a way.
    Arrive { port: usize, queue: usize, kind: u8, variant: u16, spoil: Spoil, nic: u8 },
    /// Anything at all arrives.
    Garbage { port: usize, queue: usize, bytes: Vec<u8> },
    /// Everybody has a turn after so many microseconds.
    Turn { micros: u32 },
    /// One worker alone has a turn.
    TurnOf { worker: usize },
    /// The role or the lease changes.
    Role { serves: bool, lease: bool },
    /// A link goes or comes.
    Link { port: usize, up: bool },
    /// Somebody takes what left.
    Collect,
    /// A host stops answering, or begins again.
    Silence { host: u8, silent: bool },
}

/// What is done to a frame.
#[derive(Clone, Debug)]
enum Spoil {
    Nothing,
    /// A byte somewhere, with the header checksum right or not.
    Byte {
        at: u16,
        value: u8,
        seal: bool,
    },
    Cut {
        to: u16,
    },
    Grow {
        by: u8,
    },
    /// Two bytes in the headers.
    Words {
        at: u8,
        value: u16,
        seal: bool,
    },
}

fn spoil() -> impl Strategy<Value = Spoil> {
    prop_oneof![
        4 => Just(Spoil::Nothing),
        2 => (0..120u16, any::<u8>(), any::<bool>()).prop_map(|(at, value, seal)| Spoil::Byte { at, value, seal }),
        1 => (0..150u16).prop_map(|to| Spoil::Cut { to }),
        1 => (0..60u8).prop_map(|by| Spoil::Grow { by }),
        1 => (0..80u8, select(vec![0u16, 1, 8, 0x2000, 0x4000, 0x7fff, 0x8100, 0xffff]), any::<bool>())
            .prop_map(|(at, value, seal)| Spoil::Words { at, value, seal }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let arrive = (0..2usize, 0..3usize, any::<u8>(), 0..400u16, spoil(), 0..40u8).prop_map(
        |(port, queue, kind, variant, spoil, nic)| Step::Arrive { port, queue, kind, variant, spoil, nic },
    );
    let garbage = (0..2usize, 0..3usize, prop::collection::vec(any::<u8>(), 0..200))
        .prop_map(|(port, queue, bytes)| Step::Garbage { port, queue, bytes });
    prop_oneof![
        200 => arrive,
        8 => garbage,
        20 => (0..3_000u32).prop_map(|micros| Step::Turn { micros }),
        4 => (0..3usize).prop_map(|worker| Step::TurnOf { worker }),
        1 => (any::<bool>(), any::<bool>()).prop_map(|(serves, lease)| Step::Role { serves, lease }),
        1 => (0..2usize, any::<bool>()).prop_map(|(port, up)| Step::Link { port, up }),
        6 => Just(Step::Collect),
        1 => (0..4u8, any::<bool>()).prop_map(|(host, silent)| Step::Silence { host, silent }),
        1 => (1..40u32).prop_map(|seconds| Step::Turn { micros: seconds * 1_000_000 }),
    ]
}

/// A frame that means something, of so many kinds.
fn sensible(world: &World, port: usize, kind: u8, variant: u16) -> Frame {
    let family: Family = FAMILIES[usize::from(variant & 1)];
    let protocol = Protocol::ALL[usize::from(variant / 2 % 3)];
    let client_port = 1000 + variant / 8 % 16;
    let client = family.client_at(client_port);
    let service = end(family.vip, service_port(protocol));
    let local_port = 20_000 + variant % 12;
    let (local, backend) = (end(family.local, local_port), family.backend_at(protocol).to_string());
    let flags = [SYN, SYN | ACK, ACK, ACK | PSH, FIN | ACK, RST][usize::from(variant % 6)];
    let payload = vec![7; usize::from(variant)];
    let frame = match kind % 16 {
        0..=2 => opening(protocol, &client, &service),
        3 => tcp(&client, &end(family.vip, 80), flags).carrying(&payload),
        4 => tcp(&backend, &local, flags),
        5 => udp(&backend, &local).carrying(&payload),
        6 => udp(&client, &end(family.vip, 53)).carrying(&payload),
        7 => sctp(&client, &end(family.vip, 3868), (variant % 16) as u8),
        8 => sctp(&backend, &local, (variant % 16) as u8),
        9 => ping(family.client, [family.vip, family.local, family.node[0]][usize::from(variant % 3)]),
        10 => {
            let quoted = udp(&local, &backend).ip();
            let cut = quoted.len().min(usize::from(variant));
            let kind = if family.ipv4 { 3 } else { 1 + (variant % 3) as u8 };
            icmp(family.ip(family.router), family.ip(family.local), kind, 4, 1300, &quoted[..cut])
        }
        11 => {
            let pieces =
                udp(&client, &end(family.vip, 53)).carrying(&[3; 100]).in_pieces(u32::from(variant), &[48]);
            pieces[usize::from(variant / 2 % 2)].clone()
        }
        12 => udp("10.77.0.12:49152", "10.77.0.11:3784"),
        13 => opening(protocol, &client, &service).with(|frame| match family.ipv4 {
            true => frame.options = vec![1; 4],
            false => frame.extensions = vec![(HOP_BY_HOP, vec![1, 4, 0, 0, 0, 0])],
        }),
        14 => opening(protocol, &client, &service).with(|frame| frame.ttl = (variant % 3) as u8),
        _ => {
            let host = format!("10.77.0.{}", 200 + variant % 4);
            opening(Protocol::Udp, &end(&host, client_port), "10.77.0.100:53")
        }
    };
    world.on(port, frame).with(|frame| frame.from = mac_of(frame.source.ip()))
}

fn spoiled(mut frame: Vec<u8>, spoil: &Spoil) -> Vec<u8> {
    let seal_header = match spoil {
        Spoil::Nothing => false,
        Spoil::Byte { at, value, seal } => {
            let at = usize::from(*at) % frame.len();
            frame[at] = *value;
            *seal
        }
        Spoil::Cut { to } => {
            frame.truncate(usize::from(*to));
            false
        }
        Spoil::Grow { by } => {
            frame.resize(frame.len() + usize::from(*by), 0xee);
            false
        }
        Spoil::Words { at, value, seal } => {
            let at = usize::from(*at).min(frame.len() - 2);
            frame[at..at + 2].copy_from_slice(&value.to_be_bytes());
            *seal
        }
    };
    if seal_header && frame.len() >= 34 && frame[12..14] == [8, 0] {
        let header = (usize::from(frame[14] & 15) * 4).clamp(20, frame.len() - 14);
        frame[24..26].fill(0);
        let words = frame[14..14 + header].chunks(2);
        let mut sum: u32 =
            words.map(|word| u32::from(word[0]) << 8 | u32::from(*word.get(1).unwrap_or(&0))).sum();
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        frame[24..26].copy_from_slice(&(!sum as u16).to_be_bytes());
    }
    frame
}

fn small_plan(workers: u8, dispatch: Dispatch, kernel: bool, vlan: bool) -> Plan {
    plan().with(|plan| {
        (plan.workers, plan.dispatch) = (workers, dispatch);
        (plan.depth, plan.packets) = (64, 1024);
        plan.config = plan.config.replace("20000-20999", "20000-20011");
        plan.config = plan.config.replace("max_sessions = 2000", "max_sessions = 60");
        plan.config = plan.config.replace("held_packets = 64", "held_packets = 8");
        if kernel {
            plan.config =
                plan.config.replace("name = \"front\"\n", "name = \"front\"\nkernel_interface = \"hl0\"\n");
        }
        if vlan {
            plan.config = plan.config.replacen("vlan = 0", "vlan = 5", 1);
        }
    })
}

/// What was put in, and what came out, by the test's own count.
#[derive(Debug, Default)]
struct Seen {
    offered: i64,
    left: i64,
}

fn take(world: &mut World, seen: &mut Seen) {
    seen.left += world.take_sent().len() as i64 + world.take_talk().len() as i64;
}

fn carry_out(world: &mut World, step: &Step, seen: &mut Seen) {
    let workers = world.workers.len();
    match step {
        Step::Arrive { port, queue, kind, variant, spoil, nic } => {
            let frame = spoiled(sensible(world, *port, *kind, *variant).bytes(), spoil);
            let says = match nic {
                0 => (Checksum::Bad, Checksum::Unknown),
                1 => (Checksum::Unknown, Checksum::Bad),
                2..=9 => (Checksum::Good, Checksum::Good),
                10 => (Checksum::Unknown, Checksum::Partial),
                _ => (Checksum::Unknown, Checksum::Unknown),
            };
            let packet = world.packet(*port, &frame).with_checksums(says.0, says.1);
            seen.offered += i64::from(world.put(*port, queue % workers, packet));
        }
        Step::Garbage { port, queue, bytes } => {
            let packet = world.packet(*port, bytes);
            seen.offered += i64::from(world.put(*port, queue % workers, packet));
        }
        Step::Turn { micros } => {
            world.now = world.now + Duration::from_micros(u64::from(*micros));
            world.turn();
        }
        Step::TurnOf { worker } => {
            world.workers[worker % workers].turn(world.now);
        }
        Step::Role { serves, lease } => {
            let state = if *serves { HaState::Master } else { HaState::Backup };
            world.shared.ownership.set(InstanceId(0), state, 2);
            let until = if *lease { hitless::types::Instant::MAX } else { world.now };
            world.shared.ownership.lease_until(until);
        }
        Step::Link { port, up } => world.shared.links.set(PortId(*port as u8), *up),
        Step::Collect => take(world, seen),
        Step::Silence { host, silent } => world.silence(ip(&format!("10.77.0.{}", 200 + host)), *silent),
    }
}

fn examine(workers: u8, dispatch: Dispatch, kernel: bool, vlan: bool, steps: &[Step]) {
    let mut world = small_plan(workers, dispatch, kernel, vlan).build();
    let start = world.counts();
    let answered = world.answers;
    let mut seen = Seen::default();
    for step in steps {
        carry_out(&mut world, step, &mut seen);
    }
    // Until nothing is under way: what is held has left or died, what was handed over has been taken.
    world.quiet = true;
    world.shared.links.set(PortId(FRONT as u8), true);
    world.shared.links.set(PortId(BACK as u8), true);
    for _ in 0..1200 {
        world.now = world.now + Duration::from_millis(1);
        world.turn();
        take(&mut world, &mut seen);
    }
    world.assert_balanced();
    let moved = world.counts().since(&start);
    assert_eq!(moved.get("held"), 0, "{moved:?}");
    let arrived = seen.offered + (world.answers - answered) as i64;
    assert_eq!(moved.get("received"), arrived, "each packet is received once: {moved:?}");
    assert_eq!(moved.get("rx"), arrived, "and decided once: {moved:?}");
    let decided: i64 = ["forwarded", "to_control", "to_kernel"].map(|name| moved.get(name)).iter().sum();
    let drops: i64 = hitless::types::DropReason::ALL.iter().map(|reason| moved.get(reason.name())).sum();
    assert_eq!(moved.get("rx"), decided + drops, "{moved:?}");
    assert!(moved.get("forwarded") + moved.get("icmp_errors") <= seen.left, "{seen:?} {moved:?}");
    let held: i64 = moved.get("to_kernel");
    while world.kernel.from_workers.iter_mut().any(|ring| ring.pop().is_ok()) {}
    assert!(held == 0 || kernel);
    for port in [FRONT, BACK] {
        assert_eq!(world.available(port), 1024, "every buffer of port {port} is back");
    }
    assert!(moved.get("sessions_opened") >= moved.get("sessions_ended"));
    assert_ne!(moved, Counts::none());
    assert_eq!(world.leaked(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// 400 worlds, and some 140,000 packets in all.
    #[test]
    fn every_packet_is_counted_once_and_every_buffer_comes_back(
        workers in select(vec![1u8, 2, 3]),
        dispatch in select(vec![Dispatch::Toeplitz, Dispatch::Scattered]),
        kernel: bool,
        vlan: bool,
        steps in prop::collection::vec(step(), 300..500),
    ) {
        examine(workers, dispatch, kernel, vlan, &steps);
    }
}
