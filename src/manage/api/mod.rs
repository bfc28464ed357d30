//! What clients see: the REST API. `/netlox/v1` answers as LoxiLB does; `/hitless/v1` is this node's own.

pub mod model;
#[cfg(feature = "dpdk")]
pub mod serve;

use super::Shared;
use axum::{
    Json, Router,
    extract::{Query, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use model::{Conntrack, LoadBalancer, NeighborEntry, PortEntry, Stats, Version};
use serde::Deserialize;
use std::{net::IpAddr, sync::Arc};

/// All paths.
pub fn router(shared: Arc<Shared>) -> Router {
    let netlox = Router::new()
        .route("/version", get(version))
        .route("/config/loadbalancer/all", get(load_balancers))
        .route("/config/conntrack/all", get(conntrack))
        .route("/config/port/all", get(ports))
        .route("/config/neighbor/all", get(neighbors));
    let own = Router::new().route("/stats", get(stats));
    Router::new().nest("/netlox/v1", netlox).nest("/hitless/v1", own).fallback(not_found).with_state(shared)
}

async fn version() -> Json<Version> {
    Json(Version::this())
}

async fn load_balancers(State(shared): State<Arc<Shared>>) -> Json<serde_json::Value> {
    let entries: Vec<LoadBalancer> = {
        let registry = shared.registry.lock();
        registry.services().map(|entry| LoadBalancer::of(entry, &shared)).collect()
    };
    Json(serde_json::json!({ "lbAttr": entries }))
}

/// Which sessions to list.
#[derive(Debug, Default, Deserialize)]
struct SessionFilter {
    /// Client address.
    client: Option<IpAddr>,
    /// Virtual address.
    vip: Option<IpAddr>,
    /// Backend address.
    backend: Option<IpAddr>,
}

async fn conntrack(State(shared): State<Arc<Shared>>, Query(filter): Query<SessionFilter>) -> Response {
    let list = tokio::task::spawn_blocking(move || {
        let names: std::collections::HashMap<_, _> = {
            let registry = shared.registry.lock();
            registry.services().map(|entry| (entry.id, entry.wanted.name.clone())).collect()
        };
        let wanted = |asked: Option<IpAddr>, address| asked.is_none_or(|asked| asked == address);
        let records = shared.sessions.list(|record| {
            wanted(filter.client, record.client.0)
                && wanted(filter.vip, record.vip.0)
                && wanted(filter.backend, record.backend.0)
        });
        let entries: Vec<Conntrack> = records
            .iter()
            .flat_map(|record| {
                let name = record.service.and_then(|id| names.get(&id)).map_or("", String::as_str);
                Conntrack::both_directions(record, name)
            })
            .collect();
        serde_json::json!({ "ctAttr": entries })
    });
    match list.await {
        Ok(list) => Json(list).into_response(),
        Err(_) => {
            error(StatusCode::INTERNAL_SERVER_ERROR, "the list of sessions could not be made: try again")
        }
    }
}

async fn ports(State(shared): State<Arc<Shared>>) -> Json<serde_json::Value> {
    let entries: Vec<PortEntry> = PortEntry::all(&shared);
    Json(serde_json::json!({ "portAttr": entries }))
}

async fn neighbors(State(shared): State<Arc<Shared>>) -> Json<serde_json::Value> {
    let entries: Vec<NeighborEntry> = NeighborEntry::all(&shared);
    Json(serde_json::json!({ "neighborAttr": entries }))
}

async fn stats(State(shared): State<Arc<Shared>>) -> Json<Stats> {
    Json(Stats::of(&shared))
}

async fn not_found(uri: axum::http::Uri) -> Response {
    error(StatusCode::NOT_FOUND, &format!("path {} was not found", uri.path()))
}

fn error(status: StatusCode, message: &str) -> Response {
    let body = serde_json::json!({ "code": status.as_u16(), "message": message, "result": message });
    (status, Json(body)).into_response()
}
