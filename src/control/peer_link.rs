//! The way to the other node: datagrams of the pair's, out by the port that leads to it, in from the workers.

use super::{MAX_BFD_SESSIONS, NodeAddresses, Outlet, PairView};
use crate::{
    packet::{Datagram, ETHER_IPV4, ETHER_IPV6, Ethernet, Udp},
    plane::{NextHop, NextHops, Routes},
    port::Port,
    protocol::{
        neighbor::Neighbors,
        pair::{Kind, MAX_OVERHEAD, Opened, Pair, PairSettings, Refusal, SYNC_PORT},
    },
    types::{Duration, Instant, Protocol},
};
use arrayvec::ArrayVec;
use std::{net::IpAddr, sync::Arc};

/// TTL sent, and the only one taken: nobody beyond a router can send it (RFC 5082).
const TTL: u8 = 255;
/// DSCP CS6: hellos are as urgent as BFD.
const URGENT_CLASS: u8 = 0xc0;
/// DSCP CS2: sessions give way to them.
const BULK_CLASS: u8 = 0x40;
/// How often the peer's MAC is asked for while it is not known.
const ASK: Duration = Duration::from_millis(100);
/// An address that the peer was not heard from for so long is not where sessions go, if it was heard from another.
const FRESH: Duration = Duration::from_secs(1);

/// Addresses of the peer, at most: that of the configuration, and one a BFD session.
const MAX_ADDRESSES: usize = 1 + MAX_BFD_SESSIONS;

/// Bytes of IPv6 and UDP headers, the longer of the two families'.
const IP_AND_UDP: usize = 48;

/// Larger packets are not sent, whatever the MTU: every device's buffers hold these.
const MAX_PACKET: u16 = 1500;

/// Bytes left of a port's MTU for the body of a message.
pub const fn body_room(mtu: u16) -> usize {
    let packet = if mtu < MAX_PACKET { mtu } else { MAX_PACKET };
    (packet as usize).saturating_sub(IP_AND_UDP + MAX_OVERHEAD)
}

/// What sending needs of the control core.
#[derive(Debug)]
pub struct Io<'a, P: Port> {
    /// Frames leave by it.
    pub outlet: &'a mut Outlet<P>,
    /// The way to the peer.
    pub routes: &'a Routes,
    /// Its MAC.
    pub next_hops: &'a NextHops,
    /// Where it is asked for while unknown.
    pub neighbors: &'a mut Neighbors,
    /// This node's address on the way.
    pub addresses: &'a NodeAddresses,
}

/// What a link is made from.
#[derive(Clone, Debug)]
pub struct PeerSettings {
    /// Who this node is.
    pub pair: PairSettings,
    /// Where the peer is, its address for sessions first; others may come and go.
    pub addresses: Vec<IpAddr>,
}

/// The link to the peer. Control thread only.
#[derive(Debug)]
pub struct PeerLink {
    pair: Pair,
    view: Arc<PairView>,
    /// The peer's addresses, that for sessions first.
    peers: ArrayVec<Peer, MAX_ADDRESSES>,
}

/// An address of the peer.
#[derive(Clone, Copy, Debug)]
struct Peer {
    address: IpAddr,
    /// It is in the configuration, and stays.
    configured: bool,
    /// When its MAC was last asked for.
    asked: Option<Instant>,
    /// When the peer was last heard from it.
    heard: Option<Instant>,
}

#[derive(Clone, Copy)]
struct Way {
    hop: NextHop,
    own: IpAddr,
}

impl Peer {
    /// How to reach it; while its MAC is unknown it is asked for.
    fn way<P: Port>(&mut self, io: &mut Io<'_, P>, now: Instant) -> Option<Way> {
        let way = io.routes.way(self.address)?;
        let own = io.addresses.source_for(way.port, self.address)?;
        let hop = io.next_hops.find(way.port, way.neighbor).and_then(|slot| io.next_hops.get(slot));
        if hop.is_none() && self.asked.is_none_or(|asked| now.since(asked) >= ASK) {
            self.asked = Some(now);
            io.neighbors.urge(way.port, way.neighbor, now);
        }
        Some(Way { hop: hop?, own })
    }
}

impl PeerLink {
    /// To a peer that has not been heard.
    pub fn new(settings: PeerSettings) -> Self {
        let mut link = Self { pair: Pair::new(settings.pair), view: Arc::default(), peers: ArrayVec::new() };
        settings.addresses.into_iter().for_each(|address| link.add(address, true));
        link
    }

    /// The peer has this address too.
    pub fn add_peer(&mut self, address: IpAddr) {
        self.add(address, false);
    }

    fn add(&mut self, address: IpAddr, configured: bool) {
        if self.peers().all(|peer| peer != address) {
            // There is room for as many as there are BFD sessions.
            let _ = self.peers.try_push(Peer { address, configured, asked: None, heard: None });
        }
    }

    /// The peer has not got this address any more, unless the configuration says that it has.
    pub fn remove_peer(&mut self, address: IpAddr) {
        self.peers.retain(|peer| peer.configured || peer.address != address);
    }

    /// The peer's addresses.
    pub fn peers(&self) -> impl Iterator<Item = IpAddr> {
        self.peers.iter().map(|peer| peer.address)
    }

    /// What others see of it.
    pub fn view(&self) -> Arc<PairView> {
        Arc::clone(&self.view)
    }

    pub(super) fn publish(&self) {
        self.view.publish(&self.pair);
    }

    /// The conversation.
    pub const fn pair(&self) -> &Pair {
        &self.pair
    }

    /// Counts a message whose body was not what its kind says.
    pub const fn refuse_body(&mut self) {
        self.pair.refuse(Refusal::MalformedBody);
    }

    /// Sends a message whose body, of up to `room` bytes, `body` writes; `None` for nothing to send. Returns whether
    /// something was sent. While the peer's MAC is unknown it is asked for, and nothing is sent.
    pub fn send<P: Port>(
        &mut self,
        kind: Kind,
        room: usize,
        io: &mut Io<'_, P>,
        now: Instant,
        body: impl FnOnce(&mut [u8]) -> Option<usize>,
    ) -> bool {
        self.send_to(self.for_sessions(now), kind, room, io, now, body)
    }

    /// The number of the address that sessions go to: the first that the peer is heard from, or the first.
    fn for_sessions(&self, now: Instant) -> usize {
        let is_heard = |peer: &Peer| peer.heard.is_some_and(|heard| now.since(heard) < FRESH);
        self.peers.iter().position(is_heard).unwrap_or(0)
    }

    /// Sends a message to every address of the peer: whichever arrives first counts.
    pub fn broadcast<P: Port>(&mut self, kind: Kind, body: &[u8], io: &mut Io<'_, P>, now: Instant) {
        for number in 0..self.peers.len() {
            self.send_to(number, kind, body.len(), io, now, |out| {
                out.get_mut(..body.len())?.copy_from_slice(body);
                Some(body.len())
            });
        }
    }

    fn send_to<P: Port>(
        &mut self,
        number: usize,
        kind: Kind,
        room: usize,
        io: &mut Io<'_, P>,
        now: Instant,
        body: impl FnOnce(&mut [u8]) -> Option<usize>,
    ) -> bool {
        let Some(peer) = self.peers.get_mut(number) else { return false };
        let Some(way) = peer.way(io, now) else { return false };
        let udp = Udp {
            source: way.own,
            destination: peer.address,
            source_port: SYNC_PORT,
            destination_port: SYNC_PORT,
            ttl: TTL,
        };
        let class = if kind == Kind::Hello { URGENT_CLASS } else { BULK_CLASS };
        let headers = udp.header_length();
        let pair = &mut self.pair;
        let length = 18 + headers + pair.overhead() + room;
        io.outlet.send_long(way.hop.port, length, |frame, facts| {
            let ether_type = if way.own.is_ipv4() { ETHER_IPV4 } else { ETHER_IPV6 };
            let ethernet =
                Ethernet { destination: way.hop.mac, source: facts.mac, vlan: facts.vlan, ether_type };
            let at = ethernet.write(frame)?;
            let ip = frame.get_mut(at..)?;
            let message = pair.seal(kind, ip.get_mut(headers..)?, body)?;
            Some(at + udp.write_headers(ip, class, message)?)
        })
    }

    /// Whether a frame that a worker passed on is for this link: to the pair's port. Nothing else is checked.
    pub fn is_for(frame: &[u8]) -> bool {
        let Ok((_, at)) = Ethernet::parse(frame) else { return false };
        let ip = frame.get(at..).unwrap_or_default();
        Datagram::parse(ip, true).is_ok_and(|datagram| {
            datagram.protocol == Protocol::Udp.number()
                && datagram.ports(ip).is_some_and(|ports| ports.destination() == SYNC_PORT)
        })
    }

    /// Opens the message in a frame for this link, received at `at`. What is refused has been counted.
    pub fn hear<'a>(&mut self, frame: &'a [u8], at: Instant) -> Option<Opened<'a>> {
        let (_, ip) = Ethernet::parse(frame).ok()?;
        let Ok((udp, message)) = Udp::parse(frame.get(ip..)?) else {
            self.pair.refuse(Refusal::Malformed);
            return None;
        };
        let peer = self.peers.iter_mut().find(|peer| udp.ttl == TTL && peer.address == udp.source);
        let Some(peer) = peer else {
            self.pair.refuse(Refusal::Stranger);
            return None;
        };
        // Also for a message that is refused: the nodes are not acquainted before one hears an answer of the other.
        peer.heard = Some(at);
        self.pair.open(message).ok()
    }
}
