//! Why a packet was discarded. One reason a packet, one counter a reason, in the order of the checks.

macro_rules! reasons {
    ($($variant:ident = $name:literal, $text:literal;)*) => {
        /// Why a packet was discarded. The value is the counter's index, [`Discard::name`] the metric's label.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
        #[repr(u8)]
        pub enum Discard {
            $(#[doc = $text] #[error($text)] $variant,)*
        }

        impl Discard {
            /// Every reason, in the order of the checks and of the counters.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];
            /// How many there are.
            pub const COUNT: usize = Self::ALL.len();

            /// The counter's name: metric label, JSON key, table row.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

reasons! {
    NotBfd = "not_bfd", "not a UDP packet to port 3784 or 4784";
    Fragment = "fragment", "a fragment";
    Truncated = "truncated", "shorter than its IP or UDP header says";
    IpChecksum = "ip_checksum", "wrong IPv4 header checksum";
    UdpChecksum = "udp_checksum", "wrong UDP checksum, or none over IPv6";
    Ttl = "ttl", "TTL or hop limit below the path's minimum (255 on a single hop)";
    Version = "version", "protocol version is not 1";
    LengthShort = "length_short", "length field below 24, or below 26 with authentication";
    LengthLong = "length_long", "length field beyond the UDP payload";
    MultiplierZero = "multiplier_zero", "detection multiplier is 0";
    Multipoint = "multipoint", "multipoint bit is set";
    MyDiscriminatorZero = "my_discriminator_zero", "my discriminator is 0";
    StateWithoutDiscriminator = "state_without_discriminator", "Init or Up with a your discriminator of 0";
    PollAndFinal = "poll_and_final", "poll and final bit together";
    UnknownDiscriminator = "unknown_discriminator", "your discriminator is of no session";
    NoSession = "no_session", "no session on this port with this peer";
    WrongPath = "wrong_path", "not from the session's peer and port, and the session insists";
    UnexpectedAuthentication = "unexpected_authentication", "authenticated, and the session is not";
    MissingAuthentication = "missing_authentication", "not authenticated, and the session is";
    AuthenticationType = "authentication_type", "authentication type is not the session's";
    AuthenticationKey = "authentication_key", "key id is not the session's";
    AuthenticationLength = "authentication_length", "authentication section has a wrong length";
    AuthenticationSequence = "authentication_sequence", "sequence number outside the window";
    AuthenticationDigest = "authentication_digest", "wrong password or digest";
    AdminDown = "admin_down", "the session is held down by its operator";
}

/// A counter for each reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Discards([u64; Discard::COUNT]);

impl Default for Discards {
    fn default() -> Self {
        Self([0; Discard::COUNT])
    }
}

impl Discards {
    /// How many packets went for this reason.
    pub const fn count(&self, reason: Discard) -> u64 {
        self.0[reason as usize]
    }

    /// How many went in all.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Each reason with its count.
    pub fn iter(&self) -> impl Iterator<Item = (Discard, u64)> {
        Discard::ALL.iter().copied().zip(self.0)
    }

    pub(super) fn add(&mut self, reason: Discard) {
        self.0[reason as usize] += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_and_counters_match() {
        let mut discards = Discards::default();
        for (index, reason) in Discard::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, index);
            assert!(reason.name().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'));
            discards.add(*reason);
            assert_eq!(discards.count(*reason), 1);
        }
        assert_eq!(discards.total(), Discard::COUNT as u64);
    }
}
