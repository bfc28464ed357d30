//! Services and endpoints.

use super::{items, plain, table, text};
use serde_json::Value;

pub(super) fn print(answer: &Value, wide: bool) {
    let rules = items(answer, "lbAttr");
    if wide { print_wide(rules) } else { print_narrow(rules) }
}

fn argument(rule: &Value, name: &str) -> String {
    text(rule, &format!("/serviceArguments/{name}"))
}

fn port(rule: &Value) -> String {
    match rule.pointer("/serviceArguments/portMax") {
        Some(last) => format!("{}-{last}", argument(rule, "port")),
        None => argument(rule, "port"),
    }
}

/// What LoxiLB counts as a mark, which this node has not.
const NO_MARK: &str = "0";

fn print_narrow(rules: &[Value]) {
    let columns = ["EXT IP", "PORT", "PROTO", "NAME", "MARK", "SEL", "MODE", "# OF ENDPOINTS", "MONITOR"];
    let row = |rule: &Value| {
        let monitor = if argument(rule, "monitor") == "true" { "On" } else { "Off" };
        vec![
            argument(rule, "externalIP"),
            port(rule),
            argument(rule, "protocol"),
            argument(rule, "name"),
            NO_MARK.into(),
            argument(rule, "scheduler"),
            "fullnat".into(),
            items(rule, "endpoints").len().to_string(),
            monitor.into(),
        ]
    };
    table::print(&columns, rules.iter().map(row).collect());
}

fn print_wide(rules: &[Value]) {
    let columns = [
        "EXT IP",
        "SEC IPS",
        "SOURCES",
        "HOST",
        "PORT",
        "PROTO",
        "NAME",
        "MARK",
        "SEL",
        "MODE",
        "ENDPOINT",
        "EPORT",
        "WEIGHT",
        "STATE",
        "COUNTERS",
        "SESSIONS",
        "SESSIONS TOTAL",
        "SOURCE",
    ];
    let mut rows = Vec::new();
    for rule in rules {
        let list = |key: &str, field: &str| {
            let of = items(rule, key).iter().map(|item| text(item, &format!("/{field}")));
            of.collect::<Vec<_>>().join(", ")
        };
        let head = vec![
            argument(rule, "externalIP"),
            list("secondaryIPs", "secondaryIP"),
            list("allowedSources", "prefix"),
            String::new(),
            port(rule),
            argument(rule, "protocol"),
            argument(rule, "name"),
            NO_MARK.into(),
            argument(rule, "scheduler"),
            "fullnat".into(),
        ];
        let blank = vec![String::new(); head.len()];
        let fields = ["endpointIP", "targetPort", "weight", "state", "counter", "sessions", "sessionsTotal"];
        let mut of_endpoints: Vec<Vec<String>> = items(rule, "endpoints")
            .iter()
            .map(|endpoint| fields.iter().map(|field| text(endpoint, &format!("/{field}"))).collect())
            .collect();
        if of_endpoints.is_empty() {
            of_endpoints.push(vec![String::new(); fields.len()]);
        }
        for (place, endpoint) in of_endpoints.into_iter().enumerate() {
            let (head, source) =
                if place == 0 { (&head, argument(rule, "source")) } else { (&blank, String::new()) };
            rows.push(head.iter().cloned().chain(endpoint).chain([source]).collect());
        }
    }
    table::print(&columns, rows);
}

pub(super) fn endpoints(answer: &Value, _wide: bool) {
    let fields = [
        ("HOST", "/hostName"),
        ("NAME", "/name"),
        ("PTYPE", "/probeType"),
        ("PORT", "/probePort"),
        ("DURATION", "/probeDuration"),
        ("RETRIES", "/inactiveReTries"),
        ("MINDELAY", "/minDelay"),
        ("AVGDELAY", "/avgDelay"),
        ("MAXDELAY", "/maxDelay"),
        ("STATE", "/currState"),
    ];
    plain(items(answer, "Attr"), &fields);
}
