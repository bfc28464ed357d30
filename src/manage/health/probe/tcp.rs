//! A connection.

use super::{Answer, Check, Outcome, unsent};
use crate::manage::health::outcome::Failure;
use std::{io, net::SocketAddr};
use tokio::net::{TcpSocket, TcpStream};

/// A socket that comes from the check's address.
fn socket(check: &Check) -> io::Result<TcpSocket> {
    let socket = if check.local.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.bind(SocketAddr::new(check.local, 0))?;
    // Closed by a reset: thousands of probes a second leave no connection waiting for its end.
    socket.set_zero_linger()?;
    Ok(socket)
}

/// Connects.
pub(super) async fn connect(check: &Check) -> Result<TcpStream, Outcome> {
    let connected = socket(check).map_err(unsent)?.connect(check.target).await;
    connected.map_err(|error| match error.kind() {
        io::ErrorKind::AddrNotAvailable | io::ErrorKind::AddrInUse => unsent(error),
        _ => Outcome::Dead(Failure::of(&error)),
    })
}

/// Whether a connection is accepted.
pub(super) async fn ask(check: &Check) -> Answer {
    connect(check).await.map(drop)
}
