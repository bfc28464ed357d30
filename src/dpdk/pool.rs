//! Pools of packet buffers.
//!
//! Ownership: a pool belongs to the EAL from its creation on and is freed with it, never before: nothing else
//! proves that none of its buffers is out. [`Pool`] is a handle that any number of threads may use, as DPDK's
//! pools are made for many producers and consumers.

use super::{
    eal::{Eal, Running, error_text},
    errno, ffi, log,
    mbuf::Mbuf,
};
use crate::port::BURST;
use std::{
    ffi::{CString, c_int},
    ptr::NonNull,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

/// Buffers a registered thread keeps at hand, so that it seldom asks the shared ring. DPDK allows 512.
const CACHE: u32 = 256;

/// Ethernet header, two VLAN tags, frame check sequence: what a NIC may write beyond the MTU.
const FRAME_OVERHEAD: u16 = 14 + 8 + 4;

/// NICs count buffer sizes in steps of 1 KiB and round down.
const BUFFER_STEP: u16 = 1024;

/// What a pool is to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolOptions {
    /// Packets, at least 64. Best one less than a power of two.
    pub packets: u32,
    /// The largest MTU among its ports, in bytes: a frame of that size fits in one buffer.
    pub mtu: u16,
    /// The NUMA node of its memory, as [`Device::numa_node`](super::Device::numa_node) says; `None`: any.
    pub numa_node: Option<u16>,
}

impl PoolOptions {
    /// Packets that `queues` receive and transmit queues in all need when `threads` move packets: full
    /// descriptor rings and half a receive ring taken out to measure it, full caches, and a few bursts in hand.
    pub fn packets_for(queues: u32, rx_descriptors: u16, tx_descriptors: u16, threads: u32) -> u32 {
        let rings = queues * (u32::from(rx_descriptors) * 3 / 2 + u32::from(tx_descriptors));
        let threads = threads * (CACHE * 3 / 2 + 4 * BURST as u32);
        (rings + threads + 1).next_power_of_two() - 1
    }
}

/// A pool of packet buffers.
#[derive(Clone, Debug)]
pub struct Pool {
    raw: RawPool,
    packets: u32,
    data_room: u16,
    _running: Arc<Running>,
}

/// A pool without a hold on the EAL.
#[derive(Clone, Copy, Debug)]
pub(super) struct RawPool {
    pool: NonNull<ffi::hl_pool>,
    packets: u32,
}

// SAFETY: a mempool may be used by any thread, by many at a time.
unsafe impl Send for RawPool {}
// SAFETY: as above; all its functions here take it shared.
unsafe impl Sync for RawPool {}

/// A pool cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PoolError {
    /// There is no memory for it.
    #[error(
        "no memory for {packets} packets of {bytes} bytes: raise `memory_mb` by {missing_mb} or more, or have fewer \
         queues or descriptors: {reason}{log}"
    )]
    NoMemory {
        /// Packets wanted.
        packets: u32,
        /// Bytes of each buffer.
        bytes: u16,
        /// About what the pool takes.
        missing_mb: u32,
        /// The error's name.
        reason: String,
        /// DPDK's words.
        log: String,
    },
    /// The library that keeps pools in rings is not installed: DPDK loads it by itself, and takes another.
    #[error(
        "DPDK has no driver for packet pools in memory: install librte_mempool_ring (Debian: \
         librte-meta-mempool){log}"
    )]
    NoDriver {
        /// DPDK's words.
        log: String,
    },
}

impl Pool {
    /// Takes memory for a pool. It is given back when the EAL stops.
    ///
    /// # Errors
    ///
    /// There is not so much memory, or no driver.
    pub fn create(eal: &Eal, options: &PoolOptions) -> Result<Self, PoolError> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let data_room = data_room(options.mtu);
        let packets = options.packets.max(64);
        let name = format!("hitless{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        // So small that the caches of all threads together never hold most of the pool.
        let cache = CACHE.min(packets / 16);
        let mark = log::mark();
        raw_pool(&name, packets, cache, data_room, options.numa_node)
            .inspect(|&raw| eal.running().keep(raw))
            .map(|raw| Self { raw, packets, data_room, _running: eal.running().clone() })
            .map_err(|errno| match errno {
                errno::EINVAL => PoolError::NoDriver { log: log::excerpt(mark) },
                _ => PoolError::NoMemory {
                    packets,
                    bytes: data_room,
                    missing_mb: packets.saturating_mul(u32::from(data_room) + 256) >> 20,
                    reason: error_text(errno),
                    log: log::excerpt(mark),
                },
            })
    }

    /// Packets in it and out.
    pub fn packets(&self) -> u32 {
        self.packets
    }

    /// Packets in it, those in the threads' caches counted too. Not exact while others take and give back.
    pub fn available(&self) -> u32 {
        self.raw.available()
    }

    /// Bytes a buffer offers to a NIC.
    pub(super) fn buffer_bytes(&self) -> u16 {
        self.data_room - ffi::HL_HEADROOM as u16
    }

    /// The largest MTU whose frames fit in one buffer.
    pub(super) fn mtu(&self) -> u16 {
        self.buffer_bytes() - FRAME_OVERHEAD
    }

    pub(super) fn as_ptr(&self) -> *mut ffi::hl_pool {
        self.raw.pool.as_ptr()
    }

    /// An empty packet; `None`: all are out.
    #[inline]
    pub fn allocate(&self) -> Option<Mbuf> {
        // SAFETY: the pool exists while the EAL runs, which `self._running` proves.
        let mbuf = unsafe { ffi::hl_mbuf_allocate(self.as_ptr()) };
        // SAFETY: the pool gives each buffer to one holder at a time, fresh, in one segment.
        NonNull::new(mbuf).map(|mbuf| unsafe { Mbuf::from_raw(mbuf) })
    }
}

impl RawPool {
    fn available(&self) -> u32 {
        // SAFETY: whoever has it, `Pool` or `Running`, keeps the EAL and so the pool alive.
        unsafe { ffi::hl_pool_available(self.pool.as_ptr()) }
    }

    /// No packet is out.
    pub(super) fn is_whole(&self) -> bool {
        self.available() == self.packets
    }
}

/// Room for the headroom and for a frame of this MTU, so that it is one segment.
fn data_room(mtu: u16) -> u16 {
    const LARGEST: u16 = (u16::MAX - 128) / BUFFER_STEP * BUFFER_STEP;
    let frame = mtu.saturating_add(FRAME_OVERHEAD).clamp(2 * BUFFER_STEP, LARGEST);
    ffi::HL_HEADROOM as u16 + frame.div_ceil(BUFFER_STEP) * BUFFER_STEP
}

fn raw_pool(
    name: &str,
    packets: u32,
    cache: u32,
    data_room: u16,
    numa_node: Option<u16>,
) -> Result<RawPool, i32> {
    let name = CString::new(name).unwrap_or_default();
    let socket = numa_node.map_or(-1, c_int::from);
    let mut error = 0;
    // SAFETY: the EAL runs, as the caller's `Eal` proves; `name` ends with 0; `error` is written during the
    // call.
    let pool =
        unsafe { ffi::hl_pool_create(name.as_ptr(), packets, cache, data_room, socket, &raw mut error) };
    NonNull::new(pool).map(|pool| RawPool { pool, packets }).ok_or(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_fits_in_one_buffer() {
        for (mtu, room) in
            [(68, 2176), (1500, 2176), (2022, 2176), (2023, 3200), (9000, 9344), (u16::MAX, 64640)]
        {
            assert_eq!(data_room(mtu), room, "MTU {mtu}");
        }
    }

    #[test]
    fn packets_fill_all_rings() {
        assert_eq!(PoolOptions::packets_for(2, 1024, 1024, 2), 8191);
        assert_eq!(PoolOptions::packets_for(1, 256, 128, 1), 2047);
    }
}
