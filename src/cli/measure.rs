//! `hitless bench`.

use super::{Failure, table};
#[cfg(not(feature = "dpdk"))]
use crate::bench::ForwardReport;
use crate::{
    bench::{
        Bfd, Connect, Failover, Forward, Frames, Load, LoadReport, bfd, capture, connect, cumulative,
        failover, forward, limits, load,
    },
    port::BATCH,
    types::{Mac, Protocol},
};
use clap::{Args, Subcommand, value_parser};
use serde::Serialize;
use serde_json::Value;
use std::{fmt::Display, net::IpAddr, ops::RangeInclusive, path::PathBuf, str::FromStr};

#[derive(Debug, Subcommand)]
pub(super) enum Bench {
    /// Packets of established sessions through one worker
    Forward {
        #[command(flatten)]
        traffic: Traffic,
        /// How long to measure
        #[arg(long, default_value_t = 5.0, value_parser = within(limits::SECONDS))]
        seconds: f64,
        /// Services in the table
        #[arg(long, default_value_t = 1, value_parser = within(limits::SERVICES))]
        services: u32,
        /// Backends of the service
        #[arg(long, default_value_t = 3, value_parser = within(limits::BACKENDS))]
        backends: u32,
        /// Packets that come together, at most; 1 shows what a lone packet costs
        #[arg(long, default_value_t = BATCH, value_parser = within(1..=BATCH))]
        burst: usize,
        /// Workers, each on a core of its own with as many sessions
        #[arg(long, default_value_t = 1, conflicts_with = "ports", value_parser = within(limits::WORKERS))]
        workers: usize,
        /// Replace all services, over and over, and show what that takes from the worker
        #[arg(long, conflicts_with = "ports")]
        replace: bool,
        /// DPDK devices in place of memory, the clients' first, the backends' last, with ';' between them
        #[arg(long, value_name = "DEV;DEV")]
        ports: Option<String>,
        /// The core to run on, with --ports
        #[arg(long, default_value_t = 0, requires = "ports")]
        core: u16,
        /// The virtual address that frames from elsewhere are for, port 80, with --ports
        #[arg(long, requires = "ports")]
        vip: Option<IpAddr>,
        #[command(flatten)]
        output: Output,
    },
    /// Write the clients' frames to a capture file, for `bench forward --ports` and for other forwarders
    Capture {
        /// The file
        file: PathBuf,
        #[command(flatten)]
        traffic: Traffic,
        /// The destination MAC address; by default that of net_pcap0
        #[arg(long, default_value = "02:70:63:61:70:00")]
        mac: Mac,
        /// First packets of as many strangers instead, with TCP a SYN flood
        #[arg(long)]
        flood: bool,
    },
    /// Send the clients' frames by a DPDK device as fast as it takes them, and count what comes back from a forwarder
    Generate {
        /// The device, such as "net_memif0,role=client,socket=/run/memif.sock"
        device: String,
        #[command(flatten)]
        traffic: Traffic,
        /// The destination MAC address: the forwarder's
        #[arg(long)]
        mac: Mac,
        /// The virtual address that frames are for, port 80
        #[arg(long)]
        vip: Option<IpAddr>,
        /// First packets of as many strangers instead, with TCP a SYN flood; nothing need come back
        #[arg(long)]
        flood: bool,
        /// How long to count
        #[arg(long, default_value_t = 5.0, value_parser = within(limits::SECONDS))]
        seconds: f64,
        /// The core to run on
        #[arg(long, default_value_t = 0)]
        core: u16,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// How long packets wait at a given load, and what a flood of new sessions takes from the old ones
    Load {
        #[command(flatten)]
        traffic: Traffic,
        /// Loads of established sessions, in percent of what the worker carries
        #[arg(long, value_delimiter = ',', default_value = "50", value_parser = within(limits::PERCENT))]
        percent: Vec<f64>,
        /// Packets a second from ever new sources, each of which would open a session
        #[arg(long, default_value_t = 0.0, value_parser = within(limits::NEW_PER_SECOND))]
        new_per_second: f64,
        /// How long to measure each load
        #[arg(long, default_value_t = 1.0, value_parser = within(limits::SECONDS))]
        seconds: f64,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// New sessions through one worker, while as many old ones end
    Connect {
        /// How long to measure
        #[arg(long, default_value_t = 5.0, value_parser = within(limits::SECONDS))]
        seconds: f64,
        /// Stream every session to a peer, and compare with a worker that does not
        #[arg(long)]
        sync: bool,
        /// Sessions that are there at a time, about
        #[arg(long, default_value_t = 1_000_000, value_parser = within(limits::CONNECT_SESSIONS))]
        sessions: usize,
        /// tcp or udp
        #[arg(long, default_value = "tcp", value_parser = protocol)]
        protocol: Protocol,
        /// 4 or 6
        #[arg(long, default_value_t = 4, value_parser = family)]
        family: u8,
        /// Backends of the service
        #[arg(long, default_value_t = 16, value_parser = within(limits::BACKENDS))]
        backends: u32,
        #[command(flatten)]
        output: Output,
    },
    /// BFD between two control loops on two cores: how fast silence is noticed, and whether anything else is
    Bfd {
        /// From packet to packet, in microseconds
        #[arg(long, default_value_t = 50, value_parser = value_parser!(u32).range(50..=10_000_000))]
        interval_us: u32,
        /// Intervals of silence that mean Down
        #[arg(long, default_value_t = 3, value_parser = value_parser!(u8).range(1..))]
        multiplier: u8,
        /// How often one of them is silenced
        #[arg(long, default_value_t = 1000, value_parser = value_parser!(u32).range(1..=1_000_000))]
        trials: u32,
        #[command(flatten)]
        output: Output,
    },
    /// Two complete nodes; the one that serves is stopped, again and again: what the clients notice
    Failover {
        /// Established sessions, all of them synced: a million takes about 0.5 GB of memory
        #[arg(long, default_value_t = 1_000_000, value_parser = within(limits::FAILOVER_SESSIONS))]
        sessions: u32,
        /// BFD's interval in microseconds; the multiplier is 3
        #[arg(long, default_value_t = 1000, value_parser = value_parser!(u32).range(50..=10_000_000))]
        interval_us: u32,
        /// How often a node is stopped
        #[arg(long, default_value_t = 20, value_parser = value_parser!(u32).range(1..=100_000))]
        trials: u32,
        #[command(flatten)]
        output: Output,
    },
}

/// What becomes of the figures.
#[derive(Clone, Debug, Args)]
pub(super) struct Output {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Where to draw the figure's distribution, unless --json is given; by default hitless-bench-NAME.svg here
    #[arg(long, conflicts_with = "json")]
    plot: Option<PathBuf>,
}

impl Output {
    /// A table and a plot, or JSON.
    fn tell(
        &self,
        report: &impl Serialize,
        name: &str,
        draw: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        print(report, self.json)?;
        if self.json {
            return Ok(());
        }
        let file = self.plot.clone().unwrap_or_else(|| format!("hitless-bench-{name}.svg").into());
        std::fs::write(&file, draw()).map_err(|error| {
            Failure::Refused(format!("{}: {error}: name another file with --plot", file.display()))
        })?;
        table::say(&format!("plot: {}", file.display()));
        Ok(())
    }
}

/// Which frames.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct Traffic {
    /// Sessions
    #[arg(long, default_value_t = 1000, value_parser = within(limits::FLOWS))]
    flows: usize,
    /// Frame size in bytes, without the frame check sequence; TCP over IPv6 needs 74 and takes them
    #[arg(long, default_value_t = 64, value_parser = within(limits::SIZE))]
    size: usize,
    /// tcp or udp
    #[arg(long, default_value = "udp", value_parser = protocol)]
    protocol: Protocol,
    /// 4 or 6
    #[arg(long, default_value_t = 4, value_parser = family)]
    family: u8,
}

impl From<Traffic> for Forward {
    fn from(Traffic { flows, size, protocol, family }: Traffic) -> Self {
        Self { flows, size, protocol, family, ..Self::default() }
    }
}

const fn frames(flood: bool) -> Frames {
    if flood { Frames::OfStrangers } else { Frames::OfClients }
}

fn family(text: &str) -> Result<u8, String> {
    match text {
        "4" => Ok(4),
        "6" => Ok(6),
        _ => Err("write 4 or 6".into()),
    }
}

/// Takes a number of a range. No range has what is not a number, or is endless.
fn within<T: FromStr + PartialOrd + Display + Clone>(
    range: RangeInclusive<T>,
) -> impl Fn(&str) -> Result<T, String> + Clone {
    move |text| {
        let number = text.parse().ok().filter(|number| range.contains(number));
        number.ok_or_else(|| format!("write a number from {} to {}", range.start(), range.end()))
    }
}

/// Frames for a virtual address have its family.
fn fits(vip: Option<IpAddr>, family: u8) -> Result<(), Failure> {
    match vip {
        Some(vip) if vip.is_ipv4() != (family == 4) => {
            let other = if vip.is_ipv4() { 4 } else { 6 };
            Err(Failure::Bad(format!("--vip {vip} with --family {family}: write --family {other}")))
        }
        _ => Ok(()),
    }
}

fn protocol(text: &str) -> Result<Protocol, String> {
    match text.parse() {
        Ok(protocol @ (Protocol::Tcp | Protocol::Udp)) => Ok(protocol),
        _ => Err("write tcp or udp".into()),
    }
}

impl Bench {
    pub(super) fn run(&self) -> Result<(), Failure> {
        match self {
            Self::Forward {
                traffic,
                seconds,
                services,
                backends,
                burst,
                workers,
                replace,
                ports,
                core,
                vip,
                output,
            } => {
                fits(*vip, traffic.family)?;
                let what = Forward {
                    seconds: *seconds,
                    services: *services,
                    backends: *backends,
                    burst: *burst,
                    workers: *workers,
                    replace: *replace,
                    vip: *vip,
                    ..Forward::from(*traffic)
                };
                let report = match ports {
                    Some(ports) => on_ports(&what, &ports.split(';').collect::<Vec<_>>(), *core),
                    None => forward(&what),
                };
                let report = report.map_err(Failure::Refused)?;
                if let Some(command) = &report.reserve {
                    table::complain(&format!(
                        "the packets are not in huge pages, and each takes longer for it: `{command}`"
                    ));
                }
                output.tell(&report, "forward", || {
                    let title = format!("{} flows: how many packets cost no more", what.flows);
                    let [ours, baseline, memory, session] = &report.each;
                    let series = [
                        ("forwarded", &ours[..]),
                        ("MAC addresses swapped", baseline),
                        ("the same and a session's line", session),
                        ("the same and a line of the index, too", memory),
                    ];
                    cumulative(&title, "cycles", &series)
                })
            }
            Self::Connect { seconds, sync, sessions, protocol, family, backends, output } => {
                let what = Connect {
                    seconds: *seconds,
                    sync: *sync,
                    sessions: *sessions,
                    protocol: *protocol,
                    family: *family,
                    backends: *backends,
                };
                let report = connect(&what).map_err(Failure::Refused)?;
                output.tell(&report, "connect", || {
                    let series: Vec<_> = report.each.iter().map(|(name, each)| (*name, &each[..])).collect();
                    cumulative(&format!("{sessions} sessions: how many cost no more"), "cycles", &series)
                })
            }
            Self::Load { traffic, percent, new_per_second, seconds, json } => {
                let what = Load {
                    flows: traffic.flows,
                    size: traffic.size,
                    protocol: traffic.protocol,
                    family: traffic.family,
                    percent: percent.clone(),
                    new_per_second: *new_per_second,
                    seconds: *seconds,
                };
                let report = load(&what).map_err(Failure::Refused)?;
                if *json { print(&report, true) } else { print_loads(&report) }
            }
            Self::Bfd { interval_us, multiplier, trials, output } => {
                let what = Bfd { interval_us: *interval_us, multiplier: *multiplier, trials: *trials };
                let report = bfd(&what).map_err(Failure::Refused)?;
                output.tell(&report, "bfd", || {
                    let title = format!("BFD {interval_us} µs × {multiplier}: from silence to Down");
                    cumulative(&title, "µs", &[("trials", &report.detections)])
                })
            }
            Self::Failover { sessions, interval_us, trials, output } => {
                let what = Failover { sessions: *sessions, interval_us: *interval_us, trials: *trials };
                let report = failover(&what).map_err(Failure::Refused)?;
                output.tell(&report, "failover", || {
                    let title = format!("Failover with {sessions} sessions, BFD {interval_us} µs × 3");
                    let [gap, detection, takeover] = &report.each;
                    let series = [
                        ("nothing forwarded", &gap[..]),
                        ("until Down", &detection[..]),
                        ("from Down to the first announcement", &takeover[..]),
                    ];
                    cumulative(&title, "µs", &series)
                })
            }
            Self::Generate { device, traffic, mac, vip, flood, seconds, core, json } => {
                fits(*vip, traffic.family)?;
                let what = Forward { seconds: *seconds, vip: *vip, ..Forward::from(*traffic) };
                print(
                    &generated(&what, frames(*flood), device, *mac, *core).map_err(Failure::Refused)?,
                    *json,
                )
            }
            Self::Capture { file, traffic, mac, flood } => {
                let failed = |error| Failure::Refused(format!("{}: {error}", file.display()));
                capture(&(*traffic).into(), frames(*flood), *mac, file).map_err(failed)
            }
        }
    }
}

#[cfg(feature = "dpdk")]
use crate::bench::{forward_on_ports as on_ports, generate as generated};

#[cfg(not(feature = "dpdk"))]
const NO_PORTS: &str =
    "this hitless was built without DPDK: build it with the default features to measure its ports";

#[cfg(not(feature = "dpdk"))]
fn on_ports(_: &Forward, _: &[&str], _: u16) -> Result<ForwardReport, String> {
    Err(NO_PORTS.into())
}

#[cfg(not(feature = "dpdk"))]
fn generated(_: &Forward, _: Frames, _: &str, _: Mac, _: u16) -> Result<(), String> {
    Err(NO_PORTS.into())
}

fn print_loads(report: &LoadReport) -> Result<(), Failure> {
    let rows = report.loads.iter().map(|run| {
        let waits = [run.wait_us.p50, run.wait_us.p90, run.wait_us.p99, run.wait_us.p999, run.wait_us.max];
        let millions = [run.new_per_second, run.opened_per_second, run.refused_per_second];
        let mut row = vec![format!("{} %", run.percent), format!("{:.3} %", run.kept_percent)];
        row.extend(waits.map(|wait| format!("{wait:.1} us")));
        row.extend(millions.map(|rate| format!("{:.2} M/s", rate / 1e6)));
        row.push(run.no_session.to_string());
        row
    });
    let head =
        ["LOAD", "FORWARDED", "P50", "P90", "P99", "P99.9", "MAX", "NEW", "OPENED", "REFUSED", "NO SESSION"];
    table::print(&head, rows.collect());
    Ok(())
}

fn print(report: &impl Serialize, json: bool) -> Result<(), Failure> {
    let value = serde_json::to_value(report).map_err(|error| Failure::Refused(error.to_string()))?;
    if json {
        table::say(&value.to_string());
        return Ok(());
    }
    let rows = value.as_object().into_iter().flatten().map(|(name, value)| vec![name.clone(), shown(value)]);
    table::print(&["MEASURED", "VALUE"], rows.collect());
    Ok(())
}

/// A figure for people.
fn shown(value: &Value) -> String {
    match value {
        Value::Number(number) => match number.as_f64() {
            Some(number) if number.fract() != 0.0 => format!("{number:.2}"),
            _ => number.to_string(),
        },
        Value::String(text) => text.clone(),
        Value::Object(parts) => {
            let parts: Vec<_> = parts.iter().map(|(name, part)| format!("{name} {}", shown(part))).collect();
            parts.join("  ")
        }
        other => other.to_string(),
    }
}
