//! The OpenAPI document is pinned: a change of the API shows as a change of `openapi.json`. Run with
//! `HITLESS_UPDATE=1` to write it anew.

use crate::{
    http::{exchange, get, request},
    node::Node,
};
use serde_json::Value;
use std::{env, fs, path::Path};

#[test]
fn the_document_is_pinned() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/api/openapi.json");
    let document = serde_json::to_string_pretty(&hitless::manage::api::open_api()).unwrap() + "\n";
    if env::var_os("HITLESS_UPDATE").is_some() {
        fs::write(&path, &document).unwrap();
    }
    let pinned = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        pinned == document,
        "the API is not what tests/api/openapi.json says: if that is meant, run this test with HITLESS_UPDATE=1"
    );
}

/// Every path of the document is served: with some value in its parameters it answers for itself, and not as a
/// path that leads nowhere.
#[test]
fn every_path_is_served() {
    let node = Node::default();
    let document = get(node.address, "/hitless/v1/openapi.json").json();
    let mut count = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        let filled = path
            .replace("{ip_address}", "192.0.2.1")
            .replace("{remote_ip}", "192.0.2.1")
            .replace("{port}", "80")
            .replace("{portmax}", "81")
            .replace("{proto}", "tcp")
            .replace("{hosturl}", "any")
            .replace("{lb_name}", "x")
            .replace("{name}", "x");
        assert!(!filled.contains('{'), "{path}");
        for method in methods.as_object().unwrap().keys() {
            let query = if path.ends_with("/events") { "?follow=false" } else { "" };
            let method = method.to_uppercase();
            let headers = [("Content-Type", "application/json")];
            let answer =
                exchange(node.address, &request(&method, &format!("{filled}{query}"), &headers, Some("{}")));
            let result = answer.body.parse::<Value>().map(|body| body["result"].clone()).unwrap_or_default();
            assert!(!result.to_string().contains("was not found"), "{method} {path}: {answer:?}");
            assert_ne!(answer.status, 405, "{method} {path}");
            count += 1;
        }
        let head = exchange(node.address, &request("PATCH", &filled, &[], None));
        assert_eq!(head.status, 405, "{path}");
    }
    assert!(count > 45, "{count}");
}

/// Every list is what the document says of it, and nothing else: two types of one name would hide each other.
#[test]
fn lists_are_what_the_document_says() {
    let node = Node::default();
    let document = get(node.address, "/hitless/v1/openapi.json").json();
    let mut count = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        let content = &methods["get"]["responses"]["200"]["content"]["application/json"]["schema"];
        if content.is_null() || path.contains('{') || path.ends_with("/events") {
            continue;
        }
        let place = content["$ref"].as_str().map(|place| place.trim_start_matches('#'));
        let schema = place.map_or(content, |place| document.pointer(place).unwrap());
        let answer = get(node.address, path).json();
        let said = |key: &String| !schema["properties"][key].is_null();
        for required in schema["required"].as_array().into_iter().flatten() {
            assert!(!answer[required.as_str().unwrap()].is_null(), "{path}: {required} is not in {answer}");
        }
        let unsaid = answer.as_object().unwrap().keys().find(|key| !said(key));
        assert!(schema["properties"].is_null() || unsaid.is_none(), "{path}: {unsaid:?} is not in {schema}");
        count += 1;
    }
    assert!(count > 15, "{count}");
}

/// What the clients need at the least is in it.
#[test]
fn nothing_that_clients_need_is_missing() {
    let document = serde_json::to_value(hitless::manage::api::open_api()).unwrap();
    for (path, methods) in [
        ("config/loadbalancer", &["post"][..]),
        ("config/loadbalancer/all", &["get", "delete"]),
        ("config/loadbalancer/name/{lb_name}", &["delete"]),
        ("config/loadbalancer/externalipaddress/{ip_address}/port/{port}/protocol/{proto}", &["delete"]),
        (
            "config/loadbalancer/externalipaddress/{ip_address}/port/{port}/portmax/{portmax}/protocol/{proto}",
            &["delete"],
        ),
        (
            "config/loadbalancer/hosturl/{hosturl}/externalipaddress/{ip_address}/port/{port}/protocol/{proto}",
            &["delete"],
        ),
        (
            "config/loadbalancer/hosturl/{hosturl}/externalipaddress/{ip_address}/port/{port}/portmax/{portmax}/protocol/{proto}",
            &["delete"],
        ),
        ("config/cistate", &["post"]),
        ("config/cistate/all", &["get"]),
        ("config/bfd", &["post"]),
        ("config/bfd/all", &["get"]),
        ("config/bfd/remoteIP/{remote_ip}", &["delete"]),
        ("config/conntrack/all", &["get"]),
        ("config/endpoint", &["post"]),
        ("config/endpoint/all", &["get"]),
        ("config/endpoint/epipaddress/{ip_address}", &["delete"]),
        ("config/endpointhoststate", &["post"]),
        ("config/port/all", &["get"]),
        ("status/process", &["get"]),
        ("version", &["get"]),
        ("config/params", &["get", "post"]),
        ("config/bgp/global", &["post"]),
        ("config/bgp/neigh", &["post"]),
        ("config/bgp/neigh/all", &["get"]),
    ] {
        for method in methods {
            let operation = &document["paths"][format!("/netlox/v1/{path}")][*method];
            assert!(operation.is_object(), "{method} {path}");
        }
    }
}
