//! `hitless`: a layer-4 load balancer on DPDK poll-mode drivers.
//!
//! The layers, lowest first; imports go down only (`tests/layers.rs` reads this table):
//!
//! | layer | modules |
//! |---|---|
//! | 0 | `types` |
//! | 1 | `packet` `config` |
//! | 2 | `service` `session` `protocol` |
//! | 3 | `plane` `port` |
//! | 4 | `dpdk` |
//! | 5 | `worker` |
//! | 6 | `control` |
//! | 7 | `manage` `simulator` |
//! | 8 | `cli` `bench` |

pub mod packet;
pub mod port;
pub mod protocol;
pub mod types;
