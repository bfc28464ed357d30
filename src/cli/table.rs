//! Printing: the one place that writes to the terminal.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "printing is what a command line is for")]

use comfy_table::{ContentArrangement, Table, presets};
use std::{
    io::{self, Write},
    process,
};

/// Prints rows under columns, as `loxicmd` does.
pub(super) fn print(columns: &[&str], rows: Vec<Vec<String>>) {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(columns);
    table.add_rows(rows);
    say(&table.to_string());
}

/// Prints text.
pub(super) fn say(text: &str) {
    let mut out = io::stdout().lock();
    let Err(error) = writeln!(out, "{text}").and_then(|()| out.flush()) else { return };
    // Who reads may have enough after a few lines.
    if error.kind() == io::ErrorKind::BrokenPipe {
        process::exit(0);
    }
    complain(&format!("nothing can be printed ({error}): see where the output goes"));
    process::exit(1);
}

/// Prints to stderr.
pub(super) fn complain(text: &str) {
    eprintln!("{text}");
}
