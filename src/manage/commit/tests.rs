//! Changes that are kept, and changes that cannot be.

use super::*;
use crate::{
    config::{Backend, Config, Machine, PortRange},
    manage::{Put, RefusalKind, ServiceEntry},
};
use std::{fs, net::IpAddr, path::PathBuf};

const NODE: &str = "[[port]]\nname = \"lan\"\ndevice = \"net_null0\"\naddresses = [\"10.77.0.11/24\"]\n\
                    [nat]\nlocal_addresses = [\"10.77.0.40\"]\n";

/// A node's services and its state file, in a directory that is gone at the end.
struct World {
    directory: PathBuf,
    registry: Arc<Mutex<Registry>>,
    events: Arc<EventLog>,
    changes: Option<Changes>,
}

impl World {
    fn new(name: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("hitless-commit-{}-{name}", std::process::id()));
        let mut world = Self { directory, registry: registry(), events: Arc::default(), changes: None };
        world.start();
        world
    }

    fn file(&self) -> PathBuf {
        self.directory.join("state.json")
    }

    fn start(&mut self) {
        let events = Arc::clone(&self.events);
        let changes = Changes::start(Arc::clone(&self.registry), events, Some(&self.file()), || ()).unwrap();
        self.changes = Some(changes);
    }

    /// Stops, and starts with nothing but the file.
    fn restart(&mut self) {
        self.changes = None;
        while Arc::strong_count(&self.registry) > 1 {
            thread::sleep(Duration::from_millis(1));
        }
        self.registry = registry();
        self.start();
    }

    fn changes(&self) -> &Changes {
        self.changes.as_ref().unwrap()
    }

    fn put(&self, n: u8) -> Result<Put, Refusal> {
        let wanted = service(n, &[21, 22]);
        self.changes().make_blocking(move |t| t.registry.put(wanted, None, Source::Api, t.now))
    }

    fn names(&self) -> Vec<String> {
        self.registry.lock().services().map(|entry| entry.wanted.name.clone()).collect()
    }

    fn entry(&self, n: u8) -> Arc<ServiceEntry> {
        Arc::clone(self.registry.lock().service(&ServiceKey::of(&service(n, &[]))).unwrap())
    }

    fn said(&self) -> String {
        self.events.follow(0).0.iter().map(|record| record.text.clone() + "\n").collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        _ = fs::remove_dir_all(&self.directory);
    }
}

fn registry() -> Arc<Mutex<Registry>> {
    let config = Config::parse(NODE, "node.toml", &Machine::with_cores(4)).unwrap();
    Arc::new(Mutex::new(Registry::new(&config).unwrap()))
}

fn service(n: u8, backends: &[u8]) -> config::Service {
    let backend = |&n: &u8| Backend { address: [10, 77, 0, n].into(), port: Some(8080), weight: 1 };
    config::Service {
        name: format!("s{n}"),
        vip: [192, 0, 2, n].into(),
        port: PortRange::one(80).unwrap(),
        backends: backends.iter().map(backend).collect(),
        ..config::Service::default()
    }
}

#[test]
fn what_was_answered_is_there_after_a_restart() {
    let mut world = World::new("restart");
    for n in 1..=3 {
        assert_eq!(world.put(n), Ok(Put::Created));
        let text = fs::read_to_string(world.file()).unwrap();
        assert!(text.contains(&format!("\"name\":\"s{n}\"")), "{text}");
    }
    let host = IpAddr::from([10, 77, 0, 21]);
    let key = ServiceKey::of(&service(2, &[]));
    let drained = world.changes().make_blocking(move |t| {
        let until = t.now + Duration::from_secs(600);
        t.registry.drain(&key, (host, None), Some(until))
    });
    assert_eq!(drained, Ok(1));
    let removed = world
        .changes()
        .make_blocking(|t| t.registry.remove(&ServiceKey::of(&service(1, &[])), Source::Api, t.now));
    assert_eq!(removed, Ok(true));
    let before = world.entry(3);
    world.restart();
    assert_eq!(world.names(), ["s2", "s3"]);
    assert_eq!((world.entry(3).wanted.clone(), world.entry(3).source), (before.wanted.clone(), Source::Api));
    assert!(world.entry(2).backends[0].drain.is_some() && world.entry(2).backends[1].drain.is_none());
}

#[test]
fn a_refused_change_is_undone_and_the_others_stand() {
    let world = World::new("refused");
    let refused = world.changes().make_blocking(|t| -> Result<(), Refusal> {
        t.registry.put(service(1, &[21]), None, Source::Api, t.now)?;
        t.saved_mut().hosts.insert(crate::manage::HostState {
            host: [10, 0, 0, 1].into(),
            port: 1,
            protocol: "tcp".into(),
            up: false,
            word: "red".into(),
        });
        t.registry.put(service(2, &[11]), None, Source::Api, t.now)?;
        Ok(())
    });
    assert_eq!(refused.unwrap_err().kind(), RefusalKind::Malformed);
    assert!(world.names().is_empty() && world.changes().saved().hosts.is_empty());
    assert!(!world.file().exists(), "nothing was to be kept");
    assert_eq!(world.put(3), Ok(Put::Created));
    assert_eq!(world.put(3), Ok(Put::Unchanged));
}

#[test]
fn what_cannot_be_kept_is_not_done() {
    let world = World::new("full");
    world.put(1).unwrap();
    // As good as a full disk: the new file cannot be made.
    fs::create_dir(world.directory.join("state.json.next")).unwrap();
    let table = world.registry.lock().table();
    let refused = world.put(2).unwrap_err();
    assert_eq!(refused.kind(), RefusalKind::Unavailable);
    assert!(refused.to_string().contains("state.json"), "{refused}");
    assert!(Arc::ptr_eq(&table, &world.registry.lock().table()));
    assert_eq!(world.names(), ["s1"]);
    fs::remove_dir(world.directory.join("state.json.next")).unwrap();
    assert_eq!(world.put(2), Ok(Put::Created));
    assert_eq!(world.names(), ["s1", "s2"]);
}

#[test]
fn changes_that_wait_are_kept_together() {
    let world = World::new("group");
    let held = world.registry.lock();
    let ask = |n| world.changes().ask(move |t| t.registry.put(service(n, &[21]), None, Source::Api, t.now));
    let answers: Vec<_> = (1..=200).map(|n| ask(n).unwrap()).collect();
    drop(held);
    for answer in answers {
        assert_eq!(answer.blocking_recv(), Ok(Ok(Put::Created)));
    }
    assert_eq!(world.names().len(), 200);
    // Two writes at most: of those that the thread had taken before it waited for the registry, then of all others.
    assert!(world.events.follow(0).0.len() <= 2, "{}", world.said());
}

#[test]
fn a_corrupt_file_is_named_in_the_log_and_kept() {
    let mut world = World::new("corrupt");
    world.put(1).unwrap();
    world.changes = None;
    while Arc::strong_count(&world.registry) > 1 {
        thread::sleep(Duration::from_millis(1));
    }
    fs::write(world.file(), "{\"version\":1,").unwrap();
    world.registry = registry();
    world.start();
    assert!(world.names().is_empty());
    let said = world.said();
    let aside = said.split_whitespace().find(|word| word.contains("corrupt-")).unwrap().trim_end_matches(',');
    assert_eq!(fs::read_to_string(aside).unwrap(), "{\"version\":1,", "{said}");
}

#[test]
fn a_service_that_does_not_fit_waits_and_is_not_lost() {
    let mut world = World::new("parked");
    world.put(1).unwrap();
    let text = fs::read_to_string(world.file()).unwrap();
    let foreign = r#"{"name":"six","vip":"fd00::1","port":80},"#;
    fs::write(world.file(), text.replacen("{\"name\"", &format!("{foreign}\n{{\"name\""), 1)).unwrap();
    world.restart();
    assert_eq!(world.names(), ["s1"]);
    assert!(
        world.said().contains("service six of the state file waits: fd00::1 has no local address"),
        "{}",
        world.said()
    );
    // Other changes keep it, and a restart finds it.
    world.put(2).unwrap();
    world.restart();
    assert_eq!(world.changes().saved().parked[0].name(), "six");
    let retry = |transaction: &mut Transaction<'_>| {
        transaction.retry_parked();
        Ok(())
    };
    world.changes().make_blocking(retry).unwrap();
    assert_eq!(world.changes().saved().parked.len(), 1);
}
