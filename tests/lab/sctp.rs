//! An SCTP association through the VIP. The programs bring their own SCTP (usrsctp), so the kernel needs none.

use crate::{PATIENCE, World};
use hitless_lab::{NodeConfig, Program, wait_for};
use std::{
    io::{Read, Write},
    process::Stdio,
};

const CLIENT: &str = "/usr/lib/usrsctp/client";
const SERVER: &str = "/usr/lib/usrsctp/echo_server";
/// No encapsulation in UDP: SCTP on IP.
const PLAIN: [&str; 3] = ["0", "0", "0"];

#[test]
fn an_association_carries_data_both_ways() {
    for vip in ["10.77.0.100", "fd77::100"] {
        let world = World::new(1, |backends| {
            NodeConfig { workers: vec![0, 1], ..NodeConfig::default() }.service(
                ("sctp", 7, None),
                backends,
                "",
            )
        });
        let mut command = world.backends[0].namespace.command(SERVER);
        command.args(["0", "0"]);
        let _server = Program::start("echo_server", command, &world.lab.folder().join("echo.log")).unwrap();
        let mut command = world.client.namespace.command(CLIENT);
        command
            .args([vip, "7"])
            .args(PLAIN)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut client = command.spawn().unwrap();
        let mut lines = client.stdin.take().unwrap();
        let mut answers = client.stdout.take().unwrap();
        let sent: Vec<String> =
            (0..200).map(|number| format!("line {number} {}\n", "x".repeat(number))).collect();
        let expected: usize = sent.iter().map(String::len).sum();
        let reader = std::thread::spawn(move || {
            let mut text = Vec::new();
            while text.len() < expected {
                let mut part = [0; 4096];
                match answers.read(&mut part) {
                    Ok(0) | Err(_) => break,
                    Ok(length) => text.extend(&part[..length]),
                }
            }
            text
        });
        sent.iter().for_each(|line| lines.write_all(line.as_bytes()).unwrap());
        let received = String::from_utf8(reader.join().unwrap()).unwrap();
        assert_eq!(received, sent.concat());
        let session = wait_for(PATIENCE, || {
            let sessions = world.node.get(&format!("ct --vip {vip}")).ok()?;
            sessions["ctAttr"].as_array()?.first().cloned()
        });
        let session = session.expect("the association is a session of the VIP");
        assert_eq!(
            (session["protocol"].as_str(), session["conntrackState"].as_str()),
            (Some("sctp"), Some("est"))
        );
        assert!(session["bytes"].as_u64().unwrap() as usize > 2 * expected, "{session}");
        // The end of input shuts the association down, and that ends the session.
        drop(lines);
        client.wait().unwrap();
        world.node.wait_for_counter("sessions_ended", |ended| ended > 0, PATIENCE).unwrap();
        world.node.check_books().unwrap();
    }
}
