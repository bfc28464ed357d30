//! L9: the command line.

mod check;
mod client;
mod create;
mod delete;
#[cfg(feature = "dpdk")]
mod devices;
mod get;
mod lb;
mod measure;
mod operate;
#[cfg(feature = "dpdk")]
mod start;
mod table;
mod top;

use clap::{CommandFactory, Parser, Subcommand, ValueEnum};
use client::Daemon;
use std::{path::PathBuf, process::ExitCode, time::Duration};

/// Layer-4 load balancer on DPDK: full NAT, microsecond failover, no session lost.
#[derive(Debug, Parser)]
#[command(name = "hitless", version, arg_required_else_help = true)]
pub struct Cli {
    #[command(flatten)]
    daemon: Daemon,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon in the foreground; logs to stderr
    Run {
        /// Configuration file
        #[arg(short, long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Validate a configuration file and name every mistake in it
    Check {
        /// Configuration file
        #[arg(short, long, value_name = "FILE")]
        config: PathBuf,
        /// Print the effective configuration, with all defaults filled in
        #[arg(long)]
        show: bool,
    },
    /// Show the network devices DPDK can use here, and what is missing to use them
    Devices {
        /// Further devices to look at, such as net_af_packet0,iface=eth0
        devices: Vec<String>,
        /// Print as JSON
        #[arg(short, long, value_enum, default_value_t = Output::Table)]
        output: Output,
    },
    /// Read the running daemon
    Get {
        #[command(subcommand)]
        what: get::Get,
    },
    /// Create a service, a BFD session or an endpoint
    Create {
        #[command(subcommand)]
        what: create::Create,
    },
    /// Change a BFD session or how much is logged
    Set {
        #[command(subcommand)]
        what: create::Set,
    },
    /// Delete services, a BFD session or an endpoint
    Delete {
        #[command(subcommand)]
        what: delete::Delete,
    },
    /// Give a backend no new sessions, and end those it has at a deadline
    Drain {
        /// The service's name, or VIP:PORT/PROTOCOL
        service: String,
        /// ADDRESS, or ADDRESS:PORT where a service has several at one address
        backend: String,
        /// Seconds until the sessions it has end; the service's drain_timeout_s otherwise
        #[arg(long, value_name = "SECONDS", conflicts_with = "undo")]
        deadline: Option<u32>,
        /// Take it back: new sessions go there again
        #[arg(long)]
        undo: bool,
    },
    /// Print the configuration file that would make the daemon as it is now
    Save {
        /// Write it to a file instead
        #[arg(short, long, value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Hand over to the peer, and wait until it serves
    Switchover {
        /// The HA instance; all that the daemon serves otherwise
        instance: Option<String>,
    },
    /// Print what makes a shell complete this command's words
    Completion {
        /// For bash: hitless completion bash > /etc/bash_completion.d/hitless
        shell: clap_complete::Shell,
    },
    /// Watch the daemon live: workers, services, BFD, drops
    Top {
        /// Seconds from look to look
        #[arg(long, default_value_t = 1.0, value_name = "SECONDS", value_parser = seconds)]
        interval: f64,
        /// Print one picture as text and leave
        #[arg(long)]
        once: bool,
    },
    /// Measure this machine; needs neither a NIC nor root
    Bench {
        #[command(subcommand)]
        what: measure::Bench,
    },
}

/// A span that a reader can follow.
fn seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.1..=3600.0).contains(seconds));
    seconds.ok_or_else(|| "allowed is a number from 0.1 to 3600".to_owned())
}

/// How `get` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// The usual columns
    Table,
    /// All columns
    Wide,
    /// The API's answer
    Json,
}

/// Why a command failed, and so its exit code.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// The daemon, or the machine, refused: 1.
    #[error("{0}")]
    Refused(String),
    /// Bad arguments or bad configuration: 2.
    #[error("{0}")]
    Bad(String),
    /// The daemon cannot be reached: 3.
    #[error("{0}")]
    Unreachable(String),
}

impl Failure {
    fn code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Refused(_) => 1,
            Self::Bad(_) => 2,
            Self::Unreachable(_) => 3,
        })
    }
}

impl Cli {
    /// Carries the command out; errors go to stderr.
    pub fn run(self) -> ExitCode {
        match self.command.run(&self.daemon) {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => {
                table::complain(&failure.to_string());
                failure.code()
            }
        }
    }
}

impl Command {
    fn run(self, daemon: &Daemon) -> Result<(), Failure> {
        match self {
            Self::Check { config, show } => check::run(&config, show),
            Self::Get { what } => what.run(daemon),
            Self::Create { what } => what.run(daemon),
            Self::Set { what } => what.run(daemon),
            Self::Delete { what } => what.run(daemon),
            Self::Drain { service, backend, deadline, undo } => {
                operate::drain(daemon, &service, &backend, deadline, undo)
            }
            Self::Save { file } => operate::save(daemon, file.as_deref()),
            Self::Switchover { instance } => operate::switch_over(daemon, instance.as_deref()),
            Self::Completion { shell } => {
                let mut script = Vec::new();
                clap_complete::generate(shell, &mut Cli::command(), "hitless", &mut script);
                table::say(String::from_utf8_lossy(&script).trim_end());
                Ok(())
            }
            Self::Top { interval, once } => top::run(daemon, Duration::from_secs_f64(interval), once),
            Self::Bench { what } => what.run(),
            #[cfg(feature = "dpdk")]
            Self::Run { config } => start::run(&config),
            #[cfg(feature = "dpdk")]
            Self::Devices { devices, output } => devices::run(&devices, output),
            #[cfg(not(feature = "dpdk"))]
            Self::Run { .. } | Self::Devices { .. } => Err(Failure::Refused(
                "this hitless was built without DPDK: build it with the default features to run it".into(),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Flags of the same name, for the daemon and for benches, are each read as what they are.
    #[test]
    fn benches_and_the_daemon_s_flags_are_read() {
        Cli::command().debug_assert();
        for line in [
            "bench forward --flows 1000 --size 64 --protocol tcp --family 6 --seconds 1 --json",
            "bench connect --seconds 1 --sync --json",
            "bench bfd --interval-us 50 --multiplier 3 --trials 1 --json",
            "--protocol https get version",
            "get lb -s 127.0.0.1 -p 11111",
        ] {
            let words = std::iter::once("hitless").chain(line.split(' '));
            assert!(Cli::try_parse_from(words).is_ok(), "{line}");
        }
    }

    /// The README's reference has every command there is.
    #[test]
    fn the_readme_names_every_command() {
        fn missing(command: &clap::Command, path: &str, readme: &str, found: &mut Vec<String>) {
            for sub in command.get_subcommands() {
                let path = format!("{path} {}", sub.get_name());
                match sub.has_subcommands() {
                    true => missing(sub, &path, readme, found),
                    false
                        if readme.contains(&format!("`{path}`")) || readme.contains(&format!("`{path} ")) => {
                    }
                    false => found.push(path),
                }
            }
        }
        let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
        let mut found = Vec::new();
        missing(&Cli::command(), "hitless", &readme, &mut found);
        assert_eq!(found, [""; 0]);
    }
}
