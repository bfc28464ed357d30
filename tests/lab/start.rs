//! Starts that cannot succeed, and what the user is told.

use crate::{AF_XDP, PATIENCE, World};
use hitless_lab::{Host, Lab, NodeConfig, Signal};
use std::{fs, process::Output};

const BINARY: &str = env!("CARGO_BIN_EXE_hitless");

/// Runs `hitless run` with a changed configuration until it gives up.
fn refused(lab: &Lab, host: &Host, change: impl FnOnce(String) -> String) -> (Option<i32>, String) {
    let file = lab.folder().join("refused.toml");
    let text = change(NodeConfig::default().text(host, lab.folder()));
    fs::write(&file, text).unwrap();
    let mut command = host.namespace.command(BINARY);
    let Output { status, stderr, .. } = command.arg("run").arg("-c").arg(&file).output().unwrap();
    (status.code(), String::from_utf8(stderr).unwrap())
}

#[test]
fn a_second_instance_is_told_so_and_the_first_goes_on() {
    let world =
        World::new(1, |backends| NodeConfig::default().service(("tcp", 80, Some(8080)), backends, ""));
    let (code, said) = refused(&world.lab, &world.node.host, |text| text);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("api.listen") && said.contains("another hitless"), "{said}");
    // Another API address: now the device is taken.
    let (code, said) = refused(&world.lab, &world.node.host, |text| text.replace("11111", "11112"));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("port lan") && said.contains("another hitless"), "{said}");
    let vip = crate::vips(80)[0];
    let answer = world.client.namespace.enter(|| hitless_lab::fetch(vip, "/name", PATIENCE)).unwrap();
    assert_eq!(answer.text(), "b1\n");
}

#[test]
fn what_cannot_start_says_what_to_do() {
    let mut lab = Lab::new().expect("the lab needs root");
    let host = lab.machine("lb1", 11).unwrap();
    for (from, to, code, words) in [
        ("iface=eth0", "iface=eth7", 1, "eth7"),
        ("net_af_packet0,iface=eth0", "0000:ff:1f.7", 2, "0000:ff:1f.7"),
        ("net_af_packet0,iface=eth0", "net_nonsense0", 1, "net_nonsense0"),
        ("memory_mb = 256", "memory_mb = 256\nargs = [\"--no-such-argument\"]", 1, "--no-such-argument"),
        ("127.0.0.1:11111", "192.0.2.1:11111", 1, "api.listen"),
        ("workers = [0]", "workers = [4000]", 2, "cores.workers"),
        ("memory_mb = 256", "memory_mb = 1", 2, "dpdk.memory_mb"),
        ("mtu = 1500", "mtu = 9000000", 2, "port[0].mtu"),
        ("max_sessions = 100000", "max_sessions = 100000\nmax_session = 5", 2, "max_sessions"),
        ("max_sessions = 100000", "max_sessions = 4000000000", 2, "max_sessions"),
    ] {
        let (status, said) = refused(&lab, &host, |text| text.replace(from, to));
        assert_eq!(status, Some(code), "{to}: {said}");
        assert!(said.contains(words), "{to}: {said}");
        assert!(!said.contains("panicked"), "{to}: {said}");
    }
    // Without huge pages, when they are asked for.
    let none = fs::read_to_string("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages");
    if none.is_ok_and(|free| free.trim() == "0") {
        let (status, said) =
            refused(&lab, &host, |text| text.replace("hugepages = false", "hugepages = true"));
        assert_eq!(status, Some(1), "{said}");
        assert!(said.contains("hugepages"), "{said}");
    }
}

#[test]
fn no_rights_are_named() {
    let mut lab = Lab::new().expect("the lab needs root");
    let host = lab.machine("lb1", 11).unwrap();
    let file = lab.folder().join("unprivileged.toml");
    fs::write(&file, NodeConfig::default().text(&host, lab.folder())).unwrap();
    // The file and the program must be reachable for nobody.
    let binary = lab.folder().join("hitless");
    fs::copy(BINARY, &binary).unwrap();
    let mut command = host.namespace.command("setpriv");
    command.args([
        "--reuid",
        "65534",
        "--regid",
        "65534",
        "--clear-groups",
        "--bounding-set",
        "-all",
        "--inh-caps",
        "-all",
    ]);
    let Output { status, stderr, .. } =
        command.arg(&binary).arg("run").arg("-c").arg(&file).output().unwrap();
    let said = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("CAP_NET_RAW") || said.contains("root"), "{said}");
}

#[test]
fn locked_memory_that_af_xdp_wants_is_named() {
    let mut lab = Lab::new().expect("the lab needs root");
    let host = lab.machine("lb1", 11).unwrap();
    let file = lab.folder().join("locked.toml");
    let config = NodeConfig { device: AF_XDP, ..NodeConfig::default() };
    fs::write(&file, config.text(&host, lab.folder())).unwrap();
    let mut command = host.namespace.command("prlimit");
    command.args(["--memlock=65536", "setpriv", "--bounding-set", "-ipc_lock", "--inh-caps", "-ipc_lock"]);
    let Output { status, stderr, .. } = command.arg(BINARY).arg("run").arg("-c").arg(&file).output().unwrap();
    let said = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("`net_af_xdp0` locks its rings") && said.contains("CAP_IPC_LOCK"), "{said}");
}

#[test]
fn a_signal_ends_it_and_leaves_nothing() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut world =
            World::new(1, |backends| NodeConfig::default().service(("tcp", 80, Some(8080)), backends, ""));
        assert_eq!(runtime_files(world.node.program.pid()), Vec::<String>::new());
        world.node.program.signal(signal);
        let status = world.node.program.wait(PATIENCE).unwrap();
        assert_eq!(status.code(), Some(0), "{}", world.node.program.log());
    }
}

/// Files of DPDK's that the process has open, and so would leave behind.
fn runtime_files(pid: u32) -> Vec<String> {
    let open = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    let paths = open.filter_map(|entry| fs::read_link(entry.path()).ok());
    let names = paths.map(|path| path.display().to_string());
    names.filter(|name| name.contains("/dpdk/") || name.contains("hugepages")).collect()
}

/// The scheduling policy and priority of each thread of a process, by name: `/proc/PID/task/TID/stat`, fields 41 and 40.
fn scheduling(process: u32) -> Vec<(String, (u32, u32))> {
    let stat = |task: fs::DirEntry| {
        let stat = fs::read_to_string(task.path().join("stat")).ok()?;
        let (name, rest) = stat.split_once('(')?.1.rsplit_once(") ")?;
        let field = |number: usize| rest.split(' ').nth(number - 3)?.parse().ok();
        Some((name.to_owned(), (field(41)?, field(40)?)))
    };
    fs::read_dir(format!("/proc/{process}/task")).unwrap().filter_map(|task| stat(task.unwrap())).collect()
}

#[test]
fn polling_threads_run_in_real_time_when_asked_to() {
    const FIFO: u32 = 1;
    for realtime in [true, false] {
        let world = World::new(1, |backends| {
            NodeConfig { realtime, ..NodeConfig::default() }.service(("tcp", 80, Some(8080)), backends, "")
        });
        let threads = scheduling(world.node.program.pid());
        for polling in ["worker0", "control"] {
            let (policy, priority) = threads.iter().find(|(name, _)| name == polling).unwrap().1;
            assert_eq!((policy == FIFO, priority > 0), (realtime, realtime), "{threads:?}");
        }
        let others = threads.iter().filter(|(name, _)| name == "management").collect::<Vec<_>>();
        assert!(!others.is_empty() && others.iter().all(|(_, (policy, _))| *policy == 0), "{threads:?}");
        let answer = world
            .client
            .namespace
            .enter(|| hitless_lab::fetch(crate::vips(80)[0], "/name", PATIENCE))
            .unwrap();
        assert_eq!(answer.text(), "b1\n");
    }
}
