//! What loxicmd sends, command by command, and what it reads of the answers.

use crate::{
    http::{Answer, exchange, get, request},
    node::Node,
};
use serde_json::json;

/// Its headers, with the token it always sends and mostly has not got.
const HEADERS: [(&str, &str); 4] = [
    ("User-Agent", "Go-http-client/1.1"),
    ("Authorization", ""),
    ("Content-Type", "application/json"),
    ("Accept-Encoding", "gzip"),
];

fn send(node: &Node, method: &str, path: &str, body: Option<&str>) -> Answer {
    let answer = exchange(node.address, &request(method, &format!("/netlox/v1/{path}"), &HEADERS, body));
    // It gives up between two segments.
    assert!(answer.at_once || answer.body.len() > 1000, "{answer:?}");
    answer
}

/// `create lb 20.20.20.1 --tcp=2020:8080 --endpoints=31.31.31.1:1,32.32.32.1:1 --mode=fullnat`
const CREATE_LB: &str = concat!(
    r#"{"serviceArguments":{"externalIP":"20.20.20.1","port":2020,"protocol":"tcp","sel":0,"mode":2,"BGP":false,"#,
    r#""Monitor":false,"inactiveTimeOut":0,"block":0,"proxyprotocolv2":false,"egress":false},"secondaryIPs":null,"#,
    r#""allowedSources":null,"endpoints":[{"endpointIP":"31.31.31.1","targetPort":8080,"weight":1,"state":"","#,
    r#""counter":""},{"endpointIP":"32.32.32.1","targetPort":8080,"weight":1,"state":"","counter":""}]}"#
);

#[test]
fn lb_create_get_delete() {
    let node = Node::default();
    send(&node, "POST", "config/loadbalancer", Some(CREATE_LB)).succeeds();
    let range = CREATE_LB.replace(r#""port":2020"#, r#""port":3000,"portMax":4000"#);
    send(&node, "POST", "config/loadbalancer", Some(&range)).succeeds();
    let named = CREATE_LB
        .replace("2020", "2021")
        .replace(r#""egress":false"#, r#""egress":false,"name":"web","oper":0"#)
        .replace(r#""secondaryIPs":null"#, r#""secondaryIPs":[{"secondaryIP":"20.20.20.2"}]"#)
        .replace(r#""allowedSources":null"#, r#""allowedSources":[{"prefix":"10.10.10.0/24"}]"#);
    send(&node, "POST", "config/loadbalancer", Some(&named)).succeeds();
    let listed = send(&node, "GET", "config/loadbalancer/all", None).json();
    assert_eq!(listed["lbAttr"].as_array().unwrap().len(), 3);
    assert_eq!(listed["lbAttr"][2]["serviceArguments"]["portMax"], json!(4000));
    // `delete lb` uses the long form, `hosturl/any` and `portmax/0` standing for none.
    let long = |port: u16, last: u16| {
        format!(
            "config/loadbalancer/hosturl/any/externalipaddress/20.20.20.1/port/{port}/portmax/{last}/protocol/tcp\
             ?bgp=false&block=0"
        )
    };
    send(&node, "DELETE", &long(2020, 0), None).succeeds();
    send(&node, "DELETE", &long(3000, 4000), None).succeeds();
    send(&node, "DELETE", "config/loadbalancer/name/web", None).succeeds();
    assert_eq!(send(&node, "GET", "config/loadbalancer/all", None).body, r#"{"lbAttr":[]}"#);
}

/// What `save --lb` wrote, `apply` posts.
#[test]
fn what_is_saved_is_applied() {
    let node = Node::default();
    let full = CREATE_LB
        .replace(r#""Monitor":false"#, r#""Monitor":true"#)
        .replace(r#""sel":0"#, r#""sel":2"#)
        .replace(r#""weight":1"#, r#""weight":40"#)
        .replace(r#""inactiveTimeOut":0"#, r#""inactiveTimeOut":30"#);
    send(&node, "POST", "config/loadbalancer", Some(&full)).succeeds();
    let saved = send(&node, "GET", "config/loadbalancer/all", None).json()["lbAttr"][0].clone();
    send(&node, "DELETE", "config/loadbalancer/all", None).succeeds();
    send(&node, "POST", "config/loadbalancer", Some(&saved.to_string())).succeeds();
    let again = send(&node, "GET", "config/loadbalancer/all", None).json()["lbAttr"][0].clone();
    for part in ["serviceArguments", "secondaryIPs", "allowedSources"] {
        assert_eq!(saved[part], again[part], "{part}");
    }
}

#[test]
fn bfd_on_a_node_without_a_peer() {
    let node = Node::default();
    assert_eq!(send(&node, "GET", "config/bfd/all", None).body, r#"{"Attr":[]}"#);
    let create = concat!(
        r#"{"instance":"default","remoteIp":"192.168.80.253","sourceIp":"","port":0,"interval":200000,"#,
        r#""retryCount":3,"state":""}"#
    );
    send(&node, "POST", "config/bfd", Some(create)).is_refused(403, "this node has no peer");
    for (from, to, text) in [
        ("200000", "49", "interval"),
        ("200000", "10000001", "interval"),
        ("192.168.80.253", "peer", "remote address malformed"),
        (r#""sourceIp":"""#, r#""sourceIp":"x""#, "source address malformed"),
    ] {
        send(&node, "POST", "config/bfd", Some(&create.replace(from, to))).is_refused(400, text);
    }
    let path = "config/bfd/remoteIP/192.168.80.253?instance=default";
    send(&node, "DELETE", path, None).is_refused(404, "no bfd session");
}

#[test]
fn hastate() {
    let node = Node::default();
    let answer = send(&node, "GET", "config/cistate/all", None).json();
    assert_eq!(
        (&answer["Attr"][0]["instance"], &answer["Attr"][0]["state"]),
        (&json!("llb-inst0"), &json!("MASTER"))
    );
}

#[test]
fn endpoints() {
    let node = Node::default();
    let create = concat!(
        r#"{"hostName":"32.32.32.1","name":"","inactiveReTries":2,"probeType":"http","probeReq":"health","#,
        r#""probeResp":"OK","probeDuration":60,"probePort":8080,"minDelay":"","avgDelay":"","maxDelay":"","#,
        r#""currState":""}"#
    );
    send(&node, "POST", "config/endpoint", Some(create)).succeeds();
    let ping =
        create.replace("http", "ping").replace("8080", "0").replace(r#""name":"""#, r#""name":"mine""#);
    // A ping asks nothing and expects nothing: that is not taken and forgotten.
    send(&node, "POST", "config/endpoint", Some(&ping)).is_refused(400, "probeReq");
    let ping = ping.replace("health", "").replace("OK", "");
    send(&node, "POST", "config/endpoint", Some(&ping)).succeeds();
    send(&node, "POST", "config/endpoint", Some(&ping.replace("ping", "sctp").replace(":0,", ":80,")))
        .is_refused(400, "use ping");
    send(&node, "POST", "config/endpoint", Some(&ping.replace("ping", "connect-tcp")))
        .is_refused(400, "probePort");
    send(&node, "POST", "config/endpoint", Some(&ping.replace("ping", "smtp")))
        .is_refused(422, "should be one of");
    send(&node, "POST", "config/endpoint", Some(&ping.replace("32.32.32.1", "host")))
        .is_refused(400, "hostarm-args");
    let listed = send(&node, "GET", "config/endpoint/all", None).json();
    let names: Vec<&str> =
        listed["Attr"].as_array().unwrap().iter().map(|entry| entry["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["32.32.32.1_http_8080", "mine"]);
    assert_eq!(listed["Attr"][0]["currState"], json!("ok"));
    let path = "config/endpoint/epipaddress/32.32.32.1?name=&probe_type=http&probe_port=8080";
    send(&node, "DELETE", path, None).succeeds();
    send(&node, "DELETE", path, None).is_refused(404, "host-notfound");
    send(
        &node,
        "DELETE",
        "config/endpoint/epipaddress/32.32.32.1?name=mine&probe_type=ping&probe_port=0",
        None,
    )
    .succeeds();
}

#[test]
fn a_red_host_gets_no_sessions() {
    let node = Node::default();
    send(&node, "POST", "config/loadbalancer", Some(CREATE_LB)).succeeds();
    let say = |state: &str| {
        let body = format!(r#"{{"hostName":"32.32.32.1","epPort":8080,"epProto":"tcp","state":"{state}"}}"#);
        send(&node, "POST", "config/endpointhoststate", Some(&body))
    };
    let states = |node: &Node| {
        let listed = get(node.address, "/netlox/v1/config/loadbalancer/all").json();
        let endpoints = listed["lbAttr"][0]["endpoints"].as_array().unwrap().clone();
        endpoints.iter().map(|endpoint| endpoint["state"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    say("red").succeeds();
    assert_eq!(states(&node), ["active", "inactive"]);
    let listed = send(&node, "GET", "config/endpoint/all", None).json();
    assert_eq!(listed["Attr"][1]["currState"], json!("nok"));
    say("yellow").succeeds();
    assert_eq!(states(&node), ["active", "active"]);
    say("blue").is_refused(400, "green, yellow or red");
}

#[test]
fn log_level() {
    let node = Node::default();
    assert_eq!(send(&node, "GET", "config/params", None).body, r#"{"logLevel":"info"}"#);
    for (level, read) in
        [("warning", "warning"), ("debug", "debug"), ("critical", "error"), ("notice", "info")]
    {
        send(&node, "POST", "config/params", Some(&format!(r#"{{"logLevel":"{level}"}}"#))).succeeds();
        assert_eq!(send(&node, "GET", "config/params", None).json()["logLevel"], json!(read));
    }
    send(&node, "POST", "config/params", Some(r#"{"logLevel":"loud"}"#)).is_refused(422, "should be one of");
}

/// What `get` and `save --all` read of things that are not here.
#[test]
fn lists_that_are_always_empty() {
    let node = Node::default();
    for (path, key) in [
        ("session", "sessionAttr"),
        ("sessionulcl", "ulclAttr"),
        ("firewall", "fwAttr"),
        ("vlan", "vlanAttr"),
        ("tunnel/vxlan", "vxlanAttr"),
        ("fdb", "fdbAttr"),
        ("policy", "polAttr"),
        ("mirror", "mirrAttr"),
    ] {
        let answer = send(&node, "GET", &format!("config/{path}/all"), None);
        assert_eq!((answer.status, answer.body), (200, format!(r#"{{"{key}":[]}}"#)));
    }
    assert_eq!(send(&node, "GET", "config/bgp/neigh/all", None).body, r#"{"bgpNeiAttr":[]}"#);
    assert_eq!(send(&node, "GET", "config/conntrack/all", None).body, r#"{"ctAttr":[]}"#);
}

#[test]
fn port_process_version_and_network() {
    let node = Node::default();
    let port = send(&node, "GET", "config/port/all", None).json()["portAttr"][0].clone();
    assert_eq!(port["portName"], json!("lan"));
    assert_eq!(port["portHardwareInformation"]["macAddress"], json!("02:00:00:00:00:01"));
    assert_eq!(port["portL3Information"]["IPv4Address"], json!(["192.168.80.252/24"]));
    let process = send(&node, "GET", "status/process", None).json()["processAttr"][0].clone();
    assert_eq!(process["pid"], json!(std::process::id().to_string()));
    for key in
        ["user", "priority", "nice", "virtMemory", "residentSize", "sharedMemory", "status", "CPUUsage"]
    {
        assert!(process[key].is_string(), "{key}");
    }
    let version = send(&node, "GET", "version", None).json();
    assert_eq!(version["version"], json!(env!("CARGO_PKG_VERSION")));
    assert!(version["buildInfo"].is_string());
    let routes = send(&node, "GET", "config/route/all", None).json()["routeAttr"].clone();
    let has = |to: &str, gateway: &str| {
        let is = |route: &serde_json::Value| route["destinationIPNet"] == to && route["gateway"] == gateway;
        routes.as_array().unwrap().iter().any(is)
    };
    assert!(has("192.168.80.0/24", "") && has("0.0.0.0/0", "192.168.80.1"), "{routes}");
    let addresses = send(&node, "GET", "config/ipv4address/all", None).json();
    assert_eq!(addresses["ipAttr"][0]["ipAddress"], json!(["192.168.80.252/24"]));
}
