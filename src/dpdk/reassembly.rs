//! `net_af_packet` and IPv4 fragments: the kernel joins them before it spreads packets over queues, so a receive frame must
//! hold a datagram of any size, and a packet buffer what a frame holds. Workers cut such packets again on their way out.

use super::{pool::PoolOptions, spec::is_driver};

/// The MTU of the largest buffers there are.
const MTU: u16 = 64_486;
/// A frame of the ring that the kernel shares with us, its header included: IP packets of up to 64,432 bytes.
const FRAME: u32 = 63 * 1024;
/// A block of that ring: whole pages and whole frames, or the driver looks for frames where there are none.
const BLOCK: u32 = 4 * FRAME;
/// Frames of a ring.
const FRAMES: u32 = 512;

/// Buffers, by the megabytes the port may take. The driver keeps none in its rings.
const BUFFERS: [(u32, u32); 2] = [(160, 1023), (80, 511)];

/// The device and the pool of a port that gets datagrams whole; `None` for other devices, when the configuration sets the
/// frame size itself, and when `memory_mb` is too little.
pub fn whole_datagrams(device: &str, memory_mb: u32) -> Option<(String, PoolOptions)> {
    let name = device.split(',').next()?.trim_start_matches("vdev:");
    if !is_driver(name, "net_af_packet")
        || ["framesz=", "blocksz="].iter().any(|given| device.contains(given))
    {
        return None;
    }
    let (_, packets) = *BUFFERS.iter().find(|(least, _)| memory_mb >= *least)?;
    let device = format!("{device},blocksz={BLOCK},framesz={FRAME},framecnt={FRAMES}");
    Some((device, PoolOptions { packets, mtu: MTU, numa_node: None }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_where_the_kernel_reassembles_and_memory_allows() {
        let found = |device, memory_mb| {
            whole_datagrams(device, memory_mb).map(|(device, pool)| (device, pool.packets))
        };
        let with = "net_af_packet0,iface=eth0,blocksz=258048,framesz=64512,framecnt=512".to_owned();
        assert_eq!(found("net_af_packet0,iface=eth0", 256), Some((with.clone(), 1023)));
        assert_eq!(found("net_af_packet0,iface=eth0", 100), Some((with, 511)));
        assert_eq!(found("net_af_packet0,iface=eth0", 64), None);
        assert_eq!(found("net_af_packet0,iface=eth0,framesz=4096", 256), None);
        assert_eq!(found("net_tap0,iface=eth0", 256), None);
        assert_eq!(found("0000:3b:00.0", 1024), None);
    }
}
