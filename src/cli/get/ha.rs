//! BFD sessions and instances.

use super::{items, plain, table, text};
use serde_json::Value;

pub(super) fn bfd(answer: &Value, wide: bool) {
    let sessions = items(answer, "Attr");
    if !wide {
        return plain(sessions, &[("INSTANCE", "/instance"), ("REMOTEIP", "/remoteIp"), ("STATE", "/state")]);
    }
    let columns = [
        "INSTANCE",
        "REMOTEIP",
        "SOURCEIP",
        "PORT",
        "INTERVAL",
        "RETRY COUNT",
        "STATE",
        "DETECTION",
        "TIMESTAMPS",
        "JITTER P99.9",
        "FLAPS",
        "SOURCE",
    ];
    let micros = |session: &Value, field: &str| match text(session, field) {
        unknown if unknown.is_empty() => unknown,
        known => format!("{known} us"),
    };
    let row = |session: &Value| {
        vec![
            text(session, "/instance"),
            text(session, "/remoteIp"),
            text(session, "/sourceIP"),
            text(session, "/port"),
            micros(session, "/interval"),
            text(session, "/retryCount"),
            text(session, "/state"),
            micros(session, "/detectionUs"),
            text(session, "/timestamps"),
            micros(session, "/jitterP999Us"),
            text(session, "/flaps"),
            text(session, "/source"),
        ]
    };
    table::print(&columns, sessions.iter().map(row).collect());
    remarks(answer, sessions);
}

/// What has no column: what this machine can keep up with, and what was refused.
fn remarks(answer: &Value, sessions: &[Value]) {
    let reasons = |counts: &Value| {
        let counts = counts.as_object().into_iter().flatten();
        counts.map(|(reason, count)| format!("{count} {reason}")).collect::<Vec<_>>().join(", ")
    };
    for session in sessions {
        let remote = text(session, "/remoteIp");
        if let Some(held) = session["heldUs"].as_u64() {
            let retries = text(session, "/retryCount");
            table::say(&format!(
                "{remote}: this machine has held {held} us with a retry count of {retries} so far"
            ));
        }
        let discards = reasons(&session["discards"]);
        if !discards.is_empty() {
            table::say(&format!("{remote}: packets refused: {discards}"));
        }
    }
    let refused = reasons(&answer["refused"]);
    if !refused.is_empty() {
        table::say(&format!("packets refused that are of no session: {refused}"));
    }
}

pub(super) fn states(answer: &Value, wide: bool) {
    let mut fields = vec![("INSTANCE", "/instance"), ("HASTATE", "/state")];
    if wide {
        fields.extend([("TERM", "/term"), ("ROLE", "/role"), ("READY", "/ready"), ("NOTE", "/note")]);
    }
    plain(items(answer, "Attr"), &fields);
}
