//! The least a forwarder can do: receive from one device, transmit to another, touch nothing. What it costs
//! is what the DPDK layer costs; `dpdk-testpmd --forward-mode=io` is the yardstick.
//!
//! ```sh
//! cargo run --release --example forward_io -- 1 5 net_pcap0,rx_pcap=FILE,infinite_rx=1 net_null0
//! ```
//!
//! Arguments: core to run on, seconds, device to receive from, device to transmit to (may be the same).

use hitless::{
    dpdk::{Device, Eal, EalOptions, OpenOptions, OpenPort, Pool, PoolOptions, cycles, cycles_hz},
    port::{Burst, Port},
};
use std::{env, error::Error};

/// Turns of the loop between two looks at the clock.
const TURNS: usize = 1000;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [core, seconds, from, to] = arguments.as_slice() else {
        return Err("usage: forward_io CORE SECONDS FROM_DEVICE TO_DEVICE".into());
    };
    let (core, seconds): (u16, u64) = (core.parse()?, seconds.parse()?);
    let eal = Eal::start(&EalOptions { memory_mb: 256, main_core: core, ..EalOptions::default() })?;
    let pool = Pool::create(&eal, &PoolOptions { packets: 16383, mtu: 1500, numa_node: None })?;
    let open = |device: &str| -> Result<OpenPort, Box<dyn Error>> {
        Ok(Device::probe(&eal, device, 1)?.open(&OpenOptions::default(), &pool)?)
    };
    let mut receiver = open(from)?;
    let mut transmitter = if from == to { None } else { Some(open(to)?) };
    let _registered = eal.register_thread()?;

    let (mut packets, start) = (0, cycles());
    let end = start + seconds * cycles_hz();
    let mut burst = Burst::new();
    while cycles() < end {
        for _ in 0..TURNS {
            packets += receiver.queues[0].receive(&mut burst);
            transmitter.as_mut().unwrap_or(&mut receiver).queues[0].transmit(&mut burst);
            burst.clear();
        }
    }
    let per_packet = (cycles() - start) as f64 / packets as f64;
    let mpps = cycles_hz() as f64 / per_packet / 1e6;
    let summary = format!("{packets} packets, {per_packet:.1} TSC cycles a packet, {mpps:.2} Mpps\n");
    std::io::Write::write_all(&mut std::io::stdout(), summary.as_bytes())?;
    Ok(())
}
