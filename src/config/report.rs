//! What is wrong with a document, and where.

use super::kind::quote;
use std::{
    collections::{BTreeSet, HashMap, HashSet},
    fmt,
    string::FromUtf8Error,
    sync::Arc,
};

/// One thing wrong (or, in a list of warnings, doubtful) in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The file as the caller named it.
    pub file: Arc<str>,
    /// Line, from 1; 0 when it is about the file as a whole.
    pub line: u32,
    /// Column in characters, from 1; 0 when it is about the file as a whole.
    pub column: u32,
    /// The key's path, such as `service[0].backends[1].port`, items counted from 0; empty where no key is known.
    pub key: String,
    /// What is wrong and what is allowed.
    pub text: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line != 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.text)
    }
}

/// Something that is not in a file's text and yet wrong with it, or doubtful: that another file is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    key: String,
    text: String,
    doubtful: bool,
}

impl Finding {
    /// The value of `key` cannot be used.
    pub fn mistake(key: impl Into<String>, text: String) -> Self {
        Self { key: key.into(), text, doubtful: false }
    }

    /// The value of `key` is hardly meant.
    pub fn warning(key: impl Into<String>, text: String) -> Self {
        Self { key: key.into(), text, doubtful: true }
    }
}

/// Everything wrong with a file, by position. Prints one line each: `FILE:LINE:COLUMN: key.path: text`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistakes(pub Vec<Mistake>);

impl Mistakes {
    /// The file as a whole is wrong.
    pub(super) fn of_file(file: &str, text: String) -> Self {
        Self(vec![Mistake { file: file.into(), line: 0, column: 0, key: String::new(), text }])
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{mistake}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}

/// Collects mistakes while a document is read, and remembers where each key stands.
pub(super) struct Report<'t> {
    text: &'t str,
    line_starts: Vec<usize>,
    mistakes: Vec<Note>,
    warnings: Vec<Note>,
    places: HashMap<String, usize>,
    doubtful: BTreeSet<String>,
}

struct Note {
    offset: usize,
    key: String,
    text: String,
    what: What,
}

/// What a mistake is about.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// The text is not TOML.
    Syntax,
    /// A key is absent.
    Missing,
    /// Something that is there.
    Value,
}

impl<'t> Report<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        let after_newline = text.match_indices('\n').map(|(offset, _)| offset + 1);
        Self {
            text,
            line_starts: std::iter::once(0).chain(after_newline).collect(),
            mistakes: Vec::new(),
            warnings: Vec::new(),
            places: HashMap::new(),
            doubtful: BTreeSet::new(),
        }
    }

    /// Remembers that the value of `key` begins at `offset`.
    pub(super) fn place(&mut self, key: &str, offset: usize) {
        self.places.insert(key.to_owned(), offset);
    }

    /// Whether the document gives `key`.
    pub(super) fn has(&self, key: &str) -> bool {
        self.places.contains_key(key)
    }

    /// Notes something wrong at `offset`, found while reading; what `key` holds is from now on not to be relied
    /// upon.
    pub(super) fn mistake_at(&mut self, offset: usize, key: &str, what: What, text: String) {
        self.doubt(key);
        self.mistakes.push(Note { offset, key: key.to_owned(), text, what });
    }

    /// From now on what `key` holds is not to be relied upon.
    pub(super) fn doubt(&mut self, key: &str) {
        self.doubtful.insert(key.to_owned());
    }

    /// Notes that the value of `key`, well read, contradicts another.
    pub(super) fn mistake(&mut self, key: &str, text: String) {
        let offset = self.offset(key);
        self.mistakes.push(Note { offset, key: key.to_owned(), text, what: What::Value });
    }

    /// Notes something that is allowed but hardly meant.
    pub(super) fn warning(&mut self, key: &str, text: &str) {
        let offset = self.offset(key);
        let text = format!("warning: {text}");
        self.warnings.push(Note { offset, key: key.to_owned(), text, what: What::Value });
    }

    /// Notes a finding, unless what its key holds is not to be relied upon anyway.
    pub(super) fn find(&mut self, finding: Finding) {
        match finding {
            Finding { key, .. } if !self.sound(&key) => {}
            Finding { key, text, doubtful: true } => self.warning(&key, &text),
            Finding { key, text, doubtful: false } => self.mistake(&key, text),
        }
    }

    /// Whether what `key` holds was read without a mistake at it, in it or around it.
    pub(super) fn sound(&self, key: &str) -> bool {
        let inside = |doubtful: &String| doubtful.starts_with(key);
        let within = self.doubtful.range(key.to_owned()..).take_while(|doubtful| inside(doubtful));
        let within = within.map(|doubtful| &doubtful[key.len()..]);
        let mut around = std::iter::successors(Some(key), |key| parent(key));
        !within.into_iter().any(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
            && !around.any(|key| self.doubtful.contains(key))
    }

    /// The line, from 1, on which the value of `key` begins.
    pub(super) fn line(&self, key: &str) -> usize {
        self.line_of(self.offset(key))
    }

    /// Where the value of `key` begins; where it has none, the table it would be in.
    fn offset(&self, key: &str) -> usize {
        let mut around = std::iter::successors(Some(key), |key| parent(key));
        around.find_map(|key| self.places.get(key)).copied().unwrap_or(0)
    }

    /// The line, from 1, that holds the byte at `offset`.
    pub(super) fn line_of(&self, offset: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= offset)
    }

    fn start_of(&self, line: usize) -> usize {
        self.line_starts.get(line.wrapping_sub(1)).copied().unwrap_or(0)
    }

    /// Whether the text is not even TOML.
    pub(super) fn has_syntax_mistakes(&self) -> bool {
        self.mistakes.iter().any(|note| note.what == What::Syntax)
    }

    /// Keeps what can be told of a document that is no TOML: absent keys may have been lost with the lines that
    /// were not understood, other mistakes on such lines follow from them, and beyond `horizon` nothing is
    /// certain.
    pub(super) fn keep_certain(&mut self, horizon: usize) {
        let syntax = self.mistakes.iter().filter(|note| note.what == What::Syntax);
        let lines: HashSet<usize> = syntax.map(|note| self.line_of(note.offset)).collect();
        let mut mistakes = std::mem::take(&mut self.mistakes);
        mistakes.retain(|note| match note.what {
            What::Syntax => true,
            What::Missing => false,
            What::Value => note.offset < horizon && !lines.contains(&self.line_of(note.offset)),
        });
        self.mistakes = mistakes;
    }

    /// Mistakes and warnings, each by position.
    pub(super) fn finish(mut self, file: &str) -> (Vec<Mistake>, Vec<Mistake>) {
        let (mistakes, warnings) = (std::mem::take(&mut self.mistakes), std::mem::take(&mut self.warnings));
        let file: Arc<str> = file.into();
        let locate = |mut notes: Vec<Note>| {
            notes.sort_by(|a, b| (a.offset, &a.key, &a.text).cmp(&(b.offset, &b.key, &b.text)));
            notes.dedup_by(|a, b| (a.offset, &a.key, &a.text) == (b.offset, &b.key, &b.text));
            let (mut line, mut column, mut from) = (0, 1, 0);
            let located = notes.into_iter().map(|note| {
                let at = self.line_of(note.offset);
                if at != line {
                    (line, column, from) = (at, 1, self.start_of(at));
                }
                column += self.text.get(from..note.offset).map_or(0, |passed| passed.chars().count());
                from = note.offset;
                let (line, column) = (u32::try_from(line), u32::try_from(column));
                let (line, column) = (line.unwrap_or(u32::MAX), column.unwrap_or(u32::MAX));
                Mistake { file: Arc::clone(&file), line, column, key: note.key, text: note.text }
            });
            located.collect()
        };
        (locate(mistakes), locate(warnings))
    }
}

/// The path of `key` in the table at `path`.
pub(super) fn child(path: &str, key: &str) -> String {
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let shown = if !key.is_empty() && key.bytes().all(bare) { key.to_owned() } else { quote(key) };
    if path.is_empty() { shown } else { format!("{path}.{shown}") }
}

/// The path of the table or array that `key` is in.
fn parent(key: &str) -> Option<&str> {
    key.rfind(['.', '[']).map(|end| &key[..end])
}

/// The mistake of a file that is not UTF-8, at its first bad byte.
pub(super) fn not_utf8(file: &str, error: &FromUtf8Error) -> Mistakes {
    let valid = error.utf8_error().valid_up_to();
    let bytes = error.as_bytes();
    let (before, bad) =
        (bytes.get(..valid).unwrap_or_default(), bytes.get(valid).copied().unwrap_or_default());
    let before = String::from_utf8_lossy(before);
    let mut report = Report::new(&before);
    let text = format!("the byte 0x{bad:02x} is not UTF-8, allowed is a file saved as UTF-8");
    report.mistake_at(valid, "", What::Syntax, text);
    Mistakes(report.finish(file).0)
}
