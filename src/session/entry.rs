//! One session: what a packet of either direction needs, in one cache line for IPv4 and two for IPv6.

use crate::{
    packet::{Difference, Family, Ports, Tuple},
    types::{BackendId, InstanceId, NextHopId, Protocol, ServiceId, SessionState as State},
};
use bytemuck::Zeroable;

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

/// A session. All zero is a free entry.
#[derive(Clone, Copy, Debug, Zeroable)]
#[zeroable(bound = "")]
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
    service: u16,
    /// When the peer was last told that it lives, in units of [`unit_shift`]; 0: lately.
    told: u8,
    /// The copy that last named it, on the node that receives copies.
    pub mark: u8,
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

/// What a session stores of its next hop: the slot's number and one, or this.
const UNKNOWN: u16 = 0;

const _: () = assert!(NextHopId::UNKNOWN.0 == (UNKNOWN as u32).wrapping_sub(1));

/// The backend of a session whose service this node does not know.
const UNBOUND: u32 = u32::MAX;

/// Timeouts shorter than this cannot be divided finely: sessions are looked at about once in [`LOOK_MS`].
const SHORT_MS: u32 = 4_000;
const LOOK_MS: u32 = 1_000;

/// A moment in units of 2^`shift` milliseconds, modulo 256; 1 for 0, which means something else.
const fn stamp(shift: u32, now_ms: u32) -> u8 {
    let units = (now_ms >> shift) as u8;
    if units == 0 { 1 } else { units }
}

/// The unit for a timeout: the largest power of two that is no more than a sixteenth of it.
const fn unit_shift(limit_ms: u32) -> u32 {
    (limit_ms | SHORT_MS).ilog2() - 4
}

impl<F: Family> Session<F> {
    /// A new session between `inbound` (client → VIP) and `outbound` (backend → local address). Service slots are
    /// below 2¹⁶.
    #[inline]
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
            service: service.0 as u16,
            told: 0,
            mark: 0,
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
        Self::zeroed()
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
        NextHopId((self.next_hops[direction.index()] as u32).wrapping_sub(1))
    }

    /// Sets the next hop; slots beyond 65,534 cannot be kept and are looked up each time.
    #[inline]
    pub fn set_next_hop(&mut self, direction: Direction, slot: NextHopId) {
        self.next_hops[direction.index()] = u16::try_from(slot.0.wrapping_add(1)).unwrap_or(UNKNOWN);
    }

    /// The IP protocol number; 0 in a free entry.
    #[inline]
    pub const fn protocol(&self) -> u8 {
        self.protocol
    }

    /// The backend it goes to; a slot that no backend has while the session is not bound.
    #[inline]
    pub const fn backend(&self) -> BackendId {
        BackendId(self.backend)
    }

    /// The service it came for; `None` while this node does not know it.
    #[inline]
    pub const fn service(&self) -> Option<ServiceId> {
        if self.backend == UNBOUND { None } else { Some(ServiceId(self.service as u32)) }
    }

    /// Gives it the slots of its service and backend on this node.
    pub const fn bind(&mut self, service: ServiceId, backend: BackendId) {
        self.service = service.0 as u16;
        self.backend = backend.0;
    }

    /// Takes them away: the session came from the peer, and this node does not know its service or not any more.
    pub const fn unbind(&mut self) {
        self.backend = UNBOUND;
    }

    /// Whether the peer, which does not hear of every packet, could think it idle for half of its timeout though it is
    /// not. Asked about once a second.
    #[inline]
    pub fn must_be_told(&mut self, limit_ms: u32, now_ms: u32) -> bool {
        let shift = unit_shift(limit_ms);
        let told = self.told;
        if told == 0 {
            self.told = stamp(shift, now_ms);
            return false;
        }
        if limit_ms < SHORT_MS {
            // Half of it is over at every look: whoever had a packet since the last one is told.
            return self.idle_ms(now_ms) < LOOK_MS;
        }
        let units = u64::from(stamp(shift, now_ms).wrapping_sub(told));
        // A packet in the unit in which it was told may have come before: that much the peer may be behind.
        units << shift >= u64::from(limit_ms / 2) && u64::from(self.idle_ms(now_ms)) < (units - 1) << shift
    }

    /// The peer has been told that it lives.
    pub fn touched(&mut self, limit_ms: u32, now_ms: u32) {
        self.told = stamp(unit_shift(limit_ms), now_ms);
    }

    /// The peer has just been told what happened to it.
    #[inline]
    pub const fn told(&mut self) {
        self.told = 0;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::V4;

    /// Looks at a session once a second, and gives it a packet in the seconds that `busy` names; the seconds in which
    /// the peer must be told.
    fn told(limit_ms: u32, seconds: u32, busy: impl Fn(u32) -> bool) -> Vec<u32> {
        told_from(7_000, limit_ms, seconds, busy)
    }

    fn told_from(start: u32, limit_ms: u32, seconds: u32, busy: impl Fn(u32) -> bool) -> Vec<u32> {
        let ids = (ServiceId(1), BackendId(1), InstanceId(0));
        let mut session = Session::<V4>::new(Tuple::default(), Tuple::default(), Protocol::Udp, ids, start);
        let mut told = Vec::new();
        for second in 1..=seconds {
            let now_ms = start.wrapping_add(second * 1000);
            if busy(second) {
                session.last_seen_ms = now_ms.wrapping_sub(300);
            }
            if session.must_be_told(limit_ms, now_ms) {
                session.touched(limit_ms, now_ms);
                told.push(second);
            }
        }
        told
    }

    #[test]
    fn a_busy_session_is_told_twice_in_a_timeout_and_an_idle_one_never() {
        for limit_ms in [4_000, 20_000, 300_000] {
            let half = limit_ms / 2_000;
            let seconds = told(limit_ms, 10 * half, |_| true);
            assert!(seconds.len() <= 11, "{limit_ms} ms: {seconds:?}");
            // A unit more where the stamp would be 0, a look before the first, a look after the last.
            assert!(seconds[0] <= half + half / 4 + 2, "{seconds:?}");
            // A unit, and a look, later than half at most.
            assert!(seconds.windows(2).all(|pair| pair[1] - pair[0] <= half + half / 8 + 1), "{seconds:?}");
            assert!(told(limit_ms, 10 * half, |_| false).is_empty());
        }
        assert_eq!(told(1_000, 6, |_| true), [2, 3, 4, 5, 6]);
        assert_eq!(told(2_000, 6, |second| second == 4), [4]);
    }

    /// Milliseconds begin again after 49 days.
    #[test]
    fn a_busy_session_is_told_in_time_when_the_clock_wraps() {
        for before in 1..400 {
            let seconds = told_from(u32::MAX - before * 1_000, 20_000, 600, |_| true);
            assert!(
                seconds[0] <= 20 && seconds.windows(2).all(|pair| pair[1] - pair[0] <= 21),
                "{seconds:?}"
            );
        }
    }

    #[test]
    fn a_session_that_falls_idle_is_told_once_more() {
        let seconds = told(20_000, 100, |second| second <= 15);
        assert_eq!(seconds.len(), 2, "{seconds:?}");
        assert!(seconds[1] <= 23);
    }
}
