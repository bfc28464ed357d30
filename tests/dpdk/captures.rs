//! The benches on a device that replays a capture.

use crate::packets::Capture;
use std::process::{Command, Output};

const FLOWS: &str = "20000";

fn bench(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_hitless")).arg("bench").args(arguments).output().unwrap()
}

fn clients(name: &str) -> Capture {
    let capture = Capture::write(name, &[]);
    let written = bench(&["capture", &capture.0.display().to_string(), "--flows", FLOWS]);
    assert!(written.status.success(), "{written:?}");
    capture
}

/// The frames open their sessions themselves.
fn forward(capture: &Capture, arguments: &str, flows: &str) -> Output {
    let device = format!("net_pcap0,rx_pcap={}{arguments}", capture.0.display());
    bench(&[
        "forward",
        "--ports",
        &device,
        "--vip",
        "10.0.0.1",
        "--flows",
        flows,
        "--json",
        "--seconds",
        "0.2",
    ])
}

fn refused(output: &Output, why: &str) {
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && words.contains(why), "{words}");
}

/// A device that replays is never empty, and a worker that is behind opens few sessions.
#[test]
fn all_flows_of_a_capture_have_a_session_before_they_are_measured() {
    let capture = clients("clients");
    let measured = forward(&capture, ",infinite_rx=1", FLOWS);
    assert!(measured.status.success(), "{measured:?}");
    let figures: serde_json::Value = serde_json::from_slice(&measured.stdout).unwrap();
    assert!(figures["packets"].as_u64().unwrap() > 0, "{figures}");
    refused(&forward(&capture, ",infinite_rx=1", "30000"), "20000 of 30000 flows have a session");
}

#[test]
fn what_is_replayed_once_is_not_measured() {
    refused(&forward(&clients("once"), "", FLOWS), "the device brings nothing any more");
}
