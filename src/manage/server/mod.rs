//! The API's server: connections, TLS, the bearer token, and bounds on everything a client can do.
//!
//! ```text
//! accept ─► room? ─► TLS ─► head ─► token ─► body ─► handler ─► answer
//!  (else the one that was idle longest goes)
//!             5 s      10 s     10 s        30 s
//! ```
//!
//! A client that stands still at any step loses its connection, and one that never finishes a request gives way to
//! those that do.

mod body;
mod connections;
mod respond;
mod tls;
mod token;

pub use tls::{Tls, TlsError};
pub use token::{Token, TokenError};

use axum::Router;
use body::Budget;
use connections::{Connection, Connections};
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use respond::Responder;
use std::{io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::watch,
    time::{sleep, timeout},
};
use tracing::debug;

/// A TLS handshake takes so long at most.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// A request's head, and the wait for the next one.
const HEAD: Duration = Duration::from_secs(10);
/// Data that the client does not take for so long ends its connection.
const STUCK: Duration = Duration::from_secs(30);
/// Bytes of a request's head, at most.
const HEAD_BYTES: usize = 64 * 1024;
/// After an accept that failed, for lack of file descriptors perhaps.
const PAUSE: Duration = Duration::from_millis(50);
/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;

/// What the server is told.
#[derive(Debug)]
pub struct Options {
    /// Open connections at a time.
    pub max_connections: usize,
    /// With TLS.
    pub tls: Option<Tls>,
    /// What requests must bear.
    pub token: Option<Token>,
}

/// An address that is taken but not yet listened on: clients are refused until the node can serve them.
#[derive(Debug)]
pub struct Claim(TcpSocket);

impl Claim {
    /// Takes `address`.
    ///
    /// # Errors
    ///
    /// Somebody has it, or it is not this machine's.
    pub fn new(address: SocketAddr) -> io::Result<Self> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        // Who listens there is told now; of two that start at once the second is told when it listens.
        Ok(Self(socket))
    }

    /// Listens.
    ///
    /// # Errors
    ///
    /// Somebody listens there already.
    pub fn listen(self) -> io::Result<TcpListener> {
        self.0.listen(BACKLOG)
    }
}

/// Serves `app` until `stop` changes; then lets open requests end.
pub async fn serve(listener: TcpListener, app: Router, options: Options, mut stop: watch::Receiver<bool>) {
    let connections = Arc::new(Connections::new(options.max_connections));
    let responder = Arc::new(Responder { app, token: options.token, budget: Budget::default() });
    let tls = options.tls.map(Arc::new);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.changed() => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                debug!("the API cannot accept a connection: {error}");
                sleep(PAUSE).await;
                continue;
            }
        };
        // Without room the newest goes: everyone else is being served.
        let Some(connection) = connections.enter() else { continue };
        let (responder, tls, stop) = (Arc::clone(&responder), tls.clone(), stop.clone());
        tokio::spawn(async move {
            let evicted = connection.evicted();
            tokio::select! {
                () = open(stream, tls, responder, &connection, stop) => {}
                () = evicted => {}
            }
        });
    }
    connections.drained().await;
}

async fn open(
    stream: TcpStream,
    tls: Option<Arc<Tls>>,
    responder: Arc<Responder>,
    connection: &Arc<Connection>,
    stop: watch::Receiver<bool>,
) {
    let _ = stream.set_nodelay(true);
    let _ = rustix::net::sockopt::set_tcp_user_timeout(&stream, STUCK.as_millis() as u32);
    match tls {
        None => converse(stream, responder, connection, stop).await,
        Some(tls) => match timeout(HANDSHAKE, tls.accept(stream)).await {
            Ok(Ok(stream)) => converse(stream, responder, connection, stop).await,
            Ok(Err(error)) => debug!("the API's TLS handshake failed: {error}"),
            Err(_) => debug!("the API's TLS handshake took too long"),
        },
    }
}

async fn converse<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    responder: Arc<Responder>,
    connection: &Arc<Connection>,
    mut stop: watch::Receiver<bool>,
) {
    let service = service_fn(|request| responder.respond(request, Arc::clone(connection)));
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(HEAD_BYTES);
    let mut served = pin!(builder.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        ended = served.as_mut() => return told(ended),
        _ = stop.changed() => served.as_mut().graceful_shutdown(),
    }
    told(served.await);
}

fn told(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        debug!("a connection of the API ended: {error}");
    }
}
