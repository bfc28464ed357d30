//! Runs a node and its API until a signal.

use super::router;
use crate::{
    config::Config,
    manage::{
        log_events,
        node::{Node, NodeError},
    },
};
use std::{io, sync::Arc, time::Duration};
use tokio::{
    net::TcpListener,
    runtime::Builder,
    signal::unix::{SignalKind, signal},
    time::{interval, timeout},
};
use tracing::{info, warn};

/// How long open requests may take after a signal.
const GRACE: Duration = Duration::from_secs(2);

/// Runs until SIGTERM or SIGINT; a second one ends the process at once.
///
/// # Errors
///
/// What kept the node from starting.
pub fn run(config: Config) -> Result<(), NodeError> {
    let (address, cores) = (config.api.listen, config.cores.management.clone());
    let runtime = runtime(cores).map_err(NodeError::Thread)?;
    // Bound first: a second hitless is told so before it touches a device.
    let listener = runtime
        .block_on(TcpListener::bind(address))
        .map_err(|source| NodeError::Listen { address, source })?;
    let node = Node::start(config)?;
    node.announce();
    info!("API on http://{address}");
    let served = runtime.block_on(serve(listener, &node));
    info!("stopping");
    node.stop();
    served.map_err(NodeError::Thread)
}

/// A small runtime on the management cores.
fn runtime(cores: Vec<u16>) -> io::Result<tokio::runtime::Runtime> {
    let pin = move || {
        if let [core] = cores[..] {
            core_affinity::set_for_current(core_affinity::CoreId { id: usize::from(core) });
        }
    };
    Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("management")
        .on_thread_start(pin)
        .enable_all()
        .build()
}

async fn serve(listener: TcpListener, node: &Node) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let shared = Arc::clone(&node.shared);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let app = router(Arc::clone(&shared));
    let server = tokio::spawn(async move {
        axum::serve(listener, app)
            .with_graceful_shutdown(async {
                let _ = stopped.await;
            })
            .await
    });
    let mut events = interval(Duration::from_millis(20));
    let mut ports = interval(Duration::from_millis(200));
    loop {
        tokio::select! {
            _ = events.tick() => log_events(&shared.events),
            _ = ports.tick() => {
                node.look_at_ports();
                node.renew_clocks();
            }
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        }
    }
    let _ = stop.send(());
    tokio::select! {
        ended = timeout(GRACE, server) => if ended.is_err() {
            warn!("requests were still open");
        },
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
