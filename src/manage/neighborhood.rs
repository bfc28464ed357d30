//! What the control core is told whenever services change: the next hops to keep resolved, and the addresses to
//! announce.

use super::assembly::routes;
use crate::{
    config::Config,
    plane::{Pins, Publisher, Reader, Routes},
    protocol::announce::{Addresses, Importance, Target},
    service::{Role, ServiceTable},
    types::{PortId, Prefix},
};
use std::net::IpAddr;

/// The links as the configuration describes them, and what was last told of them.
#[derive(Debug)]
pub struct Neighborhood {
    routes: Routes,
    /// Each port's subnets.
    subnets: Vec<Vec<Prefix>>,
    /// The other node, and the witnesses.
    others: Vec<IpAddr>,
    /// One MAC moves with each instance: a frame a port tells where it is.
    virtual_mac: bool,
    pins: Publisher<Pins>,
    announced: Publisher<Addresses>,
}

impl Neighborhood {
    /// Of a node without services.
    pub fn new(config: &Config) -> Self {
        let routes = routes(config);
        let others: Vec<IpAddr> = others(config).collect();
        Self {
            pins: Publisher::new(Pins::new(&routes, others.iter().copied())),
            announced: Publisher::new(Addresses::default()),
            subnets: config.ports.iter().map(|port| port.addresses.clone()).collect(),
            virtual_mac: config.ha.as_ref().is_some_and(|ha| ha.virtual_mac),
            routes,
            others,
        }
    }

    /// A reading end of the next hops to keep resolved.
    pub fn pins(&self) -> Reader<Pins> {
        self.pins.reader()
    }

    /// A reading end of the addresses to announce.
    pub fn announced(&self) -> Reader<Addresses> {
        self.announced.reader()
    }

    /// Tells the control core what follows from a table that workers see now.
    pub fn follow(&mut self, table: &ServiceTable) {
        let backends = table.services().flat_map(|service| service.backends());
        let wanted = backends.map(|backend| backend.address).chain(self.others.iter().copied());
        let pins = Pins::new(&self.routes, wanted);
        if pins != *self.pins.current() {
            self.pins.publish(pins);
        }
        let announced = self.targets(table);
        if announced != *self.announced.current() {
            self.announced.publish(announced);
        }
    }

    /// The routes are others now.
    pub fn reroute(&mut self, routes: Routes, table: &ServiceTable) {
        self.routes = routes;
        self.follow(table);
    }

    /// The addresses of instances, each on every port whose subnet it lies in.
    fn targets(&self, table: &ServiceTable) -> Addresses {
        let mut targets: Vec<Target> = Vec::new();
        for (address, role) in table.addresses() {
            let (instance, importance) = match role {
                Role::Vip(instance) => (instance, Importance::Service),
                Role::Local(instance) => (instance, Importance::Local),
                Role::Node(_) => continue,
            };
            for (port, subnets) in (0..).map(PortId).zip(&self.subnets) {
                if subnets.iter().any(|subnet| subnet.contains(address)) {
                    targets.push(Target { instance, port, address, importance });
                }
            }
        }
        // The table has no order: without one, every new table would seem to be another.
        targets.sort_unstable_by_key(|target| (target.address, target.port));
        let addresses = Addresses::new(targets);
        if self.virtual_mac { addresses.one_per_port() } else { addresses }
    }
}

/// Addresses of other machines that high availability speaks with.
fn others(config: &Config) -> impl Iterator<Item = IpAddr> {
    config.ha.iter().flat_map(|ha| {
        let paths = ha.bfd.iter().map(|path| path.remote);
        paths.chain(ha.peer).chain(ha.gateway_check.iter().copied())
    })
}
