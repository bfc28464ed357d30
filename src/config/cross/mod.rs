//! What no section can see alone: contradictions between sections, and things that are hardly meant.
//!
//! Every check skips values that were not read well, so that one mistake is reported once.

mod addresses;
mod cores;
mod ha;
mod services;

pub(crate) use ha::check_bfd_path;

use super::{Config, Machine, report::Report};
use std::{collections::HashMap, fmt::Display, hash::Hash, net::IpAddr};

/// Notes every contradiction in `config`.
pub(super) fn check(config: &Config, machine: &Machine, report: &mut Report<'_>) {
    cores::check(config, machine, report);
    addresses::check(config, report);
    services::check(config, report);
    ha::check(config, report);
    if !config.api.listen.ip().is_loopback() && config.api.token_file.is_none() && report.sound("api") {
        let text =
            "is reached by other machines, and without token_file each of them can change the services";
        report.warning("api.listen", text);
    }
}

fn family(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "IPv4" } else { "IPv6" }
}

/// Values that may occur once, and where each did.
struct Unique<T> {
    seen: HashMap<T, String>,
    /// What is allowed when the value is taken.
    allowed: &'static str,
}

impl<T: Hash + Eq> Unique<T> {
    fn new(allowed: &'static str) -> Self {
        Self { seen: HashMap::new(), allowed }
    }

    /// Notes a mistake at `key` when `value`, which it holds in the words of `shown`, was there before.
    fn insert(&mut self, value: T, shown: impl Display, key: String, report: &mut Report<'_>) {
        if !report.sound(&key) {
            return;
        }
        match self.seen.get(&value) {
            Some(before) => {
                let line = report.line(before);
                let text = format!("{shown} is taken by {before} (line {line}), allowed is {}", self.allowed);
                report.mistake(&key, text);
            }
            None => {
                self.seen.insert(value, key);
            }
        }
    }
}

/// Notes a mistake at `key` when there are more of `things` than the limit of that name.
fn within_limit(count: usize, limit: u32, things: &str, key: &str, report: &mut Report<'_>) {
    let limit_key = format!("limits.{things}");
    if count > limit as usize && report.sound(&limit_key) {
        report
            .mistake(key, format!("has {count} {things} in all, allowed are {limit}, or raise {limit_key}"));
    }
}
