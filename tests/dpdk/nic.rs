//! Two real (or emulated) network cards whose wires meet in a switch: `HITLESS_TEST_NICS` names both PCI
//! addresses, with a comma between. Needs root, huge pages and vfio-pci. What is sent through the first is
//! looked for in the queues of the second.

use crate::{process, small};
use etherparse::PacketBuilder;
use hitless::{
    dpdk::{
        Device, DeviceError, Eal, EalOptions, Filter, Mbuf, OpenOptions, OpenPort, Pool, PoolOptions, log,
    },
    packet::{Family, MICROSOFT_KEY, Steering, Tuple, V4, V6},
    port::{Burst, Checksum, Packet, Port},
    types::{Mac, Protocol},
};
use std::{
    env,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    thread,
    time::{Duration, Instant},
};

const NICS: &str = "HITLESS_TEST_NICS";
/// Set where the cards are QEMU's.
const EMULATED: &str = "HITLESS_TEST_EMULATED";
const BFD: u16 = 3784;

#[test]
fn packets_arrive_where_predicted() {
    if env::var(NICS).is_ok() {
        process::run(process::command("nic", &[]));
    } else {
        println!("skipped: {NICS} names no cards");
    }
}

pub(crate) fn on_cards() {
    let nics = env::var(NICS).expect(NICS);
    let (first, second) = nics.split_once(',').expect("two cards");
    let pci = vec![first.to_owned(), second.to_owned()];
    log::set_sink(Some(|severity, line| println!("{severity:?} {line}")));
    let eal = Eal::start(&EalOptions { hugepages: true, memory_mb: 128, pci, ..small() }).unwrap();
    let pool = Pool::create(&eal, &PoolOptions { packets: 8191, mtu: 1500, numa_node: None }).unwrap();
    {
        let device = Device::probe(&eal, second, 1).unwrap();
        let capabilities = device.examine();
        println!("{capabilities:#?}");
        let workers = if capabilities.driver == "net_vmxnet3" { 2 } else { capabilities.queues.min(3) as u8 };
        let sender = Device::probe(&eal, first, 1).unwrap().open(&OpenOptions::default(), &pool).unwrap();
        process::run(process::command("nic in use", &[]));
        let options = OpenOptions {
            workers,
            control: true,
            rss_key: Some(MICROSOFT_KEY.to_vec()),
            rx_descriptors: 256,
            ..OpenOptions::default()
        };
        let receiver = Device::probe(&eal, second, workers.into()).unwrap().open(&options, &pool).unwrap();
        println!("{:#?}", receiver.nic.report());
        let mut wire = Wire { sender, receiver };
        wire.wait_for_link();
        wire.steers::<V4>(|host| Ipv4Addr::new(10, 1, 0, host).into());
        wire.steers::<V6>(|host| Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 1, host.into()).into());
        if wire.receiver.nic.report().checks_ip {
            wire.checks_checksums();
        }
        if wire.receiver.control.is_some() {
            wire.brings_bfd_to_control();
        }
        wire.filters();
        println!("{:?}", wire.receiver.nic.counters());
    }
    assert_eq!(pool.available(), 8191);
}

/// In a second process, while the first has the cards.
pub(crate) fn in_use() {
    let nics = env::var(NICS).expect(NICS);
    let pci: Vec<String> = nics.split(',').map(str::to_owned).collect();
    let first = pci[0].clone();
    let eal = Eal::start(&EalOptions { hugepages: true, memory_mb: 32, pci, ..small() }).unwrap();
    let error = Device::probe(&eal, &first, 1).map(|_| ()).unwrap_err();
    assert!(matches!(error, DeviceError::Busy { .. }), "{error}");
}

struct Wire {
    sender: OpenPort,
    receiver: OpenPort,
}

impl Wire {
    fn wait_for_link(&self) {
        let up = |port: &OpenPort| port.nic.link().is_some_and(|link| link.up);
        let limit = Instant::now() + Duration::from_secs(20);
        while !(up(&self.sender) && up(&self.receiver)) {
            assert!(Instant::now() < limit, "no link");
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn mac(&self) -> Mac {
        self.receiver.nic.report().mac
    }

    /// Sends a frame until it arrives; where, and what arrived. `None` where it does not.
    fn send(&mut self, frame: &[u8]) -> Option<(usize, Mbuf)> {
        for _ in 0..5 {
            let queue = &mut self.sender.queues[0];
            let mut packet = queue.allocate().unwrap();
            assert!(packet.resize(frame.len()));
            packet.data_mut().copy_from_slice(frame);
            let mut burst = Burst::new();
            burst.push(packet);
            assert_eq!(queue.transmit(&mut burst), 1);
            let limit = Instant::now() + Duration::from_millis(500);
            while Instant::now() < limit {
                if let Some(found) = self.look_for(frame) {
                    return Some(found);
                }
            }
        }
        None
    }

    fn look_for(&mut self, frame: &[u8]) -> Option<(usize, Mbuf)> {
        let queues = self.receiver.queues.iter_mut().chain(&mut self.receiver.control).enumerate();
        let mut found = None;
        for (index, queue) in queues {
            let mut burst = Burst::new();
            queue.receive(&mut burst);
            // Others may talk on the wire too; and short frames come padded.
            let ours = burst.drain(..).find(|packet| packet.data().starts_with(frame));
            found = found.or(ours.map(|packet| (index, packet)));
        }
        found
    }

    fn frame(&self, protocol: Protocol, from: (IpAddr, u16), to: (IpAddr, u16)) -> Vec<u8> {
        let builder = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], self.mac().0);
        let builder = match (from.0, to.0) {
            (IpAddr::V4(from), IpAddr::V4(to)) => builder.ipv4(from.octets(), to.octets(), 64),
            (IpAddr::V6(from), IpAddr::V6(to)) => builder.ipv6(from.octets(), to.octets(), 64),
            _ => unreachable!(),
        };
        let mut frame = Vec::new();
        let payload = [0x5a; 32];
        match protocol {
            Protocol::Tcp => builder.tcp(from.1, to.1, 1, 1000).write(&mut frame, &payload).unwrap(),
            _ => builder.udp(from.1, to.1).write(&mut frame, &payload).unwrap(),
        }
        frame
    }

    fn steers<F: Family>(&mut self, address: impl Fn(u8) -> IpAddr) {
        let steering = self.receiver.nic.report().steering.clone();
        assert_eq!(matches!(steering, Steering::Hardware(_)), self.receiver.control.is_some());
        let workers = self.receiver.queues.len();
        let mut arrivals = [0; 4];
        for number in 0..24u16 {
            for protocol in [Protocol::Tcp, Protocol::Udp] {
                let (from, to) =
                    ((address(number as u8 + 1), 1024 + 977 * number), (address(200), 80 + number));
                let tuple = Tuple::<F>::new(from, to).unwrap();
                let exact = steering.is_exact::<F>(protocol);
                let (queue, _) = self.send(&self.frame(protocol, from, to)).expect("it arrives");
                arrivals[queue] += 1;
                if exact && workers > 1 {
                    let owner = steering.owner(&tuple, protocol).index();
                    assert_eq!(queue, owner, "{from:?} {to:?} {protocol:?}");
                }
            }
        }
        // Control has no share, all workers have one; but some cards know no RSS and fill only the first
        // queue.
        assert_eq!(arrivals[workers..].iter().sum::<i32>(), 0);
        let all = arrivals[..workers].iter().all(|&count| count > 0);
        assert!(all || matches!(steering, Steering::Software { .. }), "{arrivals:?}");
    }

    fn checks_checksums(&mut self) {
        let end = |host, port| (IpAddr::from([10, 1, 0, host]), port);
        let good = self.frame(Protocol::Udp, end(1, 5), end(2, 6));
        let mut bad_ip = good.clone();
        bad_ip[24] ^= 1;
        let mut bad_udp = good.clone();
        bad_udp[41] ^= 1;
        let mut verdict = |what: &str, frame: &[u8]| {
            let (_, packet) = self.send(frame).expect(what);
            (packet.ip_checksum(), packet.l4_checksum())
        };
        let first = verdict("a good packet", &good);
        if first == (Checksum::Unknown, Checksum::Unknown) {
            println!("it checks nothing, whatever it says");
            return;
        }
        assert_eq!(first, (Checksum::Good, Checksum::Good));
        assert_eq!(verdict("a bad UDP checksum", &bad_udp), (Checksum::Good, Checksum::Bad));
        assert_eq!(verdict("a bad IP checksum", &bad_ip).0, Checksum::Bad);
    }

    fn brings_bfd_to_control(&mut self) {
        let end = |host, port| (IpAddr::from([10, 1, 0, host]), port);
        let frame = self.frame(Protocol::Udp, end(1, 49152), end(2, BFD));
        let control = self.receiver.queues.len();
        let rule = self.receiver.nic.steer_udp(BFD, false, control as u16).unwrap();
        // The 82576 of QEMU keeps such rules in its registers and does nothing about them.
        let emulated = env::var(EMULATED).is_ok();
        assert!(self.send(&frame).is_some_and(|(queue, _)| queue == control || emulated));
        drop(rule);
        assert!(self.send(&frame).is_some_and(|(queue, _)| queue < control));
        println!("IPv6: {:?}", self.receiver.nic.steer_udp(BFD, true, control as u16).map(|_| ()));
    }

    fn filters(&mut self) {
        let end = |host, port| (IpAddr::from([10, 1, 0, host]), port);
        let mut frame = self.frame(Protocol::Udp, end(1, 7), end(2, 8));
        // Neighbour discovery asks by multicast.
        frame[..6].copy_from_slice(&[0x33, 0x33, 0xff, 0, 0, 1]);
        assert!(self.send(&frame).is_some());
        let other = Mac([2, 0, 0x5e, 0, 1, 1]);
        frame[..6].copy_from_slice(&other.0);
        let exact = self.receiver.nic.report().multicast == Filter::Exact;
        assert_eq!(self.send(&frame).is_none(), exact, "it is not ours yet");
        println!("a further address: {:?}", self.receiver.nic.add_mac(other));
        assert!(self.send(&frame).is_some());
    }
}
