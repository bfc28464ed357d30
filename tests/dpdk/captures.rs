//! The benches on a device that replays a capture.

use crate::packets::Capture;
use std::process::{Command, Output};

const FLOWS: &str = "20000";

fn bench(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_hitless")).arg("bench").args(arguments).output().unwrap()
}

/// A device that replays is never empty, and a worker that is behind opens few sessions.
#[test]
fn a_capture_of_unknown_clients_has_all_its_sessions_before_it_is_measured() {
    let capture = Capture::write("clients", &[]);
    let file = capture.0.display().to_string();
    let written = bench(&["capture", &file, "--flows", FLOWS]);
    assert!(written.status.success(), "{written:?}");
    let device = format!("net_pcap0,rx_pcap={file},infinite_rx=1");
    let forward = |flows| {
        let options = ["--json", "--seconds", "0.2", "--vip", "10.0.0.1", "--flows", flows];
        bench(&[&["forward", "--ports", &device], &options[..]].concat())
    };
    let measured = forward(FLOWS);
    assert!(measured.status.success(), "{measured:?}");
    let figures: serde_json::Value = serde_json::from_slice(&measured.stdout).unwrap();
    assert!(figures["packets"].as_u64().unwrap() > 0, "{figures}");
    let refused = forward("30000");
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && words.contains("20000 of 30000 flows have a session"), "{words}");
}
