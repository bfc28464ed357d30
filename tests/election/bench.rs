//! One node, a made-up peer and a made-up network, on virtual time.

use hitless::{
    protocol::{election::*, witness::Evidence},
    types::{Duration, InstanceId, Instant},
};

pub(crate) const RED: InstanceId = InstanceId(0);
pub(crate) const NODE: u64 = 11;
pub(crate) const PEER: u64 = 12;
pub(crate) const LONE_START_MS: u64 = 3000;
/// From the peer's last packet to its silence.
pub(crate) const DETECTION: Duration = Duration::from_millis(3);

/// What BFD hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bfd {
    Silent,
    Heard,
    /// AdminDown.
    Leaving,
    /// Down, detection time expired.
    Deaf,
    /// A LoxiLB peer, Up: whether this node's discriminator is the higher one.
    LoxiLb(bool),
}

/// What the gateways do, asked every 10 ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gateways {
    None,
    Answer,
    Silent,
    /// They would answer, but were not asked: this node stood still.
    NotAsked,
}

pub(crate) const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub(crate) fn settings() -> Settings {
    Settings {
        instance: RED,
        name: name_hash("llb-inst0"),
        priority: 100,
        preempt: false,
        lone_start: ms(LONE_START_MS),
        sync: true,
    }
}

pub(crate) fn node_settings() -> NodeSettings {
    NodeSettings { node: NODE, incarnation: 0x11, first_term: 0, lease: Duration::ZERO }
}

pub(crate) struct Bench {
    pub(crate) elections: Elections,
    pub(crate) view: PeerView,
    pub(crate) now: Instant,
    /// On each path.
    pub(crate) bfd: Vec<Bfd>,
    pub(crate) gateways: Gateways,
    silent_since: Instant,
    pub(crate) healthy: bool,
    /// What the peer says in its hellos, while it sends some.
    pub(crate) peer: Option<Entry>,
    pub(crate) peer_sender: Sender,
    /// All changes since the last look.
    changes: Vec<Change>,
    /// The newest hello of the node.
    pub(crate) said: Option<Hello>,
    pub(crate) hellos: usize,
}

/// What the peer says while it stands at `role`.
pub(crate) fn entry(role: Role, term: u64) -> Entry {
    Entry {
        name: name_hash("llb-inst0"),
        role,
        term,
        priority: 50,
        holding: if role == Role::Sync { Holding::Nothing } else { Holding::All },
        ready: role == Role::Standby,
        eligible: role.follows() || role.serves(),
        request: Request::None,
    }
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with(node_settings(), &[settings()])
    }

    pub(crate) fn with(node: NodeSettings, instances: &[Settings]) -> Self {
        let now = Instant::ZERO + Duration::from_secs(1);
        Self {
            elections: Elections::new(node, instances, now),
            view: PeerView::new(1),
            now,
            bfd: vec![Bfd::Silent],
            gateways: Gateways::Answer,
            silent_since: now,
            healthy: true,
            peer: None,
            peer_sender: Sender { node: PEER, incarnation: 0x12, sequence: 0, hears: 0x11, witness: true },
            changes: Vec::new(),
            said: None,
            hellos: 0,
        }
    }

    /// In STANDBY behind a peer that serves under term 5.
    pub(crate) fn standby() -> Self {
        let mut bench = Self::new();
        bench.follow();
        bench
    }

    pub(crate) fn follow(&mut self) {
        self.bfd.fill(Bfd::Heard);
        self.peer = Some(entry(Role::Active, 5));
        self.elections.copied(RED, Some(5));
        self.run(50);
        assert_eq!(self.role(), Role::Standby);
        self.changes.clear();
    }

    /// ACTIVE under term 1 before a peer in STANDBY.
    pub(crate) fn active() -> Self {
        let mut bench = Self::new();
        bench.serve();
        bench
    }

    pub(crate) fn serve(&mut self) {
        self.bfd.fill(Bfd::Heard);
        self.peer = Some(entry(Role::Sync, 0));
        self.run(50);
        assert_eq!(self.role(), Role::Active);
        self.peer = Some(entry(Role::Standby, 1));
        self.run(50);
        self.changes.clear();
    }

    /// ALONE under term 1.
    pub(crate) fn alone() -> Self {
        let mut bench = Self::new();
        bench.run(LONE_START_MS + 20);
        assert_eq!(bench.role(), Role::Alone);
        bench.changes.clear();
        bench
    }

    /// FENCED: it served, and lost peer and gateways.
    pub(crate) fn fenced() -> Self {
        let mut bench = Self::active();
        bench.vanish();
        bench.gateways = Gateways::Silent;
        bench.run(200);
        assert_eq!(bench.role(), Role::Fenced);
        bench.changes.clear();
        bench
    }

    /// The peer falls silent, all at once.
    pub(crate) fn vanish(&mut self) {
        self.bfd.fill(Bfd::Silent);
        self.peer = None;
    }

    pub(crate) fn status(&self) -> Status {
        self.elections.status(RED).unwrap()
    }

    pub(crate) fn role(&self) -> Role {
        self.status().role
    }

    pub(crate) fn term(&self) -> u64 {
        self.status().term
    }

    /// What the node asks of its peer.
    pub(crate) fn request(&self) -> Request {
        self.said.as_ref().unwrap().entries[0].request
    }

    fn evidence(&self) -> Evidence {
        let window = ms(30);
        match self.gateways {
            Gateways::None => Evidence { window, ..Evidence::NOT_ASKED },
            Gateways::Answer => Evidence { asked: true, answered: Some(self.now), lost_since: None, window },
            Gateways::NotAsked => {
                let answered = Some(self.silent_since);
                Evidence { asked: true, answered, lost_since: None, window }
            }
            Gateways::Silent => {
                let lost = self.silent_since + window;
                Evidence {
                    asked: true,
                    answered: Some(self.silent_since),
                    lost_since: (lost <= self.now).then_some(lost),
                    window,
                }
            }
        }
    }

    /// The peer sends a hello now.
    pub(crate) fn hear(&mut self, entry: Entry) {
        self.peer_sender.sequence += 1;
        let mut body = [0; MAX_HELLO];
        let length = Hello::emit(&self.peer_sender, &[entry], &mut body).unwrap();
        self.elections.receive(&body[..length], self.now).unwrap();
    }

    /// One look at the present moment, without anything new from the peer.
    pub(crate) fn look(&mut self) {
        if !matches!(self.gateways, Gateways::Silent | Gateways::NotAsked) {
            self.silent_since = self.now;
        }
        let surroundings = Surroundings {
            view: &self.view,
            evidence: self.evidence(),
            healthy: self.healthy,
            drained_at: self.now,
            now: self.now,
        };
        self.elections.look(&surroundings, |change| self.changes.push(change));
        let mut body = [0; MAX_HELLO];
        while let Some(length) = self.elections.transmit(self.now, &mut body) {
            self.said = Some(Hello::parse(&body[..length]).unwrap());
            self.hellos += 1;
        }
    }

    /// One millisecond: BFD packets, a hello every ten, a look.
    pub(crate) fn step(&mut self) {
        self.now = self.now + ms(1);
        for (path, bfd) in self.bfd.iter().enumerate() {
            if *bfd != Bfd::Silent {
                let report = PathReport {
                    last_heard: Some(self.now),
                    due_at: Some(self.now + ms(1)),
                    expires_at: Some(self.now + DETECTION),
                    admin_down: *bfd == Bfd::Leaving,
                    deaf: *bfd == Bfd::Deaf,
                    leads: if let Bfd::LoxiLb(leads) = *bfd { Some(leads) } else { None },
                };
                self.view.report(path, report);
            }
        }
        if let Some(entry) = self.peer.filter(|_| (self.now.as_nanos() / 1_000_000).is_multiple_of(10)) {
            self.hear(entry);
        }
        self.look();
    }

    pub(crate) fn run(&mut self, ms: u64) {
        for _ in 0..ms {
            self.step();
        }
    }

    /// Lets time pass until something changes, `ms` at most; how long that took.
    pub(crate) fn run_until_change(&mut self, ms: u64) -> u64 {
        let before = self.changes.len();
        (1..=ms)
            .find(|_| {
                self.step();
                self.changes.len() > before
            })
            .unwrap_or_else(|| panic!("nothing changed within {ms} ms: {:?}", self.status()))
    }

    /// All changes since they were last asked for.
    pub(crate) fn changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// The roles gone through since last asked, with the reasons.
    pub(crate) fn steps(&mut self) -> Vec<(Role, Reason)> {
        self.changes().iter().map(|change| (change.to, change.reason)).collect()
    }

    /// That there was exactly one change since last asked.
    #[track_caller]
    pub(crate) fn only_change(&mut self) -> Change {
        let changes = self.changes();
        let [change] = changes[..] else { panic!("not one change: {changes:#?}") };
        change
    }

    #[track_caller]
    pub(crate) fn expect(&mut self, from: Role, to: Role, reason: Reason) -> Change {
        let change = self.only_change();
        assert_eq!((change.from, change.to, change.reason), (from, to, reason));
        assert_eq!(self.role(), to);
        change
    }

    /// That the node stays as it is for `ms`.
    #[track_caller]
    pub(crate) fn expect_nothing(&mut self, ms: u64) {
        self.run(ms);
        let changes = self.changes();
        assert!(changes.is_empty(), "{changes:#?}");
    }
}
