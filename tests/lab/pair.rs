//! Two nodes in front of two backends, and a client.

use crate::PATIENCE;
use hitless_lab::{BfdParameters, Host, Lab, Nginx, Node, NodeConfig};
use std::{net::SocketAddr, path::Path, thread};

/// What holds on a busy machine whose threads stand still now and then.
const TIMES: BfdParameters = BfdParameters { interval_ms: 50, multiplier: 5 };

/// Fields are dropped in this order.
pub(crate) struct Pair {
    pub(crate) nodes: Vec<Node>,
    pub(crate) nginx: Vec<Nginx>,
    pub(crate) client: Host,
    pub(crate) lab: Lab,
}

impl Pair {
    /// A MASTER, first, and a BACKUP that holds its sessions; `more` goes into `[ha]`.
    pub(crate) fn new(more: &str) -> Self {
        Self::with(|config, own| {
            let priority = 200 - 100 * own;
            (config, format!("priority = {priority}\n{more}"))
        })
    }

    /// As [`Self::new`], of nodes that differ: what each one's configuration becomes, and what goes into its `[ha]`.
    pub(crate) fn with(each: impl Fn(NodeConfig, usize) -> (NodeConfig, String)) -> Self {
        let mut pair = Self::apart(each);
        pair.nodes[0].wait_for_state("MASTER", PATIENCE).unwrap();
        pair.nodes[1].wait_until_ready(PATIENCE).unwrap();
        pair
    }

    /// As [`Self::with`], when nobody knows what becomes of them.
    pub(crate) fn apart(each: impl Fn(NodeConfig, usize) -> (NodeConfig, String)) -> Self {
        let mut lab = Lab::new().expect("the lab needs root");
        let client = lab.host("client", 1).unwrap();
        // It serves as a gateway as well: what comes for others is sent on, back out of where it came from.
        let forward = "sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.send_redirects=0 net.ipv4.conf.eth0.send_redirects=0";
        client.namespace.shell(forward).unwrap();
        let machines = [lab.machine("lb1", 11).unwrap(), lab.machine("lb2", 12).unwrap()];
        let backends = [lab.host("b1", 21).unwrap(), lab.host("b2", 22).unwrap()];
        let nginx = backends.iter().map(|host| Nginx::start(&lab, host).unwrap()).collect();
        let both: Vec<&Host> = backends.iter().collect();
        let mut nodes = Vec::new();
        for (own, peer) in [(0, 1), (1, 0)] {
            let config = NodeConfig { workers: vec![own as u16], ..NodeConfig::default() }.service(
                ("tcp", 80, Some(Nginx::PORT)),
                &both,
                "scheduler = \"rr\"",
            );
            let (config, more) = each(config, own);
            let config = config.paired(&machines[own], &machines[peer], TIMES, &more);
            let binary = Path::new(env!("CARGO_BIN_EXE_hitless"));
            nodes.push(Node::start(&lab, &machines[own], binary, &config).unwrap());
        }
        Self { nodes, nginx, client, lab }
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        if thread::panicking() {
            for node in &self.nodes {
                println!("{}", node.program.log());
                println!("{}", node.hitless("get stats").unwrap_or_default());
            }
        }
    }
}

/// The service of [`Pair`].
pub(crate) fn vip() -> SocketAddr {
    SocketAddr::from(([10, 77, 0, 100], 80))
}
