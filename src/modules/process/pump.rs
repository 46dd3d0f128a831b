//! One process from its start to its last status, in one task: that is what keeps the order.

use std::io;
use std::process::ExitStatus;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, ChildStderr, ChildStdout};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::{Processes, Status, Stream, chunk};

/// What is read at once: what a pipe holds.
const READ: usize = 64 * 1024;

/// How long the beginning of a character waits for its end.
const HOLD: Duration = Duration::from_millis(100);

/// What a process that is told to end when the server does is given.
const SHUTDOWN_GRACE: Duration = Duration::from_millis(500);

pub(super) struct Pump {
    processes: Processes,
    id: String,
    child: Child,
    stdout: Source<ChildStdout>,
    stderr: Source<ChildStderr>,
    killed: mpsc::Receiver<Duration>,
}

/// One output of a process.
struct Source<R> {
    /// `None` at its end.
    pipe: Option<R>,
    stream: Stream,
    /// What was read; at rest, the beginning of a character.
    buffer: Vec<u8>,
    /// When that is sent although its end has not come.
    held_until: Option<Instant>,
}

impl<R: AsyncRead + Unpin> Source<R> {
    fn new(pipe: Option<R>, stream: Stream) -> Source<R> {
        Source { pipe, stream, buffer: Vec::new(), held_until: None }
    }

    /// Waits for more. Cancel safe.
    async fn read(&mut self) -> io::Result<usize> {
        let Some(pipe) = &mut self.pipe else { return std::future::pending().await };
        self.buffer.reserve(READ);
        let held = self.held_until;
        let hold = async {
            match held {
                Some(until) => sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            read = pipe.read_buf(&mut self.buffer) => read,
            () = hold => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

/// What happened.
enum Step {
    Stdout(io::Result<usize>),
    Stderr(io::Result<usize>),
    Exit(io::Result<ExitStatus>),
    Kill(Duration),
    KillNow,
    DrainOver,
}

impl Pump {
    pub(super) fn new(processes: Processes, id: String, mut child: Child, killed: mpsc::Receiver<Duration>) -> Pump {
        let stdout = Source::new(child.stdout.take(), Stream::Stdout);
        let stderr = Source::new(child.stderr.take(), Stream::Stderr);
        Pump { processes, id, child, stdout, stderr, killed }
    }

    pub(super) async fn run(mut self) -> Status {
        let group = self.child.id();
        let io = self.processes.io.clone();
        let closing = io.closing();
        tokio::pin!(closing);
        let mut is_closing = false;
        let mut exit: Option<io::Result<ExitStatus>> = None;
        let mut kill_at: Option<Instant> = None;
        let mut drained_by: Option<Instant> = None;
        let drained = loop {
            if exit.is_some() && self.stdout.pipe.is_none() && self.stderr.pipe.is_none() {
                break true;
            }
            let step = tokio::select! {
                read = self.stdout.read() => Step::Stdout(read),
                read = self.stderr.read() => Step::Stderr(read),
                ended = self.child.wait(), if exit.is_none() => Step::Exit(ended),
                Some(grace) = self.killed.recv(), if kill_at.is_none() => Step::Kill(grace),
                () = &mut closing, if !is_closing => {
                    is_closing = true;
                    Step::Kill(SHUTDOWN_GRACE)
                }
                () = at(kill_at) => Step::KillNow,
                () = at(drained_by) => Step::DrainOver,
            };
            match step {
                Step::Stdout(read) => forward(&self.processes, &self.id, &mut self.stdout, read).await,
                Step::Stderr(read) => forward(&self.processes, &self.id, &mut self.stderr, read).await,
                Step::Exit(ended) => {
                    exit = Some(ended);
                    drained_by = Some(Instant::now() + self.processes.shared.settings.drain);
                    // Who was told to end takes along what it has started.
                    if kill_at.take().is_some() {
                        signal(group, Signal::Kill);
                    }
                }
                Step::Kill(grace) => {
                    signal(group, Signal::Term);
                    kill_at = Some(Instant::now() + grace);
                }
                Step::KillNow => {
                    signal(group, Signal::Kill);
                    kill_at = None;
                }
                Step::DrainOver => break false,
            }
        };
        self.stdout.flush(&self.processes, &self.id).await;
        self.stderr.flush(&self.processes, &self.id).await;
        let status = match exit {
            Some(Ok(status)) => ended(status),
            Some(Err(error)) => Status::Failed(error.to_string()),
            None => Status::Failed("its end was lost".into()),
        };
        self.processes.tell(&self.id, status.clone(), Some(drained));
        status
    }
}

async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

/// Sends what was read, all but the beginning of a character.
async fn forward<R: AsyncRead + Unpin>(
    processes: &Processes,
    id: &str,
    source: &mut Source<R>,
    read: io::Result<usize>,
) {
    match read {
        Ok(0) => {
            source.pipe = None;
            source.flush(processes, id).await;
        }
        Ok(_) => {
            let held = chunk::unfinished(&source.buffer);
            let whole = source.buffer.len() - held;
            if whole > 0 {
                source.send(processes, id, whole).await;
            }
            source.held_until = (held > 0).then(|| Instant::now() + HOLD);
        }
        Err(error) if error.kind() == io::ErrorKind::TimedOut => source.flush(processes, id).await,
        Err(error) => {
            tracing::warn!(%error, id, "output cannot be read");
            source.pipe = None;
        }
    }
}

impl<R> Source<R> {
    async fn flush(&mut self, processes: &Processes, id: &str) {
        self.held_until = None;
        if !self.buffer.is_empty() {
            self.send(processes, id, self.buffer.len()).await;
        }
    }

    async fn send(&mut self, processes: &Processes, id: &str, length: usize) {
        let sent = processes.send(id, self.stream, &self.buffer[..length], processes.shared.settings.pause);
        self.buffer.drain(..length);
        // It fails for nobody: a room takes what there is.
        if let Some(sent) = sent {
            drop(sent.await);
        }
    }
}

#[derive(Clone, Copy)]
enum Signal {
    Term,
    Kill,
}

#[cfg(unix)]
fn signal(group: Option<u32>, which: Signal) {
    use rustix::process::{Pid, Signal as Unix, kill_process_group};
    let group = group.and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
    let which = match which {
        Signal::Term => Unix::TERM,
        Signal::Kill => Unix::KILL,
    };
    if let Some(group) = group {
        // It may have ended meanwhile.
        let _ = kill_process_group(group, which);
    }
}

#[cfg(not(unix))]
fn signal(_group: Option<u32>, _which: Signal) {}

#[cfg(unix)]
fn ended(status: ExitStatus) -> Status {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => Status::Exited(code),
        (None, Some(signal)) => Status::Killed(signal_name(signal)),
        (None, None) => Status::Failed("it ended without a status".into()),
    }
}

#[cfg(not(unix))]
fn ended(status: ExitStatus) -> Status {
    Status::Exited(status.code().unwrap_or(-1))
}

/// `SIGKILL` for 9: the names of Linux's signals (signal(7)).
#[cfg(unix)]
fn signal_name(signal: i32) -> String {
    const NAMES: [&str; 31] = [
        "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM",
        "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF",
        "WINCH", "IO", "PWR", "SYS",
    ];
    let name = usize::try_from(signal - 1).ok().and_then(|index| NAMES.get(index));
    name.map_or_else(|| format!("signal {signal}"), |name| format!("SIG{name}"))
}
