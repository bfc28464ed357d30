//! What session sync is made from: who this node is, what must be equal on both, and the key.

use super::AssemblyError;
use crate::{
    config::Config,
    control::{PeerSettings, SyncSettings, body_room},
    plane::Slot,
    port::PortFacts,
    protocol::pair::{Fingerprint, Key, PairSettings, stable_hash},
};
use rtrb::{Consumer, Producer};
use std::{
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    path::Path,
};

/// Slots of each ring between a worker and the control core. At a million new sessions a second and worker, half of
/// them ending, the control core may stand still for 10 ms before ranges have to be copied again.
pub(super) const RING_SLOTS: usize = 32_768;

/// Whether sessions are shared: there is a peer, and nobody has said no.
pub(super) fn is_wanted(config: &Config) -> bool {
    config.ha.as_ref().is_some_and(|ha| ha.peer.is_some() && ha.sync.enabled)
}

fn random(number: u8) -> u64 {
    RandomState::new().hash_one(number)
}

/// The link to the peer; `None` without one.
pub(super) fn peer(config: &Config, facts: &[PortFacts]) -> Result<Option<PeerSettings>, AssemblyError> {
    let Some((ha, address)) = config.ha.as_ref().and_then(|ha| Some((ha, ha.peer?))) else { return Ok(None) };
    let pair = PairSettings {
        node: stable_hash(config.node.name.bytes()),
        incarnation: random(0),
        fingerprint: fingerprint(config, facts),
        key: ha.sync.key_file.as_deref().map(read_key).transpose()?,
    };
    let others = ha.bfd.iter().map(|path| path.remote).filter(|remote| *remote != address).collect();
    Ok(Some(PeerSettings { pair, address, others }))
}

/// Session sync, from the ends of the workers' rings; `None` without them.
pub(super) fn settings(
    facts: &[PortFacts],
    journals: Vec<Consumer<Slot>>,
    records: Vec<Producer<Slot>>,
) -> Option<SyncSettings> {
    let mtu = facts.iter().map(|facts| facts.mtu).min().unwrap_or(1500);
    (!journals.is_empty()).then(|| SyncSettings {
        journals,
        records,
        body_room: body_room(mtu),
        stream: random(1),
    })
}

fn read_key(path: &Path) -> Result<Key, AssemblyError> {
    let path_text = || path.display().to_string();
    let file = std::fs::read(path).map_err(|source| AssemblyError::KeyFile { path: path_text(), source })?;
    Key::new(&file).map_err(|source| AssemblyError::Key { path: path_text(), source })
}

fn address_bytes(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// What must be equal on both nodes for a session to find its place.
fn fingerprint(config: &Config, facts: &[PortFacts]) -> Fingerprint {
    let short = |hash: u64| (hash ^ hash >> 32) as u32;
    let steering = facts.iter().flat_map(|facts| facts.steering.fingerprint().to_be_bytes());
    let names = config.instances().iter().flat_map(|instance| instance.name.bytes().chain([0]));
    let nat = &config.nat;
    let locals = nat
        .local_addresses
        .iter()
        .flat_map(|local| address_bytes(local.address).into_iter().chain(local.instance.bytes()).chain([0]));
    let ports = [nat.ports.first(), nat.ports.last()].map(u16::to_be_bytes);
    Fingerprint {
        workers: config.cores.workers.len() as u16,
        ports: facts.len() as u16,
        steering: short(stable_hash(steering)),
        instances: short(stable_hash(names)),
        nat: short(stable_hash(locals.chain(ports.into_iter().flatten()))),
    }
}
