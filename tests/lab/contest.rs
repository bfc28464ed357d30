//! Side by side with what others do on the same segment.

use hitless_lab::{BfdParameters, Contender, contest};
use std::{path::Path, time::Duration};

/// Each is found to notice and to take over, and not before its time: 150 ms of silence, three advertisements and the skew.
/// `make contest` prints how fast.
#[test]
fn frr_keepalived_and_this_node_notice_and_take_over() {
    let times = BfdParameters { interval_ms: 50, multiplier: 3 };
    for contender in [Contender::Frr(times), Contender::Vrrp { centis: 10 }, Contender::Hitless(times)] {
        let trials = contest(contender, 2, Path::new(env!("CARGO_BIN_EXE_hitless"))).unwrap();
        assert_eq!(trials.len(), 2);
        for trial in trials {
            let bounds = Duration::from_millis(100)..Duration::from_secs(1);
            assert!(bounds.contains(&trial.detection), "{}: {trial:?}", contender.name());
            let moves = !matches!(contender, Contender::Frr(_));
            assert_eq!(trial.takeover.is_some(), moves);
            assert!(trial.takeover.is_none_or(|takeover| bounds.contains(&takeover)), "{trial:?}");
        }
    }
}
