use super::*;
use proptest::prelude::*;

const FINGERPRINT: Fingerprint = Fingerprint { workers: 2, ports: 1, steering: 3, instances: 4, nat: 5 };

fn settings(node: u64, incarnation: u64) -> PairSettings {
    let key = Some(Key::new(b"a key of both nodes").unwrap());
    PairSettings { node, incarnation, fingerprint: FINGERPRINT, key }
}

fn pair(node: u64, incarnation: u64) -> Pair {
    Pair::new(settings(node, incarnation))
}

fn say(pair: &mut Pair, kind: Kind, body: &[u8]) -> Vec<u8> {
    let mut out = [0; 200];
    let written = pair.seal(kind, &mut out, |room| {
        room[..body.len()].copy_from_slice(body);
        Some(body.len())
    });
    out[..written.unwrap()].to_vec()
}

/// Two nodes that know each other.
fn acquainted() -> (Pair, Pair) {
    let (mut a, mut b) = (pair(1, 100), pair(2, 200));
    acquaint(&mut a, &mut b);
    (a, b)
}

fn acquaint(a: &mut Pair, b: &mut Pair) {
    for _ in 0..3 {
        let message = say(a, Kind::Hello, b"");
        let _ = b.open(&message);
        let message = say(b, Kind::Hello, b"");
        let _ = a.open(&message);
    }
    assert_eq!((a.peer(), b.peer()), (Some(b.settings.incarnation), Some(a.settings.incarnation)));
}

#[test]
fn two_messages_make_two_nodes_acquainted() {
    let (mut a, mut b) = (pair(1, 100), pair(2, 200));
    let first = say(&mut a, Kind::Hello, b"who?");
    assert_eq!(b.open(&first), Err(Refusal::Unacquainted));
    let second = say(&mut b, Kind::Hello, b"me");
    let opened = a.open(&second).unwrap();
    assert_eq!((opened.node, opened.incarnation, opened.is_new, opened.body), (2, 200, true, &b"me"[..]));
    let third = say(&mut a, Kind::SyncAck, b"ok");
    let opened = b.open(&third).unwrap();
    assert_eq!((opened.kind, opened.is_new, opened.body), (Kind::SyncAck, true, &b"ok"[..]));
    let fourth = say(&mut b, Kind::SyncData, b"data");
    assert!(!a.open(&fourth).unwrap().is_new);
}

#[test]
fn golden_bytes() {
    let mut a =
        Pair::new(PairSettings { key: None, ..settings(0x0102_0304_0506_0708, 0x1112_1314_1516_1718) });
    let golden = "48544c53_01020000_0102030405060708_1112131415161718_0000000000000000_0000000000000001\
                  _00020001_00000003_00000004_00000005_626f6479";
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!(hex(&say(&mut a, Kind::SyncData, b"body")), golden.replace('_', ""));
    let mut a = pair(1, 100);
    let message = say(&mut a, Kind::Hello, b"body");
    assert_eq!(message.len(), HEADER_LENGTH + 4 + TAG_LENGTH);
    assert_eq!(message[6], TAGGED);
    // Made with an implementation written apart: SipHash-2-4-128 under the first half of SHA-256 of context and key.
    assert_eq!(hex(&message[60..]), "bb26add60d794cf23cbdac83440b4965");
}

#[test]
fn malformed_messages_by_name() {
    let (mut a, mut b) = acquainted();
    let message = say(&mut a, Kind::Hello, b"x");
    let mut expect = |message: &[u8], reason| {
        let before = b.refusals.count(reason);
        assert_eq!(b.open(message), Err(reason));
        assert_eq!(b.refusals.count(reason), before + 1);
    };
    for length in 0..HEADER_LENGTH {
        expect(&message[..length], Refusal::Malformed);
    }
    for length in HEADER_LENGTH..message.len() {
        expect(&message[..length], Refusal::WrongKey);
    }
    let changed = |at: usize, value: u8| {
        let mut changed = message.clone();
        changed[at] = value;
        changed
    };
    expect(&changed(0, b'h'), Refusal::Malformed);
    expect(&changed(4, 2), Refusal::WrongVersion);
    expect(&changed(6, 3), Refusal::Malformed);
    expect(&changed(7, 1), Refusal::Malformed);
    expect(&changed(6, 0), Refusal::WrongKey);
    for at in [5, 8, 16, 24, 32, 40, 56, 57] {
        expect(&changed(at, message[at] ^ 1), Refusal::WrongKey);
    }
    assert!(b.open(&message).is_ok(), "what was refused has changed nothing");
}

#[test]
fn an_unknown_kind_and_an_own_message_are_refused() {
    let plain = |node, incarnation| Pair::new(PairSettings { key: None, ..settings(node, incarnation) });
    let (mut a, mut b, mut twin) = (plain(1, 100), plain(2, 200), plain(2, 300));
    acquaint(&mut a, &mut b);
    let mut message = say(&mut a, Kind::Hello, b"");
    message[5] = 4;
    assert_eq!(b.open(&message), Err(Refusal::UnknownKind));
    let message = say(&mut twin, Kind::Hello, b"");
    assert_eq!(b.open(&message), Err(Refusal::OwnMessage));
}

#[test]
fn with_a_key_a_message_without_a_tag_is_refused_and_the_other_way_round() {
    let mut with = pair(1, 100);
    let mut without = Pair::new(PairSettings { key: None, ..settings(2, 200) });
    let mut other = Pair::new(PairSettings {
        key: Some(Key::new(b"another key altogether").unwrap()),
        ..settings(3, 300)
    });
    let message = say(&mut with, Kind::Hello, b"");
    assert_eq!(without.open(&message), Err(Refusal::WrongKey));
    assert_eq!(other.open(&message), Err(Refusal::WrongKey));
    let message = say(&mut without, Kind::Hello, b"");
    assert_eq!(with.open(&message), Err(Refusal::WrongKey));
}

#[test]
fn nothing_is_taken_twice_however_it_is_ordered() {
    let (mut a, mut b) = acquainted();
    let messages: Vec<_> = (0..50u8).map(|n| say(&mut a, Kind::Hello, &[n])).collect();
    for message in messages.iter().rev() {
        assert!(b.open(message).is_ok());
    }
    for message in &messages {
        assert_eq!(b.open(message), Err(Refusal::Replayed));
    }
}

#[test]
fn recordings_of_an_earlier_start_change_nothing() {
    let (mut a, mut b) = acquainted();
    let recorded: Vec<_> = (0..5).map(|_| say(&mut a, Kind::SyncData, b"old")).collect();
    // The peer restarts: what it said before is refused, though it was never heard.
    let mut a2 = pair(1, 101);
    acquaint(&mut a2, &mut b);
    for message in &recorded {
        assert_eq!(b.open(message), Err(Refusal::Replayed));
    }
    assert_eq!(b.peer(), Some(101));
    // This node restarts: what was said to its last start is refused.
    let recorded: Vec<_> = (0..5).map(|_| say(&mut a2, Kind::SyncData, b"old")).collect();
    let mut b2 = pair(2, 201);
    for message in &recorded {
        assert_eq!(b2.open(message), Err(Refusal::Unacquainted));
    }
    assert_eq!(b2.peer(), None);
    acquaint(&mut a2, &mut b2);
    let message = say(&mut a2, Kind::SyncData, b"new");
    assert!(b2.open(&message).is_ok());
}

#[test]
fn a_recording_costs_at_most_every_second_message() {
    let (mut a, mut b) = acquainted();
    let stranger = say(&mut pair(3, 300), Kind::Hello, b"");
    let mut heard = 0;
    for _ in 0..20 {
        assert_eq!(b.open(&stranger), Err(Refusal::Unacquainted));
        let message = say(&mut b, Kind::SyncAck, b"");
        heard += u32::from(a.open(&message).is_ok());
        let message = say(&mut b, Kind::SyncData, b"");
        assert!(a.open(&message).is_ok());
    }
    assert_eq!(heard, 10);
    assert_eq!(b.peer(), Some(100));
}

#[test]
fn another_configuration_refuses_sessions_and_nothing_else() {
    let fingerprint = Fingerprint { workers: 3, ..FINGERPRINT };
    let (mut a, mut b) = (pair(1, 100), Pair::new(PairSettings { fingerprint, ..settings(2, 200) }));
    acquaint(&mut a, &mut b);
    assert_eq!(a.difference(), Some(Difference::Workers { ours: 2, theirs: 3 }));
    let hello = say(&mut b, Kind::Hello, b"still here");
    assert!(a.open(&hello).is_ok());
    for kind in [Kind::SyncData, Kind::SyncAck] {
        let message = say(&mut b, kind, b"");
        assert_eq!(a.open(&message), Err(Refusal::OtherConfiguration));
    }
}

#[test]
fn a_body_that_does_not_fit_is_not_sent() {
    let mut a = pair(1, 100);
    let mut out = [0; HEADER_LENGTH + TAG_LENGTH + 4];
    assert_eq!(a.seal(Kind::Hello, &mut out, |room| Some(room.len())), Some(out.len()));
    assert_eq!(a.seal(Kind::Hello, &mut out, |room| Some(room.len() + 1)), None);
    assert_eq!(a.seal(Kind::Hello, &mut out, |_| None), None);
    assert_eq!(a.seal(Kind::Hello, &mut out[..MAX_OVERHEAD - 1], |_| Some(0)), None);
}

proptest! {
    #[test]
    fn any_bytes_are_refused(mut bytes in prop::collection::vec(any::<u8>(), 0..200), nearly: bool) {
        let (mut a, mut b) = acquainted();
        if nearly {
            let real = say(&mut a, Kind::Hello, b"");
            let length = bytes.len().min(8);
            bytes[..length].copy_from_slice(&real[..length]);
        }
        prop_assert!(b.open(&bytes).is_err());
        prop_assert_eq!(b.peer(), Some(100));
    }
}
