//! The memory of a packet and nothing else: for each a line of an index and a session's, of tables as large as a worker's.

use crate::{
    packet::Family,
    plane::{prefetch_nearby, session_memory},
    port::BATCH,
    session::{Storage, scale},
};
use arrayvec::ArrayVec;
use prefetch_index::prefetch_index;
use std::{hint::black_box, io};

/// The golden ratio of 2³²: its multiples lie as far from each other as they can.
const STRIDE: u32 = 0x9e37_79b9;

/// What finding sessions costs when nothing is done with them: a line of the index read, and what is counted in the session
/// written.
#[derive(Debug)]
pub(super) struct Floor<F: Family> {
    table: Storage<F>,
    place: u32,
}

impl<F: Family> Floor<F> {
    /// With memory for so many sessions, as a worker has it.
    pub(super) fn new(sessions: usize) -> io::Result<Self> {
        let table = session_memory(sessions)?;
        // What was never written may be one page of zeros for all.
        table.buckets.fill(Default::default());
        table.sessions.iter_mut().for_each(|session| session.packets = 1);
        Ok(Self { table, place: 0 })
    }

    /// The lines of so many packets, in the worker's three rounds: ask for the index, read it and ask for the session, write that.
    #[inline]
    pub(super) fn visit(&mut self, packets: usize) {
        self.lines::<true>(packets);
    }

    /// The same without an index, as if each packet told where its session lies.
    #[inline]
    pub(super) fn visit_sessions(&mut self, packets: usize) {
        self.lines::<false>(packets);
    }

    #[inline]
    fn lines<const INDEX: bool>(&mut self, packets: usize) {
        let Storage { buckets, sessions } = &mut self.table;
        let mut places = ArrayVec::<(usize, usize), BATCH>::new();
        for _ in 0..packets.min(BATCH) {
            self.place = self.place.wrapping_add(STRIDE);
            let session = scale(self.place, sessions.len());
            let bucket = scale(self.place.reverse_bits().wrapping_mul(STRIDE), buckets.len());
            if INDEX {
                prefetch_index(&*buckets, bucket);
            }
            places.push((bucket, session));
        }
        for &(bucket, session) in &places {
            if INDEX {
                black_box(buckets[bucket]);
            }
            prefetch_nearby(&sessions[session]);
        }
        for (_, session) in places {
            sessions[session].packets += 1;
            sessions[session].bytes += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::{V4, V6};

    #[test]
    fn every_packet_writes_one_session() {
        let mut floor = Floor::<V6>::new(1000).unwrap();
        (0..50).for_each(|_| floor.visit(BATCH));
        (0..50).for_each(|_| floor.visit_sessions(BATCH));
        let written: u64 = floor.table.sessions.iter().map(|session| session.bytes).sum();
        assert_eq!(written, 100 * BATCH as u64);
        assert!(floor.table.sessions.iter().all(|session| session.bytes >= 5), "evenly");
        Floor::<V4>::new(1).unwrap().visit(3);
    }
}
