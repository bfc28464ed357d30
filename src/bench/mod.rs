//! L8: `hitless bench`: measurements that print themselves.

mod connect;
mod forward;
mod frames;
mod replay;
mod rig;

pub use connect::{Connect, ConnectReport, connect};
pub use forward::{Forward, ForwardReport, forward};

/// TSC ticks a second, measured against the operating system's clock.
pub fn tsc_hz() -> f64 {
    let clock = quanta::Clock::new();
    let (start, ticks) = (std::time::Instant::now(), clock.raw());
    std::thread::sleep(std::time::Duration::from_millis(100));
    let (elapsed, now) = (start.elapsed(), clock.raw());
    now.wrapping_sub(ticks) as f64 / elapsed.as_secs_f64()
}

/// The middle of some measurements.
fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
