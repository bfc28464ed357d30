//! Kinds of values that are written as text: addresses, names, devices, files.

use super::{
    health::{Health, MAX_PATH, OCTETS},
    kind::{Kind, quote, wrong},
};
use crate::types::Prefix;
use std::{
    fmt::Display,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    str::FromStr,
};
use toml::de::DeValue;

/// Text that reads as a `T` and keeps a rule.
pub(super) struct Parsed<T> {
    rule: fn(&T) -> bool,
    allowed: &'static str,
}

impl<T: FromStr + Display> Kind<T> for Parsed<T> {
    fn read(&self, value: &DeValue<'_>) -> Result<T, String> {
        let parsed = value.as_str().and_then(|text| text.parse().ok());
        parsed.filter(self.rule).ok_or_else(|| wrong(value))
    }

    fn write(&self, value: &T) -> Option<String> {
        Some(quote(&value.to_string()))
    }

    fn allowed(&self) -> String {
        self.allowed.into()
    }
}

/// The address of one host.
pub(super) const fn address() -> Parsed<IpAddr> {
    Parsed { rule: is_host, allowed: "the IP address of one host, such as \"10.0.0.1\" or \"fd00::1\"" }
}

/// A host's address with the length of its subnet.
pub(super) const fn host_in_subnet() -> Parsed<Prefix> {
    Parsed {
        rule: |prefix| is_host(&prefix.address()) && !is_edge(prefix, prefix.address()),
        allowed: "a host's address and the length of its subnet, such as \"10.0.0.1/24\" or \"fd00::1/64\"",
    }
}

/// A whole subnet: no bit set after its length.
pub(super) const fn subnet() -> Parsed<Prefix> {
    Parsed {
        rule: |prefix| prefix.network() == *prefix,
        allowed: "a subnet with no bits set after its length, such as \"10.0.0.0/8\" or \"fd00::/64\"",
    }
}

/// An address and port to listen on.
pub(super) const fn listen_address() -> Parsed<SocketAddr> {
    Parsed {
        rule: |_| true,
        allowed: "an address and a port to listen on, such as \"127.0.0.1:11111\" or \"[::1]:11111\"",
    }
}

/// A name that fits commands, paths and metric labels.
pub(super) const fn name() -> Parsed<String> {
    Parsed {
        rule: |text| {
            let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/".contains(&byte);
            (1..=128).contains(&text.len()) && text.bytes().all(letter)
        },
        allowed: "1 to 128 letters, digits, \"-\", \"_\", \".\", \":\" or \"/\"",
    }
}

/// Any text on one line.
pub(super) const fn one_line() -> Parsed<String> {
    Parsed {
        rule: |text| (1..=1024).contains(&text.len()) && !text.contains(char::is_control),
        allowed: "text of 1 to 1024 bytes on one line",
    }
}

/// The name of a network interface of the kernel.
pub(super) const fn interface() -> Parsed<String> {
    Parsed {
        rule: |text| {
            let letter = |byte: u8| byte.is_ascii_graphic() && byte != b'/' && byte != b':';
            (1..=15).contains(&text.len()) && text.bytes().all(letter) && text != "." && text != ".."
        },
        allowed: "an interface name of 1 to 15 letters, such as \"hl-lan\", or \"\" for none",
    }
}

/// The path of an HTTP request.
pub(super) const fn http_path() -> Parsed<String> {
    Parsed {
        rule: |text| {
            text.starts_with('/') && text.len() <= MAX_PATH && text.bytes().all(|b| b.is_ascii_graphic())
        },
        allowed: "a path that begins with \"/\", such as \"/healthz\"",
    }
}

/// Octets, as [`Health::octets`] reads them.
pub(super) const fn octets() -> Parsed<String> {
    Parsed { rule: |text| Health::octets(text).is_some(), allowed: OCTETS }
}

/// A device for DPDK.
pub(super) const fn device() -> Parsed<String> {
    Parsed {
        rule: |text| {
            let known = text.starts_with("net_") || text.contains(':') || text.matches('-').count() == 4;
            known && text.len() <= 1024 && text.bytes().all(|byte| byte.is_ascii_graphic())
        },
        allowed: "a PCI address such as \"0000:3b:00.0\" or a DPDK virtual device such as \
                  \"net_af_packet0,iface=eth0\"",
    }
}

/// A host that packets can be sent to and that can send: not a group, nobody, this machine, or an IPv4 address
/// in IPv6's clothes.
pub(crate) fn is_host(address: &IpAddr) -> bool {
    let plain = match address {
        IpAddr::V4(v4) => !v4.is_broadcast(),
        IpAddr::V6(v6) => v6.to_ipv4_mapped().is_none(),
    };
    plain && !address.is_unspecified() && !address.is_loopback() && !address.is_multicast()
}

/// Whether `address` names the subnet itself (in IPv6: its routers, RFC 4291 section 2.6.1) or everyone in it.
/// Point-to-point links have no such addresses (RFC 3021, RFC 6164).
pub(crate) fn is_edge(subnet: &Prefix, address: IpAddr) -> bool {
    let point_to_point = match address {
        IpAddr::V4(_) => 31,
        IpAddr::V6(_) => 127,
    };
    subnet.length() < point_to_point
        && subnet.contains(address)
        && (subnet.network().address() == address || subnet.broadcast().map(IpAddr::V4) == Some(address))
}

/// A file of the machine.
pub(super) struct File;

impl Kind<PathBuf> for File {
    fn read(&self, value: &DeValue<'_>) -> Result<PathBuf, String> {
        one_line().read(value).map(PathBuf::from)
    }

    fn write(&self, value: &PathBuf) -> Option<String> {
        Some(quote(&value.to_string_lossy()))
    }

    fn allowed(&self) -> String {
        "the path of a file, in quotes".into()
    }
}
