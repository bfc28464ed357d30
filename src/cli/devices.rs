//! `hitless devices`.

use super::{Failure, Output, table};

pub(super) fn run(devices: &[String], output: Output) -> Result<(), Failure> {
    let _ = (devices, output);
    table::say("");
    Err(Failure::Refused(String::new()))
}
