//! Every reason a packet dies for, by name, with packets that die for it and for nothing else.

mod addresses;
mod frames;
mod limits;
mod sessions;

use super::{
    counts::Counts,
    frame::{Frame, INIT, SYN, ping, sctp, tcp, udp},
    places::{FAMILIES, FRONT, Family, plan, world},
    world::{Plan, World},
};
use hitless::types::DropReason;

/// A case: what it is for, and what moved in it.
struct Case {
    reason: DropReason,
    name: &'static str,
    run: fn() -> Counts,
}

const V4: Family = FAMILIES[0];
const V6: Family = FAMILIES[1];

/// A frame that dies, and nothing else happens.
#[track_caller]
pub(crate) fn dies(world: &mut World, port: usize, frame: &[u8], reason: DropReason) -> Counts {
    let out = world.offer(port, frame);
    assert_eq!(out.nothing().moved, Counts::lost(frame.len(), reason), "{frame:02x?}");
    out.moved
}

/// Each of some frames dies in a fresh world, and nothing else happens.
#[track_caller]
fn all_die(reason: DropReason, frames: impl IntoIterator<Item = (Frame, Spoil)>) -> Counts {
    let mut world = world();
    let mut moved = Counts::none();
    for (frame, spoil) in frames {
        let mut bytes = world.on(FRONT, frame).bytes();
        spoil(&mut bytes);
        moved = moved.plus(&dies(&mut world, FRONT, &bytes, reason));
    }
    world.assert_balanced();
    assert_eq!(world.leaked(), 0);
    moved
}

type Spoil = fn(&mut Vec<u8>);

const AS_IT_IS: Spoil = |_| {};

/// Where the IP header of an untagged frame begins, and a byte of it.
const IP: usize = 14;

fn syn4() -> Frame {
    tcp("198.51.100.7:1000", "10.77.0.100:80", SYN)
}

fn syn6() -> Frame {
    tcp("[2001:db8::7]:1000", "[fd77::100]:80", SYN)
}

fn udp4() -> Frame {
    udp("198.51.100.7:1000", "10.77.0.100:53")
}

fn udp6() -> Frame {
    udp("[2001:db8::7]:1000", "[fd77::100]:53")
}

fn sctp4() -> Frame {
    sctp("198.51.100.7:1000", "10.77.0.100:3868", INIT)
}

fn ping4() -> Frame {
    ping("198.51.100.7", "10.77.0.100")
}

fn ping6() -> Frame {
    ping("2001:db8::7", "fd77::100")
}

/// One world whose configuration is changed in one place.
fn changed(from: &str, to: &str) -> Plan {
    plan().with(|plan| {
        assert!(plan.config.contains(from), "{from}");
        plan.config = plan.config.replace(from, to);
    })
}

/// Of every file.
fn cases() -> impl Iterator<Item = &'static Case> {
    [frames::CASES, addresses::CASES, sessions::CASES, limits::CASES].into_iter().flatten()
}

#[test]
fn every_reason_is_met_by_name() {
    for reason in DropReason::ALL {
        assert!(cases().any(|case| case.reason == *reason), "no packet dies for {reason}: write a case");
    }
    let failed: Vec<_> = cases().filter(|case| !case.holds()).map(|case| (case.reason, case.name)).collect();
    assert_eq!(failed, []);
}

impl Case {
    fn holds(&self) -> bool {
        println!("{}: {}", self.reason, self.name);
        std::panic::catch_unwind(|| {
            let moved = (self.run)();
            let died = moved.get(self.reason.name());
            assert_ne!(died, 0);
            assert_eq!(moved.drops(), Counts::none().and(self.reason.name(), died));
        })
        .is_ok()
    }
}
