//! From changes to a table: what workers are told, what is saved, what people are told.

use super::{
    Registry,
    entry::{ServiceEntry, ServiceKey, Source},
};
use crate::service::{BuildError, Change, ServiceTable};
use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Instant,
};

/// What became of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServiceChange {
    /// It is new.
    Created(Arc<ServiceEntry>),
    /// It is another than before.
    Changed(Arc<ServiceEntry>),
    /// It is no more; as it was.
    Removed(Arc<ServiceEntry>),
}

/// Changes that fit together, and their table: to be published, or reverted.
#[derive(Debug)]
#[must_use = "publish it or revert it"]
pub struct Settlement {
    /// What was at each key that changed.
    before: BTreeMap<ServiceKey, Option<Arc<ServiceEntry>>>,
    table: Option<ServiceTable>,
    /// Whether the state file has something new to keep.
    pub saves: bool,
    /// What people are told.
    pub changes: Vec<ServiceChange>,
}

impl Registry {
    /// Makes the table of all changes since the last settlement.
    ///
    /// # Errors
    ///
    /// They contradict each other, which checking each should have found. All are undone then.
    pub fn settle(&mut self) -> Result<Settlement, BuildError> {
        let mut before = self.index.settle();
        before.retain(|key, old| match (&*old, self.index.get(key)) {
            (None, None) => false,
            (Some(old), Some(new)) if old == new => {
                // The object that was there has its text already.
                let old = Arc::clone(old);
                self.index.restore(BTreeMap::from([(*key, Some(old))]));
                false
            }
            _ => true,
        });
        let mut settlement = Settlement { before, table: None, saves: false, changes: Vec::new() };
        let mut changes = Vec::new();
        for (key, old) in &settlement.before {
            let (old, new) = (old.as_ref(), self.index.get(key));
            changes.extend(self.change(old, new));
            settlement.saves |= saved_part(old) != saved_part(new);
            let live = |entry: Option<&Arc<ServiceEntry>>| entry.filter(|entry| entry.is_live()).cloned();
            settlement.changes.extend(match (live(old), live(new)) {
                (None, Some(new)) => Some(ServiceChange::Created(new)),
                (Some(old), Some(new)) if is_health_alone(&old, &new) => None,
                (Some(_), Some(new)) => Some(ServiceChange::Changed(new)),
                (Some(old), None) => Some(ServiceChange::Removed(old)),
                (None, None) => None,
            });
        }
        if !changes.is_empty() {
            match self.builder.apply(changes) {
                Ok(table) => settlement.table = Some(table),
                Err(error) => {
                    self.index.restore(settlement.before);
                    self.give_back_taken(&HashSet::new(), &HashSet::new());
                    return Err(error);
                }
            }
        }
        Ok(settlement)
    }

    /// What the builder is told when `old` becomes `new`.
    fn change(&self, old: Option<&Arc<ServiceEntry>>, new: Option<&Arc<ServiceEntry>>) -> Option<Change> {
        let spec = |entry: &ServiceEntry| entry.spec(self.surroundings.instance(&entry.wanted.instance));
        match (old, new) {
            (_, Some(new)) if new.is_live() => Some(Change::Put(spec(new))),
            (Some(_), Some(new)) => Some(Change::Retire(spec(new))),
            (Some(old), None) => Some(Change::Remove(old.id)),
            // Created and removed at once: no worker has known it.
            (None, _) => None,
        }
    }

    /// Shows a settlement to everyone.
    pub fn publish(&mut self, settlement: Settlement, now: Instant) {
        let (mut services, mut backends) = (HashSet::new(), HashSet::new());
        for entry in settlement.before.keys().filter_map(|key| self.index.get(key)) {
            services.insert(entry.id.0);
            backends.extend(entry.backends.iter().map(|backend| backend.id.0));
        }
        for old in settlement.before.values().flatten() {
            if !services.contains(&old.id.0) {
                self.service_slots.give_back(old.id.0, now);
            }
            let gone = old.backends.iter().map(|backend| backend.id.0).filter(|id| !backends.contains(id));
            gone.for_each(|id| self.backend_slots.give_back(id, now));
        }
        self.give_back_taken(&services, &backends);
        if let Some(table) = settlement.table {
            // First: sessions will want these next hops.
            self.neighborhood.follow(&table);
            self.publisher.publish(table);
        }
        if !settlement.before.is_empty() {
            self.published.store(Arc::new(self.index.services().cloned().collect()));
        }
    }

    /// Undoes a settlement that was not published.
    pub fn revert(&mut self, settlement: Settlement) {
        let undo =
            settlement.before.iter().filter_map(|(key, old)| self.change(self.index.get(key), old.as_ref()));
        let undo: Vec<Change> = undo.collect();
        // It was so before, so it cannot be refused.
        let undone = self.builder.apply(undo);
        debug_assert!(undone.is_ok(), "{undone:?}");
        self.index.restore(settlement.before);
        self.give_back_taken(&HashSet::new(), &HashSet::new());
    }

    /// Gives back the slots that were taken and are not in use.
    fn give_back_taken(&mut self, services: &HashSet<u32>, backends: &HashSet<u32>) {
        for slot in self.taken.services.drain(..).filter(|slot| !services.contains(slot)) {
            self.service_slots.give_back_unused(slot);
        }
        for slot in self.taken.backends.drain(..).filter(|slot| !backends.contains(slot)) {
            self.backend_slots.give_back_unused(slot);
        }
    }

    /// Destroys tables that no reader holds any more; how many are still held.
    pub fn collect(&mut self) -> usize {
        self.publisher.collect()
    }
}

/// Whether nothing differs but whether backends are alive: that is told elsewhere, with the reason.
fn is_health_alone(old: &ServiceEntry, new: &ServiceEntry) -> bool {
    let mut healed = old.clone();
    for (backend, other) in healed.backends.iter_mut().zip(&new.backends) {
        backend.healthy = other.healthy;
    }
    healed == *new
}

/// What the state file keeps of an entry: services of the API, and what operators drain.
fn saved_part(entry: Option<&Arc<ServiceEntry>>) -> Option<(Option<&str>, Vec<u32>)> {
    let entry = entry.filter(|entry| entry.is_live())?;
    let service = (entry.source == Source::Api).then(|| entry.saved());
    let drained = |backend: &&super::BackendEntry| backend.drain.is_some_and(|drain| !drain.leaving);
    let drained: Vec<u32> = entry.backends.iter().filter(drained).map(|backend| backend.id.0).collect();
    (service.is_some() || !drained.is_empty()).then_some((service, drained))
}
