//! The conversations under way, and which packet belongs to which.

use super::{MOST_CONNECTIONS, MOST_QUESTIONS, device::Device, exhausted};
use crate::{
    packet::{
        Datagram, Udp,
        icmp::{EchoId, Embedded, ErrorKind, Message},
    },
    plane::ProbePorts,
    types::Protocol,
};
use smoltcp::{
    iface::{Config, Interface, SocketHandle, SocketSet},
    socket::tcp,
    time::Instant,
    wire::{HardwareAddress, IpEndpoint, Ipv4Address, Ipv6Address},
};
use std::{
    collections::{HashMap, VecDeque},
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{self, Duration},
};
use tokio::sync::oneshot;

/// Octets of an answer that may wait to be read.
const RECEIVE_BUFFER: usize = 8 * 1024;
/// Octets of a request that may wait to be sent.
const SEND_BUFFER: usize = 2 * 1024;
/// The flags of TCP by which a connection is accepted.
const SYN_ACK: u8 = 0x12;
/// TTL or hop limit of datagrams.
const TTL: u8 = 64;

/// What is still on its way when a probe ends is no stranger's.
const LINGER: Duration = Duration::from_millis(100);

/// The ends of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ends {
    local: IpAddr,
    target: SocketAddr,
}

#[derive(Debug)]
struct Open {
    handle: SocketHandle,
    ends: Ends,
    /// The other side has accepted it, whatever it did then.
    accepted: bool,
    /// What the network says of it.
    failure: Option<io::ErrorKind>,
}

/// What tells one question from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Key {
    /// A datagram, by the port it came from.
    Udp(u16),
    /// An echo request, by its identifier.
    Echo(u16),
}

impl Key {
    const fn port(self) -> u16 {
        match self {
            Self::Udp(port) | Self::Echo(port) => port,
        }
    }
}

/// What came of a question.
pub(super) type Answer = io::Result<Vec<u8>>;

/// A question on its way, and where its answer will be.
pub(super) type Asked = (Key, oneshot::Receiver<Answer>);

#[derive(Debug)]
struct Waiting {
    ends: Ends,
    answer: oneshot::Sender<Answer>,
}

pub(super) struct Core {
    interface: Interface,
    sockets: SocketSet<'static>,
    device: Device,
    /// By local port.
    open: HashMap<u16, Open>,
    /// Sockets whose reset is still to be sent.
    closing: Vec<SocketHandle>,
    waiting: HashMap<Key, Waiting>,
    /// Of all of them: pings take their identifiers from there too.
    ports: Arc<ProbePorts>,
    next_port: u16,
    /// Ports of what is over, and until when they are kept.
    lingering: VecDeque<(time::Instant, u16)>,
    began: time::Instant,
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let counts = (self.open.len(), self.waiting.len());
        f.debug_struct("Core").field("under_way", &counts).finish_non_exhaustive()
    }
}

impl Core {
    pub(super) fn new(mtu: u16, ports: Arc<ProbePorts>, seed: u64) -> Self {
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = seed;
        let mut device = Device::new(mtu);
        let mut interface = Interface::new(config, &mut device, Instant::ZERO);
        // Which addresses are this node's, workers have looked at; where packets go, the wire does. What smoltcp
        // wants is some address of its own and a way to everywhere.
        interface.set_any_ip(true);
        let routes = interface.routes_mut();
        // There is room for two.
        let _ = routes.add_default_ipv4_route(Ipv4Address::UNSPECIFIED);
        let _ = routes.add_default_ipv6_route(Ipv6Address::UNSPECIFIED);
        Self {
            interface,
            sockets: SocketSet::new(Vec::new()),
            device,
            open: HashMap::new(),
            closing: Vec::new(),
            waiting: HashMap::new(),
            ports,
            next_port: ProbePorts::RANGE.start() | (seed >> 48) as u16,
            lingering: VecDeque::new(),
            began: time::Instant::now(),
        }
    }

    /// Whether anything may come, or is to be sent.
    pub(super) fn is_busy(&self) -> bool {
        !(self.open.is_empty() && self.closing.is_empty() && self.waiting.is_empty())
    }

    /// A port that nobody uses; whoever takes it says so.
    fn free_port(&mut self) -> io::Result<u16> {
        for _ in ProbePorts::RANGE {
            let port = self.next_port;
            self.next_port = port.checked_add(1).unwrap_or(*ProbePorts::RANGE.start());
            if !self.ports.contains(port) {
                return Ok(port);
            }
        }
        Err(exhausted())
    }

    /// A conversation is over.
    fn release(&mut self, port: u16) {
        self.lingering.push_back((time::Instant::now() + LINGER, port));
    }

    /// Begins to connect; the connection's local port.
    pub(super) fn connect(&mut self, local: IpAddr, target: SocketAddr) -> io::Result<u16> {
        if self.open.len() + self.closing.len() >= MOST_CONNECTIONS {
            return Err(exhausted());
        }
        let port = self.free_port()?;
        let buffer = |length| tcp::SocketBuffer::new(vec![0; length]);
        let mut socket = tcp::Socket::new(buffer(RECEIVE_BUFFER), buffer(SEND_BUFFER));
        // Requests are written whole.
        socket.set_nagle_enabled(false);
        let ends = (IpEndpoint::from(target), IpEndpoint::new(local.into(), port));
        let begun = socket.connect(self.interface.context(), ends.0, ends.1);
        begun.map_err(|_| io::Error::from(io::ErrorKind::AddrNotAvailable))?;
        let handle = self.sockets.add(socket);
        self.ports.set(port, true);
        self.open.insert(port, Open { handle, ends: Ends { local, target }, accepted: false, failure: None });
        Ok(port)
    }

    /// The socket of a connection.
    pub(super) fn socket(&mut self, port: u16) -> Option<&mut tcp::Socket<'static>> {
        Some(self.sockets.get_mut(self.open.get(&port)?.handle))
    }

    /// What became of a connection that is over: it had been accepted, or why it was not.
    pub(super) fn fate(&self, port: u16) -> io::Result<()> {
        match self.open.get(&port) {
            Some(Open { accepted: true, .. }) => Ok(()),
            Some(Open { failure: Some(failure), .. }) => Err((*failure).into()),
            _ => Err(io::ErrorKind::ConnectionRefused.into()),
        }
    }

    /// Ends a connection by a reset.
    pub(super) fn close(&mut self, port: u16) {
        if let Some(open) = self.open.remove(&port) {
            self.sockets.get_mut::<tcp::Socket<'_>>(open.handle).abort();
            self.closing.push(open.handle);
            self.release(port);
        }
    }

    /// Sends a datagram.
    pub(super) fn send(&mut self, local: IpAddr, target: SocketAddr, payload: &[u8]) -> io::Result<Asked> {
        let port = self.free_port()?;
        let udp = Udp {
            source: local,
            destination: target.ip(),
            source_port: port,
            destination_port: target.port(),
            ttl: TTL,
        };
        let mut packet = vec![0; udp.header_length()];
        packet.extend_from_slice(payload);
        let written = udp.write_headers(&mut packet, 0, payload.len()).is_some();
        self.ask(Key::Udp(port), Ends { local, target }, written.then_some(packet))
    }

    /// Sends an echo request.
    pub(super) fn ping(&mut self, local: IpAddr, target: IpAddr) -> io::Result<Asked> {
        let id = EchoId { identifier: self.free_port()?, sequence: 1 };
        let mut packet = vec![0; 48];
        let length = id.write_request(local, target, &mut packet);
        let packet = length.map(|length| {
            packet.truncate(length);
            packet
        });
        let ends = Ends { local, target: SocketAddr::new(target, 0) };
        self.ask(Key::Echo(id.identifier), ends, packet)
    }

    fn ask(&mut self, key: Key, ends: Ends, packet: Option<Vec<u8>>) -> io::Result<Asked> {
        let packet = packet.ok_or(io::ErrorKind::AddrNotAvailable)?;
        if self.waiting.len() >= MOST_QUESTIONS || !self.device.leave(packet) {
            return Err(exhausted());
        }
        let (answer, answered) = oneshot::channel();
        self.ports.set(key.port(), true);
        self.waiting.insert(key, Waiting { ends, answer });
        Ok((key, answered))
    }

    /// Nobody waits for that answer any more.
    pub(super) fn forget(&mut self, key: Key) {
        if self.waiting.remove(&key).is_some() {
            self.release(key.port());
        }
    }

    /// An IP packet has come.
    pub(super) fn hear(&mut self, ip: &[u8]) {
        let Ok(datagram) = Datagram::parse(ip, true) else { return };
        match Protocol::from_number(datagram.protocol) {
            Some(Protocol::Tcp) => self.hear_tcp(ip, &datagram),
            Some(Protocol::Udp) => self.hear_udp(ip),
            Some(Protocol::Sctp) => {}
            None => self.hear_icmp(ip, &datagram),
        }
    }

    fn hear_tcp(&mut self, ip: &[u8], datagram: &Datagram) {
        let Some(ports) = datagram.ports(ip) else { return };
        let ends =
            Ends { local: datagram.destination, target: SocketAddr::new(datagram.source, ports.source()) };
        if let Some(open) = self.open.get_mut(&ports.destination()).filter(|open| open.ends == ends) {
            let flags = ip.get(datagram.l4_offset + 13).copied().unwrap_or(0);
            open.accepted |= flags & SYN_ACK == SYN_ACK;
            self.device.arrive(ip.get(..datagram.end).unwrap_or(ip));
        }
    }

    fn hear_udp(&mut self, ip: &[u8]) {
        let Ok((udp, payload)) = Udp::parse(ip) else { return };
        let ends = Ends { local: udp.destination, target: SocketAddr::new(udp.source, udp.source_port) };
        self.answer(Key::Udp(udp.destination_port), ends, || Ok(payload.to_vec()));
    }

    fn hear_icmp(&mut self, ip: &[u8], datagram: &Datagram) {
        match Message::parse(ip, datagram) {
            Ok(Message::EchoReply) => {
                let Ok(id) = EchoId::of_reply(ip, datagram) else { return };
                let ends = Ends { local: datagram.destination, target: SocketAddr::new(datagram.source, 0) };
                self.answer(Key::Echo(id.identifier), ends, || Ok(Vec::new()));
            }
            Ok(Message::Error(ErrorKind::Unreachable(code))) => {
                self.hear_unreachable(ip, datagram, failure(code, datagram.source.is_ipv4()));
            }
            _ => {}
        }
    }

    fn hear_unreachable(&mut self, ip: &[u8], datagram: &Datagram, failure: io::ErrorKind) {
        let Ok(Embedded { at, datagram: quoted }) = Embedded::find(ip, datagram) else { return };
        let Some(ports) = ip.get(at..).and_then(|ip| quoted.ports(ip)) else { return };
        let target = SocketAddr::new(quoted.destination, ports.destination());
        let ends = Ends { local: quoted.source, target };
        match Protocol::from_number(quoted.protocol) {
            Some(Protocol::Udp) => self.answer(Key::Udp(ports.source()), ends, || Err(failure.into())),
            Some(Protocol::Tcp) => self.refuse(ports.source(), ends, failure),
            _ => {}
        }
    }

    /// A connection that is not made yet will not be. One that is goes on: anybody can forge such a message.
    fn refuse(&mut self, port: u16, ends: Ends, failure: io::ErrorKind) {
        let Some(open) = self.open.get_mut(&port).filter(|open| open.ends == ends) else { return };
        let socket = self.sockets.get_mut::<tcp::Socket<'_>>(open.handle);
        if socket.state() == tcp::State::SynSent {
            open.failure = Some(failure);
            socket.abort();
        }
    }

    fn answer(&mut self, key: Key, ends: Ends, answer: impl FnOnce() -> Answer) {
        if self.waiting.get(&key).is_some_and(|waiting| waiting.ends == ends)
            && let Some(waiting) = self.waiting.remove(&key)
        {
            let _ = waiting.answer.send(answer());
            self.release(key.port());
        }
    }

    /// Lets connections go on, and gives the packets to be sent.
    pub(super) fn turn(&mut self) -> VecDeque<Vec<u8>> {
        let now = Instant::from_micros(i64::try_from(self.began.elapsed().as_micros()).unwrap_or(i64::MAX));
        self.interface.poll(now, &mut self.device, &mut self.sockets);
        for handle in self.closing.drain(..) {
            self.sockets.remove(handle);
        }
        let now = time::Instant::now();
        while let Some(&(until, port)) = self.lingering.front()
            && until <= now
        {
            self.lingering.pop_front();
            self.ports.set(port, false);
        }
        self.device.take_outgoing()
    }
}

/// What an unreachable destination means; a firewall that rejects says so in many words.
const fn failure(code: u8, is_ipv4: bool) -> io::ErrorKind {
    match (is_ipv4, code) {
        (true, 3) | (false, 4) => io::ErrorKind::ConnectionRefused,
        _ => io::ErrorKind::HostUnreachable,
    }
}
