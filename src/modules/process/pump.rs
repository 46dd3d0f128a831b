//! One process from its start to its last status, in one task: that is what keeps the order.

use std::io;
use std::process::ExitStatus;
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, Fuse};
use tokio::process::{Child, ChildStdin};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use super::command::{Manner, Started};
use super::input::Writer;
use super::known::Known;
use super::outputs::Outputs;
use super::telling::{Ending, log};
use super::tree::Tree;
use super::{Processes, Signal, Status, Stream};
use crate::{Emitting, Pace};

/// What a process that is told to end when the server does is given.
const SHUTDOWN_GRACE: Duration = Duration::from_millis(500);

/// How long those who were killed may take to be gone: as long as the kernel, mostly.
const GIVE_UP: Duration = Duration::from_secs(2);

/// How often those who were left behind are looked at, at last: for so long may one that has ended be a zombie.
const LOOK: Duration = Duration::from_secs(5);

pub(super) struct Pump {
    processes: Processes,
    id: String,
    run: String,
    /// Before the child, so that it is dropped first: once that is gone, some of its own are harder to find.
    tree: Tree,
    child: Child,
    stdin: Option<ChildStdin>,
    outputs: Outputs,
    manner: Manner,
    pause: Option<Pace>,
    /// What was sent last, as long as it waits for slow viewers or other nodes. Nothing is read meanwhile.
    sending: Option<Emitting<usize>>,
    exit: Option<io::Result<ExitStatus>>,
    /// Counts those who were there when it ended.
    left_behind: Option<BoxFuture<'static, usize>>,
    /// Tells by when it is to end, once somebody wants that.
    told: watch::Receiver<Option<Instant>>,
    /// Whether it was told, and when who is left then is killed.
    is_told: bool,
    kill_at: Option<Instant>,
    reason: Option<&'static str>,
    counted: Counted,
}

/// What happened.
enum Step {
    /// A chunk of it, or its end.
    Output(Option<Stream>),
    Sent,
    Exit(io::Result<ExitStatus>),
    EndBy(Instant),
    TimeIsUp,
    Kill,
    DrainOver,
}

/// Counts a run among those that run, and among those that have left somebody behind.
struct Counted {
    processes: Processes,
    runs: bool,
    leaves: bool,
}

impl Counted {
    fn new(processes: &Processes) -> Counted {
        processes.shared.counts.send_modify(|counts| counts.running += 1);
        Counted { processes: processes.clone(), runs: true, leaves: false }
    }

    fn leaves(&mut self) {
        self.leaves = true;
        self.processes.shared.counts.send_modify(|counts| counts.left += 1);
    }

    fn has_ended(&mut self) {
        self.runs = false;
        self.processes.shared.counts.send_modify(|counts| counts.running -= 1);
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.processes.shared.counts.send_modify(|counts| {
            counts.running -= usize::from(self.runs);
            counts.left -= usize::from(self.leaves);
        });
    }
}

impl Pump {
    pub(super) fn new(
        processes: Processes,
        (id, run): (&str, &str),
        started: Started,
        tree: Tree,
        manner: Manner,
        told: watch::Receiver<Option<Instant>>,
        sending: Option<Emitting<usize>>,
    ) -> Pump {
        Pump {
            counted: Counted::new(&processes),
            id: id.to_owned(),
            run: run.to_owned(),
            tree,
            child: started.child,
            stdin: started.stdin,
            outputs: Outputs::new(started.stdout, started.stderr, manner.mode),
            pause: manner.pause.or(processes.shared.settings.pause),
            manner,
            processes,
            sending,
            exit: None,
            left_behind: None,
            told,
            is_told: false,
            kill_at: None,
            reason: None,
        }
    }

    /// Tells `status` how it ended, and goes on while there is somebody whom it has left behind.
    pub(super) async fn run(mut self, writer: Writer, status: watch::Sender<Status>) {
        self.stream(writer).await;
        if self.is_told {
            self.until_all_are_gone().await;
        }
        let ended = match self.exit.take() {
            Some(Ok(status)) => Status::of(status),
            Some(Err(error)) => Status::Failed(error.to_string()),
            None => Status::Failed("its end was lost".into()),
        };
        let ending = Ending { reason: self.reason, drained: Some(self.outputs.is_ended()) };
        let leaves = self.leaves_somebody().await;
        if leaves {
            // Before the end is told: whoever is told of it finds that no place has become free.
            self.counted.leaves();
            self.is_reachable(true);
        }
        self.sending = self.processes.tell(&self.id, ended.clone(), ending);
        sent(&mut self.sending).await;
        self.counted.has_ended();
        status.send_replace(ended);
        if leaves {
            let none = Outputs::new(None, None, self.manner.mode);
            let outputs = std::mem::replace(&mut self.outputs, none);
            // Whoever goes on printing would otherwise stand still once its pipe is full, or die of one without a reader.
            tokio::select! {
                () = self.watch_over_those_left() => {}
                () = outputs.discard() => {}
            }
        }
    }

    /// Whether somebody is left whom it has started.
    async fn leaves_somebody(&mut self) -> bool {
        let Some(left_behind) = self.left_behind.take() else { return false };
        // By now they may have ended too.
        left_behind.await > 0 && self.tree.count().await > 0
    }

    /// Sends the output until it has ended and been read, or is no longer awaited.
    async fn stream(&mut self, writer: Writer) {
        let closing = closing(&self.processes);
        let stdin = self.stdin.take();
        let writing = stdin.map_or_else(Fuse::terminated, |stdin| writer.write(stdin).fuse());
        tokio::pin!(closing, writing);
        let drain = self.processes.shared.settings.drain;
        let mut drained_by: Option<Instant> = None;
        let mut time_is_up = self.manner.time_limit.map(after);
        loop {
            let is_waiting = self.sending.is_some();
            let has_ended = self.outputs.is_ended();
            if self.exit.is_some() && has_ended && !is_waiting {
                return;
            }
            let step = tokio::select! {
                stream = self.outputs.next(), if !is_waiting && !has_ended => Step::Output(stream),
                () = sent(&mut self.sending), if is_waiting => Step::Sent,
                ended = self.child.wait(), if self.exit.is_none() => Step::Exit(ended),
                Ok(()) = self.told.changed() => Step::EndBy(self.told.borrow().unwrap_or_else(Instant::now)),
                () = &mut closing => Step::EndBy(after(SHUTDOWN_GRACE)),
                () = at(time_is_up) => Step::TimeIsUp,
                () = at(self.kill_at) => Step::Kill,
                () = at(drained_by), if !is_waiting => Step::DrainOver,
                () = &mut writing => continue,
            };
            match step {
                Step::Output(Some(stream)) => self.send(stream),
                Step::Output(None) | Step::Sent => {}
                Step::Exit(ended) => {
                    self.exit = Some(ended);
                    // At once: whoever signals meanwhile would meet another's group.
                    self.processes.shared.registry.of_run(&self.id, &self.run, Known::is_awaited);
                    self.tree.leader_is_gone();
                    // Those who are orphans now are known from here on, even if they end soon.
                    self.left_behind = Some(self.tree.count().boxed());
                    drained_by = Some(after(drain));
                    time_is_up = None;
                }
                Step::EndBy(end) => self.end_by(end).await,
                Step::TimeIsUp => {
                    time_is_up = None;
                    self.reason.get_or_insert("time limit");
                    self.end_by(after(self.manner.grace)).await;
                }
                Step::Kill => {
                    self.kill_at = None;
                    self.tree.kill().await;
                }
                Step::DrainOver => match self.kill_at {
                    // What it has started was told to end as well, and has the same grace.
                    Some(kill_at) if self.tree.count().await > 0 => drained_by = Some(later(kill_at, drain)),
                    _ => {
                        self.sweep().await;
                        return;
                    }
                },
            }
        }
    }

    fn send(&mut self, stream: Stream) {
        let Pump { outputs, processes, id, pause, .. } = self;
        self.sending = outputs.take(stream, |bytes| processes.send(id, stream, bytes, *pause));
    }

    /// What the process itself wrote lies in the pipes by now, whatever held us up.
    async fn sweep(&mut self) {
        let mut swept = [0; 2];
        while let Some(stream) = self.outputs.sweep(&mut swept) {
            self.send(stream);
            sent(&mut self.sending).await;
        }
    }

    /// Tells everyone to end, once, if there is time for that. The sooner of two ends holds.
    async fn end_by(&mut self, end: Instant) {
        if !std::mem::replace(&mut self.is_told, true) && end > Instant::now() {
            self.tree.signal(Signal::TERM).await;
        }
        self.kill_at = Some(self.kill_at.map_or(end, |at| at.min(end)));
    }

    /// Those who were told to end do so within the grace, or are killed.
    async fn until_all_are_gone(&mut self) {
        let mut give_up = None;
        let mut pause = Duration::from_millis(2);
        while self.tree.count().await > 0 {
            let now = Instant::now();
            if self.kill_at.is_none_or(|at| at <= now) {
                // Again and again: whoever multiplies as it dies is met the next time.
                self.tree.kill().await;
                pause = Duration::from_millis(2);
                if *give_up.get_or_insert(now + GIVE_UP) <= now {
                    tracing::warn!(id = self.id, "somebody of a process cannot be killed");
                    return;
                }
            }
            pause = (pause * 2).min(Duration::from_millis(100));
            let next = self.kill_at.map_or(now + pause, |at| at.min(now + pause));
            tokio::select! {
                () = sleep_until(next.max(now + Duration::from_millis(1))) => {}
                Ok(()) = self.told.changed() => {
                    let sooner = *self.told.borrow();
                    self.kill_at = self.kill_at.min(sooner);
                }
            }
        }
    }

    /// They live on until they end, or somebody or the server's end ends them.
    async fn watch_over_those_left(&mut self) {
        let closing = closing(&self.processes);
        tokio::pin!(closing);
        let mut pause = Duration::from_millis(100);
        while self.tree.count().await > 0 {
            let end = tokio::select! {
                () = sleep(pause) => {
                    pause = (pause * 2).min(LOOK);
                    continue;
                }
                Ok(()) = self.told.changed() => self.told.borrow().unwrap_or_else(Instant::now),
                () = &mut closing => after(SHUTDOWN_GRACE),
            };
            self.end_by(end).await;
            self.until_all_are_gone().await;
            break;
        }
        self.is_reachable(false);
    }

    /// Whether those left behind can be killed.
    fn is_reachable(&self, is_reachable: bool) {
        self.processes.shared.registry.of_run(&self.id, &self.run, |known| known.leaves = is_reachable);
    }
}

/// Resolves once, when the server begins to end.
fn closing(processes: &Processes) -> Fuse<impl Future<Output = ()> + Send + use<>> {
    let io = processes.io.clone();
    async move { io.closing().await }.fuse()
}

/// Waits for what was sent last.
async fn sent(sending: &mut Option<Emitting<usize>>) {
    if let Some(emitting) = sending {
        log(emitting.await);
        *sending = None;
    }
}

pub(super) async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

/// The time after a while.
pub(super) fn after(time: Duration) -> Instant {
    later(Instant::now(), time)
}

/// A while after another time; one that the clock cannot tell is a year.
fn later(from: Instant, time: Duration) -> Instant {
    const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
    from + time.min(YEAR)
}
