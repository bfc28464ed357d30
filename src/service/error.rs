//! Why a table cannot be built.

use super::{MAX_ADDRESSES, MAX_BACKENDS, MAX_SERVICES, MAX_SOURCES, MAX_TOTAL_BACKENDS, Role};
use crate::types::{BackendId, Protocol, ServiceId};
use std::net::IpAddr;

/// Why a table cannot be built: the first fault found. The table in use stays.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// More than [`MAX_SERVICES`].
    #[error("{count} services: a node takes {MAX_SERVICES}, remove some or use port ranges")]
    TooManyServices {
        /// How many there are.
        count: usize,
    },
    /// An id of [`MAX_SERVICES`] or more.
    #[error("service {service} has slot {id}, but slots end below {MAX_SERVICES}: reuse free ones")]
    SlotTooHigh {
        /// Its name.
        service: String,
        /// Its id.
        id: ServiceId,
    },
    /// More than [`MAX_BACKENDS`] in one service.
    #[error(
        "service {service} has {count} backends: it may have {MAX_BACKENDS}, spread them over several services"
    )]
    TooManyBackends {
        /// Its name.
        service: String,
        /// How many it has.
        count: usize,
    },
    /// More than [`MAX_TOTAL_BACKENDS`] in all services.
    #[error(
        "{count} backends, the last of them in service {service}: a node takes {MAX_TOTAL_BACKENDS}, remove some"
    )]
    TooManyBackendsInAll {
        /// The service with which they became too many.
        service: String,
        /// How many there were by then.
        count: usize,
    },
    /// More than [`MAX_SOURCES`] allowed sources in one service.
    #[error(
        "service {service} lists {count} allowed sources: it may list {MAX_SOURCES}, use shorter prefixes"
    )]
    TooManySources {
        /// Its name.
        service: String,
        /// How many it lists.
        count: usize,
    },
    /// More than [`MAX_ADDRESSES`].
    #[error("more than {MAX_ADDRESSES} addresses, with {address}: use fewer virtual or local addresses")]
    TooManyAddresses {
        /// One that found no room.
        address: IpAddr,
    },
    /// A range that ends before it begins.
    #[error("service {service} has no ports, {first} comes after {last}: write the lower port first")]
    NoPorts {
        /// Its name.
        service: String,
        /// The start of its range.
        first: u16,
        /// The end of its range.
        last: u16,
    },
    /// A backend or second virtual address of another family than the service's virtual address.
    #[error("service {service} at {vip} has the address {other}: use IPv4 with IPv4 and IPv6 with IPv6")]
    FamilyMix {
        /// The service's name.
        service: String,
        /// Its virtual address.
        vip: IpAddr,
        /// The other address.
        other: IpAddr,
    },
    /// An address and port twice in one service.
    #[error("service {service} lists backend {address}{} twice: list it once, with a greater weight", port_text(*port))]
    DuplicateBackend {
        /// The service's name.
        service: String,
        /// The backend's address.
        address: IpAddr,
        /// The backend's port.
        port: Option<u16>,
    },
    /// One id for two services.
    #[error("services {first} and {second} both have slot {id}: give one of them another")]
    DuplicateService {
        /// A service's name.
        first: String,
        /// The other's name.
        second: String,
        /// The id.
        id: ServiceId,
    },
    /// One id for two backends.
    #[error("services {first} and {second} both have a backend with slot {id}: give one of them another")]
    DuplicateBackendId {
        /// The service of the one.
        first: String,
        /// The service of the other; possibly the same.
        second: String,
        /// The id.
        id: BackendId,
    },
    /// Two services for one address, protocol and port.
    #[error(
        "services {first} and {second} both claim {vip} {protocol} port {port}: give one of them other ports"
    )]
    Overlap {
        /// A service's name.
        first: String,
        /// The other's name.
        second: String,
        /// Their virtual address.
        vip: IpAddr,
        /// Their protocol.
        protocol: Protocol,
        /// The lowest port they share.
        port: u16,
    },
    /// One virtual address in two HA instances.
    #[error(
        "services {first} and {second} claim {vip} for different instances: an address moves with one, use two"
    )]
    InstanceMix {
        /// A service's name.
        first: String,
        /// The other's name.
        second: String,
        /// Their virtual address.
        vip: IpAddr,
    },
    /// An address with two roles.
    #[error("{address} is {first} and {second}: use an address for one of them only")]
    RoleMix {
        /// The address.
        address: IpAddr,
        /// What it is.
        first: RoleOf,
        /// What else it should be.
        second: RoleOf,
    },
}

/// A role, and the service that gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleOf {
    /// The role.
    pub role: Role,
    /// The name of a service whose virtual address it is.
    pub service: Option<String>,
}

impl std::fmt::Display for RoleOf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.service {
            Some(service) => write!(f, "{} (service {service})", self.role),
            None => self.role.fmt(f),
        }
    }
}

fn port_text(port: Option<u16>) -> String {
    port.map(|port| format!(" port {port}")).unwrap_or_default()
}
