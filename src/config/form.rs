//! How a section names its keys: once, in one visit that reads them from a document or writes them to one.

use super::kind::Kind;
use std::ops::RangeInclusive;

/// A key of a section.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    pub(super) name: &'static str,
    /// The document must give it: it has no default.
    pub(super) must: bool,
}

/// A key without a default.
pub(super) const fn must(name: &'static str) -> Key {
    Key { name, must: true }
}

/// A key whose default is what its slot holds.
pub(super) const fn may(name: &'static str) -> Key {
    Key { name, must: false }
}

/// A table of the document. Its default holds the default of every key.
pub(super) trait Section: Default {
    /// Written `key = [{ ... }]` rather than `[[key]]`. Both are read.
    const INLINE: bool = false;
    /// One item of an array of such tables, to who wrote something else.
    const ITEM: &'static str = "a table { ... }";
    /// The one key that text alone, in place of a table, stands for.
    const SHORT: Option<&'static str> = None;

    /// Visits every key, in the order in which people read them.
    fn keys<F: Form>(&mut self, form: &mut F);
}

/// What a section does with its keys. The reader fills the slots from a document and notes what is wrong; the
/// writer prints them and changes nothing.
pub(super) trait Form {
    /// One value.
    fn value<T>(&mut self, key: Key, slot: &mut T, kind: impl Kind<T>);

    /// One value whose default depends on what was read before.
    fn value_or<T>(&mut self, key: Key, slot: &mut T, default: T, kind: impl Kind<T>);

    /// An array of values; `size` bounds its length. One that does not read leaves another in its place.
    fn list<T: Clone>(
        &mut self,
        key: Key,
        slot: &mut Vec<T>,
        kind: impl Kind<T>,
        size: RangeInclusive<usize>,
    );

    /// One table, all of whose keys have defaults.
    fn table<S: Section>(&mut self, key: Key, slot: &mut S);

    /// One table that may be absent.
    fn optional<S: Section>(&mut self, key: Key, slot: &mut Option<S>);

    /// An array of tables; `size` bounds its length. One that does not read leaves its default in its place.
    fn tables<S: Section>(&mut self, key: Key, slot: &mut Vec<S>, size: RangeInclusive<usize>);

    /// A key that has no meaning beside what the keys `beside` hold; `text` says what to do.
    fn refuse(&mut self, key: &'static str, beside: &[&'static str], text: &str);

    /// A rule over several keys; when it does not hold, `text` is noted at the first of them.
    fn rule(&mut self, keys: &[&'static str], holds: bool, text: impl FnOnce() -> String);

    /// Whether the document gives `key` as an array.
    fn is_array(&self, key: &'static str) -> bool;
}
