//! The configuration fingerprint: whether two nodes can share sessions, and if not, what differs.

use std::fmt;

/// What must be equal on both nodes for a session to find its place, in sixteen bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Fingerprint {
    /// Number of workers.
    pub workers: u16,
    /// Number of ports.
    pub ports: u16,
    /// A hash of how each port spreads its packets.
    pub steering: u32,
    /// A hash of the HA instances' names, in order.
    pub instances: u32,
    /// A hash of the local addresses, their instances, and the range of local ports.
    pub nat: u32,
}

/// What differs between two nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference {
    /// The number of workers.
    Workers {
        /// Here.
        ours: u16,
        /// At the peer.
        theirs: u16,
    },
    /// The number of ports.
    Ports {
        /// Here.
        ours: u16,
        /// At the peer.
        theirs: u16,
    },
    /// How ports spread packets over workers.
    Steering,
    /// The HA instances.
    Instances,
    /// Local addresses or ports.
    Nat,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Workers { ours, theirs } => {
                write!(f, "{ours} workers here, {theirs} at the peer: give cores.workers as many cores on both")
            }
            Self::Ports { ours, theirs } => {
                write!(f, "{ours} ports here, {theirs} at the peer: list the same [[port]] tables on both")
            }
            Self::Steering => f.write_str(
                "the ports spread packets differently: use devices of the same kind, or none with RSS, on both nodes",
            ),
            Self::Instances => f.write_str("the HA instances differ: name the same ones in the same order"),
            Self::Nat => f.write_str(
                "nat.local_addresses or nat.ports differ: write the same ones, in the same order, on both nodes",
            ),
        }
    }
}

/// A hash that is the same on every machine and in every release (FNV-1a, 64 bits).
pub fn stable_hash(bytes: impl IntoIterator<Item = u8>) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    bytes.into_iter().fold(0xcbf2_9ce4_8422_2325, step)
}

impl Fingerprint {
    /// Its length in an envelope.
    pub const LENGTH: usize = 16;

    /// As it stands in an envelope.
    pub const fn emit(self) -> [u8; Self::LENGTH] {
        let [w0, w1] = self.workers.to_be_bytes();
        let [p0, p1] = self.ports.to_be_bytes();
        let [s0, s1, s2, s3] = self.steering.to_be_bytes();
        let [i0, i1, i2, i3] = self.instances.to_be_bytes();
        let [n0, n1, n2, n3] = self.nat.to_be_bytes();
        [w0, w1, p0, p1, s0, s1, s2, s3, i0, i1, i2, i3, n0, n1, n2, n3]
    }

    /// From an envelope.
    pub const fn parse(bytes: [u8; Self::LENGTH]) -> Self {
        let [w0, w1, p0, p1, s0, s1, s2, s3, i0, i1, i2, i3, n0, n1, n2, n3] = bytes;
        Self {
            workers: u16::from_be_bytes([w0, w1]),
            ports: u16::from_be_bytes([p0, p1]),
            steering: u32::from_be_bytes([s0, s1, s2, s3]),
            instances: u32::from_be_bytes([i0, i1, i2, i3]),
            nat: u32::from_be_bytes([n0, n1, n2, n3]),
        }
    }

    /// The first thing that keeps two nodes from sharing sessions; `None` when nothing does.
    pub fn difference(&self, theirs: &Self) -> Option<Difference> {
        if self.workers != theirs.workers {
            Some(Difference::Workers { ours: self.workers, theirs: theirs.workers })
        } else if self.ports != theirs.ports {
            Some(Difference::Ports { ours: self.ports, theirs: theirs.ports })
        } else if self.steering != theirs.steering {
            Some(Difference::Steering)
        } else if self.instances != theirs.instances {
            Some(Difference::Instances)
        } else if self.nat != theirs.nat {
            Some(Difference::Nat)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The published vectors of the hash's authors.
    #[test]
    fn stable_means_as_published() {
        assert_eq!(stable_hash(*b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(stable_hash(*b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(stable_hash(*b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn golden_bytes_and_named_differences() {
        let ours = Fingerprint { workers: 3, ports: 2, steering: 0x0a0b_0c0d, instances: 5, nat: 6 };
        let golden = [0, 3, 0, 2, 0x0a, 0x0b, 0x0c, 0x0d, 0, 0, 0, 5, 0, 0, 0, 6];
        assert_eq!(ours.emit(), golden);
        assert_eq!(Fingerprint::parse(golden), ours);
        assert_eq!(ours.difference(&ours), None);
        for (theirs, difference) in [
            (Fingerprint { workers: 2, ..ours }, Difference::Workers { ours: 3, theirs: 2 }),
            (Fingerprint { ports: 1, ..ours }, Difference::Ports { ours: 2, theirs: 1 }),
            (Fingerprint { steering: 0, ..ours }, Difference::Steering),
            (Fingerprint { instances: 0, ..ours }, Difference::Instances),
            (Fingerprint { nat: 0, ..ours }, Difference::Nat),
        ] {
            assert_eq!(ours.difference(&theirs), Some(difference));
        }
    }
}
