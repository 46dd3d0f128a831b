use std::any::Any;
use std::borrow::Cow;
use std::fmt;

use serde::Serialize;
use serde_json::Value;

/// The result of what this crate does.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The codes of `error` that the protocol knows; applications name their own beside them.
pub mod code {
    /// The payload is not what the handler takes; `details.path` says where.
    pub const INVALID_PAYLOAD: &str = "invalid_payload";
    /// The message is no envelope.
    pub const INVALID_ENVELOPE: &str = "invalid_envelope";
    /// Nobody handles this event.
    pub const UNKNOWN_EVENT: &str = "unknown_event";
    /// Not allowed.
    pub const FORBIDDEN: &str = "forbidden";
    /// There is no such thing.
    pub const NOT_FOUND: &str = "not_found";
    /// Larger than a limit: the headers at the door, or what an application bounds.
    pub const TOO_LARGE: &str = "too_large";
    /// More events a second than allowed.
    pub const RATE_LIMITED: &str = "rate_limited";
    /// A cap such as `maxSubscriptions` is reached.
    pub const LIMIT: &str = "limit";
    /// The socket that was meant is gone.
    pub const DISCONNECTED: &str = "disconnected";
    /// Not now: a queue is full.
    pub const BUSY: &str = "busy";
    /// It took too long.
    pub const TIMEOUT: &str = "timeout";
    /// The handler returned an `Err` that names no code of its own.
    pub const HANDLER_FAILED: &str = "handler_failed";
    /// The handler panicked; its text stays in the server's log.
    pub const INTERNAL: &str = "internal";
}

/// An error as a peer sees it: a code for programs, a message for people, details for both.
///
/// A handler that returns one answers the request with it. It is also what the operations of
/// this crate fail with, so that `?` works in handlers. An application's own errors come in by
/// `impl From<TheirError> for eventwire::Error`.
///
/// ```
/// use eventwire::Error;
///
/// let sold_out = Error::new("out_of_stock", "none left").with_details(serde_json::json!({"left": 0}));
/// assert_eq!(sold_out.code(), "out_of_stock");
/// ```
#[derive(Clone, PartialEq)]
pub struct Error(Box<Told>);

#[derive(Clone, PartialEq, Serialize)]
struct Told {
    code: Cow<'static, str>,
    message: Cow<'static, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Value>,
    /// The event that was refused, where the peer gave no id to answer under.
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<String>,
}

impl Error {
    /// An error with a code and a message.
    pub fn new(code: impl Into<Cow<'static, str>>, message: impl Into<Cow<'static, str>>) -> Error {
        Error(Box::new(Told { code: code.into(), message: message.into(), details: None, event: None }))
    }

    /// The same error with details.
    #[must_use]
    pub fn with_details(mut self, details: impl Into<Value>) -> Error {
        self.0.details = Some(details.into());
        self
    }

    /// The same error with the name of the event that it refuses.
    pub(crate) fn about(mut self, event: &str) -> Error {
        self.0.event = Some(event.to_owned());
        self
    }

    /// What programs tell it by.
    pub fn code(&self) -> &str {
        &self.0.code
    }

    /// What people read.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// More about it.
    pub fn details(&self) -> Option<&Value> {
        self.0.details.as_ref()
    }

    pub(crate) fn forbidden(message: impl Into<Cow<'static, str>>) -> Error {
        Error::new(code::FORBIDDEN, message)
    }

    pub(crate) fn internal() -> Error {
        Error::new(code::INTERNAL, "internal error")
    }

    pub(crate) fn timeout() -> Error {
        Error::new(code::TIMEOUT, "it took too long")
    }
}

impl Serialize for Error {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.code, self.0.message)
    }
}

// What `main() -> eventwire::Result<()>` prints.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")?;
        match &self.0.details {
            Some(details) => write!(f, " {details}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

/// An error that a handler may return.
///
/// It is implemented for everything that becomes an [`Error`]: texts and common errors are answered with
/// the code `handler_failed`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the error of a handler: it has no code",
    label = "an error without a code",
    note = "for a type of your own write `#[derive(EventError)]`, or `impl From<{Self}> for eventwire::Error`",
    note = "for one of another crate there is `.map_err(|error| eventwire::Error::new(\"code\", error.to_string()))`"
)]
pub trait IntoError {
    /// The error as the peer sees it.
    fn into_error(self) -> Error;
}

// The compiler is to speak of the error, and not of the long list of what becomes one.
#[diagnostic::do_not_recommend]
impl<E: Into<Error>> IntoError for E {
    fn into_error(self) -> Error {
        self.into()
    }
}

/// What `Display` says of an error, as the derive asks it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no text for people",
    label = "no `Display`",
    note = "write `impl std::fmt::Display for {Self}`, which `thiserror` does; without it each code needs a `message = \"…\"`, and none is `logged`"
)]
#[doc(hidden)]
pub trait HasMessage {
    fn text(&self) -> String;
}

#[diagnostic::do_not_recommend]
impl<E: fmt::Display> HasMessage for E {
    fn text(&self) -> String {
        self.to_string()
    }
}

macro_rules! handler_failed {
    ($($error:ty),* $(,)?) => {$(
        impl From<$error> for Error {
            fn from(error: $error) -> Error {
                Error::new(code::HANDLER_FAILED, error.to_string())
            }
        }
    )*};
}

handler_failed!(
    &'static str,
    String,
    std::io::Error,
    std::fmt::Error,
    serde_json::Error,
    std::num::ParseIntError,
    std::num::ParseFloatError,
    std::str::Utf8Error,
    std::string::FromUtf8Error,
    Box<dyn std::error::Error>,
    Box<dyn std::error::Error + Send + Sync>,
    crate::NameError,
    crate::AdapterError,
    crate::ParseSocketIdError,
    tokio::task::JoinError,
    tokio::time::error::Elapsed,
);

impl From<std::convert::Infallible> for Error {
    fn from(never: std::convert::Infallible) -> Error {
        match never {}
    }
}

/// What a panic says.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&'static str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_written_as_the_data_of_an_error_event() {
        let error = Error::new("out_of_stock", "none left");
        assert_eq!(serde_json::to_string(&error).unwrap(), r#"{"code":"out_of_stock","message":"none left"}"#);
        let error = error.with_details(3).about("buy");
        assert_eq!(
            serde_json::to_string(&error).unwrap(),
            r#"{"code":"out_of_stock","message":"none left","details":3,"event":"buy"}"#
        );
        assert_eq!(format!("{:?}", Error::from("no").with_details(1)), "handler_failed: no 1");
    }
}
