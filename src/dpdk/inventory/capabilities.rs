//! What a device can do, as far as it matters here.

use crate::{
    dpdk::{
        device::{Device, driver_name},
        ffi, flow, open,
    },
    types::Mac,
};

/// Where the time of a received packet can come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timestamps {
    /// The NIC stamps every packet.
    Hardware,
    /// The kernel, or the captured file, stamps every packet.
    Driver,
    /// The NIC stamps packets of the Precision Time Protocol only: of no use here.
    PtpOnly,
    /// None: the time of the burst stands in.
    Software,
}

/// Drivers whose devices stamp PTP packets only, as of DPDK 22.11.
const PTP_ONLY: [&str; 7] =
    ["net_bnxt", "net_e1000_igb", "net_i40e", "net_ixgbe", "net_ngbe", "net_txgbe", "net_axgbe"];

/// A device's abilities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// The device's own name.
    pub name: String,
    /// Its driver.
    pub driver: String,
    /// Its own address.
    pub mac: Mac,
    /// Queue pairs.
    pub queues: u16,
    /// Descriptors of a receive and of a transmit queue, at most.
    pub descriptors: (u16, u16),
    /// Smallest and largest MTU; the latter `None` where the driver sets no limit.
    pub mtu: (u16, Option<u16>),
    /// Bytes of its RSS key; 0: the key cannot be chosen.
    pub rss_key_bytes: u8,
    /// Entries of its redirection table; 0: it has none.
    pub rss_table_size: u16,
    /// TCP, UDP, SCTP over IPv4 are spread by their ports.
    pub rss_ipv4: [bool; 3],
    /// The same over IPv6.
    pub rss_ipv6: [bool; 3],
    /// Checks received checksums: IPv4 header, TCP, UDP, SCTP.
    pub rx_checksums: [bool; 4],
    /// Can fill in checksums to send, in the same order. Not used: they are updated by difference.
    pub tx_checksums: [bool; 4],
    /// Receive times.
    pub timestamps: Timestamps,
    /// Rules that bring BFD to a queue of its own, over IPv4 and IPv6. `None`: not tried.
    pub flow_rules: Option<[bool; 2]>,
}

impl Capabilities {
    /// From what the driver says.
    pub(in crate::dpdk) fn new(name: &str, info: &ffi::hl_device_info) -> Self {
        let rss = |flag: u32| info.rss_types & u64::from(flag) != 0;
        let rx = |flag: u32| info.rx_offloads & u64::from(flag) != 0;
        let tx = |flag: u32| info.tx_offloads & u64::from(flag) != 0;
        let driver = driver_name(info);
        Self {
            name: name.to_owned(),
            mac: Mac(info.mac),
            queues: info.rx_queues_max.min(info.tx_queues_max),
            descriptors: (info.rx_descriptors_max, info.tx_descriptors_max),
            mtu: (info.mtu_min, (info.mtu_max != u16::MAX).then_some(info.mtu_max)),
            rss_key_bytes: info.rss_key_size,
            rss_table_size: info.rss_table_size,
            rss_ipv4: [ffi::HL_RSS_IPV4_TCP, ffi::HL_RSS_IPV4_UDP, ffi::HL_RSS_IPV4_SCTP].map(rss),
            rss_ipv6: [ffi::HL_RSS_IPV6_TCP, ffi::HL_RSS_IPV6_UDP, ffi::HL_RSS_IPV6_SCTP].map(rss),
            rx_checksums: [
                ffi::HL_RX_OFFLOAD_IPV4_CHECKSUM,
                ffi::HL_RX_OFFLOAD_TCP_CHECKSUM,
                ffi::HL_RX_OFFLOAD_UDP_CHECKSUM,
                ffi::HL_RX_OFFLOAD_SCTP_CHECKSUM,
            ]
            .map(rx),
            tx_checksums: [
                ffi::HL_TX_OFFLOAD_IPV4_CHECKSUM,
                ffi::HL_TX_OFFLOAD_TCP_CHECKSUM,
                ffi::HL_TX_OFFLOAD_UDP_CHECKSUM,
                ffi::HL_TX_OFFLOAD_SCTP_CHECKSUM,
            ]
            .map(tx),
            timestamps: timestamps(&driver, rx(ffi::HL_RX_OFFLOAD_TIMESTAMP)),
            flow_rules: None,
            driver,
        }
    }
}

/// Where receive times come from, by what the driver offers and by what is known of it.
pub(in crate::dpdk) fn timestamps(driver: &str, offered: bool) -> Timestamps {
    match driver {
        // Always sets them, in microseconds, without offering it.
        "net_pcap" => Timestamps::Driver,
        // From 24.11 on: the kernel's.
        "net_af_packet" if offered => Timestamps::Driver,
        _ if offered => Timestamps::Hardware,
        _ if PTP_ONLY.contains(&driver) => Timestamps::PtpOnly,
        _ => Timestamps::Software,
    }
}

impl Device {
    /// What it can do, flow rules tried out; for that it is configured, not started, and then given back.
    pub fn examine(self) -> Capabilities {
        const BFD_PORT: u16 = 3784;
        let configured = open::configure_plainly(&self);
        let rule = |ipv6| configured && flow::validate(&self.attached, BFD_PORT, ipv6, 0).is_ok();
        Capabilities { flow_rules: Some([false, true].map(rule)), ..self.capabilities() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_of_receive_times() {
        for (driver, offered, expected) in [
            ("mlx5_pci", true, Timestamps::Hardware),
            ("net_ixgbe", false, Timestamps::PtpOnly),
            ("net_pcap", false, Timestamps::Driver),
            ("net_af_packet", true, Timestamps::Driver),
            ("net_af_packet", false, Timestamps::Software),
            ("net_virtio", false, Timestamps::Software),
        ] {
            assert_eq!(timestamps(driver, offered), expected, "{driver}");
        }
    }
}
