//! Which addresses are this node's own, as ARP and neighbour discovery need to know.

use crate::types::{Mac, PortId};
use std::net::IpAddr;

/// Says what is this node's own at this moment; virtual addresses come and go with ownership of their instance.
pub trait Owner {
    /// The MAC this node answers with for `address` on `port`; `None` while the address is not its own.
    fn answers(&self, port: PortId, address: IpAddr) -> Option<Mac>;

    /// Whether frames that this node sends now on `port` come from `mac`.
    fn is_own_mac(&self, port: PortId, mac: Mac) -> bool;
}
