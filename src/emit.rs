//! What an emit gives back: done at once where there is room, a future where there is none.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::config::Config;
use crate::error::{Error, code};
use crate::handler::BoxFuture;
use crate::outbox::Backlog;
use crate::protocol::NameError;

/// Why something was not emitted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EmitError {
    /// The socket is disconnected.
    Disconnected,
    /// Its outbox is full; only from what does not wait.
    Full,
    /// The event cannot be named so.
    Name(NameError),
    /// The data cannot be written as JSON.
    Encode(String),
    /// It has reached the members here, but not the other nodes.
    Adapter(String),
}

impl fmt::Display for EmitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EmitError::Disconnected => f.write_str("the socket is disconnected"),
            EmitError::Full => f.write_str("the socket's outbox is full"),
            EmitError::Name(error) => error.fmt(f),
            EmitError::Encode(text) => write!(f, "the data cannot be written: {text}"),
            EmitError::Adapter(text) => write!(f, "not passed on to other nodes: {text}"),
        }
    }
}

impl std::error::Error for EmitError {}

impl From<EmitError> for Error {
    fn from(error: EmitError) -> Error {
        let code = match error {
            EmitError::Disconnected => code::DISCONNECTED,
            EmitError::Full => code::BUSY,
            _ => code::HANDLER_FAILED,
        };
        Error::new(code, error.to_string())
    }
}

/// An emit. The message is encoded, and queued where there is room, by the call itself; what is
/// awaited is room in a full outbox, other nodes, or the pace that was asked for.
///
/// Cancel safe: dropped while it waits for room, nothing was queued. A broadcast has reached the members here by
/// then, though not other nodes; one that keeps pace was sent.
#[must_use = "an emit waits for room only when it is awaited"]
pub struct Emitting<T>(State<T>);

enum State<T> {
    Done(Option<Result<T, EmitError>>),
    Waiting(BoxFuture<Result<T, EmitError>>),
}

impl<T> Emitting<T> {
    pub(crate) fn done(result: Result<T, EmitError>) -> Self {
        Emitting(State::Done(Some(result)))
    }

    pub(crate) fn waiting(future: impl Future<Output = Result<T, EmitError>> + Send + 'static) -> Self {
        Emitting(State::Waiting(Box::pin(future)))
    }
}

// The only thing pinned is boxed.
impl<T> Unpin for Emitting<T> {}

impl<T> Future for Emitting<T> {
    type Output = Result<T, EmitError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            State::Done(result) => match result.take() {
                Some(result) => Poll::Ready(result),
                // Polled again after it was done: it stays pending, as a fused future does.
                None => Poll::Pending,
            },
            State::Waiting(future) => future.as_mut().poll(cx),
        }
    }
}

impl<T> fmt::Debug for Emitting<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            State::Done(_) => "Emitting(done)",
            State::Waiting(_) => "Emitting(waiting)",
        })
    }
}

/// How far the slowest peer may lag before an emit waits for it.
///
/// ```
/// use std::time::Duration;
/// use eventwire::Pace;
///
/// let pace = Pace::slowest(256 * 1024).at_most(Duration::from_secs(5));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    pub(crate) bytes: usize,
    pub(crate) at_most: Duration,
}

impl Pace {
    /// Goes on once no more than `bytes` wait for the slowest, nor more than half of the messages
    /// that an outbox holds; in a room with history, nor more than half of what that keeps, so that none is overtaken.
    pub fn slowest(bytes: usize) -> Pace {
        Pace { bytes, at_most: Duration::from_secs(10) }
    }

    /// What it lets wait. Small messages fill an outbox by their number first.
    pub(crate) fn backlog(self, config: &Config) -> Backlog {
        Backlog { bytes: self.bytes, messages: config.outbox.messages / 2 }
    }

    /// Goes on after this time anyway. Default 10 s.
    #[must_use]
    pub fn at_most(self, time: Duration) -> Pace {
        Pace { at_most: time, ..self }
    }
}
