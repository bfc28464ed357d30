//! Where an instance stands, and what that means to people and to workers.

use crate::types::{Duty, HaState};
use std::fmt;

/// Where an instance stands on this node. The value is the one in hellos.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Role {
    /// Starting, or leaving: ports not up yet, or a shutdown under way.
    Init = 0,
    /// Following, without a complete copy of the peer's sessions.
    Sync = 1,
    /// Following, and ready to take over.
    Standby = 2,
    /// Serving, and the peer is there.
    Active = 3,
    /// Serving, and the peer is silent.
    Alone = 4,
    /// Has given the instance to the peer, and forwards the strays.
    Handover = 5,
    /// Keeps off: lost its network, or a port or worker of its own.
    Fenced = 6,
    /// Held by the operator.
    Admin = 7,
}

impl Role {
    /// All of them, in the order of their values.
    pub const ALL: [Self; 8] = [
        Self::Init,
        Self::Sync,
        Self::Standby,
        Self::Active,
        Self::Alone,
        Self::Handover,
        Self::Fenced,
        Self::Admin,
    ];

    /// From its value.
    pub const fn from_value(value: u8) -> Option<Self> {
        if (value as usize) < Self::ALL.len() { Some(Self::ALL[value as usize]) } else { None }
    }

    /// As events and tables spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Init => "INIT",
            Self::Sync => "SYNC",
            Self::Standby => "STANDBY",
            Self::Active => "ACTIVE",
            Self::Alone => "ALONE",
            Self::Handover => "HANDOVER",
            Self::Fenced => "FENCED",
            Self::Admin => "ADMIN",
        }
    }

    /// As LoxiLB's users know it: what `Ownership` says and the API shows.
    pub const fn state(self) -> HaState {
        match self {
            Self::Init => HaState::NotDefined,
            Self::Sync | Self::Standby | Self::Handover => HaState::Backup,
            Self::Active | Self::Alone => HaState::Master,
            Self::Fenced => HaState::Fault,
            Self::Admin => HaState::Stop,
        }
    }

    /// What workers do in it.
    pub const fn duty(self) -> Duty {
        match self {
            Self::Handover => Duty::Draining,
            _ => self.state().duty(),
        }
    }

    /// It claims the instance's addresses.
    pub const fn serves(self) -> bool {
        matches!(self, Self::Active | Self::Alone)
    }

    /// It waits for the peer to need it.
    pub const fn follows(self) -> bool {
        matches!(self, Self::Sync | Self::Standby)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_as_loxilb_names_them_and_duties() {
        let table = [
            (Role::Init, "NOT_DEFINED", Duty::Idle),
            (Role::Sync, "BACKUP", Duty::Idle),
            (Role::Standby, "BACKUP", Duty::Idle),
            (Role::Active, "MASTER", Duty::Serving),
            (Role::Alone, "MASTER", Duty::Serving),
            (Role::Handover, "BACKUP", Duty::Draining),
            (Role::Fenced, "FAULT", Duty::Idle),
            (Role::Admin, "STOP", Duty::Idle),
        ];
        for (value, (role, state, duty)) in table.into_iter().enumerate() {
            assert_eq!(Role::from_value(value as u8), Some(role));
            assert_eq!((role.state().name(), role.duty()), (state, duty), "{role}");
            assert_eq!(role.serves(), duty == Duty::Serving);
        }
        assert_eq!(Role::from_value(8), None);
    }
}
