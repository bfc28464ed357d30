//! Words that one thread writes together and others read together: a sequence lock.

use std::sync::atomic::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
    fence,
};

/// `N` words of one moment. Readers try again while the writer is at it; the writer never waits.
#[derive(Debug)]
pub struct Words<const N: usize> {
    /// Odd while the words change.
    sequence: AtomicU64,
    words: [AtomicU64; N],
}

impl<const N: usize> Default for Words<N> {
    fn default() -> Self {
        Self { sequence: AtomicU64::new(0), words: [const { AtomicU64::new(0) }; N] }
    }
}

impl<const N: usize> Words<N> {
    /// Replaces all words. One thread only.
    pub fn write(&self, words: &[u64; N]) {
        let sequence = self.sequence.load(Relaxed);
        self.sequence.store(sequence + 1, Relaxed);
        fence(Release);
        for (place, word) in self.words.iter().zip(words) {
            place.store(*word, Relaxed);
        }
        self.sequence.store(sequence + 2, Release);
    }

    /// The words as they were last written together.
    pub fn read(&self) -> [u64; N] {
        loop {
            let before = self.sequence.load(Acquire);
            let words = std::array::from_fn(|at| self.words[at].load(Relaxed));
            fence(Acquire);
            if before.is_multiple_of(2) && self.sequence.load(Relaxed) == before {
                return words;
            }
            std::hint::spin_loop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;

    #[test]
    fn a_reader_never_sees_half_a_change() {
        let words = Words::<5>::default();
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for n in 0..200_000u64 {
                    words.write(&[n, n + 1, n + 2, n + 3, n + 4]);
                }
                stop.store(true, Relaxed);
            });
            let mut last = 0;
            while !stop.load(Relaxed) {
                let [a, b, c, d, e] = words.read();
                assert!(a >= last && (a == 0 || [b, c, d, e] == [a + 1, a + 2, a + 3, a + 4]));
                last = a;
            }
        });
    }
}
