//! UDP echo through the VIP, with datagrams that fit a packet and datagrams of 32,000 bytes, which come in fragments.

use crate::{PATIENCE, World, vips};
use hitless_lab::{Host, NodeConfig};
use std::{
    io,
    net::{IpAddr, SocketAddr, UdpSocket},
    thread,
};

/// Echoes for as long as the test lives.
pub(crate) fn echo(host: &Host, port: u16) {
    for address in [IpAddr::from(host.v4), IpAddr::from(host.v6)] {
        let socket = host.namespace.enter(|| UdpSocket::bind((address, port))).unwrap();
        thread::spawn(move || {
            let mut buffer = vec![0; 65_536];
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                let _ = socket.send_to(&buffer[..length], from);
            }
        });
    }
}

/// A socket towards the VIP.
pub(crate) fn socket(client: &Host, vip: SocketAddr) -> UdpSocket {
    let address = if vip.is_ipv4() { IpAddr::from(client.v4) } else { client.v6.into() };
    let socket = client.namespace.enter(|| UdpSocket::bind((address, 0))).unwrap();
    socket.connect(vip).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn ask(socket: &UdpSocket, length: usize, number: usize) -> io::Result<()> {
    let question: Vec<u8> = (0..length).map(|at| (at * 31 + number) as u8).collect();
    socket.send(&question)?;
    let mut answer = vec![0; 65_536];
    let length = socket.recv(&mut answer)?;
    assert!(answer[..length] == question[..], "datagram {number} came back changed");
    Ok(())
}

#[test]
fn datagrams_come_back_whole_or_in_fragments() {
    for workers in [vec![0], vec![0, 1]] {
        let world = World::new(2, |backends| {
            NodeConfig { workers: workers.clone(), ..NodeConfig::default() }.service(
                ("udp", 7, None),
                backends,
                "",
            )
        });
        world.backends.iter().for_each(|host| echo(host, 7));
        for vip in vips(7) {
            for number in 0..10 {
                let socket = socket(&world.client, vip);
                for length in [1, 512, 1400, 1473, 9000, 32_000, 60_000] {
                    ask(&socket, length, number).unwrap_or_else(|error| {
                        panic!("{length} bytes to {vip} with {} workers: {error}", workers.len())
                    });
                }
            }
        }
        for reason in ["fragment_unmatched", "fragment_table_full", "fragment_unsupported"] {
            assert_eq!(world.node.counter(&format!("drops/{reason}")).unwrap(), 0);
        }
        world.node.check_books().unwrap();
    }
}
