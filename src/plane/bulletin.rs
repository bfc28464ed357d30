//! Lists that a polling thread renews now and then for whoever wants to read: the writer neither waits nor allocates.

use crossbeam::queue::ArrayQueue;
use parking_lot::Mutex;

/// Copies in circulation: one to write, one that lies ready, one that is being read.
const COPIES: usize = 3;

/// The latest state of something, as one thread posts it and others read it.
#[derive(Debug)]
pub struct Bulletin<T> {
    latest: ArrayQueue<Box<T>>,
    spare: ArrayQueue<Box<T>>,
    /// What was read last, for readers alone.
    read: Mutex<T>,
}

impl<T: Clone> Bulletin<T> {
    /// With nothing on it. What `empty` makes has all the room that later contents need.
    pub fn new(empty: impl Fn() -> T) -> Self {
        let spare = ArrayQueue::new(COPIES);
        for _ in 0..COPIES {
            let _ = spare.push(Box::new(empty()));
        }
        Self { latest: ArrayQueue::new(1), spare, read: Mutex::new(empty()) }
    }

    /// Posts what `write` makes of an old copy. One thread only.
    pub fn post(&self, write: impl FnOnce(&mut T)) {
        let Some(mut copy) = self.spare.pop() else { return };
        write(&mut copy);
        if let Some(unread) = self.latest.force_push(copy) {
            let _ = self.spare.push(unread);
        }
    }

    /// What was posted last.
    pub fn read(&self) -> T {
        let mut read = self.read.lock();
        if let Some(mut copy) = self.latest.pop() {
            std::mem::swap(&mut *read, &mut copy);
            let _ = self.spare.push(copy);
        }
        read.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

    #[test]
    fn readers_see_the_latest_and_the_writer_always_has_a_copy() {
        let bulletin = Bulletin::new(|| Vec::<u64>::with_capacity(2));
        let (stop, posts) = (AtomicBool::new(false), 50_000u64);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let mut last = 0;
                    while !stop.load(Relaxed) {
                        if let [a, b] = bulletin.read()[..] {
                            assert!(b == a + 1 && a >= last);
                            last = a;
                        }
                    }
                });
            }
            for n in 0..posts {
                let mut posted = false;
                while !posted {
                    bulletin.post(|list| {
                        list.clear();
                        list.extend([n, n + 1]);
                        posted = true;
                    });
                }
            }
            stop.store(true, Relaxed);
        });
        assert_eq!(bulletin.read(), [posts - 1, posts]);
        assert_eq!(bulletin.read(), [posts - 1, posts], "also the second time");
    }
}
