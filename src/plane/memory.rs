//! Memory for session tables: on huge pages where there are any, and touched before the first packet.
//!
//! The one file outside `dpdk` with unsafe code: it views zeroed pages as table entries. A mapping is made for one
//! table, leaked, and never unmapped, so the exclusive reference to it may live as long as the process.

#![allow(unsafe_code, reason = "the standard allocator cannot be asked for huge pages")]

use crate::{
    packet::{Family, V4, V6},
    session::{Bucket, Session, Storage},
};
use memmap2::{Advice, MmapMut, MmapOptions};
use std::io;

/// Types for which all bytes zero is a valid value, aligned to no more than a page.
///
/// # Safety
/// Whoever implements it has looked at every field.
unsafe trait Zeroed: Copy {}

// SAFETY: integers only.
unsafe impl Zeroed for Bucket {}
// SAFETY: integers, wrappers of integers, and `State`, of which 0 is `Opening`.
unsafe impl Zeroed for Session<V4> {}
// SAFETY: as for V4.
unsafe impl Zeroed for Session<V6> {}

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

fn zeroed<T: Zeroed>(count: usize) -> io::Result<&'static mut [T]> {
    const { assert!(align_of::<T>() <= PAGE) };
    let bytes = count.checked_mul(size_of::<T>()).ok_or(io::ErrorKind::OutOfMemory)?;
    let map = Box::leak(Box::new(map(bytes.max(1))?));
    let start = map.as_mut_ptr().cast::<T>();
    // SAFETY: the mapping has `count * size_of::<T>()` bytes, all zero, which is valid for T; it is page-aligned;
    // it is leaked and reached through this reference alone.
    Ok(unsafe { std::slice::from_raw_parts_mut(start, count) })
}

/// A family whose tables live in mapped memory.
pub trait Mapped: Family {
    /// Memory for a table of so many sessions, zeroed and present.
    ///
    /// # Errors
    /// The operating system's, when there is not so much memory.
    fn session_memory(sessions: usize) -> io::Result<Storage<Self>>;
}

impl Mapped for V4 {
    fn session_memory(sessions: usize) -> io::Result<Storage<Self>> {
        Ok(Storage { buckets: zeroed(Storage::<Self>::buckets_for(sessions))?, sessions: zeroed(sessions)? })
    }
}

impl Mapped for V6 {
    fn session_memory(sessions: usize) -> io::Result<Storage<Self>> {
        Ok(Storage { buckets: zeroed(Storage::<Self>::buckets_for(sessions))?, sessions: zeroed(sessions)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_zero_and_all_of_it_can_be_written() {
        let Storage { buckets, sessions } = V6::session_memory(10_000).unwrap();
        assert_eq!(sessions.len(), 10_000);
        assert!(sessions.iter().all(Session::is_free));
        let last = sessions.len() - 1;
        sessions[last].bytes = 7;
        assert_eq!(buckets.len(), Storage::<V6>::buckets_for(10_000));
        assert_eq!(V4::session_memory(0).unwrap().sessions.len(), 0);
    }
}
