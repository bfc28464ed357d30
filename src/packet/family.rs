//! The two address families, and the tuple that names a flow in one direction.

use super::{
    checksum::fold,
    flow::{self, Exception, Flow},
};
use bytemuck::Zeroable;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Source and destination port as they lie in the packet: four bytes, read in native order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Zeroable)]
#[repr(transparent)]
pub struct Ports(u32);

impl Ports {
    /// From two port numbers.
    #[inline]
    pub const fn new(source: u16, destination: u16) -> Self {
        let [a, b] = source.to_be_bytes();
        let [c, d] = destination.to_be_bytes();
        Self(u32::from_ne_bytes([a, b, c, d]))
    }

    /// From the first four bytes of a transport header.
    #[inline]
    pub const fn read(bytes: &[u8; 4]) -> Self {
        Self(u32::from_ne_bytes(*bytes))
    }

    /// As they lie in the packet.
    #[inline]
    pub const fn bytes(self) -> [u8; 4] {
        self.0.to_ne_bytes()
    }

    /// Source port.
    #[inline]
    pub const fn source(self) -> u16 {
        let [a, b, _, _] = self.bytes();
        u16::from_be_bytes([a, b])
    }

    /// Destination port.
    #[inline]
    pub const fn destination(self) -> u16 {
        let [_, _, c, d] = self.bytes();
        u16::from_be_bytes([c, d])
    }

    /// Source and destination exchanged.
    #[inline]
    pub const fn swapped(self) -> Self {
        Self(self.0.rotate_left(16))
    }

    #[inline]
    const fn sum(self) -> u32 {
        (self.0 & 0xffff) + (self.0 >> 16)
    }
}

/// Random words that keep others from choosing tuples that collide.
#[derive(Clone, Copy, Debug)]
pub struct HashKey([u64; 2]);

impl HashKey {
    /// From two words; the same words give the same hashes.
    pub const fn new(words: [u64; 2]) -> Self {
        Self(words)
    }

    /// A word of it, to scatter other choices by.
    pub const fn word(&self) -> u64 {
        self.0[0]
    }

    /// From the operating system's randomness.
    pub fn random() -> Self {
        use std::hash::{BuildHasher, RandomState};
        let state = RandomState::new();
        Self([state.hash_one(0u8), state.hash_one(1u8)])
    }
}

/// The 128-bit product of two words, its halves xored: the strongest mixing that two instructions give.
#[inline]
const fn folded_multiply(a: u64, b: u64) -> u64 {
    let product = a as u128 * b as u128;
    product as u64 ^ (product >> 64) as u64
}

/// IPv4 or IPv6, as a type, so that each fast path is compiled for one.
pub trait Family: Copy + Eq + Send + Sync + std::fmt::Debug + 'static {
    /// Source and destination address as they lie in the packet.
    type Pair: Copy + Eq + std::fmt::Debug + Default + Send + Sync + bytemuck::Pod;

    /// The IP version number.
    const VERSION: u8;

    /// Bytes of the fixed IP header.
    const HEADER: usize;

    /// Parses a plain packet from the IP header on. `checked`: the NIC has verified the IPv4 header checksum.
    ///
    /// # Errors
    /// What keeps it off the fast path.
    fn parse(ip: &[u8], checked: bool) -> Result<Flow<Self>, Exception>;

    /// From two addresses; `None` if either is of the other family.
    fn pair(source: IpAddr, destination: IpAddr) -> Option<Self::Pair>;

    /// Source and destination exchanged.
    fn swapped(pair: Self::Pair) -> Self::Pair;

    /// Source address.
    fn source(pair: Self::Pair) -> IpAddr;

    /// Destination address.
    fn destination(pair: Self::Pair) -> IpAddr;

    /// The addresses' share of a checksum.
    fn sum(pair: Self::Pair) -> u16;

    /// All of the tuple and the protocol, mixed.
    fn hash(pair: Self::Pair, ports: Ports, protocol: u8, key: &HashKey) -> u64;

    /// Calls `each` with every byte of the addresses in wire order.
    fn bytes(pair: Self::Pair, each: impl FnMut(u8));
}

/// IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct V4;

/// IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct V6;

impl Family for V4 {
    type Pair = u64;

    const VERSION: u8 = 4;
    const HEADER: usize = 20;

    #[inline]
    fn parse(ip: &[u8], checked: bool) -> Result<Flow<Self>, Exception> {
        flow::parse_v4(ip, checked)
    }

    fn pair(source: IpAddr, destination: IpAddr) -> Option<u64> {
        match (source, destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let [a, b, c, d] = source.octets();
                let [e, f, g, h] = destination.octets();
                Some(u64::from_ne_bytes([a, b, c, d, e, f, g, h]))
            }
            _ => None,
        }
    }

    #[inline]
    fn swapped(pair: u64) -> u64 {
        pair.rotate_left(32)
    }

    #[inline]
    fn source(pair: u64) -> IpAddr {
        let [a, b, c, d, ..] = pair.to_ne_bytes();
        Ipv4Addr::new(a, b, c, d).into()
    }

    #[inline]
    fn destination(pair: u64) -> IpAddr {
        Self::source(Self::swapped(pair))
    }

    #[inline]
    fn sum(pair: u64) -> u16 {
        let halves = (pair & 0xffff_ffff) + (pair >> 32);
        let words = (halves & 0xffff) + (halves >> 16);
        fold(words as u32)
    }

    #[inline]
    fn hash(pair: u64, ports: Ports, protocol: u8, key: &HashKey) -> u64 {
        folded_multiply(pair ^ key.0[0], (u64::from(protocol) << 32 | u64::from(ports.0)) ^ key.0[1])
    }

    #[inline]
    fn bytes(pair: u64, each: impl FnMut(u8)) {
        pair.to_ne_bytes().into_iter().for_each(each);
    }
}

impl Family for V6 {
    type Pair = [u64; 4];

    const VERSION: u8 = 6;
    const HEADER: usize = 40;

    #[inline]
    fn parse(ip: &[u8], _checked: bool) -> Result<Flow<Self>, Exception> {
        flow::parse_v6(ip)
    }

    fn pair(source: IpAddr, destination: IpAddr) -> Option<[u64; 4]> {
        match (source, destination) {
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let mut pair = [0; 4];
                for (address, words) in [source, destination].into_iter().zip(pair.as_chunks_mut::<2>().0) {
                    let octets = address.octets();
                    for (word, bytes) in words.iter_mut().zip(octets.as_chunks::<8>().0) {
                        *word = u64::from_ne_bytes(*bytes);
                    }
                }
                Some(pair)
            }
            _ => None,
        }
    }

    #[inline]
    fn swapped([a, b, c, d]: [u64; 4]) -> [u64; 4] {
        [c, d, a, b]
    }

    #[inline]
    fn source([a, b, _, _]: [u64; 4]) -> IpAddr {
        let mut octets = [0; 16];
        octets[..8].copy_from_slice(&a.to_ne_bytes());
        octets[8..].copy_from_slice(&b.to_ne_bytes());
        Ipv6Addr::from(octets).into()
    }

    #[inline]
    fn destination(pair: [u64; 4]) -> IpAddr {
        Self::source(Self::swapped(pair))
    }

    #[inline]
    fn sum(pair: [u64; 4]) -> u16 {
        let total: u64 = pair.iter().map(|word| (word & 0xffff_ffff) + (word >> 32)).sum();
        let words = (total & 0xffff) + (total >> 16 & 0xffff) + (total >> 32);
        fold(words as u32)
    }

    #[inline]
    fn hash([a, b, c, d]: [u64; 4], ports: Ports, protocol: u8, key: &HashKey) -> u64 {
        let source = folded_multiply(a ^ key.0[0], b ^ key.0[1]);
        let destination = folded_multiply(c ^ key.0[1], d ^ key.0[0]);
        let rest = u64::from(protocol) << 32 | u64::from(ports.0);
        folded_multiply(source ^ destination.rotate_left(32) ^ key.0[0], rest ^ key.0[1])
    }

    #[inline]
    fn bytes(pair: [u64; 4], mut each: impl FnMut(u8)) {
        for word in pair {
            word.to_ne_bytes().into_iter().for_each(&mut each);
        }
    }
}

/// One direction of a flow, as its packets show it; the protocol stands beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuple<F: Family> {
    /// Source and destination address.
    pub addresses: F::Pair,
    /// Source and destination port.
    pub ports: Ports,
}

impl<F: Family> Default for Tuple<F> {
    fn default() -> Self {
        Self { addresses: F::Pair::default(), ports: Ports::default() }
    }
}

impl<F: Family> Tuple<F> {
    /// From addresses and ports; `None` if an address is of the other family.
    pub fn new(source: (IpAddr, u16), destination: (IpAddr, u16)) -> Option<Self> {
        let addresses = F::pair(source.0, destination.0)?;
        Some(Self { addresses, ports: Ports::new(source.1, destination.1) })
    }

    /// The other direction.
    #[inline]
    pub fn swapped(self) -> Self {
        Self { addresses: F::swapped(self.addresses), ports: self.ports.swapped() }
    }

    /// Source address.
    #[inline]
    pub fn source(&self) -> IpAddr {
        F::source(self.addresses)
    }

    /// Destination address.
    #[inline]
    pub fn destination(&self) -> IpAddr {
        F::destination(self.addresses)
    }

    /// Mixed with the protocol, under `key`.
    #[inline]
    pub fn hash(&self, protocol: u8, key: &HashKey) -> u64 {
        F::hash(self.addresses, self.ports, protocol, key)
    }

    /// The addresses' share of an IP header checksum.
    #[inline]
    pub fn address_sum(&self) -> u16 {
        F::sum(self.addresses)
    }

    /// The share of a transport checksum: pseudo-header addresses and ports.
    #[inline]
    pub fn sum(&self) -> u16 {
        fold(u32::from(F::sum(self.addresses)) + self.ports.sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::checksum;

    fn v4() -> Tuple<V4> {
        Tuple::new(("192.0.2.1".parse().unwrap(), 1000), ("198.51.100.7".parse().unwrap(), 80)).unwrap()
    }

    fn v6() -> Tuple<V6> {
        Tuple::new(("2001:db8::1".parse().unwrap(), 1000), ("fd00:7::ffff:1".parse().unwrap(), 80)).unwrap()
    }

    #[test]
    fn parts_come_back() {
        assert_eq!(v4().source().to_string(), "192.0.2.1");
        assert_eq!(v4().destination().to_string(), "198.51.100.7");
        assert_eq!(v6().source().to_string(), "2001:db8::1");
        assert_eq!(v6().destination().to_string(), "fd00:7::ffff:1");
        assert_eq!((v4().ports.source(), v4().ports.destination()), (1000, 80));
        assert_eq!(v4().swapped().source(), v4().destination());
        assert_eq!(v6().swapped().ports.source(), 80);
        assert_eq!(v6().swapped().swapped(), v6());
        assert!(Tuple::<V4>::new((v4().source(), 1), (v6().source(), 1)).is_none());
    }

    #[test]
    fn sums_are_those_of_the_bytes() {
        fn bytes<F: Family>(tuple: &Tuple<F>) -> Vec<u8> {
            let mut out = Vec::new();
            F::bytes(tuple.addresses, |byte| out.push(byte));
            out
        }
        for (addresses, sums) in [
            (bytes(&v4()), (v4().address_sum(), v4().sum())),
            (bytes(&v6()), (v6().address_sum(), v6().sum())),
        ] {
            assert_eq!(sums.0, checksum::fold(checksum::sum(&addresses)));
            let mut all = addresses.clone();
            all.extend(v4().ports.bytes());
            assert_eq!(sums.1, checksum::fold(checksum::sum(&all)));
        }
    }

    #[test]
    fn hash_depends_on_every_byte() {
        let key = HashKey::new([0x9e37_79b9_7f4a_7c15, 0xd1b5_4a32_d192_ed03]);
        let base = v6().hash(6, &key);
        for bit in 0..32 * 8 {
            let mut tuple = v6();
            tuple.addresses[bit / 64] ^= 1 << (bit % 64);
            assert_ne!(tuple.hash(6, &key), base);
        }
        assert_ne!(v6().hash(17, &key), base);
        assert_ne!(v4().hash(6, &key), v4().swapped().hash(6, &key));
    }
}
