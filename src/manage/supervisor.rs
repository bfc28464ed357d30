//! What the service manager is told, see sd_notify(3): a datagram with a line a fact to the socket it names. Without
//! one, nobody is told.

use crate::plane::{Counters, Histogram};
use std::{
    ffi::OsStr,
    io,
    os::{
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            net::{SocketAddr, UnixDatagram},
        },
    },
    sync::Arc,
    time::Duration,
};

/// The service manager.
#[derive(Debug)]
pub struct Supervisor {
    socket: Option<UnixDatagram>,
    watchdog: Option<Duration>,
}

impl Supervisor {
    /// As `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID` say.
    ///
    /// # Errors
    ///
    /// There is a socket, and it cannot be reached.
    pub fn of_environment() -> io::Result<Self> {
        let variable = |name: &str| std::env::var_os(name);
        let number = |name: &str| variable(name)?.to_str()?.parse::<u64>().ok();
        let watched = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let watchdog = number("WATCHDOG_USEC").filter(|usec| watched && *usec > 0).map(Duration::from_micros);
        match variable("NOTIFY_SOCKET") {
            Some(path) => Ok(Self { socket: Some(connect(&path)?), watchdog }),
            None => Ok(Self { socket: None, watchdog: None }),
        }
    }

    /// How often to say that everything turns, if anybody waits for it: thrice while the manager's patience lasts.
    pub fn beat(&self) -> Option<Duration> {
        self.watchdog.map(|patience| patience / 3)
    }

    /// It serves, or has read its configuration again.
    pub fn ready(&self) {
        self.tell("READY=1\n");
    }

    /// It begins to read its configuration again.
    pub fn reloading(&self) {
        self.tell("RELOADING=1\n");
    }

    /// It ends.
    pub fn stopping(&self) {
        // The watchdog runs on: it is wound up once more.
        self.tell("STOPPING=1\nWATCHDOG=1\n");
    }

    /// Everything turns.
    pub fn alive(&self) {
        self.tell("WATCHDOG=1\n");
    }

    fn tell(&self, facts: &str) {
        if let Some(socket) = &self.socket {
            // A manager that does not listen is not waited for.
            let _ = socket.send(facts.as_bytes());
        }
    }
}

fn connect(path: &OsStr) -> io::Result<UnixDatagram> {
    let address = match path.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(path)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.connect_addr(&address)?;
    Ok(socket)
}

/// Whether the polling threads turn: all workers, and the control core.
#[derive(Debug)]
pub struct Pulse {
    workers: Vec<Arc<Counters>>,
    control: Arc<Histogram>,
    /// Turns at the last look, the control core's last.
    turns: Vec<u64>,
}

impl Pulse {
    /// Of the workers' heartbeats, and the control core's turns.
    pub const fn new(workers: Vec<Arc<Counters>>, control: Arc<Histogram>) -> Self {
        Self { workers, control, turns: Vec::new() }
    }

    /// Whether each of them has turned since the last look.
    pub fn all_turn(&mut self) -> bool {
        let workers = self.workers.iter().map(|worker| worker.heartbeat());
        let turns: Vec<u64> = workers.chain([self.control.read().count()]).collect();
        let before = std::mem::replace(&mut self.turns, turns);
        self.turns.len() == before.len() && self.turns.iter().zip(&before).all(|(now, before)| now != before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn abstract_socket(name: &str) -> (UnixDatagram, Supervisor) {
        let name = format!("hitless-test-{}-{name}", std::process::id());
        let manager = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        manager.set_nonblocking(true).unwrap();
        let socket = Some(connect(OsStr::new(&format!("@{name}"))).unwrap());
        (manager, Supervisor { socket, watchdog: Some(Duration::from_secs(6)) })
    }

    fn heard(manager: &UnixDatagram) -> String {
        let mut datagram = [0; 256];
        let length = manager.recv(&mut datagram).unwrap();
        String::from_utf8(datagram[..length].to_vec()).unwrap()
    }

    #[test]
    fn each_fact_is_a_datagram() {
        let (manager, supervisor) = abstract_socket("facts");
        supervisor.ready();
        supervisor.alive();
        supervisor.reloading();
        supervisor.stopping();
        assert_eq!(heard(&manager), "READY=1\n");
        assert_eq!(heard(&manager), "WATCHDOG=1\n");
        assert_eq!(heard(&manager), "RELOADING=1\n");
        assert_eq!(heard(&manager), "STOPPING=1\nWATCHDOG=1\n");
        assert_eq!(supervisor.beat(), Some(Duration::from_secs(2)));
    }

    #[test]
    fn a_socket_may_be_a_file() {
        let path = std::env::temp_dir().join(format!("hitless-supervisor-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        assert!(connect(path.as_os_str()).is_err());
        let manager = UnixDatagram::bind(&path).unwrap();
        let supervisor = Supervisor { socket: Some(connect(path.as_os_str()).unwrap()), watchdog: None };
        supervisor.ready();
        assert_eq!(heard(&manager), "READY=1\n");
        let _ = std::fs::remove_file(&path);
    }

    /// A manager that reads nothing fills its queue, and nobody waits for it.
    #[test]
    fn nobody_waits_for_the_manager() {
        let (_manager, supervisor) = abstract_socket("full");
        (0..10_000).for_each(|_| supervisor.alive());
    }

    #[test]
    fn the_pulse_stops_with_any_of_them() {
        let workers: Vec<Arc<Counters>> = (0..2).map(|_| Arc::default()).collect();
        let control: Arc<Histogram> = Arc::default();
        let mut pulse = Pulse::new(workers.clone(), Arc::clone(&control));
        let mut turns = 0;
        let mut look = |which: [bool; 3]| {
            turns += 1;
            workers.iter().zip(which).filter(|(_, turns)| *turns).for_each(|(worker, _)| worker.beat(turns));
            if which[2] {
                control.record(1);
            }
            pulse.all_turn()
        };
        let all = [true; 3];
        let looks = [all, all, [true, false, true], all, [false, true, true], [true, true, false], all];
        let found = looks.map(&mut look);
        // The first look has none to compare with.
        assert_eq!(found, [false, true, false, true, false, false, true]);
    }
}
