//! `/hitless/v1`: services as in the file, drain, switchover, sessions, events.

use crate::{
    http::{Connection, delete, get, post, put, request},
    node::{Node, Start},
};
use hitless::{
    manage::{
        Put, Refusal, Source,
        ha::{BfdSession, BfdWanted, HighAvailability, InstanceStatus},
    },
    plane::HaState,
    protocol::bfd,
    types::Duration as Span,
};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    io::Read,
    net::IpAddr,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

const SERVICES: &str = "/hitless/v1/services";

fn web() -> Value {
    json!({
        "vip": "192.0.2.10", "port": 80, "scheduler": "wrr",
        "backends": [
            {"address": "192.168.80.21", "port": 8080, "weight": 3},
            {"address": "192.168.80.22", "port": 8080},
        ],
    })
}

fn backends(node: &Node, name: &str) -> Vec<(String, String)> {
    let service = get(node.address, &format!("{SERVICES}/{name}")).json();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let of = service["backends"].as_array().unwrap().iter();
    of.map(|backend| (text(&backend["address"]), text(&backend["state"]))).collect()
}

#[test]
fn services_are_put_and_deleted_by_name() {
    let node = Node::default();
    put(node.address, &format!("{SERVICES}/web"), &web().to_string()).succeeds();
    // What is so already is done.
    put(node.address, &format!("{SERVICES}/web"), &web().to_string()).succeeds();
    let listed = get(node.address, SERVICES).json();
    let service = &listed["services"][0];
    assert_eq!((&service["source"], &service["service"]["name"]), (&json!("api"), &json!("web")));
    assert_eq!(service["service"]["idle_timeout_s"], json!(1800));
    assert_eq!(service["backends"][0]["state"], json!("up"));
    // It moves to another address, under its name.
    let mut moved = web();
    moved["vip"] = json!("192.0.2.11");
    put(node.address, &format!("{SERVICES}/web"), &moved.to_string()).succeeds();
    let listed = get(node.address, SERVICES).json();
    assert_eq!(listed["services"].as_array().unwrap().len(), 1);
    assert_eq!(listed["services"][0]["service"]["vip"], json!("192.0.2.11"));
    delete(node.address, &format!("{SERVICES}/web")).succeeds();
    delete(node.address, &format!("{SERVICES}/web")).is_refused(404, "there is no service web");
    get(node.address, &format!("{SERVICES}/web")).is_refused(404, "there is no service web");
}

#[test]
fn mistakes_are_those_of_the_file() {
    let node = Node::default();
    for (key, value, text) in [
        ("vip", json!("x"), "vip: is \"x\", allowed is the IP address of one host"),
        ("port", json!(0), "port: is 0, allowed is a port from 1 to 65535"),
        ("colour", json!("red"), "colour: unknown key"),
        ("name", json!("other"), "allowed is the name in the path"),
        (
            "backends",
            json!([{"address": "192.168.80.21", "prot": 1}]),
            "backends[0].prot: unknown key, did you mean port?",
        ),
        ("mode", json!("dsr"), "\"dsr\" is not built yet"),
    ] {
        let mut service = web();
        service[key] = value;
        put(node.address, &format!("{SERVICES}/web"), &service.to_string()).is_refused(422, text);
    }
    put(node.address, &format!("{SERVICES}/web"), "[]").is_refused(422, "");
    put(node.address, &format!("{SERVICES}/two%20words"), &web().to_string()).is_refused(422, "name");
    let mut taken = web();
    put(node.address, &format!("{SERVICES}/web"), &taken.to_string()).succeeds();
    taken["port"] = json!("79-81");
    put(node.address, &format!("{SERVICES}/other"), &taken.to_string())
        .is_refused(409, "is taken by service web");
}

#[test]
fn all_services_of_the_api_are_replaced_at_once() {
    let node = Node::default();
    let of = |names: &[&str]| {
        let service = |(place, name): (usize, &&str)| json!({"name": name, "vip": format!("192.0.2.{place}"), "port": 80, "backends": [{"address": "192.168.80.21"}]});
        json!({ "services": names.iter().enumerate().map(service).collect::<Vec<_>>() }).to_string()
    };
    put(node.address, SERVICES, &of(&["a", "b", "c"])).succeeds();
    put(node.address, SERVICES, &of(&["b", "a"])).succeeds();
    let names = |node: &Node| {
        let listed = get(node.address, SERVICES).json();
        let services = listed["services"].as_array().unwrap().clone();
        services.iter().map(|s| s["service"]["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&node), ["b", "a"]);
    put(node.address, SERVICES, &of(&["x", "x"])).is_refused(409, "the name x is taken");
    put(node.address, SERVICES, "{}").is_refused(422, "services: is missing");
    put(node.address, SERVICES, r#"{"services":[{"name":"x"}]}"#).is_refused(422, "services[0].");
    assert_eq!(names(&node), ["b", "a"]);
}

#[test]
fn a_backend_drains_and_comes_back() {
    let node = Node::default();
    put(node.address, &format!("{SERVICES}/web"), &web().to_string()).succeeds();
    let drain = |service: &str, body: Value| {
        post(node.address, &format!("{SERVICES}/{service}/drain"), &body.to_string())
    };
    drain("web", json!({"backend": "192.168.80.21", "deadline_s": 60})).succeeds();
    let states = |node: &Node| backends(node, "web").into_iter().map(|(_, state)| state).collect::<Vec<_>>();
    assert_eq!(states(&node), ["draining", "up"]);
    drain("web", json!({"backend": "192.168.80.21:8080", "undo": true})).succeeds();
    assert_eq!(states(&node), ["up", "up"]);
    drain("192.0.2.10:80%2Ftcp", json!({"backend": "192.168.80.22:8080", "deadline_s": 0})).succeeds();
    let end = Instant::now() + Duration::from_secs(5);
    while states(&node) != ["up", "drained"] && Instant::now() < end {
        thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(states(&node), ["up", "drained"]);
    drain("web", json!({"backend": "192.168.80.23"})).is_refused(404, "has no backend");
    drain("webb", json!({"backend": "192.168.80.21"})).is_refused(404, "there is no service webb");
    drain("web", json!({"backend": "one"})).is_refused(400, "ADDRESS");
    drain("web", json!({"backend": "192.168.80.21", "dead": 1})).is_refused(422, "unknown field");
    // One that is taken off the list leaves, and its sessions have time.
    let mut one = web();
    one["backends"].as_array_mut().unwrap().remove(0);
    put(node.address, &format!("{SERVICES}/web"), &one.to_string()).succeeds();
    assert_eq!(
        backends(&node, "web"),
        [
            ("192.168.80.22".to_owned(), "drained".to_owned()),
            ("192.168.80.21".to_owned(), "leaving".to_owned())
        ]
    );
    // LoxiLB's clients see what they asked for, and no more.
    let rules = get(node.address, "/netlox/v1/config/loadbalancer/all").json();
    assert_eq!(rules["lbAttr"][0]["endpoints"].as_array().unwrap().len(), 1);
}

#[test]
fn the_configuration_can_be_saved_and_read_again() {
    let node = Node::default();
    put(node.address, &format!("{SERVICES}/web"), &web().to_string()).succeeds();
    let rule = concat!(
        r#"{"serviceArguments":{"externalIP":"192.0.2.20","port":1000,"portMax":1010,"protocol":"sctp","sel":2,"#,
        r#""mode":2,"name":"my rule:llb-inst0"},"secondaryIPs":[{"secondaryIP":"192.0.2.21"}],"#,
        r#""endpoints":[{"endpointIP":"192.168.80.31","targetPort":9000,"weight":0},"#,
        r#"{"endpointIP":"192.168.80.32","targetPort":9000,"weight":80}]}"#
    );
    post(node.address, "/netlox/v1/config/loadbalancer", rule).succeeds();
    let saved = get(node.address, "/hitless/v1/config");
    assert_eq!((saved.status, saved.header("content-type")), (200, Some("application/toml")));
    let again = Node::start(Start { config: saved.body.clone(), ..Start::default() });
    let of_file = get(again.address, SERVICES).json();
    let of_api = get(node.address, SERVICES).json();
    for place in 0..2 {
        assert_eq!(of_file["services"][place]["service"], of_api["services"][place]["service"]);
        assert_eq!(of_file["services"][place]["source"], json!("file"));
    }
    // The file's services are the file's.
    delete(again.address, &format!("{SERVICES}/web")).is_refused(409, "cant modify service web");
    put(again.address, &format!("{SERVICES}/web"), &web().to_string()).succeeds();
}

#[test]
fn what_is_read_of_a_node() {
    let node = Node::default();
    let stats = get(node.address, "/hitless/v1/stats").json();
    assert_eq!(stats["workers"].as_array().unwrap().len(), 1);
    assert!(stats["total"]["drops"].is_object() && stats["total"]["rx"].is_u64());
    assert_eq!(
        get(node.address, "/hitless/v1/sessions?limit=5&state=established").body,
        r#"{"sessions":[]}"#
    );
    assert!(get(node.address, "/hitless/v1/neighbors").json()["neighborAttr"].is_array());
    for query in ["client=x", "limit=-1", "vip=10.0.0.0/8", "protocol=icmp", "state=open"] {
        assert_eq!(get(node.address, &format!("/hitless/v1/sessions?{query}")).status, 400, "{query}");
    }
    assert!(get(node.address, "/hitless/v1/openapi.json").json()["paths"].is_object());
}

/// Reads a stream until it has `text`.
fn read_until(connection: &mut Connection, text: &str) -> String {
    let mut seen = String::new();
    let mut chunk = [0; 4096];
    while !seen.contains(text) {
        let count = connection.stream().read(&mut chunk).unwrap();
        assert_ne!(count, 0, "the stream ended without {text:?}: {seen}");
        seen += std::str::from_utf8(&chunk[..count]).unwrap();
    }
    seen
}

#[test]
fn events_are_followed_and_resumed() {
    let node = Node::default();
    put(node.address, &format!("{SERVICES}/one"), &web().to_string()).succeeds();
    let mut following = Connection::open(node.address);
    following.send(&request("GET", "/hitless/v1/events", &[], None));
    let seen = read_until(&mut following, "service one at 192.0.2.10");
    assert!(seen.contains("content-type: text/event-stream") && seen.contains("event: service"), "{seen}");
    delete(node.address, &format!("{SERVICES}/one")).succeeds();
    read_until(&mut following, "removed");
    let last = node.events.follow(0).0.last().unwrap().id;
    let mut resumed = Connection::open(node.address);
    let header = [("Last-Event-ID", last.to_string())];
    let header = [(header[0].0, header[0].1.as_str())];
    resumed.send(&request("GET", "/hitless/v1/events", &header, None));
    put(node.address, &format!("{SERVICES}/two"), &web().to_string()).succeeds();
    let seen = read_until(&mut resumed, "service two");
    assert!(!seen.contains("service one"), "{seen}");
    // Without following, the stream ends.
    let kept = get(node.address, "/hitless/v1/events?follow=false");
    assert!(kept.body.contains("service two") && kept.body.contains("service one"));
    // Followers are counted: they may not take the server's room.
    let mut others: Vec<Connection> = (0..14)
        .map(|_| {
            let mut other = Connection::open(node.address);
            other.send(&request("GET", "/hitless/v1/events", &[], None));
            read_until(&mut other, "service two");
            other
        })
        .collect();
    get(node.address, "/hitless/v1/events").is_refused(503, "too many follow");
    others.clear();
}

/// A node of a pair, as far as the API is concerned.
#[derive(Debug, Default)]
struct Pair {
    sessions: Mutex<Vec<BfdSession>>,
    handed_over: Mutex<Option<Instant>>,
    takes: Duration,
}

impl HighAvailability for Pair {
    fn bfd_sessions(&self) -> Vec<BfdSession> {
        self.sessions.lock().clone()
    }

    fn bfd_refused(&self) -> BTreeMap<&'static str, u64> {
        BTreeMap::new()
    }

    fn put_bfd(&self, wanted: &BfdWanted) -> Result<Put, Refusal> {
        let mut sessions = self.sessions.lock();
        let known = sessions.iter().position(|session| session.remote == wanted.remote);
        let old = known.map(|place| sessions.remove(place));
        let new = BfdSession {
            instance: wanted.instance.clone(),
            source: Source::Api,
            remote: wanted.remote,
            local: wanted.local.or(old.as_ref().and_then(|old| old.local)),
            port: 3784,
            interval: wanted
                .interval
                .or(old.as_ref().map(|old| old.interval))
                .unwrap_or(Span::from_millis(200)),
            multiplier: wanted.multiplier.or(old.as_ref().map(|old| old.multiplier)).unwrap_or(3),
            state: bfd::State::Up,
            detection: Some(Span::from_micros(600)),
            hardware_timestamps: Some(false),
            jitter_p999: Some(Span::from_micros(7)),
            held: Some(Span::from_micros(80)),
            flaps: 2,
            discards: Default::default(),
        };
        let put = match &old {
            None => Put::Created,
            Some(old) if *old == new => Put::Unchanged,
            Some(_) => Put::Replaced,
        };
        sessions.push(new);
        Ok(put)
    }

    fn delete_bfd(&self, _instance: &str, remote: IpAddr) -> Result<(), Refusal> {
        let mut sessions = self.sessions.lock();
        let before = sessions.len();
        sessions.retain(|session| session.remote != remote);
        if sessions.len() < before {
            Ok(())
        } else {
            Err(Refusal::NotFound(format!("no bfd session with {remote}")))
        }
    }

    fn instances(&self) -> Vec<InstanceStatus> {
        let gone = self.handed_over.lock().is_some_and(|begun| begun.elapsed() >= self.takes);
        let state = if gone { HaState::Backup } else { HaState::Master };
        vec![InstanceStatus {
            name: "llb-inst0".into(),
            state,
            term: 7,
            peer_serves: Some(state != HaState::Master),
            ..InstanceStatus::default()
        }]
    }

    fn set_state(&self, _instance: &str, _state: HaState) -> Result<(), Refusal> {
        Ok(())
    }

    fn switch_over(&self, _instance: Option<&str>) -> Result<(), Refusal> {
        *self.handed_over.lock() = Some(Instant::now());
        Ok(())
    }
}

#[test]
fn bfd_sessions_come_and_go_through_the_api() {
    let scratch = crate::scratch::Scratch::new("bfd");
    let state = scratch.path("state.json");
    let node = Node::start(Start {
        ha: Some(Arc::new(Pair::default())),
        state_file: Some(state.clone()),
        ..Start::default()
    });
    let post = |body: Value| post(node.address, "/netlox/v1/config/bfd", &body.to_string());
    let peer =
        json!({"instance": "default", "remoteIp": "192.168.80.253", "interval": 200_000, "retryCount": 3});
    post(peer.clone()).succeeds();
    post(peer).is_refused(409, "bfd existing session");
    // As the article has it: `set bfd 192.168.80.253 --interval=100000 --retryCount=2`.
    post(json!({"instance": "default", "remoteIp": "192.168.80.253", "interval": 100_000, "retryCount": 2}))
        .succeeds();
    let session = get(node.address, "/netlox/v1/config/bfd/all").json()["Attr"][0].clone();
    assert_eq!(
        session,
        json!({
            "instance": "llb-inst0", "source": "api", "remoteIp": "192.168.80.253", "sourceIP": null, "port": 3784,
            "interval": 100_000, "retryCount": 2, "state": "BFDUp", "detectionUs": 600, "timestamps": "software",
            "jitterP999Us": 7, "heldUs": 80, "flaps": 2,
        })
    );
    // What is not given stays, and microseconds are taken.
    post(json!({"instance": "llb-inst0", "remoteIp": "192.168.80.253", "interval": 50, "retryCount": 0}))
        .succeeds();
    let text = std::fs::read_to_string(&state).unwrap();
    assert!(text.contains(r#""interval_us":50,"multiplier":2"#), "{text}");
    delete(node.address, "/netlox/v1/config/bfd/remoteIP/192.168.80.253?instance=default").succeeds();
    assert!(!std::fs::read_to_string(&state).unwrap().contains("192.168.80.253"));
}

/// As the file's check has it.
#[test]
fn bfd_sessions_are_with_others_from_an_own_address() {
    let node = Node::start(Start { ha: Some(Arc::new(Pair::default())), ..Start::default() });
    put(node.address, "/hitless/v1/services/web", r#"{"vip":"192.0.2.1","port":80}"#).succeeds();
    for (remote, source, text) in [
        ("192.168.80.252", "", "192.168.80.252 is taken by port[0].addresses[0], allowed is an address used"),
        ("192.168.80.240", "", "taken by nat.local_addresses[0]"),
        ("192.0.2.1", "", "taken by service web"),
        ("192.168.80.255", "", "no host in the subnet 192.168.80.0/24"),
        ("0.0.0.0", "", "allowed is the IP address of one host"),
        ("224.0.0.1", "", "allowed is the IP address of one host"),
        (
            "192.168.80.253",
            "192.168.80.9",
            "192.168.80.9 is no address of this node's ports, allowed is 192.168.80.252",
        ),
        ("192.168.80.253", "fd80::252", "remoteIp: 192.168.80.253 is IPv4 and sourceIp fd80::252 is IPv6"),
    ] {
        let body = json!({ "remoteIp": remote, "sourceIp": source }).to_string();
        post(node.address, "/netlox/v1/config/bfd", &body).is_refused(400, text);
    }
    let body = json!({ "remoteIp": "192.168.80.253", "sourceIp": "192.168.80.252" }).to_string();
    post(node.address, "/netlox/v1/config/bfd", &body).succeeds();
}

#[test]
fn a_switchover_is_answered_when_the_peer_serves() {
    let ha = |takes| Arc::new(Pair { takes, ..Pair::default() });
    let node = Node::start(Start { ha: Some(ha(Duration::from_millis(120))), ..Start::default() });
    let began = Instant::now();
    post(node.address, "/hitless/v1/switchover", r#"{"instance":"default"}"#).succeeds();
    assert!(began.elapsed() >= Duration::from_millis(120));
    let alone = Node::default();
    post(alone.address, "/hitless/v1/switchover", "{}").is_refused(403, "this node has no peer");
    post(alone.address, "/hitless/v1/switchover", r#"{"to":1}"#).is_refused(422, "unknown field");
}
