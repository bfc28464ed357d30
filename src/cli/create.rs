//! `hitless create`, with the flags of `loxicmd`.

use super::{
    Failure,
    client::Daemon,
    lb::{CreateLb, probe},
    table,
};
use clap::{Args, Subcommand, builder::PossibleValuesParser, value_parser};
use serde_json::json;
use std::net::IpAddr;

/// The daemon's words for how much is logged.
const LOG_LEVELS: [&str; 9] =
    ["trace", "debug", "info", "notice", "warning", "error", "critical", "emergency", "alert"];

#[derive(Debug, Subcommand)]
pub(super) enum Create {
    /// A service
    #[command(visible_alias = "loadbalancer")]
    Lb(CreateLb),
    /// A BFD session
    #[command(visible_alias = "bfd-session")]
    Bfd(CreateBfd),
    /// A host to be probed
    #[command(visible_alias = "endpoint")]
    Ep(CreateEp),
}

impl Create {
    pub(super) fn run(&self, daemon: &Daemon) -> Result<(), Failure> {
        match self {
            Self::Lb(lb) => lb.run(daemon)?,
            Self::Bfd(bfd) => bfd.run(daemon)?,
            Self::Ep(ep) => ep.run(daemon)?,
        }
        table::say("Success");
        Ok(())
    }
}

/// `hitless create bfd`.
#[derive(Debug, Args)]
pub(super) struct CreateBfd {
    /// The peer's address
    remote: IpAddr,
    /// This node's address; the one in the peer's subnet otherwise
    #[arg(long = "sourceIP", value_name = "IP")]
    source: Option<IpAddr>,
    /// Microseconds from packet to packet, 50 to 10000000
    #[arg(long, default_value_t = 200_000, value_parser = value_parser!(u64).range(50..=10_000_000))]
    interval: u64,
    /// Intervals of silence after which the peer is gone
    #[arg(long = "retryCount", default_value_t = 3, value_parser = value_parser!(u8).range(1..))]
    retries: u8,
    /// The HA instance
    #[arg(long, default_value = "default")]
    instance: String,
}

impl CreateBfd {
    fn run(&self, daemon: &Daemon) -> Result<(), Failure> {
        let body = json!({
            "instance": self.instance,
            "remoteIp": self.remote,
            "sourceIp": self.source.map_or_else(String::new, |source| source.to_string()),
            "interval": self.interval,
            "retryCount": self.retries,
        });
        daemon.post("/netlox/v1/config/bfd", &body)
    }
}

/// `hitless create ep`.
#[derive(Debug, Args)]
pub(super) struct CreateEp {
    /// Its address
    host: IpAddr,
    /// What it is known by; made of the other values otherwise
    #[arg(long, default_value = "")]
    name: String,
    /// tcp, udp, sctp, ping, http, https or none
    #[arg(long, default_value = "ping", value_name = "TYPE", value_parser = probe)]
    probetype: String,
    /// What a probe sends: the path of an HTTP probe
    #[arg(long, default_value = "")]
    probereq: String,
    /// What must come back
    #[arg(long, default_value = "")]
    proberesp: String,
    /// Port to probe
    #[arg(long, default_value_t = 0, value_name = "PORT")]
    probeport: u16,
    /// Seconds between probes
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    period: u32,
    /// Failures that take it out
    #[arg(long, default_value_t = 2)]
    retries: u32,
}

impl CreateEp {
    fn run(&self, daemon: &Daemon) -> Result<(), Failure> {
        let body = json!({
            "hostName": self.host,
            "name": self.name,
            "probeType": self.probetype,
            "probeReq": self.probereq,
            "probeResp": self.proberesp,
            "probePort": self.probeport,
            "probeDuration": self.period,
            "inactiveReTries": self.retries,
        });
        daemon.post("/netlox/v1/config/endpoint", &body)
    }
}

/// `hitless set`.
#[derive(Debug, Subcommand)]
pub(super) enum Set {
    /// Change a BFD session; what is not given stays
    #[command(visible_alias = "bfd-session")]
    Bfd(SetBfd),
    /// Change how much the daemon logs, until it restarts
    LogLevel {
        /// trace, debug, info, warning or error, or a word of LoxiLB's
        #[arg(value_parser = PossibleValuesParser::new(LOG_LEVELS))]
        level: String,
    },
}

/// `hitless set bfd`.
#[derive(Debug, Args)]
pub(super) struct SetBfd {
    /// The peer's address
    remote: IpAddr,
    /// This node's address
    #[arg(long = "sourceIP", value_name = "IP")]
    source: Option<IpAddr>,
    /// Microseconds from packet to packet, 50 to 10000000
    #[arg(long, value_parser = value_parser!(u64).range(50..=10_000_000))]
    interval: Option<u64>,
    /// Intervals of silence after which the peer is gone
    #[arg(long = "retryCount", value_parser = value_parser!(u8).range(1..))]
    retries: Option<u8>,
    /// The HA instance
    #[arg(long, default_value = "default")]
    instance: String,
}

impl Set {
    pub(super) fn run(&self, daemon: &Daemon) -> Result<(), Failure> {
        match self {
            Self::Bfd(bfd) => {
                let body = json!({
                    "instance": bfd.instance,
                    "remoteIp": bfd.remote,
                    "sourceIp": bfd.source.map_or_else(String::new, |source| source.to_string()),
                    "interval": bfd.interval.unwrap_or(0),
                    "retryCount": bfd.retries.unwrap_or(0),
                });
                daemon.post("/netlox/v1/config/bfd", &body)?;
            }
            Self::LogLevel { level } => {
                daemon.post("/netlox/v1/config/params", &json!({ "logLevel": level }))?
            }
        }
        table::say("Success");
        Ok(())
    }
}
