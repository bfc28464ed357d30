//! What concerns the whole process: each case in a process of its own.

use crate::{EAL, small};
use hitless::dpdk::{
    self, Device, DeviceError, Eal, EalError, EalOptions, OpenOptions, Pool, PoolOptions, cycles, cycles_hz,
    log,
};
use std::{
    env,
    os::unix::process::CommandExt,
    process::{Command, Output},
};

const CASE: &str = "HITLESS_TEST_CASE";

/// Not a test of its own: the process that the others start.
#[test]
fn child() {
    match env::var(CASE).as_deref() {
        Ok("lifecycle") => lifecycle(),
        Ok("packet out") => packet_out(),
        Ok("bad argument") => bad_argument(),
        Ok("no rights") => no_rights(),
        Ok("hugepages") => hugepages(),
        Ok("second instance") => second_instance(),
        Ok("nic in use") => crate::nic::in_use(),
        Ok("nic") => crate::nic::on_cards(),
        Ok("af_packet") => crate::af_packet::in_namespace(),
        Ok(case) => panic!("no case {case}"),
        Err(_) => {}
    }
}

/// This test program, told to run only `case`, behind the command `wrap`.
pub(crate) fn command(case: &str, wrap: &[&str]) -> Command {
    let program = env::current_exe().expect("the test's own path");
    let mut words = wrap.iter().map(|word| (*word).into()).chain([program.into_os_string()]);
    let mut command = Command::new(words.next().expect("a program"));
    command.args(words).args(["--exact", "process::child", "--nocapture"]).env(CASE, case);
    command
}

/// Runs a case; fails when it fails or when DPDK printed past us.
pub(crate) fn run(mut command: Command) {
    let Output { status, stdout, stderr } = command.output().expect("a process");
    let text = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{text}");
    for raw in ["EAL:", "Usage:", "ETHDEV:", "PMD"] {
        assert!(!text.lines().any(|line| line.starts_with(raw)), "{text}");
    }
}

#[test]
fn the_eal_starts_once() {
    assert!(EAL.register_thread().is_ok());
    assert_eq!(Eal::start(&small()).map(|_| ()), Err(EalError::AlreadyStarted));
}

#[test]
fn a_thread_is_registered_once() {
    let first = EAL.register_thread().expect("an identity");
    assert!(EAL.register_thread().is_err_and(|error| error.to_string().contains("cannot be registered")));
    drop(first);
    assert!(EAL.register_thread().is_ok());
}

#[test]
fn cycles_tick_at_their_rate() {
    LazyHz::force();
    let (first, second) = (cycles(), cycles());
    assert!(second >= first);
    assert!((100_000_000..10_000_000_000).contains(&cycles_hz()), "{}", cycles_hz());
    assert!(dpdk::version().starts_with("DPDK 2"), "{}", dpdk::version());
}

struct LazyHz;

impl LazyHz {
    fn force() {
        let _ = &*EAL;
    }
}

#[test]
fn starts_and_stops_cleanly() {
    run(command("lifecycle", &[]));
}

fn lifecycle() {
    let host_cores = std::thread::available_parallelism().unwrap();
    let eal = Eal::start(&small()).unwrap();
    assert_eq!(std::thread::available_parallelism().unwrap(), host_cores, "the caller's cores stay its own");
    let pool = Pool::create(&eal, &PoolOptions { packets: 1023, mtu: 1500, numa_node: None }).unwrap();
    let port = Device::probe(&eal, "net_ring0", 1).unwrap().open(&OpenOptions::default(), &pool).unwrap();
    // Whatever the order, the EAL goes last.
    drop(eal);
    drop(pool);
    drop(port);
    assert_eq!(Eal::start(&small()).map(|_| ()), Err(EalError::AlreadyStarted));
}

#[test]
fn a_packet_outlives_everything() {
    run(command("packet out", &[]));
}

fn packet_out() {
    use hitless::port::Packet;
    let eal = Eal::start(&small()).unwrap();
    let pool = Pool::create(&eal, &PoolOptions { packets: 1023, mtu: 1500, numa_node: None }).unwrap();
    let mut packet = pool.allocate().unwrap();
    drop((pool, eal));
    assert!(packet.resize(1500));
    packet.data_mut().fill(7);
    assert!(packet.data().iter().all(|&byte| byte == 7));
}

#[test]
fn a_bad_argument_is_named_and_nothing_is_printed() {
    run(command("bad argument", &[]));
}

fn bad_argument() {
    let options = EalOptions { args: vec!["--no-such-option".to_owned()], ..small() };
    let error = Eal::start(&options).map(|_| ()).unwrap_err();
    assert!(matches!(error, EalError::BadArgument { .. }), "{error}");
    assert!(error.to_string().contains("--no-such-option"), "{error}");
    assert!(log::recent().iter().any(|line| line.contains("no-such-option")), "{:?}", log::recent());
    assert_eq!(Eal::start(&small()).map(|_| ()), Err(EalError::AlreadyStarted));
}

/// Before anything is started.
#[test]
fn obstacles_are_found_before() {
    let start = |options: EalOptions| Eal::start(&options).map(|_| ()).unwrap_err();
    let error = start(EalOptions { main_core: 9999, ..small() });
    assert!(error.to_string().starts_with("core 9999 does not exist"), "{error}");
    let error = start(EalOptions { memory_mb: 100_000_000, ..EalOptions::default() });
    assert!(matches!(error, EalError::NoHugePages { wanted_mb: 100_000_000, .. }), "{error}");
    let error = start(EalOptions { args: vec!["a\0b".to_owned()], ..small() });
    assert_eq!(error, EalError::ZeroByte("a\0b".to_owned()));
}

fn huge() -> EalOptions {
    EalOptions { memory_mb: 64, ..EalOptions::default() }
}

fn has_hugepages() -> bool {
    let host = dpdk::Host::read("/".as_ref());
    let has = host.free_huge_mb() >= 256;
    if !has {
        println!("skipped: needs 256 MB of free huge pages");
    }
    has
}

#[test]
fn huge_pages_as_root_and_as_nobody() {
    if !has_hugepages() {
        return;
    }
    run(command("hugepages", &[]));
    if is_root() {
        let mut nobody = command("hugepages", &[]);
        nobody.uid(65534).gid(65534);
        run(nobody);
    }
}

#[test]
fn missing_rights_are_named() {
    let mut nobody = command("no rights", &[]);
    if is_root() {
        nobody.uid(65534).gid(65534);
    }
    run(nobody);
}

fn no_rights() {
    let eal = Eal::start(&small()).unwrap();
    let error = Device::probe(&eal, "net_af_packet0,iface=lo", 1).map(|_| ()).unwrap_err();
    assert!(matches!(error, DeviceError::NotPermitted { .. }), "{error}");
}

fn hugepages() {
    let eal = Eal::start(&huge()).unwrap();
    let pool = Pool::create(&eal, &PoolOptions { packets: 8191, mtu: 1500, numa_node: None }).unwrap();
    assert_eq!(pool.available(), 8191);
}

#[test]
fn a_second_process_with_the_same_prefix_is_told_so() {
    if is_root() && has_hugepages() {
        run(command("second instance", &[]));
    } else {
        println!("skipped: needs root and huge pages");
    }
}

fn second_instance() {
    let options = EalOptions { file_prefix: Some(format!("hitless-test-{}", std::process::id())), ..huge() };
    if let Ok(prefix) = env::var("HITLESS_TEST_PREFIX") {
        let options = EalOptions { file_prefix: Some(prefix.clone()), ..huge() };
        let error = Eal::start(&options).map(|_| ()).unwrap_err();
        assert_eq!(error, EalError::SecondInstance { prefix });
        return;
    }
    let first = Eal::start(&options).unwrap();
    let prefix = options.file_prefix.unwrap();
    let mut second = command("second instance", &[]);
    second.env("HITLESS_TEST_PREFIX", &prefix);
    run(second);
    drop(first);
    let _ = std::fs::remove_dir_all(format!("/var/run/dpdk/{prefix}"));
}

pub(crate) fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|process| std::os::unix::fs::MetadataExt::uid(&process) == 0)
}
