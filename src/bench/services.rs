//! The services of a rig, and how they are replaced.

use super::rig::{BACKENDS, LOCALS, Shape, VIP_PORT, VIPS, host};
use crate::{
    packet::Family,
    plane::{Publisher, Reader},
    service::{Backend, BuildError, Role, SchedulerKind, ServiceSpec, ServiceTable},
    types::{BackendId, Duration, InstanceId, ServiceId},
};
use std::marker::PhantomData;

/// What a worker reads, and what it is made from.
#[derive(Debug)]
pub(super) struct Services<F: Family> {
    publisher: Publisher<ServiceTable>,
    shape: Shape,
    locals: u32,
    family: PhantomData<fn() -> F>,
}

impl<F: Family> Services<F> {
    /// With so many local addresses.
    ///
    /// # Errors
    /// The virtual address cannot be one.
    pub(super) fn new(shape: Shape, locals: u32) -> Result<Self, BuildError> {
        let publisher = Publisher::new(table::<F>(&shape, locals)?);
        Ok(Self { publisher, shape, locals, family: PhantomData })
    }

    pub(super) fn reader(&self) -> Reader<ServiceTable> {
        self.publisher.reader()
    }

    /// Builds all of them anew, from nothing, and publishes them. Their slots stay, and sessions with them.
    pub(super) fn replace(&mut self) {
        match table::<F>(&self.shape, self.locals) {
            Ok(table) => self.publisher.publish(table),
            Err(error) => unreachable!("services that were taken are refused: {error}"),
        }
    }
}

/// The first takes the traffic, each other has one of the same backends.
fn table<F: Family>(shape: &Shape, locals: u32) -> Result<ServiceTable, BuildError> {
    let backend = |n: u32, id: u32| Backend {
        id: BackendId(id),
        address: host::<F>(BACKENDS, n + 1),
        port: Some(8080),
        weight: 1,
        available: true,
    };
    let service = |n: u32| ServiceSpec {
        id: ServiceId(n),
        name: format!("bench{n}"),
        instance: InstanceId(0),
        vip: if n == 0 { shape.vip::<F>() } else { host::<F>(VIPS, n / 30_000 + 1) },
        secondary_vips: Vec::new(),
        ports: VIP_PORT + (n % 30_000) as u16..=VIP_PORT + (n % 30_000) as u16,
        protocol: shape.protocol,
        scheduler: SchedulerKind::Maglev,
        idle_timeout: Duration::from_secs(3600),

        resets_unknown: false,
        allowed_sources: Vec::new(),
        backends: match n {
            0 => (0..shape.backends).map(|b| backend(b, b)).collect(),
            _ => vec![backend(n % shape.backends, shape.backends + n)],
        },
    };
    let addresses = (0..locals).map(|n| (host::<F>(LOCALS, n + 1), Role::Local(InstanceId(0))));
    ServiceTable::build((0..shape.services).map(service).collect(), addresses, None)
}
