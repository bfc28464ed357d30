//! L0: words everything else is said in. No behaviour beyond parsing and printing, no clock, no I/O.

mod drop_reason;
mod ha_state;
mod id;
mod instant;
mod mac;
mod prefix;
mod protocol;
pub(crate) mod reason;
mod session_state;

pub use drop_reason::DropReason;
pub use ha_state::{Duty, HaState};
pub use id::{BackendId, InstanceId, NextHopId, PortId, ServiceId, WorkerId};
pub use instant::{Duration, Instant};
pub use mac::{Mac, MacParseError};
pub use prefix::{Prefix, PrefixParseError};
pub use protocol::Protocol;
pub use session_state::{Phase, SessionState};
