//! What the client sees while something happens: requests in a loop, a download, and every packet's time.

use hitless_lab::{Capture, Host, Lab, Program, Result, fetch, output};
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// The download's rate; at that rate the file lasts a while.
const RATE: &str = "4m";
/// A request that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(5);

/// Watches from the client's side.
pub(crate) struct Watch {
    capture: Capture,
    stop: Arc<AtomicBool>,
    ping: Program,
    requests: JoinHandle<Requests>,
    download: JoinHandle<Result<String>>,
}

/// How the requests went.
#[derive(Default)]
pub(crate) struct Requests {
    pub(crate) made: usize,
    pub(crate) failed: Vec<String>,
    pub(crate) longest: Duration,
}

/// What was seen.
pub(crate) struct Seen {
    pub(crate) requests: Requests,
    /// What curl says of the download.
    pub(crate) download: Result<String>,
    /// When each packet from the virtual IP came, in seconds since 1970, and its bytes.
    packets: Vec<(f64, usize)>,
    /// When each answer to a ping came.
    pings: Vec<(f64, usize)>,
}

impl Watch {
    pub(crate) fn start(lab: &Lab, client: &Host, vip: SocketAddr, name: &str) -> Result<Self> {
        let file = lab.folder().join(format!("{name}.pcap"));
        let filter = format!("src host {}", vip.ip());
        let capture = Capture::start(&client.namespace, "eth0", &filter, &file)?;
        // The virtual IP answers pings itself: no retransmission blurs when it was there.
        let mut ping = client.namespace.command("ping");
        ping.args(["-n", "-q", "-i", "0.002", &vip.ip().to_string()]);
        let ping = Program::start("ping", ping, &lab.folder().join(format!("{name}.ping")))?;
        let stop = Arc::new(AtomicBool::new(false));
        let (own, asking) = (Arc::clone(&stop), client.clone());
        let requests = thread::spawn(move || {
            asking.namespace.enter(|| {
                let mut requests = Requests::default();
                while !own.load(Relaxed) {
                    let begun = std::time::Instant::now();
                    requests.made += 1;
                    match fetch(vip, "/name", PATIENCE) {
                        Ok(answer) if answer.status == 200 => {}
                        Ok(answer) => requests.failed.push(format!("status {}", answer.status)),
                        Err(error) => requests.failed.push(error.to_string()),
                    }
                    requests.longest = requests.longest.max(begun.elapsed());
                    thread::sleep(Duration::from_millis(5));
                }
                requests
            })
        });
        let loading = client.clone();
        let download = thread::spawn(move || {
            let format = "%{size_download} bytes, status %{http_code}";
            let url = format!("http://{vip}/file");
            let mut curl = loading.namespace.command("curl");
            output(curl.args(["-sSf", "--limit-rate", RATE, "-o", "/dev/null", "-w", format, &url]))
        });
        Ok(Self { capture, stop, ping, requests, download })
    }

    /// Waits for the end of the download.
    pub(crate) fn finish(mut self) -> Result<Seen> {
        let ended = |_| hitless_lab::Error::Late("a thread of the demo ended early".into());
        let download = self.download.join().map_err(ended)?;
        self.stop.store(true, Relaxed);
        let requests = self.requests.join().map_err(ended)?;
        self.ping.stop();
        let captured = self.capture.finish()?;
        let packet = |line: &String| {
            let (time, length) = line.split_once('\t')?;
            Some((time.parse().ok()?, length.parse().ok()?))
        };
        let packets = |protocol: &str| -> Result<Vec<_>> {
            let lines = captured.fields(protocol, &["frame.time_epoch", "frame.len"])?;
            Ok(lines.iter().filter_map(packet).collect())
        };
        Ok(Seen { requests, download, pings: packets("icmp")?, packets: packets("tcp")? })
    }
}

/// The longest gap that ends after `at` and begins within a second of it, in milliseconds.
fn longest_gap(packets: &[(f64, usize)], at: f64) -> f64 {
    let near = |pair: &&[(f64, usize)]| pair[1].0 >= at && pair[0].0 <= at + 1.0;
    let gaps = packets.windows(2).filter(near).map(|pair| pair[1].0 - pair[0].0);
    gaps.fold(0.0, f64::max) * 1000.0
}

/// Now, as captures tell it.
pub(crate) fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

impl Seen {
    /// The longest time without an answer to a ping around `at`, and without a packet of a connection, in
    /// milliseconds.
    pub(crate) fn outages_ms(&self, at: f64) -> (f64, f64) {
        (longest_gap(&self.pings, at), longest_gap(&self.packets, at))
    }

    /// Throughput from a second before `at` to three after it, a column every 50 ms.
    pub(crate) fn plot(&self, at: f64) -> String {
        const COLUMN: f64 = 0.05;
        const BARS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
        let mut columns = [0usize; 80];
        for (time, bytes) in &self.packets {
            let place = (time - at + 1.0) / COLUMN;
            if place >= 0.0
                && let Some(column) = columns.get_mut(place as usize)
            {
                *column += bytes;
            }
        }
        let most = columns.iter().copied().max().unwrap_or(1).max(1);
        let bars: String = columns.iter().map(|bytes| BARS[(bytes * 8).div_ceil(most)]).collect();
        let scale = most as f64 * 8.0 / COLUMN / 1e6;
        format!("  {bars}  {scale:.0} Mbit/s at the top\n  {:>20}│ here", "")
    }
}
