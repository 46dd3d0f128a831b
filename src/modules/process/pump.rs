//! One process from its start to its last status, in one task: that is what keeps the order.

use std::io;
use std::process::ExitStatus;
use std::time::Duration;

use tokio::process::Child;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::source::Source;
use super::{Processes, Status, Stream};
use crate::Emitting;

/// What a process that is told to end when the server does is given.
const SHUTDOWN_GRACE: Duration = Duration::from_millis(500);

pub(super) struct Pump {
    processes: Processes,
    id: String,
    child: Child,
    stdout: Source,
    stderr: Source,
    /// What was sent last, as long as it waits for slow viewers or other nodes. Nothing is read meanwhile.
    sending: Option<Emitting<usize>>,
    exit: Option<io::Result<ExitStatus>>,
    /// The process group that it leads, until the end of the run.
    group: Option<u32>,
    /// Tells by when it is to end, once somebody wants that.
    told: watch::Receiver<Option<Instant>>,
    /// Whether it was told, and when who still runs is killed.
    is_told: bool,
    kill_at: Option<Instant>,
}

/// What happened.
enum Step {
    Stdout(usize),
    Stderr(usize),
    Sent,
    Exit(io::Result<ExitStatus>),
    EndBy(Instant),
    Kill,
    DrainOver,
}

impl Pump {
    pub(super) fn new(
        processes: Processes,
        id: String,
        mut child: Child,
        told: watch::Receiver<Option<Instant>>,
        sending: Option<Emitting<usize>>,
    ) -> Pump {
        processes.shared.running.send_modify(|running| *running += 1);
        let stdout = Source::new(child.stdout.take(), Stream::Stdout);
        let stderr = Source::new(child.stderr.take(), Stream::Stderr);
        let group = child.id();
        Pump { processes, id, child, stdout, stderr, sending, exit: None, group, told, is_told: false, kill_at: None }
    }

    pub(super) async fn run(mut self) -> Status {
        let io = self.processes.io.clone();
        let closing = io.closing();
        tokio::pin!(closing);
        let mut is_closing = false;
        let drain = self.processes.shared.settings.drain;
        let mut drained_by: Option<Instant> = None;
        loop {
            let is_waiting = self.sending.is_some();
            if self.exit.is_some() && self.is_drained() && !is_waiting {
                break;
            }
            let step = tokio::select! {
                length = self.stdout.read(), if !is_waiting => Step::Stdout(length),
                length = self.stderr.read(), if !is_waiting => Step::Stderr(length),
                () = sent(&mut self.sending), if is_waiting => Step::Sent,
                ended = self.child.wait(), if self.exit.is_none() => Step::Exit(ended),
                Ok(()) = self.told.changed() => Step::EndBy(self.told.borrow().unwrap_or_else(Instant::now)),
                () = &mut closing, if !is_closing => {
                    is_closing = true;
                    Step::EndBy(after(SHUTDOWN_GRACE))
                }
                () = at(self.kill_at) => Step::Kill,
                () = at(drained_by), if !is_waiting => Step::DrainOver,
            };
            match step {
                Step::Stdout(length) => self.sending = self.stdout.send(&self.processes, &self.id, length),
                Step::Stderr(length) => self.sending = self.stderr.send(&self.processes, &self.id, length),
                Step::Sent => {}
                Step::Exit(ended) => {
                    self.exit = Some(ended);
                    self.processes.has_exited(&self.id);
                    drained_by = Some(after(drain));
                }
                Step::EndBy(end) => {
                    if !self.is_told {
                        self.is_told = true;
                        signal(self.group, Signal::Term);
                    }
                    self.kill_at = Some(self.kill_at.map_or(end, |at| at.min(end)));
                }
                Step::Kill => {
                    self.kill_at = None;
                    self.kill();
                }
                Step::DrainOver => match self.kill_at {
                    // What it has started was told to end as well, and has the same grace.
                    Some(kill_at) if is_there(self.group) => drained_by = Some(kill_at + drain),
                    _ => {
                        // What the process itself wrote lies in the pipes by now, whatever held us up.
                        self.stdout.sweep(&self.processes, &self.id).await;
                        self.stderr.sweep(&self.processes, &self.id).await;
                        break;
                    }
                },
            }
        }
        if self.is_told {
            self.kill();
        }
        self.group = None;
        let status = match self.exit.take() {
            Some(Ok(status)) => ended(status),
            Some(Err(error)) => Status::Failed(error.to_string()),
            None => Status::Failed("its end was lost".into()),
        };
        self.sending = self.processes.tell(&self.id, status.clone(), Some(self.is_drained()));
        sent(&mut self.sending).await;
        status
    }

    fn is_drained(&self) -> bool {
        self.stdout.is_ended() && self.stderr.is_ended()
    }

    /// Kills what is left of the group.
    fn kill(&mut self) {
        signal(self.group, Signal::Kill);
        // Where there are no groups. It may have ended.
        let _ = self.child.start_kill();
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        // The runtime may go before the process has ended, and nobody else knows what that has started.
        signal(self.group, Signal::Kill);
        self.processes.shared.running.send_modify(|running| *running -= 1);
    }
}

/// Waits for what was sent last.
async fn sent(sending: &mut Option<Emitting<usize>>) {
    if let Some(emitting) = sending {
        super::log(emitting.await);
        *sending = None;
    }
}

pub(super) async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

/// The time after a while; one that the clock cannot tell is a year.
pub(super) fn after(time: Duration) -> Instant {
    const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
    Instant::now() + time.min(YEAR)
}

#[derive(Clone, Copy)]
enum Signal {
    Term,
    Kill,
}

#[cfg(unix)]
fn pid(group: Option<u32>) -> Option<rustix::process::Pid> {
    group.and_then(|pid| i32::try_from(pid).ok()).and_then(rustix::process::Pid::from_raw)
}

#[cfg(unix)]
fn signal(group: Option<u32>, which: Signal) {
    use rustix::process::{Signal as Unix, kill_process_group};
    let which = match which {
        Signal::Term => Unix::TERM,
        Signal::Kill => Unix::KILL,
    };
    if let Some(group) = pid(group) {
        // It may have ended meanwhile.
        let _ = kill_process_group(group, which);
    }
}

/// Whether anybody is left of a group.
#[cfg(unix)]
fn is_there(group: Option<u32>) -> bool {
    pid(group).is_some_and(|group| rustix::process::test_kill_process_group(group).is_ok())
}

#[cfg(not(unix))]
fn signal(_group: Option<u32>, _which: Signal) {}

#[cfg(not(unix))]
fn is_there(_group: Option<u32>) -> bool {
    false
}

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
