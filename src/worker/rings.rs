//! A worker's rings: one producer, one consumer each. A full ring is counted, never waited for.

use super::{
    dump::{Command, Dump, Dumped},
    verdict::{HopKey, Verdict},
};
use crate::{
    plane::{Counter, Slot},
    types::{DropReason, Instant, PortId, WorkerId},
};
use rtrb::{Consumer, Producer, PushError, RingBuffer};
use std::net::IpAddr;

/// A packet and the port it came in by, or goes out by.
pub type OnPort<P> = (PortId, P);

/// A packet for the control core that cannot wait.
#[derive(Debug)]
pub struct Urgent<P> {
    /// The port it came in by.
    pub port: PortId,
    /// When the turn began that took it from its queue: the NIC's time may be nearer.
    pub received_at: Instant,
    /// The packet.
    pub packet: P,
}

/// The ends a worker holds.
pub struct Rings<P> {
    /// To each worker; `None` for itself.
    pub handed_out: Vec<Option<Producer<OnPort<P>>>>,
    /// From each other worker.
    pub handed_in: Vec<Consumer<OnPort<P>>>,
    /// To the control core: what the peer sends.
    pub urgent: Producer<Urgent<P>>,
    /// To the control core: ARP and neighbour discovery.
    pub control: Producer<OnPort<P>>,
    /// To the kernel interfaces.
    pub kernel: Producer<OnPort<P>>,
    /// Frames to send for others; on one worker only.
    pub injected: Vec<Consumer<OnPort<P>>>,
    /// Next hops to resolve.
    pub requests: Producer<(PortId, IpAddr)>,
    /// Management's questions.
    pub dump: Dump,
    /// To and from the peer; `None` without session sync.
    pub sync: Option<SyncRings>,
}

/// The ends that session sync needs.
#[derive(Debug)]
pub struct SyncRings {
    /// To the control core: what happens to sessions here.
    pub journal: Producer<Slot>,
    /// From the control core: what the peer tells of its sessions.
    pub records: Consumer<Slot>,
}

impl<P> std::fmt::Debug for Rings<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rings").finish_non_exhaustive()
    }
}

impl<P> Rings<P> {
    /// Asks the control core for a next hop. A full ring drops the request: the next packet asks again.
    pub(super) fn request(&mut self, key: HopKey) {
        let _ = self.requests.push(key);
    }

    pub(super) fn hand_over(&mut self, worker: WorkerId, item: OnPort<P>) -> Result<(), P> {
        match self.handed_out.get_mut(worker.index()) {
            Some(Some(ring)) => ring.push(item).map_err(|PushError::Full((_, packet))| packet),
            _ => Err(item.1),
        }
    }

    /// To the control core, which must know when the packet came.
    pub(super) fn report(&mut self, item: Urgent<P>) -> Result<Counter, (P, DropReason)> {
        self.urgent
            .push(item)
            .map(|()| Counter::ToControl)
            .map_err(|PushError::Full(item)| (item.packet, DropReason::ControlFull))
    }

    pub(super) fn punt(&mut self, verdict: Verdict, item: OnPort<P>) -> Result<Counter, (P, DropReason)> {
        let (ring, counter, full) = match verdict {
            Verdict::Kernel => (&mut self.kernel, Counter::ToKernel, DropReason::KernelFull),
            _ => (&mut self.control, Counter::ToControl, DropReason::ControlFull),
        };
        ring.push(item).map(|()| counter).map_err(|PushError::Full((_, packet))| (packet, full))
    }
}

/// How many elements the rings hold.
#[derive(Clone, Copy, Debug)]
pub struct RingSizes {
    /// Between workers, per pair.
    pub hand_over: usize,
    /// To and from the control core, each.
    pub control: usize,
    /// To and from the kernel interfaces, each.
    pub kernel: usize,
    /// Slots of a worker's journal and of what the peer tells it, each; 0 without session sync.
    pub sync: usize,
}

impl Default for RingSizes {
    fn default() -> Self {
        Self { hand_over: 4096, control: 1024, kernel: 1024, sync: 0 }
    }
}

/// The ends the workers do not hold. Of the vectors, each element belongs to one worker.
pub struct FarEnds<P> {
    /// What the peer sent.
    pub urgent: Vec<Consumer<Urgent<P>>>,
    /// ARP and neighbour discovery.
    pub control: Vec<Consumer<OnPort<P>>>,
    /// Next hops to resolve.
    pub requests: Vec<Consumer<(PortId, IpAddr)>>,
    /// What is not ours, and last what the control core passes on.
    pub kernel: Vec<Consumer<OnPort<P>>>,
    /// What the control core found to be the kernel's; its other end is the last of `kernel`.
    pub control_to_kernel: Producer<OnPort<P>>,
    /// Frames the first worker sends for the control core.
    pub from_control: Producer<OnPort<P>>,
    /// Frames the first worker sends for the kernel interfaces.
    pub from_kernel: Producer<OnPort<P>>,
    /// Questions to the workers.
    pub commands: Vec<Producer<Command>>,
    /// Their answers.
    pub dumped: Vec<Consumer<Dumped>>,
    /// What happens to their sessions, for the peer. Empty without session sync, like `records`.
    pub journals: Vec<Consumer<Slot>>,
    /// What the peer tells of its sessions, for them.
    pub records: Vec<Producer<Slot>>,
}

impl<P> std::fmt::Debug for FarEnds<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FarEnds").finish_non_exhaustive()
    }
}

/// Every ring of a node with so many workers.
pub fn rings<P>(workers: usize, sizes: RingSizes) -> (Vec<Rings<P>>, FarEnds<P>) {
    let (from_control, to_first) = RingBuffer::new(sizes.control);
    let (from_kernel, to_first_too) = RingBuffer::new(sizes.kernel);
    let mut injected = vec![to_first, to_first_too];
    let (control_to_kernel, passed_on) = RingBuffer::new(sizes.kernel);
    let mut far = FarEnds {
        urgent: Vec::new(),
        control: Vec::new(),
        requests: Vec::new(),
        kernel: Vec::new(),
        control_to_kernel,
        from_control,
        from_kernel,
        commands: Vec::new(),
        dumped: Vec::new(),
        journals: Vec::new(),
        records: Vec::new(),
    };
    let mut near: Vec<Rings<P>> =
        (0..workers).map(|_| far.one_worker(&sizes, std::mem::take(&mut injected))).collect();
    far.kernel.push(passed_on);
    for from in 0..workers {
        for to in 0..workers {
            if from == to {
                near[from].handed_out.push(None);
            } else {
                let (producer, consumer) = RingBuffer::new(sizes.hand_over);
                near[from].handed_out.push(Some(producer));
                near[to].handed_in.push(consumer);
            }
        }
    }
    (near, far)
}

impl<P> FarEnds<P> {
    fn one_worker(&mut self, sizes: &RingSizes, injected: Vec<Consumer<OnPort<P>>>) -> Rings<P> {
        fn ring<T>(size: usize, far: &mut Vec<Consumer<T>>) -> Producer<T> {
            let (producer, consumer) = RingBuffer::new(size);
            far.push(consumer);
            producer
        }
        let sync = (sizes.sync > 0).then(|| {
            let (records, records_in) = RingBuffer::new(sizes.sync);
            self.records.push(records);
            SyncRings { journal: ring(sizes.sync, &mut self.journals), records: records_in }
        });
        let (commands, commands_in) = RingBuffer::new(4);
        self.commands.push(commands);
        Rings {
            handed_out: Vec::new(),
            handed_in: Vec::new(),
            urgent: ring(sizes.control, &mut self.urgent),
            control: ring(sizes.control, &mut self.control),
            kernel: ring(sizes.kernel, &mut self.kernel),
            injected,
            requests: ring(sizes.control, &mut self.requests),
            dump: Dump::new(commands_in, ring(512, &mut self.dumped)),
            sync,
        }
    }
}
