//! Text to TOML tables, with every error of syntax and what can be read around it.

use super::{
    kind::quote,
    report::{Report, What, child},
};
use std::{borrow::Cow, collections::HashMap, ops::Range};
use toml::{
    Spanned,
    de::{DeTable, DeValue, Error},
};

/// A syntax error as the user reads it.
struct Fault {
    offset: usize,
    key: String,
    text: String,
    /// It ends with the value it is in; others may only be the consequence of one before them on their line.
    confined: bool,
}

/// Notes the lines that begin a setting and have no `=`, and returns `text` with spaces in their place: the
/// parser reads no further than the first of them.
pub(super) fn without_lines_that_say_nothing<'t>(text: &'t str, report: &mut Report<'_>) -> Cow<'t, str> {
    let (_, errors) = DeTable::parse_recoverable(text);
    let lost = errors.iter().filter(|error| error.message().starts_with("key with no value"));
    let mut readable = Cow::Borrowed(text);
    for at in lost.filter_map(Error::span).map(|span| span.start) {
        let (before, after) = text.split_at_checked(at).unwrap_or((text, ""));
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let end = at + after.find('\n').unwrap_or(after.len());
        let Some(line) = text.get(start..end) else { continue };
        let written = line.trim_start();
        let key = written.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '-').next();
        let key = key.unwrap_or_default();
        let said = match key {
            "" => "is no setting, allowed is KEY = VALUE, [TABLE] or [[TABLE]]".to_owned(),
            key => format!("has no =, allowed is {key} = VALUE"),
        };
        report.mistake_at(start + line.len() - written.len(), key, What::Syntax, said);
        readable.to_mut().replace_range(start..end, &" ".repeat(end - start));
    }
    readable
}

/// Parses `text`, noting what is not TOML. Returns the tables and the offset up to which they can be trusted.
pub(super) fn parse<'t>(text: &'t str, report: &mut Report<'_>) -> (DeTable<'t>, usize) {
    let (document, errors) = DeTable::parse_recoverable(text);
    let document = document.into_inner();
    let mut scalars = Vec::new();
    if !errors.is_empty() {
        scalars_of_table(&document, "", &mut scalars);
        scalars.sort_by_key(|scalar| scalar.span.start);
    }
    let first = errors.iter().filter_map(Error::span).map(|span| span.start).min().unwrap_or(0);
    let unclosed = errors.iter().any(|error| error.message().starts_with("unclosed"));
    let horizon = if unclosed { first } else { usize::MAX };
    let faults = errors.iter().filter_map(|error| {
        let span = error.span().unwrap_or_default();
        let mut fault = plain(text, &span, error.message());
        if span.start < horizon {
            return in_scalar(&scalars, &span, text, error.message()).or(Some(fault));
        }
        if !error.message().starts_with("unclosed") {
            fault.text += "; is every [ and { above it closed?";
        }
        (span.start == horizon).then_some(fault)
    });
    for fault in without_consequences(faults.collect(), report) {
        report.mistake_at(fault.offset, &fault.key, What::Syntax, fault.text);
    }
    (document, horizon)
}

/// Of each line the confined faults; without any, its first fault.
fn without_consequences(mut faults: Vec<Fault>, report: &Report<'_>) -> Vec<Fault> {
    let rank = |fault: &Fault| (!fault.confined, fault.offset);
    let mut best: HashMap<usize, (bool, usize)> = HashMap::new();
    for fault in &faults {
        let line = best.entry(report.line_of(fault.offset)).or_insert(rank(fault));
        *line = rank(fault).min(*line);
    }
    faults.retain(|fault| {
        let line = report.line_of(fault.offset);
        let is_best = best.get(&line) == Some(&rank(fault));
        fault.confined || is_best && best.remove(&line).is_some()
    });
    faults
}

/// A text, number or word of the document.
struct Scalar {
    span: Range<usize>,
    path: String,
}

/// All of a table, in no order.
fn scalars_of_table(table: &DeTable<'_>, path: &str, scalars: &mut Vec<Scalar>) {
    for (key, value) in table {
        scalars_of(value, child(path, key.get_ref()), scalars);
    }
}

fn scalars_of(value: &Spanned<DeValue<'_>>, path: String, scalars: &mut Vec<Scalar>) {
    match value.get_ref() {
        DeValue::Table(table) => scalars_of_table(table, &path, scalars),
        DeValue::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                scalars_of(item, format!("{path}[{index}]"), scalars);
            }
        }
        _ => scalars.push(Scalar { span: value.span(), path }),
    }
}

/// The fault at `error`, when that is inside one of `scalars`, which are in the order of the text.
fn in_scalar(scalars: &[Scalar], error: &Range<usize>, text: &str, message: &str) -> Option<Fault> {
    let after = scalars.partition_point(|scalar| scalar.span.start <= error.start);
    let Scalar { span, path } = scalars.get(after.checked_sub(1)?)?;
    // A key precedes every value: one at 0 is not in the text.
    if span.start == 0 || error.start > span.end {
        return None;
    }
    let (offset, text) = scalar(text.get(span.clone())?, span, error, message);
    Some(Fault { offset, key: path.clone(), text, confined: true })
}

/// Where and what is wrong in `raw`, a value at `span`.
fn scalar(raw: &str, span: &Range<usize>, error: &Range<usize>, message: &str) -> (usize, String) {
    let quotes = ["\"\"\"", "'''", "\"", "'"].into_iter().find(|quotes| raw.starts_with(quotes));
    match (raw, quotes) {
        ("", _) => {
            let text = "has no value, allowed is text in quotes, a number, true, false, an array or a table";
            (span.start, text.into())
        }
        (_, Some(quotes)) if error.start == span.end => {
            (span.start, format!("is text without an end, allowed is {quotes} behind it"))
        }
        (_, Some(_)) => (error.start, in_our_words(message)),
        (_, None) => {
            let quoted = quote(raw);
            (
                span.start,
                format!("is {raw}, allowed is text in quotes ({quoted}), a whole number, true or false"),
            )
        }
    }
}

fn plain(text: &str, span: &Range<usize>, message: &str) -> Fault {
    let (key, text) = match message {
        "duplicate key" => duplicate(text, span),
        _ => (String::new(), in_our_words(message)),
    };
    Fault { offset: span.start, key, text, confined: false }
}

fn in_our_words(message: &str) -> String {
    message.trim_end_matches(", expected nothing").replacen(", expected ", ", allowed is ", 1)
}

/// TOML has one name for two slips: the same thing twice, and two things of one name.
fn duplicate(text: &str, span: &Range<usize>) -> (String, String) {
    let line = text.get(..span.start).and_then(|before| before.rsplit('\n').next()).unwrap_or_default();
    let written = text.get(span.clone()).unwrap_or_default();
    let header = line.trim_start();
    let path = format!("{}{written}", header.trim_start_matches('[').trim_start());
    if header.starts_with("[[") {
        let text =
            format!("is already given in another form, allowed is that or [[{path}]] tables, not both");
        (path, text)
    } else if header.starts_with('[') {
        let text = format!("is written a second time, allowed is one table [{path}]");
        (path, text)
    } else {
        (written.into(), "is written a second time in its table, allowed is once".into())
    }
}
