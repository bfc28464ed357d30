//! Who serves an instance, for people and for workers.

use std::{fmt, str::FromStr};

/// An instance's role, as LoxiLB names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum HaState {
    /// Not decided yet.
    #[default]
    NotDefined = 0,
    /// This node serves.
    Master = 1,
    /// The peer serves.
    Backup = 2,
    /// This node cannot serve.
    Fault = 3,
    /// Held by the operator.
    Stop = 4,
}

impl HaState {
    /// All of them, in the order of their values.
    pub const ALL: [Self; 5] = [Self::NotDefined, Self::Master, Self::Backup, Self::Fault, Self::Stop];

    /// As API and tables spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotDefined => "NOT_DEFINED",
            Self::Master => "MASTER",
            Self::Backup => "BACKUP",
            Self::Fault => "FAULT",
            Self::Stop => "STOP",
        }
    }

    /// What workers do in this state, unless an instance is being handed over.
    pub const fn duty(self) -> Duty {
        match self {
            Self::Master => Duty::Serving,
            Self::NotDefined | Self::Backup | Self::Fault | Self::Stop => Duty::Idle,
        }
    }
}

impl fmt::Display for HaState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for HaState {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|state| state.name() == text).ok_or(())
    }
}

/// What workers and the control core do for an instance's addresses.
///
/// | | Idle | Draining | Serving |
/// |---|---|---|---|
/// | packets of known sessions, both directions | dropped | forwarded | forwarded |
/// | a packet of no known session, a fragment, options | dropped | sent on to the peer at layer 2, or dropped | taken |
/// | ARP and neighbour solicitations | no answer | no answer | answered |
/// | pings of the addresses | dropped | sent on likewise | answered |
///
/// Draining is the old MASTER's part of a planned hand-over: the peer serves already, and what still arrives here are
/// strays that the switches have not learned to send elsewhere. Both nodes forward the same sessions by the same
/// table, so none of their packets is lost. Strays are reported to the election: it ends the hand-over when they
/// cease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum Duty {
    /// Nothing: the peer serves, or nobody.
    #[default]
    Idle = 0,
    /// Forwards what it knows, opens nothing, answers nothing.
    Draining = 1,
    /// All of it.
    Serving = 2,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_and_names_round_trip() {
        for (value, state) in HaState::ALL.into_iter().enumerate() {
            assert_eq!(state as usize, value);
            assert_eq!(state.name().parse(), Ok(state));
            assert_eq!(state.duty() == Duty::Serving, state == HaState::Master);
        }
        assert_eq!("master".parse::<HaState>(), Err(()));
    }
}
