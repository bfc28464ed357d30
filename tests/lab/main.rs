//! `hitless run` between real programs, in network namespaces. Needs root and the packages of `make lab-packages`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests, whose helpers clippy does not know as such"
)]

mod bfd;
mod changes;
mod checksums;
mod connections;
mod contest;
mod datagrams;
mod disturbance;
mod failover;
mod health;
mod http;
mod icmp;
mod instances;
mod pair;
mod prometheus;
mod schedulers;
mod sctp;
mod seed;
mod start;
mod strangers;
mod throughput;
mod witness;

use hitless_lab::{Host, Lab, Nginx, Node, NodeConfig};
use std::{net::SocketAddr, path::Path, time::Duration};

/// Longer than anything takes on a machine that stands still now and then.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The host's veth by AF_XDP, which has one queue there.
pub(crate) const AF_XDP: &str = "net_af_xdp0,iface=eth0";

/// The virtual service of both families.
pub(crate) fn vips(port: u16) -> [SocketAddr; 2] {
    [format!("10.77.0.100:{port}"), format!("[fd77::100]:{port}")]
        .map(|text| text.parse().expect("an address"))
}

/// A client, backends with nginx, and one load balancer. Fields are dropped in this order.
pub(crate) struct World {
    pub(crate) node: Node,
    pub(crate) nginx: Vec<Nginx>,
    pub(crate) client: Host,
    pub(crate) backends: Vec<Host>,
    pub(crate) lab: Lab,
}

impl World {
    /// With so many backends, and what `config` makes of them.
    pub(crate) fn new(backends: u8, config: impl FnOnce(&[&Host]) -> NodeConfig) -> Self {
        Self::on(|_| {}, backends, config)
    }

    /// The same on a machine that `prepare` changes first.
    pub(crate) fn on(
        prepare: impl FnOnce(&Host),
        backends: u8,
        config: impl FnOnce(&[&Host]) -> NodeConfig,
    ) -> Self {
        let mut lab =
            Lab::new().expect("the lab needs root: run `sudo -E make test`, or `make unit` without");
        let client = lab.host("client", 1).unwrap();
        let machine = lab.machine("lb1", 11).unwrap();
        prepare(&machine);
        let backends: Vec<Host> =
            (1..=backends).map(|number| lab.host(&format!("b{number}"), 20 + number).unwrap()).collect();
        let nginx = backends.iter().map(|host| Nginx::start(&lab, host).unwrap()).collect();
        let config = config(&backends.iter().collect::<Vec<_>>());
        let node = Node::start(&lab, &machine, Path::new(env!("CARGO_BIN_EXE_hitless")), &config).unwrap();
        Self { node, nginx, client, backends, lab }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{}", self.node.program.log());
            println!("{}", self.node.hitless("get stats").unwrap_or_default());
        }
    }
}
