//! The data behind `hitless devices`: what the machine has, what DPDK can do with it, what is missing. Prints
//! nothing.

mod advice;
mod capabilities;
mod host;
mod pci;

pub(crate) use advice::reserve_command;
pub use advice::{Advice, advice};
pub(super) use capabilities::timestamps;
pub use capabilities::{Capabilities, Timestamps};
pub use host::{Host, HugePages};
pub use pci::PciNic;

use std::path::Path;

/// The machine and its cards, without asking DPDK.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inventory {
    /// Memory, cores, rights.
    pub host: Host,
    /// Network cards on the PCI bus.
    pub nics: Vec<PciNic>,
    /// What to mend, most needed first.
    pub advice: Vec<Advice>,
}

impl Inventory {
    /// Reads `/sys` and `/proc` below `root`, which is `/` but in tests.
    pub fn read(root: &Path) -> Self {
        let (host, nics) = (Host::read(root), PciNic::all(root));
        let advice = advice(&host, &nics);
        Self { host, nics, advice }
    }
}
