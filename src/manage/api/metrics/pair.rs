//! BFD, high availability and session sync.

use super::text::{Exposition, Kind, seconds};
use crate::{
    control::{BfdEntry, BfdView, HaView, PairView, SyncGauge, SyncView, Timing},
    manage::{Shared, ha::InstanceStatus},
    plane::{HaState, Histogram},
    protocol::{bfd::State, pair::Refusal},
};

pub(super) fn write(out: &mut Exposition, shared: &Shared, instances: &[InstanceStatus]) {
    bfd(out, &shared.bfd);
    states(out, instances);
    if let Some(view) = &shared.ha {
        ha(out, view, instances);
    }
    if let Some(view) = &shared.pair {
        refusals(out, view);
    }
    if let Some(view) = &shared.sync {
        sync(out, view);
    }
}

fn bfd(out: &mut Exposition, view: &BfdView) {
    let sessions = view.list();
    let mut numbers = |name: &str, kind: Kind, help: &str, value: &dyn Fn(&BfdEntry) -> f64| {
        let mut family = out.family(name, kind, help);
        for entry in &sessions {
            family.sample(&[("local", &entry.path.local), ("remote", &entry.path.remote)], value(entry));
        }
    };
    numbers("hitless_bfd_up", Kind::Gauge, "Whether the BFD session is Up.", &|entry| {
        f64::from(u8::from(entry.status.state == State::Up))
    });
    numbers("hitless_bfd_interval_seconds", Kind::Gauge, "How often this node sends.", &|entry| {
        entry.status.transmit_interval.as_secs_f64()
    });
    numbers(
        "hitless_bfd_detection_time_seconds",
        Kind::Gauge,
        "Silence after which the peer is gone, as negotiated.",
        &|entry| entry.status.detection_time.as_secs_f64(),
    );
    let count = |number: u64| number as f64;
    numbers("hitless_bfd_received_packets_total", Kind::Counter, "BFD packets accepted.", &|entry| {
        count(entry.counters.received)
    });
    numbers("hitless_bfd_sent_packets_total", Kind::Counter, "BFD packets sent.", &|entry| {
        let counters = &entry.counters;
        count(counters.sent_periodic + counters.sent_changed + counters.sent_final)
    });
    numbers("hitless_bfd_discarded_packets_total", Kind::Counter, "BFD packets discarded.", &|entry| {
        count(entry.counters.discards.total())
    });
    numbers("hitless_bfd_downs_total", Kind::Counter, "Times the session left Up.", &|entry| {
        count(entry.counters.downs)
    });
    numbers(
        "hitless_bfd_graces_total",
        Kind::Counter,
        "Judgements put off because packets may have been lost on this node.",
        &|entry| count(entry.counters.graces),
    );
    numbers(
        "hitless_bfd_late_packets_total",
        Kind::Counter,
        "Packets later than the detection time, yet before anyone could look.",
        &|entry| count(entry.counters.late),
    );
    let mut family = out.family(
        "hitless_bfd_refused_packets_total",
        Kind::Counter,
        "BFD packets refused that are of no session.",
    );
    for (reason, number) in view.refused().iter() {
        family.sample(&[("reason", &reason.name())], number);
    }
    let mut times = |name: &str, help: &str, part: fn(&Timing) -> &Histogram| {
        let mut family = out.family(name, Kind::Histogram, help);
        for entry in &sessions {
            if let Some(timing) = view.timing(entry.id) {
                let labels: [super::text::Label<'_>; 2] =
                    [("local", &entry.path.local), ("remote", &entry.path.remote)];
                family.histogram(&labels, &part(timing).read());
            }
        }
    };
    times(
        "hitless_bfd_transmit_delay_seconds",
        "How long after they were due packets were given to the port.",
        |timing| &timing.sent_late,
    );
    times(
        "hitless_bfd_arrival_delay_seconds",
        "How much longer than the peer's interval its packets took to come.",
        |timing| &timing.received_late,
    );
    times(
        "hitless_bfd_look_delay_seconds",
        "How long packets lay here before they were looked at.",
        |timing| &timing.looked_at_late,
    );
}

fn states(out: &mut Exposition, instances: &[InstanceStatus]) {
    let help = "1 for the state the HA instance is in.";
    let mut family = out.family("hitless_ha_state", Kind::Gauge, help);
    for instance in instances {
        for state in HaState::ALL {
            let labels: [super::text::Label<'_>; 2] = [("ha_instance", &instance.name), ("state", &state)];
            family.sample(&labels, u8::from(instance.state == state));
        }
    }
    let help = "The claim the state rests on; later claims are higher.";
    let mut family = out.family("hitless_ha_term", Kind::Gauge, help);
    for instance in instances {
        family.sample(&[("ha_instance", &instance.name)], instance.term);
    }
}

fn ha(out: &mut Exposition, view: &HaView, instances: &[InstanceStatus]) {
    let report = view.report();
    let help = "Whether this node would take over at once, with all sessions.";
    let mut family = out.family("hitless_ha_ready", Kind::Gauge, help);
    for (id, status) in &report.instances {
        if let Some(instance) = instances.get(id.index()) {
            family.sample(&[("ha_instance", &instance.name)], u8::from(status.ready));
        }
    }
    let help = "Time since a witness last answered.";
    let mut family = out.family("hitless_ha_witness_silence_seconds", Kind::Gauge, help);
    for (address, answered) in &report.witnesses {
        if let Some(answered) = answered {
            family.sample(&[("witness", address)], report.at.since(*answered).as_secs_f64());
        }
    }
    let counts = [
        ("hitless_ha_witness_questions_total", "Questions asked of witnesses.", report.asked.asked),
        ("hitless_ha_witness_answers_total", "Their answers.", report.asked.answered),
        ("hitless_ha_refused_hellos_total", "Hellos of the peer's that were refused.", report.refused_hellos),
    ];
    for (name, help, count) in counts {
        out.one(name, Kind::Counter, help, count);
    }
    let help = "From the peer's last packet to the decision, of take-overs because of silence.";
    out.family("hitless_failover_detection_seconds", Kind::Histogram, help)
        .histogram(&[], &view.detection.read());
    let help = "From a decision to serve to the first announcement at the port.";
    out.family("hitless_failover_takeover_seconds", Kind::Histogram, help)
        .histogram(&[], &view.takeover.read());
}

fn refusals(out: &mut Exposition, view: &PairView) {
    let help = "Messages of the peer's that were refused, by reason.";
    let mut family = out.family("hitless_pair_refused_messages_total", Kind::Counter, help);
    for &reason in Refusal::ALL {
        family.sample(&[("reason", &reason.name())], view.refused(reason));
    }
    let help = "Whether a difference of configuration keeps the nodes from sharing sessions.";
    out.one("hitless_pair_differs", Kind::Gauge, help, u8::from(view.difference().is_some()));
}

/// Name, kind and help of each number of session sync.
const fn metric(gauge: SyncGauge) -> (&'static str, Kind, &'static str) {
    use Kind::{Counter, Gauge};
    match gauge {
        SyncGauge::InSync => {
            ("hitless_sync_complete", Gauge, "Whether this node holds every session of the peer's.")
        }
        SyncGauge::Streaming => {
            ("hitless_sync_streaming", Gauge, "Whether the peer takes this node's sessions.")
        }
        SyncGauge::LagRecords => {
            ("hitless_sync_lag_records", Gauge, "Records the peer has not acknowledged.")
        }
        SyncGauge::LagMicros => ("hitless_sync_lag_seconds", Gauge, "Age of the oldest of them."),
        SyncGauge::LongestLagNanos => {
            ("hitless_sync_longest_lag_seconds", Gauge, "Longest time from a record to its acknowledgement.")
        }
        SyncGauge::WrongRanges => (
            "hitless_sync_wrong_ranges",
            Gauge,
            "Ranges that differ from the peer's and are being copied again.",
        ),
        SyncGauge::Streams => ("hitless_sync_streams_total", Counter, "Streams begun."),
        SyncGauge::Silences => {
            ("hitless_sync_silences_total", Counter, "Streams given up because the peer fell silent.")
        }
        SyncGauge::RecordsSent => ("hitless_sync_records_sent_total", Counter, "Records sent."),
        SyncGauge::FramesSent => ("hitless_sync_frames_sent_total", Counter, "Frames sent the first time."),
        SyncGauge::BytesSent => {
            ("hitless_sync_sent_bytes_total", Counter, "Bytes of these, without envelope.")
        }
        SyncGauge::Retransmitted => {
            ("hitless_sync_frames_retransmitted_total", Counter, "Frames sent again.")
        }
        SyncGauge::RecordsReceived => ("hitless_sync_records_received_total", Counter, "Records received."),
        SyncGauge::FramesReceived => ("hitless_sync_frames_received_total", Counter, "Frames received."),
        SyncGauge::Duplicates => ("hitless_sync_duplicate_frames_total", Counter, "Frames received twice."),
        SyncGauge::MalformedFrames => {
            ("hitless_sync_malformed_frames_total", Counter, "Frames that cannot be read.")
        }
        SyncGauge::OldTerm => {
            ("hitless_sync_old_term_records_total", Counter, "Records refused: of a term that is over.")
        }
        SyncGauge::OwnInstance => (
            "hitless_sync_own_instance_records_total",
            Counter,
            "Records refused: of an instance this node owns.",
        ),
        SyncGauge::Repairs => {
            ("hitless_sync_repairs_total", Counter, "Ranges copied again because they differed.")
        }
    }
}

fn sync(out: &mut Exposition, view: &SyncView) {
    for &gauge in SyncGauge::ALL {
        let (name, kind, help) = metric(gauge);
        match (gauge, view.get(gauge)) {
            (SyncGauge::LagMicros, micros) => out.one(name, kind, help, seconds(micros.saturating_mul(1000))),
            (SyncGauge::LongestLagNanos, nanos) => out.one(name, kind, help, seconds(nanos)),
            (_, value) => out.one(name, kind, help, value),
        }
    }
}
