//! TLS and the bearer token.

use crate::{
    http::{exchange, get, request},
    node::{Node, Start},
    scratch::Scratch,
};
use hitless::manage::server::{Options, Tls, TlsError, Token, TokenError};
use std::{
    net::TcpStream,
    path::PathBuf,
    process::{Command, Output},
    time::{Duration, Instant},
};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// A certificate for this machine and its key.
fn certificate(scratch: &Scratch) -> (PathBuf, PathBuf) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    (scratch.file("cert.pem", &made.cert.pem()), scratch.file("key.pem", &made.signing_key.serialize_pem()))
}

fn with_token(scratch: &Scratch) -> Option<Token> {
    Some(Token::read(&scratch.file("token", &format!("{SECRET}\n"))).unwrap())
}

#[test]
fn a_token_is_wanted_where_one_is_configured() {
    let scratch = Scratch::new("token");
    let options = Options { max_connections: 64, tls: None, token: with_token(&scratch) };
    let node = Node::start(Start { options, ..Start::default() });
    let with = |value: &str| {
        exchange(node.address, &request("GET", "/netlox/v1/version", &[("Authorization", value)], None))
    };
    for good in [format!("Bearer {SECRET}"), SECRET.to_owned()] {
        assert_eq!(with(&good).status, 200);
    }
    for bad in ["", "Bearer", "Bearer x", "Basic Og=="] {
        let answer = with(bad);
        answer.is_refused(401, "invalid token");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    }
    get(node.address, "/netlox/v1").is_refused(401, "invalid token");
    get(node.address, "/hitless/v1/openapi.json").is_refused(401, "invalid token");
}

#[test]
fn files_that_do_not_serve_are_named() {
    let scratch = Scratch::new("files");
    let (cert, key) = certificate(&scratch);
    let missing = scratch.path("missing");
    let empty = scratch.file("empty", "");
    let other = Scratch::new("files-other");
    let (_, foreign) = certificate(&other);
    assert!(matches!(Token::read(&missing), Err(TokenError::Read { .. })));
    assert!(matches!(Token::read(&empty), Err(TokenError::Unfit { .. })));
    for (cert, key, text) in [
        (&missing, &key, "api.tls_cert"),
        (&cert, &missing, "api.tls_key"),
        (&cert, &empty, "api.tls_key"),
        (&cert, &foreign, "its own private key"),
        (&empty, &key, "api.tls_cert"),
    ] {
        let error: TlsError = Tls::read(cert, key).unwrap_err();
        assert!(error.to_string().contains(text), "{error}");
    }
}

fn hitless(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_hitless")).args(arguments).env_remove("HITLESS_TOKEN").output().unwrap()
}

/// The command line speaks TLS and bears the token; without either it says what to do.
#[test]
fn the_command_line_over_tls() {
    let scratch = Scratch::new("tls");
    let (cert, key) = certificate(&scratch);
    let tls = Some(Tls::read(&cert, &key).unwrap());
    let options = Options { max_connections: 64, tls, token: with_token(&scratch) };
    let node = Node::start(Start { options, ..Start::default() });
    let port = node.address.port().to_string();
    let cert = cert.display().to_string();
    let secure = ["-p", &port, "-s", "localhost", "--protocol", "https", "--cacert", &cert];
    let done = hitless(&[&secure[..], &["--token", SECRET, "get", "version"]].concat());
    assert!(done.status.success(), "{done:?}");
    assert!(String::from_utf8_lossy(&done.stdout).starts_with("hitless "), "{done:?}");
    let refused = hitless(&[&secure[..], &["get", "version"]].concat());
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("HITLESS_TOKEN"), "{refused:?}");
    let says = |done: &Output, text: &str| {
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.code() == Some(2) && said.contains(text), "{done:?} lacks {text:?}");
        assert!(said.trim_end().lines().count() == 1 && !said.contains("start it"), "{said}");
    };
    // A daemon answers: what is wrong is how it was asked.
    says(&hitless(&["-p", &port, "-s", "localhost", "--protocol", "https", "get", "version"]), "--cacert");
    says(
        &hitless(&[
            "-p",
            &port,
            "-s",
            "::ffff:127.0.0.1",
            "--protocol",
            "https",
            "--cacert",
            &cert,
            "get",
            "version",
        ]),
        "for another name",
    );
    says(&hitless(&["-p", &port, "get", "version"]), "--protocol https");
    let open = Node::default();
    let plain = open.address.port().to_string();
    says(&hitless(&["-p", &plain, "--protocol", "https", "get", "version"]), "leave out --protocol https");
    // Who does not shake hands is let go.
    let mut silent = TcpStream::connect(node.address).unwrap();
    silent.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let began = Instant::now();
    let mut byte = [0];
    let closed = std::io::Read::read(&mut silent, &mut byte);
    assert!(matches!(closed, Ok(0)) && began.elapsed() < Duration::from_secs(15), "{closed:?}");
}
