//! L2: protocol machines without I/O and without a clock. Packets, the time and wishes go in, effects come out.

pub mod announce;
pub mod bfd;
pub mod election;
pub mod neighbor;
pub mod owner;
pub mod pair;
pub mod responder;
pub mod sync;
pub mod witness;
