//! The OpenAPI document in the hands of a fuzzer: `make api-fuzz`.

use crate::{
    http::get,
    node::{Node, Start},
    scratch::Scratch,
};
use std::process::Command;

/// A stream: its answer never ends.
const LEFT_OUT: &str = "/hitless/v1/events";

/// No answer is a server's error, none takes longer than a few seconds, and the node serves on.
#[test]
#[ignore = "needs schemathesis: run `make api-fuzz`"]
fn no_request_finds_a_server_error_or_a_hang() {
    let program = std::env::var_os("HITLESS_SCHEMATHESIS").unwrap_or_else(|| "schemathesis".into());
    let examples = std::env::var("HITLESS_FUZZ_EXAMPLES").unwrap_or_else(|_| "200".into());
    let node = Node::start(Start::default());
    let document = format!("http://{}/hitless/v1/openapi.json", node.address);
    let arguments = [
        "run",
        &document,
        "--checks=not_a_server_error,response_schema_conformance",
        "--max-response-time=5",
        "--request-timeout=20",
        "--phases=examples,coverage,fuzzing",
        "--exclude-path",
        LEFT_OUT,
        "--max-examples",
        &examples,
        "--continue-on-failure",
        "--no-shrink",
        "--suppress-health-check=all",
        "--generation-database=none",
        "--warnings=off",
        "--no-color",
    ];
    // It keeps what it finds where it runs.
    let scratch = Scratch::new("fuzz");
    let status = Command::new(program).args(arguments).current_dir(scratch.directory()).status().unwrap();
    assert!(status.success(), "it has found something: see above");
    assert_eq!(get(node.address, "/netlox/v1/version").status, 200);
}
