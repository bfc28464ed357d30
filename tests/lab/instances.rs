//! Several HA instances: both nodes of a pair serve, each its own VIPs.

use crate::{PATIENCE, pair::Pair};
use hitless_lab::{Node, fetch, wait_for};
use serde_json::Value;
use std::net::SocketAddr;

fn pair() -> Pair {
    Pair::with(|mut config, own| {
        config.local_addresses.push_str(", { address = \"10.77.0.43\", instance = \"blue\" }");
        let blue = "[[service]]\nname = \"blue\"\ninstance = \"blue\"\nvip = \"10.77.0.101\"\nport = 80\nbackends = [{ address = \"10.77.0.21\", port = 8080 }]";
        let priorities = if own == 0 { [200, 100] } else { [100, 200] };
        let [first, second] = priorities;
        let instances = format!(
            "[[ha.instance]]\nname = \"llb-inst0\"\npriority = {first}\n[[ha.instance]]\nname = \"blue\"\npriority = {second}"
        );
        (config.with(blue), instances)
    })
}

/// The states of the two instances, in the order of the configuration.
fn states(node: &Node) -> Option<[String; 2]> {
    let answer = node.get("hastate").ok()?;
    let state = |number: usize| {
        answer.pointer(&format!("/Attr/{number}/state")).and_then(Value::as_str).map(str::to_owned)
    };
    Some([state(0)?, state(1)?])
}

fn wait_for_states(pair: &Pair, wanted: [Option<[&str; 2]>; 2]) {
    let mut last = Vec::new();
    let found = wait_for(PATIENCE, || {
        last = pair.nodes.iter().map(states).collect();
        let as_wanted = |(wanted, found): (&Option<[&str; 2]>, &Option<[String; 2]>)| {
            wanted.is_none_or(|wanted| found.as_ref().is_some_and(|found| wanted[..] == found[..]))
        };
        wanted.iter().zip(&last).all(as_wanted).then_some(())
    });
    assert!(found.is_some(), "{last:?}, not {wanted:?}");
}

#[test]
fn both_nodes_serve_and_each_stands_in_for_the_other() {
    let mut pair = pair();
    let ask = |pair: &Pair| {
        for last in [100, 101] {
            let vip = SocketAddr::from(([10, 77, 0, last], 80));
            assert_eq!(pair.client.namespace.enter(|| fetch(vip, "/name", PATIENCE)).unwrap().status, 200);
        }
    };
    wait_for_states(&pair, [Some(["MASTER", "BACKUP"]), Some(["BACKUP", "MASTER"])]);
    ask(&pair);
    let forwarded = |node: &Node| node.counter("forwarded").unwrap();
    assert!(pair.nodes.iter().all(|node| forwarded(node) > 0), "both forward");

    // One dies: the other serves both, and keeps them.
    pair.nodes[0].program.kill();
    wait_for_states(&pair, [None, Some(["MASTER", "MASTER"])]);
    ask(&pair);
    pair.nodes[0].restart().unwrap();
    wait_for_states(&pair, [Some(["BACKUP", "BACKUP"]), Some(["MASTER", "MASTER"])]);

    // One of them goes back on request.
    let moved = wait_for(PATIENCE, || pair.nodes[1].hitless("switchover llb-inst0").ok());
    assert!(moved.is_some(), "{:?}", pair.nodes[1].hitless("switchover llb-inst0"));
    wait_for_states(&pair, [Some(["MASTER", "BACKUP"]), Some(["BACKUP", "MASTER"])]);
    ask(&pair);
    pair.nodes.iter().for_each(|node| node.check_books().unwrap());
}
