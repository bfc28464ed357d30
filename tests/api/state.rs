//! The state file against a process that is killed at random moments.

use crate::{
    http::{Connection, get, request},
    node::{CONFIG, Node, Start},
    scratch::Scratch,
};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    env,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

/// Names the state file to the process that is to be killed.
const STATE: &str = "HITLESS_TEST_STATE";

/// Not a test of its own: the process that is killed. It serves until then.
#[test]
#[ignore = "started by the test below"]
fn the_process_that_is_killed() {
    let Some(path) = env::var_os(STATE) else { return };
    let node = Node::start(Start { state_file: Some(path.into()), plays_network: false, ..Start::default() });
    println!("\nserving {}", node.address);
    loop {
        thread::sleep(Duration::from_secs(1));
    }
}

struct Victim {
    child: Child,
    address: SocketAddr,
}

impl Victim {
    fn start(state: &Path) -> Self {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "state::the_process_that_is_killed", "--ignored", "--nocapture"])
            .env(STATE, state)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address =
            lines.map_while(Result::ok).find_map(|line| line.strip_prefix("serving ").map(str::to_owned));
        let address = address.expect("it serves").parse().unwrap();
        Self { child, address }
    }

    fn kill(&mut self) {
        // SIGKILL.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        self.kill();
    }
}

fn rule(port: u64, weight: u64) -> String {
    format!(
        r#"{{"serviceArguments":{{"externalIP":"192.0.2.1","port":{port},"protocol":"tcp","mode":2}},
            "endpoints":[{{"endpointIP":"192.168.80.21","targetPort":8080,"weight":{weight}}}]}}"#
    )
}

/// What a node has: weights by port.
fn held(address: SocketAddr) -> BTreeMap<u64, u64> {
    let rules = get(address, "/netlox/v1/config/loadbalancer/all").json();
    let of = |rule: &Value| {
        let number = |value: &Value| value.as_u64().unwrap();
        (number(&rule["serviceArguments"]["port"]), number(&rule["endpoints"][0]["weight"]))
    };
    rules["lbAttr"].as_array().unwrap().iter().map(of).collect()
}

/// A small generator, so that a failure can be run again.
struct Random(u64);

impl Random {
    fn next(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}

/// A thousand writes that were answered, and a dozen kills among them: after each, what was answered is there. The
/// one write that was under way may be there or not.
#[test]
fn what_was_answered_survives_kill_9() {
    const WRITES: usize = 1_000;
    let scratch = Scratch::new("kill");
    let state = scratch.path("state.json");
    let mut random = Random(0x5eed_0001);
    let mut acknowledged: BTreeMap<u64, u64> = BTreeMap::new();
    let (mut writes, mut kills, mut weight) = (0, 0, 0);
    while writes < WRITES || kills < 5 {
        let mut victim = Victim::start(&state);
        assert_eq!(held(victim.address), acknowledged, "after kill {kills} and {writes} writes");
        let pid = victim.child.id();
        let patience = Duration::from_millis(10 + random.next(250));
        // From outside, at a moment that has nothing to do with what it does.
        let killer = thread::spawn(move || {
            thread::sleep(patience);
            let pid = rustix::process::Pid::from_raw(pid as i32).unwrap();
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        });
        let mut connection = Connection::open(victim.address);
        loop {
            weight = weight % 1_000 + 1;
            let port = 1 + random.next(300);
            let is_deletion = random.next(10) == 0;
            let bytes = if is_deletion {
                let path = format!(
                    "/netlox/v1/config/loadbalancer/externalipaddress/192.0.2.1/port/{port}/protocol/tcp"
                );
                request("DELETE", &path, &[], None)
            } else {
                let headers = [("Content-Type", "application/json")];
                request("POST", "/netlox/v1/config/loadbalancer", &headers, Some(&rule(port, weight)))
            };
            let sent = std::io::Write::write_all(connection.stream(), &bytes);
            let answer = if sent.is_ok() { connection.receive() } else { None };
            let Some(answer) = answer else {
                // Under way: done or not, but one of them.
                victim.kill();
                killer.join().unwrap();
                let victim = Victim::start(&state);
                let found = held(victim.address);
                let mut done = acknowledged.clone();
                if is_deletion {
                    done.remove(&port)
                } else {
                    done.insert(port, weight)
                };
                assert!(found == acknowledged || found == done, "after kill {kills} and {writes} writes");
                acknowledged = found;
                kills += 1;
                break;
            };
            answer.succeeds();
            writes += 1;
            if is_deletion {
                acknowledged.remove(&port)
            } else {
                acknowledged.insert(port, weight)
            };
        }
    }
    assert!(kills >= 5, "{kills} kills hardly show anything");
    let names: Vec<String> = std::fs::read_dir(scratch.directory())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(!names.iter().any(|name| name.contains("corrupt")), "{names:?}");
}

/// With [service.health] a service is monitored, whoever defined it, and so it is when what was saved is the file.
#[test]
fn probes_of_the_file_are_told() {
    let health = "[service.health]\ntype = \"http\"\nport = 8081\npath = \"/alive\"\nreply = \"ok\"\ninterval_ms = 1500\n\
                  fall = 4\n";
    let service = "[[service]]\nname = \"web\"\nvip = \"192.0.2.1\"\nport = 80\n";
    let told = |node: &Node| {
        let all = get(node.address, "/netlox/v1/config/loadbalancer/all").json();
        all["lbAttr"][0]["serviceArguments"].clone()
    };
    let node = Node::start(Start { config: [CONFIG, service, health].concat(), ..Start::default() });
    let first = told(&node);
    for (key, value) in [
        ("monitor", serde_json::json!(true)),
        ("probetype", "http".into()),
        ("probeport", 8081.into()),
        ("probereq", "/alive".into()),
        ("proberesp", "ok".into()),
        ("probeTimeout", 2.into()),
        ("probeRetries", 4.into()),
    ] {
        assert_eq!(first[key], value, "{key}");
    }
    let saved = get(node.address, "/hitless/v1/config").body;
    drop(node);
    let node = Node::start(Start { config: saved, ..Start::default() });
    assert_eq!(told(&node), first);
    drop(node);
    let node = Node::start(Start { config: [CONFIG, service].concat(), ..Start::default() });
    assert_eq!(told(&node)["monitor"], serde_json::Value::Null);
}
