//! What an unmodified kube-loxilb does. `kube-loxilb.jsonl` is a recording of one, less most of its liveness probes;
//! the two requests with an `Authorization` are loxicmd's.

use crate::{
    http::{Answer, delete, exchange, get, post, request},
    node::Node,
};
use serde_json::{Value, json};

struct Recorded {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Option<String>,
}

fn recording() -> Vec<Recorded> {
    let parse = |line: &str| {
        let value: Value = serde_json::from_str(line).unwrap();
        let headers = value["headers"].as_object().unwrap().iter();
        Recorded {
            method: value["method"].as_str().unwrap().into(),
            path: value["path"].as_str().unwrap().into(),
            headers: headers.map(|(name, value)| (name.clone(), value.as_str().unwrap().into())).collect(),
            body: value["body"].as_str().map(str::to_owned),
        }
    };
    include_str!("kube-loxilb.jsonl").lines().map(parse).collect()
}

fn send(node: &Node, recorded: &Recorded) -> Answer {
    let headers: Vec<(&str, &str)> =
        recorded.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    exchange(node.address, &request(&recorded.method, &recorded.path, &headers, recorded.body.as_deref()))
}

/// Success as kube-loxilb sees it, in its newest version: status 200 and `result` "Success", or a `result` with
/// "exist" in it.
fn is_success(answer: &Answer) -> bool {
    let result = answer.result();
    answer.status == 200 && result == "Success" || result.contains("exist")
}

#[test]
fn the_recording_is_served() {
    let node = Node::default();
    let mut answers = Vec::new();
    for recorded in recording() {
        let answer = send(&node, &recorded);
        assert_eq!(answer.header("content-type"), Some("application/json"), "{}", recorded.path);
        answers.push((recorded.method, recorded.path, answer));
    }
    let probes = answers.iter().filter(|(_, path, _)| path == "/netlox/v1");
    // Any answer is a sign of life, but old agents take "result" of a 200 for an error: it must be another status.
    assert!(probes.clone().count() > 0 && probes.clone().all(|(.., answer)| answer.status == 404));
    let posted: Vec<&Answer> =
        answers.iter().filter(|(method, ..)| method == "POST").map(|(.., answer)| answer).collect();
    assert_eq!(posted.len(), 7);
    posted[..6].iter().for_each(|answer| answer.succeeds());
    // loxicmd's default mode, which this node has not got: said, not ignored, and not taken for success.
    posted[6].is_refused(400, "mode 0 (default) is not supported");
    assert!(!is_success(posted[6]));
    let deleted = answers.iter().find(|(method, ..)| method == "DELETE").unwrap();
    deleted.2.succeeds();
    let listed = answers.iter().find(|(_, path, _)| path.ends_with("/all")).unwrap().2.json();
    let ports: Vec<u64> = listed["lbAttr"]
        .as_array()
        .unwrap()
        .iter()
        .map(|rule| rule["serviceArguments"]["port"].as_u64().unwrap())
        .collect();
    assert_eq!(ports, [80, 53, 3868], "tcp, udp and sctp of one Service remain");
}

/// The model of a Service's port, field by field as the client's struct has it.
fn model(port: u16, endpoints: &[&str]) -> String {
    let endpoints: Vec<String> = endpoints
        .iter()
        .map(|ip| format!(r#"{{"endpointIP":"{ip}","targetPort":30812,"weight":1,"state":"","counter":""}}"#))
        .collect();
    format!(
        concat!(
            r#"{{"serviceArguments":{{"externalIP":"192.168.80.5","privateIP":"","port":{},"protocol":"tcp","sel":0,"#,
            r#""mode":2,"BGP":false,"Monitor":true,"inactiveTimeOut":1800,"block":0,"managed":true,"#,
            r#""probetype":"ping","probeport":0,"probereq":"","proberesp":"","#,
            r#""name":"default_tcp-lb-fullnat:llb-inst0"}},"secondaryIPs":null,"allowedSources":null,"#,
            r#""endpoints":[{}]}}"#
        ),
        port,
        endpoints.join(",")
    )
}

const PATH: &str = "/netlox/v1/config/loadbalancer";

#[test]
fn the_article_s_service_lives_and_dies() {
    let node = Node::default();
    let both = model(56002, &["192.168.80.101", "192.168.80.102"]);
    post(node.address, PATH, &both).succeeds();
    let rule = &get(node.address, &format!("{PATH}/all")).json()["lbAttr"][0];
    assert_eq!(rule["serviceArguments"]["name"], json!("default_tcp-lb-fullnat:llb-inst0"));
    assert_eq!(rule["serviceArguments"]["instance"], json!("llb-inst0"));
    for (key, value) in [("monitor", json!(true)), ("managed", json!(true)), ("probetype", json!("ping"))] {
        assert_eq!(rule["serviceArguments"][key], value, "{key}");
    }
    assert_eq!(rule["endpoints"][1]["endpointIP"], json!("192.168.80.102"));
    assert_eq!(rule["endpoints"][1]["state"], json!("active"));
    assert_eq!(rule["endpoints"][1]["counter"], json!("0:0"));
    // The whole model again after an instance reappears: an error that the client takes for success (R4).
    let again = post(node.address, PATH, &both);
    again.is_refused(409, "exist");
    // Pods moved: the list is replaced.
    post(node.address, PATH, &model(56002, &["192.168.80.102", "192.168.80.103"])).succeeds();
    let rule = &get(node.address, &format!("{PATH}/all")).json()["lbAttr"][0];
    let ips: Vec<&Value> =
        rule["endpoints"].as_array().unwrap().iter().map(|endpoint| &endpoint["endpointIP"]).collect();
    assert_eq!(ips, ["192.168.80.102", "192.168.80.103"]);
    // The deletion carries the model as its body (R6), and may come twice.
    let path = format!("{PATH}/externalipaddress/192.168.80.5/port/56002/protocol/tcp?bgp=false&block=0");
    for _ in 0..2 {
        let headers = [("User-Agent", "Go-http-client/1.1"), ("Content-Type", "application/json")];
        exchange(node.address, &request("DELETE", &path, &headers, Some(&both))).succeeds();
    }
    assert_eq!(get(node.address, &format!("{PATH}/all")).body, r#"{"lbAttr":[]}"#);
}

/// With --appendEPs: `oper` 1 attaches, 2 detaches.
#[test]
fn endpoints_are_attached_and_detached() {
    let node = Node::default();
    let with = |oper: u8, endpoints: &[&str]| {
        model(80, endpoints).replace(r#""sel":0,"#, &format!(r#""sel":0,"oper":{oper},"#))
    };
    post(node.address, PATH, &with(1, &["192.168.80.101"])).succeeds();
    post(node.address, PATH, &with(1, &["192.168.80.102", "192.168.80.101"])).succeeds();
    post(node.address, PATH, &with(1, &["192.168.80.101"])).is_refused(409, "exist");
    let endpoints = |node: &Node| {
        let rules = get(node.address, &format!("{PATH}/all")).json();
        let endpoints = rules["lbAttr"][0]["endpoints"].as_array().cloned().unwrap_or_default();
        endpoints
            .iter()
            .map(|endpoint| endpoint["endpointIP"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(endpoints(&node), ["192.168.80.101", "192.168.80.102"]);
    post(node.address, PATH, &with(2, &["192.168.80.101"])).succeeds();
    assert_eq!(endpoints(&node), ["192.168.80.102"]);
    // What is not there is as good as detached.
    post(node.address, PATH, &with(2, &["192.168.80.101"])).is_refused(409, "exist");
    delete(node.address, &format!("{PATH}/all")).succeeds();
    post(node.address, PATH, &with(2, &["192.168.80.102"])).is_refused(404, "exist");
}

/// Every error must not read as success, or the client believes that a rule is there which is not.
#[test]
fn no_refusal_reads_as_success() {
    let node = Node::default();
    let good = model(80, &["192.168.80.101"]);
    post(node.address, PATH, &good).succeeds();
    for (from, to, status, text) in [
        (r#""mode":2"#, r#""mode":0"#, 400, "mode 0 (default)"),
        (r#""mode":2"#, r#""mode":1"#, 400, "mode 1 (onearm)"),
        (r#""mode":2"#, r#""mode":3"#, 400, "mode 3 (dsr)"),
        (r#""mode":2"#, r#""mode":4"#, 400, "mode 4 (fullproxy)"),
        (r#""mode":2"#, r#""mode":5"#, 400, "mode 5 (hostonearm)"),
        (r#""mode":2"#, r#""mode":6"#, 422, "should be one of [0 1 2 3 4 5]"),
        (r#""sel":0"#, r#""sel":5"#, 400, "sel 5 (n2)"),
        (r#""sel":0"#, r#""sel":6"#, 400, "sel 6 (n3)"),
        (r#""sel":0"#, r#""sel":7"#, 422, "should be one of [0 1 2 3 4 5 6]"),
        (r#""BGP":false"#, r#""BGP":true"#, 400, "bgp is not supported yet"),
        (r#""block":0"#, r#""block":7"#, 400, "block (mark)"),
        (r#""privateIP":"""#, r#""privateIP":"10.0.0.1""#, 400, "privateIP"),
        (r#""managed":true"#, r#""snat":true"#, 400, "snat"),
        (r#""managed":true"#, r#""egress":true"#, 400, "egress"),
        (r#""managed":true"#, r#""proxyprotocolv2":true"#, 400, "proxyprotocolv2"),
        (r#""managed":true"#, r#""security":1"#, 400, "security"),
        (r#""managed":true"#, r#""host":"a.example""#, 400, "host"),
        (r#""managed":true"#, r#""oper":3"#, 422, "should be one of [0 1 2]"),
        (r#""probetype":"ping""#, r#""probetype":"sctp""#, 400, "probetype sctp"),
        (r#""probetype":"ping""#, r#""probetype":"smtp""#, 400, "probetype"),
        (r#""protocol":"tcp""#, r#""protocol":"icmp""#, 400, "protocol"),
        (r#""protocol":"tcp""#, r#""protocol":"""#, 400, "protocol"),
        (r#""port":80"#, r#""port":0"#, 400, "range"),
        (r#""port":80"#, r#""port":90,"portMax":80"#, 400, "range"),
        (r#""port":80"#, r#""port":70000"#, 422, "port"),
        (r#""port":80"#, r#""port":"80""#, 422, "port"),
        (
            r#""port":80"#,
            r#""port":79,"portMax":81"#,
            409,
            "is taken by service default_tcp-lb-fullnat:llb-inst0",
        ),
        ("192.168.80.5", "192.168.80.252", 400, "this node's own address"),
        ("192.168.80.5", "192.168.80.240", 400, "nat.local_addresses"),
        ("192.168.80.5", "192.168.80.101", 400, "a backend's address"),
        ("192.168.80.5", "localhost", 400, "no IP address"),
        ("192.168.80.5", "fd80::5", 400, "does not translate between families"),
        ("192.168.80.101", "192.168.80.5", 400, "backend's address"),
        ("192.168.80.101", "", 400, "no IP address"),
        (r#""weight":1"#, r#""weight":1001"#, 400, "weight"),
        (r#""weight":1"#, r#""weight":-1"#, 422, "weight"),
        (r#""inactiveTimeOut":1800"#, r#""inactiveTimeOut":604801"#, 400, "inactiveTimeOut"),
        (r#""inactiveTimeOut":1800"#, r#""inactiveTimeOut":-1"#, 400, "inactiveTimeOut"),
        (r#""allowedSources":null"#, r#""allowedSources":[{"prefix":"home"}]"#, 400, "allowedSources"),
        (r#""secondaryIPs":null"#, r#""secondaryIPs":[{"secondaryIP":"x"}]"#, 400, "secondaryIP"),
        ("llb-inst0", "llb-inst7", 400, "instance llb-inst7 is not configured"),
    ] {
        let changed = good.replace(from, to);
        assert_ne!(changed, good, "{from}");
        let answer = post(node.address, PATH, &changed);
        answer.is_refused(status, text);
        assert!(!is_success(&answer), "{answer:?}");
        assert!(!answer.body.to_lowercase().contains("exist"), "{answer:?}");
    }
    // Nothing of all that has changed the rule that was there.
    post(node.address, PATH, &good).is_refused(409, "exist");
}

/// --setRoles, --setBGP, Egress and metadata: what this node does not do is said.
#[test]
fn other_flags_are_answered() {
    let node = Node::default();
    let state = |instance: &str, state: &str| {
        let body = format!(r#"{{"instance":"{instance}","state":"{state}","vip":"192.168.80.5"}}"#);
        post(node.address, "/netlox/v1/config/cistate", &body)
    };
    state("llb-inst0", "MASTER").succeeds();
    state("default", "MASTER").succeeds();
    state("llb-inst0", "BACKUP").is_refused(403, "this node has no peer");
    state("llb-inst0", "KING").is_refused(400, "invalid cluster-state");
    state("red", "MASTER").is_refused(404, "cluster instance red not found");
    let listed = get(node.address, "/netlox/v1/config/cistate/all");
    assert_eq!(
        listed.body,
        r#"{"Attr":[{"instance":"llb-inst0","state":"MASTER","vip":"0.0.0.0","sync":null,"term":1}]}"#
    );
    let speaker = r#"{"localAs":64511,"routerId":"192.168.80.252","setNextHopSelf":true,"listenPort":1791}"#;
    post(node.address, "/netlox/v1/config/bgp/global", speaker).is_refused(403, "BGP mode is disabled");
    let neighbor = r#"{"ipAddress":"192.168.80.9","remoteAs":64512,"remotePort":179,"setMultiHop":true}"#;
    post(node.address, "/netlox/v1/config/bgp/neigh", neighbor).is_refused(403, "BGP mode is disabled");
    delete(node.address, "/netlox/v1/config/bgp/neigh/192.168.80.9?remoteAs=64512")
        .is_refused(403, "BGP mode is disabled");
    assert_eq!(get(node.address, "/netlox/v1/config/bgp/neigh/all").body, r#"{"bgpNeiAttr":[]}"#);
    for path in ["k8smeta", "firewall", "bgp/policy/definitions"] {
        post(node.address, &format!("/netlox/v1/config/{path}"), "{}").is_refused(404, "was not found");
    }
}

/// Agents from before 0.9.5 on: a 200 without "Success" is an error for them, any other status is not.
#[test]
fn older_agents_read_what_they_expect() {
    let node = Node::default();
    for answer in [
        get(node.address, "/netlox/v1"),
        post(node.address, PATH, &model(80, &["192.168.80.101"])),
        post(node.address, PATH, &model(80, &["192.168.80.101"])),
        delete(node.address, &format!("{PATH}/externalipaddress/192.168.80.5/port/80/protocol/tcp")),
    ] {
        assert!(answer.status != 200 || answer.result() == "Success", "{answer:?}");
        assert!(answer.json().is_object());
    }
    assert_eq!(get(node.address, "/netlox/v1").result(), "path /netlox/v1 was not found");
}
