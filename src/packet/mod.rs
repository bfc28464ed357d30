//! L1: bytes and headers. One-pass parse, in-place rewrite, incremental checksums, builders. No state.
//!
//! Addresses and ports of the fast path stay in wire order: they are loaded as native integers from the bytes as
//! they lie, compared, hashed and stored back, and never need to be turned.

mod arp;
pub(crate) mod bytes;
mod checksum;
mod datagram;
mod ethernet;
mod family;
mod fill_in;
#[cfg(test)]
mod fixtures;
mod flow;
mod fragmentation;
pub mod icmp;
mod ip_header;
mod mss;
pub mod ndp;
mod reset;
pub mod sctp;
mod steering;
mod toeplitz;
mod udp;

pub use arp::{Arp, ArpOperation};
pub use checksum::{Difference, fold, sum, verify_ipv4_header};
pub use datagram::{Datagram, Fragment, is_martian_source};
pub use ethernet::{Ethernet, MIN_FRAME};
pub use family::{Family, HashKey, Ports, Tuple, V4, V6};
pub use fill_in::fill_in_checksums;
pub use flow::{Exception, Flow, transport};
pub use fragmentation::Divisible;
pub use ip_header::{DEFAULT_TTL, pseudo_header_sum, write_ipv4_header, write_ipv6_header};
pub use mss::limit_mss;
pub use ndp::Ndp;
pub use reset::{MAX_RESET, build_reset};
pub use steering::{Hashed, ReplySteering, Rss, Steering, agreed_hash};
pub use toeplitz::{MICROSOFT_KEY, Toeplitz};
pub use udp::Udp;

/// EtherType of IPv4.
pub const ETHER_IPV4: u16 = 0x0800;
/// EtherType of ARP.
pub const ETHER_ARP: u16 = 0x0806;
/// EtherType of an 802.1Q tag.
pub const ETHER_VLAN: u16 = 0x8100;
/// EtherType of IPv6.
pub const ETHER_IPV6: u16 = 0x86dd;

/// IP protocol number of ICMP.
pub const IP_ICMP: u8 = 1;
/// IP protocol number of ICMPv6.
pub const IP_ICMPV6: u8 = 58;
/// IP protocol: TCP (RFC 9293).
pub const IP_TCP: u8 = 6;
/// IP protocol: UDP (RFC 768).
pub const IP_UDP: u8 = 17;
