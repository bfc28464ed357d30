//! The bearer token.

use axum::http::HeaderValue;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// What requests must bear in `Authorization`, after `Bearer ` or alone: LoxiLB's clients send it both ways.
pub struct Token(Box<[u8]>);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token")
    }
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file cannot be read.
    #[error("api.token_file = \"{path}\": {source}: write the token into it, readable for this user")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
    /// There is none in it.
    #[error(
        "api.token_file = \"{path}\": holds no token: write one line of 16 to 1024 visible characters, such as `openssl rand -hex 32` prints"
    )]
    Unfit {
        /// The file.
        path: PathBuf,
    },
}

impl Token {
    /// The only line of a file.
    ///
    /// # Errors
    ///
    /// It cannot be read, or is no token.
    pub fn read(path: &Path) -> Result<Self, TokenError> {
        let text =
            fs::read_to_string(path).map_err(|source| TokenError::Read { path: path.to_owned(), source })?;
        Self::new(text.trim()).ok_or_else(|| TokenError::Unfit { path: path.to_owned() })
    }

    fn new(text: &str) -> Option<Self> {
        let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
        ((16..=1024).contains(&text.len()) && visible).then(|| Self(text.as_bytes().into()))
    }

    /// Whether a request bears it. Takes the same time wherever a wrong one differs.
    pub(super) fn admits(&self, header: Option<&HeaderValue>) -> bool {
        let Some(header) = header else { return false };
        let borne = header.as_bytes();
        let borne = match borne.split_at_checked(7) {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case(b"bearer ") => token,
            _ => borne,
        };
        let differences = borne.iter().zip(&self.0).fold(0, |all, (one, other)| all | (one ^ other));
        borne.len() == self.0.len() && std::hint::black_box(differences) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_token_is_admitted() {
        let token = Token::new("0123456789abcdef").unwrap();
        let admits = |text: &str| token.admits(Some(&HeaderValue::from_str(text).unwrap()));
        for good in ["Bearer 0123456789abcdef", "bearer 0123456789abcdef", "0123456789abcdef"] {
            assert!(admits(good), "{good}");
        }
        for bad in [
            "",
            "Bearer ",
            "Bearer 0123456789abcdeF",
            "0123456789abcde",
            "0123456789abcdef0",
            "Basic 0123456789abcdef",
        ] {
            assert!(!admits(bad), "{bad}");
        }
        assert!(!token.admits(None));
    }

    #[test]
    fn a_token_is_long_and_visible() {
        for text in ["", "short", "with blanks in it ", "0123456789abcde\u{e9}"] {
            assert!(Token::new(text).is_none(), "{text}");
        }
    }
}
