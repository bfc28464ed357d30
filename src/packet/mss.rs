//! The maximum segment size that TCP's ends tell each other when a connection begins (RFC 9293, section 3.7.1).

use super::{Difference, bytes, checksum::fold, checksum::sum};

/// Bytes of a TCP header without options.
const HEADER: usize = 20;
const CHECKSUM: usize = 16;

/// Kinds of options (RFC 9293, section 3.1).
const END: u8 = 0;
const NO_OPERATION: u8 = 1;
const MSS: u8 = 2;

/// Lowers the MSS option of a TCP segment, and its checksum with it, so that what answers is `most` bytes long at most, TCP's
/// header included, which an MSS does not count. A segment without one, or whose options are no list, stays as it is.
pub fn limit_mss(segment: &mut [u8], most: u16) {
    let most = most.saturating_sub(HEADER as u16);
    let Some(at) = find_mss(segment).filter(|at| bytes::read_u16(segment, *at).is_some_and(|mss| mss > most))
    else {
        return;
    };
    // The words that the field lies in, as the checksum counts them.
    let words = at & !1..(at + 3) & !1;
    let before = segment.get(words.clone()).map(|words| fold(sum(words)));
    let _ = bytes::write(segment, at, most.to_be_bytes());
    let after = segment.get(words).map(|words| fold(sum(words)));
    if let (Some(before), Some(after), Some(field)) = (before, after, bytes::read(segment, CHECKSUM)) {
        let checksum = Difference::between(before, after).apply(u16::from_ne_bytes(field));
        let _ = bytes::write(segment, CHECKSUM, checksum.to_ne_bytes());
    }
}

/// Where the value of the MSS option lies.
fn find_mss(segment: &[u8]) -> Option<usize> {
    let header = usize::from(segment.get(12)? >> 4) * 4;
    let options = segment.get(..header)?;
    let mut at = HEADER;
    loop {
        let length = match *options.get(at)? {
            END => return None,
            NO_OPERATION => 1,
            MSS if options.get(at + 1) == Some(&4) => return options.get(at + 2..at + 4).map(|_| at + 2),
            _ => usize::from(*options.get(at + 1)?).max(2),
        };
        at += length;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A segment whose checksum, without a pseudo-header, is right.
    fn segment(options: &[u8]) -> Vec<u8> {
        let mut segment = vec![0x50; HEADER];
        segment.extend(options);
        segment.resize(segment.len().next_multiple_of(4), END);
        segment[12] = (segment.len() as u8 / 4) << 4;
        segment[CHECKSUM..][..2].fill(0);
        let checksum = !fold(sum(&segment));
        segment[CHECKSUM..][..2].copy_from_slice(&checksum.to_ne_bytes());
        segment
    }

    fn limited(options: &[u8], most: u16) -> Vec<u8> {
        let mut segment = segment(options);
        limit_mss(&mut segment, most.saturating_add(HEADER as u16));
        assert_eq!(fold(sum(&segment)), 0xffff, "{segment:02x?}");
        segment[HEADER..][..options.len()].to_vec()
    }

    #[test]
    fn only_what_is_larger_is_lowered() {
        assert_eq!(limited(&[MSS, 4, 0x05, 0xb4], 1360), [MSS, 4, 0x05, 0x50]);
        assert_eq!(limited(&[MSS, 4, 0x05, 0x50], 1360), [MSS, 4, 0x05, 0x50]);
        assert_eq!(limited(&[MSS, 4, 0x02, 0x18], 1360), [MSS, 4, 0x02, 0x18]);
    }

    #[test]
    fn it_may_stand_anywhere() {
        let window = [3, 3, 7];
        for before in [&[NO_OPERATION][..], &[NO_OPERATION, NO_OPERATION], &window, &[4, 2]] {
            let options = [before, &[MSS, 4, 0x23, 0x00, NO_OPERATION]].concat();
            let expected = [before, &[MSS, 4, 0x05, 0x50, NO_OPERATION]].concat();
            assert_eq!(limited(&options, 1360), expected);
        }
    }

    #[test]
    fn what_is_no_list_stays() {
        for options in [&[END, MSS, 4, 0xff, 0xff][..], &[MSS, 3, 0xff, 0xff], &[5, 0, 0, 0], &[]] {
            assert_eq!(limited(options, 1), options);
        }
        // Longer than the segment is.
        let mut short = segment(&[MSS, 4, 0xff, 0xff]);
        short[12] = 0xf0;
        let before = short.clone();
        limit_mss(&mut short, 21);
        assert_eq!(short, before);
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken(mut bytes in prop::collection::vec(any::<u8>(), 0..80), most: u16) {
            let length = bytes.len();
            limit_mss(&mut bytes, most);
            prop_assert_eq!(bytes.len(), length);
        }

        #[test]
        fn the_checksum_stays_right(options in prop::collection::vec(any::<u8>(), 0..40), most: u16) {
            limited(&options, most);
        }
    }
}
