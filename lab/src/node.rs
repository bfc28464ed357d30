//! A load balancer of the lab: `hitless run` on the host's veth.

use crate::{BfdParameters, Error, Host, Lab, Program, Result, output, wait_for};
use serde_json::Value;
use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

/// What a node's configuration says.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// The port's device.
    pub device: &'static str,
    /// The worker cores.
    pub workers: Vec<u16>,
    /// Whether the polling threads run under `SCHED_FIFO`.
    pub realtime: bool,
    /// The port's MTU.
    pub mtu: u16,
    /// Most sessions.
    pub max_sessions: u32,
    /// Whether the port has a TAP, `hl-lan`.
    pub kernel_interface: bool,
    /// Items of `nat.local_addresses`, as TOML.
    pub local_addresses: String,
    /// Further tables: services, HA.
    pub more: String,
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self {
            device: "net_af_packet0,iface=eth0",
            workers: vec![0],
            realtime: false,
            mtu: 1500,
            max_sessions: 100_000,
            kernel_interface: false,
            local_addresses: "\"10.77.0.40\", \"10.77.0.41\", \"fd77::40\"".into(),
            more: String::new(),
        }
    }
}

impl NodeConfig {
    /// Adds a service of the VIPs 10.77.0.100 and fd77::100, one `[[service]]` each; `port` also serves as the
    /// backends' port where `target` is `None`. `rest` is further keys.
    pub fn service(
        mut self,
        (protocol, port, target): (&str, u16, Option<u16>),
        backends: &[&Host],
        rest: &str,
    ) -> Self {
        for family in [4, 6] {
            let vip = if family == 4 { "10.77.0.100" } else { "fd77::100" };
            let _ = writeln!(
                self.more,
                "[[service]]\nname = \"{protocol}-{port}-v{family}\"\nvip = \"{vip}\"\nport = {port}\nprotocol = \
                 \"{protocol}\"\n{rest}\nbackends = ["
            );
            for host in backends {
                let address = if family == 4 { host.v4.to_string() } else { host.v6.to_string() };
                let target = target.map_or_else(String::new, |target| format!(", port = {target}"));
                let _ = writeln!(self.more, "  {{ address = \"{address}\"{target} }},");
            }
            self.more.push_str("]\n");
        }
        self
    }

    /// Makes it one of a pair with `peer`, over one BFD path.
    pub fn paired(self, own: &Host, peer: &Host, times: BfdParameters, more: &str) -> Self {
        let BfdParameters { interval_ms, multiplier } = times;
        self.with(&format!(
            "[ha]\npeer = \"{}\"\n{more}\n[[ha.bfd]]\nlocal = \"{}\"\nremote = \"{}\"\ninterval_us = {}\nmultiplier = {}",
            peer.v4,
            own.v4,
            peer.v4,
            interval_ms * 1000,
            multiplier
        ))
    }

    /// Adds tables as they are.
    pub fn with(mut self, more: &str) -> Self {
        self.more.push_str(more);
        self.more.push('\n');
        self
    }

    /// The file's text for a host.
    pub fn text(&self, host: &Host, folder: &Path) -> String {
        let Self { device, workers, realtime, mtu, max_sessions, local_addresses, more, .. } = self;
        let kernel = if self.kernel_interface { "kernel_interface = \"hl-lan\"" } else { "" };
        let Host { name, v4, v6, .. } = host;
        let state = folder.join("state.json");
        format!(
            "[node]\nname = \"{name}\"\n[dpdk]\nhugepages = false\nmemory_mb = 256\n[cores]\ncontrol = 0\nworkers = \
             {workers:?}\nmanagement = [0]\nidle = \"sleep\"\nrealtime = {realtime}\n[[port]]\nname = \"lan\"\ndevice = \
             {device:?}\naddresses = [\"{v4}/24\", \"{v6}/64\"]\nmtu = {mtu}\n{kernel}\n[nat]\n\
             local_addresses = [{local_addresses}]\nmax_sessions = {max_sessions}\n[api]\n\
             listen = \"127.0.0.1:11111\"\nstate_file = {state:?}\n{more}"
        )
    }
}

/// A running node.
#[derive(Debug)]
pub struct Node {
    /// Where it runs.
    pub host: Host,
    /// The process.
    pub program: Program,
    binary: PathBuf,
    /// Its configuration file.
    pub config: PathBuf,
}

impl Node {
    /// Starts `binary` and waits until it serves its API.
    ///
    /// # Errors
    ///
    /// It does not start; with its log.
    pub fn start(lab: &Lab, host: &Host, binary: &Path, config: &NodeConfig) -> Result<Self> {
        let folder = lab.folder().join(&host.name);
        fs::create_dir_all(&folder)?;
        let file = folder.join("hitless.toml");
        fs::write(&file, config.text(host, &folder))?;
        let mut node = Self {
            host: host.clone(),
            program: Self::run(host, binary, &file)?,
            binary: binary.to_owned(),
            config: file,
        };
        node.wait_until_up()?;
        Ok(node)
    }

    fn run(host: &Host, binary: &Path, config: &Path) -> Result<Program> {
        let mut command = host.namespace.command(binary);
        command.arg("run").arg("-c").arg(config);
        let name = format!("hitless on {}", host.name);
        let number = (0..1000).find(|number| !log_file(config, *number).exists()).unwrap_or(1000);
        Program::start(&name, command, &log_file(config, number))
    }

    fn wait_until_up(&mut self) -> Result<()> {
        self.program.wait_for("API on", Duration::from_secs(30))
    }

    /// Starts it again after its end.
    ///
    /// # Errors
    ///
    /// It does not start.
    pub fn restart(&mut self) -> Result<()> {
        self.program = Self::run(&self.host, &self.binary, &self.config)?;
        self.wait_until_up()
    }

    /// What `get hastate` says of the only instance.
    ///
    /// # Errors
    ///
    /// The node does not answer.
    pub fn state(&self) -> Result<String> {
        let states = self.get("hastate")?;
        let state = states.pointer("/Attr/0/state").and_then(Value::as_str).map(str::to_owned);
        state.ok_or_else(|| Error::Late(format!("no state in {states}")))
    }

    /// Waits until it says so.
    ///
    /// # Errors
    ///
    /// It never does; with what it says instead, and its log.
    pub fn wait_for_state(&self, wanted: &str, limit: Duration) -> Result<()> {
        let mut last = String::new();
        let found = wait_for(limit, || {
            last = self.state().unwrap_or_else(|error| error.to_string());
            (last == wanted).then_some(())
        });
        found.ok_or_else(|| {
            Error::Late(format!("{} is {last}, not {wanted}: {}", self.host.name, self.program.log()))
        })
    }

    /// Waits until it holds every session of its peer's and would take over at once.
    ///
    /// # Errors
    ///
    /// It never does; with its log.
    pub fn wait_until_ready(&mut self, limit: Duration) -> Result<()> {
        self.program.wait_for("to STANDBY)", limit)
    }

    /// Runs `hitless` with `arguments` beside the node and returns what it prints.
    ///
    /// # Errors
    ///
    /// It fails.
    pub fn hitless(&self, arguments: &str) -> Result<String> {
        output(self.host.namespace.command(&self.binary).args(arguments.split_whitespace()))
    }

    /// `hitless get WHAT -o json`.
    ///
    /// # Errors
    ///
    /// It fails.
    pub fn get(&self, what: &str) -> Result<Value> {
        let text = self.hitless(&format!("get {what} -o json"))?;
        serde_json::from_str(&text)
            .map_err(|error| Error::Failed { program: what.into(), said: error.to_string() })
    }

    /// A counter of `get stats`, over all workers; a drop reason is written `drops/REASON`. Counters are published
    /// once a millisecond while packets come.
    ///
    /// # Errors
    ///
    /// The node does not answer.
    pub fn counter(&self, name: &str) -> Result<u64> {
        let stats = self.get("stats")?;
        let value = stats.pointer(&format!("/total/{name}")).and_then(Value::as_u64);
        value.ok_or_else(|| Error::Late(format!("there is no counter {name} in {stats}")))
    }

    /// Waits until a counter has a value that `good` accepts, and returns it.
    ///
    /// # Errors
    ///
    /// It never has; with the last value.
    pub fn wait_for_counter(&self, name: &str, good: impl Fn(u64) -> bool, limit: Duration) -> Result<u64> {
        let mut last = 0;
        wait_for(limit, || {
            last = self.counter(name).ok()?;
            good(last).then_some(last)
        })
        .ok_or_else(|| Error::Late(format!("{name} is {last}")))
    }

    /// Whether every packet is accounted for, in total and on each worker: `rx = forwarded + to_control + to_kernel +
    /// drops`.
    ///
    /// # Errors
    ///
    /// It is not; with the numbers.
    pub fn check_books(&self) -> Result<()> {
        let stats = self.get("stats")?;
        let workers = stats["workers"].as_array().cloned().unwrap_or_default();
        for tally in workers.iter().chain([&stats["total"]]) {
            let number = |name: &str| tally[name].as_u64().unwrap_or(0);
            let drops: u64 =
                tally["drops"].as_object().into_iter().flatten().filter_map(|(_, n)| n.as_u64()).sum();
            let out = number("forwarded") + number("to_control") + number("to_kernel") + drops;
            if number("rx") != out {
                return Err(Error::Late(format!("rx {} but {out} accounted for: {tally}", number("rx"))));
            }
        }
        Ok(())
    }
}

fn log_file(config: &Path, number: u32) -> PathBuf {
    config.with_extension(format!("{number}.log"))
}
