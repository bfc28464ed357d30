//! What went over an interface, and what tshark thinks of it.

use crate::{Namespace, Program, Result, output};
use std::{path::Path, path::PathBuf, process::Command, time::Duration};

/// A running tcpdump.
#[derive(Debug)]
pub struct Capture {
    program: Program,
    file: PathBuf,
}

impl Capture {
    /// Captures what passes `interface` into `file`; `filter` as tcpdump takes it.
    ///
    /// # Errors
    ///
    /// tcpdump does not start.
    pub fn start(namespace: &Namespace, interface: &str, filter: &str, file: &Path) -> Result<Self> {
        let mut command = namespace.command("tcpdump");
        command.args(["-i", interface, "-s", "0", "-B", "65536", "-U", "--immediate-mode", "-w"]).arg(file);
        // Written as whoever runs the lab.
        command.args(["-Z", "root"]).args(filter.split_whitespace());
        let mut program = Program::start("tcpdump", command, &file.with_extension("log"))?;
        program.wait_for("listening on", Duration::from_secs(10))?;
        Ok(Self { program, file: file.to_owned() })
    }

    /// Ends the capture.
    ///
    /// # Errors
    ///
    /// tcpdump lost packets: then nothing can be said.
    pub fn finish(mut self) -> Result<Captured> {
        std::thread::sleep(Duration::from_millis(200));
        self.program.stop();
        let log = self.program.log();
        if log.contains(" 0 packets dropped by kernel") || log.contains("\n0 packets dropped by kernel") {
            return Ok(Captured { file: self.file.clone() });
        }
        Err(crate::Error::Failed { program: "tcpdump".into(), said: log })
    }
}

/// A capture that has ended.
#[derive(Debug)]
pub struct Captured {
    file: PathBuf,
}

/// Has tshark verify every checksum there is.
const CHECKSUMS: [&str; 12] = [
    "-o",
    "ip.check_checksum:TRUE",
    "-o",
    "tcp.check_checksum:TRUE",
    "-o",
    "udp.check_checksum:TRUE",
    "-o",
    "sctp.checksum:TRUE",
    "-o",
    "tcp.desegment_tcp_streams:FALSE",
    "-o",
    "ip.defragment:FALSE",
];

impl Captured {
    /// The fields of each packet that `filter` (tshark's display filter) keeps, tab-separated.
    ///
    /// # Errors
    ///
    /// tshark fails.
    pub fn fields(&self, filter: &str, fields: &[&str]) -> Result<Vec<String>> {
        let mut command = Command::new("tshark");
        command.arg("-r").arg(&self.file).args(CHECKSUMS).args(["-Y", filter, "-T", "fields"]);
        for field in fields {
            command.args(["-e", field]);
        }
        Ok(output(&mut command)?.lines().map(str::to_owned).collect())
    }

    /// How many packets `filter` keeps.
    ///
    /// # Errors
    ///
    /// tshark fails.
    pub fn count(&self, filter: &str) -> Result<usize> {
        self.fields(filter, &["frame.number"]).map(|lines| lines.len())
    }

    /// Packets with a wrong checksum, as tshark sees it.
    ///
    /// TCP's other zero is none: Linux sends 0xffff where the sum is 0, every receiver takes it
    /// (RFC 1624, section 3), and tshark alone of them calls it bad. One packet of 65,536 is such.
    ///
    /// # Errors
    ///
    /// tshark fails.
    pub fn bad_checksums(&self) -> Result<Vec<String>> {
        let bad = ["ip", "tcp", "udp", "icmp", "icmpv6", "sctp"]
            .map(|layer| format!("{layer}.checksum.status == Bad"));
        let other_zero = "tcp.checksum == 0xffff && tcp.checksum_calculated == 0";
        self.fields(
            &format!("({}) && !({other_zero})", bad.join(" || ")),
            &[
                "frame.number",
                "frame.protocols",
                "ip.src",
                "ip.dst",
                "ipv6.src",
                "ipv6.dst",
                "tcp.checksum",
                "tcp.checksum_calculated",
            ],
        )
    }
}
