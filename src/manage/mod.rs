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
mod events;
pub mod ha;
pub mod health;
mod kernel_interface;
mod paths;
mod registry;
mod reload;
mod saved;
pub mod server;
mod session_sync;
mod sessions;
mod state_file;

#[cfg(feature = "dpdk")]
mod clock;
#[cfg(feature = "dpdk")]
pub mod daemon;
#[cfg(feature = "dpdk")]
pub mod node;

pub use assembly::KernelRings;
pub use assembly::{Assembly, AssemblyError, Load, PortParts, PortStatus, Shared, assemble, routes};
pub use commit::{Changes, ChangesError, Transaction};
pub use events::{EventLog, HISTORY, Record, Severity};
pub use kernel_interface::{KernelInterfaceError, KernelInterfaces};
pub use paths::KeyFileError;
pub use registry::{
    BackendEntry, Drain, Put, Refusal, RefusalKind, Refusals, Registry, Rule, Savepoint, ServiceChange,
    ServiceEntry, ServiceKey, ServiceList, Settlement, Source,
};
pub use reload::{ReloadError, reload};
pub use saved::{BgpNeighbor, BgpSpeaker, Endpoint, HostState, MAX_SAVED, Parked, Saved, SavedBfd};
pub use sessions::SessionLists;
pub use state_file::{Clocks, StateFile, StateFileError};
