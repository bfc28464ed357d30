//! The loop around a worker, and what it does when there is nothing to do.

use super::Worker;
use crate::{port::Port, types::Instant};
use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::Duration,
};

/// What a polling thread does in a turn that finds nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idle {
    /// Looks again.
    Spin,
    /// Gives the core's other hardware thread, or its power budget, a moment.
    Pause,
    /// Sleeps, longer the longer nothing comes; for cores that are shared.
    Sleep,
}

/// Turns without work before sleep begins: a busy moment's gaps are bridged awake.
const AWAKE_TURNS: u32 = 64;
/// Shortest and longest sleep.
const SLEEP: (Duration, Duration) = (Duration::from_micros(20), Duration::from_micros(200));

/// How long nothing came.
#[derive(Debug)]
pub struct Rest {
    idle: Idle,
    empty_turns: u32,
}

impl Rest {
    /// Nothing yet.
    pub const fn new(idle: Idle) -> Self {
        Self { idle, empty_turns: 0 }
    }

    /// After a turn that found something, or nothing.
    #[inline]
    pub fn after(&mut self, found: bool) {
        match (self.idle, found) {
            (Idle::Spin, _) => {}
            (_, true) => self.empty_turns = 0,
            (Idle::Pause, false) => std::hint::spin_loop(),
            (Idle::Sleep, false) => self.sleep(),
        }
    }

    fn sleep(&mut self) {
        self.empty_turns = self.empty_turns.saturating_add(1);
        match self.empty_turns.checked_sub(AWAKE_TURNS) {
            None => thread::yield_now(),
            Some(over) => thread::sleep((SLEEP.0 * (over / 16 + 1)).min(SLEEP.1)),
        }
    }
}

/// Set to end loops.
pub type Stop = AtomicBool;

/// Turns the worker until `stop`. `clock` gives the process's time.
pub fn run<P: Port>(worker: &mut Worker<P>, idle: Idle, stop: &Stop, clock: impl Fn() -> Instant) {
    worker.prepare();
    let mut rest = Rest::new(idle);
    while !stop.load(Relaxed) {
        let found = worker.turn(clock());
        rest.after(found);
    }
}
