//! Bodies of requests, bounded in size, in time, and in what all of them take together.

use axum::body::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};

/// The largest body: ten thousand services fit well.
pub(super) const MOST_BYTES: usize = 16 << 20;
/// The largest body of unknown length.
const MOST_UNKNOWN: usize = 1 << 20;
/// What all bodies may take together.
const ALL_BYTES: usize = 64 << 20;
/// How long a body may take to come.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a body that is refused is read, so that its sender reads the answer.
const DISCARD: Duration = Duration::from_secs(5);
/// What permits count.
const UNIT: usize = 1024;

/// What all bodies may still take.
#[derive(Debug)]
pub(super) struct Budget(Arc<Semaphore>);

impl Default for Budget {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(ALL_BYTES / UNIT)))
    }
}

/// Why a body is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unread {
    TooLarge,
    TooSlow,
    /// Others take all the room.
    NoRoom,
    /// The sender went away, or broke the protocol.
    Broken,
}

/// A whole body, and its part of the budget.
#[derive(Debug)]
pub(super) struct Whole {
    pub(super) bytes: Bytes,
    pub(super) _room: Option<OwnedSemaphorePermit>,
}

impl Budget {
    /// Reads a whole body.
    pub(super) async fn read(&self, body: Incoming) -> Result<Whole, Unread> {
        if body.is_end_stream() {
            return Ok(Whole { bytes: Bytes::new(), _room: None });
        }
        let announced = body.size_hint().exact().map(|length| usize::try_from(length).unwrap_or(usize::MAX));
        let most = announced.unwrap_or(MOST_UNKNOWN);
        if most > MOST_BYTES {
            discard(body).await;
            return Err(Unread::TooLarge);
        }
        let units = u32::try_from(most.div_ceil(UNIT)).unwrap_or(u32::MAX);
        let Ok(room) = Arc::clone(&self.0).try_acquire_many_owned(units) else {
            discard(body).await;
            return Err(Unread::NoRoom);
        };
        let mut body = Limited::new(body, most);
        match timeout(PATIENCE, (&mut body).collect()).await {
            Err(_) => Err(Unread::TooSlow),
            Ok(Ok(whole)) => Ok(Whole { bytes: whole.to_bytes(), _room: Some(room) }),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Unread::TooLarge),
            Ok(Err(_)) => Err(Unread::Broken),
        }
    }
}

/// Reads on and forgets: a connection that is closed on unread data takes the answer with it.
async fn discard(mut body: Incoming) {
    let all = async { while let Some(Ok(_)) = body.frame().await {} };
    tokio::select! {
        () = all => {}
        () = sleep(DISCARD) => {}
    }
}
