//! L2: what workers ask about addresses, services and backends, and how a new session finds its backend.
//!
//! A [`ServiceTable`] is built by management and never changes; a new one takes its place. Workers look
//! things up in it, at most once per new session, without allocating, locking or failing:
//!
//! ```text
//! address ─► role: virtual, local, this node's own      (one map a family)
//!   └─ protocol, port ─► Service                        (binary search in the address's port ranges)
//!        ├─ admits(source)                              (binary search in merged ranges)
//!        └─ select(client) ─► Backend                   (ring, turns, or fewest sessions)
//! ```
//!
//! The cursors of `rr` and `wrr` are the only words in it that change: all workers advance them, so the order is
//! one for the node, and a rebuilt table goes on where the one before was. Everything else about a choice depends
//! on the configuration and the client alone, so that the peer node makes the same.
//!
//! A backend that is unavailable or of weight 0 gets no new sessions but stays in the table for those it has.

mod addresses;
mod builder;
mod check;
mod error;
mod hash;
mod maglev;
mod rings;
mod rotation;
mod selector;
mod sources;
mod spec;
mod table;
#[cfg(test)]
mod tests;

pub use builder::{Change, TableBuilder};
pub use error::BuildError;
pub use spec::{Backend, Client, Role, SchedulerKind, SchedulerParseError, ServiceSpec};
pub use table::ServiceTable;

use crate::types::{BackendId, ServiceId};
use selector::Selector;
use sources::Sources;
use std::net::IpAddr;

/// Services of a table; also the bound of their ids.
pub const MAX_SERVICES: usize = 65_536;
/// Backends of one service: on the largest ring each has 64 slots then, so shares are even within 2 %.
pub const MAX_BACKENDS: usize = 1_024;
/// Backends of a table.
pub const MAX_TOTAL_BACKENDS: usize = 1 << 20;
/// Addresses of a table, virtual, local and own.
pub const MAX_ADDRESSES: usize = 131_072;
/// Prefixes in a service's `allowed_sources`.
pub const MAX_SOURCES: usize = 4_096;

/// A service of the table.
#[derive(Debug)]
pub struct Service {
    spec: ServiceSpec,
    sources: Sources,
    selector: Selector,
    /// Places in `spec.backends`, sorted by the backends' ids.
    by_id: Box<[u16]>,
}

impl Service {
    fn new(spec: ServiceSpec, selector: Selector) -> Self {
        let mut by_id: Box<[u16]> = (0..).take(spec.backends.len()).collect();
        by_id.sort_unstable_by_key(|&at| spec.backends[usize::from(at)].id);
        Self { sources: Sources::new(&spec.allowed_sources), selector, by_id, spec }
    }

    /// Its slot.
    #[inline]
    pub const fn id(&self) -> ServiceId {
        self.spec.id
    }

    /// What it was built from.
    #[inline]
    pub const fn spec(&self) -> &ServiceSpec {
        &self.spec
    }

    /// Its servers, in the listed order.
    #[inline]
    pub fn backends(&self) -> &[Backend] {
        &self.spec.backends
    }

    /// One of its servers, whether or not it takes new sessions.
    pub fn backend(&self, id: BackendId) -> Option<&Backend> {
        let backends = &self.spec.backends;
        let at = self.by_id.binary_search_by_key(&id, |&at| backends[usize::from(at)].id).ok()?;
        backends.get(usize::from(self.by_id[at]))
    }

    /// Whether a client at `source` may use it.
    #[inline]
    pub fn admits(&self, source: IpAddr) -> bool {
        self.sources.contains(source)
    }

    /// The backend of a new session; `None` if none takes any. `active` says how many sessions a backend has on
    /// this node; only `lc` asks, once for each backend.
    #[inline]
    pub fn select(&self, client: &Client, active: impl Fn(BackendId) -> u32) -> Option<&Backend> {
        self.selector.select(&self.spec.backends, client, active)
    }
}
