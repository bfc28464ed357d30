//! A look at a daemon, and what happened since the one before.

use crate::cli::{Failure, client::Daemon};
use serde_json::Value;
use std::{
    collections::{BTreeMap, VecDeque},
    time::Instant,
};

/// Looks that a sparkline goes back.
pub(super) const REMEMBERED: usize = 120;

/// What the daemon says at one moment.
#[derive(Clone, Debug)]
pub(super) struct Look {
    pub(super) at: Instant,
    pub(super) version: Value,
    pub(super) stats: Value,
    pub(super) services: Value,
    pub(super) bfd: Value,
    pub(super) instances: Value,
    pub(super) histograms: Value,
}

impl Look {
    pub(super) fn take(daemon: &Daemon) -> Result<Self, Failure> {
        let stats = daemon.get("/hitless/v1/stats")?;
        Ok(Self {
            at: Instant::now(),
            stats,
            version: daemon.get("/netlox/v1/version")?,
            services: daemon.get("/hitless/v1/services")?,
            bfd: daemon.get("/netlox/v1/config/bfd/all")?,
            instances: daemon.get("/netlox/v1/config/cistate/all")?,
            histograms: daemon.get("/hitless/v1/histograms")?,
        })
    }
}

/// What `top` shows. Rates are per second.
#[derive(Clone, Debug, Default)]
pub(super) struct Picture {
    pub(super) version: String,
    pub(super) sessions: u64,
    pub(super) opened: f64,
    pub(super) packets: f64,
    pub(super) bytes: f64,
    pub(super) workers: Vec<Worker>,
    pub(super) services: Vec<Service>,
    pub(super) instances: Vec<Instance>,
    pub(super) paths: Vec<Path>,
    pub(super) drops: Vec<Drop>,
}

#[derive(Clone, Debug)]
pub(super) struct Worker {
    pub(super) packets: f64,
    pub(super) bytes: f64,
    pub(super) dropped: f64,
    /// Cycles a packet took, if packets came and the counter's rate is known.
    pub(super) cycles: Option<f64>,
    /// Share of turns that found a packet.
    pub(super) busy: f64,
    pub(super) longest_turn_ns: u64,
    pub(super) sessions: u64,
}

/// What a backend carries, or all of a service's.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Load {
    pub(super) sessions: u64,
    pub(super) opened: f64,
    pub(super) packets: f64,
    pub(super) bytes: f64,
}

#[derive(Clone, Debug)]
pub(super) struct Service {
    pub(super) name: String,
    pub(super) at: String,
    pub(super) load: Load,
    pub(super) backends: Vec<Backend>,
}

#[derive(Clone, Debug)]
pub(super) struct Backend {
    pub(super) at: String,
    pub(super) state: String,
    pub(super) load: Load,
}

#[derive(Clone, Debug)]
pub(super) struct Instance {
    pub(super) name: String,
    pub(super) state: String,
    pub(super) term: u64,
    pub(super) role: String,
    pub(super) ready: bool,
    pub(super) note: String,
}

#[derive(Clone, Debug)]
pub(super) struct Path {
    pub(super) remote: String,
    pub(super) state: String,
    pub(super) interval_us: u64,
    pub(super) detection_us: u64,
    pub(super) flaps: u64,
    /// How late the latest packet of each look came, in microseconds.
    pub(super) late_us: VecDeque<u64>,
}

#[derive(Clone, Debug)]
pub(super) struct Drop {
    pub(super) reason: String,
    pub(super) rate: f64,
    pub(super) count: u64,
}

fn number(value: &Value, pointer: &str) -> u64 {
    value.pointer(pointer).and_then(Value::as_u64).unwrap_or(0)
}

fn text(value: &Value, pointer: &str) -> String {
    match value.pointer(pointer) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    }
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// How fast counters went from `before` to `after`. One that has been set back, by a restart, counts from 0.
struct Rates<'a> {
    before: &'a Value,
    after: &'a Value,
    seconds: f64,
}

impl Rates<'_> {
    fn growth(&self, pointer: &str) -> u64 {
        let (before, after) = (number(self.before, pointer), number(self.after, pointer));
        if after < before { after } else { after - before }
    }

    fn rate(&self, pointer: &str) -> f64 {
        self.growth(pointer) as f64 / self.seconds
    }
}

impl Picture {
    /// What happened from `before` to `after`; `last` is the picture before, whose sparklines go on.
    pub(super) fn new(before: &Look, after: &Look, last: Option<&Self>) -> Self {
        let seconds = after.at.duration_since(before.at).as_secs_f64().max(1e-3);
        let total = Rates {
            before: before.stats.get("total").unwrap_or(&Value::Null),
            after: after.stats.get("total").unwrap_or(&Value::Null),
            seconds,
        };
        Self {
            version: text(&after.version, "/version"),
            sessions: number(total.after, "/sessions_v4") + number(total.after, "/sessions_v6"),
            opened: total.rate("/sessions_opened"),
            packets: total.rate("/rx"),
            bytes: total.rate("/rx_bytes"),
            workers: workers(before, after, seconds),
            services: services(before, after, seconds),
            instances: list(&after.instances, "Attr").iter().map(instance).collect(),
            paths: paths(before, after, last),
            drops: drops(&total),
        }
    }

    /// Rows of the services and their backends.
    pub(super) fn rows(&self) -> usize {
        self.services.iter().map(|service| 1 + service.backends.len()).sum()
    }
}

fn workers(before: &Look, after: &Look, seconds: f64) -> Vec<Worker> {
    let hz = after.stats.get("tsc_hz").and_then(Value::as_f64);
    let earlier = list(&before.stats, "workers");
    let worker = |(place, now): (usize, &Value)| {
        let counts = Rates { before: earlier.get(place).unwrap_or(&Value::Null), after: now, seconds };
        let (packets, turns) = (counts.growth("/received"), counts.growth("/turns"));
        let nanos = counts.growth("/busy_nanos") as f64 / packets as f64;
        Worker {
            packets: counts.rate("/received"),
            bytes: counts.rate("/rx_bytes"),
            dropped: counts.rate("/dropped"),
            cycles: hz.filter(|_| packets > 0).map(|hz| nanos * hz / 1e9),
            busy: counts.growth("/busy_turns") as f64 / turns.max(1) as f64,
            longest_turn_ns: number(now, "/longest_turn_nanos"),
            sessions: number(now, "/sessions_v4") + number(now, "/sessions_v6"),
        }
    };
    list(&after.stats, "workers").iter().enumerate().map(worker).collect()
}

fn address(value: &Value, ip: &str, port: &str) -> String {
    let (ip, port) = (text(value, ip), text(value, port));
    match (ip.contains(':'), port.is_empty()) {
        (_, true) => ip,
        (true, false) => format!("[{ip}]:{port}"),
        (false, false) => format!("{ip}:{port}"),
    }
}

fn services(before: &Look, after: &Look, seconds: f64) -> Vec<Service> {
    let name = |service: &Value| text(service, "/service/name");
    let earlier: BTreeMap<String, &Value> =
        list(&before.services, "services").iter().map(|service| (name(service), service)).collect();
    let service = |now: &Value| {
        let name = name(now);
        let known = earlier.get(&name).map_or(&[][..], |earlier| list(earlier, "backends"));
        let backends: Vec<Backend> = list(now, "backends")
            .iter()
            .map(|backend| {
                let at = address(backend, "/address", "/port");
                let then = known.iter().find(|known| address(known, "/address", "/port") == at);
                // One that has just come has done nothing before.
                let counts = Rates { before: then.unwrap_or(backend), after: backend, seconds };
                let load = Load {
                    sessions: number(backend, "/sessions"),
                    opened: counts.rate("/sessions_total"),
                    packets: counts.rate("/packets"),
                    bytes: counts.rate("/bytes"),
                };
                Backend { at, state: text(backend, "/state"), load }
            })
            .collect();
        let load = backends.iter().fold(Load::default(), |sum, Backend { load, .. }| Load {
            sessions: sum.sessions + load.sessions,
            opened: sum.opened + load.opened,
            packets: sum.packets + load.packets,
            bytes: sum.bytes + load.bytes,
        });
        let at = address(now, "/service/vip", "/service/port");
        let protocol = now.pointer("/service/protocol").and_then(Value::as_str).unwrap_or("tcp");
        Service { name, at: format!("{at}/{protocol}"), load, backends }
    };
    list(&after.services, "services").iter().map(service).collect()
}

fn instance(value: &Value) -> Instance {
    Instance {
        name: text(value, "/instance"),
        state: text(value, "/state"),
        term: number(value, "/term"),
        role: text(value, "/role"),
        ready: value.get("ready").and_then(Value::as_bool).unwrap_or(false),
        note: text(value, "/note"),
    }
}

fn paths(before: &Look, after: &Look, last: Option<&Picture>) -> Vec<Path> {
    let path = |session: &Value| {
        let remote = text(session, "/remoteIp");
        let known = last.and_then(|last| last.paths.iter().find(|path| path.remote == remote));
        let mut late_us = known.map(|path| path.late_us.clone()).unwrap_or_default();
        late_us.push_back(latest_ns(&before.histograms, &after.histograms, &remote).div_ceil(1000));
        while late_us.len() > REMEMBERED {
            late_us.pop_front();
        }
        Path {
            state: text(session, "/state"),
            interval_us: number(session, "/interval"),
            detection_us: number(session, "/detectionUs"),
            flaps: number(session, "/flaps"),
            remote,
            late_us,
        }
    };
    list(&after.bfd, "Attr").iter().map(path).collect()
}

/// How late the latest of a peer's packets between two looks came: the highest bucket that has grown.
fn latest_ns(before: &Value, after: &Value, remote: &str) -> u64 {
    let buckets = |histograms: &Value| -> BTreeMap<u64, u64> {
        let of_peer = list(histograms, "bfd").iter().find(|session| session["remote"] == remote);
        let buckets = of_peer.map_or(&[][..], |session| list(&session["receivedLate"], "buckets"));
        buckets.iter().filter_map(|pair| Some((pair.get(0)?.as_u64()?, pair.get(1)?.as_u64()?))).collect()
    };
    let (before, after) = (buckets(before), buckets(after));
    let grown =
        after.into_iter().rev().find(|(bound, count)| before.get(bound).is_none_or(|then| then < count));
    grown.map_or(0, |(bound, _)| bound)
}

/// Those that happen first, then the most frequent ever.
fn drops(total: &Rates<'_>) -> Vec<Drop> {
    let counts = total.after.get("drops").and_then(Value::as_object);
    let mut drops: Vec<Drop> = counts
        .into_iter()
        .flatten()
        .map(|(reason, count)| Drop {
            reason: reason.clone(),
            rate: total.rate(&format!("/drops/{reason}")),
            count: count.as_u64().unwrap_or(0),
        })
        .filter(|drop| drop.count > 0)
        .collect();
    drops.sort_by(|a, b| b.rate.total_cmp(&a.rate).then(b.count.cmp(&a.count)));
    drops
}
