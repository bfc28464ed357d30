//! `hitless bench`.

use super::{Failure, table};
use crate::{
    bench::{Connect, Forward, connect, forward},
    types::Protocol,
};
use clap::Subcommand;
use serde::Serialize;

#[derive(Debug, Subcommand)]
pub(super) enum Bench {
    /// Packets of established sessions through one worker
    Forward {
        /// Sessions
        #[arg(long, default_value_t = 1000)]
        flows: usize,
        /// Frame size in bytes
        #[arg(long, default_value_t = 64)]
        size: usize,
        /// tcp or udp
        #[arg(long, default_value = "udp", value_parser = protocol)]
        protocol: Protocol,
        /// 4 or 6
        #[arg(long, default_value_t = 4)]
        family: u8,
        /// How long to measure
        #[arg(long, default_value_t = 5.0)]
        seconds: f64,
        /// Services in the table
        #[arg(long, default_value_t = 1)]
        services: u32,
        /// Backends of the service
        #[arg(long, default_value_t = 3)]
        backends: u32,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// New sessions through one worker, while as many old ones end
    Connect {
        /// How long to measure
        #[arg(long, default_value_t = 5.0)]
        seconds: f64,
        /// Stream every session to a peer, and compare with a worker that does not
        #[arg(long)]
        sync: bool,
        /// Sessions that are there at a time, about
        #[arg(long, default_value_t = 1_000_000)]
        sessions: usize,
        /// tcp or udp
        #[arg(long, default_value = "tcp", value_parser = protocol)]
        protocol: Protocol,
        /// 4 or 6
        #[arg(long, default_value_t = 4)]
        family: u8,
        /// Backends of the service
        #[arg(long, default_value_t = 16)]
        backends: u32,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
}

fn protocol(text: &str) -> Result<Protocol, String> {
    match text.parse() {
        Ok(protocol @ (Protocol::Tcp | Protocol::Udp)) => Ok(protocol),
        _ => Err("write tcp or udp".into()),
    }
}

impl Bench {
    pub(super) fn run(&self) -> Result<(), Failure> {
        match *self {
            Self::Forward { flows, size, protocol, family, seconds, services, backends, json } => {
                let what = Forward { flows, size, protocol, family, seconds, services, backends };
                let report = forward(&what).map_err(Failure::Refused)?;
                print(&report, json)
            }
            Self::Connect { seconds, sync, sessions, protocol, family, backends, json } => {
                let what = Connect { seconds, sync, sessions, protocol, family, backends };
                let report = connect(&what).map_err(Failure::Refused)?;
                print(&report, json)
            }
        }
    }
}

fn print(report: &impl Serialize, json: bool) -> Result<(), Failure> {
    let value = serde_json::to_value(report).map_err(|error| Failure::Refused(error.to_string()))?;
    if json {
        table::say(&value.to_string());
        return Ok(());
    }
    let rows = value.as_object().into_iter().flatten().map(|(name, value)| {
        let shown = match value.as_f64() {
            Some(number) if number.fract() != 0.0 => format!("{number:.2}"),
            _ => value.to_string(),
        };
        vec![name.clone(), shown]
    });
    table::print(&["MEASURED", "VALUE"], rows.collect());
    Ok(())
}
