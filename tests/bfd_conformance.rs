//! Runs the conformance cases of `tests/bfd/*.toml` on virtual time, and holds its README to them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends where it fails")]

#[path = "bfd/script.rs"]
mod script;
#[path = "bfd/world.rs"]
mod world;

use hitless::{protocol::bfd::*, types::Instant};
use script::*;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
};
use world::{Sent, World};

const ITEMS: u32 = 72;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/bfd")
}

fn cases() -> Vec<Case> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    paths.sort();
    let read = |path: PathBuf| -> File {
        let text = fs::read_to_string(&path).unwrap();
        toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    paths.into_iter().flat_map(|path| read(path).case).collect()
}

#[test]
fn every_case_passes() {
    let mut failed = Vec::new();
    for case in cases() {
        if catch_unwind(AssertUnwindSafe(|| run(&case))).is_err() {
            failed.push(case.name);
        }
    }
    assert!(failed.is_empty(), "failed: {failed:#?}");
}

fn run(case: &Case) {
    let mut world = World::new();
    world.add(&case.session).unwrap_or_else(|error| panic!("{}: {error}", case.name));
    for (number, step) in case.steps.iter().enumerate() {
        let place = format!("{}, step {}", case.name, number + 1);
        Run { world: &mut world, step, place }.all();
    }
}

/// One step of one case.
struct Run<'a> {
    world: &'a mut World,
    step: &'a Step,
    place: String,
}

impl Run<'_> {
    fn all(&mut self) {
        let counters = self.world.counters(self.step.session);
        self.pass_time();
        self.act();
        self.receive();
        self.check_sent();
        self.check_rate();
        self.check_changes();
        self.check_status();
        if let Some(expected) = &self.step.counters {
            let moved = self.moved(&counters);
            for (name, count) in expected {
                self.same(name, moved.get(name).unwrap_or(&0), count);
            }
        }
    }

    fn pass_time(&mut self) {
        let (world, session) = (&mut *self.world, self.step.session);
        if let Some(after) = self.step.after {
            world.pass(after.0, session, self.step.peer_every.map(|every| every.0));
        }
        if let Some(stall) = &self.step.stall {
            world.stall(session, stall);
        }
    }

    fn act(&mut self) {
        let (world, step) = (&mut *self.world, self.step);
        let now = world.now;
        if let Some(fields) = &step.peer {
            world.peer_says(step.session, fields);
        }
        if step.bring_up {
            world.bring_up(step.session);
        }
        if let Some(spec) = &step.add {
            let refusal = world.add(spec).err().map(|error| format!("{error:?}"));
            let expected = step.add_fails.as_deref();
            assert!(
                expected.is_some() == refusal.is_some()
                    && refusal.as_deref().unwrap_or("").starts_with(expected.unwrap_or("")),
                "{}: adding gave {refusal:?}, want {expected:?}",
                self.place
            );
        }
        if let Some(spec) = &step.configure {
            let session = world.session_mut(step.session);
            session.reconfigure(world::timers(spec, session.settings().timers));
        }
        if let Some(spec) = &step.expect_key {
            world.session_mut(step.session).change_key(KeyChange::Expect(world::key(spec)));
        }
        if let Some(spec) = &step.use_key {
            world.session_mut(step.session).change_key(KeyChange::Use(world::key(spec)));
        }
        let change = if let Some(diag) = step.disable {
            world.session_mut(step.session).disable(Diagnostic::from_bits(diag), now)
        } else if step.enable {
            world.session_mut(step.session).enable(now)
        } else if let Some(diag) = step.reset {
            world.session_mut(step.session).reset(Diagnostic::from_bits(diag), now)
        } else {
            None
        };
        let id = world.ids[step.session];
        world.changes.extend(change.map(|change| (id, change)));
        if step.remove {
            world.sessions.remove(id);
            return;
        }
        world.turn(false);
    }

    fn receive(&mut self) {
        let Some(fields) = &self.step.receive else { return };
        let session = self.step.session;
        let before =
            (self.world.counters(session), self.world.session(session).status(), self.world.sent.len());
        let result = self.world.deliver(session, fields, None);
        self.world.turn(false);
        let Some(reason) = &self.step.discard else {
            assert!(result.is_ok(), "{}: {result:?}", self.place);
            return;
        };
        self.same("discard", &result.err().map(Discard::name), &Some(reason.as_str()));
        if reason == Discard::AdminDown.name() {
            return;
        }
        let mut moved = self.moved(&before.0);
        moved.retain(|name, count| *count > 0 && name != "foreign_path");
        self.same("counters moved", &moved, &BTreeMap::from([(format!("discard_{reason}"), 1)]));
        self.same("state variables", &self.world.session(session).status(), &before.1);
        self.same("packets sent", &self.world.sent.len(), &before.2);
    }

    fn moved(&self, before: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
        let now = self.world.counters(self.step.session);
        now.into_iter().map(|(name, count)| (name.clone(), count - before.get(&name).unwrap_or(&0))).collect()
    }

    fn check_sent(&mut self) {
        let Some(expected) = &self.step.sent else { return };
        let sent = self.take_sent();
        let controls: Vec<_> =
            sent.iter().map(|sent| (sent.at, sent.outgoing.reason, sent.control())).collect();
        assert_eq!(sent.len(), expected.len(), "{}: sent {controls:#?}", self.place);
        for (sent, expected) in sent.iter().zip(expected) {
            self.check_fields(sent, expected);
            self.check_headers(sent, expected);
        }
        for (pair, expected) in sent.windows(2).zip(expected.iter().skip(1)) {
            if let Some(step) = expected.sequence_step {
                let (Some(a), Some(b)) = (pair[0].sequence(), pair[1].sequence()) else {
                    panic!("{}: no sequence numbers", self.place)
                };
                self.same("sequence step", &b.wrapping_sub(a), &step);
            }
        }
    }

    fn check_fields(&self, sent: &Sent, expected: &SentExpect) {
        let control = sent.control();
        self.maybe("sent state", &control.state, expected.state.as_deref().map(world::state));
        self.maybe("sent diag", &control.diagnostic.bits(), expected.diag);
        self.maybe("sent poll", &control.poll, expected.poll);
        self.maybe("sent final", &control.is_final, expected.r#final);
        self.maybe("sent independent", &control.control_plane_independent, expected.independent);
        self.maybe("sent demand", &control.demand, expected.demand);
        self.maybe("sent multiplier", &control.multiplier, expected.multiplier);
        self.maybe("sent my", &control.my_discriminator, expected.my);
        self.maybe("sent your", &control.your_discriminator, expected.your);
        self.maybe("sent tx", &control.desired_min_tx_us, expected.tx_us);
        self.maybe("sent rx", &control.required_min_rx_us, expected.rx_us);
        self.maybe("sent echo", &control.required_min_echo_rx_us, expected.echo_us);
        let reason = format!("{:?}", sent.outgoing.reason);
        self.maybe("reason", &reason, expected.reason.clone());
        self.maybe("sent at", &Span(sent.at.since(Instant::ZERO)), expected.at);
        if let Some([from, to]) = expected.between {
            let at = Span(sent.at.since(Instant::ZERO));
            assert!((from..=to).contains(&at), "{}: sent at {at:?}, want {from:?} to {to:?}", self.place);
        }
    }

    fn check_headers(&self, sent: &Sent, expected: &SentExpect) {
        let datagram = sent.datagram();
        let class = match sent.ip[0] >> 4 {
            4 => sent.ip[1],
            _ => sent.ip[0] << 4 | sent.ip[1] >> 4,
        };
        self.maybe("ttl", &datagram.ttl, expected.ttl);
        self.maybe("traffic class", &class, expected.traffic_class);
        self.maybe("port", &sent.outgoing.path.port.0, expected.port);
        self.maybe("source", &datagram.source.to_string(), expected.source.clone());
        self.maybe("destination", &datagram.destination.to_string(), expected.destination.clone());
        self.maybe("destination port", &datagram.destination_port, expected.destination_port);
        if let Some(from) = expected.source_port_from {
            assert!(datagram.source_port >= from, "{}: source port {}", self.place, datagram.source_port);
        }
        self.maybe("a bit", &(datagram.payload[1] & 4 != 0), expected.a_bit);
        if let Some(hex) = &expected.hex {
            let digits: Vec<char> = hex.chars().filter(|digit| !digit.is_whitespace()).collect();
            let own: Vec<char> = datagram.payload.iter().flat_map(|byte| hex_digits(*byte)).collect();
            let fits = own.len() == digits.len()
                && own.iter().zip(&digits).all(|(own, wanted)| own == wanted || *wanted == '.');
            assert!(fits, "{}: sent {}", self.place, own.iter().collect::<String>());
        }
    }

    fn check_rate(&mut self) {
        let Some(expected) = &self.step.rate else { return };
        let sent = self.take_sent();
        let [least, most] = expected.count;
        assert!((least..=most).contains(&sent.len()), "{}: {} packets", self.place, sent.len());
        let nominal = u128::from(expected.interval.0.as_nanos());
        let [low, high] = expected.percent.map(u128::from);
        for pair in sent.windows(2) {
            let gap = u128::from(pair[1].at.since(pair[0].at).as_nanos()) * 100;
            assert!(
                (low * nominal..=high * nominal).contains(&gap),
                "{}: {} % of the interval",
                self.place,
                gap / nominal
            );
        }
    }

    fn check_changes(&mut self) {
        let Some(expected) = &self.step.changes else { return };
        let id = self.world.ids[self.step.session];
        let all = std::mem::take(&mut self.world.changes);
        let changes: Vec<Change> =
            all.into_iter().filter(|change| change.0 == id).map(|change| change.1).collect();
        assert_eq!(changes.len(), expected.len(), "{}: {changes:#?}", self.place);
        for (change, expected) in changes.iter().zip(expected) {
            let since_start = |at: Instant| Span(at.since(Instant::ZERO));
            self.maybe("from", &change.from, expected.from.as_deref().map(world::state));
            self.maybe("to", &change.to, expected.to.as_deref().map(world::state));
            self.maybe("cause", &format!("{:?}", change.cause), expected.cause.clone());
            self.maybe("diag", &change.diagnostic.bits(), expected.diag);
            self.maybe("peer diag", &change.peer_diagnostic.bits(), expected.peer_diag);
            self.maybe("changed at", &since_start(change.at), expected.at);
            self.maybe("noticed", &since_start(change.noticed), expected.noticed);
            let last = change.last_received.map(since_start);
            self.maybe("last received", &last, expected.last_received.map(Some));
        }
    }

    fn check_status(&self) {
        let Some(expected) = &self.step.status else { return };
        let session = self.world.session(self.step.session);
        let status = session.status();
        self.maybe("state", &status.state, expected.state.as_deref().map(world::state));
        self.maybe("diag", &status.diagnostic.bits(), expected.diag);
        self.maybe("peer state", &status.peer_state, expected.peer_state.as_deref().map(world::state));
        self.maybe("peer diag", &status.peer_diagnostic.bits(), expected.peer_diag);
        self.maybe("local discriminator", &status.local_discriminator, expected.local_discriminator);
        self.maybe("peer discriminator", &status.peer_discriminator, expected.peer_discriminator);
        self.maybe("peer heard", &status.peer_heard, expected.peer_heard);
        self.maybe("detection time", &Span(status.detection_time), expected.detection);
        self.maybe("transmit interval", &Span(status.transmit_interval), expected.interval);
        self.maybe("polling", &status.polling, expected.polling);
        self.maybe("changing key", &status.changing_key, expected.changing_key);
        let removable = session.removable_at().map(|at| Span(at.since(Instant::ZERO)));
        self.maybe("removable at", &removable, expected.removable_at.map(Some));
    }

    fn take_sent(&mut self) -> Vec<Sent> {
        let id = self.world.ids[self.step.session];
        let (own, other) =
            std::mem::take(&mut self.world.sent).into_iter().partition(|sent| sent.session == id);
        self.world.sent = other;
        own
    }

    fn maybe<T: PartialEq + Debug>(&self, what: &str, actual: &T, expected: Option<T>) {
        if let Some(expected) = &expected {
            self.same(what, actual, expected);
        }
    }

    fn same<T: PartialEq + Debug>(&self, what: &str, actual: &T, expected: &T) {
        assert!(actual == expected, "{}: {what} is {actual:?}, want {expected:?}", self.place);
    }
}

fn hex_digits(byte: u8) -> [char; 2] {
    [byte >> 4, byte & 15].map(|digit| char::from_digit(digit.into(), 16).unwrap())
}

/// A row of the README: item, its section, what shows it, and the verdict.
struct Row {
    item: String,
    evidence: BTreeSet<String>,
    verdict: String,
}

fn rows() -> Vec<Row> {
    let text = fs::read_to_string(folder().join("README.md")).unwrap();
    let row = |line: &str| -> Option<Row> {
        let cells: Vec<&str> = line.strip_prefix("| ")?.strip_suffix(" |")?.split(" | ").collect();
        let [item, _section, _what, evidence, verdict] = *cells else { return None };
        let evidence = evidence.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        Some(Row { item: item.into(), evidence, verdict: verdict.into() })
    };
    text.lines().filter_map(row).filter(|row| row.item != "item").collect()
}

/// The document cannot drift: every item of the checklist has a row, every case stands in the rows it names and in no
/// other, every test named exists.
#[test]
fn readme_and_cases_agree() {
    let rows = rows();
    let cases = cases();
    let names: BTreeSet<&str> = cases.iter().map(|case| case.name.as_str()).collect();
    assert_eq!(names.len(), cases.len(), "two cases have one name");
    let numbered: Vec<u32> = rows.iter().filter_map(|row| row.item.parse().ok()).collect();
    assert_eq!(numbered, (1..=ITEMS).collect::<Vec<u32>>(), "one row an item, in order");
    for row in &rows {
        let own: BTreeSet<&str> =
            row.evidence.iter().map(String::as_str).filter(|name| !name.contains("::")).collect();
        if let Ok(item) = row.item.parse() {
            let claimed =
                cases.iter().filter(|case| case.items.contains(&item)).map(|case| case.name.as_str());
            assert_eq!(own, claimed.collect(), "item {item}");
        }
        assert!(own.is_subset(&names), "row {}: {:?}", row.item, own.difference(&names));
        let verdict = row.verdict.split([':', ',']).next().unwrap();
        assert!(["met", "not applicable", "not met", "regression"].contains(&verdict), "row {}", row.item);
        assert!(verdict.starts_with("not") || !row.evidence.is_empty(), "row {}: nothing shows it", row.item);
    }
    let mentioned: BTreeSet<&str> = rows.iter().flat_map(|row| &row.evidence).map(String::as_str).collect();
    let unmentioned: Vec<_> = names.difference(&mentioned).collect();
    assert!(unmentioned.is_empty(), "cases in no row: {unmentioned:?}");
}

#[test]
fn tests_named_in_the_readme_exist() {
    for name in rows().iter().flat_map(|row| &row.evidence).filter(|name| name.contains("::")) {
        let (file, function) = name.rsplit_once("::").unwrap();
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let path = match (file.strip_prefix("bfd::"), file.strip_prefix("src::")) {
            (Some(module), _) => root.join("src/protocol/bfd").join(format!("{module}.rs")),
            (_, Some(module)) => root.join("src").join(format!("{}.rs", module.replace("::", "/"))),
            _ => root.join("tests").join(format!("{file}.rs")),
        };
        let text =
            fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {}: {error}", path.display()));
        assert!(text.contains(&format!("fn {function}(")), "{name} does not exist");
    }
}
