//! BFD peers that others wrote: FRR, BIRD and keepalived, each on a host of the lab.

use crate::{Host, Lab, Program, Result, output};
use serde_json::Value;
use std::{
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

/// What a peer is configured with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BfdParameters {
    /// Both ways.
    pub interval_ms: u32,
    /// Detection multiplier.
    pub multiplier: u8,
}

/// FRR's bfdd and the zebra it needs.
#[derive(Debug)]
pub struct Frr {
    bfdd: Program,
    _zebra: Program,
    sockets: PathBuf,
    host: Host,
    remote: IpAddr,
}

const FRR: &str = "/usr/lib/frr";

impl Frr {
    /// Starts FRR on `host` with one session to `remote`.
    ///
    /// # Errors
    ///
    /// It does not start.
    pub fn start(lab: &Lab, host: &Host, remote: IpAddr, parameters: BfdParameters) -> Result<Self> {
        let name = lab.unique(&host.name);
        let BfdParameters { interval_ms, multiplier } = parameters;
        let files = [PathBuf::from("/etc/frr"), PathBuf::from("/run/frr")].map(|root| root.join(&name));
        for folder in &files {
            output(Command::new("install").args(["-d", "-o", "frr", "-g", "frr"]).arg(folder))?;
        }
        let [configuration, sockets] = files;
        lab.owns(configuration.clone());
        lab.owns(sockets.clone());
        fs::write(configuration.join("zebra.conf"), "")?;
        fs::write(
            configuration.join("bfdd.conf"),
            format!(
                "bfd\n peer {remote} interface eth0\n  detect-multiplier {multiplier}\n  receive-interval \
                 {interval_ms}\n  transmit-interval {interval_ms}\n  no shutdown\n"
            ),
        )?;
        output(Command::new("chown").args(["-R", "frr:frr"]).arg(&configuration))?;
        let daemon = |daemon: &str| {
            let mut command = host.namespace.command(format!("{FRR}/{daemon}"));
            command.args(["-N", &name, "-u", "frr", "-g", "frr", "--log", "stdout", "-f"]);
            command.arg(configuration.join(format!("{daemon}.conf")));
            Program::start(daemon, command, &lab.folder().join(format!("{}-{daemon}.log", host.name)))
        };
        let zebra = daemon("zebra")?;
        let socket = sockets.join("zserv.api");
        crate::wait_for(Duration::from_secs(20), || socket.exists().then_some(()))
            .ok_or_else(|| crate::Error::Late(format!("zebra does not start: {}", zebra.log())))?;
        Ok(Self { bfdd: daemon("bfdd")?, _zebra: zebra, sockets, host: host.clone(), remote })
    }

    /// The daemon that speaks BFD.
    pub const fn bfdd(&mut self) -> &mut Program {
        &mut self.bfdd
    }

    /// What `show bfd peers json` says of the session.
    ///
    /// # Errors
    ///
    /// The daemon does not answer.
    pub fn peer(&self) -> Result<Value> {
        let text = self.vtysh(&["show bfd peers json"])?;
        let peers: Value = serde_json::from_str(&text)
            .map_err(|error| crate::Error::Failed { program: "vtysh".into(), said: error.to_string() })?;
        Ok(peers[0].clone())
    }

    /// Configures the session further: `shutdown`, `no shutdown`, `transmit-interval 50`.
    ///
    /// # Errors
    ///
    /// FRR refuses.
    pub fn configure(&self, line: &str) -> Result<()> {
        let peer = format!("peer {} interface eth0", self.remote);
        self.vtysh(&["configure terminal", "bfd", &peer, line]).map(drop)
    }

    fn vtysh(&self, lines: &[&str]) -> Result<String> {
        let mut command = self.host.namespace.command("vtysh");
        command.arg("--vty_socket").arg(&self.sockets).args(["-d", "bfdd"]);
        for line in lines {
            command.args(["-c", line]);
        }
        output(&mut command)
    }
}

/// BIRD.
#[derive(Debug)]
pub struct Bird {
    /// The process.
    pub program: Program,
    host: Host,
    control: PathBuf,
    configuration: PathBuf,
}

impl Bird {
    /// Starts BIRD on `host` with one session to `remote`. `more` goes into the interface's block, such as an
    /// authentication.
    ///
    /// # Errors
    ///
    /// It does not start.
    pub fn start(
        lab: &Lab,
        host: &Host,
        remote: IpAddr,
        parameters: BfdParameters,
        more: &str,
    ) -> Result<Self> {
        let folder = lab.folder().join(&host.name);
        fs::create_dir_all(&folder)?;
        let configuration = folder.join("bird.conf");
        let BfdParameters { interval_ms, multiplier } = parameters;
        fs::write(
            &configuration,
            format!(
                "router id {};\nlog stderr all;\nprotocol device {{ scan time 60; }}\nprotocol bfd {{ debug {{ states, events \
                 }};\n  interface \"eth0\" {{ interval {interval_ms} ms; multiplier {multiplier}; {more} }};\n  neighbor \
                 {remote};\n}}\n",
                host.v4
            ),
        )?;
        let control = folder.join("bird.ctl");
        let mut command = host.namespace.command("bird");
        command.arg("-f").arg("-c").arg(&configuration).arg("-s").arg(&control);
        let program = Program::start("bird", command, &folder.join("bird.log"))?;
        Ok(Self { program, host: host.clone(), control, configuration })
    }

    /// The line of `show bfd sessions` about the session: address, interface, state, since, interval, timeout.
    ///
    /// # Errors
    ///
    /// BIRD does not answer.
    pub fn session(&self) -> Result<Vec<String>> {
        let text = self.birdc("show bfd sessions")?;
        let line = text.lines().find(|line| line.contains("eth0")).unwrap_or_default();
        Ok(line.split_whitespace().map(str::to_owned).collect())
    }

    /// A command of `birdc`.
    ///
    /// # Errors
    ///
    /// BIRD refuses.
    pub fn birdc(&self, line: &str) -> Result<String> {
        output(self.host.namespace.command("birdc").arg("-s").arg(&self.control).args(line.split(' ')))
    }

    /// Starts it anew after its end.
    ///
    /// # Errors
    ///
    /// It does not start.
    pub fn restart(&mut self) -> Result<()> {
        let mut command = self.host.namespace.command("bird");
        command.arg("-f").arg("-c").arg(&self.configuration).arg("-s").arg(&self.control);
        self.program = Program::start("bird", command, &self.control.with_extension("again.log"))?;
        Ok(())
    }
}

/// keepalived, with BFD or with VRRP.
#[derive(Debug)]
pub struct Keepalived {
    /// The process.
    pub program: Program,
}

impl Keepalived {
    /// Starts keepalived on `host` with one session to `remote`.
    ///
    /// # Errors
    ///
    /// It does not start.
    pub fn start(lab: &Lab, host: &Host, remote: IpAddr, parameters: BfdParameters) -> Result<Self> {
        let folder = lab.folder().join(&host.name);
        fs::create_dir_all(&folder)?;
        let configuration = folder.join("keepalived.conf");
        let source = if remote.is_ipv4() { IpAddr::from(host.v4) } else { host.v6.into() };
        let hops = if remote.is_ipv4() { "" } else { "  hoplimit 255\n  max_hops 0\n" };
        let BfdParameters { interval_ms, multiplier } = parameters;
        fs::write(
            &configuration,
            format!(
                "global_defs {{\n  process_names\n}}\nbfd_instance P {{\n  neighbor_ip {remote}\n  source_ip {source}\n  min_rx \
                 {interval_ms}\n  min_tx {interval_ms}\n  idle_tx 1000\n  multiplier {multiplier}\n{hops}}}\nvrrp_instance V \
                 {{\n  state BACKUP\n  interface eth0\n  virtual_router_id 7\n  priority 100\n  advert_int 1\n  \
                 virtual_ipaddress {{\n    10.77.0.99/32\n  }}\n  track_bfd {{\n    P weight 10\n  }}\n}}\n"
            ),
        )?;
        Self::run(host, &folder)
    }

    /// Starts keepalived on `host` as one of a VRRP version 3 pair, an advertisement each so many hundredths of a
    /// second, without BFD.
    ///
    /// # Errors
    ///
    /// It does not start.
    pub fn vrrp(lab: &Lab, host: &Host, priority: u8, centis: u32, vip: &str) -> Result<Self> {
        let folder = lab.folder().join(&host.name);
        fs::create_dir_all(&folder)?;
        let seconds = f64::from(centis) / 100.0;
        fs::write(
            folder.join("keepalived.conf"),
            format!(
                "global_defs {{\n  process_names\n  vrrp_version 3\n}}\nvrrp_instance V {{\n  state BACKUP\n  interface eth0\n  \
                 virtual_router_id 7\n  priority {priority}\n  advert_int {seconds}\n  virtual_ipaddress {{\n    {vip}/32\n  \
                 }}\n}}\n"
            ),
        )?;
        Self::run(host, &folder)
    }

    fn run(host: &Host, folder: &Path) -> Result<Self> {
        let mut command = host.namespace.command("keepalived");
        command.args(["-n", "-l", "-D", "-f"]).arg(folder.join("keepalived.conf"));
        for (flag, name) in [("-p", "k.pid"), ("-r", "kv.pid"), ("-b", "kb.pid"), ("-c", "kc.pid")] {
            command.arg(flag).arg(folder.join(name));
        }
        Ok(Self { program: Program::start("keepalived", command, &folder.join("keepalived.log"))? })
    }
}
