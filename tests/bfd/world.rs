//! A node's sessions on virtual time, and the peers that a case file makes up.

use crate::script::{Fields, KeySpec, SessionSpec, Stall, TimersSpec};
use hitless::{
    packet::{fold, sum},
    protocol::bfd::*,
    types::{Duration, Instant, PortId},
};
use std::{collections::BTreeMap, net::IpAddr};

pub(crate) const PORTS: u8 = 3;

/// A packet we sent, read back from its bytes.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) session: SessionId,
    pub(crate) at: Instant,
    pub(crate) outgoing: Outgoing,
    pub(crate) ip: Vec<u8>,
}

impl Sent {
    pub(crate) fn datagram(&self) -> Datagram<'_> {
        Datagram::parse(&self.ip).expect("we sent a datagram we would not take")
    }

    pub(crate) fn payload(&self) -> &[u8] {
        self.datagram().payload
    }

    pub(crate) fn control(&self) -> Control {
        Received::parse(self.payload()).expect("we sent a packet we would discard").control
    }

    pub(crate) fn sequence(&self) -> Option<u32> {
        let bytes = self.payload().get(28..32)?;
        Some(u32::from_be_bytes(bytes.try_into().ok()?))
    }
}

struct Peer {
    says: Fields,
    next_sequence: u32,
}

pub(crate) struct World {
    pub(crate) sessions: Sessions,
    pub(crate) now: Instant,
    pub(crate) ids: Vec<SessionId>,
    pub(crate) sent: Vec<Sent>,
    pub(crate) changes: Vec<(SessionId, Change)>,
    peers: Vec<Peer>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            sessions: Sessions::new(4, Random::seeded(0x5eed)),
            now: Instant::ZERO,
            ids: Vec::new(),
            sent: Vec::new(),
            changes: Vec::new(),
            peers: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, spec: &SessionSpec) -> Result<(), AddError> {
        let id = self.sessions.add(settings(spec), self.now)?;
        let index = self.ids.len();
        self.ids.push(id);
        let says = Fields {
            state: Some("Up".into()),
            multiplier: Some(3),
            my: Some(0xbeef + index as u32),
            tx_us: Some(10_000),
            rx_us: Some(10_000),
            ..Fields::default()
        };
        self.peers.push(Peer { says, next_sequence: 0xffff_fffb });
        self.turn(false);
        Ok(())
    }

    pub(crate) fn peer_says(&mut self, session: usize, fields: &Fields) {
        self.peers[session].says = fields.over(&self.peers[session].says);
    }

    pub(crate) fn session(&self, session: usize) -> &Session {
        self.sessions.get(self.ids[session]).expect("the session was removed")
    }

    pub(crate) fn session_mut(&mut self, session: usize) -> &mut Session {
        self.sessions.get_mut(self.ids[session]).expect("the session was removed")
    }

    /// The handshake as a well-behaved peer goes through it, with the answer to our first poll.
    pub(crate) fn bring_up(&mut self, session: usize) {
        let hello =
            Fields { state: Some("Down".into()), your: Some(0), tx_us: Some(1_000_000), ..Fields::default() };
        let up = Fields { state: Some("Up".into()), ..Fields::default() };
        let answer = Fields { r#final: Some(true), ..up.clone() };
        for fields in [hello, up.clone(), answer, up] {
            self.deliver(session, &fields, None).expect("bring-up packet discarded");
            self.turn(false);
        }
        assert_eq!(self.session(session).status().state, State::Up);
        self.sent.clear();
        self.changes.clear();
    }

    /// One packet from the peer, received at `stamp` or now; the loop has not run yet.
    pub(crate) fn deliver(
        &mut self,
        session: usize,
        fields: &Fields,
        stamp: Option<Instant>,
    ) -> Result<(SessionId, Receipt), Discard> {
        let fields = fields.over(&self.peers[session].says);
        let ip = self.packet(session, &fields);
        let path = self.session(session).settings().path;
        let port = PortId(fields.port.unwrap_or(path.port.0));
        let age = fields.age.map_or(Duration::ZERO, |age| age.0);
        let ahead = fields.ahead.map_or(Duration::ZERO, |ahead| ahead.0);
        let received_at = stamp.unwrap_or(self.now - age + ahead);
        let result = self.sessions.receive(port, &ip, received_at, self.now);
        if let Ok((id, Receipt { change: Some(change), .. })) = result {
            self.changes.push((id, change));
        }
        result
    }

    /// One turn of the control loop: everything received has been delivered.
    pub(crate) fn turn(&mut self, evidence_lost: bool) {
        for port in 0..PORTS {
            let changes = &mut self.changes;
            self.sessions.expire(PortId(port), self.now, evidence_lost, self.now, |id, change| {
                changes.push((id, change))
            });
        }
        let mut buffer = [0; MAX_DATAGRAM];
        for _ in 0..100 {
            let Some(outgoing) = self.sessions.transmit(self.now, &mut buffer) else { return };
            let ip = buffer[..outgoing.length].to_vec();
            self.sent.push(Sent { session: outgoing.session, at: self.now, outgoing, ip });
        }
        panic!("a hundred packets at one moment");
    }

    /// Lets time pass; the loop runs whenever something is due, the peer of `session` sends every `period`.
    pub(crate) fn pass(&mut self, span: Duration, session: usize, period: Option<Duration>) {
        let end = self.now + span;
        let mut arrival = period.map_or(Instant::MAX, |period| self.now + period);
        loop {
            let due = self.sessions.deadline().unwrap_or(Instant::MAX);
            let next = due.min(arrival).max(self.now).min(end);
            self.now = next;
            if let Some(period) = period.filter(|_| arrival <= next) {
                arrival = arrival + period;
                let result = self.deliver(session, &Fields::default(), None);
                assert!(matches!(result, Ok(_) | Err(Discard::AdminDown)), "the peer's packet: {result:?}");
            }
            self.turn(false);
            if next == end && arrival > end {
                return;
            }
        }
    }

    /// Our thread stands still while packets arrive; then it empties the ring and judges.
    pub(crate) fn stall(&mut self, session: usize, stall: &Stall) {
        let start = self.now;
        let until = stall.until.map_or(stall.r#for.0, |until| until.0);
        let arrivals: Vec<Instant> = stall.every.map_or_else(Vec::new, |every| {
            let count = until.as_nanos() / every.0.as_nanos();
            (1..=count).map(|index| start + every.0.times(index)).collect()
        });
        let kept = stall.ring.unwrap_or(usize::MAX).min(arrivals.len());
        self.now = start + stall.r#for.0;
        for arrival in &arrivals[..kept] {
            let stamp = if stall.unstamped { self.now } else { *arrival };
            self.deliver(session, &Fields::default(), Some(stamp)).expect("the peer's packet was discarded");
        }
        self.turn(kept < arrivals.len());
    }

    /// Every counter there is: the session's, its discards and the node's together.
    pub(crate) fn counters(&self, session: usize) -> BTreeMap<String, u64> {
        let counters =
            self.sessions.get(self.ids[session]).map(|session| *session.counters()).unwrap_or_default();
        let named = [
            ("received", counters.received),
            ("sent_periodic", counters.sent_periodic),
            ("sent_changed", counters.sent_changed),
            ("sent_final", counters.sent_final),
            ("ups", counters.ups),
            ("downs", counters.downs),
            ("detections", counters.detections),
            ("graces", counters.graces),
            ("late", counters.late),
            ("polls_answered", counters.polls_answered),
            ("stray_finals", counters.stray_finals),
            ("future_stamps", counters.future_stamps),
            ("foreign_path", counters.foreign_path),
            ("discriminator_changes", counters.discriminator_changes),
        ];
        let mut all: BTreeMap<String, u64> =
            named.into_iter().map(|(name, value)| (name.into(), value)).collect();
        let own = counters.discards.iter();
        for (reason, count) in own.chain(self.sessions.discards().iter()) {
            *all.entry(format!("discard_{}", reason.name())).or_default() += count;
        }
        all
    }

    /// The peer's packet from the IP header on.
    fn packet(&mut self, session: usize, fields: &Fields) -> Vec<u8> {
        let settings = self.session(session).settings();
        let path = settings.path;
        let payload = match &fields.hex {
            Some(hex) => bytes(hex),
            None => self.payload(session, fields),
        };
        let single = path.hop == Hop::Single;
        let address = |text: &Option<String>, default: IpAddr| {
            text.as_ref().map_or(default, |text| text.parse().expect("an address"))
        };
        let endpoints = Endpoints {
            source: address(&fields.source, path.remote),
            destination: address(&fields.destination, path.local),
            source_port: fields.source_port.unwrap_or(50_123),
            destination_port: fields.destination_port.unwrap_or(if single {
                SINGLE_HOP_PORT
            } else {
                MULTI_HOP_PORT
            }),
        };
        let mut ip = vec![0; 48 + payload.len()];
        let length = emit(&mut ip, &endpoints, &payload).expect("addresses of one family");
        ip.truncate(length);
        let (ttl_at, udp_at) = if path.local.is_ipv4() { (8, 20) } else { (7, 40) };
        if let Some(ttl) = fields.ttl {
            ip[ttl_at] = ttl;
        }
        if udp_at == 20 {
            ip[10..12].fill(0);
            let checksum = !fold(sum(&ip[..20]));
            ip[10..12].copy_from_slice(&checksum.to_ne_bytes());
            ip[10] ^= u8::from(fields.bad_ip_checksum == Some(true));
        }
        ip[udp_at + 6] ^= u8::from(fields.bad_udp_checksum == Some(true));
        ip
    }

    fn payload(&mut self, session: usize, fields: &Fields) -> Vec<u8> {
        let ours = self.session(session).status().local_discriminator;
        let control = Control {
            diagnostic: Diagnostic::from_bits(fields.diag.unwrap_or(0)),
            state: state(fields.state.as_deref().unwrap_or("Up")),
            poll: fields.poll.unwrap_or(false),
            is_final: fields.r#final.unwrap_or(false),
            control_plane_independent: fields.independent.unwrap_or(false),
            demand: fields.demand.unwrap_or(false),
            multiplier: fields.multiplier.unwrap_or(3),
            my_discriminator: fields.my.unwrap_or(0xbeef),
            your_discriminator: fields.your.unwrap_or(ours),
            desired_min_tx_us: fields.tx_us.unwrap_or(10_000),
            required_min_rx_us: fields.rx_us.unwrap_or(10_000),
            required_min_echo_rx_us: fields.echo_us.unwrap_or(0),
        };
        let encoded = match fields.key.as_ref().and_then(key) {
            Some(key) => {
                let peer = &mut self.peers[session];
                let sequence = fields.sequence.unwrap_or(peer.next_sequence);
                peer.next_sequence = sequence.wrapping_add(1);
                key.sign(&control, sequence)
            }
            None => Encoded::plain(&control),
        };
        let mut bytes = encoded.bytes().to_vec();
        if let Some(version) = fields.version {
            bytes[0] = bytes[0] & 0x1f | version << 5;
        }
        if let Some(length) = fields.length {
            bytes[3] = length;
        }
        bytes[1] |= u8::from(fields.multipoint == Some(true));
        if let Some(set) = fields.a_bit {
            bytes[1] = bytes[1] & !4 | u8::from(set) << 2;
        }
        if let Some(at) = fields.spoil {
            bytes[at] ^= 0x40;
        }
        bytes.truncate(bytes.len() - fields.cut.unwrap_or(0));
        bytes.resize(bytes.len() + fields.trailing.unwrap_or(0), 0x5a);
        bytes
    }
}

impl Fields {
    /// These fields, and `base` where they say nothing.
    fn over(&self, base: &Self) -> Self {
        macro_rules! over {
            ($($field:ident)*) => { Self { $($field: self.$field.clone().or_else(|| base.$field.clone()),)* } };
        }
        over!(state diag poll r#final independent demand multiplier my your tx_us rx_us echo_us key sequence hex
            version length multipoint a_bit cut trailing spoil ttl port source destination source_port
            destination_port bad_udp_checksum bad_ip_checksum age ahead)
    }
}

pub(crate) fn state(name: &str) -> State {
    let all = [State::AdminDown, State::Down, State::Init, State::Up];
    all.into_iter().find(|state| state.name() == name).unwrap_or_else(|| panic!("no state {name}"))
}

pub(crate) fn key(spec: &KeySpec) -> Option<Key> {
    let kind = match spec.r#type.as_str() {
        "none" => return None,
        "simple" => AuthKind::SimplePassword,
        "md5" => AuthKind::KeyedMd5,
        "meticulous-md5" => AuthKind::MeticulousMd5,
        "sha1" => AuthKind::KeyedSha1,
        "meticulous-sha1" => AuthKind::MeticulousSha1,
        other => panic!("no authentication type {other}"),
    };
    Some(Key::new(kind, spec.id, spec.secret.as_bytes()).expect("a key of the right length"))
}

pub(crate) fn timers(spec: &TimersSpec, now: Timers) -> Timers {
    let interval = |us: Option<u32>, now| us.map_or(now, |us| us.try_into().expect("an interval is not 0"));
    Timers {
        desired_min_tx_us: interval(spec.tx_us, now.desired_min_tx_us),
        required_min_rx_us: interval(spec.rx_us, now.required_min_rx_us),
        multiplier: spec.multiplier.map_or(now.multiplier, |m| m.try_into().expect("a multiplier is not 0")),
    }
}

pub(crate) fn settings(spec: &SessionSpec) -> Settings {
    let address = |text: &Option<String>, default: &str| {
        text.as_deref().unwrap_or(default).parse().expect("an address")
    };
    let path = Path {
        port: PortId(spec.port),
        local: address(&spec.local, "10.9.0.1"),
        remote: address(&spec.remote, "10.9.0.2"),
        hop: spec.minimum_ttl.map_or(Hop::Single, |minimum_ttl| Hop::Multi { minimum_ttl }),
    };
    let both = Timers::symmetric(spec.interval_us.unwrap_or(10_000), spec.multiplier.unwrap_or(3));
    let change = TimersSpec { tx_us: spec.tx_us, rx_us: spec.rx_us, multiplier: None };
    let mut settings = Settings::new(path, timers(&change, both.expect("intervals are not 0")));
    settings.role = if spec.passive { Role::Passive } else { Role::Active };
    settings.control_plane_independent = spec.independent;
    settings.back_off = spec.back_off.unwrap_or(settings.back_off);
    settings.strict_path = spec.strict_path;
    settings.compatibility = if spec.loxilb { Compatibility::LoxiLb } else { Compatibility::Standard };
    settings.key = spec.key.as_ref().and_then(key);
    settings
}

pub(crate) fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let pairs = digits.as_chunks::<2>().0.iter();
    pairs.map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).expect("hexadecimal")).collect()
}
