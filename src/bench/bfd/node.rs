//! One of the two control loops: a real control core with one BFD session, on its end of the cable.

use super::wire::End;
use crate::{
    control::{
        BfdView, Control, Event, MAX_BFD_SESSIONS, NodeAddresses, Outlet, OutletPort, Reception, Settings,
    },
    packet::Steering,
    plane::{Links, NextHop, NextHops, Ownership, Pins, Publisher, Relay, Routes},
    port::{PortFacts, memory::Pool},
    protocol::bfd::{self, Hop, Path, Timers},
    service::ServiceTable,
    types::{Duration, Mac, NextHopId, PortId},
    worker::{RingSizes, rings},
};
use crossbeam::queue::ArrayQueue;
use std::{net::IpAddr, sync::Arc};

/// Packets the cable holds: what a receive ring holds.
pub(super) const DEPTH: usize = 4096;

/// A control core, and what is seen of it from outside.
pub(super) struct Node {
    pub(super) control: Control<End>,
    pub(super) bfd: Arc<BfdView>,
    pub(super) events: Arc<ArrayQueue<Event>>,
}

const fn mac(node: u8) -> Mac {
    Mac([2, 0, 0, 0, 0, 1 + node])
}

fn address(node: u8) -> IpAddr {
    IpAddr::from([10, 9, 0, 1 + node])
}

impl Node {
    /// Number 0 or 1 of the pair; each knows the other's MAC.
    pub(super) fn new(number: u8, end: End, pool: Pool, timers: Timers, seed: u64) -> Self {
        let facts = PortFacts {
            id: PortId(0),
            name: format!("bench{number}"),
            mac: mac(number),
            mtu: 1500,
            vlan: 0,
            steering: Steering::Software { workers: 1 },
            rx_descriptors: DEPTH as u16,
            hardware_timestamps: false,
            checks_ip: true,
        };
        let next_hops = Arc::new(NextHops::new(1));
        next_hops.resolve(
            NextHopId(0),
            address(1 - number),
            NextHop { mac: mac(1 - number), port: PortId(0) },
        );
        let path =
            Path { port: PortId(0), local: address(number), remote: address(1 - number), hop: Hop::Single };
        let (_, far) = rings(0, RingSizes { hand_over: 1, control: 1, kernel: 1, sync: 0 });
        let events = Arc::new(ArrayQueue::new(4 * MAX_BFD_SESSIONS));
        let port = OutletPort {
            facts,
            queue: Some(end),
            reception: Reception::Own,
            allocate: Box::new(move || pool.allocate()),
        };
        let control = Control::new(Settings {
            outlet: Outlet::new(vec![port], far.from_control),
            addresses: NodeAddresses::default(),
            urgent: far.urgent,
            examined: Vec::new(),
            bfd: vec![bfd::Settings::new(path, timers)],
            seed,
            neighbors: far.control,
            requests: far.requests,
            kernel: far.control_to_kernel,
            kernel_interfaces: vec![false],
            services: Publisher::new(ServiceTable::default()).reader(),
            pins: Publisher::new(Pins::new(&Routes::new(Vec::new()), std::iter::empty())).reader(),
            routes: Publisher::new(Routes::new(Vec::new())).reader(),
            next_hops,
            ownership: Arc::new(Ownership::new(1)),
            links: Arc::new(Links::default()),
            workers: Vec::new(),
            stall: Duration::from_secs(1),
            max_neighbors: 1,
            events: Arc::clone(&events),
            relay: Arc::new(Relay::new(1)),
            mailbox: Arc::default(),
            peer: None,
            sync: None,
            ha: None,
        });
        Self { bfd: control.bfd_view(), control, events }
    }
}
