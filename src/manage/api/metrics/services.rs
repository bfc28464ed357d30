//! Services, backends, and the local ports that are left towards them.

use super::{
    ledger::Ledger,
    text::{Exposition, Kind, Label},
};
use crate::{
    config::Config,
    manage::{BackendEntry, Load, ServiceEntry, Shared, Source},
    types::Protocol,
};
use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

/// Services that have samples of their own, the oldest first.
pub(super) const MAX_SERVICES: usize = 1024;
/// Backends that have samples of their own.
pub(super) const MAX_BACKENDS: usize = 8192;

/// A backend as samples name it.
pub(super) struct Shown<'a> {
    pub(super) service: &'a ServiceEntry,
    pub(super) backend: &'a BackendEntry,
    pub(super) load: Load,
    place: String,
}

/// Everything about services at one moment, within bounds.
pub(super) struct Overview<'a> {
    /// All services.
    pub(super) all: &'a [Arc<ServiceEntry>],
    /// Those with samples of their own.
    pub(super) services: Vec<&'a ServiceEntry>,
    /// Backends of these, with samples of their own.
    pub(super) backends: Vec<Shown<'a>>,
}

impl<'a> Overview<'a> {
    pub(super) fn of(shared: &Shared, all: &'a [Arc<ServiceEntry>]) -> Self {
        let mut services: Vec<&ServiceEntry> = all.iter().map(Arc::as_ref).collect();
        // A slot is kept for as long as the service lives: which are shown does not change as others come.
        services.sort_unstable_by_key(|service| service.id);
        services.truncate(MAX_SERVICES);
        let backends = services
            .iter()
            .flat_map(|service| service.backends.iter().map(move |backend| (*service, backend)))
            .take(MAX_BACKENDS)
            .map(|(service, backend)| {
                let load = shared.load_of(backend.id);
                Shown { service, backend, load, place: place(backend) }
            })
            .collect();
        Self { all, services, backends }
    }
}

fn place(backend: &BackendEntry) -> String {
    let address = backend.wanted.address;
    backend.wanted.port.map_or_else(|| address.to_string(), |port| SocketAddr::new(address, port).to_string())
}

pub(super) fn write(out: &mut Exposition, shared: &Shared, overview: &Overview<'_>, ledger: &Ledger) {
    let mut family = out.family("hitless_services", Kind::Gauge, "Services, by who defined them.");
    for source in [Source::File, Source::Api] {
        let count = overview.all.iter().filter(|service| service.source == source).count();
        family.sample(&[("source", &source.name())], count);
    }
    let mut family = out.family("hitless_backends", Kind::Gauge, "Backends of all services, by state.");
    let backends = || overview.all.iter().flat_map(|service| &service.backends);
    let draining = backends().filter(|backend| backend.drain.is_some()).count();
    let up = backends().filter(|backend| backend.is_available()).count();
    for (state, count) in [("up", up), ("draining", draining), ("down", backends().count() - up - draining)] {
        family.sample(&[("state", &state)], count);
    }
    let omitted = [
        ("services", overview.all.len() - overview.services.len()),
        ("backends", backends().count() - overview.backends.len()),
    ];
    let help = "Services and backends beyond the bound, which have no samples of their own.";
    let mut family = out.family("hitless_metrics_omitted", Kind::Gauge, help);
    for (what, count) in omitted {
        family.sample(&[("what", &what)], count);
    }
    of_services(out, overview, ledger);
    of_backends(out, overview);
    local_ports(out, shared, overview);
}

fn of_services(out: &mut Exposition, overview: &Overview<'_>, ledger: &Ledger) {
    let mut counts = |name: &str, help: &str, value: &dyn Fn(&ServiceEntry) -> u64| {
        let mut family = out.family(name, Kind::Counter, help);
        for service in &overview.services {
            let labels: [Label<'_>; 2] =
                [("service", &service.wanted.name), ("protocol", &service.wanted.protocol)];
            family.sample(&labels, value(service));
        }
    };
    counts("hitless_service_packets_total", "Packets forwarded, both directions.", &|service| {
        ledger.service(&service.key()).packets
    });
    counts("hitless_service_bytes_total", "Bytes of these packets.", &|service| {
        ledger.service(&service.key()).bytes
    });
    counts("hitless_service_sessions_opened_total", "Sessions opened.", &|service| {
        ledger.service(&service.key()).opened
    });
}

fn of_backends(out: &mut Exposition, overview: &Overview<'_>) {
    let mut samples = |name: &str, kind: Kind, help: &str, value: fn(&Shown<'_>) -> u64| {
        let mut family = out.family(name, kind, help);
        for shown in &overview.backends {
            let labels: [Label<'_>; 2] = [("service", &shown.service.wanted.name), ("backend", &shown.place)];
            family.sample(&labels, value(shown));
        }
    };
    samples("hitless_backend_up", Kind::Gauge, "Whether new sessions may go to the backend.", |shown| {
        shown.backend.is_available().into()
    });
    samples("hitless_backend_sessions", Kind::Gauge, "Sessions now.", |shown| shown.load.sessions);
    samples("hitless_backend_sessions_opened_total", Kind::Counter, "Sessions opened.", |shown| {
        shown.load.opened
    });
    samples("hitless_backend_packets_total", Kind::Counter, "Packets forwarded, both directions.", |shown| {
        shown.load.packets
    });
    samples("hitless_backend_bytes_total", Kind::Counter, "Bytes of these packets.", |shown| {
        shown.load.bytes
    });
}

/// Whom sessions share their local ports with: all that go to the same place by the same protocol from the same
/// addresses. The place's port is that of the backend, or the range that clients ask for.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Pool<'a> {
    instance: &'a str,
    protocol: Protocol,
    address: IpAddr,
    ports: (u16, u16),
}

impl<'a> Pool<'a> {
    fn of(service: &'a ServiceEntry, backend: &BackendEntry) -> Self {
        let asked = service.wanted.port;
        Self {
            instance: &service.wanted.instance,
            protocol: service.wanted.protocol,
            address: backend.wanted.address,
            ports: backend.wanted.port.map_or((asked.first(), asked.last()), |port| (port, port)),
        }
    }

    /// Local ports, free or not, each counted once for every port of the backend.
    fn size(&self, config: &Config) -> u64 {
        let nat = &config.nat;
        let ours = nat.local_addresses.iter().filter(|local| {
            local.instance == self.instance && local.address.is_ipv6() == self.address.is_ipv6()
        });
        let places = u64::from(self.ports.1 - self.ports.0) + 1;
        ours.count() as u64 * nat.ports.ports().len() as u64 * places
    }
}

fn local_ports(out: &mut Exposition, shared: &Shared, overview: &Overview<'_>) {
    let mut taken: HashMap<Pool<'_>, u64> = HashMap::new();
    for service in overview.all {
        for backend in &service.backends {
            *taken.entry(Pool::of(service, backend)).or_default() += shared.load_of(backend.id).sessions;
        }
    }
    let left =
        |pool: &Pool<'_>| pool.size(&shared.config).saturating_sub(taken.get(pool).copied().unwrap_or(0));
    let help = "Local ports that are free towards the backend, all workers together.";
    let mut family = out.family("hitless_backend_local_ports_left", Kind::Gauge, help);
    for shown in &overview.backends {
        let labels: [Label<'_>; 2] = [("service", &shown.service.wanted.name), ("backend", &shown.place)];
        family.sample(&labels, left(&Pool::of(shown.service, shown.backend)));
    }
    if let Some(least) = taken.keys().map(left).min() {
        let help = "Local ports that are free towards the backend that has the fewest.";
        out.one("hitless_local_ports_left_least", Kind::Gauge, help, least);
    }
}
