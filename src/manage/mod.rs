//! L7: management. May allocate, block and log; never on a packet's way.
//!
//! `assembly` makes a node's workers and control core from a configuration and opened ports, whatever kind they are;
//! `node` does it with DPDK and runs them; `api` is what clients see.

pub mod api;
mod assembly;
mod commit;
mod events;
pub mod ha;
mod kernel_interface;
mod registry;
mod saved;
mod sessions;
mod state_file;

#[cfg(feature = "dpdk")]
mod clock;
#[cfg(feature = "dpdk")]
pub mod node;

pub use assembly::KernelRings;
pub use assembly::{Assembly, AssemblyError, PortParts, PortStatus, Shared, assemble};
pub use commit::{Changes, ChangesError, Transaction};
pub use events::{EventLog, HISTORY, Record, Severity};
pub use kernel_interface::{KernelInterfaceError, KernelInterfaces};
pub use registry::{
    BackendEntry, Drain, Put, Refusal, RefusalKind, Refusals, Registry, Rule, Savepoint, ServiceChange,
    ServiceEntry, ServiceKey, ServiceList, Settlement, Source,
};
pub use saved::{BgpNeighbor, BgpSpeaker, Endpoint, HostState, MAX_SAVED, Parked, Saved, SavedBfd};
pub use sessions::SessionLists;
pub use state_file::{Clocks, StateFile, StateFileError};
