//! A TCP connection of the stack's, as tokio reads and writes it.

use super::Stack;
use smoltcp::socket::tcp::{self, RecvError, State};
use std::{
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A connection. Dropping it ends it by a reset, and lets its socket go.
#[derive(Debug)]
pub struct Connection {
    stack: Stack,
    port: u16,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.stack.0.core.lock().close(self.port);
        self.stack.0.bell.ring();
    }
}

impl Connection {
    #[cfg(test)]
    pub(super) const fn port(&self) -> u16 {
        self.port
    }

    pub(super) const fn new(stack: Stack, port: u16) -> Self {
        Self { stack, port }
    }

    /// Waits until the other side accepts; for ever where nothing comes.
    ///
    /// # Errors
    ///
    /// It refuses, or the network says that it cannot be reached.
    pub async fn established(&self) -> io::Result<()> {
        poll_fn(|context| {
            let mut core = self.stack.0.core.lock();
            let state = core.socket(self.port).map(|socket| {
                socket.register_send_waker(context.waker());
                socket.state()
            });
            match state {
                Some(State::SynSent | State::SynReceived) => Poll::Pending,
                Some(State::Closed) | None => Poll::Ready(core.fate(self.port)),
                Some(_) => Poll::Ready(Ok(())),
            }
        })
        .await
    }

    fn with<T>(
        &self,
        work: impl FnOnce(&mut tcp::Socket<'static>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        match self.stack.0.core.lock().socket(self.port) {
            Some(socket) => work(socket),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.with(|socket| match socket.recv_slice(buffer.initialize_unfilled()) {
            Ok(0) if buffer.remaining() > 0 => {
                socket.register_recv_waker(context.waker());
                Poll::Pending
            }
            Ok(length) => {
                buffer.advance(length);
                Poll::Ready(Ok(()))
            }
            Err(RecvError::Finished) => Poll::Ready(Ok(())),
            Err(RecvError::InvalidState) => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
        })
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        let written = self.with(|socket| match socket.send_slice(octets) {
            Ok(0) if !octets.is_empty() => {
                socket.register_send_waker(context.waker());
                Poll::Pending
            }
            Ok(length) => Poll::Ready(Ok(length)),
            Err(_) => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
        });
        if written.is_ready() {
            self.stack.0.bell.ring();
        }
        written
    }

    /// What is written is on its way.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let closed = self.with(|socket| {
            socket.close();
            Poll::Ready(Ok(()))
        });
        self.stack.0.bell.ring();
        closed
    }
}
