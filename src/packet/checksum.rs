//! The Internet checksum (RFC 1071) and its incremental form (RFC 1624), on 16-bit words in native byte order:
//! the sum of byte-swapped words is the byte-swapped sum, so wire order needs no turning.

use bytemuck::Zeroable;

/// Folds a sum of 16-bit words to 16 bits, end-around carries included.
#[inline]
pub const fn fold(sum: u32) -> u16 {
    // Each half added to the other: the upper one gets the sum, and the lower one's carry with it.
    (sum.wrapping_add(sum.rotate_left(16)) >> 16) as u16
}

/// The ones'-complement sum of `bytes`; an odd last byte counts as if a zero followed (RFC 1071).
pub fn sum(bytes: &[u8]) -> u32 {
    let mut total = 0u64;
    let (words, rest) = bytes.as_chunks::<4>();
    for word in words {
        total += u64::from(u32::from_ne_bytes(*word));
    }
    let mut last = [0; 4];
    last[..rest.len()].copy_from_slice(rest);
    total += u64::from(u32::from_ne_bytes(last));
    total = (total & 0xffff_ffff) + (total >> 32);
    total = (total & 0xffff_ffff) + (total >> 32);
    u32::from(fold_u32(total as u32))
}

#[inline]
const fn fold_u32(sum: u32) -> u16 {
    fold((sum & 0xffff) + (sum >> 16))
}

/// Whether an IPv4 header without options sums up.
#[inline]
pub fn verify_ipv4_header(header: &[u8; 20]) -> bool {
    let [a, b, c, d, last] = bytemuck::must_cast::<_, [u32; 5]>(*header);
    sums_up([(a, b), (c, d)].map(|(low, high)| u64::from(high) << 32 | u64::from(low)), last)
}

/// The same of the header as words, read in native order. It has a version, so it is not all zeros.
///
/// Modulo 0xffff, 2^16 is 1: words of any width have the sum of their 16-bit words, and that is 0xffff, so 0. So are 2^64,
/// and the carry of a sum of such words.
#[inline]
pub(super) const fn sums_up([first, second]: [u64; 2], last: u32) -> bool {
    let (sum, carry) = first.overflowing_add(second);
    let (sum, carry) = sum.overflowing_add(last as u64 + carry as u64);
    (sum + carry as u64).is_multiple_of(0xffff)
}

/// What changing some words does to every checksum that covers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Zeroable)]
pub struct Difference(u16);

impl Difference {
    /// From `old` to `new`, each a sum of 16-bit words as [`sum`] or [`fold`] gives it.
    #[inline]
    pub const fn between(old: u16, new: u16) -> Self {
        Self(fold(!old as u32 + new as u32))
    }

    /// Both changes.
    #[inline]
    pub const fn and(self, other: Self) -> Self {
        Self(fold(self.0 as u32 + other.0 as u32))
    }

    /// The change back.
    #[inline]
    pub const fn reversed(self) -> Self {
        Self(!self.0)
    }

    /// `checksum` (a header field as it lies in the packet, read in native order) after the change: RFC 1624,
    /// equation 3.
    #[inline]
    pub const fn apply(self, checksum: u16) -> u16 {
        !fold(!checksum as u32 + self.0 as u32)
    }

    /// `checksum` after this change and another.
    #[inline]
    pub const fn apply_with(self, other: Self, checksum: u16) -> u16 {
        !fold(!checksum as u32 + self.0 as u32 + other.0 as u32)
    }

    /// As [`Self::apply`], for UDP, where a result of zero is sent as all ones (RFC 768), and a checksum of zero is none.
    /// RFC 1624 warns of its equation 4, for a sum is never zero that way; here that is what is wanted.
    #[inline]
    pub const fn apply_udp(self, checksum: u16) -> u16 {
        fold(checksum as u32 + self.reversed().0 as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn plain(bytes: &[u8]) -> u16 {
        let mut total = 0u64;
        for pair in bytes.chunks(2) {
            total += u64::from(u16::from_ne_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
        }
        while total > 0xffff {
            total = (total & 0xffff) + (total >> 16);
        }
        total as u16
    }

    proptest! {
        #[test]
        fn sum_is_the_plain_sum(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
            prop_assert_eq!(fold(sum(&bytes)), plain(&bytes));
        }

        #[test]
        fn difference_is_recomputation(
            mut bytes in prop::collection::vec(any::<u8>(), 4..100).prop_filter("even", |b| b.len() % 2 == 0),
            new: [u8; 2],
            at in 0usize..50,
        ) {
            let at = at * 2 % bytes.len();
            let old = [bytes[at], bytes[at + 1]];
            let before = !plain(&bytes);
            bytes[at..at + 2].copy_from_slice(&new);
            let difference = Difference::between(u16::from_ne_bytes(old), u16::from_ne_bytes(new));
            // Zero has two representations; a checksum field may hold either.
            let same = |a: u16, b: u16| a == b || (a ^ b == 0xffff && (a == 0 || b == 0));
            prop_assert!(same(difference.apply(before), !plain(&bytes)));
            prop_assert!(same(difference.reversed().apply(difference.apply(before)), before));
            if before != 0 {
                prop_assert_eq!(difference.apply_udp(before), match difference.apply(before) {
                    0 => 0xffff,
                    other => other,
                });
            }
        }
    }

    #[test]
    fn ipv4_header_of_rfc_1071_size() {
        let mut header =
            [0x45, 0, 0, 0x73, 0, 0, 0x40, 0, 0x40, 0x11, 0xb8, 0x61, 0xc0, 0xa8, 0, 1, 0xc0, 0xa8, 0, 0xc7];
        assert!(verify_ipv4_header(&header));
        for at in 0..20 {
            header[at] ^= 0x10;
            assert!(!verify_ipv4_header(&header), "byte {at}");
            header[at] ^= 0x10;
        }
    }
}
