//! After they are made, elections, witnesses and announcers allocate nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends where it fails")]

use allocation_counter::measure;
use hitless::{
    protocol::{
        announce::{self, Addresses, Announcer, Importance, Target},
        bfd::{Datagram, ECHO_PORT, MAX_DATAGRAM, Random, emit},
        election::*,
        witness::{Check, Gateway, Request as Question, Witness},
    },
    types::{Duration, InstanceId, Instant, Mac, PortId},
};
use std::net::IpAddr;

const PORT: PortId = PortId(0);
const INSTANCES: u8 = 8;

fn elections(node: u64, priority: u8) -> Elections {
    let instance = |index: u8| Settings {
        instance: InstanceId(index),
        name: u64::from(index) + 1,
        priority,
        preempt: true,
        lone_start: Duration::from_millis(100),
        sync: true,
    };
    let instances: Vec<Settings> = (0..INSTANCES).map(instance).collect();
    let lease = Duration::from_millis(50);
    let own = NodeSettings { node, incarnation: node + 100, first_term: 0, lease };
    Elections::new(own, &instances, Instant::ZERO)
}

struct Node {
    elections: Elections,
    view: PeerView,
    witness: Witness,
    announcer: Announcer,
    announced: usize,
    changes: usize,
}

fn witness(check: Check, seed: u64) -> Witness {
    let [local, address] = [1, 254].map(|last| IpAddr::from([10, 0, 0, last]));
    let gateway = Gateway { port: PORT, local, address };
    Witness::new(check, check.interval(None), [gateway], Instant::ZERO, Random::seeded(seed))
}

fn node(id: u64, check: Check) -> Node {
    let settings = announce::Settings::default();
    Node {
        elections: elections(id, id as u8 * 10),
        view: PeerView::new(1),
        witness: witness(check, id),
        announcer: Announcer::new(&settings, INSTANCES, Random::seeded(id)),
        announced: 0,
        changes: 0,
    }
}

impl Node {
    fn turn(&mut self, addresses: &Addresses, now: Instant, hears: bool) {
        if hears {
            let expires_at = Some(now + Duration::from_millis(3));
            let report = PathReport { last_heard: Some(now), expires_at, ..PathReport::default() };
            self.view.report(0, report);
        }
        while let Some((gateway, question)) = self.witness.ask(now) {
            match question {
                Question::Arp(ask) => {
                    ask.frame(Mac::default(), gateway.local, 0, &mut [0; 128]).unwrap();
                    self.witness.hear_arp(PORT, gateway.address, Mac([2, 0, 0, 0, 0, 1]), now);
                }
                Question::Ping(id) => {
                    id.write_request(gateway.local, gateway.address, &mut [0; 64]).unwrap();
                    self.witness.hear_ping(gateway.address, id, now);
                }
                Question::Echo { endpoints, payload } => {
                    let mut ip = [0; MAX_DATAGRAM];
                    let length = emit(&mut ip, &endpoints, &payload).unwrap();
                    let datagram = Datagram::parse_echo(&ip[..length]).unwrap();
                    assert_eq!(datagram.destination_port, ECHO_PORT);
                    self.witness.hear_echo(PORT, &Datagram { ttl: 254, ..datagram }, now).unwrap();
                }
            }
        }
        let evidence = self.witness.judge(now);
        let view = &self.view;
        let surroundings = Surroundings { view, evidence, healthy: true, drained_at: now, now };
        let (announcer, changes) = (&mut self.announcer, &mut self.changes);
        self.elections.look(&surroundings, |change| {
            *changes += 1;
            match change.announce {
                Announce::Start => announcer.start(change.instance, change.decided_at),
                Announce::Stop => announcer.stop(change.instance),
                Announce::Keep => {}
            }
        });
        for _ in 0..4 {
            if let Some(announcement) = self.announcer.next(addresses, now) {
                announcement.frame(Mac::default(), 7, &mut [0; 128]).unwrap();
                self.announced += 1;
            }
        }
        for instance in (0..INSTANCES).map(InstanceId) {
            let peer = self.elections.status(instance).unwrap().peer;
            let serving = peer.filter(|(role, _)| role.serves()).map(|(_, claim)| claim.term);
            self.elections.copied(instance, serving);
            if self.elections.wants_flush(instance) {
                self.elections.flushed(instance);
            }
            self.elections.stray(instance, now);
        }
        if let Some(term) = self.elections.reserve() {
            self.elections.reserved(term);
        }
    }
}

fn converse(from: &mut Node, to: &mut Node, now: Instant) {
    let mut body = [0; 256];
    while let Some(length) = from.elections.transmit(now, &mut body) {
        to.elections.receive(&body[..length], now).unwrap();
    }
}

#[test]
fn nothing_allocates_after_the_start() {
    let target = |number: u32| Target {
        instance: InstanceId((number % u32::from(INSTANCES)) as u8),
        port: PORT,
        address: IpAddr::from((0x0a00_0000 + number).to_be_bytes()),
        importance: if number < 500 { Importance::Service } else { Importance::Local },
    };
    let addresses = Addresses::new((0..1000).map(target));
    for check in [Check::Arp, Check::Ping, Check::BfdEcho] {
        let (mut a, mut b) = (node(1, check), node(2, check));
        let mut now = Instant::ZERO;
        let used = measure(|| {
            for turn in 0..40_000u32 {
                now = now + Duration::from_micros(100);
                // A second together, a tenth apart, again and again; and switchovers in between.
                let together = turn % 11_000 < 10_000;
                a.turn(&addresses, now, together);
                b.turn(&addresses, now, together);
                if together {
                    converse(&mut a, &mut b, now);
                    converse(&mut b, &mut a, now);
                }
                if turn % 11_000 == 7_000 {
                    for instance in (0..INSTANCES).map(InstanceId) {
                        a.elections.switch_over(instance, now).unwrap();
                    }
                }
                if turn == 39_000 {
                    a.elections.shut_down();
                }
            }
        });
        assert_eq!(used.count_total, 0, "{check:?}");
        assert!(
            a.changes > 50 && b.changes > 50 && a.announced + b.announced > 4000,
            "{} {}",
            a.changes,
            b.changes
        );
    }
}
