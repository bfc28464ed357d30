//! What services and protocols carried since the start.
//!
//! Backends come and go and their slots are used again, so a sum over those that are there now would fall, and a
//! counter that falls reads as a restart. What each slot gained since the last reading is booked instead.

use crate::{
    manage::{Load, ServiceEntry, ServiceKey},
    types::{BackendId, Protocol},
};
use std::{collections::HashMap, sync::Arc};

/// Sums that only grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) struct Totals {
    /// Packets forwarded, both directions.
    pub(super) packets: u64,
    /// Bytes of them.
    pub(super) bytes: u64,
    /// Sessions opened.
    pub(super) opened: u64,
}

impl Totals {
    fn of(load: &Load) -> Self {
        Self { packets: load.packets, bytes: load.bytes, opened: load.opened }
    }

    const fn since(&self, earlier: &Self) -> Self {
        Self {
            packets: self.packets.saturating_sub(earlier.packets),
            bytes: self.bytes.saturating_sub(earlier.bytes),
            opened: self.opened.saturating_sub(earlier.opened),
        }
    }
}

impl std::ops::AddAssign for Totals {
    fn add_assign(&mut self, other: Self) {
        self.packets += other.packets;
        self.bytes += other.bytes;
        self.opened += other.opened;
    }
}

/// The books. As large as there are backend slots and services.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    seen: HashMap<BackendId, Totals>,
    services: HashMap<ServiceKey, Totals>,
    /// By [`place`].
    protocols: [Totals; Protocol::ALL.len()],
}

impl Ledger {
    /// Books what all services carried since the last time, and forgets those that are gone.
    pub(super) fn book(&mut self, services: &[Arc<ServiceEntry>], load: impl Fn(BackendId) -> Load) {
        let mut kept = HashMap::with_capacity(services.len());
        for service in services {
            let mut totals = self.services.get(&service.key()).copied().unwrap_or_default();
            for backend in &service.backends {
                let now = Totals::of(&load(backend.id));
                let gained = now.since(&self.seen.insert(backend.id, now).unwrap_or_default());
                totals += gained;
                self.protocols[place(service.wanted.protocol)] += gained;
            }
            kept.insert(service.key(), totals);
        }
        self.services = kept;
    }

    /// Of a service, since it was first booked.
    pub(super) fn service(&self, key: &ServiceKey) -> Totals {
        self.services.get(key).copied().unwrap_or_default()
    }

    /// Of all services of a protocol, those that are gone among them.
    pub(super) const fn protocol(&self, protocol: Protocol) -> Totals {
        self.protocols[place(protocol)]
    }
}

const fn place(protocol: Protocol) -> usize {
    match protocol {
        Protocol::Tcp => 0,
        Protocol::Udp => 1,
        Protocol::Sctp => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{Config, Machine},
        manage::{Registry, Source},
    };
    use std::time::Instant;

    const NODE: &str = "[[port]]\nname = \"lan\"\ndevice = \"net_null0\"\naddresses = [\"10.0.0.1/24\"]\n\
                        [nat]\nlocal_addresses = [\"10.0.0.9\"]\n";

    fn service(name: &str, port: u16, backends: &str) -> crate::config::Service {
        let text = format!(
            "{NODE}[[service]]\nname = \"{name}\"\nvip = \"10.0.0.100\"\nport = {port}\nbackends = [{backends}]\n"
        );
        Config::parse(&text, "x", &Machine::with_cores(8)).unwrap().services.remove(0)
    }

    #[test]
    fn sums_never_fall_when_backends_and_services_go() {
        let mut registry =
            Registry::new(&Config::parse(NODE, "x", &Machine::with_cores(8)).unwrap()).unwrap();
        let mut ledger = Ledger::default();
        let mut now = Instant::now();
        let load = |each: u64| move |_| Load { packets: each, bytes: 60 * each, opened: 1, sessions: 1 };
        let mut replace = |wanted: Vec<_>| {
            now += std::time::Duration::from_secs(1000);
            registry.replace_all(Source::Api, wanted, now).unwrap();
            registry.tick(now + std::time::Duration::from_secs(500));
            registry.services().cloned().collect::<Vec<_>>()
        };
        let two = "{ address = \"10.0.0.2\" }, { address = \"10.0.0.3\" }";
        let services = replace(vec![(service("a", 1, two), None), (service("b", 2, two), None)]);
        let a = services[0].key();
        ledger.book(&services, load(10));
        assert_eq!(ledger.service(&a), Totals { packets: 20, bytes: 1200, opened: 2 });
        ledger.book(&services, load(10));
        assert_eq!(ledger.protocol(Protocol::Tcp), Totals { packets: 40, bytes: 2400, opened: 4 });
        let services = replace(vec![(service("a", 1, "{ address = \"10.0.0.2\" }"), None)]);
        ledger.book(&services, load(15));
        assert!(ledger.service(&a).packets >= 25, "{ledger:?}");
        assert!(ledger.protocol(Protocol::Tcp).packets >= 45, "{ledger:?}");
        assert_eq!(ledger.protocol(Protocol::Udp), Totals::default());
        ledger.book(&[], load(20));
        assert_eq!(ledger.service(&a), Totals::default());
        assert!(ledger.protocol(Protocol::Tcp).packets >= 45 && ledger.services.is_empty(), "{ledger:?}");
    }
}
