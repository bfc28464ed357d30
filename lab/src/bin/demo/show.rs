//! What the demo prints.

use hitless_lab::Host;
use std::io::IsTerminal;

/// A headline.
pub(crate) fn step(text: &str) {
    if std::io::stdout().is_terminal() {
        println!("\n\x1b[1m== {text}\x1b[0m");
    } else {
        println!("\n== {text}");
    }
}

/// Who is where.
pub(crate) fn map(client: &Host, machine: &Host, backends: &[Host]) {
    println!("  client {}  ── bridge ──  {} {}", client.v4, machine.name, machine.v4);
    for (number, host) in backends.iter().enumerate() {
        let bend = if number + 1 == backends.len() { "└" } else { "├" };
        println!("                      {bend}── {} {} nginx", host.name, host.v4);
    }
    println!("  virtual IP 10.77.0.100 and fd77::100, port 80");
}

/// A table without the rows that say nothing.
pub(crate) fn table(text: &str) -> String {
    text.lines().filter(|line| !line.contains("| 0 ")).collect::<Vec<_>>().join("\n")
}
