//! What clients see: the REST API. `/netlox/v1` answers as LoxiLB does, for its clients; `/hitless/v1` is this node's
//! own. LoxiLB's spellings are here and nowhere else.
//!
//! Every path is declared with its documentation, and the OpenAPI document is made of the router: it cannot leave
//! out or invent one.

mod absent;
mod answer;
mod bfd;
mod bgp;
mod cistate;
mod conntrack;
mod endpoint;
mod extract;
mod listing;
mod loadbalancer;
mod metrics;
mod own;
mod ports;
mod status;

pub(super) use answer::problem;

use super::{Changes, EventLog, Shared, ha::HighAvailability};
use crate::config::{Config, DEFAULT_INSTANCE, LogLevel};
use axum::Router;
use parking_lot::Mutex;
use std::{fmt, sync::Arc};
use tokio::sync::Semaphore;
use utoipa::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};

/// Who may follow the events at a time.
const STREAMS: usize = 16;

/// Sets how much is logged.
pub trait LogSwitch: fmt::Debug + Send + Sync {
    /// How much is logged now.
    fn level(&self) -> LogLevel;

    /// From now on.
    fn set(&self, level: LogLevel);
}

/// What the API works on.
#[derive(Debug)]
pub struct Api {
    pub(super) shared: Arc<Shared>,
    pub(super) changes: Changes,
    pub(super) events: Arc<EventLog>,
    pub(super) ha: Arc<dyn HighAvailability>,
    pub(super) log: Arc<dyn LogSwitch>,
    /// The configuration file as it was last taken.
    pub(super) file: Mutex<Config>,
    instances: Arc<[String]>,
    default_instance: String,
    /// One list of sessions at a time.
    lists: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    metrics: metrics::Metrics,
    /// The OpenAPI document.
    document: Arc<str>,
}

impl Api {
    /// Over a node.
    pub fn new(
        shared: Arc<Shared>,
        changes: Changes,
        events: Arc<EventLog>,
        ha: Arc<dyn HighAvailability>,
        log: Arc<dyn LogSwitch>,
    ) -> Arc<Self> {
        let config = &shared.config;
        let document = open_api().to_json().unwrap_or_default();
        Arc::new(Self {
            file: Mutex::new(config.clone()),
            instances: config.instances().iter().map(|instance| instance.name.clone()).collect(),
            default_instance: config.default_instance().to_owned(),
            lists: Arc::new(Semaphore::new(1)),
            streams: Arc::new(Semaphore::new(STREAMS)),
            metrics: metrics::Metrics::start(),
            document: document.into(),
            shared,
            changes,
            events,
            ha,
            log,
        })
    }

    /// The instance that a name means: LoxiLB's own clients call the default one by two names.
    fn instance<'a>(&'a self, name: &'a str) -> &'a str {
        let known = self.instances.iter().any(|known| known == name);
        match name {
            "" | "default" | DEFAULT_INSTANCE if !known => &self.default_instance,
            name => name,
        }
    }
}

#[derive(OpenApi)]
#[openapi(info(
    title = "hitless",
    description = "The API of a hitless node. Paths under /netlox/v1 are those of LoxiLB; their JSON keys match \
                   whatever their case, unknown keys are ignored, and null is as good as absent."
))]
struct Document;

fn routes() -> OpenApiRouter<Arc<Api>> {
    let netlox = OpenApiRouter::new()
        .routes(routes!(loadbalancer::create))
        .routes(routes!(loadbalancer::list, loadbalancer::delete_all))
        .routes(routes!(loadbalancer::delete_by_name))
        .routes(routes!(loadbalancer::delete_port))
        .routes(routes!(loadbalancer::delete_ports))
        .routes(routes!(loadbalancer::delete_host_port))
        .routes(routes!(loadbalancer::delete_host_ports))
        .routes(routes!(conntrack::list))
        .routes(routes!(cistate::list))
        .routes(routes!(cistate::set))
        .routes(routes!(bfd::list))
        .routes(routes!(bfd::create))
        .routes(routes!(bfd::delete))
        .routes(routes!(endpoint::list))
        .routes(routes!(endpoint::create))
        .routes(routes!(endpoint::delete))
        .routes(routes!(endpoint::set_host_state))
        .routes(routes!(bgp::set_speaker))
        .routes(routes!(bgp::create))
        .routes(routes!(bgp::delete))
        .routes(routes!(ports::list))
        .routes(routes!(ports::list_addresses))
        .routes(routes!(ports::list_neighbors))
        .routes(routes!(ports::list_routes))
        .routes(routes!(status::version))
        .routes(routes!(status::parameters, status::set_parameters))
        .routes(routes!(status::processes))
        .routes(routes!(metrics::get_netlox))
        .routes(routes!(metrics::setting, metrics::enable, metrics::disable))
        .routes(routes!(absent::mobile_sessions))
        .routes(routes!(absent::uplink_classifiers))
        .routes(routes!(absent::firewall))
        .routes(routes!(absent::bgp_neighbors))
        .routes(routes!(absent::vlans))
        .routes(routes!(absent::vxlans))
        .routes(routes!(absent::forwarding_entries))
        .routes(routes!(absent::policies))
        .routes(routes!(absent::mirrors));
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(metrics::get))
        .nest("/netlox/v1", netlox)
        .nest("/hitless/v1", own::router())
}

/// The OpenAPI document of all paths.
pub fn open_api() -> utoipa::openapi::OpenApi {
    let (_, mut document) = routes().split_for_parts();
    answer::document(document.components.get_or_insert_default());
    document
}

/// All paths.
pub fn router(api: Arc<Api>) -> Router {
    let (router, _) = routes().split_for_parts();
    router.fallback(answer::not_found).method_not_allowed_fallback(answer::not_allowed).with_state(api)
}
