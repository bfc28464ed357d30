//! Echo requests (RFC 792, RFC 4443 section 4.1). One socket for all that come from one address: a raw socket hears
//! every ICMP message of the machine, and thousands of them would hear each other's.

use super::{Answer, Check, Outcome, unsent};
use crate::{
    manage::{health::outcome::Failure, stack::Stack},
    packet::{fold, sum},
};
use parking_lot::Mutex;
use rustix::net::{
    AddressFamily, Protocol, SocketFlags, SocketType, ipproto, socket_with,
    sockopt::{set_socket_recv_buffer_size, set_socket_recv_buffer_size_force},
};
use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};
use tokio::{net::UdpSocket, sync::oneshot, task::JoinHandle};

/// An echo request or reply: header, and a token.
const LENGTH: usize = 16;
/// Octets that may wait to be read.
const RECEIVE_BUFFER: usize = 8 << 20;
/// Type of a request and of its reply, IPv4.
const V4: (u8, u8) = (8, 0);
/// The same, IPv6.
const V6: (u8, u8) = (128, 129);

/// The sockets, by this node's address.
#[derive(Debug, Default)]
pub(super) struct Pingers {
    pingers: Mutex<HashMap<IpAddr, Arc<Pinger>>>,
    tokens: AtomicU64,
    seed: RandomState,
}

impl Pingers {
    /// Whether an echo request is answered. Waits for ever where nothing comes.
    pub(super) async fn ask(&self, check: &Check) -> Answer {
        let pinger = self.pinger(check).map_err(unsent)?;
        let token = self.seed.hash_one(self.tokens.fetch_add(1, Relaxed));
        pinger.ask(check.target.ip(), token).await
    }

    fn pinger(&self, check: &Check) -> io::Result<Arc<Pinger>> {
        let mut pingers = self.pingers.lock();
        if let Some(pinger) = pingers.get(&check.local) {
            return Ok(Arc::clone(pinger));
        }
        let pinger = Arc::new(Pinger::open(check)?);
        pingers.insert(check.local, Arc::clone(&pinger));
        Ok(pinger)
    }
}

/// The same by the stack, which tells the replies apart itself.
pub(super) async fn ask(check: &Check, stack: &Stack) -> Answer {
    let question = stack.ping(check.local, check.target.ip()).map_err(unsent)?;
    question.answer().await.map(drop).map_err(|error| Outcome::Dead(Failure::of(&error)))
}

/// Who waits for the reply of a token, and whom it was sent to.
type Waiting = HashMap<u64, (IpAddr, oneshot::Sender<()>)>;

#[derive(Debug)]
struct Pinger {
    socket: Arc<UdpSocket>,
    waiting: Arc<Mutex<Waiting>>,
    reader: JoinHandle<()>,
}

impl Drop for Pinger {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Pinger {
    fn open(check: &Check) -> io::Result<Self> {
        let socket = Arc::new(socket(check)?);
        let waiting: Arc<Mutex<Waiting>> = Arc::default();
        let reader = tokio::spawn(read(Arc::clone(&socket), Arc::clone(&waiting), check.local.is_ipv4()));
        Ok(Self { socket, waiting, reader })
    }

    async fn ask(&self, target: IpAddr, token: u64) -> Answer {
        let (answered, answer) = oneshot::channel();
        self.waiting.lock().insert(token, (target, answered));
        // It waits no longer when this probe ends, however that is.
        let _waits = Waits { waiting: &self.waiting, token };
        let sent = self.socket.send_to(&request(target, token), SocketAddr::new(target, 0)).await;
        sent.map_err(|error| match error.kind() {
            io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
                Outcome::Dead(Failure::Unreachable)
            }
            _ => unsent(error),
        })?;
        answer.await.map_err(|_| Outcome::Unknown(io::ErrorKind::BrokenPipe))
    }
}

struct Waits<'p> {
    waiting: &'p Mutex<Waiting>,
    token: u64,
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.waiting.lock().remove(&self.token);
    }
}

/// A raw socket; where that is not allowed, the kernel's own kind for pings. Both take and give what is after the IP
/// header, but for IPv4's raw ones, which give the header too.
fn socket(check: &Check) -> io::Result<UdpSocket> {
    let (family, protocol) = match check.local {
        IpAddr::V4(_) => (AddressFamily::INET, ipproto::ICMP),
        IpAddr::V6(_) => (AddressFamily::INET6, ipproto::ICMPV6),
    };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let open = |kind: SocketType, protocol: Protocol| socket_with(family, kind, flags, Some(protocol));
    let descriptor = open(SocketType::RAW, protocol).or_else(|_| open(SocketType::DGRAM, protocol))?;
    // As large as this process may: thousands of replies may come at once. What does not fit counts as not answered.
    if set_socket_recv_buffer_size_force(&descriptor, RECEIVE_BUFFER).is_err() {
        let _ = set_socket_recv_buffer_size(&descriptor, RECEIVE_BUFFER);
    }
    rustix::net::bind(&descriptor, &SocketAddr::new(check.local, 0))?;
    UdpSocket::from_std(descriptor.into())
}

/// An echo request. The kernel fills in IPv6's checksum, which covers addresses.
fn request(target: IpAddr, token: u64) -> [u8; LENGTH] {
    let mut message = [0; LENGTH];
    let (kind, _) = if target.is_ipv4() { V4 } else { V6 };
    message[0] = kind;
    let token = token.to_be_bytes();
    // The identifier too: kernels and firewalls tell conversations apart by it.
    message[4..8].copy_from_slice(&token[..4]);
    message[8..].copy_from_slice(&token);
    if target.is_ipv4() {
        let checksum = !fold(sum(&message));
        message[2..4].copy_from_slice(&checksum.to_ne_bytes());
    }
    message
}

/// The token of an echo reply.
fn token(message: &[u8], v4: bool) -> Option<u64> {
    let first = *message.first()?;
    // A raw socket of IPv4 gives the header, whose first octet no ICMP message begins with.
    let header = if v4 && first >> 4 == 4 { usize::from(first & 0xf) * 4 } else { 0 };
    let message = message.get(header..)?;
    let (_, reply) = if v4 { V4 } else { V6 };
    if message.first() != Some(&reply) {
        return None;
    }
    message.get(8..LENGTH)?.try_into().ok().map(u64::from_be_bytes)
}

async fn read(socket: Arc<UdpSocket>, waiting: Arc<Mutex<Waiting>>, v4: bool) {
    let mut message = [0; 512];
    loop {
        // An error is about some message that was sent before: who waits for its reply waits in vain.
        let Ok((length, from)) = socket.recv_from(&mut message).await else { continue };
        let Some(token) = message.get(..length).and_then(|message| token(message, v4)) else { continue };
        let mut waiting = waiting.lock();
        if waiting.get(&token).is_some_and(|(target, _)| *target == from.ip())
            && let Some((_, answered)) = waiting.remove(&token)
        {
            let _ = answered.send(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_told_from_everything_else() {
        let target: IpAddr = [10, 0, 0, 1].into();
        let mut message = request(target, 0x0102_0304_0506_0708).to_vec();
        assert_eq!(fold(sum(&message)), 0xffff, "it sums up");
        assert_eq!(token(&message, true), None, "a request is no reply");
        message[0] = 0;
        assert_eq!(token(&message, true), Some(0x0102_0304_0506_0708));
        let mut with_header = vec![0; 24];
        with_header[0] = 0x46;
        with_header.extend(&message);
        assert_eq!(token(&with_header, true), Some(0x0102_0304_0506_0708), "with a header and an option");
        assert_eq!(token(&message, false), None, "of the other family");
        message[0] = 129;
        assert_eq!(token(&message, false), Some(0x0102_0304_0506_0708));
        for length in 0..LENGTH {
            assert_eq!(token(&message[..length], false), None);
        }
    }
}
