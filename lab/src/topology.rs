//! Hosts on a bridge.

use crate::{
    Namespace, Result, output,
    sweep::{FOLDER, PREFIX, remove_namespace, sweep},
};
use std::{
    cell::RefCell,
    fs,
    net::{Ipv4Addr, Ipv6Addr},
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
};

static LABS: AtomicU32 = AtomicU32::new(0);

/// A host: a namespace with one interface, `eth0`, on the bridge.
#[derive(Clone, Debug)]
pub struct Host {
    /// Its name in the lab: `client`, `lb1`, `b1`.
    pub name: String,
    /// Where its programs run.
    pub namespace: Namespace,
    /// 10.77.0.N
    pub v4: Ipv4Addr,
    /// fd77::N, with the same digits.
    pub v6: Ipv6Addr,
}

/// Who has the interface's addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stack {
    /// The host's kernel.
    Kernel,
    /// The program that uses it: the kernel keeps away.
    Program,
}

/// A bridge and what is plugged into it.
#[derive(Debug)]
pub struct Lab {
    prefix: String,
    bridge: Namespace,
    namespaces: Vec<String>,
    folder: PathBuf,
    /// Folders elsewhere.
    owned: RefCell<Vec<PathBuf>>,
}

impl Lab {
    /// A bridge without hosts. Needs root.
    ///
    /// # Errors
    ///
    /// The system refuses.
    pub fn new() -> Result<Self> {
        sweep();
        let prefix = format!("{PREFIX}{}-{}", std::process::id(), LABS.fetch_add(1, Ordering::Relaxed));
        let folder = Path::new(FOLDER).join(&prefix);
        fs::create_dir_all(&folder)?;
        let mut lab = Self {
            bridge: Namespace::new(format!("{prefix}-bridge")),
            prefix,
            namespaces: Vec::new(),
            folder,
            owned: RefCell::default(),
        };
        let bridge = lab.bridge.clone();
        lab.add_namespace(bridge.name())?;
        lab.bridge.sysctl(&[("ipv6/conf/default/disable_ipv6", "1")])?;
        ip(&["link add br0 type bridge mcast_snooping 0", "link set br0 up"], Some(&lab.bridge))?;
        Ok(lab)
    }

    /// A folder for files of this lab.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A name that nobody else on this machine has.
    pub fn unique(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }

    /// Removes a folder elsewhere with the lab. Its name should be [`Self::unique`].
    pub fn owns(&self, folder: PathBuf) {
        self.owned.borrow_mut().push(folder);
    }

    /// The namespace of the bridge, whose ports are called like the hosts.
    pub const fn bridge(&self) -> &Namespace {
        &self.bridge
    }

    /// A host that uses its kernel: 10.77.0.`number` and fd77::`number`.
    ///
    /// # Errors
    ///
    /// The system refuses.
    pub fn host(&mut self, name: &str, number: u8) -> Result<Host> {
        self.plug(name, number, Stack::Kernel)
    }

    /// A host whose interface belongs to a program.
    ///
    /// # Errors
    ///
    /// The system refuses.
    pub fn machine(&mut self, name: &str, number: u8) -> Result<Host> {
        self.plug(name, number, Stack::Program)
    }

    /// The addresses of a machine whose interface somebody else plugs in; its namespace is the bridge's.
    pub fn card(&self, name: &str, number: u8) -> Host {
        let (v4, v6) = addresses(number);
        Host { name: name.to_owned(), namespace: self.bridge.clone(), v4, v6 }
    }

    fn plug(&mut self, name: &str, number: u8, stack: Stack) -> Result<Host> {
        let namespace = Namespace::new(format!("{}-{name}", self.prefix));
        self.add_namespace(namespace.name())?;
        let (v4, v6) = addresses(number);
        let disable = if stack == Stack::Kernel { "0" } else { "1" };
        // A lab's addresses are its own: nobody else can have them.
        namespace.sysctl(&[
            ("ipv6/conf/default/accept_dad", "0"),
            ("ipv6/conf/default/accept_ra", "0"),
            ("ipv6/conf/default/disable_ipv6", disable),
            ("ipv4/ip_local_port_range", "1024 65000"),
        ])?;
        let bridge = self.bridge.name();
        let inside = namespace.name();
        ip(&[&format!("link add name {name} netns {bridge} type veth peer name eth0 netns {inside}")], None)?;
        for (place, interface) in [(&self.bridge, name), (&namespace, "eth0")] {
            without_offloads(place, interface)?;
        }
        ip(&[&format!("link set {name} master br0"), &format!("link set {name} up")], Some(&self.bridge))?;
        ip(&["link set lo up", "link set eth0 up"], Some(&namespace))?;
        if stack == Stack::Kernel {
            ip(
                &[&format!("address add {v4}/24 dev eth0"), &format!("address add {v6}/64 dev eth0 nodad")],
                Some(&namespace),
            )?;
        }
        Ok(Host { name: name.to_owned(), namespace, v4, v6 })
    }

    /// Takes a host away; its programs must have ended.
    ///
    /// # Errors
    ///
    /// The system refuses.
    pub fn unplug(&mut self, host: &Host) -> Result<()> {
        self.namespaces.retain(|name| name != host.namespace.name());
        // The cable would go with the namespace only when the kernel gets to it.
        ip(&[&format!("link delete {}", host.name)], Some(&self.bridge))?;
        remove_namespace(host.namespace.name())
    }

    /// A host behind `router`, over a link of its own: 10.78.`number`.2 and fd78:`number`::2, where the router is 1.
    /// The router sends no packet over that link that is longer than `mtu`, though both ends could take longer ones.
    ///
    /// # Errors
    ///
    /// The system refuses.
    pub fn behind(&mut self, router: &Host, name: &str, number: u8, mtu: u16) -> Result<Host> {
        let namespace = Namespace::new(format!("{}-{name}", self.prefix));
        self.add_namespace(namespace.name())?;
        namespace.sysctl(&[("ipv6/conf/default/accept_dad", "0"), ("ipv6/conf/default/accept_ra", "0")])?;
        router.namespace.sysctl(&[("ipv4/ip_forward", "1"), ("ipv6/conf/all/forwarding", "1")])?;
        let (outside, inside) = (router.namespace.name(), namespace.name());
        ip(
            &[&format!("link add name {name} netns {outside} type veth peer name eth0 netns {inside}")],
            None,
        )?;
        for (place, interface) in [(&router.namespace, name), (&namespace, "eth0")] {
            without_offloads(place, interface)?;
        }
        let [v4, v6] = [format!("10.78.{number}"), format!("fd78:{number}:")];
        ip(
            &[
                &format!("link set {name} up"),
                &format!("address add {v4}.1/24 dev {name}"),
                &format!("address add {v6}:1/64 dev {name} nodad"),
                &format!("route change {v4}.0/24 dev {name} proto kernel src {v4}.1 mtu lock {mtu}"),
                &format!("route add {v6}:2/128 dev {name} mtu lock {mtu}"),
            ],
            Some(&router.namespace),
        )?;
        ip(
            &[
                "link set lo up",
                "link set eth0 up",
                &format!("address add {v4}.2/24 dev eth0"),
                &format!("address add {v6}:2/64 dev eth0 nodad"),
                &format!("route add default via {v4}.1"),
                &format!("route add default via {v6}:1"),
            ],
            Some(&namespace),
        )?;
        let v4 = Ipv4Addr::new(10, 78, number, 2);
        let v6 = Ipv6Addr::new(0xfd78, same_digits(number), 0, 0, 0, 0, 0, 2);
        Ok(Host { name: name.to_owned(), namespace, v4, v6 })
    }

    fn add_namespace(&mut self, name: &str) -> Result<()> {
        ip(&[&format!("netns add {name}")], None)?;
        self.namespaces.push(name.to_owned());
        Ok(())
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for name in self.namespaces.drain(..) {
            let _ = remove_namespace(&name);
        }
        if std::env::var_os("HITLESS_LAB_KEEP").is_none() {
            let _ = fs::remove_dir_all(&self.folder);
        }
        for folder in self.owned.take() {
            let _ = fs::remove_dir_all(folder);
        }
    }
}

/// On the bridge.
fn addresses(number: u8) -> (Ipv4Addr, Ipv6Addr) {
    (Ipv4Addr::new(10, 77, 0, number), Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, same_digits(number)))
}

/// The hexadecimal number with the digits of a decimal one: fd77::21 is 10.77.0.21.
fn same_digits(number: u8) -> u16 {
    u16::from_str_radix(&number.to_string(), 16).unwrap_or(0)
}

/// Whoever reads raw frames must see them as they would be on a wire.
fn without_offloads(namespace: &Namespace, interface: &str) -> Result<()> {
    namespace
        .shell(&format!("ethtool -K {interface} rx off tx off tso off gso off gro off >/dev/null"))
        .map(drop)
}

/// Runs `ip` commands one after the other.
fn ip(lines: &[&str], inside: Option<&Namespace>) -> Result<()> {
    for line in lines {
        let mut command = Command::new("ip");
        if let Some(namespace) = inside {
            command.args(["-n", namespace.name()]);
        }
        output(command.args(line.split(' ')))?;
    }
    Ok(())
}
