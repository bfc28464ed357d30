//! Counters and the version.

use super::{items, table, text};
use serde_json::Value;

pub(super) fn version(answer: &Value, _wide: bool) {
    table::say(&format!("hitless {} ({})", text(answer, "/version"), text(answer, "/buildInfo")));
}

/// One row a counter, one column a worker; drops that never happened only in the wide form.
pub(super) fn print(answer: &Value, wide: bool) {
    let workers = items(answer, "workers");
    let mut columns = vec!["COUNTER".to_owned(), "TOTAL".to_owned()];
    columns.extend((0..workers.len()).map(|number| format!("WORKER {number}")));
    let mut rows = Vec::new();
    let mut row = |name: String, pointer: &str| {
        let mut row = vec![name, text(answer, &format!("/total{pointer}"))];
        row.extend(workers.iter().map(|worker| text(worker, pointer)));
        rows.push(row);
    };
    if let Some(total) = answer.get("total").and_then(Value::as_object) {
        let plain = total.keys().filter(|name| name.as_str() != "drops");
        for name in plain {
            row(name.clone(), &format!("/{name}"));
        }
        if let Some(drops) = total.get("drops").and_then(Value::as_object) {
            for (reason, count) in drops {
                if wide || count.as_u64() != Some(0) {
                    row(format!("drop: {reason}"), &format!("/drops/{reason}"));
                }
            }
        }
    }
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    table::print(&columns, rows);
}
