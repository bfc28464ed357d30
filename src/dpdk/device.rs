//! A device in DPDK's hands, before it is open.
//!
//! Ownership: [`Attached`] stands for the device and gives it back when dropped; whatever uses the device
//! holds an `Arc` of it, so it is stopped and closed after its last queue and flow rule. Configuring takes a
//! [`Device`] by value, when there are no queues yet; it is not shared between threads, for control functions
//! are not made for that.

use super::{
    device_error::DeviceError,
    eal::{Eal, Running, error_text},
    errno, ffi,
    inventory::{Capabilities, Host},
    log, mbuf,
    spec::Spec,
};
use std::{
    cell::Cell,
    ffi::{CStr, CString},
    marker::PhantomData,
    mem::MaybeUninit,
    path::Path,
    sync::Arc,
};

/// A device that a driver has taken; given back on drop.
#[derive(Debug)]
pub(super) struct Attached {
    port: u16,
    name: String,
    /// See [`Spec::ring`].
    pub(super) ring: Option<u16>,
    running: Arc<Running>,
}

impl Attached {
    /// Has the device's driver take it, if it has not yet.
    fn new(eal: &Eal, spec: &Spec) -> Result<Self, DeviceError> {
        let running = eal.running().clone();
        spec.check(Path::new("/"))?;
        let mut ports = running.ports();
        let port = match port_of(&spec.name) {
            Some(port) => port,
            None if spec.pci && !running.sees_pci() => {
                return Err(DeviceError::PciOff { device: spec.name.clone() });
            }
            None => attach(spec)?,
        };
        let new = ports.insert(port);
        drop(ports);
        let (name, ring) = (spec.name.clone(), spec.ring());
        if new {
            Ok(Self { port, name, ring, running })
        } else {
            Err(DeviceError::AlreadyOpen { device: name })
        }
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
        let (device, log) = (self.name.clone(), log::excerpt(mark));
        // net_af_xdp makes its rings when a queue is set up.
        if log::mentions(mark, "umem") && Host::read(Path::new("/")).memlock.is_some() {
            return Err(DeviceError::LockedMemory { device, log });
        }
        Err(DeviceError::Step { device, step, reason: error_text(-result), log })
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
        // SAFETY: `self` is the only `Attached` of the port, and whoever uses the port holds an `Arc` of it,
        // so nobody does.
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
    /// Lets a driver take `device`: a PCI address, or a virtual device with its arguments. Where the number
    /// of queue pairs is an argument, it becomes `queues` unless given.
    ///
    /// # Errors
    ///
    /// Each names the device and says what to do.
    pub fn probe(eal: &Eal, device: &str, queues: u16) -> Result<Self, DeviceError> {
        let attached = Attached::new(eal, &Spec::parse(device, queues)?)?;
        mbuf::learn_timestamps();
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
        } else if spec.on_kernel() && !Host::read(Path::new("/")).network_rights {
            DeviceError::NotPermitted { device, log }
        } else if log::mentions(mark, "mmap failed") && Host::read(Path::new("/")).memlock.is_some() {
            DeviceError::LockedMemory { device, log }
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
    if errno == errno::EPERM { "no reason given".to_owned() } else { error_text(errno) }
}

/// The driver's name, which C ended with 0.
pub(super) fn driver_name(info: &ffi::hl_device_info) -> String {
    let bytes = info.driver.map(|byte| byte as u8);
    CStr::from_bytes_until_nul(&bytes).map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
