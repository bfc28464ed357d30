//! Which backend answers, as clients see it.

use crate::{PATIENCE, World, vips};
use hitless_lab::{NodeConfig, fetch, fetch_from};
use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddrV4},
};

fn world(backends: u8, workers: &[u16], rest: &str) -> World {
    World::new(backends, |hosts| {
        NodeConfig { workers: workers.to_vec(), ..NodeConfig::default() }.service(
            ("tcp", 80, Some(8080)),
            hosts,
            rest,
        )
    })
}

fn names(world: &World, count: usize) -> Vec<String> {
    let [vip, _] = vips(80);
    world.client.namespace.enter(|| {
        (0..count).map(|_| fetch(vip, "/name", PATIENCE).unwrap().text().trim().to_owned()).collect()
    })
}

#[test]
fn round_robin_is_one_order_over_all_workers() {
    let world = world(3, &[0, 1], "scheduler = \"rr\"");
    let expected: Vec<String> = (0..12).map(|number| format!("b{}", number % 3 + 1)).collect();
    assert_eq!(names(&world, 12), expected);
    let stats = world.node.get("stats").unwrap();
    let opened: Vec<_> = stats["workers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|worker| worker["sessions_opened"].as_u64())
        .collect();
    assert!(opened.iter().all(|count| count.unwrap() > 0), "both workers took part: {opened:?}");
}

#[test]
fn a_client_sticks() {
    for scheduler in ["sh", "maglev"] {
        let world = world(3, &[0, 1], &format!("scheduler = \"{scheduler}\""));
        let vip = SocketAddrV4::new(Ipv4Addr::new(10, 77, 0, 100), 80);
        let ask = |port: u16| {
            let answer = world.client.namespace.enter(|| fetch_from(port, vip, "/name", PATIENCE)).unwrap();
            answer.text()
        };
        let fixed: Vec<_> = (0..12).map(|_| ask(65_101)).collect();
        assert!(fixed.iter().all(|name| *name == fixed[0]), "{scheduler}: {fixed:?}");
        let mut other: Vec<_> = (0..24).map(|number| ask(65_200 + number)).collect();
        other.sort();
        other.dedup();
        // By source address all ports agree; Maglev hashes the port too.
        assert_eq!(other.len(), if scheduler == "sh" { 1 } else { 3 }, "{scheduler}: {other:?}");
    }
}

#[test]
fn weights_are_shares() {
    for scheduler in ["wrr", "maglev"] {
        let world = World::new(2, |hosts| {
            let backends: Vec<String> = hosts
                .iter()
                .zip([80, 20])
                .map(|(host, weight)| {
                    format!("{{ address = \"{}\", port = 8080, weight = {weight} }}", host.v4)
                })
                .collect();
            NodeConfig { workers: vec![0, 1], ..NodeConfig::default() }.with(&format!(
                "[[service]]\nname = \"web\"\nvip = \"10.77.0.100\"\nport = 80\nscheduler = \"{scheduler}\"\nbackends = [{}]",
                backends.join(",")
            ))
        });
        // Maglev draws by hash: more draws, the same bound in shares.
        let count = if scheduler == "wrr" { 100 } else { 4_000 };
        let mut shares = BTreeMap::<String, usize>::new();
        names(&world, count).into_iter().for_each(|name| *shares.entry(name).or_default() += 1);
        let heavy = 100.0 * shares["b1"] as f64 / count as f64;
        assert!((77.0..=83.0).contains(&heavy), "{scheduler}: {shares:?}");
    }
}

#[test]
fn least_connections_fills_the_gaps() {
    let world = world(3, &[0, 1], "scheduler = \"lc\"");
    let [vip, _] = vips(80);
    let open =
        || world.client.namespace.enter(|| std::net::TcpStream::connect_timeout(&vip, PATIENCE)).unwrap();
    let mut held: Vec<_> = (0..6).map(|_| open()).collect();
    let sessions = |world: &World| -> Vec<u64> {
        let services = world.node.get("lb").unwrap();
        let endpoints = services["lbAttr"][0]["endpoints"].as_array().unwrap().clone();
        endpoints.iter().map(|endpoint| endpoint["sessions"].as_u64().unwrap()).collect()
    };
    assert_eq!(sessions(&world), [2, 2, 2]);
    held.clear();
}
