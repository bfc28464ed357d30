//! Printing: the one place that writes to the terminal.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "printing is what a command line is for")]

use comfy_table::{ContentArrangement, Table, presets};

/// Prints rows under columns, as `loxicmd` does.
pub(super) fn print(columns: &[&str], rows: Vec<Vec<String>>) {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(columns);
    table.add_rows(rows);
    println!("{table}");
}

/// Prints text.
pub(super) fn say(text: &str) {
    println!("{text}");
}

/// Prints to stderr.
pub(super) fn complain(text: &str) {
    eprintln!("{text}");
}
