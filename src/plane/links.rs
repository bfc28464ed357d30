//! Which ports have a link.

use crate::types::PortId;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// A bit a port. Management writes it, for it asks the devices; workers read it once for every burst they send, the
/// control core every millisecond.
#[derive(Debug, Default)]
pub struct Links {
    /// Ports without a link. A port that nobody speaks of, or beyond the 32 there may be, has one.
    down: AtomicU32,
}

impl Links {
    /// Says whether a port has a link. Management only.
    pub fn set(&self, port: PortId, up: bool) {
        let Some(bit) = Self::bit(port) else { return };
        match up {
            true => self.down.fetch_and(!bit, Relaxed),
            false => self.down.fetch_or(bit, Relaxed),
        };
    }

    /// Whether a port has a link.
    #[inline]
    pub fn is_up(&self, port: PortId) -> bool {
        Self::bit(port).is_none_or(|bit| self.down.load(Relaxed) & bit == 0)
    }

    /// The ports that have one, a bit each.
    pub fn up(&self) -> u32 {
        !self.down.load(Relaxed)
    }

    #[inline]
    const fn bit(port: PortId) -> Option<u32> {
        1u32.checked_shl(port.0 as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_go_down_and_up_one_by_one() {
        let links = Links::default();
        let up = |links: &Links| (0..=255).filter(|&port| links.is_up(PortId(port))).count();
        assert_eq!(up(&links), 256);
        links.set(PortId(31), false);
        links.set(PortId(0), false);
        assert!(!links.is_up(PortId(31)) && !links.is_up(PortId(0)) && links.is_up(PortId(1)));
        links.set(PortId(0), true);
        links.set(PortId(32), false);
        assert_eq!((up(&links), links.up()), (255, u32::MAX >> 1));
    }
}
