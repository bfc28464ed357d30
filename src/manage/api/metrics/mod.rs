//! `metrics`: everything the node counts, as Prometheus text. Reading does not disturb who counts.

mod ledger;
mod loxilb;
mod machine;
mod network;
mod pair;
mod services;
mod text;
mod workers;

use super::{
    Api,
    answer::{Problem, Refused},
};
use crate::{
    manage::ha::InstanceStatus,
    plane::{Counter, Tally},
};
use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use ledger::Ledger;
use machine::{CpuTime, CycleRate, Utilization, disk_percent, memory_percent};
use parking_lot::Mutex;
use serde::Serialize;
use services::Overview;
use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use text::{Exposition, Kind};
use tokio::task::spawn_blocking;
use utoipa::ToSchema;

/// The span of LoxiLB's "new flows".
const NEW_FLOWS: Duration = Duration::from_secs(10);

/// What is kept from one reading to the next.
#[derive(Debug)]
pub(super) struct Metrics {
    kept: Mutex<Kept>,
    cycles: CycleRate,
    /// Seconds since 1970.
    started: f64,
}

#[derive(Debug)]
struct Kept {
    ledger: Ledger,
    /// When the period began, and what had been by then.
    since: Instant,
    opened: u64,
    cpu: Option<CpuTime>,
    /// What the period before was like.
    new_flows: f64,
    cpu_percent: Option<f64>,
}

impl Metrics {
    /// Begins to count now.
    pub(super) fn start() -> Self {
        let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let kept = Kept {
            ledger: Ledger::default(),
            since: Instant::now(),
            opened: 0,
            cpu: CpuTime::now(),
            new_flows: 0.0,
            cpu_percent: None,
        };
        Self { kept: Mutex::new(kept), cycles: CycleRate::start(), started }
    }
}

impl Kept {
    /// Ends the period if it was long enough, however many read and how often.
    fn turn(&mut self, now: Instant, opened: u64, cpu: Option<CpuTime>) {
        let elapsed = now.saturating_duration_since(self.since);
        if elapsed < NEW_FLOWS {
            return;
        }
        let gained = opened.saturating_sub(self.opened) as f64;
        self.new_flows = gained * NEW_FLOWS.as_secs_f64() / elapsed.as_secs_f64();
        self.cpu_percent = cpu.zip(self.cpu).and_then(|(now, earlier)| now.percent_since(earlier));
        (self.since, self.opened, self.cpu) = (now, opened, cpu);
    }
}

/// All metrics, as of now.
fn exposition(api: &Api, instances: &[InstanceStatus]) -> String {
    let shared = &*api.shared;
    let mut out = Exposition::default();
    let version = env!("CARGO_PKG_VERSION");
    let labels: [text::Label<'_>; 2] = [("version", &version), ("node", &shared.config.node.name)];
    out.family("hitless_build_info", Kind::Gauge, "Always 1; what runs is in the labels.").sample(&labels, 1);
    let metrics = &api.metrics;
    out.one("hitless_start_time_seconds", Kind::Gauge, "When the API opened, since 1970.", metrics.started);
    let help = "The cycle counter's frequency: busy seconds times this are busy cycles.";
    out.one("hitless_tsc_hertz", Kind::Gauge, help, metrics.cycles.hertz());

    let tallies: Vec<Tally> = shared.counters.iter().map(|counters| counters.read()).collect();
    let mut total = Tally::default();
    tallies.iter().for_each(|tally| total += tally);
    workers::write(&mut out, shared, &tallies);
    network::write(&mut out, shared);
    pair::write(&mut out, shared, instances);

    let all = shared.services.load();
    let overview = Overview::of(shared, &all);
    let mut kept = metrics.kept.lock();
    kept.ledger.book(&all, |id| shared.load_of(id));
    services::write(&mut out, shared, &overview, &kept.ledger);
    kept.turn(Instant::now(), total.get(Counter::SessionsOpened), CpuTime::now());
    let utilization = Utilization { cpu: kept.cpu_percent, memory: memory_percent(), disk: disk_percent() };
    let facts = loxilb::Facts {
        shared,
        total: &total,
        overview: &overview,
        ledger: &kept.ledger,
        new_flows: kept.new_flows,
        utilization,
    };
    loxilb::write(&mut out, &facts);
    out.finish()
}

async fn answer(api: Arc<Api>) -> Result<Response, Problem> {
    // With thousands of backends it takes milliseconds, and reads files.
    let text = spawn_blocking(move || exposition(&api, &api.ha.instances())).await.map_err(|_| {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the metrics could not be read: try again")
    })?;
    Ok(([(header::CONTENT_TYPE, text::CONTENT_TYPE)], text).into_response())
}

/// Metrics as Prometheus text.
#[utoipa::path(get, path = "/metrics", tag = "metrics",
    responses((status = 200, content_type = "text/plain", body = String), Refused))]
pub(super) async fn get(State(api): State<Arc<Api>>) -> Result<Response, Problem> {
    answer(api).await
}

/// The same, where LoxiLB has it.
#[utoipa::path(get, path = "/metrics", tag = "metrics",
    responses((status = 200, content_type = "text/plain", body = String), Refused))]
pub(super) async fn get_netlox(State(api): State<Arc<Api>>) -> Result<Response, Problem> {
    answer(api).await
}

/// Whether metrics are served.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Setting {
    prometheus: bool,
}

/// Whether metrics are served: they always are.
#[utoipa::path(get, path = "/config/metrics", tag = "metrics",
    responses((status = 200, body = Setting), Refused))]
pub(super) async fn setting() -> Json<Setting> {
    Json(Setting { prometheus: true })
}

/// Serve metrics: it is so already.
#[utoipa::path(post, path = "/config/metrics", tag = "metrics",
    responses((status = 204, description = "It is so"), Refused))]
pub(super) async fn enable() -> StatusCode {
    StatusCode::NO_CONTENT
}

/// Serve no metrics: refused.
#[utoipa::path(delete, path = "/config/metrics", tag = "metrics",
    responses((status = 403, body = Problem), Refused))]
pub(super) async fn disable() -> Problem {
    let text = "metrics cannot be switched off: they cost nothing while nobody reads them";
    Problem::new(StatusCode::FORBIDDEN, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_flows_are_those_of_ten_seconds_however_often_they_are_read() {
        let mut kept = Metrics::start().kept.into_inner();
        let start = kept.since;
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut seen = Vec::new();
        for (seconds, opened) in [(1, 5), (9, 50), (10, 100), (11, 150), (19, 190), (40, 400)] {
            kept.turn(at(seconds), opened, None);
            seen.push(kept.new_flows);
        }
        assert_eq!(seen, [0.0, 0.0, 100.0, 100.0, 100.0, 100.0]);
        kept.turn(at(60), 1000, None);
        assert_eq!((kept.new_flows, kept.cpu_percent), (300.0, None));
    }
}
