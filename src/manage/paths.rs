//! The configuration's paths to the peer, as BFD sessions.

use crate::{
    config::{BfdAuth, BfdAuthKind, BfdPath, BfdPeer, Config},
    protocol::bfd::{AuthKind, Compatibility, Hop, Key, KeyError, Path, Settings, Timers},
    types::PortId,
};
use std::{fs, io, net::IpAddr, path::PathBuf};

/// A key file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// It cannot be read.
    #[error("{}: {source}: write the key into it, readable for this program only", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// The system's word.
        source: io::Error,
    },
    /// Its content is no key.
    #[error("{}: {source}", file.display())]
    Key {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        source: KeyError,
    },
}

/// The port that has `local` as one of its own addresses, or whose subnet holds `remote`.
pub(super) fn port_towards(config: &Config, local: IpAddr, remote: IpAddr) -> Option<PortId> {
    let own = config.ports.iter().position(|port| port.addresses.iter().any(|own| own.address() == local));
    let near = || config.ports.iter().position(|port| port.addresses.iter().any(|own| own.contains(remote)));
    own.or_else(near).map(|number| PortId(number as u8))
}

/// A session on a path. On another subnet the peer is several hops away (RFC 5883).
///
/// # Errors
///
/// Its key file.
pub(super) fn session(config: &Config, path: &BfdPath) -> Result<Option<Settings>, KeyFileError> {
    let Some(port) = port_towards(config, path.local, path.remote) else { return Ok(None) };
    let on_link = config.ports.iter().any(|port| port.addresses.iter().any(|own| own.contains(path.remote)));
    // At most this many routers between: FRR's default is 1.
    let hop = if on_link { Hop::Single } else { Hop::Multi { minimum_ttl: 254 } };
    let Some(timers) = Timers::symmetric(path.interval.as_micros() as u32, path.multiplier) else {
        return Ok(None);
    };
    let mut settings = Settings::new(Path { port, local: path.local, remote: path.remote, hop }, timers);
    if path.compatible == BfdPeer::Loxilb {
        settings.compatibility = Compatibility::LoxiLb;
    }
    settings.key = path.auth.as_ref().map(key).transpose()?;
    Ok(Some(settings))
}

/// Sessions on all paths of the configuration.
///
/// # Errors
///
/// The first key file that cannot be used.
pub(super) fn sessions(config: &Config) -> Result<Vec<Settings>, KeyFileError> {
    let paths = config.ha.iter().flat_map(|ha| &ha.bfd);
    paths.filter_map(|path| session(config, path).transpose()).collect()
}

/// The key of a path, from its file.
///
/// # Errors
///
/// It cannot be read, or holds none.
pub(super) fn key(auth: &BfdAuth) -> Result<Key, KeyFileError> {
    let file = auth.key_file.clone();
    let secret = fs::read(&file).map_err(|source| KeyFileError::Read { file: file.clone(), source })?;
    let kind = match auth.kind {
        BfdAuthKind::Simple => AuthKind::SimplePassword,
        BfdAuthKind::KeyedMd5 => AuthKind::KeyedMd5,
        BfdAuthKind::MeticulousMd5 => AuthKind::MeticulousMd5,
        BfdAuthKind::KeyedSha1 => AuthKind::KeyedSha1,
        BfdAuthKind::MeticulousSha1 => AuthKind::MeticulousSha1,
    };
    // An editor's newline is not part of the secret.
    Key::new(kind, auth.key_id, secret.trim_ascii_end()).map_err(|source| KeyFileError::Key { file, source })
}
