//! `/hitless/v1/events`: what happened, as server-sent events.

use crate::manage::{
    Record,
    api::{
        Api,
        answer::{Problem, Refused},
        extract::Query,
    },
};
use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
    response::sse::{Event, KeepAlive, Sse},
};
use futures_util::{Stream, StreamExt, stream};
use serde::Deserialize;
use std::{convert::Infallible, sync::Arc};
use tokio::sync::broadcast::{Receiver, error::RecvError};
use utoipa::IntoParams;

/// Which events.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::manage::api) struct Which {
    /// Those after this number; absent: all that are kept. The header Last-Event-ID says the same.
    after: Option<u64>,
    /// Whether to wait for what happens next; absent: yes.
    follow: Option<bool>,
}

/// Events, the oldest that are kept first, then as they happen. Each has an id, a kind, and a record as data.
#[utoipa::path(get, path = "/events", tag = "status", params(Which),
    responses((status = 200, content_type = "text/event-stream", body = String), Refused))]
pub(in crate::manage::api) async fn follow(
    State(api): State<Arc<Api>>,
    Query(which): Query<Which>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let Ok(permit) = Arc::clone(&api.streams).try_acquire_owned() else {
        let text = "too many follow the events already: close some, or ask with follow=false";
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, text));
    };
    let resumed = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok());
    let after = which.after.or(resumed).unwrap_or(0);
    let (kept, receiver) = api.events.follow(after);
    let kept = stream::iter(kept).map(|record| Ok(event(&record)));
    let receiver = which.follow.unwrap_or(true).then_some(receiver);
    let next = stream::unfold((receiver, permit), |(mut receiver, permit)| async move {
        let record = next(receiver.as_mut()?).await?;
        Some((Ok(event(&record)), (receiver, permit)))
    });
    Ok(Sse::new(kept.chain(next)).keep_alive(KeepAlive::default()))
}

/// The next record. Who is too slow misses some and sees it from their numbers.
async fn next(receiver: &mut Receiver<Arc<Record>>) -> Option<Arc<Record>> {
    loop {
        match receiver.recv().await {
            Ok(record) => return Some(record),
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return None,
        }
    }
}

fn event(record: &Record) -> Event {
    let data = serde_json::to_string(record).unwrap_or_default();
    Event::default().id(record.id.to_string()).event(record.kind).data(data)
}
