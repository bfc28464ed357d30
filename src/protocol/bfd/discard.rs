//! Why a packet was discarded. One reason a packet, one counter a reason, in the order of the checks.

use crate::types::reason::refusals;

refusals! {
    /// Why a packet was discarded. The value is the counter's index, [`Discard::name`] the metric's label.
    pub enum Discard, counted by Discards {
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
}
