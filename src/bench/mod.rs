//! L8: `hitless bench`: measurements that print themselves.

mod capture;
mod connect;
mod deck;
mod forward;
mod frames;
mod load;
mod measure;
#[cfg(feature = "dpdk")]
mod ports;
mod replay;
mod rig;
mod wire;

pub use capture::capture;
pub use connect::{Connect, ConnectReport, Opening, connect};
pub use forward::{Forward, ForwardReport, Lane, forward};
pub use load::{Load, LoadReport, LoadRun, Waits, load};
#[cfg(feature = "dpdk")]
pub use ports::forward_on_ports;
pub use rig::frame;

/// TSC ticks a second, measured against the operating system's clock.
pub fn tsc_hz() -> f64 {
    let clock = quanta::Clock::new();
    let (start, ticks) = (std::time::Instant::now(), clock.raw());
    std::thread::sleep(std::time::Duration::from_millis(100));
    let (elapsed, now) = (start.elapsed(), clock.raw());
    now.wrapping_sub(ticks) as f64 / elapsed.as_secs_f64()
}
