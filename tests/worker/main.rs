//! The worker held to tables: packets in, packets out, and exactly the counters that moved. Whole nodes in memory, on
//! virtual time, through what the program offers to everyone.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends where it fails")]
#![allow(clippy::print_stdout, reason = "a table says which of its rows it was at when it failed")]

mod counts;
mod frame;
mod nic;
mod places;
mod world;

mod accounting;
mod allocation;
mod flows;
mod fragments;
mod headers;
mod icmp;
mod neighbors;
mod ownership;
mod probes;
mod refused;
mod services;
mod steering;
mod tcp;
