//! Changes under traffic: wrk through two services while everything around its sessions changes.

use crate::{PATIENCE, World};
use hitless_lab::{Fetched, Host, Namespace, Node, NodeConfig, Signal, output, request};
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

const RULES: &str = "/netlox/v1/config/loadbalancer";
/// Services of the API, without the one that wrk uses.
const OTHERS: u16 = 200;

/// The API of a node, from beside it.
#[derive(Clone, Copy)]
struct Api<'n>(&'n Namespace);

impl Api<'_> {
    fn ask(self, method: &str, path: &str, body: &Value) -> Fetched {
        let api = SocketAddr::from(([127, 0, 0, 1], 11111));
        self.0.enter(|| request(api, method, path, &body.to_string(), PATIENCE)).unwrap()
    }

    fn succeeds(self, method: &str, path: &str, body: &Value) {
        let answer = self.ask(method, path, body);
        assert_eq!(answer.status, 200, "{method} {path}: {}", answer.text());
    }
}

/// A rule as kube-loxilb sends it.
fn rule(port: u16, backends: &[Host], weights: &[u16]) -> Value {
    let endpoints: Vec<Value> = backends
        .iter()
        .zip(weights)
        .map(|(host, weight)| json!({"endpointIP": host.v4, "targetPort": 8080, "weight": weight}))
        .collect();
    json!({
        "serviceArguments": {
            "externalIP": "10.77.0.101", "port": port, "protocol": "tcp", "sel": 2, "mode": 2,
            "inactiveTimeOut": 1800, "managed": true, "name": format!("default_web{port}:llb-inst0"),
        },
        "endpoints": endpoints,
    })
}

/// wrk through a service for `seconds`; its report.
fn wrk(client: &Host, url: &str, seconds: u32) -> String {
    let mut wrk = client.namespace.command("wrk");
    output(wrk.args(["-t1", "-c32", &format!("-d{seconds}s"), "--timeout", "20s", url])).unwrap()
}

fn is_clean(report: &str) {
    assert!(!report.contains("Socket errors") && !report.contains("Non-2xx"), "{report}");
    let words: Vec<&str> = report.split_whitespace().collect();
    let requests = words.windows(2).find(|pair| pair[1] == "requests").unwrap()[0];
    assert!(requests.parse::<u64>().unwrap() > 500, "{report}");
}

/// Does `work` again and again until `done`; how often.
fn repeat(done: &AtomicBool, pause: Duration, mut work: impl FnMut(u32)) -> u32 {
    let mut round = 0;
    while !done.load(Relaxed) {
        work(round);
        round += 1;
        thread::sleep(pause);
    }
    round
}

/// What a reload must read again, and may find changed.
fn touch(node: &Node, round: u32) {
    let text = std::fs::read_to_string(&node.config).unwrap();
    let (before, _) = text.split_once("# round").unwrap_or((&text, ""));
    let extra = format!(
        "# round {round}\n[[service]]\nname = \"extra\"\nvip = \"10.77.0.102\"\nport = {}\n\
         backends = [{{ address = \"10.77.0.21\", port = 8080 }}]\n",
        1000 + round
    );
    std::fs::write(&node.config, before.to_owned() + &extra).unwrap();
    node.program.signal(Signal::HUP);
}

/// Two services carry wrk: one of the file, one of the API. Meanwhile all rules are posted again in a loop, the
/// second one's weights change, one of its backends is drained and taken back, and the file is read again every
/// second. Not one request fails.
#[test]
fn wrk_does_not_notice_what_changes() {
    let world = World::new(3, |backends| {
        NodeConfig { workers: vec![0, 1], ..NodeConfig::default() }.service(
            ("tcp", 80, Some(8080)),
            backends,
            "scheduler = \"maglev\"",
        )
    });
    let api = Api(&world.node.host.namespace);
    let rules: Vec<Value> =
        (1..=OTHERS).map(|number| rule(8000 + number, &world.backends, &[1, 1, 1])).collect();
    rules.iter().for_each(|rule| api.succeeds("POST", RULES, rule));
    api.succeeds("POST", RULES, &rule(80, &world.backends, &[1, 1, 1]));
    let done = AtomicBool::new(false);
    let (reports, rounds) = thread::scope(|scope| {
        let client = &world.client;
        let runs = ["http://10.77.0.100/name", "http://10.77.0.101/name"]
            .map(|url| scope.spawn(move || wrk(client, url, 12)));
        let posts = scope.spawn(|| {
            repeat(&done, Duration::from_millis(10), |round| {
                // Identical ones are refused as such and change nothing.
                let place = round as usize % rules.len();
                let answer = api.ask("POST", RULES, &rules[place]);
                assert_eq!(answer.status, 409, "{}", answer.text());
            })
        });
        let weights = scope.spawn(|| {
            repeat(&done, Duration::from_millis(150), |round| {
                let heavy = (round % 3) as usize;
                let mut weights = [1, 1, 1];
                weights[heavy] = 5;
                api.succeeds("POST", RULES, &rule(80, &world.backends, &weights));
            })
        });
        let drains = scope.spawn(|| {
            repeat(&done, Duration::from_millis(400), |round| {
                let backend = format!("{}:8080", world.backends[1].v4);
                let body = json!({"backend": backend, "deadline_s": 600, "undo": round % 2 == 1});
                api.succeeds("POST", "/hitless/v1/services/default_web80:llb-inst0/drain", &body);
            })
        });
        let reloads =
            scope.spawn(|| repeat(&done, Duration::from_secs(1), |round| touch(&world.node, round)));
        let reports = runs.map(|run| run.join());
        done.store(true, Relaxed);
        let rounds = [posts, weights, drains, reloads].map(|thread| thread.join().unwrap());
        (reports.map(|report| report.unwrap()), rounds)
    });
    println!("{}\nposts, weights, drains, reloads: {rounds:?}", reports.join("\n"));
    reports.iter().for_each(|report| is_clean(report));
    assert!(rounds.iter().all(|count| *count >= 5), "{rounds:?}");
    // The last reload has taken effect.
    let end = Instant::now() + PATIENCE;
    let port = 1000 + rounds[3] - 1;
    while !world.node.get("lb").unwrap().to_string().contains(&format!("\"port\":{port},")) {
        assert!(Instant::now() < end, "{}", world.node.program.log());
        thread::sleep(Duration::from_millis(50));
    }
    world.node.check_books().unwrap();
}
