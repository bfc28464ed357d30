//! What the two nodes share: the cable between them, the clients and backends beside it, and the account of what those saw.

use crate::{
    port::memory::MemoryPacket,
    types::{Duration, Instant},
};
use parking_lot::Mutex;
use std::{
    collections::VecDeque,
    sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed},
};

/// Packets the cable holds in each direction.
pub(super) const DEPTH: usize = 4096;
/// How long the cable takes: more than the nodes' clocks are apart while both have nothing to do.
const LATENCY: Duration = Duration::from_micros(2);
/// Nobody has announced the VIP yet.
const NOBODY: usize = 2;

/// What the clients do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Task {
    /// Nothing.
    Rest,
    /// One after another opens a connection, and answers.
    Open,
    /// One of them sends a packet every so often.
    Probe,
    /// Each sends one packet over its connection.
    Verify,
}

/// Where a connection comes from at its backend, in one word; 0 before it is there.
pub(super) const fn pack(local: [u8; 4], port: u16, backend: [u8; 4]) -> u64 {
    (local[3] as u64) << 48 | (port as u64) << 32 | u32::from_be_bytes(backend) as u64
}

/// Shared by both nodes' stations and the judge.
#[derive(Debug)]
pub(super) struct Segment {
    /// To each node, with the moment of arrival.
    cables: [Mutex<VecDeque<(Instant, MemoryPacket)>>; 2],
    task: AtomicU32,
    /// The node whose MAC clients and backends know.
    owner: AtomicUsize,
    /// The connection that is next.
    next: AtomicU32,
    /// By connection.
    seen: Box<[AtomicU64]>,
    /// Connections whose handshake is complete, of the task under way; then those whose packet came where it should.
    done: AtomicU64,
    /// When each node last forwarded a probe, and when it first announced since the last [`Self::forget`], in
    /// nanoseconds; 0: not yet.
    forwarded: [AtomicU64; 2],
    announced: [AtomicU64; 2],
    /// When the first probe was forwarded since then.
    first_forwarded: [AtomicU64; 2],
}

fn moment(word: &AtomicU64) -> Option<Instant> {
    Some(word.load(Relaxed)).filter(|nanos| *nanos != 0).map(Instant::from_nanos)
}

impl Segment {
    pub(super) fn new(connections: u32) -> Self {
        Self {
            cables: [0, 1].map(|_| Mutex::new(VecDeque::with_capacity(DEPTH))),
            task: AtomicU32::new(Task::Rest as u32),
            owner: AtomicUsize::new(NOBODY),
            next: AtomicU32::new(0),
            seen: (0..connections).map(|_| AtomicU64::new(0)).collect(),
            done: AtomicU64::new(0),
            forwarded: Default::default(),
            announced: Default::default(),
            first_forwarded: Default::default(),
        }
    }

    /// A node sends to the other one. A full cable loses what does not fit.
    pub(super) fn send(&self, from: usize, packet: MemoryPacket, now: Instant) {
        let mut cable = self.cables[1 - from].lock();
        if cable.len() < DEPTH {
            cable.push_back((now + LATENCY, packet));
        }
    }

    /// What has arrived at a node.
    pub(super) fn receive(&self, node: usize, now: Instant) -> Option<MemoryPacket> {
        let mut cable = self.cables[node].lock();
        cable.front().filter(|(at, _)| *at <= now)?;
        cable.pop_front().map(|(_, packet)| packet)
    }

    /// What is under way to a node is lost.
    pub(super) fn clear(&self, node: usize) {
        self.cables[node].lock().clear();
    }

    pub(super) const fn connections(&self) -> u32 {
        self.seen.len() as u32
    }

    /// Gives the clients something to do, from the first connection on.
    pub(super) fn begin(&self, task: Task) {
        self.next.store(0, Relaxed);
        self.done.store(0, Relaxed);
        self.task.store(task as u32, Relaxed);
    }

    pub(super) fn task(&self) -> Task {
        let number = self.task.load(Relaxed);
        [Task::Rest, Task::Open, Task::Probe, Task::Verify]
            .into_iter()
            .find(|task| *task as u32 == number)
            .unwrap_or(Task::Rest)
    }

    /// The next connection to do something with; `None` when all have.
    pub(super) fn take(&self) -> Option<u32> {
        let next = self.next.load(Relaxed);
        (next < self.connections()).then(|| {
            self.next.store(next + 1, Relaxed);
            next
        })
    }

    /// How many connections have been taken.
    pub(super) fn taken(&self) -> u32 {
        self.next.load(Relaxed)
    }

    /// Connections of the task that are done.
    pub(super) fn done(&self) -> u64 {
        self.done.load(Relaxed)
    }

    /// A connection's packet came to a backend.
    pub(super) fn see(&self, connection: u32, seen: u64, opens: bool) {
        let Some(known) = self.seen.get(connection as usize) else { return };
        if opens {
            known.store(seen, Relaxed);
        } else if known.load(Relaxed) == seen {
            self.done.store(self.done.load(Relaxed) + 1, Relaxed);
        }
    }

    pub(super) fn is_owner(&self, node: usize) -> bool {
        self.owner.load(Relaxed) == node
    }

    /// A node announces the VIP.
    pub(super) fn announce(&self, node: usize, at: Instant) {
        self.owner.store(node, Relaxed);
        if self.announced_at(node).is_none() {
            self.announced[node].store(at.as_nanos(), Relaxed);
        }
    }

    /// A node has forwarded a probe.
    pub(super) fn forward(&self, node: usize, at: Instant) {
        self.forwarded[node].store(at.as_nanos(), Relaxed);
        if self.first_forwarded_at(node).is_none() {
            self.first_forwarded[node].store(at.as_nanos(), Relaxed);
        }
    }

    /// Forgets when a node first did things.
    pub(super) fn forget(&self, node: usize) {
        self.announced[node].store(0, Relaxed);
        self.first_forwarded[node].store(0, Relaxed);
    }

    pub(super) fn announced_at(&self, node: usize) -> Option<Instant> {
        moment(&self.announced[node])
    }

    pub(super) fn forwarded_at(&self, node: usize) -> Option<Instant> {
        moment(&self.forwarded[node])
    }

    pub(super) fn first_forwarded_at(&self, node: usize) -> Option<Instant> {
        moment(&self.first_forwarded[node])
    }
}
