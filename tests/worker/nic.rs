//! What a NIC does before the receive queues: spreads packets, by Toeplitz as Microsoft's RSS specification defines
//! it, or in a way nobody can predict. Written apart from the program's own Toeplitz.

use hitless::packet::{Hashed, Rss, Steering};
use std::sync::Arc;

/// The key of Microsoft's verification vectors.
const KEY: [u8; 40] = [
    0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0,
    0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42,
    0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
];

/// Entries of the redirection table.
const ENTRIES: usize = 128;

/// How a port spreads what it receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dispatch {
    /// TCP, UDP and SCTP by addresses and ports, all else by addresses.
    Toeplitz,
    /// The same, but SCTP by addresses only, as many NICs do.
    ToeplitzWithoutSctp,
    /// By the order of arrival; fragments and other packets without ports by their addresses, so that a datagram
    /// stays together.
    Scattered,
}

impl Dispatch {
    /// What the program is told of it.
    pub(crate) fn steering(self, workers: u8) -> Steering {
        let hashed = match self {
            Self::Toeplitz => Hashed::ALL,
            Self::ToeplitzWithoutSctp => Hashed { ipv4: [true, true, false], ipv6: [true, true, false] },
            Self::Scattered => return Steering::Software { workers },
        };
        Steering::Hardware(Arc::new(Rss::new(&KEY, Rss::table(ENTRIES, workers), hashed).unwrap()))
    }

    /// The queue of a frame, the `count`th.
    pub(crate) fn queue(self, frame: &[u8], queues: usize, count: usize) -> usize {
        let Some(input) = Input::of(frame) else { return 0 };
        let hash = match (self, &input.ports) {
            (Self::Scattered, Some(_)) => return count % queues,
            (Self::Toeplitz, Some(ports)) => toeplitz(&[&input.addresses[..], ports].concat()),
            (Self::ToeplitzWithoutSctp, Some(ports)) if input.protocol != 132 => {
                toeplitz(&[&input.addresses[..], ports].concat())
            }
            _ => toeplitz(&input.addresses),
        };
        hash as usize % ENTRIES % queues
    }
}

/// What is hashed.
struct Input {
    addresses: Vec<u8>,
    ports: Option<[u8; 4]>,
    protocol: u8,
}

impl Input {
    /// NICs read plain headers; behind options and extension headers they see no ports.
    fn of(frame: &[u8]) -> Option<Self> {
        let tagged = frame.get(12..14)? == [0x81, 0];
        let ip = frame.get(if tagged { 18 } else { 14 }..)?;
        let ports = |at: usize| ip.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        match ip.first()? {
            0x45 => {
                let protocol = *ip.get(9)?;
                let fragment = u16::from_be_bytes([ip[6], ip[7]]) & 0x3fff != 0;
                let plain = !fragment && matches!(protocol, 6 | 17 | 132);
                let ports = if plain { ports(20) } else { None };
                Some(Self { addresses: ip.get(12..20)?.to_vec(), ports, protocol })
            }
            0x46..=0x4f => {
                Some(Self { addresses: ip.get(12..20)?.to_vec(), ports: None, protocol: *ip.get(9)? })
            }
            0x60..=0x6f => {
                let protocol = *ip.get(6)?;
                let ports = if matches!(protocol, 6 | 17 | 132) { ports(40) } else { None };
                Some(Self { addresses: ip.get(8..40)?.to_vec(), ports, protocol })
            }
            _ => None,
        }
    }
}

/// Bit by bit.
fn toeplitz(input: &[u8]) -> u32 {
    let key_bit = |at: usize| u32::from(KEY.get(at / 8).is_some_and(|byte| byte >> (7 - at % 8) & 1 == 1));
    let mut hash = 0;
    for (at, byte) in input.iter().enumerate() {
        for bit in 0..8 {
            if byte >> (7 - bit) & 1 == 1 {
                hash ^= (0..32).fold(0, |window, n| window << 1 | key_bit(at * 8 + bit + n));
            }
        }
    }
    hash
}

#[test]
fn the_dispatcher_agrees_with_microsoft_s_vectors() {
    let input = |destination: [u8; 4], source: [u8; 4], ports: [u16; 2]| {
        let [to, from] = ports.map(u16::to_be_bytes);
        [&source[..], &destination, &from, &to].concat()
    };
    let first = input([161, 142, 100, 80], [66, 9, 149, 187], [1766, 2794]);
    assert_eq!((toeplitz(&first[..8]), toeplitz(&first)), (0x323e_8fc2, 0x51cc_c178));
    let second = input([65, 69, 140, 83], [199, 92, 111, 2], [4739, 14230]);
    assert_eq!((toeplitz(&second[..8]), toeplitz(&second)), (0xd718_262a, 0xc626_b0ea));
}
