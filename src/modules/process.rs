//! Processes, streamed to rooms as they run, and started, fed and ended by clients within their rights. Unix only.
//!
//! A process of id `build-1` has the room `process:build-1`. Its members get `process_output` for each
//! chunk of its output, and `process_status` when it begins and when it ends, the last status after the last
//! byte. A room may be subscribed before there is such a process. It has [history](Settings::history): who comes late
//! gets what was, then what is, and who lost its connection goes on by `since`.
//!
//! ```no_run
//! # async fn f() -> eventwire::Result<()> {
//! use eventwire::Io;
//! use eventwire::process::{Command, Param, Profile, Rights, Settings};
//!
//! let io = Io::new();
//! let settings = Settings::default()
//!     .rights(|socket, _id| async move { if socket.handshake().user().is_empty() { Rights::VIEW } else { Rights::ALL } })
//!     .profile("tests", Command::new("cargo").arg("test").cwd("/srv/project"))
//!     .profile("count", Profile::new("seq").arg("1").param("n", Param::integer(1..=1000)));
//! let processes = io.install(settings);
//!
//! // By a client: {"event": "process_start", "data": {"profile": "count", "params": {"n": 3}}, "id": 1}. By the server:
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
//! text; bytes that are not UTF-8 come as base64 with `"enc": "b64"`. `ts` is the time in milliseconds since 1970.
//!
//! `status` is `running` (exit code 0), `exited` with the code, `killed` (-1) with `signal`, or `failed` (-1): it could not
//! start. `reason` says why it could not, or that it was ended by its `time limit`. `drained` is `false` where something
//! that the process left behind still held its output open after the [drain](Settings::drain); what that writes later is
//! not sent.
//!
//! Output keeps ANSI escapes and carriage returns. The first chunk goes at once; what follows within 8 ms is gathered to
//! chunks of at most 64 KiB, so that a prompt is immediate and a flood comes in few messages. A character is never cut in
//! two: up to three bytes of an unfinished one are held back until the rest comes, the stream ends, or 100 ms pass.
//! [`Mode::Lines`] sends whole lines instead. The order of stdout against stderr is that in which they were read: two pipes
//! have no other; [`Command::merge`] gives them one.
//!
//! # What clients ask
//!
//! Each is answered at once: none waits for the process. [`Settings::rights`] says who may; without it, all are
//! `forbidden`, as each is to a socket without the right, whether there is such a process or not. An application that
//! answers one of them itself takes the module's away first: `io.off("process_list")`.
//!
//! | event | data | right | answer |
//! | --- | --- | --- | --- |
//! | `subscribe` | `"process:ID"` | [`VIEW`](Rights::VIEW) | as for any room |
//! | `process_list` | | `VIEW` of each | a list of [`Info`] |
//! | `process_start` | `{processId?, profile, params?, cwd?, env?}` | [`START`](Rights::START) | `{processId, run}` |
//! | `process_start` | `{processId?, command: ["prog", "arg"…], cwd?, env?, input?: bool}` | [`COMMAND`](Rights::COMMAND) | the same |
//! | `process_input` | `{processId, data, enc?: "b64"}` | [`WRITE`](Rights::WRITE) | `null`: it is queued |
//! | `process_stdin_close` | `{processId}` | `WRITE` | `null`: the end comes after what is queued |
//! | `process_signal` | `{processId, signal: "SIGTERM"}` | [`SIGNAL`](Rights::SIGNAL) | `null` |
//! | `process_kill` | `{processId, graceMs?}` | `SIGNAL` | `null`: it is told to end |
//!
//! `processId` is 1 to 128 of `[A-Za-z0-9_.-]`; without one, `process_start` makes it. `params` is an object, checked by the
//! [`Profile`]; `cwd` and `env` are refused where the profile does not leave them to clients. A signal goes to the process group,
//! and to nobody once the process itself has ended, whatever holds its output open;
//! `process_kill` reaches everyone whom the process has started: SIGTERM, and after the grace (at most 10 min; without one the
//! [command's](Command::grace)) SIGKILL.
//!
//! | code | when |
//! | --- | --- |
//! | `forbidden` | there is no right to it; `cwd` or `env` is not for clients to choose (`details.path`) |
//! | `invalid_payload` | `details.path` says where: `processId`, `params.n`, `signal`, `data`… |
//! | `not_found` | no process of this id runs; there is no such profile |
//! | `already_running` | a process of this id runs |
//! | `busy` | [as many](Settings::max_running) run, or have left somebody behind, as may; [as much](Settings::input_queue) input waits as may |
//! | `too_large` | a piece of input that would never fit into the queue |
//! | `stdin_closed` | the process [reads no input](Command::input), or no more |
//! | `not_started` | the program could not be started; the message says why, without the server's paths, and so is the room told |
//!
//! # How a run ends
//!
//! By itself: its status is told once its output has been read to the end, or the drain is over. What it left behind in the
//! background lives on; what that prints is read and thrown away. As long as it lives, the process is listed, has one of the
//! [places](Settings::max_running) of those that run, and can be ended by [`Processes::kill`], unless its id was used again.
//!
//! By [`Processes::kill`], `process_kill`, a [time limit](Command::time_limit) or [`Io::shutdown`](crate::Io::shutdown) (grace 500 ms):
//! everyone whom it has started gets SIGTERM, and who is left after the grace is stopped and killed. Its status is told when
//! nobody is left. That holds on Linux for jobs that `nohup`, `setsid` or a double fork have taken out of its group, because
//! this program [adopts orphans](Settings::adopt_orphans) and each process has `EVENTWIRE_RUN` in its environment. Elsewhere, a kill
//! reaches the process group.
//!
//! Two cannot be told from children of the application's own, and are left alone: an orphan in a session of its own that wiped
//! its environment before anyone looked (a run is looked at when it ends, and when it is told to), and one in a session of
//! its own that ended before: it stays a zombie.
//!
//! After `Io::shutdown`, await [`Processes::all_ended`] before `main` returns. If the runtime is dropped first, what runs is
//! killed without a grace.
//!
//! # Limits
//!
//! | what | default | set by |
//! | --- | --- | --- |
//! | output that is kept, for each | 4 MiB | [`Settings::history`] |
//! | processes that run, or have left somebody behind, at a time | 64 | [`Settings::max_running`] |
//! | ended ones that are listed | 64, for 10 min | [`Settings::keep_ended`], [`keep_ended_for`](Settings::keep_ended_for) |
//! | input that waits, for each | 256 messages, 1 MiB | [`Settings::input_queue`] |
//! | output awaited after the end | 500 ms | [`Settings::drain`] |
//! | grace after SIGTERM | 2 s | [`Command::grace`] |
//! | time, memory, CPU, files… | none | [`Command::time_limit`], [`Command::limits`] |
//! | environment | a few variables of the server's | [`Command::env_keep`] |

mod chunk;
mod command;
mod environment;
mod error;
mod input;
mod known;
mod limits;
mod outputs;
mod param;
mod processes;
mod profile;
mod pump;
mod requests;
mod rights;
mod settings;
mod signal;
mod source;
mod status;
mod telling;
mod tree;

use std::time::{SystemTime, UNIX_EPOCH};

pub use self::command::{Command, Mode};
pub use self::error::ProcessError;
pub use self::limits::Limits;
pub use self::param::Param;
pub use self::processes::{Processes, Run};
pub use self::profile::Profile;
pub use self::rights::Rights;
pub use self::settings::Settings;
pub use self::signal::{Signal, UnknownSignal};
pub use self::status::{Info, Status, Stream};

#[cfg(not(unix))]
compile_error!("the feature `process` needs Unix");

/// The longest id of a process. With `process:` before it, it is a room's name.
const MAX_ID: usize = 128;

fn check_id(id: &str) -> Result<(), ProcessError> {
    let is_id = (1..=MAX_ID).contains(&id.len())
        && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'));
    if is_id { Ok(()) } else { Err(ProcessError::InvalidId) }
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis() as u64)
}
