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
