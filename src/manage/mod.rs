//! L7: management. May allocate, block and log; never on a packet's way.
//!
//! `assembly` makes a node's workers and control core from a configuration and opened ports, whatever kind they are;
//! `node` does it with DPDK, and `daemon` runs that until a signal.
//!
//! ```text
//! clients ─► server ─► api ─► commit ─► registry ─► table ─► workers
//! SIGHUP  ─► reload ──────────┘  │ ▲
//!                     state_file ◄┘ └─ health ◄─► backends
//! ```

pub mod api;
mod assembly;
mod commit;
mod entropy;
mod events;
pub mod ha;
pub mod health;
mod kernel_interface;
mod neighborhood;
mod notify;
mod pair;
mod paired;
mod paths;
mod prerequisites;
mod registry;
mod reload;
mod reserved_terms;
mod saved;
pub mod server;
mod sessions;
pub mod stack;
mod state_file;
mod supervisor;

#[cfg(feature = "dpdk")]
mod clock;
#[cfg(feature = "dpdk")]
pub mod daemon;
#[cfg(feature = "dpdk")]
pub mod node;

pub use assembly::KernelRings;
pub use assembly::{
    Assembly, AssemblyError, Load, PortParts, PortStatus, Shared, assemble, assemble_from, routes,
};
pub use commit::{Changes, ChangesError, Transaction};
pub use entropy::Entropy;
pub use events::{EventLog, HISTORY, Record, Severity};
pub use kernel_interface::{KernelInterfaceError, KernelInterfaces};
pub use neighborhood::Neighborhood;
pub use notify::Notifier;
pub use paired::Paired;
pub use paths::KeyFileError;
pub use prerequisites::missing;
pub use registry::{
    BackendEntry, Drain, Put, Refusal, RefusalKind, Refusals, Registry, Rule, Savepoint, ServiceChange,
    ServiceEntry, ServiceKey, ServiceList, Settlement, Source,
};
pub use reload::{ReloadError, reload};
pub use reserved_terms::ReservedTerms;
pub use saved::{Endpoint, HostState, MAX_SAVED, Parked, Saved, SavedBfd};
pub use sessions::SessionLists;
pub use state_file::{Clocks, StateFile, StateFileError};
pub use supervisor::{Pulse, Supervisor};
