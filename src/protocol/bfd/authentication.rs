//! One session's authentication: the key in use, the one change of keys under way, sequence numbers in both
//! directions (RFC 5880 section 6.7).

use super::{
    auth::{Encoded, Key, Window},
    discard::Discard,
    packet::{Control, Received},
};

/// A change of key, or of whether there is one, that lets the session stay Up (RFC 5880 section 6.7.1). One end is
/// told to `Expect` the next key, then the other to `Use` it; the first packet with the next key ends the change at
/// both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyChange {
    /// Accept the next key beside the present one; send with the present one until the peer uses the next.
    Expect(Option<Key>),
    /// Send with the next key from now on; accept the present one until the peer uses the next.
    Use(Option<Key>),
}

/// A key and what the peer has sent with it.
#[derive(Clone, Copy, Debug)]
struct Trusted {
    key: Option<Key>,
    window: Window,
}

impl Trusted {
    fn new(key: Option<Key>) -> Self {
        Self { key, window: Window::default() }
    }

    fn check(&mut self, packet: &Received<'_>) -> Result<(), Discard> {
        match (packet.authenticated, &self.key) {
            (false, None) => Ok(()),
            (true, None) => Err(Discard::UnexpectedAuthentication),
            (false, Some(_)) => Err(Discard::MissingAuthentication),
            (true, Some(key)) => key.verify(packet.bytes, packet.control.multiplier, &mut self.window),
        }
    }
}

/// What is accepted beside the key in use.
#[derive(Clone, Copy, Debug)]
enum Also {
    Nothing,
    Next(Trusted),
    Previous(Trusted),
}

/// Which key a session sends with, and which it accepts.
#[derive(Clone, Debug)]
pub(super) struct Authentication {
    current: Trusted,
    also: Also,
    next_sequence: u32,
}

impl Authentication {
    /// `first_sequence` should be random.
    pub(super) fn new(key: Option<Key>, first_sequence: u32) -> Self {
        Self { current: Trusted::new(key), also: Also::Nothing, next_sequence: first_sequence }
    }

    pub(super) fn change(&mut self, change: KeyChange) {
        match change {
            KeyChange::Expect(next) => self.also = Also::Next(Trusted::new(next)),
            KeyChange::Use(next) => {
                self.also = Also::Previous(self.current);
                self.current = Trusted::new(next);
            }
        }
    }

    /// A change of key is under way: the peer has not used the next one yet.
    pub(super) fn changing(&self) -> bool {
        !matches!(self.also, Also::Nothing)
    }

    /// Nothing was heard for twice the detection time (bfd.AuthSeqKnown, RFC 5880 section 6.8.1).
    pub(super) fn forget_sequences(&mut self) {
        self.current.window.forget();
        if let Also::Next(trusted) | Also::Previous(trusted) = &mut self.also {
            trusted.window.forget();
        }
    }

    /// Accepts `packet`, or says why not.
    pub(super) fn check(&mut self, packet: &Received<'_>) -> Result<(), Discard> {
        let verdict = self.current.check(packet);
        match (verdict, &mut self.also) {
            (Ok(()), Also::Previous(_)) => self.also = Also::Nothing,
            (Ok(()), _) | (Err(_), Also::Nothing) => return verdict,
            (Err(_), Also::Previous(previous)) => return previous.check(packet).or(verdict),
            (Err(_), Also::Next(next)) => {
                next.check(packet).or(verdict)?;
                self.current = *next;
                self.also = Also::Nothing;
            }
        }
        Ok(())
    }

    /// Encodes `control`. The sequence number moves with every packet, or when the packet differs from the last one.
    pub(super) fn encode(&mut self, control: &Control, differs: bool) -> Encoded {
        let Some(key) = &self.current.key else { return Encoded::plain(control) };
        if differs || key.is_meticulous() {
            self.next_sequence = self.next_sequence.wrapping_add(1);
        }
        key.sign(control, self.next_sequence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::bfd::{
        auth::AuthKind,
        state::{Diagnostic, State},
    };

    fn control() -> Control {
        Control {
            diagnostic: Diagnostic::NONE,
            state: State::Up,
            poll: false,
            is_final: false,
            control_plane_independent: false,
            demand: false,
            multiplier: 3,
            my_discriminator: 1,
            your_discriminator: 2,
            desired_min_tx_us: 1000,
            required_min_rx_us: 1000,
            required_min_echo_rx_us: 0,
        }
    }

    fn key(id: u8) -> Option<Key> {
        Some(Key::new(AuthKind::MeticulousSha1, id, &[id; 10]).unwrap())
    }

    fn pass(from: &mut Authentication, to: &mut Authentication) -> Result<(), Discard> {
        to.check(&Received::parse(from.encode(&control(), false).bytes()).unwrap())
    }

    /// Every pair of old and new, with and without a key: expect at one end, use at the other, no packet lost.
    #[test]
    fn change_of_key_loses_no_packet() {
        for (old, new) in [(key(1), key(2)), (None, key(2)), (key(1), None)] {
            let (mut a, mut b) = (Authentication::new(old, 5), Authentication::new(old, u32::MAX));
            let exchange = |a: &mut Authentication, b: &mut Authentication| {
                for _ in 0..3 {
                    assert_eq!((pass(a, b), pass(b, a)), (Ok(()), Ok(())), "{old:?} to {new:?}");
                }
            };
            exchange(&mut a, &mut b);
            a.change(KeyChange::Expect(new));
            exchange(&mut a, &mut b);
            assert!(a.changing());
            b.change(KeyChange::Use(new));
            assert!(pass(&mut a, &mut b).is_ok(), "the leader still accepts the old key");
            exchange(&mut b, &mut a);
            assert!(!a.changing() && !b.changing());
            let mut stale = Authentication::new(old, 100);
            assert!(pass(&mut stale, &mut a).is_err() && pass(&mut stale, &mut b).is_err());
        }
    }

    #[test]
    fn keyed_sequence_moves_only_with_the_content() {
        let keyed = Key::new(AuthKind::KeyedSha1, 1, b"k").unwrap();
        let mut sender = Authentication::new(Some(keyed), 7);
        let first = sender.encode(&control(), false);
        assert_eq!(sender.encode(&control(), false), first);
        assert_ne!(sender.encode(&control(), true), first);
    }
}
