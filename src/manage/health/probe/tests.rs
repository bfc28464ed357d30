//! Probes of servers on the loopback.

use super::{tcp::Stream, *};
use crate::{
    manage::stack::{
        MOST_CONNECTIONS,
        host::{HOST, NODE, Segment},
    },
    types,
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
    runtime::Runtime,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, crypto::ring, pki_types::PrivateKeyDer},
};

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn check(target: SocketAddr, how: How) -> Check {
    Check {
        target,
        local: if target.is_ipv4() { LOOPBACK } else { Ipv6Addr::LOCALHOST.into() },
        how,
        interval: types::Duration::from_secs(60),
        timeout: types::Duration::from_secs(20),
        rise: 1,
        fall: 1,
    }
}

/// With so little time that silence is found out soon.
fn hasty(check: Check) -> Check {
    Check { timeout: types::Duration::from_millis(200), ..check }
}

fn http(statuses: &[u16], reply: &str) -> How {
    How::Http { tls: false, path: "/health".into(), statuses: statuses.to_vec(), reply: reply.into() }
}

fn run<T>(work: impl Future<Output = T>) -> T {
    Runtime::new().unwrap().block_on(work)
}

async fn ask(check: &Check) -> Outcome {
    Prober::default().ask(check).await
}

/// A server that gives `answer` to every connection after its first octets, then closes; its address.
async fn server(answer: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind((LOOPBACK, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            serve(stream, answer).await;
        }
    });
    address
}

async fn serve(mut stream: impl Stream, answer: &[u8]) {
    let mut request = [0; 1024];
    let _ = stream.read(&mut request).await;
    // In pieces, as it may come over a network.
    for piece in answer.chunks(7) {
        let _ = stream.write_all(piece).await;
        tokio::task::yield_now().await;
    }
    let _ = stream.shutdown().await;
}

/// A port on which nobody listens.
async fn nobody() -> SocketAddr {
    TcpListener::bind((LOOPBACK, 0)).await.unwrap().local_addr().unwrap()
}

#[test]
fn connections_are_accepted_or_refused() {
    run(async {
        let alive = server(b"").await;
        assert_eq!(ask(&check(alive, How::Tcp)).await, Outcome::Alive);
        assert_eq!(ask(&check(nobody().await, How::Tcp)).await, Outcome::Dead(Failure::Refused));
        // Addresses that are not this machine's: that says nothing about the backend.
        let foreign = Check { local: [198, 51, 100, 1].into(), ..check(alive, How::Tcp) };
        assert!(matches!(ask(&foreign).await, Outcome::Unknown(_)));
    });
}

#[test]
fn http_answers_are_read_as_far_as_needed() {
    let ok: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nready";
    let cases: [(&[u8], &[u16], &str, Outcome); 8] = [
        (ok, &[200], "", Outcome::Alive),
        (ok, &[200, 204], "ready", Outcome::Alive),
        (ok, &[200], "steady", Outcome::Dead(Failure::Reply)),
        (ok, &[204], "", Outcome::Dead(Failure::Status(200))),
        (b"HTTP/1.0 503 Busy\r\n\r\nready", &[200], "ready", Outcome::Dead(Failure::Status(503))),
        (b"SSH-2.0-x\r\n", &[200], "", Outcome::Dead(Failure::NotHttp)),
        (b"HTTP/1.1", &[200], "", Outcome::Dead(Failure::NotHttp)),
        (b"", &[200], "", Outcome::Dead(Failure::Closed)),
    ];
    run(async {
        for (answer, statuses, reply, outcome) in cases {
            let found = ask(&check(server(answer).await, http(statuses, reply))).await;
            assert_eq!(found, outcome, "{:?}", String::from_utf8_lossy(answer));
        }
        assert_eq!(ask(&check(nobody().await, http(&[200], ""))).await, Outcome::Dead(Failure::Refused));
    });
}

#[test]
fn an_answer_without_end_is_not_read_for_ever() {
    run(async {
        let listener = TcpListener::bind((LOOPBACK, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let flood = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut sent = 0;
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            while stream.write_all(&[b'x'; 4096]).await.is_ok() {
                sent += 4096;
            }
            sent
        });
        assert_eq!(ask(&check(address, http(&[200], "ready"))).await, Outcome::Dead(Failure::Reply));
        // What the kernel's buffers took, and not much more.
        assert!(flood.await.unwrap() < 64 << 20);
        // One that never speaks.
        let silent = TcpListener::bind((LOOPBACK, 0)).await.unwrap();
        let target = silent.local_addr().unwrap();
        assert_eq!(ask(&hasty(check(target, http(&[200], "")))).await, Outcome::Dead(Failure::Silent));
    });
}

/// A TLS server whose certificate nobody has signed.
async fn tls_server() -> SocketAddr {
    let acceptor = tls_acceptor();
    let listener = TcpListener::bind((LOOPBACK, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if let Ok(stream) = acceptor.accept(stream).await {
                serve(stream, b"HTTP/1.1 204 \r\n\r\n").await;
            }
        }
    });
    address
}

fn tls_acceptor() -> TlsAcceptor {
    let own = rcgen::generate_simple_self_signed(vec!["backend".into()]).unwrap();
    let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key)
        .unwrap();
    TlsAcceptor::from(std::sync::Arc::new(config))
}

#[test]
fn https_takes_any_certificate_and_needs_tls() {
    let https = How::Http { tls: true, path: "/".into(), statuses: vec![204], reply: Vec::new() };
    run(async {
        assert_eq!(ask(&check(tls_server().await, https.clone())).await, Outcome::Alive);
        let plain = server(b"HTTP/1.1 204 \r\n\r\n").await;
        assert_eq!(ask(&check(plain, https)).await, Outcome::Dead(Failure::Tls));
    });
}

/// Echoes datagrams, but for those that say "quiet".
async fn echo() -> SocketAddr {
    let socket = UdpSocket::bind((LOOPBACK, 0)).await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut datagram = [0; 1024];
        while let Ok((length, from)) = socket.recv_from(&mut datagram).await {
            if datagram[..length] != *b"quiet" {
                let _ = socket.send_to(&datagram[..length], from).await;
            }
        }
    });
    address
}

#[test]
fn datagrams_are_answered_or_refused() {
    let udp = |payload: &str, reply: &str| How::Udp { payload: payload.into(), reply: reply.into() };
    run(async {
        let echo = echo().await;
        assert_eq!(ask(&check(echo, udp("hello", "ell"))).await, Outcome::Alive);
        assert_eq!(ask(&check(echo, udp("hello", ""))).await, Outcome::Alive);
        assert_eq!(ask(&check(echo, udp("hello", "bye"))).await, Outcome::Dead(Failure::Reply));
        assert_eq!(ask(&hasty(check(echo, udp("quiet", "q")))).await, Outcome::Dead(Failure::Silent));
        // Silence is no refusal.
        assert_eq!(ask(&hasty(check(echo, udp("quiet", "")))).await, Outcome::Alive);
        let unused = UdpSocket::bind((LOOPBACK, 0)).await.unwrap().local_addr().unwrap();
        assert_eq!(ask(&check(unused, udp("hello", ""))).await, Outcome::Dead(Failure::Refused));
    });
}

/// Many at once over one socket. Without the right to one, this node says so.
#[test]
fn pings_of_both_families_find_their_askers() {
    run(async {
        let prober = std::sync::Arc::new(Prober::default());
        for target in [LOOPBACK, Ipv6Addr::LOCALHOST.into()] {
            let ping = check(SocketAddr::new(target, 0), How::Ping);
            let first = prober.ask(&ping).await;
            if matches!(first, Outcome::Unknown(std::io::ErrorKind::PermissionDenied)) {
                continue;
            }
            assert_eq!(first, Outcome::Alive, "{target}");
            let asked: Vec<_> = (0..200)
                .map(|_| {
                    let (prober, ping) = (prober.clone(), ping.clone());
                    tokio::spawn(async move { prober.ask(&ping).await })
                })
                .collect();
            for asked in asked {
                assert_eq!(asked.await.unwrap(), Outcome::Alive);
            }
        }
        // Nobody is there: TEST-NET-1 of RFC 5737.
        let lost = hasty(check(SocketAddr::from(([192, 0, 2, 1], 0)), How::Ping));
        assert_ne!(prober.ask(&Check { local: LOOPBACK, ..lost }).await, Outcome::Alive);
    });
}

/// A probe leaves no connection behind that waits for its end.
#[test]
fn probes_end_with_a_reset() {
    run(async {
        let listener = TcpListener::bind((LOOPBACK, 0)).await.unwrap();
        let target = listener.local_addr().unwrap();
        let accept = tokio::spawn(async move { listener.accept().await.unwrap().0 });
        assert_eq!(ask(&check(target, How::Tcp)).await, Outcome::Alive);
        let mut stream: TcpStream = accept.await.unwrap();
        let ended = stream.read(&mut [0; 16]).await;
        assert_eq!(ended.map_err(|error| error.kind()), Err(std::io::ErrorKind::ConnectionReset));
    });
}

/// Probes of another machine's servers by the stack, all else alike.
mod by_the_stack {
    use super::*;

    fn check_by(family: usize, port: u16, how: How) -> Check {
        Check { local: NODE[family], ..check(SocketAddr::new(HOST[family], port), how) }
    }

    async fn ask(segment: &mut Segment, check: &Check) -> Outcome {
        let prober = Prober::new(Some(segment.stack.clone()));
        segment.until(prober.ask(check)).await
    }

    const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nready";

    #[test]
    fn every_kind_finds_who_lives_and_who_does_not() {
        run(async {
            for family in [0, 1] {
                let mut segment = Segment::new();
                let (mut plain, mut tls) = (segment.listen(80), segment.listen(443));
                segment.echo(9);
                tokio::spawn(async move {
                    while let Some(stream) = plain.recv().await {
                        tokio::spawn(serve(stream, OK));
                    }
                });
                tokio::spawn(async move {
                    let acceptor = tls_acceptor();
                    while let Some(stream) = tls.recv().await {
                        if let Ok(stream) = acceptor.accept(stream).await {
                            serve(stream, b"HTTP/1.1 204 \r\n\r\n").await;
                        }
                    }
                });
                let https = |statuses: &[u16]| How::Http {
                    tls: true,
                    path: "/".into(),
                    statuses: statuses.to_vec(),
                    reply: Vec::new(),
                };
                let udp =
                    |payload: &str, reply: &str| How::Udp { payload: payload.into(), reply: reply.into() };
                let dead = Outcome::Dead;
                for (port, how, outcome) in [
                    (80, How::Tcp, Outcome::Alive),
                    (81, How::Tcp, dead(Failure::Refused)),
                    (80, http(&[200], "ready"), Outcome::Alive),
                    (80, http(&[200], "steady"), dead(Failure::Reply)),
                    (80, http(&[204], ""), dead(Failure::Status(200))),
                    (81, http(&[200], ""), dead(Failure::Refused)),
                    (443, https(&[204]), Outcome::Alive),
                    (443, https(&[200]), dead(Failure::Status(204))),
                    (80, https(&[204]), dead(Failure::Tls)),
                    (9, udp("hello", "ell"), Outcome::Alive),
                    (9, udp("hello", "bye"), dead(Failure::Reply)),
                    (10, udp("hello", ""), dead(Failure::Refused)),
                    (0, How::Ping, Outcome::Alive),
                ] {
                    let check = check_by(family, port, how);
                    assert_eq!(ask(&mut segment, &check).await, outcome, "{check:?}");
                }
                let quiet = hasty(check_by(family, 9, udp("quiet", "q")));
                assert_eq!(ask(&mut segment, &quiet).await, Outcome::Dead(Failure::Silent));
                let quiet = hasty(check_by(family, 9, udp("quiet", "")));
                assert_eq!(ask(&mut segment, &quiet).await, Outcome::Alive, "silence is no refusal");
                segment.plugged = false;
                for how in [How::Tcp, http(&[200], ""), https(&[200]), How::Ping] {
                    let check = hasty(check_by(family, 80, how));
                    assert_eq!(ask(&mut segment, &check).await, Outcome::Dead(Failure::Silent), "{check:?}");
                }
                segment.turn();
                assert!(!segment.is_busy(), "nothing is left of them");
            }
        });
    }

    #[test]
    fn without_room_this_node_could_not_ask() {
        run(async {
            let mut segment = Segment::new();
            let target = SocketAddr::new(HOST[0], 80);
            let others: Vec<_> =
                (0..MOST_CONNECTIONS).map(|_| segment.stack.connect(NODE[0], target).unwrap()).collect();
            let check = check_by(0, 80, How::Tcp);
            let outcome = Outcome::Unknown(std::io::ErrorKind::QuotaExceeded);
            assert_eq!(ask(&mut segment, &check).await, outcome);
            drop(others);
            segment.turn();
            assert_eq!(ask(&mut segment, &check).await, Outcome::Dead(Failure::Refused));
        });
    }

    #[test]
    fn the_kernel_keeps_what_comes_from_its_addresses() {
        run(async {
            let mut segment = Segment::new();
            let alive = server(b"").await;
            assert_eq!(ask(&mut segment, &check(alive, How::Tcp)).await, Outcome::Alive);
            assert_eq!(segment.sent, 0);
        });
    }
}
