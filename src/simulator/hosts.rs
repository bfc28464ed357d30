//! Everybody but the nodes: clients that open connections to the service and keep talking over them, backends that answer,
//! and the gateway. What they see is what counts: whether somebody answers, and whether a connection stays the same one.

use super::{
    plan::{BACKEND_PORT, GATEWAY, LOCAL, VIP, VIP_PORT},
    segment::{ACK, FIN, RST, SYN, Segment},
};
use crate::{
    packet::{Arp, ArpOperation, ETHER_ARP, Ethernet},
    protocol::{owner::Owner, responder::answer_arp},
    types::{Duration, Instant, Mac, PortId},
};
use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, SocketAddrV4},
};

/// They all live behind one cable.
pub(super) const MAC: Mac = Mac([2, 0, 0, 0, 0, 0x99]);
/// The clients', behind the gateway.
const CLIENT: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 7);
const FIRST_PORT: u16 = 1024;
/// From one try to open a connection to the next.
const RETRY: Duration = Duration::from_millis(30);
/// From one exchange over a connection to the next.
const PACE: Duration = Duration::from_millis(25);
/// From one short connection to the next, and how many exchanges it has.
const CHURN: Duration = Duration::from_millis(40);
const EXCHANGES: u32 = 3;
/// A MAC that answers nothing for so long is asked for again.
const DOUBT: Duration = Duration::from_millis(200);
/// A connection that need not survive is given up when nothing answers for so long.
const PATIENCE: Duration = Duration::from_millis(1000);
/// From one question for a MAC to the next.
const ASK: Duration = Duration::from_millis(50);

/// How far a connection is, by what its client knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Opening,
    Open,
    Closing,
    Over,
}

/// A connection between a client and a backend.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    pub(super) phase: Phase,
    /// It stays open to the end.
    pub(super) long: bool,
    /// What the backend sees: the address and port it comes from, and the backend.
    seen: Option<(SocketAddrV4, Ipv4Addr)>,
    due: Instant,
    exchange: u32,
    /// Exchanges answered.
    pub(super) answered: u32,
    /// When the last was.
    pub(super) answered_at: Instant,
    /// The node that its client last heard over it, and when that sent what it heard.
    pub(super) via: Option<(usize, Instant)>,
    /// Nodes that hold it, a bit each; none before the peer has acknowledged it.
    pub(super) holders: u8,
    /// Nobody who lives holds it: it may be lost.
    pub(super) void: bool,
}

impl Connection {
    /// Whether it must survive.
    pub(super) const fn counts(&self) -> bool {
        self.holders != 0 && !self.void && matches!(self.phase, Phase::Open)
    }
}

/// All of them.
#[derive(Debug)]
pub(super) struct Hosts {
    pub(super) connections: Vec<Connection>,
    /// Who came from an address and port to a backend, last.
    at_backends: HashMap<(SocketAddrV4, Ipv4Addr), u32>,
    macs: HashMap<Ipv4Addr, Mac>,
    asked_at: Instant,
    next_short: Instant,
    /// When a client last heard anything.
    pub(super) served_at: Instant,
    /// What must not be.
    pub(super) wrong: Option<String>,
}

/// Whether an address is a backend's.
const fn is_backend(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    matches!((a, b, c), (10, 77, 1))
}

struct Everybody;

impl Owner for Everybody {
    fn answers(&self, _port: PortId, address: IpAddr) -> Option<Mac> {
        let IpAddr::V4(address) = address else { return None };
        (address == GATEWAY || is_backend(address)).then_some(MAC)
    }

    fn is_own_mac(&self, _port: PortId, mac: Mac) -> bool {
        mac == MAC
    }
}

impl Hosts {
    /// Clients that open `long` connections at once, and short ones for ever.
    pub(super) fn new(long: usize, now: Instant) -> Self {
        let mut hosts = Self {
            connections: Vec::new(),
            at_backends: HashMap::new(),
            macs: HashMap::new(),
            asked_at: Instant::ZERO,
            next_short: now + CHURN,
            served_at: now,
            wrong: None,
        };
        for _ in 0..long {
            hosts.open(true, now);
        }
        hosts
    }

    fn open(&mut self, long: bool, now: Instant) {
        self.connections.push(Connection {
            phase: Phase::Opening,
            long,
            seen: None,
            due: now,
            exchange: 0,
            answered: 0,
            answered_at: now,
            via: None,
            holders: 0,
            void: false,
        });
    }

    /// Opens one more long connection.
    pub(super) fn open_long(&mut self, now: Instant) {
        self.open(true, now);
    }

    /// When somebody next has something to say.
    pub(super) fn due(&self) -> Instant {
        let connections = self.connections.iter().filter(|it| it.phase != Phase::Over).map(|it| it.due);
        connections.min().unwrap_or(Instant::MAX).min(self.next_short)
    }

    /// Says what is due.
    pub(super) fn act(&mut self, now: Instant, out: &mut Vec<Vec<u8>>) {
        if self.next_short <= now {
            self.next_short = now + CHURN;
            self.open(false, now);
        }
        let mut segments = Vec::new();
        for (number, connection) in (0..).zip(&mut self.connections) {
            if connection.phase == Phase::Over || connection.due > now {
                continue;
            }
            if !connection.counts() && now.since(connection.answered_at) >= PATIENCE {
                connection.phase = Phase::Over;
                continue;
            }
            let flags = match connection.phase {
                Phase::Opening => {
                    connection.due = now + RETRY;
                    SYN
                }
                Phase::Open => {
                    connection.due = now + PACE;
                    connection.exchange += 1;
                    ACK
                }
                Phase::Closing | Phase::Over => {
                    connection.due = now + RETRY;
                    FIN | ACK
                }
            };
            segments.push(Segment {
                source: client(number),
                destination: SocketAddrV4::new(VIP, VIP_PORT),
                flags,
                connection: number,
                exchange: connection.exchange,
            });
        }
        for segment in segments {
            self.say(&segment, now, out);
        }
    }

    /// Puts a segment on the wire, or asks for the way first.
    fn say(&mut self, segment: &Segment, now: Instant, out: &mut Vec<Vec<u8>>) {
        let to = *segment.destination.ip();
        let known = self.macs.get(&to).copied();
        let doubtful = now.since(self.served_at) >= DOUBT;
        if (known.is_none() || doubtful) && now.since(self.asked_at) >= ASK {
            self.asked_at = now;
            for target in [VIP, LOCAL] {
                let mut frame = [0; 64];
                let question = Arp::request(MAC, GATEWAY, target);
                if let Some(length) = question.frame(Mac::BROADCAST, 0, &mut frame) {
                    out.push(frame[..length].to_vec());
                }
            }
        }
        if let Some(mac) = known {
            out.push(segment.frame(MAC, mac));
        }
    }

    /// Takes a frame that a node sent, and when.
    pub(super) fn receive(
        &mut self,
        frame: &[u8],
        via: (usize, Instant),
        now: Instant,
        out: &mut Vec<Vec<u8>>,
    ) {
        let Ok((ethernet, at)) = Ethernet::parse(frame) else { return };
        if ethernet.ether_type == ETHER_ARP {
            self.hear_arp(&ethernet, frame.get(at..).unwrap_or_default(), out);
        } else if let Some(segment) = Segment::parse(frame).filter(|_| ethernet.destination == MAC) {
            if *segment.destination.ip() == CLIENT {
                self.hear_as_client(&segment, via, now);
            } else {
                self.hear_as_backend(&segment, now, out);
            }
        }
    }

    fn hear_arp(&mut self, ethernet: &Ethernet, body: &[u8], out: &mut Vec<Vec<u8>>) {
        let Ok(arp) = Arp::parse(body) else { return };
        let concerns_us = arp.is_gratuitous() || arp.operation == ArpOperation::Reply;
        if concerns_us && [VIP, LOCAL].contains(&arp.sender) {
            self.macs.insert(arp.sender, arp.sender_mac);
        }
        let mut answer = [0; 64];
        if let Some(length) = answer_arp(PortId(0), ethernet, &arp, &Everybody, &mut answer) {
            out.push(answer[..length].to_vec());
        }
    }

    fn hear_as_client(&mut self, segment: &Segment, via: (usize, Instant), now: Instant) {
        let Some(connection) = self.connections.get_mut(segment.connection as usize) else {
            return self.complain(format!(
                "a client hears of connection {}, which nobody opened",
                segment.connection
            ));
        };
        if segment.source != SocketAddrV4::new(VIP, VIP_PORT)
            || segment.destination != client(segment.connection)
        {
            return self.complain(format!("a client hears {segment:?}"));
        }
        if segment.flags & RST != 0 {
            let counts = connection.counts();
            connection.phase = Phase::Over;
            if counts {
                self.complain(format!("connection {} was reset", segment.connection));
            }
            return;
        }
        connection.answered_at = now;
        connection.via = Some(via);
        self.served_at = now;
        match connection.phase {
            Phase::Opening if segment.flags & SYN != 0 => {
                connection.phase = Phase::Open;
                connection.due = now;
            }
            Phase::Open if segment.flags & SYN == 0 => {
                connection.answered += 1;
                if !connection.long && connection.answered >= EXCHANGES {
                    connection.phase = Phase::Closing;
                    connection.due = now;
                }
            }
            Phase::Closing if segment.flags & FIN != 0 => connection.phase = Phase::Over,
            _ => {}
        }
    }

    fn hear_as_backend(&mut self, segment: &Segment, now: Instant, out: &mut Vec<Vec<u8>>) {
        let number = segment.connection;
        let seen = (segment.source, *segment.destination.ip());
        let right =
            *segment.source.ip() == LOCAL && is_backend(seen.1) && segment.destination.port() == BACKEND_PORT;
        let Some(connection) = self.connections.get(number as usize).filter(|_| right) else {
            return self.complain(format!("a backend hears {segment:?}"));
        };
        if connection.seen != Some(seen) {
            if connection.counts() {
                let before = connection.seen;
                return self.complain(format!(
                    "connection {number} came to the backends as {before:?}, and now as {seen:?}"
                ));
            }
            if segment.flags & SYN == 0 {
                return;
            }
        }
        if segment.flags & SYN != 0 {
            let before = self.at_backends.insert(seen, number).filter(|before| *before != number);
            let in_use = before.and_then(|before| Some((before, self.connections.get(before as usize)?)));
            if let Some((before, other)) = in_use
                && other.counts()
                && other.seen == Some(seen)
            {
                return self
                    .complain(format!("{} is given to connection {number} while {before} has it", seen.0));
            }
            if let Some(connection) = self.connections.get_mut(number as usize) {
                // Opened at both nodes, because neither could know of the other's: no one of them is the right one.
                connection.void |= connection.seen.is_some_and(|before| before != seen);
                connection.seen = Some(seen);
            }
        }
        let flags = ACK | segment.flags & (SYN | FIN);
        self.say(&segment.answer(flags), now, out);
    }

    fn complain(&mut self, what: String) {
        self.wrong.get_or_insert(what);
    }
}

const fn client(connection: u32) -> SocketAddrV4 {
    SocketAddrV4::new(CLIENT, FIRST_PORT + connection as u16)
}

#[cfg(test)]
mod tests {
    use super::{super::plan::node_mac, *};

    const BACKEND: Ipv4Addr = Ipv4Addr::new(10, 77, 1, 1);

    /// One connection that is open and must live, by its local port 2000.
    fn hosts() -> Hosts {
        let mut hosts = Hosts::new(2, Instant::ZERO);
        let local = SocketAddrV4::new(LOCAL, 2000);
        hosts.connections[0].phase = Phase::Open;
        hosts.connections[0].holders = 0b11;
        hosts.connections[0].seen = Some((local, BACKEND));
        hosts.at_backends.insert((local, BACKEND), 0);
        hosts
    }

    fn complaint(
        source: SocketAddrV4,
        destination: SocketAddrV4,
        flags: u8,
        connection: u32,
    ) -> Option<String> {
        let segment = Segment { source, destination, flags, connection, exchange: 1 };
        let mut hosts = hosts();
        let frame = segment.frame(node_mac(0), MAC);
        hosts.receive(&frame, (0, Instant::ZERO), Instant::ZERO, &mut Vec::new());
        hosts.wrong
    }

    #[test]
    fn what_must_not_be_is_told() {
        let at = SocketAddrV4::new;
        let backend = at(BACKEND, BACKEND_PORT);
        let vip = at(VIP, VIP_PORT);
        for (what, complained, expected) in [
            ("its packet", complaint(at(LOCAL, 2000), backend, ACK, 0), None),
            ("an answer", complaint(vip, client(0), ACK, 0), None),
            ("another port", complaint(at(LOCAL, 2001), backend, ACK, 0), Some("came to the backends as")),
            ("a port twice", complaint(at(LOCAL, 2000), backend, SYN, 1), Some("is given to connection 1")),
            ("a reset", complaint(vip, client(0), RST, 0), Some("was reset")),
            ("another client's", complaint(vip, client(1), ACK, 0), Some("a client hears")),
            ("an address that is not ours", complaint(client(0), backend, ACK, 0), Some("a backend hears")),
        ] {
            match (complained, expected) {
                (None, None) => {}
                (Some(told), Some(part)) if told.contains(part) => {}
                (told, _) => panic!("{what}: {told:?}"),
            }
        }
    }
}
