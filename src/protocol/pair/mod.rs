//! What the two nodes of a pair say to each other: every message over UDP port 3786, in one envelope.
//!
//! ```text
//!  0  magic "HTLS" (4) | version | kind | flags | 0
//!  8  sender's node id (8)
//! 16  sender's incarnation (8)
//! 24  receiver's incarnation, as the sender last heard it; 0: not yet (8)
//! 32  sequence (8)
//! 40  configuration fingerprint (16)
//! 56  body
//!     tag (16), with a key
//! ```
//!
//! A node draws its *incarnation* anew at every start. A message that names ours was made after we started; one of an
//! incarnation that the peer has left behind is refused; and within an incarnation every sequence number is taken
//! once. So nothing recorded earlier can be played back, and a restart of either side needs no clock. Two nodes become
//! acquainted by one message in each direction.
//!
//! With a key every message carries a tag: SipHash-2-4 of 128 bits over everything before it.

mod envelope;
mod fingerprint;
mod key;
mod refusal;
mod window;

pub use envelope::{HEADER_LENGTH, Kind, MAX_OVERHEAD, Opened, Pair, PairSettings};
pub use fingerprint::{Difference, Fingerprint, stable_hash};
pub use key::{Key, KeyError, TAG_LENGTH};
pub use refusal::{Refusal, Refusals};

/// The UDP port the nodes of a pair speak on, as source and as destination.
pub const SYNC_PORT: u16 = 3786;
