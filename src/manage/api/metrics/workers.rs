//! Workers: where every packet went, sessions, time.

use super::text::{Exposition, Kind, seconds};
use crate::{
    manage::Shared,
    plane::{Counter, Tally},
    types::DropReason,
};

/// Name, kind and help of each counter. `rx` is the sum of what follows it and all drops.
const fn metric(counter: Counter) -> (&'static str, Kind, &'static str) {
    use Kind::{Counter as Count, Gauge};
    match counter {
        Counter::Rx => (
            "hitless_rx_packets_total",
            Count,
            "Packets whose fate the worker decided: forwarded, to_control, to_kernel or dropped.",
        ),
        Counter::Forwarded => {
            ("hitless_forwarded_packets_total", Count, "Packets sent on, answers to pings included.")
        }
        Counter::ToControl => {
            ("hitless_to_control_packets_total", Count, "Packets given to the control core.")
        }
        Counter::ToKernel => {
            ("hitless_to_kernel_packets_total", Count, "Packets given to the kernel interface.")
        }
        Counter::Received => {
            ("hitless_received_packets_total", Count, "Packets from the worker's own receive queues.")
        }
        Counter::HandedOut => (
            "hitless_handed_out_packets_total",
            Count,
            "Packets handed to the worker that owns their session.",
        ),
        Counter::HandedIn => {
            ("hitless_handed_in_packets_total", Count, "Packets other workers handed to this one.")
        }
        Counter::RxBytes => {
            ("hitless_rx_bytes_total", Count, "Bytes of packets received, Ethernet headers included.")
        }
        Counter::TxBytes => {
            ("hitless_tx_bytes_total", Count, "Bytes of packets forwarded, Ethernet headers included.")
        }
        Counter::FragmentsMade => {
            ("hitless_fragments_made_total", Count, "Further pieces of packets larger than the MTU.")
        }
        Counter::Strays => {
            ("hitless_stray_packets_total", Count, "Packets of instances that are being handed over.")
        }
        Counter::Relayed => {
            ("hitless_relayed_packets_total", Count, "Strays sent on to the other node as they came.")
        }
        Counter::Injected => (
            "hitless_injected_frames_total",
            Count,
            "Frames sent for the control core and the kernel interface.",
        ),
        Counter::InjectedLost => {
            ("hitless_injected_lost_frames_total", Count, "Such frames that did not fit the transmit queue.")
        }
        Counter::EchoReplies => ("hitless_echo_replies_total", Count, "Pings answered."),
        Counter::IcmpErrors => ("hitless_icmp_errors_total", Count, "ICMP errors written by this node."),
        Counter::TcpResets => ("hitless_tcp_resets_total", Count, "TCP resets written by this node."),
        Counter::IcmpTranslated => ("hitless_icmp_translated_total", Count, "ICMP errors translated."),
        Counter::SessionsOpened => ("hitless_sessions_opened_total", Count, "Sessions opened."),
        Counter::SessionsSynced => ("hitless_sessions_synced_total", Count, "Sessions taken from the peer."),
        Counter::SyncRefused => {
            ("hitless_sessions_refused_total", Count, "Sessions of the peer's that could not be taken.")
        }
        Counter::SyncOverruns => (
            "hitless_sync_overruns_total",
            Count,
            "Records for the peer that found the ring full; copied again later.",
        ),
        Counter::SessionsEnded => {
            ("hitless_sessions_ended_total", Count, "Sessions ended: closed, reset, idle or removed.")
        }
        Counter::SessionsV4 => ("hitless_ipv4_sessions", Gauge, "IPv4 sessions now."),
        Counter::SessionsV6 => ("hitless_ipv6_sessions", Gauge, "IPv6 sessions now."),
        Counter::Held => ("hitless_held_packets", Gauge, "Packets that wait for a next hop's address."),
        Counter::Turns => ("hitless_worker_turns_total", Count, "Turns of the worker's loop."),
        Counter::BusyTurns => ("hitless_worker_busy_turns_total", Count, "Turns that found a packet."),
        Counter::BusyNanos => {
            ("hitless_worker_busy_seconds_total", Count, "Time spent in turns that found a packet.")
        }
        Counter::LongestTurnNanos => {
            ("hitless_worker_longest_turn_seconds", Gauge, "Longest turn since the start.")
        }
    }
}

/// All counters of all workers. Each worker's are of one moment, so its packets add up.
pub(super) fn write(out: &mut Exposition, shared: &Shared, tallies: &[Tally]) {
    for &counter in Counter::ALL {
        let (name, kind, help) = metric(counter);
        let mut family = out.family(name, kind, help);
        for (worker, tally) in tallies.iter().enumerate() {
            let value = tally.get(counter);
            match counter {
                Counter::BusyNanos | Counter::LongestTurnNanos => {
                    family.sample(&[("worker", &worker)], seconds(value));
                }
                _ => family.sample(&[("worker", &worker)], value),
            }
        }
    }
    let mut family =
        out.family("hitless_dropped_packets_total", Kind::Counter, "Packets dropped, by reason.");
    for (worker, tally) in tallies.iter().enumerate() {
        for &reason in DropReason::ALL {
            family.sample(&[("worker", &worker), ("reason", &reason)], tally.drops(reason));
        }
    }
    let nat = &shared.config.nat;
    let mut family = out.family("hitless_session_capacity", Kind::Gauge, "Sessions there is room for.");
    for (label, ipv6) in [("ipv4", false), ("ipv6", true)] {
        if nat.local_addresses.iter().any(|local| local.address.is_ipv6() == ipv6) {
            family.sample(&[("family", &label)], nat.max_sessions);
        }
    }
    let help = "How long the control core's turns take.";
    out.family("hitless_control_turn_seconds", Kind::Histogram, help)
        .histogram(&[], &shared.turn_times.read());
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_are_unique_and_say_their_kind() {
        let names: HashSet<_> = Counter::ALL.iter().map(|counter| metric(*counter).0).collect();
        assert_eq!(names.len(), Counter::ALL.len());
        for &counter in Counter::ALL {
            let (name, kind, help) = metric(counter);
            assert_eq!(name.ends_with("_total"), kind == Kind::Counter, "{name}");
            assert!(name.starts_with("hitless_") && help.ends_with('.'), "{name}");
        }
    }
}
