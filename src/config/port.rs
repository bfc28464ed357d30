//! `[[port]]` and `[[route]]`: where packets come in and go out.

use super::{
    form::{Form, Section, may, must},
    kind::{OrEmpty, integer},
    text::{address, device, host_in_subnet, interface, name, subnet},
};
use crate::types::Prefix;
use std::net::{IpAddr, Ipv4Addr};

/// `[[port]]`. Its place in the file is its `PortId`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Its name, unique among ports.
    pub name: String,
    /// A PCI address or a DPDK virtual device with its arguments.
    pub device: String,
    /// This node's own addresses on it with their subnets; 1 to 32.
    pub addresses: Vec<Prefix>,
    /// Largest IP packet in bytes, 1280 to 9600; a larger MSS of TCP is lowered to fit.
    pub mtu: u16,
    /// The 802.1Q tag of all its frames, 1 to 4094; 0 for untagged.
    pub vlan: u16,
    /// Receive descriptors of each queue, 64 to 32768.
    pub rx_descriptors: u16,
    /// Transmit descriptors of each queue, 64 to 32768.
    pub tx_descriptors: u16,
    /// The TAP interface that takes what is not ours to the kernel and back.
    pub kernel_interface: Option<String>,
}

impl Default for Port {
    fn default() -> Self {
        Self {
            name: String::new(),
            device: String::new(),
            addresses: Vec::new(),
            mtu: 1500,
            vlan: 0,
            rx_descriptors: 1024,
            tx_descriptors: 1024,
            kernel_interface: None,
        }
    }
}

impl Section for Port {
    fn keys<F: Form>(&mut self, form: &mut F) {
        let descriptors = || integer(64..=32_768);
        form.value(must("name"), &mut self.name, name());
        form.value(must("device"), &mut self.device, device());
        form.list(must("addresses"), &mut self.addresses, host_in_subnet(), 1..=32);
        form.value(may("mtu"), &mut self.mtu, integer(1280..=9600));
        form.value(may("vlan"), &mut self.vlan, integer(0..=4094));
        form.value(may("rx_descriptors"), &mut self.rx_descriptors, descriptors());
        form.value(may("tx_descriptors"), &mut self.tx_descriptors, descriptors());
        form.value(may("kernel_interface"), &mut self.kernel_interface, OrEmpty(interface()));
    }
}

impl Port {
    /// The device without its arguments and in one spelling: what two ports must not share.
    pub(super) fn device_name(&self) -> String {
        let name = self.device.split(',').next().unwrap_or_default().to_ascii_lowercase();
        let short_pci = !name.starts_with("net_") && name.matches(':').count() == 1 && name.contains('.');
        if short_pci { format!("0000:{name}") } else { name }
    }

    /// Whether it is a card on the PCI bus.
    pub fn is_card(&self) -> bool {
        let name = self.device_name();
        let name = name.trim_start_matches("pci:");
        let is_address = |letter: char| letter.is_ascii_hexdigit() || letter == ':' || letter == '.';
        name.contains(':') && name.contains('.') && name.chars().all(is_address)
    }

    /// The kernel's interface under a virtual device, if one is named: two devices must not share it either.
    pub(super) fn device_interface(&self) -> Option<&str> {
        self.device.split(',').find_map(|argument| argument.strip_prefix("iface="))
    }
}

/// `[[route]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Destinations; host part zero.
    pub to: Prefix,
    /// The next hop: an address in some port's subnet.
    pub via: IpAddr,
}

impl Default for Route {
    fn default() -> Self {
        let nobody = Ipv4Addr::UNSPECIFIED.into();
        Self { to: Prefix::host(nobody), via: nobody }
    }
}

impl Section for Route {
    fn keys<F: Form>(&mut self, form: &mut F) {
        form.value(must("to"), &mut self.to, subnet());
        form.value(must("via"), &mut self.via, address());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::{PORT, config, expect};

    #[test]
    fn one_device_has_one_name() {
        let name = |device: &str| Port { device: device.into(), ..Port::default() }.device_name();
        assert_eq!(name("3B:00.0"), "0000:3b:00.0");
        assert_eq!(name("0000:3b:00.0,rxq_cqe_comp_en=1"), "0000:3b:00.0");
        assert_eq!(name("net_af_packet0,iface=veth0"), "net_af_packet0");
        let port = Port { device: "net_af_packet0,iface=veth0,qpairs=2".into(), ..Port::default() };
        assert_eq!(port.device_interface(), Some("veth0"));
    }

    #[test]
    fn mistakes_in_ports() {
        expect(
            r#"
[[port]]
name = "lan port"
#! 8: port[0].name: is "lan port", allowed is 1 to 128 letters, digits, "-", "_", ".", ":" or "/"
device = "eth0"
#! 10: port[0].device: is "eth0", allowed is a PCI address such as "0000:3b:00.0" or a DPDK virtual device such as "net_af_packet0,iface=eth0"
addresses = ["10.77.0.11", "10.77.0.0/24", "10.77.0.255/24", "fd77::/64", "127.0.0.1/8", "10.0.0.1/33"]
#! 14: port[0].addresses[0]: is "10.77.0.11", allowed is a host's address and the length of its subnet, such as "10.0.0.1/24" or "fd00::1/64"
#! 28: port[0].addresses[1]: is "10.77.0.0/24", allowed is a host's address and the length of its subnet, such as "10.0.0.1/24" or "fd00::1/64"
#! 44: port[0].addresses[2]: is "10.77.0.255/24", allowed is a host's address and the length of its subnet, such as "10.0.0.1/24" or "fd00::1/64"
#! 62: port[0].addresses[3]: is "fd77::/64", allowed is a host's address and the length of its subnet, such as "10.0.0.1/24" or "fd00::1/64"
#! 75: port[0].addresses[4]: is "127.0.0.1/8", allowed is a host's address and the length of its subnet, such as "10.0.0.1/24" or "fd00::1/64"
#! 90: port[0].addresses[5]: is "10.0.0.1/33", allowed is a host's address and the length of its subnet, such as "10.0.0.1/24" or "fd00::1/64"
mtu = 1279
#! 7: port[0].mtu: is 1279, allowed is a whole number from 1280 to 9600
vlan = 4095
#! 8: port[0].vlan: is 4095, allowed is a whole number from 0 to 4094
rx_descriptors = 63
#! 18: port[0].rx_descriptors: is 63, allowed is a whole number from 64 to 32768
tx_descriptors = 32769
#! 18: port[0].tx_descriptors: is 32769, allowed is a whole number from 64 to 32768
kernel_interface = "a-name-of-16-bytes"
#! 20: port[0].kernel_interface: is "a-name-of-16-bytes", allowed is an interface name of 1 to 15 letters, such as "hl-lan", or "" for none
gateway = "10.77.0.1"
#! 1: port[0].gateway: unknown key, allowed is name, device, addresses, mtu, vlan, rx_descriptors, tx_descriptors or kernel_interface

[[port]]
#! 1: port[1].device: is missing, allowed is a PCI address such as "0000:3b:00.0" or a DPDK virtual device such as "net_af_packet0,iface=eth0"
#! 1: port[1].name: is missing, allowed is 1 to 128 letters, digits, "-", "_", ".", ":" or "/"
adresses = ["10.78.0.11/24"]
#! 1: port[1].adresses: unknown key, did you mean addresses?
"#,
            &[],
        );
    }

    #[test]
    fn mistakes_in_routes() {
        expect(
            r#"
[[route]]
to = "10.1.2.3/16"
#! 6: route[0].to: is "10.1.2.3/16", allowed is a subnet with no bits set after its length, such as "10.0.0.0/8" or "fd00::/64"
via = "10.77.0.1"
[[route]]
to = "10.1.0.0/16"
via = "224.0.0.1"
#! 7: route[1].via: is "224.0.0.1", allowed is the IP address of one host, such as "10.0.0.1" or "fd00::1"
[[route]]
#! 1: route[2].to: is missing, allowed is a subnet with no bits set after its length, such as "10.0.0.0/8" or "fd00::/64"
#! 1: route[2].via: is missing, allowed is the IP address of one host, such as "10.0.0.1" or "fd00::1"
dst = "0.0.0.0/0"
#! 1: route[2].dst: unknown key, allowed is to or via
gateway = "10.77.0.1"
#! 1: route[2].gateway: unknown key, allowed is to or via
"#,
            &[PORT],
        );
    }

    #[test]
    fn a_document_without_ports() {
        expect(
            r#"
[node]
#! 1: port: is missing, allowed is [[port]] tables
name = "lb1"
"#,
            &[],
        );
        expect(
            r#"
port = []
#! 8: port: has 0 items, allowed is 1 to 32 of them
"#,
            &[],
        );
        expect(
            r#"
[port]
#! 1: port: is a table, allowed is [[port]] tables
name = "lan"
"#,
            &[],
        );
        expect(
            r#"
[[ports]]
#! 3: ports: unknown key, did you mean port?
name = "lan"
"#,
            &[],
        );
    }

    #[test]
    fn links_of_two_and_virtual_devices_are_fine() {
        config(
            r#"
[[port]]
name = "a"
device = "net_af_packet0,iface=veth0"
addresses = ["10.0.0.0/31", "fd00::/127", "192.0.2.1/32"]
[[port]]
name = "b"
device = "5620e0c7-8062-4dce-aeb7-520c7ef76171"
addresses = ["10.0.0.2/31"]
[[port]]
name = "c"
device = "auxiliary:mlx5_core.sf.4"
addresses = ["10.0.0.4/31"]
"#,
        );
    }
}
