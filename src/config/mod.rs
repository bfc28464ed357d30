//! L1: the configuration file, as text in and a checked [`Config`] out, or every mistake in it with its place.
//!
//! Each section is one file: the checked struct, its defaults, and one function that names its keys with their
//! ranges. Reading and printing both run that function, so a key is spelled once. `cross` holds what concerns
//! several sections.
//!
//! ```text
//! text -> syntax -> reader (one visit a section) -> resolve -> cross -> Config -> writer -> text
//!            \________________\__________________________\-> report -> Mistakes
//! ```

mod api;
mod bfd;
mod cores;
mod cross;
mod difference;
mod exit;
mod form;
mod ha;
mod health;
mod json;
mod kind;
mod machine;
mod nat;
mod node;
mod port;
mod port_range;
mod reader;
mod report;
mod service;
mod syntax;
mod text;
mod timing;
mod word;
mod writer;

#[cfg(test)]
pub(crate) mod tests;

pub use api::Api;
pub use bfd::{BfdAuth, BfdAuthKind, BfdPath, BfdPeer};
pub use cores::{Cores, Idle};
pub use exit::{Exit, exit_towards};
pub use ha::{DEFAULT_INSTANCE, GatewayCheck, Ha, Instance, SessionSync};
pub use health::{AllDown, Health, Probe};
pub use machine::Machine;
pub use nat::{LocalAddress, Nat};
pub use node::{Dpdk, Limits, Log, LogLevel, Node};
pub use port::{Port, Route};
pub use port_range::{PortRange, PortRangeParseError};
pub use report::{Finding, Mistake, Mistakes};
pub use service::{Backend, ClientAddress, Mode, Scheduler, Service};
pub use timing::{Timing, core_list};
#[cfg(feature = "dpdk")]
pub(crate) use timing::{names, text};

pub(crate) use cross::check_bfd_path;
pub(crate) use text::{is_edge, is_host};

use crate::types::InstanceId;
use form::{Form, Section, may, must};
use report::Report;
use std::{fs::File, io::Read, path::Path, slice, sync::LazyLock};

/// The largest file that is read, in bytes.
const MAX_FILE_SIZE: u64 = 16 << 20;

/// A whole configuration, checked.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Config {
    /// This node.
    pub node: Node,
    /// DPDK's environment.
    pub dpdk: Dpdk,
    /// Threads and cores.
    pub cores: Cores,
    /// Ports, 1 to 32.
    pub ports: Vec<Port>,
    /// Routes, no two to one destination.
    pub routes: Vec<Route>,
    /// Source addresses towards backends, and sessions.
    pub nat: Nat,
    /// Services, no two on one port of one address.
    pub services: Vec<Service>,
    /// The other node; `None`: this one is alone.
    pub ha: Option<Ha>,
    /// The management interface.
    pub api: Api,
    /// Capacities.
    pub limits: Limits,
    /// Logging.
    pub log: Log,
}

impl Section for Config {
    fn keys<F: Form>(&mut self, form: &mut F) {
        form.table(may("node"), &mut self.node);
        form.table(may("dpdk"), &mut self.dpdk);
        form.table(may("cores"), &mut self.cores);
        form.tables(must("port"), &mut self.ports, 1..=32);
        form.tables(may("route"), &mut self.routes, 0..=1_048_576);
        form.table(may("nat"), &mut self.nat);
        form.tables(may("service"), &mut self.services, 0..=65_536);
        form.optional(may("ha"), &mut self.ha);
        form.table(may("api"), &mut self.api);
        form.table(may("limits"), &mut self.limits);
        form.table(may("log"), &mut self.log);
    }
}

/// What came of checking a file.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The configuration, or everything wrong with it.
    pub config: Result<Config, Mistakes>,
    /// What is allowed but hardly meant, by position.
    pub warnings: Vec<Mistake>,
}

impl Config {
    /// Reads and checks the file at `path` for this machine. Reads files, so not for a polling thread.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, Mistakes> {
        Self::check_file(path.as_ref(), &Machine::this()).config
    }

    /// Checks `text` for `machine`; mistakes call it `file_name`.
    pub fn parse(text: &str, file_name: &str, machine: &Machine) -> Result<Self, Mistakes> {
        Self::check(text, file_name, machine).config
    }

    /// As [`Config::load`], for a given machine and with warnings.
    pub fn check_file(path: &Path, machine: &Machine) -> Checked {
        Self::check_file_with(path, machine, |_| Vec::new())
    }

    /// The same, and what `look` finds besides.
    pub fn check_file_with(
        path: &Path,
        machine: &Machine,
        look: impl FnOnce(&Self) -> Vec<Finding>,
    ) -> Checked {
        let name = path.display().to_string();
        match read_text(path, &name) {
            Ok(text) => Self::check_with(&text, &name, machine, look),
            Err(mistakes) => Checked { config: Err(mistakes), warnings: Vec::new() },
        }
    }

    /// As [`Config::parse`], with warnings.
    pub fn check(text: &str, file_name: &str, machine: &Machine) -> Checked {
        Self::check_with(text, file_name, machine, |_| Vec::new())
    }

    fn check_with(
        text: &str,
        file_name: &str,
        machine: &Machine,
        look: impl FnOnce(&Self) -> Vec<Finding>,
    ) -> Checked {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut report = Report::new(text);
        let readable = syntax::without_lines_that_say_nothing(text, &mut report);
        let (document, horizon) = syntax::parse(&readable, &mut report);
        let mut config: Self = reader::read(&document, &mut report);
        if report.has_syntax_mistakes() {
            report.keep_certain(horizon);
        } else {
            config.resolve();
            cross::check(&config, machine, &mut report);
            look(&config).into_iter().for_each(|finding| report.find(finding));
        }
        let (mistakes, warnings) = report.finish(file_name);
        let config = if mistakes.is_empty() { Ok(config) } else { Err(Mistakes(mistakes)) };
        Checked { config, warnings }
    }

    /// The effective configuration as TOML, every default filled in. It parses back to an equal one.
    pub fn show(&self) -> String {
        writer::write(&mut self.clone())
    }

    /// The HA instances; an instance's place is its [`InstanceId`]. Without `[ha]`, the built-in one.
    pub fn instances(&self) -> &[Instance] {
        static BUILT_IN: LazyLock<Instance> = LazyLock::new(Instance::default);
        self.ha.as_ref().map_or_else(|| slice::from_ref(&*BUILT_IN), |ha| &ha.instances)
    }

    /// The instance of services and local addresses that name none; empty if each must name one.
    pub fn default_instance(&self) -> &str {
        match self.instances() {
            [only] => &only.name,
            several => {
                let default = several.iter().find(|instance| instance.name == DEFAULT_INSTANCE);
                default.map_or("", |instance| &instance.name)
            }
        }
    }

    /// The instance called `name`.
    pub fn instance_id(&self, name: &str) -> Option<InstanceId> {
        let place = self.instances().iter().position(|instance| instance.name == name)?;
        u8::try_from(place).ok().map(InstanceId)
    }

    /// Fills in the defaults that depend on other sections: instances and the path to the peer.
    fn resolve(&mut self) {
        let name = self.default_instance().to_owned();
        let of_services = self.services.iter_mut().map(|service| &mut service.instance);
        let of_addresses = self.nat.local_addresses.iter_mut().map(|local| &mut local.instance);
        for unnamed in of_services.chain(of_addresses).filter(|instance| instance.is_empty()) {
            unnamed.clone_from(&name);
        }
        let mut own = self.ports.iter().flat_map(|port| &port.addresses);
        if let Some(ha) = &mut self.ha
            && let (Some(peer), true) = (ha.peer, ha.bfd.is_empty())
            && let Some(own) = own.find(|own| own.contains(peer))
        {
            ha.bfd.push(BfdPath::new(own.address(), peer));
        }
    }
}

fn read_text(path: &Path, name: &str) -> Result<String, Mistakes> {
    let unreadable = |error: std::io::Error| {
        Mistakes::of_file(name, format!("cannot be read ({error}), allowed is the path of a TOML file"))
    };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(MAX_FILE_SIZE + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_FILE_SIZE {
        let text = format!("is too large, allowed is up to {} MiB", MAX_FILE_SIZE >> 20);
        return Err(Mistakes::of_file(name, text));
    }
    String::from_utf8(bytes).map_err(|error| report::not_utf8(name, &error))
}
