//! A small HTTP client that says exactly what happened.

use rustix::{
    io::Errno,
    net::{self, AddressFamily, SocketType},
};
use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream},
    time::Duration,
};

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// The status code.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

impl Fetched {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// `GET path` on a connection of its own, in the namespace of the calling thread.
///
/// # Errors
///
/// As the socket says; an answer cut short is [`io::ErrorKind::UnexpectedEof`].
pub fn fetch(server: SocketAddr, path: &str, limit: Duration) -> io::Result<Fetched> {
    request(server, "GET", path, "", limit)
}

/// The same from a port of one's own choice. The server closes first, so the port is free again as soon as the last
/// acknowledgement of the connection before has come; until then it is waited for.
///
/// # Errors
///
/// As [`fetch`], or the port is in use.
pub fn fetch_from(port: u16, server: SocketAddrV4, path: &str, limit: Duration) -> io::Result<Fetched> {
    let connect = || {
        let socket = net::socket(AddressFamily::INET, SocketType::STREAM, None)?;
        net::sockopt::set_socket_reuseaddr(&socket, true)?;
        net::bind(&socket, &SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port))?;
        net::connect(&socket, &server).map(|()| socket)
    };
    let taken = |result: &Result<_, Errno>| matches!(result, Err(Errno::ADDRNOTAVAIL | Errno::ADDRINUSE));
    let free = crate::wait_for(limit, || Some(connect()).filter(|result| !taken(result)));
    let socket = free.ok_or(Errno::ADDRINUSE)??;
    exchange(TcpStream::from(socket), "GET", path, "", limit)
}

/// The same for any method, with a JSON body unless it is empty.
///
/// # Errors
///
/// As [`fetch`].
pub fn request(
    server: SocketAddr,
    method: &str,
    path: &str,
    body: &str,
    limit: Duration,
) -> io::Result<Fetched> {
    exchange(TcpStream::connect_timeout(&server, limit)?, method, path, body, limit)
}

fn exchange(
    mut stream: TcpStream,
    method: &str,
    path: &str,
    body: &str,
    limit: Duration,
) -> io::Result<Fetched> {
    stream.set_read_timeout(Some(limit))?;
    stream.set_write_timeout(Some(limit))?;
    let content = match body.len() {
        0 => String::new(),
        length => format!("Content-Type: application/json\r\nContent-Length: {length}\r\n"),
    };
    let head = format!("{method} {path} HTTP/1.1\r\nHost: lab\r\nConnection: close\r\n{content}\r\n");
    stream.write_all([head.as_bytes(), body.as_bytes()].concat().as_slice())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    parse(&answer).ok_or_else(|| io::Error::new(io::ErrorKind::UnexpectedEof, "the answer was cut short"))
}

fn parse(answer: &[u8]) -> Option<Fetched> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(answer.get(..end)?).ok()?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let is_length = |line: &&str| line.to_ascii_lowercase().starts_with("content-length:");
    let (_, length) = head.lines().find(is_length)?.split_once(':')?;
    let length: usize = length.trim().parse().ok()?;
    let body = answer.get(end + 4..)?;
    (body.len() == length).then(|| Fetched { status, body: body.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_cut_short_is_none() {
        let whole = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nb1\n";
        assert_eq!(parse(whole), Some(Fetched { status: 200, body: b"b1\n".to_vec() }));
        for length in 0..whole.len() {
            assert_eq!(parse(&whole[..length]), None);
        }
    }
}
