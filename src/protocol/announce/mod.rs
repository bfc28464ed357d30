//! Announcing: telling switches, routers and hosts on the link that an instance's addresses are here now, by
//! gratuitous ARP and unsolicited neighbour advertisement.
//!
//! A pure machine. [`Addresses`] is what there is to announce, made by management whenever services change and read
//! here as it stands. [`Announcer`] knows when: it starts anew with every take-over, stops with every step-down, and
//! gives one frame at a time, so the caller bounds the work of a turn and BFD never waits. Frames are paced besides,
//! because routers police ARP; services come before local addresses, take-overs before refreshes. The ARP forms
//! alternate from round to round: some devices heed only requests, some only replies.
//!
//! With a virtual MAC ([`virtual_mac`]) nobody's ARP table changes, only where switches send frames for that MAC: one
//! frame a port does ([`Addresses::one_per_port`]).

mod addresses;
mod announcer;
mod frame;
mod run;
mod virtual_mac;

pub use addresses::{Addresses, Importance, Target};
pub use announcer::{Announcer, Settings};
pub use frame::Announcement;
pub use virtual_mac::virtual_mac;

/// The most rounds after a take-over.
pub const MAX_ROUNDS: usize = 16;
