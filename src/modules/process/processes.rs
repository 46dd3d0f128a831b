use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use serde_json::Value;
use tokio::sync::watch;

use super::command::{Command, NotStarted};
use super::known::{Known, Registry, Reins};
use super::profile::Choices;
use super::pump::{self, Pump};
use super::telling::{Ending, sent};
use super::tree::Tree;
use super::{Info, ProcessError, Settings, Signal, Status, Stream, check_id, input, tree};
use crate::Io;

/// The processes of an [`Io`]: a cheap handle. See the [module](super).
#[derive(Clone)]
pub struct Processes {
    pub(super) io: Io,
    pub(super) shared: Arc<Shared>,
}

/// All but the `Io`, which handlers have by their socket: one that kept it would keep it for ever.
pub(super) struct Shared {
    pub(super) settings: Settings,
    pub(super) registry: Registry,
    pub(super) counts: watch::Sender<Counts>,
}

/// How many that were started here there are.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) running: usize,
    /// Runs that have ended and left somebody behind.
    pub(super) left: usize,
}

/// A process that was started.
#[derive(Debug)]
pub struct Run {
    id: String,
    run: String,
    status: watch::Receiver<Status>,
}

impl Run {
    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The name of this life of it.
    pub fn run(&self) -> &str {
        &self.run
    }

    /// Waits until it has ended and its room has been told. Cancel safe.
    pub async fn ended(&self) -> Status {
        let mut status = self.status.clone();
        match status.wait_for(Status::is_end).await {
            Ok(status) => status.clone(),
            Err(_) => Status::Failed("its task was lost".into()),
        }
    }
}

impl Processes {
    pub(super) fn new(io: &Io, settings: Settings) -> Processes {
        let shared = Shared { settings, registry: Registry::default(), counts: watch::Sender::default() };
        Processes { io: io.clone(), shared: Arc::new(shared) }
    }

    // ---- starting

    /// Starts a process and streams it to its room.
    ///
    /// Must be called within a Tokio runtime. The process is killed, with all that it has started, when that ends before it.
    ///
    /// # Errors
    /// [`ProcessError`]: a bad id, a process of this id that runs, too many that run, or one that cannot start.
    pub fn spawn(&self, id: &str, command: Command) -> Result<Run, ProcessError> {
        self.begin(id, command, None)
    }

    /// Starts a process from a [profile](Settings::profile) with these parameters, an object, as `process_start` does.
    ///
    /// ```no_run
    /// # fn f(processes: eventwire::process::Processes) -> eventwire::Result<()> {
    /// processes.start("count-1", "seq", serde_json::json!({"n": 10}))?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`spawn`](Processes::spawn), and [`UnknownProfile`](ProcessError::UnknownProfile) and
    /// [`Refused`](ProcessError::Refused).
    pub fn start(&self, id: &str, profile: &str, params: Value) -> Result<Run, ProcessError> {
        self.start_with(id, profile, params, Choices::default())
    }

    /// The same, with what else a client may choose.
    pub(super) fn start_with(
        &self,
        id: &str,
        profile: &str,
        params: Value,
        choices: Choices,
    ) -> Result<Run, ProcessError> {
        check_id(id)?;
        let known = self.shared.settings.profiles.get(profile);
        let known = known.ok_or_else(|| ProcessError::UnknownProfile(profile.to_owned()))?;
        let command = known.command(params, choices).map_err(ProcessError::Refused)?;
        self.begin(id, command, Some(profile))
    }

    fn begin(&self, id: &str, command: Command, profile: Option<&str>) -> Result<Run, ProcessError> {
        check_id(id)?;
        self.forget_old();
        let settings = &self.shared.settings;
        let (end, told_to_end) = watch::channel(None);
        let (input, writer) = input::queue(settings.input);
        let manner = command.manner();
        let prepare = |known: &mut Known| {
            known.profile = profile.map(str::to_owned);
            known.reins = Some(Reins { end, grace: manner.grace, group: None });
            known.input = Some(input);
        };
        // Those left behind have places too: else background jobs could be piled up without bound.
        let is_full = |running| running + self.shared.counts.borrow().left >= settings.max_running;
        let run = self.shared.registry.begin(id, is_full, prepare)?;
        let started = match command.spawn((tree::MARK, &tree::mark(&run))) {
            Ok(started) => started,
            Err(NotStarted { reason, detail }) => {
                tracing::warn!(id, detail, "a process could not start");
                tokio::spawn(sent(self.tell(id, Status::Failed(reason.clone()), Ending::default())));
                return Err(ProcessError::NotStarted { reason, detail });
            }
        };
        // At once: it marks the process before that has started others.
        let tree = Tree::new(&run, started.child.id());
        self.shared.registry.of_run(id, &run, |known| {
            known.input.take_if(|_| started.stdin.is_none());
            if let Some(reins) = &mut known.reins {
                reins.group = started.child.id();
            }
        });
        let begun = self.tell(id, Status::Running, Ending::default());
        let (told, status) = watch::channel(Status::Running);
        let pump = Pump::new(self.clone(), (id, &run), started, tree, manner, told_to_end, begun);
        tokio::spawn(pump.run(writer, told));
        Ok(Run { id: id.to_owned(), run, status })
    }

    // ---- while it runs

    /// Gives it something to read. Returns at once: it is queued, within the [bounds](Settings::input_queue), all of it or
    /// nothing.
    ///
    /// # Errors
    /// [`NotRunning`](ProcessError::NotRunning); [`StdinClosed`](ProcessError::StdinClosed) where its command does not say
    /// [`input`](Command::input), or it reads no more; [`InputFull`](ProcessError::InputFull);
    /// [`InputTooLarge`](ProcessError::InputTooLarge).
    pub fn input(&self, id: &str, data: impl Into<Vec<u8>>) -> Result<(), ProcessError> {
        let data = data.into();
        let put = |known: &mut Known| known.input.as_ref().ok_or(ProcessError::StdinClosed)?.put(data);
        self.shared.registry.running(id, put)?
    }

    /// Closes its input after what is queued: it reads the end.
    ///
    /// # Errors
    /// [`NotRunning`](ProcessError::NotRunning); [`StdinClosed`](ProcessError::StdinClosed) where it has none, or it is closed.
    pub fn close_input(&self, id: &str) -> Result<(), ProcessError> {
        let input = self.shared.registry.running(id, |known| known.input.take())?;
        input.map(drop).ok_or(ProcessError::StdinClosed)
    }

    /// Sends a signal to its process group: to it and to what it has started, but for those that left the group.
    ///
    /// # Errors
    /// [`NotRunning`](ProcessError::NotRunning), also where the process itself has ended and its output is still awaited:
    /// what it left behind is reached by [`kill`](Processes::kill) only.
    pub fn signal(&self, id: &str, signal: Signal) -> Result<(), ProcessError> {
        self.shared.registry.signal(id, signal)
    }

    /// Ends a process that was started here and everyone whom it has started: SIGTERM to all of them, and SIGKILL to
    /// those who are left after the grace; without a grace, SIGKILL at once. It does not wait: the room is told when nobody
    /// is left. Of several graces, the one that is over first holds.
    ///
    /// It also ends those whom a process has left behind that has ended by itself, from a moment after its end on.
    ///
    /// # Errors
    /// [`ProcessError::NotRunning`].
    pub fn kill(&self, id: &str, grace: Duration) -> Result<(), ProcessError> {
        self.end(id, Some(grace))
    }

    /// The same, within the command's own grace where there is no other.
    pub(super) fn end(&self, id: &str, grace: Option<Duration>) -> Result<(), ProcessError> {
        let known = self.shared.registry.lock();
        let reins = known.get(id).and_then(Known::reins).ok_or(ProcessError::NotRunning)?;
        let new = pump::after(grace.unwrap_or(reins.grace));
        reins.end.send_if_modified(|by| {
            let is_sooner = by.is_none_or(|by| new < by);
            if is_sooner {
                *by = Some(new);
            }
            is_sooner
        });
        Ok(())
    }

    /// Waits until no process runs that was started here: after [`Io::shutdown`], which ends them and those whom they have left
    /// behind, before `main` returns. Cancel safe.
    pub async fn all_ended(&self) {
        let mut counts = self.shared.counts.subscribe();
        // The sender lives as long as this handle.
        let _ = counts.wait_for(|counts| counts.running == 0).await;
        if self.io.closing().now_or_never().is_some() {
            let _ = counts.wait_for(|counts| counts.running == 0 && counts.left == 0).await;
        }
    }

    // ---- what the application tells

    /// Tells a process's room of output that the application has got elsewhere, as if it had been its standard output.
    /// It is sent at once; what is awaited is the [pause](Settings::pause), and other nodes.
    ///
    /// # Errors
    /// [`ProcessError::InvalidId`].
    pub async fn output(&self, id: &str, text: &str) -> Result<(), ProcessError> {
        check_id(id)?;
        if !text.is_empty() {
            self.shared.registry.told(id, false);
            sent(self.send(id, Stream::Stdout, text.as_bytes(), self.shared.settings.pause)).await;
        }
        Ok(())
    }

    /// Tells a process's room the status of one that the application runs itself. After an end, `Running` begins another
    /// run. It is sent at once; what is awaited is other nodes.
    ///
    /// # Errors
    /// [`ProcessError::InvalidId`].
    pub async fn status(&self, id: &str, status: Status) -> Result<(), ProcessError> {
        check_id(id)?;
        self.shared.registry.told(id, !status.is_end());
        sent(self.tell(id, status, Ending::default())).await;
        Ok(())
    }

    /// The processes that run, and those that ended last, the oldest first.
    pub fn list(&self) -> Vec<Info> {
        self.forget_old();
        self.shared.registry.list()
    }
}

impl fmt::Debug for Processes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Processes").field("known", &self.shared.registry.lock().len()).finish_non_exhaustive()
    }
}
