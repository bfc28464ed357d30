//! SCTP's checksum (RFC 9260 §6.8, CRC32c) when only the ports change.

/// Rewrites the ports of `message`, an SCTP packet from its common header to its end, and changes the checksum
/// by exactly what that does to it: a checksum that was wrong stays wrong.
pub fn rewrite_ports(message: &mut [u8], ports: [u8; 4]) {
    let length = message.len();
    let Some(header) = message.first_chunk_mut::<12>() else { return };
    let [a, b, c, d, _, _, _, _, crc @ ..] = *header;
    let changed = [a ^ ports[0], b ^ ports[1], c ^ ports[2], d ^ ports[3]];
    // CRC is linear: the checksum changes by the CRC, without initial and final inversion, of the changed bits
    // followed by as many zeros as bytes follow the ports.
    let raw = crc32c::crc32c(&changed) ^ crc32c::crc32c(&[0; 4]);
    let difference = over_zeros(raw, length - 4);
    // The checksum travels least significant byte first.
    let checksum = u32::from_le_bytes(crc) ^ difference;
    header[..4].copy_from_slice(&ports);
    header[8..].copy_from_slice(&checksum.to_le_bytes());
}

/// Fills in the checksum of `message`, which is as above.
pub fn fill_in(message: &mut [u8]) {
    if message.len() < 12 {
        return;
    }
    message[8..12].fill(0);
    let checksum = crc32c::crc32c(message);
    message[8..12].copy_from_slice(&checksum.to_le_bytes());
}

/// A CRC register, not inverted, after `count` zero bytes.
fn over_zeros(register: u32, count: usize) -> u32 {
    static ZEROS: [u8; 2048] = [0; 2048];
    let mut inverted = !register;
    let mut left = count;
    while left > 0 {
        let chunk = left.min(ZEROS.len());
        inverted = crc32c::crc32c_append(inverted, &ZEROS[..chunk]);
        left -= chunk;
    }
    !inverted
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn checksum(message: &[u8]) -> [u8; 4] {
        let mut copy = message.to_vec();
        copy[8..12].fill(0);
        crc32c::crc32c(&copy).to_le_bytes()
    }

    proptest! {
        #[test]
        fn the_checksum_is_that_of_the_new_bytes(
            mut message in prop::collection::vec(any::<u8>(), 16..1500),
            ports: [u8; 4],
        ) {
            let right = checksum(&message);
            message[8..12].copy_from_slice(&right);
            rewrite_ports(&mut message, ports);
            prop_assert_eq!(&message[..4], &ports);
            prop_assert_eq!(&message[8..12], &checksum(&message));
            let mut filled = message.clone();
            filled[8..12].copy_from_slice(&ports);
            fill_in(&mut filled);
            prop_assert_eq!(&filled, &message);
            message[15] ^= 1;
            rewrite_ports(&mut message, [0, 1, 2, 3]);
            prop_assert_ne!(&message[8..12], &checksum(&message));
        }
    }
}
