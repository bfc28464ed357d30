//! A network namespace.

use crate::{Result, output};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::{ffi::OsStr, fs, fs::File, os::fd::AsFd, process::Command, thread};

/// A network namespace, as `ip netns` keeps it.
#[derive(Clone, Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// Of that name, which exists.
    pub(crate) const fn new(name: String) -> Self {
        Self { name }
    }

    /// Its name for `ip netns`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A command that will run inside.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(program);
        command
    }

    /// Runs a command line of the shell inside and returns what it printed.
    ///
    /// # Errors
    ///
    /// It fails.
    pub fn shell(&self, line: &str) -> Result<String> {
        output(self.command("sh").args(["-ec", line]))
    }

    /// Runs `work` on a thread that lives inside: its sockets belong to the namespace.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let inside = scope.spawn(|| {
                let file = File::open(format!("/run/netns/{}", self.name)).expect("a namespace");
                move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
                    .expect("the right to enter a namespace");
                work()
            });
            match inside.join() {
                Ok(done) => done,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    /// Writes below `/proc/sys/net`.
    pub(crate) fn sysctl(&self, settings: &[(&str, &str)]) -> Result<()> {
        self.enter(|| {
            settings.iter().try_for_each(|(key, value)| fs::write(format!("/proc/sys/net/{key}"), value))
        })
        .map_err(Into::into)
    }
}
