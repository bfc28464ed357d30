//! The loop around the control core.

use super::Control;
use crate::{
    port::Port,
    types::Instant,
    worker::{Idle, Rest, Stop},
};
use std::sync::atomic::Ordering::Relaxed;

/// Turns the control core until `stop`. `clock` gives the process's time.
pub fn run<P: Port>(control: &mut Control<P>, idle: Idle, stop: &Stop, clock: impl Fn() -> Instant) {
    control.prepare();
    let mut rest = Rest::new(idle);
    while !stop.load(Relaxed) {
        let found = control.turn(clock());
        rest.after(found);
    }
}
