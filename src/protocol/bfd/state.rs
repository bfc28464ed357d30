//! Session states, the state table and diagnostics (RFC 5880 sections 4.1, 6.2 and 6.8.6).

use std::fmt;

/// Where a session stands. The value is the one on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum State {
    /// Held down by its operator.
    AdminDown = 0,
    /// The peer is not heard, or says it does not hear us.
    Down = 1,
    /// The peer is heard; it may not hear us yet.
    Init = 2,
    /// Both sides hear each other.
    Up = 3,
}

impl State {
    /// From the two low bits of `bits`.
    pub const fn from_bits(bits: u8) -> Self {
        match bits & 3 {
            0 => Self::AdminDown,
            1 => Self::Down,
            2 => Self::Init,
            _ => Self::Up,
        }
    }

    /// As people write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AdminDown => "AdminDown",
            Self::Down => "Down",
            Self::Init => "Init",
            Self::Up => "Up",
        }
    }

    /// The state after a packet that carries `received`:
    ///
    /// ```text
    /// received \ local   Down   Init   Up
    /// AdminDown          Down   Down   Down
    /// Down               Init   Init   Down
    /// Init               Up     Up     Up
    /// Up                 Down   Up     Up
    /// ```
    ///
    /// AdminDown stays whatever comes. Down ignores Up, so that both ends have left Up before either returns to it.
    pub const fn after(self, received: Self) -> Self {
        match (self, received) {
            (Self::AdminDown, _) => Self::AdminDown,
            (_, Self::AdminDown) | (Self::Down, Self::Up) | (Self::Up, Self::Down) => Self::Down,
            (Self::Down | Self::Init, Self::Down) => Self::Init,
            (Self::Down | Self::Init, Self::Init)
            | (Self::Init | Self::Up, Self::Up)
            | (Self::Up, Self::Init) => Self::Up,
        }
    }

    /// The state after a packet from a LoxiLB peer. It stays Up when it hears Down, so waiting for it to leave Up
    /// would be waiting for ever.
    pub(super) const fn after_loxilb(self, received: Self) -> Self {
        match (self, received) {
            (Self::Down, Self::Up) => Self::Up,
            _ => self.after(received),
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Why a session last left a state: five bits, of which 0 to 9 have a meaning.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Diagnostic(u8);

impl Diagnostic {
    /// Nothing to report.
    pub const NONE: Self = Self(0);
    /// The peer was silent for the detection time.
    pub const DETECTION_TIME_EXPIRED: Self = Self(1);
    /// The echo function failed.
    pub const ECHO_FAILED: Self = Self(2);
    /// The peer said Down or AdminDown.
    pub const NEIGHBOR_SIGNALED_DOWN: Self = Self(3);
    /// The local forwarding plane started anew.
    pub const FORWARDING_PLANE_RESET: Self = Self(4);
    /// The path is known to be down from another source.
    pub const PATH_DOWN: Self = Self(5);
    /// A path beyond this one is down.
    pub const CONCATENATED_PATH_DOWN: Self = Self(6);
    /// The operator took the session down.
    pub const ADMINISTRATIVELY_DOWN: Self = Self(7);
    /// A path beyond this one is down in the other direction.
    pub const REVERSE_CONCATENATED_PATH_DOWN: Self = Self(8);

    /// From the five low bits of `bits`.
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits & 0x1f)
    }

    /// The number on the wire, 0 to 31.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// As RFC 5880 calls it.
    pub const fn name(self) -> &'static str {
        match self.0 {
            0 => "no diagnostic",
            1 => "control detection time expired",
            2 => "echo function failed",
            3 => "neighbor signaled session down",
            4 => "forwarding plane reset",
            5 => "path down",
            6 => "concatenated path down",
            7 => "administratively down",
            8 => "reverse concatenated path down",
            9 => "mis-connectivity defect",
            _ => "reserved",
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Debug for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.0, self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::State::{AdminDown, Down, Init, Up};
    use super::*;

    #[test]
    fn state_table_of_rfc_5880() {
        let columns = [AdminDown, Down, Init, Up];
        for (received, after) in [
            (AdminDown, [AdminDown, Down, Down, Down]),
            (Down, [AdminDown, Init, Init, Down]),
            (Init, [AdminDown, Up, Up, Up]),
            (Up, [AdminDown, Down, Up, Up]),
        ] {
            for (local, expected) in columns.into_iter().zip(after) {
                assert_eq!(local.after(received), expected, "{local} hears {received}");
                let loxilb = if (local, received) == (Down, Up) { Up } else { expected };
                assert_eq!(local.after_loxilb(received), loxilb, "{local} hears {received} from LoxiLB");
            }
        }
    }

    #[test]
    fn bits_round_trip() {
        for bits in 0..=255 {
            assert_eq!(State::from_bits(bits) as u8, bits & 3);
            assert_eq!(Diagnostic::from_bits(bits).bits(), bits & 31);
        }
    }
}
