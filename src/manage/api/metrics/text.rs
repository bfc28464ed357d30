//! The Prometheus text format, version 0.0.4.

use crate::plane::Distribution;
use std::fmt::{Display, Write};

/// What the format is called in `Content-Type`.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Upper bounds of the buckets of all histograms, in nanoseconds: 1, 2 and 5 of each decade from 1 µs to 1 s.
const BOUNDS: [u64; 19] = [
    1_000,
    2_000,
    5_000,
    10_000,
    20_000,
    50_000,
    100_000,
    200_000,
    500_000,
    1_000_000,
    2_000_000,
    5_000_000,
    10_000_000,
    20_000_000,
    50_000_000,
    100_000_000,
    200_000_000,
    500_000_000,
    1_000_000_000,
];

const NANOS: f64 = 1e9;

/// What a family of samples is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Only grows, but for a restart.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts below bounds.
    Histogram,
    /// A name of LoxiLB's first releases, which no rule for names fits.
    Untyped,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Untyped => "untyped",
        }
    }
}

/// A label.
pub(super) type Label<'a> = (&'a str, &'a dyn Display);

/// All that is exposed.
#[derive(Debug, Default)]
pub(super) struct Exposition(String);

impl Exposition {
    /// Begins a family. Without samples it leaves nothing behind.
    pub(super) fn family<'a>(&'a mut self, name: &'a str, kind: Kind, help: &'a str) -> Family<'a> {
        Family { text: &mut self.0, name, head: Some((kind, help)) }
    }

    /// A family of one sample without labels.
    pub(super) fn one(&mut self, name: &str, kind: Kind, help: &str, value: impl Display) {
        self.family(name, kind, help).sample(&[], value);
    }

    /// The text.
    pub(super) fn finish(self) -> String {
        self.0
    }
}

/// The samples of one name.
#[derive(Debug)]
pub(super) struct Family<'a> {
    text: &'a mut String,
    name: &'a str,
    /// Kind and help, until they are written.
    head: Option<(Kind, &'a str)>,
}

impl Family<'_> {
    /// One value. No two samples of a family may have the same labels.
    pub(super) fn sample(&mut self, labels: &[Label<'_>], value: impl Display) {
        self.line("", labels, None, value);
    }

    /// A distribution of nanoseconds, as seconds. Buckets and sum are at most a sixteenth off, as the values are.
    pub(super) fn histogram(&mut self, labels: &[Label<'_>], distribution: &Distribution) {
        let mut filled = distribution.buckets().peekable();
        let (mut count, mut sum) = (0, 0.0);
        for bound in BOUNDS {
            while let Some((upper, values)) = filled.next_if(|(upper, _)| *upper <= bound) {
                count += values;
                sum += upper as f64 * values as f64;
            }
            self.line("_bucket", labels, Some(&(bound as f64 / NANOS)), count);
        }
        for (upper, values) in filled {
            count += values;
            sum += upper.min(distribution.max()) as f64 * values as f64;
        }
        self.line("_bucket", labels, Some(&"+Inf"), count);
        self.line("_sum", labels, None, sum / NANOS);
        self.line("_count", labels, None, count);
    }

    fn line(&mut self, suffix: &str, labels: &[Label<'_>], le: Option<&dyn Display>, value: impl Display) {
        let (text, name) = (&mut *self.text, self.name);
        // Writing to a string does not fail.
        if let Some((kind, help)) = self.head.take() {
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {}", kind.name());
        }
        let _ = write!(text, "{name}{suffix}");
        let mut before = '{';
        let le = le.map(|bound| ("le", bound));
        for (label, shown) in labels.iter().copied().chain(le) {
            let _ = write!(text, "{before}{label}=\"{}\"", escaped(&shown.to_string()));
            before = ',';
        }
        if before == ',' {
            text.push('}');
        }
        let _ = writeln!(text, " {value}");
    }
}

/// Seconds, of nanoseconds.
pub(super) fn seconds(nanos: u64) -> f64 {
    nanos as f64 / NANOS
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plane::Histogram;

    #[test]
    fn a_family_is_its_head_and_its_samples() {
        let mut text = Exposition::default();
        text.family("hitless_empty", Kind::Gauge, "Nothing.");
        let mut family = text.family("hitless_x_total", Kind::Counter, "Some.");
        family.sample(&[("service", &"a\"b\\c\nd"), ("worker", &3)], u64::MAX);
        family.sample(&[], 0.25);
        let wanted = "# HELP hitless_x_total Some.\n# TYPE hitless_x_total counter\n\
                      hitless_x_total{service=\"a\\\"b\\\\c\\nd\",worker=\"3\"} 18446744073709551615\n\
                      hitless_x_total 0.25\n";
        assert_eq!(text.finish(), wanted);
    }

    #[test]
    fn buckets_are_cumulative_and_in_seconds() {
        let histogram = Histogram::default();
        for nanos in [0, 800, 1_500, 1_500, 30_000_000, 7_000_000_000] {
            histogram.record(nanos);
        }
        let mut text = Exposition::default();
        text.family("hitless_x_seconds", Kind::Histogram, "Times.")
            .histogram(&[("to", &"b")], &histogram.read());
        let text = text.finish();
        for line in [
            "hitless_x_seconds_bucket{to=\"b\",le=\"0.000001\"} 2",
            "hitless_x_seconds_bucket{to=\"b\",le=\"0.000002\"} 4",
            "hitless_x_seconds_bucket{to=\"b\",le=\"0.02\"} 4",
            "hitless_x_seconds_bucket{to=\"b\",le=\"0.05\"} 5",
            "hitless_x_seconds_bucket{to=\"b\",le=\"1\"} 5",
            "hitless_x_seconds_bucket{to=\"b\",le=\"+Inf\"} 6",
            "hitless_x_seconds_count{to=\"b\"} 6",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}:\n{text}");
        }
        let sum =
            text.lines().find_map(|line| line.strip_prefix("hitless_x_seconds_sum{to=\"b\"} ")).unwrap();
        let exact = 7.0300038;
        let sum: f64 = sum.parse().unwrap();
        assert!(sum >= exact && sum <= exact * 17.0 / 16.0, "{sum}");
    }
}
