//! A real Prometheus scrapes a node, with the alert rules that come with it.

use crate::{PATIENCE, World};
use hitless_lab::{NodeConfig, Program, fetch, output, wait_for};
use serde_json::Value;
use std::{fs, net::SocketAddr};

/// Prometheus' own port.
const PORT: u16 = 19_090;

#[test]
fn prometheus_scrapes_and_knows_the_alert_rules() {
    let world =
        World::new(1, |backends| NodeConfig::default().service(("tcp", 80, Some(8080)), backends, ""));
    let folder = world.lab.folder().join("prometheus");
    fs::create_dir_all(&folder).unwrap();
    let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/config/prometheus-rules.yml");
    let file = folder.join("prometheus.yml");
    fs::write(
        &file,
        format!(
            "global: {{ scrape_interval: 250ms, evaluation_interval: 500ms }}\nrule_files: [{rules:?}]\nscrape_configs:\n  - job_name: \
             hitless\n    static_configs: [{{ targets: ['127.0.0.1:11111'] }}]\n"
        ),
    )
    .unwrap();
    let inside = &world.node.host.namespace;
    let mut command = inside.command("prometheus");
    command
        .arg(format!("--config.file={}", file.display()))
        .arg(format!("--storage.tsdb.path={}", folder.display()));
    command.arg(format!("--web.listen-address=127.0.0.1:{PORT}"));
    let _prometheus = Program::start("prometheus", command, &folder.join("log")).unwrap();

    let ask = |path: &str| -> Option<Value> {
        let answer =
            output(inside.command("curl").args(["-sSg", &format!("http://127.0.0.1:{PORT}{path}")])).ok()?;
        serde_json::from_str(&answer).ok()
    };
    let value = |query: &str| -> Option<f64> {
        let answer = ask(&format!("/api/v1/query?query={query}"))?;
        answer.pointer("/data/result/0/value/1")?.as_str()?.parse().ok()
    };
    let up = wait_for(PATIENCE, || value("up").filter(|up| *up == 1.0));
    assert!(up.is_some(), "{:?}", ask("/api/v1/targets"));

    for _ in 0..20 {
        let answer = world.client.namespace.enter(|| fetch(crate::vips(80)[0], "/name", PATIENCE)).unwrap();
        assert_eq!(answer.text(), "b1\n");
    }
    // What it stores is what the node counts.
    let opened =
        wait_for(PATIENCE, || value("sum(hitless_sessions_opened_total)").filter(|opened| *opened >= 20.0));
    assert_eq!(opened, Some(world.node.counter("sessions_opened").unwrap() as f64));
    let master = value("hitless_ha_state%7Bstate=%22MASTER%22%7D");
    assert_eq!(master, Some(1.0), "{:?}", ask("/api/v1/label/__name__/values"));
    let health = ask("/api/v1/rules").unwrap();
    let groups = health["data"]["groups"].as_array().unwrap();
    let rules: Vec<&Value> = groups.iter().flat_map(|group| group["rules"].as_array().unwrap()).collect();
    assert!(rules.len() >= 8, "{health}");
    let evaluated = wait_for(PATIENCE, || {
        let health = ask("/api/v1/rules")?;
        let groups = health["data"]["groups"].as_array()?;
        let all = groups.iter().flat_map(|group| group["rules"].as_array().unwrap());
        all.into_iter().all(|rule| rule["health"] == "ok" && rule["state"] == "inactive").then_some(())
    });
    assert!(evaluated.is_some(), "{health}");
    // Nor does it complain of what it reads.
    let metrics =
        inside.enter(|| fetch(SocketAddr::from(([127, 0, 0, 1], 11111)), "/metrics", PATIENCE)).unwrap();
    let text = folder.join("metrics");
    fs::write(&text, metrics.body).unwrap();
    output(inside.command("sh").args(["-c", &format!("promtool check metrics <{}", text.display())]))
        .unwrap();
}
