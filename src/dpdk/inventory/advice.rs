//! What a machine lacks for poll-mode work, and the command that mends it.

use super::{host::Host, pci::PciNic};

/// One thing to mend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advice {
    /// What is missing and what follows.
    pub what: String,
    /// The command, or the line of a configuration file, that mends it.
    pub command: String,
}

/// What to mend on `host` with these cards, most needed first.
pub fn advice(host: &Host, nics: &[PciNic]) -> Vec<Advice> {
    let checks = [
        no_hugepages(host),
        no_vfio(host, nics),
        no_iommu(host, nics),
        unbound(host, nics),
        memlock(host),
        not_isolated(host),
        throttled(host),
        governor(host),
        interrupted(host),
    ];
    checks.into_iter().flatten().collect()
}

/// The command that reserves `megabytes` in huge pages of 2 MiB.
pub(crate) fn reserve_command(megabytes: u64) -> String {
    format!("sysctl -w vm.nr_hugepages={}", megabytes.div_ceil(2))
}

fn advise(missing: bool, what: &str, command: impl Into<String>) -> Option<Advice> {
    missing.then(|| Advice { what: what.to_owned(), command: command.into() })
}

fn no_hugepages(host: &Host) -> Option<Advice> {
    advise(
        host.free_huge_mb() == 0,
        "no free huge pages: only `hugepages = false` works, which is slower and has no real NIC",
        reserve_command(1024),
    )
}

fn no_vfio(host: &Host, nics: &[PciNic]) -> Option<Advice> {
    advise(!host.vfio_loaded && !nics.is_empty(), "the vfio-pci driver is not loaded", "modprobe vfio-pci")
}

fn no_iommu(host: &Host, nics: &[PciNic]) -> Option<Advice> {
    advise(
        !host.iommu && !host.vfio_without_iommu && !nics.is_empty(),
        "no IOMMU: vfio-pci refuses devices; turn it on (kernel command line: intel_iommu=on iommu=pt), or go \
         without its protection",
        "modprobe vfio && echo 1 > /sys/module/vfio/parameters/enable_unsafe_noiommu_mode",
    )
}

/// Never the card that the machine's default route leads out of: whoever takes the advice may come by it.
fn unbound(host: &Host, nics: &[PciNic]) -> Option<Advice> {
    if nics.iter().any(PciNic::is_openable) {
        return None;
    }
    let way_out = |nic: &PciNic| nic.interfaces.iter().find(|name| host.ways_out.contains(name)).cloned();
    match nics.iter().find(|nic| way_out(nic).is_none()) {
        Some(free) => advise(
            true,
            "no network card is bound to vfio-pci; bind one that this machine is not reached by",
            free.bind_command(),
        ),
        None => advise(
            !nics.is_empty(),
            "no network card is free: this machine's default routes lead out of every one, and bound to vfio-pci it \
             would be cut off; add a card, or share one with the kernel in the configuration file",
            format!("device = \"net_af_packet0,iface={}\"", nics.iter().find_map(way_out)?),
        ),
    }
}

fn memlock(host: &Host) -> Option<Advice> {
    advise(
        host.memlock.is_some(),
        "locked memory is limited: vfio-pci cannot map the packet memory for the device",
        "ulimit -l unlimited   # systemd: LimitMEMLOCK=infinity",
    )
}

fn not_isolated(host: &Host) -> Option<Advice> {
    let cores = match host.online_cores.as_slice() {
        [_, second, .., last] => format!("{second}-{last}"),
        [_, only] => only.to_string(),
        _ => return None,
    };
    advise(
        host.timing.isolated.is_empty(),
        "no core is isolated: the kernel interrupts polling threads at will; add to the kernel command line",
        format!("isolcpus={cores} nohz_full={cores} rcu_nocbs={cores}"),
    )
}

fn throttled(host: &Host) -> Option<Advice> {
    advise(
        host.timing.rt_runtime_us.is_some_and(|runtime| runtime >= 0),
        "real-time threads are stopped for a part of each second: with `realtime = true` polling would pause",
        "sysctl -w kernel.sched_rt_runtime_us=-1",
    )
}

fn governor(host: &Host) -> Option<Advice> {
    advise(
        host.timing.governors.values().any(|governor| governor != "performance"),
        "the CPU frequency governor slows cores down: latency after a pause grows",
        "cpupower frequency-set -g performance",
    )
}

/// On a core that nothing else runs on, an interrupt is what is left to delay a polling thread.
fn interrupted(host: &Host) -> Option<Advice> {
    let free = host.online_cores.iter().filter(|core| !host.timing.isolated.contains(core));
    let free: Vec<String> = free.map(u16::to_string).collect();
    let list = free.join(",");
    advise(
        host.timing.interrupts.keys().any(|core| host.timing.isolated.contains(core)),
        "interrupts reach isolated cores",
        format!("echo {list} | tee /proc/irq/*/smp_affinity_list   # at boot: irqaffinity={list}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::Timing, dpdk::inventory::host::HugePages};

    fn nic(driver: &str) -> PciNic {
        PciNic {
            address: "0000:3b:00.0".to_owned(),
            id: (0x8086, 0x1572),
            driver: Some(driver.to_owned()),
            interfaces: vec![],
            numa_node: None,
            iommu_group: None,
        }
    }

    fn good() -> Host {
        Host {
            hugepages: vec![HugePages { size_kb: 2048, total: 512, free: 512, mounted: None }],
            iommu: true,
            vfio_loaded: true,
            online_cores: vec![0, 1, 2, 3],
            timing: Timing {
                isolated: [2, 3].into(),
                rt_runtime_us: Some(-1),
                governors: [(0, "performance".to_owned())].into(),
                ..Timing::default()
            },
            ..Host::default()
        }
    }

    #[test]
    fn a_good_machine_needs_nothing() {
        assert_eq!(advice(&good(), &[nic("vfio-pci"), nic("i40e")]), []);
    }

    #[test]
    fn each_lack_has_its_command() {
        type Spoil = fn(&mut Host);
        let lacks: [(Spoil, &str); 8] = [
            (|host| host.hugepages.clear(), "sysctl -w vm.nr_hugepages=512"),
            (|host| host.vfio_loaded = false, "modprobe vfio-pci"),
            (
                |host| host.iommu = false,
                "modprobe vfio && echo 1 > /sys/module/vfio/parameters/enable_unsafe_noiommu_mode",
            ),
            (|host| host.memlock = Some(65536), "ulimit -l unlimited   # systemd: LimitMEMLOCK=infinity"),
            (|host| host.timing.isolated.clear(), "isolcpus=1-3 nohz_full=1-3 rcu_nocbs=1-3"),
            (|host| host.timing.rt_runtime_us = Some(950_000), "sysctl -w kernel.sched_rt_runtime_us=-1"),
            (
                |host| _ = host.timing.governors.insert(1, "powersave".to_owned()),
                "cpupower frequency-set -g performance",
            ),
            (
                |host| _ = host.timing.interrupts.insert(2, 1),
                "echo 0,1 | tee /proc/irq/*/smp_affinity_list   # at boot: irqaffinity=0,1",
            ),
        ];
        for (spoil, command) in lacks {
            let mut host = good();
            spoil(&mut host);
            let commands: Vec<_> = advice(&host, &[nic("vfio-pci")]).into_iter().map(|a| a.command).collect();
            assert_eq!(commands, [command]);
        }
    }

    #[test]
    fn a_card_is_to_be_bound_when_none_is() {
        let [only] = advice(&good(), &[nic("i40e")]).try_into().unwrap();
        assert_eq!(only.command, "modprobe vfio-pci && dpdk-devbind.py --bind=vfio-pci 0000:3b:00.0");
        assert_eq!(advice(&good(), &[]), []);
    }

    #[test]
    fn the_card_that_the_machine_is_reached_by_is_left_alone() {
        let card = |address: &str, interface: &str| PciNic {
            address: address.to_owned(),
            interfaces: vec![interface.to_owned()],
            ..nic("virtio-pci")
        };
        let (own, free) = (card("0000:00:03.0", "eth0"), card("0000:00:04.0", "eth1"));
        let host = Host { ways_out: vec!["eth0".to_owned()], ..good() };
        let [only] = advice(&host, &[own.clone(), free]).try_into().unwrap();
        assert!(only.command.ends_with("--bind=vfio-pci 0000:00:04.0"), "{only:?}");
        let [only] = advice(&host, &[own]).try_into().unwrap();
        assert_eq!(only.command, "device = \"net_af_packet0,iface=eth0\"");
    }
}
