//! What the demo prints.

use crate::watch::{Requests, Seen};
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
pub(crate) fn map(client: &Host, machines: &[Host], backends: &[Host]) {
    println!("  client {}  ── bridge ─┬─ {} {}  hitless", client.v4, machines[0].name, machines[0].v4);
    let rest = machines[1..].iter().map(|host| (host, " hitless"));
    let all: Vec<_> = rest.chain(backends.iter().map(|host| (host, " nginx"))).collect();
    for (number, (host, what)) in all.iter().enumerate() {
        let bend = if number + 1 == all.len() { "└" } else { "├" };
        println!("                              {bend}─ {} {} {what}", host.name, host.v4);
    }
    println!("  virtual IP 10.77.0.100 and fd77::100, port 80");
}

/// What the client saw of something that happened `at`.
pub(crate) fn seen(seen: &Seen, at: f64) {
    let Requests { made, failed, longest } = &seen.requests;
    let (pings, connections) = seen.outages_ms(at);
    println!(
        "outage seen by the client, from packet times: {pings:.1} ms without an answer to pings every 2 ms,"
    );
    println!(
        "  {connections:.1} ms without a packet of a connection (TCP waits for its retransmission timers)"
    );
    println!("requests: {made}, failed {}, longest {:.1} ms", failed.len(), longest.as_secs_f64() * 1000.0);
    failed.iter().take(3).for_each(|why| println!("  {why}"));
    match &seen.download {
        Ok(said) => println!("download: {}", said.trim()),
        Err(error) => println!("download: failed: {error}"),
    }
    println!("throughput, 50 ms a column:");
    println!("{}", seen.plot(at));
}

/// A table without the rows that say nothing.
pub(crate) fn table(text: &str) -> String {
    text.lines().filter(|line| !line.contains("| 0 ")).collect::<Vec<_>>().join("\n")
}
