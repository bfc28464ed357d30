//! What happened: in the log, and kept for who asks, up to a bound.

use super::{ServiceChange, ServiceEntry};
use crate::{
    config::Config,
    control::{BfdChange, Event},
    protocol::{
        bfd::{Cause, State},
        election::Change,
    },
    types::{Duration, HaState, InstanceId},
};
use parking_lot::Mutex;
use serde::Serialize;
use std::{
    collections::VecDeque,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};
use tokio::sync::broadcast;
use tracing::{error, info, warn};

/// Records that are kept.
pub const HISTORY: usize = 1024;
/// Services whose changes are told one by one; of more at once, how many.
const ONE_BY_ONE: usize = 16;

/// How much a record matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Somebody must look.
    Error,
    /// Somebody should look.
    Warn,
    /// For the record.
    Info,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Record {
    /// Its number, from 1, without a gap.
    pub id: u64,
    /// Milliseconds since 1970.
    pub time_ms: u64,
    /// How much it matters.
    pub severity: Severity,
    /// What kind of thing it is, such as `service` or `ha`.
    pub kind: &'static str,
    /// For people.
    pub text: String,
}

/// The records, and who waits for the next.
#[derive(Debug)]
pub struct EventLog {
    kept: Mutex<VecDeque<Arc<Record>>>,
    sender: broadcast::Sender<Arc<Record>>,
}

impl Default for EventLog {
    fn default() -> Self {
        Self { kept: Mutex::default(), sender: broadcast::channel(HISTORY).0 }
    }
}

impl EventLog {
    /// Logs and keeps a record.
    pub fn tell(&self, severity: Severity, kind: &'static str, text: String) {
        match severity {
            Severity::Error => error!("{text}"),
            Severity::Warn => warn!("{text}"),
            Severity::Info => info!("{text}"),
        }
        let time_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
        let mut kept = self.kept.lock();
        let id = kept.back().map_or(1, |last| last.id + 1);
        let record = Arc::new(Record { id, time_ms, severity, kind, text });
        if kept.len() == HISTORY {
            kept.pop_front();
        }
        kept.push_back(Arc::clone(&record));
        // Without a listener there is nobody to miss it. Sent under the lock: in order.
        let _ = self.sender.send(record);
    }

    /// The records after number `last` that are kept, and those to come.
    pub fn follow(&self, last: u64) -> (Vec<Arc<Record>>, broadcast::Receiver<Arc<Record>>) {
        let kept = self.kept.lock();
        let receiver = self.sender.subscribe();
        (kept.iter().filter(|record| record.id > last).cloned().collect(), receiver)
    }

    /// Tells what the control core has told. `config` has the instances' names.
    pub fn tell_event(&self, event: &Event, config: &Config) {
        let (severity, kind, text) = in_words(event, config);
        self.tell(severity, kind, text);
    }

    /// Tells what became of services.
    pub fn tell_services(&self, changes: &[ServiceChange]) {
        if changes.len() > ONE_BY_ONE {
            let count =
                |wanted: fn(&ServiceChange) -> bool| changes.iter().filter(|change| wanted(change)).count();
            let created = count(|change| matches!(change, ServiceChange::Created(_)));
            let changed = count(|change| matches!(change, ServiceChange::Changed(_)));
            let removed = changes.len() - created - changed;
            let text = format!("services: {created} created, {changed} changed, {removed} removed");
            return self.tell(Severity::Info, "service", text);
        }
        for change in changes {
            let (entry, what) = match change {
                ServiceChange::Created(entry) => (entry, "created"),
                ServiceChange::Changed(entry) => (entry, "changed"),
                ServiceChange::Removed(entry) => (entry, "removed"),
            };
            self.tell(Severity::Info, "service", format!("{} {what}", described(entry)));
        }
    }
}

fn described(entry: &ServiceEntry) -> String {
    let wanted = &entry.wanted;
    let (available, all) =
        (entry.backends.iter().filter(|backend| backend.is_available()).count(), wanted.backends.len());
    format!(
        "service {} at {} {} port {} ({}, {available} of {all} backends)",
        wanted.name,
        wanted.vip,
        wanted.protocol,
        wanted.port,
        entry.source.name()
    )
}

fn name_of(instance: InstanceId, config: &Config) -> String {
    let known = config.instances().get(instance.index()).map(|known| known.name.clone());
    known.unwrap_or_else(|| instance.to_string())
}

fn in_words(event: &Event, config: &Config) -> (Severity, &'static str, String) {
    match event {
        Event::AddressConflict { port, address, mac } => (
            Severity::Warn,
            "address",
            format!(
                "{mac} on port {port} claims {address}, which is this node's: find that machine and change its address"
            ),
        ),
        Event::Stall(stall) if stall.over => (
            Severity::Warn,
            "worker",
            format!("worker {} turns again after {} ms", stall.worker, stall.lasted.as_millis()),
        ),
        Event::Stall(stall) => (
            Severity::Error,
            "worker",
            format!(
                "worker {} has stood still for {} ms: is its core free for it?",
                stall.worker,
                stall.lasted.as_millis()
            ),
        ),
        Event::State(instance, state) => {
            let name = name_of(*instance, config);
            (Severity::Info, "ha", format!("instance {name} is {}", state.name()))
        }
        Event::Election(change) => election_in_words(change, &name_of(change.instance, config)),
        Event::Bfd(change) => bfd_in_words(change),
        Event::Difference(Some(difference)) => {
            (Severity::Error, "sync", format!("sessions are not shared with the peer: {difference}"))
        }
        Event::Difference(None) => {
            (Severity::Info, "sync", "the peer's configuration fits: sessions are shared again".into())
        }
        Event::InSync(true) => (Severity::Info, "sync", "every session of the peer is here".into()),
        Event::InSync(false) => (Severity::Info, "sync", "sessions of the peer are being copied".into()),
    }
}

fn election_in_words(change: &Change, name: &str) -> (Severity, &'static str, String) {
    let Change { from, to, term, reason, .. } = change;
    let mut text = match (from == to, from.state() == to.state()) {
        (true, _) => format!("instance {name} stays {}", to.state()),
        (false, true) => format!("instance {name} is {} as before ({from} to {to})", to.state()),
        (false, false) => format!("instance {name} is {}, was {} ({from} to {to})", to.state(), from.state()),
    };
    text += &format!(", term {term}: {}", reason.description());
    if let Some(silence) = change.silence {
        let micros = |span: Duration| span.as_nanos() as f64 / 1e3;
        text += &format!(
            "; last heard {:.1} us before, of which {:.1} us detection time",
            micros(change.decided_at.since(silence.last_heard)),
            micros(silence.detection())
        );
    }
    if change.degraded {
        text += "; without a complete copy of the peer's sessions";
    }
    let loses = from.serves() && !to.serves() && to.state() != HaState::Backup || change.degraded;
    (if loses { Severity::Warn } else { Severity::Info }, "ha", text)
}

fn bfd_in_words(BfdChange { path, change, silence }: &BfdChange) -> (Severity, &'static str, String) {
    let silence = silence.map_or_else(String::new, |silence| {
        format!(", silent for {:.3} ms", silence.as_nanos() as f64 / 1e6)
    });
    let text = format!(
        "BFD {} from {}: {} to {}, {}{silence}",
        path.remote,
        path.local,
        change.from,
        change.to,
        described_cause(change.cause)
    );
    (if change.from == State::Up { Severity::Warn } else { Severity::Info }, "bfd", text)
}

const fn described_cause(cause: Cause) -> &'static str {
    match cause {
        Cause::Handshake => "handshake",
        Cause::DetectionExpired => "detection time expired",
        Cause::PeerDown => "the peer says it is down",
        Cause::PeerRestarted => "the peer began anew",
        Cause::PeerAdminDown => "the peer's operator took it down",
        Cause::Operator => "our operator's will",
        Cause::LocalReset => "given up by this node",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn history_is_bounded_and_followers_miss_nothing() {
        let log = EventLog::default();
        for number in 1..=HISTORY + 10 {
            log.tell(Severity::Info, "test", number.to_string());
        }
        let (kept, mut next) = log.follow(0);
        assert_eq!((kept.len(), kept[0].id, kept[0].text.as_str()), (HISTORY, 11, "11"));
        let last = kept.last().unwrap().id;
        log.tell(Severity::Warn, "test", "one more".into());
        let record = next.try_recv().unwrap();
        assert_eq!((record.id, record.text.as_str()), (last + 1, "one more"));
        assert!(next.try_recv().is_err());
        assert_eq!(log.follow(last).0.len(), 1);
    }
}
