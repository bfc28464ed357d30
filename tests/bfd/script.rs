//! What a case file may say. Every field is optional; an unknown one is an error.

use hitless::types::Duration;
use serde::{Deserialize, Deserializer, de::Error};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    pub(crate) case: Vec<Case>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    pub(crate) name: String,
    /// Rows of the checklist that this case serves.
    #[serde(default)]
    pub(crate) items: Vec<u32>,
    #[serde(default)]
    pub(crate) session: SessionSpec,
    pub(crate) steps: Vec<Step>,
}

/// One step: time passes, something is done, something is expected; in the order of the fields.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Step {
    /// Which session the step is about, in order of addition.
    pub(crate) session: usize,
    /// Time passes; the loop runs whenever something is due, the peer sends every so often.
    pub(crate) after: Option<Span>,
    pub(crate) peer_every: Option<Span>,
    /// Our thread stands still while packets arrive in the ring.
    pub(crate) stall: Option<Stall>,

    /// What the peer says from now on.
    pub(crate) peer: Option<Fields>,
    /// Handshake and first poll with that peer; the logs begin anew after it.
    pub(crate) bring_up: bool,
    pub(crate) add: Option<SessionSpec>,
    pub(crate) add_fails: Option<String>,
    pub(crate) configure: Option<TimersSpec>,
    pub(crate) expect_key: Option<KeySpec>,
    pub(crate) use_key: Option<KeySpec>,
    pub(crate) disable: Option<u8>,
    pub(crate) enable: bool,
    pub(crate) reset: Option<u8>,
    pub(crate) remove: bool,
    /// One packet from the peer, different from what it says otherwise.
    pub(crate) receive: Option<Fields>,

    /// Why that packet is discarded; nothing else may have moved.
    pub(crate) discard: Option<String>,
    /// The packets sent since the last look.
    pub(crate) sent: Option<Vec<SentExpect>>,
    pub(crate) rate: Option<RateExpect>,
    /// The changes since the last look.
    pub(crate) changes: Option<Vec<ChangeExpect>>,
    pub(crate) status: Option<StatusExpect>,
    /// By how much counters moved in this step.
    pub(crate) counters: Option<std::collections::BTreeMap<String, u64>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SessionSpec {
    pub(crate) interval_us: Option<u32>,
    pub(crate) tx_us: Option<u32>,
    pub(crate) rx_us: Option<u32>,
    pub(crate) multiplier: Option<u8>,
    pub(crate) port: u8,
    pub(crate) local: Option<String>,
    pub(crate) remote: Option<String>,
    pub(crate) minimum_ttl: Option<u8>,
    pub(crate) passive: bool,
    pub(crate) independent: bool,
    pub(crate) back_off: Option<bool>,
    pub(crate) strict_path: bool,
    pub(crate) loxilb: bool,
    pub(crate) key: Option<KeySpec>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TimersSpec {
    pub(crate) tx_us: Option<u32>,
    pub(crate) rx_us: Option<u32>,
    pub(crate) multiplier: Option<u8>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeySpec {
    /// "none", "simple", "md5", "meticulous-md5", "sha1" or "meticulous-sha1".
    pub(crate) r#type: String,
    #[serde(default)]
    pub(crate) id: u8,
    #[serde(default)]
    pub(crate) secret: String,
}

/// A packet of the peer's.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Fields {
    pub(crate) state: Option<String>,
    pub(crate) diag: Option<u8>,
    pub(crate) poll: Option<bool>,
    pub(crate) r#final: Option<bool>,
    pub(crate) independent: Option<bool>,
    pub(crate) demand: Option<bool>,
    pub(crate) multiplier: Option<u8>,
    pub(crate) my: Option<u32>,
    /// Our discriminator unless given.
    pub(crate) your: Option<u32>,
    pub(crate) tx_us: Option<u32>,
    pub(crate) rx_us: Option<u32>,
    pub(crate) echo_us: Option<u32>,
    pub(crate) key: Option<KeySpec>,
    pub(crate) sequence: Option<u32>,

    /// The whole UDP payload in hexadecimal, in place of the fields above.
    pub(crate) hex: Option<String>,
    pub(crate) version: Option<u8>,
    pub(crate) length: Option<u8>,
    pub(crate) multipoint: Option<bool>,
    pub(crate) a_bit: Option<bool>,
    /// Payload bytes cut from the end, or added to it.
    pub(crate) cut: Option<usize>,
    pub(crate) trailing: Option<usize>,
    /// Payload byte to spoil.
    pub(crate) spoil: Option<usize>,

    pub(crate) ttl: Option<u8>,
    pub(crate) port: Option<u8>,
    pub(crate) source: Option<String>,
    pub(crate) destination: Option<String>,
    pub(crate) source_port: Option<u16>,
    pub(crate) destination_port: Option<u16>,
    /// Flip a bit of the UDP checksum, or of the IPv4 header's.
    pub(crate) bad_udp_checksum: Option<bool>,
    pub(crate) bad_ip_checksum: Option<bool>,
    /// How long before now it was received; negative: how far in the future its stamp lies.
    pub(crate) age: Option<Span>,
    pub(crate) ahead: Option<Span>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stall {
    pub(crate) r#for: Span,
    /// The peer's period meanwhile; silent if not given.
    pub(crate) every: Option<Span>,
    /// The peer falls silent after so long.
    pub(crate) until: Option<Span>,
    /// Packets the ring holds; later ones are lost.
    pub(crate) ring: Option<usize>,
    /// The device has no clock: packets carry the time they were taken from the ring.
    #[serde(default)]
    pub(crate) unstamped: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SentExpect {
    pub(crate) state: Option<String>,
    pub(crate) diag: Option<u8>,
    pub(crate) poll: Option<bool>,
    pub(crate) r#final: Option<bool>,
    pub(crate) independent: Option<bool>,
    pub(crate) demand: Option<bool>,
    pub(crate) multiplier: Option<u8>,
    pub(crate) my: Option<u32>,
    pub(crate) your: Option<u32>,
    pub(crate) tx_us: Option<u32>,
    pub(crate) rx_us: Option<u32>,
    pub(crate) echo_us: Option<u32>,
    pub(crate) reason: Option<String>,
    /// At which moment of the case.
    pub(crate) at: Option<Span>,
    pub(crate) between: Option<[Span; 2]>,
    pub(crate) ttl: Option<u8>,
    pub(crate) traffic_class: Option<u8>,
    pub(crate) port: Option<u8>,
    pub(crate) source: Option<String>,
    pub(crate) destination: Option<String>,
    pub(crate) destination_port: Option<u16>,
    pub(crate) source_port_from: Option<u16>,
    pub(crate) a_bit: Option<bool>,
    /// The whole UDP payload, `..` for any byte.
    pub(crate) hex: Option<String>,
    /// By how much the sequence number differs from the packet before.
    pub(crate) sequence_step: Option<u32>,
}

/// Of the packets sent since the last look: how many, and the gaps between them in per cent of an interval.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RateExpect {
    pub(crate) interval: Span,
    pub(crate) percent: [u64; 2],
    pub(crate) count: [usize; 2],
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ChangeExpect {
    pub(crate) from: Option<String>,
    pub(crate) to: Option<String>,
    pub(crate) cause: Option<String>,
    pub(crate) diag: Option<u8>,
    pub(crate) peer_diag: Option<u8>,
    pub(crate) at: Option<Span>,
    pub(crate) noticed: Option<Span>,
    pub(crate) last_received: Option<Span>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct StatusExpect {
    pub(crate) state: Option<String>,
    pub(crate) diag: Option<u8>,
    pub(crate) peer_state: Option<String>,
    pub(crate) peer_diag: Option<u8>,
    pub(crate) local_discriminator: Option<u32>,
    pub(crate) peer_discriminator: Option<u32>,
    pub(crate) peer_heard: Option<bool>,
    pub(crate) detection: Option<Span>,
    pub(crate) interval: Option<Span>,
    pub(crate) polling: Option<bool>,
    pub(crate) changing_key: Option<bool>,
    pub(crate) removable_at: Option<Span>,
}

/// "50us", "3.3ms", "1s".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Span(pub Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let text = String::deserialize(input)?;
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit = match &text[digits.len()..] {
            "ns" => 1.0,
            "us" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            _ => return Err(D::Error::custom(format!("{text}: want ns, us, ms or s"))),
        };
        let number: f64 = digits.parse().map_err(D::Error::custom)?;
        Ok(Self(Duration::from_nanos((number * unit).round() as u64)))
    }
}
