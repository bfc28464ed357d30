//! Whose doing an unwanted Down was: the machine's, which let the sender stand still, or ours.

use super::wire::Span;
use crate::types::Duration;

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The sender was silent for the detection time because its thread stood still.
    SenderStall,
    /// Anything else.
    False,
}

/// Judges a Down that was declared for silence from the last packet received to the moment it was noticed, by what the
/// sender noted of itself: when it put nothing into the cable, and when its loop did not turn.
///
/// The sender is excused only if it was silent all that time, and would have spoken within an interval and a half had
/// it not stood still.
pub(super) fn judge(down: &Span, silences: &[Span], stalls: &[Span], interval: Duration) -> Verdict {
    let covering = silences.iter().find(|silence| silence.from <= down.from && silence.to >= down.to);
    let excused = covering.is_some_and(|silence| {
        let stood = stalls.iter().fold(Duration::ZERO, |sum, stall| sum + stall.within(silence));
        (silence.length() - stood).times(2) <= interval.times(3)
    });
    if excused { Verdict::SenderStall } else { Verdict::False }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Instant;

    const INTERVAL: Duration = Duration::from_micros(50);

    fn span(from: u64, to: u64) -> Span {
        let at = |us| Instant::ZERO + Duration::from_micros(us);
        Span { from: at(from), to: at(to) }
    }

    #[test]
    fn a_sender_that_stood_still_is_excused() {
        let down = span(1000, 1151);
        assert_eq!(judge(&down, &[span(999, 1160)], &[span(1030, 1158)], INTERVAL), Verdict::SenderStall);
        let in_two_parts = [span(1020, 1080), span(1085, 1158)];
        assert_eq!(judge(&down, &[span(999, 1160)], &in_two_parts, INTERVAL), Verdict::SenderStall);
    }

    #[test]
    fn a_sender_that_turned_and_said_nothing_is_not() {
        let down = span(1000, 1151);
        assert_eq!(judge(&down, &[span(999, 1160)], &[], INTERVAL), Verdict::False);
        assert_eq!(judge(&down, &[span(999, 1160)], &[span(1100, 1158)], INTERVAL), Verdict::False);
    }

    #[test]
    fn a_receiver_that_missed_a_packet_is_not_excused_by_the_sender_s_stall() {
        let down = span(1000, 1151);
        assert_eq!(judge(&down, &[], &[span(1030, 1158)], INTERVAL), Verdict::False);
        // It spoke in between.
        assert_eq!(judge(&down, &[span(1020, 1160)], &[span(1030, 1158)], INTERVAL), Verdict::False);
        assert_eq!(judge(&down, &[span(999, 1140)], &[span(1000, 1139)], INTERVAL), Verdict::False);
    }
}
