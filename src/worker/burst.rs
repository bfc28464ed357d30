//! A burst through the worker: parse all and ask for their buckets, find all and ask for their sessions, then
//! decide each in the order they came.

use super::{
    core::{Context, Core, CorePort, Sessions, Views},
    exception,
    family::WorkerFamily,
    forward::forward,
    open,
    verdict::{Source, Verdict},
};
use crate::{
    packet::{ETHER_ARP, ETHER_IPV4, ETHER_IPV6, ETHER_VLAN, Exception, Family, Flow, V4, V6},
    port::{BURST, Burst, Checksum, Packet},
    session::Reference,
    types::{DropReason, PortId},
};
use arrayvec::ArrayVec;

/// A parsed packet on its way through the stages.
#[derive(Debug)]
struct Stage<F: WorkerFamily> {
    index: u8,
    hash: u64,
    candidate: Reference,
    flow: Flow<F>,
}

type Lane<F> = ArrayVec<Stage<F>, BURST>;

/// What the Ethernet header says.
enum Frame {
    V4,
    V6,
    Arp,
    /// To a group address, or no protocol of ours.
    Other,
    Bad(DropReason),
}

#[inline]
fn classify(frame: &[u8], port: &CorePort) -> Frame {
    let Some(header) = frame.first_chunk::<14>() else { return Frame::Bad(DropReason::Truncated) };
    let [a, b, c, d, e, f, _, _, _, _, _, _, type0, type1] = *header;
    let ours = [a, b, c, d, e, f] == port.mac.0;
    if !ours && a & 1 == 0 {
        return Frame::Bad(DropReason::ForeignMac);
    }
    let mut ether_type = u16::from_be_bytes([type0, type1]);
    if (ether_type == ETHER_VLAN) != (port.facts.vlan != 0) {
        return Frame::Bad(DropReason::WrongVlan);
    }
    if ether_type == ETHER_VLAN {
        let Some(&[_, _, _, _, _, _, _, _, _, _, _, _, _, _, tag0, tag1, inner0, inner1]) =
            frame.first_chunk()
        else {
            return Frame::Bad(DropReason::Truncated);
        };
        if u16::from_be_bytes([tag0, tag1]) & 0x0fff != port.facts.vlan {
            return Frame::Bad(DropReason::WrongVlan);
        }
        ether_type = u16::from_be_bytes([inner0, inner1]);
    }
    match ether_type {
        ETHER_IPV4 if ours => Frame::V4,
        ETHER_IPV6 if ours => Frame::V6,
        ETHER_ARP => Frame::Arp,
        _ => Frame::Other,
    }
}

impl Core {
    /// One verdict a packet, in order. Packets whose verdict sends them out have been rewritten.
    pub(super) fn decide<P: Packet>(
        &mut self,
        views: &Views<'_>,
        burst: &mut Burst<P>,
        from: Source,
    ) -> ArrayVec<Verdict, BURST> {
        let mut verdicts = ArrayVec::new();
        let mut lanes = (Lane::<V4>::new(), Lane::<V6>::new());
        let mut uncommon = ArrayVec::<u8, BURST>::new();
        for packet in burst.iter() {
            packet.prefetch();
        }
        for (index, packet) in burst.iter().enumerate() {
            let index = index as u8;
            let verdict = match self.look(packet, from.port, index, &mut lanes) {
                Err(Exception::Bad(reason)) => Verdict::Drop(reason),
                Err(Exception::Uncommon) => {
                    uncommon.push(index);
                    Verdict::Kernel
                }
                // Its lane decides.
                Ok(()) => Verdict::Kernel,
            };
            verdicts.push(verdict);
        }
        let Self { sessions, context, .. } = self;
        run_lane(&mut lanes.0, sessions, context, views, burst, from, &mut verdicts);
        run_lane(&mut lanes.1, sessions, context, views, burst, from, &mut verdicts);
        for index in uncommon {
            let index = usize::from(index);
            verdicts[index] = exception::decide(sessions, context, views, &mut burst[index], from);
        }
        verdicts
    }

    /// Stage 1 of one packet: parse, hash, ask for the bucket.
    #[inline]
    fn look<P: Packet>(
        &self,
        packet: &P,
        in_port: PortId,
        index: u8,
        lanes: &mut (Lane<V4>, Lane<V6>),
    ) -> Result<(), Exception> {
        let port = self.context.port(in_port).ok_or(Exception::Bad(DropReason::NoRoute))?;
        let (checked, filled_in) = match (packet.ip_checksum(), packet.l4_checksum()) {
            (Checksum::Bad, _) => return Err(Exception::Bad(DropReason::BadIpChecksum)),
            (_, Checksum::Bad) => return Err(Exception::Bad(DropReason::BadL4Checksum)),
            (Checksum::Partial, _) | (_, Checksum::Partial) => (true, false),
            (ip, _) => (ip == Checksum::Good, true),
        };
        let frame = packet.data();
        let ip = frame.get(port.l2_length..).unwrap_or_default();
        match classify(frame, port) {
            Frame::V4 | Frame::V6 if !filled_in => return Err(Exception::Uncommon),
            Frame::V4 => enter(&mut lanes.0, &self.sessions, index, V4::parse(ip, checked)?),
            Frame::V6 => enter(&mut lanes.1, &self.sessions, index, V6::parse(ip, checked)?),
            Frame::Arp | Frame::Other => return Err(Exception::Uncommon),
            Frame::Bad(reason) => return Err(Exception::Bad(reason)),
        }
        Ok(())
    }
}

#[inline]
fn enter<F: WorkerFamily>(lane: &mut Lane<F>, sessions: &Sessions, index: u8, flow: Flow<F>) {
    let table = F::table(sessions);
    let hash = table.hash(&flow.tuple, flow.protocol);
    table.prefetch(hash);
    lane.push(Stage { index, hash, candidate: Reference::NONE, flow });
}

/// Stages 2 and 3 of one family's packets.
#[inline]
fn run_lane<F: WorkerFamily, P: Packet>(
    lane: &mut Lane<F>,
    sessions: &mut Sessions,
    context: &mut Context,
    views: &Views<'_>,
    burst: &mut Burst<P>,
    from: Source,
    verdicts: &mut ArrayVec<Verdict, BURST>,
) {
    for stage in lane.iter_mut() {
        stage.candidate = F::table(sessions).candidate(stage.hash);
    }
    for Stage { index, hash, candidate, flow } in lane.iter() {
        let packet = &mut burst[usize::from(*index)];
        let table = F::table_mut(sessions);
        let verdict = match table.confirm(*candidate, &flow.tuple, flow.protocol) {
            Some(session) if !open::reopens(session, candidate.direction(), flow) => {
                forward(session, candidate.direction(), flow, F::HEADER, context, views, packet, from)
            }
            _ => match open::locate(flow, *hash, sessions, context, views, from) {
                Err(verdict) => verdict,
                Ok(reference) => match F::table_mut(sessions).get_mut(reference) {
                    Some(session) => {
                        forward(session, reference.direction(), flow, F::HEADER, context, views, packet, from)
                    }
                    None => Verdict::Drop(DropReason::NoSession),
                },
            },
        };
        verdicts[usize::from(*index)] = verdict;
    }
}
