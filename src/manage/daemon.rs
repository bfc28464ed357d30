//! Runs a node and its API until a signal.

use super::{
    Changes, EventLog, Notifier, Paired, Pulse, Refusal, ReservedTerms, SavedBfd, Severity, Supervisor,
    api::{self, Api, LogSwitch},
    ha::{BfdWanted, HighAvailability, Standalone},
    health::Health,
    node::{Node, NodeError},
    reload,
    server::{self, Claim, Tls, Token},
};
use crate::{
    config::Config,
    control::{Command, Event, HaView},
    types::Duration as Span,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::{io, path::Path, sync::Arc, time::Duration};
use tokio::{
    runtime::{Builder, Runtime},
    signal::unix::{Signal, SignalKind, signal},
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
    let supervisor = Supervisor::of_environment().map_err(NodeError::Supervisor)?;
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
    let pair = Pair::new(&node, &events).map_err(NodeError::Thread)?;
    let ha: Arc<dyn HighAvailability> = match &pair {
        Some(pair) => Arc::clone(&pair.paired) as _,
        None => {
            Arc::new(Standalone::new(&shared.config, Arc::clone(&shared.ownership), Arc::clone(&shared.bfd)))
        }
    };
    restore_bfd(&changes, &*ha, &events);
    let health =
        runtime.block_on(async { Health::start(Arc::clone(&shared), changes.clone(), Arc::clone(&events)) });
    let api = Api::new(shared, changes, events, ha, log);
    let scheme = if options.tls.is_some() { "https" } else { "http" };
    // Before anybody can know that the node is up, and so send one.
    let mut signals = runtime.block_on(async { Signals::new() }).map_err(NodeError::Thread)?;
    // The API opens when rules can take effect, not before: controllers take an answer for readiness.
    let listener = runtime.block_on(async { claim.listen() }).map_err(listen)?;
    info!("API on {scheme}://{address}");
    let (stop, stopped) = watch::channel(false);
    let server = runtime.spawn(server::serve(listener, api::router(Arc::clone(&api)), options, stopped));
    supervisor.ready();
    runtime.block_on(watch_over(&node, &api, pair.as_ref(), file, (&supervisor, &mut signals)));
    info!("stopping");
    supervisor.stopping();
    let ending = async {
        if let Some(pair) = &pair {
            leave(&node, &api, pair).await;
        }
        drop(health);
        let _ = stop.send(true);
        server.await
    };
    runtime.block_on(async {
        tokio::select! {
            _ = ending => {}
            () = signals.stops.next() => info!("stopping at once"),
        }
    });
    node.stop();
    Ok(())
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

/// What a node of a pair needs besides.
struct Pair {
    paired: Arc<Paired>,
    view: Arc<HaView>,
    notifier: Option<Notifier>,
    terms: Option<ReservedTerms>,
}

impl Pair {
    /// `None` without high availability.
    fn new(node: &Node, events: &Arc<EventLog>) -> io::Result<Option<Self>> {
        let shared = &node.shared;
        let (Some(view), Some(ha)) = (&shared.ha, &shared.config.ha) else { return Ok(None) };
        let paired = Paired::new(
            &shared.config,
            Arc::clone(&shared.ownership),
            Arc::clone(&shared.bfd),
            Arc::clone(view),
            shared.pair.clone(),
            Arc::clone(&shared.mailbox),
        );
        let start = |hook: &std::path::PathBuf| Notifier::start(hook.clone(), Arc::clone(events));
        Ok(Some(Self {
            paired: Arc::new(paired),
            view: Arc::clone(view),
            notifier: ha.notify.as_ref().map(start).transpose()?,
            terms: shared.config.api.state_file.as_deref().map(ReservedTerms::beside),
        }))
    }

    fn hear(&self, event: &Event, config: &Config) {
        let (Event::Election(change), Some(notifier)) = (event, &self.notifier) else { return };
        let (from, to) = (change.from.state(), change.to.state());
        if let Some(instance) = config.instances().get(change.instance.index()).filter(|_| from != to) {
            notifier.tell(&instance.name, from, to);
        }
    }

    /// Reserves terms on disk, when more are wanted.
    fn reserve(&self, events: &EventLog) {
        let wanted = self.view.wanted_reserve();
        let Some(terms) = self.terms.as_ref().filter(|_| wanted > 0) else { return };
        match terms.write(wanted) {
            Ok(()) => {
                // Asked again if it was not heard.
                let _ = self.paired.ask(Command::Reserved(wanted));
            }
            Err(error) => events.tell(
                Severity::Error,
                "ha",
                format!("terms cannot be reserved on disk ({error}): make room beside api.state_file"),
            ),
        }
    }
}

/// How long a shutdown waits for the peer to take over.
const LEAVE: Duration = Duration::from_secs(8);

/// Hands everything over, as far as the peer takes it.
async fn leave(node: &Node, api: &Api, pair: &Pair) {
    if let Err(refusal) = pair.paired.ask(Command::ShutDown) {
        return api.events.tell(Severity::Warn, "ha", format!("nothing is handed over: {refusal}"));
    }
    let end = tokio::time::Instant::now() + LEAVE;
    while !pair.view.may_exit() && tokio::time::Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(2)).await;
        tell_events(node, api, Some(pair));
    }
    tell_events(node, api, Some(pair));
}

fn tell_events(node: &Node, api: &Api, pair: Option<&Pair>) {
    while let Some(event) = node.shared.events.pop() {
        api.events.tell_event(&event, &node.shared.config);
        if let Some(pair) = pair {
            pair.hear(&event, &node.shared.config);
        }
    }
}

/// The signals that a node acts on. None is missed once this is there; before, they end the process.
struct Signals {
    stops: Stops,
    /// To take the configuration's file again.
    hang_up: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self { stops: Stops::new()?, hang_up: signal(SignalKind::hangup())? })
    }
}

/// Those that ask for an end.
struct Stops {
    terminate: Signal,
    interrupt: Signal,
}

impl Stops {
    fn new() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// How often the polling threads are looked at when no service manager asks.
const UNWATCHED: Duration = Duration::from_secs(60);

/// Until a signal to stop.
async fn watch_over(
    node: &Node,
    api: &Api,
    pair: Option<&Pair>,
    file: &Path,
    (supervisor, Signals { stops, hang_up }): (&Supervisor, &mut Signals),
) {
    let mut events = interval(Duration::from_millis(20));
    let mut ports = interval(Duration::from_millis(200));
    let mut beats = interval(supervisor.beat().unwrap_or(UNWATCHED));
    let mut pulse = Pulse::new(node.shared.counters.clone(), Arc::clone(&node.shared.turn_times));
    loop {
        tokio::select! {
            _ = events.tick() => {
                tell_events(node, api, pair);
                if let Some(pair) = pair {
                    pair.reserve(&api.events);
                }
            }
            _ = ports.tick() => {
                node.look_at_ports();
                node.renew_clocks();
            }
            _ = beats.tick() => {
                if pulse.all_turn() {
                    supervisor.alive();
                }
            }
            _ = hang_up.recv() => {
                supervisor.reloading();
                // What is wrong has been told.
                drop(reload(api, file).await);
                supervisor.ready();
            }
            () = stops.next() => return,
        }
    }
}
