//! What LoxiLB has and this node has not, and what its clients read all the same: lists without elements.

use super::answer::Refused;
use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;

macro_rules! absent {
    ($($(#[$doc:meta])* $name:ident at $path:literal as $answer:ident { $key:tt },)*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Debug, Serialize, ToSchema)]
            pub(super) struct $answer {
                /// Always empty.
                #[serde(rename = $key)]
                #[schema(value_type = Vec<Object>)]
                none: [u8; 0],
            }

            $(#[$doc])*
            #[utoipa::path(get, path = $path, tag = "absent", responses((status = 200, body = $answer), Refused))]
            pub(super) async fn $name() -> Json<$answer> {
                Json($answer { none: [] })
            }
        )*
    };
}

absent! {
    /// Mobile sessions: none here.
    mobile_sessions at "/config/session/all" as MobileSessions { "sessionAttr" },
    /// Uplink classifiers: none here.
    uplink_classifiers at "/config/sessionulcl/all" as UplinkClassifiers { "ulclAttr" },
    /// Firewall rules: none here.
    firewall at "/config/firewall/all" as FirewallRules { "fwAttr" },
    /// BGP neighbours: none here.
    bgp_neighbors at "/config/bgp/neigh/all" as BgpNeighbors { "bgpNeiAttr" },
    /// VLAN bridges: none here.
    vlans at "/config/vlan/all" as VlanBridges { "vlanAttr" },
    /// VXLAN tunnels: none here.
    vxlans at "/config/tunnel/vxlan/all" as VxlanTunnels { "vxlanAttr" },
    /// Forwarding entries: none here.
    forwarding_entries at "/config/fdb/all" as ForwardingEntries { "fdbAttr" },
    /// Rate limits: none here.
    policies at "/config/policy/all" as Policies { "polAttr" },
    /// Mirrors: none here.
    mirrors at "/config/mirror/all" as Mirrors { "mirrAttr" },
}
