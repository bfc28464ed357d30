//! Metrics: every packet is accounted for, Prometheus takes the text, and the dashboard and the alert rules ask for
//! nothing that is not there.

use crate::{
    http::{delete, get, post, put},
    node::{CONFIG, Node, OURS, Start, THEIRS},
    scratch::Scratch,
};
use etherparse::PacketBuilder;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// A node of a pair, so that there are metrics of that, too.
const PAIR: &str = r#"
[ha]
peer = "192.168.80.253"
gateway_check = ["192.168.80.1"]
[[ha.bfd]]
local = "192.168.80.252"
remote = "192.168.80.253"
"#;

fn pair() -> Node {
    Node::start(Start { config: CONFIG.to_owned() + PAIR, ..Start::default() })
}

/// Samples of the text format by name and labels.
struct Samples(BTreeMap<String, f64>);

impl Samples {
    fn of(text: &str) -> Self {
        let mut samples = BTreeMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (series, value) = line.rsplit_once(' ').unwrap();
            assert!(samples.insert(series.to_owned(), value.parse().unwrap()).is_none(), "twice: {series}");
        }
        Self(samples)
    }

    fn read(node: &Node) -> Self {
        Self::of(&get(node.address, "/metrics").body)
    }

    #[track_caller]
    fn get(&self, series: &str) -> f64 {
        *self.0.get(series).unwrap_or_else(|| panic!("{series} is missing"))
    }

    fn sum(&self, name: &str) -> f64 {
        self.0.iter().filter(|(series, _)| name_of(series) == name).map(|(_, value)| value).sum()
    }

    fn names(&self) -> BTreeSet<&str> {
        self.0.keys().map(|series| name_of(series)).collect()
    }
}

fn name_of(series: &str) -> &str {
    series.split('{').next().unwrap_or_default()
}

fn web(port: u16) -> String {
    json!({
        "vip": "192.0.2.1", "port": port, "protocol": "udp",
        "backends": [
            {"address": "192.168.80.21", "port": 53},
            {"address": "192.168.80.22", "port": 53},
        ],
    })
    .to_string()
}

/// Datagrams of many clients to a service, and some to nobody.
fn send(node: &Node, count: u16) {
    for client in 0..count {
        let [high, low] = client.to_be_bytes();
        let vip = if client % 8 == 0 { [192, 0, 2, 99] } else { [192, 0, 2, 1] };
        let builder =
            PacketBuilder::ethernet2(THEIRS.0, OURS.0).ipv4([10, 9, high, low], vip, 64).udp(20_000, 53);
        let mut frame = Vec::new();
        builder.write(&mut frame, &[0; 18]).unwrap();
        while node.pool.packet(&frame).is_none_or(|packet| node.wire.send(0, packet).is_err()) {
            thread::yield_now();
        }
    }
}

#[test]
fn every_packet_is_accounted_for() {
    let node = Node::default();
    put(node.address, "/hitless/v1/services/dns", &web(53)).succeeds();
    send(&node, 800);
    let end = Instant::now() + Duration::from_secs(20);
    let samples = loop {
        let samples = Samples::read(&node);
        // At every moment, not only at the end.
        let parts = ["forwarded", "to_control", "to_kernel", "dropped"];
        let sum: f64 = parts.iter().map(|part| samples.sum(&format!("hitless_{part}_packets_total"))).sum();
        assert_eq!(samples.sum("hitless_rx_packets_total"), sum);
        // Until neighbours answer, what leads to them is held or dropped; sessions are open then.
        let opened = samples.get("hitless_service_sessions_opened_total{service=\"dns\",protocol=\"udp\"}");
        if sum >= 800.0 && opened >= 500.0 {
            break samples;
        }
        assert!(Instant::now() < end, "{sum} packets, {opened} sessions");
        thread::sleep(Duration::from_millis(20));
    };
    let sessions = samples.get("hitless_ipv4_sessions{worker=\"0\"}");
    let total = |name: &str| samples.sum(name);
    assert_eq!(total("hitless_backend_sessions"), sessions);
    assert_eq!(samples.get("loxilb_active_conntrack_entries"), sessions);
    assert_eq!(samples.get("active_flow_count_udp"), sessions);
    assert_eq!(samples.get("loxilb_active_flow_count_tcp"), 0.0);
    assert_eq!(samples.get("total_requests"), total("hitless_sessions_opened_total"));
    assert_eq!(
        samples.get("loxilb_service_requests_total{service=\"dns\"}"),
        total("hitless_backend_sessions_opened_total")
    );
    // What is nobody's goes to the kernel, as far as there is room for it.
    let refused = samples.get("hitless_dropped_packets_total{worker=\"0\",reason=\"kernel_full\"}");
    assert_eq!(total("hitless_to_kernel_packets_total") + refused, 100.0);
    // Each backend has a set of local ports of its own.
    let left = "hitless_backend_local_ports_left{service=\"dns\",backend=\"192.168.80.21:53\"}";
    let used = samples.get("hitless_backend_sessions{service=\"dns\",backend=\"192.168.80.21:53\"}");
    assert_eq!(samples.get(left), 64_512.0 - used);
    assert!(samples.get("hitless_local_ports_left_least") <= 64_512.0 - used);
}

#[test]
fn both_paths_answer_and_metrics_stay_on() {
    let node = pair();
    let (own, netlox) = (get(node.address, "/metrics"), get(node.address, "/netlox/v1/metrics"));
    assert_eq!((own.status, netlox.status), (200, 200));
    assert_eq!(own.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert_eq!(Samples::of(&own.body).names(), Samples::of(&netlox.body).names());
    let setting = "/netlox/v1/config/metrics";
    assert_eq!(get(node.address, setting).body, "{\"prometheus\":true}");
    assert_eq!(post(node.address, setting, "{}").status, 204);
    delete(node.address, setting).is_refused(403, "cannot be switched off");
}

/// Several ports of one Kubernetes Service have one name: their samples are one.
#[test]
fn services_of_one_name_are_summed_for_loxilb() {
    let node = Node::default();
    for port in [80, 443] {
        let rule = json!({
            "serviceArguments": {"externalIP": "192.168.80.5", "port": port, "protocol": "tcp", "mode": 2,
                "name": "default_web:llb-inst0"},
            "endpoints": [{"endpointIP": "192.168.80.101", "targetPort": 30000 + port, "weight": 1}],
        });
        post(node.address, "/netlox/v1/config/loadbalancer", &rule.to_string()).succeeds();
    }
    let samples = Samples::read(&node);
    assert_eq!(samples.get("lb_rule_count"), 2.0);
    assert_eq!(samples.get("loxilb_service_requests_total{service=\"default_web:llb-inst0\"}"), 0.0);
    let endpoint =
        "loxilb_endpoint_traffic_bytes_total{service=\"default_web:llb-inst0\",dip=\"192.168.80.101\"}";
    assert_eq!(samples.get(endpoint), 0.0);
    assert_eq!(samples.get("healthy_host_count"), 2.0);
}

/// However many services there are, the answer stays within bounds and says what it leaves out.
#[test]
fn samples_have_a_bound() {
    let config = CONFIG.to_owned() + "[limits]\nservices = 4000\nbackends = 65536\n";
    let node = Node::start(Start { config, ..Start::default() });
    let service = |n: u32| {
        let backends: Vec<Value> =
            (0..10).map(|b| json!({"address": format!("192.168.80.{}", 20 + b), "port": 1000 + n})).collect();
        json!({"name": format!("s{n}"), "vip": format!("11.0.{}.{}", n / 250, n % 250), "port": 80,
            "backends": backends})
    };
    let all = json!({"services": (0..3000).map(service).collect::<Vec<_>>()});
    put(node.address, "/hitless/v1/services", &all.to_string()).succeeds();
    let samples = Samples::read(&node);
    let count = |name: &str| samples.0.keys().filter(|series| name_of(series) == name).count();
    assert_eq!(count("hitless_service_bytes_total"), 1024);
    assert_eq!(count("hitless_backend_up"), 8192);
    assert_eq!(samples.get("hitless_metrics_omitted{what=\"services\"}"), 3000.0 - 1024.0);
    assert_eq!(samples.get("hitless_metrics_omitted{what=\"backends\"}"), 30_000.0 - 8192.0);
    assert_eq!(samples.get("hitless_backends{state=\"up\"}"), 30_000.0);
    assert!(samples.0.len() < 100_000, "{}", samples.0.len());
}

/// `promtool` with `input`; `None` where it is not installed.
fn promtool(arguments: &[&str], input: &str) -> Option<(bool, String)> {
    let started = Command::new("promtool")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match started {
        Ok(child) => child,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            // Without promtool there is nobody to ask; `make test` installs it.
            return None;
        }
        Err(error) => panic!("{error}"),
    };
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    Some((output.status.success(), said))
}

#[test]
fn promtool_finds_nothing_wrong() {
    let node = pair();
    put(node.address, "/hitless/v1/services/dns", &web(53)).succeeds();
    let text = get(node.address, "/metrics").body;
    if let Some((fine, said)) = promtool(&["check", "metrics"], &text) {
        assert!(fine && said.trim().is_empty(), "{said}");
        let (fine, said) = promtool(&["check", "metrics"], &(text + "hitless bad\n")).unwrap();
        assert!(!fine, "promtool takes anything: {said}");
    }
}

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(name)
}

#[test]
fn promtool_takes_the_alert_rules() {
    let path = file("prometheus-rules.yml");
    if let Some((fine, said)) = promtool(&["check", "rules", path.to_str().unwrap()], "") {
        assert!(fine, "{said}");
    }
}

/// Each expression of the dashboard, its variables filled in, as a recording rule.
#[test]
fn promtool_takes_the_expressions_of_the_dashboard() {
    let dashboard: Value =
        serde_json::from_str(&fs::read_to_string(file("grafana-dashboard.json")).unwrap()).unwrap();
    let targets =
        dashboard["panels"].as_array().unwrap().iter().flat_map(|panel| panel["targets"].as_array());
    let mut rules = "groups:\n- name: dashboard\n  rules:\n".to_owned();
    for (number, target) in targets.flatten().enumerate() {
        let expression = target["expr"].as_str().unwrap();
        let filled =
            expression.replace("$__rate_interval", "1m").replace("$__range", "1h").replace("$instance", ".*");
        let _ = writeln!(rules, "  - record: x{number}\n    expr: {}", json!(filled));
    }
    let scratch = Scratch::new("dashboard");
    let path = scratch.file("rules.yml", &rules);
    if let Some((fine, said)) = promtool(&["check", "rules", "--lint=none", path.to_str().unwrap()], "") {
        assert!(fine, "{said}");
    }
}

/// Names of metrics in a text, and how each is spelled with the suffixes of histograms.
fn asked_for(text: &str) -> BTreeSet<&str> {
    let is_word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let words = text.split(|letter: char| !is_word(letter));
    words.filter(|word| word.starts_with("hitless_") || word.starts_with("loxilb_")).collect()
}

#[test]
fn dashboard_and_rules_ask_for_what_is_there() {
    let node = pair();
    put(node.address, "/hitless/v1/services/dns", &web(53)).succeeds();
    // Every family, those of histograms with their suffixes; links are of devices and this node has none.
    let text = get(node.address, "/metrics").body;
    let samples = Samples::of(&text);
    let mut there = samples.names();
    there.insert("hitless_port_up");
    for (name, least) in [("prometheus-rules.yml", 10), ("grafana-dashboard.json", 25)] {
        let text = fs::read_to_string(file(name)).unwrap();
        let asked = asked_for(&text);
        let missing: Vec<_> = asked.difference(&there).collect();
        assert!(missing.is_empty(), "{name} asks for what is not there: {missing:?}");
        assert!(asked.len() >= least, "{name}: {asked:?}");
    }
    let dashboard: Value =
        serde_json::from_str(&fs::read_to_string(file("grafana-dashboard.json")).unwrap()).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len());
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        let targets = panel["targets"].as_array().unwrap();
        assert!(!targets.is_empty() && targets.iter().all(|target| target["expr"].is_string()), "{panel}");
    }
}
