//! A burst through the worker, in three rounds, so that no packet waits for memory alone: parse each and ask for
//! its bucket; find each candidate, in its second bucket if the first had none, and ask for its session; then let each
//! pass, in the order they came, or decide what else becomes of it.

use super::{
    Worker,
    core::{Context, Core, CorePort, Sessions, Views},
    exception,
    family::WorkerFamily,
    forward::{forward, pass},
    open::reopens,
    verdict::{Arrival, Source, Verdict},
};
use crate::{
    packet::{self, Exception, Family, Flow, V4, V6},
    plane::{Counter, prefetch_nearby},
    port::{BATCH, Burst, Checksum, Packet, Port},
    session::{Reference, Table},
    types::{DropReason, Mac, PortId},
};
use arrayvec::ArrayVec;

/// As it lies in the frame, read in native order.
type EtherType = u16;

const ETHER_IPV4: EtherType = packet::ETHER_IPV4.to_be();
const ETHER_IPV6: EtherType = packet::ETHER_IPV6.to_be();
const ETHER_VLAN: EtherType = packet::ETHER_VLAN.to_be();

/// What is known of a packet before its turn comes. The tag is a byte of its own: it is read twice a packet.
#[derive(Debug)]
#[repr(u8)]
pub(super) enum Stage {
    V4(Sought<V4>),
    V6(Sought<V6>),
    Aside(Exception),
}

/// Of each packet of a burst, in their order. They live as long as the worker, and a burst overwrites those it needs.
pub(super) type Stages = [Stage; BATCH];

/// Before the first burst.
pub(super) fn stages() -> Box<Stages> {
    Box::new([const { Stage::Aside(Exception::Uncommon) }; BATCH])
}

/// A plain packet whose session is being sought.
#[derive(Debug)]
pub(super) struct Sought<F: Family> {
    flow: Flow<F>,
    hash: u64,
    candidate: Reference,
}

impl<P: Port> Worker<P> {
    /// Every packet of `burst`, which came by `port`, passes, or gets a verdict, which is carried out.
    pub(super) fn process(&mut self, burst: &mut Burst<P::Packet>, port: PortId, arrival: Arrival) {
        let Core { sessions, context, .. } = &mut self.core;
        let views = Views { services: self.services.load(), routes: self.routes.load() };
        burst.iter().for_each(Packet::prefetch);
        context.tally.add(Counter::Rx, burst.len() as u64);
        self.exits.make_room(burst.len(), &mut context.tally);
        context.allow_openings();
        let Some(port) = context.port(port) else {
            let bytes: usize = burst.iter().map(Packet::length).sum();
            context.tally.add(Counter::RxBytes, bytes as u64);
            return burst.drain(..).for_each(|_| context.tally.drop(DropReason::NoRoute));
        };
        let from = Source { port, arrival };
        let stages = &mut self.stages[..burst.len()];
        // Before the verdicts: a frame that changes its VLAN leaves with another length.
        let mut bytes = 0;
        for (packet, stage) in burst.iter().zip(&mut *stages) {
            bytes += packet.length();
            if let Err(exception) = look(packet, port, sessions, stage) {
                *stage = Stage::Aside(exception);
            }
        }
        context.tally.add(Counter::RxBytes, bytes as u64);
        seek(stages, sessions);
        let mut packets = burst.drain(..);
        for stage in &*stages {
            let Some(mut packet) = packets.next() else { break };
            let passed = match stage {
                Stage::V4(sought) => sought.pass(sessions, context, &mut packet, from),
                Stage::V6(sought) => sought.pass(sessions, context, &mut packet, from),
                Stage::Aside(_) => None,
            };
            match passed {
                Some(out) => self.exits.transmit(out, packet, context),
                None => {
                    let verdict = stage.decide(sessions, context, &views, &mut packet, from);
                    self.exits.carry_out(verdict, packet, from.port.id, context);
                }
            }
        }
        context.flush_journal();
        self.exits.request_all(&mut context.wanted);
    }
}

/// Round 2 of a burst: each candidate found, and its session asked for.
#[inline(always)]
fn seek(stages: &mut [Stage], sessions: &Sessions) {
    let mut spilled = ArrayVec::<&mut Stage, BATCH>::new();
    for stage in stages {
        let found = match stage {
            Stage::V4(sought) => sought.seek(&sessions.v4),
            Stage::V6(sought) => sought.seek(&sessions.v6),
            Stage::Aside(_) => true,
        };
        if !found && stage.ask_second(sessions) {
            spilled.push(stage);
        }
    }
    for stage in &mut spilled {
        stage.seek_second(sessions);
    }
}

/// Round 1 of one packet: parse, hash, ask for the bucket.
#[inline(always)]
fn look<P: Packet>(
    packet: &P,
    port: &CorePort,
    sessions: &Sessions,
    stage: &mut Stage,
) -> Result<(), Exception> {
    if !packet.has_sound_checksums() {
        return Err(unsound(packet, port));
    }
    let checked = packet.ip_checksum() == Checksum::Good;
    let frame = packet.data();
    let (ether_type, ip) = match untagged(frame, port) {
        Some(found) => found,
        None => other_payload(frame, port)?,
    };
    if ether_type == ETHER_IPV4 {
        *stage = Stage::V4(Sought::new(V4::parse(ip, checked)?, &sessions.v4));
    } else if ether_type == ETHER_IPV6 {
        *stage = Stage::V6(Sought::new(V6::parse(ip, checked)?, &sessions.v6));
    } else {
        return Err(not_ip(ether_type, port));
    }
    Ok(())
}

#[cold]
const fn not_ip(ether_type: EtherType, port: &CorePort) -> Exception {
    if ether_type == ETHER_VLAN && port.vlan == 0 {
        Exception::Bad(DropReason::WrongVlan)
    } else {
        Exception::Uncommon
    }
}

/// What becomes of a packet whose checksums the NIC found wrong, or which the sender left to a NIC.
#[cold]
fn unsound<P: Packet>(packet: &P, port: &CorePort) -> Exception {
    match (packet.ip_checksum(), packet.l4_checksum()) {
        (Checksum::Bad, _) => Exception::Bad(DropReason::BadIpChecksum),
        (_, Checksum::Bad) => Exception::Bad(DropReason::BadL4Checksum),
        _ => other_payload(packet.data(), port).err().unwrap_or(Exception::Uncommon),
    }
}

/// The type and the payload of a frame to the MAC of a port without a VLAN, as nearly all are: one comparison.
#[inline(always)]
fn untagged<'a>(frame: &'a [u8], port: &CorePort) -> Option<(EtherType, &'a [u8])> {
    let (header, payload) = frame.split_first_chunk::<14>()?;
    let start = u64::from_le_bytes(*header.first_chunk()?);
    let &[.., type0, type1] = header;
    (start & Mac::BITS == port.untagged).then_some((EtherType::from_ne_bytes([type0, type1]), payload))
}

/// The type and the payload of any other, if it is for this port and in its VLAN.
#[inline(never)]
fn other_payload<'a>(frame: &'a [u8], port: &CorePort) -> Result<(EtherType, &'a [u8]), Exception> {
    let Some((&[a, b, c, d, e, f, .., type0, type1], payload)) = frame.split_first_chunk::<14>() else {
        return Err(Exception::Bad(DropReason::Truncated));
    };
    let (to, outer) = (Mac([a, b, c, d, e, f]), EtherType::from_ne_bytes([type0, type1]));
    let ours = to == port.mac || port.virtual_macs.contains(&to);
    if !ours && !to.is_multicast() {
        return Err(Exception::Bad(DropReason::ForeignMac));
    }
    if (outer == ETHER_VLAN) != (port.vlan != 0) {
        return Err(Exception::Bad(DropReason::WrongVlan));
    }
    let inner = if outer == ETHER_VLAN {
        let Some((&[tag0, tag1, inner0, inner1], payload)) = payload.split_first_chunk() else {
            return Err(Exception::Bad(DropReason::Truncated));
        };
        if u16::from_be_bytes([tag0, tag1]) & 0x0fff != port.vlan {
            return Err(Exception::Bad(DropReason::WrongVlan));
        }
        (EtherType::from_ne_bytes([inner0, inner1]), payload)
    } else {
        (outer, payload)
    };
    if ours { Ok(inner) } else { Err(Exception::Uncommon) }
}

impl Stage {
    /// Of a packet without a candidate: whether its second bucket may have one, which is asked for.
    #[inline(never)]
    fn ask_second(&self, sessions: &Sessions) -> bool {
        match self {
            Self::V4(sought) => sessions.v4.prefetch_second(sought.hash),
            Self::V6(sought) => sessions.v6.prefetch_second(sought.hash),
            Self::Aside(_) => false,
        }
    }

    /// What that bucket has.
    #[inline(never)]
    fn seek_second(&mut self, sessions: &Sessions) {
        match self {
            Self::V4(sought) => sought.seek_second(&sessions.v4),
            Self::V6(sought) => sought.seek_second(&sessions.v6),
            Self::Aside(_) => {}
        }
    }

    /// What becomes of a packet that did not just pass.
    #[inline(never)]
    fn decide<P: Packet>(
        &self,
        sessions: &mut Sessions,
        context: &mut Context,
        views: &Views<'_>,
        packet: &mut P,
        from: Source,
    ) -> Verdict {
        match self {
            Self::V4(sought) => sought.decide(sessions, context, views, packet, from),
            Self::V6(sought) => sought.decide(sessions, context, views, packet, from),
            Self::Aside(Exception::Uncommon) => exception::decide(sessions, context, views, packet, from),
            Self::Aside(Exception::Bad(reason)) => Verdict::Drop(*reason),
        }
    }
}

impl<F: WorkerFamily> Sought<F> {
    #[inline(always)]
    fn new(flow: Flow<F>, table: &Table<F>) -> Self {
        let hash = table.hash(&flow.tuple, flow.protocol);
        table.prefetch(hash);
        Self { flow, hash, candidate: Reference::NONE }
    }

    /// Round 2: find the candidate, ask for its session. Whether there is one.
    #[inline(always)]
    fn seek(&mut self, table: &Table<F>) -> bool {
        self.candidate = table.candidate(self.hash);
        self.ask(table)
    }

    fn seek_second(&mut self, table: &Table<F>) {
        self.candidate = table.second_candidate(self.hash);
        self.ask(table);
    }

    #[inline(always)]
    fn ask(&self, table: &Table<F>) -> bool {
        let session = table.at(self.candidate);
        session.into_iter().for_each(prefetch_nearby);
        session.is_some()
    }

    /// Round 3 of a packet that changes nothing: it has been rewritten, and leaves by this port.
    #[inline(always)]
    fn pass<P: Packet>(
        &self,
        sessions: &mut Sessions,
        context: &mut Context,
        packet: &mut P,
        from: Source,
    ) -> Option<PortId> {
        let (flow, direction) = (&self.flow, self.candidate.direction());
        let session = F::table_mut(sessions).confirm(self.candidate, &flow.tuple, flow.protocol)?;
        pass(session, direction, flow, context, packet, from)
    }

    /// Round 3 of any other. It has been rewritten if it goes out.
    fn decide<P: Packet>(
        &self,
        sessions: &mut Sessions,
        context: &mut Context,
        views: &Views<'_>,
        packet: &mut P,
        from: Source,
    ) -> Verdict {
        let (flow, direction) = (&self.flow, self.candidate.direction());
        match F::table_mut(sessions).confirm(self.candidate, &flow.tuple, flow.protocol) {
            Some(session) if !reopens(session, direction, flow) => {
                forward(session, direction, flow, F::HEADER, context, views, packet, from)
            }
            _ => exception::forward_flow(flow, self.hash, F::HEADER, sessions, context, views, packet, from),
        }
    }
}
