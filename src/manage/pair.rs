//! What the pair is made from: who this node is, what must be equal on both, the key, the instances, the witnesses.

use super::{AssemblyError, assembly::routes, paths::port_towards};
use crate::{
    config::{Config, GatewayCheck, Ha},
    control::{HaSettings, PeerSettings, SyncSettings, body_room},
    plane::{Reader, Slot},
    port::PortFacts,
    protocol::{
        announce::{self, Addresses, virtual_mac},
        election::{self, NodeSettings, name_hash},
        pair::{Fingerprint, Key, PairSettings, stable_hash},
        witness::{Check, Gateway},
    },
    types::{InstanceId, Mac, PortId},
};
use rtrb::{Consumer, Producer};
use std::{net::IpAddr, path::Path};

/// Slots of each ring between a worker and the control core. At a million new sessions a second and worker, half of
/// them ending, the control core may stand still for 10 ms before ranges have to be copied again.
pub(super) const RING_SLOTS: usize = 32_768;

/// Who this node is, for as long as it runs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Identity {
    node: u64,
    incarnation: u64,
}

impl Identity {
    /// The name may be the same on both nodes; an address is not. `random` is another at every start.
    pub(super) fn new(config: &Config, random: u64) -> Self {
        let own = config.ports.iter().flat_map(|port| &port.addresses).next();
        let address = own.map_or_else(String::new, |own| own.address().to_string());
        let node = stable_hash(config.node.name.bytes().chain([b' ']).chain(address.bytes()));
        Self { node: node.max(1), incarnation: random.max(1) }
    }
}

/// Whether sessions are shared: high availability is configured, and nobody has said no.
pub(super) fn shares_sessions(config: &Config) -> bool {
    config.ha.as_ref().is_some_and(|ha| ha.sync.enabled)
}

/// The link to the peer; `None` without high availability. Without an address the API will name one.
pub(super) fn peer(
    config: &Config,
    facts: &[PortFacts],
    identity: Identity,
) -> Result<Option<PeerSettings>, AssemblyError> {
    let Some(ha) = &config.ha else { return Ok(None) };
    let pair = PairSettings {
        node: identity.node,
        incarnation: identity.incarnation,
        fingerprint: fingerprint(config, facts),
        key: ha.sync.key_file.as_deref().map(read_key).transpose()?,
    };
    let addresses = ha.peer.into_iter().chain(ha.bfd.iter().map(|path| path.remote)).collect();
    Ok(Some(PeerSettings { pair, addresses }))
}

/// Session sync, from the ends of the workers' rings; `None` without them. `stream` is a number that nobody guesses.
pub(super) fn sync(
    facts: &[PortFacts],
    journals: Vec<Consumer<Slot>>,
    records: Vec<Producer<Slot>>,
    stream: u64,
) -> Option<SyncSettings> {
    let mtu = facts.iter().map(|facts| facts.mtu).min().unwrap_or(1500);
    (!journals.is_empty()).then(|| SyncSettings { journals, records, body_room: body_room(mtu), stream })
}

/// Whether witnesses are pinged.
pub(super) fn pings(config: &Config) -> bool {
    let pings = |ha: &Ha| ha.gateway_check_type == GatewayCheck::Ping && !ha.gateway_check.is_empty();
    config.ha.as_ref().is_some_and(pings)
}

/// The election; `None` without high availability.
pub(super) fn ha(config: &Config, identity: Identity, addresses: Reader<Addresses>) -> Option<HaSettings> {
    let ha = config.ha.as_ref()?;
    let instances = (0..).map(InstanceId).zip(&ha.instances).map(|(id, instance)| election::Settings {
        instance: id,
        name: name_hash(&instance.name),
        priority: instance.priority,
        preempt: ha.preempt,
        lone_start: ha.lone_start,
        sync: ha.sync.enabled,
    });
    Some(HaSettings {
        node: NodeSettings {
            node: identity.node,
            incarnation: identity.incarnation,
            first_term: 0,
            lease: ha.lease,
        },
        instances: instances.collect(),
        fastest: ha.bfd.iter().map(|path| path.interval).min(),
        witnesses: ha.gateway_check.iter().filter_map(|gateway| witness(config, *gateway)).collect(),
        check: match ha.gateway_check_type {
            GatewayCheck::Arp => Check::Arp,
            GatewayCheck::BfdEcho => Check::BfdEcho,
            GatewayCheck::Ping => Check::Ping,
        },
        announcer: announce::Settings {
            repeat: ha.garp_repeat.iter().copied().collect(),
            refresh: ha.garp_refresh,
            ..announce::Settings::default()
        },
        addresses,
        virtual_macs: virtual_macs(config),
        needed_ports: needed_ports(config),
    })
}

/// The MAC of each instance, where they move; none otherwise.
pub(super) fn virtual_macs(config: &Config) -> Vec<Mac> {
    let Some((ha, peer)) = config.ha.as_ref().filter(|ha| ha.virtual_mac).and_then(|ha| Some((ha, ha.peer?)))
    else {
        return Vec::new();
    };
    let own = ha.bfd.iter().find(|path| path.remote == peer).map(|path| path.local).or_else(|| {
        let port = config.ports.iter().find(|port| port.addresses.iter().any(|own| own.contains(peer)))?;
        port.addresses.iter().find(|own| own.contains(peer)).map(|own| own.address())
    });
    let Some(own) = own else { return Vec::new() };
    ha.instances.iter().map(|instance| virtual_mac(&instance.name, [own, peer])).collect()
}

/// The way to a witness and this node's address on it.
fn witness(config: &Config, address: IpAddr) -> Option<Gateway> {
    let way = routes(config).way(address);
    let port = way.map(|way| way.port).or_else(|| port_towards(config, address, address))?;
    let own = &config.ports.get(port.index())?.addresses;
    let local = own
        .iter()
        .find(|own| own.contains(address))
        .or_else(|| own.iter().find(|own| own.address().is_ipv4() == address.is_ipv4()))?;
    Some(Gateway { port, local: local.address(), address })
}

/// Ports that lead to clients or backends, a bit each: one that only leads to the peer may fail.
fn needed_ports(config: &Config) -> u32 {
    let routes = routes(config);
    let vips = config.services.iter().flat_map(|service| service.vips());
    let backends =
        config.services.iter().flat_map(|service| service.backends.iter().map(|backend| backend.address));
    let locals = config.nat.local_addresses.iter().map(|local| local.address);
    let gateways = config.routes.iter().map(|route| route.via);
    let ways = vips.chain(backends).chain(locals).chain(gateways).filter_map(|address| routes.way(address));
    let bits = ways.fold(0, |bits, way| bits | bit(way.port));
    let all = (0..config.ports.len()).fold(0, |bits, port| bits | bit(PortId(port as u8)));
    if bits == 0 { all } else { bits }
}

fn bit(port: PortId) -> u32 {
    1u32.checked_shl(port.0.into()).unwrap_or(0)
}

pub(super) fn read_key(path: &Path) -> Result<Key, AssemblyError> {
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
