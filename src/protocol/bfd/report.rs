//! What a session tells the outside: changes, receipts, transmissions, status and counters.

use super::{
    auth::Encoded,
    discard::Discards,
    packet::Control,
    state::{Diagnostic, State},
};
use crate::types::{Duration, Instant};

/// What made a session change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The peer's packets fit the next step towards Up.
    Handshake,
    /// Nothing was heard for the detection time.
    DetectionExpired,
    /// The peer said Down: it lives, but does not hear us or started anew itself.
    PeerDown,
    /// The peer said Down under another discriminator and without ours: it began anew, or forgot us.
    PeerRestarted,
    /// The peer said AdminDown: its operator took the session down, it is no failure.
    PeerAdminDown,
    /// Our operator took the session down, or let it up again.
    Operator,
    /// Our own machinery gave the session up (forwarding plane reset, path known to be down).
    LocalReset,
}

/// A change of state, or two things in Down that others wait for: the peer falls silent
/// ([`Cause::DetectionExpired`]) or says AdminDown ([`Cause::PeerAdminDown`]); `from` and `to` are both Down then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The state before.
    pub from: State,
    /// The state after.
    pub to: State,
    /// Why.
    pub cause: Cause,
    /// What our packets now say.
    pub diagnostic: Diagnostic,
    /// What the peer's last packet said.
    pub peer_diagnostic: Diagnostic,
    /// When it happened: the packet's receive time, or the moment the detection time ended.
    pub at: Instant,
    /// When it was noticed here.
    pub noticed: Instant,
    /// When the newest packet was received.
    pub last_received: Option<Instant>,
}

/// An accepted packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// What it changed.
    pub change: Option<Change>,
    /// How much longer after the packet before it was received than the peer's interval then in force; zero for an early
    /// one. For a histogram of the peer's jitter. `None` unless the session was Up.
    pub late: Option<Duration>,
    /// From receive time to processing: for a histogram of our own delay.
    pub delay: Duration,
}

/// Why a packet is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Its time has come.
    Periodic,
    /// Its content differs from the last one's.
    Changed,
    /// It answers a poll.
    Final,
}

/// A packet to send.
#[derive(Clone, Copy, Debug)]
pub struct Transmission {
    /// Its fields.
    pub control: Control,
    /// Its bytes, the UDP payload.
    pub encoded: Encoded,
    /// Why it is sent.
    pub reason: Reason,
    /// How long ago it was due; zero for answers, which are due at once.
    pub late: Duration,
}

/// Where a session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// Our state.
    pub state: State,
    /// Why it last changed.
    pub diagnostic: Diagnostic,
    /// When it last changed.
    pub changed_at: Instant,
    /// The peer's state as it last said.
    pub peer_state: State,
    /// The peer's diagnostic as it last said.
    pub peer_diagnostic: Diagnostic,
    /// Our name for the session.
    pub local_discriminator: u32,
    /// The peer's name for the session; 0 while it is silent.
    pub peer_discriminator: u32,
    /// The peer was heard within its detection time, in whatever state.
    pub peer_heard: bool,
    /// When the newest accepted packet was received.
    pub last_received: Option<Instant>,
    /// When the peer counts as silent if nothing more comes: the newest packet and the detection time, or later after
    /// a grace. `None` when it does so already, or was never heard.
    pub expires_at: Option<Instant>,
    /// From the peer's last packet to Down; zero before its first.
    pub detection_time: Duration,
    /// How often we send, before jitter.
    pub transmit_interval: Duration,
    /// The peer's desired min TX interval in microseconds, as it last said.
    pub peer_desired_min_tx_us: u32,
    /// The peer's required min RX interval in microseconds, as it last said.
    pub peer_required_min_rx_us: u32,
    /// The peer's detection multiplier, as it last said; 0 before its first packet.
    pub peer_multiplier: u8,
    /// A Poll Sequence of ours is under way.
    pub polling: bool,
    /// A change of key waits for the peer's first packet with the next one.
    pub changing_key: bool,
}

/// What happened so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Counters {
    /// Packets accepted.
    pub received: u64,
    /// Packets sent because their time had come.
    pub sent_periodic: u64,
    /// Packets sent because their content had changed.
    pub sent_changed: u64,
    /// Packets sent in answer to a poll.
    pub sent_final: u64,
    /// Times the session came Up.
    pub ups: u64,
    /// Times it left Up.
    pub downs: u64,
    /// Times the detection time ended in Init or Up.
    pub detections: u64,
    /// Judgements put off because packets may have been lost here.
    pub graces: u64,
    /// Packets that came later than the detection time, yet before anyone could look: the peer stood still, and so
    /// did we.
    pub late: u64,
    /// Poll Sequences ended by the peer's answer.
    pub polls_answered: u64,
    /// Answers to no poll of ours.
    pub stray_finals: u64,
    /// Receive times later than the present, taken as the present.
    pub future_stamps: u64,
    /// Packets from another address or port than configured.
    pub foreign_path: u64,
    /// Times the peer changed its discriminator.
    pub discriminator_changes: u64,
    /// Packets discarded, by reason.
    pub discards: Discards,
}
