//! Why something cannot be as wanted.
//!
//! Controllers take a text with "exist" in it for success (R4 of LoxiLB's rules): no text here has it.

use crate::{service::BuildError, types::Protocol};
use std::{fmt, net::IpAddr};

/// What kind of refusal it is, and so which status the API answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalKind {
    /// The request makes no sense here.
    Malformed,
    /// It names nothing that is there.
    NotFound,
    /// It contradicts something that is there.
    Conflict,
    /// There is no room.
    Capacity,
    /// This node does not do that.
    Disabled,
    /// It may succeed later.
    Unavailable,
}

/// Why something cannot be as wanted. Nothing has changed then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Too many of them.
    #[error("no room for more {what}: raise `limits.{what}`, or try again half a minute after removing some")]
    Full {
        /// `services` or `backends`.
        what: &'static str,
    },
    /// The file's services are changed in the file.
    #[error(
        "cant modify service {name}: it is defined in the configuration file, change it there and send SIGHUP"
    )]
    OfFile {
        /// The service's name.
        name: String,
    },
    /// Another service listens there.
    #[error(
        "{vip} {protocol} port {port} is taken by service {by}: use another address or port, or delete that first"
    )]
    Taken {
        /// The address.
        vip: IpAddr,
        /// The protocol.
        protocol: Protocol,
        /// The first port that is taken.
        port: u16,
        /// The other service's name.
        by: String,
    },
    /// Another service has that name.
    #[error("the name {name} is taken by the service at {by}: choose another name, or delete that first")]
    NameTaken {
        /// The name.
        name: String,
        /// Where the other one listens.
        by: String,
    },
    /// The address is something else already.
    #[error("{address} is {role}: use an address for one thing only")]
    AddressInUse {
        /// The address.
        address: IpAddr,
        /// What it is.
        role: String,
    },
    /// The address cannot be what it is wanted for.
    #[error("{address} cannot be {what}: {why}")]
    Address {
        /// The address.
        address: String,
        /// What it was wanted for.
        what: &'static str,
        /// Why not.
        why: String,
    },
    /// The instance is unknown.
    #[error("instance {instance} is not configured: use {known}, or add it as [[ha.instance]] and restart")]
    UnknownInstance {
        /// The name.
        instance: String,
        /// Those there are.
        known: String,
    },
    /// One virtual address in two instances.
    #[error(
        "{vip} belongs to instance {instance} by service {by}: an address moves with one instance, use another address"
    )]
    InstanceMix {
        /// The address.
        vip: IpAddr,
        /// The instance it is in.
        instance: String,
        /// The service that says so.
        by: String,
    },
    /// The instance cannot reach backends of that family.
    #[error(
        "{vip} has no local address to reach backends from: add an {family} address of instance {instance} to nat.local_addresses and restart"
    )]
    NoWay {
        /// The virtual address.
        vip: IpAddr,
        /// `IPv4` or `IPv6`.
        family: &'static str,
        /// The instance.
        instance: String,
    },
    /// A value that is not taken.
    #[error("{0}")]
    Malformed(String),
    /// Nothing of that name or place is there.
    #[error("{0}")]
    NotFound(String),
    /// Something is in the way.
    #[error("{0}")]
    Conflict(String),
    /// This node does not do that.
    #[error("{0}")]
    Disabled(String),
    /// It may succeed later.
    #[error("{0}")]
    Unavailable(String),
    /// The table refuses.
    #[error(transparent)]
    Build(#[from] BuildError),
}

impl Refusal {
    /// Which kind it is.
    pub const fn kind(&self) -> RefusalKind {
        match self {
            Self::Full { .. } => RefusalKind::Capacity,
            Self::OfFile { .. } | Self::Taken { .. } | Self::NameTaken { .. } | Self::Conflict(_) => {
                RefusalKind::Conflict
            }
            Self::NotFound(_) => RefusalKind::NotFound,
            Self::Disabled(_) => RefusalKind::Disabled,
            Self::Unavailable(_) => RefusalKind::Unavailable,
            Self::AddressInUse { .. }
            | Self::Address { .. }
            | Self::UnknownInstance { .. }
            | Self::InstanceMix { .. }
            | Self::NoWay { .. }
            | Self::Malformed(_)
            | Self::Build(_) => RefusalKind::Malformed,
        }
    }
}

/// Everything that is in the way of a list of services.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusals(pub Vec<(String, Refusal)>);

impl fmt::Display for Refusals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (service, refusal)) in self.0.iter().enumerate() {
            let separator = if place == 0 { "" } else { "\n" };
            write!(f, "{separator}service {service}: {refusal}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Refusals {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_reads_as_success() {
        let name = || "web".to_owned();
        let vip = IpAddr::from([192, 0, 2, 1]);
        for refusal in [
            Refusal::Full { what: "services" },
            Refusal::OfFile { name: name() },
            Refusal::Taken { vip, protocol: Protocol::Tcp, port: 80, by: name() },
            Refusal::NameTaken { name: name(), by: name() },
            Refusal::AddressInUse { address: vip, role: name() },
            Refusal::Address { address: name(), what: "a backend", why: name() },
            Refusal::UnknownInstance { instance: name(), known: name() },
            Refusal::InstanceMix { vip, instance: name(), by: name() },
            Refusal::NoWay { vip, family: "IPv6", instance: name() },
        ] {
            let text = refusal.to_string();
            assert!(!text.to_lowercase().contains("exist"), "{text}");
        }
    }
}
