//! One packet there, one back.

use super::{
    Stack,
    core::{Answer, Asked, Key},
};
use std::io;
use tokio::sync::oneshot;

/// A question on its way. Who drops it waits no longer.
#[derive(Debug)]
pub struct Question {
    stack: Stack,
    key: Key,
    answered: oneshot::Receiver<Answer>,
}

impl Drop for Question {
    fn drop(&mut self) {
        self.stack.0.core.lock().forget(self.key);
    }
}

impl Question {
    pub(super) fn new(stack: Stack, (key, answered): Asked) -> Self {
        Self { stack, key, answered }
    }

    /// What is answered: the payload of a datagram, and nothing to a ping. Waits for ever where nothing comes.
    ///
    /// # Errors
    ///
    /// The network says that the target cannot be reached, or does not listen.
    pub async fn answer(mut self) -> io::Result<Vec<u8>> {
        (&mut self.answered).await.unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()))
    }
}
