//! The API as its clients use it: byte for byte what kube-loxilb and loxicmd send, what they must read, and what
//! nobody should send. A node in memory serves it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends where it fails")]

mod cli;
mod fuzz;
mod hitless;
mod http;
mod kube_loxilb;
mod limits;
mod loxicmd;
mod metrics;
mod node;
mod openapi;
mod reload;
mod rules;
mod scratch;
mod security;
mod state;
mod traffic;
