//! How far a session has come: a word of the session table, of lists, and of the stream between two nodes.

use bytemuck::Zeroable;
use std::str::FromStr;

/// How far a session has come. TCP has all states; UDP and SCTP are `Opening` until the first reply,
/// `Established` then, and SCTP `Closed` after its end. The value is the one on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Zeroable)]
#[repr(u8)]
pub enum SessionState {
    /// Seen from the client only.
    Opening = 0,
    /// TCP: the backend has answered the SYN.
    Answered = 1,
    /// Both sides talk.
    Established = 2,
    /// TCP: the client has sent its FIN.
    ClientClosed = 3,
    /// TCP: the backend has sent its FIN.
    BackendClosed = 4,
    /// TCP: both have; the last acknowledgement is awaited.
    Closing = 5,
    /// Over. Kept a moment for what is still under way.
    Closed = 6,
    /// TCP: one side has sent a RST. Kept as long as packets still come: a forged RST ends nothing.
    Reset = 7,
}

/// The states that differ for the peer: a change within one of these is not told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Phase {
    /// The handshake, or the first packets of one side.
    Opening = 0,
    /// Both sides talk.
    Established = 1,
    /// A side has closed.
    Closing = 2,
    /// Nothing more is expected.
    Over = 3,
}

impl SessionState {
    /// All, in the order of their values.
    pub const ALL: [Self; 8] = [
        Self::Opening,
        Self::Answered,
        Self::Established,
        Self::ClientClosed,
        Self::BackendClosed,
        Self::Closing,
        Self::Closed,
        Self::Reset,
    ];

    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();

    /// From the value on the wire.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// Nothing more is expected: the session may give way to a new one.
    #[inline]
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Closed | Self::Reset)
    }

    /// Both sides are done, though the last acknowledgement may not have passed here: a client that opens again
    /// gets a new session.
    #[inline]
    pub const fn may_begin_anew(self) -> bool {
        matches!(self, Self::Closing | Self::Closed | Self::Reset)
    }

    /// What the peer needs to know of it.
    #[inline]
    pub const fn phase(self) -> Phase {
        match self {
            Self::Opening | Self::Answered => Phase::Opening,
            Self::Established => Phase::Established,
            Self::ClientClosed | Self::BackendClosed | Self::Closing => Phase::Closing,
            Self::Closed | Self::Reset => Phase::Over,
        }
    }

    /// For tables and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Opening => "opening",
            Self::Answered => "answered",
            Self::Established => "established",
            Self::ClientClosed => "client-closed",
            Self::BackendClosed => "backend-closed",
            Self::Closing => "closing",
            Self::Closed => "closed",
            Self::Reset => "reset",
        }
    }
}

impl FromStr for SessionState {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|state| state.name() == text).ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back() {
        for state in SessionState::ALL {
            assert_eq!(SessionState::from_number(state as u8), Some(state));
            assert_eq!(state.name().parse(), Ok(state));
            assert_eq!(state.is_over(), state.phase() == Phase::Over);
        }
        assert_eq!(SessionState::from_number(8), None);
        assert_eq!("open".parse::<SessionState>(), Err(()));
    }
}
