//! What the two nodes share: the cable between them, the clients and backends beside it, and the account of what those saw.

use crate::port::memory::MemoryPacket;
use crossbeam::{queue::ArrayQueue, utils::CachePadded};
use std::sync::atomic::{
    AtomicU32, AtomicU64, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};

/// Packets the cable holds in each direction.
pub(super) const DEPTH: usize = 4096;
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
    /// To each node.
    pub(super) cables: [ArrayQueue<MemoryPacket>; 2],
    task: CachePadded<AtomicU32>,
    /// The node whose MAC clients and backends know.
    owner: CachePadded<AtomicUsize>,
    /// The connection that is next; moved by the owner alone.
    next: CachePadded<AtomicU32>,
    /// By connection.
    seen: Box<[AtomicU64]>,
    /// Connections whose handshake is complete, of the task under way; then those whose packet came where it should.
    done: CachePadded<AtomicU64>,
    /// When each node last forwarded a probe, and when it first announced since the last [`Self::forget`].
    forwarded: [CachePadded<AtomicU64>; 2],
    announced: [CachePadded<AtomicU64>; 2],
    /// When the first probe was forwarded since then.
    first_forwarded: [CachePadded<AtomicU64>; 2],
}

impl Segment {
    pub(super) fn new(connections: u32) -> Self {
        let word = || CachePadded::new(AtomicU64::new(0));
        Self {
            cables: [0, 1].map(|_| ArrayQueue::new(DEPTH)),
            task: CachePadded::new(AtomicU32::new(Task::Rest as u32)),
            owner: CachePadded::new(AtomicUsize::new(NOBODY)),
            next: CachePadded::new(AtomicU32::new(0)),
            seen: (0..connections).map(|_| AtomicU64::new(0)).collect(),
            done: word(),
            forwarded: [word(), word()],
            announced: [word(), word()],
            first_forwarded: [word(), word()],
        }
    }

    pub(super) const fn connections(&self) -> u32 {
        self.seen.len() as u32
    }

    /// Gives the clients something to do, from the first connection on.
    pub(super) fn begin(&self, task: Task) {
        self.next.store(0, Relaxed);
        self.done.store(0, Relaxed);
        self.task.store(task as u32, Release);
    }

    pub(super) fn task(&self) -> Task {
        let number = self.task.load(Acquire);
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
        self.done.load(Acquire)
    }

    /// A connection's packet came to a backend.
    pub(super) fn see(&self, connection: u32, seen: u64, opens: bool) {
        let Some(known) = self.seen.get(connection as usize) else { return };
        if opens {
            known.store(seen, Relaxed);
        } else if known.load(Relaxed) == seen {
            self.done.store(self.done.load(Relaxed) + 1, Release);
        }
    }

    pub(super) fn is_owner(&self, node: usize) -> bool {
        self.owner.load(Relaxed) == node
    }

    /// A node announces the VIP.
    pub(super) fn announce(&self, node: usize, at: u64) {
        self.owner.store(node, Release);
        let _ = self.announced[node].compare_exchange(0, at, Release, Relaxed);
    }

    /// A node has forwarded a probe.
    pub(super) fn forward(&self, node: usize, at: u64) {
        self.forwarded[node].store(at, Release);
        if self.first_forwarded[node].load(Relaxed) == 0 {
            self.first_forwarded[node].store(at, Release);
        }
    }

    /// Forgets when a node first did things.
    pub(super) fn forget(&self, node: usize) {
        self.announced[node].store(0, Release);
        self.first_forwarded[node].store(0, Release);
    }

    pub(super) fn announced_at(&self, node: usize) -> u64 {
        self.announced[node].load(Acquire)
    }

    pub(super) fn forwarded_at(&self, node: usize) -> u64 {
        self.forwarded[node].load(Acquire)
    }

    pub(super) fn first_forwarded_at(&self, node: usize) -> u64 {
        self.first_forwarded[node].load(Acquire)
    }
}
