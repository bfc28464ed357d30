//! A datagram.

use super::{Answer, Check, Outcome, holds, unsent};
use crate::manage::{health::outcome::Failure, stack::Stack};
use std::{io, net::SocketAddr};
use tokio::net::UdpSocket;

/// The longest answer that is looked at.
const LONGEST: usize = 9 * 1024;

/// Whether `payload` is answered with what is expected. Waits for ever where nothing comes.
pub(super) async fn ask(check: &Check, stack: Option<&Stack>, payload: &[u8], reply: &[u8]) -> Answer {
    let answer = match stack {
        Some(stack) => {
            stack.send(check.local, check.target, payload).map_err(unsent)?.answer().await.map_err(refused)?
        }
        None => exchange(check, payload).await?,
    };
    if holds(&answer, reply) { Ok(()) } else { Err(Outcome::Dead(Failure::Reply)) }
}

async fn exchange(check: &Check, payload: &[u8]) -> Result<Vec<u8>, Outcome> {
    let socket = open(check).await.map_err(unsent)?;
    socket.send(payload).await.map_err(refused)?;
    let mut answer = vec![0; LONGEST];
    let length = socket.recv(&mut answer).await.map_err(refused)?;
    answer.truncate(length);
    Ok(answer)
}

#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
fn refused(error: io::Error) -> Outcome {
    Outcome::Dead(Failure::of(&error))
}

async fn open(check: &Check) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(SocketAddr::new(check.local, 0)).await?;
    socket.connect(check.target).await?;
    Ok(socket)
}
