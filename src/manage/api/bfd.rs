//! `config/bfd`: BFD sessions in LoxiLB's words.

use super::{
    Api,
    answer::{Answer, Problem, Refused, done},
    extract::{LoxiJson, Path, Query},
};
use crate::{
    config::check_bfd_path,
    manage::{
        Put, Refusal, SavedBfd,
        ha::{BfdSession, BfdWanted},
    },
    protocol::bfd,
    types::Duration,
};
use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, net::IpAddr, sync::Arc};
use utoipa::{IntoParams, ToSchema};

/// Of a session that names none.
const INTERVAL_US: u64 = 200_000;
/// Of a session that names none.
const RETRIES: u8 = 3;
/// Sessions that are kept.
const MOST: usize = 256;

/// All sessions.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = BfdSessions)]
pub(super) struct Sessions {
    #[serde(rename = "Attr")]
    sessions: Vec<Session>,
    /// Packets refused that are of no session, by reason; absent if there were none.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    refused: BTreeMap<&'static str, u64>,
}

/// A session.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = BfdSession)]
struct Session {
    instance: String,
    #[schema(value_type = String)]
    remote_ip: IpAddr,
    #[serde(rename = "sourceIP")]
    #[schema(value_type = String)]
    source_ip: Option<IpAddr>,
    port: u16,
    /// Microseconds.
    interval: u64,
    retry_count: u8,
    /// BFDAdminDown, BFDDown, BFDInit or BFDUp.
    state: &'static str,
    /// Silence after which the peer is gone, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    detection_us: Option<u64>,
    /// `hardware` or `software`.
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamps: Option<&'static str>,
    /// The 99.9th percentile of how far arrivals stray, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    jitter_p999_us: Option<u64>,
    /// The shortest interval that this machine has been able to hold with this multiplier, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    held_us: Option<u64>,
    /// How often it went down.
    flaps: u64,
    /// Packets discarded, by reason; absent if there were none.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    discards: BTreeMap<&'static str, u64>,
    /// Where it was defined: `file` or `api`.
    source: &'static str,
}

impl From<BfdSession> for Session {
    fn from(session: BfdSession) -> Self {
        Self {
            instance: session.instance,
            remote_ip: session.remote,
            source_ip: session.local,
            port: session.port,
            interval: session.interval.as_micros(),
            retry_count: session.multiplier,
            state: match session.state {
                bfd::State::AdminDown => "BFDAdminDown",
                bfd::State::Down => "BFDDown",
                bfd::State::Init => "BFDInit",
                bfd::State::Up => "BFDUp",
            },
            detection_us: session.detection.map(Duration::as_micros),
            timestamps: session
                .hardware_timestamps
                .map(|hardware| if hardware { "hardware" } else { "software" }),
            jitter_p999_us: session.jitter_p999.map(Duration::as_micros),
            held_us: session.held.map(Duration::as_micros),
            flaps: session.flaps,
            discards: session.discards,
            source: session.source.name(),
        }
    }
}

/// Sessions.
#[utoipa::path(get, path = "/config/bfd/all", tag = "ha",
    responses((status = 200, body = Sessions), Refused))]
pub(super) async fn list(State(api): State<Arc<Api>>) -> Json<Sessions> {
    let sessions = api.ha.bfd_sessions().into_iter().map(Session::from).collect();
    Json(Sessions { sessions, refused: api.ha.bfd_refused() })
}

/// A session that is wanted.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub(super) struct WantedSession {
    /// Empty or `default`: the default instance.
    #[serde(default)]
    instance: String,
    #[serde(rename = "remoteIp", alias = "remoteip")]
    remote_ip: String,
    /// Empty: this node's address in the peer's subnet.
    #[serde(rename = "sourceIp", alias = "sourceip", default)]
    source_ip: String,
    /// Microseconds, 50 to 10000000; 0 for what it is, or 200000.
    #[serde(default)]
    interval: u64,
    /// 0 for what it is, or 3.
    #[serde(rename = "retryCount", alias = "retrycount", default)]
    retry_count: u8,
}

fn malformed(text: String) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, text)
}

/// The file's own check, with the virtual addresses of all services.
fn check(api: &Api, local: Option<IpAddr>, remote: IpAddr) -> Result<(), Problem> {
    let services = api.shared.services.load();
    let vips = services.iter().flat_map(|entry| {
        let name = format!("service {}", entry.wanted.name);
        entry.wanted.vips().map(move |vip| (vip, name.clone()))
    });
    check_bfd_path(&api.shared.config, vips, local, remote).map_err(malformed)
}

/// Create a session, or change it.
#[utoipa::path(post, path = "/config/bfd", tag = "ha", request_body = WantedSession,
    responses((status = 200, body = super::answer::Done), Refused))]
pub(super) async fn create(State(api): State<Arc<Api>>, LoxiJson(wanted): LoxiJson<WantedSession>) -> Answer {
    let address = |text: &str, what: &str| {
        text.parse::<IpAddr>()
            .map_err(|_| malformed(format!("{what} address malformed: {text:?} is no IP address")))
    };
    let remote = address(&wanted.remote_ip, "remote")?;
    let local = match wanted.source_ip.as_str() {
        "" => None,
        text => Some(address(text, "source")?),
    };
    if !matches!(wanted.interval, 0 | 50..=10_000_000) {
        let text = format!(
            "bfd interval {} is out of range: allowed are 50 to 10000000 microseconds",
            wanted.interval
        );
        return Err(malformed(text));
    }
    check(&api, local, remote)?;
    let session = BfdWanted {
        instance: api.instance(&wanted.instance).to_owned(),
        remote,
        local,
        interval: (wanted.interval != 0).then(|| Duration::from_micros(wanted.interval)),
        multiplier: (wanted.retry_count != 0).then_some(wanted.retry_count),
    };
    let put = api.ha.put_bfd(&session)?;
    if put == Put::Unchanged {
        return Err(Problem::new(StatusCode::CONFLICT, format!("bfd existing session with {remote}")));
    }
    let kept = api.changes.make(move |transaction| {
        let sessions = &mut transaction.saved_mut().bfd;
        if sessions.len() >= MOST && !sessions.contains_key(&remote) {
            return Err(Refusal::Full { what: "BFD sessions" });
        }
        let known = sessions.entry(remote).or_insert_with(|| SavedBfd {
            instance: String::new(),
            remote,
            local: None,
            interval_us: INTERVAL_US,
            multiplier: RETRIES,
        });
        known.instance = session.instance;
        known.local = session.local.or(known.local);
        known.interval_us = session.interval.map_or(known.interval_us, Duration::as_micros);
        known.multiplier = session.multiplier.unwrap_or(known.multiplier);
        Ok(())
    });
    if let Err(refusal) = kept.await {
        // What would be gone after a restart is better not there at all.
        if put == Put::Created {
            let _ = api.ha.delete_bfd(api.instance(&wanted.instance), remote);
        }
        return Err(refusal.into());
    }
    Ok(done())
}

/// Which instance.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct OfInstance {
    /// Empty or `default`: the default one.
    #[serde(default)]
    instance: String,
}

/// End a session.
#[utoipa::path(delete, path = "/config/bfd/remoteIP/{remote_ip}", tag = "ha",
    params(("remote_ip" = String, Path), OfInstance),
    responses((status = 200, body = super::answer::Done), Refused))]
pub(super) async fn delete(
    State(api): State<Arc<Api>>,
    Path(remote_ip): Path<String>,
    Query(of): Query<OfInstance>,
) -> Answer {
    let remote: IpAddr = remote_ip
        .parse()
        .map_err(|_| malformed(format!("remote address malformed: {remote_ip:?} is no IP address")))?;
    api.ha.delete_bfd(api.instance(&of.instance), remote)?;
    api.changes
        .make(move |transaction| {
            transaction.saved_mut().bfd.remove(&remote);
            Ok(())
        })
        .await?;
    Ok(done())
}
