//! Session sync: the two machines over a link that loses, delays, reorders and duplicates; and two whole nodes on
//! one segment, in virtual time.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends where it fails")]

mod allocation;
mod faults;
mod frames;
mod nodes;
mod refusals;
mod stream;
mod world;
