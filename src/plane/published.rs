//! Tables published whole: one thread replaces, polling threads read without a lock.

use arc_swap::{ArcSwap, Cache};
use std::sync::Arc;

/// The writing end. Everything it ever published is destroyed on its thread, never on a reader's.
pub struct Publisher<T> {
    slot: Arc<ArcSwap<T>>,
    /// Replaced, but perhaps still in a reader's hands.
    retired: Vec<Arc<T>>,
}

impl<T: Send + Sync + 'static> Publisher<T> {
    /// Publishes a first value.
    pub fn new(value: T) -> Self {
        Self { slot: Arc::new(ArcSwap::from_pointee(value)), retired: Vec::new() }
    }

    /// A reading end, for one thread.
    pub fn reader(&self) -> Reader<T> {
        Reader { cache: Cache::new(Arc::clone(&self.slot)) }
    }

    /// What readers see now, or at their next look.
    pub fn current(&self) -> Arc<T> {
        self.slot.load_full()
    }

    /// Replaces the value. A reader clones only out of the slot, and the swap settles clones under way, so a
    /// retired value that nobody else counts can be destroyed.
    pub fn publish(&mut self, value: T) {
        let old = self.slot.swap(Arc::new(value));
        self.retired.push(old);
        self.collect();
    }

    /// Destroys what no reader holds any more; returns how many replaced values some reader still holds. A number
    /// that stays above the count of readers' last looks names a stuck reader.
    pub fn collect(&mut self) -> usize {
        self.retired.retain(|old| Arc::strong_count(old) > 1);
        self.retired.len()
    }
}

impl<T: std::fmt::Debug> std::fmt::Debug for Publisher<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Publisher").field("retired", &self.retired.len()).finish_non_exhaustive()
    }
}

/// A reading end.
pub struct Reader<T> {
    cache: Cache<Arc<ArcSwap<T>>, Arc<T>>,
}

impl<T> Reader<T> {
    /// Allocates what a thread needs to take up new values. Called on the thread that reads, before it polls.
    pub fn prepare(&mut self) {
        drop(self.cache.arc_swap().load_full());
    }

    /// The newest value: one relaxed load and a compare when nothing changed.
    #[inline]
    pub fn load(&mut self) -> &Arc<T> {
        self.cache.load()
    }
}

impl<T> std::fmt::Debug for Reader<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        sync::atomic::{AtomicBool, Ordering},
        thread::{self, ThreadId},
    };

    #[derive(Debug)]
    struct Watched {
        value: u64,
        home: ThreadId,
    }

    impl Drop for Watched {
        fn drop(&mut self) {
            assert_eq!(thread::current().id(), self.home, "destroyed on a reader's thread");
        }
    }

    #[test]
    fn readers_see_values_in_order_and_never_destroy_one() {
        let home = thread::current().id();
        let mut publisher = Publisher::new(Watched { value: 0, home });
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..3 {
                let mut reader = publisher.reader();
                let stop = &stop;
                scope.spawn(move || {
                    let mut last = 0;
                    while !stop.load(Ordering::Relaxed) {
                        let value = reader.load().value;
                        assert!(value >= last);
                        last = value;
                    }
                    reader
                });
            }
            for value in 1..=2000 {
                publisher.publish(Watched { value, home });
            }
            stop.store(true, Ordering::Relaxed);
        });
        assert_eq!(publisher.collect(), 0);
        assert_eq!(publisher.current().value, 2000);
    }
}
