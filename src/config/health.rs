//! `[service.health]`: how backends are probed.

use super::{
    form::{Form, Section, may},
    kind::{integer, millis},
    text::http_path,
    word::{OneOf, words},
};
use crate::types::Duration;

words! {
    /// A kind of probe.
    Probe {
        /// None: every backend counts as alive.
        None = "none",
        /// A TCP connection is accepted.
        Tcp = "tcp",
        /// An HTTP request is answered with an expected status.
        Http = "http",
        /// The same over TLS; the certificate is not verified.
        Https = "https",
        /// A datagram is not answered with "port unreachable".
        Udp = "udp",
        /// An ICMP echo is answered.
        Ping = "ping",
    } later []
}

/// `[service.health]`. Without the table nothing is probed; with it and without `type`, TCP is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// How.
    pub probe: Probe,
    /// From one probe to the next; 10 ms to 1 h.
    pub interval: Duration,
    /// How long an answer may take; 1 ms to `interval`.
    pub timeout: Duration,
    /// Answers in a row that bring a backend back, 1 to 100.
    pub rise: u8,
    /// Failures in a row that take it out, 1 to 100.
    pub fall: u8,
    /// What HTTP asks for. Other probes leave it at its default.
    pub path: String,
    /// The statuses, 100 to 599, that mean alive; 1 to 32 of them. Other probes leave it at its default.
    pub expect_status: Vec<u16>,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            probe: Probe::None,
            interval: Duration::from_millis(1000),
            timeout: Duration::from_millis(500),
            rise: 2,
            fall: 3,
            path: "/".into(),
            expect_status: vec![200],
        }
    }
}

const TYPE: &str = "type";
const INTERVAL_MS: &str = "interval_ms";
const TIMEOUT_MS: &str = "timeout_ms";
const PATH: &str = "path";
const EXPECT_STATUS: &str = "expect_status";

impl Section for Health {
    fn keys<F: Form>(&mut self, form: &mut F) {
        form.value_or(may(TYPE), &mut self.probe, Probe::Tcp, OneOf);
        form.value(may(INTERVAL_MS), &mut self.interval, millis(10..=3_600_000));
        form.value(may(TIMEOUT_MS), &mut self.timeout, millis(1..=3_600_000));
        form.value(may("rise"), &mut self.rise, integer(1..=100));
        form.value(may("fall"), &mut self.fall, integer(1..=100));
        if matches!(self.probe, Probe::Http | Probe::Https) {
            form.value(may(PATH), &mut self.path, http_path());
            form.list(may(EXPECT_STATUS), &mut self.expect_status, integer(100..=599), 1..=32);
        } else {
            let text =
                format!("has no meaning for type \"{}\", allowed is type \"http\" or \"https\"", self.probe);
            form.refuse(PATH, &[TYPE], &text);
            form.refuse(EXPECT_STATUS, &[TYPE], &text);
        }
        form.rule(&[TIMEOUT_MS, INTERVAL_MS], self.timeout <= self.interval, || {
            let (timeout, interval) = (self.timeout.as_millis(), self.interval.as_millis());
            format!("is {timeout}, allowed is at most {INTERVAL_MS}, which is {interval}")
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::{NAT, PORT, config, expect};

    const SERVICE: &str = "[[service]]\nname = \"web\"\nvip = \"10.77.0.100\"\nport = 80\n";

    #[test]
    fn mistakes_in_health() {
        let document = r#"
[[service]]
name = "web"
vip = "10.77.0.100"
port = 80
[service.health]
type = "smtp"
#! 8: service[0].health.type: is "smtp", allowed is "none", "tcp", "http", "https", "udp" or "ping"
interval_ms = 9
#! 15: service[0].health.interval_ms: is 9, allowed is a whole number from 10 to 3600000
timeout_ms = 0
#! 14: service[0].health.timeout_ms: is 0, allowed is a whole number from 1 to 3600000
rise = 0
#! 8: service[0].health.rise: is 0, allowed is a whole number from 1 to 100
fall = 101
#! 8: service[0].health.fall: is 101, allowed is a whole number from 1 to 100
path = "/"
[[service]]
name = "tls"
vip = "10.77.0.100"
port = 443
[service.health]
type = "https"
timeout_ms = 1001
#! 14: service[1].health.timeout_ms: is 1001, allowed is at most interval_ms, which is 1000
path = "healthz"
#! 8: service[1].health.path: is "healthz", allowed is a path that begins with "/", such as "/healthz"
expect_status = [99, 200, "404"]
#! 18: service[1].health.expect_status[0]: is 99, allowed is a whole number from 100 to 599
#! 27: service[1].health.expect_status[2]: is "404", allowed is a whole number from 100 to 599
[[service]]
name = "dns"
vip = "10.77.0.100"
port = 53
[service.health]
expect_status = [200]
#! 1: service[2].health.expect_status: has no meaning for type "tcp", allowed is type "http" or "https"
"#;
        expect(document, &[PORT, NAT]);
    }

    #[test]
    fn the_table_alone_asks_for_tcp() {
        let probe = |health: &str| config(&[SERVICE, health, PORT, NAT].concat()).services[0].health.probe;
        assert_eq!(probe(""), Probe::None);
        assert_eq!(probe("[service.health]\n"), Probe::Tcp);
        assert_eq!(probe("[service.health]\ntype = \"none\"\n"), Probe::None);
        assert_eq!(probe("health = { type = \"ping\", rise = 1 }\n"), Probe::Ping);
    }
}
