//! `config/bgp`: announcing addresses, which is not built yet. LoxiLB's agents ask for it only when they are told to
//! (--setBGP, BGP resources), and are refused as by a LoxiLB without BGP.

use super::answer::{Answer, Refused};
use crate::manage::Refusal;

fn disabled() -> Answer {
    let text = "loxilb BGP mode is disabled: this node does not announce its addresses yet, leave out --setBGP and BGP \
                resources, and announce them by a router";
    Err(Refusal::Disabled(text.into()).into())
}

/// This node's autonomous system: always refused, for nothing is announced yet.
#[utoipa::path(post, path = "/config/bgp/global", tag = "bgp", responses(Refused))]
pub(super) async fn set_speaker() -> Answer {
    disabled()
}

/// A neighbour: always refused, for nothing is announced yet.
#[utoipa::path(post, path = "/config/bgp/neigh", tag = "bgp", responses(Refused))]
pub(super) async fn create() -> Answer {
    disabled()
}

/// Forget a neighbour: always refused, for there is none.
#[utoipa::path(delete, path = "/config/bgp/neigh/{ip_address}", tag = "bgp", params(("ip_address" = String, Path)),
    responses(Refused))]
pub(super) async fn delete() -> Answer {
    disabled()
}
