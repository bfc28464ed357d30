//! L7: management. May allocate, block and log; never on a packet's way.
//!
//! `assembly` makes a node's workers and control core from a configuration and opened ports, whatever kind they are;
//! `node` does it with DPDK and runs them; `api` is what clients see.

pub mod api;
mod assembly;
mod events;
mod kernel_interface;
mod paths;
mod registry;
mod session_sync;
mod sessions;

#[cfg(feature = "dpdk")]
mod clock;
#[cfg(feature = "dpdk")]
pub mod node;

pub use assembly::KernelRings;
pub use assembly::{Assembly, AssemblyError, PortParts, PortStatus, Shared, assemble};
pub use events::log_events;
pub use kernel_interface::{KernelInterfaceError, KernelInterfaces};
pub use paths::KeyFileError;
pub use registry::{Registry, RegistryError, ServiceEntry};
pub use sessions::SessionLists;
