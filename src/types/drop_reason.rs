//! Why a packet was not forwarded. One reason a packet, one counter a reason.

use super::reason::reasons;

reasons! {
    /// Why a packet died. The value is the counter's index, [`DropReason::name`] the metric's label.
    pub enum DropReason {
        ForeignMac = "foreign_mac", "its destination MAC is neither this port's nor a group's";
        WrongVlan = "wrong_vlan", "it carries a VLAN tag the port is not configured for, or none where one belongs";
        UnknownEtherType = "unknown_ether_type", "neither IPv4, IPv6 nor ARP, and the port has no kernel interface";
        Truncated = "truncated", "shorter than its headers say";
        MalformedHeader = "malformed_header", "a version, header length or extension chain that cannot be";
        BadIpChecksum = "bad_ip_checksum", "the IPv4 header checksum is wrong";
        BadL4Checksum = "bad_l4_checksum", "the NIC found the TCP, UDP or SCTP checksum wrong, or an ICMP checksum is";
        MartianSource = "martian_source", "a source address nobody may send from, or one of this node's own";
        TtlExpired = "ttl_expired", "its TTL or hop limit ends here";
        NotOurs = "not_ours", "no address of this node, and the port has no kernel interface";
        UnsupportedProtocol = "unsupported_protocol", "to a virtual or local address, but neither TCP, UDP, SCTP nor ICMP";
        NoService = "no_service", "to a virtual address, but no service listens there";
        NotOwner = "not_owner", "for an instance that this node does not own (BACKUP)";
        LeaseExpired = "lease_expired", "this node stood still longer than its lease and must look again first";
        SourceRefused = "source_refused", "the service's allowed_sources do not name its source";
        NoBackend = "no_backend", "no backend of the service can take a new session";
        NoSession = "no_session", "part of no known session, and it cannot open one";
        PortsExhausted = "ports_exhausted", "no local port towards the chosen backend is free";
        Overload = "overload", "it would open a session while packets come faster than this worker takes them";
        SessionTableFull = "session_table_full", "this worker's session table is full";
        FragmentUnmatched = "fragment_unmatched", "a later fragment whose first was not seen";
        FragmentTableFull = "fragment_table_full", "more datagrams are in fragments than are tracked";
        FragmentUnsupported = "fragment_unsupported", "a fragment that cannot be translated alone";
        IcmpUnmatched = "icmp_unmatched", "an ICMP error about no known session";
        IcmpUnsupported = "icmp_unsupported", "an ICMP message a virtual address does not answer";
        NoRoute = "no_route", "no route to its destination";
        NeighborUnresolved = "neighbor_unresolved", "the next hop did not answer in time, or too many wait for it";
        TooBig = "too_big", "larger than the MTU of the port it leaves by";
        NoBuffer = "no_buffer", "no packet buffer was free for the pieces it had to be cut into";
        TransmitFull = "transmit_full", "the transmit queue was full";
        LinkDown = "link_down", "the port it leaves by has no link";
        HandoverFull = "handover_full", "the ring to the worker that owns its session was full";
        ControlFull = "control_full", "the ring to the control core was full";
        KernelFull = "kernel_full", "the ring to the kernel interface was full";
        IcmpLimited = "icmp_limited", "an answer to it would exceed the ICMP rate limit";
    }
}

impl std::fmt::Display for DropReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}
