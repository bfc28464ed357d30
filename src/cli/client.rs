//! The command line as a client of the API.

use super::Failure;
use clap::{Args, ValueEnum};
use serde_json::Value;
use std::{fs, io::ErrorKind, path::PathBuf, sync::Arc, time::Duration};
use tokio_rustls::rustls;
use ureq::{
    Agent, Body,
    http::{Response, StatusCode},
    tls::{PemItem, RootCerts, TlsConfig, parse_pem},
};

/// The largest answer that is read.
const LIMIT: u64 = 1 << 30;

/// Which daemon to talk to, and how.
#[derive(Clone, Debug, Args)]
pub(super) struct Daemon {
    /// Address of the running daemon
    #[arg(
        short,
        long,
        visible_alias = "apiserver",
        global = true,
        default_value = "127.0.0.1",
        value_name = "HOST"
    )]
    server: String,
    /// Its API port
    #[arg(short, long, global = true, default_value_t = 11111)]
    port: u16,
    /// How it is spoken to; before the command, since benches have a flag of that name
    #[arg(long, value_enum, default_value_t = Protocol::Http)]
    protocol: Protocol,
    /// Certificates to trust, PEM; those of the system's usual authorities otherwise
    #[arg(long, global = true, value_name = "FILE")]
    cacert: Option<PathBuf>,
    /// Token to bear, where the daemon asks for one
    #[arg(long, global = true, env = "HITLESS_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Seconds to wait for an answer
    #[arg(short, long, global = true, default_value_t = 15, value_name = "SECONDS")]
    timeout: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Protocol {
    Http,
    Https,
}

/// What to send.
#[derive(Clone, Copy, Debug)]
enum Method<'a> {
    Get,
    Post(&'a Value),
    Delete,
}

impl Daemon {
    /// Reads a path.
    pub(super) fn get(&self, path: &str) -> Result<Value, Failure> {
        let mut answer = self.ask(path, Method::Get)?;
        answer
            .body_mut()
            .with_config()
            .limit(LIMIT)
            .read_json()
            .map_err(|error| Failure::Refused(format!("the daemon's answer cannot be read: {error}")))
    }

    /// Reads a path whose answer is text.
    pub(super) fn get_text(&self, path: &str) -> Result<String, Failure> {
        let mut answer = self.ask(path, Method::Get)?;
        answer
            .body_mut()
            .with_config()
            .limit(LIMIT)
            .read_to_string()
            .map_err(|error| Failure::Refused(format!("the daemon's answer cannot be read: {error}")))
    }

    /// Sends `body` to a path.
    pub(super) fn post(&self, path: &str, body: &Value) -> Result<(), Failure> {
        self.ask(path, Method::Post(body)).map(drop)
    }

    /// Deletes what is at a path.
    pub(super) fn delete(&self, path: &str) -> Result<(), Failure> {
        self.ask(path, Method::Delete).map(drop)
    }

    fn ask(&self, path: &str, method: Method<'_>) -> Result<Response<Body>, Failure> {
        let host = host(&self.server);
        let scheme = match self.protocol {
            Protocol::Http => "http",
            Protocol::Https => "https",
        };
        let url = format!("{scheme}://{host}:{}{path}", self.port);
        let agent = self.agent()?;
        let token = self.token.as_ref().map(|token| format!("Bearer {token}"));
        let sent = match method {
            Method::Get => with_token(agent.get(&url), token).call(),
            Method::Delete => with_token(agent.delete(&url), token).call(),
            Method::Post(body) => with_token(agent.post(&url), token).send_json(body),
        };
        let mut answer = sent.map_err(|error| self.failed(&error))?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let status = answer.status();
        let said: Value = answer.body_mut().with_config().limit(LIMIT).read_json().unwrap_or_default();
        let reason = said.get("result").or(said.get("message")).and_then(Value::as_str);
        let reason = reason.map_or_else(|| status.to_string(), str::to_owned);
        Err(Failure::Refused(match status {
            StatusCode::UNAUTHORIZED => {
                "the daemon wants a token: give it with --token, or in the environment as HITLESS_TOKEN"
                    .into()
            }
            _ => format!("the daemon refused: {reason}"),
        }))
    }

    fn agent(&self) -> Result<Agent, Failure> {
        let mut config = Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(self.timeout.max(1))))
            .http_status_as_error(false);
        if let Some(file) = &self.cacert {
            let unread = |reason: String| {
                Failure::Bad(format!(
                    "--cacert {}: {reason}: give a PEM file of certificates",
                    file.display()
                ))
            };
            let text = fs::read(file).map_err(|error| unread(error.to_string()))?;
            let certificates: Vec<_> = parse_pem(&text)
                .filter_map(|item| match item {
                    Ok(PemItem::Certificate(certificate)) => Some(certificate),
                    _ => None,
                })
                .collect();
            if certificates.is_empty() {
                return Err(unread("it has no certificate".into()));
            }
            let roots = RootCerts::Specific(Arc::new(certificates));
            config = config.tls_config(TlsConfig::builder().root_certs(roots).build());
        }
        Ok(config.build().into())
    }

    /// Why there is no answer: nobody is there, or who is there is spoken to in the wrong way.
    fn failed(&self, error: &ureq::Error) -> Failure {
        let place = format!("{}:{}", self.server, self.port);
        if let Some(error) = tls(error) {
            return Failure::Bad(misunderstood(error, &place));
        }
        let hung_up = match error {
            ureq::Error::Protocol(_) => true,
            ureq::Error::Io(error) => matches!(
                error.kind(),
                ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::UnexpectedEof
            ),
            _ => false,
        };
        if hung_up && self.protocol == Protocol::Http {
            return Failure::Bad(format!(
                "what answers at {place} does not speak HTTP ({error}): if the API has a certificate, put --protocol https \
                 before the command and name the certificate with --cacert"
            ));
        }
        Failure::Unreachable(format!(
            "no hitless answers at {place} ({error}): start it with `hitless run -c FILE`, or name it with --server and --port"
        ))
    }
}

/// As a URL has it, with one pair of brackets around an IPv6 address, whether they were given or not.
fn host(server: &str) -> String {
    let bare = server.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(server);
    if bare.contains(':') { format!("[{bare}]") } else { bare.to_owned() }
}

fn tls(error: &ureq::Error) -> Option<&rustls::Error> {
    match error {
        ureq::Error::Rustls(error) => Some(error),
        ureq::Error::Io(error) => error.get_ref()?.downcast_ref(),
        _ => None,
    }
}

/// Why TLS did not come about, and what to do.
fn misunderstood(error: &rustls::Error, place: &str) -> String {
    use rustls::CertificateError::{NotValidForName, NotValidForNameContext, UnknownIssuer};
    match error {
        rustls::Error::InvalidMessage(_) => {
            format!("what answers at {place} does not speak TLS: leave out --protocol https")
        }
        rustls::Error::InvalidCertificate(UnknownIssuer) => format!(
            "the certificate of {place} is of nobody that is trusted here: name it, or that of its authority, with --cacert"
        ),
        rustls::Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. }) => format!(
            "the certificate of {place} is for another name: call the daemon with --server as the certificate does"
        ),
        other => format!(
            "{place} cannot be trusted ({other}): see that api.tls_cert is good and that --cacert names it or its authority"
        ),
    }
}

fn with_token<B>(request: ureq::RequestBuilder<B>, token: Option<String>) -> ureq::RequestBuilder<B> {
    match token {
        Some(token) => request.header("Authorization", token),
        None => request,
    }
}

/// Text as one segment of a path, or a value of a query (RFC 3986).
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => escaped.push(byte.into()),
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::{escaped, host};

    #[test]
    fn brackets_around_an_address_are_there_once() {
        for (given, expected) in
            [("::1", "[::1]"), ("[::1]", "[::1]"), ("127.0.0.1", "127.0.0.1"), ("lb1.example", "lb1.example")]
        {
            assert_eq!(host(given), expected);
        }
    }

    #[test]
    fn segments_are_escaped() {
        assert_eq!(escaped("a_B-1.~"), "a_B-1.~");
        assert_eq!(escaped("ns/web:llb-inst0?é"), "ns%2Fweb%3Allb-inst0%3F%C3%A9");
    }
}
