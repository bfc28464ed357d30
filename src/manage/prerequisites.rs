//! What a configuration needs of the machine before a device is touched: files that can be read, and are what they are meant
//! to be. `run` and `check` ask alike; the text alone does not tell.

use super::{
    AssemblyError,
    pair::read_key,
    paths::{self, KeyFileError},
    server::{Tls, TlsError, Token, TokenError},
};
use crate::config::{Config, Finding};
use std::{fmt::Display, os::unix::fs::PermissionsExt, path::Path};

/// What is not as `config` needs it.
pub fn missing(config: &Config) -> Vec<Finding> {
    let mut found = Vec::new();
    cards(config, &mut found);
    api(config, &mut found);
    if let Some(ha) = &config.ha {
        for (number, path) in ha.bfd.iter().enumerate() {
            let key = format!("ha.bfd[{number}].auth.key_file");
            match path.auth.as_ref().map(paths::key) {
                Some(Err(KeyFileError::Read { file, source })) => {
                    found.push(unread(key, &file, &source, "the key"));
                }
                Some(Err(KeyFileError::Key { file, source })) => {
                    found.push(Finding::mistake(key, format!("{}: {source}", file.display())));
                }
                Some(Ok(_)) | None => {}
            }
        }
        match ha.sync.key_file.as_deref().map(|file| (file, read_key(file))) {
            Some((file, Err(AssemblyError::KeyFile { source, .. }))) => {
                found.push(unread("ha.sync.key_file", file, &source, "the key, on both nodes"));
            }
            Some((file, Err(AssemblyError::Key { source, .. }))) => {
                found.push(Finding::mistake("ha.sync.key_file", format!("{}: {source}", file.display())));
            }
            Some(_) | None => {}
        }
        // The node serves without it, and says so at each call.
        if let Some(hook) = ha.notify.as_deref().filter(|hook| !is_program(hook)) {
            let text = format!("{} is no executable file: nobody will be told of new states", hook.display());
            found.push(Finding::warning("ha.notify", text));
        }
    }
    found
}

fn cards(config: &Config, found: &mut Vec<Finding>) {
    if config.dpdk.hugepages {
        return;
    }
    for (number, port) in config.ports.iter().enumerate().filter(|(_, port)| port.is_card()) {
        let text = format!(
            "{} is a PCI device and dpdk.hugepages is false, allowed is a virtual device such as \
             \"net_af_packet0,iface=eth0\", or hugepages = true",
            port.device
        );
        found.push(Finding::mistake(format!("port[{number}].device"), text));
    }
}

fn api(config: &Config, found: &mut Vec<Finding>) {
    let api = &config.api;
    if let (Some(cert), Some(key)) = (&api.tls_cert, &api.tls_key) {
        match Tls::read(cert, key) {
            Ok(_) => {}
            Err(TlsError::File { key, path, source }) => {
                found.push(unread(format!("api.{key}"), &path, &source, "PEM text"));
            }
            Err(TlsError::Pair(error)) => {
                let text = format!("{error}, allowed is a certificate whose private key is in tls_key");
                found.push(Finding::mistake("api.tls_cert", text));
            }
        }
    }
    match api.token_file.as_deref().map(Token::read) {
        Some(Err(TokenError::Read { path, source })) => {
            found.push(unread("api.token_file", &path, &source, "the token"));
        }
        Some(Err(TokenError::Unfit { path })) => {
            let text = format!(
                "{} holds no token, allowed is one line of 16 to 1024 visible characters, such as `openssl rand -hex 32` \
                 prints",
                path.display()
            );
            found.push(Finding::mistake("api.token_file", text));
        }
        Some(Ok(_)) | None => {}
    }
}

fn unread(key: impl Into<String>, file: &Path, why: &dyn Display, holds: &str) -> Finding {
    let text = format!("{}: {why}, allowed is a file with {holds} that this user can read", file.display());
    Finding::mistake(key, text)
}

fn is_program(path: &Path) -> bool {
    path.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Machine, tests::tree::Tree};

    /// Files below `root`, and a card where huge pages are off.
    fn text(root: &Path) -> String {
        let file = |name: &str| root.join(name).display().to_string();
        format!(
            r#"
[dpdk]
hugepages = false
[[port]]
name = "lan"
device = "3b:00.0"
addresses = ["10.77.0.11/24"]
[api]
tls_cert = "{0}"
tls_key = "{0}"
token_file = "{1}"
[ha]
peer = "10.77.0.12"
notify = "{1}"
[[ha.bfd]]
local = "10.77.0.11"
remote = "10.77.0.12"
auth = {{ type = "meticulous-sha1", key_id = 1, key_file = "{0}" }}
[ha.sync]
key_file = "{1}"
"#,
            file("missing"),
            file("short"),
        )
    }

    #[test]
    fn what_run_would_refuse_is_found_with_its_place() {
        let tree = Tree::new(&[("short", "x\n"), ("lb.toml", "")]);
        let file = tree.root().join("lb.toml");
        std::fs::write(&file, text(tree.root())).unwrap();
        let checked = Config::check_file_with(&file, &Machine::with_cores(4), missing);
        let said = checked.config.unwrap_err().to_string().replace(&tree.root().display().to_string(), "");
        let lines: Vec<&str> = said.lines().collect();
        let starts = [
            "/lb.toml:6:10: port[0].device: 3b:00.0 is a PCI device",
            "/lb.toml:9:12: api.tls_cert: /missing: ",
            "/lb.toml:11:14: api.token_file: /short holds no token",
            "/lb.toml:18:59: ha.bfd[0].auth.key_file: /missing: No such file",
            "/lb.toml:20:12: ha.sync.key_file: /short: a key has 16 to 4096 bytes",
        ];
        assert_eq!(lines.len(), starts.len(), "{said}");
        for (line, start) in lines.iter().zip(starts) {
            assert!(line.starts_with(start), "{line} is not {start}");
        }
        let warnings: Vec<String> = checked.warnings.iter().map(ToString::to_string).collect();
        assert!(warnings.iter().any(|line| line.contains("14:10: ha.notify: warning: ")), "{warnings:?}");
        // The text alone is good.
        assert!(Config::check_file(&file, &Machine::with_cores(4)).config.is_ok());
    }
}
