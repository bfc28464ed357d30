//! A backend: nginx, which says its name, keeps files, and takes uploads.

use crate::{Host, Lab, Program, Result, wait_for};
use std::{
    fs,
    net::{IpAddr, TcpStream},
    path::{Path, PathBuf},
    time::Duration,
};

/// A running nginx: port 8080 of both families. `/name` answers with the host's name and a newline; other paths are
/// files, which `PUT` creates.
#[derive(Debug)]
pub struct Nginx {
    /// The process.
    pub program: Program,
    files: PathBuf,
}

impl Nginx {
    /// The port it listens on.
    pub const PORT: u16 = 8080;

    /// Starts nginx on `host`.
    ///
    /// # Errors
    ///
    /// It does not start.
    pub fn start(lab: &Lab, host: &Host) -> Result<Self> {
        let folder = lab.folder().join(&host.name);
        let files = folder.join("files");
        fs::create_dir_all(&files)?;
        let configuration = folder.join("nginx.conf");
        fs::write(&configuration, configuration_text(&folder, &host.name))?;
        let mut command = host.namespace.command("nginx");
        command.arg("-p").arg(&folder).arg("-c").arg(&configuration).arg("-e").arg(folder.join("error.log"));
        let program = Program::start(&format!("nginx on {}", host.name), command, &folder.join("nginx.out"))?;
        let listens =
            || host.namespace.enter(|| TcpStream::connect((IpAddr::from(host.v4), Self::PORT)).ok());
        match wait_for(Duration::from_secs(10), listens) {
            Some(_) => Ok(Self { program, files }),
            None => Err(crate::Error::Late(format!("nginx does not listen: {}", program.log()))),
        }
    }

    /// Where its files are.
    pub fn files(&self) -> &Path {
        &self.files
    }
}

fn configuration_text(folder: &Path, name: &str) -> String {
    let folder = folder.display();
    let port = Nginx::PORT;
    format!(
        "daemon off; worker_processes 1; user root; pid {folder}/pid; worker_rlimit_nofile 65536;
events {{ worker_connections 32768; }}
http {{
  access_log off; sendfile on; tcp_nodelay on; keepalive_requests 10000000; keepalive_timeout 3600s;
  client_max_body_size 1g; client_body_temp_path {folder}/body; proxy_temp_path {folder}/t1;
  fastcgi_temp_path {folder}/t2; uwsgi_temp_path {folder}/t3; scgi_temp_path {folder}/t4;
  server {{
    listen {port} reuseport backlog=4096; listen [::]:{port} reuseport backlog=4096;
    root {folder}/files; dav_methods PUT;
    location = /name {{ default_type text/plain; return 200 \"{name}\\n\"; }}
  }}
}}
"
    )
}
