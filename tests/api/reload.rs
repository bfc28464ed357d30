//! SIGHUP's work: the difference is applied, a bad file is refused whole.

use crate::{
    http::{get, post, put},
    node::{CONFIG, Node, Start},
    scratch::Scratch,
};
use hitless::{config::LogLevel, manage};
use serde_json::{Value, json};

const SERVICES: &str = "/hitless/v1/services";

fn service(name: &str, vip: u8, backend: u8) -> String {
    format!(
        "[[service]]\nname = \"{name}\"\nvip = \"192.0.2.{vip}\"\nport = 80\n\
         backends = [{{ address = \"192.168.80.{backend}\", port = 8080 }}]\n"
    )
}

fn list(node: &Node) -> Vec<(String, String)> {
    let listed = get(node.address, SERVICES).json();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let services = listed["services"].as_array().unwrap().clone();
    services.iter().map(|s| (text(&s["service"]["name"]), text(&s["source"]))).collect()
}

fn reload(node: &Node, scratch: &Scratch, text: &str) -> Result<(), String> {
    let path = scratch.file("node.toml", text);
    node.block_on(manage::reload(&node.api, &path)).map_err(|error| error.to_string())
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(name, source)| ((*name).to_owned(), (*source).to_owned())).collect()
}

#[test]
fn the_difference_is_applied() {
    let scratch = Scratch::new("reload");
    let config = |services: &str| CONFIG.to_owned() + services;
    let first = config(&(service("a", 1, 21) + &service("b", 2, 22)));
    let node = Node::start(Start { config: first.clone(), ..Start::default() });
    let of_api =
        json!({"vip": "192.0.2.9", "port": 80, "backends": [{"address": "192.168.80.29"}]}).to_string();
    put(node.address, &format!("{SERVICES}/api"), &of_api).succeeds();
    reload(&node, &scratch, &config(&(service("b", 2, 23) + &service("c", 3, 21)))).unwrap();
    assert_eq!(list(&node), pairs(&[("b", "file"), ("c", "file"), ("api", "api")]));
    // What the API created may become the file's: as after `hitless save`.
    reload(&node, &scratch, &config(&service("api", 9, 29))).unwrap();
    assert_eq!(list(&node), pairs(&[("api", "file")]));
    reload(&node, &scratch, &first).unwrap();
    assert_eq!(list(&node), pairs(&[("a", "file"), ("b", "file")]));
    // The same again changes nothing.
    let table = node.shared.registry.lock().table();
    reload(&node, &scratch, &first).unwrap();
    assert!(std::sync::Arc::ptr_eq(&table, &node.shared.registry.lock().table()));
}

#[test]
fn a_bad_file_is_refused_with_all_its_mistakes() {
    let scratch = Scratch::new("reload-bad");
    let node = Node::start(Start { config: CONFIG.to_owned() + &service("a", 1, 21), ..Start::default() });
    let rule = r#"{"serviceArguments":{"externalIP":"192.0.2.9","port":80,"portMax":90,"protocol":"tcp","mode":2,"name":"api"},
        "endpoints":[{"endpointIP":"192.168.80.29","targetPort":80,"weight":1}]}"#;
    post(node.address, "/netlox/v1/config/loadbalancer", rule).succeeds();
    let before = list(&node);
    let bad = CONFIG.replace("max_sessions = 10000", "max_sesions = 10000") + &service("a b", 1, 21);
    let mistakes = reload(&node, &scratch, &bad).unwrap_err();
    assert_eq!(mistakes.lines().count(), 2, "{mistakes}");
    assert!(
        mistakes.contains("unknown key, did you mean max_sessions?") && mistakes.contains("service[0].name")
    );
    for line in mistakes.lines() {
        assert!(node.said().contains(line), "{line} is not in the log: {}", node.said());
    }
    assert!(node.said().contains("nothing has changed"));
    // Good by itself, but not beside what the API created.
    let clash = CONFIG.to_owned() + &service("x", 9, 21) + &service("y", 3, 22) + &service("api", 4, 22);
    let refused = reload(&node, &scratch, &clash).unwrap_err();
    assert_eq!(refused.lines().count(), 2, "{refused}");
    assert!(refused.contains("service x: 192.0.2.9 tcp port 80 is taken by service api"), "{refused}");
    assert!(refused.contains("service api: the name api is taken"), "{refused}");
    assert_eq!(list(&node), before);
    assert!(reload(&node, &scratch, "").is_err());
    assert_eq!(list(&node), before);
}

#[test]
fn keys_that_need_a_restart_are_named_and_others_take_effect() {
    let scratch = Scratch::new("reload-keys");
    let node = Node::default();
    let changed = CONFIG
        .replace("max_sessions = 10000", "max_sessions = 20000\nports = \"2000-3000\"")
        .replace("via = \"192.168.80.1\"", "via = \"192.168.80.2\"")
        + "[log]\nlevel = \"debug\"\n";
    reload(&node, &scratch, &changed).unwrap();
    assert!(
        node.said().contains("nat.max_sessions, nat.ports: take effect when this node is restarted"),
        "{}",
        node.said()
    );
    let routes = get(node.address, "/netlox/v1/config/route/all").body;
    assert!(routes.contains("192.168.80.2") && !routes.contains("\"192.168.80.1\""), "{routes}");
    assert_eq!(get(node.address, "/netlox/v1/config/params").body, r#"{"logLevel":"debug"}"#);
    // `save` gives what the file says now.
    let saved = get(node.address, "/hitless/v1/config").body;
    assert!(saved.contains("max_sessions = 20000") && saved.contains("level = \"debug\""));
    let _ = LogLevel::Debug;
}
