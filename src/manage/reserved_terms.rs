//! The terms reserved on disk: no claim after a restart may be at or below one of before, or the peer would not
//! believe it.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// A file with one number. It lies beside the state file.
#[derive(Clone, Debug)]
pub struct ReservedTerms {
    file: PathBuf,
}

impl ReservedTerms {
    /// Beside `state_file`.
    pub fn beside(state_file: &Path) -> Self {
        Self { file: state_file.with_extension("term") }
    }

    /// The last term reserved; 0 without a file.
    ///
    /// # Errors
    ///
    /// There is a file, and it cannot be read or holds no number.
    pub fn read(&self) -> io::Result<u64> {
        let text = match fs::read_to_string(&self.file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            Err(error) => return Err(error),
        };
        text.trim().parse().map_err(|_| {
            let message =
                format!("{}: no number: remove the file if this node is to start anew", self.file.display());
            io::Error::new(io::ErrorKind::InvalidData, message)
        })
    }

    /// Reserves terms up to this one: it is on the disk when this returns.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn write(&self, term: u64) -> io::Result<()> {
        let directory =
            self.file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::create_dir_all(directory)?;
        let new = self.file.with_extension("term.new");
        let mut file = File::create(&new)?;
        writeln!(file, "{term}")?;
        file.sync_all()?;
        fs::rename(&new, &self.file)?;
        File::open(directory)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_reserved_is_read_again() {
        let directory = std::env::temp_dir().join(format!("hitless-terms-{}", std::process::id()));
        let terms = ReservedTerms::beside(&directory.join("deep/state.json"));
        assert_eq!(terms.read().unwrap(), 0);
        terms.write(1000).unwrap();
        terms.write(1500).unwrap();
        assert_eq!(terms.read().unwrap(), 1500);
        fs::write(directory.join("deep/state.term"), "rubbish").unwrap();
        assert_eq!(terms.read().unwrap_err().kind(), io::ErrorKind::InvalidData);
        fs::remove_dir_all(directory).unwrap();
    }
}
