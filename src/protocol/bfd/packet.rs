//! The control packet (RFC 5880 section 4.1):
//!
//! ```text
//!  0                   1                   2                   3
//! |Vers |  Diag   |Sta|P|F|C|A|D|M|  Detect Mult  |    Length     |
//! |                       My Discriminator                        |
//! |                      Your Discriminator                       |
//! |                    Desired Min TX Interval                    |
//! |                   Required Min RX Interval                    |
//! |                 Required Min Echo RX Interval                 |
//! | authentication section, if A                                  |
//! ```

use super::{
    discard::Discard,
    state::{Diagnostic, State},
};

/// Bytes before the authentication section.
pub const CONTROL_LENGTH: usize = 24;

const VERSION: u8 = 1;
const POLL: u8 = 0x20;
const FINAL: u8 = 0x10;
const INDEPENDENT: u8 = 0x08;
const AUTHENTICATED: u8 = 0x04;
const DEMAND: u8 = 0x02;
const MULTIPOINT: u8 = 0x01;

/// The mandatory section of a control packet, without what follows from context (version, length, the A and M bits).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Control {
    /// Why the sender last changed its state.
    pub diagnostic: Diagnostic,
    /// The sender's state.
    pub state: State,
    /// P: answer with F.
    pub poll: bool,
    /// F: the answer to P.
    pub is_final: bool,
    /// C: the sender's BFD survives its control plane.
    pub control_plane_independent: bool,
    /// D: the sender wants no periodic packets while both are Up.
    pub demand: bool,
    /// The sender's detection multiplier; not 0.
    pub multiplier: u8,
    /// The sender's name for the session; not 0.
    pub my_discriminator: u32,
    /// The receiver's name for the session, 0 while the sender does not know it.
    pub your_discriminator: u32,
    /// Microseconds; the sender sends no faster.
    pub desired_min_tx_us: u32,
    /// Microseconds; the sender takes packets no faster, 0: wants none.
    pub required_min_rx_us: u32,
    /// Microseconds; the sender returns echo packets no faster, 0: none.
    pub required_min_echo_rx_us: u32,
}

/// A control packet that passed every check that needs no session.
#[derive(Clone, Copy, Debug)]
pub struct Received<'a> {
    /// Its mandatory section.
    pub control: Control,
    /// The A bit: an authentication section follows.
    pub authenticated: bool,
    /// The whole packet, as long as its length field says.
    pub bytes: &'a [u8],
}

impl<'a> Received<'a> {
    /// Reads a control packet from a UDP payload, with the checks of RFC 5880 section 6.8.6 that need no session, in
    /// their order. Bytes beyond the length field are legal and left out. Both P and F set is no reason to discard
    /// in the RFC, but nobody may send it (section 6.5).
    pub fn parse(payload: &'a [u8]) -> Result<Self, Discard> {
        let [first, flags, multiplier, length, ..] = *payload else { return Err(Discard::LengthLong) };
        if first >> 5 != VERSION {
            return Err(Discard::Version);
        }
        let authenticated = flags & AUTHENTICATED != 0;
        let length = usize::from(length);
        if length < if authenticated { CONTROL_LENGTH + 2 } else { CONTROL_LENGTH } {
            return Err(Discard::LengthShort);
        }
        let bytes = payload.get(..length).ok_or(Discard::LengthLong)?;
        if multiplier == 0 {
            return Err(Discard::MultiplierZero);
        }
        if flags & MULTIPOINT != 0 {
            return Err(Discard::Multipoint);
        }
        let head: &[u8; CONTROL_LENGTH] = bytes.first_chunk().ok_or(Discard::LengthShort)?;
        let control = Control::read(head);
        if control.my_discriminator == 0 {
            return Err(Discard::MyDiscriminatorZero);
        }
        if control.your_discriminator == 0 && !matches!(control.state, State::Down | State::AdminDown) {
            return Err(Discard::StateWithoutDiscriminator);
        }
        if control.poll && control.is_final {
            return Err(Discard::PollAndFinal);
        }
        Ok(Self { control, authenticated, bytes })
    }
}

impl Control {
    fn read(head: &[u8; CONTROL_LENGTH]) -> Self {
        let (words, _) = head.as_chunks::<4>();
        let word = |index: usize| u32::from_be_bytes(words[index]);
        let flags = head[1];
        Self {
            diagnostic: Diagnostic::from_bits(head[0]),
            state: State::from_bits(flags >> 6),
            poll: flags & POLL != 0,
            is_final: flags & FINAL != 0,
            control_plane_independent: flags & INDEPENDENT != 0,
            demand: flags & DEMAND != 0,
            multiplier: head[2],
            my_discriminator: word(1),
            your_discriminator: word(2),
            desired_min_tx_us: word(3),
            required_min_rx_us: word(4),
            required_min_echo_rx_us: word(5),
        }
    }

    /// The packet's first 24 bytes, `length` bytes announced, with the A bit if `authenticated`.
    pub fn emit(&self, length: u8, authenticated: bool) -> [u8; CONTROL_LENGTH] {
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        let mut bytes = [0; CONTROL_LENGTH];
        bytes[0] = VERSION << 5 | self.diagnostic.bits();
        bytes[1] = (self.state as u8) << 6
            | flag(self.poll, POLL)
            | flag(self.is_final, FINAL)
            | flag(self.control_plane_independent, INDEPENDENT)
            | flag(authenticated, AUTHENTICATED)
            | flag(self.demand, DEMAND);
        bytes[2] = self.multiplier;
        bytes[3] = length;
        let words = [
            self.my_discriminator,
            self.your_discriminator,
            self.desired_min_tx_us,
            self.required_min_rx_us,
            self.required_min_echo_rx_us,
        ];
        let (fields, _) = bytes[4..].as_chunks_mut::<4>();
        for (field, word) in fields.iter_mut().zip(words) {
            *field = word.to_be_bytes();
        }
        bytes
    }

    /// The same without P and F: what a change of content is judged by.
    pub(super) const fn content(self) -> Self {
        Self { poll: false, is_final: false, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GOLDEN: [u8; 24] = [
        0x23, 0xe8, 5, 24, 0x11, 0x22, 0x33, 0x44, 0xa1, 0xb2, 0xc3, 0xd4, 0, 0, 0, 50, 0, 0x0f, 0x42, 0x40,
        0, 0, 0xc3, 0x50,
    ];

    fn golden() -> Control {
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

    fn parsed(bytes: &[u8]) -> Result<Control, Discard> {
        Received::parse(bytes).map(|received| received.control)
    }

    #[test]
    fn golden_bytes_in_both_directions() {
        assert_eq!(golden().emit(24, false), GOLDEN);
        assert_eq!(parsed(&GOLDEN), Ok(golden()));
    }

    #[test]
    fn each_flag_has_its_bit() {
        type Change = fn(&mut Control);
        let cases: [(u8, Change); 4] = [
            (0x20, |control| control.poll = true),
            (0x10, |control| control.is_final = true),
            (0x08, |control| control.control_plane_independent = true),
            (0x02, |control| control.demand = true),
        ];
        let plain = Control { poll: false, control_plane_independent: false, ..golden() };
        for (bit, set) in cases {
            let mut control = plain;
            set(&mut control);
            assert_eq!(control.emit(24, false)[1], 0xc0 | bit);
            assert_eq!(parsed(&control.emit(24, false)), Ok(control));
        }
        assert_eq!(plain.emit(52, true)[1], 0xc4);
    }

    #[test]
    fn earlier_checks_win() {
        let mut bytes = [0; 24];
        let mut expect = |at: usize, value: u8, discard| {
            assert_eq!(parsed(&bytes), Err(discard));
            bytes[at] = value;
        };
        expect(0, 0x20, Discard::Version);
        expect(3, 25, Discard::LengthShort);
        expect(3, 24, Discard::LengthLong);
        expect(2, 1, Discard::MultiplierZero);
        bytes[1] = 0xf1;
        let mut expect = |at: usize, value: u8, discard| {
            assert_eq!(parsed(&bytes), Err(discard));
            bytes[at] = value;
        };
        expect(1, 0xf0, Discard::Multipoint);
        expect(7, 1, Discard::MyDiscriminatorZero);
        expect(11, 1, Discard::StateWithoutDiscriminator);
        expect(1, 0xe0, Discard::PollAndFinal);
        assert!(parsed(&bytes).is_ok());
    }

    #[test]
    fn payload_shorter_than_a_header() {
        for length in 0..24 {
            assert_eq!(parsed(&GOLDEN[..length]), Err(Discard::LengthLong), "{length} bytes");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_parse_or_are_discarded(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(received) = Received::parse(&bytes) {
                let emitted = received.control.emit(bytes[3], received.authenticated);
                prop_assert_eq!(&emitted[..], &received.bytes[..24]);
            }
        }
    }
}
