//! What came of a probe.

use std::{fmt, io};

/// What came of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The backend lives.
    Alive,
    /// It does not.
    Dead(Failure),
    /// This node could not ask: nothing is known.
    Unknown(io::ErrorKind),
}

/// Why a backend counts as dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Nothing came in time.
    Silent,
    /// The connection, or the datagram, was refused.
    Refused,
    /// The network says it cannot be reached.
    Unreachable,
    /// The connection ended before there was an answer.
    Closed,
    /// No TLS connection came about.
    Tls,
    /// It answered, and not in HTTP.
    NotHttp,
    /// It answered with a status that is not expected.
    Status(u16),
    /// Its answer does not hold what is expected.
    Reply,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Silent => "no answer in time",
            Self::Refused => "it refuses connections",
            Self::Unreachable => "it cannot be reached",
            Self::Closed => "it closes the connection without an answer",
            Self::Tls => "no TLS connection comes about",
            Self::NotHttp => "its answer is no HTTP",
            Self::Status(status) => return write!(f, "it answers with status {status}"),
            Self::Reply => "its answer does not hold what is expected",
        })
    }
}

impl Failure {
    /// What the network says of a connection that was under way.
    pub(super) fn of(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::Refused,
            io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => Self::Unreachable,
            io::ErrorKind::TimedOut => Self::Silent,
            _ => Self::Closed,
        }
    }
}
