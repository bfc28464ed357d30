//! A connection.

use super::{Answer, Check, Outcome, unsent};
use crate::manage::{health::outcome::Failure, stack::Stack};
use std::{io, net::SocketAddr};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpSocket, TcpStream},
};

/// A connection, whoever made it.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// A socket of the kernel's that comes from the check's address.
fn socket(check: &Check) -> io::Result<TcpSocket> {
    let socket = if check.local.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.bind(SocketAddr::new(check.local, 0))?;
    // Closed by a reset: thousands of probes a second leave no connection waiting for its end.
    socket.set_zero_linger()?;
    Ok(socket)
}

async fn connect_by_kernel(check: &Check) -> Result<TcpStream, Outcome> {
    let connected = socket(check).map_err(unsent)?.connect(check.target).await;
    connected.map_err(|error| match error.kind() {
        io::ErrorKind::AddrNotAvailable | io::ErrorKind::AddrInUse => unsent(error),
        _ => Outcome::Dead(Failure::of(&error)),
    })
}

/// Connects, by the stack if there is one. Such a connection too is closed by a reset.
pub(super) async fn connect(check: &Check, stack: Option<&Stack>) -> Result<Box<dyn Stream>, Outcome> {
    let Some(stack) = stack else { return Ok(Box::new(connect_by_kernel(check).await?)) };
    let connection = stack.connect(check.local, check.target).map_err(unsent)?;
    connection.established().await.map_err(|error| Outcome::Dead(Failure::of(&error)))?;
    Ok(Box::new(connection))
}

/// Whether a connection is accepted.
pub(super) async fn ask(check: &Check, stack: Option<&Stack>) -> Answer {
    connect(check, stack).await.map(drop)
}
