//! `make demo`: a client, two load balancers and two backends in network namespaces, real traffic through a virtual
//! IP, and the death of the node that serves it.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a demo is there to be read")]

mod show;
mod watch;

use hitless_lab::{
    BfdParameters, Host, Lab, Nginx, Node, NodeConfig, Result, fetch, output, remove_own, wait_for,
};
use show::{step, table};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};
use watch::Watch;

const LIMIT: Duration = Duration::from_secs(20);
const VIP: &str = "10.77.0.100:80";

fn main() -> ExitCode {
    clean_up_on_signals();
    match demo() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Ctrl-C takes everything away before it ends the demo.
fn clean_up_on_signals() {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    if let Ok(mut signals) = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP]) {
        std::thread::spawn(move || {
            if signals.forever().next().is_some() {
                eprintln!("\ncleaning up");
                remove_own();
                std::process::exit(130);
            }
        });
    }
}

/// `hitless`, built beside this program.
fn binary() -> Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name("hitless"))
}

/// Detection after 100 ms: the machine of a demo may stand still for some of them.
const TIMES: BfdParameters = BfdParameters { interval_ms: 20, multiplier: 5 };
/// What the download has: 8 s of it.
const FILE: usize = 32 << 20;

fn demo() -> Result<()> {
    let started = Instant::now();
    step("Building the lab: one bridge, a client, two load balancers, two nginx backends");
    let mut lab = Lab::new()?;
    let client = lab.host("client", 1)?;
    let machines = [lab.machine("lb1", 11)?, lab.machine("lb2", 12)?];
    let backends = [lab.host("b1", 21)?, lab.host("b2", 22)?];
    let nginx = backends.iter().map(|host| Nginx::start(&lab, host)).collect::<Result<Vec<_>>>()?;
    for backend in &nginx {
        std::fs::write(backend.files().join("file"), vec![0x5a; FILE])?;
    }
    show::map(&client, &machines, &backends);

    step("hitless run, twice (net_af_packet on a veth, one worker each, idle = \"sleep\", shared cores)");
    let both: Vec<&Host> = backends.iter().collect();
    let mut nodes = Vec::new();
    for (own, peer, priority) in [(0, 1, 200), (1, 0, 100)] {
        let config = NodeConfig { workers: vec![own as u16], ..NodeConfig::default() }
            .service(("tcp", 80, Some(Nginx::PORT)), &both, "scheduler = \"rr\"")
            .paired(&machines[own], &machines[peer], TIMES, &format!("priority = {priority}"));
        nodes.push(Node::start(&lab, &machines[own], &binary()?, &config)?);
    }
    nodes[0].wait_for_state("MASTER", LIMIT)?;
    nodes[1].wait_until_ready(LIMIT)?;
    for node in &nodes {
        println!("{}:", node.host.name);
        println!("{}", node.hitless("get hastate")?.trim_end());
        println!("{}", node.hitless("get bfd -o wide")?.trim_end());
    }

    step("curl http://10.77.0.100/name, twelve times, round robin");
    requests(&client)?;
    step("The same over IPv6");
    let answer = output(client.namespace.command("curl").args(["-sSfg", "http://[fd77::100]/name"]))?;
    println!("{}", answer.trim());

    step("kill -9 of the MASTER, lb1, during requests and a download of 32 MiB");
    let watch = Watch::start(&lab, &client, vip()?, "kill")?;
    thread::sleep(Duration::from_secs(2));
    let killed = watch::now();
    nodes[0].program.kill();
    nodes[1].wait_for_state("MASTER", LIMIT)?;
    println!("lb2: {}", nodes[1].hitless("get hastate")?.trim_end().replace('\n', "\n     "));
    let seen = watch.finish()?;
    let log = nodes[1].program.log();
    let said = log.lines().rfind(|line| line.contains("last heard")).unwrap_or_default();
    println!("{}", said.trim());
    show::seen(&seen, killed);

    step("lb1 comes back: BACKUP, and copies the sessions");
    nodes[0].restart()?;
    nodes[0].wait_until_ready(LIMIT)?;
    println!("{}", nodes[0].hitless("get hastate")?.trim_end());

    step("hitless switchover on the MASTER, during the same");
    let watch = Watch::start(&lab, &client, vip()?, "switchover")?;
    thread::sleep(Duration::from_secs(2));
    let asked = watch::now();
    // Refused by the BACKUP, and for a moment while a range of sessions is being compared again. On a busy machine lb2 can be
    // silent for long enough that lb1 is the MASTER by now.
    let ask = || nodes.iter().rev().find_map(|node| Some((node, node.hitless("switchover").ok()?)));
    let (from, said) = match wait_for(LIMIT, ask) {
        Some(done) => done,
        None => (&nodes[1], nodes[1].hitless("switchover")?),
    };
    println!("{}: {}", from.host.name, said.trim_end());
    let heir = nodes.iter().find(|node| node.host.name != from.host.name).unwrap_or(from);
    heir.wait_for_state("MASTER", LIMIT)?;
    let seen = watch.finish()?;
    show::seen(&seen, asked);

    step(&format!("hitless get lb -o wide, on {}", heir.host.name));
    println!("{}", heir.hitless("get lb -o wide")?.trim());
    step("hitless get stats: rx = forwarded + to_control + to_kernel + drops");
    println!("{}", table(&heir.hitless("get stats")?));
    nodes.iter().try_for_each(Node::check_books)?;
    drop(nodes);
    drop(nginx);
    drop(lab);
    step(&format!("Cleaned up. All of it took {:.0} s", started.elapsed().as_secs_f64()));
    Ok(())
}

fn vip() -> Result<SocketAddr> {
    VIP.parse().map_err(|_| hitless_lab::Error::Late(VIP.into()))
}

/// Twelve requests and who answered.
fn requests(client: &Host) -> Result<()> {
    let vip = vip()?;
    let mut counts = BTreeMap::<String, usize>::new();
    let mut line = Vec::new();
    for _ in 0..12 {
        let answer = client.namespace.enter(|| fetch(vip, "/name", LIMIT))?;
        let name = answer.text().trim().to_owned();
        *counts.entry(name.clone()).or_default() += 1;
        line.push(name);
    }
    println!("{}", line.join(" "));
    let shares: Vec<String> = counts.iter().map(|(name, count)| format!("{name} answered {count}")).collect();
    println!("{}", shares.join(", "));
    Ok(())
}
