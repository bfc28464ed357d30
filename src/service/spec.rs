//! What a service table is built from.

use crate::types::{BackendId, Duration, InstanceId, PortId, Prefix, Protocol, ServiceId};
use std::{fmt, net::IpAddr, ops::RangeInclusive, str::FromStr};

/// How a service picks the backend of a new session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum SchedulerKind {
    /// By the hash of the client's tuple on a Maglev ring; weighted.
    #[default]
    Maglev,
    /// In turn, in the listed order, over all workers; weights are ignored.
    RoundRobin,
    /// In turn, each as often as its weight says, smoothly interleaved.
    WeightedRoundRobin,
    /// The fewest active sessions for its weight; the first listed among equals.
    LeastConnections,
    /// By the hash of the client's address alone on a Maglev ring; weighted.
    SourceHash,
}

impl SchedulerKind {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Maglev, Self::RoundRobin, Self::WeightedRoundRobin, Self::LeastConnections, Self::SourceHash];

    /// As the configuration spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Maglev => "maglev",
            Self::RoundRobin => "rr",
            Self::WeightedRoundRobin => "wrr",
            Self::LeastConnections => "lc",
            Self::SourceHash => "sh",
        }
    }
}

impl fmt::Display for SchedulerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The text names no scheduler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a scheduler: write maglev, rr, wrr, lc or sh")]
pub struct SchedulerParseError;

impl FromStr for SchedulerKind {
    type Err = SchedulerParseError;

    fn from_str(text: &str) -> Result<Self, SchedulerParseError> {
        Self::ALL.into_iter().find(|kind| kind.name() == text).ok_or(SchedulerParseError)
    }
}

/// One of the servers behind a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backend {
    /// Its slot, used by no other backend of the table.
    pub id: BackendId,
    /// Where it listens; of the VIP's family.
    pub address: IpAddr,
    /// Its port; `None` for the port the client's packet names.
    pub port: Option<u16>,
    /// Its share of new sessions beside the others' weights; 0 for none.
    pub weight: u16,
    /// Whether it takes new sessions; false when its health check fails and while it drains.
    pub available: bool,
}

impl Backend {
    /// Whether a new session may go there.
    pub const fn is_eligible(&self) -> bool {
        self.available && self.weight > 0
    }
}

/// A service: an address, ports and a protocol, and the backends that serve them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceSpec {
    /// Its slot, used by no other service of the table; below [`super::MAX_SERVICES`].
    pub id: ServiceId,
    /// What errors and people call it.
    pub name: String,
    /// The HA instance that owns its address.
    pub instance: InstanceId,
    /// Its virtual address.
    pub vip: IpAddr,
    /// Further virtual addresses, of the same family: what comes there is served the same.
    pub secondary_vips: Vec<IpAddr>,
    /// Its ports, first to last.
    pub ports: RangeInclusive<u16>,
    /// Its transport protocol.
    pub protocol: Protocol,
    /// How backends are picked.
    pub scheduler: SchedulerKind,
    /// How long a session may be silent.
    pub idle_timeout: Duration,
    /// A client that goes on with a TCP session which is not there is told by a reset.
    pub resets_unknown: bool,
    /// Who may use it; empty for everyone.
    pub allowed_sources: Vec<Prefix>,
    /// Its servers, in the order `rr` takes them; at most [`super::MAX_BACKENDS`].
    pub backends: Vec<Backend>,
}

impl ServiceSpec {
    /// All its virtual addresses.
    pub fn vips(&self) -> impl Iterator<Item = IpAddr> {
        std::iter::once(self.vip).chain(self.secondary_vips.iter().copied())
    }

    /// Whether it is found at the same addresses and ports as `other`, and moves with the same instance.
    pub(super) fn listens_like(&self, other: &Self) -> bool {
        let listens = |spec: &Self| (spec.id, spec.instance, spec.protocol, spec.vip);
        listens(self) == listens(other)
            && self.ports == other.ports
            && self.secondary_vips == other.secondary_vips
    }
}

/// What one of our addresses is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// A virtual address: clients send there, and it moves with its instance.
    Vip(InstanceId),
    /// A source address towards backends: they answer there, and it moves with its instance.
    Local(InstanceId),
    /// This node's own address on a port; it never moves.
    Node(PortId),
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vip(instance) => write!(f, "a virtual address of instance {instance}"),
            Self::Local(instance) => write!(f, "a local address of instance {instance}"),
            Self::Node(port) => write!(f, "this node's own address on port {port}"),
        }
    }
}

/// What schedulers know of the client of a new session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    /// The hash of its tuple that all nodes agree on (`packet::agreed_hash`).
    pub flow: u64,
    /// Its address.
    pub source: IpAddr,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scheduler_names_round_trip() {
        for kind in SchedulerKind::ALL {
            assert_eq!(kind.to_string().parse(), Ok(kind));
        }
        for bad in ["", "RR", "hash", "maglev "] {
            assert_eq!(bad.parse::<SchedulerKind>(), Err(SchedulerParseError), "{bad}");
        }
    }
}
