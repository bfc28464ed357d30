//! Who is connected, and who goes when there is no room.

use parking_lot::Mutex;
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};

/// How long open requests may take when the server stops.
const GRACE: Duration = Duration::from_secs(2);

/// All connections.
#[derive(Debug)]
pub(super) struct Connections {
    most: usize,
    open: Mutex<BTreeMap<u64, Arc<Shared>>>,
    /// Counts connections and what they did last: the lower, the longer ago.
    clock: AtomicU64,
}

#[derive(Debug)]
struct Shared {
    /// A whole request has come and its answer has not gone.
    busy: AtomicBool,
    /// When it came, or was last busy.
    active: AtomicU64,
    evict: Notify,
}

/// An open connection; closed when dropped.
#[derive(Debug)]
pub(super) struct Connection {
    number: u64,
    shared: Arc<Shared>,
    all: Arc<Connections>,
}

impl Connections {
    /// Room for so many.
    pub(super) const fn new(most: usize) -> Self {
        Self { most, open: Mutex::new(BTreeMap::new()), clock: AtomicU64::new(0) }
    }

    /// Lets one in. Without room the one that was idle longest goes; `None` if none is idle.
    pub(super) fn enter(self: &Arc<Self>) -> Option<Arc<Connection>> {
        let number = self.clock.fetch_add(1, Relaxed);
        let shared = Arc::new(Shared {
            busy: AtomicBool::new(false),
            active: AtomicU64::new(number),
            evict: Notify::new(),
        });
        let mut open = self.open.lock();
        if open.len() >= self.most {
            let idle = open.iter().filter(|(_, shared)| !shared.busy.load(Relaxed));
            let longest =
                idle.min_by_key(|(_, shared)| shared.active.load(Relaxed)).map(|(number, _)| *number)?;
            if let Some(shared) = open.remove(&longest) {
                shared.evict.notify_one();
            }
        }
        open.insert(number, Arc::clone(&shared));
        Some(Arc::new(Connection { number, shared, all: Arc::clone(self) }))
    }

    /// Waits until all are closed, for a moment.
    pub(super) async fn drained(&self) {
        let all_closed = async {
            while !self.open.lock().is_empty() {
                sleep(Duration::from_millis(5)).await;
            }
        };
        if timeout(GRACE, all_closed).await.is_err() {
            tracing::warn!("requests were still open");
        }
        self.open.lock().values().for_each(|shared| shared.evict.notify_one());
    }
}

impl Connection {
    /// Resolves when it must go.
    pub(super) fn evicted(&self) -> impl Future<Output = ()> + use<> {
        let shared = Arc::clone(&self.shared);
        async move { shared.evict.notified().await }
    }

    /// A whole request has come. It is busy until what this returns is dropped.
    pub(super) fn busy(self: &Arc<Self>) -> Busy {
        self.shared.busy.store(true, Relaxed);
        Busy(Arc::clone(self))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.all.open.lock().remove(&self.number);
    }
}

/// While a request is served.
#[derive(Debug)]
pub(super) struct Busy(Arc<Connection>);

impl Drop for Busy {
    fn drop(&mut self) {
        let Connection { shared, all, .. } = &*self.0;
        shared.active.store(all.clock.fetch_add(1, Relaxed), Relaxed);
        shared.busy.store(false, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_evicted(connection: &Connection) -> bool {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async { timeout(Duration::ZERO, connection.evicted()).await.is_ok() })
    }

    #[test]
    fn the_one_that_was_idle_longest_goes() {
        let all = Arc::new(Connections::new(3));
        let [first, second, third] = [(); 3].map(|()| all.enter().unwrap());
        let working = first.busy();
        drop(second.busy());
        let fourth = all.enter().unwrap();
        assert!(is_evicted(&third) && !is_evicted(&second) && !is_evicted(&first));
        drop(third);
        let (_busy_second, _busy_fourth) = (second.busy(), fourth.busy());
        assert!(all.enter().is_none(), "all are busy");
        drop(working);
        assert!(all.enter().is_some());
        assert!(is_evicted(&first) && !is_evicted(&fourth));
    }

    #[test]
    fn a_closed_connection_leaves_room() {
        let all = Arc::new(Connections::new(1));
        for _ in 0..3 {
            let connection = all.enter().unwrap();
            let _busy = connection.busy();
            assert!(all.enter().is_none());
        }
    }
}
