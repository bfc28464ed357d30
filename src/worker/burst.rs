//! A burst through the worker, in three rounds, so that no packet waits for memory alone: parse each and ask for
//! its bucket; find each candidate and ask for its session; then decide each, in the order they came, and let it
//! go.

use super::{
    Worker,
    core::{Context, CorePort, Sessions, Views},
    exception,
    family::WorkerFamily,
    forward::forward,
    open::reopens,
    verdict::{Source, Verdict},
};
use crate::{
    packet::{ETHER_IPV4, ETHER_IPV6, ETHER_VLAN, Exception, Family, Flow, V4, V6},
    plane::{Counter, prefetch_nearby},
    port::{BATCH, Burst, Checksum, Packet, Port},
    session::{Reference, Table},
    types::{DropReason, Mac},
};
use arrayvec::ArrayVec;

/// What is known of a packet before its turn comes. The tag is a byte of its own: it is read twice a packet.
#[derive(Debug)]
#[repr(u8)]
enum Stage {
    V4(Sought<V4>),
    V6(Sought<V6>),
    Aside(Exception),
}

type Stages = ArrayVec<Stage, BATCH>;

/// A plain packet whose session is being sought.
#[derive(Debug)]
struct Sought<F: Family> {
    flow: Flow<F>,
    hash: u64,
    candidate: Reference,
}

impl<P: Port> Worker<P> {
    /// Every packet of `burst` gets its verdict, and the verdict is carried out.
    pub(super) fn process(&mut self, burst: &mut Burst<P::Packet>, from: Source) {
        let (sessions, context) = (&mut self.core.sessions, &mut self.core.context);
        let views = Views { services: self.services.load(), routes: self.routes.load() };
        let mut stages = Stages::new();
        burst.iter().for_each(Packet::prefetch);
        context.tally.add(Counter::Rx, burst.len() as u64);
        self.exits.make_room(burst.len(), &mut context.tally);
        context.allow_openings();
        let Some(port) = context.port(from.port) else {
            let bytes: usize = burst.iter().map(Packet::length).sum();
            context.tally.add(Counter::RxBytes, bytes as u64);
            return burst.drain(..).for_each(|_| context.tally.drop(DropReason::NoRoute));
        };
        // Before the verdicts: a frame that changes its VLAN leaves with another length.
        let mut bytes = 0;
        for packet in burst.iter() {
            bytes += packet.length();
            if let Err(exception) = look(packet, port, sessions, &mut stages) {
                stages.push(Stage::Aside(exception));
            }
        }
        context.tally.add(Counter::RxBytes, bytes as u64);
        for stage in &mut stages {
            match stage {
                Stage::V4(sought) => sought.seek(&sessions.v4),
                Stage::V6(sought) => sought.seek(&sessions.v6),
                Stage::Aside(_) => {}
            }
        }
        for (mut packet, stage) in burst.drain(..).zip(&stages) {
            let verdict = match stage {
                Stage::V4(sought) => sought.decide(sessions, context, &views, &mut packet, from),
                Stage::V6(sought) => sought.decide(sessions, context, &views, &mut packet, from),
                Stage::Aside(Exception::Uncommon) => {
                    exception::decide(sessions, context, &views, &mut packet, from)
                }
                Stage::Aside(Exception::Bad(reason)) => Verdict::Drop(*reason),
            };
            self.exits.carry_out(verdict, packet, from.port, context);
        }
        context.flush_journal();
        self.exits.request_all(&mut context.wanted);
    }
}

/// Round 1 of one packet: parse, hash, ask for the bucket.
#[inline(always)]
fn look<P: Packet>(
    packet: &P,
    port: &CorePort,
    sessions: &Sessions,
    stages: &mut Stages,
) -> Result<(), Exception> {
    if !packet.has_sound_checksums() {
        return Err(unsound(packet, port));
    }
    let checked = packet.ip_checksum() == Checksum::Good;
    let frame = packet.data();
    let ether_type = ether_type(frame, port)?;
    let Some(ip) = frame.get(port.l2_length..) else { return Err(Exception::Bad(DropReason::Truncated)) };
    match ether_type {
        ETHER_IPV4 => stages.push(Stage::V4(Sought::new(V4::parse(ip, checked)?, &sessions.v4))),
        ETHER_IPV6 => stages.push(Stage::V6(Sought::new(V6::parse(ip, checked)?, &sessions.v6))),
        _ => return Err(Exception::Uncommon),
    }
    Ok(())
}

/// What becomes of a packet whose checksums the NIC found wrong, or which the sender left to a NIC.
#[cold]
fn unsound<P: Packet>(packet: &P, port: &CorePort) -> Exception {
    match (packet.ip_checksum(), packet.l4_checksum()) {
        (Checksum::Bad, _) => Exception::Bad(DropReason::BadIpChecksum),
        (_, Checksum::Bad) => Exception::Bad(DropReason::BadL4Checksum),
        _ => ether_type(packet.data(), port).err().unwrap_or(Exception::Uncommon),
    }
}

/// What follows the Ethernet header of a frame to this port, in its VLAN.
#[inline(always)]
fn ether_type(frame: &[u8], port: &CorePort) -> Result<u16, Exception> {
    let Some(&[.., type0, type1]) = frame.first_chunk::<14>() else {
        return Err(Exception::Bad(DropReason::Truncated));
    };
    let ours =
        frame.first_chunk().is_some_and(|start| u64::from_le_bytes(*start) << 16 == port.mac_bits << 16);
    let outer = u16::from_be_bytes([type0, type1]);
    if ours && port.vlan == 0 && outer != ETHER_VLAN {
        return Ok(outer);
    }
    other_ether_type(frame, ours, outer, port)
}

/// What follows the Ethernet header of a frame that is tagged, or to a group or to somebody else.
#[inline(never)]
fn other_ether_type(frame: &[u8], ours: bool, outer: u16, port: &CorePort) -> Result<u16, Exception> {
    let to = frame.first_chunk().copied().map_or(Mac::BROADCAST, Mac);
    let ours = ours || port.virtual_macs.contains(&to);
    if !ours && !to.is_multicast() {
        return Err(Exception::Bad(DropReason::ForeignMac));
    }
    if (outer == ETHER_VLAN) != (port.vlan != 0) {
        return Err(Exception::Bad(DropReason::WrongVlan));
    }
    let inner = if outer == ETHER_VLAN {
        let Some(&[.., tag0, tag1, inner0, inner1]) = frame.first_chunk::<18>() else {
            return Err(Exception::Bad(DropReason::Truncated));
        };
        if u16::from_be_bytes([tag0, tag1]) & 0x0fff != port.vlan {
            return Err(Exception::Bad(DropReason::WrongVlan));
        }
        u16::from_be_bytes([inner0, inner1])
    } else {
        outer
    };
    if ours { Ok(inner) } else { Err(Exception::Uncommon) }
}

impl<F: WorkerFamily> Sought<F> {
    #[inline(always)]
    fn new(flow: Flow<F>, table: &Table<F>) -> Self {
        let hash = table.hash(&flow.tuple, flow.protocol);
        table.prefetch(hash);
        Self { flow, hash, candidate: Reference::NONE }
    }

    /// Round 2: find the candidate, ask for its session.
    #[inline(always)]
    fn seek(&mut self, table: &Table<F>) {
        self.candidate = table.candidate(self.hash);
        if let Some(session) = table.at(self.candidate) {
            prefetch_nearby(session);
        }
    }

    /// Round 3: what becomes of the packet, which has been rewritten if it goes out.
    #[inline(always)]
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
