//! Ranges of transport ports.

use std::{fmt, ops::RangeInclusive, str::FromStr};

/// One port or several in a row, both ends included. Never empty, never port 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortRange {
    first: u16,
    last: u16,
}

impl PortRange {
    /// All ports above the well-known ones.
    pub const UNPRIVILEGED: Self = Self { first: 1024, last: u16::MAX };

    /// `first` to `last`; `None` when `first` is 0 or greater than `last`.
    pub fn new(first: u16, last: u16) -> Option<Self> {
        (first != 0 && first <= last).then_some(Self { first, last })
    }

    /// A single port; `None` for 0.
    pub fn one(port: u16) -> Option<Self> {
        Self::new(port, port)
    }

    /// The lowest port.
    pub const fn first(self) -> u16 {
        self.first
    }

    /// The highest port.
    pub const fn last(self) -> u16 {
        self.last
    }

    /// All of them.
    pub const fn ports(self) -> RangeInclusive<u16> {
        self.first..=self.last
    }

    /// Whether it is a single port.
    pub const fn is_one(self) -> bool {
        self.first == self.last
    }

    /// Whether `port` is one of them.
    pub const fn contains(self, port: u16) -> bool {
        self.first <= port && port <= self.last
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_one() { write!(f, "{}", self.first) } else { write!(f, "{}-{}", self.first, self.last) }
    }
}

/// The text is neither a port nor a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a port or range: write 1 to 65535, or two ports as in 1000-2000")]
pub struct PortRangeParseError;

impl FromStr for PortRange {
    type Err = PortRangeParseError;

    fn from_str(text: &str) -> Result<Self, PortRangeParseError> {
        let port = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            digits.then(|| text.parse().ok()).flatten().ok_or(PortRangeParseError)
        };
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        Self::new(port(first)?, port(last)?).ok_or(PortRangeParseError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips_and_nonsense_is_refused() {
        let range: PortRange = "1000-2000".parse().unwrap();
        assert_eq!((range.first(), range.last(), range.is_one()), (1000, 2000, false));
        assert!(
            range.contains(1000) && range.contains(2000) && !range.contains(2001) && !range.contains(999)
        );
        assert_eq!(range.to_string(), "1000-2000");
        assert_eq!("80".parse(), Ok(PortRange { first: 80, last: 80 }));
        assert_eq!("80-80".parse::<PortRange>().unwrap().to_string(), "80");
        for bad in ["", "-", "0", "0-9", "9-8", "1-65536", "+1-2", "1 - 2", "1-2-3", "http"] {
            assert_eq!(bad.parse::<PortRange>(), Err(PortRangeParseError), "{bad}");
        }
    }
}
