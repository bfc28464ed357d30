//! A witness tells a node that is cut off from one whose peer is gone.

use crate::{
    PATIENCE,
    pair::{Pair, vip},
};
use hitless_lab::{Lab, Node, fetch};
use std::{thread, time::Duration};

/// Longer than detection (250 ms), three questions to the witness, and a machine that stands still.
const LONG_ENOUGH: Duration = Duration::from_secs(3);

/// Takes a node's cable out of the bridge, or plugs it in.
fn plug(lab: &Lab, node: &Node, plugged: bool) {
    let name = &node.host.name;
    let command = if plugged {
        format!("ip link set {name} master br0")
    } else {
        format!("ip link set {name} nomaster")
    };
    lab.bridge().shell(&command).unwrap();
}

/// The client is the gateway: it forwards, and answers ARP and pings.
fn an_isolated_node_neither_keeps_nor_takes_the_vips(kind: &str) {
    let check = format!("gateway_check = [\"10.77.0.1\"]\ngateway_check_type = \"{kind}\"");
    let pair = Pair::with(|config, own| (config, format!("priority = {}\n{check}", 200 - 100 * own)));
    let ask = |pair: &Pair| pair.client.namespace.enter(|| fetch(vip(), "/name", PATIENCE)).unwrap().status;
    assert_eq!(ask(&pair), 200, "{kind}");
    thread::sleep(Duration::from_secs(1));

    // The standby hears nobody any more: that says nothing about the MASTER.
    plug(&pair.lab, &pair.nodes[1], false);
    thread::sleep(LONG_ENOUGH);
    assert_eq!(pair.nodes[1].state().unwrap(), "BACKUP", "{kind}");
    assert_eq!(pair.nodes[0].state().unwrap(), "MASTER", "{kind}");
    assert_eq!(ask(&pair), 200, "{kind}");
    plug(&pair.lab, &pair.nodes[1], true);
    let again = hitless_lab::wait_for(PATIENCE, || {
        let hears = |node: &Node| node.hitless("get bfd").is_ok_and(|table| table.contains("BFDUp"));
        let ready = pair.nodes[1].hitless("get hastate -o json").ok()?.contains("\"ready\": true");
        (ready && pair.nodes.iter().all(hears)).then_some(())
    });
    assert!(again.is_some(), "{kind}: {}", pair.nodes[1].hitless("get hastate -o json").unwrap());
    // A moment of calm: the standby has heard the MASTER, and the gateway.
    thread::sleep(Duration::from_secs(1));

    // The MASTER hears nobody any more: it gives the VIPs up, and the other claims them.
    plug(&pair.lab, &pair.nodes[0], false);
    pair.nodes[1].wait_for_state("MASTER", PATIENCE).unwrap();
    let given_up =
        hitless_lab::wait_for(PATIENCE, || (pair.nodes[0].state().ok()? != "MASTER").then_some(()));
    assert!(given_up.is_some(), "{kind}: {}", pair.nodes[0].program.log());
    assert_eq!(ask(&pair), 200, "{kind}");
    plug(&pair.lab, &pair.nodes[0], true);
    pair.nodes[0].wait_for_state("BACKUP", PATIENCE).unwrap();
    assert_eq!(pair.nodes[1].state().unwrap(), "MASTER", "{kind}: nobody takes it from a healthy node");
    assert_eq!(ask(&pair), 200, "{kind}");
}

#[test]
fn with_arp() {
    an_isolated_node_neither_keeps_nor_takes_the_vips("arp");
}

#[test]
fn with_an_echo_that_the_gateway_only_forwards() {
    an_isolated_node_neither_keeps_nor_takes_the_vips("bfd-echo");
}

#[test]
fn with_ping() {
    an_isolated_node_neither_keeps_nor_takes_the_vips("ping");
}
