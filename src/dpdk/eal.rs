//! DPDK's environment: started once a process, stopped when its last user is gone.
//!
//! Ownership: everything made of DPDK (pools, devices, queues, registered threads) holds an `Arc<Running>`,
//! so the EAL is stopped after all of them. Only packet buffers do not hold one, for they must stay a pointer
//! wide: therefore pools are never freed before the EAL is, and the EAL is not stopped, its memory stays
//! mapped, while a single buffer is out. By then no thread with a pool cache exists, so a buffer that counts
//! as back is back.

use super::{
    arguments::{EalError, EalOptions},
    errno, ffi,
    inventory::Host,
    log,
    pool::RawPool,
};
use parking_lot::{Mutex, MutexGuard};
use std::{
    collections::BTreeSet,
    ffi::{CStr, CString, c_char, c_int},
    marker::PhantomData,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

/// The running EAL. Dropping it stops the EAL as soon as its pools, devices and threads are gone too.
#[derive(Debug)]
pub struct Eal {
    running: Arc<Running>,
}

/// Proof that the EAL runs.
#[derive(Debug)]
pub(super) struct Running {
    pools: Mutex<Vec<RawPool>>,
    /// Ports that an `Attached` stands for. Locked while one comes or goes.
    ports: Mutex<BTreeSet<u16>>,
    /// The command line; the EAL may point into it.
    arguments: Vec<Vec<u8>>,
}

static STARTED: AtomicBool = AtomicBool::new(false);

impl Eal {
    /// Starts the EAL, on a thread of its own that ends before this returns: nobody stays pinned to a core.
    /// From here on what DPDK logs, and what C code prints to stderr, goes to the [log](super::log); what C
    /// code prints to stdout goes nowhere.
    ///
    /// # Errors
    ///
    /// One that says what to do. After a failure that [`EalOptions::check`] does not find, the process cannot
    /// try again.
    pub fn start(options: &EalOptions) -> Result<Self, EalError> {
        let host = Host::read(Path::new("/"));
        options.check(&host)?;
        if STARTED.swap(true, Ordering::SeqCst) {
            return Err(EalError::AlreadyStarted);
        }
        let failed = |reason: String| EalError::Failed { reason, log: String::new() };
        log::open().map_err(|errno| failed(error_text(errno)))?;
        let mark = log::mark();
        let start = thread::Builder::new().name("eal-start".to_owned()).spawn({
            let arguments = options.arguments();
            move || rte_eal_init(arguments)
        });
        let result = start.map_err(|error| failed(error.to_string()))?.join();
        match result {
            Ok(Ok(arguments)) => {
                let running = Running { pools: Mutex::default(), ports: Mutex::default(), arguments };
                Ok(Self { running: Arc::new(running) })
            }
            Ok(Err(errno)) => Err(options.explain(&host, errno, error_text(errno), mark)),
            Err(_) => Err(failed("its thread panicked".to_owned())),
        }
    }

    /// Gives the calling thread an identity in DPDK, which makes taking and giving back packets cheap. For
    /// threads that move packets; at most 127 at a time.
    ///
    /// # Errors
    ///
    /// The thread is registered already, or no identity is left.
    pub fn register_thread(&self) -> Result<RegisteredThread, ThreadError> {
        // SAFETY: the EAL runs, as `self.running` proves.
        let result = unsafe { ffi::hl_thread_register() };
        if result != 0 {
            return Err(ThreadError(error_text(-result)));
        }
        Ok(RegisteredThread { _running: self.running.clone(), _this_thread: PhantomData })
    }

    pub(super) fn running(&self) -> &Arc<Running> {
        &self.running
    }
}

impl Running {
    /// Puts `pool` in the EAL's care, who frees it.
    pub(super) fn keep(&self, pool: RawPool) {
        self.pools.lock().push(pool);
    }

    /// The EAL was not told to leave the PCI bus alone.
    pub(super) fn sees_pci(&self) -> bool {
        !self.arguments.iter().any(|argument| argument == b"--no-pci\0")
    }

    /// The ports in use; whoever holds this is the only one to attach or close a device.
    pub(super) fn ports(&self) -> MutexGuard<'_, BTreeSet<u16>> {
        self.ports.lock()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.pools.get_mut().iter().all(RawPool::is_whole) {
            // SAFETY: the EAL runs; whoever uses it holds an `Arc` of `self`, so nobody does, and no packet
            // buffer is out.
            unsafe { ffi::hl_eal_stop() }
        }
    }
}

/// While it lives, the thread that made it is known to DPDK.
#[derive(Debug)]
pub struct RegisteredThread {
    _running: Arc<Running>,
    /// Must be dropped where it was made.
    _this_thread: PhantomData<*const ()>,
}

impl Drop for RegisteredThread {
    fn drop(&mut self) {
        // SAFETY: this thread registered itself, for the guard cannot leave it, and the EAL still runs.
        unsafe { ffi::hl_thread_unregister() }
    }
}

/// A thread could not be registered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the thread cannot be registered with DPDK, which takes each once and 127 at most: {0}")]
pub struct ThreadError(String);

/// DPDK's version, as in `DPDK 22.11.11`.
pub fn version() -> String {
    // SAFETY: reads a constant.
    let text = unsafe { ffi::hl_version() };
    // SAFETY: a constant string, ended by 0.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_string_lossy().into_owned()
}

/// The time stamp counter, the same on all cores.
#[inline]
pub fn cycles() -> u64 {
    // SAFETY: reads a register.
    unsafe { ffi::hl_cycles() }
}

/// Ticks of [`cycles`] in a second; 0 before the EAL has measured it.
pub fn cycles_hz() -> u64 {
    // SAFETY: reads a variable that the EAL's start wrote last.
    unsafe { ffi::hl_cycles_hz() }
}

/// The name of a positive errno, DPDK's own included.
pub(super) fn error_text(errno: i32) -> String {
    // SAFETY: takes any number.
    let text = unsafe { ffi::hl_error_text(errno) };
    // SAFETY: the text ends with 0 and is this thread's until its next call.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_string_lossy().into_owned()
}

/// Runs rte_eal_init; returns the memory that it may point into from then on, or the errno.
fn rte_eal_init(arguments: Vec<String>) -> Result<Vec<Vec<u8>>, i32> {
    let mut strings: Vec<Vec<u8>> = arguments
        .into_iter()
        .filter_map(|argument| CString::new(argument).ok())
        .map(CString::into_bytes_with_nul)
        .collect();
    let mut pointers: Vec<*mut c_char> =
        strings.iter_mut().map(|string| string.as_mut_ptr().cast()).collect();
    let count = c_int::try_from(pointers.len()).map_err(|_| errno::E2BIG)?;
    pointers.push(std::ptr::null_mut());
    // SAFETY: `STARTED` lets one caller through in the life of the process; `pointers` are `count` writable
    // strings that end with 0, and a null; the caller keeps `strings` while the EAL runs.
    let result = unsafe { ffi::hl_eal_start(count, pointers.as_mut_ptr()) };
    if result == 0 { Ok(strings) } else { Err(-result) }
}
