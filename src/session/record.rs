//! A session as others see it: for dumps and for the peer.

use super::entry::{Direction, Session};
use crate::{
    packet::Family,
    types::{BackendId, InstanceId, Protocol, ServiceId, SessionState as State},
};
use std::net::IpAddr;

/// All of a session but its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its protocol.
    pub protocol: Protocol,
    /// Client address and port.
    pub client: (IpAddr, u16),
    /// Virtual address and port.
    pub vip: (IpAddr, u16),
    /// Source address and port towards the backend.
    pub local: (IpAddr, u16),
    /// Backend address and port.
    pub backend: (IpAddr, u16),
    /// The backend's slot.
    pub backend_id: BackendId,
    /// The service it came for; `None` while this node does not know it.
    pub service: Option<ServiceId>,
    /// The HA instance that owns it.
    pub instance: InstanceId,
    /// How far it has come.
    pub state: State,
    /// Milliseconds since its last packet.
    pub idle_ms: u32,
    /// Packets forwarded, both directions.
    pub packets: u64,
    /// Bytes of IP packets forwarded, both directions.
    pub bytes: u64,
}

impl<F: Family> Session<F> {
    /// The record of a session; `None` of a free entry.
    pub fn record(&self, now_ms: u32) -> Option<Record> {
        let inbound = self.arriving(Direction::Inbound);
        let outbound = self.arriving(Direction::Outbound);
        Some(Record {
            protocol: Protocol::from_number(self.protocol())?,
            client: (inbound.source(), inbound.ports.source()),
            vip: (inbound.destination(), inbound.ports.destination()),
            local: (outbound.destination(), outbound.ports.destination()),
            backend: (outbound.source(), outbound.ports.source()),
            backend_id: self.backend(),
            service: self.service(),
            instance: self.instance(),
            state: self.state,
            idle_ms: self.idle_ms(now_ms),
            packets: self.packets,
            bytes: self.bytes,
        })
    }
}
