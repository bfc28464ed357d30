//! The MAC that moves with an instance.

use crate::{protocol::election::name_hash, types::Mac};
use std::net::IpAddr;

/// The virtual MAC of an instance, the same on both nodes of a pair: locally administered, a station's, and its other
/// 40 bits a hash of the instance's name and the two nodes' addresses in either order. So two pairs on one link that
/// both use the default name do not meet.
pub fn virtual_mac(instance: &str, pair: [IpAddr; 2]) -> Mac {
    let (low, high) = (pair[0].min(pair[1]), pair[0].max(pair[1]));
    let bits = name_hash(&format!("{instance} {low} {high}"));
    let [a, b, c, d, e, ..] = bits.to_be_bytes();
    Mac([LOCAL_STATION, a, b, c, d, e])
}

const LOCAL_STATION: u8 = 0x02;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_mac_an_instance_the_same_on_both_nodes() {
        let [a, b, c]: [IpAddr; 3] =
            ["10.0.0.11", "10.0.0.12", "10.0.0.13"].map(|text| text.parse().unwrap());
        let mac = virtual_mac("llb-inst0", [a, b]);
        assert_eq!(mac, virtual_mac("llb-inst0", [b, a]));
        assert_eq!(mac.0[0] & 3, 2, "local, and no group");
        for (what, other) in [
            ("another instance", virtual_mac("blue", [a, b])),
            ("another pair on the link", virtual_mac("llb-inst0", [a, c])),
        ] {
            assert_ne!(mac, other, "{what}");
        }
        assert_eq!(mac.to_string(), "02:e0:5a:67:3f:d1", "it may not change from version to version");
    }
}
