//! placeholder
use super::{core::*, verdict::*};
use crate::port::Packet;
use crate::types::*;
pub(super) fn decide<P: Packet>(
    _s: &mut Sessions,
    context: &mut Context,
    _v: &Views<'_>,
    _p: &mut P,
    from: Source,
) -> Verdict {
    super::open::stranger(context, from)
}
pub(super) fn too_big<P: Packet>(_p: &mut P, _inside: &CorePort, _mtu: u16, _from: Source) -> Verdict {
    Verdict::Drop(DropReason::TooBig)
}
