//! Health checks: backends are probed, and those that are dead get no new sessions.
//!
//! ```text
//! services ─► plan ─► schedule ─► probe (a task each, bounded) ─► machine ─► news ─► registry ─► table
//!                        ▲                                          │         └────► events
//!                        └──────────────────────────────────────────┘
//! ```
//!
//! One task keeps the schedule, whatever the number of backends. Backends that are to be probed alike, such as one
//! that serves many services, are probed once.

mod check;
mod driver;
mod machine;
mod outcome;
mod plan;
mod probe;
mod report;
mod schedule;

pub use check::{Check, How};
pub use driver::Health;
pub use outcome::{Failure, Outcome};
pub use report::{Report, Status};

use crate::types::BackendId;
use arc_swap::ArcSwap;
use std::{collections::HashMap, net::IpAddr, sync::Arc};

/// How everything that is probed does, for the API.
#[derive(Debug, Default)]
pub struct HealthView {
    published: ArcSwap<Statuses>,
}

/// The same at a moment.
#[derive(Debug, Default)]
pub struct Statuses {
    /// Backends that are probed.
    pub backends: HashMap<BackendId, Arc<Status>>,
    /// Hosts that the API was told to probe, by address and name.
    pub endpoints: HashMap<(IpAddr, String), Arc<Status>>,
}

impl HealthView {
    /// As it stands.
    pub fn load(&self) -> Arc<Statuses> {
        self.published.load_full()
    }

    fn publish(&self, statuses: Statuses) {
        self.published.store(Arc::new(statuses));
    }
}
