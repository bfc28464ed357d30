//! Which probes of this node's own stack are under way, by the port they come from, or the identifier of a ping: their
//! answers are all that workers give to it, so nobody who does not guess one can fill its rings.
//!
//! The stack alone writes. Workers read it for packets to the node itself.

use std::{
    ops::RangeInclusive,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

/// The ports in use.
#[derive(Debug)]
pub struct ProbePorts(Box<[AtomicU64]>);

impl Default for ProbePorts {
    fn default() -> Self {
        Self((0..Self::RANGE.len().div_ceil(64)).map(|_| AtomicU64::new(0)).collect())
    }
}

impl ProbePorts {
    /// Where probes come from: the dynamic ports of RFC 6335.
    pub const RANGE: RangeInclusive<u16> = 49_152..=65_535;

    fn place(&self, port: u16) -> Option<(&AtomicU64, u64)> {
        let number = port.checked_sub(*Self::RANGE.start())?;
        Some((self.0.get(usize::from(number / 64))?, 1 << (number % 64)))
    }

    /// A port is in use from now on, or not any more. By one thread at a time; others than [`Self::RANGE`] are ignored.
    pub fn set(&self, port: u16, in_use: bool) {
        if let Some((word, bit)) = self.place(port) {
            let bits = word.load(Relaxed);
            word.store(if in_use { bits | bit } else { bits & !bit }, Relaxed);
        }
    }

    /// Whether a port is in use.
    pub fn contains(&self, port: u16) -> bool {
        self.place(port).is_some_and(|(word, bit)| word.load(Relaxed) & bit != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_port_stands_for_itself() {
        let ports = ProbePorts::default();
        let in_use = || (0..=u16::MAX).filter(|port| ports.contains(*port)).collect::<Vec<_>>();
        for port in [0, 1024, 49_151, 49_152, 49_215, 49_216, 65_535] {
            ports.set(port, true);
        }
        assert_eq!(in_use(), [49_152, 49_215, 49_216, 65_535]);
        ports.set(49_215, false);
        ports.set(49_217, false);
        assert_eq!(in_use(), [49_152, 49_216, 65_535]);
    }
}
