//! The scenario this project began from: two nodes whose configuration names neither a peer nor a service. kube-loxilb
//! posts the BFD session and the rules to both, as it does without `--setRoles`, and an operator works with the
//! command line.

use crate::PATIENCE;
use hitless_lab::{Fetched, Host, Lab, Nginx, Node, NodeConfig, fetch, request, wait_for};
use serde_json::{Value, json};
use std::{net::SocketAddr, path::Path, thread, time::Duration};

const RULES: &str = "/netlox/v1/config/loadbalancer";

fn api(node: &Node, method: &str, path: &str, body: &Value) -> Fetched {
    let api = SocketAddr::from(([127, 0, 0, 1], 11111));
    node.host.namespace.enter(|| request(api, method, path, &body.to_string(), PATIENCE)).unwrap()
}

/// A Service of type LoadBalancer, as kube-loxilb 0.9.8 posts it.
fn rule(port: u16, backends: &[Host]) -> Value {
    let endpoint = |host: &Host| json!({"endpointIP": host.v4, "targetPort": Nginx::PORT, "weight": 1, "state": "", "counter": ""});
    json!({
        "serviceArguments": {
            "externalIP": "10.77.0.100", "privateIP": "", "port": port, "protocol": "tcp", "sel": 0, "mode": 2,
            "BGP": false, "Monitor": false, "inactiveTimeOut": 1800, "block": 0, "managed": true, "probetype": "",
            "probeport": 0, "probereq": "", "proberesp": "", "name": format!("default_web{port}:llb-inst0"),
        },
        "secondaryIPs": [],
        "allowedSources": [],
        "endpoints": backends.iter().map(endpoint).collect::<Vec<_>>(),
    })
}

/// The states of both nodes, once one is MASTER and the other BACKUP; the MASTER's place.
fn roles(nodes: &[Node]) -> usize {
    let mut last = Vec::new();
    let found = wait_for(PATIENCE, || {
        last = nodes.iter().map(|node| node.state().unwrap_or_default()).collect();
        let place = last.iter().position(|state| state == "MASTER")?;
        (last[1 - place] == "BACKUP").then_some(place)
    });
    found.unwrap_or_else(|| panic!("{last:?}: {} {}", nodes[0].program.log(), nodes[1].program.log()))
}

#[test]
fn the_article_s_pair_from_an_empty_configuration() {
    let mut lab = Lab::new().expect("the lab needs root");
    let client = lab.host("client", 1).unwrap();
    let machines = [lab.machine("lb1", 11).unwrap(), lab.machine("lb2", 12).unwrap()];
    let backends = [lab.host("b1", 21).unwrap(), lab.host("b2", 22).unwrap()];
    let _nginx: Vec<_> = backends.iter().map(|host| Nginx::start(&lab, host).unwrap()).collect();
    let binary = Path::new(env!("CARGO_BIN_EXE_hitless"));
    let mut nodes: Vec<Node> = (0..2)
        .map(|own| {
            let config = NodeConfig { workers: vec![own], ..NodeConfig::default() }.with("[ha]");
            Node::start(&lab, &machines[usize::from(own)], binary, &config).unwrap()
        })
        .collect();

    // What kube-loxilb does first: the session between the two, then every Service.
    for (own, peer) in [(0, 1), (1, 0)] {
        let session = json!({
            "instance": "default", "remoteIp": machines[peer].v4, "interval": 200_000, "retryCount": 3,
        });
        assert_eq!(api(&nodes[own], "POST", "/netlox/v1/config/bfd", &session).status, 200);
        for port in [80, 81] {
            assert_eq!(api(&nodes[own], "POST", RULES, &rule(port, &backends)).status, 200);
        }
    }
    let up = |node: &Node| {
        let table = wait_for(PATIENCE, || {
            node.hitless("get bfd -o wide").ok().filter(|table| table.contains("BFDUp"))
        });
        table.unwrap_or_else(|| panic!("{}", node.program.log()))
    };
    let table = up(&nodes[0]);
    for words in ["INSTANCE", "REMOTEIP", "SOURCEIP", "PORT", "INTERVAL", "RETRY COUNT", "STATE", "200000 us"]
    {
        assert!(table.contains(words), "{words} in {table}");
    }
    up(&nodes[1]);
    let master = roles(&nodes);
    let answers = || {
        for port in [80, 81] {
            let vip = SocketAddr::from(([10, 77, 0, 100], port));
            let answer = client.namespace.enter(|| fetch(vip, "/name", PATIENCE)).expect("an answer");
            assert_eq!(answer.status, 200);
        }
    };
    answers();

    // Faster, on both, while it runs.
    for node in &nodes {
        let remote = if node.host.name == "lb1" { machines[1].v4 } else { machines[0].v4 };
        node.hitless(&format!("set bfd {remote} --interval=100000 --retryCount=2")).unwrap();
    }
    let faster = wait_for(PATIENCE, || {
        nodes
            .iter()
            .all(|node| {
                node.hitless("get bfd -o wide").is_ok_and(|table| {
                    table.contains("100000 us") && table.contains("200000 us") && table.contains("BFDUp")
                })
            })
            .then_some(())
    });
    assert!(faster.is_some(), "{}", nodes[0].hitless("get bfd -o wide").unwrap());

    let wait_until_ready = |node: &mut Node| node.wait_until_ready(PATIENCE).unwrap();
    wait_until_ready(&mut nodes[1 - master]);
    nodes[master].program.kill();
    nodes[1 - master].wait_for_state("MASTER", PATIENCE).unwrap();
    answers();

    // It comes back with what the API had created, and kube-loxilb posts everything again.
    nodes[master].restart().unwrap();
    assert_eq!(roles(&nodes), 1 - master, "nobody takes it from a healthy node");
    for node in &nodes {
        for port in [80, 81] {
            let again = api(node, "POST", RULES, &rule(port, &backends));
            assert!(again.status == 409 && again.text().contains("exist"), "{}", again.text());
        }
    }
    thread::sleep(Duration::from_millis(500));
    answers();

    // The Services go away.
    for node in &nodes {
        for port in [80, 81] {
            let path = format!("{RULES}/externalipaddress/10.77.0.100/port/{port}/protocol/tcp");
            assert_eq!(api(node, "DELETE", &path, &Value::Null).status, 200);
        }
        assert!(!node.hitless("get lb").unwrap().contains("10.77.0.100"));
    }
}
