//! The notify hook: a program that is told of every new role, one call after the other.

use super::{EventLog, Severity};
use crate::types::HaState;
use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};

/// How long one call may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A new role: the instance's name, what it was, what it is.
type News = (String, HaState, HaState);

/// Calls the hook on a thread of its own, so that nobody waits for it.
#[derive(Debug)]
pub struct Notifier {
    news: Sender<News>,
}

impl Notifier {
    /// Calls `hook INSTANCE OLD_STATE NEW_STATE`.
    ///
    /// # Errors
    ///
    /// There can be no thread.
    pub fn start(hook: PathBuf, events: Arc<EventLog>) -> std::io::Result<Self> {
        let (news, waiting) = channel();
        thread::Builder::new().name("notify".into()).spawn(move || run(&hook, &waiting, &events))?;
        Ok(Self { news })
    }

    /// An instance has a new role.
    pub fn tell(&self, instance: &str, from: HaState, to: HaState) {
        // The thread ends with this object, not before.
        let _ = self.news.send((instance.to_owned(), from, to));
    }
}

fn run(hook: &Path, news: &Receiver<News>, events: &EventLog) {
    for (instance, from, to) in news {
        if let Err(reason) = call(hook, &instance, from, to) {
            let text = format!("notify hook {} {instance} {from} {to}: {reason}", hook.display());
            events.tell(Severity::Error, "notify", text);
        }
    }
}

fn call(hook: &Path, instance: &str, from: HaState, to: HaState) -> Result<(), String> {
    let mut child = Command::new(hook)
        .args([instance, from.name(), to.name()])
        .stdin(Stdio::null())
        .spawn()
        .map_err(|error| format!("{error}: is ha.notify an executable file?"))?;
    let status = wait(&mut child).map_err(|error| error.to_string())?;
    match status {
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(format!("it ended with {status}")),
        None => Err(format!("it took more than {} s and was ended", PATIENCE.as_secs())),
    }
}

/// Its end, within the patience; otherwise it is ended.
fn wait(child: &mut Child) -> std::io::Result<Option<std::process::ExitStatus>> {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= end {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(Duration::from_millis(5));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::PermissionsExt};

    #[test]
    fn the_hook_hears_every_role_in_order_and_failures_are_told() {
        let folder = std::env::temp_dir().join(format!("hitless-notify-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (hook, heard) = (folder.join("hook"), folder.join("heard"));
        fs::write(&hook, format!("#!/bin/sh\necho \"$*\" >>{}\n[ \"$3\" = MASTER ]\n", heard.display()))
            .unwrap();
        fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
        let events = Arc::new(EventLog::default());
        let notifier = Notifier::start(hook, Arc::clone(&events)).unwrap();
        notifier.tell("red", HaState::Backup, HaState::Master);
        notifier.tell("red", HaState::Master, HaState::Backup);
        let end = Instant::now() + Duration::from_secs(20);
        while events.follow(0).0.is_empty() && Instant::now() < end {
            thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(fs::read_to_string(&heard).unwrap(), "red BACKUP MASTER\nred MASTER BACKUP\n");
        let (told, _) = events.follow(0);
        assert!(told.len() == 1 && told[0].text.contains("exit status: 1"), "{told:?}");
        fs::remove_dir_all(folder).unwrap();
    }
}
