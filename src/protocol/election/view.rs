//! What BFD says of the peer, for all instances of a node.

use crate::{
    protocol::bfd::{Compatibility, Diagnostic, State, Status},
    types::{Duration, Instant},
};
use arrayvec::ArrayVec;

/// The most BFD paths to a peer.
pub const MAX_PATHS: usize = 16;

/// One BFD path to the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct PathReport {
    /// When its newest accepted packet was received, in whatever state it was sent.
    pub last_heard: Option<Instant>,
    /// When its next packet should come, at the latest; `None`: unknown.
    pub due_at: Option<Instant>,
    /// When it counts as silent if nothing more comes; `None`: it does already, or was never heard.
    pub expires_at: Option<Instant>,
    /// The peer says AdminDown on it.
    pub admin_down: bool,
    /// The peer says on it that it does not hear this node: Down, detection time expired.
    pub deaf: bool,
    /// The peer is LoxiLB, which sends no hellos but elects by discriminator when the session comes Up: whether this
    /// node's is the higher one. `None` while it is not Up, and of other peers.
    pub leads: Option<bool>,
}

impl PathReport {
    /// Of a session that stands at `status`, with a peer of this kind.
    pub fn new(status: &Status, peer: Compatibility) -> Self {
        let elected = peer == Compatibility::LoxiLb && status.state == State::Up;
        let deaf = status.peer_diagnostic == Diagnostic::DETECTION_TIME_EXPIRED;
        Self {
            last_heard: status.last_received,
            due_at: status.last_received.map(|last| last + receive_interval(status)),
            expires_at: status.expires_at,
            admin_down: status.peer_state == State::AdminDown,
            deaf: status.peer_state == State::Down && deaf,
            leads: elected.then_some(status.local_discriminator > status.peer_discriminator),
        }
    }
}

/// From packet to packet of the peer's, at most.
fn receive_interval(status: &Status) -> Duration {
    Duration::from_nanos(status.detection_time.as_nanos() / u64::from(status.peer_multiplier.max(1)))
}

/// A path, and when its detection time last ended or would have.
#[derive(Clone, Copy, Debug, Default)]
struct Path {
    report: PathReport,
    ended: Option<Instant>,
}

impl Path {
    fn hears(&self, drained_at: Instant) -> bool {
        self.report.expires_at.is_some_and(|expiry| expiry > drained_at)
    }
}

/// All BFD paths to the peer. Silence, not "session Down", is what matters (rule R1): a session that is Down because
/// the peer said so, or is still shaking hands, proves the peer alive.
#[derive(Clone, Debug, Default)]
pub struct PeerView {
    paths: ArrayVec<Path, MAX_PATHS>,
}

/// Whether the peer lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// No path has ever heard it.
    Unheard,
    /// At least one path hears it.
    Heard {
        /// It says AdminDown on every path that hears it: it leaves on purpose.
        leaving: bool,
        /// It says on every path that hears it that it does not hear this node.
        deaf: bool,
    },
    /// Every path that ever heard it has been silent for its detection time.
    Silent(Silence),
}

impl PeerView {
    /// So many paths, none heard; at most [`MAX_PATHS`].
    pub fn new(paths: usize) -> Self {
        Self { paths: (0..paths.min(MAX_PATHS)).map(|_| Path::default()).collect() }
    }

    /// What a path says now; to be called after its session heard a packet or was judged. A session that was replaced
    /// reports the default: its path was never heard. Unknown paths are ignored.
    pub fn report(&mut self, path: usize, report: PathReport) {
        if let Some(path) = self.paths.get_mut(path) {
            path.ended = report.expires_at.or(path.ended).filter(|_| report.last_heard.is_some());
            path.report = report;
        }
    }

    /// Judges the silence at `drained_at`: a moment at which every port's receive queue had been seen empty and all
    /// that was in it had been given to BFD. Never the present time: a loop that stood still finds its peer alive in
    /// the queue.
    pub fn presence(&self, drained_at: Instant) -> Presence {
        let heard = || self.paths.iter().filter(|path| path.hears(drained_at)).map(|path| path.report);
        if heard().next().is_some() {
            let (leaving, deaf) = (heard().all(|path| path.admin_down), heard().all(|path| path.deaf));
            return Presence::Heard { leaving, deaf };
        }
        match self.paths.iter().filter_map(|path| path.report.last_heard).max() {
            Some(last_heard) => {
                let expired_at = self.paths.iter().filter_map(|path| path.ended).max().unwrap_or(last_heard);
                let due_at = self.due_after(last_heard);
                Presence::Silent(Silence { last_heard, due_at, expired_at, drained_at })
            }
            None => Presence::Unheard,
        }
    }

    /// When the peer should have been heard again, had nothing happened: of the paths that were not silent before.
    fn due_after(&self, last_heard: Instant) -> Instant {
        let due = self.paths.iter().filter_map(|path| path.report.due_at);
        due.filter(|due| *due > last_heard).min().unwrap_or(last_heard)
    }

    /// Since when the peer has been late, if it has been for half of the time that is left to it after that: time to
    /// ask whether it is this node that hears nobody.
    pub fn late_since(&self, drained_at: Instant) -> Option<Instant> {
        let expiry = self.paths.iter().filter_map(|path| path.report.expires_at).max()?;
        let last_heard = self.paths.iter().filter_map(|path| path.report.last_heard).max()?;
        let due = self.due_after(last_heard);
        (due + Duration::from_nanos(expiry.since(due).as_nanos() / 2) <= drained_at).then_some(due)
    }

    /// What a LoxiLB peer that is heard at `drained_at` has elected; see [`PathReport::leads`].
    pub fn elected(&self, drained_at: Instant) -> Option<bool> {
        self.paths.iter().filter(|path| path.hears(drained_at)).find_map(|path| path.report.leads)
    }

    /// How many paths hear the peer at `drained_at`, of how many there are: to warn of one that does not.
    pub fn count(&self, drained_at: Instant) -> (usize, usize) {
        (self.paths.iter().filter(|path| path.hears(drained_at)).count(), self.paths.len())
    }
}

/// How long the peer has been silent, and how long that had to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Silence {
    /// When the peer was last heard, on any path.
    pub last_heard: Instant,
    /// When it should have been heard again.
    pub due_at: Instant,
    /// When the last path's detection time ended.
    pub expired_at: Instant,
    /// When the queues were seen empty.
    pub drained_at: Instant,
}

impl Silence {
    /// From the peer's last packet to the end of the detection time.
    pub fn detection(&self) -> Duration {
        self.expired_at.since(self.last_heard)
    }

    /// From the end of the detection time to its being noticed.
    pub fn overshoot(&self) -> Duration {
        self.drained_at.since(self.expired_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(us: u64) -> Instant {
        Instant::ZERO + Duration::from_micros(us)
    }

    fn heard(us: u64, detection: u64) -> PathReport {
        let [due_at, expires_at] = [detection / 3, detection].map(|after| Some(at(us + after)));
        PathReport { last_heard: Some(at(us)), due_at, expires_at, ..Default::default() }
    }

    const PLAIN: Presence = Presence::Heard { leaving: false, deaf: false };

    #[test]
    fn all_paths_must_be_silent_each_for_its_own_time() {
        let mut view = PeerView::new(2);
        assert_eq!(view.presence(at(9)), Presence::Unheard);
        view.report(0, heard(100, 150));
        view.report(1, heard(90, 3000));
        assert_eq!((view.presence(at(251)), view.count(at(251))), (PLAIN, (1, 2)));
        assert_eq!(view.presence(at(3089)), PLAIN);
        let Presence::Silent(silence) = view.presence(at(3095)) else { panic!("heard") };
        assert_eq!((silence.last_heard, silence.expired_at), (at(100), at(3090)));
        assert_eq!(silence.due_at, at(150), "on the path that is heard more often");
        assert_eq!(
            (silence.detection(), silence.overshoot()),
            (Duration::from_micros(2990), Duration::from_micros(5))
        );
        // BFD has judged too: the same, and when it ended is still known.
        for (path, us) in [(0, 100), (1, 90)] {
            let due_at = Some(at(us + [50, 1000][path]));
            view.report(path, PathReport { last_heard: Some(at(us)), due_at, ..Default::default() });
        }
        assert_eq!(view.presence(at(3095)), Presence::Silent(silence));
    }

    #[test]
    fn it_is_asked_halfway_from_late_to_gone() {
        let mut view = PeerView::new(2);
        assert_eq!(view.late_since(at(0)), None);
        view.report(0, heard(100, 150));
        assert_eq!((view.late_since(at(199)), view.late_since(at(200))), (None, Some(at(150))));
        // Another path lives on.
        view.report(1, heard(170, 300));
        assert_eq!(view.late_since(at(300)), None);
        // One that has been dead for long says nothing of when the last one should have spoken.
        view.report(0, heard(10, 15));
        assert_eq!(view.late_since(at(400)), Some(at(270)));
    }

    #[test]
    fn a_path_that_never_came_up_holds_nothing_up() {
        let mut view = PeerView::new(2);
        view.report(0, heard(100, 150));
        assert!(matches!(view.presence(at(250)), Presence::Silent(_)));
    }

    #[test]
    fn a_session_replaced_by_the_operator_is_not_silence() {
        let mut view = PeerView::new(1);
        view.report(0, heard(100, 150));
        view.report(0, PathReport::default());
        assert_eq!(view.presence(at(9999)), Presence::Unheard);
        view.report(7, heard(0, 99_999));
        assert_eq!(view.presence(at(9)), Presence::Unheard);
    }

    #[test]
    fn leaving_and_deaf_on_every_path_that_hears() {
        let mut view = PeerView::new(3);
        view.report(0, PathReport { admin_down: true, deaf: true, ..heard(100, 150) });
        assert_eq!(view.presence(at(200)), Presence::Heard { leaving: true, deaf: true });
        view.report(1, heard(100, 150));
        assert_eq!(view.presence(at(200)), PLAIN, "one path is taken down");
        view.report(1, heard(10, 20));
        assert_eq!(view.presence(at(200)), Presence::Heard { leaving: true, deaf: true });
    }
}
