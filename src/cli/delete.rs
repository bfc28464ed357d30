//! `hitless delete`, with the flags of `loxicmd`.

use super::{
    Failure,
    client::{Daemon, escaped},
    lb::{DeleteLb, probe},
    table,
};
use clap::{Args, Subcommand};
use std::net::IpAddr;

#[derive(Debug, Subcommand)]
pub(super) enum Delete {
    /// Services
    #[command(visible_alias = "loadbalancer")]
    Lb(DeleteLb),
    /// A BFD session
    #[command(visible_alias = "bfd-session")]
    Bfd {
        /// The peer's address
        remote: IpAddr,
        /// The HA instance
        #[arg(long, default_value = "default")]
        instance: String,
    },
    /// A host to be probed
    #[command(visible_alias = "endpoint")]
    Ep(DeleteEp),
}

/// `hitless delete ep`.
#[derive(Debug, Args)]
pub(super) struct DeleteEp {
    /// Its address
    host: IpAddr,
    /// What it is known by
    #[arg(long, default_value = "")]
    name: String,
    /// How it is probed, if it has no name of its own
    #[arg(long, default_value = "ping", value_name = "TYPE", value_parser = probe)]
    probetype: String,
    /// Port that is probed, if it has no name of its own
    #[arg(long, default_value_t = 0, value_name = "PORT")]
    probeport: u16,
}

impl Delete {
    pub(super) fn run(&self, daemon: &Daemon) -> Result<(), Failure> {
        match self {
            Self::Lb(lb) => lb.run(daemon)?,
            Self::Bfd { remote, instance } => {
                let instance = escaped(instance);
                daemon.delete(&format!("/netlox/v1/config/bfd/remoteIP/{remote}?instance={instance}"))?;
            }
            Self::Ep(ep) => daemon.delete(&format!(
                "/netlox/v1/config/endpoint/epipaddress/{}?name={}&probe_type={}&probe_port={}",
                ep.host,
                escaped(&ep.name),
                escaped(&ep.probetype),
                ep.probeport
            ))?,
        }
        table::say("Success");
        Ok(())
    }
}
