//! What the parts of the data path cost.
//!
//! `cargo bench --no-default-features --bench data_path`

mod cases;

use criterion::Criterion;
use std::time::Instant;

/// Work is done in batches: no less at a time.
const LEAST: u64 = 1024;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    for &(name, prepare) in cases::ALL {
        let mut work = prepare();
        criterion.bench_function(name, |bencher| {
            bencher.iter_custom(|times| {
                let rounds = times.max(LEAST);
                let start = Instant::now();
                work(rounds);
                start.elapsed().mul_f64(times as f64 / rounds as f64)
            });
        });
    }
    criterion.final_summary();
}
