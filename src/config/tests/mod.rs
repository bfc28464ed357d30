//! Documents with what is wrong in them written beside it, and properties of all documents.

mod files;
mod properties;
mod reference;
mod round_trip;
mod syntax;
pub(crate) mod tree;

use super::{Config, Machine, Mistake};

/// A port, to be put beneath a document that is about something else.
pub(super) const PORT: &str = r#"
[[port]]
name = "lan"
device = "0000:3b:00.0"
addresses = ["10.77.0.11/24", "fd77::11/64"]
"#;

/// Local addresses for [`PORT`].
pub(super) const NAT: &str = r#"
[nat]
local_addresses = ["10.77.0.40", "fd77::40"]
"#;

/// What precedes the text of a mistake in a document for [`expect`].
const MARK: &str = "#! ";

/// Checks `document`, followed by `rest`, for a machine of eight cores. What is wrong must be what lines that
/// begin with [`MARK`] beneath the wrong ones say: column, key and text. Those lines are not part of the document.
pub(super) fn expect(document: &str, rest: &[&str]) {
    let text: String =
        document.lines().filter(|line| !line.starts_with(MARK)).flat_map(|l| [l, "\n"]).collect();
    let text = text.trim_start().to_owned() + &rest.concat();
    let mistakes = match Config::parse(&text, "lb.toml", &Machine::with_cores(8)) {
        Ok(_) => Vec::new(),
        Err(mistakes) => mistakes.0,
    };
    let found = annotated(&text, &mistakes);
    let wanted = document.trim_start().to_owned() + &rest.concat();
    assert_eq!(found.trim_end(), wanted.trim_end(), "\n--- found:\n{found}\n--- wanted:\n{wanted}");
}

fn annotated(text: &str, mistakes: &[Mistake]) -> String {
    let mut annotated = String::new();
    for (line, number) in text.lines().chain([""]).zip(1..) {
        annotated += &format!("{line}\n");
        for mistake in mistakes.iter().filter(|mistake| mistake.line == number) {
            let whole = mistake.to_string();
            let place = format!("lb.toml:{number}:");
            annotated += &format!("{MARK}{}\n", whole.strip_prefix(&place).unwrap_or(&whole));
        }
    }
    annotated
}

/// The warnings of `text`, one a line.
pub(super) fn warnings(text: &str) -> Vec<String> {
    let checked = Config::check(text, "lb.toml", &Machine::with_cores(8));
    assert_eq!(checked.config.map(|_| ()).map_err(|mistakes| mistakes.to_string()), Ok(()));
    checked.warnings.iter().map(ToString::to_string).collect()
}

/// The configuration that `document` is.
pub(super) fn config(document: &str) -> Config {
    match Config::parse(document, "lb.toml", &Machine::with_cores(8)) {
        Ok(config) => config,
        Err(mistakes) => panic!("{mistakes}"),
    }
}
