//! What becomes of a packet.

use super::core::CorePort;
use crate::{
    packet::icmp::ErrorMessage,
    types::{DropReason, PortId, WorkerId},
};
use std::net::IpAddr;

/// A next hop: the neighbour's address on a port.
pub(super) type HopKey = (PortId, IpAddr);

/// A packet's fate. The packet has been rewritten already where it goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Out by this port.
    Transmit(PortId),
    /// Out by this port, in pieces: it is larger than that port's MTU.
    Split(PortId),
    /// Dead.
    Drop(DropReason),
    /// Dead, and its sender is told why, within limits.
    Refuse(DropReason, ErrorMessage),
    /// Dead, and its sender's connection is reset, within limits.
    Reset(DropReason),
    /// To the control core: ARP, neighbour discovery.
    Control,
    /// To the control core, before all else: BFD and what else the peer sends.
    Urgent,
    /// To the kernel interface, or to the stack in its place.
    Kernel,
    /// To the worker that owns its session.
    HandOver(WorkerId),
    /// On to the other node as it came: the instance is being handed over.
    Relay,
    /// Kept, unchanged, until the next hop has answered.
    Hold(HopKey),
}

/// How a packet came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// From a receive queue.
    Wire,
    /// From another worker, or after being held: it is not handed over again.
    Again,
}

/// Where a packet came from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source {
    pub(super) port: &'static CorePort,
    pub(super) arrival: Arrival,
}
