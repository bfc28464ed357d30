//! `hitless drain`, `hitless save`, `hitless switchover`.

use super::{
    Failure,
    client::{Daemon, escaped},
    table,
};
use serde_json::json;
use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// Gives a backend no new sessions.
pub(super) fn drain(
    daemon: &Daemon,
    service: &str,
    backend: &str,
    deadline: Option<u32>,
    undo: bool,
) -> Result<(), Failure> {
    let body = json!({ "backend": backend, "deadline_s": deadline, "undo": undo });
    daemon.post(&format!("/hitless/v1/services/{}/drain", escaped(service)), &body)?;
    table::say("Success");
    Ok(())
}

/// Prints the configuration file that would make the daemon as it is, or writes it.
pub(super) fn save(daemon: &Daemon, file: Option<&Path>) -> Result<(), Failure> {
    let text = daemon.get_text("/hitless/v1/config")?;
    match file {
        None => table::say(text.trim_end()),
        Some(file) => {
            write(file, &text).map_err(|error| {
                Failure::Refused(format!(
                    "{} cannot be written ({error}): choose another file",
                    file.display()
                ))
            })?;
            table::say(&format!("saved to {}: check it, put it in place, and send SIGHUP", file.display()));
        }
    }
    Ok(())
}

/// Replaces the file whole.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".next");
    let next = PathBuf::from(name);
    let mut file = File::create(&next)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&next, path)
}

/// Hands instances over to the peer, and waits until it serves.
pub(super) fn switch_over(daemon: &Daemon, instance: Option<&str>) -> Result<(), Failure> {
    daemon.post("/hitless/v1/switchover", &json!({ "instance": instance }))?;
    table::say("Success: the peer serves");
    Ok(())
}
