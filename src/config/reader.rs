//! Reads sections out of a parsed document: fills their slots and notes every mistake with its place.

use super::{
    form::{Form, Key, Section},
    kind::{Kind, either, wrong},
    report::{Report, What, child},
};
use std::ops::{Range, RangeInclusive};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// The span of a value that the parser made up, after an error of syntax, for a key that has none.
const NOT_IN_TEXT: Range<usize> = 0..0;

/// Reads one table.
struct Reader<'r, 't> {
    table: &'r DeTable<'r>,
    /// The table's path; empty for the document itself.
    path: &'r str,
    /// The table is a lone text that stands for one of its keys: both have the same path.
    short: bool,
    /// Where the table begins.
    offset: usize,
    report: &'r mut Report<'t>,
    known: Vec<&'static str>,
    /// Keys that are known but have no place here.
    refused: Vec<&'static str>,
    /// Keys that ought to be there, and what is allowed in them.
    absent: Vec<(&'static str, String)>,
}

/// A value, where it begins, and its path.
struct Found<'r> {
    value: &'r DeValue<'r>,
    offset: usize,
    path: String,
}

/// Reads the document.
pub(super) fn read<S: Section>(document: &DeTable<'_>, report: &mut Report<'_>) -> S {
    let mut section = S::default();
    let reader = Reader::new(document, "", 0, report);
    reader.fill(&mut section);
    section
}

impl<'r, 't> Reader<'r, 't> {
    fn new(table: &'r DeTable<'r>, path: &'r str, offset: usize, report: &'r mut Report<'t>) -> Self {
        let (known, refused, absent) = (Vec::new(), Vec::new(), Vec::new());
        Self { table, path, short: false, offset, report, known, refused, absent }
    }

    fn fill(mut self, slot: &mut impl Section) {
        slot.keys(&mut self);
        self.note_unknown();
        for (name, allowed) in std::mem::take(&mut self.absent) {
            let path = self.path_of(name);
            let text = format!("is missing, allowed is {allowed}");
            self.report.mistake_at(self.offset, &path, What::Missing, text);
        }
    }

    /// Somebody meant `meant` and wrote something else: if it is missing, that need not be said as well.
    fn take_for(&mut self, meant: &str) {
        if !self.table.contains_key(meant) {
            self.report.doubt(&self.path_of(meant));
            self.absent.retain(|(absent, _)| *absent != meant);
        }
    }

    /// Notes the keys nobody asked for.
    fn note_unknown(&mut self) {
        for (key, _) in self.table {
            let name: &str = key.get_ref();
            if self.known.contains(&name) || self.refused.contains(&name) {
                continue;
            }
            let text = match nearest(name, &self.known) {
                Some(meant) => {
                    self.take_for(meant);
                    format!("unknown key, did you mean {meant}?")
                }
                None => format!("unknown key, allowed is {}", either(&self.known)),
            };
            self.report.mistake_at(key.span().start, &self.path_of(name), What::Value, text);
        }
    }

    fn path_of(&self, key: &str) -> String {
        if self.short { self.path.to_owned() } else { child(self.path, key) }
    }

    /// Looks `key` up, remembering that it is known and where its value stands.
    fn find(&mut self, key: Key, allowed: impl FnOnce() -> String) -> Option<Found<'r>> {
        self.known.push(key.name);
        let path = self.path_of(key.name);
        let table: &'r DeTable<'r> = self.table;
        let Some(value) = table.get(key.name) else {
            if key.must {
                self.report.doubt(&path);
                self.absent.push((key.name, allowed()));
            }
            return None;
        };
        if value.span() == NOT_IN_TEXT {
            self.report.doubt(&path);
            return None;
        }
        let offset = value.span().start;
        self.report.place(&path, offset);
        Some(Found { value: value.get_ref(), offset, path })
    }

    fn refuse_value(&mut self, found: &Found<'_>, wrong: &str, allowed: &str) {
        let text = format!("{wrong}, allowed is {allowed}");
        self.report.mistake_at(found.offset, &found.path, What::Value, text);
    }

    /// The items of an array, each with its own place; a wrong length is noted.
    fn items(&mut self, found: &Found<'r>, size: &RangeInclusive<usize>, allowed: &str) -> Vec<Found<'r>> {
        let Some(array) = found.value.as_array() else {
            self.refuse_value(found, &wrong(found.value), allowed);
            return Vec::new();
        };
        if !size.contains(&array.len()) {
            let wrong = format!("has {} items", array.len());
            self.refuse_value(found, &wrong, &format!("{} to {} of them", size.start(), size.end()));
        }
        let place = |(index, value): (usize, &'r Spanned<DeValue<'r>>)| {
            let (path, offset) = (format!("{}[{index}]", found.path), value.span().start);
            self.report.place(&path, offset);
            Found { value: value.get_ref(), offset, path }
        };
        array.iter().take(*size.end()).enumerate().map(place).collect()
    }

    fn read_value<T>(&mut self, found: &Found<'_>, kind: &impl Kind<T>) -> Option<T> {
        match kind.read(found.value) {
            Ok(value) => Some(value),
            Err(wrong) => {
                self.refuse_value(found, &wrong, &kind.allowed());
                None
            }
        }
    }

    fn read_table(&mut self, found: &Found<'_>, slot: &mut impl Section) {
        match found.value {
            DeValue::Table(table) => {
                Reader::new(table, &found.path, found.offset, self.report).fill(slot);
            }
            other => self.refuse_value(found, &wrong(other), &format!("one table [{}]", header(&found.path))),
        }
    }

    fn read_item<S: Section>(&mut self, found: &Found<'_>) -> S {
        let mut slot = S::default();
        match (found.value, S::SHORT) {
            (DeValue::Table(table), _) => {
                Reader::new(table, &found.path, found.offset, self.report).fill(&mut slot);
            }
            (DeValue::String(_), Some(key)) => {
                let place = found.offset..found.offset;
                let value = Spanned::new(place.clone(), found.value.clone());
                let table = DeTable::from_iter([(Spanned::new(place, key.into()), value)]);
                let reader = Reader::new(&table, &found.path, found.offset, self.report);
                Reader { short: true, ..reader }.fill(&mut slot);
            }
            (other, _) => self.refuse_value(found, &wrong(other), S::ITEM),
        }
        slot
    }
}

impl Form for Reader<'_, '_> {
    fn value<T>(&mut self, key: Key, slot: &mut T, kind: impl Kind<T>) {
        let Some(found) = self.find(key, || kind.allowed()) else { return };
        if let Some(value) = self.read_value(&found, &kind) {
            *slot = value;
        }
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
        let allowed = || format!("an array [...], each item {}", kind.allowed());
        let Some(found) = self.find(key, allowed) else { return };
        let items = self.items(&found, &size, &allowed());
        let values: Vec<Option<T>> = items.iter().map(|item| self.read_value(item, &kind)).collect();
        let other = values.iter().flatten().next().cloned();
        *slot = values.into_iter().filter_map(|value| value.or_else(|| other.clone())).collect();
    }

    fn table<S: Section>(&mut self, key: Key, slot: &mut S) {
        if let Some(found) = self.find(key, || "a table".into()) {
            self.read_table(&found, slot);
        }
    }

    fn optional<S: Section>(&mut self, key: Key, slot: &mut Option<S>) {
        if let Some(found) = self.find(key, || "a table".into()) {
            self.read_table(&found, slot.insert(S::default()));
        }
    }

    fn tables<S: Section>(&mut self, key: Key, slot: &mut Vec<S>, size: RangeInclusive<usize>) {
        let path = self.path_of(key.name);
        let allowed = match S::INLINE {
            true => format!("an array [...], each item {}", S::ITEM),
            false => format!("[[{}]] tables", header(&path)),
        };
        let Some(found) = self.find(key, || allowed.clone()) else { return };
        slot.clear();
        for item in self.items(&found, &size, &allowed) {
            slot.push(self.read_item(&item));
        }
    }

    fn refuse(&mut self, key: &'static str, beside: &[&'static str], text: &str) {
        self.refused.push(key);
        let meant = beside.iter().all(|key| self.report.sound(&self.path_of(key)));
        if let (Some((found, _)), true) = (self.table.get_key_value(key), meant) {
            self.report.mistake_at(found.span().start, &self.path_of(key), What::Value, text.to_owned());
        }
    }

    fn rule(&mut self, keys: &[&'static str], holds: bool, text: impl FnOnce() -> String) {
        let paths: Vec<String> = keys.iter().map(|key| self.path_of(key)).collect();
        let sound = paths.iter().all(|path| self.report.sound(path));
        if let (false, true, Some(first)) = (holds, sound, paths.first()) {
            self.report.mistake(first, text());
        }
    }

    fn is_array(&self, key: &'static str) -> bool {
        self.table.get(key).is_some_and(|value| value.get_ref().is_array())
    }
}

/// The name that `text` is most probably a slip of.
fn nearest(text: &str, names: &[&'static str]) -> Option<&'static str> {
    const LONGEST: usize = 40;
    let text = text.to_lowercase().replace('-', "_");
    if text.len() > LONGEST {
        return None;
    }
    let slips = |name: &str| {
        let lacks_its_end = text.len() > 2 && name.starts_with(&text);
        if lacks_its_end { 1 } else { strsim::damerau_levenshtein(&text, name) }
    };
    let near = names.iter().map(|name| (slips(name), *name));
    let near = near.filter(|(slips, name)| *slips <= (name.len().max(text.len()) / 3).max(1));
    near.min().map(|(_, name)| name)
}

/// `path` as a table's header has it: without the places of items.
fn header(path: &str) -> String {
    let mut parts = path.split('[');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |header, part| header + part.split_once(']').map_or("", |(_, rest)| rest))
}
