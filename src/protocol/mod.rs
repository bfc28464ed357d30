//! L2: protocol machines without I/O and without a clock. Packets and the time go in, packets and events come out.

pub mod bfd;
