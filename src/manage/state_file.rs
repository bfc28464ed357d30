//! The state file: what came through the API, kept over a restart.
//!
//! A write replaces the whole file: a new one beside it, flushed to the disk, then renamed, then the directory
//! flushed. So whoever reads it finds what was written before or what was written last, whenever the process or the
//! machine stopped. A file that does not read is set aside under a name that says so, and never overwritten.

use super::{Saved, ServiceEntry, ServiceKey, Source, saved::Parked};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    net::IpAddr,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// What this program writes, and the newest it reads.
const VERSION: u32 = 1;

/// Why there can be no state file.
#[derive(Debug, thiserror::Error)]
pub enum StateFileError {
    /// The directory or the file cannot be used.
    #[error(
        "api.state_file = \"{path}\": {source}: create the directory and let this user write there, or choose another file (\"\" keeps nothing)"
    )]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
    /// Another process keeps its state there.
    #[error("api.state_file = \"{path}\": another hitless keeps its state there: give each its own file")]
    InUse {
        /// The file.
        path: PathBuf,
    },
}

/// An open state file.
#[derive(Debug)]
pub struct StateFile {
    path: PathBuf,
    /// Written, then renamed.
    next: PathBuf,
    directory: File,
    /// Held as long as the file is in use.
    _lock: File,
}

/// What a state file holds.
#[derive(Debug, Default)]
pub struct State {
    /// Services with the keys of the configuration file, and `rule`.
    pub services: Vec<Value>,
    /// Backends that operators drain.
    pub drains: Vec<SavedDrain>,
    /// All else.
    pub saved: Saved,
}

/// A backend that an operator drains.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedDrain {
    /// The service's virtual address.
    pub vip: IpAddr,
    /// Its protocol.
    pub protocol: String,
    /// Its first port.
    pub first: u16,
    /// Its last port.
    pub last: u16,
    /// The backend's address.
    pub address: IpAddr,
    /// Its port; `None`: the port the client asked for.
    pub port: Option<u16>,
    /// When its sessions end, in seconds since 1970.
    pub until_unix_s: u64,
}

impl SavedDrain {
    /// The service's key, if the protocol is one.
    pub fn key(&self) -> Option<ServiceKey> {
        let protocol = self.protocol.parse().ok()?;
        Some(ServiceKey { vip: self.vip, protocol, first: self.first, last: self.last })
    }
}

/// What opening found.
#[derive(Debug)]
pub struct Opened {
    /// For writing.
    pub file: StateFile,
    /// What it held; nothing if it was not there, or was set aside.
    pub state: State,
    /// Where a file that does not read went, and why.
    pub set_aside: Option<(PathBuf, String)>,
}

impl StateFile {
    /// Opens the file at `path` for this process alone, and reads it.
    ///
    /// # Errors
    ///
    /// It cannot be read or written, or another process has it.
    pub fn open(path: &Path) -> Result<Opened, StateFileError> {
        let failed = |source| StateFileError::Io { path: path.to_owned(), source };
        let directory =
            path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        DirBuilder::new().recursive(true).mode(0o755).create(directory).map_err(failed)?;
        let lock = private().open(with_suffix(path, "lock")).map_err(failed)?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Err(StateFileError::InUse { path: path.to_owned() });
        }
        let file = Self {
            path: path.to_owned(),
            next: with_suffix(path, "next"),
            directory: File::open(directory).map_err(failed)?,
            _lock: lock,
        };
        let (state, set_aside) = file.read().map_err(failed)?;
        // That the disk takes it is better found now than with the first change.
        private().truncate(true).open(&file.next).map_err(failed)?;
        fs::remove_file(&file.next).map_err(failed)?;
        Ok(Opened { file, state, set_aside })
    }

    fn read(&self) -> io::Result<(State, Option<(PathBuf, String)>)> {
        let text = match fs::read(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((State::default(), None)),
            Err(error) => return Err(error),
        };
        match parse(&text) {
            Ok(state) => Ok((state, None)),
            Err(reason) => {
                let aside = self.set_aside()?;
                Ok((State::default(), Some((aside, reason))))
            }
        }
    }

    /// Moves the file to a name that nothing has.
    fn set_aside(&self) -> io::Result<PathBuf> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let names = (0..).map(|number: u32| match number {
            0 => format!("corrupt-{now}"),
            _ => format!("corrupt-{now}-{number}"),
        });
        let free = names.map(|name| with_suffix(&self.path, &name)).find(|path| !path.exists());
        let aside = free.unwrap_or_else(|| with_suffix(&self.path, "corrupt"));
        fs::rename(&self.path, &aside)?;
        self.directory.sync_all()?;
        Ok(aside)
    }

    /// Replaces what the file holds. On the disk when this returns.
    ///
    /// # Errors
    ///
    /// The file holds what it held before.
    pub fn write(&self, text: &str) -> io::Result<()> {
        let mut next = private().truncate(true).open(&self.next)?;
        next.write_all(text.as_bytes())?;
        next.sync_all()?;
        fs::rename(&self.next, &self.path)?;
        self.directory.sync_all()
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// A file that only its owner reads.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create(true).mode(0o600);
    options
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    name.into()
}

#[derive(Deserialize)]
struct Document {
    version: u32,
    services: Vec<Value>,
    #[serde(default)]
    drains: Vec<SavedDrain>,
    #[serde(flatten)]
    saved: Saved,
}

fn parse(text: &[u8]) -> Result<State, String> {
    let document: Document = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    if document.version > VERSION {
        return Err(format!("it is of version {}, and this hitless reads up to {VERSION}", document.version));
    }
    Ok(State { services: document.services, drains: document.drains, saved: document.saved })
}

/// A moment on both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Clocks {
    /// On the clock that drains run on.
    pub now: Instant,
    /// Since 1970.
    pub unix: Duration,
}

impl Clocks {
    /// This moment.
    pub fn now() -> Self {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { now: Instant::now(), unix }
    }

    fn to_unix_s(self, moment: Instant) -> u64 {
        let ahead = self.unix + moment.saturating_duration_since(self.now);
        ahead.saturating_sub(self.now.saturating_duration_since(moment)).as_secs()
    }

    /// The moment so many seconds after 1970, or this one if that has passed.
    pub fn from_unix_s(self, seconds: u64) -> Instant {
        self.now + Duration::from_secs(seconds).saturating_sub(self.unix)
    }
}

/// The text of a state file, one service a line.
pub(super) fn text<'a>(
    services: impl Iterator<Item = &'a ServiceEntry>,
    saved: &Saved,
    clocks: Clocks,
) -> Result<String, serde_json::Error> {
    let mut text = format!("{{\"version\":{VERSION},\n\"services\":[");
    let mut drains = Vec::new();
    let mut separator = "\n";
    for entry in services {
        if entry.source == Source::Api {
            text += separator;
            text += entry.saved();
            separator = ",\n";
        }
        drains.extend(drains_of(entry, clocks));
    }
    for Parked { value, .. } in &saved.parked {
        text += separator;
        text += &value.to_string();
        separator = ",\n";
    }
    text += "\n],\n\"drains\":";
    text += &serde_json::to_string(&drains)?;
    let rest = serde_json::to_string(saved)?;
    // The rest is an object: its keys join those before.
    text += ",\n";
    text += rest.strip_prefix('{').unwrap_or(&rest);
    text += "\n";
    Ok(text)
}

fn drains_of(entry: &ServiceEntry, clocks: Clocks) -> impl Iterator<Item = SavedDrain> + use<'_> {
    let key = entry.key();
    entry.backends.iter().filter_map(move |backend| {
        let drain = backend.drain.filter(|drain| !drain.leaving)?;
        Some(SavedDrain {
            vip: key.vip,
            protocol: key.protocol.name().into(),
            first: key.first,
            last: key.last,
            address: backend.wanted.address,
            port: backend.wanted.port,
            until_unix_s: clocks.to_unix_s(drain.until),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manage::Endpoint;

    /// A directory of one test, gone at its end.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("hitless-state-{}-{name}", std::process::id()));
            Self(path)
        }

        fn file(&self) -> PathBuf {
            self.0.join("deep/state.json")
        }

        fn names(&self) -> Vec<String> {
            let entries = fs::read_dir(self.0.join("deep")).unwrap();
            let mut names: Vec<String> =
                entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let scratch = Scratch::new("written");
        let opened = StateFile::open(&scratch.file()).unwrap();
        assert!(opened.state.services.is_empty() && opened.set_aside.is_none());
        let mut saved = Saved::default();
        let host = IpAddr::from([10, 0, 0, 1]);
        let endpoint = Endpoint {
            host,
            name: "one".into(),
            probe: "tcp".into(),
            request: "a\"b".into(),
            response: String::new(),
            interval_s: 60,
            port: 80,
            retries: 2,
        };
        saved.endpoints.insert((host, "one".into()), endpoint);
        let parked = serde_json::json!({"name": "waits", "vip": "fd00::1", "port": 80});
        saved.parked.push(Parked { value: parked.clone(), reason: "no local address".into() });
        opened.file.write(&text([].into_iter(), &saved, Clocks::now()).unwrap()).unwrap();
        drop(opened);
        let again = StateFile::open(&scratch.file()).unwrap();
        assert_eq!(again.state.saved.endpoints, saved.endpoints);
        assert_eq!(again.state.services, [parked]);
        assert_eq!(scratch.names(), ["state.json", "state.json.lock"]);
    }

    #[test]
    fn a_file_that_does_not_read_is_set_aside() {
        let scratch = Scratch::new("corrupt");
        fs::create_dir_all(scratch.file().parent().unwrap()).unwrap();
        for content in ["", "{\"version\":1,\"services\":[", "{\"version\":2,\"services\":[]}", "[]"] {
            fs::write(scratch.file(), content).unwrap();
            let opened = StateFile::open(&scratch.file()).unwrap();
            let (aside, reason) = opened.set_aside.unwrap();
            assert_eq!(fs::read_to_string(&aside).unwrap(), content);
            assert!(!reason.is_empty() && !scratch.file().exists());
        }
        let aside =
            scratch.names().into_iter().filter(|name| name.starts_with("state.json.corrupt-")).count();
        assert_eq!(aside, 4);
    }

    #[test]
    fn one_process_has_it() {
        let scratch = Scratch::new("lock");
        let opened = StateFile::open(&scratch.file()).unwrap();
        assert!(matches!(StateFile::open(&scratch.file()), Err(StateFileError::InUse { .. })));
        drop(opened);
        assert!(StateFile::open(&scratch.file()).is_ok());
    }

    #[test]
    fn moments_survive_a_restart() {
        let before = Clocks { now: Instant::now(), unix: Duration::from_secs(1_000) };
        let until = before.now + Duration::from_secs(60);
        let kept = before.to_unix_s(until);
        let after = Clocks { now: before.now + Duration::from_secs(5_000), unix: Duration::from_secs(1_020) };
        assert_eq!(after.from_unix_s(kept), after.now + Duration::from_secs(40));
        let late = Clocks { unix: Duration::from_secs(2_000), ..after };
        assert_eq!(late.from_unix_s(kept), late.now);
    }
}
