//! L3: the boundary between threads. Everything that crosses from one to another crosses here, and each shared
//! thing has exactly one writer.

mod bulletin;
mod clock_fit;
mod counters;
mod examined;
mod histogram;
mod index;
mod links;
mod memory;
mod next_hops;
mod ownership;
mod pins;
mod probe_ports;
mod published;
mod relay;
mod routes;
mod slot;
mod words;

pub use crate::types::HaState;
pub use bulletin::Bulletin;
pub use clock_fit::{ClockFit, Mapping, Reading};
pub use counters::{BackendCounters, Counter, Counters, Tally};
pub use examined::{Examined, Queue};
pub use histogram::{Distribution, Histogram};
pub use links::Links;
pub use memory::{prefetch_nearby, session_memory, zeroed};
pub use next_hops::{NextHop, NextHops};
pub use ownership::Ownership;
pub use pins::{Hop, Pins};
pub use probe_ports::ProbePorts;
pub use published::{Publisher, Reader};
pub use relay::Relay;
pub use routes::{Route, Routes, Way};
pub use slot::{Local, Message, Packed, Slot, Stage, Subject};
pub use words::Words;
