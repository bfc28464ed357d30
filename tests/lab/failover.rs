//! Two nodes: one dies, comes back, hands over; clients notice nothing.

use crate::{
    AF_XDP, PATIENCE,
    pair::{Pair, vip},
};
use hitless_lab::{Fetched, NodeConfig, fetch, output, wait_for};
use std::{
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

/// Asks for the name on a connection that stays.
fn ask(stream: &mut BufReader<TcpStream>) -> std::io::Result<()> {
    stream.get_mut().write_all(b"GET /name HTTP/1.1\r\nHost: lab\r\n\r\n")?;
    let mut line = String::new();
    stream.read_line(&mut line)?;
    if !line.starts_with("HTTP/1.1 200") {
        return Err(std::io::Error::other(format!("{line:?}")));
    }
    while line != "\r\n" {
        line.clear();
        stream.read_line(&mut line)?;
    }
    line.clear();
    stream.read_line(&mut line)?;
    if line.starts_with('b') { Ok(()) } else { Err(std::io::Error::other(format!("{line:?}"))) }
}

/// A connection on which somebody has answered.
fn connect() -> BufReader<TcpStream> {
    let stream = TcpStream::connect_timeout(&vip(), PATIENCE).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut stream = BufReader::with_capacity(512, stream);
    ask(&mut stream).expect("an answer before anything happened");
    stream
}

/// A file of so many MiB, the same on every backend.
fn put_file(pair: &Pair, mebibytes: usize) -> Vec<u8> {
    let mut word = 0x9e37_79b9_u32;
    let bytes: Vec<u8> = (0..mebibytes << 20)
        .map(|_| {
            word = word.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (word >> 24) as u8
        })
        .collect();
    for backend in &pair.nginx {
        std::fs::write(backend.files().join("file"), &bytes).unwrap();
    }
    bytes
}

/// A download at a rate that makes it last, and 10,000 connections that say nothing; one node after the other is killed and
/// comes back. Every byte arrives and every connection still answers.
#[test]
fn a_download_and_ten_thousand_connections_survive_the_death_of_both() {
    const CONNECTIONS: usize = 10_000;
    hitless_lab::allow_files(CONNECTIONS as u64 + 1000);
    let mut pair = Pair::new("");
    let bytes = put_file(&pair, 48);
    let mut idle = pair.client.namespace.enter(|| (0..CONNECTIONS).map(|_| connect()).collect::<Vec<_>>());
    let to = pair.lab.folder().join("download");
    let client = pair.client.clone();
    let target = to.clone();
    let download = thread::spawn(move || {
        let mut curl = client.namespace.command("curl");
        curl.args(["-sSf", "--limit-rate", "2m", "--max-time", "300", "-o"]).arg(&target);
        output(curl.arg("http://10.77.0.100/file"))
    });
    thread::sleep(Duration::from_secs(1));

    for (dies, lives) in [(0, 1), (1, 0)] {
        pair.nodes[dies].program.kill();
        pair.nodes[lives].wait_for_state("MASTER", PATIENCE).unwrap();
        pair.client.namespace.enter(|| {
            for (number, stream) in idle.iter_mut().enumerate() {
                ask(stream).unwrap_or_else(|error| panic!("connection {number}: {error}"));
            }
        });
        pair.nodes[dies].restart().unwrap();
        pair.nodes[dies].wait_until_ready(PATIENCE).unwrap();
        assert_eq!(pair.nodes[lives].state().unwrap(), "MASTER", "nobody takes it from a healthy node");
    }
    let said = download.join().unwrap();
    assert!(said.is_ok(), "{said:?}");
    assert!(std::fs::read(to).unwrap() == bytes, "the file differs");
    pair.nodes.iter().for_each(|node| node.check_books().unwrap());
}

/// Connections of a pair on AF_XDP outlive the death of the MASTER.
#[test]
fn connections_survive_on_af_xdp() {
    let mut pair = Pair::with(|config, own| {
        (NodeConfig { device: AF_XDP, ..config }, format!("priority = {}", 200 - 100 * own))
    });
    const CONNECTIONS: u64 = 100;
    let mut idle: Vec<_> = (0..CONNECTIONS).map(|_| pair.client.namespace.enter(connect)).collect();
    // What opened in the last milliseconds of a node may die with it: the stream is not waited for.
    pair.nodes[1].wait_for_counter("sessions_synced", |synced| synced >= CONNECTIONS, PATIENCE).unwrap();
    pair.nodes[0].program.kill();
    pair.nodes[1].wait_for_state("MASTER", PATIENCE).unwrap();
    for (number, stream) in idle.iter_mut().enumerate() {
        ask(stream).unwrap_or_else(|error| panic!("connection {number}: {error}"));
    }
    pair.nodes[1].check_books().unwrap();
}

/// Requests in a loop while the instance is handed over ten times: not one fails.
#[test]
fn a_switchover_loses_no_request() {
    let pair = Pair::new("");
    let bytes = put_file(&pair, 24);
    let (stop, requests) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        let loops: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    pair.client.namespace.enter(|| {
                        while !stop.load(Relaxed) {
                            let Fetched { status, .. } =
                                fetch(vip(), "/name", PATIENCE).unwrap_or_else(|error| {
                                    for node in &pair.nodes {
                                        println!("{}", node.hitless("get ct").unwrap_or_default());
                                    }
                                    panic!("{error}");
                                });
                            assert_eq!(status, 200);
                            requests.fetch_add(1, Relaxed);
                        }
                    });
                })
            })
            .collect();
        let download = scope.spawn(|| {
            let url = "http://10.77.0.100/file";
            let mut curl = pair.client.namespace.command("curl");
            output(curl.args([
                "-sSf",
                "--limit-rate",
                "2m",
                "-o",
                "/dev/null",
                "-w",
                "%{size_download}",
                url,
            ]))
        });
        for round in 0..10 {
            let (from, to) = (&pair.nodes[round % 2], &pair.nodes[1 - round % 2]);
            let before = requests.load(Relaxed);
            // The peer must hold all sessions again first.
            let done = wait_for(PATIENCE, || from.hitless("switchover").ok());
            assert!(done.is_some(), "round {round}: {:?}", from.hitless("switchover"));
            to.wait_for_state("MASTER", PATIENCE).unwrap();
            from.wait_for_state("BACKUP", PATIENCE).unwrap();
            let went_on = wait_for(PATIENCE, || (requests.load(Relaxed) > before + 20).then_some(()));
            assert!(went_on.is_some(), "round {round}: no requests");
        }
        stop.store(true, Relaxed);
        for one in loops {
            one.join().unwrap();
        }
        assert_eq!(download.join().unwrap().unwrap(), bytes.len().to_string());
    });
    pair.nodes.iter().for_each(|node| node.check_books().unwrap());
}

/// An orderly end hands over first, and the notify hook of each node hears of it.
#[test]
fn sigterm_hands_over_and_the_hooks_are_told() {
    let folder = std::env::temp_dir().join(format!("hl{}-hooks", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (hook, told) = (folder.join("hook"), folder.join("told"));
    std::fs::write(&hook, format!("#!/bin/sh\necho \"$@\" >>{}\n", told.display())).unwrap();
    output(std::process::Command::new("chmod").arg("+x").arg(&hook)).unwrap();
    let mut pair = Pair::new(&format!("notify = {hook:?}"));
    let started = Instant::now();
    pair.nodes[0].program.signal(hitless_lab::Signal::TERM);
    pair.nodes[0].program.wait(PATIENCE).unwrap();
    assert!(started.elapsed() < PATIENCE);
    pair.nodes[1].wait_for_state("MASTER", PATIENCE).unwrap();
    assert!(
        pair.nodes[0].program.log().contains("MASTER (") || pair.nodes[0].program.log().contains("HANDOVER")
    );
    let answer = pair.client.namespace.enter(|| fetch(vip(), "/name", PATIENCE)).unwrap();
    assert_eq!(answer.status, 200);
    let lines = wait_for(PATIENCE, || {
        let text = std::fs::read_to_string(&told).ok()?;
        (text.matches("llb-inst0 BACKUP MASTER").count() == 2 && text.contains("llb-inst0 MASTER BACKUP"))
            .then_some(())
    });
    assert!(lines.is_some(), "{:?}", std::fs::read_to_string(&told));
    std::fs::remove_dir_all(folder).unwrap();
}

/// With nobody to hand over to, an orderly end waits for a while; a second signal does not.
#[test]
fn a_second_signal_ends_it_at_once() {
    let mut pair = Pair::new("");
    pair.nodes[1].program.kill();
    let node = &mut pair.nodes[0];
    node.program.wait_for("Up to Down", PATIENCE).unwrap();
    node.program.signal(hitless_lab::Signal::TERM);
    node.program.wait_for("stopping", PATIENCE).unwrap();
    node.program.signal(hitless_lab::Signal::TERM);
    let status = node.program.wait(PATIENCE).unwrap();
    assert_eq!(status.code(), Some(0), "{}", node.program.log());
    assert!(node.program.log().contains("stopping at once"), "{}", node.program.log());
}

/// One MAC that moves: whoever knows the VIP's need not learn another.
#[test]
fn a_virtual_mac_moves_and_nobody_has_to_learn() {
    let mut pair = Pair::new("virtual_mac = true");
    let known = || {
        let line = pair.client.namespace.shell("ip neigh show 10.77.0.100").unwrap();
        line.split_whitespace().skip_while(|word| *word != "lladdr").nth(1).unwrap_or_default().to_owned()
    };
    let ask = || pair.client.namespace.enter(|| fetch(vip(), "/name", PATIENCE)).unwrap().status;
    assert_eq!(ask(), 200);
    let mac = known();
    let own = |node: &str| pair.client.namespace.shell(&format!("ip neigh show {node}")).unwrap();
    assert!(!mac.is_empty() && !own("10.77.0.11").contains(&mac), "{mac}");
    // What the client knows stays as it is, whatever is announced.
    pair.client
        .namespace
        .shell(&format!("ip neigh replace 10.77.0.100 lladdr {mac} nud permanent dev eth0"))
        .unwrap();
    for (dies, lives) in [(0, 1), (1, 0)] {
        pair.nodes[dies].program.kill();
        pair.nodes[lives].wait_for_state("MASTER", PATIENCE).unwrap();
        assert_eq!(pair.client.namespace.enter(|| fetch(vip(), "/name", PATIENCE)).unwrap().status, 200);
        pair.nodes[dies].restart().unwrap();
        pair.nodes[dies].wait_until_ready(PATIENCE).unwrap();
    }
}
