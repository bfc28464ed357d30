//! Which keys of two configurations differ.

use super::{
    Config,
    form::{Form, Key, Section},
    kind::Kind,
};
use std::{collections::BTreeMap, ops::RangeInclusive};

impl Config {
    /// The paths of the keys that are not the same in both, sorted.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let (one, other) = (Flat::of(&mut self.clone()), Flat::of(&mut other.clone()));
        let differs = |(key, value): (&String, &String)| (other.get(key) != Some(value)).then(|| key.clone());
        let mut keys: Vec<String> = one.iter().filter_map(differs).collect();
        keys.extend(other.into_keys().filter(|key| !one.contains_key(key)));
        keys.sort();
        keys
    }
}

/// Collects every key's path and value.
#[derive(Default)]
struct Flat {
    path: String,
    keys: BTreeMap<String, String>,
}

impl Flat {
    fn of(section: &mut impl Section) -> BTreeMap<String, String> {
        let mut flat = Self::default();
        section.keys(&mut flat);
        flat.keys
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn visit(&mut self, path: String, section: &mut impl Section) {
        let above = std::mem::replace(&mut self.path, path);
        section.keys(self);
        self.path = above;
    }
}

impl Form for Flat {
    fn value<T>(&mut self, key: Key, slot: &mut T, kind: impl Kind<T>) {
        if let Some(text) = kind.write(slot) {
            self.keys.insert(self.path_of(key.name), text);
        }
    }

    fn value_or<T>(&mut self, key: Key, slot: &mut T, _default: T, kind: impl Kind<T>) {
        self.value(key, slot, kind);
    }

    fn list<T: Clone>(
        &mut self,
        key: Key,
        slot: &mut Vec<T>,
        kind: impl Kind<T>,
        _size: RangeInclusive<usize>,
    ) {
        let items: Vec<String> = slot.iter().filter_map(|item| kind.write(item)).collect();
        self.keys.insert(self.path_of(key.name), items.join(", "));
    }

    fn table<S: Section>(&mut self, key: Key, slot: &mut S) {
        self.visit(self.path_of(key.name), slot);
    }

    fn optional<S: Section>(&mut self, key: Key, slot: &mut Option<S>) {
        if let Some(slot) = slot {
            self.keys.insert(self.path_of(key.name), String::new());
            self.table(key, slot);
        }
    }

    fn tables<S: Section>(&mut self, key: Key, slot: &mut Vec<S>, _size: RangeInclusive<usize>) {
        let path = self.path_of(key.name);
        for (place, item) in slot.iter_mut().enumerate() {
            self.visit(format!("{path}[{place}]"), item);
        }
    }

    fn refuse(&mut self, _key: &'static str, _beside: &[&'static str], _text: &str) {}

    fn rule(&mut self, _keys: &[&'static str], _holds: bool, _text: impl FnOnce() -> String) {}

    fn is_array(&self, _key: &'static str) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use crate::config::tests::{NAT, PORT, config};

    #[test]
    fn keys_that_changed_came_or_went_are_named() {
        let one = config(&["[log]\nlevel = \"debug\"\n", PORT, NAT].concat());
        let ha = "[cores]\nworkers = [2]\n[ha]\npeer = \"10.77.0.12\"\ngateway_check = [\"10.77.0.1\"]\n";
        let other = config(&[ha, PORT, "mtu = 9000\n", NAT].concat());
        let differences = one.differences(&other);
        for key in
            ["cores.workers", "ha", "ha.bfd[0].interval_us", "ha.gateway_check", "log.level", "port[0].mtu"]
        {
            assert!(differences.iter().any(|found| found == key), "{key} is not in {differences:?}");
        }
        assert!(!differences.iter().any(|key| key.starts_with("nat") || key == "port[0].device"));
        assert_eq!(differences, other.differences(&one));
    }
}
