//! Takes away what labs of killed processes left behind.

use crate::{Result, output};
use rustix::process::{Pid, Signal, kill_process};
use std::{fs, path::Path, process::Command};

/// Every name of a lab begins with it, then comes the process.
pub(crate) const PREFIX: &str = "hl";

/// Where labs keep their files.
pub(crate) const FOLDER: &str = "/tmp/hitless-lab";

/// Where else a lab's programs must have theirs.
const FOLDERS: [&str; 3] = [FOLDER, "/etc/frr", "/run/frr"];

/// The process a lab's name speaks of: `hl4711-0-lb1` and `hl4711-0`.
fn owner(name: &str) -> Option<u32> {
    name.strip_prefix(PREFIX)?.split('-').next()?.parse().ok()
}

fn is_orphan(name: &str) -> bool {
    owner(name).is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists())
}

/// Removes namespaces and files whose process is gone.
pub(crate) fn sweep() {
    for name in names("/run/netns").filter(|name| is_orphan(name)) {
        let _ = remove_namespace(&name);
    }
    remove_folders(is_orphan);
}

/// Removes what this process has made. For signal handlers: whoever still uses it will fail.
pub fn remove_own() {
    let own = |name: &String| owner(name) == Some(std::process::id());
    for name in names("/run/netns").filter(own) {
        let _ = remove_namespace(&name);
    }
    remove_folders(|name| owner(name) == Some(std::process::id()));
}

fn remove_folders(of: impl Fn(&str) -> bool) {
    for folder in FOLDERS {
        for name in names(folder).filter(|name| of(name)) {
            let _ = fs::remove_dir_all(Path::new(folder).join(name));
        }
    }
}

fn names(folder: &str) -> impl Iterator<Item = String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok())
}

/// Ends what runs in a namespace and removes it.
pub(crate) fn remove_namespace(name: &str) -> Result<()> {
    let pids = output(Command::new("ip").args(["netns", "pids", name]))?;
    for pid in pids.lines().filter_map(|line| Pid::from_raw(line.trim().parse().ok()?)) {
        let _ = kill_process(pid, Signal::KILL);
    }
    output(Command::new("ip").args(["netns", "delete", name])).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_labs_of_dead_processes_are_orphans() {
        assert_eq!(owner("hl4711-0-lb1"), Some(4711));
        assert_eq!(owner("hello"), None);
        assert_eq!(owner("hlx-1"), None);
        assert!(!is_orphan(&format!("hl{}-0", std::process::id())));
        assert!(is_orphan("hl4294967295-0"));
        assert!(!is_orphan("somebody-elses"));
    }
}
