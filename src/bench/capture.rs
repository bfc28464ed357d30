//! `hitless bench capture`: the clients' frames, or a flood's, as a capture file, for other forwarders and for `bench forward
//! --ports net_pcap0,rx_pcap=FILE,infinite_rx=1`.

use super::{Forward, Frames, frames::flags, rig::Shape};
use crate::types::Mac;
use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::Path,
};

/// Little-endian, microseconds, Ethernet (draft-ietf-opsawg-pcap).
const HEADER: [u32; 6] = [0xa1b2_c3d4, 2 | 4 << 16, 0, 0, 65_535, 1];

/// Writes one frame of every flow, in scattered order, or of as many strangers, to the port with address `to`.
///
/// # Errors
/// The file's.
pub fn capture(what: &Forward, frames: Frames, to: Mac, file: &Path) -> io::Result<()> {
    let templates = Shape::new(what).templates(frames, what.family, to, flags::ACK);
    let mut out = BufWriter::new(File::create(file)?);
    let words = |out: &mut BufWriter<File>, words: &[u32]| {
        words.iter().try_for_each(|word| out.write_all(&word.to_le_bytes()))
    };
    words(&mut out, &HEADER)?;
    for frame in templates.frames() {
        let length = frame.len() as u32;
        words(&mut out, &[0, 0, length, length])?;
        out.write_all(frame)?;
    }
    out.flush()
}
