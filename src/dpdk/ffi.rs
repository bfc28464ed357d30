//! What `dpdk/hitless_dpdk.h` declares; its comments are the documentation. Nothing outside this layer sees
//! it.
#![allow(
    non_camel_case_types,
    unreachable_pub,
    dead_code,
    clippy::multiple_unsafe_ops_per_block,
    clippy::undocumented_unsafe_blocks,
    clippy::allow_attributes_without_reason,
    reason = "generated from the header by build.rs"
)]

include!(concat!(env!("OUT_DIR"), "/hitless_dpdk.rs"));
