//! For tests: a stack on a port, and another machine on the same segment, which is smoltcp too.

use super::{Stack, Wire, device::Device};
use crate::{
    packet::{ETHER_IPV4, ETHER_IPV6, Ethernet, MIN_FRAME, Steering},
    plane::{NextHop, NextHops, Publisher, Route, Routes},
    port::PortFacts,
    types::{Mac, NextHopId, PortId},
};
use rtrb::{Consumer, RingBuffer};
use smoltcp::{
    iface::{Config, Interface, SocketHandle, SocketSet},
    socket::{tcp, udp},
    time::Instant,
    wire::{HardwareAddress, IpAddress, IpCidr},
};
use std::{
    collections::VecDeque,
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex},
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::sleep,
};

pub(crate) const NODE: [IpAddr; 2] = [v4(11), v6(0x11)];
pub(crate) const HOST: [IpAddr; 2] = [v4(21), v6(0x21)];
const NODE_MAC: Mac = Mac([2, 0, 0, 0, 0, 0x11]);
const HOST_MAC: Mac = Mac([2, 0, 0, 0, 0, 0x21]);
const MTU: u16 = 1500;
/// Connections that may come at once.
const BACKLOG: usize = 8;

const fn v4(last: u8) -> IpAddr {
    IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, last))
}

const fn v6(last: u16) -> IpAddr {
    IpAddr::V6(std::net::Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last))
}

/// The other machine.
struct Host {
    interface: Interface,
    device: Device,
    sockets: SocketSet<'static>,
    listening: Vec<(u16, SocketHandle, UnboundedSender<DuplexStream>)>,
    accepted: Vec<(SocketHandle, DuplexStream)>,
    echoes: Vec<SocketHandle>,
}

/// Both, and the cable.
pub(crate) struct Segment {
    pub(crate) stack: Stack,
    wire: Wire,
    vlan: u16,
    host: Host,
    _routes: Publisher<Routes>,
    next_hops: Arc<NextHops>,
    requests: Consumer<(PortId, IpAddr)>,
    /// What the node has sent that is still on the cable, and whether it gets there.
    cable: VecDeque<Vec<u8>>,
    pub(crate) plugged: bool,
    /// Frames the node has sent.
    pub(crate) sent: usize,
    began: std::time::Instant,
}

impl Segment {
    /// Untagged, the neighbour known.
    pub(crate) fn new() -> Self {
        let segment = Self::unresolved(0);
        segment.resolve();
        segment
    }

    /// The neighbour is not known yet.
    pub(crate) fn unresolved(vlan: u16) -> Self {
        let facts = PortFacts {
            id: PortId(0),
            name: "lan".into(),
            mac: NODE_MAC,
            mtu: MTU,
            vlan,
            steering: Steering::Software { workers: 1 },
            rx_descriptors: 64,
            hardware_timestamps: false,
            checks_ip: false,
        };
        let connected = ["10.0.0.0/24", "fd00::/64"].map(|to| Route {
            to: to.parse().unwrap(),
            port: PortId(0),
            via: None,
        });
        let routes = Publisher::new(Routes::new(connected.to_vec()));
        let next_hops = Arc::new(NextHops::new(8));
        let (ask, requests) = RingBuffer::new(8);
        let stack = Stack::new(NODE.to_vec(), MTU, Arc::default(), 1).unwrap();
        let wire = Wire::new(stack.clone(), &[facts], routes.reader(), Arc::clone(&next_hops), ask);
        Self {
            stack,
            wire,
            vlan,
            host: Host::new(),
            _routes: routes,
            next_hops,
            requests,
            cable: VecDeque::new(),
            plugged: true,
            sent: 0,
            began: std::time::Instant::now(),
        }
    }

    /// The control core has found the other machine.
    pub(crate) fn resolve(&self) {
        for (slot, address) in (0..).map(NextHopId).zip(HOST) {
            self.next_hops.resolve(slot, address, NextHop { mac: HOST_MAC, port: PortId(0) });
        }
    }

    /// What the control core was asked for.
    pub(crate) fn requested(&mut self) -> Vec<IpAddr> {
        std::iter::from_fn(|| self.requests.pop().ok().map(|(_, address)| address)).collect()
    }

    /// Connections to a port of the other machine's.
    pub(crate) fn listen(&mut self, port: u16) -> UnboundedReceiver<DuplexStream> {
        let (accepted, accept) = unbounded_channel();
        for _ in 0..BACKLOG {
            self.host.listen(port, accepted.clone());
        }
        accept
    }

    /// Has the other machine send back what comes to a port.
    pub(crate) fn echo(&mut self, port: u16) {
        let buffer = || udp::PacketBuffer::new(vec![udp::PacketMetadata::EMPTY; 8], vec![0; 8 * 1024]);
        let mut socket = udp::Socket::new(buffer(), buffer());
        socket.bind(port).unwrap();
        let handle = self.host.sockets.add(socket);
        self.host.echoes.push(handle);
    }

    /// Whether the stack has anything under way.
    pub(crate) fn is_busy(&self) -> bool {
        self.wire.is_busy()
    }

    /// Gives the stack an IP packet as from the other machine.
    pub(crate) fn deliver(&self, ip: &[u8]) {
        let ether_type = if ip[0] >> 4 == 4 { ETHER_IPV4 } else { ETHER_IPV6 };
        let ethernet = Ethernet { destination: NODE_MAC, source: HOST_MAC, vlan: self.vlan, ether_type };
        let mut frame = vec![0; ethernet.length()];
        ethernet.write(&mut frame).unwrap();
        frame.extend(ip);
        self.wire.receive(&frame);
    }

    /// Lets both go on.
    pub(crate) fn turn(&mut self) {
        self.wire.hush();
        let cable = &mut self.cable;
        self.sent += self.wire.turn(|port, frame| {
            assert_eq!(port, PortId(0));
            cable.push_back(frame.to_vec());
        });
        for frame in std::mem::take(&mut self.cable) {
            assert!(frame.len() >= MIN_FRAME);
            let (ethernet, start) = Ethernet::parse(&frame).unwrap();
            let ends = (ethernet.source, ethernet.destination, ethernet.vlan);
            assert_eq!(ends, (NODE_MAC, HOST_MAC, self.vlan));
            if self.plugged {
                self.host.device.arrive(&frame[start..]);
            }
        }
        self.host.turn(Instant::from_micros(self.began.elapsed().as_micros() as i64));
        for packet in self.host.device.take_outgoing() {
            self.deliver(&packet);
        }
    }

    /// Lets both go on until `work` is done.
    pub(crate) async fn until<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                () = sleep(Duration::from_micros(100)) => self.turn(),
            }
        }
    }
}

impl Host {
    fn new() -> Self {
        let mut device = Device::new(MTU);
        let mut interface = Interface::new(Config::new(HardwareAddress::Ip), &mut device, Instant::ZERO);
        interface.update_ip_addrs(|own| {
            for address in HOST {
                let length = if address.is_ipv4() { 24 } else { 64 };
                own.push(IpCidr::new(IpAddress::from(address), length)).unwrap();
            }
        });
        Self {
            interface,
            device,
            sockets: SocketSet::new(Vec::new()),
            listening: Vec::new(),
            accepted: Vec::new(),
            echoes: Vec::new(),
        }
    }

    fn listen(&mut self, port: u16, accepted: UnboundedSender<DuplexStream>) {
        let buffer = || tcp::SocketBuffer::new(vec![0; 4096]);
        let mut socket = tcp::Socket::new(buffer(), buffer());
        socket.listen(port).unwrap();
        self.listening.push((port, self.sockets.add(socket), accepted));
    }

    fn turn(&mut self, now: Instant) {
        self.interface.poll(now, &mut self.device, &mut self.sockets);
        for (port, handle, accepted) in std::mem::take(&mut self.listening) {
            if self.sockets.get::<tcp::Socket<'_>>(handle).state() == tcp::State::Listen {
                self.listening.push((port, handle, accepted));
                continue;
            }
            let (ours, theirs) = duplex(64 * 1024);
            let _ = accepted.send(theirs);
            self.accepted.push((handle, ours));
            self.listen(port, accepted);
        }
        let sockets = &mut self.sockets;
        self.accepted.retain_mut(|(handle, pipe)| {
            let goes_on = pump(sockets.get_mut(*handle), pipe);
            if !goes_on {
                sockets.remove(*handle);
            }
            goes_on
        });
        for handle in &self.echoes {
            let socket = sockets.get_mut::<udp::Socket<'_>>(*handle);
            while let Ok((payload, from)) = socket.recv().map(|(payload, from)| (payload.to_vec(), from)) {
                if payload != b"quiet" {
                    socket.send_slice(&payload, from.endpoint).unwrap();
                }
            }
        }
        self.interface.poll(now, &mut self.device, &mut self.sockets);
    }
}

/// Moves octets between a connection and who serves it; false when the other side has ended it.
fn pump(socket: &mut tcp::Socket<'_>, pipe: &mut DuplexStream) -> bool {
    let mut context = Context::from_waker(Waker::noop());
    while socket.can_recv() {
        let wrote = socket.recv(|octets| match Pin::new(&mut *pipe).poll_write(&mut context, octets) {
            Poll::Ready(Ok(length)) => (length, length),
            _ => (octets.len(), 0),
        });
        if wrote == Ok(0) {
            break;
        }
    }
    while socket.can_send() {
        let mut octets = [0; 1024];
        let room = octets.len().min(socket.send_capacity() - socket.send_queue());
        let mut buffer = ReadBuf::new(&mut octets[..room]);
        match Pin::new(&mut *pipe).poll_read(&mut context, &mut buffer) {
            Poll::Ready(Ok(())) if buffer.filled().is_empty() => {
                socket.close();
                break;
            }
            Poll::Ready(Ok(())) => _ = socket.send_slice(buffer.filled()).unwrap(),
            _ => break,
        }
    }
    socket.is_open()
}
