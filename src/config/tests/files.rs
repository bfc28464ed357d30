//! Files: the examples, and those that cannot be read.

use crate::config::{Config, Idle, Machine, Probe};
use std::{
    fs,
    path::{Path, PathBuf},
};

fn example(name: &str) -> Config {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(name);
    let checked = Config::check_file(&path, &Machine::with_cores(4));
    assert!(checked.warnings.is_empty(), "{:?}", checked.warnings);
    match checked.config {
        Ok(config) => config,
        Err(mistakes) => panic!("{mistakes}"),
    }
}

#[test]
fn the_example_of_one_node_loads() {
    let config = example("single.toml");
    assert_eq!(config.ha, None);
    assert_eq!(config.services.len(), 3);
    assert_eq!(config.services[0].health.probe, Probe::Http);
    assert_eq!(config.services[2].backends[0].port, None);
    assert_eq!((config.cores.workers, config.cores.idle), (vec![2, 3], Idle::Spin));
}

/// Every key there is has a place in one of the two, so that nobody must look for how it is written.
#[test]
fn the_examples_name_every_key() {
    let text: String = ["single.toml", "pair.toml"]
        .map(|name| {
            fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(name)).unwrap()
        })
        .concat();
    let missing: Vec<String> = super::reference::keys()
        .into_iter()
        .filter(|key| {
            let name = key.rsplit('.').next().unwrap_or_default();
            let is = |word: &str| word == name || word.rsplit('.').next() == Some(name);
            let words = |line: &str| line.split(['=', '[', ']', '{', '}', ',', ' ', '#']).any(is);
            !text.lines().any(words)
        })
        .collect();
    assert_eq!(missing, [""; 0]);
}

#[test]
fn the_example_of_a_pair_loads() {
    let config = example("pair.toml");
    let ha = config.ha.unwrap();
    assert_eq!(ha.peer, Some("10.77.0.12".parse().unwrap()));
    assert_eq!((ha.bfd.len(), ha.gateway_check.len(), ha.sync.enabled), (1, 1, true));
    assert_eq!(config.ports[0].kernel_interface.as_deref(), Some("hl-lan"));
}

/// The nodes of the Kubernetes example are each other's peer and agree on what must be the same.
#[test]
fn the_nodes_of_the_kubernetes_example_fit() {
    let [lb1, lb2] = ["kubernetes/lb1.toml", "kubernetes/lb2.toml"].map(example);
    let own = |config: &Config| config.ports[0].addresses[0].address();
    let path = |config: &Config| {
        let path = &config.ha.as_ref().unwrap().bfd[0];
        (path.local, path.remote, path.interval, path.multiplier)
    };
    let (local, remote, interval, multiplier) = path(&lb1);
    assert_eq!((local, remote), (own(&lb1), own(&lb2)));
    assert_eq!(path(&lb2), (remote, local, interval, multiplier));
    assert_eq!(lb1.ha.as_ref().unwrap().peer, Some(own(&lb2)));
    assert_eq!(lb2.ha.as_ref().unwrap().peer, Some(own(&lb1)));
    assert_eq!((&lb1.nat, &lb1.cores.workers), (&lb2.nat, &lb2.cores.workers));
    assert_ne!(lb1.instances()[0].priority, lb2.instances()[0].priority);
}

/// What the README shows can be used as it stands.
#[test]
fn the_readme_s_files_load() {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let blocks: Vec<&str> =
        readme.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(!blocks.is_empty());
    for block in blocks {
        if let Err(mistakes) = Config::parse(block, "README.md", &Machine::with_cores(4)) {
            panic!("{mistakes}\n{block}");
        }
    }
}

/// A file of this test alone, removed at its end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str, content: &[u8]) -> Self {
        let path = std::env::temp_dir().join(format!("hitless-config-{}-{name}", std::process::id()));
        fs::write(&path, content).unwrap();
        Self(path)
    }

    fn said(&self) -> String {
        let said = Config::load(&self.0).unwrap_err().to_string();
        said.replace(&self.0.display().to_string(), "FILE")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        _ = fs::remove_file(&self.0);
    }
}

#[test]
fn a_file_that_is_not_there() {
    assert_eq!(
        Config::load("/nonexistent/lb.toml").unwrap_err().to_string(),
        "/nonexistent/lb.toml: cannot be read (No such file or directory (os error 2)), allowed is the path of a \
         TOML file"
    );
}

#[test]
fn a_file_that_is_a_directory() {
    assert_eq!(
        Config::load("/").unwrap_err().to_string(),
        "/: cannot be read (Is a directory (os error 21)), allowed is the path of a TOML file"
    );
}

#[test]
fn a_file_that_is_not_utf8() {
    let file = Scratch::new("latin1", b"# \xc3\xbc\n[node]\nname = \"\xc3\xbc\xfc\"\n");
    assert_eq!(file.said(), "FILE:3:10: the byte 0xfc is not UTF-8, allowed is a file saved as UTF-8");
}

#[test]
fn a_file_that_is_too_large() {
    let file = Scratch::new("large", &vec![b'\n'; (16 << 20) + 1]);
    assert_eq!(file.said(), "FILE: is too large, allowed is up to 16 MiB");
}

#[test]
fn an_empty_file() {
    let mistakes = Config::parse("", "lb.toml", &Machine::with_cores(4)).unwrap_err();
    assert_eq!(mistakes.to_string(), "lb.toml:1:1: port: is missing, allowed is [[port]] tables");
}
