//! What can go wrong in a lab.

use std::{fmt, io};

/// A result.
pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong.
#[derive(Debug)]
pub enum Error {
    /// A program cannot be started.
    Start {
        /// Its command line.
        program: String,
        /// The system's word.
        source: io::Error,
    },
    /// A program failed.
    Failed {
        /// Its command line.
        program: String,
        /// What it said.
        said: String,
    },
    /// Something did not happen in time.
    Late(String),
    /// A file or a system call.
    Io(io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start { program, source } => {
                write!(f, "cannot start {program}: {source}: `make lab-packages` installs what the lab needs")
            }
            Self::Failed { program, said } => write!(f, "{program} failed: {said}"),
            Self::Late(what) => f.write_str(what),
            Self::Io(source) => source.fmt(f),
        }
    }
}

impl std::error::Error for Error {}

impl From<io::Error> for Error {
    fn from(source: io::Error) -> Self {
        Self::Io(source)
    }
}
