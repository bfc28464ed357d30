//! Random events against a naive model: what is promised must hold after every one of them.

use super::{tests::Node, timing::RECENT, *};
use crate::{
    packet::{
        Arp, ArpOperation,
        ndp::{ALL_NODES, Advertisement, Ndp, Solicitation},
    },
    types::Duration,
};
use proptest::prelude::*;
use std::{
    collections::{HashMap, HashSet},
    net::{Ipv4Addr, Ipv6Addr},
};

const CAPACITY: usize = 6;
const ASKS_PER_SECOND: u64 = 2;
const OWN_MAC: Mac = Mac([2, 0, 0, 0, 0, 0x11]);

type Key = (PortId, IpAddr);

#[derive(Clone, Debug)]
enum Event {
    Pin(u8),
    Unpin(u8),
    Want(u8),
    /// The neighbour asks for us, or for another.
    Question(u8, u8, bool),
    /// It answers us, or announces itself.
    Claim {
        who: u8,
        mac: u8,
        solicited: bool,
        overrides: bool,
        said: bool,
    },
    /// It answers with the MAC it had.
    Answer(u8),
    LinkUp(u8),
    Wait(u64, usize),
}

fn event() -> impl Strategy<Value = Event> {
    let who = 0..20u8;
    let mac = 0..4u8;
    prop_oneof![
        1 => who.clone().prop_map(Event::Pin),
        1 => who.clone().prop_map(Event::Unpin),
        6 => who.clone().prop_map(Event::Want),
        4 => (who.clone(), mac.clone(), any::<bool>()).prop_map(|(who, mac, us)| Event::Question(who, mac, us)),
        4 => (who.clone(), mac, any::<[bool; 3]>()).prop_map(|(who, mac, [solicited, overrides, said])| {
            Event::Claim { who, mac, solicited, overrides, said }
        }),
        8 => who.prop_map(Event::Answer),
        1 => (0..2u8).prop_map(Event::LinkUp),
        6 => (0..500u64, 0..8usize).prop_map(|(wait, budget)| Event::Wait(wait, budget)),
        1 => (0..70_000u64, 100..101usize).prop_map(|(wait, budget)| Event::Wait(wait, budget)),
    ]
}

/// Twenty neighbours: ports 0 and 1, IPv4 and IPv6.
fn key(who: u8) -> Key {
    let last = 20 + who / 4;
    let address = match who % 2 {
        0 => IpAddr::V4(Ipv4Addr::new(10, 0, 0, last)),
        _ => IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last.into())),
    };
    (PortId(who / 2 % 2), address)
}

/// Three MACs of others and our own.
fn mac(number: u8) -> Mac {
    if number == 3 { OWN_MAC } else { Mac([2, 0, 0, 0, 9, number]) }
}

/// What is known of a neighbour, kept in the simplest way.
#[derive(Clone, Debug, Default)]
struct Naive {
    mac: Option<Mac>,
    pins: u32,
    /// The slot it was pinned in.
    slot: Option<NextHopId>,
    wanted: Option<Instant>,
    asked: Option<Instant>,
    /// Questions since it answered or moved.
    unanswered: u32,
}

impl Naive {
    fn believe(&mut self, mac: Mac) {
        if self.mac.replace(mac) != Some(mac) {
            self.unanswered = 0;
        }
    }
}

struct Model {
    machine: Neighbors,
    now: Instant,
    known: HashMap<Key, Naive>,
    /// What the effects said, by slot.
    told: HashMap<NextHopId, (Key, Mac)>,
    /// Who had a slot whose number was given away, and when last.
    given: HashMap<NextHopId, (Key, Instant)>,
    /// Questions for what is not pinned that may be asked now, in thousandths.
    tokens: u64,
    filled: Instant,
    generation: u64,
    published: HashSet<(NextHopId, PortId, IpAddr, Mac)>,
}

impl Model {
    fn new() -> Self {
        let settings = Settings { capacity: CAPACITY, asks_per_second: ASKS_PER_SECOND as u32 };
        Self {
            machine: Neighbors::new(settings),
            now: Instant::ZERO,
            known: HashMap::new(),
            told: HashMap::new(),
            given: HashMap::new(),
            tokens: 33_000,
            filled: Instant::ZERO,
            generation: 0,
            published: HashSet::new(),
        }
    }

    fn step(&mut self, event: &Event) {
        let before = self.known.clone();
        let failures = self.machine.counters().failures;
        match *event {
            Event::Pin(who) => self.pin(key(who)),
            Event::Unpin(who) => self.unpin(key(who)),
            Event::Want(who) => self.want(key(who)),
            Event::Question(who, number, to_us) => self.question(key(who), mac(number), to_us),
            Event::Claim { who, mac: number, solicited, overrides, said } => {
                self.claim(key(who), said.then(|| mac(number)), solicited, overrides);
            }
            Event::Answer(who) => {
                if let Some(Naive { mac, .. }) = self.known.get(&key(who)) {
                    self.claim(key(who), Some(mac.unwrap_or(super::model::mac(0))), true, true);
                }
            }
            Event::LinkUp(port) => super::tests::link_up(&mut self.machine, PortId(port), self.now),
            Event::Wait(wait, budget) => {
                self.now = self.now + Duration::from_millis(wait);
                let asks = self.machine.counters().asks;
                self.machine.poll(self.now, budget);
                assert!(self.machine.counters().asks - asks <= budget as u64);
            }
        }
        self.collect();
        self.check_known(event, &before, failures);
        self.check_slots();
        self.check_published();
        if matches!(event, Event::Wait(_, 100)) {
            self.check_nothing_is_overdue();
        }
    }

    fn pin(&mut self, key: Key) {
        let pinned = self.known.values().filter(|naive| naive.pins > 0).count();
        match self.machine.pin(key.0, key.1, self.now) {
            Ok(slot) => {
                let naive = self.known.entry(key).or_default();
                assert!(naive.slot.is_none_or(|before| before == slot));
                naive.slot = Some(slot);
                naive.pins += 1;
            }
            // Slots may all rest; but never is a pin taken and lost.
            Err(_) => assert!(pinned == CAPACITY || self.machine.counters().full > 0),
        }
    }

    fn unpin(&mut self, key: Key) {
        self.machine.unpin(key.0, key.1, self.now);
        if let Some(naive) = self.known.get_mut(&key).filter(|naive| naive.pins > 0) {
            naive.pins -= 1;
            if naive.pins == 0 {
                naive.wanted = Some(self.now);
            }
        }
    }

    fn want(&mut self, key: Key) {
        let wanted = self.machine.want(key.0, key.1, self.now);
        if wanted == Wanted::Full {
            assert!(!self.known.contains_key(&key));
            return;
        }
        let naive = self.known.entry(key).or_default();
        naive.wanted = Some(self.now);
        match wanted {
            Wanted::Known { mac, .. } => assert_eq!(naive.mac, Some(mac)),
            _ => assert_eq!(naive.mac, None),
        }
    }

    fn question(&mut self, key: Key, mac: Mac, to_us: bool) {
        match key.1 {
            IpAddr::V4(sender) => {
                let target = Ipv4Addr::new(10, 0, 0, if to_us { 11 } else { 12 });
                self.machine.hear_arp(key.0, &Arp::request(mac, sender, target), &Node, self.now);
            }
            IpAddr::V6(sender) => {
                let target = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, if to_us { 0x11 } else { 0x12 });
                let question = Ndp::Solicitation(Solicitation::new(mac, sender, target, false));
                self.machine.hear_ndp(key.0, &question, &Node, self.now);
            }
        }
        if mac == OWN_MAC {
            return;
        }
        let heard =
            to_us && self.machine.neighbors().any(|neighbor| (neighbor.port, neighbor.address) == key);
        if heard || self.known.contains_key(&key) {
            self.known.entry(key).or_default().believe(mac);
        }
    }

    fn claim(&mut self, key: Key, mac: Option<Mac>, solicited: bool, overrides: bool) {
        let (mac, overrides) = match key.1 {
            IpAddr::V4(address) => {
                let mac = mac.unwrap_or(super::model::mac(1));
                let arp = match solicited {
                    true => Arp::request(OWN_MAC, Ipv4Addr::new(10, 0, 0, 11), address).reply(mac),
                    false => Arp::gratuitous(ArpOperation::Reply, mac, address),
                };
                self.machine.hear_arp(key.0, &arp, &Node, self.now);
                (Some(mac), true)
            }
            IpAddr::V6(address) => {
                let destination =
                    if solicited { Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0x11) } else { ALL_NODES };
                let plain = Advertisement::unsolicited(OWN_MAC, address, false);
                let answer = Advertisement { destination, mac, solicited, overrides, ..plain };
                self.machine.hear_ndp(key.0, &Ndp::Advertisement(answer), &Node, self.now);
                (mac, overrides)
            }
        };
        let Some(naive) = self.known.get_mut(&key).filter(|_| mac != Some(OWN_MAC)) else { return };
        if let Some(mac) = mac.filter(|_| naive.mac.is_none() || overrides) {
            naive.believe(mac);
        }
    }

    /// Carries out the effects.
    fn collect(&mut self) {
        let gained = self.now.since(self.filled).as_nanos() / 1_000 * ASKS_PER_SECOND / 1_000;
        self.tokens = (self.tokens + gained).min(33_000);
        self.filled = self.now;
        while let Some(effect) = self.machine.next_effect() {
            match effect {
                Effect::Ask(ask) => self.asked(&ask),
                Effect::Changed { slot, port, address, mac: Some(mac) } => {
                    self.told.insert(slot, ((port, address), mac));
                }
                Effect::Changed { slot, .. } => drop(self.told.remove(&slot)),
                Effect::Conflict { .. } => panic!("nobody claims our addresses here"),
            }
        }
    }

    fn asked(&mut self, ask: &Ask) {
        let naive = self.known.get_mut(&(ask.port, ask.address)).expect("only neighbours are asked");
        let spaced = naive.asked.is_none_or(|asked| self.now.since(asked) >= Duration::from_millis(100));
        assert!(spaced, "{ask:?} twice within 100 ms");
        assert!(ask.to.is_none() || ask.to == naive.mac, "asked under a MAC it does not have");
        naive.asked = Some(self.now);
        naive.unanswered += 1;
        if naive.pins == 0 {
            self.tokens = self.tokens.checked_sub(1000).expect("no more questions than the limit");
        }
    }

    /// The machine knows what the model knows, but for what it may forget or find out by itself.
    fn check_known(&mut self, event: &Event, before: &HashMap<Key, Naive>, failures: u64) {
        let neighbors: HashMap<Key, Neighbor> =
            self.machine.neighbors().map(|neighbor| ((neighbor.port, neighbor.address), neighbor)).collect();
        assert!(neighbors.len() <= CAPACITY);
        assert_eq!(neighbors.len(), self.machine.neighbors().count(), "one entry a neighbour");

        let mut failed = 0;
        for (key, neighbor) in &neighbors {
            let naive = self.known.get_mut(key).expect("nobody becomes known by itself");
            if neighbor.state == State::Failed && naive.mac.is_some() {
                assert!(naive.unanswered >= 3, "{key:?} failed after {} questions", naive.unanswered);
                naive.mac = None;
                failed += 1;
            }
            if neighbor.state == State::Reachable && neighbor.since == self.now {
                naive.unanswered = 0;
            }
            assert_eq!(neighbor.mac, naive.mac, "{key:?} {neighbor:?}");
            assert_eq!(neighbor.pinned, naive.pins > 0);
            let has_mac = matches!(neighbor.state, State::Reachable | State::Stale | State::Probing);
            assert_eq!(neighbor.mac.is_some(), has_mac);
            assert!(naive.slot.is_none_or(|slot| slot == neighbor.slot), "a slot moved");
            naive.slot = Some(neighbor.slot);
        }
        assert!(self.machine.counters().failures >= failures + failed);

        self.known.retain(|key, naive| {
            let lost = !neighbors.contains_key(key);
            assert!(!lost || naive.pins == 0, "a pinned next hop was lost");
            let recent = naive.wanted.is_some_and(|wanted| self.now.since(wanted) < RECENT);
            let in_use = recent && before.get(key).is_some_and(|naive| naive.mac.is_some());
            let by_pin = matches!(event, Event::Pin(_));
            let by_failure = naive.unanswered >= 3;
            assert!(!lost || !in_use || by_pin || by_failure, "{key:?} was lost while in use");
            !lost
        });
    }

    /// No slot whose number was given away serves another before it has rested.
    fn check_slots(&mut self) {
        for neighbor in self.machine.neighbors() {
            let key = (neighbor.port, neighbor.address);
            assert!(neighbor.slot.index() < self.machine.slots());
            if let Some((owner, last)) = self.given.get(&neighbor.slot) {
                assert!(*owner == key || self.now.since(*last) >= HOLD, "{neighbor:?} follows {owner:?}");
            }
        }
        let pinned = self.machine.neighbors().filter(|neighbor| neighbor.pinned);
        let pinned = pinned.map(|neighbor| (neighbor.slot, (neighbor.port, neighbor.address)));
        let published = self.machine.published().map(|(slot, port, address, _)| (slot, (port, address)));
        for (slot, key) in pinned.chain(published).collect::<Vec<_>>() {
            self.given.insert(slot, (key, self.now));
        }
    }

    /// Effects and generation tell of every change of what is published, and of nothing else.
    fn check_published(&mut self) {
        let published: HashSet<_> = self.machine.published().collect();
        let told: HashSet<_> =
            self.told.iter().map(|(slot, (key, mac))| (*slot, key.0, key.1, *mac)).collect();
        assert_eq!(published, told);
        if published != self.published {
            assert_ne!(self.machine.generation(), self.generation);
        }
        self.published = published;
        self.generation = self.machine.generation();
        for (key, naive) in &self.known {
            let is_published = self.published.iter().any(|(_, port, address, _)| (*port, *address) == *key);
            let expected = naive.mac.is_some() && (naive.pins > 0 || naive.wanted.is_some());
            assert_eq!(is_published, expected, "{key:?}");
        }
    }

    fn check_nothing_is_overdue(&self) {
        assert!(self.machine.next_deadline().is_none_or(|next| next > self.now));
        for neighbor in self.machine.neighbors() {
            let believed = neighbor.state != State::Reachable || self.now.since(neighbor.since) < REACHABLE;
            assert!(believed, "{neighbor:?} was not verified");
        }
        let waiting = self.known.values().any(|naive| naive.pins > 0);
        assert!(!waiting || self.machine.next_deadline().is_some(), "pinned next hops are never left alone");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn promises_hold_after_any_events(events in prop::collection::vec(event(), 1..400)) {
        let mut model = Model::new();
        for event in &events {
            model.step(event);
        }
    }
}
