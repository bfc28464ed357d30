//! `hitless` on a real PCI network card under vfio, with more than one queue: QEMU's Intel 82576 in a virtual machine, its wire a
//! port of the lab's bridge. `make nic-test` installs what it needs; without `HITLESS_NIC_TEST` it does nothing.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test, whose helpers clippy does not know as such"
)]

use hitless_lab::{Host, Lab, Nginx, NicVm, NodeConfig, fetch};
use std::{net::SocketAddr, path::Path, time::Duration};

/// Emulation is slow.
const PATIENCE: Duration = Duration::from_secs(120);
const REQUESTS: usize = 60;

#[test]
fn replies_find_their_worker_by_rss_alone() {
    if std::env::var_os("HITLESS_NIC_TEST").is_none() {
        println!("skipped: run `make nic-test`");
        return;
    }
    let mut lab = Lab::new().expect("the lab needs root");
    let client = lab.host("client", 1).unwrap();
    let backends: Vec<Host> = (1..=2).map(|n| lab.host(&format!("b{n}"), 20 + n).unwrap()).collect();
    let _nginx: Vec<Nginx> = backends.iter().map(|host| Nginx::start(&lab, host).unwrap()).collect();
    let card = lab.card("lb1", 11);
    let hosts: Vec<&Host> = backends.iter().collect();
    let config = NodeConfig { workers: vec![0, 1], max_sessions: 10_000, ..NodeConfig::default() }.service(
        ("tcp", 80, Some(Nginx::PORT)),
        &hosts,
        "scheduler = \"rr\"",
    );
    let binary = Path::new(env!("CARGO_BIN_EXE_hitless"));
    let vm = NicVm::start(&lab, &card, binary, "igb", &config).unwrap();
    let log = vm.log();
    println!("{log}");
    assert!(log.contains("replies steered by RSS") && log.contains("checksums by the NIC"), "{log}");
    let requests = REQUESTS as u64;
    for vip in ["10.77.0.100:80", "[fd77::100]:80"] {
        let vip: SocketAddr = vip.parse().unwrap();
        client.namespace.enter(|| {
            for number in 0..REQUESTS {
                let answer = fetch(vip, "/name", PATIENCE)
                    .unwrap_or_else(|error| panic!("{vip}, request {number}: {error}"));
                assert_eq!(answer.status, 200);
            }
        });
    }
    let stats = vm
        .wait_for_stats(|stats| stats["total"]["sessions_opened"].as_u64() >= Some(2 * requests), PATIENCE)
        .unwrap();
    println!("{stats:#}");
    for worker in stats["workers"].as_array().unwrap() {
        assert!(worker["sessions_opened"].as_u64().unwrap() > requests / 4, "both queues carry sessions");
        assert!(worker["forwarded"].as_u64().unwrap() > 2 * requests);
        assert_eq!((worker["handed_out"].as_u64(), worker["handed_in"].as_u64()), (Some(0), Some(0)));
    }
    for reason in ["bad_ip_checksum", "bad_l4_checksum", "no_session", "truncated"] {
        assert_eq!(stats["total"]["drops"][reason].as_u64(), Some(0), "{reason}");
    }
}
