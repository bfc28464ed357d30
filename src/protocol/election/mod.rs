//! Which of two nodes serves an instance.
//!
//! A pure machine: no clock, no socket, no allocation once [`Elections`] is made. It runs on the control core, and as
//! well on virtual time.
//!
//! ```text
//!    BFD ──► PeerView ──┐                                   ┌──► Change: Ownership, announcements, events
//!    gateways ► Evidence┼──► Elections::look ──► Election ──┼──► lease
//!    self check ────────┘          ▲  (one an instance)     └──► Hello, to the peer's Elections::receive
//!    the peer's Hello ─────────────┘
//! ```
//!
//! # Rules
//!
//! * **R1** Silence on every path, not "session Down", makes a standby take over, judged at the moment the receive
//!   queues were seen empty. It counts only once the peer has been heard since this node began to follow.
//! * **R2** And only if a witness vouches for this node; see [`crate::protocol::witness`]. Three intervals of the
//!   witness should be no longer than the detection time: a standby that is cut off for a moment between the two
//!   cannot know that it was, and takes over.
//! * **R3** Who serves, hears nobody and has lost its witnesses gives the instance up.
//! * **R4** Every take-over has a term above all that were heard of. Of two claims the higher (term, priority, node
//!   id) stays and the other yields at once. Whoever claims and cannot be told so, because it does not hear, stays
//!   too: the one that hears yields.
//! * **R5** The lease: after standing still, look before serving.
//! * **R6** No node takes the instance from a healthy one, unless it is asked to: `preempt` and `switchover` are
//!   planned hand-overs, which lose nothing.
//!
//! So a partition that heals ends with one MASTER. If the standby had not taken over, everything is as before. If it
//! had, it stays: it announced last, so the traffic is there already.
//!
//! # Roles
//!
//! | role | state | serves | leaves it when |
//! |---|---|---|---|
//! | INIT | NOT_DEFINED | no | ports and workers are up |
//! | SYNC | BACKUP | no | all sessions are here; or nobody serves and it comes first |
//! | STANDBY | BACKUP | no | the peer is silent, leaves, resigns or hands over |
//! | ACTIVE | MASTER | yes | a higher claim, a hand-over, isolation, a fault |
//! | ALONE | MASTER | yes | as ACTIVE, or the peer is back |
//! | HANDOVER | BACKUP | drains | the peer serves and strays have ceased |
//! | FENCED | FAULT | no | network and self check are back |
//! | ADMIN | STOP | no | the operator releases it |
//!
//! Of two nodes that hear each other and neither serves, the one comes first that has a network, then the one that
//! has the sessions, then the one with the higher priority, then the one with the higher id. At a cold start that is
//! the priority; after a crash and a quick restart it is the standby.
//!
//! A LoxiLB peer sends no hellos. It elects by BFD discriminator when the session comes Up, and this node goes by
//! that: it serves if its own is the higher, else it follows and takes over when the peer is silent.
//!
//! # Departures from the table of the design
//!
//! * A follower that heard no gateway while the peer was silent was isolated itself. It does not take over the moment
//!   its gateway answers again, because BFD needs up to a second to be heard again; it waits as at a cold start.
//! * After HANDOVER a node is STANDBY only with a verified copy of the new claim's sessions, else SYNC.
//! * A node takes an instance back from HANDOVER also when the peer dies with it before the strays have ceased.
//! * Two nodes that hear each other and both have lost the gateway serve as if there were none.

mod claim;
mod facts;
mod follow;
mod handover;
mod hello;
mod instance;
mod lease;
mod name;
mod node;
mod peer;
mod refusal;
mod report;
mod role;
mod serve;
mod settings;
mod view;

pub use claim::{Claim, Holding, MAX_TERM};
pub use hello::{Entry, HELLO_ENTRY, HELLO_HEADER, Hello, MAX_ENTRIES, MAX_HELLO, Request, Sender};
pub use name::name_hash;
pub use node::{Elections, Surroundings};
pub use refusal::{Refusal, Refusals};
pub use report::{Announce, Change, Reason, Refused, Status};
pub use role::Role;
pub use settings::{
    DEAF_HOLD, DRAIN_LIMIT, GO_PATIENCE, HELLO_FRESH, HELLO_INTERVAL, NodeSettings, PREEMPT_DELAY,
    STRAY_QUIET, SWITCH_PATIENCE, SWITCH_PAUSE, Settings, TERM_RESERVE,
};
pub use view::{MAX_PATHS, PathReport, PeerView, Presence, Silence};
