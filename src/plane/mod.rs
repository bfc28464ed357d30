//! L3: the boundary between threads. Everything that crosses from one to another crosses here, and each shared
//! thing has exactly one writer.

mod clock_fit;
mod counters;
mod examined;
mod histogram;
mod index;
mod memory;
mod next_hops;
mod ownership;
mod published;
mod routes;
mod slot;

pub use crate::types::HaState;
pub use clock_fit::{ClockFit, Mapping, Reading};
pub use counters::{BackendCounters, Counter, Counters, Tally};
pub use examined::{Examined, Queue};
pub use histogram::{Distribution, Histogram};
pub use memory::Mapped;
pub use next_hops::{NextHop, NextHops};
pub use ownership::Ownership;
pub use published::{Publisher, Reader};
pub use routes::{Route, Routes, Way};
pub use slot::{Local, Message, Packed, Slot, Stage, Subject};
