//! Probes by this node's own stack: what answers one that is under way gets to it, and nothing else does.

use super::{
    counts::Counts,
    frame::{ACK, Frame, SYN, answer, icmp, ip, ping, tcp, udp},
    places::{BACK, FAMILIES, Family, Legs, NAT, SERVICES, plan_on, ports},
    world::World,
};
use futures_util::FutureExt;
use hitless::{
    manage::{KernelRings, stack::Stack},
    port::{Checksum, Packet, memory::MemoryPacket},
    types::{DropReason, Protocol},
};
use std::net::SocketAddr;

/// Clients behind one port and backends behind the other, both out of the kernel's sight.
fn world(vlans: [u16; 2]) -> (World, Stack) {
    let world = plan_on(Legs { vlans, ..Legs::default() }).with(|plan| plan.own_stack = true).build();
    let stack = world.shared.stack.clone().unwrap();
    (world, stack)
}

/// Has the stack send, and gives what left: one frame, to the backends.
fn sent(world: &mut World) -> Vec<u8> {
    let mut frames = Vec::new();
    let KernelRings { stack, .. } = &mut world.kernel;
    stack.as_mut().unwrap().turn(|port, frame| frames.push((port, frame.to_vec())));
    let out = world.watch(|world| {
        for (port, frame) in &frames {
            let packet = world.packet(port.index(), frame);
            world.kernel.to_wire.push((*port, packet)).unwrap();
        }
        world.run(2);
    });
    assert_eq!(out.moved, Counts::none().and("injected", 1));
    out.only(BACK).to_vec()
}

/// The port a probe comes from, or the identifier of a ping.
fn port_of(frame: &[u8], family: &Family, vlan: u16, is_ping: bool) -> u16 {
    let start = if vlan == 0 { 14 } else { 18 } + if family.ipv4 { 20 } else { 40 };
    let at = start + if is_ping { 4 } else { 0 };
    u16::from_be_bytes([frame[at], frame[at + 1]])
}

/// A frame is passed on.
fn taken(world: &mut World, frame: &Frame) -> MemoryPacket {
    let bytes = world.on(BACK, frame.clone()).bytes();
    let out = world.offer(BACK, &bytes);
    assert_eq!(out.nothing().moved, Counts::took(bytes.len()).and("to_kernel", 1), "{frame:?}");
    let (port, packet) = world.kernel.from_workers[0].pop().unwrap();
    assert_eq!((port.index(), packet.data()), (BACK, &bytes[..]));
    packet
}

/// A frame gets to the stack.
fn heard(world: &mut World, frame: &Frame) {
    let packet = taken(world, frame);
    world.kernel.stack.as_ref().unwrap().receive(packet.data());
}

/// A frame is a stranger's.
fn refused(world: &mut World, frame: &Frame) {
    let bytes = world.on(BACK, frame.clone()).bytes();
    let out = world.offer(BACK, &bytes);
    assert_eq!(out.nothing().moved, Counts::lost(bytes.len(), DropReason::NotOurs), "{frame:?}");
}

#[test]
fn answers_get_to_the_stack_and_strangers_do_not() {
    for vlans in [[0, 0], [5, 6]] {
        let (mut world, stack) = world(vlans);
        for family in FAMILIES {
            let (node, backend) = (ip(family.node[1]), SocketAddr::new(ip(family.backend), 8080));
            // A datagram, its answer, and what a closed port says.
            for is_refused in [false, true] {
                let question = stack.send(node, backend, b"hello").unwrap();
                let frame = sent(&mut world);
                let port = port_of(&frame, &family, vlans[1], false);
                refused(&mut world, &answer(Protocol::Udp, backend, SocketAddr::new(node, port ^ 0x1000)));
                if is_refused {
                    let (kind, code) = if family.ipv4 { (3, 3) } else { (1, 4) };
                    let quoted = &frame[if vlans[1] == 0 { 14 } else { 18 }..];
                    heard(&mut world, &icmp(backend.ip(), node, kind, code, 0, quoted));
                    let said = question.answer().now_or_never().unwrap().unwrap_err();
                    assert_eq!(said.kind(), std::io::ErrorKind::ConnectionRefused);
                } else {
                    heard(&mut world, &answer(Protocol::Udp, backend, SocketAddr::new(node, port)));
                    assert_eq!(question.answer().now_or_never().unwrap().unwrap(), b"an answer");
                }
            }
            // A connection: its answer too when its checksum is not filled in, or with options.
            let connection = stack.connect(node, backend).unwrap();
            let frame = sent(&mut world);
            let port = port_of(&frame, &family, vlans[1], false);
            let accepted = answer(Protocol::Tcp, backend, SocketAddr::new(node, port));
            taken(&mut world, &accepted);
            let bytes = world.on(BACK, accepted.clone()).bytes();
            let packet = world.packet(BACK, &bytes).with_checksums(Checksum::Unknown, Checksum::Partial);
            let out = world.offer_packet(BACK, packet);
            assert_eq!(out.nothing().moved, Counts::took(bytes.len()).and("to_kernel", 1));
            world.kernel.from_workers[0].pop().unwrap();
            if family.ipv4 {
                taken(&mut world, &accepted.clone().with(|frame| frame.options = vec![1; 4]));
            }
            for piece in answer(Protocol::Udp, backend, SocketAddr::new(node, port)).in_pieces(7, &[8]) {
                let bytes = world.on(BACK, piece).bytes();
                assert_eq!(
                    world.offer(BACK, &bytes).nothing().moved,
                    Counts::lost(bytes.len(), DropReason::NotOurs)
                );
            }
            // It ends by a reset.
            drop(connection);
            sent(&mut world);
            // A ping.
            let question = stack.ping(node, backend.ip()).unwrap();
            let id = port_of(&sent(&mut world), &family, vlans[1], true);
            let kind = if family.ipv4 { 0 } else { 129 };
            let word = |id: u16| u32::from(id) << 16 | 1;
            refused(&mut world, &icmp(backend.ip(), node, kind, 0, word(id ^ 0x1000), b""));
            heard(&mut world, &icmp(backend.ip(), node, kind, 0, word(id), b""));
            assert_eq!(question.answer().now_or_never().unwrap().unwrap(), b"");
            // The node answers pings as ever, and nobody gets in.
            let request = world.on(BACK, ping(&backend.ip().to_string(), family.node[1])).bytes();
            let out = world.offer(BACK, &request);
            assert_eq!(out.only(BACK).len(), request.len());
            for port in [22, 3000, 49_151, 65_535] {
                let to = SocketAddr::new(node, port).to_string();
                let from = backend.to_string();
                for frame in [tcp(&from, &to, SYN), tcp(&from, &to, SYN | ACK), udp(&from, &to)] {
                    refused(&mut world, &frame);
                }
            }
        }
        assert!(world.kernel.from_workers.iter_mut().all(|ring| ring.pop().is_err()));
    }
}

/// A kernel interface, or the kernel's own address, leaves nothing for the stack to do.
#[test]
fn without_need_there_is_no_stack() {
    let world = super::world::Plan::new(&[&ports(Legs::default()), NAT, SERVICES].concat()).build();
    assert!(world.shared.stack.is_none() && world.kernel.stack.is_none());
}
