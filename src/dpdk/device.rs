//! A device in DPDK's hands, before and while it is open.
//!
//! Ownership: [`Attached`] stands for the device and gives it back when dropped; whatever uses the device holds
//! an `Arc` of it, so it is stopped and closed after its last queue and flow rule. Configuring takes a [`Device`]
//! by value, when there are no queues yet. Drivers' control functions are not made for several threads: [`Nic`],
//! which calls them, can move between threads but not be shared.

use super::{
    eal::{Eal, Running, error_text},
    errno, ffi,
    flow::{FlowError, FlowRule},
    inventory::Capabilities,
    log,
    spec::Spec,
};
use crate::{
    packet::Steering,
    port::PortFacts,
    types::{Mac, PortId},
};
use std::{
    cell::Cell,
    ffi::{CStr, CString},
    marker::PhantomData,
    mem::MaybeUninit,
    path::Path,
    sync::Arc,
};

/// A device cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// No driver knows the name.
    #[error(
        "`{device}`: no driver for it: write a PCI address, as in 0000:3b:00.0, or a virtual device, as in \
         net_af_packet0,iface=eth0"
    )]
    NoDriver {
        /// The device.
        device: String,
    },
    /// A virtual device lacks an argument.
    #[error("`{device}` needs `{argument}=...` behind its name")]
    MissingArgument {
        /// The device.
        device: String,
        /// The argument.
        argument: &'static str,
    },
    /// A virtual device's kernel interface is not there.
    #[error("`{device}`: there is no interface `{interface}`: see `ip link`")]
    NoInterface {
        /// The device.
        device: String,
        /// The interface.
        interface: String,
    },
    /// Nothing at this PCI address.
    #[error("`{device}`: there is no PCI device at this address: see `hitless devices`")]
    NoSuchCard {
        /// The device.
        device: String,
    },
    /// The kernel holds the card.
    #[error("`{device}` is held by {driver}: hand it over with `{command}`")]
    NotBound {
        /// The device.
        device: String,
        /// Who holds it.
        driver: String,
        /// The command that hands it over.
        command: String,
    },
    /// This process has opened it already.
    #[error("`{device}` is open already: name each device once")]
    AlreadyOpen {
        /// The device.
        device: String,
    },
    /// Another process has it.
    #[error("`{device}` is in use by another process, perhaps a second instance of this one{log}")]
    Busy {
        /// The device.
        device: String,
        /// DPDK's words.
        log: String,
    },
    /// The driver refused it.
    #[error("`{device}`: its driver refuses it: {reason}{log}")]
    Probe {
        /// The device.
        device: String,
        /// The error's name.
        reason: String,
        /// DPDK's words.
        log: String,
    },
    /// More queues than it has.
    #[error("`{device}` has {most} queue pairs and {wanted} are wanted: use fewer workers or another device")]
    TooFewQueues {
        /// The device.
        device: String,
        /// Queue pairs wanted.
        wanted: u16,
        /// Queue pairs it has.
        most: u16,
    },
    /// An MTU out of its range.
    #[error("`{device}` cannot have MTU {mtu}: it takes {least} to {most}{log}")]
    Mtu {
        /// The device.
        device: String,
        /// The MTU wanted.
        mtu: u16,
        /// Smallest it takes.
        least: u16,
        /// Largest it takes.
        most: u16,
        /// DPDK's words.
        log: String,
    },
    /// An RSS key that does not cover the longest input.
    #[error("an RSS key has 40 to 64 bytes, not {0}")]
    Key(usize),
    /// A step of configuration failed.
    #[error("`{device}`: {step} failed: {reason}{log}")]
    Step {
        /// The device.
        device: String,
        /// What was being done.
        step: &'static str,
        /// The error's name.
        reason: String,
        /// DPDK's words.
        log: String,
    },
}

/// A device that a driver has taken; given back on drop.
#[derive(Debug)]
pub(super) struct Attached {
    port: u16,
    name: String,
    running: Arc<Running>,
}

impl Attached {
    /// Has the device's driver take it, if it has not yet.
    fn new(eal: &Eal, spec: &Spec) -> Result<Self, DeviceError> {
        let running = eal.running().clone();
        let mut ports = running.ports();
        let port = match port_of(&spec.name) {
            Some(port) => port,
            None => {
                spec.check(Path::new("/"))?;
                attach(spec)?
            }
        };
        let new = ports.insert(port);
        drop(ports);
        let name = spec.name.clone();
        if new { Ok(Self { port, name, running }) } else { Err(DeviceError::AlreadyOpen { device: name }) }
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Turns the result of a call into an error that names device and step.
    pub(super) fn step(&self, step: &'static str, mark: u64, result: i32) -> Result<(), DeviceError> {
        if result >= 0 {
            return Ok(());
        }
        let (device, reason) = (self.name.clone(), error_text(-result));
        Err(DeviceError::Step { device, step, reason, log: log::excerpt(mark) })
    }

    pub(super) fn info(&self) -> Result<ffi::hl_device_info, DeviceError> {
        let mut info = MaybeUninit::zeroed();
        // SAFETY: the port is attached; `info` is written during the call.
        let result = unsafe { ffi::hl_device_info(self.port, info.as_mut_ptr()) };
        self.step("asking for its limits", log::mark(), result)?;
        // SAFETY: plain numbers, for which zeros would do, and written in full on success.
        Ok(unsafe { info.assume_init() })
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        let mut ports = self.running.ports();
        // SAFETY: `self` is the only `Attached` of the port, and whoever uses the port holds an `Arc` of it, so nobody
        // does.
        unsafe { ffi::hl_device_close(self.port) }
        ports.remove(&self.port);
    }
}

/// A device that a driver has taken, not yet configured.
#[derive(Debug)]
pub struct Device {
    pub(super) attached: Arc<Attached>,
    pub(super) info: ffi::hl_device_info,
    /// Control functions may be called by one thread at a time.
    pub(super) _one_thread: PhantomData<Cell<()>>,
}

impl Device {
    /// Lets a driver take `device`: a PCI address, or a virtual device with its arguments. Where the number of
    /// queue pairs is an argument, it becomes `queues` unless given.
    ///
    /// # Errors
    ///
    /// Each names the device and says what to do.
    pub fn probe(eal: &Eal, device: &str, queues: u16) -> Result<Self, DeviceError> {
        let attached = Attached::new(eal, &Spec::parse(device, queues)?)?;
        super::mbuf::learn_timestamps();
        let info = attached.info()?;
        Ok(Self { attached: Arc::new(attached), info, _one_thread: PhantomData })
    }

    /// The device's own name: PCI address in full, or the virtual device's.
    pub fn name(&self) -> &str {
        self.attached.name()
    }

    /// The NUMA node that its packets should lie on, if it is on one.
    pub fn numa_node(&self) -> Option<u16> {
        u16::try_from(self.info.socket).ok()
    }

    /// What it can do.
    pub fn capabilities(&self) -> Capabilities {
        Capabilities::new(self.name(), &self.info)
    }
}

/// The port that a device of this name has already, from the EAL's start or an earlier probe.
fn port_of(name: &str) -> Option<u16> {
    let name = CString::new(name).ok()?;
    let mut port = 0;
    // SAFETY: `name` ends with 0; `port` is written during the call; the EAL runs.
    let result = unsafe { ffi::hl_device_port(name.as_ptr(), &raw mut port) };
    (result == 0).then_some(port)
}

fn attach(spec: &Spec) -> Result<u16, DeviceError> {
    let mark = log::mark();
    let device = spec.name.clone();
    let no_driver = || DeviceError::NoDriver { device: device.clone() };
    let arguments = CString::new(spec.arguments.as_str()).map_err(|_| no_driver())?;
    // SAFETY: `arguments` ends with 0; the EAL runs.
    let result = unsafe { ffi::hl_device_probe(arguments.as_ptr()) };
    if result < 0 {
        let log = log::excerpt(mark);
        return Err(if log::mentions(mark, "failed to parse device") {
            no_driver()
        } else if -result == errno::EBUSY || log::mentions(mark, "resource busy") {
            DeviceError::Busy { device, log }
        } else {
            DeviceError::Probe { device, reason: probe_reason(-result), log }
        });
    }
    port_of(&spec.name).ok_or_else(|| {
        let reason = error_text(errno::ENODEV);
        DeviceError::Probe { device: spec.name.clone(), reason, log: log::excerpt(mark) }
    })
}

/// Many drivers return -1 for whatever happened, which reads as EPERM.
fn probe_reason(errno: i32) -> String {
    if errno == errno::EPERM {
        "not permitted, or a reason it does not tell".to_owned()
    } else {
        error_text(errno)
    }
}

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
        // SAFETY: the port is attached; `counted` is written during the call. A driver that fails leaves zeros.
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

/// The driver's name, which C ended with 0.
pub(super) fn driver_name(info: &ffi::hl_device_info) -> String {
    let bytes = info.driver.map(|byte| byte as u8);
    CStr::from_bytes_until_nul(&bytes).map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
