//! The clocks that receive times are told in.
//!
//! Every driver has its own: ticks of the device, nanoseconds of its PTP clock, microseconds of the time of day. One table
//! holds for each port what turns such a time into the process's; management renews it about once a second.

use super::{device::Attached, ffi};
use crate::{
    plane::{ClockFit, Mapping, Reading},
    types::Instant,
};
use std::{
    sync::{
        Arc,
        atomic::{
            AtomicU64,
            Ordering::{Acquire, Relaxed, Release},
            fence,
        },
    },
    time::SystemTime,
};

/// Ports that can have a clock: as many as DPDK is built for.
const PORTS: usize = 32;
/// Readings of which the narrowest counts.
const READINGS: usize = 8;

/// What turns one port's times into the process's. Written by management, read by the control core.
struct Line {
    /// Odd while being written.
    sequence: AtomicU64,
    ticks: AtomicU64,
    nanos: AtomicU64,
    /// 0: unknown.
    rate: AtomicU64,
}

static LINES: [Line; PORTS] = [const {
    Line {
        sequence: AtomicU64::new(0),
        ticks: AtomicU64::new(0),
        nanos: AtomicU64::new(0),
        rate: AtomicU64::new(0),
    }
}; PORTS];

impl Line {
    fn store(&self, mapping: Option<Mapping>) {
        let mapping = mapping.unwrap_or(Mapping { ticks: 0, nanos: 0, rate: 0 });
        let sequence = self.sequence.load(Relaxed);
        self.sequence.store(sequence + 1, Relaxed);
        fence(Release);
        self.ticks.store(mapping.ticks, Relaxed);
        self.nanos.store(mapping.nanos, Relaxed);
        self.rate.store(mapping.rate, Relaxed);
        self.sequence.store(sequence + 2, Release);
    }

    /// `None` while it is unknown, or being written: then the time of the burst does.
    fn load(&self) -> Option<Mapping> {
        let before = self.sequence.load(Acquire);
        let mapping = Mapping {
            ticks: self.ticks.load(Relaxed),
            nanos: self.nanos.load(Relaxed),
            rate: self.rate.load(Relaxed),
        };
        fence(Acquire);
        let whole = before.is_multiple_of(2) && self.sequence.load(Relaxed) == before;
        (whole && mapping.rate != 0).then_some(mapping)
    }
}

/// The process's time of what port `port` says.
#[inline]
pub(super) fn time_of(port: u16, raw: u64) -> Option<Instant> {
    Some(LINES.get(usize::from(port))?.load()?.at(raw))
}

/// What a driver counts in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    /// Ticks of a clock of the device that can be read.
    Ticks,
    /// Nanoseconds of the device's PTP clock.
    Ptp,
    /// Microseconds since 1970.
    EpochMicros,
    /// Nanoseconds since 1970.
    EpochNanos,
}

/// A port's clock, to be read now and then.
#[derive(Debug)]
pub struct DeviceClock {
    attached: Arc<Attached>,
    unit: Unit,
    fit: ClockFit,
}

impl DeviceClock {
    /// The clock of a device that stamps what it receives; `None` where nothing is known of it.
    pub(super) fn new(attached: &Arc<Attached>, driver: &str) -> Option<Self> {
        let unit = match driver {
            "net_pcap" => Unit::EpochMicros,
            "net_af_packet" => Unit::EpochNanos,
            _ if read_ticks(attached).is_some() => Unit::Ticks,
            _ if read_ptp(attached).is_some() => Unit::Ptp,
            _ => return None,
        };
        let nanos = match unit {
            Unit::Ticks => None,
            Unit::Ptp | Unit::EpochNanos => Some(1),
            Unit::EpochMicros => Some(1000),
        };
        Some(Self { attached: attached.clone(), unit, fit: ClockFit::new(nanos) })
    }

    /// Reads it and renews what receive times are told by. `now` gives the process's time. About once a second.
    pub fn renew(&mut self, now: impl Fn() -> Instant) {
        let reading = |_| {
            let before = now();
            let ticks = match self.unit {
                Unit::Ticks => read_ticks(&self.attached),
                Unit::Ptp => read_ptp(&self.attached),
                Unit::EpochMicros => time_of_day().map(|nanos| nanos / 1000),
                Unit::EpochNanos => time_of_day(),
            };
            Some(Reading { before, ticks: ticks?, after: now() })
        };
        let readings: Vec<Reading> = (0..READINGS).filter_map(reading).collect();
        let mapping = self.fit.add(readings);
        if let Some(line) = LINES.get(usize::from(self.attached.port())) {
            line.store(mapping);
        }
    }
}

impl Drop for DeviceClock {
    fn drop(&mut self) {
        if let Some(line) = LINES.get(usize::from(self.attached.port())) {
            line.store(None);
        }
    }
}

fn read_ticks(attached: &Attached) -> Option<u64> {
    let mut ticks = 0;
    // SAFETY: the port is attached; `ticks` is written during the call.
    let result = unsafe { ffi::hl_device_clock(attached.port(), &raw mut ticks) };
    (result == 0).then_some(ticks)
}

fn read_ptp(attached: &Attached) -> Option<u64> {
    let mut nanos = 0;
    // SAFETY: as above.
    let result = unsafe { ffi::hl_device_ptp_time(attached.port(), &raw mut nanos) };
    (result == 0).then_some(nanos)
}

fn time_of_day() -> Option<u64> {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?;
    u64::try_from(since.as_nanos()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_unknown_until_stored_and_after_it_is_gone() {
        let line = &LINES[PORTS - 1];
        assert_eq!(line.load(), None);
        let mapping = Mapping { ticks: 5, nanos: 7, rate: 1 << 32 };
        line.store(Some(mapping));
        assert_eq!(time_of(PORTS as u16 - 1, 9), Some(Instant::from_nanos(11)));
        line.store(None);
        assert_eq!(time_of(PORTS as u16 - 1, 9), None);
        assert_eq!(time_of(PORTS as u16, 9), None);
    }
}
