//! A service as the registry keeps it.

use crate::{
    config::{self, AllDown, Scheduler},
    service::{Backend, SchedulerKind, ServiceSpec},
    types::{BackendId, InstanceId, Protocol, ServiceId},
};
use serde::{Deserialize, Serialize};
use std::{net::IpAddr, sync::OnceLock, time::Instant};

/// What makes two services the same service: where it listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceKey {
    /// Its virtual address.
    pub vip: IpAddr,
    /// Its transport.
    pub protocol: Protocol,
    /// Its first port.
    pub first: u16,
    /// Its last port.
    pub last: u16,
}

impl ServiceKey {
    /// Of a service.
    pub const fn of(service: &config::Service) -> Self {
        let (first, last) = (service.port.first(), service.port.last());
        Self { vip: service.vip, protocol: service.protocol, first, last }
    }
}

/// Who defined a service, and may change it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The configuration file.
    File,
    /// The API.
    Api,
}

impl Source {
    /// As the API spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Api => "api",
        }
    }
}

/// What LoxiLB's API says of a service and the file has no key for. Kept to be answered as it was sent.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Rule {
    /// The name as it was given, possibly empty, possibly that of several services.
    pub name: String,
    /// Endpoints are to be probed.
    pub monitor: bool,
    /// A controller owns it.
    pub managed: bool,
    /// How they are to be probed; empty for the protocol's own way.
    pub probe_type: String,
    /// The port to probe; 0 for the backend's.
    pub probe_port: u16,
    /// What a probe sends.
    pub probe_request: String,
    /// What must come back.
    pub probe_response: String,
    /// Seconds between probes; 0 for the default.
    pub probe_timeout_s: u32,
    /// Failures that take a backend out; 0 for the default.
    pub probe_retries: u8,
}

/// Why a backend gets no new sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drain {
    /// When the sessions it has end.
    pub until: Instant,
    /// The service lists it no more: it is gone then. Otherwise an operator drains it, and it stays as it is.
    pub leaving: bool,
    /// That moment has come.
    pub over: bool,
}

/// A backend of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendEntry {
    /// Its slot.
    pub id: BackendId,
    /// What is wanted.
    pub wanted: config::Backend,
    /// What the health source says.
    pub healthy: bool,
    /// What the API says of its host.
    pub host_up: bool,
    /// Whether it drains.
    pub drain: Option<Drain>,
}

impl BackendEntry {
    /// Whether new sessions may go there.
    pub const fn is_available(&self) -> bool {
        self.healthy && self.host_up && self.drain.is_none()
    }
}

/// A service, its slots, and what became of its backends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceEntry {
    /// What is wanted.
    pub wanted: config::Service,
    /// What LoxiLB's API says beside; `None` when it was not asked.
    pub rule: Option<Rule>,
    /// Who defined it.
    pub source: Source,
    /// Its slot.
    pub id: ServiceId,
    /// Its backends: those of `wanted`, in its order, then those that leave.
    pub backends: Vec<BackendEntry>,
    /// It was removed, and until then its sessions go on, should it come back.
    pub(super) retired: Option<Instant>,
    pub(super) text: SavedText,
}

/// An entry's text in the state file, made once.
#[derive(Debug, Default)]
pub(super) struct SavedText(OnceLock<Box<str>>);

impl Clone for SavedText {
    /// What it is a text of may change.
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl PartialEq for SavedText {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for SavedText {}

impl ServiceEntry {
    /// Its key.
    pub const fn key(&self) -> ServiceKey {
        ServiceKey::of(&self.wanted)
    }

    /// The name LoxiLB's clients know it by.
    pub fn rule_name(&self) -> &str {
        self.rule.as_ref().map_or(&self.wanted.name, |rule| &rule.name)
    }

    /// The backends it lists, without those that leave.
    pub fn listed(&self) -> impl Iterator<Item = &BackendEntry> {
        self.backends.iter().take(self.wanted.backends.len())
    }

    /// Whether it serves.
    pub const fn is_live(&self) -> bool {
        self.retired.is_none()
    }

    /// As JSON for the state file: the keys of the configuration file, and `rule`.
    pub fn saved(&self) -> &str {
        self.text.0.get_or_init(|| {
            let mut value = self.wanted.to_json_brief();
            if let (Some(rule), Some(keys)) = (&self.rule, value.as_object_mut()) {
                keys.insert("rule".into(), serde_json::to_value(rule).unwrap_or_default());
            }
            value.to_string().into()
        })
    }

    /// The next moment at which it changes by itself.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let drains = self.backends.iter().filter_map(|backend| backend.drain);
        let pending = drains.filter(|drain| !drain.over).map(|drain| drain.until);
        pending.chain(self.retired).min()
    }

    /// What workers are told.
    pub(super) fn spec(&self, instance: InstanceId) -> ServiceSpec {
        let wanted = &self.wanted;
        let health = &wanted.health;
        let use_all =
            health.all_down == AllDown::UseAll && !self.backends.iter().any(BackendEntry::is_available);
        let is_there = |backend: &&BackendEntry| {
            let kept = backend.healthy || use_all || !health.reset_on_down;
            kept && !backend.drain.is_some_and(|drain| drain.over)
        };
        let backend = |entry: &BackendEntry| Backend {
            id: entry.id,
            address: entry.wanted.address,
            port: entry.wanted.port,
            weight: entry.wanted.weight,
            available: entry.is_available() || use_all && entry.host_up && entry.drain.is_none(),
        };
        ServiceSpec {
            id: self.id,
            name: wanted.name.clone(),
            instance,
            vip: wanted.vip,
            secondary_vips: wanted.secondary_vips.clone(),
            ports: wanted.port.ports(),
            protocol: wanted.protocol,
            scheduler: scheduler(wanted.scheduler),
            idle_timeout: wanted.idle_timeout,
            resets_unknown: health.reset_on_down,
            allowed_sources: wanted.allowed_sources.clone(),
            backends: self.backends.iter().filter(is_there).map(backend).collect(),
        }
    }
}

const fn scheduler(wanted: Scheduler) -> SchedulerKind {
    match wanted {
        Scheduler::Maglev => SchedulerKind::Maglev,
        Scheduler::RoundRobin => SchedulerKind::RoundRobin,
        Scheduler::WeightedRoundRobin => SchedulerKind::WeightedRoundRobin,
        Scheduler::LeastConnections => SchedulerKind::LeastConnections,
        Scheduler::SourceHash => SchedulerKind::SourceHash,
    }
}
