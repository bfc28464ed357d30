//! net_af_packet on a veth pair, in a network namespace of its own. Needs root.

use crate::{frame, packet, process, received, small};
use hitless::{
    dpdk::{Device, DeviceError, Eal, Filter, OpenOptions, Pool, PoolOptions, Queue},
    packet::Steering,
    port::{Burst, Port},
};
use std::{
    process::Command,
    time::{Duration, Instant},
};

#[test]
fn frames_cross_a_veth_pair() {
    if process::is_root() {
        process::run(process::command("af_packet", &["unshare", "--net"]));
    } else {
        println!("skipped: needs root");
    }
}

pub(crate) fn in_namespace() {
    shell("ip link add hl0 type veth peer name hl1");
    // Nobody else talks on the pair.
    for interface in ["hl0", "hl1"] {
        std::fs::write(format!("/proc/sys/net/ipv6/conf/{interface}/disable_ipv6"), "1").unwrap();
        shell(&format!("ip link set {interface} up"));
    }
    let eal = Eal::start(&small()).unwrap();
    let pool = Pool::create(&eal, &PoolOptions { packets: 2047, mtu: 1500, numa_node: None }).unwrap();
    {
        let options = OpenOptions { workers: 2, control: true, ..OpenOptions::default() };
        let open = |device| Device::probe(&eal, device, 2).unwrap().open(&options, &pool).unwrap();
        let (mut left, mut right) =
            (open("net_af_packet0,iface=hl0"), open("net_af_packet1,iface=hl1,qpairs=2"));
        // The kernel spreads packets its own way: two pairs as asked for, no prediction, none for control.
        for port in [&left, &right] {
            assert_eq!((port.queues.len(), port.control.is_some()), (2, false));
            assert!(matches!(port.nic.report().steering, Steering::Software { workers: 2 }));
            assert!(port.nic.link().is_some_and(|link| link.up));
            assert_ne!(port.nic.report().multicast, Filter::None);
        }
        assert_ne!(left.nic.report().mac, right.nic.report().mac);
        cross(&mut left.queues, &mut right.queues);
        cross(&mut right.queues, &mut left.queues);
        assert_eq!(left.nic.counters().tx_packets, 40);
    }
    assert_eq!(pool.available(), 2047);
    the_mtu_is_the_interfaces(&eal);
}

/// Frames sent from either queue arrive in some queue, unchanged.
fn cross(from: &mut [Queue], to: &mut [Queue]) {
    let frames: Vec<Vec<u8>> = (0..40)
        .map(|number| {
            let mut frame = frame(number);
            frame[..14].copy_from_slice(&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x88, 0xb5]);
            frame
        })
        .collect();
    for (index, half) in frames.chunks(20).enumerate() {
        let mut burst: Burst<_> = half.iter().map(|frame| packet(&mut from[index], frame)).collect();
        assert_eq!(from[index].transmit(&mut burst), 20);
    }
    let (mut got, limit) = (Vec::new(), Instant::now() + Duration::from_secs(5));
    while got.len() < frames.len() && Instant::now() < limit {
        to.iter_mut().for_each(|queue| got.extend(received(queue)));
    }
    got.sort();
    let mut expected = frames;
    expected.sort();
    assert_eq!(got, expected);
}

/// The interface gets the port's MTU, and one that it cannot have is refused.
fn the_mtu_is_the_interfaces(eal: &Eal) {
    let pool = Pool::create(eal, &PoolOptions { packets: 2047, mtu: 65_000, numa_node: None }).unwrap();
    let open = |mtu| {
        let options = OpenOptions { mtu, ..OpenOptions::default() };
        Device::probe(eal, "net_af_packet0,iface=hl0", 1).unwrap().open(&options, &pool)
    };
    let port = open(1400).unwrap();
    shell("ip link show hl0 | grep -q 'mtu 1400 '");
    drop(port);
    let error = open(60_000).map(|_| ()).unwrap_err();
    let DeviceError::Mtu { mtu: 60_000, most, .. } = error else { panic!("{error}") };
    assert!(most >= 1500);
    drop(open(most).unwrap());
    shell(&format!("ip link show hl0 | grep -q 'mtu {most} '"));
}

fn shell(command: &str) {
    let status = Command::new("sh").args(["-c", command]).status().expect("sh");
    assert!(status.success(), "{command}");
}
