//! Why a hello was refused. One reason a hello, one counter a reason, in the order of the checks.

use crate::types::reason::refusals;

refusals! {
    /// Why a hello was refused. The value is the counter's index, [`Refusal::name`] the metric's label.
    pub enum Refusal, counted by Refusals {
        Truncated = "truncated", "shorter than its header and its number of instances say";
        Version = "version", "another version of the hello: run the same version on both nodes";
        TrailingBytes = "trailing_bytes", "longer than its number of instances says";
        Instances = "instances", "no instance, or more than fit a hello";
        Reserved = "reserved", "a reserved bit or byte is set";
        NodeZero = "node_zero", "the node id is 0";
        IncarnationZero = "incarnation_zero", "the incarnation is 0";
        Role = "role", "a role that is none";
        Priority = "priority", "priority 0";
        Holding = "holding", "a holding that is none";
        Request = "request", "a request that is none";
        Term = "term", "a term beyond 2^59 - 1, or a request whose term is 0";
        Duplicate = "duplicate", "an instance twice";
        OwnNode = "own_node", "from this node's own id: give the nodes different ids, or look for a loop";
        Retired = "retired", "from an incarnation that a later one has replaced";
        Old = "old", "not newer than the one before";
    }
}
