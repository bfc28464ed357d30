//! What clients do to a node, those of the API and those of a service, must not reach its BFD.

use crate::{
    PATIENCE,
    pair::{Pair, vip},
};
use hitless_lab::{Node, NodeConfig, fetch, output};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

fn api() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 11111))
}

type Histogram = BTreeMap<u64, u64>;

/// A histogram of the node's BFD so far: upper bounds in nanoseconds, and how many.
fn histogram(node: &Node, of: &str) -> Histogram {
    let ask = || fetch(api(), "/hitless/v1/histograms", PATIENCE).unwrap();
    let answer: Value = serde_json::from_str(&node.host.namespace.enter(ask).text()).unwrap();
    let buckets = answer["bfd"][0][of]["buckets"].as_array().unwrap().iter();
    buckets.map(|pair| (pair[0].as_u64().unwrap(), pair[1].as_u64().unwrap())).collect()
}

/// How late packets were sent so far.
fn sent_late(node: &Node) -> Histogram {
    histogram(node, "sentLate")
}

/// The median of what came between two looks.
fn median(before: &Histogram, after: &Histogram) -> u64 {
    quantile(50, before, after)
}

/// What so many percent of what came between two looks do not exceed.
fn quantile(percent: u64, before: &Histogram, after: &Histogram) -> u64 {
    let grown: Vec<(u64, u64)> =
        after.iter().map(|(bound, count)| (*bound, count - before.get(bound).unwrap_or(&0))).collect();
    let all: u64 = grown.iter().map(|(_, count)| count).sum();
    assert!(all > 10, "{grown:?}");
    let mut seen = 0;
    let bound = grown.iter().find(|(_, count)| {
        seen += count;
        100 * seen >= percent * all
    });
    bound.unwrap().0
}

/// A body of 100 MB, a hundred clients that send a byte now and then, and 10,000 connections at once.
fn disturb() {
    let mut large = TcpStream::connect(api()).unwrap();
    let head = "POST /netlox/v1/config/loadbalancer HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: \
                100000000\r\n\r\n";
    large.write_all(head.as_bytes()).unwrap();
    let piece = vec![b' '; 1 << 20];
    // It is refused, and what comes after the refusal is not read for ever.
    let _ = (0..95).try_for_each(|_| large.write_all(&piece));
    let mut slow: Vec<TcpStream> = (0..100).filter_map(|_| TcpStream::connect(api()).ok()).collect();
    let mut crowd = Vec::new();
    for number in 0..10_000 {
        // Beyond what the server holds, connections end: that is its right.
        crowd.extend(TcpStream::connect_timeout(&api(), Duration::from_secs(5)));
        if number % 100 == 0 {
            slow.iter_mut().for_each(|stream| _ = stream.write_all(b"G"));
        }
    }
    assert!(crowd.len() > 5_000, "{}", crowd.len());
    drop(crowd);
    let mut rest = Vec::new();
    let _ = large.set_read_timeout(Some(Duration::from_secs(1)));
    let _ = large.read_to_end(&mut rest);
}

#[test]
fn clients_of_the_api_do_not_reach_bfd() {
    hitless_lab::allow_files(21_000);
    let pair = Pair::new("");
    let node = &pair.nodes[0];
    let at_rest = sent_late(node);
    std::thread::sleep(Duration::from_secs(5));
    let before = sent_late(node);
    node.host.namespace.enter(disturb);
    // Long enough for a hundred packets.
    let mut after = sent_late(node);
    while after.values().sum::<u64>() < before.values().sum::<u64>() + 50 {
        node.host.namespace.enter(disturb);
        after = sent_late(node);
    }
    let (quiet, disturbed) = (median(&at_rest, &before), median(&before, &after));
    println!(
        "median of how late BFD packets leave: {quiet} ns at rest, {disturbed} ns while the API is disturbed"
    );
    // The control thread sleeps between its turns here and shares its core with the server and with these clients: a
    // few of its naps, and never as much as an interval.
    assert!(disturbed < 10_000_000, "{disturbed} ns, {quiet} ns at rest");
    for node in &pair.nodes {
        let sessions = node.get("bfd").unwrap();
        assert_eq!(sessions["Attr"][0]["state"], "BFDUp");
        assert_eq!(sessions["Attr"][0]["flaps"], 0, "{sessions}");
    }
    assert_eq!(pair.nodes[0].state().unwrap(), "MASTER");
    let answer = pair.client.namespace.enter(|| fetch(vip(), "/name", PATIENCE)).unwrap();
    assert_eq!(answer.status, 200);
}

/// SYNs of ever new sources, as fast as one core makes them. The polling threads come before what makes them, as if each
/// had a core of its own.
#[test]
fn a_flood_does_not_reach_bfd() {
    let pair = Pair::with(|config, own| {
        let config = NodeConfig { workers: vec![1], realtime: true, max_sessions: 20_000, ..config };
        // What answers the strangers goes the same way.
        let gateway = "[[route]]\nto = \"0.0.0.0/0\"\nvia = \"10.77.0.1\"";
        (config.with(gateway), format!("priority = {}", 200 - 100 * own))
    });
    pair.client.namespace.shell("ip route add blackhole 21.0.0.0/8").unwrap();
    let node = &pair.nodes[0];
    let kinds = ["sentLate", "receivedLate"];
    let look = || kinds.map(|kind| histogram(node, kind));
    let start = look();
    std::thread::sleep(Duration::from_secs(5));
    let quiet = look();
    let mac = node.host.namespace.shell("cat /sys/class/net/eth0/address").unwrap();
    let mut flood = pair.client.namespace.command(env!("CARGO_BIN_EXE_hitless"));
    let to = format!("--mac {} --vip 10.77.0.100 --core 0", mac.trim());
    let what = "--flood --protocol tcp --flows 200000 --seconds 8 --json";
    flood.args("bench generate net_af_packet0,iface=eth0".split(' '));
    flood.args(to.split(' ')).args(what.split(' '));
    let report: Value = serde_json::from_str(&output(&mut flood).unwrap()).unwrap();
    let flooded = look();
    let refused: u64 = ["overload", "session_table_full"]
        .map(|reason| node.counter(&format!("drops/{reason}")).unwrap())
        .iter()
        .sum();
    println!("{} SYNs sent, {refused} refused", report["sent"]);
    assert!(refused > 10_000, "{report}");
    for (number, kind) in kinds.iter().enumerate() {
        let [before, after] = [[&start, &quiet], [&quiet, &flooded]]
            .map(|[from, to]| [50, 90].map(|percent| quantile(percent, &from[number], &to[number])));
        println!("{kind}: 50 and 90 % at most {before:?} ns at rest, {after:?} ns in the flood");
        assert!(after[0] < 500_000, "{kind}: {after:?} ns, {before:?} ns at rest");
    }
    for node in &pair.nodes {
        let sessions = node.get("bfd").unwrap();
        assert_eq!(
            (&sessions["Attr"][0]["state"], &sessions["Attr"][0]["flaps"]),
            (&"BFDUp".into(), &0.into())
        );
    }
    assert_eq!(pair.nodes[0].state().unwrap(), "MASTER");
    pair.nodes.iter().for_each(|node| node.check_books().unwrap());
}
