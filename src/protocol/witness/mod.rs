//! Witnesses: third parties whom both nodes ask whether they still have a network. A node that none of them answers
//! claims nothing, and gives up what it has once its peer is silent too.
//!
//! A pure machine: it says what to send ([`Request`]) and takes what was heard, with the times of both. Two questions
//! are asked of it, and they differ on purpose:
//!
//! * *May this node take over?* ([`Evidence::vouches`], rule R2.) A gateway answered after the peer's next packet was
//!   due. An answer from before says nothing: the cable may have been cut in between. It is asked once more when that
//!   packet is late ([`Witness::hurry`]), so that the answer is here when the detection time ends. A peer that was
//!   never heard is due nothing: then an answer within the last three intervals will do.
//! * *Has this node lost its network?* ([`Evidence::given_up`], rule R3.) Three questions and three intervals went by
//!   without an answer from any gateway, and then as long again. A node that stood still asked nobody, so nobody owed
//!   it an answer: it has lost nothing by that.
//!
//! Without gateways a node counts as vouched for always.

mod evidence;
mod gateway;
mod machine;

pub use evidence::Evidence;
pub use machine::{Check, Counters, Gateway, Request, Witness};

/// The most gateways a node asks.
pub const MAX_GATEWAYS: usize = 8;

/// Questions and intervals without an answer after which a gateway counts as lost.
pub const PATIENCE: u32 = 3;
