//! The error numbers we tell apart, as Linux has them on every architecture DPDK runs on.

pub(super) const EPERM: i32 = 1;
pub(super) const E2BIG: i32 = 7;
pub(super) const EACCES: i32 = 13;
pub(super) const EBUSY: i32 = 16;
pub(super) const ENODEV: i32 = 19;
pub(super) const EINVAL: i32 = 22;
pub(super) const ENOTSUP: i32 = 95;
pub(super) const EALREADY: i32 = 114;
