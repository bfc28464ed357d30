//! Address prefixes (CIDR).

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

/// An address with a prefix length: a subnet, a route's destination, or an address on its subnet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    address: IpAddr,
    length: u8,
}

impl Prefix {
    /// `address` with its first `length` bits as the network part; `None` beyond 32 or 128.
    pub fn new(address: IpAddr, length: u8) -> Option<Self> {
        (length <= Self::max_length(address)).then_some(Self { address, length })
    }

    /// The single address.
    pub fn host(address: IpAddr) -> Self {
        Self { address, length: Self::max_length(address) }
    }

    const fn max_length(address: IpAddr) -> u8 {
        match address {
            IpAddr::V4(_) => 32,
            IpAddr::V6(_) => 128,
        }
    }

    /// The prefix with no more than `length` bits of network part.
    #[must_use]
    pub fn widened(self, length: u8) -> Self {
        Self { address: self.address, length: self.length.min(length) }
    }

    /// The address as it was written, host part included.
    pub const fn address(&self) -> IpAddr {
        self.address
    }

    /// Bits of network part.
    pub const fn length(&self) -> u8 {
        self.length
    }

    /// The prefix with its host part cleared.
    pub fn network(&self) -> Self {
        let address = match self.address {
            IpAddr::V4(v4) => Ipv4Addr::from_bits(v4.to_bits() & mask32(self.length)).into(),
            IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & mask128(self.length)).into(),
        };
        Self { address, length: self.length }
    }

    /// Whether `address` lies in this prefix.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(a), IpAddr::V4(b)) => (a.to_bits() ^ b.to_bits()) & mask32(self.length) == 0,
            (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits()) & mask128(self.length) == 0,
            _ => false,
        }
    }

    /// Whether some address lies in both.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.contains(other.address) || other.contains(self.address)
    }

    /// The directed broadcast address of an IPv4 subnet; subnets of two addresses or one have none (RFC 3021).
    pub fn broadcast(&self) -> Option<Ipv4Addr> {
        match self.address {
            IpAddr::V4(v4) if self.length < 31 => {
                Some(Ipv4Addr::from_bits(v4.to_bits() | !mask32(self.length)))
            }
            _ => None,
        }
    }
}

const fn mask32(length: u8) -> u32 {
    match length {
        0 => 0,
        _ => u32::MAX << (32 - length),
    }
}

const fn mask128(length: u8) -> u128 {
    match length {
        0 => 0,
        _ => u128::MAX << (128 - length),
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

/// The text is not `address/length`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a prefix: write an address and its length, as in 10.0.0.0/8 or fd00::/64")]
pub struct PrefixParseError;

impl FromStr for Prefix {
    type Err = PrefixParseError;

    fn from_str(text: &str) -> Result<Self, PrefixParseError> {
        let (address, length) = text.split_once('/').ok_or(PrefixParseError)?;
        let address = address.parse().map_err(|_| PrefixParseError)?;
        let digits = !length.is_empty() && length.bytes().all(|b| b.is_ascii_digit());
        let length = digits.then(|| length.parse().ok()).flatten().ok_or(PrefixParseError)?;
        Self::new(address, length).ok_or(PrefixParseError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str) -> Prefix {
        text.parse().unwrap()
    }

    #[test]
    fn contains_and_overlaps() {
        assert!(prefix("10.0.0.0/8").contains("10.255.0.1".parse().unwrap()));
        assert!(!prefix("10.0.0.0/8").contains("11.0.0.1".parse().unwrap()));
        assert!(prefix("0.0.0.0/0").contains("203.0.113.9".parse().unwrap()));
        assert!(!prefix("0.0.0.0/0").contains("::1".parse().unwrap()));
        assert!(prefix("fd00::/64").contains("fd00::1:2".parse().unwrap()));
        assert!(prefix("10.1.0.0/16").overlaps(&prefix("10.0.0.0/8")));
        assert!(!prefix("10.1.0.0/16").overlaps(&prefix("10.2.0.0/16")));
        assert_eq!(prefix("10.1.2.3/16").network(), prefix("10.1.0.0/16"));
        assert_eq!(prefix("10.1.2.3/24").broadcast(), Some(Ipv4Addr::new(10, 1, 2, 255)));
        assert_eq!(prefix("10.1.2.3/31").broadcast(), None);
    }

    #[test]
    fn refuses_what_is_no_prefix() {
        for bad in ["10.0.0.0", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/+8", "fd00::/129", "x/8", "/8"] {
            assert_eq!(bad.parse::<Prefix>(), Err(PrefixParseError), "{bad}");
        }
    }
}
