//! `config/conntrack`: sessions in LoxiLB's words, two entries each.

use super::{
    Api,
    answer::{Problem, Refused},
    extract::Query,
    listing::{self, SessionFilter},
};
use crate::{
    session::{Record, State as SessionState},
    types::Protocol,
};
use axum::{extract::State, response::Response};
use serde::Serialize;
use std::{net::IpAddr, sync::Arc};
use utoipa::ToSchema;

/// All sessions, both directions of each.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Conntracks {
    #[serde(rename = "ctAttr")]
    entries: Vec<Conntrack>,
}

/// One direction of a session.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Conntrack {
    #[serde(rename = "destinationIP")]
    #[schema(value_type = String)]
    destination_ip: IpAddr,
    #[serde(rename = "sourceIP")]
    #[schema(value_type = String)]
    source_ip: IpAddr,
    destination_port: u16,
    source_port: u16,
    protocol: &'static str,
    conntrack_state: &'static str,
    ident: &'static str,
    conntrack_act: String,
    /// Of both directions.
    packets: u64,
    /// Of both directions.
    bytes: u64,
    serv_name: String,
    /// Milliseconds since its last packet.
    idle_ms: u32,
}

/// Sessions.
#[utoipa::path(get, path = "/config/conntrack/all", tag = "conntrack", params(SessionFilter),
    responses((status = 200, body = Conntracks), Refused))]
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Query(filter): Query<SessionFilter>,
) -> Result<Response, Problem> {
    listing::sessions(api, filter, "ctAttr", |record, service, entries| {
        entries.extend(Conntrack::both_directions(record, service));
    })
    .await
}

/// LoxiLB's word for a state.
const fn state_name(protocol: Protocol, state: SessionState) -> &'static str {
    match (protocol, state) {
        (Protocol::Udp, SessionState::Opening) => "udp-uni",
        (Protocol::Udp, _) => "udp-est",
        (Protocol::Sctp, SessionState::Opening) => "init",
        (_, SessionState::Opening) => "sync-sent",
        (_, SessionState::Answered) => "sync-ack",
        (_, SessionState::Established) => "est",
        (_, SessionState::ClientClosed | SessionState::BackendClosed | SessionState::Closing) => "fini",
        (_, SessionState::Closed | SessionState::Reset) => "closed-wait",
    }
}

impl Conntrack {
    /// The two entries LoxiLB's users expect of a session.
    fn both_directions(record: &Record, service: &str) -> [Self; 2] {
        let entry = |source: (IpAddr, u16), destination: (IpAddr, u16), conntrack_act| Self {
            destination_ip: destination.0,
            source_ip: source.0,
            destination_port: destination.1,
            source_port: source.1,
            protocol: record.protocol.name(),
            conntrack_state: state_name(record.protocol, record.state),
            ident: "0",
            conntrack_act,
            packets: record.packets,
            bytes: record.bytes,
            serv_name: service.to_owned(),
            idle_ms: record.idle_ms,
        };
        let there = format!("fdnat-{},{}:{}:w0", record.local.0, record.backend.0, record.backend.1);
        let back = format!("fsnat-{},{}:{}:w0", record.vip.0, record.client.0, record.client.1);
        [entry(record.client, record.vip, there), entry(record.backend, record.local, back)]
    }
}
