use super::*;
use crate::{packet::ArpOperation, protocol::announce::Importance, types::PortId};
use proptest::prelude::*;
use std::net::IpAddr;

const RED: InstanceId = InstanceId(0);
const BLUE: InstanceId = InstanceId(1);

fn at(us: u64) -> Instant {
    Instant::ZERO + Duration::from_micros(us)
}

fn address(instance: InstanceId, number: u32) -> IpAddr {
    IpAddr::from((0x0a00_0000 + (u32::from(instance.0) << 20) + number).to_be_bytes())
}

/// So many addresses of an instance, the first half of them VIPs, given last.
fn targets(instance: InstanceId, count: u32) -> Vec<Target> {
    let target = |number| Target {
        instance,
        port: PortId(0),
        address: address(instance, number),
        importance: if number < count.div_ceil(2) { Importance::Service } else { Importance::Local },
    };
    (0..count).rev().map(target).collect()
}

fn announcer(per_second: u32) -> Announcer {
    Announcer::new(&Settings { per_second, ..Settings::default() }, 2, Random::seeded(5))
}

/// All that is announced until `end`, in steps of `step` microseconds with `budget` frames each.
fn run(
    announcer: &mut Announcer,
    addresses: &Addresses,
    span: std::ops::Range<u64>,
    step: usize,
    budget: usize,
) -> Vec<(u64, Announcement)> {
    let mut sent = Vec::new();
    for us in span.step_by(step) {
        let turn = std::iter::from_fn(|| announcer.next(addresses, at(us))).take(budget);
        sent.extend(turn.map(|announcement| (us, announcement)));
    }
    sent
}

#[test]
fn rounds_follow_the_schedule_and_the_forms_alternate() {
    let mut announcer = announcer(50_000);
    let addresses = Addresses::new(targets(RED, 1));
    announcer.start(RED, at(7000));
    let sent = run(&mut announcer, &addresses, 7000..3_000_000, 1000, 8);
    let expected = [0, 20, 100, 500, 2000].map(|after| (after + 7) * 1000);
    assert_eq!(sent.iter().map(|(us, _)| *us).collect::<Vec<_>>(), expected);
    let forms: Vec<_> = sent.iter().map(|(_, announcement)| announcement.form).collect();
    use ArpOperation::{Reply, Request};
    assert_eq!(forms, [Request, Reply, Request, Reply, Request]);
}

#[test]
fn refreshed_every_minute_more_or_less_for_ever() {
    let mut announcer = announcer(50_000);
    let addresses = Addresses::new(targets(RED, 1));
    announcer.start(RED, at(0));
    let sent = run(&mut announcer, &addresses, 0..600_000_000, 10_000, 8);
    let gaps: Vec<u64> = sent[4..].windows(2).map(|pair| (pair[1].0 - pair[0].0) / 1000).collect();
    assert!((8..=11).contains(&gaps.len()), "{gaps:?}");
    assert!(gaps.iter().all(|ms| (54_000..=66_010).contains(ms)), "{gaps:?}");
    assert!(gaps.iter().any(|ms| ms.abs_diff(60_000) > 500), "they do not all fall on the minute: {gaps:?}");
}

#[test]
fn without_refresh_and_without_rounds() {
    let silent = Settings { refresh: Duration::ZERO, ..Settings::default() };
    let mut announcer = Announcer::new(&silent, 1, Random::seeded(1));
    announcer.start(RED, at(0));
    let addresses = Addresses::new(targets(RED, 3));
    assert_eq!(run(&mut announcer, &addresses, 0..100_000_000, 1000, 8).len(), 15);
    assert_eq!((announcer.deadline(), announcer.announces(RED)), (None, true));
    let mute = Settings { repeat: ArrayVec::new(), ..silent };
    let mut announcer = Announcer::new(&mute, 1, Random::seeded(1));
    announcer.start(RED, at(0));
    assert_eq!(announcer.deadline(), None);
}

#[test]
fn services_come_first_and_instances_share() {
    let mut announcer = announcer(1_000_000);
    let addresses = Addresses::new([targets(RED, 4), targets(BLUE, 4)].concat());
    announcer.start(RED, at(0));
    announcer.start(BLUE, at(0));
    let sent = run(&mut announcer, &addresses, 0..1, 1, 100);
    let order: Vec<_> = sent.iter().map(|(_, said)| (said.instance.0, said.address)).collect();
    let (red, blue) = (|n| (0, address(RED, n)), |n| (1, address(BLUE, n)));
    // Within an instance the caller's order is kept: here the last number first.
    assert_eq!(order, [red(1), blue(1), red(0), blue(0), red(3), blue(3), red(2), blue(2)]);
}

#[test]
fn a_take_over_goes_before_a_refresh_under_way() {
    let mut announcer = announcer(10_000);
    let addresses = Addresses::new([targets(RED, 1000), targets(BLUE, 2)].concat());
    announcer.start(RED, at(0));
    run(&mut announcer, &addresses, 0..50_000_000, 1000, 64);
    let refresh = run(&mut announcer, &addresses, 50_000_000..70_000_000, 1000, 64);
    let begun = refresh.first().expect("a refresh").0;
    // Again, up to the middle of the refresh.
    let mut announcer = self::announcer(10_000);
    announcer.start(RED, at(0));
    run(&mut announcer, &addresses, 0..begun + 20_000, 1000, 64);
    announcer.start(BLUE, at(begun + 20_000));
    let sent = run(&mut announcer, &addresses, begun + 20_000..begun + 21_000, 100, 64);
    let first: Vec<_> = sent.iter().take(2).map(|(_, said)| said.instance).collect();
    assert_eq!(first, [BLUE, BLUE]);
    assert!(sent[1].0 <= begun + 20_200, "paced, no more: {sent:?}");
}

/// LoxiLB sends one gratuitous ARP a VIP, one after the other with up to 300 ms each. Ours leave at once, again within
/// 20 ms, and ten thousand of them within a second, in bounded work a turn.
#[test]
fn ten_thousand_addresses_without_holding_up_a_turn() {
    let mut announcer = announcer(50_000);
    let addresses = Addresses::new(targets(RED, 10_000));
    announcer.start(RED, at(0));
    let sent = run(&mut announcer, &addresses, 0..1_000_000, 10, 4);
    assert_eq!(
        sent[..10_000].iter().map(|(_, said)| said.address).collect::<std::collections::HashSet<_>>().len(),
        10_000
    );
    assert!(sent[9_999].0 <= 200_000, "the first round takes {} us", sent[9_999].0);
    // The rounds at 20 and 100 ms fell due meanwhile and are one; the one at 500 ms has its time.
    assert_eq!(sent.len(), 30_000);
    assert!((198_000..=200_000).contains(&sent[10_000].0), "{:?}", sent[10_000]);
    assert_eq!(sent[20_000].0, 500_000);
    // Never more than the burst and the pace allow.
    for (index, (us, _)) in sent.iter().enumerate().skip(100) {
        assert!(us - sent[index - 100].0 >= (100 - 64) * 20, "{index}");
    }
}

#[test]
fn a_step_down_cancels_and_a_take_over_starts_anew() {
    let mut announcer = announcer(50_000);
    let addresses = Addresses::new(targets(RED, 1000));
    announcer.start(RED, at(0));
    assert_eq!(run(&mut announcer, &addresses, 0..1, 1, 10).len(), 10);
    announcer.stop(RED);
    assert_eq!((announcer.next(&addresses, at(5)), announcer.announces(RED)), (None, false));
    announcer.start(RED, at(9000));
    let sent = run(&mut announcer, &addresses, 9000..9001, 1, 10);
    assert_eq!(sent[0].1.address, addresses.of(RED)[0].address);
    announcer.start(RED, at(9100));
    let again = announcer.next(&addresses, at(9100)).unwrap();
    assert_eq!((again.address, again.form), (addresses.of(RED)[0].address, ArpOperation::Request));
    announcer.start(InstanceId(9), at(0));
    announcer.stop(InstanceId(9));
}

proptest! {
    /// Whatever starts, stops and changes: frames are for started instances and known addresses only, the pace holds,
    /// and an instance left alone has every address announced.
    #[test]
    fn any_sequence_keeps_the_pace_and_leaves_nobody_out(
        steps in prop::collection::vec((0u8..4, 0u8..3, 0u32..50), 1..60),
        seed: u64,
    ) {
        let settings = Settings { per_second: 10_000, burst: 5, ..Settings::default() };
        let mut announcer = Announcer::new(&settings, 3, Random::seeded(seed));
        let (mut started, mut sizes) = ([false; 3], [7u32; 3]);
        let table = |sizes: &[u32; 3]| {
            let all = sizes.iter().enumerate();
            Addresses::new(all.flat_map(|(index, size)| targets(InstanceId(index as u8), *size)))
        };
        let mut addresses = table(&sizes);
        let (mut now, mut sent) = (0, Vec::new());
        for (what, instance, number) in steps {
            let index = usize::from(instance);
            match what {
                0 => { announcer.start(InstanceId(instance), at(now)); started[index] = true; }
                1 => { announcer.stop(InstanceId(instance)); started[index] = false; }
                2 => { sizes[index] = number; addresses = table(&sizes); }
                _ => {}
            }
            for (us, said) in run(&mut announcer, &addresses, now..now + 3000, 100, 3) {
                prop_assert!(started[usize::from(said.instance.0)]);
                prop_assert!(addresses.of(said.instance).iter().any(|target| target.address == said.address));
                sent.push(us);
            }
            now += 3000;
        }
        for (index, us) in sent.iter().enumerate().skip(10) {
            prop_assert!(us - sent[index - 10] >= (10 - 5) * 100);
        }
        for index in 0..3u8 {
            announcer.start(InstanceId(index), at(now));
        }
        let last = run(&mut announcer, &addresses, now..now + 60_000, 100, 3);
        for target in [0, 1, 2].iter().flat_map(|index| addresses.of(InstanceId(*index))) {
            prop_assert!(last.iter().any(|(_, said)| said.address == target.address));
        }
    }
}
