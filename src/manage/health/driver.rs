//! The task that keeps the schedule, starts probes and tells what they show.

use super::{
    Statuses,
    check::Check,
    outcome::{Failure, Outcome},
    passive::{Hint, Openings, Passive},
    plan::{Exits, Plan, Planned, User},
    probe::Prober,
    schedule::{Order, Schedule},
};
use crate::{
    manage::{Changes, EventLog, Registry, Saved, ServiceList, Severity, Shared},
    plane::Routes,
    types::{Duration, Instant, Protocol},
};
use std::{
    collections::HashMap,
    future::pending,
    io,
    sync::Arc,
    time::{self, Duration as Span},
};
use tokio::{
    sync::mpsc::{UnboundedSender, unbounded_channel},
    task::{AbortHandle, JoinHandle},
    time::{MissedTickBehavior, interval, sleep_until},
};

/// How often it looks whether services have changed.
const LOOK: Span = Span::from_millis(100);
/// It looks at least so often whether there is anything to start.
const LONGEST_SLEEP: Duration = Duration::from_secs(3600);
/// Backends that are told of one by one; of more at once, how many.
const ONE_BY_ONE: usize = 16;
/// How often what clients find is looked at.
const LOOK_AT_CLIENTS: Span = Span::from_secs(1);
/// From one complaint to the next.
const COMPLAIN: Duration = Duration::from_secs(60);
/// Trouble that is over sooner is not told of, such as that of interfaces which are just coming up.
const BEAR: Duration = Duration::from_secs(5);
/// Descriptors that are left to everybody else.
const OTHERS: u64 = 512;
/// Probes under way at a time, at most.
const MOST: u64 = 4096;

/// Health checks at work; they end when it is dropped.
#[derive(Debug)]
pub struct Health(AbortHandle);

impl Drop for Health {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Health {
    /// Probes what the services and endpoints of a node ask for. To be called within a runtime.
    pub fn start(shared: Arc<Shared>, changes: Changes, events: Arc<EventLog>) -> Self {
        let driver = Driver {
            schedule: Schedule::new(room()),
            users: HashMap::new(),
            seen: None,
            news: HashMap::new(),
            trouble: Trouble::default(),
            passive: Passive::default(),
            began: time::Instant::now(),
            shared,
            changes,
            events,
        };
        Self(tokio::spawn(driver.run()).abort_handle())
    }
}

/// How many probes may be under way: each takes a descriptor.
fn room() -> usize {
    use rustix::process::{Resource, getrlimit};
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(MOST + OTHERS);
    usize::try_from(limit.saturating_sub(OTHERS).clamp(64, MOST)).unwrap_or(64)
}

/// What the registry is to be told of a backend.
#[derive(Clone, Copy, Debug)]
struct News {
    healthy: bool,
    failure: Option<Failure>,
}

/// What keeps this node from asking.
#[derive(Debug, Default)]
struct Trouble {
    unsent: u64,
    reason: Option<io::ErrorKind>,
    /// When the next complaint is due.
    due: Option<Instant>,
}

/// What was last planned from.
struct Seen {
    services: Arc<ServiceList>,
    saved: Arc<Saved>,
    routes: Arc<Routes>,
}

struct Driver {
    schedule: Schedule,
    /// Whom each check is about.
    users: HashMap<Check, Vec<User>>,
    seen: Option<Seen>,
    /// What the registry is still to be told.
    news: HashMap<User, News>,
    trouble: Trouble,
    passive: Passive,
    began: time::Instant,
    shared: Arc<Shared>,
    changes: Changes,
    events: Arc<EventLog>,
}

/// A probe that has ended. It is sent when it is dropped, however the probe ends.
struct Ended {
    order: Order,
    outcome: Outcome,
    began: time::Instant,
    took: Duration,
    to: UnboundedSender<(Order, Outcome, Duration)>,
}

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.to.send((self.order.clone(), self.outcome, self.took));
    }
}

impl Driver {
    async fn run(mut self) {
        let prober = Arc::new(Prober::new(self.shared.stack.clone()));
        // As many as are under way at most.
        let (to, mut ended) = unbounded_channel();
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut look_at_clients = interval(LOOK_AT_CLIENTS);
        look_at_clients.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut telling: Option<JoinHandle<bool>> = None;
        loop {
            let due = self.schedule.next_due().unwrap_or(Instant::MAX).since(Instant::ZERO);
            let due = self.began + Span::from(due.min(self.elapsed() + LONGEST_SLEEP));
            tokio::select! {
                _ = look.tick() => self.look(),
                _ = look_at_clients.tick() => self.look_at_clients(),
                Some((order, outcome, took)) = ended.recv() => self.hear(&order, outcome, took),
                told = told(&mut telling) => {
                    telling = None;
                    if !told {
                        // What could not be told is found again.
                        self.seen = None;
                    }
                }
                () = sleep_until(due.into()) => {}
            }
            while let Ok((order, outcome, took)) = ended.try_recv() {
                self.hear(&order, outcome, took);
            }
            while let Some(order) = self.schedule.start(self.now()) {
                let (prober, to) = (Arc::clone(&prober), to.clone());
                tokio::spawn(async move {
                    let (outcome, began) = (Outcome::Unknown(io::ErrorKind::Other), time::Instant::now());
                    let mut ended = Ended { order, outcome, began, took: Duration::ZERO, to };
                    ended.outcome = prober.ask(&ended.order.check).await;
                    ended.took = duration(ended.began.elapsed());
                });
            }
            if telling.is_none() && !self.news.is_empty() {
                telling = Some(self.tell());
            }
        }
    }

    fn elapsed(&self) -> Duration {
        duration(self.began.elapsed())
    }

    fn now(&self) -> Instant {
        Instant::ZERO + self.elapsed()
    }

    /// Plans anew if anything has changed.
    fn look(&mut self) {
        self.complain();
        let now_there = Seen {
            services: self.shared.services.load_full(),
            saved: self.changes.saved(),
            routes: self.shared.routes.lock().current(),
        };
        let is_same = |seen: &Seen| {
            Arc::ptr_eq(&seen.services, &now_there.services)
                && Arc::ptr_eq(&seen.saved, &now_there.saved)
                && Arc::ptr_eq(&seen.routes, &now_there.routes)
        };
        if self.seen.as_ref().is_some_and(is_same) {
            return;
        }
        let exits = Exits::of(&self.shared.config.ports, &now_there.routes);
        let plan = Plan::of(&now_there.services, &now_there.saved, &exits);
        self.seen = Some(now_there);
        self.schedule.want(plan.checks(), self.now());
        self.follow(plan);
    }

    /// Whom each check is about from now on, and where the registry differs from what is known.
    fn follow(&mut self, plan: Plan) {
        self.users.clear();
        let mut statuses = Statuses::default();
        for Planned { user, check, healthy } in plan.backends {
            // Who is not probed counts as alive.
            let Some(check) = check else {
                if !healthy {
                    self.news.insert(user, News { healthy: true, failure: None });
                }
                continue;
            };
            if let Some(status) = self.schedule.status(&check) {
                let report = status.read();
                if let Some(alive) = report.alive.filter(|alive| *alive != healthy) {
                    self.news.insert(user, News { healthy: alive, failure: report.failure });
                }
                statuses.backends.insert(user.backend, status);
            }
            self.users.entry(check).or_default().push(user);
        }
        let of_endpoint = |(key, check)| Some((key, self.schedule.status(&check)?));
        statuses.endpoints = plan.endpoints.into_iter().filter_map(of_endpoint).collect();
        self.shared.health.publish(statuses);
    }

    /// A probe has ended.
    fn hear(&mut self, order: &Order, outcome: Outcome, took: Duration) {
        if let Outcome::Unknown(kind) = outcome {
            let now = self.now();
            self.trouble.unsent += 1;
            self.trouble.reason = Some(kind);
            self.trouble.due.get_or_insert(now + BEAR);
        }
        let Some(healthy) = self.schedule.end(order.number, outcome, took, self.now()) else { return };
        let failure = if let Outcome::Dead(failure) = outcome { Some(failure) } else { None };
        for user in self.users.get(&*order.check).into_iter().flatten() {
            self.news.insert(*user, News { healthy, failure });
        }
    }

    /// Tells the registry, then everybody. Gives whether the registry took it.
    fn tell(&mut self) -> JoinHandle<bool> {
        let news = std::mem::take(&mut self.news);
        let (changes, events) = (self.changes.clone(), Arc::clone(&self.events));
        tokio::spawn(async move {
            let changed = changes.make(move |transaction| {
                let registry = &mut *transaction.registry;
                Ok(news.into_iter().filter_map(|(user, news)| apply(registry, user, news)).collect())
            });
            let changed: Vec<(bool, String)> = match changed.await {
                Ok(changed) => changed,
                Err(_) => return false,
            };
            tell_events(&events, changed);
            true
        })
    }

    /// What clients' SYNs say of backends, whether these are probed or not.
    fn look_at_clients(&mut self) {
        let services = self.shared.services.load();
        let tcp = services.iter().filter(|service| service.wanted.protocol == Protocol::Tcp);
        let all = tcp.flat_map(|service| service.backends.iter().map(move |backend| (service, backend)));
        let openings = all.clone().map(|(_, backend)| {
            let load = self.shared.load_of(backend.id);
            (backend.id, Openings { opened: load.opened, unanswered: load.unanswered })
        });
        for (id, hint) in self.passive.look(openings) {
            let Some((service, backend)) = all.clone().find(|(_, backend)| backend.id == id) else {
                continue;
            };
            let (name, address) = (&service.wanted.name, backend.wanted.address);
            let (severity, text) = match hint {
                Hint::Mute(count) => (
                    Severity::Warn,
                    format!(
                        "backend {address} of {name} has not answered the last {count} clients: is it there?"
                    ),
                ),
                Hint::Answers => {
                    (Severity::Info, format!("backend {address} of {name} answers clients again"))
                }
            };
            self.events.tell(severity, "health", text);
        }
    }

    fn complain(&mut self) {
        let now = self.now();
        let Trouble { unsent, reason: Some(reason), due: Some(due) } = &mut self.trouble else { return };
        if now < *due {
            return;
        }
        if *unsent == 0 {
            self.trouble = Trouble::default();
            return;
        }
        let text = format!(
            "{unsent} health checks could not be sent ({reason}) and say nothing: see that the kernel interfaces are \
             up with their addresses, and that this process may open enough files"
        );
        *due = now + COMPLAIN;
        *unsent = 0;
        self.events.tell(Severity::Error, "health", text);
    }
}

async fn told(task: &mut Option<JoinHandle<bool>>) -> bool {
    match task {
        Some(task) => task.await.unwrap_or(false),
        None => pending().await,
    }
}

fn duration(span: Span) -> Duration {
    Duration::from_nanos(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX))
}

/// Tells the registry of one backend; in words, if that is news to it.
fn apply(registry: &mut Registry, user: User, News { healthy, failure }: News) -> Option<(bool, String)> {
    if !registry.set_healthy(&user.service, user.backend, healthy) {
        return None;
    }
    let service = registry.service(&user.service)?;
    let backend = service.backends.iter().find(|backend| backend.id == user.backend)?;
    let (address, name) = (&backend.wanted, &service.wanted.name);
    let left = service.backends.iter().filter(|backend| backend.is_available()).count();
    let reason = failure.map_or_else(String::new, |failure| format!(": {failure}"));
    let state = if healthy { "is up" } else { "is down" };
    Some((healthy, format!("backend {address} of service {name} {state}{reason}, {left} take new sessions")))
}

fn tell_events(events: &EventLog, changed: Vec<(bool, String)>) {
    let severity = |healthy| if healthy { Severity::Info } else { Severity::Warn };
    if changed.len() > ONE_BY_ONE {
        let up = changed.iter().filter(|(healthy, _)| *healthy).count();
        let down = changed.len() - up;
        return events.tell(severity(down == 0), "health", format!("backends: {up} are up, {down} are down"));
    }
    for (healthy, text) in changed {
        events.tell(severity(healthy), "health", text);
    }
}
