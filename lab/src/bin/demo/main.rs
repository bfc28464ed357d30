//! `make demo`: a client, a load balancer and two backends in network namespaces, real traffic through a virtual IP.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a demo is there to be read")]

mod show;

use hitless_lab::{Host, Lab, Nginx, Node, NodeConfig, Result, fetch, output, remove_own};
use show::{step, table};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

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

fn demo() -> Result<()> {
    let started = Instant::now();
    step("Building the lab: one bridge, a client, a load balancer, two nginx backends");
    let mut lab = Lab::new()?;
    let client = lab.host("client", 1)?;
    let machine = lab.machine("lb1", 11)?;
    let backends = [lab.host("b1", 21)?, lab.host("b2", 22)?];
    let nginx = backends.iter().map(|host| Nginx::start(&lab, host)).collect::<Result<Vec<_>>>()?;
    show::map(&client, &machine, &backends);

    step("hitless run -c lb1/hitless.toml (net_af_packet on a veth, one worker, idle = \"sleep\")");
    let both: Vec<&Host> = backends.iter().collect();
    let config = NodeConfig { workers: vec![1], ..NodeConfig::default() }.service(
        ("tcp", 80, Some(Nginx::PORT)),
        &both,
        "scheduler = \"rr\"",
    );
    let node = Node::start(&lab, &machine, &binary()?, &config)?;
    println!("{}", node.program.log().trim());

    step("curl http://10.77.0.100/name, twelve times, round robin");
    requests(&client)?;
    step("The same over IPv6");
    let answer = output(client.namespace.command("curl").args(["-sSfg", "http://[fd77::100]/name"]))?;
    println!("{}", answer.trim());

    step("A file of 64 MiB");
    for backend in &nginx {
        std::fs::write(backend.files().join("file"), vec![0x5a; 64 << 20])?;
    }
    let format = "%{size_download} bytes in %{time_total} s, status %{http_code}";
    let url = "http://10.77.0.100/file";
    let fetched =
        output(client.namespace.command("curl").args(["-sSf", "-o", "/dev/null", "-w", format, url]))?;
    println!("{fetched}");

    step("hitless get lb -o wide");
    println!("{}", node.hitless("get lb -o wide")?.trim());
    step("hitless get stats: rx = forwarded + to_control + to_kernel + drops");
    println!("{}", table(&node.hitless("get stats")?));
    node.check_books()?;
    drop(node);
    drop(nginx);
    drop(lab);
    step(&format!("Cleaned up. All of it took {:.0} s", started.elapsed().as_secs_f64()));
    Ok(())
}

/// Twelve requests and who answered.
fn requests(client: &Host) -> Result<()> {
    let vip: SocketAddr = VIP.parse().map_err(|_| hitless_lab::Error::Late(VIP.into()))?;
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
