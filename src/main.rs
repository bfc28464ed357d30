//! The `hitless` binary: parses the command line and carries it out.

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    hitless::cli::Cli::parse().run()
}
