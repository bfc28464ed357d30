//! `[api]`: the management interface.

use super::{
    form::{Form, Section, may},
    kind::{OrEmpty, integer},
    text::{File, listen_address},
};
use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
};

/// `[api]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Api {
    /// Where REST and metrics listen.
    pub listen: SocketAddr,
    /// Keeps what was created through the API over a restart; `None`: nothing is kept.
    pub state_file: Option<PathBuf>,
    /// The server's certificate and those that sign it, PEM; `None`: no TLS.
    pub tls_cert: Option<PathBuf>,
    /// The certificate's private key, PEM.
    pub tls_key: Option<PathBuf>,
    /// The file with the token that requests must bear; `None`: they need none.
    pub token_file: Option<PathBuf>,
    /// Open connections at a time, 16 to 65536; beyond them the one that was idle longest is closed.
    pub max_connections: u32,
}

impl Default for Api {
    fn default() -> Self {
        Self {
            listen: SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 11111),
            state_file: Some("/var/lib/hitless/state.json".into()),
            tls_cert: None,
            tls_key: None,
            token_file: None,
            max_connections: 512,
        }
    }
}

const TLS_CERT: &str = "tls_cert";
const TLS_KEY: &str = "tls_key";

impl Section for Api {
    fn keys<F: Form>(&mut self, form: &mut F) {
        form.value(may("listen"), &mut self.listen, listen_address());
        form.value(may("state_file"), &mut self.state_file, OrEmpty(File));
        form.value(may(TLS_CERT), &mut self.tls_cert, OrEmpty(File));
        form.value(may(TLS_KEY), &mut self.tls_key, OrEmpty(File));
        let (set, other) = if self.tls_cert.is_some() { (TLS_CERT, TLS_KEY) } else { (TLS_KEY, TLS_CERT) };
        form.rule(&[set, other], self.tls_cert.is_some() == self.tls_key.is_some(), || {
            format!("is set without {other}, allowed is both or neither")
        });
        form.value(may("token_file"), &mut self.token_file, OrEmpty(File));
        form.value(may("max_connections"), &mut self.max_connections, integer(16..=65_536));
    }
}

#[cfg(test)]
mod tests {
    use crate::config::tests::{NAT, PORT, config, expect, warnings};

    #[test]
    fn mistakes_in_api() {
        expect(
            r#"
[api]
listen = "localhost:11111"
#! 10: api.listen: is "localhost:11111", allowed is an address and a port to listen on, such as "127.0.0.1:11111" or "[::1]:11111"
state_file = false
#! 14: api.state_file: is false, allowed is the path of a file, in quotes
tls_key = "/etc/hitless/api.key"
#! 11: api.tls_key: is set without tls_cert, allowed is both or neither
max_connections = 15
#! 19: api.max_connections: is 15, allowed is a whole number from 16 to 65536
state_flie = "x"
#! 1: api.state_flie: unknown key, did you mean state_file?
"#,
            &[PORT],
        );
        expect(
            r#"
[[api]]
#! 1: api: is an array, allowed is one table [api]
listen = "127.0.0.1:11111"
"#,
            &[PORT],
        );
    }

    #[test]
    fn an_empty_state_file_is_none() {
        assert_eq!(config(&("[api]\nstate_file = \"\"\n".to_owned() + PORT)).api.state_file, None);
    }

    #[test]
    fn warns_of_an_api_that_is_open_to_all() {
        let said = |keys: &str| warnings(&["[api]\n", keys, PORT, NAT].concat());
        assert_eq!(
            said("listen = \"10.77.0.11:11111\"\n"),
            [
                "lb.toml:2:10: api.listen: warning: is reached by other machines, and without token_file each of them \
                 can change the services"
            ]
        );
        assert_eq!(said("listen = \"10.77.0.11:11111\"\ntoken_file = \"/etc/hitless/token\"\n"), [""; 0]);
        assert_eq!(said("listen = \"[::1]:11111\"\n"), [""; 0]);
    }
}
