//! The control side of an open device: link, counters, address filter, flow rules.
//!
//! Ownership: a [`Nic`] holds an `Arc<Attached>` like the queues. Drivers' control functions are not made for
//! several threads: a `Nic` can move between threads but not be shared.

use super::{
    device::Attached,
    device_clock::DeviceClock,
    ffi,
    flow::{FlowError, FlowRule},
    inventory::Timestamps,
};
use crate::{
    packet::Steering,
    port::PortFacts,
    types::{Mac, PortId},
};
use std::{cell::Cell, marker::PhantomData, sync::Arc};

/// How a port came out of its configuration.
#[derive(Clone, Debug)]
pub struct Report {
    /// Its own address.
    pub mac: Mac,
    /// Largest IP packet, in bytes.
    pub mtu: u16,
    /// How received packets find their worker.
    pub steering: Steering,
    /// Descriptors of each receive queue: what was wanted, or what the device allows.
    pub rx_descriptors: u16,
    /// Descriptors of each transmit queue, likewise.
    pub tx_descriptors: u16,
    /// It checks IPv4 header checksums.
    pub checks_ip: bool,
    /// It checks TCP, UDP and SCTP checksums.
    pub checks_l4: [bool; 3],
    /// What lets multicast in, which IPv6 neighbour discovery needs.
    pub multicast: Filter,
    /// Receive times were asked for and granted.
    pub rx_timestamps: bool,
    /// Who stamps packets.
    pub timestamps: Timestamps,
    /// Its driver.
    pub driver: String,
}

/// How far a device's address filter was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// For the addresses in question.
    Exact,
    /// For everything (promiscuous mode).
    Promiscuous,
    /// It has no filter that could be opened: it passes everything, as far as its driver says.
    None,
}

/// What the device counted since it was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Counters {
    /// Packets received.
    pub rx_packets: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Packets lost because a receive queue was full: its worker is too slow.
    pub rx_missed: u64,
    /// Packets damaged.
    pub rx_errors: u64,
    /// Times no packet buffer was left: the pool is too small.
    pub rx_no_buffer: u64,
    /// Packets that could not be sent.
    pub tx_errors: u64,
}

/// The link's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// It carries packets.
    pub up: bool,
    /// Both ways at once.
    pub full_duplex: bool,
    /// Its speed, if known.
    pub speed_mbps: Option<u32>,
}

/// An open device, apart from its queues: what the control side does with it.
#[derive(Debug)]
pub struct Nic {
    pub(super) attached: Arc<Attached>,
    pub(super) report: Report,
    pub(super) _one_thread: PhantomData<Cell<()>>,
}

impl Nic {
    /// The device's own name.
    pub fn name(&self) -> &str {
        self.attached.name()
    }

    /// How it was configured.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// The port's facts, with what only the configuration knows.
    pub fn facts(&self, id: PortId, name: &str, vlan: u16) -> PortFacts {
        PortFacts {
            id,
            name: name.to_owned(),
            mac: self.report.mac,
            mtu: self.report.mtu,
            vlan,
            steering: self.report.steering.clone(),
            rx_descriptors: self.report.rx_descriptors,
            hardware_timestamps: self.report.timestamps == Timestamps::Hardware,
            checks_ip: self.report.checks_ip,
        }
    }

    /// The link as the driver last saw it; does not wait. `None`: the driver does not say.
    pub fn link(&self) -> Option<Link> {
        let mut link = ffi::hl_link::default();
        // SAFETY: the port is attached; `link` is written during the call.
        let result = unsafe { ffi::hl_device_link(self.attached.port(), &raw mut link) };
        (result == 0).then(|| Link {
            up: link.up,
            full_duplex: link.full_duplex,
            speed_mbps: (link.speed_mbps != u32::MAX && link.speed_mbps != 0).then_some(link.speed_mbps),
        })
    }

    /// The device's counters; zeros where the driver counts nothing.
    pub fn counters(&self) -> Counters {
        let mut counted = ffi::hl_counters::default();
        // SAFETY: the port is attached; `counted` is written during the call. A driver that fails leaves
        // zeros.
        let _ = unsafe { ffi::hl_device_counters(self.attached.port(), &raw mut counted) };
        Counters {
            rx_packets: counted.rx_packets,
            tx_packets: counted.tx_packets,
            rx_bytes: counted.rx_bytes,
            tx_bytes: counted.tx_bytes,
            rx_missed: counted.rx_missed,
            rx_errors: counted.rx_errors,
            rx_no_buffer: counted.rx_no_buffer,
            tx_errors: counted.tx_errors,
        }
    }

    /// The clock of its receive times, where it has any that can be read.
    pub fn clock(&self) -> Option<DeviceClock> {
        match self.report.timestamps {
            Timestamps::Hardware | Timestamps::Driver => {
                DeviceClock::new(&self.attached, &self.report.driver)
            }
            Timestamps::PtpOnly | Timestamps::Software => None,
        }
    }

    /// Receives frames to a further address too. Where the filter cannot take it, the filter is opened.
    pub fn add_mac(&self, mac: Mac) -> Filter {
        // SAFETY: the port is attached; the six bytes are read during the call.
        let result = unsafe { ffi::hl_device_add_mac(self.attached.port(), mac.0.as_ptr()) };
        if result == 0 { Filter::Exact } else { open_filter(&self.attached) }
    }

    /// Makes UDP packets to `udp_port` arrive in queue `queue`.
    ///
    /// # Errors
    ///
    /// The device has no such rules, or no room for one more.
    pub fn steer_udp(&self, udp_port: u16, ipv6: bool, queue: u16) -> Result<FlowRule, FlowError> {
        FlowRule::create(&self.attached, udp_port, ipv6, queue)
    }
}

/// Lets multicast through.
pub(super) fn pass_multicast(attached: &Attached) -> Filter {
    // SAFETY: the port is attached.
    let result = unsafe { ffi::hl_device_all_multicast(attached.port()) };
    if result == 0 { Filter::Exact } else { open_filter(attached) }
}

fn open_filter(attached: &Attached) -> Filter {
    // SAFETY: the port is attached.
    let result = unsafe { ffi::hl_device_promiscuous(attached.port()) };
    if result == 0 { Filter::Promiscuous } else { Filter::None }
}
