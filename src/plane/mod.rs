//! L3: the boundary between threads. Everything that crosses from one to another crosses here, and each shared
//! thing has exactly one writer.

mod counters;
mod index;
mod links;
mod memory;
mod next_hops;
mod ownership;
mod pins;
mod published;
mod routes;
mod words;

pub use counters::{BackendCounters, Counter, Counters, Tally};
pub use links::Links;
pub use memory::Mapped;
pub use next_hops::{NextHop, NextHops};
pub use ownership::{HaState, Ownership};
pub use pins::{Hop, Pins};
pub use published::{Publisher, Reader};
pub use routes::{Route, Routes, Way};
pub use words::Words;
