//! This node's own TCP/IP, for probes where the kernel has no way: on ports without a kernel interface, whose
//! addresses no interface of the kernel's has.
//!
//! ```text
//! probes ─► connections, questions ─► IP packets ─► wire ─► frames ─► first worker
//!                  ▲                                 ▲
//!                  └───────────── IP packets ◄───────┴─── rings ◄──── workers
//! ```
//!
//! TCP is smoltcp's. What is one packet there and one back, datagrams and pings, needs no socket. It opens
//! conversations and takes none: what belongs to no conversation is dropped without an answer. Neighbours are the
//! control core's, so it speaks no ARP. Probes and the thread of the kernel interfaces share it behind a lock; no
//! worker touches it.

mod bell;
mod connection;
mod core;
mod device;
mod question;
mod wire;

pub use connection::Connection;
pub use question::Question;
pub use wire::Wire;

use self::{bell::Bell, core::Core};
use crate::plane::ProbePorts;
use parking_lot::Mutex;
use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

/// Connections at a time, at most.
pub const MOST_CONNECTIONS: usize = 1024;
/// Datagrams and pings that wait for their answers at a time, at most.
pub const MOST_QUESTIONS: usize = 4096;

/// The stack, as those who probe hold it.
#[derive(Clone, Debug)]
pub struct Stack(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    addresses: Vec<IpAddr>,
    core: Mutex<Core>,
    /// Wakes who moves the packets.
    bell: Bell,
}

impl Stack {
    /// A stack with these addresses, whose packets are at most `mtu` long. Workers give it what `ports` says; `seed`
    /// is a number that nobody guesses.
    ///
    /// # Errors
    ///
    /// There is no descriptor left.
    pub fn new(addresses: Vec<IpAddr>, mtu: u16, ports: Arc<ProbePorts>, seed: u64) -> io::Result<Self> {
        let (core, bell) = (Mutex::new(Core::new(mtu, ports, seed)), Bell::new()?);
        Ok(Self(Arc::new(Shared { addresses, core, bell })))
    }

    /// Whether probes from `address` leave by it.
    pub fn has(&self, address: IpAddr) -> bool {
        self.0.addresses.contains(&address)
    }

    /// Begins to connect.
    ///
    /// # Errors
    ///
    /// This node cannot: all connections or ports are in use, or the addresses are of different families.
    pub fn connect(&self, local: IpAddr, target: SocketAddr) -> io::Result<Connection> {
        let port = self.0.core.lock().connect(local, target)?;
        self.0.bell.ring();
        Ok(Connection::new(self.clone(), port))
    }

    /// Sends a datagram.
    ///
    /// # Errors
    ///
    /// This node cannot: too many wait for answers, or the addresses are of different families.
    pub fn send(&self, local: IpAddr, target: SocketAddr, payload: &[u8]) -> io::Result<Question> {
        self.ask(|core| core.send(local, target, payload))
    }

    /// Sends an echo request.
    ///
    /// # Errors
    ///
    /// As [`Self::send`].
    pub fn ping(&self, local: IpAddr, target: IpAddr) -> io::Result<Question> {
        self.ask(|core| core.ping(local, target))
    }

    fn ask(&self, ask: impl FnOnce(&mut Core) -> io::Result<core::Asked>) -> io::Result<Question> {
        let asked = ask(&mut self.0.core.lock())?;
        self.0.bell.ring();
        Ok(Question::new(self.clone(), asked))
    }
}

/// All that this node has for something is in use.
fn exhausted() -> io::Error {
    io::ErrorKind::QuotaExceeded.into()
}

#[cfg(test)]
pub(crate) mod host;
#[cfg(test)]
mod tests;
