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
//! | 7 | `manage` |
//! | 8 | `simulator` |
//! | 9 | `bench` |
//! | 10 | `cli` |

pub mod bench;
pub mod cli;
pub mod config;
pub mod control;
#[cfg(feature = "dpdk")]
pub mod dpdk;
pub mod manage;
pub mod packet;
pub mod plane;
pub mod port;
pub mod protocol;
pub mod service;
pub mod session;
pub mod simulator;
pub mod types;
pub mod worker;
