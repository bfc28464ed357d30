//! Health checks: backends that go down and come back under wrk, by every kind of probe.

use crate::{PATIENCE, World};
use hitless_lab::{Nginx, NodeConfig, Signal, output, wait_for};
use serde_json::Value;
use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    thread,
    time::Duration,
};

/// A service at port 80 of the first VIPs whose backends are probed, by the kernel.
fn world(backends: u8, health: &str) -> World {
    probing_world(backends, health, true)
}

/// The same, or by the node's own stack.
fn probing_world(backends: u8, health: &str, kernel_interface: bool) -> World {
    World::new(backends, |hosts| {
        NodeConfig { workers: vec![0, 1], kernel_interface, ..NodeConfig::default() }.service(
            ("tcp", 80, Some(8080)),
            hosts,
            &format!("scheduler = \"rr\"\nhealth = {{ {health} }}"),
        )
    })
}

/// The states of the IPv4 service's backends, and how their probes go.
fn backends(world: &World) -> Vec<(String, Value)> {
    backends_of(world, "tcp-80-v4")
}

fn backends_of(world: &World, service: &str) -> Vec<(String, Value)> {
    let api = std::net::SocketAddr::from(([127, 0, 0, 1], 11111));
    let ask = || hitless_lab::fetch(api, &format!("/hitless/v1/services/{service}"), PATIENCE).unwrap();
    let answer = world.node.host.namespace.enter(ask);
    let service: Value = serde_json::from_str(&answer.text()).unwrap();
    let of = |backend: &Value| (backend["state"].as_str().unwrap().to_owned(), backend["health"].clone());
    service["backends"].as_array().unwrap().iter().map(of).collect()
}

/// Waits until the backends have these states.
fn wait_for_states(world: &World, states: &[&str]) {
    let mut last = Vec::new();
    let reached = wait_for(PATIENCE, || {
        last = backends(world);
        last.iter().map(|(state, _)| state.as_str()).eq(states.iter().copied()).then_some(())
    });
    assert!(reached.is_some(), "wanted {states:?}, found {last:?}");
}

/// Waits until every backend was probed, and found alive.
fn wait_for_answers(world: &World) {
    let mut last = Vec::new();
    let reached = wait_for(PATIENCE, || {
        last = backends(world);
        last.iter().all(|(_, health)| health["answered"].as_u64() >= Some(2)).then_some(())
    });
    assert!(reached.is_some(), "{last:?}");
    wait_for_states(world, &vec!["up"; last.len()]);
}

const QUICK: &str = "interval_ms = 200, timeout_ms = 190, rise = 2, fall = 2";

#[test]
fn every_kind_of_probe_finds_a_backend_and_its_loss() {
    every_kind_finds(true);
}

/// The same where the kernel has neither an interface of the port nor an address of it.
#[test]
fn every_kind_of_probe_does_without_the_kernel() {
    every_kind_finds(false);
}

/// The kernel has no socket towards the backends and no address to make one with.
fn check_kernel_keeps_away(world: &World) {
    let inside = |command: &str| world.node.host.namespace.shell(command).unwrap();
    let sockets = inside("ss -Hanup; ss -Hant; ss -Hanw");
    for text in [inside("ip -o address"), sockets, inside("ip -o link")] {
        assert!(["10.77.0.", "fd77:", "hl-lan"].iter().all(|ours| !text.contains(ours)), "{text}");
    }
}

fn every_kind_finds(kernel_interface: bool) {
    for probe in [
        "type = \"tcp\"",
        "type = \"http\", path = \"/name\", reply = \"b\"",
        "type = \"ping\"",
        "type = \"udp\", reply = \"x\", port = 9",
    ] {
        // Nobody serves UDP there: that one is about the loss alone.
        let mut world = probing_world(2, &format!("{probe}, {QUICK}"), kernel_interface);
        if probe.contains("udp") {
            wait_for_states(&world, &["down", "down"]);
            let reason = || (backends(&world)[0].1["failure"] == "it refuses connections").then_some(());
            assert!(wait_for(PATIENCE, reason).is_some(), "{:?}", backends(&world));
            continue;
        }
        wait_for_answers(&world);
        let v6_answers = || {
            let all = backends_of(&world, "tcp-80-v6");
            all.iter().all(|(state, health)| state == "up" && health["alive"] == true).then_some(())
        };
        assert!(wait_for(PATIENCE, v6_answers).is_some(), "{:?}", backends_of(&world, "tcp-80-v6"));
        if probe.contains("ping") {
            world.backends[0].namespace.shell("ip link set eth0 down").unwrap();
        } else {
            world.nginx[0].program.stop();
        }
        wait_for_states(&world, &["down", "up"]);
        let [vip, _] = crate::vips(80);
        for _ in 0..6 {
            let answer = world.client.namespace.enter(|| hitless_lab::fetch(vip, "/name", PATIENCE)).unwrap();
            assert_eq!(answer.text(), "b2\n", "{probe}");
        }
        assert!(world.node.program.log().contains("backend 10.77.0.21:8080 of service tcp-80-v4 is down"));
        if probe.contains("ping") {
            world.backends[0].namespace.shell("ip link set eth0 up").unwrap();
        } else {
            world.nginx[0] = Nginx::start(&world.lab, &world.backends[0]).unwrap();
        }
        wait_for_states(&world, &["up", "up"]);
        if !kernel_interface {
            check_kernel_keeps_away(&world);
        }
        world.node.check_books().unwrap();
    }
}

/// A backend that vanishes says nothing to its clients: with `reset_on_down` the load balancer does.
#[test]
fn clients_of_a_backend_that_vanished_are_reset() {
    let world = probing_world(2, &format!("type = \"tcp\", reset_on_down = true, {QUICK}"), false);
    wait_for_answers(&world);
    let mut clients: Vec<TcpStream> = world.client.namespace.enter(|| {
        (0..4).map(|_| TcpStream::connect_timeout(&crate::vips(80)[0], PATIENCE).unwrap()).collect()
    });
    let ask = |client: &mut TcpStream| {
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client.write_all(b"GET /name HTTP/1.1\r\nHost: lab\r\n\r\n")?;
        let mut answer = [0; 1024];
        client.read(&mut answer).map(|length| String::from_utf8_lossy(&answer[..length]).into_owned())
    };
    let answers: Vec<String> = clients.iter_mut().map(|client| ask(client).unwrap()).collect();
    world.backends[0].namespace.shell("ip link set eth0 down").unwrap();
    wait_for_states(&world, &["down", "up"]);
    world.node.wait_for_counter("sessions_ended", |ended| ended >= 2, PATIENCE).unwrap();
    for (client, before) in clients.iter_mut().zip(answers) {
        match ask(client) {
            Ok(answer) => assert!(before.ends_with("b2\n") && answer.ends_with("b2\n"), "{before} {answer}"),
            Err(error) => {
                assert!(before.ends_with("b1\n"), "{before}");
                assert_eq!(error.kind(), ErrorKind::ConnectionReset);
            }
        }
    }
    assert!(world.node.counter("tcp_resets").unwrap() >= 2);
    world.node.check_books().unwrap();
}

/// Where the kernel has the node's address it keeps its probes, and those of the other family are the stack's.
#[test]
fn the_kernel_probes_from_the_addresses_it_has() {
    let own_v4 = |machine: &hitless_lab::Host| {
        _ = machine.namespace.shell("ip address add 10.77.0.11/24 dev eth0").unwrap();
    };
    let mut world = World::on(own_v4, 1, |hosts| {
        NodeConfig::default().service(
            ("tcp", 80, Some(8080)),
            hosts,
            &format!("health = {{ type = \"http\", path = \"/name\", {QUICK} }}"),
        )
    });
    let answered = |world: &World, service: &str, count| {
        let enough = || (backends_of(world, service)[0].1["answered"].as_u64() >= Some(count)).then_some(());
        assert!(wait_for(PATIENCE, enough).is_some(), "{:?}", backends_of(world, service));
    };
    answered(&world, "tcp-80-v4", 4);
    answered(&world, "tcp-80-v6", 4);
    assert_eq!(backends(&world)[0].1["failed"], 0);
    let sockets = world.node.host.namespace.shell("cat /proc/net/tcp6").unwrap();
    assert!(!sockets.contains("77FD"), "{sockets}");
    assert!(world.node.counter("to_kernel").unwrap() >= 8, "answers over IPv6");
    world.nginx[0].program.stop();
    wait_for_states(&world, &["down"]);
    world.node.check_books().unwrap();
}

/// A backend whose server ends and comes back while wrk runs: its own sessions end with it, as the server's do, and
/// no other request fails. New sessions go to the others until it is back, and then to it again.
#[test]
fn a_server_goes_and_comes_under_wrk() {
    let mut world = world(3, &format!("type = \"http\", path = \"/name\", {QUICK}"));
    wait_for_answers(&world);
    // Connections of its own for each request: those that find a dead server are told, not hidden.
    let wrk = |seconds: u32| {
        let mut wrk = world.client.namespace.command("wrk");
        wrk.args(["-t1", "-c16", &format!("-d{seconds}s"), "--timeout", "20s"]);
        wrk.args(["-H", "Connection: close", "http://10.77.0.100/name"]);
        wrk
    };
    // Drained first, a server can go without a failed request: the check finds it down, and is never asked again.
    world.node.hitless("drain tcp-80-v4 10.77.0.21:8080 --deadline 600").unwrap();
    let mut during = wrk(10);
    let running = thread::spawn(move || output(&mut during).unwrap());
    thread::sleep(Duration::from_secs(1));
    world.nginx[0].program.signal(Signal::QUIT);
    world.nginx[0].program.wait(PATIENCE).unwrap();
    wait_for_states(&world, &["draining", "up", "up"]);
    assert!(wait_for(PATIENCE, || (backends(&world)[0].1["alive"] == false).then_some(())).is_some());
    // The operator takes the drain back; the check keeps the dead server out.
    world.node.hitless("drain tcp-80-v4 10.77.0.21:8080 --undo").unwrap();
    wait_for_states(&world, &["down", "up", "up"]);
    thread::sleep(Duration::from_secs(2));
    world.nginx[0] = Nginx::start(&world.lab, &world.backends[0]).unwrap();
    wait_for_states(&world, &["up", "up", "up"]);
    let report = running.join().unwrap();
    println!("{report}");
    assert!(!report.contains("Socket errors") && !report.contains("Non-2xx"), "{report}");
    // It gets its share again.
    let before = world.node.get("lb").unwrap();
    let total = |lb: &Value| {
        let rules = lb["lbAttr"].as_array().unwrap();
        let rule = rules.iter().find(|rule| rule["serviceArguments"]["service"] == "tcp-80-v4").unwrap();
        rule["endpoints"][0]["sessionsTotal"].as_u64().unwrap()
    };
    output(&mut wrk(2)).unwrap();
    assert!(total(&world.node.get("lb").unwrap()) > total(&before) + 10);
    world.node.check_books().unwrap();
}

/// A flapping check moves no session: those that are open go on, whatever it says.
#[test]
fn a_check_that_flaps_moves_no_session() {
    let world = world(2, &format!("type = \"http\", path = \"/state\", {QUICK}"));
    let healthy = |world: &World, healthy: bool| {
        let file = world.nginx[0].files().join("state");
        if healthy { std::fs::write(file, "ok").unwrap() } else { std::fs::remove_file(file).unwrap() }
    };
    std::fs::write(world.nginx[1].files().join("state"), "ok").unwrap();
    healthy(&world, true);
    wait_for_states(&world, &["up", "up"]);
    let mut wrk = world.client.namespace.command("wrk");
    wrk.args(["-t1", "-c32", "-d12s", "--timeout", "20s", "http://10.77.0.100/name"]);
    let running = thread::spawn(move || output(&mut wrk).unwrap());
    thread::sleep(Duration::from_secs(1));
    for _ in 0..4 {
        healthy(&world, false);
        wait_for_states(&world, &["down", "up"]);
        let reason = || (backends(&world)[0].1["failure"] == "it answers with status 404").then_some(());
        assert!(wait_for(PATIENCE, reason).is_some(), "{:?}", backends(&world));
        healthy(&world, true);
        wait_for_states(&world, &["up", "up"]);
    }
    let report = running.join().unwrap();
    println!("{report}");
    assert!(!report.contains("Socket errors") && !report.contains("Non-2xx"), "{report}");
}

/// No probe is configured: what clients find is told all the same.
#[test]
fn a_backend_that_answers_no_client_is_told_of() {
    let world = World::new(1, |hosts| NodeConfig::default().service(("tcp", 80, Some(8080)), hosts, ""));
    let [vip, _] = crate::vips(80);
    let knock = |count: usize| {
        world.client.namespace.enter(|| {
            for _ in 0..count {
                let _ = std::net::TcpStream::connect_timeout(&vip, Duration::from_millis(50));
            }
        });
    };
    let says = |text: &str| {
        let found = wait_for(PATIENCE, || {
            knock(4);
            world.node.program.log().contains(text).then_some(())
        });
        assert!(found.is_some(), "{text} in {}", world.node.program.log());
    };
    knock(20);
    assert!(!world.node.program.log().contains("has not answered"), "{}", world.node.program.log());
    let backend = &world.backends[0].namespace;
    backend
        .shell("nft add table ip f; nft add chain ip f in '{ type filter hook input priority 0; }'")
        .unwrap();
    backend.shell("nft add rule ip f in tcp dport 8080 drop").unwrap();
    says("backend 10.77.0.21 of tcp-80-v4 has not answered the last");
    backend.shell("nft delete table ip f").unwrap();
    says("backend 10.77.0.21 of tcp-80-v4 answers clients again");
}
