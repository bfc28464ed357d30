//! `config/bgp`: what LoxiLB's clients want announced. Kept and listed; announcing is not built yet, and rules that
//! ask for it are refused.

use super::{
    Api,
    answer::{Answer, Problem, Refused, done},
    extract::{LoxiJson, Path, Query},
};
use crate::manage::{BgpNeighbor, BgpSpeaker, Refusal};
use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use std::{net::IpAddr, sync::Arc};
use utoipa::{IntoParams, ToSchema};

/// Neighbours that are kept.
const MOST: usize = 1024;

/// This node as a speaker.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub(super) struct WantedSpeaker {
    #[serde(rename = "localAs", alias = "localas")]
    local_as: u32,
    #[serde(rename = "routerId", alias = "routerid", default)]
    router_id: String,
    #[serde(rename = "SetNextHopSelf", alias = "setnexthopself", default)]
    set_next_hop_self: bool,
    #[serde(rename = "listenPort", alias = "listenport", default)]
    listen_port: u16,
}

/// Keep this node's autonomous system.
#[utoipa::path(post, path = "/config/bgp/global", tag = "bgp", request_body = WantedSpeaker,
    responses((status = 200, body = super::answer::Done), Refused))]
pub(super) async fn set_speaker(
    State(api): State<Arc<Api>>,
    LoxiJson(wanted): LoxiJson<WantedSpeaker>,
) -> Answer {
    if wanted.router_id.len() > 64 {
        return Err(Problem::new(StatusCode::BAD_REQUEST, "malformed routerId: use an IPv4 address"));
    }
    let speaker = BgpSpeaker {
        local_as: wanted.local_as,
        router_id: wanted.router_id,
        next_hop_self: wanted.set_next_hop_self,
        listen_port: if wanted.listen_port == 0 { 179 } else { wanted.listen_port },
    };
    api.changes
        .make(move |transaction| {
            transaction.saved_mut().bgp = Some(speaker);
            Ok(())
        })
        .await?;
    Ok(done())
}

/// All neighbours.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = BgpNeighbors)]
pub(super) struct Neighbors {
    #[serde(rename = "bgpNeiAttr")]
    neighbors: Vec<NeighborEntry>,
}

/// A neighbour.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = BgpNeighborEntry)]
struct NeighborEntry {
    #[schema(value_type = String)]
    ip_address: IpAddr,
    remote_as: u32,
    /// `IDLE`: nobody speaks to it yet.
    state: &'static str,
    updowntime: &'static str,
}

/// Neighbours.
#[utoipa::path(get, path = "/config/bgp/neigh/all", tag = "bgp",
    responses((status = 200, body = Neighbors), Refused))]
pub(super) async fn list(State(api): State<Arc<Api>>) -> Json<Neighbors> {
    let entry = |neighbor: &BgpNeighbor| NeighborEntry {
        ip_address: neighbor.address,
        remote_as: neighbor.remote_as,
        state: "IDLE",
        updowntime: "never",
    };
    Json(Neighbors { neighbors: api.changes.saved().bgp_neighbors.values().map(entry).collect() })
}

/// A neighbour that is wanted.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub(super) struct WantedNeighbor {
    #[serde(rename = "ipAddress", alias = "ipaddress")]
    ip_address: String,
    #[serde(rename = "remoteAs", alias = "remoteas")]
    remote_as: u32,
    #[serde(rename = "remotePort", alias = "remoteport", default)]
    remote_port: u16,
    #[serde(rename = "setMultiHop", alias = "setmultihop", default)]
    set_multi_hop: bool,
}

fn address(text: &str) -> Result<IpAddr, Problem> {
    let malformed =
        || Problem::new(StatusCode::BAD_REQUEST, format!("malformed ipAddress: {text:?} is none"));
    text.parse().map_err(|_| malformed())
}

/// Keep a neighbour.
#[utoipa::path(post, path = "/config/bgp/neigh", tag = "bgp", request_body = WantedNeighbor,
    responses((status = 200, body = super::answer::Done), Refused))]
pub(super) async fn create(
    State(api): State<Arc<Api>>,
    LoxiJson(wanted): LoxiJson<WantedNeighbor>,
) -> Answer {
    let neighbor = BgpNeighbor {
        address: address(&wanted.ip_address)?,
        remote_as: wanted.remote_as,
        port: wanted.remote_port,
        multi_hop: wanted.set_multi_hop,
    };
    api.changes
        .make(move |transaction| {
            let neighbors = &mut transaction.saved_mut().bgp_neighbors;
            if neighbors.len() >= MOST && !neighbors.contains_key(&neighbor.address) {
                return Err(Refusal::Full { what: "BGP neighbours" });
            }
            neighbors.insert(neighbor.address, neighbor);
            Ok(())
        })
        .await?;
    Ok(done())
}

/// Its autonomous system.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct OfSystem {
    #[serde(rename = "remoteAs")]
    remote_as: Option<u32>,
}

/// Forget a neighbour.
#[utoipa::path(delete, path = "/config/bgp/neigh/{ip_address}", tag = "bgp",
    params(("ip_address" = String, Path), OfSystem),
    responses((status = 200, body = super::answer::Done), Refused))]
pub(super) async fn delete(
    State(api): State<Arc<Api>>,
    Path(ip_address): Path<String>,
    Query(of): Query<OfSystem>,
) -> Answer {
    let address = address(&ip_address)?;
    api.changes
        .make(move |transaction| {
            let neighbors = &mut transaction.saved_mut().bgp_neighbors;
            let known = neighbors.get(&address);
            let is_it =
                known.is_some_and(|known| of.remote_as.is_none_or(|wanted| wanted == known.remote_as));
            if !is_it {
                return Err(Refusal::NotFound(format!("no such bgp neighbor: {address}")));
            }
            neighbors.remove(&address);
            Ok(())
        })
        .await?;
    Ok(done())
}
