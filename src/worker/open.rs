//! Packets of no known session: open one, or say why not.

use super::{
    core::{Context, Sessions, Views},
    family::WorkerFamily,
    probe,
    verdict::{Arrival, Source, Verdict},
};
use crate::{
    packet::{Flow, agreed_hash, is_martian_source},
    plane::{Counter, Way},
    protocol::pair::SYNC_PORT,
    service::{Client, Role, Service},
    session::{Direction, Reference, Session, Wanted, opens},
    types::{DropReason, InstanceId, NextHopId, Protocol, WorkerId},
};

/// Ports of the protocols that the control core speaks: BFD (RFC 5881, RFC 5883), BFD echo, session sync.
const CONTROL_PORTS: [u16; 4] = [3784, 4784, ECHO_PORT, SYNC_PORT];

/// BFD echo (RFC 5881 section 4).
pub const ECHO_PORT: u16 = 3785;

/// Whether a client begins anew with the tuple of a session that is over.
#[inline]
pub(super) fn reopens<F: WorkerFamily>(session: &Session<F>, direction: Direction, flow: &Flow<F>) -> bool {
    session.state.may_begin_anew() && direction == Direction::Inbound && opens(flow.protocol, flow.signal)
}

/// The session of a packet that the batched look-up did not find: in its second bucket, opened meanwhile, or new.
#[inline(never)]
pub(super) fn locate<F: WorkerFamily>(
    flow: &Flow<F>,
    hash: u64,
    sessions: &mut Sessions,
    context: &mut Context,
    views: &Views<'_>,
    from: Source,
) -> Result<Reference, Verdict> {
    let table = F::table_mut(sessions);
    if let Some(reference) = table.find(hash, &flow.tuple, flow.protocol)
        && let Some(session) = table.get(reference)
    {
        if !reopens(session, reference.direction(), flow) {
            return Ok(reference);
        }
        context.ended(session);
        table.remove(reference);
    }
    let (address, port) = (flow.tuple.destination(), flow.tuple.ports.destination());
    let (role, service) = views.services.look_up(address, flow.protocol, port).unzip();
    match role {
        Some(Role::Vip(instance)) => {
            open(flow, hash, (instance, service.flatten()), sessions, context, views, from)
        }
        Some(Role::Local(instance)) => Err(reply_to_nobody(flow, instance, context, from)),
        Some(Role::Node(_)) => Err(to_node(flow, context, from)),
        None => Err(stranger(from)),
    }
}

/// The worker that owns the session of a packet, if it is another and the packet has not been handed over yet.
pub(super) fn elsewhere<F: WorkerFamily>(
    flow: &Flow<F>,
    context: &Context,
    from: Source,
) -> Option<WorkerId> {
    let steering = &from.port.facts.steering;
    if from.arrival == Arrival::Again || steering.is_exact::<F>(flow.protocol) {
        return None;
    }
    let owner = steering.owner(&flow.tuple, flow.protocol);
    (owner != context.worker).then_some(owner)
}

fn reply_to_nobody<F: WorkerFamily>(
    flow: &Flow<F>,
    instance: InstanceId,
    context: &Context,
    from: Source,
) -> Verdict {
    match (context.serves(instance), elsewhere(flow, context, from)) {
        (Err(reason), _) => context.turn_away(instance, reason),
        (Ok(()), Some(owner)) => Verdict::HandOver(owner),
        (Ok(()), None) => Verdict::Drop(DropReason::NoSession),
    }
}

fn to_node<F: WorkerFamily>(flow: &Flow<F>, context: &Context, from: Source) -> Verdict {
    if flow.protocol == Protocol::Udp && CONTROL_PORTS.contains(&flow.tuple.ports.destination()) {
        return Verdict::Urgent;
    }
    if probe::answers(flow, &context.probes) {
        return Verdict::Kernel;
    }
    stranger(from)
}

/// What is not ours to balance is the kernel's, where the port has a kernel interface.
pub(super) const fn stranger(from: Source) -> Verdict {
    if from.port.kernel_interface { Verdict::Kernel } else { Verdict::Drop(DropReason::NotOurs) }
}

fn open<F: WorkerFamily>(
    flow: &Flow<F>,
    hash: u64,
    (instance, service): (InstanceId, Option<&Service>),
    sessions: &mut Sessions,
    context: &mut Context,
    views: &Views<'_>,
    from: Source,
) -> Result<Reference, Verdict> {
    context.serves(instance).map_err(|reason| context.turn_away(instance, reason))?;
    if let Some(owner) = elsewhere(flow, context, from) {
        return Err(Verdict::HandOver(owner));
    }
    try_open(flow, hash, (instance, service), sessions, context, views).map_err(|reason| {
        let resets = service.is_some_and(|service| service.spec().resets_unknown);
        match (reason, flow.protocol) {
            (DropReason::NoSession, Protocol::Tcp) if resets => Verdict::Reset(reason),
            _ => Verdict::Drop(reason),
        }
    })
}

fn try_open<F: WorkerFamily>(
    flow: &Flow<F>,
    hash: u64,
    (instance, service): (InstanceId, Option<&Service>),
    sessions: &mut Sessions,
    context: &mut Context,
    views: &Views<'_>,
) -> Result<Reference, DropReason> {
    let (source, port) = (flow.tuple.source(), flow.tuple.ports.destination());
    let service = service.ok_or(DropReason::NoService)?;
    if !opens(flow.protocol, flow.signal) {
        return Err(DropReason::NoSession);
    }
    context.newcomers = true;
    context.openings = context.openings.checked_sub(1).ok_or(DropReason::Overload)?;
    if is_martian_source(source) || views.services.role(source).is_some() {
        return Err(DropReason::MartianSource);
    }
    if !service.admits(source) {
        return Err(DropReason::SourceRefused);
    }
    // Before anything that costs: with a full table every packet of a flood comes here.
    if F::table(sessions).is_full() {
        return Err(DropReason::SessionTableFull);
    }
    let way_back = views.routes.way(source).ok_or(DropReason::NoRoute)?;
    let client = Client { flow: agreed_hash(&flow.tuple, flow.protocol), source };
    let backend = service.select(&client, |backend| context.active(backend)).ok_or(DropReason::NoBackend)?;
    let way = views.routes.way(backend.address).ok_or(DropReason::NoRoute)?;
    let slot = |way: &Way| context.next_hops.find(way.port, way.neighbor).unwrap_or(NextHopId::UNKNOWN);
    let (slot_there, slot_back) = (slot(&way), slot(&way_back));
    let Context { local_ports, local_addresses, ports, tally, backends, now_ms, worker, journal, .. } =
        context;
    let wanted = Wanted {
        backend: backend.id,
        towards: (backend.address, backend.port.unwrap_or(port)),
        protocol: flow.protocol,
        addresses: local_addresses.of::<F>(instance),
        steering: &ports.get(way.port.index()).ok_or(DropReason::NoRoute)?.facts.steering,
        worker: *worker,
    };
    let table = F::table_mut(sessions);
    let evicted = |session: &Session<F>| {
        tally.add(Counter::SessionsEnded, 1);
        backends.ended(session.backend());
        if let Some(journal) = journal.as_mut() {
            journal.ended(session);
        }
    };
    let (outbound, reply_hash) =
        local_ports.take(&wanted, table, *now_ms, evicted).map_err(|_| DropReason::PortsExhausted)?;
    let ids = (service.id(), backend.id, instance);
    let mut session = Session::new(flow.tuple, outbound, flow.protocol, ids, *now_ms);
    session.set_next_hop(Direction::Inbound, slot_there);
    session.set_next_hop(Direction::Outbound, slot_back);
    let reference =
        table.insert_hashed(session, [hash, reply_hash]).map_err(|_| DropReason::SessionTableFull)?;
    tally.add(Counter::SessionsOpened, 1);
    backends.opened(backend.id);
    if let Some(journal) = journal {
        journal.opened(&session, flow.protocol, client.flow);
    }
    if slot_back == NextHopId::UNKNOWN {
        // Asked now, the reply need not wait.
        let _ = context.wanted.try_push((way_back.port, way_back.neighbor));
    }
    Ok(reference)
}
