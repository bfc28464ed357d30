//! `[[ha.bfd]]`: the paths on which the peer is watched (RFC 5880, RFC 5881).

use super::{
    form::{Form, Section, may, must},
    kind::{integer, micros},
    text::{File, address},
    word::{OneOf, words},
};
use crate::types::Duration;
use std::{
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
};

words! {
    /// What is known of the other end.
    BfdPeer {
        /// It keeps to RFC 5880 and RFC 5881.
        Standard = "none",
        /// It is LoxiLB: TTL 64 is accepted, no slow start is expected.
        Loxilb = "loxilb",
    } later []
}

words! {
    /// How packets prove their origin (RFC 5880 section 6.7.4).
    BfdAuthKind {
        /// A password in plain text: guards against accidents only.
        Simple = "simple",
        /// MD5; the sequence number grows now and then.
        KeyedMd5 = "keyed-md5",
        /// MD5; the sequence number grows with every packet.
        MeticulousMd5 = "meticulous-md5",
        /// The sequence number grows now and then.
        KeyedSha1 = "keyed-sha1",
        /// The sequence number grows with every packet.
        MeticulousSha1 = "meticulous-sha1",
    } later []
}

/// `auth = { ... }` of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BfdAuth {
    /// How.
    pub kind: BfdAuthKind,
    /// The key's number, the same at both ends.
    pub key_id: u8,
    /// The file that holds the key.
    pub key_file: PathBuf,
}

impl Default for BfdAuth {
    fn default() -> Self {
        Self { kind: BfdAuthKind::MeticulousSha1, key_id: 1, key_file: PathBuf::new() }
    }
}

impl Section for BfdAuth {
    fn keys<F: Form>(&mut self, form: &mut F) {
        form.value(must("type"), &mut self.kind, OneOf);
        form.value(may("key_id"), &mut self.key_id, integer(0..=255));
        form.value(must("key_file"), &mut self.key_file, File);
    }
}

/// `[[ha.bfd]]`: one path to the peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BfdPath {
    /// One of this node's own port addresses.
    pub local: IpAddr,
    /// The peer's address in the same subnet.
    pub remote: IpAddr,
    /// From packet to packet, both ways, 50 us to 10 s.
    pub interval: Duration,
    /// Intervals of silence after which the path is Down, 1 to 255.
    pub multiplier: u8,
    /// What is known of the other end.
    pub compatible: BfdPeer,
    /// How packets prove their origin; `None`: they do not.
    pub auth: Option<BfdAuth>,
}

impl Default for BfdPath {
    fn default() -> Self {
        let nobody = Ipv4Addr::UNSPECIFIED.into();
        Self::new(nobody, nobody)
    }
}

impl BfdPath {
    /// A path with the default interval and multiplier.
    pub const fn new(local: IpAddr, remote: IpAddr) -> Self {
        let interval = Duration::from_micros(1000);
        Self { local, remote, interval, multiplier: 3, compatible: BfdPeer::Standard, auth: None }
    }
}

impl Section for BfdPath {
    fn keys<F: Form>(&mut self, form: &mut F) {
        form.value(must("local"), &mut self.local, address());
        form.value(must("remote"), &mut self.remote, address());
        form.value(may("interval_us"), &mut self.interval, micros(50..=10_000_000));
        form.value(may("multiplier"), &mut self.multiplier, integer(1..=255));
        form.value(may("compatible"), &mut self.compatible, OneOf);
        form.optional(may("auth"), &mut self.auth);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::{PORT, config, expect};

    #[test]
    fn mistakes_in_bfd() {
        expect(
            r#"
[ha]
peer = "10.77.0.12"
[[ha.bfd]]
#! 1: ha.bfd[0].remote: is missing, allowed is the IP address of one host, such as "10.0.0.1" or "fd00::1"
local = "10.77.0.11/24"
#! 9: ha.bfd[0].local: is "10.77.0.11/24", allowed is the IP address of one host, such as "10.0.0.1" or "fd00::1"
interval_us = 49
#! 15: ha.bfd[0].interval_us: is 49, allowed is a whole number from 50 to 10000000
multiplier = 0
#! 14: ha.bfd[0].multiplier: is 0, allowed is a whole number from 1 to 255
compatible = "frr"
#! 14: ha.bfd[0].compatible: is "frr", allowed is "none" or "loxilb"
auth = { type = "sha1", key_id = 256 }
#! 8: ha.bfd[0].auth.key_file: is missing, allowed is the path of a file, in quotes
#! 17: ha.bfd[0].auth.type: is "sha1", allowed is "simple", "keyed-md5", "meticulous-md5", "keyed-sha1" or "meticulous-sha1"
#! 34: ha.bfd[0].auth.key_id: is 256, allowed is a whole number from 0 to 255
[[ha.bfd]]
local = "10.77.0.11"
remote = "10.77.0.12"
interval_us = 10000001
#! 15: ha.bfd[1].interval_us: is 10000001, allowed is a whole number from 50 to 10000000
multiplier = 256
#! 14: ha.bfd[1].multiplier: is 256, allowed is a whole number from 1 to 255
auth = { type = "keyed-md5", key_id = 1, key_file = "" }
#! 53: ha.bfd[1].auth.key_file: is "", allowed is the path of a file, in quotes
interval_ms = 1
#! 1: ha.bfd[1].interval_ms: unknown key, did you mean interval_us?
"#,
            &[PORT],
        );
        expect(
            r#"
[ha]
peer = "10.77.0.12"
[ha.bfd]
#! 1: ha.bfd: is a table, allowed is [[ha.bfd]] tables
local = "10.77.0.11"
"#,
            &[PORT],
        );
    }

    #[test]
    fn a_path_with_a_key() {
        let document = r#"
[ha]
peer = "fd77::12"
[[ha.bfd]]
local = "fd77::11"
remote = "fd77::12"
interval_us = 50
multiplier = 255
compatible = "loxilb"
auth = { type = "keyed-sha1", key_id = 0, key_file = "/etc/hitless/bfd.key" }
"#;
        let ha = config(&(document.to_owned() + PORT)).ha.unwrap();
        let key_file = "/etc/hitless/bfd.key".into();
        let auth = BfdAuth { kind: BfdAuthKind::KeyedSha1, key_id: 0, key_file };
        let (local, remote) = ("fd77::11".parse().unwrap(), "fd77::12".parse().unwrap());
        let interval = Duration::from_micros(50);
        let (compatible, auth) = (BfdPeer::Loxilb, Some(auth));
        assert_eq!(ha.bfd, [BfdPath { local, remote, interval, multiplier: 255, compatible, auth }]);
    }
}
