//! The queues of IP packets between smoltcp and the wire.

use smoltcp::{
    phy::{self, DeviceCapabilities, Medium},
    time::Instant,
};
use std::collections::VecDeque;

/// Packets that wait in one direction, at most. What does not fit is lost as on any link.
const DEPTH: usize = 4096;

/// A link for whole IP packets.
#[derive(Debug)]
pub(super) struct Device {
    mtu: u16,
    incoming: VecDeque<Vec<u8>>,
    outgoing: VecDeque<Vec<u8>>,
}

impl Device {
    pub(super) const fn new(mtu: u16) -> Self {
        Self { mtu, incoming: VecDeque::new(), outgoing: VecDeque::new() }
    }

    /// A packet for smoltcp.
    pub(super) fn arrive(&mut self, packet: &[u8]) {
        if self.incoming.len() < DEPTH {
            self.incoming.push_back(packet.to_vec());
        }
    }

    /// A packet for the wire; false without room.
    pub(super) fn leave(&mut self, packet: Vec<u8>) -> bool {
        let fits = self.outgoing.len() < DEPTH;
        if fits {
            self.outgoing.push_back(packet);
        }
        fits
    }

    /// What is to go out.
    pub(super) fn take_outgoing(&mut self) -> VecDeque<Vec<u8>> {
        std::mem::take(&mut self.outgoing)
    }
}

pub(super) struct Received(Vec<u8>);

impl phy::RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(&self.0)
    }
}

pub(super) struct Room<'d>(&'d mut VecDeque<Vec<u8>>);

impl phy::TxToken for Room<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, write: F) -> R {
        let mut packet = vec![0; length];
        let written = write(&mut packet);
        self.0.push_back(packet);
        written
    }
}

impl phy::Device for Device {
    type RxToken<'a> = Received;
    type TxToken<'a> = Room<'a>;

    fn receive(&mut self, now: Instant) -> Option<(Received, Room<'_>)> {
        let packet = self.incoming.pop_front()?;
        Some((Received(packet), self.transmit(now)?))
    }

    fn transmit(&mut self, _: Instant) -> Option<Room<'_>> {
        (self.outgoing.len() < DEPTH).then_some(Room(&mut self.outgoing))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = self.mtu.into();
        capabilities
    }
}
