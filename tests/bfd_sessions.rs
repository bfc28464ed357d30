//! A node's sessions: names, ports, room, and what hostile bytes can do.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends where it fails")]

use hitless::{
    protocol::bfd::*,
    types::{Duration, Instant, PortId},
};
use proptest::prelude::*;
use std::{collections::BTreeSet, net::IpAddr};

const PORT: PortId = PortId(0);

fn settings(number: u16) -> Settings {
    let [high, low] = number.to_be_bytes();
    let path = Path {
        port: PORT,
        local: IpAddr::from([10, 0, 0, 1]),
        remote: IpAddr::from([10, 1, high, low]),
        hop: Hop::Single,
    };
    Settings::new(path, Timers::symmetric(10_000, 3).unwrap())
}

fn filled(count: u16, seed: u64) -> (Sessions, Vec<SessionId>) {
    let mut sessions = Sessions::new(count, Random::seeded(seed));
    let ids = (0..count).map(|number| sessions.add(settings(number), Instant::ZERO).unwrap()).collect();
    (sessions, ids)
}

fn all_sent(sessions: &mut Sessions, now: Instant) -> Vec<(SessionId, Vec<u8>)> {
    let mut buffer = [0; MAX_DATAGRAM];
    let next = || sessions.transmit(now, &mut buffer).map(|out| (out.session, buffer[..out.length].to_vec()));
    std::iter::from_fn(next).collect()
}

#[test]
fn discriminators_are_nonzero_unique_and_spread() {
    let (sessions, ids) = filled(MAX_SESSIONS, 1);
    let names: BTreeSet<u32> =
        ids.iter().map(|id| sessions.get(*id).unwrap().status().local_discriminator).collect();
    assert_eq!(names.len(), ids.len());
    assert!(!names.contains(&0));
    for bit in 0..32 {
        let set = names.iter().filter(|name| *name >> bit & 1 == 1).count();
        assert!((400..624).contains(&set), "bit {bit} is set in {set} of 1024");
    }
    let (other, _) = filled(MAX_SESSIONS, 2);
    assert!(other.iter().all(|(_, session)| !names.contains(&session.status().local_discriminator)));
}

#[test]
fn source_ports_are_in_range_unique_and_stable() {
    let (mut sessions, ids) = filled(MAX_SESSIONS, 1);
    let mut ports = BTreeSet::new();
    for turn in 0..5 {
        let sent = all_sent(&mut sessions, Instant::ZERO + Duration::from_secs(turn));
        assert_eq!(sent.len(), ids.len());
        for (id, ip) in sent {
            let port = Datagram::parse(&ip).unwrap().source_port;
            assert_eq!(Some(port), sessions.source_port(id));
            assert!(port >= 49_152);
            ports.insert(port);
        }
    }
    assert_eq!(ports.len(), ids.len());
}

#[test]
fn first_sequence_numbers_differ() {
    let mut sessions = Sessions::new(64, Random::seeded(3));
    let key = Key::new(AuthKind::MeticulousSha1, 1, b"k").unwrap();
    for number in 0..64 {
        sessions.add(Settings { key: Some(key), ..settings(number) }, Instant::ZERO).unwrap();
    }
    let sent = all_sent(&mut sessions, Instant::ZERO);
    let sequences: BTreeSet<[u8; 4]> =
        sent.iter().map(|(_, ip)| Datagram::parse(ip).unwrap().payload[28..32].try_into().unwrap()).collect();
    assert_eq!(sequences.len(), 64);
    let top_bits = sequences.iter().filter(|bytes| bytes[0] & 0x80 != 0).count();
    assert!((16..48).contains(&top_bits));
}

#[test]
fn room_is_limited_and_used_again() {
    let (mut sessions, ids) = filled(3, 1);
    assert_eq!(sessions.add(settings(9), Instant::ZERO), Err(AddError::Full(3)));
    assert!(sessions.remove(ids[1]).is_some());
    assert!(sessions.remove(ids[1]).is_none());
    assert_eq!((sessions.iter().count(), all_sent(&mut sessions, Instant::ZERO).len()), (2, 2));
    assert_eq!(sessions.add(settings(9), Instant::ZERO), Ok(ids[1]));
    assert_eq!(sessions.add(settings(2), Instant::ZERO), Err(AddError::Duplicate(ids[2])));
}

#[test]
fn removed_session_takes_no_packets() {
    let (mut sessions, ids) = filled(1, 1);
    let your_discriminator = sessions.get(ids[0]).unwrap().status().local_discriminator;
    let ip = datagram(&encode(State::Up, 7, your_discriminator));
    assert!(sessions.receive(PORT, &ip, Instant::ZERO, Instant::ZERO).is_ok());
    sessions.remove(ids[0]);
    let result = sessions.receive(PORT, &ip, Instant::ZERO, Instant::ZERO);
    assert_eq!(result.err(), Some(Discard::UnknownDiscriminator));
    assert_eq!((sessions.deadline(), sessions.discards().total()), (None, 1));
}

/// Each port has its own receive queue, empty at its own time.
#[test]
fn silence_is_judged_port_by_port() {
    let mut sessions = Sessions::new(2, Random::seeded(1));
    let mut second = settings(0);
    second.path.port = PortId(1);
    let ids = [settings(0), second].map(|settings| sessions.add(settings, Instant::ZERO).unwrap());
    for port in [PORT, PortId(1)] {
        sessions.receive(port, &datagram(&encode(State::Down, 7, 0)), Instant::ZERO, Instant::ZERO).unwrap();
    }
    let now = Instant::ZERO + Duration::from_secs(1);
    for (port, id) in [(PortId(1), ids[1]), (PORT, ids[0])] {
        let mut judged = Vec::new();
        sessions.expire(port, now, false, now, |id, change| judged.push((id, change.cause)));
        assert_eq!(judged, [(id, Cause::DetectionExpired)]);
    }
}

#[test]
fn removed_loxilb_peer_leaves_no_trace() {
    let mut sessions = Sessions::new(1, Random::seeded(1));
    let loxilb = Settings { compatibility: Compatibility::LoxiLb, ..settings(0) };
    let id = sessions.add(loxilb, Instant::ZERO).unwrap();
    let ip = datagram(&encode(State::Down, 7, 99));
    assert!(sessions.receive(PORT, &ip, Instant::ZERO, Instant::ZERO).is_ok());
    sessions.remove(id);
    sessions.add(settings(0), Instant::ZERO).unwrap();
    let result = sessions.receive(PORT, &ip, Instant::ZERO, Instant::ZERO);
    assert_eq!(result.err(), Some(Discard::UnknownDiscriminator));
}

#[test]
fn no_session_at_all() {
    let mut sessions = Sessions::new(0, Random::seeded(1));
    assert_eq!(sessions.add(settings(1), Instant::ZERO), Err(AddError::Full(0)));
    assert!(sessions.transmit(Instant::ZERO, &mut [0; MAX_DATAGRAM]).is_none());
    assert_eq!(sessions.deadline(), None);
}

fn encode(state: State, my_discriminator: u32, your_discriminator: u32) -> Vec<u8> {
    let control = Control {
        diagnostic: Diagnostic::NONE,
        state,
        poll: false,
        is_final: false,
        control_plane_independent: false,
        demand: false,
        multiplier: 3,
        my_discriminator,
        your_discriminator,
        desired_min_tx_us: 10_000,
        required_min_rx_us: 10_000,
        required_min_echo_rx_us: 0,
    };
    Encoded::plain(&control).bytes().to_vec()
}

fn datagram(payload: &[u8]) -> Vec<u8> {
    let endpoints = Endpoints {
        source: settings(0).path.remote,
        destination: settings(0).path.local,
        source_port: 50_000,
        destination_port: SINGLE_HOP_PORT,
    };
    let mut ip = vec![0; 28 + payload.len()];
    emit(&mut ip, &endpoints, payload).unwrap();
    ip
}

fn up() -> (Sessions, SessionId) {
    let (mut sessions, ids) = filled(1, 1);
    let own = sessions.get(ids[0]).unwrap().status().local_discriminator;
    for payload in [encode(State::Down, 7, 0), encode(State::Init, 7, own)] {
        sessions.receive(PORT, &datagram(&payload), Instant::ZERO, Instant::ZERO).unwrap();
    }
    assert_eq!(sessions.get(ids[0]).unwrap().status().state, State::Up);
    (sessions, ids[0])
}

/// Whatever is thrown at the session: it is accepted, or nothing moves but a counter.
fn throw(sessions: &mut Sessions, id: SessionId, ip: &[u8]) -> Result<(), TestCaseError> {
    let before = sessions.get(id).unwrap().status();
    let now = Instant::ZERO + Duration::from_millis(1);
    let result = sessions.receive(PORT, ip, now, now);
    if result.is_err() {
        let session = sessions.get(id).unwrap();
        prop_assert_eq!(session.status(), before);
        prop_assert_eq!(sessions.discards().total() + session.counters().discards.total(), 1);
    }
    Ok(())
}

proptest! {
    #[test]
    fn arbitrary_packets_move_nothing(ip in prop::collection::vec(any::<u8>(), 0..150)) {
        let (mut sessions, id) = up();
        throw(&mut sessions, id, &ip)?;
    }

    #[test]
    fn arbitrary_payloads_move_nothing_unless_accepted(payload in prop::collection::vec(any::<u8>(), 0..80)) {
        let (mut sessions, id) = up();
        throw(&mut sessions, id, &datagram(&payload))?;
    }

    #[test]
    fn spoiled_packets_move_nothing_unless_accepted(
        state in 0u8..4,
        known: bool,
        spoilt in prop::collection::vec((0usize..24, any::<u8>()), 0..3),
    ) {
        let (mut sessions, id) = up();
        let own = sessions.get(id).unwrap().status().local_discriminator;
        let mut payload = encode(State::from_bits(state), 7, if known { own } else { 0 });
        for (at, value) in spoilt {
            payload[at] = value;
        }
        throw(&mut sessions, id, &datagram(&payload))?;
    }

    /// Accepted packets may say anything; time goes on all the same and the machine never panics or spins.
    #[test]
    fn extreme_values_do_no_harm(
        packets in prop::collection::vec((any::<[u32; 3]>(), any::<[bool; 3]>(), 1u8.., 0u8..4, any::<u32>()), 1..20),
    ) {
        let (mut sessions, id) = up();
        let mut now = Instant::ZERO;
        for ([tx, rx, my], [poll, is_final, demand], multiplier, state, pause_us) in packets {
            now = now + Duration::from_micros(pause_us.into());
            let your = sessions.get(id).unwrap().status().local_discriminator;
            let mut payload = encode(State::from_bits(state), my, your);
            payload[1] |= u8::from(poll) << 5 | u8::from(is_final) << 4 | u8::from(demand) << 1;
            payload[2] = multiplier;
            payload[12..16].copy_from_slice(&tx.to_be_bytes());
            payload[16..20].copy_from_slice(&rx.to_be_bytes());
            let _ = sessions.receive(PORT, &datagram(&payload), now, now);
            sessions.expire(PORT, now, poll, now, |_, _| {});
            prop_assert!(all_sent(&mut sessions, now).len() <= 3);
        }
    }
}
