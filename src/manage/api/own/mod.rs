//! `/hitless/v1`: what is this node's own.

mod events;
mod histograms;
mod services;
mod sessions;
mod stats;

use super::{
    Api,
    answer::{Answer, Problem, Refused, code, done},
    extract::PlainJson,
};
use crate::plane::HaState;
use axum::{
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
};
use serde::Deserialize;
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, sleep};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

/// How long a hand-over may take: the peer must answer, and announce itself.
const HAND_OVER: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(10);

/// All paths.
pub(super) fn router() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(services::list, services::put_all))
        .routes(routes!(services::get, services::put, services::delete))
        .routes(routes!(services::drain))
        .routes(routes!(sessions::list))
        .routes(routes!(super::ports::list_neighbors_own))
        .routes(routes!(stats::get))
        .routes(routes!(histograms::get))
        .routes(routes!(events::follow))
        .routes(routes!(configuration))
        .routes(routes!(switch_over))
        .routes(routes!(document))
}

/// The configuration file as it would have to be for this node to be as it is: what the file says, and the services
/// that the API created.
#[utoipa::path(get, path = "/config", tag = "status",
    responses((status = 200, content_type = "application/toml", body = String), Refused))]
async fn configuration(State(api): State<Arc<Api>>) -> impl IntoResponse {
    let mut config = api.file.lock().clone();
    config.services = api.shared.services.load().iter().map(|entry| entry.wanted.clone()).collect();
    ([(header::CONTENT_TYPE, "application/toml")], config.show())
}

/// What to hand over.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct WantedSwitchover {
    /// Absent: all that this node serves.
    #[serde(default)]
    instance: Option<String>,
}

/// Hand instances over to the peer; answers when the peer serves.
#[utoipa::path(post, path = "/switchover", tag = "ha", request_body = WantedSwitchover,
    responses((status = 200, body = super::answer::Done), Refused))]
async fn switch_over(State(api): State<Arc<Api>>, PlainJson(value): PlainJson) -> Answer {
    let wanted: WantedSwitchover =
        serde_json::from_value(value).map_err(|error| Problem::unfit(code::TYPE, error.to_string()))?;
    let instance = wanted.instance.as_deref().map(|name| api.instance(name).to_owned());
    api.ha.switch_over(instance.as_deref())?;
    let end = Instant::now() + HAND_OVER;
    loop {
        let over = api.ha.instances().into_iter().all(|status| {
            let meant = instance.as_deref().is_none_or(|wanted| status.name == wanted);
            !meant || status.state != HaState::Master && status.peer_serves == Some(true)
        });
        if over {
            return Ok(done());
        }
        if Instant::now() >= end {
            let text = "the peer has not taken over within 10 s: look at `get hastate` on both nodes";
            return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, text));
        }
        sleep(LOOK).await;
    }
}

/// This document.
#[utoipa::path(get, path = "/openapi.json", tag = "status",
    responses((status = 200, description = "OpenAPI 3.1", body = Object), Refused))]
async fn document(State(api): State<Arc<Api>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], Arc::clone(&api.document).to_string())
}
