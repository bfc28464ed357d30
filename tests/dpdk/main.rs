//! The DPDK layer on virtual devices: without root, huge pages or a NIC, but for the tests that say so.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests, whose helpers clippy does not know as such"
)]

mod af_packet;
mod captures;
mod devices;
mod nic;
mod packets;
mod process;

use hitless::{
    dpdk::{Device, Eal, EalOptions, Mbuf, OpenOptions, OpenPort, Pool, PoolOptions},
    port::{Burst, Packet, Port},
};
use std::sync::LazyLock;

/// DPDK starts once a process, so all tests share it.
static EAL: LazyLock<Eal> = LazyLock::new(|| Eal::start(&small()).expect("the EAL starts"));

/// What needs nothing of the machine.
fn small() -> EalOptions {
    EalOptions { hugepages: false, memory_mb: 192, ..EalOptions::default() }
}

fn pool(packets: u32) -> Pool {
    Pool::create(&EAL, &PoolOptions { packets, mtu: 1500, numa_node: None }).expect("a pool")
}

fn open(device: &str, options: &OpenOptions, pool: &Pool) -> OpenPort {
    let queues = u16::from(options.workers);
    Device::probe(&EAL, device, queues).and_then(|device| device.open(options, pool)).expect(device)
}

/// The `number`th of a series of frames, all different, of any length.
fn frame(number: usize) -> Vec<u8> {
    let length = 60 + number * 37 % 1455;
    (0..length).map(|at| (at * 7 + number * 31 + number / 256) as u8).collect()
}

fn packet(port: &mut impl Port<Packet = Mbuf>, bytes: &[u8]) -> Mbuf {
    let mut packet = port.allocate().expect("a packet");
    assert!(packet.resize(bytes.len()));
    packet.data_mut().copy_from_slice(bytes);
    packet
}

/// Receives once and returns the frames' bytes.
fn received(port: &mut impl Port<Packet = Mbuf>) -> Vec<Vec<u8>> {
    let mut burst = Burst::new();
    let count = port.receive(&mut burst);
    assert_eq!(burst.len(), count);
    burst.iter().map(|packet| packet.data().to_vec()).collect()
}
