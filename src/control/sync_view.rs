//! What others see of session sync: gauges and counters in plain atomics, written by the control core.

use crate::protocol::pair::{Difference, Refusal, Refusals};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

macro_rules! gauges {
    ($($(#[doc = $doc:literal])* $variant:ident = $name:literal,)*) => {
        /// A number of session sync.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum SyncGauge {
            $($(#[doc = $doc])* $variant,)*
        }

        impl SyncGauge {
            /// All, in the order they are stored.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];
            /// How many there are.
            pub const COUNT: usize = Self::ALL.len();

            /// JSON key and metric name.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

gauges! {
    /// 1 when this node holds every session of the peer's.
    InSync = "in_sync",
    /// 1 while the peer takes this node's sessions.
    Streaming = "streaming",
    /// Records the peer has not acknowledged, those in rings included.
    LagRecords = "lag_records",
    /// Age of the oldest of them that is in a frame, in microseconds.
    LagMicros = "lag_us",
    /// The longest time from a record to its acknowledgement, in nanoseconds.
    LongestLagNanos = "longest_lag_ns",
    /// Ranges that differ from the peer's and are being copied again.
    WrongRanges = "wrong_ranges",
    /// Streams begun.
    Streams = "streams",
    /// Streams given up because the peer fell silent.
    Silences = "silences",
    /// Records sent.
    RecordsSent = "records_sent",
    /// Frames sent the first time.
    FramesSent = "frames_sent",
    /// Bytes of these, without envelope.
    BytesSent = "bytes_sent",
    /// Frames sent again.
    Retransmitted = "retransmitted",
    /// Records received.
    RecordsReceived = "records_received",
    /// Frames received.
    FramesReceived = "frames_received",
    /// Frames received twice.
    Duplicates = "duplicates",
    /// Frames that something in them spoiled.
    MalformedFrames = "malformed_frames",
    /// Records refused: of a term that is over.
    OldTerm = "old_term",
    /// Records refused: of an instance that this node owns.
    OwnInstance = "own_instance",
    /// Copies of ranges that the peer wished for because they differ.
    Repairs = "repairs",
}

/// What others see of session sync. Any thread reads.
#[derive(Debug)]
pub struct SyncView {
    gauges: [AtomicU64; SyncGauge::COUNT],
    refusals: [AtomicU64; Refusal::COUNT],
    difference: AtomicU64,
}

impl Default for SyncView {
    fn default() -> Self {
        Self {
            gauges: [const { AtomicU64::new(0) }; SyncGauge::COUNT],
            refusals: [const { AtomicU64::new(0) }; Refusal::COUNT],
            difference: AtomicU64::new(0),
        }
    }
}

/// A difference in one word: its kind in the lowest byte, 0 for none, and two numbers.
const fn pack(difference: Option<Difference>) -> u64 {
    match difference {
        None => 0,
        Some(Difference::Workers { ours, theirs }) => 1 | (ours as u64) << 16 | (theirs as u64) << 32,
        Some(Difference::Ports { ours, theirs }) => 2 | (ours as u64) << 16 | (theirs as u64) << 32,
        Some(Difference::Steering) => 3,
        Some(Difference::Instances) => 4,
        Some(Difference::Nat) => 5,
    }
}

const fn unpack(word: u64) -> Option<Difference> {
    let (ours, theirs) = ((word >> 16) as u16, (word >> 32) as u16);
    match word as u8 {
        1 => Some(Difference::Workers { ours, theirs }),
        2 => Some(Difference::Ports { ours, theirs }),
        3 => Some(Difference::Steering),
        4 => Some(Difference::Instances),
        5 => Some(Difference::Nat),
        _ => None,
    }
}

impl SyncView {
    /// A number, as of a millisecond ago.
    pub fn get(&self, gauge: SyncGauge) -> u64 {
        self.gauges[gauge as usize].load(Relaxed)
    }

    /// Whether this node holds every session of the peer's.
    pub fn in_sync(&self) -> bool {
        self.get(SyncGauge::InSync) == 1
    }

    /// Messages of the pair's refused for this reason.
    pub fn refused(&self, reason: Refusal) -> u64 {
        self.refusals[reason as usize].load(Relaxed)
    }

    /// What keeps the nodes from sharing sessions; `None` also while the peer is unknown.
    pub fn difference(&self) -> Option<Difference> {
        unpack(self.difference.load(Relaxed))
    }

    pub(super) fn set(&self, gauge: SyncGauge, value: u64) {
        self.gauges[gauge as usize].store(value, Relaxed);
    }

    pub(super) fn set_refusals(&self, refusals: &Refusals, difference: Option<Difference>) {
        for (word, (_, count)) in self.refusals.iter().zip(refusals.iter()) {
            word.store(count, Relaxed);
        }
        self.difference.store(pack(difference), Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_come_back() {
        for difference in [
            None,
            Some(Difference::Workers { ours: 3, theirs: 0xffff }),
            Some(Difference::Ports { ours: 0xffff, theirs: 0 }),
            Some(Difference::Steering),
            Some(Difference::Instances),
            Some(Difference::Nat),
        ] {
            let view = SyncView::default();
            view.set_refusals(&Refusals::default(), difference);
            assert_eq!(view.difference(), difference);
        }
    }
}
