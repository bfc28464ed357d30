//! L2: machines without I/O and without a clock. Packets, time and wishes go in, effects come out.

pub mod neighbor;
pub mod owner;
pub mod responder;
