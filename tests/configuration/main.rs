//! The configuration file as users rely on it: the contract's text is accepted to the last key, and the mistakes people
//! make are named with file, line, column, key and what is allowed; through the command line, too.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends where it fails")]

use hitless::{
    config::{
        BfdAuthKind, BfdPeer, ClientAddress, Config, GatewayCheck, Idle, Instance, Machine, Mode, Probe,
        Scheduler,
    },
    types::{Duration, Protocol},
};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Word for word what the contract shows.
const CONTRACT: &str = include_str!("contract.toml");

fn four_cores() -> Machine {
    Machine::with_cores(4)
}

#[track_caller]
fn accepted(text: &str) -> Config {
    Config::parse(text, "lb.toml", &four_cores()).unwrap_or_else(|mistakes| panic!("{mistakes}\n{text}"))
}

/// The contract's text with a piece of it written otherwise.
#[track_caller]
fn with(from: &str, to: &str) -> String {
    assert_eq!(CONTRACT.matches(from).count(), 1, "{from}");
    CONTRACT.replace(from, to)
}

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

#[test]
fn the_contract_s_text_means_what_it_says() {
    let config = accepted(CONTRACT);
    assert_eq!(config.node.name, "lb1");
    assert_eq!((config.dpdk.hugepages, config.dpdk.memory_mb, config.dpdk.args.len()), (true, 1024, 0));
    assert_eq!(
        (config.cores.control, &config.cores.workers[..], &config.cores.management[..]),
        (0, &[2, 3][..], &[1][..])
    );
    assert_eq!((config.cores.idle, config.cores.realtime), (Idle::Spin, false));
    let [port] = &config.ports[..] else { panic!("one port") };
    assert_eq!((&port.name[..], &port.device[..], port.mtu, port.vlan), ("lan", "0000:3b:00.0", 1500, 0));
    assert_eq!(port.addresses, ["10.77.0.11/24", "fd77::11/64"].map(|own| own.parse().unwrap()));
    assert_eq!(port.kernel_interface.as_deref(), Some("hl-lan"));
    let [route] = &config.routes[..] else { panic!("one route") };
    assert_eq!((route.to.to_string(), route.via.to_string()), ("0.0.0.0/0".into(), "10.77.0.1".into()));
    let locals: Vec<String> =
        config.nat.local_addresses.iter().map(|local| local.address.to_string()).collect();
    assert_eq!(locals, ["10.77.0.40", "10.77.0.41", "fd77::40"]);
    assert_eq!((config.nat.ports.ports(), config.nat.max_sessions), (1024..=65535, 1_000_000));
    let [service] = &config.services[..] else { panic!("one service") };
    assert_eq!((&service.name[..], &service.instance[..]), ("web", "llb-inst0"));
    assert_eq!((service.vip.to_string(), service.port.ports()), ("10.77.0.100".into(), 80..=80));
    assert_eq!(
        (service.protocol, service.mode, service.scheduler),
        (Protocol::Tcp, Mode::FullNat, Scheduler::Maglev)
    );
    assert_eq!((service.idle_timeout, service.allowed_sources.len()), (Duration::from_secs(1800), 0));
    assert_eq!(service.client_address, ClientAddress::None);
    let backends: Vec<_> =
        service.backends.iter().map(|one| (one.address.to_string(), one.port, one.weight)).collect();
    assert_eq!(backends, [("10.77.0.21".into(), Some(8080), 1), ("10.77.0.22".into(), Some(8080), 1)]);
    let health = &service.health;
    assert_eq!((health.probe, health.interval, health.timeout), (Probe::Tcp, millis(1000), millis(500)));
    assert_eq!((health.rise, health.fall), (2, 3));
    let ha = config.ha.as_ref().unwrap();
    assert_eq!(ha.instances, [Instance { name: "llb-inst0".into(), priority: 100 }]);
    assert_eq!(
        (ha.peer, ha.preempt, ha.lone_start),
        (Some("10.77.0.12".parse().unwrap()), false, millis(3000))
    );
    assert_eq!(ha.gateway_check, ["10.77.0.1".parse::<std::net::IpAddr>().unwrap()]);
    assert_eq!((ha.gateway_check_type, ha.lease, ha.virtual_mac), (GatewayCheck::Arp, Duration::ZERO, false));
    assert_eq!(ha.garp_repeat, [0, 20, 100, 500, 2000].map(millis));
    assert_eq!((ha.garp_refresh, &ha.notify), (Duration::from_secs(60), &None));
    let [path] = &ha.bfd[..] else { panic!("one path") };
    assert_eq!((path.local.to_string(), path.remote.to_string()), ("10.77.0.11".into(), "10.77.0.12".into()));
    assert_eq!((path.interval, path.multiplier), (millis(1), 3));
    assert_eq!((path.compatible, &path.auth), (BfdPeer::Standard, &None));
    assert_eq!((ha.sync.enabled, &ha.sync.key_file), (true, &None));
    assert_eq!(config.api.listen.to_string(), "127.0.0.1:11111");
    assert_eq!(config.api.state_file.as_deref(), Some(Path::new("/var/lib/hitless/state.json")));
}

/// Every key of the contract is one that is read: a letter less is named as unknown, and the right one is found.
#[test]
fn every_key_of_the_contract_is_known_and_found_when_misspelt() {
    let mut keys = 0;
    for (number, line) in CONTRACT.lines().enumerate() {
        let Some((key, rest)) = line.split_once(" = ").filter(|(key, _)| !key.starts_with(['#', ' '])) else {
            continue;
        };
        keys += 1;
        let misspelt = format!("{key}x = {rest}");
        let text: Vec<&str> = CONTRACT
            .lines()
            .enumerate()
            .map(|(at, line)| if at == number { &misspelt } else { line })
            .collect();
        let mistakes = Config::parse(&text.join("\n"), "lb.toml", &four_cores()).unwrap_err().to_string();
        let place = format!("lb.toml:{}:1: ", number + 1);
        let named = mistakes.lines().find(|line| line.starts_with(&place) && line.contains("unknown key"));
        let named = named.unwrap_or_else(|| panic!("{misspelt}: {mistakes}"));
        assert!(named.ends_with(&format!("did you mean {key}?")), "{named}");
    }
    assert!(keys > 45, "only {keys} keys were tried");
}

/// What the contract says in its comments and beneath the text.
#[test]
fn every_alternative_of_the_contract_is_accepted() {
    for (from, to) in [
        ("hugepages = true ", "hugepages = false "),
        ("args = []", "args = [\"--log-level=8\", \"--single-file-segments\"]"),
        ("idle = \"spin\"", "idle = \"pause\""),
        ("idle = \"spin\"", "idle = \"sleep\""),
        ("realtime = false", "realtime = true"),
        ("\"0000:3b:00.0\" ", "\"net_af_packet0,iface=veth0\" "),
        ("vlan = 0 ", "vlan = 4094 "),
        ("mtu = 1500", "mtu = 9000"),
        ("kernel_interface = \"hl-lan\"", "kernel_interface = \"\""),
        ("ports = \"1024-65535\"", "ports = \"20000-29999\""),
        ("protocol = \"tcp\"", "protocol = \"udp\""),
        ("protocol = \"tcp\"", "protocol = \"sctp\""),
        ("scheduler = \"maglev\"", "scheduler = \"rr\""),
        ("scheduler = \"maglev\"", "scheduler = \"wrr\""),
        ("scheduler = \"maglev\"", "scheduler = \"lc\""),
        ("scheduler = \"maglev\"", "scheduler = \"sh\""),
        ("allowed_sources = []", "allowed_sources = [\"198.51.100.0/24\", \"203.0.113.7/32\"]"),
        ("type = \"tcp\" ", "type = \"none\" "),
        ("type = \"tcp\" ", "type = \"udp\" "),
        ("type = \"tcp\" ", "type = \"ping\" "),
        ("type = \"tcp\" ", "path = \"/\"\nexpect_status = [200]\ntype = \"http\" "),
        ("type = \"tcp\" ", "path = \"/alive\"\nexpect_status = [200, 204]\ntype = \"https\" "),
        ("preempt = false", "preempt = true"),
        ("gateway_check_type = \"arp\"", "gateway_check_type = \"bfd-echo\""),
        ("gateway_check_type = \"arp\"", "gateway_check_type = \"ping\""),
        ("lease_ms = 0 ", "lease_ms = 50 "),
        ("virtual_mac = false", "virtual_mac = true"),
        ("interval_us = 1000 ", "interval_us = 50 "),
        ("interval_us = 1000 ", "interval_us = 10_000_000 "),
        ("multiplier = 3 ", "multiplier = 255 "),
        ("# auth = ", "auth = "),
        ("# compatible = ", "compatible = "),
        ("enabled = true", "enabled = false"),
        // A range of ports, with backends that follow it.
        ("port = 80 ", "port = \"1000-2000\" "),
    ] {
        let mut text = with(from, to);
        if to.contains("1000-2000") {
            text = text.replace(", port = 8080", "");
        }
        accepted(&text);
    }
    let auth = accepted(&with("# auth = ", "auth = ")).ha.unwrap().bfd[0].auth.clone().unwrap();
    assert_eq!((auth.kind, auth.key_id), (BfdAuthKind::MeticulousSha1, 1));
    assert_eq!(auth.key_file, PathBuf::from("/etc/hitless/bfd.key"));
    let loxilb = accepted(&with("# compatible = ", "compatible = ")).ha.unwrap().bfd[0].compatible;
    assert_eq!(loxilb, BfdPeer::Loxilb);
}

/// Several instances, as the contract writes them.
#[test]
fn instances_are_tables() {
    let text = with("instance = \"llb-inst0\"\npeer", "peer")
        .replace("priority = 100                    # higher wins at cold start\n", "")
        .replace(
            "instance = \"llb-inst0\"            # HA instance",
            "instance = \"blue\"                 # HA instance",
        )
        .replace(
            "[\"10.77.0.40\", \"10.77.0.41\", \"fd77::40\"]",
            "[{ address = \"10.77.0.41\", instance = \"blue\" }]",
        );
    let tables = "\n[[ha.instance]]\nname = \"red\"\npriority = 100\n[[ha.instance]]\nname = \"blue\"\npriority = 50\n";
    let config = accepted(&(text + tables));
    let names: Vec<_> = config.instances().iter().map(|one| (&one.name[..], one.priority)).collect();
    assert_eq!(names, [("red", 100), ("blue", 50)]);
    assert_eq!(config.services[0].instance, "blue");
    assert_eq!(config.nat.local_addresses[0].instance, "blue");
}

/// A node alone has no [ha], and sleeping threads may share a core.
#[test]
fn a_lone_node_on_one_core_is_accepted() {
    let (alone, _) = CONTRACT.split_once("[ha]").unwrap();
    let text = alone
        .replace("workers = [2, 3]", "workers = [0]")
        .replace("management = [1]", "management = [0]")
        .replace("idle = \"spin\"", "idle = \"sleep\"");
    let config = Config::parse(&text, "lb.toml", &Machine::with_cores(1)).unwrap();
    assert_eq!(config.ha, None);
}

/// The mistakes that people make most, each with its place and the way out.
#[test]
fn mistakes_are_named_with_their_place_and_what_is_allowed() {
    let line_of = |text: &str, what: &str| text.lines().position(|line| line.contains(what)).unwrap() + 1;
    let second =
        |vip: &str| format!("{CONTRACT}\n[[service]]\nname = \"second\"\nvip = \"{vip}\" # 2\nport = 80\n");
    let cases: Vec<(&str, String, String)> = vec![
        (
            "virtual addresses that overlap",
            second("10.77.0.100"),
            "LINE:7: service[1].vip: 10.77.0.100 tcp port 80 is also that of service \"web\" (line FIRST, port 80), \
             allowed is a vip, protocol or port of its own"
                .replace("LINE", &line_of(&second("x"), "# 2").to_string())
                .replace("FIRST", &line_of(CONTRACT, "vip = ").to_string()),
        ),
        (
            "a backend that is a virtual address",
            with("\"10.77.0.22\", port", "\"10.77.0.100\", port"),
            format!(
                "{}:15: service[0].backends[1].address: 10.77.0.100 is taken by service[0].vip (line {}), allowed is \
                 an address used for nothing else",
                line_of(CONTRACT, "\"10.77.0.22\", port"),
                line_of(CONTRACT, "vip = ")
            ),
        ),
        (
            "a local address outside every subnet",
            with("\"10.77.0.41\"", "\"10.78.0.41\""),
            format!(
                "{}:34: nat.local_addresses[1]: 10.78.0.41 is in no port's subnet, allowed is an address in \
                 10.77.0.0/24",
                line_of(CONTRACT, "local_addresses")
            ),
        ),
        (
            "two workers on one core",
            with("workers = [2, 3]", "workers = [2, 2]"),
            format!("{}:15: cores.workers[1]: ", line_of(CONTRACT, "workers = ")),
        ),
        (
            "more cores than there are",
            with("workers = [2, 3]", "workers = [2, 4]"),
            format!(
                "{}:15: cores.workers[1]: core 4 does not exist, allowed is 0 to 3",
                line_of(CONTRACT, "workers = ")
            ),
        ),
        (
            "an unknown key",
            with("scheduler = ", "schedular = "),
            format!("{}:1: service[0].schedular: unknown key, did you mean scheduler?", line_of(CONTRACT, "scheduler")),
        ),
        (
            "two families in one service",
            with("\"10.77.0.21\", port", "\"fd77::21\", port"),
            format!(
                "{}:15: service[0].backends[0].address: fd77::21 is IPv6 but the vip is IPv4, allowed is IPv4: one \
                 service does not translate between families yet",
                line_of(CONTRACT, "\"10.77.0.21\", port")
            ),
        ),
    ];
    for (what, text, expected) in &cases {
        let mistakes = Config::parse(text, "lb.toml", &four_cores()).unwrap_err().to_string();
        assert_eq!(mistakes.lines().count(), 1, "{what}: {mistakes}");
        assert!(
            mistakes.starts_with(&format!("lb.toml:{expected}")),
            "{what}:\n{mistakes}\nlb.toml:{expected}"
        );
        assert!(mistakes.contains("allowed is") || mistakes.contains("did you mean"), "{what}: {mistakes}");
    }
    // All of them in one file are all named, in the order of their lines.
    let all = with("\"10.77.0.41\"", "\"10.78.0.41\"")
        .replace("workers = [2, 3]", "workers = [2, 2]")
        .replace("scheduler = ", "schedular = ")
        .replace("\"10.77.0.22\", port", "\"10.77.0.100\", port");
    let mistakes = Config::parse(&all, "lb.toml", &four_cores()).unwrap_err();
    let keys: Vec<&str> = mistakes.0.iter().map(|mistake| &mistake.key[..]).collect();
    assert_eq!(
        keys,
        [
            "cores.workers[1]",
            "nat.local_addresses[1]",
            "service[0].schedular",
            "service[0].backends[1].address"
        ]
    );
}

/// A file of this test alone.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("hitless-{}-{name}.toml", std::process::id()));
        fs::write(&path, text).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn check(file: &Path, more: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_hitless"))
        .args(["check", "-c"])
        .arg(file)
        .args(more)
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// `hitless check` on a machine of any size: exit codes, and where what is said goes.
#[test]
fn the_command_says_what_is_wrong_and_where() {
    let on_core_0 = |text: &str| {
        text.replace("workers = [2, 3]", "workers = [0]")
            .replace("management = [1]", "management = [0]")
            .replace("idle = \"spin\"", "idle = \"sleep\"")
    };
    // A pair that watches its peer every millisecond on a thread that sleeps is warned of.
    let good = Scratch::new("good", &on_core_0(CONTRACT));
    let (code, _, err) = check(&good.0, &[]);
    let warned = err.starts_with(&format!("{}:70:1: ha.bfd: warning: ", good.0.display()));
    assert!(code == Some(0) && warned && err.lines().count() == 1, "{err}");
    let good = Scratch::new("good", &on_core_0(&with("interval_us = 1000 ", "interval_us = 10000 ")));
    let (code, out, err) = check(&good.0, &[]);
    assert_eq!((code, &err[..]), (Some(0), ""));
    assert!(out.contains("good: 1 port, 1 worker, 1 service, 2 backends"), "{out}");
    // What it shows is a file again, and says the same.
    let (code, shown, _) = check(&good.0, &["--show"]);
    assert_eq!(code, Some(0));
    let again = Scratch::new("shown", &shown);
    assert_eq!(check(&again.0, &["--show"]), (Some(0), shown, String::new()));

    let bad = Scratch::new(
        "bad",
        &on_core_0(&with("\"10.77.0.41\"", "\"10.78.0.41\"").replace("preempt", "prempt")),
    );
    let (code, out, err) = check(&bad.0, &[]);
    assert_eq!((code, &out[..]), (Some(2), ""));
    let file = bad.0.display();
    let lines: Vec<&str> = err.lines().collect();
    let [first, second] = lines[..] else { panic!("two mistakes: {err}") };
    assert!(
        first.starts_with(&format!("{file}:")) && first.contains(": nat.local_addresses[1]: "),
        "{first}"
    );
    assert!(second.starts_with(&format!("{file}:")) && second.ends_with("did you mean preempt?"), "{second}");
    let (code, _, err) = check(Path::new("/nonexistent/lb.toml"), &[]);
    assert_eq!((code, err.lines().count()), (Some(2), 1), "{err}");
}

/// The examples users start from.
#[test]
fn both_examples_load() {
    for example in ["single.toml", "pair.toml"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(example);
        let checked = Config::check_file(&path, &four_cores());
        assert!(checked.warnings.is_empty(), "{:?}", checked.warnings);
        if let Err(mistakes) = checked.config {
            panic!("{mistakes}");
        }
    }
}
