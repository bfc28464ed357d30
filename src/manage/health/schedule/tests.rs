//! The schedule in virtual time.

use super::*;
use crate::manage::health::{How, outcome::Failure};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

const DEAD: Outcome = Outcome::Dead(Failure::Silent);

fn at(millis: u64) -> Instant {
    Instant::ZERO + Duration::from_millis(millis)
}

fn check(number: u32) -> Check {
    let host = IpAddr::from(Ipv4Addr::from(0x0a00_0000 + number));
    Check {
        target: SocketAddr::new(host, 80),
        local: Ipv4Addr::new(10, 77, 0, 11).into(),
        how: How::Tcp,
        interval: Duration::from_millis(1000),
        timeout: Duration::from_millis(500),
        rise: 2,
        fall: 3,
    }
}

fn want(schedule: &mut Schedule, numbers: impl IntoIterator<Item = u32>, now: u64) {
    let checks: Vec<Check> = numbers.into_iter().map(check).collect();
    schedule.want(checks.iter(), at(now));
}

fn alive(schedule: &Schedule, number: u32) -> Option<bool> {
    schedule.status(&check(number))?.read().alive
}

/// Probes that take `took`, from `from` to `until`, a millisecond a step; calls `answer` for each, and counts the
/// most that were under way.
struct Run {
    schedule: Schedule,
    now: u64,
    under_way: Vec<(u64, Order)>,
    most: usize,
    began: HashMap<Arc<Check>, Vec<u64>>,
}

impl Run {
    fn new(room: usize, checks: u32) -> Self {
        let mut schedule = Schedule::new(room);
        want(&mut schedule, 0..checks, 0);
        Self { schedule, now: 0, under_way: Vec::new(), most: 0, began: HashMap::new() }
    }

    fn until(
        &mut self,
        end: u64,
        took: u64,
        mut answer: impl FnMut(&Check, u64) -> Outcome,
    ) -> Vec<(Arc<Check>, bool, u64)> {
        let mut news = Vec::new();
        while self.now < end {
            let now = self.now;
            let (over, going): (Vec<_>, Vec<_>) =
                self.under_way.drain(..).partition(|(ends, _)| *ends <= now);
            self.under_way = going;
            for (_, order) in over {
                let outcome = answer(&order.check, now);
                let belief = self.schedule.end(order.number, outcome, Duration::from_millis(took), at(now));
                news.extend(belief.map(|alive| (order.check, alive, now)));
            }
            while let Some(order) = self.schedule.start(at(now)) {
                self.began.entry(Arc::clone(&order.check)).or_default().push(now);
                self.under_way.push((now + took, order));
            }
            self.most = self.most.max(self.under_way.len());
            self.now += 1;
        }
        news
    }
}

#[test]
fn ten_thousand_start_spread_and_keep_their_beat() {
    let mut run = Run::new(2048, 10_000);
    let news = run.until(10_000, 20, |_, _| Outcome::Alive);
    assert_eq!(news.len(), 10_000, "each makes up its mind once");
    // Of 10,000 in a second, 10 a millisecond begin: 20 ms of them are under way, and never a crowd.
    assert!(run.most < 400, "{}", run.most);
    assert!(run.began.values().all(|began| (9..=11).contains(&began.len())));
    let on_beat = |began: &Vec<u64>| began.windows(2).all(|pair| pair[1] - pair[0] == 1000);
    assert!(run.began.values().all(on_beat), "the beat is kept to the millisecond");
}

#[test]
fn no_more_are_under_way_than_there_is_room_for_and_none_starves() {
    // All are silent, and there is room for a tenth of what would be needed.
    let mut run = Run::new(500, 10_000);
    run.until(40_000, 500, |_, _| DEAD);
    assert_eq!(run.most, 500);
    let counts: Vec<usize> = run.began.values().map(Vec::len).collect();
    // 500 every 500 ms: 40,000 in 40 s, four each.
    assert_eq!(counts.len(), 10_000);
    assert!(counts.iter().all(|count| (3..=5).contains(count)));
    // When there is room again they fall back into their beat, and nobody catches up.
    run.began.clear();
    run.until(60_000, 5, |_, _| DEAD);
    let on_beat = |began: &Vec<u64>| began.windows(2).all(|pair| pair[1] - pair[0] >= 1000);
    assert!(run.began.values().all(on_beat));
    assert!(run.began.values().all(|began| began.len() >= 10));
}

#[test]
fn news_come_after_as_many_answers_as_rise_and_fall_say() {
    let mut run = Run::new(10, 1);
    let start = run.schedule.next_due().unwrap();
    assert!(start < at(1000), "the first within an interval");
    let dead = |_: &Check, now: u64| if (5_000..12_000).contains(&now) { DEAD } else { Outcome::Alive };
    let news: Vec<(bool, u64)> =
        run.until(20_000, 1, dead).into_iter().map(|(_, alive, when)| (alive, when)).collect();
    assert_eq!(news.iter().map(|(alive, _)| *alive).collect::<Vec<_>>(), [true, false, true]);
    assert!((7_000..8_000).contains(&news[1].1), "three failures: {news:?}");
    assert!((13_000..14_000).contains(&news[2].1), "two answers: {news:?}");
}

/// Who has not answered yet is asked again soon, however long the interval.
#[test]
fn the_first_judgement_does_not_wait_for_long_intervals() {
    let mut schedule = Schedule::new(10);
    let slow = Check { interval: Duration::from_secs(60), ..check(0) };
    schedule.want([&slow].into_iter(), at(0));
    let mut run = Run { schedule, now: 0, under_way: Vec::new(), most: 0, began: HashMap::new() };
    let news = run.until(400_000, 1, |_, _| DEAD);
    assert_eq!(news.len(), 1);
    assert!(news[0].2 < 5_000, "three failures within seconds: {news:?}");
    let began = &run.began[&slow];
    assert!(began[3..].windows(2).all(|pair| pair[1] - pair[0] == 60_000), "then the beat: {began:?}");
}

#[test]
fn what_this_node_could_not_send_says_nothing() {
    let mut run = Run::new(10, 1);
    let unsent = Outcome::Unknown(std::io::ErrorKind::AddrNotAvailable);
    assert!(run.until(10_000, 1, |_, _| unsent).is_empty());
    assert_eq!(alive(&run.schedule, 0), None);
    assert_eq!(run.until(12_000, 1, |_, _| Outcome::Alive).len(), 1);
    assert!(run.until(30_000, 1, |_, _| unsent).is_empty());
    let report = run.schedule.status(&check(0)).unwrap().read();
    assert_eq!((report.alive, report.answered, report.failed), (Some(true), 2, 0));
    assert!(report.unsent >= 26);
}

#[test]
fn checks_that_stay_keep_what_they_know_and_others_are_forgotten() {
    let mut run = Run::new(10, 3);
    run.until(
        3_000,
        1,
        |check, _| if check.target.ip().to_string() == "10.0.0.1" { DEAD } else { Outcome::Alive },
    );
    assert_eq!([0, 1, 2].map(|n| alive(&run.schedule, n)), [Some(true), Some(false), Some(true)]);
    // One goes while it is being probed, one stays, one comes.
    run.until(6_500, 900, |_, _| DEAD);
    want(&mut run.schedule, [1, 5], run.now);
    assert_eq!([0, 1, 2, 5].map(|n| alive(&run.schedule, n)), [None, Some(false), None, None]);
    let news = run.until(10_000, 1, |_, _| Outcome::Alive);
    let told: Vec<u32> =
        news.iter().map(|(check, ..)| u32::from(check.target.ip().to_string().ends_with('5'))).collect();
    assert_eq!(told.len(), 2, "of those that are left, once each: {news:?}");
    assert_eq!(run.schedule.running, run.under_way.len());
    want(&mut run.schedule, [], run.now);
    run.until(12_000, 1, |_, _| Outcome::Alive);
    assert_eq!((run.schedule.running, run.schedule.start(at(90_000)).is_none()), (0, true));
}

#[test]
fn checks_that_come_and_go_leave_nothing_behind() {
    let mut schedule = Schedule::new(10);
    for round in 0..1_000 {
        want(&mut schedule, round * 100..round * 100 + 100, 0);
    }
    assert_eq!((schedule.entries.len(), schedule.numbers.len()), (100, 100));
    assert!(schedule.due.len() < 2_000);
}
