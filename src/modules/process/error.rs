use std::fmt;

use serde_json::json;

use super::MAX_ID;
use crate::{Error, code};

/// Why something was not done with a process.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ProcessError {
    /// An id is 1 to 128 of `[A-Za-z0-9_.-]`.
    InvalidId,
    /// A process of this id runs.
    AlreadyRunning,
    /// As many run as [may](super::Settings::max_running).
    TooMany,
    /// It could not start.
    NotStarted {
        /// Why, as its room and clients are told: without the server's paths.
        reason: String,
        /// The same with the paths, as it is logged.
        detail: String,
    },
    /// No process of this id runs.
    NotRunning,
    /// There is no profile of this name.
    UnknownProfile(String),
    /// The profile does not take these parameters; the error says which, as a client is told.
    Refused(Error),
    /// It reads no input, or no more.
    StdinClosed,
    /// More input waits than [may](super::Settings::input_queue): nothing was taken of it.
    InputFull,
    /// A piece of input that would never fit into the queue.
    InputTooLarge,
}

impl fmt::Display for ProcessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProcessError::InvalidId => write!(f, "a process's id is 1 to {MAX_ID} of [A-Za-z0-9_.-]"),
            ProcessError::AlreadyRunning => f.write_str("a process of this id runs"),
            ProcessError::TooMany => f.write_str("as many processes run as may"),
            ProcessError::NotStarted { detail, .. } => write!(f, "it could not start: {detail}"),
            ProcessError::NotRunning => f.write_str("no process of this id runs"),
            ProcessError::UnknownProfile(name) => write!(f, "there is no profile `{name}`"),
            ProcessError::Refused(error) => f.write_str(error.message()),
            ProcessError::StdinClosed => f.write_str("it reads no input, or no more"),
            ProcessError::InputFull => f.write_str("it has not read the input before this"),
            ProcessError::InputTooLarge => f.write_str("the input is longer than what may wait"),
        }
    }
}

impl std::error::Error for ProcessError {}

impl From<ProcessError> for Error {
    fn from(error: ProcessError) -> Error {
        let message = error.to_string();
        match error {
            ProcessError::InvalidId => invalid("processId", message),
            ProcessError::AlreadyRunning => Error::new("already_running", message),
            ProcessError::TooMany | ProcessError::InputFull => Error::new(code::BUSY, message),
            ProcessError::NotStarted { reason, .. } => {
                Error::new("not_started", format!("it could not start: {reason}"))
            }
            ProcessError::NotRunning | ProcessError::UnknownProfile(_) => Error::new(code::NOT_FOUND, message),
            ProcessError::Refused(error) => error,
            ProcessError::StdinClosed => Error::new("stdin_closed", message),
            ProcessError::InputTooLarge => Error::new(code::TOO_LARGE, message),
        }
    }
}

/// What a client has sent is not valid at `path`.
pub(super) fn invalid(path: &str, message: impl fmt::Display) -> Error {
    refusal(code::INVALID_PAYLOAD, path, message)
}

/// What a client has sent at `path` is not allowed to it.
pub(super) fn forbidden(path: &str, message: impl fmt::Display) -> Error {
    refusal(code::FORBIDDEN, path, message)
}

fn refusal(code: &'static str, path: &str, message: impl fmt::Display) -> Error {
    Error::new(code, format!("at `{path}`: {message}")).with_details(json!({ "path": path }))
}
