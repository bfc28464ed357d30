//! `[nat]`: the source addresses towards backends, and sessions.

use super::{
    form::{Form, Section, may, must},
    kind::{Ports, integer, seconds},
    port_range::PortRange,
    text::{address, name},
};
use crate::types::Duration;
use std::net::{IpAddr, Ipv4Addr};

/// `[nat]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nat {
    /// Source addresses towards backends; at most 256.
    pub local_addresses: Vec<LocalAddress>,
    /// Source ports towards backends.
    pub ports: PortRange,
    /// Sessions of this node, all workers together; 1 to 100 million.
    pub max_sessions: u32,
    /// A TCP session that is not established yet ends after so long; 1 s to 1 h.
    pub tcp_syn_timeout: Duration,
    /// A TCP session that one side closed ends after so long without a packet; 1 s to 1 h.
    pub tcp_fin_timeout: Duration,
    /// A TCP session that both sides closed, or that was reset, ends after so long; 1 s to 1 h.
    pub tcp_closed_timeout: Duration,
}

impl Default for Nat {
    fn default() -> Self {
        Self {
            local_addresses: Vec::new(),
            ports: PortRange::UNPRIVILEGED,
            max_sessions: 1_000_000,
            tcp_syn_timeout: Duration::from_secs(30),
            tcp_fin_timeout: Duration::from_secs(15),
            tcp_closed_timeout: Duration::from_secs(5),
        }
    }
}

impl Section for Nat {
    fn keys<F: Form>(&mut self, form: &mut F) {
        let timeout = || seconds(1..=3600);
        form.tables(may("local_addresses"), &mut self.local_addresses, 0..=256);
        form.value(may("ports"), &mut self.ports, Ports);
        form.value(may("max_sessions"), &mut self.max_sessions, integer(1..=100_000_000));
        form.value(may("tcp_syn_timeout_s"), &mut self.tcp_syn_timeout, timeout());
        form.value(may("tcp_fin_timeout_s"), &mut self.tcp_fin_timeout, timeout());
        form.value(may("tcp_closed_timeout_s"), &mut self.tcp_closed_timeout, timeout());
        let established = "is not set here, allowed is idle_timeout_s in each [[service]]";
        form.refuse("tcp_established_timeout_s", &[], established);
    }
}

/// A source address towards backends. It moves with the VIPs of its instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalAddress {
    /// The address; in some port's subnet.
    pub address: IpAddr,
    /// The HA instance that owns it.
    pub instance: String,
}

impl Default for LocalAddress {
    fn default() -> Self {
        Self { address: Ipv4Addr::UNSPECIFIED.into(), instance: String::new() }
    }
}

impl Section for LocalAddress {
    const INLINE: bool = true;
    const ITEM: &'static str = "an address in quotes or { address = \"10.0.0.1\", instance = \"blue\" }";
    const SHORT: Option<&'static str> = Some("address");

    fn keys<F: Form>(&mut self, form: &mut F) {
        form.value(must("address"), &mut self.address, address());
        form.value(may("instance"), &mut self.instance, name());
    }
}

#[cfg(test)]
mod tests {
    use crate::config::tests::{PORT, config, expect};

    #[test]
    fn mistakes_in_nat() {
        expect(
            r#"
[nat]
local_addresses = [
  "10.77.0.40/24",
#! 3: nat.local_addresses[0]: is "10.77.0.40/24", allowed is the IP address of one host, such as "10.0.0.1" or "fd00::1"
  "0.0.0.0",
#! 3: nat.local_addresses[1]: is "0.0.0.0", allowed is the IP address of one host, such as "10.0.0.1" or "fd00::1"
  "::ffff:10.77.0.40",
#! 3: nat.local_addresses[2]: is "::ffff:10.77.0.40", allowed is the IP address of one host, such as "10.0.0.1" or "fd00::1"
  { address = "10.77.0.41", instance = "" },
#! 40: nat.local_addresses[3].instance: is "", allowed is 1 to 128 letters, digits, "-", "_", ".", ":" or "/"
  { instance = "blue" },
#! 3: nat.local_addresses[4].address: is missing, allowed is the IP address of one host, such as "10.0.0.1" or "fd00::1"
  { addres = "10.77.0.42" },
#! 5: nat.local_addresses[5].addres: unknown key, did you mean address?
  ["10.77.0.43"],
#! 3: nat.local_addresses[6]: is an array, allowed is an address in quotes or { address = "10.0.0.1", instance = "blue" }
]
ports = 0
#! 9: nat.ports: is 0, allowed is a port from 1 to 65535 or a range such as "1000-2000"
max_sessions = 0
#! 16: nat.max_sessions: is 0, allowed is a whole number from 1 to 100000000
tcp_syn_timeout_s = 0
#! 21: nat.tcp_syn_timeout_s: is 0, allowed is a whole number from 1 to 3600
tcp_fin_timeout_s = 3601
#! 21: nat.tcp_fin_timeout_s: is 3601, allowed is a whole number from 1 to 3600
tcp_closed_timeout_s = "5"
#! 24: nat.tcp_closed_timeout_s: is "5", allowed is a whole number from 1 to 3600
tcp_established_timeout_s = 1800
#! 1: nat.tcp_established_timeout_s: is not set here, allowed is idle_timeout_s in each [[service]]
max_session = 5
#! 1: nat.max_session: unknown key, did you mean max_sessions?
"#,
            &[PORT],
        );
        expect(
            r#"
[nat]
local_addresses = "10.77.0.40"
#! 19: nat.local_addresses: is "10.77.0.40", allowed is an array [...], each item an address in quotes or { address = "10.0.0.1", instance = "blue" }
"#,
            &[PORT],
        );
    }

    #[test]
    fn a_local_address_is_text_or_a_table() {
        let both = r#"
[nat]
local_addresses = ["10.77.0.40", { address = "10.77.0.41" }, { address = "fd77::40", instance = "llb-inst0" }]
"#;
        let config = config(&(both.to_owned() + PORT));
        let addresses: Vec<String> =
            config.nat.local_addresses.iter().map(|l| l.address.to_string()).collect();
        assert_eq!(addresses, ["10.77.0.40", "10.77.0.41", "fd77::40"]);
        assert!(config.nat.local_addresses.iter().all(|local| local.instance == "llb-inst0"));
    }
}
