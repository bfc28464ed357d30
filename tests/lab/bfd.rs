//! BFD with peers that others wrote.

use crate::PATIENCE;
use hitless_lab::{BfdParameters, Bird, Frr, Host, Keepalived, Lab, Node, NodeConfig, wait_for};
use std::{net::IpAddr, path::Path, thread, time::Duration};

struct Pair {
    node: Node,
    peer: Host,
    lab: Lab,
}

/// A node with one path to a host, and that host.
fn pair(ipv6: bool, interval_us: u32, more: &str) -> Pair {
    let mut lab = Lab::new().expect("the lab needs root");
    let machine = lab.machine("lb1", 11).unwrap();
    let peer = lab.host("peer", 12).unwrap();
    let (local, remote) = addresses(ipv6, &machine, &peer);
    let config = NodeConfig::default().with(&format!(
        "[ha]\npeer = \"{remote}\"\n[[ha.bfd]]\nlocal = \"{local}\"\nremote = \"{remote}\"\ninterval_us = {interval_us}\nmultiplier \
         = 3\n{more}"
    ));
    let node = Node::start(&lab, &machine, Path::new(env!("CARGO_BIN_EXE_hitless")), &config).unwrap();
    Pair { node, peer, lab }
}

fn addresses(ipv6: bool, machine: &Host, peer: &Host) -> (IpAddr, IpAddr) {
    if ipv6 { (machine.v6.into(), peer.v6.into()) } else { (machine.v4.into(), peer.v4.into()) }
}

impl Pair {
    fn remote(&self, ipv6: bool) -> IpAddr {
        addresses(ipv6, &self.node.host, &self.peer).0
    }

    /// Waits for so many lines of our log that say `text`.
    fn wait_for_log(&self, text: &str, count: usize) {
        let found =
            wait_for(PATIENCE, || (self.node.program.log().matches(text).count() >= count).then_some(()));
        assert!(found.is_some(), "{count} times {text:?} in {}", self.node.program.log());
    }
}

/// What each accepts at its lowest, and what it holds on a busy machine.
const INTERVALS_MS: [u32; 2] = [50, 10];

#[test]
fn frr_comes_up_goes_down_and_comes_back() {
    for (interval_ms, ipv6) in INTERVALS_MS.into_iter().zip([false, true]) {
        let pair = pair(ipv6, interval_ms * 1000, "");
        let parameters = BfdParameters { interval_ms, multiplier: 3 };
        let mut frr = Frr::start(&pair.lab, &pair.peer, pair.remote(ipv6), parameters).unwrap();
        pair.wait_for_log("to Up, handshake", 1);
        let up = wait_for(PATIENCE, || {
            let peer = frr.peer().ok()?;
            // FRR shows our announced values once the Poll Sequence is through.
            (peer["status"] == "up" && peer["remote-transmit-interval"] == interval_ms).then_some(peer)
        });
        let up = up.unwrap_or_else(|| panic!("{:?}", frr.peer()));
        assert_eq!(up["remote-receive-interval"], interval_ms, "{up}");
        assert_eq!(up["remote-detect-multiplier"], 3, "{up}");

        // AdminDown of the peer is no failure: Down, diagnostic 3, and no detection.
        frr.configure("shutdown").unwrap();
        pair.wait_for_log("Up to Down, the peer's operator took it down", 1);
        frr.configure("no shutdown").unwrap();
        pair.wait_for_log("to Up, handshake", 2);

        // A crash is found by silence.
        frr.bfdd().kill();
        pair.wait_for_log("Up to Down, detection time expired", 1);
    }
}

#[test]
fn frr_sees_a_crash_of_this_node() {
    let mut pair = pair(false, 50_000, "");
    let parameters = BfdParameters { interval_ms: 50, multiplier: 3 };
    let frr = Frr::start(&pair.lab, &pair.peer, pair.remote(false), parameters).unwrap();
    pair.wait_for_log("to Up, handshake", 1);
    let status =
        |wanted: &str| wait_for(PATIENCE, || frr.peer().ok().filter(|peer| peer["status"] == wanted));
    status("up").unwrap();
    pair.node.program.kill();
    let down = status("down").unwrap();
    assert_eq!(down["diagnostic"], "control detection time expired", "{down}");
    pair.node.restart().unwrap();
    assert!(status("up").is_some(), "{:?}", frr.peer());
}

#[test]
fn bird_comes_up_goes_down_and_comes_back() {
    for (interval_ms, ipv6) in INTERVALS_MS.into_iter().zip([true, false]) {
        let pair = pair(ipv6, interval_ms * 1000, "");
        let parameters = BfdParameters { interval_ms, multiplier: 3 };
        let mut bird = Bird::start(&pair.lab, &pair.peer, pair.remote(ipv6), parameters, "").unwrap();
        pair.wait_for_log("to Up, handshake", 1);
        let negotiated = wait_for(PATIENCE, || {
            let session = bird.session().ok()?;
            let millis = |at: usize| Some((session.get(at)?.parse::<f64>().ok()? * 1000.0).round());
            let good = [millis(4)?, millis(5)?] == [1, 3].map(|times| f64::from(times * interval_ms));
            (session.get(2)? == "Up" && good).then_some(())
        });
        assert!(negotiated.is_some(), "{:?}", bird.session());
        bird.program.kill();
        pair.wait_for_log("Up to Down, detection time expired", 1);
        bird.restart().unwrap();
        pair.wait_for_log("to Up, handshake", 2);
    }
}

#[test]
fn bird_and_this_node_agree_on_every_authentication() {
    for (ours, theirs) in [
        ("simple", "simple"),
        ("keyed-md5", "keyed md5"),
        ("meticulous-md5", "meticulous keyed md5"),
        ("keyed-sha1", "keyed sha1"),
        ("meticulous-sha1", "meticulous keyed sha1"),
    ] {
        let keys = tempfile(ours);
        let auth = format!("auth = {{ type = \"{ours}\", key_id = 7, key_file = {:?} }}", keys);
        let pair = pair(false, 50_000, &auth);
        let parameters = BfdParameters { interval_ms: 50, multiplier: 3 };
        let more = format!("authentication {theirs}; password \"secret of both\" {{ id 7; }};");
        let mut bird = Bird::start(&pair.lab, &pair.peer, pair.remote(false), parameters, &more).unwrap();
        pair.wait_for_log("to Up, handshake", 1);
        // Long enough for sequence numbers to move.
        thread::sleep(Duration::from_secs(1));
        assert_eq!(bird.session().unwrap()[2], "Up");
        // With another key nothing is heard any more, in neither direction.
        bird.program.kill();
        pair.wait_for_log("Up to Down, detection time expired", 1);
        let wrong = more.replace("secret of both", "not the secret");
        let bird = Bird::start(&pair.lab, &pair.peer, pair.remote(false), parameters, &wrong).unwrap();
        thread::sleep(Duration::from_secs(3));
        assert_eq!(bird.session().unwrap()[2], "Down", "{ours}");
        assert_eq!(pair.node.program.log().matches("to Up").count(), 1, "{ours}");
        std::fs::remove_file(keys).unwrap();
    }
}

fn tempfile(name: &str) -> std::path::PathBuf {
    let path = std::env::temp_dir().join(format!("hl{}-{name}.key", std::process::id()));
    std::fs::write(&path, "secret of both\n").unwrap();
    path
}

#[test]
fn keepalived_comes_up_and_goes_down() {
    for (interval_ms, ipv6) in INTERVALS_MS.into_iter().zip([false, true]) {
        let pair = pair(ipv6, interval_ms * 1000, "");
        let parameters = BfdParameters { interval_ms, multiplier: 3 };
        let mut keepalived = Keepalived::start(&pair.lab, &pair.peer, pair.remote(ipv6), parameters).unwrap();
        pair.wait_for_log("to Up, handshake", 1);
        keepalived.program.wait_for("Entering Up state", PATIENCE).unwrap();
        keepalived.crash().unwrap();
        pair.wait_for_log("Up to Down, detection time expired", 1);
    }
}

#[test]
fn peers_that_cannot_do_microseconds_are_met_where_they_are() {
    // We announce 50 us; the peer 50 ms: RFC 5880 section 6.8.7 takes the slower of both.
    let pair = pair(false, 50, "");
    let parameters = BfdParameters { interval_ms: 50, multiplier: 3 };
    let bird = Bird::start(&pair.lab, &pair.peer, pair.remote(false), parameters, "").unwrap();
    pair.wait_for_log("to Up, handshake", 1);
    let negotiated = wait_for(PATIENCE, || {
        let session = bird.session().ok()?;
        (session.get(2)? == "Up" && session.get(4)?.parse::<f64>().ok()? == 0.05).then_some(())
    });
    assert!(negotiated.is_some(), "{:?}", bird.session());
    thread::sleep(Duration::from_secs(3));
    assert_eq!(pair.node.program.log().matches("Up to").count(), 0, "{}", pair.node.program.log());
}
