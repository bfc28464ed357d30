//! Probes: one question to one backend, by the kernel's sockets, or by this node's own stack where the kernel has no
//! way.
//!
//! They come from this node's own address, and whose address that is says which of the two. What this node cannot do,
//! such as open a socket, says nothing about the backend.

mod http;
mod ping;
mod tcp;
mod tls;
mod udp;

use super::{
    check::{Check, How},
    outcome::{Failure, Outcome},
};
use crate::manage::stack::Stack;
use ping::Pingers;
use std::time::Duration;
use tls::Tls;
use tokio::time::timeout;

/// What probes need besides a socket of their own.
#[derive(Debug, Default)]
pub(super) struct Prober {
    pingers: Pingers,
    tls: Tls,
    stack: Option<Stack>,
}

/// How a probe went: `Ok` when the backend lives.
type Answer = Result<(), Outcome>;

impl Prober {
    /// Probes from addresses of `stack` leave by it.
    pub(super) fn new(stack: Option<Stack>) -> Self {
        Self { stack, ..Self::default() }
    }

    /// The stack, if the probes of a check leave by it.
    fn stack(&self, check: &Check) -> Option<&Stack> {
        self.stack.as_ref().filter(|stack| stack.has(check.local))
    }

    /// Asks once. Takes the check's timeout at most.
    pub(super) async fn ask(&self, check: &Check) -> Outcome {
        let limit = Duration::from(check.timeout);
        let stack = self.stack(check);
        let answer = async {
            match &check.how {
                How::Tcp => tcp::ask(check, stack).await,
                How::Http { tls: false, path, statuses, reply } => {
                    http::ask(tcp::connect(check, stack).await?, check, path, (statuses, reply)).await
                }
                How::Http { tls: true, path, statuses, reply } => {
                    let stream = self.tls.connect(tcp::connect(check, stack).await?, check).await?;
                    http::ask(stream, check, path, (statuses, reply)).await
                }
                How::Udp { payload, reply } => udp::ask(check, stack, payload, reply).await,
                How::Ping => match stack {
                    Some(stack) => ping::ask(check, stack).await,
                    None => self.pingers.ask(check).await,
                },
            }
        };
        match timeout(limit, answer).await {
            Ok(Ok(())) => Outcome::Alive,
            Ok(Err(outcome)) => outcome,
            // Who is asked for nothing in particular may say nothing.
            Err(_) if matches!(&check.how, How::Udp { reply, .. } if reply.is_empty()) => Outcome::Alive,
            Err(_) => Outcome::Dead(Failure::Silent),
        }
    }
}

/// This node could not ask.
fn unsent(error: std::io::Error) -> Outcome {
    Outcome::Unknown(error.kind())
}

/// Whether `answer` holds `wanted`; nothing is in everything.
fn holds(answer: &[u8], wanted: &[u8]) -> bool {
    wanted.is_empty() || answer.windows(wanted.len()).any(|part| part == wanted)
}

#[cfg(test)]
mod tests;
