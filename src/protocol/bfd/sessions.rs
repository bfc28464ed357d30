//! The sessions of a node: which packet is whose, and what is due next.

use super::{
    datagram::{self, Datagram, Endpoints, MAX_DATAGRAM, MULTI_HOP_PORT, SINGLE_HOP_PORT, TTL},
    discard::{Discard, Discards},
    packet::{Control, Received},
    random::Random,
    report::{Change, Reason, Receipt},
    session::Session,
    settings::{Compatibility, Hop, Path, Role, Settings},
};
use crate::types::{Duration, Instant, PortId};
use std::{fmt, net::IpAddr};

/// The most sessions a node can be given room for. Finding a packet's session is linear over 4 bytes a session, a
/// turn of the loop over all of them: the microsecond range is for a few dozen.
pub const MAX_SESSIONS: u16 = 1024;

/// RFC 5881 section 4: source ports come from 49152 to 65535.
const FIRST_SOURCE_PORT: u16 = 49_152;
const SOURCE_PORTS: u16 = 16_384;

/// What TTL a LoxiLB peer on the same link arrives with: its kernel's default.
const LOXILB_TTL: u8 = 64;

/// A session's slot: constant while the session lives, used again after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(u16);

impl SessionId {
    /// The number as an index into arrays kept per session.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why a session cannot be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddError {
    /// Every slot is taken.
    #[error("all {0} BFD sessions are in use: remove one or raise the limit")]
    Full(u16),
    /// Another session has the same peer on the same port (single hop) or the same addresses (multi-hop).
    #[error("BFD session {0} already has this path: change it instead")]
    Duplicate(SessionId),
    /// One address is IPv4, the other IPv6.
    #[error("local address {local} and remote address {remote} are of different families")]
    MixedFamilies {
        /// Ours.
        local: IpAddr,
        /// The peer's.
        remote: IpAddr,
    },
    /// Nobody in particular has this address.
    #[error("{0} is not the address of one node: BFD needs unicast addresses")]
    NotUnicast(IpAddr),
    /// RFC 5881 section 3.
    #[error("a single-hop session is active at both ends: passive is for multi-hop sessions")]
    PassiveSingleHop,
    /// LoxiLB knows neither.
    #[error("a LoxiLB peer needs a single-hop IPv4 session without a key")]
    BeyondLoxiLb,
}

/// A datagram to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Whose it is.
    pub session: SessionId,
    /// Where it goes.
    pub path: Path,
    /// Why it is sent.
    pub reason: Reason,
    /// Its length in bytes, from the IP header on.
    pub length: usize,
    /// How long ago it was due.
    pub late: Duration,
}

#[derive(Clone, Debug)]
struct Slot {
    session: Session,
    source_port: u16,
}

impl Slot {
    fn path(&self) -> &Path {
        &self.session.settings().path
    }

    fn is_loxilb(&self) -> bool {
        self.session.settings().compatibility == Compatibility::LoxiLb
    }
}

/// All sessions of a node. Room for them is made at the start.
#[derive(Debug)]
pub struct Sessions {
    slots: Vec<Option<Slot>>,
    /// By slot; 0 where there is none, or none that is found by it.
    discriminators: Vec<u32>,
    /// How many have a LoxiLB peer: usually none, and then nobody need look for them.
    loxilb_peers: usize,
    random: Random,
    cursor: usize,
    discards: Discards,
}

impl Sessions {
    /// Room for `capacity` sessions, at most [`MAX_SESSIONS`]. `random` should have an unpredictable seed.
    pub fn new(capacity: u16, random: Random) -> Self {
        let capacity = usize::from(capacity.min(MAX_SESSIONS));
        Self {
            slots: vec![None; capacity],
            discriminators: vec![0; capacity],
            loxilb_peers: 0,
            random,
            cursor: 0,
            discards: Discards::default(),
        }
    }

    /// Adds a session in Down; its first packet is due now. Discriminator and UDP source port are its own for life.
    pub fn add(&mut self, settings: Settings, now: Instant) -> Result<SessionId, AddError> {
        check(&settings)?;
        if let Some((id, _)) =
            self.iter().find(|(_, other)| same_path(&other.settings().path, &settings.path))
        {
            return Err(AddError::Duplicate(id));
        }
        let index =
            self.slots.iter().position(Option::is_none).ok_or(AddError::Full(self.slots.len() as u16))?;
        let (discriminator, found_by) = match (settings.compatibility, settings.path.local) {
            (Compatibility::LoxiLb, IpAddr::V4(local)) => (u32::from_le_bytes(local.octets()), 0),
            _ => {
                let unique = self.unused_discriminator();
                (unique, unique)
            }
        };
        let source_port = self.unused_source_port();
        let random = Random::seeded(self.random.next_u64());
        self.loxilb_peers += usize::from(settings.compatibility == Compatibility::LoxiLb);
        self.discriminators[index] = found_by;
        self.slots[index] =
            Some(Slot { session: Session::new(settings, discriminator, now, random), source_port });
        Ok(SessionId(index as u16))
    }

    /// Removes a session at once. A peer that should not take it for a failure is told by [`Session::disable`] first,
    /// until [`Session::removable_at`].
    pub fn remove(&mut self, id: SessionId) -> Option<Session> {
        let slot = self.slots.get_mut(id.index())?.take()?;
        self.discriminators[id.index()] = 0;
        self.loxilb_peers -= usize::from(slot.is_loxilb());
        Some(slot.session)
    }

    /// Takes a packet from its IP header on, received at port `port` at the time `received_at`, at the latest now.
    pub fn receive(
        &mut self,
        port: PortId,
        ip: &[u8],
        received_at: Instant,
        now: Instant,
    ) -> Result<(SessionId, Receipt), Discard> {
        let found = Datagram::parse(ip).and_then(|datagram| {
            let (index, packet) = self.find(port, &datagram)?;
            Ok((index, datagram, packet))
        });
        let (index, datagram, packet) = found.inspect_err(|reason| self.discards.add(*reason))?;
        let Some(Some(slot)) = self.slots.get_mut(index) else { return Err(Discard::NoSession) };
        slot.admit(port, &datagram)?;
        let receipt = slot.session.receive(&packet, received_at, now)?;
        Ok((SessionId(index as u16), receipt))
    }

    /// Judges the silence of the sessions on `port`, whose receive queue was empty at `drained_at`; see
    /// [`Session::expire`]. Each change goes to `on_change`.
    pub fn expire(
        &mut self,
        port: PortId,
        drained_at: Instant,
        evidence_lost: bool,
        now: Instant,
        mut on_change: impl FnMut(SessionId, Change),
    ) {
        for (index, slot) in self.slots.iter_mut().enumerate() {
            let Some(slot) = slot.as_mut().filter(|slot| slot.path().port == port) else { continue };
            if let Some(change) = slot.session.expire(drained_at, evidence_lost, now) {
                on_change(SessionId(index as u16), change);
            }
        }
    }

    /// Writes the next datagram that is due at `now` into `buffer`, from the IP header on. Call again until there is
    /// none. A datagram that then cannot be sent counts as lost on the way.
    pub fn transmit(&mut self, now: Instant, buffer: &mut [u8; MAX_DATAGRAM]) -> Option<Outgoing> {
        for _ in 0..self.slots.len() {
            let index = self.cursor;
            self.cursor = (index + 1) % self.slots.len();
            let Some(Some(slot)) = self.slots.get_mut(index) else { continue };
            let Some(transmission) = slot.session.transmit(now) else { continue };
            let path = *slot.path();
            let endpoints = Endpoints {
                source: path.local,
                destination: path.remote,
                source_port: slot.source_port,
                destination_port: udp_port(path.hop),
            };
            let length = datagram::emit(buffer, &endpoints, transmission.encoded.bytes())?;
            return Some(Outgoing {
                session: SessionId(index as u16),
                path,
                reason: transmission.reason,
                length,
                late: transmission.late,
            });
        }
        None
    }

    /// When the first session will have something to judge or to send. It may lie in the past.
    pub fn deadline(&self) -> Option<Instant> {
        self.iter().filter_map(|(_, session)| session.deadline()).min()
    }

    /// A session.
    pub fn get(&self, id: SessionId) -> Option<&Session> {
        self.slots.get(id.index())?.as_ref().map(|slot| &slot.session)
    }

    /// A session, to be changed.
    pub fn get_mut(&mut self, id: SessionId) -> Option<&mut Session> {
        self.slots.get_mut(id.index())?.as_mut().map(|slot| &mut slot.session)
    }

    /// A session's UDP source port.
    pub fn source_port(&self, id: SessionId) -> Option<u16> {
        self.slots.get(id.index())?.as_ref().map(|slot| slot.source_port)
    }

    /// Every session.
    pub fn iter(&self) -> impl Iterator<Item = (SessionId, &Session)> {
        let slots = self.slots.iter().enumerate();
        slots.filter_map(|(index, slot)| Some((SessionId(index as u16), &slot.as_ref()?.session)))
    }

    /// Packets discarded before they were found to belong to a session. Those after are in the session's counters.
    pub fn discards(&self) -> &Discards {
        &self.discards
    }

    /// Whose packet it is: the checks of RFC 5881 section 5 and RFC 5880 section 6.8.6 up to the session.
    fn find<'a>(&self, port: PortId, datagram: &Datagram<'a>) -> Result<(usize, Received<'a>), Discard> {
        let single = datagram.destination_port == SINGLE_HOP_PORT;
        let loxilb = if single { self.loxilb(port, datagram.source) } else { None };
        let minimum_ttl = if loxilb.is_some() { LOXILB_TTL } else { TTL };
        if single && datagram.ttl < minimum_ttl {
            return Err(Discard::Ttl);
        }
        let packet = Received::parse(datagram.payload)?;
        let index = match loxilb {
            Some(index) => index,
            None => self.demultiplex(port, datagram, &packet.control, single)?,
        };
        Ok((index, packet))
    }

    fn demultiplex(
        &self,
        port: PortId,
        datagram: &Datagram<'_>,
        control: &Control,
        single: bool,
    ) -> Result<usize, Discard> {
        let slot = |index: &usize| self.slots.get(*index).and_then(Option::as_ref);
        if control.your_discriminator != 0 {
            let index = self.discriminators.iter().position(|own| *own == control.your_discriminator);
            return index
                .filter(|index| slot(index).is_some_and(|slot| (slot.path().hop == Hop::Single) == single))
                .ok_or(Discard::UnknownDiscriminator);
        }
        let matches = |path: &Path| match path.hop {
            Hop::Single => single && path.port == port && path.remote == datagram.source,
            Hop::Multi { .. } => {
                !single && path.remote == datagram.source && path.local == datagram.destination
            }
        };
        let found = (0..self.slots.len()).find(|index| slot(index).is_some_and(|slot| matches(slot.path())));
        found.ok_or(Discard::NoSession)
    }

    /// LoxiLB knows its peers by their address only, and its discriminators change under way.
    fn loxilb(&self, port: PortId, source: IpAddr) -> Option<usize> {
        if self.loxilb_peers == 0 {
            return None;
        }
        self.slots.iter().position(|slot| {
            slot.as_ref().is_some_and(|slot| {
                slot.is_loxilb() && slot.path().port == port && slot.path().remote == source
            })
        })
    }

    fn unused_discriminator(&mut self) -> u32 {
        loop {
            let candidate = self.random.next_u32();
            if candidate != 0 && !self.discriminators.contains(&candidate) {
                return candidate;
            }
        }
    }

    fn unused_source_port(&mut self) -> u16 {
        loop {
            let candidate = FIRST_SOURCE_PORT + self.random.below(SOURCE_PORTS.into()) as u16;
            if !self.slots.iter().flatten().any(|slot| slot.source_port == candidate) {
                return candidate;
            }
        }
    }
}

impl Slot {
    /// What can be said against a packet once its session is known, before the session looks at it.
    fn admit(&mut self, port: PortId, datagram: &Datagram<'_>) -> Result<(), Discard> {
        let path = *self.path();
        let (foreign, too_far) = match path.hop {
            Hop::Single => (datagram.source != path.remote || port != path.port, false),
            Hop::Multi { minimum_ttl } => (datagram.source != path.remote, datagram.ttl < minimum_ttl),
        };
        if foreign {
            self.session.count_foreign_path();
        }
        let reason = match (too_far, foreign && self.session.settings().strict_path) {
            (true, _) => Discard::Ttl,
            (false, true) => Discard::WrongPath,
            (false, false) => return Ok(()),
        };
        self.session.count_discard(reason);
        Err(reason)
    }
}

const fn udp_port(hop: Hop) -> u16 {
    match hop {
        Hop::Single => SINGLE_HOP_PORT,
        Hop::Multi { .. } => MULTI_HOP_PORT,
    }
}

fn same_path(a: &Path, b: &Path) -> bool {
    match (a.hop, b.hop) {
        (Hop::Single, Hop::Single) => a.port == b.port && a.remote == b.remote,
        (Hop::Multi { .. }, Hop::Multi { .. }) => a.local == b.local && a.remote == b.remote,
        _ => false,
    }
}

fn check(settings: &Settings) -> Result<(), AddError> {
    let Path { local, remote, hop, .. } = settings.path;
    if local.is_ipv4() != remote.is_ipv4() {
        return Err(AddError::MixedFamilies { local, remote });
    }
    let broadcast = |address: &IpAddr| matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    let group = |address: &IpAddr| address.is_unspecified() || address.is_multicast() || broadcast(address);
    if let Some(address) = [local, remote].into_iter().find(group) {
        return Err(AddError::NotUnicast(address));
    }
    if hop == Hop::Single && settings.role == Role::Passive {
        return Err(AddError::PassiveSingleHop);
    }
    let plain = hop == Hop::Single && local.is_ipv4() && settings.key.is_none();
    if settings.compatibility == Compatibility::LoxiLb && !plain {
        return Err(AddError::BeyondLoxiLb);
    }
    Ok(())
}
