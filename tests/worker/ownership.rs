//! Who serves: roles, leases, instances.

use super::{
    counts::Counts,
    frame::{ACK, Body, icmp, ip, ping, udp},
    places::{BACK, FAMILIES, FRONT, Family, Legs, SMALL, arp_request, ends, open, ports, world},
    refused::dies,
    world::Plan,
};
use hitless::{
    plane::HaState,
    types::{DropReason, Duration, InstanceId, Instant, Protocol},
};

const V4: Family = FAMILIES[0];

/// A BACKUP serves nothing, whatever the packet: nothing leaves, and everything is counted under one name.
#[test]
fn a_backup_drops_everything_of_an_instance() {
    for state in [HaState::Backup, HaState::Fault, HaState::Stop, HaState::NotDefined] {
        let mut world = world();
        let sessions = FAMILIES.map(|family| (family, open(&mut world, family, Protocol::Tcp, 1000)));
        world.shared.ownership.set(InstanceId(0), state, 2);
        for (family, session) in sessions {
            let segment = Body::Tcp { flags: ACK, options: Vec::new(), payload: vec![1; 64] };
            let inbound = session.inbound(&world, segment.clone());
            let outbound = session.outbound(&world, segment);
            let mut frames = vec![(FRONT, inbound.clone()), (BACK, outbound.clone())];
            frames.push((FRONT, family.opening(&world, Protocol::Udp, 2000)));
            frames.push((FRONT, inbound.clone().with(|frame| frame.ttl = 1)));
            frames.extend(inbound.in_pieces(9, &[40]).into_iter().map(|piece| (FRONT, piece)));
            frames.extend(outbound.in_pieces(9, &[40]).into_iter().map(|piece| (BACK, piece)));
            for to in [family.vip, family.local] {
                frames.push((FRONT, world.on(FRONT, ping(family.client, to))));
            }
            let kind = if family.ipv4 { 3 } else { 1 };
            let error = icmp(family.ip(family.router), family.ip(family.local), kind, 0, 0, &outbound.ip());
            frames.push((BACK, world.on(BACK, error)));
            for (port, frame) in frames {
                dies(&mut world, port, &frame.bytes(), DropReason::NotOwner);
            }
        }
        // Nor does it answer for the address.
        world.take_talk();
        let question = arp_request(&world);
        let out = world.offer(FRONT, &question);
        assert_eq!(out.nothing().moved, Counts::took(question.len()).and("to_control", 1));
        assert_eq!(world.take_talk(), [], "{state:?}");
        world.shared.ownership.set(InstanceId(0), HaState::Master, 3);
        world.offer(FRONT, &question);
        assert_eq!(world.take_talk().len(), 1, "a MASTER answers");
        for (_, session) in sessions {
            let segment = Body::Tcp { flags: ACK, options: Vec::new(), payload: vec![1; 64] };
            let inbound = session.inbound(&world, segment);
            let out = world.offer(FRONT, &inbound.bytes());
            assert_eq!(
                out.only(BACK),
                session.at_backend(&world, &inbound).bytes(),
                "sessions are still there"
            );
        }
    }
}

/// The lease ends at its moment and not before, and comes back whole.
#[test]
fn a_lease_ends_to_the_nanosecond() {
    let mut world = world();
    let session = open(&mut world, V4, Protocol::Udp, 1000);
    let frame = session.inbound(&world, Body::Udp { checksum: true, payload: vec![1; 9] });
    let at = world.now + Duration::from_millis(1);
    world.shared.ownership.lease_until(at + Duration::from_nanos(1));
    world.offer(FRONT, &frame.bytes()).only(BACK);
    world.shared.ownership.lease_until(world.now + Duration::from_millis(1));
    dies(&mut world, FRONT, &frame.bytes(), DropReason::LeaseExpired);
    world.shared.ownership.lease_until(Instant::MAX);
    world.offer(FRONT, &frame.bytes()).only(BACK);
}

/// Two instances: the roles of one say nothing about the other.
#[test]
fn instances_are_served_apart() {
    let config = [
        &ports(Legs::default()),
        r#"
[nat]
local_addresses = [{ address = "10.88.0.40", instance = "red" }, { address = "10.88.0.41", instance = "blue" }]
ports = "20000-20999"
max_sessions = 100
[[service]]
name = "red"
instance = "red"
vip = "10.77.0.100"
port = 53
protocol = "udp"
scheduler = "rr"
backends = [{ address = "10.88.0.21", port = 5353 }]
[[service]]
name = "blue"
instance = "blue"
vip = "10.77.0.101"
port = 53
protocol = "udp"
scheduler = "rr"
backends = [{ address = "10.88.0.21", port = 5353 }]
[ha]
peer = "10.77.0.12"
[[ha.instance]]
name = "red"
[[ha.instance]]
name = "blue"
"#,
        SMALL,
    ]
    .concat();
    let mut world = Plan::new(&config).build();
    // Roles are set by hand here, and the peer is not spoken to.
    world.control_stands = true;
    for (serving, vip, local, other) in
        [(0, "10.77.0.100", "10.88.0.40", "10.77.0.101"), (1, "10.77.0.101", "10.88.0.41", "10.77.0.100")]
    {
        world.shared.ownership.set(InstanceId(1 - serving), HaState::Backup, 5);
        world.shared.ownership.set(InstanceId(serving), HaState::Master, 5);
        let frame = world.on(FRONT, udp("198.51.100.7:1000", &format!("{vip}:53"))).bytes();
        let out = world.offer(FRONT, &frame);
        assert_eq!(ends(&out.only(BACK)[14..]).0.ip(), ip(local));
        let frame = world.on(FRONT, udp("198.51.100.7:1001", &format!("{other}:53"))).bytes();
        dies(&mut world, FRONT, &frame, DropReason::NotOwner);
    }
}
