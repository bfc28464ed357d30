//! Sessions, ports, neighbours.

use super::{items, plain};
use serde_json::Value;

pub(super) fn conntrack(answer: &Value, wide: bool) {
    let mut fields = vec![
        ("SERVICE NAME", "/servName"),
        ("DESTIP", "/destinationIP"),
        ("SRCIP", "/sourceIP"),
        ("DPORT", "/destinationPort"),
        ("SPORT", "/sourcePort"),
        ("PROTO", "/protocol"),
        ("STATE", "/conntrackState"),
        ("ACT", "/conntrackAct"),
        ("PACKETS", "/packets"),
        ("BYTES", "/bytes"),
    ];
    if wide {
        fields.push(("IDLE MS", "/idleMs"));
    }
    plain(items(answer, "ctAttr"), &fields);
}

pub(super) fn ports(answer: &Value, wide: bool) {
    let mut fields = vec![
        ("INDEX", "/portNo"),
        ("PORTNAME", "/portName"),
        ("MAC", "/portHardwareInformation/macAddress"),
        ("MTU", "/portHardwareInformation/mtu"),
        ("LINK", "/portHardwareInformation/link"),
        ("VLAN", "/portL2Information/vid"),
        ("DEVICE", "/device"),
        ("IPV4", "/portL3Information/IPv4Address"),
        ("IPV6", "/portL3Information/IPv6Address"),
    ];
    if wide {
        fields.extend([
            ("RX PACKETS", "/portStatisticInformation/rxPackets"),
            ("TX PACKETS", "/portStatisticInformation/txPackets"),
            ("RX ERRORS", "/portStatisticInformation/rxErrors"),
            ("TX ERRORS", "/portStatisticInformation/txErrors"),
        ]);
    }
    plain(items(answer, "portAttr"), &fields);
}

pub(super) fn neighbors(answer: &Value, wide: bool) {
    let mut fields = vec![("DEV", "/dev"), ("IP", "/ipAddress"), ("MAC", "/macAddress"), ("STATE", "/state")];
    if wide {
        fields.push(("PINNED", "/pinned"));
    }
    plain(items(answer, "neighborAttr"), &fields);
}
