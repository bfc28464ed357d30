//! Fields of fixed size at an offset, their bounds checked in one place.

/// The `N` bytes at `at`; `None` when they are not all there.
#[inline]
pub(crate) fn read<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

/// Puts `field` at `at`; `None`, and nothing written, when it does not fit.
#[inline]
pub(crate) fn write<const N: usize>(bytes: &mut [u8], at: usize, field: [u8; N]) -> Option<()> {
    *bytes.get_mut(at..)?.first_chunk_mut()? = field;
    Some(())
}

/// The 16-bit number at `at`, in network byte order.
#[inline]
pub(crate) fn read_u16(bytes: &[u8], at: usize) -> Option<u16> {
    read(bytes, at).map(u16::from_be_bytes)
}
