use serde::Serialize;

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

    pub(super) fn of(ended: std::process::ExitStatus) -> Status {
        use std::os::unix::process::ExitStatusExt;
        match (ended.code(), ended.signal()) {
            (Some(code), _) => Status::Exited(code),
            (None, Some(signal)) => Status::Killed(super::signal::name(signal)),
            (None, None) => Status::Failed("it ended without a status".into()),
        }
    }

    /// Why, where the status itself says so.
    pub(super) fn reason(&self) -> Option<&str> {
        match self {
            Status::Failed(reason) => Some(reason),
            _ => None,
        }
    }
}

/// A status as the wire has it, but for the reason, which may have come from elsewhere.
pub(super) fn tell<S: serde::Serializer>(status: &Status, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Flat<'a> {
        status: &'static str,
        exit_code: i32,
        #[serde(skip_serializing_if = "Option::is_none")]
        signal: Option<&'a str>,
    }
    let flat = |status, exit_code| Flat { status, exit_code, signal: None };
    match status {
        Status::Running => flat("running", 0),
        Status::Exited(code) => flat("exited", *code),
        Status::Killed(signal) => Flat { signal: Some(signal), ..flat("killed", -1) },
        Status::Failed(_) => flat("failed", -1),
    }
    .serialize(serializer)
}

/// Which output of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// Standard output, and standard error where they are [merged](super::Command::merge).
    Stdout,
    /// Standard error.
    Stderr,
}

/// A process as [`Processes::list`](super::Processes::list) and `process_list` tell it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Info {
    /// Its id.
    pub process_id: String,
    /// This life of it.
    pub run: String,
    /// The profile that it was started from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// How it stands.
    #[serde(flatten, serialize_with = "tell")]
    pub status: Status,
    /// Why it could not start, or was ended: `time limit`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it began, in milliseconds since 1970.
    pub started_at: u64,
    /// How long it ran, once it has ended, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// How many bytes it has written.
    pub bytes: u64,
}
