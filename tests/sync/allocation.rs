//! After the two machines are made, nothing allocates: not records, frames, losses, restarts.

use allocation_counter::measure;
use hitless::{
    packet::{Tuple, V4, V6},
    plane::Packed,
    protocol::{pair::*, sync::*},
    types::{Duration, InstanceId, Instant, Protocol, SessionState},
};
use std::net::IpAddr;

fn acquainted() -> [Pair; 2] {
    let key = Key::new(b"a key of both nodes").unwrap();
    let settings = |node| PairSettings {
        node,
        incarnation: node + 10,
        fingerprint: Fingerprint::default(),
        key: Some(key),
    };
    let [mut a, mut b] = [1, 2].map(|node| Pair::new(settings(node)));
    let mut out = [0; 200];
    for _ in 0..3 {
        let length = a.seal(Kind::Hello, &mut out, |_| Some(0)).unwrap();
        let _ = b.open(&out[..length]);
        let length = b.seal(Kind::Hello, &mut out, |_| Some(0)).unwrap();
        let _ = a.open(&out[..length]);
    }
    [a, b]
}

#[test]
fn nothing_allocates_after_the_start() {
    let mut sender = Sender::new(SenderSettings::default());
    let mut receiver = Receiver::new(7);
    let [mut a, mut b] = acquainted();
    let v4 = Tuple::<V4>::new((IpAddr::from([10, 0, 0, 1]), 1), (IpAddr::from([10, 0, 0, 2]), 2)).unwrap();
    let address = |n: u16| IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, n]);
    let v6 = Tuple::<V6>::new((address(1), 1), (address(2), 2)).unwrap();
    let (instance, protocol, state) = (InstanceId(0), Protocol::Tcp, SessionState::Opening);
    let (mut ring, mut far) = rtrb::RingBuffer::new(64);
    let mut now = Instant::from_nanos(1);
    let mut received = 0;
    let used = measure(|| {
        let mut message = [0; 1500];
        for turn in 0..20_000 {
            now = now + Duration::from_micros(7);
            let change = Change::Insert { inbound: v4, state, idle_ms: 1 };
            let record = SessionRecord { instance, protocol, outbound: v4, change };
            ring.push_entire_slice(Packed::record(&Record::V4(record)).slots()).unwrap();
            let change = Change::Insert { inbound: v6, state, idle_ms: 1 };
            let record = SessionRecord { instance, protocol, outbound: v6, change };
            ring.push_entire_slice(Packed::record(&Record::V6(record)).slots()).unwrap();
            while let Some(packed) = Packed::take(&mut far) {
                sender.push(packed.bytes(), Some((instance, 1)), now).unwrap();
            }
            while let Some(length) = a.seal(Kind::SyncData, &mut message, |room| sender.transmit(now, room)) {
                // One in seven is lost.
                if !sender.counters().frames.is_multiple_of(7) {
                    let opened = b.open(&message[..length]).unwrap();
                    let _ = receiver.hear(opened.body, now);
                }
            }
            while let Some((record, term)) = receiver.peek() {
                assert_eq!((record.instance(), term), (Some(instance), Some(1)));
                receiver.advance();
                received += 1;
            }
            if turn == 10_000 {
                receiver.restart();
            }
            let sealed = b.seal(Kind::SyncAck, &mut message, |room| receiver.ack(now, [])?.emit(room));
            if let Some(length) = sealed {
                let opened = a.open(&message[..length]).unwrap();
                sender.hear(&Ack::parse(opened.body).unwrap(), now);
            }
        }
    });
    assert_eq!(used.count_total, 0);
    assert!(received > 30_000, "{received} records came");
    assert!(sender.counters().retransmitted > 100);
}
