//! What goes over the wire on both sides, judged by tshark.

use crate::{AF_XDP, PATIENCE, World, datagrams, vips};
use hitless_lab::{Capture, NodeConfig, fetch, output};

#[test]
fn tshark_finds_no_bad_checksum_on_either_side() {
    finds_no_bad_checksum(NodeConfig::default());
}

#[test]
fn tshark_finds_no_bad_checksum_on_af_xdp() {
    finds_no_bad_checksum(NodeConfig { device: AF_XDP, ..NodeConfig::default() });
}

fn finds_no_bad_checksum(config: NodeConfig) {
    let world = World::new(1, |backends| {
        config.service(("tcp", 80, Some(8080)), backends, "").service(("udp", 7, None), backends, "")
    });
    datagrams::echo(&world.backends[0], 7);
    let file = |name: &str| world.lab.folder().join(name);
    let captures = ["client", "b1"]
        .map(|port| Capture::start(world.lab.bridge(), port, "", &file(&format!("{port}.pcap"))).unwrap());
    for (vip, echo) in vips(80).into_iter().zip(vips(7)) {
        for _ in 0..50 {
            world.client.namespace.enter(|| fetch(vip, "/name", PATIENCE)).unwrap();
        }
        let socket = datagrams::socket(&world.client, echo);
        for length in [1, 2, 999, 1472, 20_000] {
            socket.send(&vec![0x5a; length]).unwrap();
            assert_eq!(socket.recv(&mut vec![0; 65_536]).unwrap(), length);
        }
        // Nobody listens on this port: the backend's ICMP error comes back about the VIP.
        output(world.client.namespace.command("ping").args(["-c", "3", "-i", "0.2", &vip.ip().to_string()]))
            .unwrap();
    }
    for capture in captures {
        let captured = capture.finish().unwrap();
        assert_eq!(captured.bad_checksums().unwrap(), Vec::<String>::new());
        for layer in
            ["ip && tcp", "ipv6 && tcp", "ip && udp", "ipv6 && udp", "ip.flags.mf == 1", "ipv6.fraghdr"]
        {
            assert!(captured.count(layer).unwrap() > 0, "no {layer} in the capture");
        }
    }
    world.node.check_books().unwrap();
}
