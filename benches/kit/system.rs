//! What Linux says of time, memory and files.

use std::fs;

use rustix::process::{Resource, getrlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds of CPU that this thread has used.
pub fn thread_cpu() -> u64 {
    nanoseconds(ClockId::ThreadCPUTime)
}

fn nanoseconds(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// What some threads have used.
#[derive(Clone, Copy, Default)]
pub struct Used {
    /// Nanoseconds of CPU.
    pub cpu: u64,
    /// Nanoseconds for which they could have run, but others had the cores.
    pub delayed: u64,
    /// How often they gave up the core to wait for something.
    pub waits: u64,
}

impl std::ops::Sub for Used {
    type Output = Used;
    fn sub(self, other: Used) -> Used {
        let Used { cpu, delayed, waits } = other;
        Used { cpu: self.cpu - cpu, delayed: self.delayed - delayed, waits: self.waits - waits }
    }
}

/// What the threads of this process have used whose names begin so.
pub fn threads(name: &str) -> Used {
    let mut used = Used::default();
    for thread in fs::read_dir("/proc/self/task").unwrap() {
        let folder = thread.unwrap().path();
        // A thread may end while the folder is read.
        let read = |file: &str| fs::read_to_string(folder.join(file)).unwrap_or_default();
        if !read("comm").starts_with(name) {
            continue;
        }
        let schedule = read("schedstat");
        let mut numbers = schedule.split(' ').map(|text| text.parse().unwrap_or(0));
        used.cpu += numbers.next().unwrap_or(0);
        used.delayed += numbers.next().unwrap_or(0);
        used.waits += field(&read("status"), "voluntary_ctxt_switches");
    }
    used
}

/// Bytes of a process that are in memory.
pub fn resident(process: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{process}/statm")).unwrap();
    let pages: u64 = text.split(' ').nth(1).unwrap().parse().unwrap();
    pages * rustix::param::page_size() as u64
}

/// The most that it ever had there.
pub fn most_resident(process: u32) -> u64 {
    field(&fs::read_to_string(format!("/proc/{process}/status")).unwrap(), "VmHWM") * 1024
}

/// A number in `/proc/…/status`.
fn field(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// Ten thousand connections are ten thousand file descriptors.
pub fn raise_file_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        eprintln!("the file limit stays as it is: {error}");
    }
}
