//! The command line against a node: tables, exit codes, errors in one line.

use crate::{
    http::put,
    node::{CONFIG, Node, Start},
    scratch::Scratch,
};
use std::{
    io::{Read, Write},
    process::{Command, Output, Stdio},
};

struct Cli {
    node: Node,
}

/// What a command did.
struct Done {
    code: i32,
    out: String,
    err: String,
}

fn run(arguments: &[&str]) -> Done {
    let Output { status, stdout, stderr } = Command::new(env!("CARGO_BIN_EXE_hitless"))
        .args(arguments)
        .env_remove("HITLESS_TOKEN")
        .output()
        .unwrap();
    Done {
        code: status.code().unwrap_or(-1),
        out: String::from_utf8(stdout).unwrap(),
        err: String::from_utf8(stderr).unwrap(),
    }
}

impl Done {
    /// The cells of each line of a table.
    fn cells(&self) -> Vec<Vec<&str>> {
        assert_eq!((self.code, self.err.as_str()), (0, ""), "{}", self.out);
        let lines = self.out.lines().filter(|line| line.starts_with('|') && !line.contains("---"));
        lines.map(|line| line.trim_matches('|').split('|').map(str::trim).collect()).collect()
    }

    #[track_caller]
    fn succeeds(&self) {
        assert_eq!((self.code, self.out.trim(), self.err.as_str()), (0, "Success", ""));
    }

    /// Failed with a code and one line that has `text`.
    #[track_caller]
    fn fails(&self, code: i32, text: &str) {
        assert_eq!((self.code, self.out.as_str()), (code, ""), "{}", self.err);
        assert!(self.err.contains(text), "{} lacks {text:?}", self.err);
        if code != 2 {
            assert_eq!(self.err.trim_end().lines().count(), 1, "{}", self.err);
        }
    }
}

impl Cli {
    fn new() -> Self {
        Self { node: Node::default() }
    }

    fn run(&self, line: &str) -> Done {
        let port = self.node.address.port().to_string();
        let mut arguments = vec!["-p", &port];
        arguments.extend(line.split_whitespace());
        run(&arguments)
    }
}

#[test]
fn lb_as_loxicmd_has_it() {
    let cli = Cli::new();
    cli.run("create lb 20.20.20.1 --tcp=2020:8080 --endpoints=192.168.80.31:1,192.168.80.32:1").succeeds();
    cli.run(
        "create lb 20.20.20.1 --select=priority --udp=53:53 --sctp=3868:3868 --tcp=80:8080,81:8081 --tcp=1000-2000:0 \
         --endpoints=192.168.80.31:80 --endpoints=192.168.80.32:20 --name=dns:llb-inst0 --inatimeout=30 \
         --sources=10.0.0.0/8 --secips=20.20.20.2 --monitor --mode=fullnat",
    )
    .succeeds();
    cli.run("create lb fd00::1 --tcp=80:8080-8081 --endpoints=fd80::31:1 --select=hash").succeeds();
    let table = cli.run("get lb");
    let cells = table.cells();
    assert_eq!(
        cells[0],
        ["EXT IP", "PORT", "PROTO", "NAME", "MARK", "SEL", "MODE", "# OF ENDPOINTS", "MONITOR"]
    );
    assert_eq!(cells.len(), 1 + 7);
    assert!(cells.contains(&vec![
        "20.20.20.1",
        "1000-2000",
        "tcp",
        "dns:llb-inst0",
        "0",
        "wrr",
        "fullnat",
        "2",
        "On"
    ]));
    assert!(cells.contains(&vec!["fd00::1", "80", "tcp", "", "0", "maglev", "fullnat", "2", "Off"]));
    let table = cli.run("get lb -o wide --servName dns:llb-inst0");
    let cells = table.cells();
    assert_eq!(cells.len(), 1 + 2 * 5);
    assert_eq!(
        cells[0][..15],
        [
            "EXT IP", "SEC IPS", "SOURCES", "HOST", "PORT", "PROTO", "NAME", "MARK", "SEL", "MODE",
            "ENDPOINT", "EPORT", "WEIGHT", "STATE", "COUNTERS"
        ]
    );
    assert_eq!(cells[2][10..15], ["192.168.80.32", "8080", "20", "active", "0:0"]);
    let json: serde_json::Value = serde_json::from_str(&cli.run("get lb -o json").out).unwrap();
    assert_eq!(json["lbAttr"].as_array().unwrap().len(), 7);
    cli.run("create lb 20.20.20.1 --tcp=2020:8080 --endpoints=192.168.80.33:1 --attachEP").succeeds();
    cli.run("create lb 20.20.20.1 --tcp=2020:8080 --endpoints=192.168.80.31:1 --detachEP").succeeds();
    cli.run("delete lb 20.20.20.1 --tcp=2020").succeeds();
    cli.run("delete lb 20.20.20.1 --tcp=1000-2000").succeeds();
    cli.run("delete lb --name=dns:llb-inst0").succeeds();
    cli.run("delete lb --all").succeeds();
    assert_eq!(cli.run("get lb").cells().len(), 1);
}

#[test]
fn refusals_and_mistakes_have_their_codes() {
    let cli = Cli::new();
    let create = "create lb 20.20.20.1 --tcp=80:8080 --endpoints=192.168.80.31:1";
    cli.run(create).succeeds();
    cli.run(create).fails(1, "identical rule");
    cli.run(&format!("{create} --mode=dsr")).fails(1, "mode 3 (dsr) is not supported");
    cli.run(&format!("{create} --bgp")).fails(1, "does not announce its addresses");
    cli.run("create lb 192.168.80.252 --tcp=80:8080").fails(1, "this node's own address");
    cli.run("create lb 20.20.20.1 --tcp=80").fails(2, "PORT:TARGETPORT");
    cli.run("create lb 20.20.20.1").fails(2, "--tcp");
    cli.run("create lb here --tcp=80:80").fails(2, "invalid");
    cli.run(&format!("{create} --select=random")).fails(2, "write rr, hash, priority, persist or lc");
    cli.run(&format!("{create} --mode=fast")).fails(2, "write fullnat");
    cli.run("delete lb 20.20.20.1").fails(2, "--tcp");
    cli.run("delete lb").fails(2, "");
    cli.run("create bfd 192.168.80.253").fails(1, "this node has no peer");
    cli.run("delete bfd 192.168.80.253").fails(1, "no bfd session");
    cli.run("switchover").fails(1, "this node has no peer");
    cli.run("drain web 192.168.80.31").fails(1, "there is no service web");
    cli.run("get nothing").fails(2, "");
    cli.run("set log-level nonsense").fails(2, "warning");
    cli.run("create ep 192.168.80.31 --probetype=foo").fails(2, "write tcp, udp, ping");
    cli.run("delete ep 192.168.80.31 --probetype=foo").fails(2, "write tcp, udp, ping");
    cli.run(&format!("{create} --monitor --probetype=foo")).fails(2, "write tcp, udp, ping");
    cli.run("set bfd 192.168.80.253 --interval=5").fails(2, "50..=10000000");
    cli.run("create bfd 192.168.80.253 --retryCount=0").fails(2, "1..=255");
    cli.run("get ct --proto foo").fails(2, "write tcp, udp or sctp");
    let nobody = run(&["-p", "1", "get", "lb"]);
    nobody.fails(3, "no hitless answers at 127.0.0.1:1");
    run(&["check", "-c", "/nonexistent.toml"]).fails(2, "/nonexistent.toml: cannot be read");
}

#[test]
fn everything_can_be_read() {
    let cli = Cli::new();
    assert_eq!(cli.run("get hastate").cells(), [vec!["INSTANCE", "HASTATE"], vec!["llb-inst0", "MASTER"]]);
    assert_eq!(cli.run("get bfd").cells(), [vec!["INSTANCE", "REMOTEIP", "STATE"]]);
    assert_eq!(
        cli.run("get bfd -o wide").cells()[0],
        [
            "INSTANCE",
            "REMOTEIP",
            "SOURCEIP",
            "PORT",
            "INTERVAL",
            "RETRY COUNT",
            "STATE",
            "DETECTION",
            "TIMESTAMPS",
            "JITTER P99.9",
            "FLAPS",
            "SOURCE"
        ]
    );
    cli.run("create ep 192.168.80.31 --probetype=http --probeport=8080 --probereq=/health --period=5")
        .succeeds();
    let endpoints = cli.run("get ep");
    assert_eq!(
        endpoints.cells()[0],
        ["HOST", "NAME", "PTYPE", "PORT", "DURATION", "RETRIES", "MINDELAY", "AVGDELAY", "MAXDELAY", "STATE"]
    );
    assert_eq!(endpoints.cells()[1][..4], ["192.168.80.31", "192.168.80.31_http_8080", "http", "8080"]);
    cli.run("delete ep 192.168.80.31 --probetype=http --probeport=8080").succeeds();
    cli.run("set log-level debug").succeeds();
    cli.run("set bfd 192.168.80.253 --interval=100000 --retryCount=2").fails(1, "this node has no peer");
    assert_eq!(cli.run("get port").cells()[1][1], "lan");
    assert_eq!(cli.run("get ct --client 10.0.0.1 --limit 3").cells().len(), 1);
    assert!(cli.run("get stats").cells().iter().any(|row| row[0] == "rx"));
    assert!(cli.run("get neighbor -o wide").cells()[0].contains(&"PINNED"));
    assert!(cli.run("get version").out.starts_with("hitless "));
}

#[test]
fn drain_and_save() {
    let cli = Cli::new();
    let web = r#"{"vip":"192.0.2.1","port":80,"backends":[{"address":"192.168.80.21","port":80},{"address":"192.168.80.22","port":80}]}"#;
    put(cli.node.address, "/hitless/v1/services/web", web).succeeds();
    cli.run("drain web 192.168.80.21 --deadline 600").succeeds();
    let wide = cli.run("get lb -o wide");
    assert!(wide.cells()[1].contains(&"inactive") && wide.cells()[2].contains(&"active"));
    cli.run("drain 192.0.2.1:80/tcp 192.168.80.21:80 --undo").succeeds();
    let scratch = Scratch::new("save");
    let file = scratch.path("saved.toml");
    let said = cli.run(&format!("save -f {}", file.display()));
    assert!(said.code == 0 && said.out.contains("saved to"), "{}", said.err);
    let printed = cli.run("save");
    assert_eq!(printed.out.trim_end(), std::fs::read_to_string(&file).unwrap().trim_end());
    let checked = run(&["check", "-c", &file.display().to_string()]);
    assert!(checked.code == 0 && checked.out.contains("1 service"), "{}{}", checked.out, checked.err);
    cli.run("save -f /nonexistent/x.toml").fails(1, "/nonexistent/x.toml cannot be written");
}

/// Nothing is changed silently, nothing panics, nothing runs for ever.
#[test]
fn benches_refuse_numbers_they_cannot_do() {
    for line in [
        "forward --size 1600",
        "forward --size 9999999",
        "forward --size 20",
        "forward --flows 0",
        "forward --flows 99999999999",
        "forward --backends 0",
        "forward --backends 100000",
        "forward --services 0",
        "forward --services 99999999",
        "forward --workers 0",
        "forward --seconds 0",
        "forward --seconds=-1",
        "forward --seconds nan",
        "forward --seconds inf",
        "forward --burst 0",
        "capture --flows 99999999999 /nonexistent/x.pcap",
        "connect --sessions 0",
        "connect --sessions 99999999999",
        "connect --backends 0",
        "connect --seconds nan",
        "load --percent nan",
        "load --percent 50,-1",
        "load --new-per-second inf",
        "load --flows 0",
        "failover --sessions 0",
        "failover --sessions 10000001",
    ] {
        let words: Vec<&str> = std::iter::once("bench").chain(line.split(' ')).collect();
        run(&words).fails(2, "write a number from");
    }
    run(&["bench", "connect", "--family", "5"]).fails(2, "write 4 or 6");
    let vip = ["bench", "forward", "--ports", "net_null0", "--vip", "fd00::1"];
    run(&vip).fails(2, "write --family 6");
}

#[test]
fn benches_draw_what_they_print_for_people() {
    let scratch = Scratch::new("plots");
    for line in ["forward --seconds 0.05", "connect --seconds 0.05 --sessions 1000"] {
        let plot = scratch.path("plot.svg").display().to_string();
        let words: Vec<&str> =
            std::iter::once("bench").chain(line.split(' ')).chain(["--plot", &plot]).collect();
        let done = run(&words);
        assert!(done.code == 0 && done.out.contains(&format!("plot: {plot}")), "{}{}", done.out, done.err);
        assert!(std::fs::read_to_string(&plot).unwrap().contains("<path"), "{line}");
        std::fs::remove_file(&plot).unwrap();
    }
}

/// Whoever reads the first lines only leaves no trace on stderr.
#[test]
fn a_reader_may_leave_early() {
    for arguments in [&["completion", "bash"][..], &["check", "--show", "-c", "config/single.toml"]] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_hitless"))
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let done = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(!said.contains("panicked") && done.status.code().is_some_and(|code| code != 101), "{said}");
    }
}

#[test]
fn completion_for_each_shell() {
    for shell in ["bash", "zsh", "fish"] {
        let done = run(&["completion", shell]);
        assert!(
            done.code == 0 && done.out.contains("switchover") && done.out.contains("attachEP"),
            "{shell}"
        );
    }
    run(&["completion", "cmd"]).fails(2, "bash");
}

/// A service of the file belongs to the file.
#[test]
fn the_file_s_services_are_not_deleted() {
    let config = CONFIG.to_owned() + "[[service]]\nname = \"web\"\nvip = \"192.0.2.1\"\nport = 80\n";
    let cli = Cli { node: Node::start(Start { config, ..Start::default() }) };
    cli.run("delete lb 192.0.2.1 --tcp=80").fails(1, "defined in the configuration file");
    cli.run("delete lb --all").succeeds();
    assert_eq!(cli.run("get lb").cells().len(), 2);
}

/// On a terminal that `script` makes: drawn until a key says that it is enough.
#[test]
fn top_is_drawn_on_a_terminal_and_on_paper() {
    let cli = Cli::new();
    let web = r#"{"vip":"192.0.2.1","port":80,"backends":[{"address":"192.168.80.21","port":80}]}"#;
    put(cli.node.address, "/hitless/v1/services/web", web).succeeds();
    let paper = cli.run("top --once --interval 0.2");
    for words in ["llb-inst0", "MASTER", "WORKERS", "web", "192.0.2.1:80/tcp", "192.168.80.21:80", "DROPS"] {
        assert!(paper.code == 0 && paper.out.contains(words), "{words}: {}{}", paper.out, paper.err);
    }
    cli.run("top").fails(2, "top --once");
    cli.run("top --interval 0").fails(2, "0.1 to 3600");

    let port = cli.node.address.port();
    let line =
        format!("stty rows 40 cols 120; {} -p {port} top --interval 0.2", env!("CARGO_BIN_EXE_hitless"));
    let mut terminal = Command::new("script")
        .args(["-qefc", &line, "/dev/null"])
        .env("TERM", "xterm")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut keys = terminal.stdin.take().unwrap();
    let mut shown = Vec::new();
    let mut screen = terminal.stdout.take().unwrap();
    let mut some = [0; 4096];
    while !String::from_utf8_lossy(&shown).contains("192.168.80.21:80") {
        let read = screen.read(&mut some).unwrap();
        assert!(read > 0, "{}", String::from_utf8_lossy(&shown));
        shown.extend(&some[..read]);
    }
    keys.write_all(b"jq").unwrap();
    screen.read_to_end(&mut shown).unwrap();
    assert!(terminal.wait().unwrap().success());
    let shown = String::from_utf8_lossy(&shown);
    assert!(
        shown.contains("\u{1b}[?1049h") && shown.contains("\u{1b}[?1049l"),
        "the screen before comes back"
    );
}
