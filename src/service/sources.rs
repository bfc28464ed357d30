//! Who may use a service: address ranges, sorted and merged, so that one binary search answers.

use crate::types::Prefix;
use std::net::IpAddr;

/// First and last address of a range.
type Range<T> = (T, T);

/// A set of client addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sources {
    Everyone,
    Listed { v4: Box<[Range<u32>]>, v6: Box<[Range<u128>]> },
}

impl Sources {
    /// Those in any of `prefixes`; without prefixes, everyone. Prefixes of one family alone admit nobody of the
    /// other.
    pub(super) fn new(prefixes: &[Prefix]) -> Self {
        if prefixes.is_empty() {
            return Self::Everyone;
        }
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for prefix in prefixes {
            let length = u32::from(prefix.length());
            match prefix.network().address() {
                IpAddr::V4(first) => {
                    let first = first.to_bits();
                    v4.push((first, first | u32::MAX.checked_shr(length).unwrap_or(0)));
                }
                IpAddr::V6(first) => {
                    let first = first.to_bits();
                    v6.push((first, first | u128::MAX.checked_shr(length).unwrap_or(0)));
                }
            }
        }
        Self::Listed { v4: merged(v4), v6: merged(v6) }
    }

    #[inline]
    pub(super) fn contains(&self, address: IpAddr) -> bool {
        match (self, address) {
            (Self::Everyone, _) => true,
            (Self::Listed { v4, .. }, IpAddr::V4(address)) => within(v4, address.to_bits()),
            (Self::Listed { v6, .. }, IpAddr::V6(address)) => within(v6, address.to_bits()),
        }
    }
}

/// Sorted, with those that overlap made one.
fn merged<T: Copy + Ord>(mut ranges: Vec<Range<T>>) -> Box<[Range<T>]> {
    ranges.sort_unstable();
    ranges.dedup_by(|next, kept| {
        let overlap = next.0 <= kept.1;
        if overlap {
            kept.1 = kept.1.max(next.1);
        }
        overlap
    });
    ranges.into_boxed_slice()
}

#[inline]
fn within<T: Copy + Ord>(ranges: &[Range<T>], address: T) -> bool {
    let after = ranges.partition_point(|range| range.0 <= address);
    after.checked_sub(1).and_then(|at| ranges.get(at)).is_some_and(|range| address <= range.1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sources(prefixes: &[&str]) -> Sources {
        Sources::new(&prefixes.iter().map(|text| text.parse().unwrap()).collect::<Vec<_>>())
    }

    #[test]
    fn edges_belong_and_their_neighbours_do_not() {
        let set = sources(&["10.1.0.0/16", "10.1.2.0/24", "192.0.2.7/32", "fd00:1::/32", "fd00:2::5/128"]);
        for (address, admitted) in [
            ("10.0.255.255", false),
            ("10.1.0.0", true),
            ("10.1.2.3", true),
            ("10.1.255.255", true),
            ("10.2.0.0", false),
            ("192.0.2.6", false),
            ("192.0.2.7", true),
            ("192.0.2.8", false),
            ("fd00:0:ffff:ffff:ffff:ffff:ffff:ffff", false),
            ("fd00:1::", true),
            ("fd00:1:ffff:ffff:ffff:ffff:ffff:ffff", true),
            ("fd00:2::", false),
            ("fd00:2::5", true),
            ("fd00:2::6", false),
            ("::ffff:10.1.0.0", false),
        ] {
            assert_eq!(set.contains(address.parse().unwrap()), admitted, "{address}");
        }
        assert_eq!(set, sources(&["fd00:2::5/128", "192.0.2.7/32", "fd00:1::9/32", "10.1.9.9/16"]));
    }

    #[test]
    fn everyone_is_said_by_no_prefix_or_by_the_widest() {
        let [v4, v6]: [IpAddr; 2] = ["203.0.113.1".parse().unwrap(), "2001:db8::1".parse().unwrap()];
        assert!(sources(&[]).contains(v4) && sources(&[]).contains(v6));
        assert!(sources(&["0.0.0.0/0"]).contains(v4) && !sources(&["0.0.0.0/0"]).contains(v6));
        assert!(!sources(&["::/0"]).contains(v4) && sources(&["::/0"]).contains(v6));
    }

    /// Addresses that differ in few bits, so that prefixes overlap and edges are hit.
    fn address() -> impl Strategy<Value = IpAddr> {
        prop_oneof![
            (0u32..4, 0u32..4).prop_map(|(high, low)| IpAddr::from((high << 30 | low).to_be_bytes())),
            any::<u32>().prop_map(|bits| IpAddr::from((bits & 0xc000_0303).to_be_bytes())),
            any::<u128>().prop_map(|bits| IpAddr::from((bits & (3 << 126 | 0x1_0003)).to_be_bytes())),
        ]
    }

    fn prefix() -> impl Strategy<Value = Prefix> {
        (address(), any::<u8>()).prop_map(|(address, length)| {
            let longest = Prefix::host(address).length();
            Prefix::new(address, length % (longest + 1)).unwrap()
        })
    }

    proptest! {
        #[test]
        fn agrees_with_asking_every_prefix(
            prefixes in prop::collection::vec(prefix(), 0..20),
            addresses in prop::collection::vec(address(), 1..50),
        ) {
            let set = Sources::new(&prefixes);
            for address in addresses {
                let naive = prefixes.is_empty() || prefixes.iter().any(|prefix| prefix.contains(address));
                prop_assert_eq!(set.contains(address), naive, "{}", address);
            }
        }
    }
}
