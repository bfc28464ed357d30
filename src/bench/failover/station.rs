//! A node's only port: a cable to the other node, and clients and backends that live in the port itself. They answer what
//! comes to them at once, and do what the segment's task says.

use super::{
    clock::Clock,
    segment::{Segment, Task, pack},
};
use crate::{
    packet::{Arp, ETHER_ARP, ETHER_IPV4, Ethernet, fold, sum},
    port::{
        Burst, Packet, Port,
        memory::{MemoryPacket, Pool},
    },
    protocol::{owner::Owner, responder::answer_arp},
    simulator::{BACKEND_PORT, GATEWAY, LOCAL, VIP, VIP_PORT, node_mac},
    types::{Duration, Instant, Mac, PortId, Protocol},
};
use std::{collections::VecDeque, net::IpAddr, sync::Arc};

/// Clients and backends.
const OTHERS: Mac = Mac([2, 0, 0, 0, 0, 0x99]);
/// From one probe to the next.
const PROBE: Duration = Duration::from_micros(2);
/// Handshakes that may be under way.
const UNDER_WAY: u64 = 256;
/// Client ports of one address.
const PORTS: u32 = 50_000;
const FIRST_PORT: u32 = 1024;

/// Lengths and places in a frame without VLAN and options.
const IP: usize = 14;
const TCP: usize = 34;
const LENGTH: usize = 54;

const IP_TCP: u8 = Protocol::Tcp.number();
const SYN: u8 = 0x02;
const ACK: u8 = 0x10;

/// One end of it all.
#[derive(Debug)]
pub(super) struct Station {
    number: usize,
    segment: Arc<Segment>,
    pool: Pool,
    clock: Clock,
    /// What clients and backends said and the node has not received.
    inbox: VecDeque<MemoryPacket>,
    probed_at: Instant,
}

struct Everybody;

impl Owner for Everybody {
    fn answers(&self, _port: PortId, address: IpAddr) -> Option<Mac> {
        let IpAddr::V4(address) = address else { return None };
        let is_backend = matches!(address.octets(), [10, 77, 1, _]);
        (address == GATEWAY || is_backend).then_some(OTHERS)
    }

    fn is_own_mac(&self, _port: PortId, mac: Mac) -> bool {
        mac == OTHERS
    }
}

/// The TCP fields of a frame that matter here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fields {
    source: ([u8; 4], u16),
    destination: ([u8; 4], u16),
    /// The connection's number, in place of a sequence number: it passes the node unchanged.
    connection: u32,
    flags: u8,
}

impl Fields {
    fn client(connection: u32, flags: u8) -> Self {
        let [_, b, c, d] = (connection / PORTS + 1).to_be_bytes();
        let port = FIRST_PORT + connection % PORTS;
        Self {
            source: ([20, b, c, d], port as u16),
            destination: (VIP.octets(), VIP_PORT),
            connection,
            flags,
        }
    }

    fn read(frame: &[u8]) -> Option<Self> {
        let frame: &[u8; LENGTH] = frame.first_chunk()?;
        let is_tcp =
            frame[12..14] == ETHER_IPV4.to_be_bytes() && frame[IP] == 0x45 && frame[IP + 9] == IP_TCP;
        let address = |at: usize| [frame[at], frame[at + 1], frame[at + 2], frame[at + 3]];
        let port = |at: usize| u16::from_be_bytes([frame[at], frame[at + 1]]);
        is_tcp.then(|| Self {
            source: (address(IP + 12), port(TCP)),
            destination: (address(IP + 16), port(TCP + 2)),
            connection: u32::from_be_bytes(address(TCP + 4)),
            flags: frame[TCP + 13],
        })
    }

    fn write(&self, to: Mac, frame: &mut [u8]) -> Option<()> {
        let frame: &mut [u8; LENGTH] = frame.first_chunk_mut()?;
        Ethernet { destination: to, source: OTHERS, vlan: 0, ether_type: ETHER_IPV4 }.write(frame)?;
        frame[IP..IP + 12].copy_from_slice(&[0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, IP_TCP, 0, 0]);
        frame[IP + 12..IP + 16].copy_from_slice(&self.source.0);
        frame[IP + 16..IP + 20].copy_from_slice(&self.destination.0);
        let checksum = !fold(sum(&frame[IP..TCP]));
        frame[IP + 10..IP + 12].copy_from_slice(&checksum.to_ne_bytes());
        frame[TCP..TCP + 2].copy_from_slice(&self.source.1.to_be_bytes());
        frame[TCP + 2..TCP + 4].copy_from_slice(&self.destination.1.to_be_bytes());
        frame[TCP + 4..TCP + 8].copy_from_slice(&self.connection.to_be_bytes());
        frame[TCP + 8..TCP + 20].copy_from_slice(&[0, 0, 0, 0, 0x50, self.flags, 0xff, 0xff, 0, 0, 0, 0]);
        let pseudo =
            sum(&frame[IP + 12..TCP]) + u32::from(u16::from(IP_TCP).to_be()) + u32::from(20u16.to_be());
        let checksum = !fold(pseudo + sum(&frame[TCP..]));
        frame[TCP + 16..TCP + 18].copy_from_slice(&checksum.to_ne_bytes());
        Some(())
    }

    const fn answer(self, flags: u8) -> Self {
        Self { source: self.destination, destination: self.source, flags, ..self }
    }
}

impl Station {
    pub(super) fn new(number: usize, segment: Arc<Segment>, pool: Pool, clock: Clock) -> Self {
        Self { number, segment, pool, clock, inbox: VecDeque::with_capacity(4096), probed_at: Instant::ZERO }
    }

    /// Somebody says something to this node.
    fn say(&mut self, fields: Fields) {
        let to = node_mac(self.number);
        if let Some(mut packet) = self.pool.allocate()
            && packet.resize(LENGTH)
            && fields.write(to, packet.data_mut()).is_some()
        {
            self.inbox.push_back(packet);
        }
    }

    /// Clients do what their task says.
    fn act(&mut self, room: usize) {
        if !self.segment.is_owner(self.number) {
            return;
        }
        match self.segment.task() {
            Task::Rest => {}
            Task::Open => {
                let under_way =
                    u64::from(self.segment.taken()) - self.segment.done().min(self.segment.taken().into());
                // A queue that is never seen empty is an overload, and then few sessions are opened.
                let round = if under_way == 0 { UNDER_WAY as usize } else { 0 };
                for _ in 0..room.min(round) {
                    let Some(connection) = self.segment.take() else { break };
                    self.say(Fields::client(connection, SYN));
                }
            }
            Task::Verify => {
                for _ in 0..room {
                    let Some(connection) = self.segment.take() else { break };
                    self.say(Fields::client(connection, ACK));
                }
            }
            Task::Probe => {
                let now = self.clock.now();
                if now.since(self.probed_at) >= PROBE {
                    self.probed_at = now;
                    self.say(Fields::client(0, ACK));
                }
            }
        }
    }

    /// A frame that leaves the node.
    fn deliver(&mut self, packet: MemoryPacket) {
        let Ok((ethernet, at)) = Ethernet::parse(packet.data()) else { return };
        if ethernet.ether_type == ETHER_ARP {
            self.hear_arp(&ethernet, packet.data().get(at..).unwrap_or_default());
        } else if ethernet.destination == OTHERS {
            if let Some(fields) = Fields::read(packet.data()) {
                self.hear(fields);
            }
            return;
        }
        self.segment.send(self.number, packet, self.clock.now());
    }

    fn hear_arp(&mut self, ethernet: &Ethernet, body: &[u8]) {
        let Ok(arp) = Arp::parse(body) else { return };
        if arp.is_gratuitous() && arp.sender == VIP {
            self.segment.announce(self.number, self.clock.now());
        }
        let mut answer = [0; 64];
        if let Some(length) = answer_arp(PortId(0), ethernet, &arp, &Everybody, &mut answer)
            && let Some(packet) = answer.get(..length).and_then(|frame| self.pool.packet(frame))
        {
            self.inbox.push_back(packet);
        }
    }

    /// A backend hears a client, or a client a backend.
    fn hear(&mut self, fields: Fields) {
        if fields.source.0 != LOCAL.octets() {
            // The end of a handshake.
            if fields.flags & SYN != 0 {
                self.say(fields.answer(ACK));
            }
            return;
        }
        if fields.destination.1 != BACKEND_PORT {
            return;
        }
        let seen = pack(fields.source.0, fields.source.1, fields.destination.0);
        if self.segment.task() == Task::Probe {
            self.segment.forward(self.number, self.clock.now());
        } else {
            self.segment.see(fields.connection, seen, fields.flags & SYN != 0);
        }
        if fields.flags & SYN != 0 {
            self.say(fields.answer(SYN | ACK));
        }
    }
}

impl Port for Station {
    type Packet = MemoryPacket;

    fn receive(&mut self, burst: &mut Burst<MemoryPacket>) -> usize {
        let before = burst.len();
        while !burst.is_full() {
            let Some(packet) = self.segment.receive(self.number, self.clock.now()) else { break };
            burst.push(packet);
        }
        self.act(burst.remaining_capacity().saturating_sub(self.inbox.len()));
        while !burst.is_full() {
            let Some(packet) = self.inbox.pop_front() else { break };
            burst.push(packet);
        }
        burst.len() - before
    }

    fn transmit(&mut self, burst: &mut Burst<MemoryPacket>) -> usize {
        let count = burst.len();
        for packet in burst.drain(..) {
            self.deliver(packet);
        }
        count
    }

    fn allocate(&mut self) -> Option<MemoryPacket> {
        self.pool.allocate()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_back_and_checksums_are_right() {
        for connection in [0, 49_999, 50_000, 1_234_567] {
            let fields = Fields::client(connection, SYN).answer(SYN | ACK);
            let mut frame = [0; LENGTH];
            fields.write(OTHERS, &mut frame).unwrap();
            assert_eq!(Fields::read(&frame), Some(fields));
            let sliced = etherparse::SlicedPacket::from_ethernet(&frame).unwrap();
            let Some(etherparse::TransportSlice::Tcp(tcp)) = sliced.transport else { panic!("not TCP") };
            let (source, destination) = (fields.source.0, fields.destination.0);
            let right = tcp.to_header().calc_checksum_ipv4_raw(source, destination, &[]).unwrap();
            assert_eq!(tcp.checksum(), right);
        }
        let ends: std::collections::HashSet<_> =
            (0..200_000).map(|n| Fields::client(n, SYN).source).collect();
        assert_eq!(ends.len(), 200_000);
    }
}
