//! Elections, seen from outside: the transitions and rules of the design as named cases, the mistakes of others as
//! named regressions, and two nodes joined by a link that does its worst.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends where it fails")]

mod bench;
mod inputs;
mod link;
mod mistakes;
mod pair;
mod rules;
mod transitions;
