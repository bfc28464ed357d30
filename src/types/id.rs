//! Small numbers that name one thing each, so that an index of one kind cannot be used for another.

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub $inner);

        impl $name {
            /// The number as an index into the arrays that are kept per such thing.
            #[inline]
            pub const fn index(self) -> usize {
                self.0 as usize
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id!(
    /// A port of the configuration, in the order of the file.
    PortId(u8)
);
id!(
    /// A worker core, in the order of `cores.workers`.
    WorkerId(u8)
);
id!(
    /// An HA instance; 0 is the built-in one (`llb-inst0`).
    InstanceId(u8)
);
id!(
    /// A service's slot: constant while the service lives, whatever else changes in the table.
    ServiceId(u32)
);
id!(
    /// A backend's slot: constant while its service keeps it.
    BackendId(u32)
);
id!(
    /// A slot of the next-hop table; its MAC may change, the slot does not.
    NextHopId(u32)
);

impl NextHopId {
    /// No slot known yet: whoever meets it looks the next hop up again.
    pub const UNKNOWN: Self = Self(u32::MAX);
}
