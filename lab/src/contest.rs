//! How long the partner of a node that dies takes to notice and to take over: FRR, keepalived and `hitless`, one after
//! the other on the same segment, timed by the packets they send.
//!
//! ```text
//!   last packet of the one that dies ──► first packet that says Down ──► first gratuitous ARP for the VIP
//!                                  detection                     (FRR alone moves no address)
//! ```

use crate::{
    BfdParameters, Capture, Error, Frr, Host, Keepalived, Lab, Nginx, Node, NodeConfig, Result, wait_for,
};
use std::{net::IpAddr, path::Path, thread, time::Duration};

const PATIENCE: Duration = Duration::from_secs(30);
/// So long a pair is left alone before one of it dies: first sendings and slow starts are over.
const SETTLE: Duration = Duration::from_secs(2);
/// The survivor has announced itself by then.
const AFTERMATH: Duration = Duration::from_secs(1);
const VIP: &str = "10.77.0.100";

/// Who takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contender {
    /// FRR's bfdd, detection only.
    Frr(BfdParameters),
    /// keepalived's VRRP version 3; an advertisement each so many hundredths of a second.
    Vrrp {
        /// Hundredths of a second; 1 is the least there is.
        centis: u32,
    },
    /// `hitless` on `net_af_packet`, threads that sleep and share cores.
    Hitless(BfdParameters),
}

impl Contender {
    /// For people.
    pub fn name(self) -> String {
        match self {
            Self::Frr(BfdParameters { interval_ms, multiplier }) => {
                format!("FRR bfdd, {interval_ms} ms x {multiplier}")
            }
            Self::Vrrp { centis } => format!("keepalived VRRPv3, {} ms", centis * 10),
            Self::Hitless(BfdParameters { interval_ms, multiplier }) => {
                format!("hitless, {interval_ms} ms x {multiplier}")
            }
        }
    }
}

/// One death, timed from the victim's last packet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trial {
    /// Until the survivor's first packet that says Down. VRRP has none: until its first advertisement.
    pub detection: Duration,
    /// Until its first gratuitous ARP for the VIP.
    pub takeover: Option<Duration>,
}

/// Lets one of a pair die, so many times.
///
/// # Errors
///
/// Something does not start, or nobody takes over.
pub fn contest(contender: Contender, trials: usize, binary: &Path) -> Result<Vec<Trial>> {
    let mut lab = Lab::new()?;
    let backend = lab.host("backend", 21)?;
    let mut found = Vec::new();
    for number in 0..trials {
        let names = [format!("a{number}"), format!("z{number}")];
        let hosts = match contender {
            Contender::Hitless(_) => [lab.machine(&names[0], 11)?, lab.machine(&names[1], 12)?],
            _ => [lab.host(&names[0], 11)?, lab.host(&names[1], 12)?],
        };
        found.push(match contender {
            Contender::Frr(parameters) => frr(&lab, &hosts, parameters)?,
            Contender::Vrrp { centis } => vrrp(&lab, &hosts, centis)?,
            Contender::Hitless(parameters) => hitless(&lab, &hosts, &backend, parameters, binary)?,
        });
        hosts.iter().try_for_each(|host| lab.unplug(host))?;
    }
    Ok(found)
}

fn frr(lab: &Lab, [dies, lives]: &[Host; 2], parameters: BfdParameters) -> Result<Trial> {
    let mut victim = Frr::start(lab, dies, IpAddr::from(lives.v4), parameters)?;
    let survivor = Frr::start(lab, lives, IpAddr::from(dies.v4), parameters)?;
    wait_for(PATIENCE, || survivor.peer().ok().filter(|peer| peer["status"] == "up").map(drop))
        .ok_or_else(|| Error::Late("FRR's session does not come up".into()))?;
    let capture = watch(lab, dies)?;
    victim.bfdd().kill();
    read(capture, dies, lives, "bfd.sta == 1", None)
}

fn vrrp(lab: &Lab, [dies, lives]: &[Host; 2], centis: u32) -> Result<Trial> {
    let mut victim = Keepalived::vrrp(lab, dies, 200, centis, VIP)?;
    victim.program.wait_for("MASTER STATE", PATIENCE)?;
    let _survivor = Keepalived::vrrp(lab, lives, 100, centis, VIP)?;
    let capture = watch(lab, dies)?;
    victim.crash()?;
    read(capture, dies, lives, "vrrp", Some(VIP))
}

fn hitless(
    lab: &Lab,
    hosts: &[Host; 2],
    backend: &Host,
    parameters: BfdParameters,
    binary: &Path,
) -> Result<Trial> {
    let mut nodes = Vec::new();
    for (own, peer, priority) in [(0, 1, 200), (1, 0, 100)] {
        let config = NodeConfig { workers: vec![own as u16], ..NodeConfig::default() }
            .service(("tcp", 80, Some(Nginx::PORT)), &[backend], "")
            .paired(&hosts[own], &hosts[peer], parameters, &format!("priority = {priority}"));
        nodes.push(Node::start(lab, &hosts[own], binary, &config)?);
    }
    nodes[0].wait_for_state("MASTER", PATIENCE)?;
    nodes[1].wait_until_ready(PATIENCE)?;
    let capture = watch(lab, &hosts[0])?;
    // A machine that stood still may have changed who serves: that one dies.
    let serving = nodes.iter().position(|node| node.state().is_ok_and(|state| state == "MASTER"));
    let mut victim = nodes.remove(serving.ok_or_else(|| Error::Late("nobody serves".into()))?);
    let survivor = nodes.remove(0);
    victim.program.kill();
    read(capture, &victim.host, &survivor.host, "bfd.sta == 1", Some(VIP))
}

/// Captures on the bridge, and leaves a pair alone. The beginning of a capture holds a machine up for some 100 ms, longer
/// than a peer waits: who serves is to be asked after it.
fn watch(lab: &Lab, host: &Host) -> Result<Capture> {
    let file = lab.folder().join(format!("{}.pcap", host.name));
    let capture = Capture::start(lab.bridge(), "br0", "udp port 3784 or arp or proto 112", &file)?;
    thread::sleep(SETTLE);
    Ok(capture)
}

/// Waits for what the survivor does, and reads the times.
fn read(capture: Capture, dies: &Host, lives: &Host, notices: &str, vip: Option<&str>) -> Result<Trial> {
    thread::sleep(AFTERMATH);
    let captured = capture.finish()?;
    let times = |filter: &str| -> Result<Vec<f64>> {
        let lines = captured.fields(filter, &["frame.time_epoch"])?;
        Ok(lines.iter().filter_map(|line| line.parse().ok()).collect())
    };
    let speaks = |host: &Host| format!("(bfd || vrrp) && ip.src == {}", host.v4);
    let nobody = |what: &str| Error::Late(format!("{}: {what} in the capture", dies.name));
    let last = times(&speaks(dies))?.last().copied().ok_or_else(|| nobody("the victim said nothing"))?;
    let first = |filter: String| -> Result<Option<Duration>> {
        let after = times(&filter)?.into_iter().find(|time| *time > last);
        Ok(after.map(|time| Duration::from_secs_f64(time - last)))
    };
    let detection = first(format!("{notices} && ip.src == {}", lives.v4))?;
    let takeover = match vip {
        Some(vip) => Some(
            first(format!("arp && arp.src.proto_ipv4 == {vip} && arp.dst.proto_ipv4 == {vip}"))?
                .ok_or_else(|| nobody("nobody announced the VIP"))?,
        ),
        None => None,
    };
    Ok(Trial { detection: detection.ok_or_else(|| nobody("the survivor noticed nothing"))?, takeover })
}
