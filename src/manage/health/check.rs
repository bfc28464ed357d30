//! What is probed, from where, and how.

use crate::{
    config::{Backend, Exit, Health, Probe, Service},
    types::Duration,
};
use std::net::{IpAddr, SocketAddr};

/// A check. Backends that are to be probed alike share one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Check {
    /// Who is probed; port 0 for pings.
    pub target: SocketAddr,
    /// This node's address that probes come from. The kernel's routes lead them: to the subnet of a port, by its
    /// kernel interface. They are not tied to it, for where a device is shared with the kernel, as with
    /// `net_af_packet`, answers may come by either.
    pub local: IpAddr,
    /// What is sent, and what must come back.
    pub how: How,
    /// From the start of one probe to the start of the next.
    pub interval: Duration,
    /// How long the answer may take.
    pub timeout: Duration,
    /// Answers in a row that bring a backend back.
    pub rise: u8,
    /// Failures in a row that take it out.
    pub fall: u8,
}

/// What is sent, and what must come back.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum How {
    /// A connection is accepted.
    Tcp,
    /// A GET request is answered.
    Http {
        /// Over TLS.
        tls: bool,
        /// What is asked for.
        path: String,
        /// Statuses that mean alive.
        statuses: Vec<u16>,
        /// What the answer must hold.
        reply: Vec<u8>,
    },
    /// A datagram is answered; without `reply`, or at least not refused.
    Udp {
        /// What is sent.
        payload: Vec<u8>,
        /// What the answer must hold.
        reply: Vec<u8>,
    },
    /// An echo request is answered.
    Ping,
}

impl How {
    /// As the configuration says; `None` where nothing is to be probed.
    pub fn of(health: &Health) -> Option<Self> {
        let octets = |text: &str| Health::octets(text).unwrap_or_default();
        Some(match health.probe {
            Probe::None => return None,
            Probe::Tcp => Self::Tcp,
            Probe::Ping => Self::Ping,
            Probe::Udp => Self::Udp { payload: octets(&health.payload), reply: octets(&health.reply) },
            Probe::Http | Probe::Https => Self::Http {
                tls: health.probe == Probe::Https,
                path: health.path.clone(),
                statuses: health.expect_status.clone(),
                reply: octets(&health.reply),
            },
        })
    }
}

impl Check {
    /// Of a backend, whose connections leave by `exit`; `None` where nothing is to be probed. A backend that gets the
    /// port the client asked for is probed at the service's first.
    pub fn of_backend(service: &Service, backend: &Backend, exit: Exit<'_>) -> Option<Self> {
        let health = &service.health;
        let how = How::of(health)?;
        let own = backend.port.unwrap_or_else(|| service.port.first());
        let port = if how == How::Ping { 0 } else { health.port.unwrap_or(own) };
        Some(Self {
            target: SocketAddr::new(backend.address, port),
            local: exit.local,
            how,
            interval: health.interval,
            timeout: health.timeout,
            rise: health.rise,
            fall: health.fall,
        })
    }
}
