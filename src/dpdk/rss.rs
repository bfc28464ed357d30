//! Receive-side scaling: key and table given to a device, and read back before anybody predicts by them.

use super::{
    device::{Attached, driver_name},
    device_error::DeviceError,
    ffi,
};
use crate::packet::{Hashed, Rss};
use std::{fs::File, io::Read};

/// What we would have every device hash.
pub(super) const WANTED_TYPES: u64 = bits(&[
    ffi::HL_RSS_IPV4,
    ffi::HL_RSS_IPV4_FRAGMENT,
    ffi::HL_RSS_IPV4_TCP,
    ffi::HL_RSS_IPV4_UDP,
    ffi::HL_RSS_IPV4_SCTP,
    ffi::HL_RSS_IPV4_OTHER,
    ffi::HL_RSS_IPV6,
    ffi::HL_RSS_IPV6_FRAGMENT,
    ffi::HL_RSS_IPV6_TCP,
    ffi::HL_RSS_IPV6_UDP,
    ffi::HL_RSS_IPV6_SCTP,
    ffi::HL_RSS_IPV6_OTHER,
    ffi::HL_RSS_IPV6_EXTENDED,
    ffi::HL_RSS_IPV6_TCP_EXTENDED,
    ffi::HL_RSS_IPV6_UDP_EXTENDED,
]);

const SCTP_TYPES: u64 = bits(&[ffi::HL_RSS_IPV4_SCTP, ffi::HL_RSS_IPV6_SCTP]);

/// Drivers whose devices hash SCTP's verification tag too, which is another in each direction.
const HASHING_SCTP_TAG: [&str; 3] = ["net_i40e", "net_i40e_vf", "net_iavf"];

/// Bytes of the longest Toeplitz input and of the 32 bits behind it: two IPv6 addresses and two ports.
const SHORTEST_KEY: usize = 40;

const KEY_MAX: usize = ffi::HL_RSS_KEY_MAX as usize;

/// The union of flags.
const fn bits(flags: &[u32]) -> u64 {
    let mut union = 0;
    let mut at = 0;
    while at < flags.len() {
        union |= flags[at] as u64;
        at += 1;
    }
    union
}

/// The key to give a device that takes `size` bytes: `given`, repeated to that length, or a random one.
/// `None` for a device that takes none.
pub(super) fn key(given: Option<&[u8]>, size: u8) -> Result<Option<Vec<u8>>, DeviceError> {
    if let Some(given) = given
        && !(SHORTEST_KEY..=KEY_MAX).contains(&given.len())
    {
        return Err(DeviceError::Key(given.len()));
    }
    let size = usize::from(size);
    if !(SHORTEST_KEY..=KEY_MAX).contains(&size) {
        return Ok(None);
    }
    Ok(match given {
        Some(given) => Some(given.iter().copied().cycle().take(size).collect()),
        None => random(size),
    })
}

fn random(size: usize) -> Option<Vec<u8>> {
    let mut key = vec![0; size];
    File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut key)).ok()?;
    Some(key)
}

/// Spreads a started device's packets over the queues of `workers`; what can be predicted of it. `None`: the
/// device did not take the key or the table as they were given.
pub(super) fn program(
    attached: &Attached,
    info: &ffi::hl_device_info,
    key: &[u8],
    workers: u8,
) -> Option<Rss> {
    let size = info.rss_table_size;
    if !size.is_power_of_two() || u32::from(size) > ffi::HL_RSS_TABLE_MAX {
        return None;
    }
    set_key(attached, key, info.rss_types & WANTED_TYPES);
    let table = Rss::table(usize::from(size), workers);
    let wanted: Vec<u16> = table.iter().map(|&queue| u16::from(queue)).collect();
    if table_written_and_read(attached, &wanted)? != wanted {
        return None;
    }
    let (key_in_force, types) = key_and_types(attached, key.len())?;
    let hashed = hashed(types, &driver_name(info));
    if key_in_force == key { Rss::new(key, table, hashed) } else { None }
}

/// Some drivers take the key only from a running device, others only in the configuration, where it was given
/// too: what counts is what is read back.
fn set_key(attached: &Attached, key: &[u8], types: u64) {
    let mut key = key.to_vec();
    // SAFETY: the port is attached and runs; the key's bytes are read during the call.
    let _ = unsafe { ffi::hl_device_set_rss(attached.port(), key.as_mut_ptr(), key.len() as u8, types) };
}

fn table_written_and_read(attached: &Attached, queues: &[u16]) -> Option<Vec<u16>> {
    let size = queues.len() as u16;
    // SAFETY: the port is attached; `size` numbers are read during the call.
    let written = unsafe { ffi::hl_device_set_rss_table(attached.port(), queues.as_ptr(), size) };
    let mut read = vec![u16::MAX; queues.len()];
    // SAFETY: the port is attached; `size` numbers are written during the call.
    let result = unsafe { ffi::hl_device_rss_table(attached.port(), read.as_mut_ptr(), size) };
    (written == 0 && result == 0).then_some(read)
}

fn key_and_types(attached: &Attached, size: usize) -> Option<(Vec<u8>, u64)> {
    let (mut key, mut types) = (vec![0; size], 0);
    // SAFETY: the port is attached; `size` bytes and the types are written during the call.
    let result = unsafe { ffi::hl_device_rss(attached.port(), key.as_mut_ptr(), size as u8, &raw mut types) };
    (result == 0).then_some((key, types))
}

/// Which protocols the device hashes with their ports, and with nothing else.
fn hashed(types: u64, driver: &str) -> Hashed {
    let types = if HASHING_SCTP_TAG.contains(&driver) { types & !SCTP_TYPES } else { types };
    let has = |flag: u32| types & u64::from(flag) != 0;
    Hashed {
        ipv4: [ffi::HL_RSS_IPV4_TCP, ffi::HL_RSS_IPV4_UDP, ffi::HL_RSS_IPV4_SCTP].map(has),
        ipv6: [ffi::HL_RSS_IPV6_TCP, ffi::HL_RSS_IPV6_UDP, ffi::HL_RSS_IPV6_SCTP].map(has),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::MICROSOFT_KEY;

    #[test]
    fn a_given_key_is_stretched_to_the_device() {
        assert_eq!(key(Some(&MICROSOFT_KEY), 40), Ok(Some(MICROSOFT_KEY.to_vec())));
        let long = key(Some(&MICROSOFT_KEY), 52).unwrap().unwrap();
        assert_eq!((long.len(), &long[..40], &long[40..]), (52, &MICROSOFT_KEY[..], &MICROSOFT_KEY[..12]));
        assert_eq!(key(Some(&MICROSOFT_KEY), 0), Ok(None));
        assert_eq!(key(Some(&MICROSOFT_KEY[..39]), 40), Err(DeviceError::Key(39)));
    }

    #[test]
    fn random_keys_differ() {
        let random = || key(None, 52).unwrap().unwrap();
        assert_eq!(random().len(), 52);
        assert_ne!(random(), random());
    }

    #[test]
    fn what_is_hashed_follows_from_the_types_and_the_driver() {
        assert_eq!(hashed(WANTED_TYPES, "net_ice"), Hashed::ALL);
        let tcp_only = Hashed { ipv4: [true, false, false], ipv6: [false; 3] };
        assert_eq!(hashed(u64::from(ffi::HL_RSS_IPV4_TCP | ffi::HL_RSS_IPV6), "net_igb"), tcp_only);
        let no_sctp = Hashed { ipv4: [true, true, false], ipv6: [true, true, false] };
        assert_eq!(hashed(WANTED_TYPES, "net_i40e"), no_sctp);
    }
}
