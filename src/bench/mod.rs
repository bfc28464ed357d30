//! L9: `hitless bench`: measurements that print themselves.

mod bfd;
mod capture;
mod connect;
mod deck;
mod failover;
mod floor;
mod forward;
mod frames;
#[cfg(feature = "dpdk")]
mod generate;
mod host;
pub mod limits;
mod load;
mod measure;
mod plot;
#[cfg(feature = "dpdk")]
mod ports;
mod replace;
mod replay;
mod rig;
mod services;
mod spread;
mod timer;
mod wire;

pub use bfd::{Bfd, BfdReport, bfd};
pub use capture::capture;
pub use connect::{Connect, ConnectReport, Opening, connect};
pub use failover::{Failover, FailoverReport, failover};
pub use forward::{Forward, ForwardReport, Lane, forward};
pub use frames::Frames;
#[cfg(feature = "dpdk")]
pub use generate::{GenerateReport, generate};
pub use load::{Load, LoadReport, LoadRun, Waits, load};
pub use plot::cumulative;
#[cfg(feature = "dpdk")]
pub use ports::forward_on_ports;
pub use replace::Replacing;
pub use rig::frame;
pub use spread::{Spread, Tail};

/// TSC ticks a second, measured against the operating system's clock.
pub fn tsc_hz() -> f64 {
    let clock = quanta::Clock::new();
    let (start, ticks) = (std::time::Instant::now(), clock.raw());
    std::thread::sleep(std::time::Duration::from_millis(100));
    let (elapsed, now) = (start.elapsed(), clock.raw());
    now.wrapping_sub(ticks) as f64 / elapsed.as_secs_f64()
}
