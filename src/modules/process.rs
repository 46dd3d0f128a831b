//! Processes, streamed to rooms as they run.
//!
//! A process of id `build-1` has the room `process:build-1`. Its members get `process_output` for each
//! chunk of its output, and `process_status` when it begins and when it ends, the last status after the last
//! byte. Who may subscribe is said by a rule, as for any room.
//!
//! ```no_run
//! # async fn f() -> eventwire::Result<()> {
//! use eventwire::Io;
//! use eventwire::process::{Command, Settings};
//!
//! let io = Io::new();
//! io.rooms("process:*").public();
//! let processes = io.install(Settings::default());
//! let build = processes.spawn("build-1", Command::new("cargo").args(["build", "--release"]))?;
//! println!("it ended: {:?}", build.ended().await);
//! # Ok(()) }
//! ```
//!
//! # What is sent
//!
//! | event | data |
//! | --- | --- |
//! | `process_output` | `{processId, run, off, len, stream: "stdout" \| "stderr", data, enc?, ts}` |
//! | `process_status` | `{processId, run, status, exitCode, signal?, reason?, durationMs?, drained?}` |
//!
//! `run` names one life of a process: an id may be used again. `off` counts the raw bytes of the run before this
//! chunk, over stdout and stderr together, and `len` the raw bytes of it: the next `off` is `off + len`. `data` is
//! text; bytes that are not UTF-8 come as base64 with `"enc": "b64"`. A character is never cut in two: up to
//! three bytes of an unfinished one are held back until the rest comes, the stream ends, or 100 ms pass. `ts`
//! is the time in milliseconds since 1970.
//!
//! `status` is `running` (exit code 0), `exited` with the code, `killed` (-1) with `signal`, or `failed` (-1)
//! with `reason`: it could not start. `drained` is `false` where something that the process left behind still held its
//! output open after the [drain](Settings::drain); what that writes later is not sent.
//!
//! Output goes out as it comes, with ANSI escapes and carriage returns. The order of stdout against stderr
//! is that in which they were read: two pipes have no other.

mod chunk;
mod command;
mod pump;
mod source;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Serialize;
use tokio::sync::watch;

pub use self::command::Command;
use self::pump::Pump;
use crate::{EmitError, Emitting, Error, Io, Module, Pace, code};

/// The longest id of a process. With `process:` before it, it is a room's name.
const MAX_ID: usize = 128;

/// How the module works.
#[derive(Clone, Debug)]
pub struct Settings {
    drain: Duration,
    pause: Option<Pace>,
    keep: usize,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { drain: Duration::from_millis(500), pause: None, keep: 64 }
    }
}

impl Settings {
    /// How long output is awaited after a process has ended. Default 500 ms: what it left behind may hold its
    /// output open for ever (`sleep 3 & echo hi` ends after 4 ms, its output after 3 s).
    #[must_use]
    pub fn drain(self, time: Duration) -> Settings {
        Settings { drain: time, ..self }
    }

    /// Output is read no faster than its slowest viewer takes it: for jobs of which nobody may miss a line.
    /// Default: a process is never held up by who watches, and a viewer that does not keep up is
    /// disconnected as [`Overflow`](crate::Overflow) says.
    #[must_use]
    pub fn pause(self, pace: Pace) -> Settings {
        Settings { pause: Some(pace), ..self }
    }

    /// How many processes that have ended are still told by [`Processes::list`]. Default 64.
    #[must_use]
    pub fn keep_ended(self, count: usize) -> Settings {
        Settings { keep: count, ..self }
    }
}

impl Module for Settings {
    type Handle = Processes;
    fn install(self, io: &Io) -> Processes {
        let shared = Shared { settings: self, known: Mutex::default(), running: watch::Sender::new(0) };
        Processes { io: io.clone(), shared: Arc::new(shared) }
    }
}

/// What has become of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Status {
    /// It runs.
    Running,
    /// It ended by itself, with this code.
    Exited(i32),
    /// A signal ended it, such as `SIGKILL`.
    Killed(String),
    /// It could not start, for this reason.
    Failed(String),
}

impl Status {
    /// Whether nothing comes after it.
    pub fn is_end(&self) -> bool {
        *self != Status::Running
    }
}

/// Which output of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Why a process was not started, or not found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProcessError {
    /// An id is 1 to 128 of `[A-Za-z0-9_.-]`.
    InvalidId,
    /// A process of this id runs.
    AlreadyRunning,
    /// It could not start; its room is told `failed` with the same reason.
    NotStarted(String),
    /// No process of this id runs.
    NotRunning,
}

impl fmt::Display for ProcessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProcessError::InvalidId => write!(f, "a process's id is 1 to {MAX_ID} of [A-Za-z0-9_.-]"),
            ProcessError::AlreadyRunning => f.write_str("a process of this id runs"),
            ProcessError::NotStarted(reason) => write!(f, "it could not start: {reason}"),
            ProcessError::NotRunning => f.write_str("no process of this id runs"),
        }
    }
}

impl std::error::Error for ProcessError {}

impl From<ProcessError> for Error {
    fn from(error: ProcessError) -> Error {
        let code = match error {
            ProcessError::InvalidId => code::INVALID_PAYLOAD,
            ProcessError::AlreadyRunning => "already_running",
            ProcessError::NotStarted(_) => "not_started",
            ProcessError::NotRunning => code::NOT_FOUND,
        };
        Error::new(code, error.to_string())
    }
}

/// A process as [`Processes::list`] tells it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Info {
    /// Its id.
    pub process_id: String,
    /// This life of it.
    pub run: String,
    /// How it stands.
    #[serde(flatten, serialize_with = "tell")]
    pub status: Status,
    /// When it began, in milliseconds since 1970.
    pub started_at: u64,
    /// How long it ran, once it has ended, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// How many bytes it has written.
    pub bytes: u64,
}

/// The processes of an [`Io`]: a cheap handle. See the [module](self).
#[derive(Clone)]
pub struct Processes {
    io: Io,
    shared: Arc<Shared>,
}

struct Shared {
    settings: Settings,
    // A std mutex: held for a look-up.
    known: Mutex<HashMap<String, Known>>,
    /// How many that were started here run.
    running: watch::Sender<usize>,
}

/// What is kept of a process, and of one that the application tells of by itself.
struct Known {
    run: String,
    status: Status,
    off: u64,
    started_at: u64,
    started: Instant,
    duration: Option<Duration>,
    /// Tells its pump, while it runs, by when it is to end.
    kill: Option<watch::Sender<Option<tokio::time::Instant>>>,
    /// Whose turn it is to tell of this id, in this run or another: what is told arrives in the order in which it
    /// was counted. Locked before `known`, never across an await.
    turn: Arc<Mutex<()>>,
}

impl Known {
    fn new(turn: Arc<Mutex<()>>) -> Known {
        Known {
            run: uuid::Uuid::new_v4().to_string(),
            status: Status::Running,
            off: 0,
            started_at: now_ms(),
            started: Instant::now(),
            duration: None,
            kill: None,
            turn,
        }
    }
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

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Output<'a> {
    process_id: &'a str,
    run: &'a str,
    off: u64,
    len: usize,
    stream: Stream,
    data: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    enc: Option<&'static str>,
    ts: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Told<'a> {
    process_id: &'a str,
    run: &'a str,
    #[serde(flatten, serialize_with = "tell")]
    status: &'a Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    drained: Option<bool>,
}

/// A status as the wire has it.
fn tell<S: serde::Serializer>(status: &Status, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Flat<'a> {
        status: &'static str,
        exit_code: i32,
        #[serde(skip_serializing_if = "Option::is_none")]
        signal: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<&'a str>,
    }
    let flat = |status, exit_code| Flat { status, exit_code, signal: None, reason: None };
    match status {
        Status::Running => flat("running", 0),
        Status::Exited(code) => flat("exited", *code),
        Status::Killed(signal) => Flat { signal: Some(signal), ..flat("killed", -1) },
        Status::Failed(reason) => Flat { reason: Some(reason), ..flat("failed", -1) },
    }
    .serialize(serializer)
}

impl Processes {
    /// Starts a process and streams it to its room.
    ///
    /// Must be called within a Tokio runtime. The process is killed, with its process group, when that ends before it.
    ///
    /// # Errors
    /// [`ProcessError`]: a bad id, a process of this id that runs, or one that cannot start.
    pub fn spawn(&self, id: &str, command: Command) -> Result<Run, ProcessError> {
        check_id(id)?;
        let (kill, killed) = watch::channel(None);
        let run = {
            let mut known = self.lock();
            let before = known.get(id);
            if before.is_some_and(|known| !known.status.is_end()) {
                return Err(ProcessError::AlreadyRunning);
            }
            let turn = before.map(|known| known.turn.clone()).unwrap_or_default();
            let new = Known { kill: Some(kill), ..Known::new(turn) };
            let run = new.run.clone();
            known.insert(id.to_owned(), new);
            run
        };
        let child = match command.spawn() {
            Ok(child) => child,
            Err(error) => {
                let reason = error.to_string();
                tokio::spawn(sent(self.tell(id, Status::Failed(reason.clone()), None)));
                return Err(ProcessError::NotStarted(reason));
            }
        };
        let begun = self.tell(id, Status::Running, None);
        let (told, status) = watch::channel(Status::Running);
        let pump = Pump::new(self.clone(), id.to_owned(), child, killed, begun);
        tokio::spawn(async move {
            let status = pump.run().await;
            told.send_replace(status);
        });
        Ok(Run { id: id.to_owned(), run, status })
    }

    /// Ends a process that was started here and what is in its process group: SIGTERM, and SIGKILL after the
    /// grace, or once the process has ended and nobody holds its output any more. Returns at once; its room is told
    /// when it has ended. Of several graces, the one that is over first holds.
    ///
    /// # Errors
    /// [`ProcessError::NotRunning`].
    pub fn kill(&self, id: &str, grace: Duration) -> Result<(), ProcessError> {
        let known = self.lock();
        let running = known.get(id).filter(|known| !known.status.is_end());
        let kill = running.and_then(|known| known.kill.as_ref()).ok_or(ProcessError::NotRunning)?;
        let new = pump::after(grace);
        kill.send_if_modified(|by| {
            let is_sooner = by.is_none_or(|by| new < by);
            if is_sooner {
                *by = Some(new);
            }
            is_sooner
        });
        Ok(())
    }

    /// Waits until no process runs that was started here: after [`Io::shutdown`], which tells them to end, before `main`
    /// returns.
    pub async fn all_ended(&self) {
        // The sender lives as long as this handle.
        let _ = self.shared.running.subscribe().wait_for(|running| *running == 0).await;
    }

    /// Tells a process's room of output that the application has got elsewhere, as if it had been its standard output.
    /// It is sent at once; what is awaited is the [pause](Settings::pause), and other nodes.
    ///
    /// # Errors
    /// [`ProcessError::InvalidId`].
    pub async fn output(&self, id: &str, text: &str) -> Result<(), ProcessError> {
        check_id(id)?;
        if !text.is_empty() {
            self.lock().entry(id.to_owned()).or_insert_with(|| Known::new(Arc::default()));
            sent(self.send(id, Stream::Stdout, text.as_bytes())).await;
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
        {
            let mut known = self.lock();
            let before = known.get(id);
            if before.is_none_or(|known| known.status.is_end() && !status.is_end()) {
                let turn = before.map(|known| known.turn.clone()).unwrap_or_default();
                known.insert(id.to_owned(), Known::new(turn));
            }
        }
        sent(self.tell(id, status, None)).await;
        Ok(())
    }

    /// The processes that run, and those that ended last, the oldest first.
    pub fn list(&self) -> Vec<Info> {
        let mut list: Vec<Info> = self
            .lock()
            .iter()
            .map(|(id, known)| Info {
                process_id: id.clone(),
                run: known.run.clone(),
                status: known.status.clone(),
                started_at: known.started_at,
                duration_ms: known.duration.map(|duration| duration.as_millis() as u64),
                bytes: known.off,
            })
            .collect();
        list.sort_by(|a, b| (a.started_at, &a.process_id).cmp(&(b.started_at, &b.process_id)));
        list
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Known>> {
        self.shared.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn turn(&self, id: &str) -> Option<Arc<Mutex<()>>> {
        self.lock().get(id).map(|known| known.turn.clone())
    }

    /// Sends a chunk of output. What it returns keeps the pace.
    fn send(&self, id: &str, stream: Stream, bytes: &[u8]) -> Option<Emitting<usize>> {
        let encoded;
        let (data, enc) = match std::str::from_utf8(bytes) {
            Ok(text) => (text, None),
            Err(_) => {
                encoded = BASE64.encode(bytes);
                (encoded.as_str(), Some("b64"))
            }
        };
        let turn = self.turn(id)?;
        let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
        let (run, off) = {
            let mut known = self.lock();
            let known = known.get_mut(id)?;
            let off = known.off;
            known.off += bytes.len() as u64;
            (known.run.clone(), off)
        };
        let output = Output { process_id: id, run: &run, off, len: bytes.len(), stream, data, enc, ts: now_ms() };
        let room = room(id);
        let broadcast = match self.shared.settings.pause {
            Some(pace) => self.io.to(&room).paced(pace),
            None => self.io.to(&room),
        };
        Some(broadcast.emit("process_output", output))
    }

    /// It has ended, though its output may not have: that is how long it ran.
    fn has_exited(&self, id: &str) {
        if let Some(known) = self.lock().get_mut(id) {
            known.duration = Some(known.started.elapsed());
        }
    }

    /// Sends a status, and keeps it.
    fn tell(&self, id: &str, status: Status, drained: Option<bool>) -> Option<Emitting<usize>> {
        let turn = self.turn(id)?;
        let turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
        let (run, duration) = {
            let mut known = self.lock();
            let known = known.get_mut(id)?;
            known.status = status.clone();
            if status.is_end() {
                known.duration.get_or_insert_with(|| known.started.elapsed());
                known.kill = None;
            }
            (known.run.clone(), known.duration)
        };
        let duration_ms = duration.map(|duration| duration.as_millis() as u64);
        let told = Told { process_id: id, run: &run, status: &status, duration_ms, drained };
        let emitting = self.io.to(&room(id)).emit("process_status", told);
        drop(turn);
        if status.is_end() {
            self.forget_old();
        }
        Some(emitting)
    }

    /// Keeps as many that have ended as the settings say.
    fn forget_old(&self) {
        let mut known = self.lock();
        let ended = known
            .iter()
            .filter(|(_, known)| known.status.is_end())
            .filter_map(|(id, known)| known.duration.map(|duration| (known.started + duration, id.clone())));
        let mut ended: Vec<_> = ended.collect();
        ended.sort();
        let surplus = ended.len().saturating_sub(self.shared.settings.keep);
        for (_, id) in ended.into_iter().take(surplus) {
            known.remove(&id);
        }
    }
}

impl fmt::Debug for Processes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Processes").field("known", &self.lock().len()).finish_non_exhaustive()
    }
}

/// Waits for what sending waits for.
async fn sent(emitting: Option<Emitting<usize>>) {
    if let Some(emitting) = emitting {
        log(emitting.await);
    }
}

/// The members here have got it in any case.
fn log(sent: Result<usize, EmitError>) {
    if let Err(error) = sent {
        tracing::warn!(%error, "a process was not told of everywhere");
    }
}

fn room(id: &str) -> String {
    format!("process:{id}")
}

fn check_id(id: &str) -> Result<(), ProcessError> {
    let is_id = (1..=MAX_ID).contains(&id.len())
        && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'));
    if is_id { Ok(()) } else { Err(ProcessError::InvalidId) }
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis() as u64)
}
