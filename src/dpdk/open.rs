//! From a probed device to a running one: configuration, queues, start, steering.
//!
//! Ownership: opening takes the [`Device`] and with it the only way to configure it, before any [`Queue`]
//! exists; each queue pair that was set up becomes one `Queue`.

use super::{
    device::{Attached, Device, driver_name},
    device_error::DeviceError,
    errno, ffi,
    inventory::timestamps,
    log,
    nic::{Nic, Report, pass_multicast},
    pool::Pool,
    queue::Queue,
    rss,
};
use crate::{packet::Steering, types::Mac};
use std::sync::Arc;

/// What a device is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenOptions {
    /// Queue pairs for workers, at least 1.
    pub workers: u8,
    /// One more queue pair for the control core, if the device has one to spare that RSS never fills.
    pub control: bool,
    /// Descriptors of each receive queue.
    pub rx_descriptors: u16,
    /// Descriptors of each transmit queue.
    pub tx_descriptors: u16,
    /// Largest IP packet, in bytes.
    pub mtu: u16,
    /// RSS key of 40 to 64 bytes; `None`: a random one.
    pub rss_key: Option<Vec<u8>>,
    /// Receive times, where the device has them. Some drivers (ice, iavf) receive slower with them.
    pub rx_timestamps: bool,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            workers: 1,
            control: false,
            rx_descriptors: 1024,
            tx_descriptors: 1024,
            mtu: 1500,
            rss_key: None,
            rx_timestamps: true,
        }
    }
}

/// A running device. Its parts go to different threads; the device closes after the last of them.
#[derive(Debug)]
pub struct OpenPort {
    /// What the control side does with it.
    pub nic: Nic,
    /// One queue pair for each worker, the first for worker 0.
    pub queues: Vec<Queue>,
    /// The control core's own queue pair. RSS brings nothing there, only flow rules do.
    pub control: Option<Queue>,
}

/// Receive offloads that save work, where the device has them.
const RX_OFFLOADS: u64 = (ffi::HL_RX_OFFLOAD_IPV4_CHECKSUM
    | ffi::HL_RX_OFFLOAD_UDP_CHECKSUM
    | ffi::HL_RX_OFFLOAD_TCP_CHECKSUM
    | ffi::HL_RX_OFFLOAD_SCTP_CHECKSUM
    | ffi::HL_RX_OFFLOAD_TIMESTAMP) as u64;

impl Device {
    /// Configures and starts the device, its packets from `pool`.
    ///
    /// # Errors
    ///
    /// The device cannot be what `options` say; it is closed then.
    pub fn open(self, options: &OpenOptions, pool: &Pool) -> Result<OpenPort, DeviceError> {
        let workers = options.workers.max(1);
        let key = rss::key(options.rss_key.as_deref(), self.info.rss_key_size)?;
        let most = self.info.rx_queues_max.min(self.info.tx_queues_max);
        if u16::from(workers) > most {
            let (device, wanted) = (self.name().to_owned(), workers.into());
            return Err(DeviceError::TooFewQueues { device, wanted, most });
        }
        let setup = Setup { attached: &self.attached, info: &self.info, options, workers, key, pool };
        let spare = most > u16::from(workers) && setup.can_steer();
        let (report, pairs) = setup.run(options.control && spare)?;
        let mut queues: Vec<Queue> = (0..pairs)
            // SAFETY: `run` set up `pairs` queue pairs, and here each index is used once; `self` goes, so
            // nobody can set them up or make a `Queue` again.
            .map(|index| unsafe { Queue::new(&self.attached, index, pool) })
            .collect();
        let control = if pairs > u16::from(workers) { queues.pop() } else { None };
        let nic = Nic { attached: self.attached, report, _one_thread: self._one_thread };
        Ok(OpenPort { nic, queues, control })
    }
}

struct Setup<'a> {
    attached: &'a Arc<Attached>,
    info: &'a ffi::hl_device_info,
    options: &'a OpenOptions,
    workers: u8,
    key: Option<Vec<u8>>,
    pool: &'a Pool,
}

impl Setup<'_> {
    /// The device lets us choose which queues RSS fills.
    fn can_steer(&self) -> bool {
        self.key.is_some() && self.info.rss_table_size != 0 && self.rss_types() != 0
    }

    fn rss_types(&self) -> u64 {
        self.info.rss_types & rss::WANTED_TYPES
    }

    /// Starts the device; how it came out, and how many queue pairs it has. With an `extra` pair only where
    /// RSS proves to keep out of it.
    fn run(&self, extra: bool) -> Result<(Report, u16), DeviceError> {
        let pairs = u16::from(self.workers) + u16::from(extra);
        let config = self.start(pairs)?;
        let steering = self.steering(pairs);
        if extra && !matches!(steering, Steering::Hardware(_)) {
            let mark = log::mark();
            // SAFETY: the port is attached; no queue of it is in use yet.
            let result = unsafe { ffi::hl_device_stop(self.attached.port()) };
            self.attached.step("stopping it", mark, result)?;
            return self.run(false);
        }
        Ok((self.report(&config, steering)?, pairs))
    }

    fn start(&self, pairs: u16) -> Result<ffi::hl_device_config, DeviceError> {
        let (attached, port) = (self.attached, self.attached.port());
        let mut config = self.config(pairs)?;
        let mark = log::mark();
        // SAFETY: the port is attached and stopped; `config` is read and written during the call.
        let result = unsafe { ffi::hl_device_configure(port, &raw mut config) };
        attached.step("configuring it", mark, result)?;
        self.set_mtu(mark)?;
        for queue in 0..pairs {
            // SAFETY: the port is attached, configured for that many queues, and stopped; the pool is the
            // EAL's and stays as long as that.
            let result =
                unsafe { ffi::hl_device_rx_queue(port, queue, config.rx_descriptors, self.pool.as_ptr()) };
            attached.step("setting up a receive queue", mark, result)?;
            // SAFETY: as above.
            let result = unsafe { ffi::hl_device_tx_queue(port, queue, config.tx_descriptors) };
            attached.step("setting up a transmit queue", mark, result)?;
        }
        // SAFETY: the port is attached and all its queues are set up.
        let result = unsafe { ffi::hl_device_start(port) };
        attached.step("starting it", mark, result)?;
        Ok(config)
    }

    fn config(&self, pairs: u16) -> Result<ffi::hl_device_config, DeviceError> {
        let (info, options) = (self.info, self.options);
        if options.mtu > self.mtu_most() || options.mtu < info.mtu_min {
            return Err(self.bad_mtu(String::new()));
        }
        let mut config = ffi::hl_device_config {
            rx_queues: pairs,
            tx_queues: pairs,
            rx_descriptors: options.rx_descriptors,
            tx_descriptors: options.tx_descriptors,
            mtu: options.mtu,
            rx_offloads: RX_OFFLOADS & info.rx_offloads,
            tx_offloads: 0,
            rss_types: if pairs > 1 { self.rss_types() } else { 0 },
            rss_key: [0; ffi::HL_RSS_KEY_MAX as usize],
            rss_key_size: 0,
        };
        if !options.rx_timestamps {
            config.rx_offloads &= !u64::from(ffi::HL_RX_OFFLOAD_TIMESTAMP);
        }
        if u32::from(self.pool.buffer_bytes()) > info.rx_buffer_max {
            // Its buffers are smaller than a frame may be: packets in several segments, both ways.
            config.rx_offloads |= u64::from(ffi::HL_RX_OFFLOAD_SCATTER) & info.rx_offloads;
            config.tx_offloads |= u64::from(ffi::HL_TX_OFFLOAD_MULTI_SEGMENT) & info.tx_offloads;
        }
        if let Some(key) = &self.key {
            config.rss_key[..key.len()].copy_from_slice(key);
            config.rss_key_size = key.len() as u8;
        }
        Ok(config)
    }

    fn set_mtu(&self, mark: u64) -> Result<(), DeviceError> {
        // SAFETY: the port is attached, configured and stopped.
        let result = unsafe { ffi::hl_device_set_mtu(self.attached.port(), self.options.mtu) };
        // Drivers that cannot set it have none: they pass any length.
        if result == 0 || -result == errno::ENOTSUP { Ok(()) } else { Err(self.bad_mtu(log::excerpt(mark))) }
    }

    /// The largest MTU: the device's, or what a packet buffer holds.
    fn mtu_most(&self) -> u16 {
        self.info.mtu_max.min(self.pool.mtu())
    }

    fn bad_mtu(&self, log: String) -> DeviceError {
        let (device, mtu) = (self.attached.name().to_owned(), self.options.mtu);
        DeviceError::Mtu { device, mtu, least: self.info.mtu_min, most: self.mtu_most(), log }
    }

    fn steering(&self, pairs: u16) -> Steering {
        let key = self.key.as_deref().filter(|_| pairs > 1 && self.can_steer());
        // Some drivers know the size of their table only now.
        let rss =
            key.and_then(|key| rss::program(self.attached, &self.attached.info().ok()?, key, self.workers));
        rss.map_or(Steering::Software { workers: self.workers }, |rss| Steering::Hardware(Arc::new(rss)))
    }

    fn report(&self, config: &ffi::hl_device_config, steering: Steering) -> Result<Report, DeviceError> {
        let has = |offload: u32| config.rx_offloads & u64::from(offload) != 0;
        let info = self.attached.info()?;
        let driver = driver_name(&info);
        Ok(Report {
            mac: Mac(info.mac),
            mtu: self.options.mtu,
            steering,
            rx_descriptors: self.attached.ring.unwrap_or(config.rx_descriptors),
            tx_descriptors: config.tx_descriptors,
            checks_ip: has(ffi::HL_RX_OFFLOAD_IPV4_CHECKSUM),
            checks_l4: [
                ffi::HL_RX_OFFLOAD_TCP_CHECKSUM,
                ffi::HL_RX_OFFLOAD_UDP_CHECKSUM,
                ffi::HL_RX_OFFLOAD_SCTP_CHECKSUM,
            ]
            .map(has),
            multicast: pass_multicast(self.attached),
            rx_timestamps: has(ffi::HL_RX_OFFLOAD_TIMESTAMP),
            timestamps: timestamps(&driver, has(ffi::HL_RX_OFFLOAD_TIMESTAMP)),
            driver,
        })
    }
}

/// Configures a device with one queue pair, to ask it more; whether that went well.
pub(super) fn configure_plainly(device: &Device) -> bool {
    let mut config = ffi::hl_device_config {
        rx_queues: 1,
        tx_queues: 1,
        rx_descriptors: 0,
        tx_descriptors: 0,
        mtu: 0,
        rx_offloads: 0,
        tx_offloads: 0,
        rss_types: 0,
        rss_key: [0; ffi::HL_RSS_KEY_MAX as usize],
        rss_key_size: 0,
    };
    // SAFETY: the port is attached and stopped; `config` is read and written during the call.
    unsafe { ffi::hl_device_configure(device.attached.port(), &raw mut config) == 0 }
}
