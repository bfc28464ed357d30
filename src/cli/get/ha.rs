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
        ]
    };
    table::print(&columns, sessions.iter().map(row).collect());
}

pub(super) fn states(answer: &Value, wide: bool) {
    let mut fields = vec![("INSTANCE", "/instance"), ("HASTATE", "/state")];
    if wide {
        fields.extend([("TERM", "/term"), ("ROLE", "/role"), ("READY", "/ready"), ("NOTE", "/note")]);
    }
    plain(items(answer, "Attr"), &fields);
}
