//! `make contest`: who notices the death of its partner, and takes over, how fast. Prints a table and, with
//! `--tsv`, lines for `perf/report`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a table is there to be read")]

use hitless_lab::{BfdParameters, Contender, Result, Trial, contest};
use std::{env, process::ExitCode, time::Duration};

/// Each at the least it accepts or holds, and `hitless` at what FRR holds too.
const CONTENDERS: [Contender; 4] = [
    Contender::Frr(BfdParameters { interval_ms: 10, multiplier: 3 }),
    Contender::Vrrp { centis: 1 },
    Contender::Hitless(BfdParameters { interval_ms: 10, multiplier: 3 }),
    Contender::Hitless(BfdParameters { interval_ms: 1, multiplier: 5 }),
];
const TRIALS: usize = 11;

fn main() -> ExitCode {
    let tsv = env::args().any(|argument| argument == "--tsv");
    match run(tsv) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(tsv: bool) -> Result<()> {
    let binary = env::current_exe()?.with_file_name("hitless");
    if tsv {
        println!(
            "contender\tdetection_min\tdetection_p50\tdetection_max\ttakeover_min\ttakeover_p50\ttakeover_max"
        );
    } else {
        println!(
            "From the last packet of the one that dies, in milliseconds: least / median / most of {TRIALS}."
        );
        println!(
            "Two nodes of each in network namespaces on this machine's shared cores; hitless with idle = \"sleep\".\n"
        );
        println!("{:<28} {:>24} {:>28}", "", "the other says Down", "first gratuitous ARP");
    }
    for contender in CONTENDERS {
        let trials = contest(contender, TRIALS, &binary)?;
        let detections: Vec<Duration> = trials.iter().map(|trial| trial.detection).collect();
        let takeovers: Vec<Duration> = trials.iter().filter_map(|trial: &Trial| trial.takeover).collect();
        let (detection, takeover) = (spread(detections), spread(takeovers));
        let name = contender.name();
        if tsv {
            println!("{name}\t{}\t{}", detection.join("\t"), takeover.join("\t"));
        } else {
            println!("{name:<28} {:>24} {:>28}", detection.join(" / "), takeover.join(" / "));
        }
    }
    Ok(())
}

/// Least, median and most, in milliseconds; dashes of nothing.
fn spread(mut times: Vec<Duration>) -> [String; 3] {
    times.sort_unstable();
    [0, times.len() / 2, times.len().saturating_sub(1)]
        .map(|place| times.get(place).map_or("-".into(), |time| format!("{:.1}", time.as_secs_f64() * 1e3)))
}
