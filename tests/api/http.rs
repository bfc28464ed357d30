//! HTTP by hand: exactly the bytes that a client sends, and what came back in which read.

use serde_json::Value;
use std::{
    fmt::Write as _,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
    /// The first read brought all of it.
    pub(crate) at_once: bool,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        match serde_json::from_str(&self.body) {
            Ok(value) => value,
            Err(error) => panic!("{error}: {self:?}"),
        }
    }

    pub(crate) fn result(&self) -> String {
        self.json()["result"].as_str().unwrap_or_default().to_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// What LoxiLB's clients take for success: R1.
    #[track_caller]
    pub(crate) fn succeeds(&self) {
        assert_eq!((self.status, self.body.as_str()), (200, r#"{"result":"Success"}"#), "{self:?}");
    }

    /// Refused with a status and a text: R2.
    #[track_caller]
    pub(crate) fn is_refused(&self, status: u16, text: &str) {
        assert_eq!(self.status, status, "{self:?}");
        let body = self.json();
        assert!(body["code"].as_u64().is_some() && body["message"].is_string(), "{self:?}");
        assert!(self.result().contains(text), "{self:?} lacks {text:?}");
        assert_eq!(self.header("content-type"), Some("application/json"), "{self:?}");
    }
}

/// A connection.
pub(crate) struct Connection(TcpStream);

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        Self(stream)
    }

    pub(crate) fn stream(&mut self) -> &mut TcpStream {
        &mut self.0
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
    }

    /// The next answer; `None` when the connection ends instead.
    pub(crate) fn receive(&mut self) -> Option<Answer> {
        let mut all = Vec::new();
        let mut chunk = vec![0; 1 << 16];
        let mut reads = 0;
        loop {
            if let Some(answer) = parse(&all, reads == 1) {
                return Some(answer);
            }
            match self.0.read(&mut chunk) {
                Ok(0) | Err(_) => return None,
                Ok(count) => {
                    reads += 1;
                    all.extend_from_slice(&chunk[..count]);
                }
            }
        }
    }
}

/// The answer that `bytes` hold, if they hold a whole one.
fn parse(bytes: &[u8], at_once: bool) -> Option<Answer> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let rest = &bytes[end + 4..];
    let field = |name: &str| {
        head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        })
    };
    let body = if field("transfer-encoding").as_deref() == Some("chunked") {
        unchunked(rest)?
    } else {
        let length: usize = field("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        rest.get(..length)?.to_vec()
    };
    let status = head.split_whitespace().nth(1)?.parse().ok()?;
    Some(Answer { status, head, body: String::from_utf8(body).unwrap(), at_once })
}

fn unchunked(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = rest.windows(2).position(|window| window == b"\r\n")?;
        let length = usize::from_str_radix(std::str::from_utf8(&rest[..line]).ok()?, 16).ok()?;
        let chunk = rest.get(line + 2..line + 2 + length)?;
        rest = rest.get(line + 2 + length + 2..)?;
        if length == 0 {
            return Some(body);
        }
        body.extend_from_slice(chunk);
    }
}

/// A request's bytes.
pub(crate) fn request(method: &str, path: &str, headers: &[(&str, &str)], body: Option<&str>) -> Vec<u8> {
    let mut text = format!("{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:11111\r\n");
    for (name, value) in headers {
        let _ = write!(text, "{name}: {value}\r\n");
    }
    if let Some(body) = body {
        let _ = write!(text, "Content-Length: {}\r\n", body.len());
    }
    text += "\r\n";
    text += body.unwrap_or_default();
    text.into_bytes()
}

/// One request on a connection of its own.
pub(crate) fn exchange(address: SocketAddr, bytes: &[u8]) -> Answer {
    let mut connection = Connection::open(address);
    connection.send(bytes);
    connection.receive().unwrap_or_else(|| panic!("no answer to {}", String::from_utf8_lossy(bytes)))
}

const JSON: (&str, &str) = ("Content-Type", "application/json");

pub(crate) fn get(address: SocketAddr, path: &str) -> Answer {
    exchange(address, &request("GET", path, &[JSON], None))
}

pub(crate) fn post(address: SocketAddr, path: &str, body: &str) -> Answer {
    exchange(address, &request("POST", path, &[JSON], Some(body)))
}

pub(crate) fn put(address: SocketAddr, path: &str, body: &str) -> Answer {
    exchange(address, &request("PUT", path, &[JSON], Some(body)))
}

pub(crate) fn delete(address: SocketAddr, path: &str) -> Answer {
    exchange(address, &request("DELETE", path, &[JSON], None))
}
