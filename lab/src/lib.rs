//! The lab: a client, load balancers and backends as network namespaces on one bridge, with real programs in them.
//! The demo runs it for people, the tests for `make test`.
//!
//! ```text
//!   client   10.77.0.1  ─┐             ┌─ lb1  10.77.0.11   hitless on net_af_packet
//!                        ├── bridge ───┼─ lb2  10.77.0.12
//!   (more clients) ──────┘             └─ b1.. 10.77.0.21.. nginx
//! ```
//!
//! Everything a lab makes has its process's number in its name. It is taken away when the [`Lab`] is dropped; what a
//! killed process left behind is taken away by the next lab on the machine. Labs can run beside each other.

#![allow(clippy::expect_used, reason = "a lab that cannot be entered has nobody to tell")]

mod capture;
mod client;
mod contest;
mod error;
mod namespace;
mod nginx;
mod nicvm;
mod node;
mod peers;
mod program;
mod sweep;
mod topology;

pub use capture::Capture;
pub use client::{Fetched, fetch, fetch_from, request};
pub use contest::{Contender, Trial, contest};
pub use error::{Error, Result};
pub use namespace::Namespace;
pub use nginx::Nginx;
pub use nicvm::NicVm;
pub use node::{Node, NodeConfig};
pub use peers::{BfdParameters, Bird, Frr, Keepalived};
pub use program::{Program, allow_files};
pub use rustix::process::Signal;
pub use sweep::remove_own;
pub use topology::{Host, Lab};

use std::{
    process::Command,
    thread,
    time::{Duration, Instant},
};

/// Calls `check` until it gives something or `limit` is over.
pub fn wait_for<T>(limit: Duration, mut check: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + limit;
    loop {
        if let Some(found) = check() {
            return Some(found);
        }
        if Instant::now() >= end {
            return None;
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// Runs a command to its end and returns what it printed.
///
/// # Errors
///
/// It cannot be started, or fails; with what it said.
pub fn output(command: &mut Command) -> Result<String> {
    let shown = format!("{command:?}");
    let output = command.output().map_err(|source| Error::Start { program: shown.clone(), source })?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(stdout);
    }
    let said = format!("{stdout}{}", String::from_utf8_lossy(&output.stderr));
    Err(Error::Failed { program: shown, said: said.trim().to_owned() })
}
