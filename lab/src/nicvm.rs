//! A load balancer on real PCI network cards, in a virtual machine.

use crate::{Host, Lab, NodeConfig, Program, Result, output, wait_for};
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

/// The script beside this crate's manifest.
fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("nicvm")
}

/// A virtual machine with one card whose wire is a port of the lab's bridge, and `hitless run` on it.
#[derive(Debug)]
pub struct NicVm {
    program: Program,
}

/// The first card's address in the guest.
const CARD: &str = "0000:01:00.0";
const MARK: &str = "STATS ";

impl NicVm {
    /// Boots, which takes half a minute, and runs `binary`, which must not lie below `/tmp`, on two processors. The card is
    /// QEMU's `model`. What the node counts is printed every few seconds.
    ///
    /// # Errors
    ///
    /// What the machine lacks.
    pub fn start(lab: &Lab, host: &Host, binary: &Path, model: &str, config: &NodeConfig) -> Result<Self> {
        output(Command::new(script()).arg("prepare"))?;
        let name = &host.name;
        lab.bridge()
            .shell(&format!("ip tuntap add dev {name} mode tap && ip link set {name} master br0 up"))?;
        let text = NodeConfig { device: CARD, ..config.clone() }
            .text(host, Path::new("/tmp"))
            .replace("hugepages = false", "hugepages = true");
        let inside = format!(
            "cat >/tmp/hitless.toml <<'END'\n{text}\nEND\n{0} run -c /tmp/hitless.toml & while sleep 3; do echo \"{MARK}$({0} \
             get stats -o json | tr -d '\\n')\"; done",
            binary.display()
        );
        let mut command = lab.bridge().command(script());
        command.args(["--nic", &format!("tap={name},mac=02:00:00:00:77:11,model={model}")]);
        command.args(["--", "bash", "-c", &inside]);
        let mut program = Program::start("the virtual machine", command, &lab.folder().join("nicvm.log"))?;
        program.wait_for("API on", Duration::from_secs(300))?;
        Ok(Self { program })
    }

    /// What the guest has printed.
    pub fn log(&self) -> String {
        self.program.log()
    }

    /// The node's counters, once `good` accepts them.
    ///
    /// # Errors
    ///
    /// It never does; with the last ones.
    pub fn wait_for_stats(&self, good: impl Fn(&Value) -> bool, limit: Duration) -> Result<Value> {
        let mut last = Value::Null;
        wait_for(limit, || {
            let log = self.log();
            let line = log.lines().filter_map(|line| line.trim().strip_prefix(MARK)).next_back()?;
            last = serde_json::from_str(line).ok()?;
            good(&last).then(|| last.clone())
        })
        .ok_or_else(|| crate::Error::Late(format!("the counters are {last}")))
    }
}
