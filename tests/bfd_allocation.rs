//! After the sessions are made, nothing allocates: not packets, not changes, not configuration.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends where it fails")]

use allocation_counter::measure;
use hitless::{
    protocol::bfd::*,
    types::{Duration, Instant, PortId},
};
use std::net::IpAddr;

const PORT: PortId = PortId(0);

fn settings(local: u8, remote: u8, key: Option<Key>) -> Settings {
    let [local, remote] = [local, remote].map(|last| IpAddr::from([10, 9, 0, last]));
    let path = Path { port: PORT, local, remote, hop: Hop::Single };
    Settings { key, ..Settings::new(path, Timers::symmetric(50, 3).unwrap()) }
}

fn exchange(from: &mut Sessions, to: &mut Sessions, now: Instant) {
    let mut buffer = [0; MAX_DATAGRAM];
    while let Some(outgoing) = from.transmit(now, &mut buffer) {
        to.receive(PORT, &buffer[..outgoing.length], now, now).unwrap();
    }
    from.expire(PORT, now, false, now, |_, _| {});
}

#[test]
fn nothing_allocates_after_the_start() {
    for key in [None, Some(Key::new(AuthKind::MeticulousSha1, 1, b"secret").unwrap())] {
        let mut a = Sessions::new(4, Random::seeded(1));
        let mut b = Sessions::new(4, Random::seeded(2));
        let mut now = Instant::ZERO;
        let used = measure(|| {
            let id = a.add(settings(1, 2, key), now).unwrap();
            b.add(settings(2, 1, key), now).unwrap();
            for turn in 0..10_000 {
                now = now + Duration::from_micros(10);
                exchange(&mut a, &mut b, now);
                exchange(&mut b, &mut a, now);
                if turn == 5_000 {
                    assert_eq!(a.get(id).unwrap().status().state, State::Up);
                    a.get_mut(id).unwrap().reconfigure(Timers::symmetric(100, 4).unwrap());
                }
            }
            a.get_mut(id).unwrap().disable(Diagnostic::ADMINISTRATIVELY_DOWN, now);
            exchange(&mut a, &mut b, now);
            now = now + Duration::from_secs(10);
            b.expire(PORT, now, false, now, |_, _| {});
            assert!(a.remove(id).is_some());
        });
        assert_eq!(used.count_total, 0);
    }
}
