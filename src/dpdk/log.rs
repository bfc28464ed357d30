//! DPDK's log: captured line by line, the last lines kept, all of them handed to whoever asked.
//!
//! Ownership: the C side keeps [`write`], a function of this binary, and lends it the text for the call only.

use super::ffi;
use parking_lot::Mutex;
use std::collections::VecDeque;

/// Lines kept for error messages.
const KEPT_LINES: usize = 64;
/// Longest line; what is longer is cut here.
const LINE_BYTES: usize = 512;

/// How bad a line of the log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Something does not work.
    Error,
    /// Something may not work as wished.
    Warning,
    /// For the record.
    Info,
    /// For developers.
    Debug,
}

impl Severity {
    /// From DPDK's levels: 1 emergency to 4 error, 5 warning, 6 notice, 7 information, 8 debug; 0 unknown.
    fn from_level(level: u32) -> Self {
        match level {
            1..=4 => Self::Error,
            5 => Self::Warning,
            0 | 6 | 7 => Self::Info,
            _ => Self::Debug,
        }
    }
}

/// Takes each line as it is written, without its end, on whichever thread wrote it. It may print, but not
/// call into this layer.
pub type Sink = fn(Severity, &str);

/// The last lines, and the beginning of one that has not ended yet.
#[derive(Debug)]
struct Lines {
    kept: VecDeque<String>,
    /// Lines ever written: the mark of the next one.
    count: u64,
    partial: Vec<u8>,
    sink: Option<Sink>,
}

static LINES: Mutex<Lines> =
    Mutex::new(Lines { kept: VecDeque::new(), count: 0, partial: Vec::new(), sink: None });

impl Lines {
    /// Adds `text`; returns the lines that it ended.
    fn add(&mut self, text: &[u8]) -> Vec<String> {
        let mut ended = Vec::new();
        for &byte in text {
            if byte == b'\n' {
                let line = String::from_utf8_lossy(&self.partial).trim_end().to_owned();
                self.partial.clear();
                if !line.is_empty() {
                    ended.push(line);
                }
            } else if self.partial.len() < LINE_BYTES {
                self.partial.push(byte);
            }
        }
        for line in &ended {
            if self.kept.len() == KEPT_LINES {
                self.kept.pop_front();
            }
            self.kept.push_back(line.clone());
            self.count += 1;
        }
        ended
    }

    fn since(&self, mark: u64) -> impl Iterator<Item = &String> {
        let new = usize::try_from(self.count - mark).unwrap_or(usize::MAX).min(self.kept.len());
        self.kept.range(self.kept.len() - new..)
    }
}

/// Sends every further line to `sink` too; `None`: to nobody.
pub fn set_sink(sink: Option<Sink>) {
    LINES.lock().sink = sink;
}

/// The last lines, oldest first.
pub fn recent() -> Vec<String> {
    LINES.lock().kept.iter().cloned().collect()
}

/// A place in the log, to ask later what came after it.
pub(super) fn mark() -> u64 {
    LINES.lock().count
}

/// The last few lines after `mark`, in one line of text that begins with `: `; empty without any.
pub(super) fn excerpt(mark: u64) -> String {
    const LINES_SHOWN: usize = 4;
    let lines = LINES.lock();
    let new: Vec<&str> = lines.since(mark).map(String::as_str).filter(|line| !is_echo(line)).collect();
    let shown = &new[new.len().saturating_sub(LINES_SHOWN)..];
    if shown.is_empty() { String::new() } else { format!(": {}", shown.join("; ")) }
}

/// What EAL says twice, or says of every failure.
fn is_echo(line: &str) -> bool {
    ["EAL: FATAL: ", "EAL: Driver cannot attach", "EAL: Failed to attach"]
        .iter()
        .any(|echo| line.starts_with(echo))
}

/// Whether any line after `mark` contains `text`.
pub(super) fn mentions(mark: u64, text: &str) -> bool {
    LINES.lock().since(mark).any(|line| line.contains(text))
}

/// Captures the log from now on.
pub(super) fn open() -> Result<(), i32> {
    // SAFETY: `write` has the signature asked for and lives as long as the process.
    let result = unsafe { ffi::hl_log_open(Some(write)) };
    if result == 0 { Ok(()) } else { Err(-result) }
}

/// Called by C with a piece of the log.
unsafe extern "C" fn write(text: *const std::ffi::c_char, length: usize, level: u32) {
    // SAFETY: the caller, `log_write` in eal.c, passes `length` readable bytes that stay unchanged during the
    // call.
    let text = unsafe { std::slice::from_raw_parts(text.cast::<u8>(), length) };
    let (ended, sink) = {
        let mut lines = LINES.lock();
        (lines.add(text), lines.sink)
    };
    if let Some(sink) = sink {
        ended.iter().for_each(|line| sink(Severity::from_level(level), line));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn empty() -> Lines {
        Lines { kept: VecDeque::new(), count: 0, partial: Vec::new(), sink: None }
    }

    #[test]
    fn lines_are_put_together_and_the_last_are_kept() {
        let mut lines = empty();
        assert!(lines.add(b"EAL: no ").is_empty());
        assert_eq!(lines.add(b"memory\n\nnext\nrest"), ["EAL: no memory", "next"]);
        for line in 0..100 {
            lines.add(format!("{line}\n").as_bytes());
        }
        assert_eq!(lines.kept.len(), KEPT_LINES);
        assert_eq!((lines.kept.back().map(String::as_str), lines.count), (Some("99"), 102));
        assert_eq!(lines.since(100).collect::<Vec<_>>(), ["98", "99"]);
        assert_eq!(lines.since(0).count(), KEPT_LINES);
    }

    #[test]
    fn a_line_without_end_is_cut() {
        let mut lines = empty();
        lines.add(&[b'x'; 4 * LINE_BYTES]);
        assert_eq!(lines.add(b"\n")[0].len(), LINE_BYTES);
    }
}
