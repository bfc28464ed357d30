//! `hitless get`: tables with the columns of `loxicmd`.

use super::{Daemon, Failure, Output, client, table};
use clap::Subcommand;
use serde_json::Value;
use std::net::IpAddr;

#[derive(Debug, Subcommand)]
pub(super) enum Get {
    /// Services and their backends
    #[command(visible_alias = "loadbalancer")]
    Lb {
        #[arg(short, long, value_enum, default_value_t = Output::Table)]
        output: Output,
    },
    /// Sessions
    #[command(visible_alias = "conntrack")]
    Ct {
        #[arg(short, long, value_enum, default_value_t = Output::Table)]
        output: Output,
        /// Only those of this client
        #[arg(long)]
        client: Option<IpAddr>,
        /// Only those to this virtual address
        #[arg(long)]
        vip: Option<IpAddr>,
        /// Only those on this backend
        #[arg(long)]
        backend: Option<IpAddr>,
    },
    /// Ports
    Port {
        #[arg(short, long, value_enum, default_value_t = Output::Table)]
        output: Output,
    },
    /// Neighbours: next hops and their Ethernet addresses
    Neighbor {
        #[arg(short, long, value_enum, default_value_t = Output::Table)]
        output: Output,
    },
    /// Where every packet went, worker by worker
    Stats {
        #[arg(short, long, value_enum, default_value_t = Output::Table)]
        output: Output,
    },
    /// The daemon's version
    Version {
        #[arg(short, long, value_enum, default_value_t = Output::Table)]
        output: Output,
    },
}

impl Get {
    pub(super) fn run(&self, daemon: &Daemon) -> Result<(), Failure> {
        let (path, output, list): (String, Output, fn(&Value, bool)) = match self {
            Self::Lb { output } => ("/netlox/v1/config/loadbalancer/all".into(), *output, load_balancers),
            Self::Ct { output, client, vip, backend } => {
                (conntrack_path(*client, *vip, *backend), *output, conntrack)
            }
            Self::Port { output } => ("/netlox/v1/config/port/all".into(), *output, ports),
            Self::Neighbor { output } => ("/netlox/v1/config/neighbor/all".into(), *output, neighbors),
            Self::Stats { output } => ("/hitless/v1/stats".into(), *output, stats),
            Self::Version { output } => ("/netlox/v1/version".into(), *output, version),
        };
        let answer = client::get(daemon, &path)?;
        match output {
            Output::Json => table::say(&format!("{answer:#}")),
            _ => list(&answer, output == Output::Wide),
        }
        Ok(())
    }
}

fn conntrack_path(client: Option<IpAddr>, vip: Option<IpAddr>, backend: Option<IpAddr>) -> String {
    let filters = [("client", client), ("vip", vip), ("backend", backend)];
    let query: Vec<String> =
        filters.iter().filter_map(|(name, value)| value.map(|value| format!("{name}={value}"))).collect();
    format!("/netlox/v1/config/conntrack/all?{}", query.join("&"))
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

fn load_balancers(answer: &Value, wide: bool) {
    let service = |entry: &Value, name: &str| text(entry, &format!("/serviceArguments/{name}"));
    let port = |entry: &Value| match entry.pointer("/serviceArguments/portMax") {
        Some(last) => format!("{}-{last}", service(entry, "port")),
        None => service(entry, "port"),
    };
    let entries = items(answer, "lbAttr");
    if !wide {
        let row = |entry: &Value| {
            let mut row = vec![service(entry, "externalIP"), port(entry)];
            row.extend(["protocol", "name", "scheduler"].map(|name| service(entry, name)));
            row.push("fullnat".into());
            row.push(items(entry, "endpoints").len().to_string());
            row
        };
        let columns = ["EXT IP", "PORT", "PROTO", "NAME", "SEL", "MODE", "# OF ENDPOINTS"];
        return table::print(&columns, entries.iter().map(row).collect());
    }
    let mut rows = Vec::new();
    for entry in entries {
        for (place, endpoint) in items(entry, "endpoints").iter().enumerate() {
            let head = |value: String| if place == 0 { value } else { String::new() };
            let mut row = vec![head(service(entry, "externalIP")), head(port(entry))];
            row.extend(["protocol", "name", "scheduler"].map(|name| head(service(entry, name))));
            row.push(head("fullnat".into()));
            let columns =
                ["endpointIP", "targetPort", "weight", "state", "counter", "sessions", "sessionsTotal"];
            row.extend(columns.map(|name| text(endpoint, &format!("/{name}"))));
            row.push(head(service(entry, "source")));
            rows.push(row);
        }
    }
    let columns = [
        "EXT IP",
        "PORT",
        "PROTO",
        "NAME",
        "SEL",
        "MODE",
        "ENDPOINT IP",
        "EPORT",
        "WEIGHT",
        "STATE",
        "COUNTERS",
        "SESSIONS",
        "SESSIONS TOTAL",
        "SOURCE",
    ];
    table::print(&columns, rows);
}

fn conntrack(answer: &Value, wide: bool) {
    let mut names = vec![
        ("SERVICE NAME", "/servName"),
        ("DESTIP", "/destinationIP"),
        ("SRCIP", "/sourceIP"),
        ("DPORT", "/destinationPort"),
        ("SPORT", "/sourcePort"),
        ("PROTO", "/protocol"),
        ("STATE", "/conntrackState"),
        ("ACT", "/conntrackAct"),
        ("PACKETS", "/packets"),
        ("BYTES", "/bytes"),
    ];
    if wide {
        names.push(("IDLE MS", "/idleMs"));
    }
    plain(items(answer, "ctAttr"), &names);
}

/// One row an item, one column a field.
fn plain(items: &[Value], fields: &[(&str, &str)]) {
    let columns: Vec<&str> = fields.iter().map(|(column, _)| *column).collect();
    let row = |item: &Value| fields.iter().map(|(_, pointer)| text(item, pointer)).collect();
    table::print(&columns, items.iter().map(row).collect());
}

fn ports(answer: &Value, wide: bool) {
    let mut fields = vec![
        ("INDEX", "/portNo"),
        ("PORTNAME", "/portName"),
        ("MAC", "/portHardwareInformation/macAddress"),
        ("MTU", "/portHardwareInformation/mtu"),
        ("LINK", "/portHardwareInformation/link"),
        ("VLAN", "/portL2Information/vid"),
        ("DEVICE", "/device"),
        ("IPV4", "/portL3Information/IPv4Address"),
        ("IPV6", "/portL3Information/IPv6Address"),
    ];
    if wide {
        fields.extend([
            ("RX PACKETS", "/portStatisticInformation/rxPackets"),
            ("TX PACKETS", "/portStatisticInformation/txPackets"),
            ("RX ERRORS", "/portStatisticInformation/rxErrors"),
            ("TX ERRORS", "/portStatisticInformation/txErrors"),
        ]);
    }
    plain(items(answer, "portAttr"), &fields);
}

fn neighbors(answer: &Value, wide: bool) {
    let mut fields = vec![("DEV", "/dev"), ("IP", "/ipAddress"), ("MAC", "/macAddress"), ("STATE", "/state")];
    if wide {
        fields.push(("PINNED", "/pinned"));
    }
    plain(items(answer, "neighborAttr"), &fields);
}

fn version(answer: &Value, _wide: bool) {
    table::say(&format!("hitless {} ({})", text(answer, "/version"), text(answer, "/buildInfo")));
}

/// One row a counter, one column a worker; drops that never happened only in the wide form.
fn stats(answer: &Value, wide: bool) {
    let workers = items(answer, "workers");
    let mut columns = vec!["COUNTER".to_owned(), "TOTAL".to_owned()];
    columns.extend((0..workers.len()).map(|number| format!("WORKER {number}")));
    let mut rows = Vec::new();
    let mut row = |name: String, pointer: &str| {
        let mut row = vec![name, text(answer, &format!("/total{pointer}"))];
        row.extend(workers.iter().map(|worker| text(worker, pointer)));
        rows.push(row);
    };
    if let Some(total) = answer.get("total").and_then(Value::as_object) {
        let plain = total.keys().filter(|name| name.as_str() != "drops");
        for name in plain {
            row(name.clone(), &format!("/{name}"));
        }
        if let Some(drops) = total.get("drops").and_then(Value::as_object) {
            for (reason, count) in drops {
                if wide || count.as_u64() != Some(0) {
                    row(format!("drop: {reason}"), &format!("/drops/{reason}"));
                }
            }
        }
    }
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    table::print(&columns, rows);
}
