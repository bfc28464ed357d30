//! L2: sessions. One worker owns each, in a table of fixed size; nothing here is shared, and nothing is
//! allocated after construction.

mod entry;
mod fragments;
mod local_ports;
mod record;
mod table;
mod track;

pub use crate::types::SessionState as State;
pub use entry::{Direction, Session};
pub use fragments::{FragmentKey, Fragments, Heading};
pub use local_ports::{Exhausted, LocalAddresses, LocalPorts, Wanted};
pub use record::Record;
pub(crate) use table::scale;
pub use table::{Bucket, Full, Reference, Storage, Table, WAYS};
pub use track::{Timeouts, is_steady, negotiates, opens, track};
