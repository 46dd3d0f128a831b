//! Why a connection ends: the one table of close codes and of the words that `closing` tells.

use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;

use crate::error::Error;
use crate::hub::Member;

/// Why a socket is gone, as `on_disconnect` is told.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DisconnectReason {
    /// The client closed it, with this close code (1005 where it named none).
    Client(u16),
    /// The connection ended without a close frame.
    Lost,
    /// `socket.disconnect()`: 1000.
    Server,
    /// `io.shutdown()`: 1001.
    Shutdown,
    /// The connect handler returned an `Err` with this code, or took too long (`timeout`): 1008.
    Refused(String),
    /// The connect handler panicked: 1011.
    Failed,
    /// It read slower than was sent to it, and its outbox overflowed: 1008 `slow`.
    Slow,
    /// It took less than 1 KiB in `writeTimeout` while data waited: 1008 `slow`.
    Stalled,
    /// Nothing came from it for `silenceTimeout`: 1008 `silence`.
    Silent,
    /// It sent more than `maxInvalidFrames` messages that are no envelope: 1008 `invalid_frames`.
    InvalidFrames,
    /// It sent a message in more than 4,096 fragments, or more than 1,000 control frames in 10 s: 1008 `flood`.
    Flood,
    /// It went on sending into a full inbox: 1008 `busy`.
    Busy,
    /// A message was larger than `maxMessage`: 1009.
    TooLarge,
    /// It sent a binary message, which its dialect does not take: 1003.
    Binary,
    /// It sent text that is not UTF-8: 1007.
    NotUtf8,
    /// It broke RFC 6455: 1002.
    Protocol,
}

impl DisconnectReason {
    /// The close code that this side sends.
    fn close_code(&self) -> u16 {
        match self {
            DisconnectReason::Client(_) | DisconnectReason::Lost | DisconnectReason::Server => 1000,
            DisconnectReason::Shutdown => 1001,
            DisconnectReason::Protocol => 1002,
            DisconnectReason::Binary => 1003,
            DisconnectReason::NotUtf8 => 1007,
            DisconnectReason::TooLarge => 1009,
            DisconnectReason::Failed => 1011,
            _ => 1008,
        }
    }

    /// Under which name it is counted.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            DisconnectReason::Client(_) => "client",
            DisconnectReason::Lost => "lost",
            DisconnectReason::Server => "server",
            DisconnectReason::Shutdown => "shutdown",
            DisconnectReason::Refused(_) => "refused",
            DisconnectReason::Failed => "failed",
            DisconnectReason::Slow => "slow",
            DisconnectReason::Stalled => "stalled",
            DisconnectReason::Silent => "silent",
            DisconnectReason::InvalidFrames => "invalid_frames",
            DisconnectReason::Flood => "flood",
            DisconnectReason::Busy => "busy",
            DisconnectReason::TooLarge => "too_large",
            DisconnectReason::Binary => "binary",
            DisconnectReason::NotUtf8 => "not_utf8",
            DisconnectReason::Protocol => "protocol",
        }
    }

    /// What `closing` tells: a word for programs, a text for people, and whether to come back.
    fn told(&self) -> (&str, &'static str, bool) {
        match self {
            DisconnectReason::Client(_) => ("client", "closed by the client", false),
            DisconnectReason::Lost => ("lost", "the connection was lost", true),
            DisconnectReason::Server => ("disconnect", "disconnected by the server", false),
            DisconnectReason::Shutdown => ("shutdown", "the server shuts down", true),
            DisconnectReason::Refused(code) => (code, "the server refused this socket", false),
            DisconnectReason::Failed => ("internal", "the server failed", true),
            DisconnectReason::Slow => ("slow", "it reads slower than is sent to it", true),
            DisconnectReason::Stalled => ("slow", "it takes no data", true),
            DisconnectReason::Silent => ("silence", "nothing was heard from it", true),
            DisconnectReason::InvalidFrames => ("invalid_frames", "too many messages that are no envelope", false),
            DisconnectReason::Flood => ("flood", "too many frames", false),
            DisconnectReason::Busy => ("busy", "too many events wait for their handler", true),
            DisconnectReason::TooLarge => ("too_large", "a message is larger than the limit", false),
            DisconnectReason::Binary => ("binary", "binary messages were not agreed", false),
            DisconnectReason::NotUtf8 => ("not_utf8", "text must be UTF-8", false),
            DisconnectReason::Protocol => ("protocol", "not as RFC 6455 says", false),
        }
    }
}

#[derive(Serialize)]
struct Closing<'a> {
    code: &'a str,
    reason: &'a str,
    reconnect: bool,
    after: u64,
}

/// An end that this side has decided.
#[derive(Clone, Debug)]
pub(crate) struct Ending {
    pub(crate) reason: DisconnectReason,
    /// Whether what waits is sent first; else the end overtakes it.
    pub(crate) drains: bool,
    /// What the peer is told beside the word for it, where it is not the usual text.
    text: Option<String>,
    /// When the peer should come back.
    after: Duration,
}

impl Ending {
    /// At once, overtaking what waits.
    pub(crate) fn abort(reason: DisconnectReason) -> Ending {
        Ending { reason, drains: false, text: None, after: Duration::ZERO }
    }

    /// Once all that was emitted before has been sent.
    pub(crate) fn after_drain(reason: DisconnectReason, come_back_in: Duration) -> Ending {
        Ending { reason, drains: true, text: None, after: come_back_in }
    }

    /// The connect handler's refusal, in its own words.
    pub(crate) fn refusal(error: &Error) -> Ending {
        let reason = DisconnectReason::Refused(error.code().to_owned());
        Ending { reason, drains: true, text: Some(error.message().to_owned()), after: Duration::ZERO }
    }

    /// The `closing` event and the close frame.
    pub(crate) fn farewell(&self, member: &Member) -> [Bytes; 2] {
        let (code, text, reconnect) = self.reason.told();
        let reason = self.text.as_deref().unwrap_or(text);
        let closing = Closing { code, reason, reconnect, after: self.after.as_millis() as u64 };
        [member.tell("closing", None, &closing).to_bytes(), crate::frame::close(self.reason.close_code(), code)]
    }
}
