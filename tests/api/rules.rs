//! The transport rules that decide whether LoxiLB's clients work, one test each.

use crate::{
    http::{Connection, delete, exchange, get, post, request},
    node::Node,
};
use serde_json::{Value, json};
use std::{
    io::Write,
    net::{SocketAddr, TcpListener},
    thread,
    time::Duration,
};

const PATH: &str = "/netlox/v1/config/loadbalancer";

fn rule(more: &str) -> String {
    format!(
        r#"{{"serviceArguments":{{"externalIP":"20.20.20.1","port":2020,"protocol":"tcp","mode":2{more}}},
            "endpoints":[{{"endpointIP":"31.31.31.1","targetPort":8080,"weight":1}}]}}"#
    )
}

/// The arguments of the only rule.
fn arguments(node: &Node) -> Value {
    get(node.address, &format!("{PATH}/all")).json()["lbAttr"][0]["serviceArguments"].clone()
}

/// R2: a body that is no JSON, and one that is JSON but not what is asked for.
#[test]
fn bodies_that_do_not_read() {
    let node = Node::default();
    for body in ["{", "", "not json", "\u{0}", "[1,2", r#"{"a":1}}"#] {
        let answer = post(node.address, PATH, body);
        assert!(matches!(answer.status, 400 | 422), "{answer:?}");
        assert!(!answer.result().is_empty());
    }
    post(node.address, PATH, "{}").is_refused(422, "serviceArguments");
    post(node.address, PATH, "[]").is_refused(422, "");
    post(node.address, PATH, "null").is_refused(422, "");
    let missing = post(node.address, PATH, r#"{"serviceArguments":{"port":80}}"#);
    missing.is_refused(422, "externalIP");
    assert_eq!(missing.json()["code"], json!(602));
    let wrong = post(node.address, PATH, &rule("").replace("8080", "\"8080\""));
    wrong.is_refused(422, "endpoints[0].targetport");
    assert_eq!(wrong.json()["code"], json!(601));
    let other = [("Content-Type", "text/plain")];
    exchange(node.address, &request("POST", PATH, &other, Some(&rule(""))))
        .is_refused(415, "application/json");
    exchange(node.address, &request("POST", PATH, &[], Some(&rule("")))).is_refused(415, "application/json");
    let deep = "[".repeat(100_000);
    post(node.address, PATH, &deep).is_refused(400, "");
}

/// R3: keys in any case at every level, unknown keys, nulls, a key given twice.
#[test]
fn keys_match_as_go_matches_them() {
    let node = Node::default();
    let body = r#"{"SERVICEARGUMENTS":{"EXTERNALip":"20.20.20.1","Port":80,"PORT":2020,"pROTOCOL":"tcp","Mode":2,
        "INACTIVEtimeout":77,"Name":"x","Monitor":true,"probeTYPE":"tcp","path_prefix":"","backend_protocol":"",
        "mtls_frontend":null,"mtls_backend":{"a":[1]},"sel":null,"host":null},
        "EndPoints":[{"ENDPOINTIP":"31.31.31.1","targetPORT":8080,"WEIGHT":3,"state":"","counter":null}],
        "SecondaryIPs":[{"SecondaryIP":"20.20.20.2"}],"AllowedSources":[{"Prefix":"10.0.0.0/8"}],"extra":1}"#;
    post(node.address, PATH, body).succeeds();
    let listed = get(node.address, &format!("{PATH}/all")).json();
    let rule = &listed["lbAttr"][0];
    assert_eq!(rule["serviceArguments"]["port"], json!(2020), "the last of two counts");
    assert_eq!(rule["serviceArguments"]["inactiveTimeOut"], json!(77));
    assert_eq!(rule["endpoints"][0]["weight"], json!(3));
    assert_eq!(rule["secondaryIPs"], json!([{"secondaryIP": "20.20.20.2"}]));
    assert_eq!(rule["allowedSources"], json!([{"prefix": "10.0.0.0/8"}]));
}

/// R5: the liveness probe's path, and its neighbours.
#[test]
fn the_probe_s_path_is_not_found() {
    let node = Node::default();
    for path in ["/netlox/v1", "/netlox/v1/", "/netlox/v1/config", "/", "/netlox/v2/version"] {
        let answer = get(node.address, path);
        answer.is_refused(404, &format!("path {path} was not found"));
        assert_eq!(answer.json()["code"], json!(404));
    }
    post(node.address, &format!("{PATH}/all"), "{}").is_refused(405, "method POST is not allowed");
}

/// R6: bodies on DELETE, of whatever kind.
#[test]
fn deletions_may_have_bodies() {
    let node = Node::default();
    let path = format!("{PATH}/externalipaddress/20.20.20.1/port/2020/protocol/tcp?bgp=true&block=7");
    for (headers, body) in [
        (&[("Content-Type", "application/json")][..], Some("{\"serviceArguments\":{}}")),
        (&[][..], Some("not json")),
        (&[][..], Some("")),
        (&[][..], None),
    ] {
        post(node.address, PATH, &rule("")).succeeds();
        exchange(node.address, &request("DELETE", &path, headers, body)).succeeds();
        assert_eq!(get(node.address, &format!("{PATH}/all")).body, r#"{"lbAttr":[]}"#);
    }
}

/// R7: any value, also none, where no token is configured.
#[test]
fn authorization_is_not_looked_at_without_a_token() {
    let node = Node::default();
    for value in ["", "Bearer x", "anything at all"] {
        let headers = [("Authorization", value)];
        let answer = exchange(node.address, &request("GET", "/netlox/v1/version", &headers, None));
        assert_eq!(answer.status, 200, "{value}");
    }
}

/// R8 and R9: the exact type, and no blanks.
#[test]
fn answers_are_compact_json() {
    let node = Node::default();
    post(node.address, PATH, &rule("")).succeeds();
    for path in [
        "config/loadbalancer/all",
        "config/conntrack/all",
        "config/cistate/all",
        "config/bfd/all",
        "config/endpoint/all",
        "config/port/all",
        "config/neighbor/all",
        "config/route/all",
        "config/ipv4address/all",
        "config/bgp/neigh/all",
        "config/params",
        "status/process",
        "version",
    ] {
        let answer = get(node.address, &format!("/netlox/v1/{path}"));
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")), "{path}");
        assert!(!answer.body.contains("\": ") && !answer.body.contains('\n'), "{}", answer.body);
        assert_eq!(answer.body, answer.json().to_string(), "{path}");
    }
}

/// R11: loxicmd reads a source for every second address, once there is one.
#[test]
fn no_more_second_addresses_than_sources() {
    let node = Node::default();
    let body = rule("").replacen(
        "\"endpoints\"",
        r#""secondaryIPs":[{"secondaryIP":"20.20.20.2"},{"secondaryIP":"20.20.20.3"}],
           "allowedSources":[{"prefix":"10.0.0.0/8"}],"endpoints""#,
        1,
    );
    post(node.address, PATH, &body).succeeds();
    let rule = get(node.address, &format!("{PATH}/all")).json()["lbAttr"][0].clone();
    assert_eq!(rule["secondaryIPs"].as_array().unwrap().len(), 2);
    assert_eq!(rule["allowedSources"], json!([{"prefix": "10.0.0.0/8"}, {"prefix": "10.0.0.0/8"}]));
    // What was read may be written again, and is the same.
    post(node.address, PATH, &rule.to_string()).is_refused(409, "exist");
}

/// The defaults of what is not said.
#[test]
fn absent_values_have_defaults() {
    let node = Node::default();
    let body = r#"{"serviceArguments":{"externalIP":"20.20.20.1","port":2020,"protocol":"udp","mode":2},
        "endpoints":[{"endpointIP":"31.31.31.1"}]}"#;
    post(node.address, PATH, body).succeeds();
    let listed = get(node.address, &format!("{PATH}/all")).json();
    let rule = &listed["lbAttr"][0];
    let arguments = &rule["serviceArguments"];
    assert_eq!((&arguments["sel"], &arguments["scheduler"]), (&json!(0), &json!("rr")));
    assert_eq!((&arguments["inactiveTimeOut"], &arguments["source"]), (&json!(300), &json!("api")));
    assert_eq!(arguments["service"], json!("udp-20.20.20.1-2020"));
    assert_eq!((arguments.get("name"), arguments.get("portMax")), (None, None));
    assert_eq!(
        (&rule["endpoints"][0]["targetPort"], &rule["endpoints"][0]["weight"]),
        (&json!(0), &json!(1))
    );
}

/// Every selection, by its number and ours.
#[test]
fn selections() {
    let node = Node::default();
    for (sel, scheduler) in ["rr", "maglev", "wrr", "sh", "lc"].into_iter().enumerate() {
        post(node.address, PATH, &rule(&format!(r#","sel":{sel}"#))).succeeds();
        assert_eq!(
            (&arguments(&node)["sel"], &arguments(&node)["scheduler"]),
            (&json!(sel), &json!(scheduler))
        );
    }
}

/// All six ways to delete, by name and the rest.
#[test]
fn deletions_in_all_forms() {
    let node = Node::default();
    let place = "externalipaddress/20.20.20.1/port/2020";
    for (path, more) in [
        ("all".to_owned(), ""),
        ("name/default_web%3Allb-inst0".to_owned(), r#","name":"default_web:llb-inst0""#),
        ("name/a%20b%2Fc".to_owned(), r#","name":"a b/c""#),
        (format!("{place}/protocol/tcp"), ""),
        (format!("{place}/portmax/0/protocol/tcp"), ""),
        (format!("{place}/portmax/2030/protocol/tcp"), r#","portMax":2030"#),
        (format!("hosturl/any/{place}/protocol/tcp"), ""),
        (format!("hosturl/any/{place}/portmax/0/protocol/tcp?bgp=false&block=0"), ""),
        (format!("hosturl/any/{place}/portmax/2030/protocol/tcp"), r#","portMax":2030"#),
    ] {
        post(node.address, PATH, &rule(more)).succeeds();
        // Others are none of its business.
        for other in [
            "externalipaddress/20.20.20.1/port/2021/protocol/tcp",
            "externalipaddress/20.20.20.1/port/2020/protocol/udp",
            "externalipaddress/20.20.20.9/port/2020/protocol/tcp",
            "externalipaddress/20.20.20.1/port/2020/portmax/2021/protocol/tcp",
            "externalipaddress/20.20.20.1/port/2020/protocol/icmp",
            "hosturl/a.example/externalipaddress/20.20.20.1/port/2020/protocol/tcp",
            "name/default_web",
        ] {
            delete(node.address, &format!("{PATH}/{other}")).succeeds();
        }
        assert_eq!(arguments(&node)["port"], json!(2020), "{path}");
        delete(node.address, &format!("{PATH}/{path}")).succeeds();
        assert_eq!(arguments(&node), Value::Null, "{path}");
    }
    delete(node.address, &format!("{PATH}/externalipaddress/x/port/80/protocol/tcp"))
        .is_refused(400, "malformed");
    delete(node.address, &format!("{PATH}/externalipaddress/::1/port/80/protocol/x"))
        .is_refused(400, "malformed");
    let out_of_range = delete(node.address, &format!("{PATH}/externalipaddress/::1/port/70000/protocol/tcp"));
    assert_eq!(out_of_range.status, 400);
    assert!(out_of_range.json()["result"].is_string());
}

/// A name of several rules: all of them go.
#[test]
fn a_name_may_be_that_of_several() {
    let node = Node::default();
    for (protocol, port) in [("tcp", 80), ("udp", 53), ("sctp", 3868)] {
        let body = rule(r#","name":"default_lb2:llb-inst0""#)
            .replace("2020", &port.to_string())
            .replace("\"tcp\"", &format!("\"{protocol}\""));
        post(node.address, PATH, &body).succeeds();
    }
    let services = get(node.address, "/hitless/v1/services").json();
    let names: Vec<&str> = services["services"]
        .as_array()
        .unwrap()
        .iter()
        .map(|service| service["service"]["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "default_lb2:llb-inst0",
            "default_lb2:llb-inst0-udp-20.20.20.1-53",
            "default_lb2:llb-inst0-sctp-20.20.20.1-3868"
        ]
    );
    delete(node.address, &format!("{PATH}/name/default_lb2:llb-inst0")).succeeds();
    assert_eq!(get(node.address, &format!("{PATH}/all")).body, r#"{"lbAttr":[]}"#);
}

/// How many of `tries` answers came whole with their first read.
fn whole_at_once(address: SocketAddr, tries: usize) -> usize {
    let bytes = request("GET", "/netlox/v1/version", &[], None);
    (0..tries).filter(|_| exchange(address, &bytes).at_once).count()
}

/// Small answers leave in one segment: loxicmd gives up between two. The same client finds out a server that writes
/// head and body apart.
#[test]
fn head_and_body_come_together() {
    const TRIES: usize = 300;
    let node = Node::default();
    assert_eq!(whole_at_once(node.address, TRIES), TRIES);
    let mut kept = Connection::open(node.address);
    for _ in 0..TRIES {
        kept.send(&request("POST", PATH, &[("Content-Type", "application/json")], Some(&rule(""))));
        let answer = kept.receive().unwrap();
        assert!(answer.at_once && matches!(answer.status, 200 | 409), "{answer:?}");
    }
    let torn = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = torn.local_addr().unwrap();
    let server = thread::spawn(move || {
        for stream in torn.incoming().take(20) {
            let mut stream = stream.unwrap();
            stream.set_nodelay(true).unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n").unwrap();
            thread::sleep(Duration::from_millis(2));
            stream.write_all(b"{}").unwrap();
        }
    });
    assert!(whole_at_once(address, 20) < 20, "the client does not see two segments");
    server.join().unwrap();
}
