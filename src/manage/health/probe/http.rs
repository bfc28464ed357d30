//! A GET request (RFC 9112), and as much of the answer as is needed.

use super::{Answer, Check, Outcome, holds};
use crate::manage::health::outcome::Failure;
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Octets of an answer that are looked at.
const MOST: usize = 64 * 1024;
/// A status line is no longer.
const STATUS_LINE: usize = 4096;

/// Whether a request for `path` is answered with one of the statuses, and with what is expected.
pub(super) async fn ask(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    check: &Check,
    path: &str,
    (statuses, reply): (&[u16], &[u8]),
) -> Answer {
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {}\r\nUser-Agent: hitless\r\nAccept: */*\r\nConnection: close\r\n\r\n",
        check.target
    );
    let broken = |error: io::Error| Outcome::Dead(Failure::of(&error));
    stream.write_all(request.as_bytes()).await.map_err(broken)?;
    stream.flush().await.map_err(broken)?;
    let mut answer = Vec::with_capacity(1024);
    let mut known = None;
    loop {
        let more = stream.read_buf(&mut answer).await;
        let ended = match more {
            Ok(count) => count == 0,
            // A server may end a TLS connection without its farewell.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => true,
            Err(error) => return Err(broken(error)),
        };
        if known.is_none() {
            known = status(&answer).map_err(Outcome::Dead)?;
        }
        if let Some(status) = known {
            if !statuses.contains(&status) {
                return Err(Outcome::Dead(Failure::Status(status)));
            }
            if holds(&answer, reply) {
                return Ok(());
            }
        }
        if ended || answer.len() >= MOST {
            let failure = match (known, answer.is_empty()) {
                (Some(_), _) => Failure::Reply,
                (None, true) => Failure::Closed,
                (None, false) => Failure::NotHttp,
            };
            return Err(Outcome::Dead(failure));
        }
    }
}

/// The status of an answer; `None` while its first line is not whole.
fn status(answer: &[u8]) -> Result<Option<u16>, Failure> {
    let Some(end) = answer.iter().position(|octet| *octet == b'\n') else {
        return if answer.len() < STATUS_LINE { Ok(None) } else { Err(Failure::NotHttp) };
    };
    let line = answer.get(..end).unwrap_or_default();
    let word = line.strip_prefix(b"HTTP/1.").and_then(|rest| rest.get(2..5)).ok_or(Failure::NotHttp)?;
    let status = std::str::from_utf8(word).ok().and_then(|word| word.parse().ok());
    status.filter(|status| (100..=999).contains(status)).map(Some).ok_or(Failure::NotHttp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_tells_the_status() {
        for (answer, told) in [
            ("", Ok(None)),
            ("HTTP/1.1 20", Ok(None)),
            ("HTTP/1.1 200 OK\r\n", Ok(Some(200))),
            ("HTTP/1.0 503\n", Ok(Some(503))),
            ("HTTP/1.1 204 \r\nServer: x", Ok(Some(204))),
            ("HTTP/2 200\r\n", Err(Failure::NotHttp)),
            ("HTTP/1.1 +20 OK\r\n", Err(Failure::NotHttp)),
            ("SSH-2.0-OpenSSH\r\n", Err(Failure::NotHttp)),
            ("\n", Err(Failure::NotHttp)),
        ] {
            assert_eq!(status(answer.as_bytes()), told, "{answer:?}");
        }
        assert_eq!(status(&[b'x'; STATUS_LINE]), Err(Failure::NotHttp));
    }
}
