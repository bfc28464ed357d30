//! Pictures of looks that were made up.

use super::{Choice, KeyCode, KeyModifiers, Look, PAPER, Picture, obey, on_paper};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// A node that has forwarded so many packets.
fn look(at: Instant, packets: u64, latest_ns: u64) -> Look {
    let worker = |share: u64| {
        json!({
            "received": packets / share, "rx_bytes": 64 * packets / share, "turns": 2 * packets, "busy_turns": packets / share,
            "busy_nanos": 50 * packets / share, "longest_turn_nanos": 41_500, "sessions_v4": 1000, "sessions_v6": 24,
            "dropped": packets / 1000,
        })
    };
    let backend = |last: u8, state: &str| {
        json!({
            "address": format!("10.77.0.{last}"), "port": 8080, "weight": 1, "state": state, "sessions": 512,
            "sessions_total": packets / 10, "packets": packets / 2, "bytes": 32 * packets,
        })
    };
    Look {
        at,
        version: json!({"version": "9.9.9"}),
        stats: json!({
            "workers": [worker(1), worker(2)],
            "total": {
                "rx": packets, "rx_bytes": 64 * packets, "sessions_opened": packets / 10, "sessions_v4": 2000, "sessions_v6": 48,
                "drops": {"no_service": packets / 1000, "rate_limited": 0, "bad_checksum": 7},
            },
            "tsc_hz": 2_000_000_000_u64,
        }),
        services: json!({"services": [
            {"service": {"name": "web", "vip": "10.77.0.100", "port": 80, "protocol": "tcp"},
             "backends": [backend(21, "up"), backend(22, "down")]},
            {"service": {"name": "dns", "vip": "fd77::100", "port": "53", "protocol": "udp"}, "backends": []},
        ], "waiting": []}),
        bfd: json!({"Attr": [{
            "remoteIp": "10.77.0.12", "state": "BFDUp", "interval": 50, "detectionUs": 150, "flaps": 1,
        }]}),
        instances: json!({"Attr": [
            {"instance": "llb-inst0", "state": "MASTER", "term": 7, "role": "ACTIVE"},
            {"instance": "blue", "state": "BACKUP", "term": 9, "role": "STANDBY", "ready": true},
        ]}),
        histograms: json!({"bfd": [{
            "remote": "10.77.0.12", "receivedLate": {"buckets": [[1000, packets], [latest_ns, 1]]},
        }]}),
    }
}

fn picture(seconds: u64) -> Picture {
    let start = Instant::now();
    let (before, after) = (
        look(start, 5_000_000, 20_000),
        look(start + Duration::from_secs(seconds), 5_000_000 + seconds * 2_000_000, 90_000),
    );
    Picture::new(&before, &after, None)
}

/// The line that has all these words in this order.
fn line<'a>(paper: &'a str, words: &[&str]) -> &'a str {
    let found = paper.lines().find(|line| {
        let mut rest = *line;
        words.iter().all(|word| match rest.split_once(word) {
            Some((_, after)) => {
                rest = after;
                true
            }
            None => false,
        })
    });
    found.unwrap_or_else(|| panic!("no line with {words:?} in\n{paper}"))
}

#[test]
fn the_picture_has_rates_of_what_happened_in_between() {
    let paper = on_paper(&picture(2), PAPER);
    line(&paper, &["hitless 9.9.9", "2.00 M packets/s", "1.02 Gbit/s", "2.05 k sessions", "200 k new/s"]);
    line(&paper, &["llb-inst0", "MASTER", "7", "ACTIVE"]);
    line(&paper, &["blue", "BACKUP", "9", "ready to take over"]);
    line(&paper, &["10.77.0.12", "BFDUp", "50 us", "150 us", "1", "90 us"]);
    line(&paper, &["0", "2.00 M", "1.02 Gbit/s", "100", "50.0 %", "1.02 k", "2.00 k", "42 us"]);
    line(&paper, &["1", "1.00 M", "512 Mbit/s", "100", "25.0 %"]);
    line(&paper, &["web", "10.77.0.100:80/tcp", "1 of 2 up", "1.02 k", "400 k", "2.00 M", "1.02 Gbit/s"]);
    line(&paper, &["10.77.0.22:8080", "down", "512", "200 k", "1.00 M"]);
    line(&paper, &["dns", "[fd77::100]:53/udp", "0 of 0 up"]);
    line(&paper, &["no_service", "2.00 k/s", "9000 in all"]);
    line(&paper, &["bad_checksum", "0/s", "7 in all"]);
    assert!(!paper.contains("rate_limited"), "what never happened is not shown\n{paper}");
}

#[test]
fn sparklines_go_on_from_look_to_look_and_counters_may_be_set_back() {
    let start = Instant::now();
    let looks: Vec<Look> = (0..200)
        .map(|second| {
            look(start + Duration::from_secs(second), 1_000_000 * (second % 100), 1000 * (second + 2))
        })
        .collect();
    let mut last: Option<Picture> = None;
    for pair in looks.windows(2) {
        let picture = Picture::new(&pair[0], &pair[1], last.as_ref());
        assert!(picture.packets <= 1e6, "{}", picture.packets);
        last = Some(picture);
    }
    let late = &last.unwrap().paths[0].late_us;
    assert_eq!(late.len(), super::look::REMEMBERED);
    assert_eq!(late.back(), Some(&201));
}

#[test]
fn a_small_screen_and_an_empty_node_are_drawn_too() {
    let nothing = |at| Look {
        at,
        version: Value::Null,
        stats: Value::Null,
        services: Value::Null,
        bfd: Value::Null,
        instances: Value::Null,
        histograms: Value::Null,
    };
    let start = Instant::now();
    let empty = Picture::new(&nothing(start), &nothing(start), None);
    for size in [(1, 1), (20, 5), (80, 24), (300, 100)] {
        on_paper(&empty, size);
        on_paper(&picture(1), size);
    }
}

#[test]
fn keys_scroll_within_the_rows_and_leave() {
    let mut choice = Choice::default();
    let rows = picture(1).rows();
    assert_eq!(rows, 4);
    let mut press = |key| obey(key, KeyModifiers::NONE, rows, &mut choice).then_some(choice.first);
    assert_eq!(press(KeyCode::Up), Some(0));
    assert_eq!(press(KeyCode::Down), Some(1));
    assert_eq!(press(KeyCode::PageDown), Some(3));
    assert_eq!(press(KeyCode::Home), Some(0));
    assert_eq!(press(KeyCode::End), Some(3));
    assert_eq!(press(KeyCode::Char('q')), None);
    assert!(!obey(KeyCode::Char('c'), KeyModifiers::CONTROL, rows, &mut choice));
    assert!(obey(KeyCode::Char(' '), KeyModifiers::NONE, rows, &mut choice) && choice.paused);
}
