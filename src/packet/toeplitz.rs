//! The Toeplitz hash of receive-side scaling, as Microsoft's RSS specification defines it.

use super::family::{Family, Ports, Tuple};

/// The key of Microsoft's published verification vectors, and many NICs' default.
pub const MICROSOFT_KEY: [u8; 40] = [
    0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0,
    0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42,
    0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
];

/// Bytes of the longest input: two IPv6 addresses and two ports.
const INPUT: usize = 36;

/// The hash under one key, as a table of what each value of each input byte contributes: the hash is linear, so
/// it is the exclusive or of one entry a byte.
#[derive(Clone)]
pub struct Toeplitz {
    tables: Box<[[u32; 256]; INPUT]>,
}

impl std::fmt::Debug for Toeplitz {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Toeplitz").finish_non_exhaustive()
    }
}

impl Toeplitz {
    /// Under `key`; bits beyond its end count as zero. 40 bytes cover every input.
    pub fn new(key: &[u8]) -> Self {
        let key_bit = |at: usize| key.get(at / 8).is_some_and(|byte| byte >> (7 - at % 8) & 1 == 1);
        // What input bit `at` contributes: the 32 key bits that begin there.
        let window = |at: usize| (0..32).fold(0u32, |word, bit| word << 1 | u32::from(key_bit(at + bit)));
        let mut tables = Box::new([[0; 256]; INPUT]);
        for (byte, table) in tables.iter_mut().enumerate() {
            for (value, entry) in table.iter_mut().enumerate() {
                *entry = (0..8)
                    .filter(|bit| value >> (7 - bit) & 1 == 1)
                    .fold(0, |hash, bit| hash ^ window(byte * 8 + bit));
            }
        }
        Self { tables }
    }

    /// What each input bit contributes, which says all of the hash.
    pub(super) fn units(&self) -> impl Iterator<Item = u32> {
        self.tables.iter().flat_map(|table| (0..8).map(|bit| table[1 << bit]))
    }

    /// The hash of the addresses alone.
    pub fn addresses<F: Family>(&self, tuple: &Tuple<F>) -> u32 {
        let mut hash = 0;
        let mut tables = self.tables.iter();
        F::bytes(tuple.addresses, |byte| {
            if let Some(table) = tables.next() {
                hash ^= table[usize::from(byte)];
            }
        });
        hash
    }

    /// What `ports` contribute to the hash of a tuple of family `F`.
    #[inline]
    pub fn ports<F: Family>(&self, ports: Ports) -> u32 {
        let at = if F::VERSION == 4 { 8 } else { 32 };
        let [a, b, c, d] = ports.bytes().map(usize::from);
        self.tables[at][a] ^ self.tables[at + 1][b] ^ self.tables[at + 2][c] ^ self.tables[at + 3][d]
    }

    /// The hash of addresses and ports.
    pub fn hash<F: Family>(&self, tuple: &Tuple<F>) -> u32 {
        self.addresses(tuple) ^ self.ports::<F>(tuple.ports)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::{V4, V6};

    /// Microsoft's published vectors: destination, source, hash of the addresses, hash with ports.
    #[test]
    fn published_ipv4_vectors() {
        let toeplitz = Toeplitz::new(&MICROSOFT_KEY);
        for (destination, source, addresses, with_ports) in [
            (("161.142.100.80", 1766), ("66.9.149.187", 2794), 0x323e_8fc2, 0x51cc_c178),
            (("65.69.140.83", 4739), ("199.92.111.2", 14230), 0xd718_262a, 0xc626_b0ea),
            (("12.22.207.184", 38024), ("24.19.198.95", 12898), 0xd2d0_a5de, 0x5c2b_394a),
            (("209.142.163.6", 2217), ("38.27.205.30", 48228), 0x8298_9176, 0xafc7_327f),
            (("202.188.127.2", 1303), ("153.39.163.191", 44251), 0x5d18_09c5, 0x10e8_28a2),
        ] {
            let end = |(address, port): (&str, u16)| (address.parse().unwrap(), port);
            let tuple = Tuple::<V4>::new(end(source), end(destination)).unwrap();
            assert_eq!(toeplitz.addresses(&tuple), addresses);
            assert_eq!(toeplitz.hash(&tuple), with_ports);
        }
    }

    #[test]
    fn published_ipv6_vectors() {
        let toeplitz = Toeplitz::new(&MICROSOFT_KEY);
        for (destination, source, addresses, with_ports) in [
            (("3ffe:2501:200:3::1", 1766), ("3ffe:2501:200:1fff::7", 2794), 0x2cc1_8cd5, 0x4020_7d3d),
            (("ff02::1", 4739), ("3ffe:501:8::260:97ff:fe40:efab", 14230), 0x0f0c_461c, 0xdde5_1bbf),
            (
                ("fe80::200:f8ff:fe21:67cf", 38024),
                ("3ffe:1900:4545:3:200:f8ff:fe21:67cf", 44251),
                0x4b61_e985,
                0x02d1_feef,
            ),
        ] {
            let end = |(address, port): (&str, u16)| (address.parse().unwrap(), port);
            let tuple = Tuple::<V6>::new(end(source), end(destination)).unwrap();
            assert_eq!(toeplitz.addresses(&tuple), addresses);
            assert_eq!(toeplitz.hash(&tuple), with_ports);
        }
    }
}
