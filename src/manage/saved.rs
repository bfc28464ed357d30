//! What the API is told besides services, and keeps over a restart.

use crate::types::Protocol;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

/// Endpoints and hosts, at most of each.
pub const MAX_SAVED: usize = 65_536;

/// All of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Saved {
    /// Hosts to be probed, by host and name.
    #[serde(with = "as_list")]
    pub endpoints: BTreeMap<(IpAddr, String), Endpoint>,
    /// What was said of hosts.
    pub hosts: BTreeSet<HostState>,
    /// BFD sessions by the peer's address.
    #[serde(with = "as_list")]
    pub bfd: BTreeMap<IpAddr, SavedBfd>,
    /// Services of the state file that do not fit the configuration. They wait until they do, or are deleted.
    #[serde(skip)]
    pub parked: Vec<Parked>,
}

/// A host to be probed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Its address.
    pub host: IpAddr,
    /// What it is known by.
    pub name: String,
    /// How it is probed.
    pub probe: String,
    /// What a probe sends.
    pub request: String,
    /// What must come back.
    pub response: String,
    /// Seconds between probes.
    pub interval_s: u32,
    /// The port to probe; 0 for none.
    pub port: u16,
    /// Failures that take it out.
    pub retries: u32,
}

/// What was said of a host.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct HostState {
    /// Its address.
    pub host: IpAddr,
    /// The port sessions go to; 0 for the one the client asked for.
    pub port: u16,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
    /// Whether it takes sessions.
    pub up: bool,
    /// The word that was said.
    pub word: String,
}

impl HostState {
    /// Its protocol; TCP for words that are none.
    pub fn transport(&self) -> Protocol {
        self.protocol.parse().unwrap_or(Protocol::Tcp)
    }
}

/// A BFD session that the API created.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedBfd {
    /// The instance it is for.
    pub instance: String,
    /// The peer.
    pub remote: IpAddr,
    /// This node's address; `None` for the one in the peer's subnet.
    pub local: Option<IpAddr>,
    /// Microseconds from packet to packet.
    pub interval_us: u64,
    /// Intervals of silence after which the peer is gone.
    pub multiplier: u8,
}

/// A service of the state file that does not fit the configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Parked {
    /// As it stands in the file.
    pub value: Value,
    /// Why it does not serve.
    pub reason: String,
}

impl Parked {
    /// Its name, as far as it has one.
    pub fn name(&self) -> &str {
        self.value.get("name").and_then(Value::as_str).unwrap_or("without a name")
    }
}

/// What a list's items are found by.
trait Keyed {
    type Key: Ord;

    fn key(&self) -> Self::Key;
}

impl Keyed for Endpoint {
    type Key = (IpAddr, String);

    fn key(&self) -> Self::Key {
        (self.host, self.name.clone())
    }
}

impl Keyed for SavedBfd {
    type Key = IpAddr;

    fn key(&self) -> Self::Key {
        self.remote
    }
}

/// Maps as lists: the items name themselves.
mod as_list {
    use super::Keyed;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use std::collections::BTreeMap;

    pub(super) fn serialize<T: Serialize, K, S: Serializer>(
        items: &BTreeMap<K, T>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(items.values())
    }

    pub(super) fn deserialize<'de, T: Deserialize<'de> + Keyed, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<T::Key, T>, D::Error> {
        let items = Vec::<T>::deserialize(deserializer)?;
        Ok(items.into_iter().map(|item| (item.key(), item)).collect())
    }
}
