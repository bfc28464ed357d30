//! Why a device cannot be used, and what to do.

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
    /// The EAL looks at no PCI devices.
    #[error("`{device}`: the EAL was started without PCI devices: list it among the devices of its start")]
    PciOff {
        /// The device.
        device: String,
    },
    /// The process lacks the rights for a device on a kernel interface.
    #[error("`{device}` needs CAP_NET_ADMIN and CAP_NET_RAW: run as root or grant them{log}")]
    NotPermitted {
        /// The device.
        device: String,
        /// DPDK's words.
        log: String,
    },
    /// Its rings are in locked memory, and the process may not lock so much.
    #[error(
        "`{device}` locks its rings in memory, and this process may not lock so much: run it with CAP_IPC_LOCK, or \
         `ulimit -l unlimited` (systemd: LimitMEMLOCK=infinity){log}"
    )]
    LockedMemory {
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
