//! Session sync: the stream that tells the peer of every session, so that it can go on with all of them.
//!
//! ```text
//!  workers ─ records ─► sender ─ frames ─►  ~  ─► receiver ─ records ─► workers of the peer
//!     ▲                    ▲                ~         │                      │
//!     └─ walk, repair ─────┴──── acknowledgement ◄────┴──── verdicts ────────┘
//! ```
//!
//! Two pure machines, one stream a direction: no clock, no I/O, no allocation once they are made. In full-NAT every
//! session carries a local port that the peer cannot guess, so every session is sent, at once.
//!
//! * The *receiver* subscribes: its acknowledgement names the stream it wants, and whoever hears a new name begins
//!   that stream at frame 1 with a copy of everything. Restarts of either side need nothing more.
//! * A *copy* is a walk over a worker's table while records of the moment go on in the same stream: begin, the
//!   sessions, sweep (whatever was not named since begin is gone), a digest of every range, end. Records of one worker
//!   keep their order from its table to the peer's, so a digest compares the same moment on both sides.
//! * *Afterwards* each worker sends the digest of one range after another for ever. A range that differs is wished for
//!   in an acknowledgement and copied again. A ring that overflowed has its ranges copied again without being asked.
//! * *Terms* stand in every frame. The receiver's node refuses records of an older term than it knows, and of any
//!   instance that it owns itself.

mod digest;
mod frame;
mod receiver;
mod record;
mod sender;

pub use digest::{ALL_RANGES, Digest, Digests, RANGES, Share, range_of};
pub use frame::{Ack, DATA_HEADER, DataHeader, MAX_ACK, MAX_REPAIRS, Repair, WINDOW};
pub use receiver::{ACK_INTERVAL, MAX_FRAME, Receiver, ReceiverCounters, Unwanted};
pub use record::{
    Change, MAX_INSTANCES, MAX_RECORD, Malformed, Mark, Record, SessionRecord, length_of, names_instance,
};
pub use sender::{FLUSH_AGE, FLUSH_IDLE, Full, Heard, SILENCE, Sender, SenderCounters, SenderSettings};
