//! Cores: they exist, and polling threads do not share one.

use crate::config::{Config, Idle, Machine, report::Report};
use std::collections::{HashMap, HashSet};

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
    use crate::config::tests::{PORT, config, expect};

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
    fn default_cores_must_exist_as_well() {
        let mistakes = Config::parse(PORT.trim_start(), "lb.toml", &Machine::with_cores(2)).unwrap_err();
        assert_eq!(
            mistakes.to_string(),
            "lb.toml:1:1: cores.workers[0]: core 2 does not exist, allowed is 0 to 1\n\
             lb.toml:1:1: cores.workers[1]: core 3 does not exist, allowed is 0 to 1"
        );
    }
}
