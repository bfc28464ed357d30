//! The stack against another machine's.

use super::{
    host::{HOST, NODE, Segment},
    *,
};
use crate::packet::{Udp, icmp::EchoId};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    runtime::Builder,
    time::{sleep, timeout},
};

fn run<T>(work: impl Future<Output = T>) -> T {
    Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// Long enough that nothing comes.
const SILENCE: Duration = Duration::from_millis(50);

#[test]
fn connections_carry_octets_both_ways_and_end() {
    run(async {
        for (local, host) in NODE.into_iter().zip(HOST) {
            let mut segment = Segment::new();
            let mut accept = segment.listen(80);
            let server = tokio::spawn(async move {
                let mut stream = accept.recv().await.unwrap();
                let mut sum = 0_u64;
                for _ in 0..20_000 {
                    sum += u64::from(stream.read_u8().await.unwrap());
                }
                stream.write_all(&vec![7; 50_000]).await.unwrap();
                // Its end, once it is dropped.
                drop(stream);
                (sum, accept)
            });
            let mut stream = segment.stack.connect(local, SocketAddr::new(host, 80)).unwrap();
            let answer = segment
                .until(async {
                    stream.established().await.unwrap();
                    stream.write_all(&vec![3; 20_000]).await.unwrap();
                    let mut answer = Vec::new();
                    stream.read_to_end(&mut answer).await.unwrap();
                    answer
                })
                .await;
            assert_eq!(answer, vec![7; 50_000]);
            assert_eq!(segment.until(server).await.unwrap().0, 60_000);
            assert!(segment.is_busy());
            drop(stream);
            segment.turn();
            assert!(!segment.is_busy(), "its socket is gone with it");
        }
    });
}

#[test]
fn a_connection_that_is_dropped_ends_by_a_reset() {
    run(async {
        let mut segment = Segment::new();
        let mut accept = segment.listen(80);
        let stream = segment.stack.connect(NODE[0], SocketAddr::new(HOST[0], 80)).unwrap();
        segment.until(stream.established()).await.unwrap();
        let mut theirs = segment.until(accept.recv()).await.unwrap();
        drop(stream);
        segment.until(async { assert_eq!(theirs.read(&mut [0; 8]).await.unwrap(), 0) }).await;
    });
}

#[test]
fn who_does_not_listen_refuses_and_who_is_not_there_is_silent() {
    run(async {
        for (local, host) in NODE.into_iter().zip(HOST) {
            let mut segment = Segment::new();
            let stream = segment.stack.connect(local, SocketAddr::new(host, 81)).unwrap();
            let refused = segment.until(stream.established()).await.unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
            let question = segment.stack.send(local, SocketAddr::new(host, 81), b"hello").unwrap();
            let refused = segment.until(question.answer()).await.unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
            segment.plugged = false;
            drop(stream);
            let stream = segment.stack.connect(local, SocketAddr::new(host, 80)).unwrap();
            assert!(segment.until(timeout(SILENCE, stream.established())).await.is_err());
            let question = segment.stack.ping(local, host).unwrap();
            assert!(segment.until(timeout(SILENCE, question.answer())).await.is_err());
            drop(stream);
            segment.turn();
            assert!(!segment.is_busy());
        }
    });
}

#[test]
fn datagrams_and_pings_are_answered() {
    run(async {
        for (local, host) in NODE.into_iter().zip(HOST) {
            let mut segment = Segment::new();
            segment.echo(9);
            let questions: Vec<_> = (0..100_u8)
                .map(|number| {
                    let target = SocketAddr::new(host, 9);
                    (
                        segment.stack.send(local, target, &[number]).unwrap(),
                        segment.stack.ping(local, host).unwrap(),
                    )
                })
                .collect();
            for (number, (datagram, ping)) in (0..).zip(questions) {
                // The other machine's buffers hold some of them.
                if number < 8 {
                    assert_eq!(segment.until(datagram.answer()).await.unwrap(), [number]);
                }
                assert!(segment.until(ping.answer()).await.unwrap().is_empty());
            }
            assert!(!segment.is_busy());
        }
    });
}

/// A firewall that rejects says that the port, or the host, cannot be reached.
#[test]
fn icmp_errors_end_what_they_quote_and_nothing_else() {
    run(async {
        let mut segment = Segment::new();
        segment.plugged = false;
        let target = SocketAddr::new(HOST[0], 80);
        let stream = segment.stack.connect(NODE[0], target).unwrap();
        let other = segment.stack.connect(NODE[0], SocketAddr::new(HOST[0], 81)).unwrap();
        segment.turn();
        let port = stream.port();
        for (from, to, expected) in
            [(port ^ 1, target, false), (port, SocketAddr::new(HOST[0], 82), false), (port, target, true)]
        {
            let quoted = Udp {
                source: NODE[0],
                destination: to.ip(),
                source_port: from,
                destination_port: to.port(),
                ttl: 64,
            };
            let mut syn = vec![0; 28];
            quoted.write_headers(&mut syn, 0, 0).unwrap();
            syn[9] = 6;
            let mut error = vec![0; 28];
            crate::packet::write_ipv4_header(&mut error, (v4(HOST[0]), v4(NODE[0])), 1, 0, 64, 56).unwrap();
            error[20..22].copy_from_slice(&[3, 13]);
            error.extend(&syn);
            let sum = !crate::packet::fold(crate::packet::sum(&error[20..]));
            error[22..24].copy_from_slice(&sum.to_ne_bytes());
            segment.deliver(&error);
            let ended = segment.until(timeout(SILENCE, stream.established())).await;
            assert_eq!(ended.is_ok(), expected, "{from} {to}");
            if let Ok(ended) = ended {
                assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::HostUnreachable);
            }
        }
        assert!(segment.until(timeout(SILENCE, other.established())).await.is_err());
    });
}

fn v4(address: IpAddr) -> std::net::Ipv4Addr {
    let IpAddr::V4(v4) = address else { panic!("{address}") };
    v4
}

#[test]
fn strangers_get_no_answer() {
    run(async {
        let mut segment = Segment::new();
        let question = segment.stack.ping(NODE[0], HOST[0]).unwrap();
        segment.turn();
        segment.until(question.answer()).await.unwrap();
        let stream = segment.stack.connect(NODE[0], SocketAddr::new(HOST[0], 80)).unwrap();
        segment.until(stream.established()).await.unwrap_err();
        sleep(SILENCE).await;
        segment.turn();
        let sent = segment.sent;
        // To the connection's port from another's, to a port that nobody has, an echo request, and noise.
        for (from, to) in [(81, stream.port()), (80, stream.port() ^ 1)] {
            let udp = Udp {
                source: HOST[0],
                destination: NODE[0],
                source_port: from,
                destination_port: to,
                ttl: 64,
            };
            let mut packet = vec![0; 40];
            udp.write_headers(&mut packet, 0, 12).unwrap();
            segment.deliver(&packet);
            packet[9] = 6;
            segment.deliver(&packet);
        }
        let mut request = vec![0; 48];
        let id = EchoId { identifier: 1, sequence: 1 };
        id.write_request(HOST[0], NODE[0], &mut request).unwrap();
        segment.deliver(&request);
        segment.deliver(&[0x45; 64]);
        segment.turn();
        assert_eq!(segment.sent, sent);
    });
}

#[test]
fn packets_wait_for_their_next_hop_and_bear_the_tag() {
    run(async {
        let mut segment = Segment::unresolved(42);
        let ping = segment.stack.ping(NODE[1], HOST[1]).unwrap();
        let mut accept = segment.listen(80);
        let stream = segment.stack.connect(NODE[0], SocketAddr::new(HOST[0], 80)).unwrap();
        segment.turn();
        assert_eq!(segment.requested(), [HOST[1], HOST[0]]);
        segment.resolve();
        let began = std::time::Instant::now();
        segment.until(ping.answer()).await.unwrap();
        segment.until(stream.established()).await.unwrap();
        segment.until(accept.recv()).await.unwrap();
        assert!(began.elapsed() < Duration::from_millis(900), "before the first retransmission");
    });
}

#[test]
fn there_are_limits_and_what_ends_makes_room() {
    run(async {
        let mut segment = Segment::new();
        segment.plugged = false;
        let target = SocketAddr::new(HOST[0], 80);
        let stack = segment.stack.clone();
        let mut streams: Vec<_> =
            (0..MOST_CONNECTIONS).map(|_| stack.connect(NODE[0], target).unwrap()).collect();
        assert_eq!(stack.connect(NODE[0], target).unwrap_err().kind(), io::ErrorKind::QuotaExceeded);
        streams.pop();
        assert!(stack.connect(NODE[0], target).is_err(), "its reset is not sent yet");
        segment.turn();
        streams.push(stack.connect(NODE[0], target).unwrap());
        let mut questions: Vec<_> = Vec::new();
        while questions.len() < MOST_QUESTIONS {
            questions.push(stack.send(NODE[0], target, b"").unwrap());
            if questions.len() % 1024 == 0 {
                segment.turn();
            }
        }
        assert_eq!(stack.ping(NODE[0], HOST[0]).unwrap_err().kind(), io::ErrorKind::QuotaExceeded);
        questions.pop();
        questions.push(stack.ping(NODE[0], HOST[0]).unwrap());
        drop((questions, streams));
        segment.turn();
        assert!(!segment.is_busy());
        // What no packet can have as ends.
        let refused = stack.connect(NODE[0], SocketAddr::new(HOST[1], 80)).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AddrNotAvailable);
        assert!(stack.send(NODE[0], SocketAddr::new(HOST[1], 80), b"").is_err());
        assert!(stack.ping(NODE[0], HOST[1]).is_err());
        segment.turn();
        assert!(!segment.is_busy());
    });
}

#[test]
fn it_has_its_own_addresses() {
    let segment = Segment::new();
    assert!(NODE.iter().all(|own| segment.stack.has(*own)));
    assert!(!HOST.iter().any(|other| segment.stack.has(*other)));
}
