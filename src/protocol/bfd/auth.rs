//! Authentication sections (RFC 5880 sections 4.2 to 4.4 and 6.7): simple password, keyed and meticulous keyed MD5
//! and SHA-1. The digest is the plain one over the whole packet with the zero-padded key in the digest field; it is
//! not an HMAC.

use super::{
    discard::Discard,
    packet::{CONTROL_LENGTH, Control},
};
use md5::{Digest, Md5};
use sha1::Sha1;
use std::{fmt, hint::black_box};

/// The longest control packet: 24 bytes and a SHA-1 section.
pub const MAX_LENGTH: usize = CONTROL_LENGTH + DIGEST_AT + SHA1_LENGTH;

/// Where password or digest begin within the section: passwords at 3, digests after reserved byte and sequence.
const PASSWORD_AT: usize = 3;
const DIGEST_AT: usize = 8;
const MD5_LENGTH: usize = 16;
const SHA1_LENGTH: usize = 20;

/// How packets are authenticated. The value is the one on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum AuthKind {
    /// The password in plain text: guards against accidents only.
    SimplePassword = 1,
    /// MD5; the sequence number may stand still, so a packet can be replayed until the content changes.
    KeyedMd5 = 2,
    /// MD5; every packet has a new sequence number.
    MeticulousMd5 = 3,
    /// SHA-1; the sequence number may stand still.
    KeyedSha1 = 4,
    /// SHA-1; every packet has a new sequence number.
    MeticulousSha1 = 5,
}

impl AuthKind {
    /// The longest secret, in bytes; the shortest is 1.
    pub const fn max_secret(self) -> usize {
        match self {
            Self::SimplePassword | Self::KeyedMd5 | Self::MeticulousMd5 => 16,
            Self::KeyedSha1 | Self::MeticulousSha1 => SHA1_LENGTH,
        }
    }

    const fn is_meticulous(self) -> bool {
        matches!(self, Self::MeticulousMd5 | Self::MeticulousSha1)
    }

    const fn digest_length(self) -> usize {
        match self {
            Self::SimplePassword => 0,
            Self::KeyedMd5 | Self::MeticulousMd5 => MD5_LENGTH,
            Self::KeyedSha1 | Self::MeticulousSha1 => SHA1_LENGTH,
        }
    }
}

/// A secret that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a BFD key of this type has 1 to {max} bytes, not {length}: shorten it or choose another type")]
pub struct KeyError {
    max: usize,
    length: usize,
}

/// A key: how, under which id, and the secret.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Key {
    kind: AuthKind,
    id: u8,
    secret: [u8; SHA1_LENGTH],
    length: u8,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("kind", &self.kind).field("id", &self.id).finish_non_exhaustive()
    }
}

/// A packet ready to be sent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Encoded {
    bytes: [u8; MAX_LENGTH],
    length: u8,
}

impl Encoded {
    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }

    /// A packet without authentication.
    pub fn plain(control: &Control) -> Self {
        Self::sized(control, CONTROL_LENGTH, false)
    }

    fn sized(control: &Control, length: usize, authenticated: bool) -> Self {
        let length = length as u8;
        let mut bytes = [0; MAX_LENGTH];
        bytes[..CONTROL_LENGTH].copy_from_slice(&control.emit(length, authenticated));
        Self { bytes, length }
    }
}

impl fmt::Debug for Encoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x?}", self.bytes())
    }
}

/// What is known of the peer's sequence numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) struct Window {
    last: Option<u32>,
}

impl Window {
    /// bfd.AuthSeqKnown becomes 0: the next authentic packet is believed whatever its number.
    pub(super) fn forget(&mut self) {
        self.last = None;
    }

    /// From the last number (the one after it, if `meticulous`) to 3 × `multiplier` beyond it, modulo 2³².
    fn admits(self, sequence: u32, meticulous: bool, multiplier: u8) -> bool {
        self.last.is_none_or(|last| {
            (u32::from(meticulous)..=3 * u32::from(multiplier)).contains(&sequence.wrapping_sub(last))
        })
    }
}

impl Key {
    /// A key. `secret` has 1 to [`AuthKind::max_secret`] bytes.
    pub fn new(kind: AuthKind, id: u8, secret: &[u8]) -> Result<Self, KeyError> {
        let max = kind.max_secret();
        if secret.is_empty() || secret.len() > max {
            return Err(KeyError { max, length: secret.len() });
        }
        let mut padded = [0; SHA1_LENGTH];
        padded[..secret.len()].copy_from_slice(secret);
        Ok(Self { kind, id, secret: padded, length: secret.len() as u8 })
    }

    /// Every packet needs a new sequence number.
    pub(super) const fn is_meticulous(&self) -> bool {
        self.kind.is_meticulous()
    }

    /// Encodes `control` with this key and, for the digests, `sequence`.
    pub fn sign(&self, control: &Control, sequence: u32) -> Encoded {
        let section_length = self.section_length();
        let mut encoded = Encoded::sized(control, CONTROL_LENGTH + section_length, true);
        let (head, section) = encoded.bytes.split_at_mut(CONTROL_LENGTH);
        section[..PASSWORD_AT].copy_from_slice(&[self.kind as u8, section_length as u8, self.id]);
        if self.kind == AuthKind::SimplePassword {
            section[PASSWORD_AT..section_length].copy_from_slice(self.password());
            return encoded;
        }
        section[4..DIGEST_AT].copy_from_slice(&sequence.to_be_bytes());
        let digest = self.digest(head, &section[..DIGEST_AT], &[]);
        section[DIGEST_AT..section_length].copy_from_slice(&digest[..self.kind.digest_length()]);
        encoded
    }

    /// Checks the authentication section of `packet`, a whole control packet. The window moves only when everything
    /// was right.
    pub(super) fn verify(&self, packet: &[u8], multiplier: u8, window: &mut Window) -> Result<(), Discard> {
        let (head, section) = packet.split_at_checked(CONTROL_LENGTH).ok_or(Discard::AuthenticationLength)?;
        let [kind, length, rest @ ..] = section else { return Err(Discard::AuthenticationLength) };
        if *kind != self.kind as u8 {
            return Err(Discard::AuthenticationType);
        }
        let [id, ..] = rest else { return Err(Discard::AuthenticationLength) };
        if *id != self.id {
            return Err(Discard::AuthenticationKey);
        }
        if usize::from(*length) != self.section_length() {
            return Err(Discard::AuthenticationLength);
        }
        let (section, tail) =
            section.split_at_checked(self.section_length()).ok_or(Discard::AuthenticationLength)?;
        if self.kind == AuthKind::SimplePassword {
            return equal(&section[PASSWORD_AT..], self.password())
                .then_some(())
                .ok_or(Discard::AuthenticationDigest);
        }
        let sequence = u32::from_be_bytes([section[4], section[5], section[6], section[7]]);
        if !window.admits(sequence, self.is_meticulous(), multiplier) {
            return Err(Discard::AuthenticationSequence);
        }
        let digest = self.digest(head, &section[..DIGEST_AT], tail);
        if !equal(&section[DIGEST_AT..], &digest[..self.kind.digest_length()]) {
            return Err(Discard::AuthenticationDigest);
        }
        window.last = Some(sequence);
        Ok(())
    }

    fn section_length(&self) -> usize {
        match self.kind {
            AuthKind::SimplePassword => PASSWORD_AT + usize::from(self.length),
            digest => DIGEST_AT + digest.digest_length(),
        }
    }

    fn password(&self) -> &[u8] {
        &self.secret[..usize::from(self.length)]
    }

    /// Over `head`, `before` the digest field, the zero-padded key in its place, and `tail`.
    fn digest(&self, head: &[u8], before: &[u8], tail: &[u8]) -> [u8; SHA1_LENGTH] {
        fn over<D: Digest>(parts: [&[u8]; 4]) -> [u8; SHA1_LENGTH] {
            let mut state = D::new();
            for part in parts {
                state.update(part);
            }
            let mut digest = [0; SHA1_LENGTH];
            let result = state.finalize();
            digest[..result.len()].copy_from_slice(&result);
            digest
        }
        let parts = [head, before, &self.secret[..self.kind.digest_length()], tail];
        match self.kind {
            AuthKind::SimplePassword => [0; SHA1_LENGTH],
            AuthKind::KeyedMd5 | AuthKind::MeticulousMd5 => over::<Md5>(parts),
            AuthKind::KeyedSha1 | AuthKind::MeticulousSha1 => over::<Sha1>(parts),
        }
    }
}

/// Compares in a time that does not depend on where the first difference lies.
fn equal(a: &[u8], b: &[u8]) -> bool {
    let difference = a.iter().zip(b).fold(0, |seen, (a, b)| black_box(seen | (a ^ b)));
    a.len() == b.len() && difference == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::bfd::{packet::Received, state::*};
    use AuthKind::{KeyedMd5, KeyedSha1, MeticulousMd5, MeticulousSha1, SimplePassword};

    const KINDS: [AuthKind; 5] = [SimplePassword, KeyedMd5, MeticulousMd5, KeyedSha1, MeticulousSha1];

    /// Made with Python's hashlib: key id 7, secret "secret-word", sequence 0xfffffffe.
    const GOLDEN: [&str; 5] = [
        "23ec052611223344a1b2c3d400000032000f42400000c350010e077365637265742d776f7264",
        "23ec053011223344a1b2c3d400000032000f42400000c35002180700fffffffe7ab61757fa86fc0893f618df6014e426",
        "23ec053011223344a1b2c3d400000032000f42400000c35003180700fffffffe2fddd6acc26046e84120b0066543715f",
        "23ec053411223344a1b2c3d400000032000f42400000c350041c0700fffffffe02c2462d6b5d98a44e8355599ec32664fd60b1c9",
        "23ec053411223344a1b2c3d400000032000f42400000c350051c0700fffffffe622d2a03a63bb6301b829cf7e1ebe077ba3c1ac4",
    ];

    fn control() -> Control {
        Control {
            diagnostic: Diagnostic::NEIGHBOR_SIGNALED_DOWN,
            state: State::Up,
            poll: true,
            is_final: false,
            control_plane_independent: true,
            demand: false,
            multiplier: 5,
            my_discriminator: 0x1122_3344,
            your_discriminator: 0xa1b2_c3d4,
            desired_min_tx_us: 50,
            required_min_rx_us: 1_000_000,
            required_min_echo_rx_us: 50_000,
        }
    }

    fn key(kind: AuthKind) -> Key {
        Key::new(kind, 7, b"secret-word").unwrap()
    }

    #[test]
    fn golden_packets() {
        for (kind, golden) in KINDS.into_iter().zip(GOLDEN) {
            let encoded = key(kind).sign(&control(), 0xffff_fffe);
            let hex: String = encoded.bytes().iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(hex, golden, "{kind:?}");
            let received = Received::parse(encoded.bytes()).unwrap();
            assert!(received.authenticated);
            assert_eq!(key(kind).verify(received.bytes, 5, &mut Window::default()), Ok(()), "{kind:?}");
        }
    }

    #[test]
    fn any_changed_bit_is_found() {
        for kind in KINDS {
            let encoded = key(kind).sign(&control(), 9);
            let from = if kind == SimplePassword { CONTROL_LENGTH } else { 0 };
            for at in from..encoded.bytes().len() {
                for bit in 0..8 {
                    let mut changed = encoded.bytes().to_vec();
                    changed[at] ^= 1 << bit;
                    let mut window = Window::default();
                    assert!(
                        key(kind).verify(&changed, 5, &mut window).is_err(),
                        "{kind:?} byte {at} bit {bit}"
                    );
                    assert_eq!(window, Window::default());
                }
            }
        }
    }

    #[test]
    fn any_cut_is_found() {
        for kind in KINDS {
            let encoded = key(kind).sign(&control(), 9);
            for length in 0..encoded.bytes().len() {
                let cut = &encoded.bytes()[..length];
                let verdict = key(kind).verify(cut, 5, &mut Window::default());
                assert_eq!(verdict, Err(Discard::AuthenticationLength), "{kind:?} cut to {length}");
            }
        }
    }

    #[test]
    fn digest_covers_bytes_after_the_section() {
        let key = key(KeyedSha1);
        let mut longer = [0; 54];
        longer[..52].copy_from_slice(key.sign(&control(), 9).bytes());
        assert_eq!(key.verify(&longer, 5, &mut Window::default()), Err(Discard::AuthenticationDigest));
    }

    #[test]
    fn window_moves_modulo_two_to_the_32() {
        for (kind, first) in [(KeyedMd5, 0), (KeyedSha1, 0), (MeticulousMd5, 1), (MeticulousSha1, 1)] {
            for last in [0, 5, u32::MAX - 3, u32::MAX] {
                for step in 0..12 {
                    let mut window = Window { last: Some(last) };
                    let packet = key(kind).sign(&control(), last.wrapping_add(step));
                    let verdict = key(kind).verify(packet.bytes(), 3, &mut window);
                    let inside = (first..=9).contains(&step);
                    assert_eq!(verdict.is_ok(), inside, "{kind:?}: {step} after {last}");
                    assert_eq!(window.last, Some(if inside { last.wrapping_add(step) } else { last }));
                }
                let packet = key(kind).sign(&control(), last.wrapping_sub(1));
                let verdict = key(kind).verify(packet.bytes(), 3, &mut Window { last: Some(last) });
                assert_eq!(verdict, Err(Discard::AuthenticationSequence));
            }
        }
    }

    #[test]
    fn secrets_have_limits_and_stay_secret() {
        for kind in KINDS {
            let max = kind.max_secret();
            assert!(Key::new(kind, 1, &vec![b'x'; max]).is_ok());
            assert!(Key::new(kind, 1, &vec![b'x'; max + 1]).is_err());
            assert!(Key::new(kind, 1, b"").is_err());
            assert!(!format!("{:?}", key(kind)).contains("secret"));
        }
    }

    #[test]
    fn reserved_byte_is_ignored_but_covered() {
        let key = key(MeticulousSha1);
        let mut packet = key.sign(&control(), 9).bytes().to_vec();
        packet[27] = 1;
        assert_eq!(key.verify(&packet, 5, &mut Window::default()), Err(Discard::AuthenticationDigest));
        let digest = key.digest(&packet[..24], &packet[24..32], &[]);
        packet[32..].copy_from_slice(&digest);
        assert_eq!(key.verify(&packet, 5, &mut Window::default()), Ok(()));
    }
}
