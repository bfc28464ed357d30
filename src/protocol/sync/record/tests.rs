use super::*;
use proptest::prelude::*;
use std::net::IpAddr;

fn tuple<F: Family>(source: &str, destination: &str) -> Tuple<F> {
    let end = |text: &str| -> (IpAddr, u16) {
        let at = text.parse::<std::net::SocketAddr>().unwrap();
        (at.ip(), at.port())
    };
    Tuple::new(end(source), end(destination)).unwrap()
}

fn v4(change: Change<V4>) -> Record {
    Record::V4(SessionRecord {
        instance: InstanceId(3),
        protocol: Protocol::Tcp,
        outbound: tuple("10.0.0.21:8080", "10.0.0.40:40000"),
        change,
    })
}

fn v6(change: Change<V6>) -> Record {
    Record::V6(SessionRecord {
        instance: InstanceId(63),
        protocol: Protocol::Sctp,
        outbound: tuple("[fd00::21]:8080", "[fd00::40]:40000"),
        change,
    })
}

fn insert_v4() -> Record {
    v4(Change::Insert {
        inbound: tuple("192.0.2.7:1025", "10.0.0.100:80"),
        state: SessionState::Established,
        idle_ms: 0x0102_0304,
    })
}

fn insert_v6() -> Record {
    v6(Change::Insert {
        inbound: tuple("[2001:db8::7]:1025", "[fd00::100]:80"),
        state: SessionState::Closing,
        idle_ms: 5,
    })
}

fn marks() -> Vec<Mark> {
    let worker = WorkerId(7);
    vec![
        Mark::Term { instance: InstanceId(5), term: 0x0102_0304_0506_0708 },
        Mark::Begin { worker, generation: 9, ranges: 1 << 127 | 6, instances: 5 },
        Mark::Sweep { worker, generation: 9 },
        Mark::Range {
            worker,
            range: 127,
            instance: InstanceId(2),
            digest: Digest { sessions: 0x0a0b_0c0d, sum: 0x1112_1314_1516_1718 },
        },
        Mark::End { worker, generation: 9, sessions: 1_000_000 },
    ]
}

fn all() -> Vec<Record> {
    let mut all = vec![
        insert_v4(),
        v4(Change::State(SessionState::Reset)),
        v4(Change::Touch),
        v4(Change::Delete),
        insert_v6(),
        v6(Change::State(SessionState::Opening)),
        v6(Change::Touch),
        v6(Change::Delete),
    ];
    all.extend(marks().into_iter().map(Record::Mark));
    all
}

fn encoded(record: &Record) -> Vec<u8> {
    let mut out = [0xee; MAX_RECORD];
    let length = record.encode(&mut out);
    out[..length].to_vec()
}

fn hex(record: &Record) -> String {
    encoded(record).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn golden_bytes() {
    for (record, golden) in [
        (insert_v4(), "01060203_0a0000150a0000281f909c40_01020304_c00002070a00006404010050"),
        (v4(Change::State(SessionState::Reset)), "02060703_0a0000150a0000281f909c40"),
        (v4(Change::Touch), "03060003_0a0000150a0000281f909c40"),
        (v4(Change::Delete), "04060003_0a0000150a0000281f909c40"),
        (
            insert_v6(),
            "8184053f_fd000000000000000000000000000021fd0000000000000000000000000000401f909c40_00000005\
             _20010db8000000000000000000000007fd00000000000000000000000000010004010050",
        ),
        (
            v6(Change::Delete),
            "8484003f_fd000000000000000000000000000021fd0000000000000000000000000000401f909c40",
        ),
        (Record::Mark(marks()[0]), "20050000_0102030405060708"),
        (Record::Mark(marks()[1]), "21070900_80000000000000000000000000000006_0000000000000005"),
        (Record::Mark(marks()[2]), "22070900"),
        (Record::Mark(marks()[3]), "23077f02_0a0b0c0d_1112131415161718"),
        (Record::Mark(marks()[4]), "24070900_00000000000f4240"),
    ] {
        assert_eq!(hex(&record), golden.replace('_', ""), "{record:?}");
    }
}

#[test]
fn every_record_comes_back_and_no_shorter() {
    for record in all() {
        let bytes = encoded(&record);
        assert_eq!(length_of(bytes[0]), Some(bytes.len()));
        assert_eq!(Record::decode(&bytes), Ok((record, bytes.len())));
        let mut longer = bytes.clone();
        longer.push(0xff);
        assert_eq!(Record::decode(&longer), Ok((record, bytes.len())));
        for length in 0..bytes.len() {
            assert_eq!(Record::decode(&bytes[..length]), Err(Malformed::Short), "{record:?} cut to {length}");
        }
    }
}

#[test]
fn sizes_are_those_the_stream_is_planned_with() {
    assert_eq!(encoded(&insert_v4()).len(), 32);
    assert_eq!(encoded(&v4(Change::Delete)).len(), 16);
    assert_eq!(encoded(&v4(Change::Touch)).len(), 16);
    assert_eq!(encoded(&insert_v6()).len(), 80);
    assert_eq!(encoded(&v6(Change::Delete)).len(), 40);
}

#[test]
fn each_malformed_record_by_name() {
    let changed = |record: &Record, at: usize, value: u8| {
        let mut bytes = encoded(record);
        bytes[at] = value;
        Record::decode(&bytes)
    };
    for kind in [0, 5, 0x1f, 0x25, 0x80, 0x85, 0xa0, 0xf0, 0xff] {
        assert_eq!(changed(&insert_v4(), 0, kind), Err(Malformed::Kind), "{kind:#x}");
    }
    for record in [insert_v4(), v4(Change::Delete), insert_v6(), v6(Change::Touch)] {
        assert_eq!(changed(&record, 1, 1), Err(Malformed::Protocol));
        assert_eq!(changed(&record, 2, 8), Err(Malformed::State));
        assert_eq!(changed(&record, 3, 64), Err(Malformed::Instance));
    }
    assert_eq!(changed(&v4(Change::Delete), 2, 1), Err(Malformed::State));
    assert_eq!(changed(&v6(Change::Touch), 2, 2), Err(Malformed::State));
    let mark = |at: usize| Record::Mark(marks()[at]);
    assert_eq!(changed(&mark(0), 1, 64), Err(Malformed::Instance));
    assert_eq!(changed(&mark(0), 2, 1), Err(Malformed::Reserved));
    for at in [0, 1, 2, 4] {
        assert_eq!(changed(&mark(at), 3, 1), Err(Malformed::Reserved));
    }
    assert_eq!(changed(&mark(3), 2, 128), Err(Malformed::Range));
    assert_eq!(changed(&mark(3), 3, 64), Err(Malformed::Instance));
}

proptest! {
    #[test]
    fn any_bytes_decode_to_what_encodes_to_them(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        if let Ok((record, length)) = Record::decode(&bytes) {
            prop_assert_eq!(encoded(&record), &bytes[..length]);
        }
    }

    /// Random bytes are rarely records: these nearly are.
    #[test]
    fn changed_bytes_too(which in 0..13usize, at in 0..80usize, value: u8) {
        let mut bytes = encoded(&all()[which]);
        let at = at % bytes.len();
        bytes[at] = value;
        if let Ok((record, length)) = Record::decode(&bytes) {
            prop_assert_eq!(encoded(&record), &bytes[..length]);
        }
    }
}
