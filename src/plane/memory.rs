//! Memory for tables and pools, on huge pages where there are any, and touched before the first packet; and cache lines
//! asked for before they are needed.
//!
//! The one file outside `dpdk` with unsafe code. It views zeroed pages as values for which that is valid: a mapping is
//! made for one of them, leaked, and never unmapped, so the exclusive reference to it may live as long as the process. And
//! it has the instructions that ask for a line, which the standard library does not have.

#![allow(unsafe_code, reason = "the standard library has neither huge pages nor prefetches")]

use crate::{packet::Family, session::Storage};
use bytemuck::Zeroable;
use memmap2::{Advice, MmapMut, MmapOptions};
#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
use std::{arch::asm, io};

const PAGE: usize = 4096;

fn map(bytes: usize) -> io::Result<MmapMut> {
    // Reserved huge pages first; else ordinary memory that the kernel is asked to back with huge pages.
    if let Ok(map) = MmapOptions::new().len(bytes).huge(None).populate().map_anon() {
        return Ok(map);
    }
    let mut map = MmapOptions::new().len(bytes).map_anon()?;
    // Only advice: a kernel without transparent huge pages serves small ones.
    let _ = map.advise(Advice::HugePage);
    for page in map.chunks_mut(PAGE) {
        page[0] = 0;
    }
    Ok(map)
}

/// So many values of all zeros, present; never given back. Any thread, but not while packets wait: the kernel is asked.
///
/// # Errors
/// The operating system's, when there is not so much memory.
pub fn zeroed<T: Zeroable>(count: usize) -> io::Result<&'static mut [T]> {
    const { assert!(align_of::<T>() <= PAGE) };
    let bytes = count.checked_mul(size_of::<T>()).ok_or(io::ErrorKind::OutOfMemory)?;
    let map = Box::leak(Box::new(map(bytes.max(1))?));
    let start = map.as_mut_ptr().cast::<T>();
    // SAFETY: the mapping has `count * size_of::<T>()` bytes, all zero, which is valid for T; it is page-aligned;
    // it is leaked and reached through this reference alone.
    Ok(unsafe { std::slice::from_raw_parts_mut(start, count) })
}

/// Memory for a table of so many sessions.
///
/// # Errors
/// As [`zeroed`].
pub fn session_memory<F: Family>(sessions: usize) -> io::Result<Storage<F>> {
    Ok(Storage { buckets: zeroed(Storage::<F>::buckets_for(sessions))?, sessions: zeroed(sessions)? })
}

/// Bytes of a cache line.
pub(super) const LINE: usize = 64;

/// Asks for the cache lines of a value that begins one, into the second level: it has room for more lines under way than the
/// first, so that of many values asked for at once each is waited for less. Reading it takes a few cycles more then. Any thread.
#[inline(always)]
pub fn prefetch_nearby<T>(value: &T) {
    for line in 0..const { size_of::<T>().div_ceil(LINE) } {
        let address = std::ptr::from_ref(value).cast::<i8>().wrapping_add(line * LINE);
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a prefetch changes no memory, register or flag and never faults.
        unsafe {
            _mm_prefetch::<_MM_HINT_T1>(address);
        }
        #[cfg(target_arch = "aarch64")]
        // SAFETY: a prefetch changes no memory, register or flag and never faults.
        unsafe {
            asm!("prfm pldl2keep, [{}]", in(reg) address, options(nostack, preserves_flags, readonly));
        }
    }
}

/// Asks for the cache line at an address, which will be written: another core has it, and by then it has given it up. There need
/// not be anything at the address.
#[inline(always)]
pub(super) fn prefetch_to_write(address: usize) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch changes no memory, register or flag and never faults. Where there is none for writing, the
    // processor takes it for a NOP.
    unsafe {
        asm!("prefetchw [{}]", in(reg) address, options(nostack, preserves_flags, readonly));
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: a prefetch changes no memory, register or flag and never faults.
    unsafe {
        asm!("prfm pstl1keep, [{}]", in(reg) address, options(nostack, preserves_flags, readonly));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        packet::{V4, V6},
        session::Session,
    };

    #[test]
    fn asking_for_lines_changes_nothing() {
        let places = [7u64; 100];
        places.iter().for_each(|place| prefetch_to_write(std::ptr::from_ref(place).addr()));
        prefetch_to_write(0);
        prefetch_nearby(&places);
        assert_eq!(std::hint::black_box(places), [7; 100]);
    }

    #[test]
    fn memory_is_zero_and_all_of_it_can_be_written() {
        let Storage { buckets, sessions } = session_memory::<V6>(10_000).unwrap();
        assert_eq!(sessions.len(), 10_000);
        assert!(sessions.iter().all(Session::is_free));
        let last = sessions.len() - 1;
        sessions[last].bytes = 7;
        assert_eq!(buckets.len(), Storage::<V6>::buckets_for(10_000));
        assert_eq!(session_memory::<V4>(0).unwrap().sessions.len(), 0);
    }
}
