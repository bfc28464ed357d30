//! L4: real ports, through DPDK. The only unsafe code of the crate.
//!
//! `dpdk/hitless_dpdk.h` is the foreign contract: our own functions, one call a burst, implemented in C over
//! DPDK 22.11 to 24.11. Here they become types that cannot be misused: [`Eal`] runs as long as anything made
//! of it; [`Mbuf`] owns a packet; [`Queue`] is one thread's; a [`Device`] is configured before it has queues.
#![allow(unsafe_code, reason = "the foreign calls live here, each with the reason why it is sound")]

mod arguments;
mod device;
mod device_clock;
mod device_error;
mod eal;
mod errno;
mod ffi;
mod flow;
mod inventory;
pub mod log;
mod mbuf;
mod nic;
mod open;
mod pool;
mod queue;
mod reassembly;
mod rss;
mod spec;

pub use arguments::{EalError, EalOptions};
pub use device::Device;
pub use device_clock::DeviceClock;
pub use device_error::DeviceError;
pub use eal::{Eal, RegisteredThread, ThreadError, cycles, cycles_hz, version};
pub use flow::{FlowError, FlowRule};
pub(crate) use inventory::reserve_command;
pub use inventory::{Advice, Capabilities, Host, HugePages, Inventory, PciNic, Timestamps, advice};
pub use mbuf::Mbuf;
pub use nic::{Counters, Filter, Link, Nic, Report};
pub use open::{OpenOptions, OpenPort};
pub use pool::{Pool, PoolError, PoolOptions};
pub use queue::Queue;
pub use reassembly::whole_datagrams;
