//! Changes by the API and by reloads, one after the other on a thread of their own.
//!
//! ```text
//! handlers ─► queue ─► all that wait: check, apply ─► one table ─► one write of the state file ─► publish, answer
//!                       (refused ones are undone)       (a write that fails undoes all of them)
//! ```
//!
//! So an answer is given when what it says is on the disk and in the table workers see, and a thousand clients at
//! once cost one write and one table, not a thousand.

use super::{
    EventLog, Refusal, Registry, Saved, ServiceKey, Severity, Source,
    saved::Parked,
    state_file::{self, Clocks, Opened, SavedDrain, StateFile, StateFileError},
};
use crate::config;
use arc_swap::ArcSwap;
use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};
use parking_lot::Mutex;
use serde_json::Value;
use std::{
    io,
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};
use tokio::sync::oneshot;

/// Changes that may wait; further ones are refused.
const QUEUE: usize = 4096;
/// How long the thread waits when nothing is due: what a table outlives its last reader by.
const PATIENCE: Duration = Duration::from_secs(1);

/// What a change works on. If it fails, everything it did is undone.
#[derive(Debug)]
pub struct Transaction<'a> {
    /// The services.
    pub registry: &'a mut Registry,
    /// This moment.
    pub now: Instant,
    saved: &'a mut Arc<Saved>,
}

impl Transaction<'_> {
    /// All else that is kept.
    pub fn saved(&self) -> &Saved {
        self.saved
    }

    /// The same, to change it.
    pub fn saved_mut(&mut self) -> &mut Saved {
        Arc::make_mut(self.saved)
    }

    /// Tries the services that did not fit again.
    pub fn retry_parked(&mut self) {
        if self.saved.parked.is_empty() {
            return;
        }
        for Parked { value, .. } in std::mem::take(&mut self.saved_mut().parked) {
            self.restore(value);
        }
    }

    /// Puts a service of the state file, or parks it.
    fn restore(&mut self, value: Value) {
        let savepoint = self.registry.savepoint();
        if let Err(reason) = self.try_restore(&value) {
            self.registry.rollback(&savepoint);
            self.saved_mut().parked.push(Parked { value, reason });
        }
    }

    fn try_restore(&mut self, value: &Value) -> Result<(), String> {
        let mut value = value.clone();
        let rule = value.as_object_mut().and_then(|keys| keys.remove("rule"));
        let rule = rule.map(serde_json::from_value).transpose().map_err(|error| error.to_string())?;
        let service = config::Service::from_json(&value).map_err(|mistakes| mistakes.join("; "))?;
        let key = ServiceKey::of(&service);
        if self.registry.service(&key).is_some_and(|entry| entry.source == Source::File) {
            // The file has it now, as it does after `hitless save`.
            return Ok(());
        }
        self.registry
            .put(service, rule, Source::Api, self.now)
            .map(drop)
            .map_err(|refusal| refusal.to_string())
    }

    fn restore_drain(&mut self, drain: &SavedDrain, clocks: Clocks) {
        let Some(key) = drain.key() else { return };
        let savepoint = self.registry.savepoint();
        let until = clocks.from_unix_s(drain.until_unix_s);
        // A backend that is gone needs no drain.
        if self.registry.drain(&key, (drain.address, drain.port), Some(until)).is_err() {
            self.registry.rollback(&savepoint);
        }
    }
}

/// A change and who waits for it.
trait Job: Send {
    /// Carries it out; false if it is refused.
    fn apply(&mut self, transaction: &mut Transaction<'_>) -> bool;

    /// Answers: with its outcome, or with why none of the changes could be kept.
    fn answer(self: Box<Self>, failed: Option<&Refusal>);
}

struct Pending<T, F> {
    change: Option<F>,
    outcome: Option<Result<T, Refusal>>,
    reply: oneshot::Sender<Result<T, Refusal>>,
}

impl<T: Send, F: FnOnce(&mut Transaction<'_>) -> Result<T, Refusal> + Send> Job for Pending<T, F> {
    fn apply(&mut self, transaction: &mut Transaction<'_>) -> bool {
        self.outcome = self.change.take().map(|change| change(transaction));
        matches!(self.outcome, Some(Ok(_)))
    }

    fn answer(self: Box<Self>, failed: Option<&Refusal>) {
        let outcome = match (self.outcome, failed) {
            (Some(Ok(_)), Some(failed)) => Err(failed.clone()),
            (Some(outcome), _) => outcome,
            (None, _) => return,
        };
        // Who asked may have gone; the change is made all the same.
        let _ = self.reply.send(outcome);
    }
}

/// Where changes are asked for. Clones lead to the same thread, which ends when all of them are gone.
#[derive(Clone)]
pub struct Changes {
    queue: Sender<Box<dyn Job>>,
    saved: Arc<ArcSwap<Saved>>,
}

impl std::fmt::Debug for Changes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Changes").field("waiting", &self.queue.len()).finish_non_exhaustive()
    }
}

/// Why changes cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum ChangesError {
    /// The state file.
    #[error(transparent)]
    StateFile(#[from] StateFileError),
    /// The thread.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] io::Error),
}

impl Changes {
    /// Loads the state file, if there is to be one, and starts the thread, which runs `setup` first.
    ///
    /// # Errors
    ///
    /// The state file cannot be used, or there can be no thread. A file that does not read is no error: it is set
    /// aside, and that is told.
    pub fn start(
        registry: Arc<Mutex<Registry>>,
        events: Arc<EventLog>,
        state_file: Option<&Path>,
        setup: impl FnOnce() + Send + 'static,
    ) -> Result<Self, ChangesError> {
        let (queue, jobs) = bounded(QUEUE);
        let mut thread =
            Thread { jobs, registry, saved: Arc::default(), published: Arc::default(), file: None, events };
        if let Some(path) = state_file {
            thread.load(StateFile::open(path)?);
        }
        let saved = Arc::clone(&thread.published);
        thread::Builder::new().name("changes".into()).spawn(move || {
            setup();
            thread.run();
        })?;
        Ok(Self { queue, saved })
    }

    /// Makes a change; returns when it is kept and seen by the workers.
    ///
    /// # Errors
    ///
    /// What the change said, or that it could not be kept. Nothing has changed then.
    pub async fn make<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Transaction<'_>) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        let reply = self.ask(change)?;
        reply.await.unwrap_or_else(|_| Err(stopping()))
    }

    /// The same for a thread that may block.
    ///
    /// # Errors
    ///
    /// As [`Changes::make`].
    pub fn make_blocking<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Transaction<'_>) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        self.ask(change)?.blocking_recv().unwrap_or_else(|_| Err(stopping()))
    }

    fn ask<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Transaction<'_>) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<oneshot::Receiver<Result<T, Refusal>>, Refusal> {
        let (reply, answer) = oneshot::channel();
        let job = Pending { change: Some(change), outcome: None, reply };
        match self.queue.try_send(Box::new(job)) {
            Ok(()) => Ok(answer),
            Err(TrySendError::Full(_)) => {
                Err(Refusal::Unavailable("too many changes are waiting: try again in a moment".into()))
            }
            Err(TrySendError::Disconnected(_)) => Err(stopping()),
        }
    }

    /// What is kept besides services.
    pub fn saved(&self) -> Arc<Saved> {
        self.saved.load_full()
    }
}

fn stopping() -> Refusal {
    Refusal::Unavailable("this node is stopping".into())
}

/// The thread.
struct Thread {
    jobs: Receiver<Box<dyn Job>>,
    registry: Arc<Mutex<Registry>>,
    saved: Arc<Saved>,
    published: Arc<ArcSwap<Saved>>,
    file: Option<StateFile>,
    events: Arc<EventLog>,
}

impl Thread {
    fn load(&mut self, opened: Opened) {
        let Opened { file, state, set_aside } = opened;
        if let Some((aside, reason)) = set_aside {
            let text = format!(
                "the state file {} does not read ({reason}): it is kept as {}, and this node starts without what the \
                 API had created",
                file.path().display(),
                aside.display()
            );
            self.events.tell(Severity::Error, "state", text);
        }
        let clocks = Clocks::now();
        let mut registry = self.registry.lock();
        self.saved = Arc::new(state.saved);
        let mut transaction =
            Transaction { registry: &mut registry, saved: &mut self.saved, now: clocks.now };
        for value in state.services {
            transaction.restore(value);
        }
        for drain in &state.drains {
            transaction.restore_drain(drain, clocks);
        }
        let hosts = self.saved.hosts.iter().filter(|host| !host.up);
        hosts.for_each(|host| registry.set_host(host.host, host.port, host.transport(), false));
        match registry.settle() {
            Ok(settlement) => registry.publish(settlement, clocks.now),
            Err(error) => self.events.tell(Severity::Error, "state", format!("the state file: {error}")),
        }
        for parked in &self.saved.parked {
            let text = format!("service {} of the state file waits: {}", parked.name(), parked.reason);
            self.events.tell(Severity::Error, "state", text);
        }
        self.published.store(Arc::clone(&self.saved));
        self.file = Some(file);
    }

    fn run(mut self) {
        loop {
            let due = self.registry.lock().next_deadline();
            let wait =
                due.map_or(PATIENCE, |due| due.saturating_duration_since(Instant::now()).min(PATIENCE));
            let mut jobs = match self.jobs.recv_timeout(wait) {
                Ok(job) => vec![job],
                Err(RecvTimeoutError::Timeout) => Vec::new(),
                Err(RecvTimeoutError::Disconnected) => return,
            };
            jobs.extend(self.jobs.try_iter().take(QUEUE));
            self.commit(jobs);
        }
    }

    fn commit(&mut self, mut jobs: Vec<Box<dyn Job>>) {
        let registry = Arc::clone(&self.registry);
        let mut registry = registry.lock();
        let now = Instant::now();
        registry.tick(now);
        let before = Arc::clone(&self.saved);
        for job in &mut jobs {
            let (savepoint, saved) = (registry.savepoint(), Arc::clone(&self.saved));
            let mut transaction = Transaction { registry: &mut registry, saved: &mut self.saved, now };
            if !job.apply(&mut transaction) {
                registry.rollback(&savepoint);
                self.saved = saved;
            }
        }
        let failed = self.settle(&mut registry, &before, now).err();
        if failed.is_some() {
            self.saved = before;
        }
        registry.collect();
        drop(registry);
        self.published.store(Arc::clone(&self.saved));
        for job in jobs {
            job.answer(failed.as_ref());
        }
    }

    /// Writes what is to be kept, then publishes.
    fn settle(&self, registry: &mut Registry, before: &Arc<Saved>, now: Instant) -> Result<(), Refusal> {
        let settlement = registry.settle()?;
        let saves = settlement.saves || !Arc::ptr_eq(&self.saved, before) && *self.saved != **before;
        if let (true, Some(file)) = (saves, &self.file)
            && let Err(error) = self.write(registry, file)
        {
            registry.revert(settlement);
            let text = format!(
                "cannot be kept, so nothing was changed: {}: {error}: make room there or mend it",
                file.path().display()
            );
            self.events.tell(Severity::Error, "state", text.clone());
            return Err(Refusal::Unavailable(text));
        }
        self.events.tell_services(&settlement.changes);
        registry.publish(settlement, now);
        Ok(())
    }

    fn write(&self, registry: &Registry, file: &StateFile) -> io::Result<()> {
        let services = registry.services().map(|entry| &**entry);
        let text = state_file::text(services, &self.saved, Clocks::now())?;
        file.write(&text)
    }
}

#[cfg(test)]
mod tests;
