//! Neighbours: which MAC an address on the link has, for ARP and neighbour discovery alike.
//!
//! The machine follows RFC 4861 section 7.3 and departs from it where a load balancer needs it:
//!
//! * Next hops of the configuration are *pinned*: asked for at once and for ever, verified every half minute.
//! * What workers ask for is kept while they ask again; what merely asked us is known but not published.
//! * First retries come fast (100 ms, 300 ms), then every second; a MAC in doubt stays in use until it failed.
//! * There is no DELAY state: traffic through a load balancer does not confirm its next hop.
//!
//! | state | MAC in use | asked | answered | not answered |
//! |---|---|---|---|---|
//! | Incomplete | none | all, 3 times | Reachable | Failed |
//! | Reachable | yes | not | | after 30 s Probing, or Stale if not needed |
//! | Probing | yes | it 3 times, then all 3 times | Reachable | Failed |
//! | Stale | yes | not | | Probing when wanted; forgotten after two minutes |
//! | Failed | none | pinned: all, ever more rarely | Reachable | others: forgotten after 3 s |
//!
//! An announcement of another MAC is believed and verified: it leads to Probing, or to Stale if not needed.

mod ask;
mod deadlines;
mod hear;
mod machine;
mod queues;
mod slots;
mod timing;

pub use ask::Ask;
pub use machine::Neighbors;
pub use slots::State;
pub use timing::{HOLD, IDLE, REACHABLE};

use crate::types::{Instant, Mac, NextHopId, PortId};
use std::net::IpAddr;

/// How large a machine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Most neighbours at a time, 1 to 2²⁰; three times as many slots exist.
    pub capacity: usize,
    /// Most questions per second, on average, for neighbours that are not pinned; at least 1.
    pub asks_per_second: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self { capacity: 8192, asks_per_second: 1000 }
    }
}

/// What the caller has to carry out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Send a question.
    Ask(Ask),
    /// A next hop has another MAC, none any more, or did not answer.
    Changed {
        /// Its slot.
        slot: NextHopId,
        /// The port it is reached by.
        port: PortId,
        /// Its address.
        address: IpAddr,
        /// Where to send now; `None`: nowhere.
        mac: Option<Mac>,
    },
    /// Somebody else claims an address of this node. At most one a second; the counter counts all.
    Conflict {
        /// The port it was heard on.
        port: PortId,
        /// The address claimed.
        address: IpAddr,
        /// Who claims it.
        mac: Mac,
    },
}

/// What is known of a next hop that somebody wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// It is there.
    Known {
        /// Its slot.
        slot: NextHopId,
        /// Where to send.
        mac: Mac,
    },
    /// It is being asked for; [`Effect::Changed`] will tell.
    Asking,
    /// It did not answer a moment ago.
    Unreachable,
    /// There is no room for it.
    Full,
    /// No host has such an address.
    Refused,
}

/// Why a next hop was not pinned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PinError {
    /// The address is no host's.
    #[error("{0} is no host's address; name a unicast address as next hop")]
    NoHost(IpAddr),
    /// Everything is pinned, or the slots of forgotten neighbours may not be used again yet.
    #[error("no room for another next hop; raise the number of neighbours or configure fewer next hops")]
    Full,
}

/// What has been counted since the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Counters {
    /// Questions sent.
    pub asks: u64,
    /// Questions put off because of the rate limit.
    pub asks_limited: u64,
    /// Replies and advertisements about known neighbours.
    pub answers: u64,
    /// Neighbours that stopped answering, or never did.
    pub failures: u64,
    /// Claims of others to an address of this node.
    pub conflicts: u64,
    /// Neighbours forgotten to make room.
    pub evictions: u64,
    /// Neighbours not taken for want of room.
    pub full: u64,
}

/// One neighbour, for people to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neighbor {
    /// Its slot.
    pub slot: NextHopId,
    /// The port it is reached by.
    pub port: PortId,
    /// Its address.
    pub address: IpAddr,
    /// Its MAC, if known.
    pub mac: Option<Mac>,
    /// What is known of it.
    pub state: State,
    /// It is a next hop of the configuration.
    pub pinned: bool,
    /// When it entered its state; a reachable one was last verified then.
    pub since: Instant,
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
