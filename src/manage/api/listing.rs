//! Long lists: those of sessions can be of a million elements, and are made piece by piece as the client reads.

use super::{Api, answer::Problem};
use crate::{
    session::Record,
    types::{Protocol, SessionState},
};
use axum::{
    body::{Body, Bytes},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use std::{convert::Infallible, net::IpAddr, str::FromStr, sync::Arc, time::Duration};
use tokio::{task::spawn_blocking, time::timeout};
use utoipa::IntoParams;

/// Elements made at once: a piece that fits a few segments.
const PIECE: usize = 256;
/// How long a list waits for the one before it.
const PATIENCE: Duration = Duration::from_secs(5);
/// Sessions of a list that names no limit, and of any list.
const LIMIT: usize = 1_000_000;

/// Which sessions to list. Those that match everything given.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct SessionFilter {
    /// Client address.
    #[param(value_type = Option<String>)]
    client: Option<IpAddr>,
    /// Virtual address.
    #[param(value_type = Option<String>)]
    vip: Option<IpAddr>,
    /// Backend address.
    #[param(value_type = Option<String>)]
    backend: Option<IpAddr>,
    /// Service, by name.
    service: Option<String>,
    /// tcp, udp or sctp.
    #[serde(default, deserialize_with = "protocol")]
    #[param(value_type = Option<String>)]
    protocol: Option<Protocol>,
    /// State, as the list names it.
    #[serde(default, deserialize_with = "state")]
    #[param(value_type = Option<String>)]
    state: Option<SessionState>,
    /// The most to list.
    limit: Option<usize>,
}

impl SessionFilter {
    fn admits(&self, record: &Record) -> bool {
        fn is<T: PartialEq<U>, U>(wanted: Option<T>, found: U) -> bool {
            wanted.is_none_or(|wanted| wanted == found)
        }
        is(self.client, record.client.0)
            && is(self.vip, record.vip.0)
            && is(self.backend, record.backend.0)
            && is(self.protocol, record.protocol)
            && is(self.state, record.state)
    }
}

fn protocol<'de, D: Deserializer<'de>>(query: D) -> Result<Option<Protocol>, D::Error> {
    named(query, "protocol", &Protocol::ALL.map(Protocol::name))
}

fn state<'de, D: Deserializer<'de>>(query: D) -> Result<Option<SessionState>, D::Error> {
    named(query, "state", &SessionState::ALL.map(SessionState::name))
}

/// What the query names.
fn named<'de, D: Deserializer<'de>, T: FromStr>(
    query: D,
    key: &str,
    names: &[&str],
) -> Result<Option<T>, D::Error> {
    let text = String::deserialize(query)?;
    let unknown =
        |_| D::Error::custom(format!("{key}: there is no {text:?}: write one of {}", names.join(", ")));
    text.parse().map(Some).map_err(unknown)
}

/// Sessions of a node, each as `show` makes it of a record and its service's name, in `{"key":[...]}`.
pub(super) async fn sessions<T: Serialize + Send + 'static>(
    api: Arc<Api>,
    filter: SessionFilter,
    key: &'static str,
    show: impl Fn(&Record, &str, &mut Vec<T>) + Send + 'static,
) -> Result<Response, Problem> {
    let busy = |_| Problem::new(StatusCode::SERVICE_UNAVAILABLE, "another list is being made: try again");
    // One at a time: the workers make one list at a time.
    let permit = timeout(PATIENCE, Arc::clone(&api.lists).acquire_owned()).await.map_err(busy)?;
    let list = spawn_blocking(move || {
        let _permit = permit;
        let services = api.shared.services.load_full();
        let names: std::collections::HashMap<_, String> =
            services.iter().map(|entry| (entry.id, entry.rule_name().to_owned())).collect();
        let wanted: Option<std::collections::HashSet<_>> = filter.service.as_ref().map(|name| {
            let named =
                services.iter().filter(|entry| entry.wanted.name == *name || entry.rule_name() == name);
            named.map(|entry| entry.id).collect()
        });
        let of_service = |record: &Record| {
            wanted.as_ref().is_none_or(|ids| record.service.is_some_and(|id| ids.contains(&id)))
        };
        let mut records = api.shared.sessions.list(|record| filter.admits(record) && of_service(record));
        records.truncate(filter.limit.unwrap_or(LIMIT));
        (records, names)
    });
    let (records, names) = list.await.map_err(|_| {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the list of sessions could not be made: try again")
    })?;
    let mut at = 0;
    let pieces = std::iter::from_fn(move || {
        let records = records.get(at..)?;
        let records = records.get(..PIECE).unwrap_or(records);
        if records.is_empty() {
            return None;
        }
        at += records.len();
        let mut shown = Vec::with_capacity(2 * records.len());
        for record in records {
            let service = record.service.and_then(|id| names.get(&id)).map_or("", String::as_str);
            show(record, service, &mut shown);
        }
        Some(shown)
    });
    Ok(array(key, pieces))
}

/// `{"key":[...]}` of pieces: whole if there is one piece at most, as it is made otherwise.
fn array<T: Serialize + Send + 'static>(
    key: &str,
    pieces: impl Iterator<Item = Vec<T>> + Send + 'static,
) -> Response {
    let mut pieces = pieces.peekable();
    let mut first = format!("{{\"{key}\":[").into_bytes();
    if let Some(piece) = pieces.next() {
        append(&mut first, &piece, true);
    }
    let body = if pieces.peek().is_none() {
        first.extend_from_slice(b"]}");
        Body::from(first)
    } else {
        let rest = pieces.map(|piece| {
            let mut text = Vec::new();
            append(&mut text, &piece, false);
            text
        });
        let all = std::iter::once(first).chain(rest).chain(std::iter::once(b"]}".to_vec()));
        Body::from_stream(futures_util::stream::iter(all.map(|text| Ok::<_, Infallible>(Bytes::from(text)))))
    };
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

fn append<T: Serialize>(text: &mut Vec<u8>, items: &[T], is_first: bool) {
    for (place, item) in items.iter().enumerate() {
        if place > 0 || !is_first {
            text.push(b',');
        }
        // Numbers, names and addresses: nothing that JSON has no words for.
        let _ = serde_json::to_writer(&mut *text, item);
    }
}
