//! Whether a service fits this node and the services it has.

use super::{
    Refusal,
    entry::{ServiceEntry, ServiceKey},
    index::Index,
};
use crate::{
    config::{self, Config, is_edge, is_host},
    service::{MAX_BACKENDS, Role},
    types::{InstanceId, PortId, Prefix},
};
use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    sync::Arc,
};

/// What of the configuration services must fit. It does not change while the node runs.
#[derive(Debug)]
pub(super) struct Surroundings {
    instances: Vec<String>,
    default_instance: String,
    /// This node's own addresses and subnets.
    own: Vec<Prefix>,
    /// Source addresses towards backends.
    locals: HashMap<IpAddr, InstanceId>,
    /// Instances that have one, by family.
    ways: HashSet<(InstanceId, bool)>,
    max_services: usize,
    max_backends: usize,
}

impl Surroundings {
    pub(super) fn of(config: &Config) -> Self {
        let instances: Vec<String> =
            config.instances().iter().map(|instance| instance.name.clone()).collect();
        let locals: HashMap<IpAddr, InstanceId> = config
            .nat
            .local_addresses
            .iter()
            .map(|local| (local.address, config.instance_id(&local.instance).unwrap_or_default()))
            .collect();
        Self {
            instances,
            default_instance: config.default_instance().to_owned(),
            own: config.ports.iter().flat_map(|port| port.addresses.iter().copied()).collect(),
            ways: locals.iter().map(|(address, instance)| (*instance, address.is_ipv4())).collect(),
            locals,
            max_services: config.limits.services as usize,
            max_backends: config.limits.backends as usize,
        }
    }

    /// Every address that is ours without any service, and what it is for.
    pub(super) fn roles(config: &Config) -> Vec<(IpAddr, Role)> {
        let ports = config.ports.iter().enumerate();
        let nodes = ports.flat_map(|(number, port)| {
            port.addresses.iter().map(move |own| (own.address(), Role::Node(PortId(number as u8))))
        });
        let local = |local: &config::LocalAddress| {
            let instance = config.instance_id(&local.instance).unwrap_or_default();
            (local.address, Role::Local(instance))
        };
        nodes.chain(config.nat.local_addresses.iter().map(local)).collect()
    }

    pub(super) fn default_instance(&self) -> &str {
        &self.default_instance
    }

    /// The number of an instance; of the first for names that are none, which are refused before.
    pub(super) fn instance(&self, name: &str) -> InstanceId {
        self.known_instance(name).unwrap_or_default()
    }

    fn known_instance(&self, name: &str) -> Option<InstanceId> {
        let place = self.instances.iter().position(|known| known == name)?;
        u8::try_from(place).ok().map(InstanceId)
    }

    /// Whether `wanted` may take the place of `old` among the services of `index`.
    pub(super) fn check(
        &self,
        wanted: &config::Service,
        old: Option<&ServiceEntry>,
        index: &Index,
    ) -> Result<(), Refusal> {
        let Some(instance) = self.known_instance(&wanted.instance) else {
            let known = self.instances.join(" or ");
            return Err(Refusal::UnknownInstance { instance: wanted.instance.clone(), known });
        };
        self.check_room(wanted, old, index)?;
        for (place, vip) in wanted.vips().enumerate() {
            self.check_vip(vip, wanted, old, index)?;
            if wanted.vips().take(place).any(|other| other == vip) {
                return Err(Refusal::AddressInUse { address: vip, role: "listed twice".into() });
            }
        }
        if !self.ways.contains(&(instance, wanted.vip.is_ipv4())) {
            let (vip, family) = (wanted.vip, family(wanted.vip));
            return Err(Refusal::NoWay { vip, family, instance: wanted.instance.clone() });
        }
        let mut places = HashSet::new();
        for backend in &wanted.backends {
            self.check_backend(backend.address, wanted, index)?;
            if !places.insert((backend.address, backend.port)) {
                return Err(Refusal::AddressInUse { address: backend.address, role: "listed twice".into() });
            }
        }
        match wanted.allowed_sources.iter().find(|source| is_foreign(source.address(), wanted)) {
            Some(source) => Err(other_family(source.to_string(), "a source of this service", wanted)),
            None => Ok(()),
        }
    }

    fn check_room(
        &self,
        wanted: &config::Service,
        old: Option<&ServiceEntry>,
        index: &Index,
    ) -> Result<(), Refusal> {
        let (services, backends) = index.counts();
        let before = old.map_or(0, |old| old.wanted.backends.len());
        if old.is_none() && services >= self.max_services {
            return Err(Refusal::Full { what: "services" });
        }
        if backends - before + wanted.backends.len() > self.max_backends {
            return Err(Refusal::Full { what: "backends" });
        }
        if wanted.backends.len() > MAX_BACKENDS {
            let (count, most) = (wanted.backends.len(), MAX_BACKENDS);
            let text =
                format!("{count} backends are too many for one service: it may have {most}, use several");
            return Err(Refusal::Malformed(text));
        }
        Ok(())
    }

    fn check_vip(
        &self,
        vip: IpAddr,
        wanted: &config::Service,
        old: Option<&ServiceEntry>,
        index: &Index,
    ) -> Result<(), Refusal> {
        const WHAT: &str = "a virtual address";
        self.check_host(vip, WHAT)?;
        if is_foreign(vip, wanted) {
            return Err(other_family(vip.to_string(), WHAT, wanted));
        }
        let among_own = old.is_some_and(|old| old.wanted.backends.iter().any(|own| own.address == vip));
        if index.is_backend(vip) && !among_own || wanted.backends.iter().any(|own| own.address == vip) {
            return Err(Refusal::AddressInUse { address: vip, role: "a backend's address".into() });
        }
        let key = ServiceKey::of(wanted);
        if let Some((port, by)) = index.overlapping(vip, wanted.protocol, &wanted.port.ports(), &key) {
            let by = by.wanted.name.clone();
            return Err(Refusal::Taken { vip, protocol: wanted.protocol, port, by });
        }
        let elsewhere = |by: &&Arc<ServiceEntry>| by.key() != key && by.wanted.instance != wanted.instance;
        match index.at(vip).find(elsewhere) {
            Some(by) => {
                let (instance, by) = (by.wanted.instance.clone(), by.wanted.name.clone());
                Err(Refusal::InstanceMix { vip, instance, by })
            }
            None => Ok(()),
        }
    }

    fn check_backend(&self, address: IpAddr, wanted: &config::Service, index: &Index) -> Result<(), Refusal> {
        const WHAT: &str = "a backend of this service";
        self.check_host(address, WHAT)?;
        if is_foreign(address, wanted) {
            return Err(other_family(address.to_string(), WHAT, wanted));
        }
        if let Some(service) = index.at(address).next() {
            let role = format!("the virtual address of service {}", service.wanted.name);
            return Err(Refusal::AddressInUse { address, role });
        }
        Ok(())
    }

    /// Whether it is some other host's address.
    fn check_host(&self, address: IpAddr, what: &'static str) -> Result<(), Refusal> {
        if !is_host(&address) {
            let why = "it is the address of no single host".to_owned();
            return Err(Refusal::Address { address: address.to_string(), what, why });
        }
        if self.own.iter().any(|own| own.address() == address) {
            return Err(Refusal::AddressInUse { address, role: "this node's own address".into() });
        }
        if self.locals.contains_key(&address) {
            return Err(Refusal::AddressInUse { address, role: "one of nat.local_addresses".into() });
        }
        if let Some(subnet) = self.own.iter().find(|own| is_edge(own, address)) {
            let why = format!("it is no host in the subnet {}", subnet.network());
            return Err(Refusal::Address { address: address.to_string(), what, why });
        }
        Ok(())
    }
}

const fn family(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "IPv4" } else { "IPv6" }
}

const fn is_foreign(address: IpAddr, wanted: &config::Service) -> bool {
    address.is_ipv4() != wanted.vip.is_ipv4()
}

fn other_family(address: String, what: &'static str, wanted: &config::Service) -> Refusal {
    let why = format!(
        "{} is {}, and one service does not translate between families yet",
        wanted.vip,
        family(wanted.vip)
    );
    Refusal::Address { address, what, why }
}
