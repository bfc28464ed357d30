//! `[cores]`: which thread runs where, and how it waits.

use super::{
    form::{Form, Section, may},
    kind::{Flag, integer, millis},
    word::{OneOf, words},
};
use crate::types::Duration;

words! {
    /// What a polling thread does when a turn brought nothing.
    Idle {
        /// Polls again at once.
        Spin = "spin",
        /// Polls again after a CPU pause: kinder to the sibling hyperthread.
        Pause = "pause",
        /// Sleeps a little, so that threads can share cores: small machines and labs.
        Sleep = "sleep",
    } later []
}

/// `[cores]`. Cores are numbered as the kernel numbers them, 0 to 1023.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cores {
    /// The control thread's: BFD, HA, session sync.
    pub control: u16,
    /// One worker each, 1 to 64 of them; a worker's place here is its `WorkerId`.
    pub workers: Vec<u16>,
    /// Those the management threads share, 1 to 64 of them.
    pub management: Vec<u16>,
    /// What polling threads do without work.
    pub idle: Idle,
    /// Polling threads run under `SCHED_FIFO`.
    pub realtime: bool,
    /// A worker that does not turn for so long counts as stalled; 10 ms to 60 s.
    pub stall: Duration,
}

impl Default for Cores {
    fn default() -> Self {
        Self {
            control: 0,
            workers: vec![2, 3],
            management: vec![1],
            idle: Idle::Spin,
            realtime: false,
            stall: Duration::from_millis(1000),
        }
    }
}

impl Section for Cores {
    fn keys<F: Form>(&mut self, form: &mut F) {
        let core = || integer(0..=1023);
        form.value(may("control"), &mut self.control, core());
        form.list(may("workers"), &mut self.workers, core(), 1..=64);
        form.list(may("management"), &mut self.management, core(), 1..=64);
        form.value(may("idle"), &mut self.idle, OneOf);
        form.value(may("realtime"), &mut self.realtime, Flag);
        form.value(may("stall_ms"), &mut self.stall, millis(10..=60_000));
    }
}

#[cfg(test)]
mod tests {
    use crate::config::tests::{PORT, expect};

    #[test]
    fn mistakes_in_cores() {
        expect(
            r#"
[cores]
control = "0"
#! 11: cores.control: is "0", allowed is a whole number from 0 to 1023
workers = []
#! 11: cores.workers: has 0 items, allowed is 1 to 64 of them
management = 1
#! 14: cores.management: is 1, allowed is an array [...], each item a whole number from 0 to 1023
idle = "Spin"
#! 8: cores.idle: is "Spin", allowed is "spin", "pause" or "sleep"
realtime = "yes"
#! 12: cores.realtime: is "yes", allowed is true or false
stall_ms = 9
#! 12: cores.stall_ms: is 9, allowed is a whole number from 10 to 60000
stall = 1000
#! 1: cores.stall: unknown key, did you mean stall_ms?
"#,
            &[PORT],
        );
    }

    #[test]
    fn too_many_workers() {
        let workers: Vec<String> = (0..65).map(|core| core.to_string()).collect();
        let document = format!("[cores]\nworkers = [{}]\n", workers.join(", "));
        let said = "#! 11: cores.workers: has 65 items, allowed is 1 to 64 of them\n";
        expect(&(document + said), &[PORT]);
    }
}
