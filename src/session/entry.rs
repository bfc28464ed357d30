//! One session: what a packet of either direction needs, in one cache line for IPv4 and two for IPv6.

use crate::{
    packet::{Difference, Family, Ports, Tuple},
    types::{BackendId, InstanceId, NextHopId, Protocol, ServiceId},
};

/// Which way a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Direction {
    /// From the client: client → VIP becomes local → backend.
    Inbound = 0,
    /// From the backend: backend → local becomes VIP → client.
    Outbound = 1,
}

impl Direction {
    /// As an index.
    #[inline]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The other one.
    #[inline]
    pub const fn reversed(self) -> Self {
        match self {
            Self::Inbound => Self::Outbound,
            Self::Outbound => Self::Inbound,
        }
    }
}

/// How far a session has come. TCP has all states; UDP and SCTP are `Opening` until the first reply,
/// `Established` then, and SCTP `Closed` after its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum State {
    /// Seen from the client only.
    Opening = 0,
    /// TCP: the backend has answered the SYN.
    Answered = 1,
    /// Both sides talk.
    Established = 2,
    /// TCP: the client has sent its FIN.
    ClientClosed = 3,
    /// TCP: the backend has sent its FIN.
    BackendClosed = 4,
    /// TCP: both have; the last acknowledgement is awaited.
    Closing = 5,
    /// Over. Kept a moment for what is still under way.
    Closed = 6,
    /// TCP: one side has sent a RST. Kept as long as packets still come: a forged RST ends nothing.
    Reset = 7,
}

impl State {
    /// How many there are.
    pub const COUNT: usize = 8;

    /// Nothing more is expected: the session may give way to a new one.
    #[inline]
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Closed | Self::Reset)
    }

    /// Both sides are done, though the last acknowledgement may not have passed here: a client that opens again
    /// gets a new session.
    #[inline]
    pub const fn may_begin_anew(self) -> bool {
        matches!(self, Self::Closing | Self::Closed | Self::Reset)
    }

    /// For tables and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Opening => "opening",
            Self::Answered => "answered",
            Self::Established => "established",
            Self::ClientClosed => "client-closed",
            Self::BackendClosed => "backend-closed",
            Self::Closing => "closing",
            Self::Closed => "closed",
            Self::Reset => "reset",
        }
    }
}

/// A session. All zero is a free entry.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub struct Session<F: Family> {
    addresses: [F::Pair; 2],
    ports: [Ports; 2],
    /// Bytes of IP packets forwarded, both directions.
    pub bytes: u64,
    /// Packets forwarded, both directions.
    pub packets: u64,
    /// When its last packet came, in milliseconds modulo 2³².
    pub last_seen_ms: u32,
    backend: u32,
    service: u32,
    next_hops: [u16; 2],
    address_difference: Difference,
    transport_difference: Difference,
    protocol: u8,
    /// How far it has come.
    pub state: State,
    instance: u8,
    reserved: u8,
}

const _: () = assert!(size_of::<Session<crate::packet::V4>>() == 64, "an IPv4 session is one cache line");
const _: () = assert!(size_of::<Session<crate::packet::V6>>() == 128, "an IPv6 session is two cache lines");

/// A next-hop slot that a session can store.
const UNKNOWN: u16 = u16::MAX;

impl<F: Family> Session<F> {
    /// A new session between `inbound` (client → VIP) and `outbound` (backend → local address).
    pub fn new(
        inbound: Tuple<F>,
        outbound: Tuple<F>,
        protocol: Protocol,
        (service, backend, instance): (ServiceId, BackendId, InstanceId),
        now_ms: u32,
    ) -> Self {
        let sent = outbound.swapped();
        Self {
            addresses: [inbound.addresses, outbound.addresses],
            ports: [inbound.ports, outbound.ports],
            bytes: 0,
            packets: 0,
            last_seen_ms: now_ms,
            backend: backend.0,
            service: service.0,
            next_hops: [UNKNOWN; 2],
            address_difference: Difference::between(inbound.address_sum(), sent.address_sum()),
            transport_difference: Difference::between(inbound.sum(), sent.sum()),
            protocol: protocol.number(),
            state: State::Opening,
            instance: instance.0,
            reserved: 0,
        }
    }

    /// A free entry.
    pub(super) fn free() -> Self {
        Self {
            addresses: [F::Pair::default(); 2],
            ports: [Ports::default(); 2],
            bytes: 0,
            packets: 0,
            last_seen_ms: 0,
            backend: 0,
            service: 0,
            next_hops: [0; 2],
            address_difference: Difference::NONE,
            transport_difference: Difference::NONE,
            protocol: 0,
            state: State::Opening,
            instance: 0,
            reserved: 0,
        }
    }

    /// Whether the entry holds no session.
    #[inline]
    pub const fn is_free(&self) -> bool {
        self.protocol == 0
    }

    /// The tuple its packets of `direction` arrive with.
    #[inline]
    pub fn arriving(&self, direction: Direction) -> Tuple<F> {
        Tuple { addresses: self.addresses[direction.index()], ports: self.ports[direction.index()] }
    }

    /// The tuple its packets of `direction` leave with.
    #[inline]
    pub fn leaving(&self, direction: Direction) -> Tuple<F> {
        self.arriving(direction.reversed()).swapped()
    }

    /// What translation does to an IPv4 header checksum.
    #[inline]
    pub const fn address_difference(&self, direction: Direction) -> Difference {
        match direction {
            Direction::Inbound => self.address_difference,
            Direction::Outbound => self.address_difference.reversed(),
        }
    }

    /// What translation does to a TCP or UDP checksum.
    #[inline]
    pub const fn transport_difference(&self, direction: Direction) -> Difference {
        match direction {
            Direction::Inbound => self.transport_difference,
            Direction::Outbound => self.transport_difference.reversed(),
        }
    }

    /// The next hop of its packets of `direction`; [`NextHopId::UNKNOWN`] until one is set.
    #[inline]
    pub const fn next_hop(&self, direction: Direction) -> NextHopId {
        match self.next_hops[direction.index()] {
            UNKNOWN => NextHopId::UNKNOWN,
            slot => NextHopId(slot as u32),
        }
    }

    /// Sets the next hop; slots beyond 65,534 cannot be kept and are looked up each time.
    #[inline]
    pub fn set_next_hop(&mut self, direction: Direction, slot: NextHopId) {
        self.next_hops[direction.index()] = u16::try_from(slot.0).unwrap_or(UNKNOWN);
    }

    /// The IP protocol number; 0 in a free entry.
    #[inline]
    pub const fn protocol(&self) -> u8 {
        self.protocol
    }

    /// The backend it goes to.
    #[inline]
    pub const fn backend(&self) -> BackendId {
        BackendId(self.backend)
    }

    /// The service it came for.
    #[inline]
    pub const fn service(&self) -> ServiceId {
        ServiceId(self.service)
    }

    /// The HA instance that owns it.
    #[inline]
    pub const fn instance(&self) -> InstanceId {
        InstanceId(self.instance)
    }

    /// Milliseconds since its last packet.
    #[inline]
    pub const fn idle_ms(&self, now_ms: u32) -> u32 {
        now_ms.wrapping_sub(self.last_seen_ms)
    }
}
