//! The README's reference: a row for every key, with what is allowed and the default, as the reader has them. So it cannot
//! say something else than the program does.

use crate::config::{
    Config,
    form::{Form, Key, Section},
    kind::Kind,
};
use std::{collections::BTreeMap, fs, ops::RangeInclusive, path::Path};

/// What is known of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    /// `None`: it is read only beside certain values of others.
    allowed: Option<String>,
    /// `None`: it must be given, or is a table.
    default: Option<String>,
}

/// Collects the keys of a section and those beneath it.
struct Catalog<'c> {
    path: String,
    /// Where a section may be written in two forms: as tables.
    arrays: bool,
    rows: &'c mut BTreeMap<String, Row>,
}

impl Catalog<'_> {
    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn note(&mut self, key: Key, allowed: Option<String>, default: Option<String>) {
        let default = default.filter(|_| !key.must);
        self.rows.insert(self.path_of(key.name), Row { allowed, default });
    }

    fn visit<S: Section>(&mut self, key: Key, slot: &mut S) {
        let path = self.path_of(key.name);
        slot.keys(&mut Catalog { path, arrays: self.arrays, rows: self.rows });
    }
}

fn count(size: &RangeInclusive<usize>) -> String {
    format!("{} to {} of them", size.start(), size.end())
}

impl Form for Catalog<'_> {
    fn value<T>(&mut self, key: Key, slot: &mut T, kind: impl Kind<T>) {
        self.note(key, Some(kind.allowed()), kind.write(slot));
    }

    fn value_or<T>(&mut self, key: Key, slot: &mut T, default: T, kind: impl Kind<T>) {
        *slot = default;
        self.value(key, slot, kind);
    }

    fn list<T: Clone>(
        &mut self,
        key: Key,
        slot: &mut Vec<T>,
        kind: impl Kind<T>,
        size: RangeInclusive<usize>,
    ) {
        let items: Vec<String> = slot.iter().filter_map(|item| kind.write(item)).collect();
        let allowed = format!("{}, each {}", count(&size), kind.allowed());
        self.note(key, Some(allowed), Some(format!("[{}]", items.join(", "))));
    }

    fn table<S: Section>(&mut self, key: Key, slot: &mut S) {
        self.visit(key, slot);
    }

    fn optional<S: Section>(&mut self, key: Key, _slot: &mut Option<S>) {
        self.visit(key, &mut S::default());
    }

    fn tables<S: Section>(&mut self, key: Key, _slot: &mut Vec<S>, _size: RangeInclusive<usize>) {
        self.visit(key, &mut S::default());
    }

    fn refuse(&mut self, key: &'static str, beside: &[&'static str], _text: &str) {
        let path = self.path_of(key);
        if !beside.is_empty() && !self.rows.contains_key(&path) {
            self.rows.insert(path, Row { allowed: None, default: None });
        }
    }

    fn rule(&mut self, _keys: &[&'static str], _holds: bool, _text: impl FnOnce() -> String) {}

    fn is_array(&self, _key: &'static str) -> bool {
        self.arrays
    }
}

fn catalog() -> BTreeMap<String, Row> {
    let mut rows = BTreeMap::new();
    for arrays in [false, true] {
        Config::default().keys(&mut Catalog { path: String::new(), arrays, rows: &mut rows });
    }
    rows
}

/// The path of every key, without those of tables.
pub(super) fn keys() -> Vec<String> {
    catalog().into_keys().collect()
}

/// Rows of the README's tables under "Configuration": key, allowed, default, meaning.
fn documented() -> BTreeMap<String, [String; 3]> {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let (_, rest) = readme.split_once("\n## Configuration\n").unwrap();
    let section = rest.split_once("\n## ").map_or(rest, |(section, _)| section);
    let mut rows = BTreeMap::new();
    let mut table = String::new();
    for line in section.lines() {
        if let Some(header) = line.strip_prefix("### `") {
            let path = header.split('`').next().unwrap_or_default();
            table = path.trim_matches(['[', ']']).to_owned();
        }
        let Some(cells) = line.strip_prefix("| `").and_then(|line| line.strip_suffix(" |")) else { continue };
        let cells: Vec<&str> = cells.split(" | ").collect();
        let [key, allowed, default, meaning] = cells[..] else { panic!("four cells: {line}") };
        let key = key.trim_end_matches('`');
        let row = [allowed, default, meaning].map(|cell| cell.trim().to_owned());
        assert!(rows.insert(format!("{table}.{key}"), row).is_none(), "twice: {table}.{key}");
    }
    rows
}

/// As the README writes it.
fn shown(row: &Row) -> [Option<String>; 2] {
    [row.allowed.clone(), row.default.as_ref().map(|default| format!("`{default}`"))]
}

#[test]
fn the_readme_has_every_key_as_the_program_reads_it() {
    let (documented, catalog) = (documented(), catalog());
    let mut wrong = String::new();
    for (key, row) in &catalog {
        let [allowed, default] = shown(row);
        let Some([said_allowed, said_default, meaning]) = documented.get(key) else {
            let (allowed, default) = (allowed.unwrap_or_default(), default.unwrap_or_default());
            wrong += &format!("missing: {key}: | {allowed} | {default} | ... |\n");
            continue;
        };
        if allowed.as_ref().is_some_and(|allowed| allowed != said_allowed) {
            wrong += &format!("{key}: allowed is {said_allowed:?}, should be {allowed:?}\n");
        }
        // A default that other keys decide is told in words.
        let words = said_default.starts_with(|first: char| first.is_ascii_alphabetic());
        if default.as_ref().is_some_and(|default| default != said_default && !words) {
            wrong += &format!("{key}: default is {said_default:?}, should be {default:?}\n");
        }
        assert!(!meaning.is_empty(), "{key}");
    }
    for key in documented.keys().filter(|key| !catalog.contains_key(*key)) {
        wrong += &format!("there is no {key}\n");
    }
    assert!(wrong.is_empty(), "README.md, Configuration:\n{wrong}");
}
