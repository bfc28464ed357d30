//! iperf3 through the VIP: nothing lost, nothing out of order, at a rate the lab carries.

use crate::{AF_XDP, PATIENCE, World};
use hitless_lab::{Namespace, NodeConfig, Program, output};
use serde_json::Value;

fn world(config: NodeConfig) -> (World, Program) {
    let world = World::new(1, |backends| {
        config.service(("tcp", 5201, None), backends, "").service(("udp", 5201, None), backends, "")
    });
    let mut command = world.backends[0].namespace.command("iperf3");
    command.args(["-s", "--forceflush"]);
    let mut server = Program::start("iperf3", command, &world.lab.folder().join("iperf3.log")).unwrap();
    server.wait_for("Server listening", PATIENCE).unwrap();
    (world, server)
}

fn iperf3(world: &World, arguments: &str) -> Value {
    let mut command = world.client.namespace.command("iperf3");
    let text = output(command.args(["-J"]).args(arguments.split(' '))).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn two_workers() -> NodeConfig {
    NodeConfig { workers: vec![0, 1], ..NodeConfig::default() }
}

#[test]
fn tcp_flows_both_ways() {
    tcp_flows(two_workers());
}

#[test]
fn tcp_flows_both_ways_on_af_xdp() {
    tcp_flows(NodeConfig { device: AF_XDP, ..NodeConfig::default() });
}

fn tcp_flows(config: NodeConfig) {
    let (world, _server) = world(config);
    for arguments in ["-c 10.77.0.100 -t 3", "-c fd77::100 -t 3", "-c 10.77.0.100 -t 3 -R"] {
        let report = iperf3(&world, arguments);
        let rate = report["end"]["sum_received"]["bits_per_second"].as_f64().unwrap();
        println!("{arguments}: {:.0} Mbit/s", rate / 1e6);
        assert!(rate > 50e6, "{arguments}: {report}");
    }
    world.node.check_books().unwrap();
}

/// Datagrams that came and found their socket full, of both families: after a moment in which the machine stood still, all of it
/// come at once.
fn overflows(of: &Namespace) -> i64 {
    let v4 = of.shell("cat /proc/net/snmp").unwrap();
    let mut udp = v4.lines().filter_map(|line| line.strip_prefix("Udp: ")).map(str::split_whitespace);
    let (names, values) = (udp.next().unwrap(), udp.next().unwrap());
    let v4 = names.zip(values).find(|(name, _)| *name == "RcvbufErrors").unwrap().1.to_owned();
    let v6 = of.shell("cat /proc/net/snmp6").unwrap();
    let v6 = v6.lines().find_map(|line| line.strip_prefix("Udp6RcvbufErrors")).unwrap().trim().to_owned();
    [v4, v6].iter().map(|number| number.parse::<i64>().unwrap()).sum()
}

#[test]
fn udp_loses_nothing_and_keeps_its_order() {
    let (world, _server) = world(two_workers());
    for arguments in ["-c 10.77.0.100", "-c fd77::100", "-c 10.77.0.100 -R"] {
        let receiver =
            if arguments.ends_with("-R") { &world.client.namespace } else { &world.backends[0].namespace };
        let before = overflows(receiver);
        let report = iperf3(&world, &format!("{arguments} -u -t 3 -l 1200 -b 30M"));
        let sum = &report["end"]["sum"];
        let stream = &report["end"]["streams"][0]["udp"];
        assert!(sum["packets"].as_u64().unwrap() > 5_000, "{report}");
        let overflows = overflows(receiver) - before;
        assert!(
            sum["lost_packets"].as_i64().unwrap() <= overflows,
            "{arguments}: {overflows} for a full socket, of {sum}"
        );
        assert_eq!(stream["out_of_order"].as_i64(), Some(0), "{arguments}");
    }
    world.node.check_books().unwrap();
}
