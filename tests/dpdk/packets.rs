//! Packets through loops, files and drains; and that every buffer comes back.

use crate::{EAL, frame, open, packet, pool, received};
use hitless::{
    dpdk::{Mbuf, OpenOptions},
    port::{BATCH, BURST, Burst, Packet, Port},
};
use std::{env, fs, path::PathBuf, process};

const PACKETS: u32 = 2047;

#[test]
fn frames_come_back_unchanged_from_a_ring() {
    let pool = pool(PACKETS);
    {
        let mut port = open("net_ring_loop0", &OpenOptions::default(), &pool);
        let queue = &mut port.queues[0];
        let frames: Vec<_> = (0..BURST).map(frame).collect();
        let mut burst: Burst<Mbuf> = frames.iter().map(|frame| packet(queue, frame)).collect();
        assert_eq!(queue.transmit(&mut burst), BURST);
        assert!(burst.is_empty());
        assert_eq!(received(queue), frames);
        assert_eq!(received(queue), Vec::<Vec<u8>>::new());
    }
    assert_eq!(pool.available(), PACKETS);
}

#[test]
fn received_packets_are_appended_up_to_the_room() {
    let pool = pool(PACKETS);
    {
        let mut port = open("net_ring_room0", &OpenOptions::default(), &pool);
        let queue = &mut port.queues[0];
        let mut sent: Burst<Mbuf> = (0..BURST).map(|number| packet(queue, &frame(number))).collect();
        assert_eq!(queue.transmit(&mut sent), BURST);
        let held = 100..100 + BATCH - BURST + 5;
        let mut burst: Burst<Mbuf> = held.clone().map(|number| packet(queue, &frame(number))).collect();
        assert_eq!(queue.receive(&mut burst), BURST - 5);
        let expected = held.chain(0..BURST - 5).map(frame);
        assert!(burst.iter().map(|packet| packet.data().to_vec()).eq(expected));
        assert_eq!(queue.receive(&mut burst), 0);
        burst.truncate(BATCH - 10);
        assert_eq!(queue.receive(&mut burst), 5);
        assert_eq!(burst.last().map(|packet| packet.data().to_vec()), Some(frame(BURST - 1)));
    }
    assert_eq!(pool.available(), PACKETS);
}

#[test]
fn what_does_not_fit_stays_in_order() {
    let pool = pool(PACKETS);
    {
        let mut port = open("net_ring_full0", &OpenOptions::default(), &pool);
        let queue = &mut port.queues[0];
        // Bursts of 31, so that the ring of 1023 slots ends within one.
        let (mut sent, mut stayed) = (0, Burst::new());
        while stayed.is_empty() {
            stayed = (sent..sent + 20).map(|number| packet(queue, &frame(number))).collect();
            sent += queue.transmit(&mut stayed);
        }
        assert_eq!((sent, stayed.len()), (1023, 17));
        assert!(stayed.iter().zip(sent..).all(|(packet, number)| packet.data() == frame(number)));
        let mut back = Vec::new();
        while back.len() < sent {
            back.extend(received(queue));
        }
        assert!(back.into_iter().eq((0..sent).map(frame)));
        assert_eq!(queue.transmit(&mut stayed), 17);
        assert_eq!(received(queue).len(), 17);
    }
    assert_eq!(pool.available(), PACKETS);
}

#[test]
fn dropped_packets_go_back_one_by_one_or_together() {
    let pool = pool(PACKETS);
    let burst = || (0..BURST).map_while(|_| pool.allocate()).collect::<Burst<Mbuf>>();
    let (mut first, second) = (burst(), burst());
    assert_eq!(pool.available(), PACKETS - 2 * BURST as u32);
    Mbuf::free_all(&mut first);
    assert!(first.is_empty());
    assert_eq!(pool.available(), PACKETS - BURST as u32);
    drop(second);
    assert_eq!(pool.available(), PACKETS);
    Mbuf::free_all(&mut Burst::new());
}

#[test]
fn a_registered_threads_cache_loses_nothing() {
    let pool = pool(PACKETS);
    let worker = || {
        let _registered = EAL.register_thread().expect("an identity");
        for _ in 0..100 {
            let held: Vec<Mbuf> = (0..300).map_while(|_| pool.allocate()).collect();
            assert_eq!(held.len(), 300);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(worker);
        }
    });
    assert_eq!(pool.available(), PACKETS);
}

#[test]
fn packets_may_be_freed_by_another_thread() {
    let pool = pool(PACKETS);
    let held: Vec<Mbuf> = (0..500).map_while(|_| pool.allocate()).collect();
    std::thread::scope(|scope| scope.spawn(move || drop(held)).join().unwrap());
    assert_eq!(pool.available(), PACKETS);
}

#[test]
fn an_empty_pool_gives_none() {
    let pool = pool(127);
    let held: Vec<Mbuf> = std::iter::from_fn(|| pool.allocate()).collect();
    assert_eq!((held.len(), pool.available()), (127, 0));
    drop(held);
    assert_eq!(pool.available(), 127);
}

#[test]
fn a_frame_grows_and_shrinks_at_both_ends() {
    let pool = pool(127);
    let mut packet = pool.allocate().expect("a packet");
    assert_eq!((packet.length(), packet.data().len()), (0, 0));
    assert!(packet.resize(100));
    packet.data_mut().iter_mut().zip(0..).for_each(|(byte, at)| *byte = at);

    assert!(packet.move_start(14));
    assert_eq!((packet.length(), packet.data()[0], packet.data()[85]), (86, 14, 99));
    assert!(packet.move_start(-18));
    assert_eq!((packet.length(), packet.data()[4], packet.data()[103]), (104, 0, 99));
    // 128 bytes of headroom, 4 of them in use.
    assert!(!packet.move_start(-125) && !packet.move_start(105) && !packet.move_start(isize::MIN));
    assert!(packet.move_start(-124));
    assert_eq!(packet.length(), 228);
    assert!(packet.resize(2176) && !packet.resize(2177) && !packet.resize(usize::MAX));
    packet.data_mut().fill(0xff);
    assert!(packet.move_start(2176) && packet.data().is_empty());
    assert!(!packet.resize(1));
}

/// A capture with these frames, of this second and microsecond each.
pub(crate) struct Capture(pub(crate) PathBuf);

impl Capture {
    pub(crate) fn write(name: &str, frames: &[(u32, u32, Vec<u8>)]) -> Self {
        let path = env::temp_dir().join(format!("hitless-{}-{name}.pcap", process::id()));
        let mut file = Vec::new();
        for word in [0xa1b2_c3d4u32, 0x0004_0002, 0, 0, 65535, 1] {
            file.extend(word.to_le_bytes());
        }
        for (seconds, micros, frame) in frames {
            for word in [*seconds, *micros, frame.len() as u32, frame.len() as u32] {
                file.extend(word.to_le_bytes());
            }
            file.extend(frame);
        }
        fs::write(&path, file).unwrap();
        Self(path)
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[test]
fn a_capture_is_replayed_with_its_times() {
    let frames: Vec<_> = (0..50)
        .map(|number| (1_700_000_000 + number as u32, 999_950 + number as u32, frame(number)))
        .collect();
    let capture = Capture::write("times", &frames);
    let pool = pool(PACKETS);
    {
        let mut port =
            open(&format!("net_pcap_times0,rx_pcap={}", capture.0.display()), &OpenOptions::default(), &pool);
        let mut got = Vec::new();
        loop {
            let mut burst = Burst::new();
            if port.queues[0].receive(&mut burst) == 0 {
                break;
            }
            got.extend(burst.iter().map(|packet| (packet.raw_timestamp(), packet.data().to_vec())));
        }
        let expected = frames.into_iter().map(|(seconds, micros, frame)| {
            (Some(u64::from(seconds) * 1_000_000 + u64::from(micros)), frame)
        });
        assert!(got.into_iter().eq(expected));
        let counters = port.nic.counters();
        assert_eq!((counters.rx_packets, counters.tx_packets), (50, 0));
    }
    assert_eq!(pool.available(), PACKETS);
}

#[test]
fn a_null_device_gives_and_swallows() {
    let pool = pool(PACKETS);
    {
        let mut port = open("net_null_sink0,size=64", &OpenOptions::default(), &pool);
        let queue = &mut port.queues[0];
        let mut burst = Burst::new();
        assert_eq!(queue.receive(&mut burst), BURST);
        assert!(burst.iter().all(|packet| packet.length() == 64 && packet.raw_timestamp().is_none()));
        assert!(burst.iter().all(|packet| packet.received_at().is_none()));
        assert_eq!(queue.transmit(&mut burst), BURST);
        assert!(burst.is_empty());
        assert_eq!(pool.available(), PACKETS);
        assert_eq!(port.nic.counters().rx_packets, BURST as u64);
    }
    assert_eq!(pool.available(), PACKETS);
}
