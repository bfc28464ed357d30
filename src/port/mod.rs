//! L3: what a packet port is, to those who move packets. `dpdk` implements it over real devices, `memory` for
//! tests and the simulator.

pub mod memory;

use crate::{
    packet::Steering,
    types::{Instant, Mac, PortId},
};
use arrayvec::ArrayVec;

/// Packets a queue is asked for at once: what every driver can give. Some of those with vector code give no more
/// however many are wanted.
pub const BURST: usize = 32;

/// Packets at the end of a queue that a driver may leave behind though they were asked for: virtio goes on at the start of a
/// cache line of four descriptors.
pub const LEFT_BEHIND: usize = 3;

/// Whether a queue that was asked for [`BURST`] packets and gave so many has none left but [`LEFT_BEHIND`] of the newest.
#[inline]
pub const fn is_short(count: usize) -> bool {
    count + LEFT_BEHIND < BURST
}

/// Packets a worker decides together: more wait for memory at the same time, and still they, their headers and the
/// table lines they lead to stay in the first-level cache.
pub const BATCH: usize = 2 * BURST;

/// Up to [`BATCH`] packets, owned.
pub type Burst<P> = ArrayVec<P, BATCH>;

/// What a NIC found out about a received packet's checksums.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Checksum {
    /// Not looked at: software decides.
    #[default]
    Unknown,
    /// Right.
    Good,
    /// Wrong.
    Bad,
    /// The payload is known to be intact but the field is not filled in (a packet from a guest on the same host).
    Partial,
}

/// A packet buffer. It belongs to whoever holds it and goes back to its pool when dropped.
pub trait Packet: Send + 'static {
    /// The frame from its Ethernet header on; of a packet in several segments, the first segment.
    fn data(&self) -> &[u8];

    /// The same, to rewrite.
    fn data_mut(&mut self) -> &mut [u8];

    /// The frame's length in all segments.
    fn length(&self) -> usize;

    /// Makes the frame `length` bytes long, cutting its tail or adding bytes of any content.
    /// False, and nothing changed, when the buffer is too small or in several segments.
    #[must_use]
    fn resize(&mut self, length: usize) -> bool;

    /// Moves the start of the frame: `delta` bytes forward cuts its head, backward adds bytes of any content.
    /// False, and nothing changed, without that much head or headroom.
    #[must_use]
    fn move_start(&mut self, delta: isize) -> bool;

    /// When the NIC received it, if it says so, on the process's clock.
    fn received_at(&self) -> Option<Instant>;

    /// What the NIC says of the IPv4 header checksum.
    fn ip_checksum(&self) -> Checksum;

    /// What the NIC says of the TCP, UDP or SCTP checksum.
    fn l4_checksum(&self) -> Checksum;

    /// Neither checksum is [`Checksum::Bad`] or [`Checksum::Partial`].
    #[inline]
    fn has_sound_checksums(&self) -> bool {
        let sound = |checksum| matches!(checksum, Checksum::Unknown | Checksum::Good);
        sound(self.ip_checksum()) && sound(self.l4_checksum())
    }

    /// Asks for the packet's first cache line.
    fn prefetch(&self);
}

/// One receive queue and one transmit queue of a port, used by one thread.
pub trait Port: Send {
    /// Its packets.
    type Packet: Packet;

    /// Appends what has arrived, up to the room in `burst`; returns how many. With room for [`BURST`], [`is_short`] tells whether
    /// that was all.
    fn receive(&mut self, burst: &mut Burst<Self::Packet>) -> usize;

    /// Sends from the front of `burst` and removes what was sent; returns how many. What stays did not fit.
    fn transmit(&mut self, burst: &mut Burst<Self::Packet>) -> usize;

    /// An empty packet from the port's pool; `None` when the pool is empty.
    fn allocate(&mut self) -> Option<Self::Packet>;
}

/// What does not change about a port while it runs.
#[derive(Clone, Debug)]
pub struct PortFacts {
    /// Its place in the configuration.
    pub id: PortId,
    /// Its name in the configuration.
    pub name: String,
    /// Its own address.
    pub mac: Mac,
    /// Largest IP packet it sends, in bytes.
    pub mtu: u16,
    /// The 802.1Q tag of all its frames; 0 for untagged.
    pub vlan: u16,
    /// How received packets find their worker.
    pub steering: Steering,
    /// Packets that one of its receive queues can hold.
    pub rx_descriptors: u16,
    /// The NIC stamps what it receives with the time.
    pub hardware_timestamps: bool,
    /// The NIC checks IPv4 header checksums, so software need not.
    pub checks_ip: bool,
}

impl PortFacts {
    /// Bytes before the IP header in this port's frames.
    #[inline]
    pub const fn l2_length(&self) -> usize {
        if self.vlan == 0 { 14 } else { 18 }
    }
}
