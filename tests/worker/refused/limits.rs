//! Packets for which there is no room: on the link, in a queue, in a ring, in a budget.

use super::{Case, V4, changed, ping4};
use crate::{
    counts::Counts,
    frame::{Body, SYN, tcp, udp},
    places::{BACK, FAMILIES, FRONT, Legs, arp_request, open, plan, plan_on, world},
    world::World,
};
use hitless::{
    port::BATCH,
    types::{DropReason, Duration, PortId, Protocol},
};

pub(super) const CASES: &[Case] = &[
    Case {
        reason: DropReason::TooBig,
        name: "larger than the next link takes",
        run: || {
            let mut world = plan_on(Legs { mtus: [1500, 1400], ..Legs::default() }).build();
            let mut moved = Counts::none();
            for family in FAMILIES {
                let session = open(&mut world, family, Protocol::Udp, 1000);
                let fits = 1400 - family.header() - 8;
                let frame = |world: &World, bytes: usize| {
                    session
                        .inbound(world, Body::Udp { checksum: true, payload: vec![1; bytes] })
                        .with(|frame| frame.dont_fragment = true)
                };
                let largest = frame(&world, fits);
                let out = world.offer(FRONT, &largest.bytes());
                assert_eq!(out.only(BACK), session.at_backend(&world, &largest).bytes());
                let beyond = frame(&world, fits + 1).bytes();
                let out = world.offer(FRONT, &beyond);
                out.only(FRONT);
                assert_eq!(out.moved, Counts::lost(beyond.len(), DropReason::TooBig).and("icmp_errors", 1));
                moved = moved.plus(&out.moved);
            }
            moved
        },
    },
    Case {
        reason: DropReason::NoBuffer,
        name: "no packet left to cut one into",
        run: || {
            let mut world = plan_on(Legs { mtus: [1500, 1400], ..Legs::default() }).build();
            let session = open(&mut world, V4, Protocol::Udp, 1000);
            let frame = session.inbound(&world, Body::Udp { checksum: true, payload: vec![1; 1450] });
            let all: Vec<_> = (0..world.available(BACK)).map(|_| world.packet(BACK, &[])).collect();
            let out = world.offer(FRONT, &frame.bytes());
            let died = Counts::lost(frame.bytes().len(), DropReason::NoBuffer);
            assert_eq!(out.nothing().moved, died.for_backend(frame.ip().len()));
            drop(all);
            assert_eq!(world.offer(FRONT, &frame.bytes()).sent.len(), 2);
            out.moved
        },
    },
    Case {
        reason: DropReason::Overload,
        name: "new sessions while packets come faster than they are taken",
        run: || {
            let mut moved = Counts::default();
            for protocol in [Protocol::Udp, Protocol::Tcp] {
                let mut world = plan().with(|plan| plan.depth = 2 * BATCH).build();
                let session = open(&mut world, V4, Protocol::Udp, 1000);
                let steady =
                    session.inbound(&world, Body::Udp { checksum: true, payload: vec![1; 9] }).bytes();
                let new =
                    (2000..2000 + 10 * BATCH as u16).map(|port| V4.opening(&world, protocol, port).bytes());
                let frames: Vec<_> = std::iter::repeat_n(steady, 2 * BATCH).chain(new).collect();
                let out = world.watch(|world| {
                    // The queue is full at every turn, as long as there is something to fill it with.
                    let mut frames = frames.iter().peekable();
                    while frames.peek().is_some() {
                        let fits = |frame: &&Vec<u8>| world.put(FRONT, 0, world.packet(FRONT, frame));
                        while frames.next_if(fits).is_some() {}
                        world.workers[0].turn(world.now);
                    }
                    world.run(4);
                });
                assert_eq!(out.moved.get("sessions_opened"), 3, "one burst in four may open one");
                assert_eq!(out.moved.get("overload"), 10 * BATCH as i64 - 3);
                // The queue has been empty meanwhile.
                let again = (3000..3032).map(|port| (FRONT, V4.opening(&world, protocol, port).bytes()));
                let again = again.collect::<Vec<_>>();
                assert_eq!(world.offer_all(again).sent.len(), 32);
                moved = moved.plus(&out.moved);
            }
            moved
        },
    },
    Case {
        reason: DropReason::TransmitFull,
        name: "a transmit queue that nobody empties",
        run: || {
            // One worker and the control core, so the port takes twice the depth of a queue.
            let mut world = plan().with(|plan| plan.depth = 4).build();
            let session = open(&mut world, V4, Protocol::Udp, 1000);
            let frame = session.inbound(&world, Body::Udp { checksum: true, payload: vec![1; 9] });
            let (length, ip_length) = (frame.bytes().len(), frame.ip().len());
            let out = world.watch(|world| {
                for _ in 0..3 {
                    for _ in 0..4 {
                        world.arrive(FRONT, &frame.bytes());
                    }
                    world.workers[0].turn(world.now);
                }
                world.run(2);
            });
            assert_eq!(out.sent.len(), 8);
            let each = Counts::forwarded(length, length).for_backend(ip_length);
            let died = Counts::lost(length, DropReason::TransmitFull).for_backend(ip_length);
            let expected = (0..8).fold(Counts::none(), |sum, _| sum.plus(&each));
            assert_eq!(out.moved, (0..4).fold(expected, |sum, _| sum.plus(&died)));
            out.moved
        },
    },
    Case {
        reason: DropReason::LinkDown,
        name: "a port without a link",
        run: || {
            let mut world = world();
            let session = open(&mut world, V4, Protocol::Udp, 1000);
            let frame = session.inbound(&world, Body::Udp { checksum: true, payload: vec![1; 9] });
            world.shared.links.set(PortId(BACK as u8), false);
            let out = world.offer(FRONT, &frame.bytes());
            let expected =
                Counts::lost(frame.bytes().len(), DropReason::LinkDown).for_backend(frame.ip().len());
            assert_eq!(out.nothing().moved, expected);
            world.shared.links.set(PortId(BACK as u8), true);
            assert_eq!(
                world.offer(FRONT, &frame.bytes()).only(BACK),
                session.at_backend(&world, &frame).bytes()
            );
            out.moved
        },
    },
    Case {
        reason: DropReason::HandoverFull,
        name: "a worker that does not take its packets",
        run: || {
            let mut world = plan().with(|plan| (plan.workers, plan.packets) = (2, 6000)).build();
            // A flow that belongs to the other worker.
            let frame = (1000..1100).find_map(|port| {
                let frame = V4.opening(&world, Protocol::Tcp, port).bytes();
                let packet = world.packet(FRONT, &frame);
                assert!(world.put(FRONT, 0, packet));
                world.run(3);
                (world.worker_counts(0).get("handed_out") == 1).then_some(frame)
            });
            let frame = frame.unwrap();
            let out = world.watch(|world| {
                for _ in 0..4098 {
                    let packet = world.packet(FRONT, &frame);
                    assert!(world.put(FRONT, 0, packet));
                    world.workers[0].turn(world.now);
                }
                world.now = world.now + Duration::from_millis(1);
                world.workers[0].turn(world.now);
            });
            let length = frame.len() as i64;
            let handed = Counts::none().and("received", 4098).and("handed_out", 4096);
            let died = handed.and("rx", 2).and("rx_bytes", 2 * length).dropped(DropReason::HandoverFull, 2);
            assert_eq!(out.nothing().moved, died);
            out.moved
        },
    },
    Case {
        reason: DropReason::ControlFull,
        name: "a flood of ARP while the control core stands still",
        run: || flood_without_control(arp_request, 1024, DropReason::ControlFull, "to_control"),
    },
    Case {
        reason: DropReason::ControlFull,
        name: "a flood of BFD while the control core stands still",
        run: || {
            let bfd = |world: &World| world.on(FRONT, udp("10.77.0.12:49152", "10.77.0.11:3784")).bytes();
            flood_without_control(bfd, 1024, DropReason::ControlFull, "to_control")
        },
    },
    Case {
        reason: DropReason::KernelFull,
        name: "a kernel that does not take its packets",
        run: || {
            let other = |world: &World| world.on(FRONT, tcp("10.77.0.9:1000", "10.77.0.11:22", SYN)).bytes();
            let mut world = changed(
                "mtu = 1500\n[[port]]\nname = \"back\"",
                "mtu = 1500\nkernel_interface = \"hl0\"\n[[port]]\nname = \"back\"",
            )
            .build();
            let frame = other(&world);
            let moved = flood(&mut world, &frame, 1024, DropReason::KernelFull, "to_kernel");
            assert_eq!(world.kernel.from_workers[0].slots(), 1024);
            moved
        },
    },
    Case {
        reason: DropReason::IcmpLimited,
        name: "a flood of pings",
        run: || {
            let mut world = plan().with(|plan| plan.depth = 2000).build();
            let frame = world.on(FRONT, ping4()).bytes();
            let out = world.watch(|world| {
                for _ in 0..1005 {
                    world.arrive(FRONT, &frame);
                    world.workers[0].turn(world.now);
                }
                world.run(2);
            });
            assert_eq!(out.sent.len(), 1000, "the budget's burst");
            let length = frame.len() as i64;
            let expected = Counts::none()
                .and("received", 1005)
                .and("rx", 1005)
                .and("rx_bytes", 1005 * length)
                .and("forwarded", 1000)
                .and("tx_bytes", 1000 * length)
                .and("echo_replies", 1000)
                .dropped(DropReason::IcmpLimited, 5);
            assert_eq!(out.moved, expected);
            out.moved
        },
    },
];

fn flood_without_control(
    frame: fn(&World) -> Vec<u8>,
    ring: i64,
    reason: DropReason,
    taken: &'static str,
) -> Counts {
    let mut world = world();
    let frame = frame(&world);
    flood(&mut world, &frame, ring, reason, taken)
}

/// Two more than a ring holds: as many as it holds are taken, two die.
fn flood(world: &mut World, frame: &[u8], ring: i64, reason: DropReason, taken: &'static str) -> Counts {
    let out = world.watch(|world| {
        for _ in 0..ring + 2 {
            world.arrive(FRONT, frame);
            world.workers[0].turn(world.now);
        }
        world.now = world.now + Duration::from_millis(1);
        world.workers[0].turn(world.now);
    });
    let all = Counts::none().and("received", ring + 2).and("rx", ring + 2);
    let all = all.and("rx_bytes", (ring + 2) * frame.len() as i64);
    assert_eq!(out.nothing().moved, all.and(taken, ring).dropped(reason, 2));
    out.moved
}
