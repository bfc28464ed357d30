use super::*;
use crate::{
    packet::{
        Arp, ArpOperation, Datagram, Ethernet,
        ndp::{Advertisement, Ndp, Solicitation, group_mac, solicited_node},
    },
    protocol::owner::Owner,
    types::Duration,
};
use std::net::{Ipv4Addr, Ipv6Addr};

const LAN: PortId = PortId(0);
const OWN_MAC: Mac = Mac([2, 0, 0, 0, 0, 0x11]);
const MAC: Mac = Mac([2, 0, 0, 0, 1, 1]);
const OTHER: Mac = Mac([2, 0, 0, 0, 1, 2]);
const OWN: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 11);
const OWN_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0x11);

/// Owns 10.0.0.11 and fd00::11.
pub(super) struct Node;

impl Owner for Node {
    fn answers(&self, _: PortId, address: IpAddr) -> Option<Mac> {
        (address == IpAddr::V4(OWN) || address == IpAddr::V6(OWN_V6)).then_some(OWN_MAC)
    }

    fn is_own_mac(&self, _: PortId, mac: Mac) -> bool {
        mac == OWN_MAC
    }
}

fn v4(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, last)
}

fn v6(last: u16) -> Ipv6Addr {
    Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last)
}

/// A station of the flood number `n`, not below 1000.
fn stranger(n: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(0x0a01_0000 + n)
}

fn ms(ms: u64) -> Instant {
    Instant::ZERO + Duration::from_millis(ms)
}

/// A machine on virtual time.
struct Bench {
    machine: Neighbors,
    now: Instant,
}

impl Bench {
    fn new(capacity: usize) -> Self {
        let machine = Neighbors::new(Settings { capacity, asks_per_second: 1_000_000 });
        Self { machine, now: Instant::ZERO }
    }

    fn effects(&mut self) -> Vec<Effect> {
        std::iter::from_fn(|| self.machine.next_effect()).collect()
    }

    /// Lets time pass to `until`, acting when something is due; returns what happened and when, in milliseconds.
    fn run(&mut self, until: Instant) -> Vec<(u64, Effect)> {
        let mut happened = Vec::new();
        loop {
            self.machine.poll(self.now, 10_000);
            let at = self.now.as_nanos() / 1_000_000;
            happened.extend(self.effects().into_iter().map(|effect| (at, effect)));
            match self.machine.next_deadline() {
                Some(next) if next <= until => self.now = self.now.max(next),
                _ => break,
            }
        }
        self.now = until;
        happened
    }

    fn run_for(&mut self, span: Duration) -> Vec<(u64, Effect)> {
        self.run(self.now + span)
    }

    /// Lets time pass while everybody whose MAC is known answers.
    fn run_answered(&mut self, until: Instant) -> Vec<(u64, Effect)> {
        let mut happened = Vec::new();
        while self.now < until {
            let next = self.machine.next_deadline().unwrap_or(until).clamp(self.now, until);
            let step = self.run(next);
            for (_, effect) in &step {
                if let Effect::Ask(Ask { address: IpAddr::V4(address), to: Some(mac), .. }) = effect {
                    self.reply(*address, *mac);
                }
            }
            happened.extend(step);
        }
        happened
    }

    fn arp(&mut self, arp: Arp) {
        self.machine.hear_arp(LAN, &arp, &Node, self.now);
    }

    /// `address` answers our question.
    fn reply(&mut self, address: Ipv4Addr, mac: Mac) {
        self.arp(Arp::request(OWN_MAC, OWN, address).reply(mac));
    }

    fn announce(&mut self, address: Ipv4Addr, mac: Mac) {
        self.arp(Arp::gratuitous(ArpOperation::Reply, mac, address));
    }

    fn advertise(&mut self, mac: Option<Mac>, solicited: bool, overrides: bool) {
        let destination = if solicited { OWN_V6 } else { crate::packet::ndp::ALL_NODES };
        let answer = Advertisement {
            destination,
            mac,
            solicited,
            overrides,
            ..Advertisement::unsolicited(MAC, v6(1), false)
        };
        self.machine.hear_ndp(LAN, &Ndp::Advertisement(answer), &Node, self.now);
    }

    fn pin(&mut self, address: Ipv4Addr) -> NextHopId {
        self.machine.pin(LAN, address.into(), self.now).unwrap()
    }

    fn want(&mut self, address: Ipv4Addr) -> Wanted {
        self.machine.want(LAN, address.into(), self.now)
    }

    /// Wants an address and lets it answer.
    fn resolve(&mut self, address: Ipv4Addr) {
        self.want(address);
        self.run_for(Duration::ZERO);
        self.reply(address, MAC);
        self.run_for(Duration::ZERO);
        assert_eq!(self.state(address), Some(State::Reachable));
    }

    fn get(&self, address: impl Into<IpAddr>) -> Option<Neighbor> {
        let address = address.into();
        self.machine.neighbors().find(|neighbor| neighbor.address == address)
    }

    fn state(&self, address: Ipv4Addr) -> Option<State> {
        self.get(address).map(|neighbor| neighbor.state)
    }

    fn published(&self, address: Ipv4Addr) -> Option<Mac> {
        self.machine.published().find(|next_hop| next_hop.2 == IpAddr::V4(address)).map(|next_hop| next_hop.3)
    }
}

fn asks(happened: &[(u64, Effect)]) -> Vec<(u64, Option<Mac>)> {
    happened
        .iter()
        .filter_map(|(at, effect)| match effect {
            Effect::Ask(ask) => Some((*at, ask.to)),
            _ => None,
        })
        .collect()
}

fn changes(happened: &[(u64, Effect)]) -> Vec<(u64, Option<Mac>)> {
    happened
        .iter()
        .filter_map(|(at, effect)| match effect {
            Effect::Changed { mac, .. } => Some((*at, *mac)),
            _ => None,
        })
        .collect()
}

#[test]
fn a_pinned_next_hop_is_asked_at_once_fast_at_first_and_for_ever() {
    let mut bench = Bench::new(4);
    bench.pin(v4(1));
    let happened = bench.run(ms(80_000));
    let times = [0, 100, 400, 2400, 4400, 8400, 16400, 32400, 52400, 72400];
    assert_eq!(asks(&happened), times.map(|at| (at, None)));
    assert_eq!(changes(&happened), [(1400, None)], "those who wait are told once");
    assert_eq!(bench.state(v4(1)), Some(State::Failed));
    assert_eq!(bench.machine.counters().failures, 1);
    assert_eq!(bench.want(v4(1)), Wanted::Unreachable);
}

#[test]
fn who_cannot_wait_asks_ten_times_a_second_whatever_the_back_off() {
    for pinned in [true, false] {
        let mut bench = Bench::new(8);
        if pinned {
            bench.pin(v4(1));
        }
        bench.want(v4(1));
        bench.run(ms(60_000));
        let mut asked = 0;
        for _ in 0..20 {
            bench.machine.urge(LAN, v4(1).into(), bench.now);
            asked += asks(&bench.run_for(Duration::from_millis(100))).len();
        }
        // Both ends of the two seconds count.
        assert!((19..=21).contains(&asked), "{asked} questions in two seconds, pinned {pinned}");
        let mut again = 0;
        for _ in 0..100 {
            bench.machine.urge(LAN, v4(1).into(), bench.now);
            again += asks(&bench.run_for(Duration::from_millis(1))).len();
        }
        assert!((1..=2).contains(&again), "{again}: no more often for being urged more often");
        bench.reply(v4(1), MAC);
        assert_eq!(bench.published(v4(1)), Some(MAC));
        bench.machine.urge(LAN, v4(1).into(), bench.now);
        assert!(bench.run_for(Duration::from_secs(1)).iter().all(|(_, it)| !matches!(it, Effect::Ask(_))));
    }
}

#[test]
fn an_answer_makes_a_neighbor_reachable_and_published() {
    let mut bench = Bench::new(4);
    let slot = bench.pin(v4(1));
    let generation = bench.machine.generation();
    bench.run(ms(50));
    bench.reply(v4(1), MAC);
    let address = v4(1).into();
    assert_eq!(bench.effects(), [Effect::Changed { slot, port: LAN, address, mac: Some(MAC) }]);
    assert_ne!(bench.machine.generation(), generation);
    assert_eq!(bench.machine.published().collect::<Vec<_>>(), [(slot, LAN, address, MAC)]);
    let expected = Neighbor {
        slot,
        port: LAN,
        address,
        mac: Some(MAC),
        state: State::Reachable,
        pinned: true,
        since: ms(50),
    };
    assert_eq!(bench.get(v4(1)), Some(expected));
    assert_eq!(bench.run(ms(20_000)), [], "no more questions for now");
}

#[test]
fn a_failed_next_hop_recovers_when_it_answers_or_announces_itself() {
    for announced in [false, true] {
        let mut bench = Bench::new(4);
        bench.pin(v4(1));
        bench.run(ms(30_000));
        if announced {
            bench.announce(v4(1), MAC)
        } else {
            bench.reply(v4(1), MAC)
        }
        let happened = bench.run(ms(30_050));
        assert_eq!(changes(&happened), [(30_000, Some(MAC))]);
        let verified = if announced { vec![(30_000, Some(MAC))] } else { vec![] };
        assert_eq!(asks(&happened), verified);
    }
}

#[test]
fn a_pinned_next_hop_is_verified_by_unicast_before_half_a_minute_is_over() {
    let mut bench = Bench::new(4);
    bench.pin(v4(1));
    bench.run(ms(1));
    for _ in 0..5 {
        bench.reply(v4(1), MAC);
        bench.effects();
        let answered = bench.now.as_nanos() / 1_000_000;
        let due = bench.machine.next_deadline().unwrap();
        let happened = bench.run(due);
        assert_eq!(asks(&happened), [(due.as_nanos() / 1_000_000, Some(MAC))]);
        assert!((22_000..=30_000).contains(&(due.as_nanos() / 1_000_000 - answered)));
        assert_eq!(bench.state(v4(1)), Some(State::Probing));
    }
    assert_eq!(bench.machine.generation(), 1, "nothing new to publish");
}

#[test]
fn those_resolved_together_are_not_verified_together() {
    let mut bench = Bench::new(100);
    for last in 101..=200 {
        bench.pin(v4(last));
    }
    bench.run(ms(1));
    (101..=200).for_each(|last| bench.reply(v4(last), MAC));
    let verified = bench.run_answered(ms(31_000));
    assert_eq!(asks(&verified).len(), 100);
    let busiest = (21_000..31_000)
        .step_by(1000)
        .map(|from| asks(&verified).iter().filter(|(at, _)| (from..from + 1000).contains(at)).count());
    assert!(busiest.max().unwrap() < 20);
}

#[test]
fn the_old_mac_stays_in_use_until_nobody_answers_for_it() {
    let mut bench = Bench::new(4);
    bench.pin(v4(1));
    bench.run(ms(1));
    bench.reply(v4(1), MAC);
    bench.effects();
    let start = bench.machine.next_deadline().unwrap().as_nanos() / 1_000_000;
    let happened = bench.run(ms(start + 4399));
    let probes =
        [(0, Some(MAC)), (100, Some(MAC)), (400, Some(MAC)), (1400, None), (2400, None), (3400, None)];
    assert_eq!(asks(&happened), probes.map(|(at, to)| (start + at, to)));
    assert_eq!(bench.published(v4(1)), Some(MAC));
    assert_eq!(changes(&bench.run(ms(start + 4401))), [(start + 4400, None)]);
    assert_eq!((bench.published(v4(1)), bench.state(v4(1))), (None, Some(State::Failed)));
}

#[test]
fn a_moved_backend_is_found_under_its_new_mac() {
    let mut bench = Bench::new(4);
    bench.pin(v4(1));
    bench.run(ms(1));
    bench.reply(v4(1), MAC);
    let due = bench.machine.next_deadline().unwrap();
    bench.run(due + Duration::from_millis(1500));
    bench.reply(v4(1), OTHER);
    assert_eq!(changes(&bench.run_for(Duration::ZERO)).len(), 1);
    assert_eq!((bench.published(v4(1)), bench.state(v4(1))), (Some(OTHER), Some(State::Reachable)));
}

#[test]
fn what_nobody_answers_for_fails_after_three_questions_and_rests() {
    let mut bench = Bench::new(4);
    assert_eq!(bench.want(v4(1)), Wanted::Asking);
    let happened = bench.run(ms(2000));
    assert_eq!(asks(&happened), [(0, None), (100, None), (400, None)]);
    assert_eq!(changes(&happened), [(1400, None)]);
    for _ in 0..20 {
        assert_eq!(bench.want(v4(1)), Wanted::Unreachable);
        assert_eq!(bench.run_for(Duration::from_millis(100)), [], "wanting does not ask");
    }
    bench.run(ms(4400));
    assert_eq!(bench.state(v4(1)), None);
    assert_eq!(bench.want(v4(1)), Wanted::Asking);
}

#[test]
fn what_is_no_longer_wanted_is_not_verified_and_then_forgotten() {
    let mut bench = Bench::new(4);
    bench.resolve(v4(1));
    let happened = bench.run(ms(140_000));
    assert_eq!(asks(&happened), [], "nobody needs to know");
    assert_eq!((bench.state(v4(1)), bench.published(v4(1))), (Some(State::Stale), Some(MAC)));
    assert_eq!(changes(&bench.run(ms(151_000))).len(), 1);
    assert_eq!(bench.get(v4(1)), None);
}

#[test]
fn what_is_wanted_again_stays_and_is_verified() {
    let mut bench = Bench::new(4);
    bench.resolve(v4(1));
    let Wanted::Known { slot, mac: MAC } = bench.want(v4(1)) else { panic!() };
    for _ in 0..20 {
        for (_, effect) in bench.run_for(IDLE.min(Duration::from_secs(60))) {
            match effect {
                Effect::Ask(_) => bench.reply(v4(1), MAC),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(bench.want(v4(1)), Wanted::Known { slot, mac: MAC });
        bench.run_for(Duration::ZERO);
        assert_eq!(bench.state(v4(1)), Some(State::Probing));
        bench.reply(v4(1), MAC);
        assert_eq!(bench.state(v4(1)), Some(State::Reachable));
    }
}

#[test]
fn an_announcement_changes_a_known_neighbor_at_once_and_is_verified() {
    let announcements: [fn(Ipv4Addr, Mac) -> Arp; 3] = [
        |address, mac| Arp::gratuitous(ArpOperation::Reply, mac, address),
        |address, mac| Arp::gratuitous(ArpOperation::Request, mac, address),
        |address, mac| Arp::request(mac, address, v4(77)),
    ];
    for announcement in announcements {
        let mut bench = Bench::new(4);
        let slot = bench.pin(v4(1));
        bench.run(ms(1));
        bench.reply(v4(1), MAC);
        bench.run(ms(5000));
        bench.arp(announcement(v4(1), OTHER));
        let happened = bench.run(ms(5000));
        let changed = Effect::Changed { slot, port: LAN, address: v4(1).into(), mac: Some(OTHER) };
        assert_eq!(happened[0], (5000, changed));
        assert_eq!(asks(&happened), [(5000, Some(OTHER))]);
        bench.reply(v4(1), OTHER);
        assert_eq!(bench.state(v4(1)), Some(State::Reachable));
    }
}

#[test]
fn replies_and_announcements_create_no_neighbors() {
    let mut bench = Bench::new(4);
    bench.reply(v4(1), MAC);
    bench.announce(v4(2), MAC);
    bench.arp(Arp::gratuitous(ArpOperation::Request, MAC, v4(3)));
    bench.arp(Arp::request(MAC, v4(4), v4(77)));
    bench.arp(Arp::request(MAC, Ipv4Addr::UNSPECIFIED, OWN));
    bench.advertise(Some(MAC), true, true);
    bench.advertise(Some(MAC), false, true);
    let to_another = Solicitation::new(MAC, v6(1), v6(2), false);
    bench.machine.hear_ndp(LAN, &Ndp::Solicitation(to_another), &Node, bench.now);
    let nameless =
        Solicitation { source: Ipv6Addr::UNSPECIFIED, ..Solicitation::new(MAC, v6(1), OWN_V6, false) };
    bench.machine.hear_ndp(LAN, &Ndp::Solicitation(nameless), &Node, bench.now);
    assert_eq!(bench.machine.neighbors().count(), 0);
    assert_eq!((bench.effects(), bench.machine.counters()), (vec![], Counters::default()));
}

#[test]
fn who_asks_for_us_is_known_but_published_only_when_wanted() {
    let mut bench = Bench::new(4);
    bench.arp(Arp::request(MAC, v4(1), OWN));
    let question = Solicitation::new(OTHER, v6(1), OWN_V6, false);
    bench.machine.hear_ndp(LAN, &Ndp::Solicitation(question), &Node, bench.now);
    assert_eq!((bench.run(ms(10)), bench.machine.published().count()), (vec![], 0));
    assert_eq!(bench.state(v4(1)), Some(State::Stale));
    assert_eq!(bench.get(v6(1)).unwrap().mac, Some(OTHER));

    assert!(matches!(bench.want(v4(1)), Wanted::Known { mac: MAC, .. }), "at once");
    let happened = bench.run(ms(10));
    assert_eq!((changes(&happened), asks(&happened)), (vec![(10, Some(MAC))], vec![(10, Some(MAC))]));

    bench.run(ms(121_000));
    assert_eq!(bench.get(v6(1)), None, "forgotten in the end");
}

#[test]
fn claims_to_our_addresses_are_conflicts_and_teach_nothing() {
    let mut bench = Bench::new(4);
    let claims = [
        Arp::gratuitous(ArpOperation::Reply, MAC, OWN),
        Arp::gratuitous(ArpOperation::Request, MAC, OWN),
        Arp::request(MAC, OWN, v4(7)),
        Arp::request(MAC, OWN, OWN),
    ];
    for claim in claims {
        bench.arp(claim);
    }
    let address = OWN.into();
    assert_eq!(bench.effects(), [Effect::Conflict { port: LAN, address, mac: MAC }], "one event a second");
    bench.now = ms(1000);
    let advertisement = Advertisement::unsolicited(OTHER, OWN_V6, false);
    bench.machine.hear_ndp(LAN, &Ndp::Advertisement(advertisement), &Node, bench.now);
    let address = OWN_V6.into();
    assert_eq!(bench.effects(), [Effect::Conflict { port: LAN, address, mac: OTHER }]);
    assert_eq!(bench.machine.counters().conflicts, 5);
    assert_eq!(bench.machine.neighbors().count(), 0);
}

#[test]
fn conflicts_nobody_collects_do_not_pile_up() {
    let mut bench = Bench::new(4);
    for second in 0..100 {
        bench.now = ms(1000 * second);
        bench.announce(OWN, MAC);
    }
    assert_eq!((bench.effects().len(), bench.machine.counters().conflicts), (1, 100));
}

#[test]
fn our_own_macs_teach_nothing() {
    let mut bench = Bench::new(4);
    bench.pin(v4(1));
    bench.run(ms(1));
    bench.reply(v4(1), OWN_MAC);
    bench.announce(v4(1), OWN_MAC);
    bench.announce(OWN, OWN_MAC);
    bench.arp(Arp::request(OWN_MAC, v4(5), OWN));
    assert_eq!(bench.state(v4(1)), Some(State::Incomplete));
    assert_eq!((bench.effects(), bench.machine.counters().conflicts), (vec![], 0));
}

#[test]
fn neighbors_of_two_ports_are_two() {
    let mut bench = Bench::new(4);
    let here = bench.pin(v4(1));
    let there = bench.machine.pin(PortId(1), v4(1).into(), bench.now).unwrap();
    assert_ne!(here, there);
    bench.run(ms(1));
    bench.reply(v4(1), MAC);
    assert_eq!(bench.machine.published().map(|next_hop| next_hop.0).collect::<Vec<_>>(), [here]);
}

#[test]
fn advertisements_follow_rfc_4861_section_7_2_5() {
    use State::{Incomplete, Probing, Reachable};
    // From, said MAC, solicited, overrides: then and its MAC.
    type Case = (State, Option<Mac>, bool, bool, State, Option<Mac>);
    let cases: [Case; 18] = [
        (Incomplete, None, true, true, Incomplete, None),
        (Incomplete, Some(MAC), true, false, Reachable, Some(MAC)),
        (Incomplete, Some(MAC), false, false, Probing, Some(MAC)),
        (Reachable, Some(OTHER), true, false, Probing, Some(MAC)),
        (Reachable, Some(OTHER), false, false, Probing, Some(MAC)),
        (Reachable, Some(OTHER), false, true, Probing, Some(OTHER)),
        // No question is open, so nothing can have been solicited.
        (Reachable, Some(OTHER), true, true, Probing, Some(OTHER)),
        (Reachable, Some(MAC), false, true, Reachable, Some(MAC)),
        (Reachable, Some(MAC), false, false, Reachable, Some(MAC)),
        (Reachable, Some(MAC), true, true, Reachable, Some(MAC)),
        (Reachable, None, true, true, Reachable, Some(MAC)),
        (Probing, Some(MAC), true, false, Reachable, Some(MAC)),
        (Probing, None, true, false, Reachable, Some(MAC)),
        (Probing, Some(MAC), false, true, Probing, Some(MAC)),
        (Probing, Some(OTHER), true, false, Probing, Some(MAC)),
        (Probing, Some(OTHER), false, false, Probing, Some(MAC)),
        (Probing, Some(OTHER), true, true, Reachable, Some(OTHER)),
        (Probing, Some(OTHER), false, true, Probing, Some(OTHER)),
    ];
    for case in cases {
        let (from, said, solicited, overrides, then, mac) = case;
        let mut bench = Bench::new(4);
        bench.machine.pin(LAN, v6(1).into(), bench.now).unwrap();
        bench.run(ms(1));
        if from != Incomplete {
            bench.advertise(Some(MAC), true, true);
        }
        if from == Probing {
            let due = bench.machine.next_deadline().unwrap();
            bench.run(due);
        }
        assert_eq!(bench.get(v6(1)).unwrap().state, from);
        bench.advertise(said, solicited, overrides);
        let neighbor = bench.get(v6(1)).unwrap();
        assert_eq!((neighbor.state, neighbor.mac), (then, mac), "{case:?}");
    }
}

#[test]
fn an_advertisement_that_keeps_the_mac_is_not_told() {
    let mut bench = Bench::new(4);
    bench.machine.pin(LAN, v6(1).into(), bench.now).unwrap();
    bench.run(ms(1));
    bench.advertise(Some(MAC), true, true);
    bench.effects();
    bench.advertise(Some(OTHER), false, false);
    assert_eq!(asks(&bench.run(ms(2))), [], "it was asked less than 100 ms ago");
    assert_eq!(asks(&bench.run(ms(150))), [(100, Some(MAC))]);
    assert_eq!(bench.effects(), []);
}

#[test]
fn a_flood_of_questions_for_us_displaces_only_itself() {
    let mut bench = Bench::new(16);
    bench.pin(v4(1));
    bench.resolve(v4(2));
    bench.want(v4(3));
    bench.run_for(Duration::ZERO);
    for n in 0..10_000 {
        bench.arp(Arp::request(MAC, stranger(n), OWN));
    }
    assert_eq!(bench.machine.neighbors().count(), 16);
    assert!([v4(1), v4(2), v4(3)].into_iter().all(|address| bench.get(address).is_some()));
    assert_eq!(bench.machine.counters().evictions, 10_000 - 13);
    assert_eq!(bench.run_for(Duration::ZERO), [], "nobody is asked or told");
    assert!(matches!(bench.want(v4(4)), Wanted::Asking), "and there is room for who is wanted");
}

#[test]
fn a_flood_of_questions_finds_no_room_where_all_are_wanted() {
    let mut bench = Bench::new(3);
    (1..=3).for_each(|last| bench.resolve(v4(last)));
    bench.run_answered(ms(60_000));
    (0..1000).for_each(|n| bench.arp(Arp::request(MAC, stranger(n), OWN)));
    assert_eq!(bench.machine.counters().full, 1000);
    assert!((1..=3).all(|last| bench.published(v4(last)) == Some(MAC)));

    let mut bench = Bench::new(1);
    bench.want(v4(1));
    bench.arp(Arp::request(MAC, v4(2), OWN));
    assert_eq!(bench.state(v4(1)), Some(State::Incomplete), "its answer may be on the way");
}

#[test]
fn a_flood_of_wishes_displaces_the_unanswered_and_the_long_unwanted() {
    let mut bench = Bench::new(4);
    bench.pin(v4(1));
    bench.resolve(v4(2));
    bench.resolve(v4(3));
    for n in 0..100 {
        assert_eq!(bench.want(stranger(n)), Wanted::Asking);
    }
    assert!(bench.published(v4(2)).is_some() && bench.published(v4(3)).is_some(), "wanted lately");
    assert!(bench.get(v4(1)).is_some() && bench.get(stranger(99)).is_some());

    bench.resolve(stranger(99));
    assert_eq!(bench.want(stranger(100)), Wanted::Full);
    assert_eq!(bench.machine.counters().full, 1);
    bench.run_answered(ms(30_000));
    bench.want(v4(2));
    assert_eq!(bench.want(stranger(100)), Wanted::Asking);
    assert_eq!(bench.get(v4(3)), None, "the one unwanted for longest");
    assert!(bench.get(v4(2)).is_some() && bench.get(v4(1)).is_some());
}

#[test]
fn a_pin_displaces_whatever_is_not_pinned() {
    let mut bench = Bench::new(2);
    bench.resolve(v4(1));
    bench.resolve(v4(2));
    bench.pin(v4(3));
    bench.pin(v4(4));
    assert_eq!((bench.get(v4(1)), bench.get(v4(2))), (None, None));
    assert_eq!(bench.machine.pin(LAN, v4(5).into(), bench.now), Err(PinError::Full));
    assert!(bench.get(v4(3)).is_some() && bench.get(v4(4)).is_some());
}

#[test]
fn what_is_no_host_is_refused() {
    let mut bench = Bench::new(2);
    for address in ["0.0.0.0", "224.0.0.1", "255.255.255.255", "127.0.0.1", "::", "ff02::1", "::1"] {
        let address: IpAddr = address.parse().unwrap();
        assert_eq!(bench.machine.pin(LAN, address, bench.now), Err(PinError::NoHost(address)));
        assert_eq!(bench.machine.want(LAN, address, bench.now), Wanted::Refused);
    }
    assert_eq!(bench.machine.neighbors().count(), 0);
}

#[test]
fn pins_are_counted_and_the_last_leaves_it_to_age() {
    let mut bench = Bench::new(4);
    let slot = bench.pin(v4(1));
    assert_eq!(bench.pin(v4(1)), slot);
    bench.run(ms(1));
    bench.reply(v4(1), MAC);
    bench.machine.unpin(LAN, v4(1).into(), bench.now);
    bench.run(ms(10));
    assert!(bench.get(v4(1)).unwrap().pinned);
    bench.machine.unpin(LAN, v4(1).into(), bench.now);
    bench.machine.unpin(LAN, v4(1).into(), bench.now);
    bench.machine.unpin(LAN, v4(9).into(), bench.now);
    assert!(!bench.get(v4(1)).unwrap().pinned);
    assert_eq!(bench.published(v4(1)), Some(MAC), "sessions may still use it");
    assert_eq!(bench.pin(v4(1)), slot, "and it may come back");
    bench.machine.unpin(LAN, v4(1).into(), bench.now);
    let happened = bench.run(ms(200_000));
    assert_eq!((bench.get(v4(1)), changes(&happened).last().map(|change| change.1)), (None, Some(None)));
}

#[test]
fn an_unpinned_failure_is_forgotten_and_a_pinned_one_asked_again() {
    let mut bench = Bench::new(4);
    bench.pin(v4(1));
    bench.want(v4(2));
    bench.run(ms(1500));
    bench.machine.unpin(LAN, v4(1).into(), bench.now);
    bench.pin(v4(2));
    assert_eq!(asks(&bench.run(ms(1500))), [(1500, None)], "at once");
    bench.run(ms(4500));
    assert_eq!(bench.get(v4(1)), None);
    assert!(bench.get(v4(2)).is_some());
}

#[test]
fn a_slot_whose_number_was_given_away_rests_before_it_is_used_again() {
    let mut bench = Bench::new(1);
    let mut seen = Vec::new();
    for last in 1..=3 {
        bench.resolve(v4(last));
        let Wanted::Known { slot, .. } = bench.want(v4(last)) else { panic!() };
        assert!(slot.index() < bench.machine.slots() && !seen.contains(&slot));
        seen.push(slot);
        // Its owner falls silent, so it may be displaced by the next.
        bench.announce(v4(last), OTHER);
        bench.run_for(Duration::from_millis(4500));
        assert_eq!(bench.state(v4(last)), Some(State::Failed));
    }
    let evictions = bench.machine.counters().evictions;
    // The first was displaced by the second, after 4.5 s.
    for now in [ms(13_500), ms(64_400)] {
        bench.run(now);
        assert_eq!(bench.want(v4(4)), Wanted::Full, "every slot rests or is taken");
    }
    assert_eq!(bench.machine.counters().evictions, evictions, "nobody is displaced in vain");
    bench.run(ms(64_600));
    assert_eq!(bench.want(v4(4)), Wanted::Asking, "the first slot has rested");
    bench.run_for(Duration::ZERO);
    bench.reply(v4(4), MAC);
    assert_eq!(bench.want(v4(4)), Wanted::Known { slot: seen[0], mac: MAC });
}

#[test]
fn slots_of_the_never_resolved_are_used_again_at_once() {
    let mut bench = Bench::new(2);
    for n in 0..1000 {
        assert_eq!(bench.want(stranger(n)), Wanted::Asking);
    }
    assert_eq!(bench.machine.counters().full, 0);
}

#[test]
fn questions_for_strangers_are_limited_and_do_not_hold_up_next_hops() {
    let mut bench = Bench::new(4000);
    bench.machine = Neighbors::new(Settings { capacity: 4000, asks_per_second: 100 });
    for n in 0..3000 {
        bench.want(stranger(n));
    }
    bench.run_for(Duration::ZERO);
    bench.pin(v4(1));
    let happened = bench.run(ms(10_000));
    let next_hop: Vec<_> = happened
        .iter()
        .filter(|(_, effect)| matches!(effect, Effect::Ask(ask) if ask.address == IpAddr::V4(v4(1))))
        .map(|(at, _)| *at)
        .collect();
    assert_eq!(next_hop, [0, 100, 400, 2400, 4400, 8400]);
    let strangers = bench.machine.counters().asks - next_hop.len() as u64;
    assert!((1000..=1033).contains(&strangers), "{strangers}");
    assert!(bench.machine.counters().asks_limited > 0);
}

#[test]
fn one_call_does_no_more_than_its_budget_and_waits_for_the_caller() {
    let mut bench = Bench::new(1000);
    for n in 0..1000 {
        bench.pin(stranger(n));
    }
    bench.machine.poll(bench.now, 7);
    assert_eq!(bench.effects().len(), 7);
    (0..100).for_each(|_| bench.machine.poll(bench.now, 1000));
    assert_eq!(bench.effects().len(), 256, "more are put off until these are collected");
    bench.machine.poll(bench.now, 1000);
    assert_eq!(bench.effects().len(), 256);
}

#[test]
fn announcements_in_quick_succession_do_not_make_us_ask_as_quickly() {
    let mut bench = Bench::new(4);
    bench.pin(v4(1));
    let mut count = 0;
    for step in 0..10_000 {
        bench.announce(v4(1), if step % 2 == 0 { MAC } else { OTHER });
        count += asks(&bench.run(ms(step))).len();
    }
    assert!((90..=101).contains(&count), "{count} questions in ten seconds");
}

/// Renews everybody behind a port.
pub(super) fn link_up(machine: &mut Neighbors, port: PortId, now: Instant) {
    for neighbor in machine.neighbors().filter(|neighbor| neighbor.port == port).collect::<Vec<_>>() {
        machine.renew(neighbor.slot, now);
    }
}

#[test]
fn a_link_that_comes_up_is_not_waited_for() {
    let mut bench = Bench::new(8);
    bench.pin(v4(1));
    bench.pin(v4(2));
    bench.machine.pin(PortId(1), v4(3).into(), bench.now).unwrap();
    bench.run(ms(1));
    bench.reply(v4(2), MAC);
    bench.run(ms(17_000));
    link_up(&mut bench.machine, LAN, bench.now);
    let happened = bench.run(ms(17_000));
    let mut asked: Vec<_> = happened
        .iter()
        .filter_map(|(_, effect)| match effect {
            Effect::Ask(ask) => Some((ask.address.to_string(), ask.to)),
            _ => None,
        })
        .collect();
    asked.sort();
    assert_eq!(asked, [("10.0.0.1".to_owned(), None), ("10.0.0.2".to_owned(), Some(MAC))]);
    assert_eq!(asks(&bench.run(ms(17_400))).len(), 4, "fast retries for both");
}

#[test]
fn questions_become_frames_of_their_family() {
    let mut frame = [0; 90];
    let ask = Ask { port: LAN, address: v4(1).into(), to: None };
    for to in [None, Some(MAC)] {
        let length = Ask { to, ..ask }.frame(OWN_MAC, OWN.into(), 7, &mut frame).unwrap();
        let (link, at) = Ethernet::parse(&frame[..length]).unwrap();
        assert_eq!((link.destination, link.source, link.vlan), (to.unwrap_or(Mac::BROADCAST), OWN_MAC, 7));
        assert_eq!(Arp::parse(&frame[at..length]), Ok(Arp::request(OWN_MAC, OWN, v4(1))));
    }
    assert_eq!(ask.frame(OWN_MAC, OWN_V6.into(), 0, &mut frame), None);
    let ask = Ask { address: v6(1).into(), ..ask };
    for to in [None, Some(MAC)] {
        let length = Ask { to, ..ask }.frame(OWN_MAC, OWN_V6.into(), 7, &mut frame).unwrap();
        let (link, at) = Ethernet::parse(&frame[..length]).unwrap();
        assert_eq!(link.destination, to.unwrap_or(group_mac(solicited_node(v6(1)))));
        let ip = &frame[at..length];
        let question = Solicitation::new(OWN_MAC, OWN_V6, v6(1), to.is_some());
        assert_eq!(Ndp::parse(ip, &Datagram::parse(ip, false).unwrap()), Ok(Ndp::Solicitation(question)));
    }
    assert_eq!(ask.frame(OWN_MAC, OWN.into(), 0, &mut frame), None);
}
