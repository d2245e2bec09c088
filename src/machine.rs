//! What this machine and process tell of themselves.

use rustix::time::{ClockId, clock_gettime};

/// CPU seconds of the calling thread.
#[must_use]
pub fn thread_cpu_s() -> f64 {
    seconds(ClockId::ThreadCPUTime)
}

/// CPU seconds of this process, all threads.
#[must_use]
pub fn process_cpu_s() -> f64 {
    seconds(ClockId::ProcessCPUTime)
}

fn seconds(clock: ClockId) -> f64 {
    let time = clock_gettime(clock);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Share of this machine's memory that this process holds; `None` where /proc does not say.
#[must_use]
pub fn memory_share() -> Option<f64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: f64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    let meminfo = std::fs::read_to_string("/proc/meminfo").ok()?;
    let total_kib: f64 =
        meminfo.lines().find(|l| l.starts_with("MemTotal"))?.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as f64 / 1024.0 / total_kib)
}

/// Columns of the terminal that standard output goes to, if it is one.
#[must_use]
pub fn terminal_columns() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    (size.ws_col > 0).then_some(size.ws_col.into())
}

/// Lets large pieces of memory go back to the system when they are let go. By its default glibc keeps them once it has seen
/// one, and what is short-lived here (a histogram's array, 192 KiB) would leave holes that grow over a long run.
pub fn return_large_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: the call sets one number of the allocator; where it is refused, more memory is held.
    let _ = unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, 128 << 10) };
}

/// Lets the calling thread run only while nobody else on its core wants to: whoever wakes there goes first at once.
pub fn yield_to_others() {
    #[cfg(target_os = "linux")]
    {
        // SAFETY: a structure of numbers, of which musl has more: all of them are 0.
        let none: libc::sched_param = unsafe { std::mem::zeroed() };
        // SAFETY: the call reads the structure that it is given and keeps nothing; 0 is the calling thread. Where it is
        // refused, all that is lost is some evenness of the load.
        let _ = unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const none) };
    }
}

/// No memory of this process goes into a core dump from now on, nor to another process of the same user; what it starts is
/// not concerned.
pub fn forbid_core_dumps() {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        // Refused: nothing else depends on it.
        let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    }
}

/// A file that grows over the limit for files (`ulimit -f`) is an error like a full disk, and not the end of this process. What
/// it starts has the signal as it was.
pub fn outlive_file_size_limit() {
    extern "C" fn nothing(_signal: libc::c_int) {}
    #[cfg(unix)]
    // SAFETY: the handler does nothing, so it may run at any instant; a handler, unlike a signal that is ignored, is not handed
    // on to what is executed.
    let _ = unsafe { libc::signal(libc::SIGXFSZ, nothing as *const () as libc::sighandler_t) };
}

/// Raises the limit of open files as far as this process may, and says what it is then.
pub fn raise_open_files() -> u64 {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let before = limit.current;
        limit.current = limit.maximum;
        // Refused: what there is must do.
        if setrlimit(Resource::Nofile, limit).is_err() {
            limit.current = before;
        }
    }
    limit.current.unwrap_or(u64::MAX)
}

/// Whether this process was started so that the end of its terminal does not end it.
#[must_use]
pub fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}

#[must_use]
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

#[must_use]
pub fn cpu_model() -> String {
    std::fs::read_to_string("/proc/cpuinfo")
        .ok()
        .and_then(|text| {
            text.lines()
                .find_map(|l| l.strip_prefix("model name")?.split_once(':').map(|(_, v)| v.trim().to_owned()))
        })
        .unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

#[must_use]
pub fn kernel() -> String {
    let uname = rustix::system::uname();
    format!("{} {}", uname.sysname().to_string_lossy(), uname.release().to_string_lossy())
}
