//! The machine of one instance: what it knows, what it is told, what it says. What it decides is in `follow`, `serve`
//! and `handover`.

use super::{
    claim::{Claim, Holding, MAX_TERM, Rank},
    facts::{Heard, Situation},
    handover::{Draining, Going},
    hello::{Entry, Request, Sender},
    report::{Announce, Change, Reason, Refused, Status},
    role::Role,
    settings::{HELLO_FRESH, HELLO_INTERVAL, Settings},
};
use crate::types::{Duration, Instant};

/// What the peer's last hello said of the instance.
#[derive(Clone, Copy, Debug)]
struct Told {
    entry: Entry,
    sender: Sender,
    at: Instant,
}

/// One instance.
#[derive(Clone, Debug)]
pub(super) struct Election {
    pub(super) settings: Settings,
    own: (u64, u64),
    pub(super) role: Role,
    pub(super) since: Instant,
    /// Of this node's last claim.
    pub(super) term: u64,
    /// The highest used or heard of.
    pub(super) known: u64,
    pub(super) holding: Holding,
    told: Option<Told>,

    pub(super) held: bool,
    pub(super) stopping: bool,
    /// It gave the instance up without a hand-over, and nobody has taken it yet.
    pub(super) resigned: bool,

    /// The peer was heard, and not leaving, while this node followed: its silence means something.
    pub(super) armed: bool,
    /// The peer's claim when this node began to follow it: the sessions must be of that term or a later one.
    pub(super) following: Option<u64>,
    /// The term of the claim whose sessions are all here.
    pub(super) copied: Option<u64>,
    /// Since when nobody is heard, and this node has been able to hear.
    pub(super) quiet_since: Instant,
    /// Since when everything has been well, for preemption.
    pub(super) well_since: Instant,
    /// The operator gave the instance to the peer: it is not asked back.
    pub(super) given_away: bool,
    /// Until when the operator wants the peer to give it.
    pub(super) asking_until: Option<Instant>,

    /// When this node made its claim.
    pub(super) claimed_at: Instant,
    /// The peer's claim that the addresses were announced against.
    pub(super) contested: Option<Claim>,
    /// Since when the peer claims without hearing this node.
    pub(super) deaf_since: Option<Instant>,
    pub(super) told_deaf: bool,
    /// Somebody announced an address of ours.
    pub(super) address_contested: bool,
    pub(super) announce_from: Instant,
    /// From the last announcement against them to the next.
    pub(super) defense_pause: Duration,
    pub(super) going: Option<Going>,
    /// The operator wants it to go to the peer.
    pub(super) wanted: bool,
    /// From when another hand-over may be tried.
    pub(super) retry_at: Instant,
    pub(super) draining: Option<Draining>,

    // As of the last look.
    healthy: bool,
    pub(super) can_hand_over: Result<(), Refused>,
    request: Request,
}

impl Election {
    /// `own`: node id and incarnation.
    pub(super) fn new(settings: Settings, own: (u64, u64), first_term: u64, now: Instant) -> Self {
        Self {
            settings,
            own,
            role: Role::Init,
            since: now,
            term: 0,
            known: first_term.min(MAX_TERM),
            holding: Holding::Nothing,
            told: None,
            held: false,
            stopping: false,
            resigned: false,
            armed: false,
            following: None,
            copied: None,
            quiet_since: now,
            well_since: now,
            given_away: false,
            asking_until: None,
            claimed_at: now,
            contested: None,
            deaf_since: None,
            told_deaf: false,
            address_contested: false,
            announce_from: now,
            defense_pause: HELLO_INTERVAL,
            going: None,
            wanted: false,
            retry_at: now,
            draining: None,
            healthy: false,
            can_hand_over: Err(Refused::PeerSilent),
            request: Request::None,
        }
    }

    /// The peer has started anew: what is here of its sessions is of its time before.
    pub(super) fn renewed(&mut self) {
        self.following = None;
        self.told = None;
    }

    /// The peer says `entry`.
    pub(super) fn hear(&mut self, sender: &Sender, entry: &Entry, at: Instant) {
        self.known = self.known.max(entry.term);
        self.told = Some(Told { entry: *entry, sender: *sender, at });
    }

    /// Decides what follows from the situation; to be called until nothing more does.
    pub(super) fn decide(&mut self, situation: &Situation) -> Option<Change> {
        let loxilb = situation.elected.map(|leads| Heard::loxilb(leads, situation.at));
        let heard = self.heard(situation.at).or(loxilb);
        self.look(situation, heard.as_ref());
        let change = match self.role {
            Role::Init => self.when_init(situation),
            Role::Sync | Role::Standby => self.when_following(situation, heard.as_ref()),
            Role::Active | Role::Alone => self.when_serving(situation, heard.as_ref()),
            Role::Handover => self.when_handing_over(situation, heard.as_ref()),
            Role::Fenced => self.when_fenced(situation, heard.as_ref()),
            Role::Admin => self.when_held(situation),
        };
        self.request = self.request(situation, heard.as_ref());
        change
    }

    /// What the peer says, if that is fresh.
    fn heard(&self, at: Instant) -> Option<Heard> {
        let Told { entry, sender, at } = self.told.filter(|told| told.at + HELLO_FRESH > at)?;
        let claim = entry.claim(sender.node);
        let (hears_us, witness) = (sender.hears == self.own.1, sender.witness);
        Some(Heard { entry, claim, hears_us, witness, at })
    }

    /// Notes what lasts, for the decisions that wait for something to last.
    fn look(&mut self, situation: &Situation, heard: Option<&Heard>) {
        self.healthy = situation.healthy;
        self.can_hand_over = match heard {
            Some(_) if !situation.hears() => Err(Refused::PeerSilent),
            Some(heard) if heard.entry.ready && heard.hears_us => Ok(()),
            Some(_) => Err(Refused::PeerNotReady),
            None => Err(Refused::PeerSilent),
        };
        // A peer whose hellos are understood but do not name the instance cannot serve it.
        let quiet = heard.is_none() && (!situation.hears() || situation.talking);
        if !quiet || situation.stood_still || situation.evidence.lost() {
            self.quiet_since = situation.at;
        }
        let well = self.role == Role::Standby && situation.hears() && heard.is_some_and(Heard::serves);
        if !well || situation.stood_still {
            self.well_since = situation.at;
        }
        if self.asking_until.is_some_and(|until| until <= situation.at) {
            self.asking_until = None;
        }
        if heard.is_some_and(Heard::serves) {
            self.resigned = false;
        }
    }

    pub(super) fn quiet_long_enough(&self, situation: &Situation) -> bool {
        // An answer that is late for once does not begin it anew; at its end there must be one.
        self.quiet_since + self.settings.lone_start <= situation.at && situation.evidence.fresh(situation.at)
    }

    /// Nothing of this node's own keeps it from serving.
    pub(super) fn eligible(&self) -> bool {
        self.healthy && !self.held && !self.stopping && (self.role.follows() || self.role.serves())
    }

    pub(super) fn synced(&self) -> bool {
        let copied = self.copied.zip(self.following).is_some_and(|(copied, from)| copied >= from);
        !self.settings.sync || copied
    }

    pub(super) fn claim(&self) -> Claim {
        Claim { term: self.term, priority: self.settings.priority, node: self.own.0 }
    }

    pub(super) fn next_term(&self) -> u64 {
        (self.highest_term() + 1).min(MAX_TERM)
    }

    pub(super) fn rank(&self, witness: bool) -> Rank {
        let Settings { priority, .. } = self.settings;
        Rank { witness, holding: self.holding, priority, node: self.own.0 }
    }

    /// Begins to serve under `term`.
    pub(super) fn take(&mut self, to: Role, term: u64, reason: Reason, situation: &Situation) -> Change {
        let degraded = self.holding == Holding::Part;
        (self.term, self.known) = (term, self.known.max(term));
        self.holding = Holding::All;
        self.claimed_at = situation.at;
        self.given_away = false;
        let silence = situation.silence().filter(|_| reason == Reason::PeerSilent);
        Change { announce: Announce::Start, degraded, silence, ..self.enter(to, reason, situation) }
    }

    /// Leaves off serving without a hand-over.
    pub(super) fn resign(&mut self, to: Role, reason: Reason, situation: &Situation) -> Change {
        self.resigned = true;
        Change { announce: Announce::Stop, ..self.enter(to, reason, situation) }
    }

    /// Goes to `to`, forgetting what belongs to the role before.
    pub(super) fn enter(&mut self, to: Role, reason: Reason, situation: &Situation) -> Change {
        let from = self.role;
        self.role = to;
        self.since = situation.at;
        if !(from.serves() && to.serves()) {
            self.contested = None;
            self.deaf_since = None;
            self.told_deaf = false;
            self.address_contested = false;
            self.going = None;
            self.wanted = false;
        }
        if to != Role::Handover {
            self.draining = None;
        }
        if !(from.follows() && to.follows()) {
            self.armed = false;
            self.following = None;
            self.asking_until = None;
        }
        if to.follows() || to.serves() {
            self.resigned = false;
        }
        self.quiet_since = situation.at;
        self.well_since = situation.at;
        Change { from, ..self.note(reason, situation) }
    }

    /// Something to tell without a change of role.
    pub(super) fn note(&self, reason: Reason, situation: &Situation) -> Change {
        Change {
            instance: self.settings.instance,
            from: self.role,
            to: self.role,
            term: self.status_term(),
            reason,
            announce: Announce::Keep,
            degraded: false,
            silence: None,
            judged_at: situation.at,
            decided_at: situation.now,
        }
    }

    fn status_term(&self) -> u64 {
        if self.role.serves() { self.term } else { self.known }
    }

    /// It has nothing to do with the instance any more.
    pub(super) fn has_left(&self) -> bool {
        self.stopping && self.role == Role::Init
    }

    /// A fault of its own keeps this node off.
    pub(super) fn is_broken(&self) -> bool {
        self.role == Role::Fenced && !self.healthy
    }

    /// The highest used or heard of.
    pub(super) fn highest_term(&self) -> u64 {
        self.known.max(self.term)
    }

    /// What the next hello says of the instance.
    pub(super) fn entry(&self) -> Entry {
        Entry {
            name: self.settings.name,
            role: self.role,
            term: self.status_term(),
            priority: self.settings.priority,
            holding: self.holding,
            ready: self.ready(),
            eligible: self.eligible(),
            request: self.request,
        }
    }

    pub(super) fn ready(&self) -> bool {
        self.role == Role::Standby && self.eligible()
    }

    pub(super) fn status(&self, at: Instant) -> Status {
        Status {
            role: self.role,
            since: self.since,
            term: self.status_term(),
            holding: self.holding,
            ready: self.ready(),
            peer: self.heard(at).map(|heard| (heard.entry.role, heard.claim)),
            request: self.request,
        }
    }
}
