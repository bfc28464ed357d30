//! Kinds of values: how each is read from TOML, written back, and described to who got it wrong.

use super::port_range::PortRange;
use crate::types::Duration;
use std::{fmt::Display, ops::RangeInclusive};
use toml::de::DeValue;

/// A kind of value. Texts read on after the key: `is 70000, allowed is ...`.
pub(super) trait Kind<T> {
    /// The value, or what is wrong with it.
    fn read(&self, value: &DeValue<'_>) -> Result<T, String>;

    /// As TOML; `None` leaves the key out.
    fn write(&self, value: &T) -> Option<String>;

    /// What is allowed.
    fn allowed(&self) -> String;
}

/// What is wrong, when all there is to say is what stands there.
pub(super) fn wrong(value: &DeValue<'_>) -> String {
    const SHOWN: usize = 60;
    let text = match value {
        DeValue::String(text) => quote(text),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(flag) => flag.to_string(),
        DeValue::Datetime(date) => date.to_string(),
        DeValue::Array(_) => "an array".into(),
        DeValue::Table(_) => "a table".into(),
    };
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("is {}...", &text[..end]),
        None => format!("is {text}"),
    }
}

/// `text` as a TOML basic string, on one line whatever it holds.
pub(super) fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            _ if letter.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(letter))),
            _ => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}

/// `a`, `a or b`, `a, b or c`.
pub(super) fn either<T: Display>(items: impl IntoIterator<Item = T>) -> String {
    let mut items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    match (items.pop(), items.is_empty()) {
        (None, _) => String::new(),
        (Some(last), true) => last,
        (Some(last), false) => format!("{} or {last}", items.join(", ")),
    }
}

fn whole_number(value: &DeValue<'_>) -> Option<i64> {
    let number = value.as_integer()?;
    i64::from_str_radix(number.as_str(), number.radix()).ok()
}

/// A whole number in a range.
pub(super) struct Integer<T>(RangeInclusive<T>);

/// A whole number in `range`.
pub(super) const fn integer<T>(range: RangeInclusive<T>) -> Integer<T> {
    Integer(range)
}

impl<T: TryFrom<i64> + PartialOrd + Display> Kind<T> for Integer<T> {
    fn read(&self, value: &DeValue<'_>) -> Result<T, String> {
        let number = whole_number(value).and_then(|number| T::try_from(number).ok());
        number.filter(|number| self.0.contains(number)).ok_or_else(|| wrong(value))
    }

    fn write(&self, value: &T) -> Option<String> {
        Some(value.to_string())
    }

    fn allowed(&self) -> String {
        format!("a whole number from {} to {}", self.0.start(), self.0.end())
    }
}

/// A span of time as a whole number of its unit.
pub(super) struct Span {
    unit: Duration,
    range: RangeInclusive<i64>,
}

/// Microseconds in `range`.
pub(super) const fn micros(range: RangeInclusive<i64>) -> Span {
    Span { unit: Duration::from_micros(1), range }
}

/// Milliseconds in `range`.
pub(super) const fn millis(range: RangeInclusive<i64>) -> Span {
    Span { unit: Duration::from_millis(1), range }
}

/// Seconds in `range`.
pub(super) const fn seconds(range: RangeInclusive<i64>) -> Span {
    Span { unit: Duration::from_secs(1), range }
}

impl Kind<Duration> for Span {
    fn read(&self, value: &DeValue<'_>) -> Result<Duration, String> {
        let number = whole_number(value).filter(|number| self.range.contains(number));
        let number = number.and_then(|number| u64::try_from(number).ok());
        number.map(|number| self.unit.times(number)).ok_or_else(|| wrong(value))
    }

    fn write(&self, value: &Duration) -> Option<String> {
        Some((value.as_nanos() / self.unit.as_nanos()).to_string())
    }

    fn allowed(&self) -> String {
        integer(self.range.clone()).allowed()
    }
}

/// `true` or `false`.
pub(super) struct Flag;

impl Kind<bool> for Flag {
    fn read(&self, value: &DeValue<'_>) -> Result<bool, String> {
        value.as_bool().ok_or_else(|| wrong(value))
    }

    fn write(&self, value: &bool) -> Option<String> {
        Some(value.to_string())
    }

    fn allowed(&self) -> String {
        "true or false".into()
    }
}

/// A value that may be absent.
pub(super) struct Maybe<K>(pub(super) K);

impl<T, K: Kind<T>> Kind<Option<T>> for Maybe<K> {
    fn read(&self, value: &DeValue<'_>) -> Result<Option<T>, String> {
        self.0.read(value).map(Some)
    }

    fn write(&self, value: &Option<T>) -> Option<String> {
        value.as_ref().and_then(|value| self.0.write(value))
    }

    fn allowed(&self) -> String {
        self.0.allowed()
    }
}

/// A value that is switched off by `""`.
pub(super) struct OrEmpty<K>(pub(super) K);

impl<T, K: Kind<T>> Kind<Option<T>> for OrEmpty<K> {
    fn read(&self, value: &DeValue<'_>) -> Result<Option<T>, String> {
        match value.as_str() {
            Some("") => Ok(None),
            _ => self.0.read(value).map(Some),
        }
    }

    fn write(&self, value: &Option<T>) -> Option<String> {
        value.as_ref().map_or_else(|| Some(quote("")), |value| self.0.write(value))
    }

    fn allowed(&self) -> String {
        self.0.allowed()
    }
}

/// A port or a range of ports.
pub(super) struct Ports;

impl Kind<PortRange> for Ports {
    fn read(&self, value: &DeValue<'_>) -> Result<PortRange, String> {
        let range = match value {
            DeValue::String(text) => text.parse().ok(),
            _ => whole_number(value).and_then(|port| u16::try_from(port).ok()).and_then(PortRange::one),
        };
        range.ok_or_else(|| wrong(value))
    }

    fn write(&self, value: &PortRange) -> Option<String> {
        let text = value.to_string();
        Some(if value.is_one() { text } else { quote(&text) })
    }

    fn allowed(&self) -> String {
        "a port from 1 to 65535 or a range such as \"1000-2000\"".into()
    }
}
