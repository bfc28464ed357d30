//! HTTP through the VIP: curl, wrk, files of 256 MiB, both families, one and two workers.

use crate::{PATIENCE, World, vips};
use hitless_lab::{NodeConfig, fetch, output};
use std::{
    fs::File,
    io::{Read, Write},
    net::TcpStream,
    process::Command,
};

/// 256 MiB that do not compress or repeat.
fn big_file(path: &std::path::Path) -> String {
    let mut file = File::create(path).unwrap();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut block = Vec::with_capacity(1 << 20);
    for _ in 0..256 {
        block.clear();
        while block.len() < 1 << 20 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            block.extend(state.to_le_bytes());
        }
        file.write_all(&block).unwrap();
    }
    drop(file);
    sha256(path)
}

fn sha256(path: &std::path::Path) -> String {
    let text = output(Command::new("sha256sum").arg(path)).unwrap();
    text.split(' ').next().unwrap().to_owned()
}

fn files_cross_unchanged(workers: &[u16]) {
    let world = World::new(1, |backends| {
        NodeConfig { workers: workers.to_vec(), ..NodeConfig::default() }.service(
            ("tcp", 80, Some(8080)),
            backends,
            "",
        )
    });
    let files = world.nginx[0].files();
    let sum = big_file(&files.join("big"));
    let copy = world.lab.folder().join("copy");
    for vip in vips(80) {
        let url = format!("http://{vip}/big");
        output(
            world
                .client
                .namespace
                .command("curl")
                .args(["-sSfg", "--max-time", "120", "-o"])
                .arg(&copy)
                .arg(&url),
        )
        .unwrap();
        assert_eq!(sha256(&copy), sum, "download from {vip}");
        let url = format!("http://{vip}/up");
        output(
            world
                .client
                .namespace
                .command("curl")
                .args(["-sSfg", "--max-time", "120", "-T"])
                .arg(&copy)
                .arg(&url),
        )
        .unwrap();
        assert_eq!(sha256(&files.join("up")), sum, "upload to {vip}");
        std::fs::remove_file(files.join("up")).unwrap();
    }
    world.node.check_books().unwrap();
}

#[test]
fn files_cross_one_worker_unchanged() {
    files_cross_unchanged(&[0]);
}

#[test]
fn files_cross_two_workers_unchanged() {
    files_cross_unchanged(&[0, 1]);
}

#[test]
fn a_first_request_is_answered() {
    let world = World::new(2, |backends| {
        NodeConfig::default().service(("tcp", 80, Some(8080)), backends, "scheduler = \"rr\"")
    });
    for vip in vips(80) {
        let answer = world.client.namespace.enter(|| fetch(vip, "/name", PATIENCE)).unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (200, "b1\n"));
    }
    world.node.check_books().unwrap();
}

#[test]
fn two_hundred_connections_at_once() {
    let world = World::new(3, |backends| {
        NodeConfig { workers: vec![0, 1], ..NodeConfig::default() }.service(
            ("tcp", 80, Some(8080)),
            backends,
            "",
        )
    });
    let [vip, _] = vips(80);
    let mut streams: Vec<TcpStream> = world
        .client
        .namespace
        .enter(|| (0..200).map(|_| TcpStream::connect_timeout(&vip, PATIENCE).unwrap()).collect());
    // All are open; each is used twice, in an order of its own.
    for round in 0..2 {
        for index in (0..200).map(|number| (number * 73 + round) % 200) {
            let stream = &mut streams[index];
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream.write_all(b"GET /name HTTP/1.1\r\nHost: lab\r\n\r\n").unwrap();
            let mut answer = [0; 1024];
            let length = stream.read(&mut answer).unwrap();
            assert!(answer[..length].starts_with(b"HTTP/1.1 200"), "{index}");
        }
    }
    assert_eq!(world.node.get("ct --vip 10.77.0.100").unwrap()["ctAttr"].as_array().unwrap().len(), 400);
    drop(streams);
    world.node.check_books().unwrap();
}

#[test]
fn wrk_sees_no_error_for_ten_seconds() {
    let world = World::new(2, |backends| {
        NodeConfig { workers: vec![0, 1], ..NodeConfig::default() }.service(
            ("tcp", 80, Some(8080)),
            backends,
            "",
        )
    });
    let mut wrk = world.client.namespace.command("wrk");
    let said =
        output(wrk.args(["-t1", "-c64", "-d10s", "--timeout", "20s", "http://10.77.0.100/name"])).unwrap();
    println!("{said}");
    assert!(!said.contains("Socket errors") && !said.contains("Non-2xx"), "{said}");
    let requests =
        said.split_whitespace().zip(said.split_whitespace().skip(1)).find(|(_, word)| *word == "requests");
    assert!(requests.unwrap().0.parse::<u64>().unwrap() > 1_000, "{said}");
    world.node.check_books().unwrap();
}
