//! What the benches can be asked for: as much as a node can be configured for, or as the benches' addresses, ports and buffers
//! reach.

use crate::service::{MAX_BACKENDS, MAX_SERVICES};
use std::ops::RangeInclusive;

/// Sessions of a worker: those of `nat.max_sessions`.
pub const FLOWS: RangeInclusive<usize> = 1..=100_000_000;
/// Bytes of a frame: Ethernet's least, and what carries an MTU of 1500.
pub const SIZE: RangeInclusive<usize> = 64..=1514;
/// How long to measure.
pub const SECONDS: RangeInclusive<f64> = 0.01..=3600.0;
/// Services of a table.
pub const SERVICES: RangeInclusive<u32> = 1..=MAX_SERVICES as u32;
/// Backends of a service.
pub const BACKENDS: RangeInclusive<u32> = 1..=MAX_BACKENDS as u32;
/// Workers: those of `cores.workers`.
pub const WORKERS: RangeInclusive<usize> = 1..=64;
/// Load, in percent of what a worker carries.
pub const PERCENT: RangeInclusive<f64> = 0.0..=1000.0;
/// Packets of new sessions: more than a worker can look at.
pub const NEW_PER_SECOND: RangeInclusive<f64> = 0.0..=1e9;
/// Sessions that come and go: enough for a turn's worth of them, and a table two and a half times as large.
pub const CONNECT_SESSIONS: RangeInclusive<usize> = 1_000..=40_000_000;
/// Sessions of a failover: those that fit one local address and 250 backends.
pub const FAILOVER_SESSIONS: RangeInclusive<u32> = 1..=10_000_000;
