//! The networks the tests are set in, and who lives there.

use super::{
    frame::{Body, Frame, ip, mac_of, tcp},
    world::{Outcome, Plan, World, own_mac},
};
use hitless::types::{Mac, Protocol};
use std::net::{IpAddr, SocketAddr};

/// The port clients are behind, and the port of the backends.
pub(crate) const FRONT: usize = 0;
pub(crate) const BACK: usize = 1;

/// Everything else that is not said in a configuration: small tables.
pub(crate) const SMALL: &str = "
[limits]
services = 32
backends = 64
neighbors = 64
held_packets = 64
fragments = 8
";

/// The two ports: VLAN and MTU of each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Legs {
    pub(crate) vlans: [u16; 2],
    pub(crate) mtus: [u16; 2],
}

impl Default for Legs {
    fn default() -> Self {
        Self { vlans: [0, 0], mtus: [1500, 1500] }
    }
}

/// Clients behind a gateway on one port, backends on another.
pub(crate) fn ports(legs: Legs) -> String {
    let Legs { vlans: [front, back], mtus: [front_mtu, back_mtu] } = legs;
    format!(
        r#"
[[port]]
name = "front"
device = "0000:3b:00.0"
addresses = ["10.77.0.11/24", "fd77::11/64"]
vlan = {front}
mtu = {front_mtu}
[[port]]
name = "back"
device = "0000:3b:00.1"
addresses = ["10.88.0.11/24", "fd88::11/64"]
vlan = {back}
mtu = {back_mtu}
[[route]]
to = "0.0.0.0/0"
via = "10.77.0.1"
[[route]]
to = "::/0"
via = "fd77::1"
"#
    )
}

pub(crate) const NAT: &str = r#"
[nat]
local_addresses = ["10.88.0.40", "fd88::40"]
ports = "20000-20999"
max_sessions = 2000
"#;

/// A service of one backend for each protocol and family.
pub(crate) const SERVICES: &str = r#"
[[service]]
name = "web"
vip = "10.77.0.100"
port = 80
scheduler = "rr"
backends = [{ address = "10.88.0.21", port = 8080 }]
[[service]]
name = "dns"
vip = "10.77.0.100"
port = 53
protocol = "udp"
scheduler = "rr"
backends = [{ address = "10.88.0.21", port = 5353 }]
[[service]]
name = "diameter"
vip = "10.77.0.100"
port = 3868
protocol = "sctp"
scheduler = "rr"
backends = [{ address = "10.88.0.21" }]
[[service]]
name = "web6"
vip = "fd77::100"
port = 80
scheduler = "rr"
backends = [{ address = "fd88::21", port = 8080 }]
[[service]]
name = "dns6"
vip = "fd77::100"
port = 53
protocol = "udp"
scheduler = "rr"
backends = [{ address = "fd88::21", port = 5353 }]
[[service]]
name = "diameter6"
vip = "fd77::100"
port = 3868
protocol = "sctp"
scheduler = "rr"
backends = [{ address = "fd88::21" }]
"#;

/// The usual place.
pub(crate) fn plan() -> Plan {
    plan_on(Legs::default())
}

pub(crate) fn plan_on(legs: Legs) -> Plan {
    Plan::new(&[&ports(legs), NAT, SERVICES, SMALL].concat())
}

pub(crate) fn world() -> World {
    plan().build()
}

/// The two families.
pub(crate) const FAMILIES: [Family; 2] = [
    Family {
        ipv4: true,
        client: "198.51.100.7",
        gateway: "10.77.0.1",
        node: ["10.77.0.11", "10.88.0.11"],
        vip: "10.77.0.100",
        local: "10.88.0.40",
        backend: "10.88.0.21",
        router: "10.88.0.1",
    },
    Family {
        ipv4: false,
        client: "2001:db8::7",
        gateway: "fd77::1",
        node: ["fd77::11", "fd88::11"],
        vip: "fd77::100",
        local: "fd88::40",
        backend: "fd88::21",
        router: "fd88::1",
    },
];

/// Who lives there, of one family.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Family {
    pub(crate) ipv4: bool,
    pub(crate) client: &'static str,
    pub(crate) gateway: &'static str,
    /// This node's own address on each port.
    pub(crate) node: [&'static str; 2],
    pub(crate) vip: &'static str,
    pub(crate) local: &'static str,
    pub(crate) backend: &'static str,
    /// Somebody on the backends' side who sends errors.
    pub(crate) router: &'static str,
}

pub(crate) fn end(address: &str, port: u16) -> String {
    if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") }
}

impl Family {
    pub(crate) fn ip(&self, address: &str) -> IpAddr {
        address.parse().unwrap()
    }

    /// The client with a port of its.
    pub(crate) fn client_at(&self, port: u16) -> String {
        end(self.client, port)
    }

    /// The service of a protocol.
    pub(crate) fn service(&self, protocol: Protocol) -> String {
        end(self.vip, service_port(protocol))
    }

    /// Where its packets go.
    pub(crate) fn backend_at(&self, protocol: Protocol) -> SocketAddr {
        let port = match protocol {
            Protocol::Tcp => 8080,
            Protocol::Udp => 5353,
            Protocol::Sctp => 3868,
        };
        SocketAddr::new(self.ip(self.backend), port)
    }

    /// Length of its fixed header.
    pub(crate) fn header(&self) -> usize {
        if self.ipv4 { 20 } else { 40 }
    }

    /// The opening packet of a flow of the client's, as it arrives.
    pub(crate) fn opening(&self, world: &World, protocol: Protocol, client_port: u16) -> Frame {
        let frame = super::frame::opening(protocol, &self.client_at(client_port), &self.service(protocol));
        world.on(FRONT, frame.with(|frame| frame.from = mac_of(self.ip(self.gateway))))
    }
}

pub(crate) const fn service_port(protocol: Protocol) -> u16 {
    match protocol {
        Protocol::Tcp => 80,
        Protocol::Udp => 53,
        Protocol::Sctp => 3868,
    }
}

/// A session that was opened by a packet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Session {
    pub(crate) family: Family,
    pub(crate) client: SocketAddr,
    pub(crate) vip: SocketAddr,
    /// Where the backend sees it come from.
    pub(crate) local: SocketAddr,
    pub(crate) backend: SocketAddr,
}

impl Session {
    /// Of a client's frame that was forwarded to a backend as `sent`.
    pub(crate) fn of(family: Family, client: &Frame, sent: &[u8]) -> Self {
        let at = if sent[12..14] == [0x81, 0] { 18 } else { 14 };
        let ip = &sent[at..];
        let (local, backend) = ends(ip);
        Self { family, client: client.source, vip: client.destination, local, backend }
    }

    /// A packet of the client's, as it arrives.
    pub(crate) fn inbound(&self, world: &World, body: Body) -> Frame {
        let gateway = mac_of(self.family.ip(self.family.gateway));
        world.on(FRONT, Frame::new(self.client, self.vip, body).with(|frame| frame.from = gateway))
    }

    /// A packet of the backend's, as it arrives.
    pub(crate) fn outbound(&self, world: &World, body: Body) -> Frame {
        world.on(BACK, Frame::new(self.backend, self.local, body))
    }

    /// What a packet of the client's is when it leaves.
    pub(crate) fn at_backend(&self, world: &World, frame: &Frame) -> Frame {
        let leaving =
            Frame { source: self.local, destination: self.backend, ttl: frame.ttl - 1, ..frame.clone() };
        let out = world.on(BACK, leaving);
        Frame { from: own_mac(BACK), to: mac_of(self.backend.ip()), ..out }
    }

    /// What a packet of the backend's is when it leaves.
    pub(crate) fn at_client(&self, world: &World, frame: &Frame) -> Frame {
        let leaving =
            Frame { source: self.vip, destination: self.client, ttl: frame.ttl - 1, ..frame.clone() };
        let out = world.on(FRONT, leaving);
        let gateway = mac_of(self.family.ip(self.family.gateway));
        Frame { from: own_mac(FRONT), to: gateway, ..out }
    }
}

/// Source and destination of a packet with a plain or optioned header and ports.
pub(crate) fn ends(ip: &[u8]) -> (SocketAddr, SocketAddr) {
    let sliced = etherparse::LaxSlicedPacket::from_ip(ip).unwrap();
    let (source, destination): (IpAddr, IpAddr) = match sliced.net.as_ref().unwrap() {
        etherparse::LaxNetSlice::Ipv4(v4) => {
            (v4.header().source_addr().into(), v4.header().destination_addr().into())
        }
        etherparse::LaxNetSlice::Ipv6(v6) => {
            (v6.header().source_addr().into(), v6.header().destination_addr().into())
        }
        etherparse::LaxNetSlice::Arp(_) => panic!("ARP has no ports"),
    };
    let payload = sliced.net.as_ref().unwrap().ip_payload_ref().unwrap().payload;
    let port = |at: usize| u16::from_be_bytes([payload[at], payload[at + 1]]);
    (SocketAddr::new(source, port(0)), SocketAddr::new(destination, port(2)))
}

/// Opens a session with a client's frame; what it became must be right.
#[track_caller]
pub(crate) fn open_with(world: &mut World, family: Family, frame: &Frame) -> (Session, Outcome) {
    let out = world.offer(FRONT, &frame.bytes());
    let session = Session::of(family, frame, out.only(BACK));
    assert_eq!(session.local.ip(), family.ip(family.local), "a local address of the family");
    assert!((20000..=20999).contains(&session.local.port()), "{}: of nat.ports", session.local);
    assert_eq!(out.only(BACK), session.at_backend(world, frame).bytes(), "{:02x?}", out.sent);
    (session, out)
}

/// Opens a session of the usual client.
#[track_caller]
pub(crate) fn open(world: &mut World, family: Family, protocol: Protocol, client_port: u16) -> Session {
    let frame = family.opening(world, protocol, client_port);
    open_with(world, family, &frame).0
}

/// An ARP packet in its frame: operation, sender and target; to the port, whoever is asked.
pub(crate) fn arp(
    world: &World,
    port: usize,
    (operation, sender_mac, sender, target_mac, target): (u8, Mac, &str, Mac, &str),
) -> Vec<u8> {
    let octets = |text: &str| match ip(text) {
        std::net::IpAddr::V4(v4) => v4.octets(),
        std::net::IpAddr::V6(_) => panic!("ARP is for IPv4"),
    };
    let link = world.on(port, tcp("1.2.3.4:1", "1.2.3.4:1", 0)).with(|frame| frame.from = sender_mac).bytes();
    let body = [
        &[0, 1, 8, 0, 6, 4, 0, operation][..],
        &sender_mac.0,
        &octets(sender),
        &target_mac.0,
        &octets(target),
    ]
    .concat();
    let mut frame = [&link[..12], &[0x08, 0x06], &body].concat();
    frame.resize(60, 0);
    frame
}

/// The question of a client on the front port's subnet for the virtual address, to everybody.
pub(crate) fn arp_request(world: &World) -> Vec<u8> {
    let asker = mac_of(FAMILIES[0].ip("10.77.0.9"));
    let question = arp(world, FRONT, (1, asker, "10.77.0.9", Mac::default(), FAMILIES[0].vip));
    [&[0xff; 6][..], &question[6..]].concat()
}
