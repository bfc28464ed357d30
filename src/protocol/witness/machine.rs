//! All gateways of a node, asked in their turn.

use super::{MAX_GATEWAYS, PATIENCE, evidence::Evidence, gateway::Asked};
use crate::{
    packet::icmp::EchoId,
    protocol::{
        bfd::{CONTROL_LENGTH, Datagram, Discard, ECHO_PORT, Echo, Endpoints, Random, State},
        neighbor::Ask,
    },
    types::{Duration, Instant, Mac, PortId},
};
use arrayvec::ArrayVec;
use std::net::IpAddr;

/// How gateways are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// ARP, and neighbour solicitation for IPv6: the gateway's control plane answers.
    Arp,
    /// ICMP echo: mostly its control plane too; it may be routers away.
    Ping,
    /// Unaffiliated BFD echo (RFC 9747): its forwarding answers, in microseconds.
    BfdEcho,
}

impl Check {
    /// How often to ask, beside a peer that is heard every `bfd`. Routers police what their control plane answers; what
    /// they forward comes back as fast as the peer speaks.
    pub fn interval(self, bfd: Option<Duration>) -> Duration {
        const SLOW: Duration = Duration::from_millis(10);
        match (self, bfd) {
            (Self::Arp | Self::Ping, _) => SLOW,
            (Self::BfdEcho, Some(bfd)) => bfd.clamp(Duration::from_micros(50), SLOW),
            (Self::BfdEcho, None) => Duration::from_millis(1),
        }
    }
}

/// A gateway to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gateway {
    /// The port towards it.
    pub port: PortId,
    /// This node's address on that port; of the gateway's family.
    pub local: IpAddr,
    /// Its address.
    pub address: IpAddr,
}

/// What to send; the caller knows the ports' MACs and VLANs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// [`Ask::frame`], with the port's MAC and [`Gateway::local`].
    Arp(Ask),
    /// [`EchoId::write_request`], to the gateway's next hop.
    Ping(EchoId),
    /// [`crate::protocol::bfd::emit`] with these ends, in a frame to the MAC of the gateway itself.
    Echo {
        /// From this node to this node.
        endpoints: Endpoints,
        /// The control packet.
        payload: [u8; CONTROL_LENGTH],
    },
}

/// What has been counted since the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Counters {
    /// Questions sent.
    pub asked: u64,
    /// Answers to them.
    pub answered: u64,
    /// What looked like an answer, and nobody had asked.
    pub unasked: u64,
}

#[derive(Clone, Debug)]
struct Slot {
    gateway: Gateway,
    asked: Asked,
    kind: Kind,
}

/// What asking needs to remember, by [`Check`].
#[derive(Clone, Debug)]
enum Kind {
    /// The MAC that answered last.
    Arp(Option<Mac>),
    /// The last question's number.
    Ping(EchoId),
    /// The session, and its UDP source port.
    Echo(Box<Echo>, u16),
}

/// The gateways. Lives on the control thread; allocates nothing after [`Witness::new`].
#[derive(Clone, Debug)]
pub struct Witness {
    interval: Duration,
    slots: ArrayVec<Slot, MAX_GATEWAYS>,
    counters: Counters,
}

impl Witness {
    /// Asks `gateways` (the first [`MAX_GATEWAYS`] of them) every `interval`, the first questions due now. `random`
    /// should have an unpredictable seed: nobody may guess what an answer must carry.
    pub fn new(
        check: Check,
        interval: Duration,
        gateways: impl IntoIterator<Item = Gateway>,
        now: Instant,
        mut random: Random,
    ) -> Self {
        let slot = |gateway: Gateway| Slot {
            gateway,
            asked: Asked::new(now),
            kind: match check {
                Check::Arp => Kind::Arp(None),
                Check::Ping => {
                    // Identifiers above are those of health checks.
                    let [identifier, sequence] =
                        [random.next_u32() as u16 & 0x7fff, random.next_u32() as u16];
                    Kind::Ping(EchoId { identifier, sequence })
                }
                Check::BfdEcho => {
                    let own = Random::seeded(random.next_u64());
                    let echo = Echo::new(gateway.local, interval, now, own);
                    Kind::Echo(Box::new(echo), 49_152 + random.below(16_384) as u16)
                }
            },
        };
        let slots = gateways.into_iter().take(MAX_GATEWAYS).map(slot).collect();
        Self { interval, slots, counters: Counters::default() }
    }

    /// The next question that is due at `now`. Call again until there is none; one that cannot be sent counts as
    /// lost on the way.
    pub fn ask(&mut self, now: Instant) -> Option<(Gateway, Request)> {
        let interval = self.interval;
        let found = self.slots.iter_mut().find_map(|slot| Some((slot.gateway, slot.ask(interval, now)?)))?;
        self.counters.asked += 1;
        Some(found)
    }

    /// The peer has been late since `since`: asks all gateways at once, if they have not been asked since.
    pub fn hurry(&mut self, since: Instant, now: Instant) {
        for slot in &mut self.slots {
            if slot.asked.hurry(since, now)
                && let Kind::Echo(echo, _) = &mut slot.kind
            {
                echo.hurry();
            }
        }
    }

    /// When the next question is due; `None` without gateways. With [`Check::BfdEcho`] look every turn.
    pub fn deadline(&self) -> Option<Instant> {
        self.slots.iter().map(|slot| slot.asked.next).min()
    }

    /// An ARP reply or neighbour advertisement came from `address` at `mac`.
    pub fn hear_arp(&mut self, port: PortId, address: IpAddr, mac: Mac, at: Instant) {
        self.hear(at, |slot| match &mut slot.kind {
            Kind::Arp(known) if (slot.gateway.port, slot.gateway.address) == (port, address) => {
                *known = Some(mac);
                true
            }
            _ => false,
        });
    }

    /// An ICMP echo reply came from `address`.
    pub fn hear_ping(&mut self, address: IpAddr, id: EchoId, at: Instant) {
        self.hear(at, |slot| match &slot.kind {
            // Any of the open questions may be the one that is answered.
            Kind::Ping(last) => {
                let behind = last.sequence.wrapping_sub(id.sequence);
                slot.gateway.address == address
                    && id.identifier == last.identifier
                    && u32::from(behind) < slot.asked.open()
            }
            _ => false,
        });
    }

    /// A datagram to [`ECHO_PORT`] came by `port`.
    pub fn hear_echo(&mut self, port: PortId, datagram: &Datagram<'_>, at: Instant) -> Result<(), Discard> {
        let mut result = Err(Discard::NoSession);
        self.hear(at, |slot| match &mut slot.kind {
            Kind::Echo(echo, _) if slot.gateway.port == port && result.is_err() => {
                result = echo.receive(datagram, at);
                result.is_ok()
            }
            _ => false,
        });
        result
    }

    /// What the gateways say at `drained_at`, a moment at which the receive queues were known to be empty.
    pub fn judge(&mut self, drained_at: Instant) -> Evidence {
        let window = self.interval.times(PATIENCE.into());
        let mut evidence = Evidence { window, ..Evidence::NOT_ASKED };
        let mut lost = 0;
        for slot in &mut self.slots {
            if let Kind::Echo(echo, _) = &mut slot.kind {
                echo.expire(drained_at);
            }
            evidence.asked = true;
            evidence.answered = evidence.answered.max(slot.asked.last_answer());
            let since = match &slot.kind {
                // The session counts for itself, and asks but once a second while it is Down.
                Kind::Echo(echo, _) if echo.has_failed() => slot.asked.unanswered_since(window, drained_at),
                _ => slot.asked.lost_since(window, drained_at),
            };
            lost += usize::from(since.is_some());
            evidence.lost_since = evidence.lost_since.max(since);
        }
        if lost < self.slots.len() {
            evidence.lost_since = None;
        }
        evidence
    }

    /// Each gateway, when it last answered, and the echo session's state where there is one.
    pub fn gateways(&self) -> impl Iterator<Item = (Gateway, Option<Instant>, Option<State>)> {
        self.slots.iter().map(|slot| {
            let state = match &slot.kind {
                Kind::Echo(echo, _) => Some(echo.state()),
                Kind::Arp(_) | Kind::Ping(_) => None,
            };
            (slot.gateway, slot.asked.last_answer(), state)
        })
    }

    /// What happened so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    fn hear(&mut self, at: Instant, mut is_from: impl FnMut(&mut Slot) -> bool) {
        for slot in &mut self.slots {
            if is_from(slot) {
                let counter = match slot.asked.answered(at) {
                    true => &mut self.counters.answered,
                    false => &mut self.counters.unasked,
                };
                *counter += 1;
            }
        }
    }
}

impl Slot {
    fn ask(&mut self, interval: Duration, now: Instant) -> Option<Request> {
        let request = match &mut self.kind {
            Kind::Echo(echo, source_port) => {
                let payload = echo.transmit(now)?;
                let [source, destination] = [echo.address(); 2];
                let (source_port, destination_port) = (*source_port, ECHO_PORT);
                Request::Echo {
                    endpoints: Endpoints { source, destination, source_port, destination_port },
                    payload,
                }
            }
            _ if self.asked.next > now => return None,
            Kind::Arp(known) => {
                // One that does not answer under the MAC it had may have another.
                let to = known.filter(|_| self.asked.open() < PATIENCE);
                Request::Arp(Ask { port: self.gateway.port, address: self.gateway.address, to })
            }
            Kind::Ping(last) => {
                last.sequence = last.sequence.wrapping_add(1);
                Request::Ping(*last)
            }
        };
        self.asked.asked(now, interval);
        Some(request)
    }
}

#[cfg(test)]
mod tests;
