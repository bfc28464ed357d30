//! A packet buffer of DPDK's.
//!
//! Ownership: an [`Mbuf`] is the only reference to its buffer; it is born from a pool or a receive queue and
//! ends in a transmit queue or back in its pool, which never goes before it (see `eal.rs`). So its first
//! cache line and its bytes are as exclusive as the `Mbuf` itself, and no reference to either outlives a
//! borrow of it.

use super::{device_clock, ffi};
use crate::{
    port::{Burst, Checksum, Packet},
    types::Instant,
};
use std::{
    fmt,
    ptr::NonNull,
    slice,
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
};

/// A packet buffer, owned.
#[repr(transparent)]
pub struct Mbuf(NonNull<ffi::hl_mbuf>);

// SAFETY: nothing in a buffer belongs to a thread, and pools take buffers back from any.
unsafe impl Send for Mbuf {}

/// Where drivers write the receive time: byte offset in the buffer's head, and its flag, 0 until known.
static TIMESTAMP_OFFSET: AtomicU32 = AtomicU32::new(0);
static TIMESTAMP_FLAG: AtomicU64 = AtomicU64::new(0);

/// Bytes of an rte_mbuf: two cache lines.
const HEAD_BYTES: u32 = 128;

impl Mbuf {
    /// Takes over a buffer.
    ///
    /// # Safety
    ///
    /// `mbuf` is a buffer of a pool in [`super::Pool`], and no one else refers to it from now on.
    #[inline]
    pub(super) unsafe fn from_raw(mbuf: NonNull<ffi::hl_mbuf>) -> Self {
        Self(mbuf)
    }

    #[inline]
    fn head(&self) -> &ffi::hl_mbuf {
        // SAFETY: points to a live buffer whose head has this layout (asserted in pool.c); it is ours alone,
        // so nobody writes it during the borrow.
        unsafe { self.0.as_ref() }
    }

    #[inline]
    fn head_mut(&mut self) -> &mut ffi::hl_mbuf {
        // SAFETY: as in `head`; `&mut self` excludes our own other borrows.
        unsafe { self.0.as_mut() }
    }

    #[inline]
    fn data_pointer(&self) -> *mut u8 {
        let head = self.head();
        head.buf_addr.wrapping_add(usize::from(head.data_off))
    }

    /// The receive time as the driver wrote it: ticks or units of its own, from its own beginning.
    #[inline]
    pub fn raw_timestamp(&self) -> Option<u64> {
        let flag = TIMESTAMP_FLAG.load(Ordering::Relaxed);
        if self.head().ol_flags & flag == 0 {
            return None;
        }
        let at = self.0.as_ptr().cast::<u8>().wrapping_add(TIMESTAMP_OFFSET.load(Ordering::Relaxed) as usize);
        // SAFETY: the flag is set, so the driver wrote a u64 there, and `learn_timestamps` checked before it
        // stored the flag that these bytes lie in the buffer's head.
        Some(unsafe { at.cast::<u64>().read_unaligned() })
    }

    /// Frees all packets of a burst at once, which costs less than one by one.
    pub fn free_all(burst: &mut Burst<Self>) {
        let count = burst.len() as u32;
        let mbufs = burst.as_mut_ptr().cast::<*mut ffi::hl_mbuf>();
        // SAFETY: to own less than there is is always allowed; the elements now belong to this function.
        unsafe { burst.set_len(0) }
        // SAFETY: `mbufs` are `count` buffers, each a pointer (`Mbuf` is transparent), owned, and not used
        // after.
        unsafe { ffi::hl_mbuf_free_bulk(mbufs, count) }
    }
}

impl Drop for Mbuf {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: it is ours alone and not used after; its pool exists still.
        unsafe { ffi::hl_mbuf_free(self.0.as_ptr()) }
    }
}

impl Packet for Mbuf {
    #[inline]
    fn data(&self) -> &[u8] {
        // SAFETY: DPDK keeps data_off + data_len within the buffer, and so do `resize` and `move_start`; pool
        // memory is mapped and was zeroed; the bytes are ours alone and stay so during the borrow.
        unsafe { slice::from_raw_parts(self.data_pointer(), usize::from(self.head().data_len)) }
    }

    #[inline]
    fn data_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `data`; `&mut self` excludes our own other borrows.
        unsafe { slice::from_raw_parts_mut(self.data_pointer(), usize::from(self.head().data_len)) }
    }

    #[inline]
    fn length(&self) -> usize {
        self.head().pkt_len as usize
    }

    fn resize(&mut self, length: usize) -> bool {
        let head = self.head_mut();
        let room = usize::from(head.buf_len - head.data_off);
        if head.nb_segs != 1 || length > room {
            return false;
        }
        head.data_len = length as u16;
        head.pkt_len = length as u32;
        true
    }

    fn move_start(&mut self, delta: isize) -> bool {
        let head = self.head_mut();
        let fits = -(head.data_off as isize)..=head.data_len as isize;
        if !fits.contains(&delta) {
            return false;
        }
        head.data_off = head.data_off.wrapping_add_signed(delta as i16);
        head.data_len = head.data_len.wrapping_sub(delta as u16);
        head.pkt_len = head.pkt_len.wrapping_sub(delta as u32);
        true
    }

    fn received_at(&self) -> Option<Instant> {
        device_clock::time_of(self.head().port, self.raw_timestamp()?)
    }

    #[inline]
    fn ip_checksum(&self) -> Checksum {
        checksum(self.head().ol_flags, ffi::HL_RX_IP_CHECKSUM_GOOD, ffi::HL_RX_IP_CHECKSUM_BAD)
    }

    #[inline]
    fn l4_checksum(&self) -> Checksum {
        checksum(self.head().ol_flags, ffi::HL_RX_L4_CHECKSUM_GOOD, ffi::HL_RX_L4_CHECKSUM_BAD)
    }

    #[inline]
    fn has_sound_checksums(&self) -> bool {
        are_sound(self.head().ol_flags)
    }

    #[inline]
    fn prefetch(&self) {
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            // SAFETY: a hint; no address is wrong.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(self.data_pointer().cast()) }
        }
    }
}

/// From a pair of flags; both of them mean that the data is right and the field is not filled in.
#[inline]
fn checksum(flags: u64, good: u32, bad: u32) -> Checksum {
    match (flags & u64::from(good) != 0, flags & u64::from(bad) != 0) {
        (false, false) => Checksum::Unknown,
        (true, false) => Checksum::Good,
        (false, true) => Checksum::Bad,
        (true, true) => Checksum::Partial,
    }
}

/// One test: the bad bit is set of whatever is not sound.
#[inline]
const fn are_sound(flags: u64) -> bool {
    flags & (ffi::HL_RX_IP_CHECKSUM_BAD | ffi::HL_RX_L4_CHECKSUM_BAD) as u64 == 0
}

impl fmt::Debug for Mbuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mbuf").field("length", &self.length()).finish_non_exhaustive()
    }
}

/// Finds out where drivers write receive times. The caller's EAL runs.
pub(super) fn learn_timestamps() {
    let (mut offset, mut flag) = (0, 0);
    // SAFETY: the EAL runs; both are written during the call.
    let result = unsafe { ffi::hl_timestamp_field(&raw mut offset, &raw mut flag) };
    if result == 0 && offset <= HEAD_BYTES - 8 {
        TIMESTAMP_OFFSET.store(offset, Ordering::Relaxed);
        TIMESTAMP_FLAG.store(flag, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksum_flags_are_told_apart() {
        let (good, bad) = (ffi::HL_RX_L4_CHECKSUM_GOOD, ffi::HL_RX_L4_CHECKSUM_BAD);
        for (flags, expected) in [
            (0, Checksum::Unknown),
            (1 << 8, Checksum::Good),
            (1 << 3, Checksum::Bad),
            (1 << 3 | 1 << 8, Checksum::Partial),
            (1 << 4 | 1 << 7, Checksum::Unknown),
        ] {
            assert_eq!(checksum(flags, good, bad), expected);
        }
    }

    #[test]
    fn one_test_finds_what_both_checksums_say() {
        for bits in 0..16u64 {
            let flags = [1 << 3, 1 << 8, 1 << 4, 1 << 7].iter().enumerate();
            let flags = flags.map(|(place, flag)| (bits >> place & 1) * flag).sum();
            let l4 = checksum(flags, ffi::HL_RX_L4_CHECKSUM_GOOD, ffi::HL_RX_L4_CHECKSUM_BAD);
            let ip = checksum(flags, ffi::HL_RX_IP_CHECKSUM_GOOD, ffi::HL_RX_IP_CHECKSUM_BAD);
            let unsound = [l4, ip].iter().any(|it| matches!(it, Checksum::Bad | Checksum::Partial));
            assert_eq!(are_sound(flags), !unsound, "{flags:#x}");
        }
    }
}
