//! ICMP: pings of the VIP, and path-MTU discovery through links that are narrower than both ends believe.

use crate::{PATIENCE, World, vips};
use hitless_lab::{Host, Lab, Nginx, Node, NodeConfig, output};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
};

#[test]
fn the_vip_answers_pings() {
    let world =
        World::new(1, |backends| NodeConfig::default().service(("tcp", 80, Some(8080)), backends, ""));
    for target in ["10.77.0.100", "fd77::100", "10.77.0.11", "fd77::11"] {
        for size in ["8", "1400"] {
            let mut ping = world.client.namespace.command("ping");
            let said = output(ping.args(["-c", "3", "-i", "0.2", "-W", "10", "-s", size, target])).unwrap();
            assert!(said.contains(" 3 received"), "{said}");
        }
    }
    assert_eq!(world.node.counter("echo_replies").unwrap(), 24);
    world.node.check_books().unwrap();
}

/// A lab whose backend `b1` and client `far` are each behind a router with a narrow link.
struct Narrow {
    node: Node,
    _nginx: Nginx,
    client: Host,
    far: Host,
    _lab: Lab,
}

const MTU: u16 = 1300;

fn narrow() -> Narrow {
    let mut lab = Lab::new().expect("the lab needs root");
    let client = lab.host("client", 1).unwrap();
    let machine = lab.machine("lb1", 11).unwrap();
    let router = lab.host("router", 2).unwrap();
    let backend = lab.behind(&router, "b1", 1, MTU).unwrap();
    let far = lab.behind(&router, "far", 2, MTU).unwrap();
    // The virtual and local addresses are on the bridge, so the router finds them there.
    let nginx = Nginx::start(&lab, &backend).unwrap();
    let routes = ["10.78.0.0/16", "fd78::/16"].map(|to| {
        let via = if to.contains(':') { "fd77::2" } else { "10.77.0.2" };
        format!("[[route]]\nto = \"{to}\"\nvia = \"{via}\"\n")
    });
    let config =
        NodeConfig::default().with(&routes.concat()).service(("tcp", 80, Some(8080)), &[&backend], "");
    std::fs::write(nginx.files().join("megabyte"), vec![7; 1 << 20]).unwrap();
    let node = Node::start(&lab, &machine, Path::new(env!("CARGO_BIN_EXE_hitless")), &config).unwrap();
    Narrow { node, _nginx: nginx, client, far, _lab: lab }
}

fn request(host: &Host, vip: SocketAddr, head: &str, body: &[u8]) -> Vec<u8> {
    let mut stream = host.namespace.enter(|| TcpStream::connect_timeout(&vip, PATIENCE)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
        .write_all(
            format!(
                "{head} HTTP/1.1\r\nHost: lab\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
                body.len()
            )
            .as_bytes(),
        )
        .unwrap();
    stream.write_all(body).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    answer
}

#[test]
fn path_mtu_discovery_works_both_ways() {
    let narrow = narrow();
    for vip in vips(80) {
        let before = narrow.node.counter("icmp_translated").unwrap();
        // The client's long segments do not fit the link to the backend: the router tells the local address, the
        // client must hear of it.
        let answer = request(&narrow.client, vip, "PUT /up", &vec![1; 1 << 20]);
        assert!(answer.starts_with(b"HTTP/1.1 20"), "upload to {vip}");
        let upload = narrow.node.counter("icmp_translated").unwrap();
        assert!(upload > before, "{vip}: the client found the MTU by other means");
        // The backend's long segments do not fit the link to the far client: the router tells the VIP.
        let answer = request(&narrow.far, vip, "GET /megabyte", b"");
        assert!(answer.len() > 1 << 20, "download from {vip}: {} bytes", answer.len());
        let download = narrow.node.counter("icmp_translated").unwrap();
        assert!(download > upload, "{vip}: the backend found the MTU by other means");
    }
    assert_eq!(narrow.node.counter("drops/icmp_unmatched").unwrap(), 0);
    narrow.node.check_books().unwrap();
}
