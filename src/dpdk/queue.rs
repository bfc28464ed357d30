//! One receive queue and one transmit queue of a device.
//!
//! Ownership: a device makes one [`Queue`] for each index, it cannot be cloned, and every use takes it
//! exclusively: so one thread at a time polls a queue, as drivers demand. Its `Arc<Attached>` keeps the
//! device running, and the device its pool.

use super::{device::Attached, ffi, mbuf::Mbuf, pool::Pool};
use crate::port::{BURST, Burst, Port};
use std::{ptr, sync::Arc};

/// One receive queue and one transmit queue of a device, for one thread at a time.
#[derive(Debug)]
pub struct Queue {
    port: u16,
    index: u16,
    pool: Pool,
    _attached: Arc<Attached>,
}

impl Queue {
    /// # Safety
    ///
    /// The device has set up its queue pair `index`, and there is no other `Queue` for it.
    pub(super) unsafe fn new(attached: &Arc<Attached>, index: u16, pool: &Pool) -> Self {
        Self { port: attached.port(), index, pool: pool.clone(), _attached: attached.clone() }
    }

    /// As [`Port::receive`], but `most` packets at most. Drivers with vector code have their own least, 4 or 32.
    #[inline]
    pub fn receive_at_most(&mut self, most: usize, burst: &mut Burst<Mbuf>) -> usize {
        let held = burst.len();
        let room = burst.remaining_capacity().min(most);
        let free = burst.as_mut_ptr().wrapping_add(held).cast::<*mut ffi::hl_mbuf>();
        // SAFETY: the device runs and the queue is ours alone; `free` has room for `room` pointers, which an
        // `Mbuf` is.
        let received = unsafe { ffi::hl_receive(self.port, self.index, free, room as u16) };
        let received = usize::from(received).min(room);
        // SAFETY: the driver wrote `received` buffers there and gave them away; they come from pools of the
        // EAL's.
        unsafe { burst.set_len(held + received) }
        received
    }

    /// Its number, as flow rules name it.
    pub fn index(&self) -> u16 {
        self.index
    }
}

impl Port for Queue {
    type Packet = Mbuf;

    /// Drivers with vector code receive nothing into less room than 4 packets: hand it an empty burst.
    #[inline]
    fn receive(&mut self, burst: &mut Burst<Mbuf>) -> usize {
        self.receive_at_most(BURST, burst)
    }

    #[inline]
    fn transmit(&mut self, burst: &mut Burst<Mbuf>) -> usize {
        let held = burst.len();
        let first = burst.as_mut_ptr();
        // SAFETY: the device runs and the queue is ours alone; `first` has `held` buffers, each a pointer.
        // The driver owns those it takes.
        let sent = unsafe { ffi::hl_transmit(self.port, self.index, first.cast(), held as u16) };
        let sent = usize::from(sent).min(held);
        // SAFETY: fewer than there are; those behind are moved forward below, those before belong to the
        // driver.
        unsafe { burst.set_len(held - sent) }
        if sent != 0 && sent != held {
            // SAFETY: both ranges lie in the first `held` slots, and slots may be copied as they are: the old
            // ones count as empty from here on.
            unsafe { ptr::copy(first.wrapping_add(sent), first, held - sent) }
        }
        sent
    }

    #[inline]
    fn allocate(&mut self) -> Option<Mbuf> {
        self.pool.allocate()
    }
}
