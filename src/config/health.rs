//! `[service.health]`: how backends are probed.

use super::{
    form::{Form, Section, may},
    kind::{Flag, Maybe, either, integer, millis, quote},
    text::{http_path, octets},
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
        /// A datagram is answered, or at least not with "port unreachable".
        Udp = "udp",
        /// An ICMP echo is answered.
        Ping = "ping",
    } later []
}

words! {
    /// What becomes of new sessions when no backend is alive.
    AllDown {
        /// They are refused.
        Refuse = "refuse",
        /// They go to all backends, as though all were alive: probes may be what is wrong.
        UseAll = "use-all",
    } later []
}

/// `[service.health]`. Without the table nothing is probed; with it and without `type`, TCP is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// How.
    pub probe: Probe,
    /// The port that is probed; `None`: the backend's. Pings leave it at its default.
    pub port: Option<u16>,
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
    /// What UDP sends: text, or `hex:` and its octets. Other probes leave it at its default.
    pub payload: String,
    /// What the answer must hold, written like `payload`; empty: anything, and for UDP even silence. TCP and pings
    /// leave it at its default.
    pub reply: String,
    /// Sessions end when their backend goes down, and clients that go on with one are told by a reset. Otherwise they go
    /// on, should it live after all.
    pub reset_on_down: bool,
    /// What becomes of new sessions when no backend is alive.
    pub all_down: AllDown,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            probe: Probe::None,
            port: None,
            interval: Duration::from_millis(1000),
            timeout: Duration::from_millis(500),
            rise: 2,
            fall: 3,
            path: "/".into(),
            expect_status: vec![200],
            payload: "probe".into(),
            reply: String::new(),
            reset_on_down: false,
            all_down: AllDown::Refuse,
        }
    }
}

const TYPE: &str = "type";
const INTERVAL_MS: &str = "interval_ms";
const TIMEOUT_MS: &str = "timeout_ms";
const PATH: &str = "path";
const EXPECT_STATUS: &str = "expect_status";
const PORT: &str = "port";
const PAYLOAD: &str = "payload";
const REPLY: &str = "reply";
/// What octets are written as.
pub(super) const OCTETS: &str = "up to 512 octets as text, or as \"hex:\" and two digits each";
/// The longest path.
pub(super) const MAX_PATH: usize = 1024;
/// The most octets that are sent, or looked for in an answer.
pub(super) const MAX_OCTETS: usize = 512;

/// Those that a port is for.
const WITH_PORT: [Probe; 4] = [Probe::Tcp, Probe::Http, Probe::Https, Probe::Udp];

impl Health {
    /// The octets that `payload` or `reply` mean: the text's own, or those written after `hex:`. `None` if that is no
    /// hexadecimal, or there are more than 512.
    pub fn octets(text: &str) -> Option<Vec<u8>> {
        let octets = match text.strip_prefix("hex:") {
            None => text.as_bytes().to_vec(),
            Some(digits) => {
                let pair = |pair: &[u8]| {
                    let digit = |at: usize| char::from(*pair.get(at)?).to_digit(16);
                    u8::try_from(digit(0)? << 4 | digit(1)?).ok()
                };
                digits.as_bytes().chunks(2).map(pair).collect::<Option<_>>()?
            }
        };
        (octets.len() <= MAX_OCTETS).then_some(octets)
    }

    /// Asks `request` of a backend (the path of an HTTP probe, the payload of a UDP one), and expects `response` in its
    /// answer; empty texts leave everything as it is.
    ///
    /// # Errors
    ///
    /// What is wrong with them.
    pub fn ask(&mut self, request: &str, response: &str) -> Result<(), String> {
        let is_octets = |text: &str| match Self::octets(text) {
            Some(_) => Ok(text.to_owned()),
            None => Err(format!("{}: allowed is {OCTETS}", quote(text))),
        };
        match (request, self.probe) {
            ("", _) => {}
            (request, Probe::Udp) => self.payload = is_octets(request)?,
            (request, Probe::Http | Probe::Https) => {
                let path = format!("/{}", request.strip_prefix('/').unwrap_or(request));
                if path.len() > MAX_PATH || !path.bytes().all(|octet| octet.is_ascii_graphic()) {
                    return Err(format!("{}: allowed is the path of a URL", quote(request)));
                }
                self.path = path;
            }
            (_, probe) => {
                return Err(format!(
                    "a {probe} probe sends no request: leave it out, or use http, https or udp"
                ));
            }
        }
        match (response, self.probe) {
            ("", _) => {}
            (response, Probe::Udp | Probe::Http | Probe::Https) => self.reply = is_octets(response)?,
            (_, probe) => {
                return Err(format!(
                    "a {probe} probe expects no text: leave it out, or use http, https or udp"
                ));
            }
        }
        Ok(())
    }
}

impl Section for Health {
    fn keys<F: Form>(&mut self, form: &mut F) {
        form.value_or(may(TYPE), &mut self.probe, Probe::Tcp, OneOf);
        form.value(may(INTERVAL_MS), &mut self.interval, millis(10..=3_600_000));
        form.value(may(TIMEOUT_MS), &mut self.timeout, millis(1..=3_600_000));
        form.value(may("rise"), &mut self.rise, integer(1..=100));
        form.value(may("fall"), &mut self.fall, integer(1..=100));
        let probe = self.probe;
        let refuse = |form: &mut F, key, meant: &[Probe]| {
            let meant = either(meant.iter().map(|probe| quote(probe.name())));
            form.refuse(
                key,
                &[TYPE],
                &format!("has no meaning for type \"{probe}\", allowed is type {meant}"),
            );
        };
        match probe {
            Probe::None | Probe::Ping => refuse(form, PORT, &WITH_PORT),
            _ => form.value(may(PORT), &mut self.port, Maybe(integer(1..=65_535))),
        }
        if matches!(probe, Probe::Http | Probe::Https) {
            form.value(may(PATH), &mut self.path, http_path());
            form.list(may(EXPECT_STATUS), &mut self.expect_status, integer(100..=599), 1..=32);
        } else {
            refuse(form, PATH, &[Probe::Http, Probe::Https]);
            refuse(form, EXPECT_STATUS, &[Probe::Http, Probe::Https]);
        }
        match probe {
            Probe::Udp => form.value(may(PAYLOAD), &mut self.payload, octets()),
            _ => refuse(form, PAYLOAD, &[Probe::Udp]),
        }
        match probe {
            Probe::Udp | Probe::Http | Probe::Https => form.value(may(REPLY), &mut self.reply, octets()),
            _ => refuse(form, REPLY, &[Probe::Http, Probe::Https, Probe::Udp]),
        }
        form.value(may("reset_on_down"), &mut self.reset_on_down, Flag);
        form.value(may("all_down"), &mut self.all_down, OneOf);
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
payload = "x"
#! 1: service[2].health.payload: has no meaning for type "tcp", allowed is type "udp"
reply = "x"
#! 1: service[2].health.reply: has no meaning for type "tcp", allowed is type "http", "https" or "udp"
[[service]]
name = "ping"
vip = "10.77.0.100"
port = 54
[service.health]
type = "ping"
port = 80
#! 1: service[3].health.port: has no meaning for type "ping", allowed is type "tcp", "http", "https" or "udp"
[[service]]
name = "hex"
vip = "10.77.0.100"
port = 55
protocol = "udp"
[service.health]
type = "udp"
port = 0
#! 8: service[4].health.port: is 0, allowed is a whole number from 1 to 65535
payload = "hex:0"
#! 11: service[4].health.payload: is "hex:0", allowed is up to 512 octets as text, or as "hex:" and two digits each
reply = "hex:0g"
#! 9: service[4].health.reply: is "hex:0g", allowed is up to 512 octets as text, or as "hex:" and two digits each
reset_on_down = 1
#! 17: service[4].health.reset_on_down: is 1, allowed is true or false
all_down = "drop"
#! 12: service[4].health.all_down: is "drop", allowed is "refuse" or "use-all"
"#;
        expect(document, &[PORT, NAT]);
    }

    #[test]
    fn octets_are_text_or_hexadecimal() {
        for (text, octets) in [
            ("", Some(&[][..])),
            ("probe", Some(b"probe")),
            ("hex:", Some(&[])),
            ("hex:00ffA0", Some(&[0, 255, 160])),
            ("hex:0", None),
            ("hex:+1", None),
            ("hex:\u{e9}", None),
        ] {
            assert_eq!(Health::octets(text).as_deref(), octets, "{text}");
        }
        assert!(Health::octets(&"x".repeat(MAX_OCTETS)).is_some());
        assert!(Health::octets(&"x".repeat(MAX_OCTETS + 1)).is_none());
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
