//! A program that runs in the background, its output in a file, stopped when dropped.

use crate::{Error, Result, wait_for};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

/// A running program.
#[derive(Debug)]
pub struct Program {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Program {
    /// Starts `command`; what it prints goes to the file `log`.
    ///
    /// # Errors
    ///
    /// It cannot be started.
    pub fn start(name: &str, mut command: Command, log: &Path) -> Result<Self> {
        let file = File::create(log)?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let child =
            command.spawn().map_err(|source| Error::Start { program: format!("{command:?}"), source })?;
        Ok(Self { name: name.to_owned(), child, log: log.to_owned() })
    }

    /// What it has printed so far.
    pub fn log(&self) -> String {
        fs::read(&self.log)
            .map_or_else(|_| String::new(), |bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Waits until it has printed `text`.
    ///
    /// # Errors
    ///
    /// It ended before, or `limit` is over; with what it printed.
    pub fn wait_for(&mut self, text: &str, limit: Duration) -> Result<()> {
        let found = wait_for(limit, || {
            if self.log().contains(text) {
                return Some(true);
            }
            matches!(self.child.try_wait(), Ok(Some(_))).then(|| self.log().contains(text))
        });
        match found {
            Some(true) => Ok(()),
            _ => Err(Error::Late(format!("{} has not said {text:?}: {}", self.name, self.log().trim()))),
        }
    }

    /// Its process number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        if let Some(pid) = Pid::from_raw(self.child.id() as i32) {
            // It may have ended by itself.
            let _ = kill_process(pid, signal);
        }
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for its end.
    ///
    /// # Errors
    ///
    /// `limit` is over.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        wait_for(limit, || self.child.try_wait().ok().flatten())
            .ok_or_else(|| Error::Late(format!("{} does not end: {}", self.name, self.log().trim())))
    }

    /// Asks it to end, and ends it if it does not within two seconds.
    pub fn stop(&mut self) {
        self.signal(Signal::TERM);
        if self.wait(Duration::from_secs(2)).is_err() {
            self.kill();
        }
    }

    /// Ends it at once, as a crash would.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Lets this process and those it starts have so many files open.
pub fn allow_files(count: u64) {
    let mut limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    if limit.current.is_none_or(|current| current >= count) {
        return;
    }
    limit.current = Some(count);
    limit.maximum = limit.maximum.map(|maximum| maximum.max(count));
    // Who opens too many is told.
    let _ = rustix::process::setrlimit(rustix::process::Resource::Nofile, limit);
}
