//! `[api]`: the management interface.

use super::{
    form::{Form, Section, may},
    kind::OrEmpty,
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
}

impl Default for Api {
    fn default() -> Self {
        Self {
            listen: SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 11111),
            state_file: Some("/var/lib/hitless/state.json".into()),
        }
    }
}

impl Section for Api {
    fn keys<F: Form>(&mut self, form: &mut F) {
        form.value(may("listen"), &mut self.listen, listen_address());
        form.value(may("state_file"), &mut self.state_file, OrEmpty(File));
    }
}

#[cfg(test)]
mod tests {
    use crate::config::tests::{PORT, config, expect};

    #[test]
    fn mistakes_in_api() {
        expect(
            r#"
[api]
listen = "localhost:11111"
#! 10: api.listen: is "localhost:11111", allowed is an address and a port to listen on, such as "127.0.0.1:11111" or "[::1]:11111"
state_file = false
#! 14: api.state_file: is false, allowed is the path of a file, in quotes
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
}
