//! `/hitless/v1/sessions`: one entry a session.

use crate::{
    manage::api::{
        Api,
        answer::{Problem, Refused},
        extract::Query,
        listing::{self, SessionFilter},
    },
    session::Record,
};
use axum::{extract::State, response::Response};
use serde::Serialize;
use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};
use utoipa::ToSchema;

/// All sessions.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(in crate::manage::api) struct Sessions {
    sessions: Vec<Session>,
}

/// A session. Places are ADDRESS:PORT.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct Session {
    service: String,
    protocol: &'static str,
    #[schema(value_type = String)]
    client: SocketAddr,
    #[schema(value_type = String)]
    vip: SocketAddr,
    /// The source towards the backend.
    #[schema(value_type = String)]
    local: SocketAddr,
    #[schema(value_type = String)]
    backend: SocketAddr,
    state: &'static str,
    /// Milliseconds since its last packet.
    idle_ms: u32,
    /// Both directions.
    packets: u64,
    /// Both directions.
    bytes: u64,
}

impl Session {
    fn of(record: &Record, service: &str) -> Self {
        let place = |(address, port): (IpAddr, u16)| SocketAddr::new(address, port);
        Self {
            service: service.to_owned(),
            protocol: record.protocol.name(),
            client: place(record.client),
            vip: place(record.vip),
            local: place(record.local),
            backend: place(record.backend),
            state: record.state.name(),
            idle_ms: record.idle_ms,
            packets: record.packets,
            bytes: record.bytes,
        }
    }
}

/// Sessions.
#[utoipa::path(get, path = "/sessions", tag = "sessions", params(SessionFilter),
    responses((status = 200, body = Sessions), Refused))]
pub(in crate::manage::api) async fn list(
    State(api): State<Arc<Api>>,
    Query(filter): Query<SessionFilter>,
) -> Result<Response, Problem> {
    listing::sessions(api, filter, "sessions", |record, service, entries| {
        entries.push(Session::of(record, service));
    })
    .await
}
