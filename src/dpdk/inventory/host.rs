//! What the machine gives a poll-mode program: huge pages, cores, rights. Read from `/sys` and `/proc` below
//! a root directory, so that a test can lay one out.

use crate::config::{Timing, core_list, names, text};
use std::path::Path;

/// Bits of `linux/capability.h`: interfaces and raw sockets; memory locked beyond the limit.
const NET_RIGHTS: u64 = 1 << 12 | 1 << 13;
const IPC_LOCK: u64 = 1 << 14;

/// More interfaces are not looked at.
const MOST_INTERFACES: usize = 1024;

/// Huge pages of one size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HugePages {
    /// Size of a page in KiB.
    pub size_kb: u64,
    /// Pages reserved.
    pub total: u64,
    /// Pages that nobody uses.
    pub free: u64,
    /// Where a hugetlbfs of this size is mounted. Not needed in in-memory mode.
    pub mounted: Option<String>,
}

/// The machine, without its devices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Host {
    /// By size, smallest first.
    pub hugepages: Vec<HugePages>,
    /// An IOMMU is on: vfio-pci keeps devices to their own memory.
    pub iommu: bool,
    /// vfio-pci may be used without an IOMMU.
    pub vfio_without_iommu: bool,
    /// The vfio-pci driver is loaded.
    pub vfio_loaded: bool,
    /// Most bytes this process may lock; `None`: any number.
    pub memlock: Option<u64>,
    /// This process may open raw sockets and change interfaces.
    pub network_rights: bool,
    /// Cores that are on.
    pub online_cores: Vec<u16>,
    /// Cores this process may run on.
    pub allowed_cores: Vec<u16>,
    /// What disturbs polling threads.
    pub timing: Timing,
    /// Interfaces that this machine's default routes lead out of, and those beneath them.
    pub ways_out: Vec<String>,
}

impl Host {
    /// Reads the machine below `root`, which is `/` but in tests. What is not there counts as none.
    pub fn read(root: &Path) -> Self {
        let status = text(root, "proc/self/status");
        let rights =
            field(&status, "CapEff:").and_then(|bits| u64::from_str_radix(bits, 16).ok()).unwrap_or(0);
        Self {
            hugepages: hugepages(root),
            iommu: !names(root, "sys/kernel/iommu_groups").is_empty(),
            vfio_without_iommu: text(root, "sys/module/vfio/parameters/enable_unsafe_noiommu_mode").trim()
                == "Y",
            vfio_loaded: root.join("sys/bus/pci/drivers/vfio-pci").is_dir(),
            memlock: if rights & IPC_LOCK != 0 { None } else { memlock(&text(root, "proc/self/limits")) },
            network_rights: rights & NET_RIGHTS == NET_RIGHTS,
            online_cores: core_list(&text(root, "sys/devices/system/cpu/online")).collect(),
            allowed_cores: field(&status, "Cpus_allowed_list:")
                .map(|list| core_list(list).collect())
                .unwrap_or_default(),
            timing: Timing::read(root),
            ways_out: ways_out(root),
        }
    }

    /// MiB in free huge pages of all sizes.
    pub fn free_huge_mb(&self) -> u64 {
        self.hugepages.iter().map(|pages| pages.free * pages.size_kb / 1024).sum()
    }
}

/// Interfaces with a default route, and the slaves of bonds, members of bridges and parents of VLANs among them.
fn ways_out(root: &Path) -> Vec<String> {
    let (v4, v6) = (text(root, "proc/self/net/route"), text(root, "proc/self/net/ipv6_route"));
    let v4 = v4.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let is_default = fields.get(1) == Some(&"00000000") && fields.get(7) == Some(&"00000000");
        fields.first().filter(|_| is_default).map(|name| (*name).to_owned())
    });
    // A route to nowhere leads out of the loopback interface.
    let v6 = v6.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let is_default = fields.first().is_some_and(|to| to.bytes().all(|digit| digit == b'0'))
            && fields.get(1) == Some(&"00");
        fields.last().filter(|name| is_default && **name != "lo").map(|name| (*name).to_owned())
    });
    let mut found: Vec<String> = Vec::new();
    let mut left: Vec<String> = v4.chain(v6).collect();
    while let Some(name) = left.pop().filter(|_| found.len() < MOST_INTERFACES) {
        if !found.contains(&name) {
            let beneath = names(root, &format!("sys/class/net/{name}"));
            left.extend(beneath.iter().filter_map(|lower| lower.strip_prefix("lower_").map(str::to_owned)));
            found.push(name);
        }
    }
    found.sort();
    found
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

fn memlock(limits: &str) -> Option<u64> {
    field(limits, "Max locked memory")?.split_whitespace().next()?.parse().ok()
}

fn hugepages(root: &Path) -> Vec<HugePages> {
    const DIRECTORY: &str = "sys/kernel/mm/hugepages";
    let mounts = text(root, "proc/mounts");
    let default_kb = field(&text(root, "proc/meminfo"), "Hugepagesize:")
        .and_then(|size| size.strip_suffix("kB")?.trim().parse().ok())
        .unwrap_or(2048);
    let mut sizes: Vec<HugePages> = names(root, DIRECTORY)
        .iter()
        .filter_map(|name| {
            let size_kb = name.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()?;
            let count = |file: &str| text(root, &format!("{DIRECTORY}/{name}/{file}")).trim().parse();
            Some(HugePages {
                size_kb,
                total: count("nr_hugepages").ok()?,
                free: count("free_hugepages").ok()?,
                mounted: mount(&mounts, size_kb, default_kb),
            })
        })
        .collect();
    sizes.sort_by_key(|pages| pages.size_kb);
    sizes
}

/// Where `/proc/mounts` has a hugetlbfs of this page size.
fn mount(mounts: &str, size_kb: u64, default_kb: u64) -> Option<String> {
    mounts.lines().find_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        let (directory, kind, options) = (words.next()?, words.next()?, words.next()?);
        let page_kb = options
            .split(',')
            .find_map(|option| option.strip_prefix("pagesize="))
            .map_or(Some(default_kb), page_size_kb);
        (kind == "hugetlbfs" && page_kb == Some(size_kb)).then(|| directory.to_owned())
    })
}

/// A mount option's size, `2M` or `1G`, in KiB.
fn page_size_kb(size: &str) -> Option<u64> {
    let (number, unit) = size.split_at(size.len().checked_sub(1)?);
    let factor = match unit {
        "K" => 1,
        "M" => 1024,
        "G" => 1024 * 1024,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::tree::Tree;

    #[test]
    fn reads_a_server() {
        let tree = Tree::new(&[
            ("sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "1024\n"),
            ("sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "1000\n"),
            ("sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages", "4\n"),
            ("sys/kernel/mm/hugepages/hugepages-1048576kB/free_hugepages", "2\n"),
            ("proc/meminfo", "MemTotal: 1 kB\nHugepagesize:       2048 kB\n"),
            (
                "proc/mounts",
                "proc /proc proc rw 0 0\nnone /dev/hugepages hugetlbfs rw,relatime 0 0\n\
                 none /mnt/huge hugetlbfs rw,pagesize=1024M 0 0\n",
            ),
            ("sys/kernel/iommu_groups/0/type", "DMA"),
            ("sys/bus/pci/drivers/vfio-pci/bind", ""),
            ("proc/self/status", "Name:\tx\nCapEff:\t0000000000003000\nCpus_allowed_list:\t0-2,5\n"),
            (
                "proc/self/limits",
                "Max locked memory         8388608              8388608              bytes\n",
            ),
            ("sys/devices/system/cpu/online", "0-7\n"),
            ("sys/devices/system/cpu/isolated", "2-3,5\n"),
            ("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave\n"),
            ("sys/devices/system/cpu/cpu1/cpufreq/scaling_governor", "powersave\n"),
            ("proc/sys/kernel/sched_rt_runtime_us", "950000\n"),
            (
                "proc/self/net/route",
                "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
                 bond0\t00000000\t01004D0A\t0003\t0\t0\t100\t00000000\t0\t0\t0\n\
                 eth7\t00004D0A\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0\n",
            ),
            (
                "proc/self/net/ipv6_route",
                "00000000000000000000000000000000 00 00000000000000000000000000000000 00 \
                 fe800000000000000000000000000001 00000400 00000001 00000000 00450003 eth3\n\
                 00000000000000000000000000000000 00 00000000000000000000000000000000 00 \
                 00000000000000000000000000000000 ffffffff 00000001 00000000 00200200 lo\n",
            ),
            ("sys/class/net/bond0/lower_eth1/x", ""),
        ]);
        let pages = |size_kb, total, free, mounted: &str| HugePages {
            size_kb,
            total,
            free,
            mounted: Some(mounted.to_owned()),
        };
        let host = Host::read(tree.root());
        assert_eq!(
            host,
            Host {
                hugepages: vec![
                    pages(2048, 1024, 1000, "/dev/hugepages"),
                    pages(1_048_576, 4, 2, "/mnt/huge")
                ],
                iommu: true,
                vfio_without_iommu: false,
                vfio_loaded: true,
                memlock: Some(8_388_608),
                network_rights: true,
                online_cores: (0..8).collect(),
                allowed_cores: vec![0, 1, 2, 5],
                timing: Timing {
                    isolated: [2, 3, 5].into(),
                    rt_runtime_us: Some(950_000),
                    governors: [(0, "powersave".to_owned()), (1, "powersave".to_owned())].into(),
                    ..Timing::default()
                },
                ways_out: ["bond0", "eth1", "eth3"].map(str::to_owned).into(),
            }
        );
        assert_eq!(host.free_huge_mb(), 2000 + 2048);
    }

    #[test]
    fn an_empty_tree_has_nothing() {
        assert_eq!(Host::read(Tree::new(&[]).root()), Host::default());
    }

    #[test]
    fn the_right_to_lock_memory_lifts_the_limit() {
        let limits = ("proc/self/limits", "Max locked memory  65536  65536  bytes\n");
        for (capabilities, expected) in [("0000000000004000", None), ("0000000000002000", Some(65536))] {
            let status = format!("CapEff:\t{capabilities}\n");
            let tree = Tree::new(&[limits, ("proc/self/status", &status)]);
            assert_eq!(Host::read(tree.root()).memlock, expected);
        }
        let unlimited = ("proc/self/limits", "Max locked memory  unlimited  unlimited  bytes\n");
        assert_eq!(Host::read(Tree::new(&[unlimited]).root()).memlock, None);
    }
}
