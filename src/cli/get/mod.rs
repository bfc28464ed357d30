//! `hitless get`: tables with the columns of `loxicmd`.

mod ha;
mod lb;
mod network;
mod stats;

use super::{
    Failure, Output,
    client::{Daemon, escaped},
    table,
};
use crate::types::{Protocol, SessionState};
use clap::{Args, Subcommand};
use serde_json::Value;
use std::net::IpAddr;

/// How to print.
#[derive(Debug, Args)]
pub(super) struct Format {
    /// How to print
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

#[derive(Debug, Subcommand)]
pub(super) enum Get {
    /// Services and their backends
    #[command(visible_aliases = ["loadbalancer", "lbs", "loadbalancers"])]
    Lb {
        #[command(flatten)]
        format: Format,
        /// Only those created with this name
        #[arg(long = "servName", value_name = "NAME")]
        name: Option<String>,
    },
    /// Hosts that are probed, and the backends of all services
    #[command(visible_aliases = ["endpoint", "endpoints"])]
    Ep(Format),
    /// BFD sessions
    Bfd(Format),
    /// Who serves
    Hastate(Format),
    /// Sessions
    #[command(visible_aliases = ["conntrack", "cts", "conntracks"])]
    Ct {
        #[command(flatten)]
        format: Format,
        #[command(flatten)]
        filter: Filter,
    },
    /// Ports
    #[command(visible_alias = "ports")]
    Port(Format),
    /// Neighbours: next hops and their Ethernet addresses
    #[command(visible_alias = "neighbors")]
    Neighbor(Format),
    /// Where every packet went, worker by worker
    Stats(Format),
    /// The daemon's version
    #[command(visible_alias = "lbversion")]
    Version(Format),
}

/// Which sessions.
#[derive(Debug, Args)]
pub(super) struct Filter {
    /// Only those of this client
    #[arg(long, value_name = "IP")]
    client: Option<IpAddr>,
    /// Only those to this virtual address
    #[arg(long, value_name = "IP")]
    vip: Option<IpAddr>,
    /// Only those on this backend
    #[arg(long, value_name = "IP")]
    backend: Option<IpAddr>,
    /// Only those of this service
    #[arg(long, visible_alias = "servName", value_name = "NAME")]
    service: Option<String>,
    /// Only those of this protocol
    #[arg(long, value_name = "PROTOCOL", value_parser = protocol)]
    proto: Option<Protocol>,
    /// Only those in this state: opening, answered, established, client-closed, backend-closed, closing, closed, reset
    #[arg(long, value_name = "STATE", value_parser = state)]
    state: Option<SessionState>,
    /// No more than so many
    #[arg(long, value_name = "COUNT")]
    limit: Option<usize>,
}

fn protocol(text: &str) -> Result<Protocol, String> {
    text.parse().map_err(|()| "write tcp, udp or sctp".to_owned())
}

fn state(text: &str) -> Result<SessionState, String> {
    text.parse()
        .map_err(|()| format!("write one of {}", SessionState::ALL.map(SessionState::name).join(", ")))
}

impl Filter {
    fn query(&self) -> String {
        let address = |address: Option<IpAddr>| address.map(|address| address.to_string());
        let filters = [
            ("client", address(self.client)),
            ("vip", address(self.vip)),
            ("backend", address(self.backend)),
            ("service", self.service.clone()),
            ("protocol", self.proto.map(|protocol| protocol.to_string())),
            ("state", self.state.map(|state| state.name().to_owned())),
            ("limit", self.limit.map(|limit| limit.to_string())),
        ];
        let set = filters.into_iter().filter_map(|(name, value)| Some((name, value?)));
        set.map(|(name, value)| format!("{name}={}", escaped(&value))).collect::<Vec<_>>().join("&")
    }
}

impl Get {
    pub(super) fn run(&self, daemon: &Daemon) -> Result<(), Failure> {
        let (path, format, list): (String, &Format, fn(&Value, bool)) = match self {
            Self::Lb { format, .. } => ("/netlox/v1/config/loadbalancer/all".into(), format, lb::print),
            Self::Ep(format) => ("/netlox/v1/config/endpoint/all".into(), format, lb::endpoints),
            Self::Bfd(format) => ("/netlox/v1/config/bfd/all".into(), format, ha::bfd),
            Self::Hastate(format) => ("/netlox/v1/config/cistate/all".into(), format, ha::states),
            Self::Ct { format, filter } => {
                (format!("/netlox/v1/config/conntrack/all?{}", filter.query()), format, network::conntrack)
            }
            Self::Port(format) => ("/netlox/v1/config/port/all".into(), format, network::ports),
            Self::Neighbor(format) => ("/netlox/v1/config/neighbor/all".into(), format, network::neighbors),
            Self::Stats(format) => ("/hitless/v1/stats".into(), format, stats::print),
            Self::Version(format) => ("/netlox/v1/version".into(), format, stats::version),
        };
        let mut answer = daemon.get(&path)?;
        if let (Self::Lb { name: Some(name), .. }, Some(rules)) = (self, answer.get_mut("lbAttr"))
            && let Some(rules) = rules.as_array_mut()
        {
            rules.retain(|rule| text(rule, "/serviceArguments/name") == *name);
        }
        match format.output {
            Output::Json => table::say(&format!("{answer:#}")),
            output => list(&answer, output == Output::Wide),
        }
        Ok(())
    }
}

/// A field as a table shows it.
fn text(value: &Value, pointer: &str) -> String {
    match value.pointer(pointer) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(items)) => items.iter().map(|item| text(item, "")).collect::<Vec<_>>().join(","),
        Some(other) => other.to_string(),
    }
}

fn items<'a>(answer: &'a Value, name: &str) -> &'a [Value] {
    answer.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// One row an item, one column a field.
fn plain(items: &[Value], fields: &[(&str, &str)]) {
    let columns: Vec<&str> = fields.iter().map(|(column, _)| *column).collect();
    let row = |item: &Value| fields.iter().map(|(_, pointer)| text(item, pointer)).collect();
    table::print(&columns, items.iter().map(row).collect());
}
