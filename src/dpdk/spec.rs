//! Device names of the configuration: a PCI address, or a virtual device with its arguments.

use super::{device_error::DeviceError, inventory::PciNic};
use std::{fs, path::Path};

/// Virtual devices whose number of queues is an argument.
const QUEUE_ARGUMENTS: [(&str, &str); 6] = [
    ("net_af_packet", "qpairs"),
    ("net_af_xdp", "queue_count"),
    ("net_virtio_user", "queues"),
    ("virtio_user", "queues"),
    ("net_vhost", "queues"),
    ("eth_vhost", "queues"),
];

/// Virtual devices that sit on a kernel interface and must be told which.
const ON_INTERFACE: [&str; 2] = ["net_af_packet", "net_af_xdp"];

/// A device as DPDK is told about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Spec {
    /// The device's own name: the PCI address in full, or the virtual device's.
    pub name: String,
    /// The name and the arguments.
    pub arguments: String,
    /// It is on the PCI bus.
    pub pci: bool,
}

impl Spec {
    /// Reads a device of the configuration, to have `queues` queue pairs where that is an argument.
    pub(super) fn parse(device: &str, queues: u16) -> Result<Self, DeviceError> {
        let bad = || DeviceError::NoDriver { device: device.to_owned() };
        let (name, rest) = device.split_once(',').map_or((device, None), |(name, rest)| (name, Some(rest)));
        let name = name.trim_start_matches("vdev:").trim_start_matches("pci:");
        if name.is_empty() || device.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(bad());
        }
        let address = pci_address(name);
        let pci = address.is_some();
        let name = address.unwrap_or_else(|| name.to_owned());
        let mut arguments: Vec<String> =
            rest.into_iter().flat_map(|rest| rest.split(',')).map(str::to_owned).collect();
        let given = |argument: &str| arguments.iter().any(|given| given.split('=').next() == Some(argument));
        if let Some((_, argument)) = QUEUE_ARGUMENTS.iter().find(|(driver, _)| is_driver(&name, driver))
            && !given(argument)
        {
            arguments.push(format!("{argument}={queues}"));
        }
        arguments.insert(0, name.clone());
        Ok(Self { name, arguments: arguments.join(","), pci })
    }

    /// It is made of the kernel's network interfaces, which takes rights.
    pub(super) fn on_kernel(&self) -> bool {
        ON_INTERFACE.iter().chain(&["net_tap"]).any(|driver| is_driver(&self.name, driver))
    }

    /// Packets that a receive queue holds whatever is configured; `None`: as many as it has descriptors.
    pub(super) fn ring(&self) -> Option<u16> {
        let frames = || self.argument("framecnt").map_or(Some(512), |given| given.parse().ok());
        is_driver(&self.name, "net_af_packet").then(frames).flatten()
    }

    fn argument(&self, name: &str) -> Option<&str> {
        self.arguments
            .split(',')
            .filter_map(|argument| argument.split_once('='))
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value)
    }

    /// Finds, below `root`, what DPDK reports badly: a card that is absent or not handed over, an interface
    /// that is not there.
    pub(super) fn check(&self, root: &Path) -> Result<(), DeviceError> {
        let device = self.name.clone();
        if self.pci {
            let Some(nic) = PciNic::read(root, &self.name) else {
                return Err(DeviceError::NoSuchCard { device });
            };
            if nic.is_openable() {
                return Ok(());
            }
            let driver = nic.driver.clone().unwrap_or_else(|| "no driver".to_owned());
            return Err(DeviceError::NotBound { device, driver, command: nic.bind_command() });
        }
        if !ON_INTERFACE.iter().any(|driver| is_driver(&self.name, driver)) {
            return Ok(());
        }
        match self.argument("iface") {
            None => Err(DeviceError::MissingArgument { device, argument: "iface" }),
            Some(interface) if !has_interface(root, interface) => {
                Err(DeviceError::NoInterface { device, interface: interface.to_owned() })
            }
            Some(_) => Ok(()),
        }
    }
}

/// In this process's network namespace, which `/sys` need not show.
fn has_interface(root: &Path, interface: &str) -> bool {
    let interfaces = fs::read_to_string(root.join("proc/self/net/dev")).unwrap_or_default();
    interfaces.lines().filter_map(|line| line.split_once(':')).any(|(name, _)| name.trim() == interface)
}

/// Whether the device `name` is one of `driver`: the driver's name and a number.
pub(super) fn is_driver(name: &str, driver: &str) -> bool {
    name.strip_prefix(driver).is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// `[domain:]bus:device.function` in full, `0000:3b:00.0`; `None`: something else.
fn pci_address(name: &str) -> Option<String> {
    let (rest, function) = name.split_once('.')?;
    let parts: Vec<&str> = rest.split(':').collect();
    let (domain, bus, device) = match parts[..] {
        [domain, bus, device] => (domain, bus, device),
        [bus, device] => ("0000", bus, device),
        _ => return None,
    };
    let hex = |text: &str, most: u32| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        u32::from_str_radix(text, 16).ok().filter(|&number| digits && number <= most)
    };
    let (domain, bus) = (hex(domain, u32::MAX)?, hex(bus, 0xff)?);
    let (device, function) = (hex(device, 0x1f)?, hex(function, 7)?);
    Some(format!("{domain:04x}:{bus:02x}:{device:02x}.{function}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::tree::Tree;

    fn arguments(device: &str, queues: u16) -> String {
        Spec::parse(device, queues).unwrap().arguments
    }

    #[test]
    fn pci_addresses_are_completed() {
        for (written, full) in [
            ("3b:00.0", "0000:3b:00.0"),
            ("0000:3B:1f.7", "0000:3b:1f.7"),
            ("10000:01:00.1", "10000:01:00.1"),
        ] {
            let spec = Spec::parse(written, 4).unwrap();
            assert_eq!((spec.name.as_str(), spec.arguments.as_str(), spec.pci), (full, full, true));
        }
        assert_eq!(arguments("3b:00.0,rxq_cqe_comp_en=0", 4), "0000:3b:00.0,rxq_cqe_comp_en=0");
        for other in ["3b:20.0", "3b:00.8", "0:1:2:3.4", "eth0.100", "+3b:00.0", "net_null0"] {
            assert_eq!(pci_address(other), None, "{other}");
        }
    }

    #[test]
    fn the_number_of_queues_is_filled_in_unless_given() {
        for (device, expected) in [
            ("net_af_packet0,iface=veth0", "net_af_packet0,iface=veth0,qpairs=3"),
            ("net_af_packet0,iface=veth0,qpairs=1", "net_af_packet0,iface=veth0,qpairs=1"),
            ("net_af_xdp7,iface=veth0", "net_af_xdp7,iface=veth0,queue_count=3"),
            ("net_virtio_user0,path=/dev/vhost-net", "net_virtio_user0,path=/dev/vhost-net,queues=3"),
            ("vdev:net_null0", "net_null0"),
            ("net_af_packet_like0", "net_af_packet_like0"),
        ] {
            assert_eq!(arguments(device, 3), expected);
        }
    }

    #[test]
    fn rings_of_the_kernel_s_are_as_long_as_they_are() {
        let ring = |device: &str| Spec::parse(device, 1).unwrap().ring();
        assert_eq!(ring("net_af_packet0,iface=veth0"), Some(512), "the driver's own default");
        assert_eq!(ring("net_af_packet0,iface=veth0,framecnt=1024"), Some(1024));
        assert_eq!(ring("net_memif0"), None);
    }

    #[test]
    fn text_that_is_no_device_is_refused() {
        for bad in ["", ",iface=veth0", "net null0", "net_null0\n"] {
            assert!(matches!(Spec::parse(bad, 1), Err(DeviceError::NoDriver { .. })), "{bad:?}");
        }
    }

    #[test]
    fn an_absent_card_or_interface_is_named() {
        let tree = Tree::new(&[
            ("sys/bus/pci/devices/0000:00:03.0/vendor", "0x1af4\n"),
            ("sys/bus/pci/devices/0000:00:03.0/device", "0x1041\n"),
            ("proc/self/net/dev", "Inter-| Receive\n face |bytes\n    lo: 1 2\n veth0: 3 4\n"),
        ]);
        let check =
            |device: &str| Spec::parse(device, 1).unwrap().check(tree.root()).map_err(|e| e.to_string());
        assert_eq!(check("net_af_packet0,iface=veth0"), Ok(()));
        assert_eq!(check("net_null0"), Ok(()));
        for (device, words) in [
            ("net_af_packet0", "`net_af_packet0` needs `iface="),
            ("net_af_packet0,iface=veth1", "`net_af_packet0`: there is no interface `veth1`"),
            ("00:04.0", "`0000:00:04.0`"),
            ("00:03.0", "dpdk-devbind.py --bind=vfio-pci 0000:00:03.0"),
        ] {
            let error = check(device).unwrap_err();
            assert!(error.contains(words), "{device}: {error}");
        }
    }
}
