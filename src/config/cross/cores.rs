//! Cores: they exist, polling threads do not share one, and nothing takes microseconds from them that need them.

use crate::{
    config::{Config, Idle, Machine, Timing, report::Report},
    types::Duration,
};
use std::collections::{HashMap, HashSet};

/// Beneath this BFD interval, what disturbs a polling thread shows.
const DISTURBED_INTERVAL: Duration = Duration::from_millis(10);

pub(super) fn check(config: &Config, machine: &Machine, report: &mut Report<'_>) {
    let cores = &config.cores;
    let control = ("cores.control".to_owned(), cores.control, "the control thread".to_owned());
    let workers = cores.workers.iter().enumerate();
    let workers = workers.map(|(i, core)| (format!("cores.workers[{i}]"), *core, format!("worker {i}")));
    let polling: Vec<_> = std::iter::once(control).chain(workers).collect();
    let management = cores.management.iter().enumerate();
    let management: Vec<_> = management.map(|(i, core)| (format!("cores.management[{i}]"), *core)).collect();

    let all = polling.iter().map(|(key, core, _)| (key, core)).chain(management.iter().map(|(k, c)| (k, c)));
    for (key, core) in all {
        if report.sound(key) && !machine.has(*core) {
            let text = format!("core {core} does not exist, allowed is {machine}");
            report.mistake(key, text);
        }
    }
    let mut listed = HashSet::new();
    for (key, core) in &management {
        if report.sound(key) && !listed.insert(core) {
            report.mistake(key, format!("core {core} is listed twice, allowed is each core once"));
        }
    }
    if cores.idle != Idle::Sleep && report.sound("cores.idle") {
        no_sharing(&polling, &management, report);
    }
    let hasty = config.ha.iter().flat_map(|ha| &ha.bfd).any(|path| path.interval < DISTURBED_INTERVAL);
    if let Some(timing) = machine.timing()
        && (cores.realtime || hasty)
        && report.sound("cores")
        && report.sound("ha")
    {
        realtime(config, timing, report);
        if cores.idle != Idle::Sleep {
            let polling: Vec<u16> = polling.iter().map(|(_, core, _)| *core).collect();
            undisturbed(&polling, timing, report);
        }
    }
}

fn realtime(config: &Config, timing: &Timing, report: &mut Report<'_>) {
    if config.cores.realtime && timing.rt_runtime_us.is_some_and(|runtime| runtime >= 0) {
        let text = "the kernel stops real-time threads for a part of each second (kernel.sched_rt_runtime_us): a \
                    polling thread would stand still for 50 ms; run sysctl -w kernel.sched_rt_runtime_us=-1";
        report.warning("cores.realtime", text);
    }
}

/// What takes a core from a thread that polls on it.
fn undisturbed(polling: &[u16], timing: &Timing, report: &mut Report<'_>) {
    let such = |disturbed: &dyn Fn(&u16) -> bool| {
        let mut cores: Vec<u16> = polling.iter().copied().filter(disturbed).collect();
        cores.sort_unstable();
        cores.dedup();
        let list: Vec<String> = cores.iter().map(u16::to_string).collect();
        list.join(",")
    };
    let mut warn = |cores: &str, text: &str| {
        if !cores.is_empty() {
            report.warning("cores", &text.replace("CORES", cores));
        }
    };
    warn(
        &such(&|core| !timing.isolated.contains(core)),
        "polls on cores that are not isolated (CORES): other threads run there too and BFD may find its peer late; \
         boot with isolcpus=CORES nohz_full=CORES rcu_nocbs=CORES",
    );
    warn(
        &such(&|core| timing.interrupts.contains_key(core)),
        "polls on cores that interrupts reach (CORES): keep them away with irqaffinity=, or in /proc/irq/*/smp_affinity_list",
    );
    warn(
        &such(&|core| timing.governors.get(core).is_some_and(|governor| governor != "performance")),
        "polls on cores whose frequency changes (CORES): run cpupower -c CORES frequency-set -g performance",
    );
}

fn no_sharing(polling: &[(String, u16, String)], management: &[(String, u16)], report: &mut Report<'_>) {
    let mut users: HashMap<u16, &str> = HashMap::new();
    let refuse = |key: &str, core: u16, user: &str, report: &mut Report<'_>| {
        let text = format!(
            "core {core} is that of {user}, allowed is a core of its own; threads share cores only with \
             idle = \"sleep\""
        );
        report.mistake(key, text);
    };
    for (key, core, user) in polling.iter().filter(|(key, ..)| report.sound(key)).collect::<Vec<_>>() {
        match users.get(core) {
            Some(other) => refuse(key, *core, other, report),
            None => _ = users.insert(*core, user),
        }
    }
    for (key, core) in management {
        if let (true, Some(user)) = (report.sound(key), users.get(core)) {
            refuse(key, *core, user, report);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::{NAT, PORT, config, expect};

    #[test]
    fn polling_threads_do_not_share_cores() {
        expect(
            r#"
[cores]
control = 1
workers = [2, 3, 2, 1]
#! 18: cores.workers[2]: core 2 is that of worker 0, allowed is a core of its own; threads share cores only with idle = "sleep"
#! 21: cores.workers[3]: core 1 is that of the control thread, allowed is a core of its own; threads share cores only with idle = "sleep"
management = [3, 0, 1, 0]
#! 15: cores.management[0]: core 3 is that of worker 1, allowed is a core of its own; threads share cores only with idle = "sleep"
#! 21: cores.management[2]: core 1 is that of the control thread, allowed is a core of its own; threads share cores only with idle = "sleep"
#! 24: cores.management[3]: core 0 is listed twice, allowed is each core once
idle = "pause"
"#,
            &[PORT],
        );
    }

    #[test]
    fn places_are_those_of_the_file_whatever_stands_before() {
        expect(
            r#"
[cores]
workers = ["x", 2, 3,
#! 12: cores.workers[0]: is "x", allowed is a whole number from 0 to 1023
2]
#! 1: cores.workers[3]: core 2 is that of worker 1, allowed is a core of its own; threads share cores only with idle = "sleep"
"#,
            &[PORT],
        );
    }

    #[test]
    fn sleeping_threads_may_share_cores() {
        let shared = "[cores]\ncontrol = 0\nworkers = [0, 0]\nmanagement = [0]\nidle = \"sleep\"\n";
        config(&(shared.to_owned() + PORT));
    }

    #[test]
    fn cores_exist() {
        expect(
            r#"
[cores]
control = 8
#! 11: cores.control: core 8 does not exist, allowed is 0 to 7
workers = [1, 2, 3, 4, 5, 6, 7, 8]
#! 33: cores.workers[7]: core 8 does not exist, allowed is 0 to 7
management = [0, 1023]
#! 18: cores.management[1]: core 1023 does not exist, allowed is 0 to 7
idle = "sleep"
"#,
            &[PORT],
        );
    }

    #[test]
    fn warns_of_what_takes_microseconds_from_polling_threads() {
        let timing = Timing {
            isolated: [2].into(),
            rt_runtime_us: Some(950_000),
            governors: [(0, "powersave".to_owned()), (2, "performance".to_owned())].into(),
            interrupts: [(1, 4), (3, 2)].into(),
        };
        let said = |cores: &str, interval_us: u32| -> Vec<String> {
            let pair = format!(
                "[ha]\npeer = \"10.77.0.12\"\n[[ha.bfd]]\nlocal = \"10.77.0.11\"\nremote = \"10.77.0.12\"\n\
                 interval_us = {interval_us}\n"
            );
            let text = ["[cores]\n", cores, PORT, NAT, &pair].concat();
            let machine = Machine::with_cores(4).timed(timing.clone());
            let checked = Config::check(&text, "lb.toml", &machine);
            assert_eq!(checked.config.map(|_| ()).map_err(|mistakes| mistakes.to_string()), Ok(()));
            checked
                .warnings
                .iter()
                .map(|warning| warning.text.split(&[':', '('][..2]).nth(1).unwrap_or("").trim().to_owned())
                .collect()
        };
        let polls = |what: &str| format!("polls on cores {what}");
        let all = [
            polls("that are not isolated"),
            polls("that interrupts reach"),
            polls("whose frequency changes"),
        ];
        assert_eq!(said("", 1000), all);
        assert_eq!(said("", 10_000), Vec::<String>::new(), "with time enough nothing of it matters");
        assert_eq!(said("realtime = true\n", 10_000).len(), 4);
        assert_eq!(
            said("realtime = true\nidle = \"sleep\"\n", 10_000),
            ["the kernel stops real-time threads for a part of each second"]
        );
        assert_eq!(
            said("control = 2\nworkers = [2]\nmanagement = [2]\nidle = \"sleep\"\n", 1000).len(),
            1,
            "of sleep alone"
        );
    }

    #[test]
    fn default_cores_must_exist_as_well() {
        let mistakes = Config::parse(PORT.trim_start(), "lb.toml", &Machine::with_cores(2)).unwrap_err();
        assert_eq!(
            mistakes.to_string(),
            "lb.toml:1:1: cores.workers[0]: core 2 does not exist, allowed is 0 to 1\n\
             lb.toml:1:1: cores.workers[1]: core 3 does not exist, allowed is 0 to 1"
        );
    }
}
