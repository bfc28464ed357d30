//! Opening devices: what comes out, and what is said when it does not work.

use crate::{EAL, open, pool};
use hitless::{
    dpdk::{Device, DeviceError, Filter, OpenOptions, Timestamps},
    packet::{MICROSOFT_KEY, Steering, Toeplitz, Tuple, V4},
    port::{BURST, Burst, Port},
    types::{PortId, Protocol, WorkerId},
};

fn error(device: &str, options: &OpenOptions) -> DeviceError {
    let pool = pool(127);
    Device::probe(&EAL, device, u16::from(options.workers))
        .and_then(|device| device.open(options, &pool))
        .map(|_| ())
        .expect_err(device)
}

#[test]
fn errors_name_the_device() {
    for (device, words) in [
        ("net_nosuch0", "`net_nosuch0`: no driver for it"),
        ("net_null_typo0,sise=64", "`net_null_typo0`: its driver refuses it"),
        ("net_af_packet_none0,qpairs=1", "`net_af_packet_none0`"),
        ("net_af_packet7", "`net_af_packet7` needs `iface=...`"),
        ("net_af_packet8,iface=hl-nowhere", "`net_af_packet8`: there is no interface `hl-nowhere`"),
        ("net_pcap_none0,rx_pcap=/nonexistent.pcap", "`net_pcap_none0`"),
        ("ffff:ff:1f.7", "`ffff:ff:1f.7`: there is no PCI device at this address"),
        ("net_pcap_none0,rx_pcap=/nonexistent.pcap", "/nonexistent.pcap: No such file or directory"),
    ] {
        let error = error(device, &OpenOptions::default()).to_string();
        assert!(error.contains(words), "{device}: {error}");
        assert!(!error.contains('\n'), "{error}");
    }
}

#[test]
fn a_refused_device_can_be_opened_afterwards() {
    let pool = pool(127);
    assert!(Device::probe(&EAL, "net_null_again0,sise=64", 1).is_err());
    drop(open("net_null_again0", &OpenOptions::default(), &pool));
    drop(open("net_null_again0", &OpenOptions::default(), &pool));
}

#[test]
fn a_device_is_opened_once() {
    let pool = pool(127);
    let port = open("net_null_once0", &OpenOptions::default(), &pool);
    let again = || Device::probe(&EAL, "net_null_once0", 1).map(|_| ());
    let expected = DeviceError::AlreadyOpen { device: "net_null_once0".to_owned() };
    assert_eq!(again(), Err(expected.clone()));
    // A queue alone keeps it open too.
    let queues = port.queues;
    drop((port.nic, port.control));
    assert_eq!(again(), Err(expected));
    drop(queues);
    assert_eq!(again(), Ok(()));
}

#[test]
fn more_workers_than_queues_are_refused() {
    let error = error("net_ring_queues0", &OpenOptions { workers: 200, ..OpenOptions::default() });
    let DeviceError::TooFewQueues { device, wanted, most } = error else { panic!("{error}") };
    assert_eq!((device.as_str(), wanted), ("net_ring_queues0", 200));
    assert!(most < 200);
}

#[test]
fn an_mtu_beyond_the_buffers_is_refused_with_its_limit() {
    let error = error("net_null_mtu0", &OpenOptions { mtu: 9000, ..OpenOptions::default() });
    let DeviceError::Mtu { mtu, most, .. } = &error else { panic!("{error}") };
    assert_eq!((*mtu, *most), (9000, 2022));
    assert!(error.to_string().starts_with("`net_null_mtu0` cannot have MTU 9000: it takes "), "{error}");
}

#[test]
fn a_short_key_is_refused() {
    let options = OpenOptions { rss_key: Some(vec![1; 39]), ..OpenOptions::default() };
    assert_eq!(error("net_null_key0", &options), DeviceError::Key(39));
}

/// net_null keeps key and table like a NIC, though it hashes nothing.
#[test]
fn a_device_that_takes_key_and_table_is_predicted() {
    let pool = pool(2047);
    let options = OpenOptions {
        workers: 3,
        control: true,
        rss_key: Some(MICROSOFT_KEY.to_vec()),
        rx_descriptors: 256,
        ..OpenOptions::default()
    };
    let mut port = open("net_null_rss0", &options, &pool);
    assert_eq!(port.queues.iter().map(|queue| queue.index()).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(port.control.as_ref().map(|queue| queue.index()), Some(3));

    let steering = &port.nic.report().steering;
    assert!(matches!(steering, Steering::Hardware(_)));
    let tuple =
        Tuple::<V4>::new(("66.9.149.187".parse().unwrap(), 2794), ("161.142.100.80".parse().unwrap(), 1766))
            .unwrap();
    let hash = Toeplitz::new(&MICROSOFT_KEY).hash(&tuple);
    assert_eq!(hash, 0x51cc_c178);
    assert!(steering.is_exact::<V4>(Protocol::Tcp));
    assert_eq!(steering.owner(&tuple, Protocol::Tcp), WorkerId((hash % 128 % 3) as u8));

    let facts = port.nic.facts(PortId(1), "lan", 7);
    assert_eq!((facts.mac, facts.mtu, facts.vlan), (port.nic.report().mac, 1500, 7));
    // The parts work apart, and the last one closes the device.
    let mut control = port.control.take().unwrap();
    drop(port);
    let mut burst = Burst::new();
    assert_eq!(control.receive(&mut burst), BURST);
    drop((burst, control));
    assert_eq!(pool.available(), 2047);
}

#[test]
fn one_worker_needs_no_steering() {
    let pool = pool(127);
    let port = open("net_null_alone0", &OpenOptions::default(), &pool);
    assert!(matches!(port.nic.report().steering, Steering::Software { workers: 1 }));
    assert!(port.control.is_none());
}

#[test]
fn one_worker_can_have_control_beside_it() {
    let pool = pool(2047);
    let options = OpenOptions { control: true, ..OpenOptions::default() };
    let port = open("net_null_two0", &options, &pool);
    assert_eq!((port.queues.len(), port.control.map(|queue| queue.index())), (1, Some(1)));
    let tuple = Tuple::<V4>::new(("10.0.0.1".parse().unwrap(), 1), ("10.0.0.2".parse().unwrap(), 2)).unwrap();
    assert_eq!(port.nic.report().steering.owner(&tuple, Protocol::Tcp), WorkerId(0));
}

#[test]
fn a_device_without_a_table_has_no_queue_for_control() {
    let pool = pool(2047);
    let options = OpenOptions { workers: 2, control: true, ..OpenOptions::default() };
    let Ok(device) = Device::probe(&EAL, "net_ring_table0", 2) else { panic!("net_ring") };
    match device.open(&options, &pool) {
        Ok(port) => {
            assert!(port.control.is_none());
            assert!(matches!(port.nic.report().steering, Steering::Software { workers: 2 }));
        }
        Err(error) => assert!(matches!(error, DeviceError::TooFewQueues { most: 1, .. }), "{error}"),
    }
}

#[test]
fn descriptors_are_what_the_device_allows() {
    let pool = pool(127);
    let options = OpenOptions { rx_descriptors: 300, tx_descriptors: 77, ..OpenOptions::default() };
    let port = open("net_null_descriptors0", &options, &pool);
    let report = port.nic.report();
    assert!(report.rx_descriptors >= 300 && report.tx_descriptors >= 77, "{report:?}");
}

#[test]
fn link_multicast_and_further_addresses() {
    let pool = pool(127);
    let port = open("net_ring_filter0", &OpenOptions::default(), &pool);
    assert!(port.nic.link().is_some_and(|link| link.up));
    assert_ne!(port.nic.report().multicast, Filter::None);
    let filter = port.nic.add_mac("02:00:5e:00:01:01".parse().unwrap());
    assert!(matches!(filter, Filter::Exact | Filter::Promiscuous), "{filter:?}");
}

#[test]
fn a_device_without_rules_says_so() {
    let pool = pool(127);
    let port = open("net_null_flow0", &OpenOptions::default(), &pool);
    let error = port.nic.steer_udp(3784, false, 0).expect_err("net_null has no rules").to_string();
    assert!(error.starts_with("`net_null_flow0` takes no rule for UDP port 3784 over IPv4: "), "{error}");
    assert!(!error.ends_with(": "), "{error}");
}

#[test]
fn capabilities_of_virtual_devices() {
    let null = Device::probe(&EAL, "net_null_examined0", 1).expect("net_null").examine();
    assert_eq!((null.name.as_str(), null.driver.as_str()), ("net_null_examined0", "net_null"));
    assert_eq!((null.rss_key_bytes, null.rss_table_size, null.flow_rules), (40, 128, Some([false; 2])));
    assert_eq!(null.timestamps, Timestamps::Software);
    let ring = Device::probe(&EAL, "net_ring_ask0", 1).expect("net_ring");
    assert_eq!((ring.name(), ring.numa_node().is_some_and(|node| node > 7)), ("net_ring_ask0", false));
    assert_eq!(ring.capabilities().flow_rules, None);
}
