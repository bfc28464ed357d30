//! `/hitless/v1/histograms`: how evenly the control core works.

use crate::{
    control::BfdEntry,
    manage::api::{Api, answer::Refused},
    plane::{Distribution, Histogram},
};
use axum::{Json, extract::State};
use serde::Serialize;
use std::{net::IpAddr, sync::Arc};
use utoipa::ToSchema;

/// All histograms. Times are in nanoseconds.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::manage::api) struct Histograms {
    /// How long a turn of the control core takes.
    control_turn: Times,
    /// A BFD session each.
    bfd: Vec<SessionTimes>,
}

/// How well a BFD session's times are kept.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct SessionTimes {
    #[schema(value_type = String)]
    local: IpAddr,
    #[schema(value_type = String)]
    remote: IpAddr,
    /// How long after they were due packets were given to the port.
    sent_late: Times,
    /// How much longer than the peer's interval its packets took to come; 0 for early ones.
    received_late: Times,
    /// How long packets lay here before they were looked at.
    looked_at_late: Times,
}

/// A histogram since the start. Values are at most a sixteenth too large.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = TimesInNanoseconds)]
struct Times {
    count: u64,
    p50: u64,
    p99: u64,
    p999: u64,
    max: u64,
    /// Upper bound and count of each bucket that is not empty, in ascending order.
    buckets: Vec<(u64, u64)>,
}

impl From<Distribution> for Times {
    fn from(times: Distribution) -> Self {
        Self {
            count: times.count(),
            p50: times.quantile(0.5),
            p99: times.quantile(0.99),
            p999: times.quantile(0.999),
            max: times.max(),
            buckets: times.buckets().collect(),
        }
    }
}

/// Histograms.
#[utoipa::path(get, path = "/histograms", tag = "status", responses((status = 200, body = Histograms), Refused))]
pub(in crate::manage::api) async fn get(State(api): State<Arc<Api>>) -> Json<Histograms> {
    let read = |histogram: &Histogram| Times::from(histogram.read());
    let view = &api.shared.bfd;
    let session = |entry: BfdEntry| {
        let timing = view.timing(entry.id)?;
        Some(SessionTimes {
            local: entry.path.local,
            remote: entry.path.remote,
            sent_late: read(&timing.sent_late),
            received_late: read(&timing.received_late),
            looked_at_late: read(&timing.looked_at_late),
        })
    };
    Json(Histograms {
        control_turn: read(&api.shared.turn_times),
        bfd: view.list().into_iter().filter_map(session).collect(),
    })
}
