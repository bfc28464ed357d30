//! The machine of one session (RFC 5880 section 6.8).

use super::{
    authentication::{Authentication, KeyChange},
    back_off::BackOff,
    detection::{Detection, Verdict},
    discard::Discard,
    negotiation::{Intervals, Negotiation, Situation},
    packet::{Control, Received},
    random::Random,
    report::{Cause, Change, Counters, Reason, Receipt, Status, Transmission},
    schedule::{Guard, Schedule},
    settings::{Compatibility, Role, SLOW_TX_US, Settings, Timers},
    state::{Diagnostic, State},
};
use crate::types::{Duration, Instant};

/// What the peer last said of itself (bfd.Remote... of section 6.8.1).
#[derive(Clone, Copy, Debug)]
struct Peer {
    discriminator: u32,
    state: State,
    diagnostic: Diagnostic,
    demand: bool,
    min_rx_us: u32,
    min_tx_us: u32,
    multiplier: u8,
}

impl Peer {
    const UNHEARD: Self = Self {
        discriminator: 0,
        state: State::Down,
        diagnostic: Diagnostic::NONE,
        demand: false,
        min_rx_us: 1,
        min_tx_us: 0,
        multiplier: 0,
    };
}

/// One session: packets and time in; packets, changes and deadlines out.
///
/// The caller empties the receive queue into [`Session::receive`], then judges with [`Session::expire`], then sends
/// what [`Session::transmit`] gives until it gives nothing.
#[derive(Clone, Debug)]
pub struct Session {
    settings: Settings,
    local_discriminator: u32,
    state: State,
    diagnostic: Diagnostic,
    changed_at: Instant,
    peer: Peer,
    negotiation: Negotiation,
    detection: Detection,
    schedule: Schedule,
    guard: Guard,
    back_off: BackOff,
    authentication: Authentication,
    last_sent: Option<Control>,
    content_changed: bool,
    final_due: bool,
    counters: Counters,
}

impl Session {
    /// A session in Down whose first packet is due now. `local_discriminator` is not 0 and unique on this node.
    pub fn new(settings: Settings, local_discriminator: u32, now: Instant, mut random: Random) -> Self {
        let loxilb = settings.compatibility == Compatibility::LoxiLb;
        let back_off = BackOff::default();
        let first = wanted(&settings, &back_off, State::Down);
        let interval = Duration::from_micros(first.tx_us.into());
        Self {
            local_discriminator,
            state: State::Down,
            diagnostic: Diagnostic::NONE,
            changed_at: now,
            peer: Peer::UNHEARD,
            negotiation: Negotiation::new(first, !loxilb),
            detection: Detection::default(),
            authentication: Authentication::new(settings.key, random.next_u32()),
            schedule: Schedule::new(interval, now, random),
            guard: Guard::default(),
            back_off,
            last_sent: None,
            content_changed: false,
            final_due: false,
            counters: Counters::default(),
            settings,
        }
    }

    /// Takes a packet that belongs to this session and was received `received_at`, at the latest now: the steps of
    /// section 6.8.6 from authentication on, in their order.
    pub fn receive(
        &mut self,
        packet: &Received<'_>,
        received_at: Instant,
        now: Instant,
    ) -> Result<Receipt, Discard> {
        let at = received_at.min(now);
        self.counters.future_stamps += u64::from(received_at > now);
        let result = self.take(packet, at, now);
        match result {
            Ok(_) => self.counters.received += 1,
            Err(reason) => self.count_discard(reason),
        }
        result
    }

    fn take(&mut self, packet: &Received<'_>, at: Instant, now: Instant) -> Result<Receipt, Discard> {
        if self.detection.silent_for(2, at) {
            self.authentication.forget_sequences();
        }
        self.authentication.check(packet)?;

        let control = &packet.control;
        let interval = self.peer_interval().filter(|_| self.state == State::Up);
        let before = self.learn(control);
        let answered = self.negotiation.received(control.is_final, at, self.situation());
        self.counters.polls_answered += u64::from(answered);
        self.counters.stray_finals += u64::from(control.is_final && !answered);
        let overdue = self.detection.deadline().is_some_and(|deadline| deadline < at);
        self.update();
        let since_previous = self.detection.refresh(at);
        if self.state == State::AdminDown {
            return Err(Discard::AdminDown);
        }
        self.counters.late += u64::from(overdue);
        let change = self.hear(control, before, at, now);
        self.final_due |= control.poll;
        if self.state == State::Up && self.back_off.calm(at) {
            self.want();
        }
        self.update();
        let late = since_previous.zip(interval).map(|(gap, interval)| gap - interval);
        Ok(Receipt { change, late, delay: now.since(at) })
    }

    /// The packet last accepted bore no time of its own: it may have been received as late as `at`, and silence counts
    /// from then.
    pub fn settle(&mut self, at: Instant) {
        self.detection.settle(at);
    }

    /// Judges the peer's silence. `drained_at` is a moment at which the receive queue was known to be empty;
    /// `evidence_lost` says that packets may have been lost on this side since the last call (the queue ran over).
    pub fn expire(&mut self, drained_at: Instant, evidence_lost: bool, now: Instant) -> Option<Change> {
        let at = match self.detection.judge(drained_at, evidence_lost) {
            Verdict::Alive => return None,
            Verdict::Grace => {
                self.counters.graces += 1;
                return None;
            }
            Verdict::Expired(at) => at,
        };
        let change = match self.state {
            State::AdminDown => None,
            State::Down => Some(self.remark(Cause::DetectionExpired, at, now)),
            State::Init | State::Up => {
                self.counters.detections += 1;
                if self.settings.back_off {
                    self.back_off.failed(at);
                }
                if self.is_loxilb() && self.state == State::Up {
                    self.local_discriminator = self.peer.discriminator.checked_add(1).unwrap_or(1);
                }
                let diagnostic = Diagnostic::DETECTION_TIME_EXPIRED;
                Some(self.enter(State::Down, diagnostic, Cause::DetectionExpired, at, now))
            }
        };
        self.forget_peer();
        self.update();
        change
    }

    /// The next packet that is due at `now`, if any. Call again until there is none.
    pub fn transmit(&mut self, now: Instant) -> Option<Transmission> {
        let (due, reason) = self.next_transmission()?;
        if due > now {
            return None;
        }
        let is_final = reason == Reason::Final;
        let poll = !is_final && self.negotiation.polling();
        let control = Control { poll, is_final, ..self.content() };
        let encoded = self.authentication.encode(&control, self.last_sent != Some(control));
        self.last_sent = Some(control);
        self.content_changed = false;
        self.note_sent(reason, poll, now);
        let late = if reason == Reason::Periodic { now.since(due) } else { Duration::ZERO };
        Some(Transmission { control, encoded, reason, late })
    }

    /// When to call next: [`Session::expire`] or [`Session::transmit`] will have something to do. It may lie in the
    /// past.
    pub fn deadline(&self) -> Option<Instant> {
        let transmission = self.next_transmission().map(|(due, _)| due);
        let detection = self.detection.deadline();
        transmission.into_iter().chain(detection).min()
    }

    /// Changes intervals and multiplier without touching the state. Intervals take effect as section 6.8.3 orders,
    /// by a Poll Sequence where the peer must know first.
    pub fn reconfigure(&mut self, timers: Timers) {
        self.settings.timers = timers;
        self.want();
        self.update();
    }

    /// Changes the key without touching the state.
    pub fn change_key(&mut self, change: KeyChange) {
        self.authentication.change(change);
        let (KeyChange::Expect(key) | KeyChange::Use(key)) = change;
        self.settings.key = key;
    }

    /// Takes the session down by an operator's will (section 6.8.16), with [`Diagnostic::ADMINISTRATIVELY_DOWN`] or a
    /// more telling diagnostic. The peer is told until the session is removed. `None` if it was so before.
    pub fn disable(&mut self, diagnostic: Diagnostic, now: Instant) -> Option<Change> {
        if self.state == State::AdminDown {
            return None;
        }
        let change = self.enter(State::AdminDown, diagnostic, Cause::Operator, now, now);
        self.update();
        Some(change)
    }

    /// Lets a disabled session come up again. `None` if it was not disabled.
    pub fn enable(&mut self, now: Instant) -> Option<Change> {
        if self.state != State::AdminDown {
            return None;
        }
        let change = self.enter(State::Down, Diagnostic::NONE, Cause::Operator, now, now);
        self.update();
        Some(change)
    }

    /// Gives the session up for a reason of our own: [`Diagnostic::FORWARDING_PLANE_RESET`] (section 6.8.15),
    /// [`Diagnostic::PATH_DOWN`] and the like (section 6.8.17). `None` if the operator holds it down.
    pub fn reset(&mut self, diagnostic: Diagnostic, now: Instant) -> Option<Change> {
        if self.state == State::AdminDown {
            return None;
        }
        let change = self.enter(State::Down, diagnostic, Cause::LocalReset, now, now);
        self.update();
        Some(change)
    }

    /// When a disabled session has told its peer long enough to be removed: one detection time of the peer's.
    pub fn removable_at(&self) -> Option<Instant> {
        (self.state == State::AdminDown).then(|| self.changed_at + self.window())
    }

    /// Its configuration as it stands.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What happened so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Where it stands.
    pub fn status(&self) -> Status {
        Status {
            state: self.state,
            diagnostic: self.diagnostic,
            changed_at: self.changed_at,
            peer_state: self.peer.state,
            peer_diagnostic: self.peer.diagnostic,
            local_discriminator: self.local_discriminator,
            peer_discriminator: self.peer.discriminator,
            peer_heard: self.detection.deadline().is_some(),
            last_received: self.detection.last_received(),
            expires_at: self.detection.deadline(),
            detection_time: self.detection.time(),
            transmit_interval: self.schedule.interval(),
            peer_desired_min_tx_us: self.peer.min_tx_us,
            peer_required_min_rx_us: self.peer.min_rx_us,
            peer_multiplier: self.peer.multiplier,
            polling: self.negotiation.polling(),
            changing_key: self.authentication.changing(),
        }
    }

    pub(super) fn count_discard(&mut self, reason: Discard) {
        self.counters.discards.add(reason);
    }

    pub(super) fn count_foreign_path(&mut self) {
        self.counters.foreign_path += 1;
    }

    fn is_loxilb(&self) -> bool {
        self.settings.compatibility == Compatibility::LoxiLb
    }

    fn situation(&self) -> Situation {
        Situation { up: self.state == State::Up, peer_known: self.peer.discriminator != 0 }
    }

    /// Takes over what the peer says of itself; returns what it said before.
    fn learn(&mut self, control: &Control) -> Peer {
        let before = self.peer;
        self.counters.discriminator_changes +=
            u64::from(before.discriminator != 0 && before.discriminator != control.my_discriminator);
        self.peer = Peer {
            discriminator: control.my_discriminator,
            state: control.state,
            diagnostic: control.diagnostic,
            demand: control.demand,
            min_rx_us: control.required_min_rx_us,
            min_tx_us: control.desired_min_tx_us,
            multiplier: control.multiplier,
        };
        before
    }

    /// Follows the state table.
    fn hear(&mut self, control: &Control, before: Peer, at: Instant, now: Instant) -> Option<Change> {
        let next = if self.is_loxilb() {
            self.state.after_loxilb(control.state)
        } else {
            self.state.after(control.state)
        };
        let renamed = before.discriminator != 0 && before.discriminator != control.my_discriminator;
        let cause = match control.state {
            State::AdminDown => Cause::PeerAdminDown,
            State::Down if renamed && control.your_discriminator == 0 => Cause::PeerRestarted,
            State::Down if next == State::Down => Cause::PeerDown,
            _ => Cause::Handshake,
        };
        if next != self.state {
            let diagnostic = match next {
                State::Down => Diagnostic::NEIGHBOR_SIGNALED_DOWN,
                State::Up => Diagnostic::NONE,
                State::Init | State::AdminDown => self.diagnostic,
            };
            return Some(self.enter(next, diagnostic, cause, at, now));
        }
        let news = cause == Cause::PeerAdminDown && before.state != State::AdminDown;
        news.then(|| self.remark(cause, at, now))
    }

    fn enter(
        &mut self,
        to: State,
        diagnostic: Diagnostic,
        cause: Cause,
        at: Instant,
        now: Instant,
    ) -> Change {
        let from = self.state;
        self.state = to;
        self.diagnostic = diagnostic;
        if from != to {
            self.changed_at = now;
        }
        let intervals = wanted(&self.settings, &self.back_off, to);
        self.counters.downs += u64::from(from == State::Up);
        self.counters.ups += u64::from(to == State::Up);
        self.negotiation.turn(intervals, self.situation());
        Change { from, ..self.remark(cause, at, now) }
    }

    /// Something to tell without a change of state.
    fn remark(&self, cause: Cause, at: Instant, now: Instant) -> Change {
        Change {
            from: self.state,
            to: self.state,
            cause,
            diagnostic: self.diagnostic,
            peer_diagnostic: self.peer.diagnostic,
            at,
            noticed: now,
            last_received: self.detection.last_received(),
        }
    }

    /// bfd.RemoteDiscr and what hangs on it after a detection time of silence (section 6.8.1). Intervals and
    /// multiplier stay: they say how long sequence numbers are to be remembered.
    fn forget_peer(&mut self) {
        let Peer { min_tx_us, multiplier, diagnostic, .. } = self.peer;
        self.peer = Peer { min_tx_us, multiplier, diagnostic, ..Peer::UNHEARD };
        self.negotiation.peer_forgotten();
    }

    /// Asks for the intervals that configuration, back-off and state call for.
    fn want(&mut self) {
        self.negotiation.want(wanted(&self.settings, &self.back_off, self.state), self.situation());
    }

    /// Recomputes what follows from everything else: our rate, the detection time, whether there is news to send.
    fn update(&mut self) {
        let in_force = self.negotiation.in_force();
        let interval = Duration::from_micros(in_force.tx_us.max(self.peer.min_rx_us).into());
        self.schedule.set_interval(interval, self.settings.timers.multiplier.get());
        let peer_interval = Duration::from_micros(in_force.rx_us.max(self.peer.min_tx_us).into());
        self.detection.set_time(peer_interval.times(self.peer.multiplier.into()));
        self.content_changed = self.last_sent.is_some_and(|sent| sent.content() != self.content());
    }

    fn content(&self) -> Control {
        let announced = self.negotiation.announced();
        Control {
            diagnostic: self.diagnostic,
            state: self.state,
            poll: false,
            is_final: false,
            control_plane_independent: self.settings.control_plane_independent,
            demand: false,
            multiplier: self.settings.timers.multiplier.get(),
            my_discriminator: self.local_discriminator,
            your_discriminator: self.peer.discriminator,
            desired_min_tx_us: announced.tx_us,
            required_min_rx_us: announced.rx_us,
            required_min_echo_rx_us: 0,
        }
    }

    fn next_transmission(&self) -> Option<(Instant, Reason)> {
        if self.is_mute() {
            return None;
        }
        if self.final_due {
            return Some((Instant::ZERO, Reason::Final));
        }
        let periodic = self.sends_periodically().then(|| (self.schedule.next(), Reason::Periodic));
        let changed = self.content_changed.then(|| (self.guard.free_at(self.window()), Reason::Changed));
        changed.into_iter().chain(periodic).min_by_key(|(due, _)| *due)
    }

    /// A passive end speaks when spoken to. LoxiLB takes AdminDown for Init and would then wait for ever; silence it
    /// understands.
    fn is_mute(&self) -> bool {
        let unheard_passive = self.settings.role == Role::Passive && self.peer.discriminator == 0;
        unheard_passive || (self.is_loxilb() && self.state == State::AdminDown)
    }

    /// Section 6.8.7: not to a peer that takes no packets, nor to one in demand mode unless to poll it.
    fn sends_periodically(&self) -> bool {
        let demand = self.peer.demand && self.state == State::Up && self.peer.state == State::Up;
        self.peer.min_rx_us != 0 && (!demand || self.negotiation.polling())
    }

    fn note_sent(&mut self, reason: Reason, poll: bool, now: Instant) {
        match reason {
            Reason::Periodic => self.counters.sent_periodic += 1,
            Reason::Changed => {
                self.counters.sent_changed += 1;
                self.guard.spend(now, self.window());
            }
            Reason::Final => {
                // Answers leave the timer alone: a peer that polls faster than we send could starve our own polls.
                self.counters.sent_final += 1;
                self.final_due = false;
                return;
            }
        }
        self.schedule.sent(now, self.settings.timers.multiplier.get());
        if poll {
            self.negotiation.poll_sent(now);
        }
    }

    /// How often the peer sends, as far as we can tell; `None` before it was heard.
    fn peer_interval(&self) -> Option<Duration> {
        let nanos = self.detection.time().as_nanos().checked_div(self.peer.multiplier.into())?;
        Some(Duration::from_nanos(nanos))
    }

    /// How long the peer waits for us, as far as we can tell.
    fn window(&self) -> Duration {
        self.schedule.interval().times(self.settings.timers.multiplier.get().into())
    }
}

/// The intervals that configuration, back-off and state call for: slow while not Up (section 6.8.3).
fn wanted(settings: &Settings, back_off: &BackOff, state: State) -> Intervals {
    let Timers { desired_min_tx_us, required_min_rx_us, .. } = settings.timers;
    let tx_us = back_off.stretch(desired_min_tx_us.get());
    let slow = state != State::Up && settings.compatibility == Compatibility::Standard;
    Intervals {
        tx_us: if slow { tx_us.max(SLOW_TX_US) } else { tx_us },
        rx_us: back_off.stretch(required_min_rx_us.get()),
    }
}
