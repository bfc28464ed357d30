//! Flow rules: UDP packets to a certain port go to a certain queue.
//!
//! Ownership: a rule belongs to its [`FlowRule`], whose `Arc<Attached>` keeps the device open until the rule
//! is gone. DPDK's flow functions take a lock where a driver needs one, so a rule may end on any thread.

use super::{device::Attached, ffi};
use std::{
    ffi::{CStr, c_char},
    ptr::{self, NonNull},
    sync::Arc,
};

/// A rule in force; removed on drop.
#[derive(Debug)]
pub struct FlowRule {
    flow: NonNull<ffi::hl_flow>,
    attached: Arc<Attached>,
}

// SAFETY: a rule is not tied to a thread; see the head of the file.
unsafe impl Send for FlowRule {}

/// The device takes no such rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{device}` takes no rule for UDP port {udp_port} over {family}: {reason}")]
pub struct FlowError {
    device: String,
    udp_port: u16,
    family: &'static str,
    reason: String,
}

impl FlowRule {
    pub(super) fn create(
        attached: &Arc<Attached>,
        udp_port: u16,
        ipv6: bool,
        queue: u16,
    ) -> Result<Self, FlowError> {
        let mut flow = ptr::null_mut();
        ask(attached, udp_port, ipv6, queue, &raw mut flow)?;
        let flow =
            NonNull::new(flow).ok_or_else(|| error(attached, udp_port, ipv6, "it made none".to_owned()))?;
        Ok(Self { flow, attached: attached.clone() })
    }
}

impl Drop for FlowRule {
    fn drop(&mut self) {
        // SAFETY: the port is attached, and the rule is destroyed once. A failure leaves the rule to the
        // device's close.
        let _ = unsafe { ffi::hl_flow_destroy(self.attached.port(), self.flow.as_ptr()) };
    }
}

/// Whether a configured device would take a rule for `udp_port` to `queue`.
pub(super) fn validate(attached: &Attached, udp_port: u16, ipv6: bool, queue: u16) -> Result<(), FlowError> {
    ask(attached, udp_port, ipv6, queue, ptr::null_mut())
}

/// Validates a rule, and creates it where `flow` is not null. Drivers want the rule in one form or the other.
fn ask(
    attached: &Attached,
    udp_port: u16,
    ipv6: bool,
    queue: u16,
    flow: *mut *mut ffi::hl_flow,
) -> Result<(), FlowError> {
    let mut reason = String::new();
    for name_protocol in [true, false] {
        let request = ffi::hl_flow_request { udp_port, queue, ipv6, name_protocol };
        let mut message = [0u8; 128];
        let (text, size) = (message.as_mut_ptr().cast::<c_char>(), message.len());
        // SAFETY: the port is attached; `request` is read, `size` bytes at `text` and, if not null, `flow`, a
        // variable of our caller's, are written during the call.
        let result = unsafe { ffi::hl_flow_create(attached.port(), &raw const request, flow, text, size) };
        if result == 0 {
            return Ok(());
        }
        reason = CStr::from_bytes_until_nul(&message).unwrap_or_default().to_string_lossy().into_owned();
    }
    Err(error(attached, udp_port, ipv6, reason))
}

fn error(attached: &Attached, udp_port: u16, ipv6: bool, reason: String) -> FlowError {
    let family = if ipv6 { "IPv6" } else { "IPv4" };
    FlowError { device: attached.name().to_owned(), udp_port, family, reason }
}
