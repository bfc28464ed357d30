//! What a client may do without hurting others: much, and not more.

use crate::{
    http::{Connection, exchange, get, post, request},
    node::{Node, Start},
};
use hitless::manage::server::Options;
use std::{
    io::{Read, Write},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

const PATH: &str = "/netlox/v1/config/loadbalancer";

#[test]
fn a_body_of_a_hundred_megabytes_is_refused() {
    let node = Node::default();
    let began = Instant::now();
    let mut connection = Connection::open(node.address);
    let head = format!(
        "POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100000000\r\n\r\n"
    );
    connection.send(head.as_bytes());
    let chunk = vec![b' '; 1 << 20];
    for _ in 0..95 {
        if connection.stream().write_all(&chunk).is_err() {
            break;
        }
    }
    let _ = connection.stream().write_all(&chunk[..100_000_000 - 95 * (1 << 20)]);
    connection.receive().unwrap().is_refused(413, "too large");
    assert!(began.elapsed() < Duration::from_secs(20));
    assert_eq!(get(node.address, "/netlox/v1/version").status, 200);
}

#[test]
fn a_body_of_unknown_length_is_bounded() {
    let node = Node::default();
    let mut connection = Connection::open(node.address);
    let head = format!(
        "POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    connection.send(head.as_bytes());
    let chunk = [b"10000\r\n".as_slice(), &vec![b' '; 0x10000], b"\r\n"].concat();
    for _ in 0..40 {
        if connection.stream().write_all(&chunk).is_err() {
            break;
        }
    }
    // The answer may be lost with the connection, which is closed on what is still under way.
    if let Some(answer) = connection.receive() {
        answer.is_refused(413, "too large");
    }
    // A short one is taken.
    let mut connection = Connection::open(node.address);
    connection.send(head.as_bytes());
    connection.send(b"2\r\n{}\r\n0\r\n\r\n");
    connection.receive().unwrap().is_refused(422, "serviceArguments");
}

#[test]
fn a_rule_as_large_as_rules_get_is_taken() {
    let node = Node::default();
    let endpoints: Vec<String> = (0..1000)
        .map(|n| {
            format!(
                r#"{{"endpointIP":"192.168.{}.{}","targetPort":8080,"weight":1}}"#,
                81 + n / 250,
                1 + n % 250
            )
        })
        .collect();
    let body = format!(
        r#"{{"serviceArguments":{{"externalIP":"192.0.2.1","port":80,"protocol":"tcp","mode":2}},"endpoints":[{}]}}"#,
        endpoints.join(",")
    );
    post(node.address, PATH, &body).succeeds();
}

#[test]
fn heads_are_bounded() {
    let node = Node::default();
    let long = "x".repeat(300_000);
    let answer = exchange(node.address, &request("GET", "/netlox/v1/version", &[("X-Long", &long)], None));
    assert_eq!(answer.status, 431);
    let many: Vec<(String, &str)> = (0..200).map(|n| (format!("X-{n}"), "1")).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    assert_eq!(exchange(node.address, &request("GET", "/netlox/v1/version", &many, None)).status, 431);
    assert_eq!(exchange(node.address, b"HELLO\r\n\r\n").status, 400);
}

/// Whether the other end closes a connection within `patience`.
fn is_closed(stream: &mut TcpStream, patience: Duration) -> bool {
    stream.set_read_timeout(Some(patience)).unwrap();
    let mut rest = [0; 1024];
    loop {
        match stream.read(&mut rest) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
}

/// One byte a second never makes a request; nor does a body that stops.
#[test]
fn slow_clients_lose_their_connections() {
    let node = Node::default();
    let slow_head = thread::spawn({
        let mut stream = TcpStream::connect(node.address).unwrap();
        move || {
            for byte in b"GET /netlox/v1/version HTTP/1.1\r\nHost: very-slow" {
                if stream.write_all(&[*byte]).is_err() {
                    break;
                }
                thread::sleep(Duration::from_millis(500));
            }
            is_closed(&mut stream, Duration::from_secs(5))
        }
    });
    let mut slow_body = Connection::open(node.address);
    let head = format!(
        "POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{{"
    );
    slow_body.send(head.as_bytes());
    let mut idle = TcpStream::connect(node.address).unwrap();
    let began = Instant::now();
    slow_body.receive().unwrap().is_refused(408, "took longer");
    assert!((5..20).contains(&began.elapsed().as_secs()));
    assert!(slow_head.join().unwrap());
    assert!(is_closed(&mut idle, Duration::from_secs(15)));
}

/// Ten thousand connections that say nothing, or half a request: who has something to say is served all the while.
#[test]
fn ten_thousand_connections_do_not_keep_others_out() {
    let options = Options { max_connections: 64, tls: None, token: None };
    let node = Node::start(Start { options, ..Start::default() });
    let mut held = Vec::new();
    let mut slowest = Duration::ZERO;
    for number in 0..10_000 {
        let mut stream = TcpStream::connect(node.address).unwrap();
        if number % 3 == 0 {
            let _ = stream.write_all(
                b"POST /netlox/v1/config/loadbalancer HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{",
            );
        } else if number % 3 == 1 {
            let _ = stream.write_all(b"GET /netlox");
        }
        held.push(stream);
        // Fewer than a test may have open files.
        if held.len() == 400 {
            held.drain(..200);
        }
        if number % 100 == 99 {
            let began = Instant::now();
            assert_eq!(get(node.address, "/netlox/v1/version").status, 200);
            slowest = slowest.max(began.elapsed());
        }
    }
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
}

/// A kept connection serves many requests, also sent at once.
#[test]
fn connections_are_kept() {
    let node = Node::default();
    let mut connection = Connection::open(node.address);
    let one = request("GET", "/netlox/v1/version", &[], None);
    for _ in 0..100 {
        connection.send(&one);
        assert_eq!(connection.receive().unwrap().status, 200);
    }
    let mut connection = Connection::open(node.address);
    connection.send(
        &[one.as_slice(), &request("GET", "/netlox/v1/version", &[("Connection", "close")], None)].concat(),
    );
    let mut both = String::new();
    connection.stream().read_to_string(&mut both).unwrap();
    assert_eq!(both.matches("HTTP/1.1 200 OK").count(), 2);
}
