//! `hitless devices`: what DPDK can use here, what each device can do, and what is missing.

use super::{Failure, Output, table};
use crate::dpdk::{Capabilities, Device, Eal, EalOptions, Host, Inventory, PciNic, Timestamps};
use serde_json::{Value, json};
use std::path::Path;

/// Huge pages enough to ask devices.
const PROBE_MB: u32 = 64;

/// A device that was looked at, or why it could not be.
type Looked = (String, Result<Capabilities, String>);

pub(super) fn run(devices: &[String], output: Output) -> Result<(), Failure> {
    let inventory = Inventory::read(Path::new("/"));
    let looked = look(&inventory, devices);
    if output == Output::Json {
        table::say(&format!("{:#}", as_json(&inventory, &looked)));
    } else {
        print_host(&inventory.host);
        print_nics(&inventory.nics);
        print_capabilities(&looked);
        print_advice(&inventory);
    }
    let asked_in_vain = looked.iter().find(|(name, found)| found.is_err() && devices.contains(name));
    match asked_in_vain {
        Some((name, _)) => Err(Failure::Refused(format!("{name} cannot be used"))),
        _ => Ok(()),
    }
}

/// Asks each device that can be opened.
fn look(inventory: &Inventory, devices: &[String]) -> Vec<Looked> {
    let openable = inventory.nics.iter().filter(|nic| nic.is_openable()).map(|nic| nic.address.clone());
    let names: Vec<String> = openable.chain(devices.iter().cloned()).collect();
    if names.is_empty() {
        return Vec::new();
    }
    let hugepages = inventory.host.free_huge_mb() >= u64::from(PROBE_MB);
    let main_core = inventory.host.allowed_cores.first().copied().unwrap_or(0);
    let pci = inventory.nics.iter().filter(|nic| nic.is_openable()).map(|nic| nic.address.clone()).collect();
    let options = EalOptions { hugepages, memory_mb: PROBE_MB, main_core, pci, ..EalOptions::default() };
    match Eal::start(&options) {
        Ok(eal) => names.into_iter().map(|name| (name.clone(), ask(&eal, &name))).collect(),
        Err(error) => names.into_iter().map(|name| (name, Err(error.to_string()))).collect(),
    }
}

fn ask(eal: &Eal, name: &str) -> Result<Capabilities, String> {
    Device::probe(eal, name, 1).map(Device::examine).map_err(|error| error.to_string())
}

fn yes(value: bool) -> &'static str {
    if value { "yes" } else { "no" }
}

fn cores<'a>(list: impl IntoIterator<Item = &'a u16>) -> String {
    let list: Vec<String> = list.into_iter().map(u16::to_string).collect();
    if list.is_empty() { "none".into() } else { list.join(",") }
}

fn governors(host: &Host) -> String {
    let mut governors: Vec<&str> = host.timing.governors.values().map(String::as_str).collect();
    governors.sort_unstable();
    governors.dedup();
    governors.join(",")
}

fn print_host(host: &Host) {
    let huge: Vec<String> = host
        .hugepages
        .iter()
        .filter(|pages| pages.total > 0)
        .map(|pages| {
            let mounted = pages.mounted.as_deref().unwrap_or("not mounted");
            format!("{} of {} free, {} KB each, {mounted}", pages.free, pages.total, pages.size_kb)
        })
        .collect();
    let rows = [
        ("huge pages", if huge.is_empty() { "none reserved".into() } else { huge.join("; ") }),
        ("IOMMU", yes(host.iommu).into()),
        ("vfio-pci loaded", yes(host.vfio_loaded).into()),
        (
            "locked memory limit",
            host.memlock.map_or("unlimited".into(), |bytes| format!("{} KB", bytes / 1024)),
        ),
        ("cores", cores(&host.online_cores)),
        ("isolated cores", cores(&host.timing.isolated)),
        (
            "RT throttling",
            match host.timing.rt_runtime_us {
                Some(-1) => "off".into(),
                Some(us) => format!("{us} us a second"),
                None => "unknown".into(),
            },
        ),
        ("frequency governor", governors(host)),
    ];
    let rows = rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect();
    table::print(&["HOST", ""], rows);
}

fn print_nics(nics: &[PciNic]) {
    if nics.is_empty() {
        table::say("\nno PCI network cards here: virtual devices work, such as net_af_packet0,iface=eth0");
        return;
    }
    let row = |nic: &PciNic| {
        vec![
            nic.address.clone(),
            format!("{:04x}:{:04x}", nic.id.0, nic.id.1),
            nic.driver.clone().unwrap_or_else(|| "none".into()),
            nic.interfaces.join(","),
            nic.numa_node.map_or(String::new(), |node| node.to_string()),
            nic.iommu_group.map_or(String::new(), |group| group.to_string()),
        ]
    };
    table::say("");
    table::print(
        &["PCI", "ID", "DRIVER", "INTERFACE", "NUMA", "IOMMU GROUP"],
        nics.iter().map(row).collect(),
    );
}

fn print_capabilities(looked: &[Looked]) {
    if looked.is_empty() {
        return;
    }
    let by_ports = |rss: [bool; 3]| {
        let names = ["tcp", "udp", "sctp"];
        let found: Vec<&str> =
            names.into_iter().zip(rss).filter(|(_, has)| *has).map(|(name, _)| name).collect();
        if found.is_empty() { "no".into() } else { found.join(" ") }
    };
    let row = |(name, found): &Looked| {
        let can = found.as_ref().ok()?;
        Some(vec![
            name.clone(),
            can.driver.clone(),
            can.mac.to_string(),
            can.queues.to_string(),
            format!("{}/{}", can.rss_key_bytes, can.rss_table_size),
            format!("{} / {}", by_ports(can.rss_ipv4), by_ports(can.rss_ipv6)),
            match can.flow_rules {
                Some([v4, v6]) => format!("{} / {}", yes(v4), yes(v6)),
                None => "not tried".into(),
            },
            yes(can.rx_checksums.iter().all(|has| *has)).into(),
            timestamps(can.timestamps).into(),
            can.mtu.1.map_or("any".into(), |most| most.to_string()),
        ])
    };
    let columns = [
        "DEVICE",
        "DRIVER",
        "MAC",
        "QUEUES",
        "RSS KEY/RETA",
        "RSS BY PORTS V4 / V6",
        "BFD RULES V4 / V6",
        "RX CHECKSUMS",
        "RX TIMESTAMPS",
        "MAX MTU",
    ];
    table::say("");
    table::print(&columns, looked.iter().filter_map(row).collect());
    for (name, found) in looked {
        if let Err(reason) = found {
            table::say(&format!("{name}: {reason}"));
        }
    }
}

const fn timestamps(kind: Timestamps) -> &'static str {
    match kind {
        Timestamps::Hardware => "hardware",
        Timestamps::Driver => "driver",
        Timestamps::PtpOnly => "PTP packets only",
        Timestamps::Software => "software",
    }
}

fn print_advice(inventory: &Inventory) {
    if inventory.advice.is_empty() {
        return table::say("\nnothing is missing");
    }
    table::say("\nto mend:");
    for advice in &inventory.advice {
        table::say(&format!("  {}\n    {}", advice.what, advice.command));
    }
}

fn as_json(inventory: &Inventory, looked: &[Looked]) -> Value {
    let host = &inventory.host;
    let pages = host.hugepages.iter().map(|pages| {
        json!({ "size_kb": pages.size_kb, "total": pages.total, "free": pages.free, "mounted": pages.mounted })
    });
    let nics = inventory.nics.iter().map(|nic| {
        json!({
            "address": nic.address, "id": format!("{:04x}:{:04x}", nic.id.0, nic.id.1), "driver": nic.driver,
            "interfaces": nic.interfaces, "numa_node": nic.numa_node, "iommu_group": nic.iommu_group,
        })
    });
    let devices = looked.iter().map(|(name, found)| match found {
        Err(reason) => json!({ "device": name, "error": reason }),
        Ok(can) => json!({
            "device": name, "driver": can.driver, "mac": can.mac.to_string(), "queues": can.queues,
            "rss_key_bytes": can.rss_key_bytes, "rss_table_size": can.rss_table_size,
            "rss_ipv4": can.rss_ipv4, "rss_ipv6": can.rss_ipv6, "rx_checksums": can.rx_checksums,
            "tx_checksums": can.tx_checksums, "rx_timestamps": timestamps(can.timestamps),
            "flow_rules": can.flow_rules, "mtu_max": can.mtu.1,
        }),
    });
    let advice =
        inventory.advice.iter().map(|advice| json!({ "what": advice.what, "command": advice.command }));
    json!({
        "host": {
            "hugepages": pages.collect::<Value>(), "iommu": host.iommu, "vfio_loaded": host.vfio_loaded,
            "memlock_bytes": host.memlock, "cores": host.online_cores, "isolated_cores": host.timing.isolated,
            "rt_runtime_us": host.timing.rt_runtime_us, "governors": host.timing.governors,
            "interrupts": host.timing.interrupts,
        },
        "nics": nics.collect::<Value>(),
        "devices": devices.collect::<Value>(),
        "advice": advice.collect::<Value>(),
    })
}
