//! Between the stack's IP packets and frames on ports.

use super::Stack;
use crate::{
    packet::{Datagram, ETHER_IPV4, ETHER_IPV6, Ethernet, MIN_FRAME},
    plane::{NextHop, NextHops, Reader, Routes, Way},
    port::PortFacts,
    types::{Mac, PortId},
};
use rtrb::Producer;
use rustix::fd::{AsFd, BorrowedFd};
use std::{
    collections::VecDeque,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

/// Packets that wait until their next hop has answered, at most.
const HELD: usize = 1024;
/// How long they wait: as long as a first retransmission takes.
const HOLD: Duration = Duration::from_secs(1);

/// A packet whose next hop is not known yet.
#[derive(Debug)]
struct Held {
    packet: Vec<u8>,
    way: Way,
    until: Instant,
}

/// The stack's end towards the ports, for the thread that moves its packets.
#[derive(Debug)]
pub struct Wire {
    stack: Stack,
    /// Each port's MAC and VLAN.
    ports: Vec<(Mac, u16)>,
    routes: Reader<Routes>,
    next_hops: Arc<NextHops>,
    /// Asks the control core for next hops.
    requests: Producer<(PortId, IpAddr)>,
    held: VecDeque<Held>,
}

impl Wire {
    /// Over all ports, by the routes and neighbours that workers use too.
    pub fn new(
        stack: Stack,
        ports: &[PortFacts],
        routes: Reader<Routes>,
        next_hops: Arc<NextHops>,
        requests: Producer<(PortId, IpAddr)>,
    ) -> Self {
        let ports = ports.iter().map(|port| (port.mac, port.vlan)).collect();
        Self { stack, ports, routes, next_hops, requests, held: VecDeque::new() }
    }

    /// A frame has come.
    pub fn receive(&self, frame: &[u8]) {
        if let Ok((_, start)) = Ethernet::parse(frame)
            && let Some(ip) = frame.get(start..)
        {
            self.stack.0.core.lock().hear(ip);
        }
    }

    /// Lets the stack go on; `send` gets each frame that goes out by a port. Returns how many there were.
    pub fn turn(&mut self, mut send: impl FnMut(PortId, &[u8])) -> usize {
        let leaving = self.stack.0.core.lock().turn();
        let now = Instant::now();
        let mut sent = 0;
        for held in std::mem::take(&mut self.held) {
            match self.hop(held.way) {
                Some(hop) => sent += usize::from(self.emit(hop, &held.packet, &mut send)),
                None if held.until > now => self.held.push_back(held),
                None => {}
            }
        }
        for packet in leaving {
            let Some(way) = self.way(&packet) else { continue };
            match self.hop(way) {
                Some(hop) => sent += usize::from(self.emit(hop, &packet, &mut send)),
                None => {
                    // Without room for the request a retransmission asks again.
                    let _ = self.requests.push((way.port, way.neighbor));
                    if self.held.len() < HELD {
                        self.held.push_back(Held { packet, way, until: now + HOLD });
                    }
                }
            }
        }
        sent
    }

    fn way(&mut self, packet: &[u8]) -> Option<Way> {
        let datagram = Datagram::parse(packet, true).ok()?;
        self.routes.load().way(datagram.destination)
    }

    fn hop(&self, way: Way) -> Option<NextHop> {
        self.next_hops.get(self.next_hops.find(way.port, way.neighbor)?)
    }

    fn emit(&self, hop: NextHop, packet: &[u8], send: &mut impl FnMut(PortId, &[u8])) -> bool {
        let Some(&(source, vlan)) = self.ports.get(hop.port.index()) else { return false };
        let ether_type =
            if packet.first().is_some_and(|first| first >> 4 == 4) { ETHER_IPV4 } else { ETHER_IPV6 };
        let ethernet = Ethernet { destination: hop.mac, source, vlan, ether_type };
        let mut frame = vec![0; ethernet.length()];
        let written = ethernet.write(&mut frame).is_some();
        frame.extend_from_slice(packet);
        frame.resize(frame.len().max(MIN_FRAME), 0);
        if written {
            send(hop.port, &frame);
        }
        written
    }

    /// Whether something may come soon. Without, whoever turns it may sleep until [`Self::as_fd`] is readable.
    pub fn is_busy(&self) -> bool {
        !self.held.is_empty() || self.stack.0.core.lock().is_busy()
    }

    /// Takes note that it was woken. To be called before [`Self::turn`].
    pub fn hush(&self) {
        self.stack.0.bell.hush();
    }
}

/// Readable when the stack has something to send.
impl AsFd for Wire {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stack.0.bell.as_fd()
    }
}
