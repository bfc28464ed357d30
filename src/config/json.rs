//! Sections as JSON: the keys of the file, its values and its mistakes.

use super::{
    Service,
    form::{Form, Key, Section},
    kind::{Kind, quote},
    reader,
    report::Report,
    syntax,
};
use serde_json::{Map, Value};
use std::ops::RangeInclusive;

impl Service {
    /// As JSON, with the keys of `[[service]]`, every default filled in.
    pub fn to_json(&self) -> Value {
        Value::Object(written(&mut self.clone()))
    }

    /// The same without what is as by default.
    pub fn to_json_brief(&self) -> Value {
        let idle_timeout = Self::default_idle_timeout(self.protocol);
        let defaults = written(&mut Self { idle_timeout, ..Self::default() });
        let mut keys = written(&mut self.clone());
        keys.retain(|key, value| REQUIRED.contains(&key.as_str()) || defaults.get(key) != Some(&*value));
        Value::Object(keys)
    }

    /// From JSON with the keys of `[[service]]`; `null` stands for absent.
    ///
    /// # Errors
    ///
    /// Every mistake, as `key.path: what is wrong, what is allowed`.
    pub fn from_json(value: &Value) -> Result<Self, Vec<String>> {
        let Value::Object(keys) = value else {
            return Err(vec!["is no object, allowed is one with the keys of [[service]]".into()]);
        };
        let line = |(key, value): (&String, &Value)| {
            (!value.is_null()).then(|| format!("{} = {}\n", quote(key), toml_of(value)))
        };
        let text: String = keys.iter().filter_map(line).collect();
        let mut report = Report::new(&text);
        let (document, _) = syntax::parse(&text, &mut report);
        let service = reader::read(&document, &mut report);
        let (mistakes, _) = report.finish("");
        if mistakes.is_empty() {
            return Ok(service);
        }
        Err(mistakes.into_iter().map(|mistake| format!("{}: {}", mistake.key, mistake.text)).collect())
    }
}

/// Keys that have no default.
const REQUIRED: [&str; 3] = ["name", "vip", "port"];

/// A JSON value as TOML, on one line.
fn toml_of(value: &Value) -> String {
    match value {
        Value::Null => quote(""),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => quote(text),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(toml_of).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(keys) => {
            let keys = keys.iter().filter(|(_, value)| !value.is_null());
            let keys: Vec<String> =
                keys.map(|(key, value)| format!("{} = {}", quote(key), toml_of(value))).collect();
            format!("{{ {} }}", keys.join(", "))
        }
    }
}

fn written(section: &mut impl Section) -> Map<String, Value> {
    let mut writer = JsonWriter::default();
    section.keys(&mut writer);
    writer.0
}

/// Writes one section. What a [`Kind`] writes as TOML, a number, `true`, `false` or a basic string, is JSON too.
#[derive(Default)]
struct JsonWriter(Map<String, Value>);

fn json_of(toml: &str) -> Value {
    serde_json::from_str(toml).unwrap_or(Value::Null)
}

impl Form for JsonWriter {
    fn value<T>(&mut self, key: Key, slot: &mut T, kind: impl Kind<T>) {
        if let Some(text) = kind.write(slot) {
            self.0.insert(key.name.into(), json_of(&text));
        }
    }

    fn value_or<T>(&mut self, key: Key, slot: &mut T, _default: T, kind: impl Kind<T>) {
        self.value(key, slot, kind);
    }

    fn list<T: Clone>(
        &mut self,
        key: Key,
        slot: &mut Vec<T>,
        kind: impl Kind<T>,
        _size: RangeInclusive<usize>,
    ) {
        let items = slot.iter().filter_map(|item| kind.write(item)).map(|text| json_of(&text));
        self.0.insert(key.name.into(), items.collect());
    }

    fn table<S: Section>(&mut self, key: Key, slot: &mut S) {
        self.0.insert(key.name.into(), Value::Object(written(slot)));
    }

    fn optional<S: Section>(&mut self, key: Key, slot: &mut Option<S>) {
        if let Some(slot) = slot {
            self.table(key, slot);
        }
    }

    fn tables<S: Section>(&mut self, key: Key, slot: &mut Vec<S>, _size: RangeInclusive<usize>) {
        let items = slot.iter_mut().map(|item| Value::Object(written(item)));
        self.0.insert(key.name.into(), items.collect());
    }

    fn refuse(&mut self, _key: &'static str, _beside: &[&'static str], _text: &str) {}

    fn rule(&mut self, _keys: &[&'static str], _holds: bool, _text: impl FnOnce() -> String) {}

    fn is_array(&self, _key: &'static str) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Duration, Protocol};
    use serde_json::json;

    #[test]
    fn a_service_has_the_keys_of_the_file() {
        let value = json!({
            "name": "web", "vip": "10.77.0.100", "port": "1000-2000", "protocol": "udp", "scheduler": null,
            "allowed_sources": ["10.0.0.0/8"], "health": {"type": "ping"},
            "backends": [{"address": "10.77.0.21", "port": 8080}, {"address": "10.77.0.22", "weight": 0}],
        });
        let service = Service::from_json(&value).unwrap();
        assert_eq!((service.protocol, service.idle_timeout), (Protocol::Udp, Duration::from_secs(300)));
        assert_eq!(
            service.to_json_brief(),
            json!({
                "name": "web", "vip": "10.77.0.100", "port": "1000-2000", "protocol": "udp",
                "allowed_sources": ["10.0.0.0/8"],
                "backends": [
                    {"address": "10.77.0.21", "port": 8080, "weight": 1}, {"address": "10.77.0.22", "weight": 0},
                ],
                "health": {
                    "type": "ping", "interval_ms": 1000, "timeout_ms": 500, "rise": 2, "fall": 3,
                    "reset_on_down": false, "all_down": "refuse",
                },
            })
        );
        assert_eq!(service.to_json()["idle_timeout_s"], json!(300));
    }

    #[test]
    fn every_mistake_is_named_by_its_key() {
        let value = json!({
            "name": "w\"\u{1}b", "port": 0, "protocol": "icmp", "colour": {"a": [1.5, {}]}, "backends": [
                {"address": "10.77.0.21", "weight": 1e3}, 7, {"address": "10.77.0.22", "prot": 1},
            ],
        });
        let mut mistakes = Service::from_json(&value).unwrap_err();
        mistakes.sort();
        let expected = [
            "backends[0].weight: is 1000.0, allowed is a whole number from 0 to 1000",
            "backends[1]: is 7, allowed is a table such as { address = \"10.0.0.1\", port = 8080 }",
            "backends[2].prot: unknown key, did you mean port?",
            "colour: unknown key, allowed is name, instance, vip, secondary_vips, port, protocol, mode, scheduler, \
             idle_timeout_s, allowed_sources, client_address, drain_timeout_s, backends or health",
            "name: is \"w\\\"\\u0001b\", allowed is 1 to 128 letters, digits, \"-\", \"_\", \".\", \":\" or \"/\"",
            "port: is 0, allowed is a port from 1 to 65535 or a range such as \"1000-2000\"",
            "protocol: is \"icmp\", allowed is \"tcp\", \"udp\" or \"sctp\"",
            "vip: is missing, allowed is the IP address of one host, such as \"10.0.0.1\" or \"fd00::1\"",
        ];
        assert_eq!(mistakes, expected);
        assert!(Service::from_json(&json!([1])).is_err() && Service::from_json(&json!({})).is_err());
    }
}
