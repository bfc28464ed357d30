//! Forged packets from a host on the same segment: refused, counted, named, and nothing else happens.

use crate::{PATIENCE, pair::Pair};
use hitless_lab::{Host, Node, fetch, wait_for};
use std::{net::UdpSocket, path::PathBuf};

const BFD: u16 = 3784;
const SYNC: u16 = 3786;

/// Who says it is the peer.
fn forger(pair: &mut Pair) -> Host {
    let host = pair.lab.host("stranger", 66).unwrap();
    host.namespace
        .shell("ip address add 10.77.0.12/32 dev lo && sysctl -qw net.ipv4.conf.all.arp_ignore=1")
        .unwrap();
    host
}

/// Sends datagrams as the peer would, so many times each.
fn send(from: &Host, port: u16, ttl: u32, payloads: &[Vec<u8>], times: usize) {
    from.namespace.enter(|| {
        let socket = UdpSocket::bind("10.77.0.12:50000").unwrap();
        socket.set_ttl(ttl).unwrap();
        for payload in payloads.iter().cycle().take(times * payloads.len()) {
            socket.send_to(payload, ("10.77.0.11", port)).unwrap();
        }
    });
}

/// A BFD control packet of 24 bytes, RFC 5880 section 4.1.
fn control(state: u8, my: u32, your: u32) -> Vec<u8> {
    let mut packet = vec![0x20, state << 6, 3, 24];
    for word in [my, your, 1_000_000, 1_000_000, 0] {
        packet.extend(word.to_be_bytes());
    }
    packet
}

fn says(node: &Node, what: &str, words: &str) {
    let mut last = String::new();
    let found = wait_for(PATIENCE, || {
        last = node.hitless(what).unwrap_or_default();
        last.contains(words).then_some(())
    });
    assert!(found.is_some(), "{words} in {what}: {last}");
}

fn key(name: &str, text: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("hl{}-{name}.key", std::process::id()));
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn forged_messages_are_refused_and_named_and_nothing_is_lost() {
    let secret = key("strangers", "a key that only the two nodes have\n");
    let mut pair = Pair::new(&format!("[ha.sync]\nkey_file = {secret:?}"));
    let stranger = forger(&mut pair);
    let before = pair.nodes[0].get("bfd").unwrap();
    assert_eq!(before["Attr"][0]["state"], "BFDUp", "{before}");

    // AdminDown from who has not got the discriminator; the right words from too far away.
    send(&stranger, BFD, 255, &[control(0, 7, 0x0bad_cafe), control(3, 7, 0)], 100);
    send(&stranger, BFD, 64, &[control(1, 7, 0)], 100);
    says(&pair.nodes[0], "get bfd -o wide", "unknown_discriminator");
    says(&pair.nodes[0], "get bfd -o wide", "state_without_discriminator");
    says(&pair.nodes[0], "get bfd -o wide", " ttl");

    // A stream of sessions from who has not got the key.
    let noise: Vec<Vec<u8>> = (0..20_u8).map(|number| (0..200).map(|at| at ^ number).collect()).collect();
    send(&stranger, SYNC, 255, &noise, 50);
    says(&pair.nodes[0], "get hastate -o wide", "messages refused");

    let after = pair.nodes[0].get("bfd").unwrap();
    assert_eq!(after["Attr"][0]["state"], "BFDUp", "{after}");
    assert_eq!(after["Attr"][0]["flaps"], before["Attr"][0]["flaps"], "{after}");
    assert_eq!(pair.nodes[0].state().unwrap(), "MASTER");
    assert_eq!(pair.nodes[1].state().unwrap(), "BACKUP");
    let answer = pair.client.namespace.enter(|| fetch(crate::pair::vip(), "/name", PATIENCE)).unwrap();
    assert_eq!(answer.status, 200);
    pair.nodes.iter().for_each(|node| node.check_books().unwrap());
    std::fs::remove_file(secret).unwrap();
}

/// Two nodes that were given different keys: neither believes the other, and both say why.
#[test]
fn a_peer_with_another_key_is_named() {
    let keys = [key("one", "the key of one of them\n"), key("two", "the key of the other\n")];
    let pair = Pair::apart(|config, own| {
        (
            config,
            format!(
                "priority = {}\nlone_start_ms = 60000\n[ha.sync]\nkey_file = {:?}",
                200 - 100 * own,
                keys[own]
            ),
        )
    });
    for node in &pair.nodes {
        says(node, "get hastate -o wide", "messages refused");
        says(node, "get bfd", "BFDUp");
    }
    keys.iter().for_each(|key| std::fs::remove_file(key).unwrap());
}
