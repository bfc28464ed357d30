//! Bidirectional Forwarding Detection: RFC 5880 in asynchronous mode, over a single hop (RFC 5881) and several
//! (RFC 5883). A pure machine: no clock, no socket, no allocation once a node's [`Sessions`] are made, no randomness
//! but a seeded generator. It runs on the control core, and as well on virtual time.
//!
//! ```text
//!            IP packet, receive time              changes, receipts
//!                    │                                   ▲
//!   datagram ──► packet ──► sessions ──► authentication ─┤
//!   (IP, UDP)   (checks)   (whose?)            │         │
//!                                              ▼         │
//!                  negotiation ◄──────────► session ─────┘
//!                  (intervals, Poll)        (state)
//!                                          │       │
//!                 queue empty at ──► detection   schedule ──► IP packet
//!                                    (silence)   (jitter)
//! ```
//!
//! One turn of the control loop, for each port: note the time and receive until a burst comes back short; give every
//! packet with its receive time to [`Sessions::receive`]; give the time noted before the last burst to
//! [`Sessions::expire`] as `drained_at`; send what [`Sessions::transmit`] gives. Nothing is ever judged by the present
//! time, so a loop that stood still finds its peers alive in the receive queue.
//!
//! Conformance is a table of cases in `tests/bfd`, one row a requirement; its README says what is met and what is
//! not. Not here: demand mode of our own, the echo function between two BFD speakers, seamless and multipoint BFD.
//! [`Echo`] is the unaffiliated echo of RFC 9747, by which a gateway's forwarding is asked.
//!
//! # A LoxiLB peer
//!
//! [`Compatibility::LoxiLb`] lets one node of a pair be LoxiLB while the other is this program. It differs so:
//!
//! | | RFC 5880 | with a LoxiLB peer |
//! |---|---|---|
//! | received TTL | 255 | 64 or more |
//! | session of a packet | by discriminator | by peer address |
//! | our discriminator | random | the local IPv4 address, first byte lowest; peer's plus 1 after a detection |
//! | Poll and Final | on every change | never asked for, still answered |
//! | not Up | 1 s | the configured interval |
//! | Down hears Up | Down | Up, because LoxiLB ignores Down while Up |
//! | AdminDown | is sent | is silence, because LoxiLB takes it for Init and never fails over |
//!
//! What LoxiLB does wrong and nobody needs is not imitated: we send TTL 255, jitter, a source port of the right range,
//! true diagnostics and no promise to return echo packets. LoxiLB looks at none of these.

mod auth;
mod authentication;
mod back_off;
mod datagram;
mod detection;
mod discard;
mod echo;
mod negotiation;
mod packet;
mod random;
mod report;
mod schedule;
mod session;
mod sessions;
mod settings;
mod state;

pub use auth::{AuthKind, Encoded, Key, KeyError, MAX_LENGTH};
pub use authentication::KeyChange;
pub use datagram::{
    Datagram, ECHO_PORT, Endpoints, MAX_DATAGRAM, MULTI_HOP_PORT, SINGLE_HOP_PORT, TTL, emit,
};
pub use discard::{Discard, Discards};
pub use echo::{ECHO_TTL, Echo};
pub use packet::{CONTROL_LENGTH, Control, Received};
pub use random::Random;
pub use report::{Cause, Change, Counters, Reason, Receipt, Status, Transmission};
pub use session::Session;
pub use sessions::{AddError, MAX_SESSIONS, Outgoing, SessionId, Sessions};
pub use settings::{Compatibility, Hop, Path, Role, SLOW_TX_US, Settings, Timers};
pub use state::{Diagnostic, State};
