//! What management asks of high availability: BFD sessions, instances, and who serves.
//!
//! The control core does it; this is the narrow door the API goes through. A node without `[ha]` has
//! [`Standalone`].

use super::{Put, Refusal, Source};
use crate::{
    config::{BfdPath, Config},
    control::{BfdEntry, BfdView},
    plane::{HaState, Ownership},
    protocol::bfd::{self, Discards, Hop, MULTI_HOP_PORT, SINGLE_HOP_PORT},
    types::{Duration, InstanceId},
};
use std::{collections::BTreeMap, fmt, net::IpAddr, sync::Arc};

/// A BFD session as people see it.
#[derive(Clone, Debug, PartialEq)]
pub struct BfdSession {
    /// The HA instance it is for.
    pub instance: String,
    /// Who defined it.
    pub source: Source,
    /// The peer.
    pub remote: IpAddr,
    /// This node's address.
    pub local: Option<IpAddr>,
    /// The peer's UDP port: 3784 for one hop, 4784 for several.
    pub port: u16,
    /// From packet to packet, as configured.
    pub interval: Duration,
    /// Intervals of silence after which the peer is gone.
    pub multiplier: u8,
    /// Where it stands.
    pub state: bfd::State,
    /// Silence after which the peer is gone, as negotiated.
    pub detection: Option<Duration>,
    /// Packets are timed by the NIC rather than by the burst.
    pub hardware_timestamps: Option<bool>,
    /// The 99.9th percentile of how much later than their interval packets arrive.
    pub jitter_p999: Option<Duration>,
    /// The shortest interval at which, with this multiplier, the peer would have borne the latest packet this node has
    /// sent so far. `None` before there are enough to tell.
    pub held: Option<Duration>,
    /// How often it went down.
    pub flaps: u64,
    /// Packets discarded, by reason, of those that there were.
    pub discards: BTreeMap<&'static str, u64>,
}

/// A BFD session that is wanted. What is `None` stays as it is, or is as by default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BfdWanted {
    /// The HA instance.
    pub instance: String,
    /// The peer.
    pub remote: IpAddr,
    /// This node's address.
    pub local: Option<IpAddr>,
    /// 50 µs to 10 s.
    pub interval: Option<Duration>,
    /// 1 to 255.
    pub multiplier: Option<u8>,
}

/// An HA instance as people see it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InstanceStatus {
    /// Its name.
    pub name: String,
    /// This node's part in it.
    pub state: HaState,
    /// The claim that part rests on; later claims are higher.
    pub term: u64,
    /// Whether the peer serves it, as it says itself; `None`: it says nothing.
    pub peer_serves: Option<bool>,
    /// Its role in this node's own words, where there is an election.
    pub role: Option<&'static str>,
    /// It would take over at once.
    pub ready: bool,
    /// What keeps the two nodes apart: another configuration, messages that were refused.
    pub note: Option<String>,
}

/// What management asks of high availability. Called on management threads; none of it may wait for the peer.
pub trait HighAvailability: fmt::Debug + Send + Sync {
    /// All BFD sessions, those of the file and those of the API.
    fn bfd_sessions(&self) -> Vec<BfdSession>;

    /// BFD packets refused that are of no session, by reason, of those that there were.
    fn bfd_refused(&self) -> BTreeMap<&'static str, u64>;

    /// Creates the session with a peer, or changes it.
    ///
    /// # Errors
    ///
    /// In words for who asked.
    fn put_bfd(&self, wanted: &BfdWanted) -> Result<Put, Refusal>;

    /// Ends the session with a peer.
    ///
    /// # Errors
    ///
    /// There is none, or it is of the file.
    fn delete_bfd(&self, instance: &str, remote: IpAddr) -> Result<(), Refusal>;

    /// All instances, the default one first.
    fn instances(&self) -> Vec<InstanceStatus>;

    /// Gives an instance a part, as an outside elector wants it.
    ///
    /// # Errors
    ///
    /// There is no such instance, it is no part that can be given, or this node elects by itself.
    fn set_state(&self, instance: &str, state: HaState) -> Result<(), Refusal>;

    /// Begins to hand instances over to the peer; `None` for all. It is done when [`HighAvailability::instances`]
    /// says so.
    ///
    /// # Errors
    ///
    /// There is no peer that could take them.
    fn switch_over(&self, instance: Option<&str>) -> Result<(), Refusal>;
}

/// All sessions of a node, for the instance of this name. `of_file`: the paths that the configuration has.
pub(super) fn described(bfd: &BfdView, instance: &str, of_file: &[BfdPath]) -> Vec<BfdSession> {
    bfd.list().iter().map(|entry| session(bfd, entry, instance, of_file)).collect()
}

/// The packets of a node that are of no session.
pub(super) fn refused(bfd: &BfdView) -> BTreeMap<&'static str, u64> {
    counted(&bfd.refused())
}

fn counted(discards: &Discards) -> BTreeMap<&'static str, u64> {
    let some = discards.iter().filter(|(_, count)| *count > 0);
    some.map(|(reason, count)| (reason.name(), count)).collect()
}

/// Packets sent before it is told which interval a machine holds.
const ENOUGH: u64 = 1000;
/// No session has a shorter interval.
const SHORTEST_US: u64 = 50;

/// A packet that leaves `late` after its time comes `interval + late` after the one before; the peer waits
/// `multiplier * interval`. A multiplier of 1 leaves the jitter, a tenth at least (RFC 5880 section 6.8.7).
fn held(late: Duration, multiplier: u8) -> Duration {
    let late = late.as_micros();
    let shortest = match multiplier {
        0 | 1 => late.saturating_mul(10),
        more => late.div_ceil(u64::from(more) - 1),
    };
    Duration::from_micros(shortest.max(SHORTEST_US))
}

fn session(bfd: &BfdView, entry: &BfdEntry, instance: &str, of_file: &[BfdPath]) -> BfdSession {
    let departures = bfd.timing(entry.id).map(|timing| timing.sent_late.read());
    let latest =
        departures.filter(|sent| sent.count() >= ENOUGH).map(|sent| Duration::from_nanos(sent.max()));
    let arrivals = bfd.timing(entry.id).map(|timing| timing.received_late.read());
    let arrivals = arrivals.filter(|arrivals| arrivals.count() > 0);
    let detection = entry.status.detection_time;
    let in_file = of_file.iter().any(|path| path.remote == entry.path.remote);
    BfdSession {
        instance: instance.to_owned(),
        source: if in_file { Source::File } else { Source::Api },
        remote: entry.path.remote,
        local: Some(entry.path.local),
        port: if entry.path.hop == Hop::Single { SINGLE_HOP_PORT } else { MULTI_HOP_PORT },
        interval: Duration::from_micros(entry.timers.desired_min_tx_us.get().into()),
        multiplier: entry.timers.multiplier.get(),
        state: entry.status.state,
        detection: (detection > Duration::ZERO).then_some(detection),
        hardware_timestamps: entry.status.last_received.map(|_| entry.stamped),
        jitter_p999: arrivals.map(|arrivals| Duration::from_nanos(arrivals.quantile(0.999))),
        held: latest.map(|late| held(late, entry.timers.multiplier.get())),
        flaps: entry.counters.downs,
        discards: counted(&entry.counters.discards),
    }
}

/// A node without a peer: it serves, and there is nothing to elect.
#[derive(Debug)]
pub struct Standalone {
    instances: Vec<String>,
    default_instance: String,
    ownership: Arc<Ownership>,
    bfd: Arc<BfdView>,
}

impl Standalone {
    /// Of a node by its configuration, where it says who serves, and the BFD sessions of its file.
    pub fn new(config: &Config, ownership: Arc<Ownership>, bfd: Arc<BfdView>) -> Self {
        Self {
            instances: config.instances().iter().map(|instance| instance.name.clone()).collect(),
            default_instance: config.default_instance().to_owned(),
            ownership,
            bfd,
        }
    }

    fn refused(what: &str) -> Refusal {
        Refusal::Disabled(format!(
            "{what}: this node has no peer, add [ha] to its configuration and restart it"
        ))
    }
}

impl HighAvailability for Standalone {
    fn bfd_sessions(&self) -> Vec<BfdSession> {
        described(&self.bfd, &self.default_instance, &[])
    }

    fn bfd_refused(&self) -> BTreeMap<&'static str, u64> {
        refused(&self.bfd)
    }

    fn put_bfd(&self, _wanted: &BfdWanted) -> Result<Put, Refusal> {
        Err(Self::refused("no BFD session can be created"))
    }

    fn delete_bfd(&self, _instance: &str, remote: IpAddr) -> Result<(), Refusal> {
        Err(Refusal::NotFound(format!("no bfd session with {remote}")))
    }

    fn instances(&self) -> Vec<InstanceStatus> {
        let status = |(number, name): (u8, &String)| {
            let (state, term) = self.ownership.get(InstanceId(number));
            InstanceStatus { name: name.clone(), state, term, ..InstanceStatus::default() }
        };
        (0..).zip(&self.instances).map(status).collect()
    }

    fn set_state(&self, instance: &str, state: HaState) -> Result<(), Refusal> {
        match self.instances().into_iter().find(|known| known.name == instance) {
            None => Err(Refusal::NotFound(format!("cluster instance {instance} not found"))),
            Some(known) if known.state == state => Ok(()),
            Some(known) => Err(Self::refused(&format!("instance {instance} stays {}", known.state.name()))),
        }
    }

    fn switch_over(&self, _instance: Option<&str>) -> Result<(), Refusal> {
        Err(Self::refused("nothing can be handed over"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manage::RefusalKind;

    #[test]
    fn an_interval_is_held_if_the_peer_would_have_borne_the_latest_packet() {
        let us = Duration::from_micros;
        for (late, multiplier, interval) in
            [(0, 3, 50), (100, 3, 50), (101, 3, 51), (4000, 5, 1000), (30, 1, 300)]
        {
            assert_eq!(held(us(late), multiplier), us(interval), "{late} us late, times {multiplier}");
        }
    }

    #[test]
    fn a_node_alone_says_what_is_true() {
        let ownership = Arc::new(Ownership::new(1));
        let node = Standalone::new(&Config::default(), Arc::clone(&ownership), Arc::default());
        let state = |node: &Standalone| node.instances()[0].state;
        assert_eq!(state(&node), HaState::NotDefined);
        ownership.set(InstanceId(0), HaState::Master, 1);
        assert_eq!(state(&node), HaState::Master);
        assert_eq!(node.set_state("llb-inst0", HaState::Master), Ok(()));
        let kinds = [
            node.set_state("llb-inst0", HaState::Backup).unwrap_err().kind(),
            node.set_state("red", HaState::Backup).unwrap_err().kind(),
            node.switch_over(None).unwrap_err().kind(),
            node.delete_bfd("llb-inst0", [10, 0, 0, 1].into()).unwrap_err().kind(),
        ];
        use RefusalKind::{Disabled, NotFound};
        assert_eq!(kinds, [Disabled, NotFound, Disabled, NotFound]);
        assert!(node.bfd_sessions().is_empty());
    }
}
