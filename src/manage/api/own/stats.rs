//! `/hitless/v1/stats`: where every packet went.

use crate::{
    manage::{
        Shared,
        api::{Api, answer::Refused},
    },
    plane::{Counter, Tally},
    types::DropReason,
};
use axum::{Json, extract::State};
use serde::{Serialize, Serializer, ser::SerializeMap};
use std::sync::Arc;
use utoipa::ToSchema;

/// The workers' counters.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(in crate::manage::api) struct Stats {
    /// One per worker.
    #[schema(value_type = Vec<Object>)]
    workers: Vec<Counts>,
    /// Their sum.
    #[schema(value_type = Object)]
    total: Counts,
    /// Cycles of the time-stamp counter in a second, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    tsc_hz: Option<u64>,
}

/// As DPDK measured it when it started.
fn tsc_hz() -> Option<u64> {
    #[cfg(feature = "dpdk")]
    let hz = crate::dpdk::cycles_hz();
    #[cfg(not(feature = "dpdk"))]
    let hz = 0;
    Some(hz).filter(|hz| *hz > 0)
}

/// A tally as one JSON object: counters by name, and `drops` by reason.
#[derive(Clone, Debug, Default)]
struct Counts(Tally);

impl Serialize for Counts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for &counter in Counter::ALL {
            map.serialize_entry(counter.name(), &self.0.get(counter))?;
        }
        map.serialize_entry("dropped", &self.0.dropped())?;
        map.serialize_entry("drops", &Drops(&self.0))?;
        map.end()
    }
}

struct Drops<'a>(&'a Tally);

impl Serialize for Drops<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(DropReason::ALL.iter().map(|reason| (reason.name(), self.0.drops(*reason))))
    }
}

impl Stats {
    /// The workers' last tallies.
    fn of(shared: &Shared) -> Self {
        let tallies: Vec<Tally> = shared.counters.iter().map(|counters| counters.read()).collect();
        let mut total = Tally::default();
        for tally in &tallies {
            total += tally;
        }
        Self { workers: tallies.into_iter().map(Counts).collect(), total: Counts(total), tsc_hz: tsc_hz() }
    }
}

/// Counters, worker by worker and in all.
#[utoipa::path(get, path = "/stats", tag = "status", responses((status = 200, body = Stats), Refused))]
pub(in crate::manage::api) async fn get(State(api): State<Arc<Api>>) -> Json<Stats> {
    Json(Stats::of(&api.shared))
}
