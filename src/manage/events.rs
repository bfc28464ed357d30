//! What the control core tells, in the log.

use crate::control::Event;
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
