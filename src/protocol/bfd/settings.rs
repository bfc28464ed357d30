//! What an operator decides about a session.

use super::auth::Key;
use crate::types::PortId;
use std::{
    net::IpAddr,
    num::{NonZeroU8, NonZeroU32},
};

/// A session that is not Up sends no faster than this, in microseconds (RFC 5880 section 6.8.3).
pub const SLOW_TX_US: u32 = 1_000_000;

/// The values that may change while the session runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timers {
    /// How often to send, in microseconds, unless the peer wants it slower.
    pub desired_min_tx_us: NonZeroU32,
    /// The fastest the peer may send, in microseconds.
    pub required_min_rx_us: NonZeroU32,
    /// How many of our intervals the peer waits before it says we are gone.
    pub multiplier: NonZeroU8,
}

impl Timers {
    /// The same interval in both directions; `None` for a 0.
    pub const fn symmetric(interval_us: u32, multiplier: u8) -> Option<Self> {
        let (Some(interval), Some(multiplier)) = (NonZeroU32::new(interval_us), NonZeroU8::new(multiplier))
        else {
            return None;
        };
        Some(Self { desired_min_tx_us: interval, required_min_rx_us: interval, multiplier })
    }
}

/// Who speaks first (RFC 5880 section 6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Role {
    /// Sends whether or not the peer was heard. The only role on a single hop (RFC 5881 section 3).
    #[default]
    Active,
    /// Sends nothing until the peer is heard.
    Passive,
}

/// What kind of peer is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Compatibility {
    /// One that follows RFC 5880.
    #[default]
    Standard,
    /// LoxiLB: no Poll and Final, no slow start, no demultiplexing by discriminator, TTL 64, and discriminators that
    /// carry the election. See the module's documentation for all that differs.
    LoxiLb,
}

/// How far the peer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hop {
    /// On the same link: UDP port 3784, TTL 255 (RFC 5881).
    Single,
    /// Routers away: UDP port 4784 (RFC 5883).
    Multi {
        /// The smallest TTL to accept, 255 less the most routers there may be.
        minimum_ttl: u8,
    },
}

/// Where a session runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path {
    /// The port that packets leave by and, on a single hop, come in by.
    pub port: PortId,
    /// Our address.
    pub local: IpAddr,
    /// The peer's address, of the same family.
    pub remote: IpAddr,
    /// How far the peer is.
    pub hop: Hop,
}

/// A session's configuration.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Where it runs.
    pub path: Path,
    /// Intervals and multiplier.
    pub timers: Timers,
    /// Who speaks first.
    pub role: Role,
    /// The C bit: this process keeps running when the routing process does not.
    pub control_plane_independent: bool,
    /// Three detections within 15 s double the intervals, up to 1 s (RFC 5880 section 7).
    pub back_off: bool,
    /// Discard packets with our discriminator that come from another address or, on a single hop, another port.
    /// They are counted either way.
    pub strict_path: bool,
    /// What kind of peer is at the other end.
    pub compatibility: Compatibility,
    /// The key, if packets are authenticated.
    pub key: Option<Key>,
}

impl Settings {
    /// An active session without authentication. It backs off only across several hops, where RFC 5880 section 7
    /// demands it: between two nodes on one link late detection is worse than load.
    pub const fn new(path: Path, timers: Timers) -> Self {
        Self {
            path,
            timers,
            role: Role::Active,
            control_plane_independent: false,
            back_off: matches!(path.hop, Hop::Multi { .. }),
            strict_path: false,
            compatibility: Compatibility::Standard,
            key: None,
        }
    }
}
