//! `config/cistate`: who serves, in LoxiLB's words.

use super::{
    Api,
    answer::{Answer, Problem, Refused, done},
    extract::LoxiJson,
};
use crate::{manage::ha::InstanceStatus, plane::HaState};
use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;

/// All instances, the default one first.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Instances {
    #[serde(rename = "Attr")]
    instances: Vec<Instance>,
}

/// An instance.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct Instance {
    instance: String,
    /// MASTER, BACKUP, FAULT, STOP or NOT_DEFINED.
    state: &'static str,
    vip: &'static str,
    sync: Option<u8>,
    /// The claim that state rests on; later claims are higher.
    term: u64,
    /// In this node's own words: INIT, SYNC, STANDBY, ACTIVE, ALONE, HANDOVER, FENCED or ADMIN.
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    /// It follows with all of the peer's sessions, and would take over at once.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    ready: bool,
    /// What keeps the two nodes apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

/// Instances.
#[utoipa::path(get, path = "/config/cistate/all", tag = "ha",
    responses((status = 200, body = Instances), Refused))]
pub(super) async fn list(State(api): State<Arc<Api>>) -> Json<Instances> {
    let entry = |status: InstanceStatus| Instance {
        instance: status.name,
        state: status.state.name(),
        vip: "0.0.0.0",
        sync: None,
        term: status.term,
        role: status.role,
        ready: status.ready,
        note: status.note,
    };
    Json(Instances { instances: api.ha.instances().into_iter().map(entry).collect() })
}

/// A state that an outside elector wants.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub(super) struct WantedState {
    #[serde(default)]
    instance: String,
    /// MASTER, BACKUP or STOP; FAULT and NOT_DEFINED are for a node to find.
    #[serde(default)]
    state: String,
    /// Not looked at: an instance moves with all its addresses.
    #[serde(default, rename = "vip")]
    _vip: String,
}

const STATES: [HaState; 5] =
    [HaState::Master, HaState::Backup, HaState::Fault, HaState::Stop, HaState::NotDefined];

/// Set an instance's state.
#[utoipa::path(post, path = "/config/cistate", tag = "ha", request_body = WantedState,
    responses((status = 200, body = super::answer::Done), Refused))]
pub(super) async fn set(State(api): State<Arc<Api>>, LoxiJson(wanted): LoxiJson<WantedState>) -> Answer {
    let Some(state) = STATES.into_iter().find(|state| state.name() == wanted.state) else {
        let text = format!("invalid cluster-state {:?}: use MASTER, BACKUP or STOP", wanted.state);
        return Err(Problem::new(StatusCode::BAD_REQUEST, text));
    };
    api.ha.set_state(api.instance(&wanted.instance), state)?;
    Ok(done())
}
