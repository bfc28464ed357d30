//! Writes sections as TOML: every key with its value, defaults included.

use super::{
    form::{Form, Key, Section},
    kind::Kind,
};
use std::ops::RangeInclusive;

/// Writes one table.
#[derive(Default)]
struct Writer {
    /// The table's path as its header has it, without the places of items.
    path: String,
    /// `key = value` of this table.
    lines: Vec<String>,
    /// The tables below it.
    below: String,
}

/// The section as a document.
pub(super) fn write(section: &mut impl Section) -> String {
    let mut writer = Writer::default();
    section.keys(&mut writer);
    writer.text().trim_start().to_owned()
}

impl Writer {
    fn text(self) -> String {
        let lines: String = self.lines.iter().map(|line| format!("{line}\n")).collect();
        lines + &self.below
    }

    fn below(&self, key: Key) -> Self {
        let path = if self.path.is_empty() { key.name.into() } else { format!("{}.{}", self.path, key.name) };
        Self { path, ..Self::default() }
    }

    fn push(&mut self, key: Key, value: &str) {
        self.lines.push(format!("{} = {value}", key.name));
    }
}

impl Form for Writer {
    fn value<T>(&mut self, key: Key, slot: &mut T, kind: impl Kind<T>) {
        if let Some(text) = kind.write(slot) {
            self.push(key, &text);
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
        self.push(key, &format!("[{}]", items.join(", ")));
    }

    fn table<S: Section>(&mut self, key: Key, slot: &mut S) {
        let mut table = self.below(key);
        slot.keys(&mut table);
        self.below += &format!("\n[{}]\n{}", table.path.clone(), table.text());
    }

    fn optional<S: Section>(&mut self, key: Key, slot: &mut Option<S>) {
        if let Some(slot) = slot {
            self.table(key, slot);
        }
    }

    fn tables<S: Section>(&mut self, key: Key, slot: &mut Vec<S>, _size: RangeInclusive<usize>) {
        let mut items = String::new();
        for item in slot.iter_mut() {
            let mut table = self.below(key);
            item.keys(&mut table);
            if S::INLINE {
                items += &format!("\n  {{ {} }},", table.lines.join(", "));
            } else {
                self.below += &format!("\n[[{}]]\n{}", table.path.clone(), table.text());
            }
        }
        match (S::INLINE, items.is_empty()) {
            (true, true) => self.push(key, "[]"),
            (true, false) => self.push(key, &format!("[{items}\n]")),
            (false, _) => (),
        }
    }

    fn refuse(&mut self, _key: &'static str, _beside: &[&'static str], _text: &str) {}

    fn rule(&mut self, _keys: &[&'static str], _holds: bool, _text: impl FnOnce() -> String) {}

    fn is_array(&self, _key: &'static str) -> bool {
        false
    }
}
