//! Runs a node and its API until a signal.

use super::{
    Changes, EventLog, Refusal, SavedBfd, Severity,
    api::{self, Api, LogSwitch},
    ha::{BfdWanted, HighAvailability, Standalone},
    health::Health,
    node::{Node, NodeError},
    reload,
    server::{self, Claim, Tls, Token},
};
use crate::{config::Config, types::Duration as Span};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::{io, path::Path, sync::Arc, time::Duration};
use tokio::{
    runtime::{Builder, Runtime},
    signal::unix::{SignalKind, signal},
    sync::watch,
    time::interval,
};
use tracing::info;

/// Runs until SIGTERM or SIGINT; a second one ends the process at once. SIGHUP takes `file` again.
///
/// # Errors
///
/// What kept the node from starting.
pub fn run(file: &Path, config: Config, log: Arc<dyn LogSwitch>) -> Result<(), NodeError> {
    let cores = config.cores.management.clone();
    let address = config.api.listen;
    let listen = |source| NodeError::Listen { address, source };
    let runtime = runtime(cores.clone()).map_err(NodeError::Thread)?;
    // Before a device is touched: what can be told now is told now.
    let claim = runtime.block_on(async { Claim::new(address) }).map_err(listen)?;
    let options = options(&config)?;
    raise_file_limit();
    let state_file = config.api.state_file.clone();
    let node = Node::start(config)?;
    node.announce();
    let events = Arc::new(EventLog::default());
    let changes = Changes::start(
        Arc::clone(&node.shared.registry),
        Arc::clone(&events),
        state_file.as_deref(),
        move || pin(&cores),
    )?;
    let shared = Arc::clone(&node.shared);
    let ha =
        Arc::new(Standalone::new(&shared.config, Arc::clone(&shared.ownership), Arc::clone(&shared.bfd)));
    restore_bfd(&changes, &*ha, &events);
    let health =
        runtime.block_on(async { Health::start(Arc::clone(&shared), changes.clone(), Arc::clone(&events)) });
    let api = Api::new(shared, changes, events, ha, log);
    let scheme = if options.tls.is_some() { "https" } else { "http" };
    // The API opens when rules can take effect, not before: controllers take an answer for readiness.
    let listener = runtime.block_on(async { claim.listen() }).map_err(listen)?;
    info!("API on {scheme}://{address}");
    let (stop, stopped) = watch::channel(false);
    let server = runtime.spawn(server::serve(listener, api::router(Arc::clone(&api)), options, stopped));
    let served = runtime.block_on(watch_over(&node, &api, file));
    info!("stopping");
    drop(health);
    let _ = stop.send(true);
    runtime.block_on(async {
        let mut again = signal(SignalKind::terminate()).ok();
        let second = async {
            match &mut again {
                Some(again) => again.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = server => {}
            _ = second => {}
        }
    });

    node.stop();
    served.map_err(NodeError::Thread)
}

fn options(config: &Config) -> Result<server::Options, NodeError> {
    let api = &config.api;
    let tls = match (&api.tls_cert, &api.tls_key) {
        (Some(cert), Some(key)) => Some(Tls::read(cert, key)?),
        _ => None,
    };
    let token = api.token_file.as_deref().map(Token::read).transpose()?;
    Ok(server::Options { max_connections: api.max_connections as usize, tls, token })
}

/// Files that connections of the API and health checks may need.
const FILES: u64 = 16_384;

/// As many open files as this process may have, up to [`FILES`]: the limit that shells give is for programs that use
/// `select`.
fn raise_file_limit() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.map_or(FILES, |maximum| maximum.min(FILES));
    if current.is_some_and(|current| current < wanted) {
        // Without it fewer probes are under way at a time.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum });
    }
}

/// A small runtime on the management cores.
fn runtime(cores: Vec<u16>) -> io::Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("management")
        .on_thread_start(move || pin(&cores))
        .enable_all()
        .build()
}

fn pin(cores: &[u16]) {
    if let [core] = cores[..] {
        core_affinity::set_for_current(core_affinity::CoreId { id: usize::from(core) });
    }
}

/// BFD sessions that the API created before the restart.
fn restore_bfd(changes: &Changes, ha: &dyn HighAvailability, events: &EventLog) {
    for session in changes.saved().bfd.values() {
        let SavedBfd { instance, remote, local, interval_us, multiplier } = session;
        let wanted = BfdWanted {
            instance: instance.clone(),
            remote: *remote,
            local: *local,
            interval: Some(Span::from_micros(*interval_us)),
            multiplier: Some(*multiplier),
        };
        if let Err(refusal) = ha.put_bfd(&wanted) {
            let refusal: Refusal = refusal;
            let text = format!("the BFD session with {remote} of the state file is not made: {refusal}");
            events.tell(Severity::Error, "state", text);
        }
    }
}

/// Until a signal to stop.
async fn watch_over(node: &Node, api: &Api, file: &Path) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let mut events = interval(Duration::from_millis(20));
    let mut ports = interval(Duration::from_millis(200));
    loop {
        tokio::select! {
            _ = events.tick() => api.events.take_from(&node.shared.events),
            _ = ports.tick() => {
                node.look_at_ports();
                node.renew_clocks();
            }
            // What is wrong has been told.
            _ = hang_up.recv() => drop(reload(api, file).await),
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
        }
    }
}
