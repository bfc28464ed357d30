//! State tracking: TCP by its flags, SCTP by its first chunk, UDP by direction.

use super::entry::Direction;
use crate::types::{Protocol, SessionState as State};

/// TCP FIN flag.
pub(super) const FIN: u8 = 0x01;
/// TCP SYN flag.
pub(super) const SYN: u8 = 0x02;
/// TCP RST flag.
pub(super) const RST: u8 = 0x04;
/// TCP ACK flag.
pub(super) const ACK: u8 = 0x10;

/// SCTP chunk types (RFC 9260 §3.2).
const INIT: u8 = 1;
const ABORT: u8 = 6;
const SHUTDOWN_COMPLETE: u8 = 14;

/// Whether a packet with this signal (TCP flags, SCTP first chunk type) from a client may open a session.
#[inline]
pub const fn opens(protocol: Protocol, signal: u8) -> bool {
    match protocol {
        Protocol::Tcp => signal & (SYN | ACK | RST | FIN) == SYN,
        Protocol::Udp => true,
        Protocol::Sctp => signal == INIT,
    }
}

/// Whether a packet with this signal, if it is TCP's, carries what the two ends agree on at the beginning.
#[inline]
pub const fn negotiates(signal: u8) -> bool {
    signal & SYN != 0
}

/// Whether a packet with this signal leaves a session in `state` as it is, and carries nothing that its two ends agree on.
/// In an established session only the end of it changes anything, and that no end is signalled without a bit of FIN or RST,
/// in SCTP neither, is all that its packets pay for. A client that nobody has answered, as of syslog, waits on.
#[inline]
pub const fn is_steady(state: State, direction: Direction, signal: u8) -> bool {
    signal & (FIN | RST) == 0
        && match state {
            State::Established => true,
            State::Opening => matches!(direction, Direction::Inbound) && !negotiates(signal),
            _ => false,
        }
}

/// The state after a packet.
#[inline]
pub const fn track(state: State, protocol: Protocol, direction: Direction, signal: u8) -> State {
    if is_steady(state, direction, signal) { state } else { unsteady(state, protocol, direction, signal) }
}

const _: () = assert!(ABORT & (FIN | RST) != 0 && SHUTDOWN_COMPLETE & (FIN | RST) != 0);

const fn unsteady(state: State, protocol: Protocol, direction: Direction, signal: u8) -> State {
    match protocol {
        Protocol::Tcp => tcp(state, direction, signal),
        Protocol::Udp => answered(state, direction),
        Protocol::Sctp if signal == ABORT || signal == SHUTDOWN_COMPLETE => State::Closed,
        Protocol::Sctp => answered(state, direction),
    }
}

#[inline]
const fn answered(state: State, direction: Direction) -> State {
    match (state, direction) {
        (State::Opening, Direction::Outbound) => State::Established,
        _ => state,
    }
}

const fn tcp(state: State, direction: Direction, flags: u8) -> State {
    use Direction::{Inbound, Outbound};
    if flags & RST != 0 {
        return State::Reset;
    }
    let fin = flags & FIN != 0;
    match (state, direction) {
        (State::Opening, Outbound) if flags & (SYN | ACK) == SYN | ACK => State::Answered,
        (State::Answered, Inbound) if flags & (SYN | ACK) == ACK && !fin => State::Established,
        (State::Answered | State::Established, Inbound) if fin => State::ClientClosed,
        (State::Answered | State::Established, Outbound) if fin => State::BackendClosed,
        (State::ClientClosed, Outbound) | (State::BackendClosed, Inbound) if fin => State::Closing,
        (State::Closing, _) if !fin && flags & ACK != 0 => State::Closed,
        _ => state,
    }
}

/// How long a session may be idle, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// TCP before its handshake is complete; UDP and SCTP before the first reply (or the service's, if shorter).
    pub opening_ms: u32,
    /// TCP after one FIN.
    pub half_closed_ms: u32,
    /// After the end.
    pub closed_ms: u32,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { opening_ms: 30_000, half_closed_ms: 60_000, closed_ms: 5_000 }
    }
}

impl Timeouts {
    /// The limit in `state`, for a service whose established sessions may idle `established_ms`.
    #[inline]
    pub const fn limit_ms(&self, state: State, established_ms: u32) -> u32 {
        match state {
            State::Opening if established_ms < self.opening_ms => established_ms,
            State::Opening | State::Answered => self.opening_ms,
            State::Established => established_ms,
            State::ClientClosed | State::BackendClosed => self.half_closed_ms,
            State::Closing | State::Closed | State::Reset => self.closed_ms,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Direction::{Inbound, Outbound};

    fn after(protocol: Protocol, packets: &[(Direction, u8)]) -> State {
        packets
            .iter()
            .fold(State::Opening, |state, &(direction, signal)| track(state, protocol, direction, signal))
    }

    #[test]
    fn tcp_lives() {
        const OPEN: [(Direction, u8); 3] = [(Inbound, SYN), (Outbound, SYN | ACK), (Inbound, ACK)];
        let then = |more: &[(Direction, u8)]| after(Protocol::Tcp, &[&OPEN[..], more].concat());
        assert_eq!(after(Protocol::Tcp, &OPEN[..1]), State::Opening);
        assert_eq!(after(Protocol::Tcp, &OPEN[..2]), State::Answered);
        assert_eq!(then(&[]), State::Established);
        assert_eq!(then(&[(Inbound, SYN), (Outbound, ACK), (Inbound, ACK)]), State::Established);
        assert_eq!(then(&[(Inbound, FIN | ACK)]), State::ClientClosed);
        assert_eq!(then(&[(Inbound, FIN | ACK), (Outbound, ACK), (Inbound, FIN | ACK)]), State::ClientClosed);
        assert_eq!(then(&[(Outbound, FIN | ACK)]), State::BackendClosed);
        assert_eq!(then(&[(Outbound, FIN | ACK), (Inbound, FIN | ACK)]), State::Closing);
        assert_eq!(then(&[(Outbound, FIN | ACK), (Inbound, FIN | ACK), (Outbound, ACK)]), State::Closed);
        assert_eq!(then(&[(Inbound, FIN | ACK), (Outbound, FIN | ACK), (Inbound, ACK)]), State::Closed);
        assert_eq!(then(&[(Outbound, RST)]), State::Reset);
        assert_eq!(after(Protocol::Tcp, &[(Inbound, SYN), (Outbound, RST | ACK)]), State::Reset);
        // A challenge acknowledgement is no answer to a SYN.
        assert_eq!(after(Protocol::Tcp, &[(Inbound, SYN), (Outbound, ACK)]), State::Opening);
        // Data in the handshake's last segment (TCP Fast Open apart) opens all the same.
        assert_eq!(
            after(Protocol::Tcp, &[(Inbound, SYN), (Outbound, SYN | ACK), (Inbound, ACK | 8)]),
            State::Established
        );
    }

    #[test]
    fn udp_is_established_by_a_reply() {
        assert_eq!(after(Protocol::Udp, &[(Inbound, 0), (Inbound, 0)]), State::Opening);
        assert_eq!(after(Protocol::Udp, &[(Inbound, 0), (Outbound, 0), (Inbound, 0)]), State::Established);
    }

    #[test]
    fn sctp_ends_with_abort_or_shutdown_complete() {
        let open = [(Inbound, INIT), (Outbound, 2), (Inbound, 10), (Outbound, 11)];
        assert_eq!(after(Protocol::Sctp, &open), State::Established);
        for last in [ABORT, SHUTDOWN_COMPLETE] {
            assert_eq!(after(Protocol::Sctp, &[&open[..], &[(Outbound, last)]].concat()), State::Closed);
        }
    }

    #[test]
    fn only_the_right_packets_open() {
        for flags in 0..=255u8 {
            let plain_syn = flags & (SYN | ACK | RST | FIN) == SYN;
            assert_eq!(opens(Protocol::Tcp, flags), plain_syn);
            assert_eq!(opens(Protocol::Sctp, flags), flags == INIT);
            assert!(opens(Protocol::Udp, flags));
        }
    }

    /// What is taken for steady on the fast path is so by the rules.
    #[test]
    fn steady_packets_change_nothing() {
        let mut steady = 0;
        for state in State::ALL {
            for (direction, signal) in
                [Inbound, Outbound].into_iter().flat_map(|d| (0..=255).map(move |s| (d, s)))
            {
                for protocol in [Protocol::Tcp, Protocol::Udp, Protocol::Sctp] {
                    if is_steady(state, direction, signal) {
                        steady += 1;
                        assert_eq!(
                            unsteady(state, protocol, direction, signal),
                            state,
                            "{protocol:?} {direction:?} {signal}"
                        );
                    }
                }
            }
        }
        assert_eq!(steady, 3 * (2 * 64 + 32));
    }

    #[test]
    fn a_service_s_short_timeout_rules_opening_too() {
        let timeouts = Timeouts::default();
        assert_eq!(timeouts.limit_ms(State::Opening, 2_000), 2_000);
        assert_eq!(timeouts.limit_ms(State::Opening, 90_000), 30_000);
        assert_eq!(timeouts.limit_ms(State::Established, 90_000), 90_000);
    }
}
