//! What the control core tells, in the log.

use crate::{
    control::{BfdChange, Event},
    protocol::bfd::{Cause, State},
};
use tracing::{error, info, warn};

/// Logs everything that waits.
pub fn log_events(events: &crossbeam::queue::ArrayQueue<Event>) {
    while let Some(event) = events.pop() {
        match event {
            Event::AddressConflict { port, address, mac } => {
                warn!(
                    "{mac} on port {port} claims {address}, which is this node's: find that machine and change its address"
                );
            }
            Event::Stall(stall) if stall.over => {
                warn!("worker {} turns again after {} ms", stall.worker, stall.lasted.as_millis());
            }
            Event::Stall(stall) => {
                error!(
                    "worker {} has stood still for {} ms: is its core free for it?",
                    stall.worker,
                    stall.lasted.as_millis()
                );
            }
            Event::Bfd(BfdChange { path, change, silence }) => {
                let silence = silence.map_or_else(String::new, |silence| {
                    format!(", silent for {:.3} ms", silence.as_nanos() as f64 / 1e6)
                });
                let text = format!(
                    "BFD {} from {}: {} to {}, {}{silence}",
                    path.remote,
                    path.local,
                    change.from,
                    change.to,
                    describe(change.cause)
                );
                if change.from == State::Up { warn!("{text}") } else { info!("{text}") }
            }
            Event::Difference(Some(difference)) => {
                error!("sessions are not shared with the peer: {difference}")
            }
            Event::Difference(None) => info!("the peer's configuration fits: sessions are shared again"),
            Event::InSync(true) => info!("every session of the peer is here"),
            Event::InSync(false) => info!("sessions of the peer are being copied"),
            Event::State(instance, state) => info!("instance {instance} is {}", state.name()),
        }
    }
}

const fn describe(cause: Cause) -> &'static str {
    match cause {
        Cause::Handshake => "handshake",
        Cause::DetectionExpired => "detection time expired",
        Cause::PeerDown => "the peer says it is down",
        Cause::PeerRestarted => "the peer began anew",
        Cause::PeerAdminDown => "the peer's operator took it down",
        Cause::Operator => "our operator's will",
        Cause::LocalReset => "given up by this node",
    }
}
