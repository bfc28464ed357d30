//! Kernel interfaces: a TAP for each port that wants one, whose far side is the kernel. What is not ours goes there,
//! and what the kernel sends goes out by the port: ssh, BGP daemons, health checks. Where a port has none, the stack
//! takes its place for health checks.
//!
//! One thread for all of them, on the management cores. It sleeps in the kernel while nothing comes, and looks at
//! the workers' rings at least every millisecond; seldom where there is but the stack, and no probe under way.

use super::{assembly::KernelRings, stack::Wire};
use crate::{
    config::Config,
    port::{Packet, PortFacts},
    types::PortId,
    worker::{OnPort, Stop},
};
use rtrb::Producer;
use rustix::{
    event::{PollFd, PollFlags, poll},
    io::ioctl_fionbio,
};
use std::{fs, io, sync::atomic::Ordering::Relaxed, time::Duration};
use tun_rs::{DeviceBuilder, Layer, SyncDevice};

/// Frames moved in one direction before the other gets its turn.
const PER_TURN: usize = 64;
/// The longest wait: what a packet to the kernel may wait for.
const WAIT: Duration = Duration::from_millis(1);
/// The same where nothing can come before it is asked for.
const LONG_WAIT: Duration = Duration::from_millis(100);
/// Largest frame of any port.
const FRAME: usize = 9 * 1024 + 512;

/// A kernel interface could not be made.
#[derive(Debug, thiserror::Error)]
#[error(
    "port {port}: kernel_interface = \"{name}\": {source}: it needs CAP_NET_ADMIN, /dev/net/tun, and a name nobody uses"
)]
pub struct KernelInterfaceError {
    port: String,
    name: String,
    source: io::Error,
}

struct Tap<A> {
    port: PortId,
    device: SyncDevice,
    allocate: A,
}

/// All kernel interfaces, and the stack.
pub struct KernelInterfaces<P, A> {
    taps: Vec<Tap<A>>,
    /// Where packets of the stack's come from, by port.
    allocators: Vec<A>,
    rings: KernelRings<P>,
}

impl<P, A> std::fmt::Debug for KernelInterfaces<P, A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KernelInterfaces").field("taps", &self.taps.len()).finish_non_exhaustive()
    }
}

impl<P: Packet, A: FnMut() -> Option<P>> KernelInterfaces<P, A> {
    /// Makes the interfaces that the configuration wants, each with its port's MAC and addresses. `allocate` gives
    /// packets of a port's pool.
    ///
    /// # Errors
    ///
    /// The first that cannot be made.
    pub fn open(
        config: &Config,
        facts: &[PortFacts],
        rings: KernelRings<P>,
        mut allocate: impl FnMut(PortId) -> A,
    ) -> Result<Self, KernelInterfaceError> {
        let mut taps = Vec::new();
        for (port, facts) in config.ports.iter().zip(facts) {
            let Some(name) = &port.kernel_interface else { continue };
            let device = tap(name, port, facts).map_err(|source| KernelInterfaceError {
                port: port.name.clone(),
                name: name.clone(),
                source,
            })?;
            taps.push(Tap { port: facts.id, device, allocate: allocate(facts.id) });
        }
        let allocators = facts.iter().map(|facts| allocate(facts.id)).collect();
        Ok(Self { taps, allocators, rings })
    }

    /// Whether there is none, and no stack.
    pub const fn is_empty(&self) -> bool {
        self.taps.is_empty() && self.rings.stack.is_none()
    }

    /// Moves frames until `stop`.
    pub fn run(&mut self, stop: &Stop) {
        let mut frame = vec![0; FRAME];
        while !stop.load(Relaxed) {
            let moved = self.feed_kernel() + self.feed_wire(&mut frame) + self.turn_stack();
            if moved == 0 {
                self.wait();
            }
        }
    }

    fn feed_kernel(&mut self) -> usize {
        let mut moved = 0;
        for ring in &mut self.rings.from_workers {
            for _ in 0..PER_TURN {
                let Ok((port, packet)) = ring.pop() else { break };
                moved += 1;
                if let Some(tap) = self.taps.iter().find(|tap| tap.port == port) {
                    // The kernel drops what it has no room for, as any interface does.
                    let _ = tap.device.send(packet.data());
                } else if let Some(stack) = &self.rings.stack {
                    stack.receive(packet.data());
                }
            }
        }
        moved
    }

    fn feed_wire(&mut self, frame: &mut [u8]) -> usize {
        let mut moved = 0;
        for tap in &mut self.taps {
            for _ in 0..PER_TURN {
                let Ok(length) = tap.device.recv(frame) else { break };
                moved += 1;
                send(tap.port, &frame[..length], &mut tap.allocate, &mut self.rings.to_wire);
            }
        }
        moved
    }

    fn turn_stack(&mut self) -> usize {
        let Self { allocators, rings: KernelRings { to_wire, stack: Some(stack), .. }, .. } = self else {
            return 0;
        };
        stack.hush();
        stack.turn(|port, frame| {
            if let Some(allocate) = allocators.get_mut(port.index()) {
                send(port, frame, allocate, to_wire);
            }
        })
    }

    fn wait(&self) {
        let stack = self.rings.stack.as_ref();
        let taps = self.taps.iter().map(|tap| PollFd::new(&tap.device, PollFlags::IN));
        let mut readable: Vec<_> = taps.chain(stack.map(|stack| PollFd::new(stack, PollFlags::IN))).collect();
        let may_come = !self.taps.is_empty() || stack.is_some_and(Wire::is_busy);
        let longest = if may_come { WAIT } else { LONG_WAIT };
        let _ = poll(&mut readable, longest.try_into().ok().as_ref());
    }
}

/// Has the first worker send a frame. Without a buffer or room it is lost, as on any interface.
fn send<P: Packet>(
    port: PortId,
    frame: &[u8],
    allocate: &mut impl FnMut() -> Option<P>,
    to_wire: &mut Producer<OnPort<P>>,
) {
    let Some(mut packet) = allocate() else { return };
    if packet.resize(frame.len()) {
        packet.data_mut().copy_from_slice(frame);
        let _ = to_wire.push((port, packet));
    }
}

fn tap(name: &str, port: &crate::config::Port, facts: &PortFacts) -> io::Result<SyncDevice> {
    let device =
        DeviceBuilder::new().name(name).layer(Layer::L2).mac_addr(facts.mac.0).mtu(facts.mtu).build_sync()?;
    ioctl_fionbio(&device, true)?;
    if port.addresses.iter().any(|own| own.address().is_ipv6()) {
        // Where interfaces begin without IPv6 this one has it all the same. Nobody else has the address: the control
        // core watches over that.
        for (key, value) in [("disable_ipv6", "0"), ("accept_dad", "0")] {
            let _ = fs::write(format!("/proc/sys/net/ipv6/conf/{name}/{key}"), value);
        }
    }
    for own in &port.addresses {
        match own.address() {
            std::net::IpAddr::V4(v4) => device.add_address_v4(v4, own.length())?,
            std::net::IpAddr::V6(v6) => device.add_address_v6(v6, own.length())?,
        }
    }
    Ok(device)
}
