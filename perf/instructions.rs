//! Instructions of the parts of the data path, counted by callgrind, held against `perf/instructions.txt`.
//!
//! `make instructions` fails when a count has risen by more than 3 %; `make accept-instructions` writes the file
//! anew. The counts depend on the compiler, not on the machine or its load.

mod cases;

use std::{
    collections::BTreeMap,
    env,
    error::Error,
    fs,
    io::{Write, stdout},
    path::PathBuf,
    process::{Command, ExitCode},
};

/// How often each piece of work is done; what takes a millisecond, less often.
const TIMES: u64 = 32_768;
const TIMES_BUILD: u64 = 4;

/// The rise that is no accident.
const TOLERANCE: f64 = 0.03;

type Counts = BTreeMap<String, f64>;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["--case", name] => Ok(run(name)),
        ["--accept"] => write(&count_all()?),
        _ => compare(&read()?, &count_all()?),
    }
}

fn times(name: &str) -> u64 {
    if name.contains("build") { TIMES_BUILD } else { TIMES }
}

/// In the counted process: prepares and does one case.
fn run(name: &str) -> ExitCode {
    let Some((_, prepare)) = cases::ALL.iter().find(|(each, _)| *each == name) else {
        return ExitCode::FAILURE;
    };
    let mut work = prepare();
    // Once before, so that what is done the first time only does not count.
    work(times(name));
    counted_work(&mut work, times(name));
    ExitCode::SUCCESS
}

/// Callgrind counts in here, by this name.
#[inline(never)]
fn counted_work(work: &mut cases::Work, times: u64) {
    work(times);
}

fn count_all() -> Result<Counts, Box<dyn Error>> {
    cases::ALL.iter().map(|(name, _)| Ok(((*name).to_owned(), count(name)?))).collect()
}

fn count(name: &str) -> Result<f64, Box<dyn Error>> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--toggle-collect=*counted_work*"])
        .arg(env::current_exe()?)
        .args(["--case", name])
        .output()
        .map_err(|error| format!("valgrind: {error}: apt-get install valgrind"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let collected = said.lines().find_map(|line| line.split_once("Collected : "));
    match collected.and_then(|(_, number)| number.trim().parse::<u64>().ok()) {
        Some(number) if output.status.success() && number > 0 => Ok(number as f64 / times(name) as f64),
        _ => Err(format!("{name}: valgrind counted nothing: {said}").into()),
    }
}

fn file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("perf/instructions.txt")
}

/// One case a line: count, name.
fn read() -> Result<Counts, Box<dyn Error>> {
    let text = fs::read_to_string(file())?;
    let lines = text.lines().filter_map(|line| line.trim_start().split_once(' '));
    lines.map(|(count, name)| Ok((name.trim().to_owned(), count.parse()?))).collect()
}

fn write(counts: &Counts) -> Result<ExitCode, Box<dyn Error>> {
    let lines: String = counts.iter().map(|(name, count)| format!("{count:12.1} {name}\n")).collect();
    fs::write(file(), &lines)?;
    stdout().write_all(lines.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

fn compare(before: &Counts, now: &Counts) -> Result<ExitCode, Box<dyn Error>> {
    let mut out = stdout().lock();
    let mut worse = 0;
    for (name, count) in now {
        let verdict = match before.get(name) {
            None => "new: `make accept-instructions`".to_owned(),
            Some(old) if *count > old * (1.0 + TOLERANCE) => format!("MORE than {old:.1}"),
            Some(old) => format!("{:+.2} %", (count / old - 1.0) * 100.0),
        };
        worse += u32::from(!verdict.ends_with('%'));
        writeln!(out, "{count:12.1} {name}: {verdict}")?;
    }
    let gone = before.keys().filter(|name| !now.contains_key(*name)).count();
    writeln!(out, "{} cases, {worse} worse or new, {gone} gone", now.len())?;
    Ok(if worse == 0 && gone == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
