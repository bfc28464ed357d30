//! Changes under traffic: nobody else's packet is lost, and nobody's session moves who need not.

use crate::{
    http::{delete, get, post, put},
    node::{Node, OURS, Start, THEIRS, answer_neighbor},
};
use etherparse::{NetSlice, PacketBuilder, SlicedPacket, TransportSlice};
use hitless::port::Packet;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fmt::Write,
    net::Ipv4Addr,
    thread,
    time::{Duration, Instant},
};

const SERVICES: &str = "/hitless/v1/services";

/// A client's datagram to the VIP 192.0.2.1, with its number in it.
fn datagram(client: u16, vip: [u8; 4], number: u64) -> Vec<u8> {
    let [high, low] = client.to_be_bytes();
    let builder =
        PacketBuilder::ethernet2(THEIRS.0, OURS.0).ipv4([10, 9, high, low], vip, 64).udp(20_000, 53);
    let mut frame = Vec::with_capacity(64);
    builder.write(&mut frame, &number.to_be_bytes()).unwrap();
    frame
}

/// A network whose clients send and whose backends are watched.
struct Network<'n> {
    node: &'n Node,
}

impl Network<'_> {
    fn send(&self, frame: &[u8]) {
        let end = Instant::now() + Duration::from_secs(10);
        while Instant::now() < end {
            if let Some(packet) = self.node.pool.packet(frame)
                && self.node.wire.send(0, packet).is_ok()
            {
                return;
            }
            thread::yield_now();
        }
        panic!("the worker takes nothing any more");
    }

    /// What has arrived at backends: the backend and the number in the datagram.
    fn arrivals(&self) -> Vec<(Ipv4Addr, u64)> {
        let mut arrived = Vec::new();
        while let Some(packet) = self.node.wire.receive() {
            if answer_neighbor(&self.node.wire, &self.node.pool, packet.data()) {
                continue;
            }
            let Ok(sliced) = SlicedPacket::from_ethernet(packet.data()) else { continue };
            if let (Some(NetSlice::Ipv4(ip)), Some(TransportSlice::Udp(udp))) = (sliced.net, sliced.transport)
            {
                let number = udp.payload().try_into().map(u64::from_be_bytes);
                arrived.extend(number.map(|number| (ip.header().destination_addr(), number)));
            }
        }
        arrived
    }

    /// Arrivals until there are `count`, or too long nothing comes.
    fn await_arrivals(&self, count: usize) -> Vec<(Ipv4Addr, u64)> {
        let mut arrived = Vec::new();
        let mut heard = Instant::now();
        while arrived.len() < count && heard.elapsed() < Duration::from_secs(5) {
            let more = self.arrivals();
            if more.is_empty() {
                thread::sleep(Duration::from_micros(100));
            } else {
                heard = Instant::now();
            }
            arrived.extend(more);
        }
        arrived
    }

    /// Where clients' datagrams go, by client.
    fn places(&self, vip: [u8; 4], clients: std::ops::Range<u16>) -> BTreeMap<u16, Ipv4Addr> {
        let clients: Vec<u16> = clients.collect();
        let mut places = BTreeMap::new();
        // No more at once than may wait for a neighbour to answer.
        for some in clients.chunks(32) {
            some.iter().for_each(|&client| self.send(&datagram(client, vip, client.into())));
            let arrived = self.await_arrivals(some.len());
            places.extend(arrived.into_iter().map(|(backend, number)| (number as u16, backend)));
        }
        places
    }
}

fn start() -> Node {
    Node::start(Start { plays_network: false, ..Start::default() })
}

fn dns(backends: &[u8], more: Value) -> String {
    let backend = |&n: &u8| json!({"address": format!("192.168.80.{n}"), "port": 53});
    let mut service = json!({
        "vip": "192.0.2.1", "port": 53, "protocol": "udp",
        "backends": backends.iter().map(backend).collect::<Vec<_>>(),
    });
    for (key, value) in more.as_object().unwrap() {
        service[key] = value.clone();
    }
    service.to_string()
}

/// So many services of the API, on addresses that begin at `first`, and the one that carries the traffic.
fn many(count: u32, first: u32) -> String {
    let mut list = String::new();
    for n in 0..count {
        let vip = Ipv4Addr::from(0x0b00_0000 + first + n);
        let _ = write!(
            list,
            r#"{{"name":"s{first}-{n}","vip":"{vip}","port":80,"backends":[{{"address":"192.168.80.{}","port":80}},{{"address":"192.168.81.{}","port":{}}}]}},"#,
            30 + n % 200,
            1 + n % 250,
            1000 + n / 250,
        );
    }
    format!(r#"{{"services":[{list}{}]}}"#, dns(&[21, 22], json!({"name": "dns"})))
}

/// Ten thousand services are loaded, and replaced by ten thousand others, while datagrams of another service flow:
/// each of them arrives.
#[test]
fn ten_thousand_services_are_replaced_without_a_lost_packet() {
    let config = crate::node::CONFIG.to_owned() + "[limits]\nservices = 20000\nbackends = 65536\n";
    let node = Node::start(Start { plays_network: false, config, ..Start::default() });
    let network = Network { node: &node };
    put(node.address, &format!("{SERVICES}/dns"), &dns(&[21, 22], json!({}))).succeeds();
    // Everybody's way is known, and sessions are open.
    assert_eq!(network.places([192, 0, 2, 1], 0..100).len(), 100);
    let (loaded, replaced) = (many(10_000, 0), many(10_000, 20_000));
    let address = node.address;
    let changes = thread::spawn(move || {
        [loaded, replaced].map(|body| {
            let began = Instant::now();
            put(address, SERVICES, &body).succeeds();
            began.elapsed()
        })
    });
    let (mut sent, mut arrived) = (0, 0);
    while !changes.is_finished() || sent < 10_000 {
        // New sessions and old ones, no more than the queues hold.
        for _ in 0..64 {
            network.send(&datagram((sent % 3_000) as u16, [192, 0, 2, 1], sent));
            sent += 1;
        }
        arrived += network.await_arrivals(64).len() as u64;
    }
    let took = changes.join().unwrap();
    assert_eq!(
        arrived,
        sent,
        "{} lost; drops: {}",
        sent - arrived,
        get(node.address, "/hitless/v1/stats").json()["total"]["drops"]
    );
    assert_eq!(get(node.address, SERVICES).json()["services"].as_array().unwrap().len(), 10_001);
    println!(
        "10,000 services loaded in {:?}, replaced by 10,000 others in {:?}, {sent} datagrams meanwhile",
        took[0], took[1]
    );
}

/// Weights move only what they must: sessions stay, and of new ones no more than the share that changes.
#[test]
fn sessions_do_not_move_when_weights_or_backends_do() {
    let node = start();
    let network = Network { node: &node };
    let path = format!("{SERVICES}/dns");
    put(node.address, &path, &dns(&[21, 22, 23], json!({}))).succeeds();
    let before = network.places([192, 0, 2, 1], 0..600);
    assert_eq!(before.len(), 600);
    let mut heavier: Value = serde_json::from_str(&dns(&[21, 22, 23], json!({}))).unwrap();
    heavier["backends"][2]["weight"] = json!(3);
    put(node.address, &path, &heavier.to_string()).succeeds();
    assert_eq!(network.places([192, 0, 2, 1], 0..600), before, "sessions stay");
    put(node.address, &path, &dns(&[24, 22, 23], json!({}))).succeeds();
    assert_eq!(network.places([192, 0, 2, 1], 0..600), before, "and while their backend drains");
    let fresh = network.places([192, 0, 2, 1], 600..1_200);
    assert!(fresh.values().all(|backend| *backend != Ipv4Addr::new(192, 168, 80, 21)), "but get no new ones");
}

#[test]
fn a_backend_that_has_drained_lets_its_sessions_go() {
    let node = start();
    let network = Network { node: &node };
    let path = format!("{SERVICES}/dns");
    put(node.address, &path, &dns(&[21, 22], json!({"drain_timeout_s": 2}))).succeeds();
    let before = network.places([192, 0, 2, 1], 0..200);
    let gone = Ipv4Addr::new(192, 168, 80, 21);
    let of_gone: Vec<u16> =
        before.iter().filter(|(_, backend)| **backend == gone).map(|(client, _)| *client).collect();
    assert!(of_gone.len() > 50);
    put(node.address, &path, &dns(&[22], json!({"drain_timeout_s": 2}))).succeeds();
    assert_eq!(network.places([192, 0, 2, 1], 0..200), before, "until the deadline all goes on");
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let now = network.places([192, 0, 2, 1], 0..200);
        assert_eq!(now.len(), 200);
        // Nobody else's session has moved.
        assert!(before.iter().all(|(client, backend)| *backend == gone || now[client] == *backend));
        if now.values().all(|backend| *backend != gone) {
            break;
        }
        assert!(Instant::now() < end, "sessions stay with a backend that is gone");
        thread::sleep(Duration::from_millis(100));
    }
}

/// A controller that changes a rule by deleting and creating it: its sessions do not notice.
#[test]
fn a_rule_that_is_deleted_and_created_keeps_its_sessions() {
    let node = start();
    let network = Network { node: &node };
    let rule = |timeout: u32| {
        format!(
            r#"{{"serviceArguments":{{"externalIP":"192.0.2.1","port":53,"protocol":"udp","mode":2,"inactiveTimeOut":{timeout}}},
                "endpoints":[{{"endpointIP":"192.168.80.21","targetPort":53,"weight":1}},{{"endpointIP":"192.168.80.22","targetPort":53,"weight":1}}]}}"#
        )
    };
    let path = "/netlox/v1/config/loadbalancer";
    post(node.address, path, &rule(1800)).succeeds();
    let before = network.places([192, 0, 2, 1], 0..100);
    for round in 0..20 {
        delete(node.address, &format!("{path}/externalipaddress/192.0.2.1/port/53/protocol/udp")).succeeds();
        post(node.address, path, &rule(1000 + round)).succeeds();
        assert_eq!(network.places([192, 0, 2, 1], 0..100), before, "round {round}");
    }
    let sessions = get(node.address, "/hitless/v1/sessions?service=udp-192.0.2.1-53&protocol=udp").json();
    assert_eq!(sessions["sessions"].as_array().unwrap().len(), 100);
    let one = get(node.address, "/hitless/v1/sessions?client=10.9.0.7").json();
    assert_eq!(
        (one["sessions"].as_array().unwrap().len(), &one["sessions"][0]["vip"]),
        (1, &json!("192.0.2.1:53"))
    );
    // Both directions of each, whole and in pieces.
    let entries = get(node.address, "/netlox/v1/config/conntrack/all").json();
    assert_eq!(entries["ctAttr"].as_array().unwrap().len(), 200);
    assert_eq!(entries["ctAttr"][0]["conntrackState"], json!("udp-uni"));
}

/// All rules again and again, as after a restart of the controller: identical ones change nothing.
#[test]
fn identical_rules_touch_nothing() {
    let node = start();
    let body = r#"{"serviceArguments":{"externalIP":"192.0.2.1","port":53,"protocol":"udp","mode":2},
        "endpoints":[{"endpointIP":"192.168.80.21","targetPort":53,"weight":1}]}"#;
    post(node.address, "/netlox/v1/config/loadbalancer", body).succeeds();
    let table = node.shared.registry.lock().table();
    for _ in 0..50 {
        post(node.address, "/netlox/v1/config/loadbalancer", body).is_refused(409, "exist");
    }
    assert!(std::sync::Arc::ptr_eq(&table, &node.shared.registry.lock().table()));
}

/// A list longer than one piece is sent in pieces, and is whole.
#[test]
fn long_lists_come_in_pieces() {
    let node = start();
    let network = Network { node: &node };
    put(node.address, &format!("{SERVICES}/dns"), &dns(&[21, 22], json!({}))).succeeds();
    assert_eq!(network.places([192, 0, 2, 1], 0..900).len(), 900);
    let answer = get(node.address, "/netlox/v1/config/conntrack/all");
    assert_eq!(answer.header("transfer-encoding"), Some("chunked"));
    assert_eq!(answer.json()["ctAttr"].as_array().unwrap().len(), 1_800);
    let sessions = get(node.address, "/hitless/v1/sessions?limit=700").json();
    assert_eq!(sessions["sessions"].as_array().unwrap().len(), 700);
}
