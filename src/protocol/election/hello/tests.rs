use super::*;
use proptest::prelude::*;

const GOLDEN: [u8; 64] = [
    1, 0x80, 0, 1, // version, witness, reserved, instances
    0, 0, 0, 0, 0, 0, 0, 11, // node
    0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, // incarnation
    0, 0, 0, 0, 0, 0, 1, 2, // sequence
    0, 0, 0, 0, 0, 0, 0, 9, // hears
    0xaa, 0, 0, 0, 0, 0, 0, 0xbb, // name
    0, 0, 0, 0, 0, 0, 0, 7, // term
    0, 0, 0, 0, 0, 0, 0, 8, // term of the request
    2, 100, 0xc2, 2, // role, priority, ready and eligible and all, ready
];

fn golden() -> (Sender, Entry) {
    let sender =
        Sender { node: 11, incarnation: 0x1122_3344_5566_7788, sequence: 0x102, hears: 9, witness: true };
    let entry = Entry {
        name: 0xaa00_0000_0000_00bb,
        role: Role::Standby,
        term: 7,
        priority: 100,
        holding: Holding::All,
        ready: true,
        eligible: true,
        request: Request::Ready(8),
    };
    (sender, entry)
}

#[test]
fn golden_bytes_in_both_directions() {
    let (sender, entry) = golden();
    let mut buffer = [0xee; 80];
    assert_eq!(Hello::emit(&sender, &[entry], &mut buffer), Some(64));
    assert_eq!(buffer[..64], GOLDEN);
    let hello = Hello::parse(&GOLDEN).unwrap();
    assert_eq!((hello.sender, &hello.entries[..]), (sender, &[entry][..]));
}

fn spoiled(at: usize, value: u8) -> Result<Hello, Refusal> {
    let mut body = GOLDEN;
    body[at] = value;
    Hello::parse(&body)
}

#[test]
fn every_malformed_form_is_refused_by_name() {
    for (what, at, value, refusal) in [
        ("another version", 0, 2, Refusal::Version),
        ("an unknown flag", 1, 0x81, Refusal::Reserved),
        ("the reserved byte", 2, 1, Refusal::Reserved),
        ("more instances than bytes", 3, 2, Refusal::Truncated),
        ("fewer instances than bytes", 3, 0, Refusal::TrailingBytes),
        ("no node", 11, 0, Refusal::NodeZero),
        ("a term too high", 44, 8, Refusal::Term),
        ("a term of the request too high", 52, 8, Refusal::Term),
        ("a request without its term", 59, 0, Refusal::Term),
        ("a term without a request", 63, 0, Refusal::Term),
        ("a resignation with a term", 63, 4, Refusal::Term),
        ("no such role", 60, 8, Refusal::Role),
        ("priority 0", 61, 0, Refusal::Priority),
        ("no such holding", 62, 0xc3, Refusal::Holding),
        ("a reserved bit", 62, 0xc6, Refusal::Reserved),
        ("no such request", 63, 6, Refusal::Request),
    ] {
        assert_eq!(spoiled(at, value), Err(refusal), "{what}");
    }
    let mut unborn = GOLDEN;
    unborn[12..20].fill(0);
    assert_eq!(Hello::parse(&unborn), Err(Refusal::IncarnationZero));
    let mut nobody = GOLDEN[..HELLO_HEADER].to_vec();
    nobody[3] = 0;
    assert_eq!(Hello::parse(&nobody), Err(Refusal::Instances));
    let mut twice = [&GOLDEN[..], &GOLDEN[HELLO_HEADER..]].concat();
    twice[3] = 2;
    assert_eq!(Hello::parse(&twice), Err(Refusal::Duplicate));
    let mut many = GOLDEN[..HELLO_HEADER].to_vec();
    many[3] = 33;
    for index in 0..33u8 {
        many.extend([&[index], &GOLDEN[HELLO_HEADER + 1..]].concat());
    }
    assert_eq!(Hello::parse(&many), Err(Refusal::Instances));
    many[3] = 32;
    many.truncate(MAX_HELLO);
    assert_eq!(Hello::parse(&many).map(|hello| hello.entries.len()), Ok(32));
}

#[test]
fn every_cut_and_every_short_buffer_is_refused() {
    let (sender, entry) = golden();
    for length in 0..GOLDEN.len() {
        assert_eq!(Hello::parse(&GOLDEN[..length]), Err(Refusal::Truncated), "{length}");
        assert_eq!(Hello::emit(&sender, &[entry], &mut vec![0; length]), None);
    }
    assert_eq!(Hello::parse(&[&GOLDEN[..], &[0]].concat()), Err(Refusal::TrailingBytes));
}

prop_compose! {
    fn request()(which in 0u8..6, term in 1..=MAX_TERM) -> Request {
        match which {
            0 => Request::None,
            1 => Request::Switch(term),
            2 => Request::Ready(term),
            3 => Request::Go(term),
            4 => Request::Resign,
            _ => Request::Ask,
        }
    }
}

prop_compose! {
    fn entry()(
        name: u64,
        role in prop::sample::select(&Role::ALL[..]),
        term in 0..=MAX_TERM,
        priority in 1..=255u8,
        holding in 0u8..3,
        ready: bool,
        eligible: bool,
        request in request(),
    ) -> Entry {
        let holding = Holding::from_value(holding).unwrap();
        Entry { name, role, term, priority, holding, ready, eligible, request }
    }
}

proptest! {
    #[test]
    fn what_is_emitted_is_read_back(
        node in 1u64..,
        incarnation in 1u64..,
        sequence: u64,
        hears: u64,
        witness: bool,
        entries in prop::collection::vec(entry(), 1..=32),
    ) {
        let mut entries = entries;
        entries.sort_by_key(|entry| entry.name);
        entries.dedup_by_key(|entry| entry.name);
        let sender = Sender { node, incarnation, sequence, hears, witness };
        let mut buffer = [0; MAX_HELLO];
        let length = Hello::emit(&sender, &entries, &mut buffer).unwrap();
        let hello = Hello::parse(&buffer[..length]).unwrap();
        prop_assert_eq!((hello.sender, &hello.entries[..]), (sender, &entries[..]));
    }

    #[test]
    fn any_bytes_are_refused_or_are_what_would_be_emitted(
        body in prop::collection::vec(any::<u8>(), 0..200),
        proper in 0usize..5,
        spoil in prop::collection::vec((0usize..92, any::<u8>()), 0..4),
    ) {
        let mut body = body;
        if proper > 0 {
            body = GOLDEN.to_vec();
            for (at, value) in spoil {
                if let Some(byte) = body.get_mut(at) {
                    *byte = value;
                }
            }
        }
        if let Ok(hello) = Hello::parse(&body) {
            let mut buffer = [0; MAX_HELLO];
            let length = Hello::emit(&hello.sender, &hello.entries, &mut buffer).unwrap();
            prop_assert_eq!(&buffer[..length], &body[..]);
        }
    }
}
