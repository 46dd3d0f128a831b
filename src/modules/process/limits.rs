//! Resource limits of the kernel's, set in the child before its program begins.
#![expect(
    unsafe_code,
    reason = "`pre_exec` is the one place where a limit holds before the program's first instruction: set from outside \
              by prlimit(2), it would race what the program starts. What runs there calls setrlimit(2) and nothing else."
)]

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What the kernel lets a process have. Each limit holds for every process of the tree by itself, but
/// [`processes`](Limits::processes), which counts all of the user's. Default: as the server.
///
/// A limit above the server's own hard limit is that one.
///
/// ```
/// use eventwire::process::{Command, Limits};
///
/// let limits = Limits::new().memory(512 * 1024 * 1024).cpu_seconds(60).files(64).core(0);
/// let command = Command::new("convert").arg("in.png").arg("out.jpg").limits(limits);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Limits(Vec<(Resource, u64)>);

impl Limits {
    /// None.
    pub fn new() -> Limits {
        Limits::default()
    }

    /// Address space in bytes (`RLIMIT_AS`): more is refused to it, as when memory is out. Programs with a garbage
    /// collector of their own reserve much more than they use.
    #[must_use]
    pub fn memory(self, bytes: u64) -> Limits {
        self.with(Resource::As, bytes)
    }

    /// Seconds of computing (`RLIMIT_CPU`): then SIGXCPU, a second later SIGKILL. Waiting does not count; see
    /// [`Command::time_limit`](super::Command::time_limit) for that.
    #[must_use]
    pub fn cpu_seconds(self, seconds: u64) -> Limits {
        self.with(Resource::Cpu, seconds)
    }

    /// Open files at a time (`RLIMIT_NOFILE`), its three standard ones among them.
    #[must_use]
    pub fn files(self, count: u64) -> Limits {
        self.with(Resource::Nofile, count)
    }

    /// Bytes of the longest file that it may write (`RLIMIT_FSIZE`): then SIGXFSZ. Pipes are no files.
    #[must_use]
    pub fn file_size(self, bytes: u64) -> Limits {
        self.with(Resource::Fsize, bytes)
    }

    /// Processes and threads of the user that it runs as (`RLIMIT_NPROC`), whoever started them. It does not hold for root.
    #[must_use]
    pub fn processes(self, count: u64) -> Limits {
        self.with(Resource::Nproc, count)
    }

    /// Bytes of the image of its memory that the kernel leaves when it crashes (`RLIMIT_CORE`): 0 leaves none.
    #[must_use]
    pub fn core(self, bytes: u64) -> Limits {
        self.with(Resource::Core, bytes)
    }

    fn with(mut self, resource: Resource, value: u64) -> Limits {
        self.0.retain(|(known, _)| *known != resource);
        self.0.push((resource, value));
        self
    }

    /// Sets them in what the command starts. Without any, nothing runs between fork and exec.
    pub(super) fn apply(&self, command: &mut tokio::process::Command) {
        if self.0.is_empty() {
            return;
        }
        let limits: Vec<_> = self.0.iter().map(|&(resource, value)| (resource, limit(resource, value))).collect();
        let set = move || {
            limits.iter().try_for_each(|&(resource, limit)| setrlimit(resource, limit).map_err(io::Error::from))
        };
        // SAFETY: between fork and exec only what is async-signal-safe may be done. It reads a list that was made
        // before, and calls setrlimit(2); an error is a number. Nothing is allocated, locked or dropped.
        unsafe { command.pre_exec(set) };
    }
}

fn limit(resource: Resource, value: u64) -> Rlimit {
    let maximum = getrlimit(resource).maximum;
    let at_most = |value: u64| Some(maximum.map_or(value, |maximum| value.min(maximum)));
    // SIGXCPU comes at the first of the two and SIGKILL at the second.
    let hard = if resource == Resource::Cpu { value.saturating_add(1) } else { value };
    Rlimit { current: at_most(value), maximum: at_most(hard) }
}
