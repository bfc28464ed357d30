//! High availability of a node with a peer, as the API asks for it: the control core is asked through its mailbox.

use super::{
    Put, Refusal,
    ha::{BfdSession, BfdWanted, HighAvailability, InstanceStatus, described, refused},
    paths,
};
use crate::{
    config::{BfdPath, Config},
    control::{BfdEntry, BfdView, Command, CommandError, HaView, Mailbox, PairView},
    plane::{HaState, Ownership},
    protocol::{bfd::Timers, pair::Refusal as PairRefusal},
    types::{Duration, InstanceId},
};
use parking_lot::Mutex;
use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::Arc,
    thread,
    time::{Duration as Span, Instant},
};

/// How long the control core may take to answer.
const PATIENCE: Span = Span::from_secs(2);
/// How often it is looked whether it has.
const POLL: Span = Span::from_micros(200);

/// Interval and multiplier of a session that names none: LoxiLB's.
const DEFAULT_TIMES: (Duration, u8) = (Duration::from_micros(200_000), 3);

/// A node of a pair.
#[derive(Debug)]
pub struct Paired {
    config: Config,
    instances: Vec<String>,
    ownership: Arc<Ownership>,
    bfd: Arc<BfdView>,
    view: Arc<HaView>,
    pair: Option<Arc<PairView>>,
    mailbox: Arc<Mailbox>,
    /// Answers that nobody waited for to the end. One asks at a time.
    owed: Mutex<usize>,
}

impl Paired {
    /// Of a node by its configuration, and the ways to its control core.
    pub fn new(
        config: &Config,
        ownership: Arc<Ownership>,
        bfd: Arc<BfdView>,
        view: Arc<HaView>,
        pair: Option<Arc<PairView>>,
        mailbox: Arc<Mailbox>,
    ) -> Self {
        Self {
            instances: config.instances().iter().map(|instance| instance.name.clone()).collect(),
            config: config.clone(),
            ownership,
            bfd,
            view,
            pair,
            mailbox,
            owed: Mutex::new(0),
        }
    }

    /// Asks the control core and waits for its answer.
    ///
    /// # Errors
    ///
    /// It says no, or nothing.
    pub fn ask(&self, command: Command) -> Result<(), Refusal> {
        let silent = || Refusal::Unavailable("the control core does not answer: see the log".into());
        let mut owed = self.owed.lock();
        self.mailbox.send(command).map_err(|_| silent())?;
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            match self.mailbox.answer() {
                Some(_) if *owed > 0 => *owed -= 1,
                Some((_, result)) => return result.map_err(|error| refusal(&error)),
                None => thread::sleep(POLL),
            }
        }
        *owed += 1;
        Err(silent())
    }

    /// What keeps the nodes apart, as far as it is known.
    fn note(&self) -> Option<String> {
        let pair = self.pair.as_ref()?;
        if let Some(difference) = pair.difference() {
            return Some(difference.to_string());
        }
        // Those that a network makes by itself, and a restart, say nothing.
        let telling = PairRefusal::ALL.iter().filter(|reason| {
            !matches!(
                reason,
                PairRefusal::Replayed | PairRefusal::Unacquainted | PairRefusal::OtherConfiguration
            )
        });
        let most = telling.map(|reason| (pair.refused(*reason), *reason)).max_by_key(|(count, _)| *count);
        most.filter(|(count, _)| *count > 0)
            .map(|(count, reason)| format!("{count} messages refused: {reason}"))
    }

    fn paths_of_file(&self) -> &[BfdPath] {
        self.config.ha.as_ref().map_or(&[], |ha| &ha.bfd)
    }

    fn entry(&self, remote: IpAddr) -> Option<BfdEntry> {
        self.bfd.list().into_iter().find(|entry| entry.path.remote == remote)
    }

    fn id(&self, name: &str) -> Result<InstanceId, Refusal> {
        let place = self.instances.iter().position(|known| known == name);
        place
            .map(|place| InstanceId(place as u8))
            .ok_or_else(|| Refusal::NotFound(format!("cluster instance {name} not found")))
    }

    fn create(&self, wanted: &BfdWanted) -> Result<Put, Refusal> {
        let own = self.config.ports.iter().flat_map(|port| &port.addresses);
        let near = || own.clone().find(|own| own.contains(wanted.remote));
        let same_family = || own.clone().find(|own| own.address().is_ipv4() == wanted.remote.is_ipv4());
        let local = wanted.local.or_else(|| near().or_else(same_family).map(|own| own.address()));
        let local = local.ok_or_else(|| {
            let family = if wanted.remote.is_ipv4() { "IPv4" } else { "IPv6" };
            Refusal::Malformed(format!(
                "no port of this node has an {family} address to speak with {}: add one to its addresses and restart",
                wanted.remote
            ))
        })?;
        let path = BfdPath {
            local,
            remote: wanted.remote,
            interval: wanted.interval.unwrap_or(DEFAULT_TIMES.0),
            multiplier: wanted.multiplier.unwrap_or(DEFAULT_TIMES.1),
            ..BfdPath::default()
        };
        let settings = paths::session(&self.config, &path).ok().flatten().ok_or_else(|| {
            Refusal::Conflict(format!("no port of this node leads from {local} to {}", wanted.remote))
        })?;
        self.ask(Command::AddBfd(Box::new(settings)))?;
        Ok(Put::Created)
    }

    fn change(&self, entry: &BfdEntry, wanted: &BfdWanted) -> Result<Put, Refusal> {
        let known = entry.timers;
        let interval = wanted.interval.map_or(known.desired_min_tx_us.get(), |span| span.as_micros() as u32);
        let multiplier = wanted.multiplier.unwrap_or(known.multiplier.get());
        let timers = Timers::symmetric(interval, multiplier)
            .ok_or_else(|| Refusal::Conflict("a BFD session needs an interval and a multiplier".into()))?;
        let elsewhere = wanted.local.filter(|local| *local != entry.path.local);
        if let Some(local) = elsewhere {
            return Err(Refusal::Conflict(format!(
                "the session with {} runs from {}: delete it to run it from {local}",
                wanted.remote, entry.path.local
            )));
        }
        if timers == known {
            return Ok(Put::Unchanged);
        }
        self.ask(Command::ChangeBfd(entry.id, timers))?;
        Ok(Put::Replaced)
    }
}

/// What a node is by itself only.
fn cannot_be_set(state: HaState) -> Refusal {
    Refusal::Malformed(format!(
        "invalid cluster-state {}: a node finds it by itself, set STOP to take it out of the election, and MASTER or BACKUP to \
         let it take part again",
        state.name()
    ))
}

fn refusal(error: &CommandError) -> Refusal {
    match error {
        CommandError::NoSession => Refusal::NotFound(error.to_string()),
        CommandError::Alone => Refusal::Disabled(error.to_string()),
        CommandError::Refused(_) | CommandError::Bfd(_) => Refusal::Conflict(error.to_string()),
    }
}

impl HighAvailability for Paired {
    fn bfd_sessions(&self) -> Vec<BfdSession> {
        described(&self.bfd, self.config.default_instance(), self.paths_of_file())
    }

    fn bfd_refused(&self) -> BTreeMap<&'static str, u64> {
        refused(&self.bfd)
    }

    fn put_bfd(&self, wanted: &BfdWanted) -> Result<Put, Refusal> {
        self.id(&wanted.instance)?;
        match self.entry(wanted.remote) {
            Some(entry) => self.change(&entry, wanted),
            None => self.create(wanted),
        }
    }

    fn delete_bfd(&self, instance: &str, remote: IpAddr) -> Result<(), Refusal> {
        self.id(instance)?;
        if self.paths_of_file().iter().any(|path| path.remote == remote) {
            return Err(Refusal::Conflict(format!(
                "cant modify the bfd session with {remote}: it is of the configuration file, remove it from [ha] there and \
                 restart this node"
            )));
        }
        let entry =
            self.entry(remote).ok_or_else(|| Refusal::NotFound(format!("no bfd session with {remote}")))?;
        self.ask(Command::RemoveBfd(entry.id))
    }

    fn instances(&self) -> Vec<InstanceStatus> {
        let report = self.view.report();
        let status = |(number, name): (u8, &String)| {
            let (state, term) = self.ownership.get(InstanceId(number));
            let status = report.instances.get(usize::from(number)).map(|(_, status)| status);
            InstanceStatus {
                name: name.clone(),
                state,
                term,
                peer_serves: status.and_then(|status| status.peer).map(|(role, _)| role.serves()),
                role: status.map(|status| status.role.name()),
                ready: status.is_some_and(|status| status.ready),
                note: self.note(),
            }
        };
        (0..).zip(&self.instances).map(status).collect()
    }

    fn set_state(&self, instance: &str, state: HaState) -> Result<(), Refusal> {
        let id = self.id(instance)?;
        let (known, _) = self.ownership.get(id);
        match (known, state) {
            (known, wanted) if known == wanted => Ok(()),
            (_, HaState::Fault | HaState::NotDefined) => Err(cannot_be_set(state)),
            (_, HaState::Stop) => self.ask(Command::Hold(id)),
            (HaState::Stop, HaState::Master | HaState::Backup) => self.ask(Command::Release(id)),
            (_, HaState::Master) | (HaState::Master, HaState::Backup) => self.ask(Command::SwitchOver(id)),
            _ => Err(Refusal::Conflict(format!("instance {instance} stays {}", known.name()))),
        }
    }

    fn switch_over(&self, instance: Option<&str>) -> Result<(), Refusal> {
        let ids = match instance {
            Some(name) => vec![self.id(name)?],
            None => (0..self.instances.len() as u8).map(InstanceId).collect(),
        };
        let served: Vec<_> = ids.into_iter().filter(|id| self.ownership.serves(*id)).collect();
        if served.is_empty() {
            let what = instance.map_or_else(|| "no instance".into(), |name| format!("not {name}"));
            return Err(Refusal::Conflict(format!("this node serves {what}: ask the other one")));
        }
        served.into_iter().try_for_each(|id| self.ask(Command::SwitchOver(id)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::Machine, manage::RefusalKind};

    const CONFIG: &str = r#"
[cores]
control = 0
workers = [1]
management = [2]
[[port]]
name = "lan"
device = "net_null0"
addresses = ["10.77.0.11/24"]
[nat]
local_addresses = ["10.77.0.40"]
[ha]
peer = "10.77.0.12"
"#;

    fn node() -> Paired {
        let config = Config::parse(CONFIG, "lb.toml", &Machine::with_cores(4)).unwrap();
        let ownership = Arc::new(Ownership::new(1));
        ownership.set(InstanceId(0), HaState::Backup, 1);
        Paired::new(&config, ownership, Arc::default(), Arc::new(HaView::new(1)), None, Arc::default())
    }

    /// It is not what the node would be then.
    #[test]
    fn a_fault_cannot_be_set() {
        for state in [HaState::Fault, HaState::NotDefined] {
            let refusal = node().set_state("llb-inst0", state).unwrap_err();
            assert_eq!(refusal.kind(), RefusalKind::Malformed);
            assert!(refusal.to_string().contains("set STOP"), "{refusal}");
        }
    }

    #[test]
    fn sessions_of_the_file_are_the_file_s() {
        let refusal = node().delete_bfd("llb-inst0", [10, 77, 0, 12].into()).unwrap_err();
        let text = refusal.to_string();
        assert!(text.contains("restart") && !text.contains("SIGHUP") && !text.contains("service"), "{text}");
    }
}
