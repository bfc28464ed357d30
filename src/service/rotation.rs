//! Taking turns: a sequence of backends, and one cursor that all workers advance.

use crossbeam::utils::CachePadded;
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// Turns of a weighted sequence, more or less: weights that need more are rounded to 1/4096 of their sum, but none
/// to 0.
pub(super) const MAX_TURNS: u32 = 4_096;

/// How many turns were taken; outlives the table it was made for. 64 bits: the order never jumps by wrapping.
pub(super) type Cursor = Arc<CachePadded<AtomicU64>>;

/// A sequence that repeats.
#[derive(Debug)]
pub(super) struct Rotation {
    turns: Box<[u16]>,
    cursor: Cursor,
}

impl Rotation {
    pub(super) fn new(turns: Box<[u16]>, cursor: Cursor) -> Self {
        Self { turns, cursor }
    }

    /// Whose turn it is; `None` if nobody's ever.
    #[inline]
    pub(super) fn next(&self) -> Option<u16> {
        let taken = self.cursor.fetch_add(1, Ordering::Relaxed);
        let turn = taken.checked_rem(self.turns.len() as u64)?;
        self.turns.get(turn as usize).copied()
    }

    pub(super) fn cursor(&self) -> &Cursor {
        &self.cursor
    }
}

/// One period of smooth weighted round robin: in every turn each gains its weight, and the richest, the first
/// among equals, pays the sum of all and takes the turn. Weights are above 0.
pub(super) fn smooth(weights: &[u16]) -> Vec<usize> {
    let weights = turns_of(weights);
    let total: u32 = weights.iter().sum();
    let mut credit = vec![0i64; weights.len()];
    let mut take_turn = || {
        let mut richest = 0;
        for at in 0..weights.len() {
            credit[at] += i64::from(weights[at]);
            if credit[at] > credit[richest] {
                richest = at;
            }
        }
        credit[richest] -= i64::from(total);
        richest
    };
    (0..total).map(|_| take_turn()).collect()
}

/// How many turns of a period each weight gets: the weights in lowest terms, scaled down where the period would be
/// too long.
fn turns_of(weights: &[u16]) -> Vec<u32> {
    let divisor = common_divisor(weights.iter().copied());
    let reduced: Vec<u32> = weights.iter().map(|weight| u32::from(weight / divisor)).collect();
    let total: u32 = reduced.iter().sum();
    if total <= MAX_TURNS {
        return reduced;
    }
    let scaled =
        |weight: &u32| (u64::from(*weight) * u64::from(MAX_TURNS) + u64::from(total / 2)) / u64::from(total);
    reduced.iter().map(|weight| scaled(weight).max(1) as u32).collect()
}

/// The greatest number that divides all; 1 for no numbers, or only zeros.
pub(super) fn common_divisor(numbers: impl Iterator<Item = u16>) -> u16 {
    let of_two = |mut a: u16, mut b: u16| {
        while b != 0 {
            (a, b) = (b, a % b);
        }
        a
    };
    numbers.fold(0, of_two).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sequences_are_those_of_nginx() {
        for (weights, turns) in [
            (&[5, 1, 1][..], "aabacaa"),
            (&[4, 2, 1], "abacaba"),
            (&[1, 1, 1], "abc"),
            (&[80, 20], "aabaa"),
            (&[40, 40, 20], "abcab"),
            (&[7], "a"),
            (&[], ""),
        ] {
            let names: String = smooth(weights).into_iter().map(|at| (b'a' + at as u8) as char).collect();
            assert_eq!(names, turns, "{weights:?}");
        }
    }

    #[test]
    fn eighty_to_twenty_is_kept_in_every_hundred() {
        let turns = smooth(&[80, 20]);
        for start in 0..turns.len() {
            let first = turns.iter().cycle().skip(start).take(100).filter(|&&at| at == 0).count();
            assert!(first.abs_diff(80) <= 3);
        }
    }

    #[test]
    fn long_periods_are_rounded_and_leave_nobody_out() {
        for weights in [vec![65_535, 1], vec![65_521, 32_749], (1..=1_024).collect::<Vec<u16>>()] {
            let turns = smooth(&weights);
            assert!(turns.len() <= MAX_TURNS as usize + weights.len());
            let total: f64 = weights.iter().copied().map(f64::from).sum();
            for (at, &weight) in weights.iter().enumerate() {
                let count = turns.iter().filter(|&&turn| turn == at).count();
                let fair = f64::from(weight) / total * turns.len() as f64;
                assert!(count > 0 && (count as f64 - fair).abs() <= 1.5, "{at}: {count} of {fair}");
            }
        }
    }

    #[test]
    fn the_cursor_is_shared_and_nobody_is_skipped_when_threads_race() {
        let cursor = Cursor::default();
        let rotation = Rotation::new([0, 1, 2].into(), cursor.clone());
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| (0..1_000).for_each(|_| assert!(rotation.next().is_some())));
            }
        });
        assert_eq!(cursor.load(Ordering::Relaxed), 3_000);
        assert_eq!([rotation.next(), rotation.next(), rotation.next()], [Some(0), Some(1), Some(2)]);
        assert_eq!(Rotation::new([].into(), cursor).next(), None);
    }

    proptest! {
        /// A period is exact, and in any window nobody is far from its share. A backend is never more than one
        /// turn ahead of its share since the start, so at most n - 1 behind: its count in a window is within n.
        #[test]
        fn proportions_hold_in_any_window(
            weights in prop::collection::vec(1u16..=100, 1..8),
            start in 0usize..1_000,
            length in 1usize..1_000,
        ) {
            let turns = smooth(&weights);
            let total: usize = weights.iter().copied().map(usize::from).sum();
            prop_assert_eq!(total % turns.len(), 0);
            for (at, &weight) in weights.iter().enumerate() {
                let weight = usize::from(weight);
                let count = |slice: &mut dyn Iterator<Item = &usize>| slice.filter(|&&turn| turn == at).count();
                prop_assert_eq!(count(&mut turns.iter()) * total, weight * turns.len());
                let window = count(&mut turns.iter().cycle().skip(start).take(length));
                let off = (window * total).abs_diff(weight * length) as f64 / total as f64;
                prop_assert!(off < weights.len() as f64, "{} off by {}", at, off);
            }
        }
    }
}
