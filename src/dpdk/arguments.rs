//! What the EAL is started with, and what is looked at before: the failures that DPDK itself reports badly.

use super::{
    errno,
    inventory::{Host, reserve_command},
    log,
};

/// How to start the EAL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EalOptions {
    /// Memory in huge pages; without them it is slower, and only virtual devices work.
    pub hugepages: bool,
    /// Memory for packets and queues, in MiB, taken at start.
    pub memory_mb: u32,
    /// The core that the EAL counts as its own. Nothing is run there after the start, and the EAL's helper
    /// threads (interrupts, control) keep off it where they can.
    pub main_core: u16,
    /// PCI devices it may take, each with device arguments if need be. Empty: the PCI bus is left alone.
    pub pci: Vec<String>,
    /// Share files under this name with secondary processes. `None`: everything stays in this process's
    /// memory, and any number of processes run side by side.
    pub file_prefix: Option<String>,
    /// Further EAL arguments, word for word; one of these replaces what would be said here about its subject.
    pub args: Vec<String>,
}

impl Default for EalOptions {
    fn default() -> Self {
        Self { hugepages: true, memory_mb: 1024, main_core: 0, pci: vec![], file_prefix: None, args: vec![] }
    }
}

/// The EAL did not start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EalError {
    /// DPDK starts once a process, whether that went well or not.
    #[error("the EAL was already started in this process: it starts once; restart the process")]
    AlreadyStarted,
    /// Not enough free huge pages.
    #[error(
        "{wanted_mb} MB of huge pages are wanted, {free_mb} MB are free: reserve them with `{reserve}`{mount}, \
         or set `hugepages = false`"
    )]
    NoHugePages {
        /// What was asked for.
        wanted_mb: u64,
        /// What is there.
        free_mb: u64,
        /// The command that reserves.
        reserve: String,
        /// The command that mounts, where one is needed, with words around it.
        mount: String,
    },
    /// The main core is not there or is off.
    #[error("core {core} does not exist or is offline: this machine has {cores}")]
    NoSuchCore {
        /// The core asked for.
        core: u16,
        /// Cores there are.
        cores: String,
    },
    /// The main core is not ours to use.
    #[error("core {core} is taken from this process (taskset, cpuset, container limit): it may use {cores}")]
    CoreNotAllowed {
        /// The core asked for.
        core: u16,
        /// Cores it may use.
        cores: String,
    },
    /// A device needs more locked memory than the limit allows.
    #[error(
        "{limit_mb} MB may be locked in memory and a PCI device needs {wanted_mb} MB: run as root, give \
         CAP_IPC_LOCK, or `ulimit -l unlimited` (systemd: LimitMEMLOCK=infinity)"
    )]
    LockedMemory {
        /// The limit.
        limit_mb: u64,
        /// What is needed.
        wanted_mb: u64,
    },
    /// The kernel refused something.
    #[error("permission denied: run as root, or grant access to huge pages and /dev/vfio{log}")]
    Permission {
        /// DPDK's words.
        log: String,
    },
    /// Another process holds the shared files.
    #[error(
        "another process already runs with file prefix `{prefix}`: stop it, choose another prefix, or leave the \
         prefix out"
    )]
    SecondInstance {
        /// The name in conflict.
        prefix: String,
    },
    /// An argument that EAL does not take.
    #[error("an EAL argument is wrong, look at `args` and at the device names: {args}{log}")]
    BadArgument {
        /// All arguments.
        args: String,
        /// DPDK's words.
        log: String,
    },
    /// A text with a zero byte in it.
    #[error("`{0}` contains a zero byte")]
    ZeroByte(String),
    /// Anything else.
    #[error("the EAL did not start: {reason}{log}")]
    Failed {
        /// The error's name.
        reason: String,
        /// DPDK's words.
        log: String,
    },
}

impl EalOptions {
    /// Whether `args` have one of these options, with or without a value.
    fn says(&self, options: &[&str]) -> bool {
        self.args.iter().any(|arg| {
            options.iter().any(|option| {
                let rest = arg.strip_prefix(option);
                // Short options have their value attached, long ones after `=`.
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('=') || !option.starts_with("--"))
            })
        })
    }

    fn in_memory(&self) -> bool {
        self.file_prefix.is_none() && !self.says(&["--file-prefix", "--huge-dir", "--proc-type"])
    }

    /// The command line, program name first.
    pub(super) fn arguments(&self) -> Vec<String> {
        let mut arguments = vec!["hitless".to_owned()];
        if !self.says(&["-l", "-c", "--lcores"]) {
            // Numbered 0 wherever it lies: DPDK's own numbers end at 127.
            arguments.push(format!("--lcores=0@{}", self.main_core));
        }
        if !self.says(&["-m", "--socket-mem"]) {
            arguments.extend(["-m".to_owned(), self.memory_mb.to_string()]);
        }
        // Both keep everything in this process; `--in-memory` is about huge pages and refused without them.
        let private = if self.hugepages { "--in-memory" } else { "--no-shconf" };
        if self.in_memory() {
            arguments.push(private.to_owned());
        }
        if !self.hugepages {
            arguments.push("--no-huge".to_owned());
        }
        arguments.extend(self.file_prefix.iter().map(|prefix| format!("--file-prefix={prefix}")));
        if !self.says(&["--telemetry"]) {
            arguments.push("--no-telemetry".to_owned());
        }
        if self.pci.is_empty() && !self.says(&["-a", "--allow", "-b", "--block"]) {
            arguments.push("--no-pci".to_owned());
        }
        arguments.extend(self.pci.iter().map(|device| format!("--allow={device}")));
        arguments.extend(self.args.iter().cloned());
        arguments
    }

    /// Finds the usual obstacles.
    ///
    /// # Errors
    ///
    /// Each says what to do.
    pub fn check(&self, host: &Host) -> Result<(), EalError> {
        if let Some(text) =
            self.args.iter().chain(&self.pci).chain(&self.file_prefix).find(|t| t.contains('\0'))
        {
            return Err(EalError::ZeroByte(text.clone()));
        }
        self.check_core(host)?;
        let wanted_mb = u64::from(self.memory_mb);
        if self.hugepages
            && !self.says(&["--no-huge", "-m", "--socket-mem"])
            && host.free_huge_mb() < wanted_mb
        {
            return Err(self.no_hugepages(host));
        }
        match host.memlock.map(|bytes| bytes >> 20) {
            Some(limit_mb) if !self.pci.is_empty() && limit_mb < wanted_mb => {
                Err(EalError::LockedMemory { limit_mb, wanted_mb })
            }
            _ => Ok(()),
        }
    }

    fn check_core(&self, host: &Host) -> Result<(), EalError> {
        let core = self.main_core;
        if self.says(&["-l", "-c", "--lcores"]) {
            Ok(())
        } else if !host.online_cores.contains(&core) {
            Err(EalError::NoSuchCore { core, cores: listed(&host.online_cores) })
        } else if !host.allowed_cores.contains(&core) {
            Err(EalError::CoreNotAllowed { core, cores: listed(&host.allowed_cores) })
        } else {
            Ok(())
        }
    }

    fn no_hugepages(&self, host: &Host) -> EalError {
        let mounted = host.hugepages.iter().any(|pages| pages.mounted.is_some());
        let (wanted_mb, free_mb) = (u64::from(self.memory_mb), host.free_huge_mb());
        // What others hold stays theirs.
        let held_mb =
            host.hugepages.iter().map(|pages| pages.total * pages.size_kb / 1024).sum::<u64>() - free_mb;
        EalError::NoHugePages {
            wanted_mb,
            free_mb,
            reserve: reserve_command(held_mb + wanted_mb),
            mount: if self.in_memory() || mounted {
                String::new()
            } else {
                " and mount them with `mkdir -p /dev/hugepages && mount -t hugetlbfs none /dev/hugepages`"
                    .to_owned()
            },
        }
    }

    /// Why rte_eal_init failed, from its error and from what it logged after `mark`.
    pub(super) fn explain(&self, host: &Host, errno: i32, reason: String, mark: u64) -> EalError {
        let says = |text| log::mentions(mark, text);
        let log = log::excerpt(mark);
        if says("Is another primary process running") {
            EalError::SecondInstance { prefix: self.file_prefix.clone().unwrap_or_else(|| "rte".to_owned()) }
        } else if errno == errno::EALREADY {
            EalError::AlreadyStarted
        } else if self.hugepages && says("Cannot get hugepage information") {
            self.no_hugepages(host)
        } else if matches!(errno, errno::EPERM | errno::EACCES) || says("Permission denied") {
            EalError::Permission { log }
        } else if says("nvalid") || errno == errno::EINVAL {
            EalError::BadArgument { args: self.arguments()[1..].join(" "), log }
        } else {
            EalError::Failed { reason, log }
        }
    }
}

fn listed(cores: &[u16]) -> String {
    let listed: Vec<_> = cores.iter().map(u16::to_string).collect();
    listed.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpdk::inventory::HugePages;

    fn host() -> Host {
        Host {
            hugepages: vec![HugePages { size_kb: 2048, total: 1024, free: 512, mounted: None }],
            online_cores: vec![0, 1, 2, 3],
            allowed_cores: vec![0, 1],
            ..Host::default()
        }
    }

    fn options(args: &[&str]) -> EalOptions {
        EalOptions { args: args.iter().map(|arg| (*arg).to_owned()).collect(), ..EalOptions::default() }
    }

    #[test]
    fn arguments_follow_from_the_options() {
        let default = "hitless --lcores=0@0 -m 1024 --in-memory --no-telemetry --no-pci";
        assert_eq!(options(&[]).arguments().join(" "), default);
        let small = EalOptions { hugepages: false, memory_mb: 64, main_core: 200, ..EalOptions::default() };
        let expected = "hitless --lcores=0@200 -m 64 --no-shconf --no-huge --no-telemetry --no-pci";
        assert_eq!(small.arguments().join(" "), expected);
        let nics = EalOptions {
            pci: vec!["0000:3b:00.0".to_owned(), "0000:3b:00.1,x=1".to_owned()],
            file_prefix: Some("lb".to_owned()),
            ..EalOptions::default()
        };
        let expected = "hitless --lcores=0@0 -m 1024 --file-prefix=lb --no-telemetry --allow=0000:3b:00.0 \
                        --allow=0000:3b:00.1,x=1";
        assert_eq!(nics.arguments().join(" "), expected);
    }

    #[test]
    fn what_args_say_is_not_said_twice() {
        for (args, absent) in [
            (&["-l", "2"][..], "--lcores"),
            (&["-l2"], "--lcores"),
            (&["--lcores=3@3"], "--lcores=0"),
            (&["--socket-mem=64"], "-m"),
            (&["--file-prefix=lb"], "--in-memory"),
            (&["--telemetry"], "--no-telemetry"),
            (&["-a", "0000:3b:00.0"], "--no-pci"),
        ] {
            let arguments = options(args).arguments();
            assert!(!arguments.iter().any(|argument| argument.starts_with(absent)), "{arguments:?}");
            assert!(arguments.ends_with(&options(args).args));
        }
        assert!(options(&["--log-level=8"]).arguments().contains(&"--lcores=0@0".to_owned()));
    }

    #[test]
    fn obstacles_say_what_to_do() {
        type Spoil = fn(&mut EalOptions, &mut Host);
        let cases: [(Spoil, &str); 7] = [
            (
                |options, _| options.main_core = 4,
                "core 4 does not exist or is offline: this machine has 0,1,2,3",
            ),
            (
                |options, _| options.main_core = 2,
                "core 2 is taken from this process (taskset, cpuset, container limit): it may use 0,1",
            ),
            (
                |options, _| options.memory_mb = 1025,
                "1025 MB of huge pages are wanted, 1024 MB are free: reserve them with `sysctl -w \
                 vm.nr_hugepages=1025`, or set `hugepages = false`",
            ),
            (
                |options, host| {
                    host.hugepages.clear();
                    options.file_prefix = Some("lb".to_owned());
                },
                "1024 MB of huge pages are wanted, 0 MB are free: reserve them with `sysctl -w \
                 vm.nr_hugepages=512` and mount them with `mkdir -p /dev/hugepages && mount -t hugetlbfs none \
                 /dev/hugepages`, or set `hugepages = false`",
            ),
            (
                |options, host| {
                    host.memlock = Some(8 << 20);
                    options.pci.push("0000:3b:00.0".to_owned());
                },
                "8 MB may be locked in memory and a PCI device needs 1024 MB: run as root, give CAP_IPC_LOCK, or \
                 `ulimit -l unlimited` (systemd: LimitMEMLOCK=infinity)",
            ),
            (|options, _| options.args.push("a\0".to_owned()), "`a\0` contains a zero byte"),
            (
                |options, _| options.pci.push("0000:3b:00.0\0".to_owned()),
                "`0000:3b:00.0\0` contains a zero byte",
            ),
        ];
        for (spoil, expected) in cases {
            let (mut options, mut host) = (EalOptions::default(), host());
            host.hugepages[0].free = 512;
            assert_eq!(options.check(&host), Ok(()));
            spoil(&mut options, &mut host);
            assert_eq!(options.check(&host).map_err(|error| error.to_string()), Err(expected.to_owned()));
        }
    }

    #[test]
    fn without_huge_pages_none_are_asked_for() {
        let host = Host { hugepages: vec![], memlock: Some(0), ..host() };
        assert_eq!(EalOptions { hugepages: false, ..EalOptions::default() }.check(&host), Ok(()));
        assert_eq!(options(&["--no-huge"]).check(&host), Ok(()));
    }
}
