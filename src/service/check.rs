//! What is refused before anything is built.

use super::{BuildError, MAX_BACKENDS, MAX_SERVICES, MAX_SOURCES, MAX_TOTAL_BACKENDS, spec::ServiceSpec};
use std::collections::{HashMap, hash_map::Entry};

/// Checks services sorted by id, each alone and then among themselves; addresses and ports are checked where they
/// are mapped.
pub(super) fn check(services: &[ServiceSpec]) -> Result<(), BuildError> {
    if services.len() > MAX_SERVICES {
        return Err(BuildError::TooManyServices { count: services.len() });
    }
    services.iter().try_for_each(alone)?;
    service_ids(services)?;
    backend_ids(services)
}

/// Checks a service by itself.
pub(super) fn alone(spec: &ServiceSpec) -> Result<(), BuildError> {
    let service = || spec.name.clone();
    if spec.id.index() >= MAX_SERVICES {
        return Err(BuildError::SlotTooHigh { service: service(), id: spec.id });
    }
    if spec.ports.is_empty() {
        let (first, last) = (*spec.ports.start(), *spec.ports.end());
        return Err(BuildError::NoPorts { service: service(), first, last });
    }
    let count = spec.allowed_sources.len();
    if count > MAX_SOURCES {
        return Err(BuildError::TooManySources { service: service(), count });
    }
    let count = spec.backends.len();
    if count > MAX_BACKENDS {
        return Err(BuildError::TooManyBackends { service: service(), count });
    }
    let others = spec.backends.iter().map(|backend| backend.address).chain(spec.vips());
    if let Some(other) = others.into_iter().find(|address| address.is_ipv4() != spec.vip.is_ipv4()) {
        return Err(BuildError::FamilyMix { service: service(), vip: spec.vip, other });
    }
    let mut places: Vec<_> = spec.backends.iter().map(|backend| (backend.address, backend.port)).collect();
    places.sort_unstable();
    match places.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(&[(address, port), ..]) => {
            Err(BuildError::DuplicateBackend { service: service(), address, port })
        }
        _ => Ok(()),
    }
}

fn service_ids(services: &[ServiceSpec]) -> Result<(), BuildError> {
    match services.windows(2).find(|pair| pair[0].id == pair[1].id) {
        Some([first, second]) => Err(BuildError::DuplicateService {
            first: first.name.clone(),
            second: second.name.clone(),
            id: first.id,
        }),
        _ => Ok(()),
    }
}

fn backend_ids(services: &[ServiceSpec]) -> Result<(), BuildError> {
    let mut owners = HashMap::new();
    let mut count = 0;
    for service in services {
        count += service.backends.len();
        if count > MAX_TOTAL_BACKENDS {
            return Err(BuildError::TooManyBackendsInAll { service: service.name.clone(), count });
        }
        for backend in &service.backends {
            match owners.entry(backend.id) {
                Entry::Vacant(place) => {
                    place.insert(&service.name);
                }
                Entry::Occupied(owner) => {
                    return Err(BuildError::DuplicateBackendId {
                        first: owner.get().to_string(),
                        second: service.name.clone(),
                        id: backend.id,
                    });
                }
            }
        }
    }
    Ok(())
}
