//! `[ha]`: the other node, and who owns what.

use super::{
    bfd::BfdPath,
    form::{Form, Section, may, must},
    kind::{Flag, Kind, Maybe, OrEmpty, integer, millis, seconds},
    text::{File, address, name},
    word::{OneOf, words},
};
use crate::types::Duration;
use std::{net::IpAddr, path::PathBuf};

/// The instance of a configuration that names none.
pub const DEFAULT_INSTANCE: &str = "llb-inst0";

words! {
    /// How a gateway is asked whether this node still has a network.
    GatewayCheck {
        /// ARP, and neighbour solicitation for IPv6.
        Arp = "arp",
        /// Unaffiliated BFD echo (RFC 9747): the gateway's forwarding answers.
        BfdEcho = "bfd-echo",
        /// ICMP echo.
        Ping = "ping",
    } later []
}

/// An HA instance: services and local addresses that change owner together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Its name, unique among instances.
    pub name: String,
    /// The higher of two nodes owns it at cold start; 1 to 255.
    pub priority: u8,
}

impl Default for Instance {
    fn default() -> Self {
        Self { name: DEFAULT_INSTANCE.into(), priority: 100 }
    }
}

impl Section for Instance {
    fn keys<F: Form>(&mut self, form: &mut F) {
        form.value(must("name"), &mut self.name, name());
        form.value(may(PRIORITY), &mut self.priority, priority());
    }
}

/// `[ha.sync]`: the stream of sessions to the peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionSync {
    /// Whether sessions are sent and taken.
    pub enabled: bool,
    /// The file with the key that authenticates the stream; `None`: nothing does.
    pub key_file: Option<PathBuf>,
}

impl Default for SessionSync {
    fn default() -> Self {
        Self { enabled: true, key_file: None }
    }
}

impl Section for SessionSync {
    fn keys<F: Form>(&mut self, form: &mut F) {
        form.value(may("enabled"), &mut self.enabled, Flag);
        form.value(may("key_file"), &mut self.key_file, OrEmpty(File));
    }
}

/// `[ha]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ha {
    /// Instances, 1 to 64; an instance's place is its `InstanceId`.
    pub instances: Vec<Instance>,
    /// The other node's address; `None`: the API will name it.
    pub peer: Option<IpAddr>,
    /// A node of higher priority takes over from a healthy one.
    pub preempt: bool,
    /// No peer heard for so long after the start: this node becomes MASTER alone; up to 10 min.
    pub lone_start: Duration,
    /// Witnesses: a node that reaches none of them claims nothing; at most 8.
    pub gateway_check: Vec<IpAddr>,
    /// How they are asked.
    pub gateway_check_type: GatewayCheck,
    /// A node that stood still so long serves nothing until it has looked again; up to 60 s, zero for never.
    pub lease: Duration,
    /// VIPs answer with one MAC that moves with them.
    pub virtual_mac: bool,
    /// When gratuitous ARP and unsolicited NA are sent, from the take-over on; ascending, at most 16, each up to
    /// 60 s.
    pub garp_repeat: Vec<Duration>,
    /// How often they are sent afterwards; up to 1 h, zero for never.
    pub garp_refresh: Duration,
    /// Called as `notify INSTANCE OLD_STATE NEW_STATE`.
    pub notify: Option<PathBuf>,
    /// Paths to the peer, at most 16; the peer is gone when all are Down.
    pub bfd: Vec<BfdPath>,
    /// The session stream.
    pub sync: SessionSync,
}

impl Default for Ha {
    fn default() -> Self {
        Self {
            instances: vec![Instance::default()],
            peer: None,
            preempt: false,
            lone_start: Duration::from_millis(3000),
            gateway_check: Vec::new(),
            gateway_check_type: GatewayCheck::Arp,
            lease: Duration::ZERO,
            virtual_mac: false,
            garp_repeat: [0, 20, 100, 500, 2000].map(Duration::from_millis).into(),
            garp_refresh: Duration::from_secs(60),
            notify: None,
            bfd: Vec::new(),
            sync: SessionSync::default(),
        }
    }
}

const INSTANCE: &str = "instance";
const PRIORITY: &str = "priority";
const GARP_REPEAT: &str = "garp_repeat";

impl Section for Ha {
    fn keys<F: Form>(&mut self, form: &mut F) {
        self.instance_keys(form);
        form.value(may("peer"), &mut self.peer, Maybe(address()));
        form.value(may("preempt"), &mut self.preempt, Flag);
        form.value(may("lone_start_ms"), &mut self.lone_start, millis(0..=600_000));
        form.list(may("gateway_check"), &mut self.gateway_check, address(), 0..=8);
        form.value(may("gateway_check_type"), &mut self.gateway_check_type, OneOf);
        form.value(may("lease_ms"), &mut self.lease, millis(0..=60_000));
        form.value(may("virtual_mac"), &mut self.virtual_mac, Flag);
        form.list(may(GARP_REPEAT), &mut self.garp_repeat, millis(0..=60_000), 0..=16);
        form.rule(&[GARP_REPEAT], self.garp_repeat.is_sorted_by(|a, b| a < b), || {
            "does not ascend, allowed are times after the take-over in ascending order, each once".into()
        });
        form.value(may("garp_refresh_s"), &mut self.garp_refresh, seconds(0..=3600));
        form.value(may("notify"), &mut self.notify, OrEmpty(File));
        form.tables(may("bfd"), &mut self.bfd, 0..=16);
        form.table(may("sync"), &mut self.sync);
    }
}

impl Ha {
    /// Either `instance` and `priority`, or `[[ha.instance]]`.
    fn instance_keys<F: Form>(&mut self, form: &mut F) {
        match &mut self.instances[..] {
            [only] if !form.is_array(INSTANCE) => {
                form.value(may(INSTANCE), &mut only.name, name());
                form.value(may(PRIORITY), &mut only.priority, priority());
            }
            _ => {
                form.tables(may(INSTANCE), &mut self.instances, 1..=64);
                let text = "is not set here, allowed is priority in each [[ha.instance]]";
                form.refuse(PRIORITY, &[], text);
            }
        }
    }
}

fn priority() -> impl Kind<u8> {
    integer(1..=255)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{
        BfdPath,
        tests::{PORT, config, expect},
    };
    use crate::types::InstanceId;

    #[test]
    fn mistakes_in_ha() {
        expect(
            r#"
[ha]
instance = ""
#! 12: ha.instance: is "", allowed is 1 to 128 letters, digits, "-", "_", ".", ":" or "/"
peer = "lb2"
#! 8: ha.peer: is "lb2", allowed is the IP address of one host, such as "10.0.0.1" or "fd00::1"
priority = 0
#! 12: ha.priority: is 0, allowed is a whole number from 1 to 255
preempt = "no"
#! 11: ha.preempt: is "no", allowed is true or false
lone_start_ms = -1
#! 17: ha.lone_start_ms: is -1, allowed is a whole number from 0 to 600000
gateway_check = "10.77.0.1"
#! 17: ha.gateway_check: is "10.77.0.1", allowed is an array [...], each item the IP address of one host, such as "10.0.0.1" or "fd00::1"
gateway_check_type = "icmp"
#! 22: ha.gateway_check_type: is "icmp", allowed is "arp", "bfd-echo" or "ping"
lease_ms = 60001
#! 12: ha.lease_ms: is 60001, allowed is a whole number from 0 to 60000
virtual_mac = 0
#! 15: ha.virtual_mac: is 0, allowed is true or false
garp_repeat = [0, 0, 100]
#! 15: ha.garp_repeat: does not ascend, allowed are times after the take-over in ascending order, each once
garp_refresh_s = 3601
#! 18: ha.garp_refresh_s: is 3601, allowed is a whole number from 0 to 3600
notify = ["/bin/true"]
#! 10: ha.notify: is an array, allowed is the path of a file, in quotes
lone_start = 3000
#! 1: ha.lone_start: unknown key, did you mean lone_start_ms?
[ha.sync]
enabled = "true"
#! 11: ha.sync.enabled: is "true", allowed is true or false
key_file = 7
#! 12: ha.sync.key_file: is 7, allowed is the path of a file, in quotes
keyfile = ""
#! 1: ha.sync.keyfile: unknown key, did you mean key_file?
"#,
            &[PORT],
        );
        expect(
            r#"
ha = true
#! 6: ha: is true, allowed is one table [ha]
"#,
            &[PORT],
        );
    }

    #[test]
    fn one_instance_or_a_list_of_them() {
        expect(
            r#"
[ha]
peer = "10.77.0.12"
priority = 100
#! 1: ha.priority: is not set here, allowed is priority in each [[ha.instance]]
[[ha.instance]]
name = "blue"
priority = 256
#! 12: ha.instance[0].priority: is 256, allowed is a whole number from 1 to 255
[[ha.instance]]
#! 1: ha.instance[1].name: is missing, allowed is 1 to 128 letters, digits, "-", "_", ".", ":" or "/"
priority = 100
[[ha.instance]]
name = "default"
#! 8: ha.instance[2].name: is "default", which is the API's other name of "llb-inst0", allowed is any other name
[[ha.instance]]
name = "blue"
#! 8: ha.instance[3].name: blue is taken by ha.instance[0].name (line 5), allowed is a name of its own
"#,
            &[PORT],
        );
        expect(
            r#"
[ha]
instance = "blue"
peer = "10.77.0.12"
[[ha.instance]]
#! 6: ha.instance: is already given in another form, allowed is that or [[ha.instance]] tables, not both
name = "red"
"#,
            &[PORT],
        );
        expect(
            r#"
[ha]
instance = []
#! 12: ha.instance: has 0 items, allowed is 1 to 64 of them
peer = "10.77.0.12"
"#,
            &[PORT],
        );
        expect(
            r#"
[ha]
instance = "default"
#! 12: ha.instance: is "default", which is the API's other name of "llb-inst0", allowed is any other name
peer = "10.77.0.12"
"#,
            &[PORT],
        );
    }

    #[test]
    fn an_instance_is_its_place_in_the_list() {
        let document =
            "[[ha.instance]]\nname = \"red\"\n[[ha.instance]]\nname = \"llb-inst0\"\npriority = 7\n";
        let config = config(&(document.to_owned() + PORT));
        assert_eq!(config.instance_id("red"), Some(InstanceId(0)));
        assert_eq!(config.instance_id("llb-inst0"), Some(InstanceId(1)));
        assert_eq!(config.instance_id("blue"), None);
        assert_eq!(config.instances().iter().map(|i| i.priority).collect::<Vec<_>>(), [100, 7]);
    }

    #[test]
    fn a_peer_alone_is_watched_on_one_path() {
        let path = |peer: &str| config(&format!("[ha]\npeer = \"{peer}\"\n{PORT}")).ha.unwrap().bfd;
        let own = |text: &str| text.parse().unwrap();
        assert_eq!(path("10.77.0.12"), [BfdPath::new(own("10.77.0.11"), own("10.77.0.12"))]);
        assert_eq!(path("fd77::12"), [BfdPath::new(own("fd77::11"), own("fd77::12"))]);
        assert_eq!(path("fd77::12")[0].interval, Duration::from_micros(1000));
        assert_eq!(path("fd77::12")[0].multiplier, 3);
    }
}
