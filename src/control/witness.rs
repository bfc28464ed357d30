//! Asks the witnesses, and takes their answers.

use super::{Control, bfd::send_ip};
use crate::{
    packet::{Datagram, icmp::EchoId},
    port::Port,
    protocol::{
        bfd::{self, MAX_DATAGRAM, emit},
        witness::{Gateway, Request},
    },
    types::{Instant, PortId},
};

/// Questions asked in one turn.
const PER_TURN: usize = 8;

impl<P: Port> Control<P> {
    /// Asks what is due.
    pub(super) fn ask_witnesses(&mut self, now: Instant) -> bool {
        let mut asked = false;
        for _ in 0..PER_TURN {
            let Some(ha) = &mut self.ha else { break };
            if ha.witness.deadline().is_none() {
                break;
            }
            let Some((gateway, request)) = ha.witness.ask(now) else { break };
            asked = true;
            self.ask(&gateway, &request);
        }
        asked
    }

    /// One that cannot be sent counts as lost on the way.
    fn ask(&mut self, gateway: &Gateway, request: &Request) {
        let mut ip = [0; MAX_DATAGRAM];
        let length = match request {
            Request::Arp(ask) => {
                self.outlet
                    .send(gateway.port, |out, facts| ask.frame(facts.mac, gateway.local, facts.vlan, out));
                return;
            }
            Request::Ping(id) => id.write_request(gateway.local, gateway.address, &mut ip),
            Request::Echo { endpoints, payload } => emit(&mut ip, endpoints, payload),
        };
        let datagram = length.and_then(|length| ip.get(..length)).unwrap_or_default();
        let (port, routes) = (Some(gateway.port), self.routes.load());
        send_ip(&mut self.outlet, &self.next_hops, routes, gateway.address, port, datagram);
    }

    /// An echo packet of BFD's came back.
    pub(super) fn hear_echo(&mut self, port: PortId, ip: &[u8], at: Instant) {
        if let (Some(ha), Ok(datagram)) = (&mut self.ha, bfd::Datagram::parse_echo(ip)) {
            // What is not an answer has been counted.
            let _ = ha.witness.hear_echo(port, &datagram, at);
        }
    }

    /// A ping may have been answered.
    pub(super) fn hear_ping(&mut self, ip: &[u8], at: Instant) {
        let Some(ha) = &mut self.ha else { return };
        if let Ok(datagram) = Datagram::parse(ip, true)
            && let Ok(id) = EchoId::of_reply(ip, &datagram)
        {
            ha.witness.hear_ping(datagram.source, id, at);
        }
    }
}
