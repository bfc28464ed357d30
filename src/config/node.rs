//! `[node]`, `[dpdk]`, `[limits]` and `[log]`: the process as a whole.

use super::{
    form::{Form, Section, may},
    kind::{Flag, integer},
    text::{name, one_line},
    word::{OneOf, words},
};

/// `[node]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// How logs, metrics and the API name this node.
    pub name: String,
}

impl Default for Node {
    fn default() -> Self {
        Self { name: "hitless".into() }
    }
}

impl Section for Node {
    fn keys<F: Form>(&mut self, form: &mut F) {
        form.value(may("name"), &mut self.name, name());
    }
}

/// `[dpdk]`: how DPDK's environment starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dpdk {
    /// Packet memory lies in hugepages; false is for small machines and tests.
    pub hugepages: bool,
    /// Memory for DPDK in MiB, 64 to 1048576.
    pub memory_mb: u32,
    /// Further EAL arguments, verbatim; at most 64.
    pub args: Vec<String>,
}

impl Default for Dpdk {
    fn default() -> Self {
        Self { hugepages: true, memory_mb: 1024, args: Vec::new() }
    }
}

impl Section for Dpdk {
    fn keys<F: Form>(&mut self, form: &mut F) {
        form.value(may("hugepages"), &mut self.hugepages, Flag);
        form.value(may("memory_mb"), &mut self.memory_mb, integer(64..=1_048_576));
        form.list(may("args"), &mut self.args, one_line(), 0..=64);
    }
}

/// `[limits]`: the capacity of every table. What does not fit is refused or counted, never waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Services, from file and API together; 1 to 65536.
    pub services: u32,
    /// Backends of all services together; 1 to 1048576.
    pub backends: u32,
    /// Routes; 1 to 1048576.
    pub routes: u32,
    /// Next hops with a known or sought MAC address; 1 to 1048576.
    pub neighbors: u32,
    /// Packets that wait for next hops to answer; 1 to 65536.
    pub held_packets: u32,
    /// Datagrams whose fragments are followed, per worker; 1 to 1048576.
    pub fragments: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            services: 16_384,
            backends: 65_536,
            routes: 1024,
            neighbors: 16_384,
            held_packets: 256,
            fragments: 4096,
        }
    }
}

impl Section for Limits {
    fn keys<F: Form>(&mut self, form: &mut F) {
        form.value(may("services"), &mut self.services, integer(1..=65_536));
        form.value(may("backends"), &mut self.backends, integer(1..=1_048_576));
        form.value(may("routes"), &mut self.routes, integer(1..=1_048_576));
        form.value(may("neighbors"), &mut self.neighbors, integer(1..=1_048_576));
        form.value(may("held_packets"), &mut self.held_packets, integer(1..=65_536));
        form.value(may("fragments"), &mut self.fragments, integer(1..=1_048_576));
    }
}

words! {
    /// How much is logged; each level includes those before it.
    LogLevel {
        /// What needs somebody.
        Error = "error",
        /// What may soon need somebody.
        Warn = "warn",
        /// What changed.
        Info = "info",
        /// Why it changed.
        Debug = "debug",
        /// Every step.
        Trace = "trace",
    } later []
}

/// `[log]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// How much goes to stderr.
    pub level: LogLevel,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: LogLevel::Info }
    }
}

impl Section for Log {
    fn keys<F: Form>(&mut self, form: &mut F) {
        form.value(may("level"), &mut self.level, OneOf);
    }
}

#[cfg(test)]
mod tests {
    use crate::config::tests::{PORT, expect};

    #[test]
    fn mistakes_in_node_dpdk_limits_and_log() {
        expect(
            r#"
[node]
name = ""
#! 8: node.name: is "", allowed is 1 to 128 letters, digits, "-", "_", ".", ":" or "/"
[dpdk]
hugepages = 1
#! 13: dpdk.hugepages: is 1, allowed is true or false
memory_mb = 63
#! 13: dpdk.memory_mb: is 63, allowed is a whole number from 64 to 1048576
args = ["--log-level=8", "a\nb", 5]
#! 26: dpdk.args[1]: is "a\u000Ab", allowed is text of 1 to 1024 bytes on one line
#! 34: dpdk.args[2]: is 5, allowed is text of 1 to 1024 bytes on one line
[limits]
services = 0
#! 12: limits.services: is 0, allowed is a whole number from 1 to 65536
backends = -1
#! 12: limits.backends: is -1, allowed is a whole number from 1 to 1048576
routes = 1.5
#! 10: limits.routes: is 1.5, allowed is a whole number from 1 to 1048576
neighbors = 99999999999999999999
#! 13: limits.neighbors: is 99999999999999999999, allowed is a whole number from 1 to 1048576
held_packets = []
#! 16: limits.held_packets: is an array, allowed is a whole number from 1 to 65536
fragments = 2024-01-01
#! 13: limits.fragments: is 2024-01-01, allowed is a whole number from 1 to 1048576
[log]
level = "verbose"
#! 9: log.level: is "verbose", allowed is "error", "warn", "info", "debug" or "trace"
"#,
            &[PORT],
        );
    }
}
