//! Many short connections: none is refused, no local port stays taken.

use crate::{PATIENCE, World, vips};
use hitless_lab::{NodeConfig, fetch};
use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

const CONNECTIONS: usize = 100_000;

#[test]
fn a_hundred_thousand_short_connections() {
    // Room for a few seconds' worth: that many could not be open at a time.
    let world = World::new(2, |backends| {
        NodeConfig { workers: vec![0, 1], max_sessions: 100_000, ..NodeConfig::default() }.service(
            ("tcp", 80, Some(8080)),
            backends,
            "scheduler = \"rr\"",
        )
    });
    let [vip, _] = vips(80);
    let next = AtomicUsize::new(0);
    let failed = world.client.namespace.enter(|| {
        thread::scope(|scope| {
            let clients: Vec<_> = (0..16)
                .map(|_| {
                    scope.spawn(|| {
                        let mut failed = Vec::new();
                        while next.fetch_add(1, Ordering::Relaxed) < CONNECTIONS {
                            match fetch(vip, "/name", PATIENCE) {
                                Ok(answer) if answer.status == 200 => {}
                                other => failed.push(format!("{other:?}")),
                            }
                        }
                        failed
                    })
                })
                .collect();
            clients.into_iter().flat_map(|client| client.join().unwrap()).collect::<Vec<_>>()
        })
    });
    assert!(
        failed.is_empty(),
        "{} of {CONNECTIONS} failed: {:?}",
        failed.len(),
        &failed[..failed.len().min(5)]
    );
    assert!(world.node.counter("sessions_opened").unwrap() >= CONNECTIONS as u64);
    // A port is taken as long as its session is in the table.
    world.node.wait_for_counter("sessions_v4", |sessions| sessions == 0, PATIENCE).unwrap();
    assert_eq!(world.node.counter("sessions_ended").unwrap(), world.node.counter("sessions_opened").unwrap());
    world.node.check_books().unwrap();
}
