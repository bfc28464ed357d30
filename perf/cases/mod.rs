//! The parts of the data path, each as work that can be done any number of times. `data_path` takes their time,
//! `instructions` counts their instructions.

use hitless::{
    bench::{Connect, Forward, Lane, Opening},
    packet::{Difference, Family, HashKey, MICROSOFT_KEY, Toeplitz, Tuple, V4, V6, sum, verify_ipv4_header},
    plane::{Publisher, prefetch_nearby},
    port,
    service::{Backend, Client, SchedulerKind, ServiceSpec, ServiceTable},
    session::{Reference, Session, Storage, Table},
    types::{BackendId, Duration, InstanceId, Protocol, ServiceId},
};
use std::{hint::black_box, net::IpAddr};

/// Does the work so many times.
pub(crate) type Work = Box<dyn FnMut(u64)>;

/// Name, and what prepares the work.
pub(crate) type Case = (&'static str, fn() -> Work);

/// All of them.
pub(crate) const ALL: &[Case] = &[
    ("parse, IPv4 UDP", || parse::<V4>(Protocol::Udp)),
    ("parse, IPv4 TCP", || parse::<V4>(Protocol::Tcp)),
    ("parse, IPv6 UDP", || parse::<V6>(Protocol::Udp)),
    ("hash, IPv4", hash::<V4>),
    ("hash, IPv6", hash::<V6>),
    ("hash, as NICs do it, IPv4", toeplitz::<V4>),
    ("hash, as NICs do it, IPv6", toeplitz::<V6>),
    ("look-up, hit, IPv4", || look_up::<V4>(0)),
    ("look-up, hit, IPv6", || look_up::<V6>(0)),
    ("look-up, miss, IPv4", || look_up::<V4>(SESSIONS)),
    ("insert and remove, IPv4", insert::<V4>),
    ("insert and remove, IPv6", insert::<V6>),
    ("checksum, 1,460 bytes", checksum),
    ("checksum, IPv4 header", header_checksum),
    ("checksum, by difference", difference),
    ("maglev, build, 100 backends", maglev_build),
    ("maglev, select", maglev_select),
    ("table, publish and read", publish),
    ("worker, IPv4 UDP", || worker::<V4>(Protocol::Udp, port::BATCH)),
    ("worker, IPv4 TCP", || worker::<V4>(Protocol::Tcp, port::BATCH)),
    ("worker, IPv6 UDP", || worker::<V6>(Protocol::Udp, port::BATCH)),
    ("worker, one packet a burst", || worker::<V4>(Protocol::Udp, 1)),
    ("connect, IPv4 TCP", || connect::<V4>(false)),
    ("connect, IPv6 TCP", || connect::<V6>(false)),
    ("connect, IPv4 TCP, told to a peer", || connect::<V4>(true)),
];

/// The same buckets every time.
const KEY: HashKey = HashKey::new([0x9e37_79b9_7f4a_7c15, 0xd1b5_4a32_d192_ed03]);
const SESSIONS: u32 = 50_000;
/// Tuples looked up together, as a burst does.
const BATCH: usize = 32;

/// Steps through numbers below `count` in an order the prefetcher does not guess.
fn scattered(count: u32) -> impl FnMut() -> u32 {
    let mut state = 1u32;
    move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((u64::from(state) * u64::from(count)) >> 32) as u32
    }
}

fn address<F: Family>(n: u32) -> IpAddr {
    match F::VERSION {
        4 => (0x0a00_0000 + n).to_be_bytes().into(),
        _ => std::net::Ipv6Addr::from_bits(0xfd00 << 112 | u128::from(n)).into(),
    }
}

fn client<F: Family>(n: u32) -> Tuple<F> {
    let source = (address::<F>(0x10_0000 + n / 30_000), 1024 + (n % 30_000) as u16);
    Tuple::new(source, (address::<F>(1), 80)).unwrap_or_default()
}

fn backend<F: Family>(n: u32) -> Tuple<F> {
    let local = (address::<F>(0x20_0000 + n / 30_000), 1024 + (n % 30_000) as u16);
    Tuple::new((address::<F>(2), 8080), local).unwrap_or_default()
}

fn session<F: Family>(n: u32) -> Session<F> {
    let ids = (ServiceId(0), BackendId(0), InstanceId(0));
    Session::new(client(n), backend(n), Protocol::Udp, ids, 0)
}

fn parse<F: Family>(protocol: Protocol) -> Work {
    let packet = hitless::bench::frame::<F>(&client(7), protocol, 80);
    Box::new(move |times| {
        for _ in 0..times {
            let _ = black_box(F::parse(black_box(&packet[14..]), false));
        }
    })
}

fn hash<F: Family>() -> Work {
    let tuple = client::<F>(7);
    Box::new(move |times| {
        for _ in 0..times {
            black_box(black_box(&tuple).hash(17, &KEY));
        }
    })
}

fn toeplitz<F: Family>() -> Work {
    let (tuple, toeplitz) = (client::<F>(7), Toeplitz::new(&MICROSOFT_KEY));
    Box::new(move |times| {
        for _ in 0..times {
            black_box(toeplitz.hash(black_box(&tuple)));
        }
    })
}

/// Tuples from client `first` on, both directions, a batch at a time.
fn look_up<F: Family>(first: u32) -> Work {
    let mut table = Table::new(Storage::<F>::heap(SESSIONS as usize), KEY);
    for n in 0..SESSIONS {
        let _ = table.insert(session(n));
    }
    let mut next = scattered(SESSIONS);
    let tuples: Vec<Tuple<F>> = (0..4096)
        .map(|n| if n % 2 == 0 { client(first + next()) } else { backend(first + next()) })
        .collect();
    Box::new(move |times| {
        let (batches, _) = tuples.as_chunks::<BATCH>();
        for batch in batches.iter().cycle().take(times as usize / BATCH) {
            let hashes = batch.map(|tuple| table.hash(&tuple, Protocol::Udp));
            hashes.iter().for_each(|&hash| table.prefetch(hash));
            let candidates = hashes.map(|hash| table.candidate(hash));
            candidates.iter().filter_map(|&candidate| table.at(candidate)).for_each(prefetch_nearby);
            for (tuple, candidate) in batch.iter().zip(candidates) {
                black_box(table.confirm(candidate, tuple, Protocol::Udp).is_some());
            }
        }
    })
}

/// At the table's working load.
fn insert<F: Family>() -> Work {
    let mut table = Table::new(Storage::<F>::heap(SESSIONS as usize), KEY);
    let mut kept: Vec<Option<Reference>> = (0..SESSIONS).map(|n| table.insert(session(n)).ok()).collect();
    let mut next = scattered(SESSIONS);
    Box::new(move |times| {
        for _ in 0..times {
            let n = next();
            if let Some(reference) = kept[n as usize] {
                table.remove(reference);
            }
            kept[n as usize] = table.insert(session(n)).ok();
        }
    })
}

fn checksum() -> Work {
    let bytes: Vec<u8> = (0..1460).map(|n| n as u8).collect();
    Box::new(move |times| {
        for _ in 0..times {
            black_box(sum(black_box(&bytes)));
        }
    })
}

fn header_checksum() -> Work {
    let packet = hitless::bench::frame::<V4>(&client(7), Protocol::Udp, 80);
    Box::new(move |times| {
        for _ in 0..times {
            black_box(black_box(&packet[14..]).first_chunk().is_some_and(verify_ipv4_header));
        }
    })
}

fn difference() -> Work {
    let difference = Difference::between(0x1234, 0xabcd);
    Box::new(move |times| {
        for _ in 0..times {
            black_box(black_box(difference).apply_udp(black_box(0x4711)));
        }
    })
}

fn service(backends: u32) -> ServiceSpec {
    let backend = |n| Backend {
        id: BackendId(n),
        address: address::<V4>(0x40_0000 + n),
        port: Some(8080),
        weight: 1,
        available: true,
    };
    ServiceSpec {
        id: ServiceId(0),
        name: "bench".into(),
        instance: InstanceId(0),
        vip: address::<V4>(1),
        secondary_vips: Vec::new(),
        ports: 80..=80,
        protocol: Protocol::Udp,
        scheduler: SchedulerKind::Maglev,
        idle_timeout: Duration::from_secs(1800),

        resets_unknown: false,
        allowed_sources: Vec::new(),
        backends: (0..backends).map(backend).collect(),
    }
}

fn table(backends: u32) -> ServiceTable {
    ServiceTable::build(vec![service(backends)], [], None).unwrap_or_default()
}

fn maglev_build() -> Work {
    Box::new(move |times| {
        for _ in 0..times {
            black_box(table(100));
        }
    })
}

fn maglev_select() -> Work {
    let table = table(100);
    let mut next = scattered(1 << 24);
    Box::new(move |times| {
        for _ in 0..times {
            let n = next();
            let client = Client { flow: u64::from(n) << 32, source: address::<V4>(n) };
            let service = table.find(address::<V4>(1), Protocol::Udp, 80);
            black_box(service.and_then(|service| service.select(&client, |_| 0)).map(|backend| backend.id));
        }
    })
}

fn publish() -> Work {
    let mut publisher = Publisher::new(0u64);
    let mut reader = publisher.reader();
    Box::new(move |times| {
        for n in 0..times {
            publisher.publish(n);
            black_box(**reader.load());
        }
    })
}

/// Packets of 1,000 sessions through a whole worker.
fn worker<F: Family>(protocol: Protocol, burst: usize) -> Work {
    let what = Forward { flows: 1000, protocol, burst, ..Forward::default() };
    let Ok(mut lane) = Lane::<F>::prepare(&what) else { return Box::new(|_| ()) };
    Box::new(move |times| {
        black_box(lane.forward_in_steps(times, Duration::from_micros(2)));
    })
}

/// Packets that each open a session, while as many end.
fn connect<F: Family>(sync: bool) -> Work {
    let what = Connect {
        seconds: 0.0,
        sync,
        sessions: 10_000,
        protocol: Protocol::Tcp,
        family: F::VERSION,
        backends: 16,
    };
    let Ok(mut opening) = Opening::<F>::prepare(&what) else { return Box::new(|_| ()) };
    Box::new(move |times| opening.open(times))
}
