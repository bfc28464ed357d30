//! The machine's PCI network cards and who holds them, from `/sys/bus/pci`.

use crate::config::{names, text};
use std::{fs, path::Path};

const DEVICES: &str = "sys/bus/pci/devices";

/// Kernel drivers that DPDK works beside: the card stays with the kernel, DPDK gets queues of its own.
const SHARED_DRIVERS: [&str; 3] = ["mlx4_core", "mlx5_core", "mana"];

/// Drivers that hand a card to DPDK.
const HANDING_DRIVERS: [&str; 3] = ["vfio-pci", "uio_pci_generic", "igb_uio"];

/// A network card on the PCI bus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PciNic {
    /// Its address, as in `0000:3b:00.0`.
    pub address: String,
    /// Vendor and device ids.
    pub id: (u16, u16),
    /// The kernel driver that holds it.
    pub driver: Option<String>,
    /// Names of its kernel interfaces.
    pub interfaces: Vec<String>,
    /// The NUMA node it hangs off.
    pub numa_node: Option<u16>,
    /// Its IOMMU group.
    pub iommu_group: Option<u32>,
}

impl PciNic {
    /// The card at `address`, network card or not; `None`: there is none.
    pub fn read(root: &Path, address: &str) -> Option<Self> {
        let directory = format!("{DEVICES}/{address}");
        let hex = |file: &str| {
            let text = text(root, &format!("{directory}/{file}"));
            u16::from_str_radix(text.trim().trim_start_matches("0x"), 16).ok()
        };
        let link = |name: &str| {
            let target = fs::read_link(root.join(&directory).join(name)).ok()?;
            Some(target.file_name()?.to_str()?.to_owned())
        };
        Some(Self {
            address: address.to_owned(),
            id: (hex("vendor")?, hex("device")?),
            driver: link("driver"),
            interfaces: interfaces(root, &directory),
            numa_node: text(root, &format!("{directory}/numa_node")).trim().parse().ok(),
            iommu_group: link("iommu_group").and_then(|group| group.parse().ok()),
        })
    }

    /// All network cards, by address.
    pub fn all(root: &Path) -> Vec<Self> {
        names(root, DEVICES)
            .iter()
            .filter(|address| text(root, &format!("{DEVICES}/{address}/class")).starts_with("0x02"))
            .filter_map(|address| Self::read(root, address))
            .collect()
    }

    /// DPDK can open it as it is.
    pub fn is_openable(&self) -> bool {
        self.driver
            .as_deref()
            .is_some_and(|driver| HANDING_DRIVERS.contains(&driver) || SHARED_DRIVERS.contains(&driver))
    }

    /// It is bound to vfio-pci.
    pub fn is_vfio(&self) -> bool {
        self.driver.as_deref() == Some("vfio-pci")
    }

    /// The command that gives it to DPDK.
    pub fn bind_command(&self) -> String {
        format!("modprobe vfio-pci && dpdk-devbind.py --bind=vfio-pci {}", self.address)
    }
}

/// Kernel interfaces of the device, or of the virtio device on it.
fn interfaces(root: &Path, directory: &str) -> Vec<String> {
    let virtio = names(root, directory).into_iter().filter(|name| name.starts_with("virtio"));
    std::iter::once(format!("{directory}/net"))
        .chain(virtio.map(|name| format!("{directory}/{name}/net")))
        .flat_map(|path| names(root, &path))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::tree::Tree;

    fn machine() -> Tree {
        let tree = Tree::new(&[
            ("sys/bus/pci/devices/0000:00:1f.2/class", "0x010601\n"),
            ("sys/bus/pci/devices/0000:3b:00.0/class", "0x020000\n"),
            ("sys/bus/pci/devices/0000:3b:00.0/vendor", "0x8086\n"),
            ("sys/bus/pci/devices/0000:3b:00.0/device", "0x1572\n"),
            ("sys/bus/pci/devices/0000:3b:00.0/numa_node", "1\n"),
            ("sys/bus/pci/devices/0000:00:03.0/class", "0x020000\n"),
            ("sys/bus/pci/devices/0000:00:03.0/vendor", "0x1af4\n"),
            ("sys/bus/pci/devices/0000:00:03.0/device", "0x1041\n"),
            ("sys/bus/pci/devices/0000:00:03.0/numa_node", "-1\n"),
            ("sys/bus/pci/devices/0000:00:03.0/virtio0/net/eth0/mtu", "1500\n"),
        ]);
        tree.link("sys/bus/pci/devices/0000:3b:00.0/driver", "../../../../bus/pci/drivers/vfio-pci");
        tree.link("sys/bus/pci/devices/0000:3b:00.0/iommu_group", "../../../kernel/iommu_groups/42");
        tree.link("sys/bus/pci/devices/0000:00:03.0/driver", "../../../bus/pci/drivers/virtio-pci");
        tree
    }

    #[test]
    fn lists_network_cards_and_who_holds_them() {
        let tree = machine();
        let [virtio, intel] = PciNic::all(tree.root()).try_into().unwrap();
        assert_eq!(
            intel,
            PciNic {
                address: "0000:3b:00.0".to_owned(),
                id: (0x8086, 0x1572),
                driver: Some("vfio-pci".to_owned()),
                interfaces: vec![],
                numa_node: Some(1),
                iommu_group: Some(42),
            }
        );
        assert!(intel.is_openable() && intel.is_vfio());
        assert_eq!((virtio.interfaces.as_slice(), virtio.numa_node), (&["eth0".to_owned()][..], None));
        assert!(!virtio.is_openable());
        assert!(virtio.bind_command().ends_with("--bind=vfio-pci 0000:00:03.0"));
    }

    #[test]
    fn an_absent_card_is_none() {
        assert_eq!(PciNic::read(machine().root(), "0000:99:00.0"), None);
    }
}
