//! What others see of session sync: gauges and counters in plain atomics, written by the control core.

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
pub struct SyncView([AtomicU64; SyncGauge::COUNT]);

impl Default for SyncView {
    fn default() -> Self {
        Self([const { AtomicU64::new(0) }; SyncGauge::COUNT])
    }
}

impl SyncView {
    /// A number, as of a millisecond ago.
    pub fn get(&self, gauge: SyncGauge) -> u64 {
        self.0[gauge as usize].load(Relaxed)
    }

    /// Whether this node holds every session of the peer's.
    pub fn in_sync(&self) -> bool {
        self.get(SyncGauge::InSync) == 1
    }

    pub(super) fn set(&self, gauge: SyncGauge, value: u64) {
        self.0[gauge as usize].store(value, Relaxed);
    }
}
