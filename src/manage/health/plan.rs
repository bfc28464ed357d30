//! From services and the API's endpoints to checks.

use super::check::{Check, How};
use crate::{
    config::{self, Health, Probe, exit_towards},
    manage::{Endpoint, Saved, ServiceEntry, ServiceKey, ServiceList},
    plane::Routes,
    types::{BackendId, Duration},
};
use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

/// Where this node's own connections can leave.
#[derive(Clone, Debug)]
pub(super) struct Exits<'c> {
    ports: &'c [config::Port],
    routes: Vec<config::Route>,
}

impl<'c> Exits<'c> {
    /// By the ports of the configuration and the routes as they are now.
    pub(super) fn of(ports: &'c [config::Port], routes: &Routes) -> Self {
        let over_gateways = routes.iter().filter_map(|route| Some((route.to, route.via?)));
        Self { ports, routes: over_gateways.map(|(to, via)| config::Route { to, via }).collect() }
    }

    fn towards(&self, address: IpAddr) -> Option<config::Exit<'c>> {
        exit_towards(self.ports, &self.routes, address)
    }
}

/// A backend that a check is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct User {
    pub(super) service: ServiceKey,
    pub(super) backend: BackendId,
}

/// A backend, its check if it has one, and whether the registry takes it for healthy.
#[derive(Clone, Debug)]
pub(super) struct Planned {
    pub(super) user: User,
    pub(super) check: Option<Check>,
    pub(super) healthy: bool,
}

/// What is to be probed.
#[derive(Clone, Debug, Default)]
pub(super) struct Plan {
    pub(super) backends: Vec<Planned>,
    pub(super) endpoints: HashMap<(IpAddr, String), Check>,
}

impl Plan {
    pub(super) fn of(services: &ServiceList, saved: &Saved, exits: &Exits<'_>) -> Self {
        let backends = services.iter().flat_map(|service| backends(service, exits)).collect();
        let endpoints = saved
            .endpoints
            .iter()
            .filter_map(|(key, endpoint)| Some((key.clone(), check_of(endpoint, exits)?)))
            .collect();
        Self { backends, endpoints }
    }

    /// All checks, some of them more than once.
    pub(super) fn checks(&self) -> impl Iterator<Item = &Check> {
        self.backends.iter().filter_map(|planned| planned.check.as_ref()).chain(self.endpoints.values())
    }
}

/// Those that leave are not probed any more, and stay as they are.
fn backends(entry: &Arc<ServiceEntry>, exits: &Exits<'_>) -> impl Iterator<Item = Planned> {
    entry.listed().map(|backend| {
        let exit = exits.towards(backend.wanted.address);
        Planned {
            user: User { service: entry.key(), backend: backend.id },
            check: exit.and_then(|exit| Check::of_backend(&entry.wanted, &backend.wanted, exit)),
            healthy: backend.healthy,
        }
    })
}

/// The check of a host that the API wants to be probed; `None` where nothing is to be probed or no port leads there.
fn check_of(endpoint: &Endpoint, exits: &Exits<'_>) -> Option<Check> {
    let exit = exits.towards(endpoint.host)?;
    let health = endpoint.health()?;
    Some(Check {
        target: SocketAddr::new(endpoint.host, health.port.unwrap_or(0)),
        local: exit.local,
        how: How::of(&health)?,
        interval: health.interval,
        timeout: health.timeout,
        rise: health.rise,
        fall: health.fall,
    })
}

impl Endpoint {
    /// How it is to be probed, in the configuration's terms; `None` if it cannot be.
    pub fn health(&self) -> Option<Health> {
        let probe = Probe::ALL.iter().copied().find(|probe| probe.name() == self.probe)?;
        let mut health = Health {
            probe,
            port: (probe != Probe::Ping && self.port != 0).then_some(self.port),
            interval: Duration::from_secs(self.interval_s.clamp(1, 3600).into()),
            fall: u8::try_from(self.retries.clamp(1, 100)).unwrap_or(1),
            ..Health::default()
        };
        health.ask(&self.request, &self.response).is_ok().then_some(health)
    }
}
